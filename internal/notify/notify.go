// Package notify tells people: it takes what the store's outbox holds to the receivers, each in a loop of its own.
//
// It promises: at least once, under one stable id. A message stays in the outbox until its receiver took it; a crash
// can repeat one only between the send and the commit that follows, and then under the same id. A receiver that is
// slow, down or broken delays no other one, nor the reading of logs. A message that a receiver does not take, however
// often, does not stand in the way of later ones. Messages go out one at a time per receiver, in the order in which
// they were queued as far as failures allow.
//
// Trust: receivers may be slow, down or hostile; what they answer is bounded and used for error texts alone. Strings in
// an [Alarm] come from certificates and are hostile to terminals: [Safe] is between them and every text made here.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tocsin-ct/tocsin/internal/store"
)

// Receiver is somebody who can be told.
type Receiver interface {
	// Name is unique among the receivers and stays the same over restarts: what is pending is pending for a name.
	Name() string
	// Wants reports whether messages of this level ("expected" … "page") are for this receiver.
	Wants(level string) bool
	// Stream reports which kind it is. A stream is told of each issuance by itself, at once ([Rows]); an inbox, which is
	// for people, is told of incidents ([IncidentRows]).
	Stream() bool
	// Send delivers one message and returns nil only when the receiver has taken it; on any error it is sent again
	// later, with the same ID. It is called by one goroutine at a time and returns soon after ctx ends.
	Send(ctx context.Context, n Notice) error
}

// Notice is one message.
type Notice struct {
	// ID is the same each time that this message is sent.
	ID string
	// Kind is KindAlarm, KindPage or KindFiled, and then Payload is an [Alarm]; or another word for what concerns no
	// certificate, as "fault".
	Kind string
	// At is when the message was queued.
	At      time.Time
	Payload json.RawMessage
	// Text is for people and safe for a terminal; it may have several lines and ends without one.
	Text string
	// Attempt counts from 1.
	Attempt int
	// Memory is where a receiver keeps what it must know at later messages; nil when there is no such place, and then
	// each message stands alone.
	Memory Memory
}

// Memory is what receivers remember between messages, and over restarts; [Run] takes it from the outbox, which is a
// [store.Store]. Values are small.
type Memory interface {
	Remembered(ctx context.Context, receiver, key string) (value string, ok bool, err error)
	Remember(ctx context.Context, receiver, key, value string) error
}

// Kinds of a [Notice] about an issuance.
const (
	KindFiled = "filed" // expected or digest: for the record
	KindAlarm = "alarm"
	KindPage  = "page"
)

// levels in ascending order, as the policy writes them.
var levels = []string{"none", "expected", "digest", "alarm", "page"}

// Rank orders the levels from 0 (none) to 4 (page). An unknown level is as urgent as the highest: better heard twice
// than not at all.
func Rank(level string) int {
	for i, l := range levels {
		if l == level {
			return i
		}
	}
	return len(levels) - 1
}

// KindOf is the kind of a message about an issuance of that level: why it is sent. A verdict that rises to another
// kind rings, one that stays within its kind does not.
func KindOf(level string) string {
	switch {
	case Rank(level) >= Rank("page"):
		return KindPage
	case Rank(level) >= Rank("alarm"):
		return KindAlarm
	}
	return KindFiled
}

var kindRank = map[string]int{KindFiled: 1, KindAlarm: 2, KindPage: 3}

// Rows makes the outbox rows that tell of an alarm, one for each receiver that wants its level, for
// [store.Decision.Outbox]. It sets ID, Issuance and Kind of each document; a is not changed.
func Rows(a Alarm, issuance [32]byte, receivers []Receiver) ([]store.OutboxRow, error) {
	if a.Level == levels[0] {
		return nil, nil
	}
	a.Issuance = fmt.Sprintf("%x", issuance)
	a.Kind = KindOf(a.Level)
	text := a.Text() // before texts are cut for the document: each cut says how much is missing
	a = a.bounded()
	var out []store.OutboxRow
	for _, r := range receivers {
		if !r.Wants(a.Level) {
			continue
		}
		a.ID = store.AlarmID(issuance, r.Name(), a.Kind)
		payload, err := encode(a)
		if err != nil {
			return nil, fmt.Errorf("writing alarm %s: %w", a.ID, err)
		}
		out = append(out, store.OutboxRow{
			ID: a.ID, Receiver: r.Name(), Kind: a.Kind, Rank: kindRank[a.Kind], Payload: payload, Text: text,
		})
	}
	return out, nil
}

// Messages makes the outbox rows of a message that concerns no issuance, for [store.Store.Enqueue], one for each
// receiver that wants the level. The same kind and key name the same message: queued twice it is sent once.
func Messages(kind, key, level, text string, payload json.RawMessage, receivers []Receiver) []store.OutboxRow {
	var out []store.OutboxRow
	for _, r := range receivers {
		if r.Wants(level) {
			id := store.AlarmID(sha256.Sum256([]byte(key)), r.Name(), kind)
			out = append(out, store.OutboxRow{ID: id, Receiver: r.Name(), Kind: kind, Payload: payload, Text: text})
		}
	}
	return out
}

// AtLeast is a [Receiver.Wants] for everything of that level and above.
func AtLeast(level string) func(string) bool {
	least := Rank(level)
	return func(l string) bool { return Rank(l) >= least }
}
