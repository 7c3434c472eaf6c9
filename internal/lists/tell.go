package lists

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Kinds of trouble with a publisher.
const (
	Unreachable = "unreachable" // nothing usable came; told after the patience
	Refused     = "refused"     // what came is not believed; told at once
)

// Event is something about lists that people are told, once.
type Event struct {
	// Key names the event: queued twice under the same key it is told once.
	Key string `json:"key"`
	// Kind is a kind of trouble, "resolved", "appeared", "changed", "key-changed", "leaving", "returned", "closed", "final".
	Kind string `json:"kind"`
	// List is the source concerned, Logs the names of the logs; either may be empty.
	List string    `json:"list,omitempty"`
	Logs []string  `json:"logs,omitempty"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

func (s *Set) event(e Event) {
	const most = 100 // names
	if e.At = e.At.UTC(); len(e.Logs) > most {
		e.Logs = e.Logs[:most]
	}
	e.Key = fmt.Sprintf("%s %s %s %d", e.Kind, e.List, some(e.Logs), e.At.UnixMilli())
	if len(s.mem.Events) >= maxEvents { // nobody takes them
		s.mem.Events = s.mem.Events[1:]
	}
	s.mem.Events = append(s.mem.Events, e)
	s.log.Info("log list", "event", e.Kind, "text", e.Text)
}

// trouble notes that something is wrong with a publisher, and tells of it when its time has come.
func (s *Set) trouble(name string, m *source, kind, text string, now time.Time) {
	t := m.Troubles[kind]
	if t == nil {
		t = &trouble{Since: now}
		m.Troubles[kind] = t
	}
	t.Text = text
	for _, at := range []*time.Time{&t.Since, &m.Checked} { // the clock was set back
		if at.After(now) {
			*at = now
		}
	}
	s.log.Warn("log list", "list", name, "trouble", kind, "err", text)
	if t.Told || kind == Unreachable && now.Sub(later(t.Since, m.Checked)) < s.opts.Patience {
		return
	}
	t.Told = true
	s.event(Event{Kind: kind, List: name, At: t.Since, Text: fmt.Sprintf("%s. In force stays %s", text, s.standing(name, now))})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// standing describes what is in force.
func (s *Set) standing(name string, now time.Time) string {
	m, in := s.mem.source(name), s.inForce[name]
	switch {
	case in == nil:
		return "nothing of this list: its logs are not seen"
	case in.from == FromEmbedded:
		return fmt.Sprintf("the list that is part of the program, of %s: logs that came later are not seen", in.list.Timestamp.Format(time.DateOnly))
	}
	return fmt.Sprintf("the copy that was good %s ago: logs that came later are not seen", now.Sub(m.Checked).Round(time.Minute))
}

// settle ends a trouble, and tells so when it was told.
func (s *Set) settle(name string, m *source, kind string, now time.Time) {
	t := m.Troubles[kind]
	if t == nil {
		return
	}
	delete(m.Troubles, kind)
	if t.Told {
		words := map[string]string{Unreachable: "is to be had again", Refused: "is believed again"}
		s.event(Event{Kind: "resolved", List: name, At: now, Text: fmt.Sprintf("log list %s %s, after %s", name, words[kind], now.Sub(t.Since).Round(time.Second))})
	}
}

// Events are what is still to be told, oldest first.
func (s *Set) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mem.Events)
}

// Told forgets events that are on their way to people and will not get lost any more.
func (s *Set) Told(events ...Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(events) == 0 {
		return nil
	}
	s.mem.Events = slices.DeleteFunc(s.mem.Events, func(e Event) bool {
		return slices.ContainsFunc(events, func(t Event) bool { return t.Key == e.Key })
	})
	return s.save()
}

// Unusable tells that a log of the lists cannot be followed at all. It is not wanted before the next refresh.
func (s *Set) Unusable(id [32]byte, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mem.find(id)
	if l == nil {
		return
	}
	l.skip = true
	if l.Unusable != why.Error() {
		l.Unusable = why.Error()
		s.event(Event{Kind: "unusable", Logs: []string{l.Log.Name()}, At: time.Now(), Text: fmt.Sprintf("%s is listed but cannot be followed: %v", l.Log.Name(), why)})
	}
}

// Progressed takes note of how far a log was read, and reports whether it is done with and no longer to be read. The word
// about that is among the events.
func (s *Set) Progressed(id [32]byte, p Progress) (done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.mem.find(id)
	if l == nil {
		return true
	}
	if !l.Closed.IsZero() {
		return true
	}
	now := time.Now()
	if p.Position != l.Position {
		l.Position, l.Moved = p.Position, now
	}
	if p.Final && !l.Final {
		l.Final = true
		s.event(Event{Kind: "final", Logs: []string{l.Log.Name()}, At: now,
			Text: fmt.Sprintf("%s is read-only, and was read and verified to its final head of %d entries", l.Log.Name(), p.Verified)})
	}
	if l.Leaving.IsZero() {
		return false
	}
	done, word := Ending(l.Log.Final, p, l.Leaving, l.Moved, now, s.opts.Grace)
	if !done {
		return false
	}
	l.Closed, l.Word = now, word
	s.event(Event{Kind: "closed", Logs: []string{l.Log.Name()}, At: now, Text: fmt.Sprintf("%s is closed (%s): %s", l.Log.Name(), l.Why, word)})
	_ = s.save() // told by save; the next one tries again
	return true
}

// Status says what is in force of one list, for people and programs.
type Status struct {
	List string `json:"list"`
	// From is "publisher", "kept", "embedded", or "nothing".
	From    string `json:"from"`
	Version string `json:"version,omitempty"`
	// Timestamp is the date that the list gives, Checked when its publisher last had just this, Age the seconds since:
	// since Timestamp for an embedded list, and absent where unknown.
	Timestamp *time.Time `json:"timestamp,omitempty"`
	Checked   *time.Time `json:"checked,omitempty"`
	Age       float64    `json:"age,omitempty"`
	// Signature is "verified", "no key" (not checked), "none needed" for an embedded list, or "nothing".
	Signature string `json:"signature"`
	Followed  int    `json:"followed"`
	Skipped   int    `json:"skipped"`
	// Troubles are what is wrong at present. Acceptable is set when the operator can accept the refused update.
	Troubles   []Trouble `json:"troubles"`
	Acceptable bool      `json:"acceptable,omitempty"`
}

// Trouble is something that is wrong with a list.
type Trouble struct {
	Kind  string    `json:"kind"`
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
}

// Status describes each source, in the order in which they are configured.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Status{}
	now := time.Now()
	for _, src := range s.sources {
		m := s.mem.source(src.Name)
		st := Status{List: src.Name, From: "nothing", Signature: "nothing", Troubles: []Trouble{}, Acceptable: m.Offered != nil}
		if in := s.inForce[src.Name]; in != nil {
			st.From, st.Version = in.from, in.list.Version
			st.Timestamp, st.Checked = known(in.list.Timestamp), known(m.Checked)
			switch {
			case in.from == FromEmbedded:
				st.Signature, st.Checked = "none needed", nil
			case len(m.Signature) > 0: // kept only with a key
				st.Signature = "verified"
			default:
				st.Signature = "no key"
			}
			st.Followed = len(in.list.Followed())
			st.Skipped = len(in.list.Logs) - st.Followed
			for _, t := range []*time.Time{st.Checked, st.Timestamp} {
				if t != nil {
					st.Age = now.Sub(*t).Seconds()
					break
				}
			}
		}
		for _, kind := range slices.Sorted(maps.Keys(m.Troubles)) {
			t := m.Troubles[kind]
			st.Troubles = append(st.Troubles, Trouble{kind, t.Text, t.Since.UTC()})
		}
		out = append(out, st)
	}
	return out
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Standing is what the lists say about one log that is read, or was.
type Standing struct {
	Log     loglist.Log
	Leaving time.Time // zero while it is listed
	Closed  time.Time // zero while it is read
	// Text says why it leaves, and how reading ended.
	Text string
}

// Departing are the logs that leave, and those that are done with.
func (s *Set) Departing() []Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Standing
	for _, l := range s.mem.Logs {
		switch {
		case !l.Closed.IsZero():
			out = append(out, Standing{l.Log, l.Leaving, l.Closed, l.Why + ": " + l.Word})
		case !l.Leaving.IsZero():
			out = append(out, Standing{l.Log, l.Leaving, l.Closed, l.Why + ": read to its last head"})
		}
	}
	return out
}
