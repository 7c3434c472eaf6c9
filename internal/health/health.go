// Package health keeps what is wrong with tocsin itself and with what it depends on: logs, lists, the state file, the
// receivers, the clock, its own stations. It decides when a trouble is told, that it is told once, and when it is over.
//
// [Step] is a pure function of the open troubles, of what was observed, and of a time. It promises: a trouble becomes
// visible only after it has lasted for the time that its code gives it, and is over only after it has been good for a
// while, so that nothing flaps; a trouble that follows from another one is held back while that one lasts; blindness
// depends on nothing and holds nothing back. What a trouble says may come from outside and is hostile to terminals: the
// caller cleans it.
package health

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Level says how a trouble is told.
type Level string

// The levels.
const (
	Daily  Level = "daily"  // in the daily notice and in the output of `tocsin logs`
	Digest Level = "digest" // beside that once when it becomes visible and once when it is over
	Alarm  Level = "alarm"  // the same, and it rings
)

// Kind is one kind of trouble.
type Kind struct {
	// Code is stable: it stands in JSON and in docs/coverage.md.
	Code string
	// Title is a few words.
	Title string
	// Template is the sentence, with {names} of arguments; see [Trouble.Text].
	Template string
	Level    Level
	// DependsOn are the codes of which this one is a consequence: while one of them is open, for the same group or for
	// none, this one is not told.
	DependsOn []string
	// TimeToVisible is how long it must last before it is shown and told, TimeToResolve how long it must be good before
	// it is over.
	TimeToVisible, TimeToResolve time.Duration
	// Momentary: it happened and is told; that it is over is nothing to tell.
	Momentary bool
}

// Args fill the template of a kind.
type Args map[string]string

// Observation is one trouble as it is seen now. What is not observed is good.
type Observation struct {
	Code string
	// Subject is which one of several: a log, a receiver. Group is to what it belongs: the operator of a log.
	Subject, Group string
	Args           Args
	// Unknown: it cannot be told now whether it is good or bad. An open trouble stays as it is.
	Unknown bool
}

// Trouble is an open trouble. Its JSON is kept over restarts.
type Trouble struct {
	Code    string    `json:"code"`
	Subject string    `json:"subject,omitempty"`
	Group   string    `json:"group,omitempty"`
	Args    Args      `json:"args,omitempty"`
	Since   time.Time `json:"since"`
	// Good is since when it has been good again; zero while it is bad.
	Good time.Time `json:"good,omitzero"`
	// Visible is when it became visible, Told when it was told; zero for not yet. HeldBy is the code of the trouble from
	// which it follows, while that one holds it back.
	Visible time.Time `json:"visible,omitzero"`
	Told    time.Time `json:"told,omitzero"`
	HeldBy  string    `json:"held_by,omitempty"`
}

// Event is something to be told.
type Event struct {
	Trouble
	Level Level
	// Resolved: it is over. Otherwise it became visible.
	Resolved bool
}

// Key is stable: the same event has it again after a crash.
func (e *Event) Key() string {
	phase := "visible"
	if e.Resolved {
		phase = "resolved"
	}
	return strings.Join([]string{e.Code, e.Subject, e.Since.UTC().Format(time.RFC3339), phase}, "\x00")
}

// Kind of the trouble; a code that is not known, as of a newer version, counts as one that stands in the daily notice.
func (t *Trouble) Kind() Kind {
	if k, ok := find(t.Code); ok {
		return k
	}
	return Kind{Code: t.Code, Title: t.Code, Template: t.Code + " {subject}", Level: Daily}
}

// Text is the trouble as a sentence: the template of its kind with {subject}, {group} and the arguments filled in.
func (t *Trouble) Text() string {
	pairs := []string{"{subject}", t.Subject, "{group}", t.Group}
	for _, name := range slices.Sorted(keys(t.Args)) {
		pairs = append(pairs, "{"+name+"}", t.Args[name])
	}
	return strings.NewReplacer(pairs...).Replace(t.Kind().Template)
}

func keys(a Args) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range a {
			if !yield(k) {
				return
			}
		}
	}
}

// Shown reports whether people see it: it has lasted long enough.
func (t *Trouble) Shown() bool { return !t.Visible.IsZero() }

func order(a, b Trouble) int {
	return cmp.Or(cmp.Compare(rank(a.Code), rank(b.Code)), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Subject, b.Subject))
}

// Step takes the open troubles from one observation to the next; of several about the same, the last counts. It returns them in the order of [Kinds], and what is to
// be told now. Open is not changed.
func Step(open []Trouble, seen []Observation, now time.Time) (next []Trouble, events []Event) {
	type key struct{ code, subject string }
	bad := make(map[key]*Observation, len(seen))
	for i := range seen {
		bad[key{seen[i].Code, seen[i].Subject}] = &seen[i]
	}
	for _, t := range open {
		k := key{t.Code, t.Subject}
		o := bad[k]
		delete(bad, k)
		if t.Since.After(now) { // the clock was set back, and we were restarted
			t.Since = now
		}
		if t.Good.After(now) {
			t.Good = now
		}
		switch {
		case o == nil && t.Good.IsZero():
			t.Good = now
		case o != nil && !o.Unknown:
			t.Good, t.Args, t.Group = time.Time{}, o.Args, o.Group
		}
		if kind := t.Kind(); !t.Good.IsZero() && now.Sub(t.Good) >= kind.TimeToResolve {
			if !t.Told.IsZero() && !kind.Momentary {
				events = append(events, Event{Trouble: t, Level: kind.Level, Resolved: true})
			}
			continue
		}
		next = append(next, t)
	}
	for i := range seen {
		k := key{seen[i].Code, seen[i].Subject}
		if o := bad[k]; o != nil && !o.Unknown {
			next = append(next, Trouble{Code: o.Code, Subject: o.Subject, Group: o.Group, Args: o.Args, Since: now})
			delete(bad, k)
		}
	}
	slices.SortStableFunc(next, order)
	for i := range next {
		t := &next[i]
		kind := t.Kind()
		if !t.Good.IsZero() {
			continue
		}
		if t.Visible.IsZero() && now.Sub(t.Since) >= kind.TimeToVisible {
			t.Visible = now
		}
		t.HeldBy = heldBy(t, kind, next)
		if t.Visible.IsZero() || !t.Told.IsZero() || t.HeldBy != "" {
			continue
		}
		t.Told = now
		if kind.Level != Daily {
			events = append(events, Event{Trouble: *t, Level: kind.Level})
		}
	}
	// What is only in the daily notice is not told to be over either.
	events = slices.DeleteFunc(events, func(e Event) bool { return e.Level == Daily })
	return next, events
}

// heldBy finds the trouble from which t follows.
func heldBy(t *Trouble, kind Kind, open []Trouble) string {
	for i := range open {
		o := &open[i]
		if slices.Contains(kind.DependsOn, o.Code) && o.Good.IsZero() && (o.Subject == "" || o.Subject == t.Group) {
			return o.Code
		}
	}
	return ""
}
