package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// step is one [Step] while it is taken.
type step struct {
	State
	env    Env
	effect Effect
}

// Step takes an incident from one event to the next. s is not changed.
func Step(s State, e Event, env Env) (State, Effect) {
	st := step{State: s.clone(), env: env}
	switch e := e.(type) {
	case Seen:
		st.seen(&e)
	case Ack:
		st.ack(&e)
	case Resolve:
		st.resolve(&e)
	case Join:
		st.join(e.Parent)
	case Leave:
		st.leave()
	case Tick:
	}
	if st.Status == None {
		return s, st.effect
	}
	st.unmute()
	st.tell()
	st.remind()
	st.Due = st.due()
	return st.State, st.effect
}

func (s *step) to(status Status) {
	if s.Status == status {
		return
	}
	s.effect.Moves = append(s.effect.Moves, Move{s.Status, status})
	s.Status = status
	s.Updated = s.env.Now
}

// hush counts what is under a silence.
func (s *step) hush(why Why, m *Silence, sub *Subject) {
	s.suppress(why, fmt.Sprintf("silence %s by %s until %s: %s", m.ID, m.By, m.End.UTC().Format("2006-01-02 15:04Z"), m.Reason), sub)
	s.effect.Suppressed.Silence = m.ID
}

func (s *step) suppress(why Why, text string, sub *Subject) {
	if s.Suppressed == nil {
		s.Suppressed = map[Why]int{}
	}
	s.Suppressed[why]++
	s.effect.Suppressed = &Suppressed{Why: why, Text: text, Rules: sub.Rules, Address: sub.Address}
	if why == Muted && sub.Address {
		s.AddressesMuted++
	}
}

// notify makes the next message.
func (s *step) notify(n Notification) {
	s.Sequence++
	n.Sequence = s.Sequence
	s.Updated = s.env.Now
	s.effect.Notify = &n
}

// seen takes a verdict in.
func (s *step) seen(e *Seen) {
	now := s.env.Now
	was := e.Was
	if was == nil && !rings(e.Level) {
		return // nothing of ours
	}
	member := Member{Level: e.Level, Fingerprint: e.Fingerprint, At: now}
	before := policy.None
	if was != nil {
		member.At, member.Why, before = was.At, was.Why, was.Level
	}
	defer func() { s.effect.Member = &member }()
	if was == nil {
		s.Certificates++
		s.Updated = now
	}
	if s.Title == "" {
		s.Title, s.Drill = strings.ToValidUTF8(e.Title[:min(len(e.Title), 2*maxValue)], ""), e.Drill
	}
	s.Drill = s.Drill && e.Drill
	s.count(before, e.Level)

	switch {
	case was != nil && e.Level < before:
		s.lowered(e, was)
		return
	case was != nil && e.Level == before:
		if rings(e.Level) {
			s.suppress(Sighting, "the same certificate was seen or decided again, and is no worse", &e.Subject)
		}
		return
	}
	item := s.Subject.touchesNew(&e.Subject)
	s.Subject.join(&e.Subject)
	if was != nil {
		s.forget(e.Issuance, was)
	}
	member.At = now
	member.Why = s.arrive(e, was != nil && rings(before), item)
}

// count takes the change of a certificate's level into the incident's.
func (s *step) count(before, after policy.Level) {
	s.Ringing += btoi(rings(after)) - btoi(rings(before))
	s.Pages += btoi(after >= policy.Page) - btoi(before >= policy.Page)
	switch {
	case s.Pages > 0:
		s.Level = policy.Page
	case s.Ringing > 0:
		s.Level = policy.Alarm
	}
}

// arrive decides about what is new or has become worse, and says why it is not to be told, or "".
func (s *step) arrive(e *Seen, raised, item bool) Why {
	now := s.env.Now
	if s.Status == Archived && !raised && e.Known {
		s.suppress(Same, fmt.Sprintf("%s acknowledged it until it is different, and issuing key, key and names are the same", s.By), &e.Subject)
		return Same
	}
	p := Pending{Issuance: e.Issuance, Level: e.Level, Hold: e.Hold, Raised: raised, Item: item}
	if m := muted(s.env.Silences, &e.Subject, now); m != nil {
		s.hush(Muted, m, &e.Subject)
		s.mute(p, &e.Subject)
		if s.Status == None || s.Status.Closed() {
			s.Reopened = s.Status.Closed()
			s.to(Silenced)
		}
		return Muted
	}
	switch {
	case s.Parent != "" && !item && !s.Status.Closed():
		s.suppress(Beneath, "the incident "+s.Parent+" of the CA tells it", &e.Subject)
		return Beneath
	case s.Kind == OfCA && e.Elsewhere && s.Status != None && !s.Status.Closed():
		s.suppress(Elsewhere, "the incident of its owner tells it", &e.Subject)
		return Elsewhere
	}
	p.Due = now
	if e.Level < policy.Page {
		p.Due = now.Add(s.env.Config.Wait)
		// What touches a new item, or has become worse, does not wait for the next message of the group.
		if next := s.LastRung.Add(s.env.Config.Regroup); !(item && s.Kind == OfOwner) && !raised && s.Rung > 0 && next.After(p.Due) {
			p.Due = next
		}
		p.Due = later(p.Due, p.Hold)
	} else {
		p.Hold = time.Time{}
	}
	s.pend(p)
	if s.Status == Archived || s.Status.Closed() {
		s.Reopened = true
	}
	if s.Status != Notified && s.Status != Grouped {
		s.to(New)
	}
	return ""
}

