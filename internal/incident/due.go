package incident

import (
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// unmute makes what was muted pending when no silence covers it any more.
func (s *step) unmute() {
	if s.MutedTotal == 0 || muted(s.env.Silences, &s.MutedSubject, s.env.Now) != nil {
		return
	}
	more := s.MutedTotal - len(s.Muted)
	for _, p := range s.Muted {
		p.Due = later(s.env.Now, p.Hold)
		s.pend(p)
	}
	if more > 0 {
		s.Folded += more
		s.FoldedDue, s.FoldedLevel = s.env.Now, max(s.FoldedLevel, s.MutedSubject.Level)
	}
	s.Muted, s.MutedTotal, s.MutedSubject = nil, 0, Subject{}
	if s.Status != Notified && s.Status != Grouped {
		s.to(New)
	}
}

// nextTold is when something is to be told next.
func (s *State) nextTold() (at time.Time, ok bool) {
	if s.Folded > 0 {
		at, ok = s.FoldedDue, true
	}
	for _, p := range s.Pending {
		if !ok || p.Due.Before(at) {
			at, ok = p.Due, true
		}
	}
	return at, ok
}

// tell makes a message of all that is pending when the time has come for any of it.
func (s *step) tell() {
	now := s.env.Now
	if at, ok := s.nextTold(); !ok || at.After(now) || s.effect.Notify != nil {
		return
	}
	if m := muted(s.env.Silences, &s.Subject, now); m != nil {
		// A silence was made since, over all of this.
		s.hush(Muted, m, &s.Subject)
		extra := s.Folded
		for _, p := range s.Pending {
			s.mute(p, &s.Subject)
		}
		if extra > 0 {
			s.MutedTotal += extra
			s.MutedSubject.join(&s.Subject)
		}
		s.Pending, s.Folded = nil, 0
		if s.Status == New {
			s.to(Silenced)
		}
		return
	}
	n := Notification{Total: s.Folded}
	if s.Folded > 0 {
		n.Level = s.FoldedLevel
	}
	raised, item := false, false
	var held []Pending
	for _, p := range slices.Backward(s.Pending) {
		if p.Hold.After(now) {
			held = append(held, p)
			continue
		}
		n.Total++
		if len(n.Issuances) < maxTold {
			n.Issuances = append(n.Issuances, p.Issuance)
		}
		n.Level = max(n.Level, p.Level)
		raised, item = raised || p.Raised, item || p.Item
	}
	slices.Reverse(held)
	s.Pending, s.Folded, s.FoldedDue, s.FoldedLevel = held, 0, time.Time{}, policy.None
	count := "a further certificate"
	if n.Total > 1 {
		count = fmt.Sprintf("%d further certificates", n.Total)
	}
	switch {
	case s.Rung == 0:
		n.Change, n.Reason = Opened, "a surprise"
		if n.Total > 1 {
			n.Reason = fmt.Sprintf("a surprise: %d certificates", n.Total)
		}
	case s.Reopened:
		n.Change, n.Reason = Reopened, count+" after it was put aside"
	case raised:
		n.Change, n.Reason = Raised, "what was learned since makes it worse"
	default:
		n.Change, n.Reason = Grew, count
		if item {
			n.Reason += ", touching what was not touched before"
		}
	}
	s.Reopened = false
	s.Rung++
	s.LastRung, s.Since = now, now
	if s.Status != New && s.Status != Notified && s.Status != Grouped {
		s.to(New)
	}
	if s.Status == New {
		if s.Parent != "" {
			s.to(Grouped)
		} else {
			s.to(Notified)
		}
	}
	s.notify(n)
}

// reminder is when it is told again though nothing has changed, zero for never.
func (s *step) reminder() time.Time {
	every := s.env.Config.Repeat
	if s.Level >= policy.Page {
		every = s.env.Config.Escalate
	}
	if s.Status != Notified || every <= 0 {
		return time.Time{}
	}
	return s.Since.Add(every)
}

// remind tells again what nobody has acknowledged; a page goes to further people.
func (s *step) remind() {
	now := s.env.Now
	at := s.reminder()
	if at.IsZero() || at.After(now) || s.effect.Notify != nil {
		return
	}
	s.Since = now
	if m := muted(s.env.Silences, &s.Subject, now); m != nil {
		s.hush(Reminding, m, &s.Subject)
		return
	}
	since := now.Sub(s.Opened).Round(time.Second)
	n := Notification{Change: Reminder, Level: s.Level, Reason: fmt.Sprintf("nobody has acknowledged it for %s", since)}
	if s.Level >= policy.Page {
		n.Change, n.Escalate = Escalated, true
	}
	s.notify(n)
}

// due is when the next tick is needed.
func (s *step) due() (due time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if at, ok := s.nextTold(); ok {
		sooner(later(at, time.UnixMilli(1)))
	}
	sooner(s.reminder())
	if s.MutedTotal > 0 {
		if m := muted(s.env.Silences, &s.MutedSubject, s.env.Now); m != nil {
			sooner(m.End)
		}
	}
	return due
}
