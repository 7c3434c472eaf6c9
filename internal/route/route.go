// Package route says who is told of something: it walks through the routes of the configuration and returns receivers,
// when each is told, and why.
//
// [Walk] is pure. It promises that nothing is lost: what no route takes goes to all receivers and says so; outside of
// the window of a route a message is put off to its next opening; a page is put off by no window, and a message for the
// people to whom a route escalates goes to the others, too. Everything that it reads is the operator's.
package route

import (
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// When says what a route takes. What is not given matches everything.
type When struct {
	// AtLeast and AtMost bound the level; [policy.None] is not given.
	AtLeast, AtMost policy.Level
	// Owner and Watch are names; one of those of the matter is enough.
	Owner, Watch string
}

// Route is one entry of routes.
type Route struct {
	When When
	// To are the names of receivers, EscalateTo those of further ones for what nobody acknowledges.
	To, EscalateTo []string
	// Window is when To are told; nil for always.
	Window *Window
	// Place is where it stands in the configuration.
	Place string
}

// CanPage reports whether a page may go through the route.
func (r *Route) CanPage() bool { return r.When.AtMost == policy.None || r.When.AtMost >= policy.Page }

// Matter is what is to be told.
type Matter struct {
	Level policy.Level
	// Owners and Watches are those concerned.
	Owners, Watches []string
	// Escalate: also to those to whom the routes escalate.
	Escalate bool
}

// Step is one route on the walk.
type Step struct {
	// Route is its number, from 1.
	Route int    `json:"route"`
	Place string `json:"place,omitempty"`
	Taken bool   `json:"taken"`
	Why   string `json:"why"`
}

// Delivery is one receiver who is told.
type Delivery struct {
	Receiver string `json:"receiver"`
	// At is when at the earliest; zero for at once.
	At  time.Time `json:"at,omitzero"`
	Why string    `json:"why"`
}

// Result is where a walk ended, in the order of the receivers.
type Result struct {
	To    []Delivery `json:"to"`
	Steps []Step     `json:"steps"`
	// Fallback: no route took it, therefore everybody is told.
	Fallback bool `json:"fallback"`
}

// Walk goes through all routes: each that matches is taken. receivers are the names of all.
func Walk(routes []Route, receivers []string, m Matter, now time.Time) Result {
	var r Result
	found := map[string]Delivery{}
	add := func(name string, at time.Time, why string) {
		if !slices.Contains(receivers, name) {
			return // refused by the configuration; here it must not count as told
		}
		d, there := found[name]
		if !there || earlier(at, d.At) {
			found[name] = Delivery{name, at, why}
		}
	}
	for i := range routes {
		t := &routes[i]
		s := Step{Route: i + 1, Place: t.Place}
		if s.Why = t.When.misses(&m); s.Why != "" {
			r.Steps = append(r.Steps, s)
			continue
		}
		s.Taken, s.Why = true, t.When.String()
		why := fmt.Sprintf("route %d: %s", i+1, s.Why)
		var at time.Time
		if t.Window != nil && m.Level < policy.Page && !t.Window.Open(now) {
			at = t.Window.Next(now)
			put := fmt.Sprintf("; put off to %s, when the window %s opens", at.Format("2006-01-02 15:04 MST"), t.Window)
			s.Why += put
			why += put
		}
		for _, name := range t.To {
			add(name, at, why)
		}
		if m.Escalate {
			for _, name := range t.EscalateTo {
				add(name, time.Time{}, why+"; nobody has acknowledged it")
			}
		}
		r.Steps = append(r.Steps, s)
	}
	if len(found) == 0 {
		why := "there are no routes: all receivers are told"
		if r.Fallback = len(routes) > 0; r.Fallback {
			why = "no route takes it: all receivers are told, rather than nobody"
		}
		for _, name := range receivers {
			add(name, time.Time{}, why)
		}
	}
	for _, name := range receivers {
		if d, ok := found[name]; ok && !slices.ContainsFunc(r.To, func(have Delivery) bool { return have.Receiver == name }) {
			r.To = append(r.To, d)
		}
	}
	return r
}

func earlier(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.Before(b))
}

// misses says why a matter does not match, or "".
func (w *When) misses(m *Matter) string {
	switch {
	case w.AtLeast != policy.None && m.Level < w.AtLeast:
		return fmt.Sprintf("takes %s and above, this is %s", w.AtLeast, m.Level)
	case w.AtMost != policy.None && m.Level > w.AtMost:
		return fmt.Sprintf("takes up to %s, this is %s", w.AtMost, m.Level)
	case w.Owner != "" && !slices.Contains(m.Owners, w.Owner):
		return fmt.Sprintf("takes what owner %q answers for", w.Owner)
	case w.Watch != "" && !slices.Contains(m.Watches, w.Watch):
		return fmt.Sprintf("takes what touches watch %q", w.Watch)
	}
	return ""
}

func (w *When) String() string {
	text := ""
	add := func(format string, args ...any) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf(format, args...)
	}
	if w.AtLeast != policy.None {
		add("%s and above", w.AtLeast)
	}
	if w.AtMost != policy.None {
		add("up to %s", w.AtMost)
	}
	if w.Owner != "" {
		add("owner %q", w.Owner)
	}
	if w.Watch != "" {
		add("watch %q", w.Watch)
	}
	if text == "" {
		return "takes everything"
	}
	return text
}
