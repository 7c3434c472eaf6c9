package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Noise says of each rule how often it rang, and how often somebody did something about it.
type Noise struct {
	Kind string `json:"kind"` // "noise"
	// Since is the beginning of the span: what was asked for, or that of the ledger when it is younger.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Alarms counts certificates that rang, each once, and Acted those whose incident a person acknowledged or resolved.
	Alarms int         `json:"alarms"`
	Acted  int         `json:"acted"`
	Rules  []RuleNoise `json:"rules"` // those that rang, the loudest first
}

// RuleNoise is one rule in a [Noise]. A certificate for which several rules rang counts for each of them.
type RuleNoise struct {
	Rule    string  `json:"rule"` // empty: decided before rules were kept with decisions
	Title   string  `json:"title"`
	Alarms  int     `json:"alarms"`
	PerWeek float64 `json:"per_week"`
	Acted   int     `json:"acted"`
	Share   float64 `json:"acted_share"` // of 1
}

// noiseTally counts.
type noiseTally struct {
	rang, acted map[[32]byte]bool
	rules       map[string]*ruleTally
}

type ruleTally struct {
	title       string
	rang, acted map[[32]byte]bool
}

// add takes one certificate of one incident in. What was not told when it came rang nobody.
func (n *noiseTally) add(r *store.RungRow) error {
	var m incident.Member
	if err := json.Unmarshal(r.State, &m); err != nil {
		return fmt.Errorf("reading a certificate of incident %s: %w", r.Incident, err)
	}
	if m.Why != "" || len(r.Facts) == 0 {
		return nil
	}
	var known struct {
		Fired []policy.Fired `json:"fired"`
	}
	if err := json.Unmarshal(r.Facts, &known); err != nil {
		return fmt.Errorf("reading what was known of issuance %x: %w", r.Issuance, err)
	}
	if n.rules == nil {
		n.rang, n.acted, n.rules = map[[32]byte]bool{}, map[[32]byte]bool{}, map[string]*ruleTally{}
	}
	n.rang[r.Issuance] = true
	if r.Acted {
		n.acted[r.Issuance] = true
	}
	loud := slices.DeleteFunc(known.Fired, func(f policy.Fired) bool { return f.Level < policy.Alarm })
	if len(loud) == 0 {
		loud = []policy.Fired{{Title: "not recorded"}}
	}
	for _, f := range loud {
		t := n.rules[f.Rule]
		if t == nil {
			t = &ruleTally{title: f.Title, rang: map[[32]byte]bool{}, acted: map[[32]byte]bool{}}
			n.rules[f.Rule] = t
		}
		t.rang[r.Issuance] = true
		if r.Acted {
			t.acted[r.Issuance] = true
		}
	}
	return nil
}

// noise is the sum.
func (n *noiseTally) noise(since, until time.Time) *Noise {
	out := &Noise{Kind: "noise", Since: since.UTC(), Until: until.UTC(), Alarms: len(n.rang), Acted: len(n.acted), Rules: []RuleNoise{}}
	weeks := max(until.Sub(since).Hours()/(7*24), 1) // less than a week is no rate
	for id, t := range n.rules {
		r := RuleNoise{Rule: id, Title: notify.Safe(t.title, 200), Alarms: len(t.rang), Acted: len(t.acted)}
		r.PerWeek = float64(r.Alarms) / weeks
		r.Share = float64(r.Acted) / float64(r.Alarms)
		out.Rules = append(out.Rules, r)
	}
	slices.SortFunc(out.Rules, func(a, b RuleNoise) int { return cmp.Or(cmp.Compare(b.Alarms, a.Alarms), cmp.Compare(a.Rule, b.Rule)) })
	return out
}

// CountNoise counts what rang since a time.
func CountNoise(ctx context.Context, s *store.Store, since, now time.Time) (*Noise, error) {
	var n noiseTally
	begin, err := s.EachRung(ctx, since, [2]string{trailAcked, trailResolved}, n.add)
	if err != nil {
		return nil, err
	}
	if begin.After(since) {
		since = begin
	}
	return n.noise(since, now), nil
}

// AskNoise is [CountNoise] of the daemon of the given state, or of the file when none runs.
func AskNoise(ctx context.Context, state string, since time.Time) (*Noise, error) {
	return ask(ctx, state, "/v1/noise?since="+url.QueryEscape(since.Format(time.RFC3339Nano)), func(s *store.Store) (*Noise, error) {
		return CountNoise(ctx, s, since, time.Now())
	})
}

func (a *App) answerNoise(w http.ResponseWriter, r *http.Request) {
	since, err := time.Parse(time.RFC3339Nano, r.FormValue("since"))
	if err != nil {
		reply(w, nil, &AskError{Text: "since is no time"})
		return
	}
	n, err := CountNoise(r.Context(), a.store, since, time.Now())
	reply(w, n, err)
}