// pend adds to what is to be told. When that is too much, the oldest is only counted.
func (s *step) pend(p Pending) {
	if len(s.Pending) >= maxPending {
		i := slices.IndexFunc(s.Pending, func(p Pending) bool { return !p.Hold.After(s.env.Now) })
		old := s.Pending[max(i, 0)]
		if i < 0 { // all are held back: this one is told now, rather than never
			old.Due = s.env.Now
			i = 0
		}
		if s.Folded == 0 || old.Due.Before(s.FoldedDue) {
			s.FoldedDue = old.Due
		}
		s.Folded++
		s.FoldedLevel = max(s.FoldedLevel, old.Level)
		s.Pending = slices.Delete(s.Pending, i, i+1)
	}
	s.Pending = append(s.Pending, p)
}

// mute adds to what is told when the silence ends.
func (s *step) mute(p Pending, sub *Subject) {
	if len(s.Muted) >= maxMuted {
		s.Muted = slices.Delete(s.Muted, 0, 1)
	}
	s.Muted = append(s.Muted, p)
	s.MutedTotal++
	s.MutedSubject.join(sub)
}

// place is where a certificate of an incident stands.
type place int

const (
	told place = iota
	pending
	mutedNow
	aside // another incident tells it, or nobody need
)

// forget takes a certificate out of what is to be told, and says where it stood.
func (s *step) forget(issuance string, was *Member) place {
	is := func(p Pending) bool { return p.Issuance == issuance }
	if i := slices.IndexFunc(s.Pending, is); i >= 0 {
		s.Pending = slices.Delete(s.Pending, i, i+1)
		return pending
	}
	i := slices.IndexFunc(s.Muted, is)
	if i >= 0 {
		s.Muted = slices.Delete(s.Muted, i, i+1)
	}
	if i >= 0 || was.Why == Muted && s.MutedTotal > len(s.Muted) {
		if s.MutedTotal--; s.MutedTotal == 0 {
			s.MutedSubject = Subject{}
		}
		return mutedNow
	}
	switch {
	case (was.Why == "" || was.Why == Muted) && s.Folded > 0 && s.LastRung.Before(was.At):
		s.Folded--
		return pending
	case was.Why != "" && was.Why != Muted || s.Rung == 0:
		return aside
	}
	return told
}

// lowered is a verdict that has become better: what explains it came late.
func (s *step) lowered(e *Seen, was *Member) {
	at := told
	if !rings(e.Level) && rings(was.Level) {
		if at = s.forget(e.Issuance, was); at == pending {
			s.suppress(Cured, "what came late explains it before it was told", &e.Subject)
		}
	}
	all := s.Ringing == 0
	if all && !s.Status.Closed() {
		s.Pending, s.Folded, s.Muted, s.MutedTotal, s.MutedSubject = nil, 0, nil, 0, Subject{}
		s.to(Explained)
	}
	if at != told || s.Rung == 0 || s.Status == Resolved || !rings(was.Level) {
		return
	}
	reason := fmt.Sprintf("a certificate is %s now, it was %s: what came late explains it", e.Level, was.Level)
	switch {
	case all:
		reason += "; nothing of this incident is a surprise any more"
	case s.Ringing == 1:
		reason += "; 1 certificate of this incident is a surprise still"
	default:
		reason += fmt.Sprintf("; %d certificates of this incident are surprises still", s.Ringing)
	}
	s.notify(Notification{Change: Note, Level: s.Level, Reason: reason, Issuances: []string{e.Issuance}, Total: 1})
}

func (s *step) ack(e *Ack) {
	if s.Status == None || s.Status.Closed() {
		return
	}
	status, reason := Acknowledged, "acknowledged by "+e.By
	if e.UntilDifferent {
		status, reason = Archived, reason+" until a certificate is different"
	}
	if s.Status == status && s.By == e.By && s.Comment == e.Comment {
		return
	}
	s.By, s.Comment, s.At, s.Updated = e.By, e.Comment, s.env.Now, s.env.Now
	s.Muted, s.MutedTotal, s.MutedSubject = nil, 0, Subject{}
	s.to(status)
	s.notify(Notification{Change: Acked, Level: s.Level, Reason: reason})
}

func (s *step) resolve(e *Resolve) {
	if s.Status == None || s.Status == Resolved {
		return
	}
	s.By, s.Comment, s.At = e.By, e.Comment, s.env.Now
	if n := len(s.Pending) + s.Folded; n > 0 {
		s.suppress(Over, fmt.Sprintf("%s resolved the incident before %d of it were told", e.By, n), &s.Subject)
	}
	s.Pending, s.Folded, s.Muted, s.MutedTotal, s.MutedSubject, s.Reopened = nil, 0, nil, 0, Subject{}, false
	s.to(Resolved)
	if s.Sequence > 0 {
		s.notify(Notification{Change: Ended, Level: s.Level, Reason: "resolved by " + e.By})
	}
}

func (s *step) join(parent string) {
	if s.Status == None || s.Status.Closed() || s.Parent == parent {
		return
	}
	s.Parent, s.Updated = parent, s.env.Now
	if s.Status == Notified {
		s.to(Grouped)
	}
}

func (s *step) leave() {
	if s.Parent == "" {
		return
	}
	s.Parent, s.Updated = "", s.env.Now
	if s.Status == Grouped {
		s.to(Notified)
	}
}
