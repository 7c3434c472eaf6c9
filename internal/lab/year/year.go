// Package year makes a year of an organisation's issuance: renewals, and twelve certificates that nobody ordered.
//
// The [Organisation] is the same for every seed: 200 zones and 50 networks, whose certificates come from ACME clients
// that take a new key each time, from services that keep their keys, from a CDN that holds the keys itself, and from
// people who order. A seed draws what happens to it: when each certificate is renewed, how late its hook tells of it,
// which logs have it and when, which zones move to another CA, when CAs begin to use new intermediates, and the twelve.
// [Organisation.Year] is pure: the same seed gives the same certificates, byte for byte, in the same order.
//
// Certificates are DER with signatures that verify, made by package ca. The SCTs in final certificates name a log and a
// time and are signed by nobody: no log takes part in a year. The names of CA owners are real, the keys are the lab's.
package year

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// Begin is when the year begins, and Early how long before that the organisation can be looked at: see
// [Organisation.Weeks].
var Begin = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// Early and Length of the year.
const (
	Early  = 6 * 7 * 24 * time.Hour
	Length = 365 * 24 * time.Hour
)

// Renewals is how many certificates of the organisation's own a year has, at least.
const Renewals = 30_000

// Kind says what an [Event] is.
type Kind uint8

// The kinds of events.
const (
	Logged    Kind = iota // an entry of a log is seen
	Pushed                // a hook tells the journal of a certificate or key
	Announced             // somebody announces an issuance
)

// Event is something that happens in the year.
type Event struct {
	At   time.Time
	Kind Kind
	// Certificate is what was logged or pushed; nil for what is announced.
	Certificate *Certificate
	// Log is which log has the entry, Final that it is the final certificate and not the precertificate.
	Log   string
	Final bool
	// KeyOnly: the hook pushes the key alone, from a certification request.
	KeyOnly bool
	// Announcement is set for what is announced.
	Announcement *Announcement

	order int
}

// Announcement is an issuance that somebody announces.
type Announcement struct {
	Names []string
	// Issuer is a CAA domain; Key is that of the certificate.
	Issuer string
	Key    [32]byte
	For    time.Duration
	Count  int
	Reason string
}

// Certificate is one issuance of the year.
type Certificate struct {
	// What it is, in words, for people; Service is whose renewal.
	What    string
	Service *Service
	// Rogue is nil for what the organisation ordered.
	Rogue *Rogue
	// Logged is when it was first logged.
	Logged time.Time
	// Issued has the bytes; the final certificate is there only where something needs it.
	Issued *ca.Issued
	// FinalOnly: the precertificate was never logged.
	FinalOnly bool
}

// Rogue is a certificate that nobody of the organisation ordered.
type Rogue struct {
	// Kind is a word for it, Like the incident that it is like, Why what gives it away.
	Kind, Like, Why string
	// OwnCA: it comes from a CA that the organisation uses for these very names. InSettle: it comes while the journal is
	// waited for, for a renewal of the same names. Page: it touches what is to page.
	OwnCA, InSettle, Page bool
}

// Year is one year under one seed.
type Year struct {
	Seed  uint64
	org   *Organisation
	plans planned
	moved map[*Service]string // to which CA a service moves
	// renewed are the renewals that are planned, slow the hooks of some of them that take their time.
	renewed []renewal
	slow    map[string]time.Duration
}

// plan is one issuance that will be made when its time has come.
type plan struct {
	at    time.Time
	make  func(*Year) ([]Event, error)
	order int
}

type planned []plan

// rand is a source of chance for one purpose, so that one purpose does not move another. Seeds that stand beside each
// other have nothing in common.
func (y *Year) rand(purpose string) *rand.Rand {
	sum := sha256.Sum256(fmt.Appendf(nil, "tocsin year %d %s", y.Seed, purpose))
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])))
}

func (y *Year) plan(at time.Time, make func(*Year) ([]Event, error)) {
	y.plans = append(y.plans, plan{at, make, len(y.plans)})
}

// Planned is how many issuances the year has.
func (y *Year) Planned() int { return len(y.plans) }

// Events yields what happens, in order of time. Certificates are made as they are needed, so that a year fits into
// little memory.
func (y *Year) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var due queue
		n := 0
		for i := 0; i < len(y.plans) || len(due) > 0; {
			if i < len(y.plans) && (len(due) == 0 || !y.plans[i].at.After(due[0].At)) {
				events, err := y.plans[i].make(y)
				if err != nil {
					yield(Event{}, fmt.Errorf("making issuance %d of the year %d: %w", i, y.Seed, err))
					return
				}
				for _, e := range events {
					e.order = n
					n++
					heap.Push(&due, e)
				}
				i++
				continue
			}
			if !yield(heap.Pop(&due).(Event), nil) {
				return
			}
		}
	}
}

// queue holds events by time, and by the order in which they came at one time.
type queue []Event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].At.Equal(q[j].At) {
		return q[i].At.Before(q[j].At)
	}
	return q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(Event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

func (p planned) Len() int { return len(p) }
func (p planned) Less(i, j int) bool {
	if !p[i].at.Equal(p[j].at) {
		return p[i].at.Before(p[j].at)
	}
	return p[i].order < p[j].order
}
func (p planned) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
