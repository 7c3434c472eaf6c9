package caa

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The DNSSEC status of an answer.
const (
	Secure   = "secure"   // the resolver validated it
	Insecure = "insecure" // the resolver validates, and the zone is not signed
	Bogus    = "bogus"    // the resolver validates, and it is forged or broken: nothing of it counts
	Unknown  = "unknown"  // the resolver is not known to validate
)

// Answer is what one look at one name found.
type Answer struct {
	// Known says that there is an answer; Set is then the records of the name itself, or of what it is an alias for.
	Known bool
	Set   Set
	// Via is the chain of aliases.
	Via []string
	// DNSSEC is the status. Claimed says that it came over a network on which anybody may have written it.
	DNSSEC  string
	Claimed bool
	// Why says why there is no answer.
	Why string
}

// Span is a time in which each look at a name found the same.
type Span struct {
	First, Last time.Time
	Answer
	// Joined says that the look before First was so near that nobody missed a change between them which lasted.
	Joined bool
}

// same says whether a look found what the span holds. Of failures only that they are some counts: their words change.
func (s *Span) same(a Answer) bool {
	if !s.Known || !a.Known {
		return s.Known == a.Known && s.DNSSEC == a.DNSSEC
	}
	return s.Set.Equal(a.Set) && s.DNSSEC == a.DNSSEC && s.Claimed == a.Claimed && slices.Equal(s.Via, a.Via)
}

// History is the spans of one name, oldest first. Spans in which it was known do not overlap; those of failures say why
// there is a gap, and may lie within one that was known when the failure was short.
type History []Span

// known returns the spans in which there was an answer.
func (h History) known() (out []*Span) {
	for i := range h {
		if h[i].Known {
			out = append(out, &h[i])
		}
	}
	return out
}

// Step is what a look adds to a history.
type Step struct {
	// Span is the newest one afterwards. Fresh says that it begins anew, else the newest of its kind has grown.
	Span  Span
	Fresh bool
	// Changed says that the records are not those of the last time that they were seen; Before is when, and what.
	Changed bool
	Before  Span
	// Again says that the same records were in force shortly before: somebody was told of them then.
	Again bool
}

// flap is for how long records that come back are no news: the servers of a zone do not change at the same moment.
const flap = 24 * time.Hour

// Next says what a look at a time adds to the history. Two looks further than gap from each other leave what was between
// them unknown. It is pure.
func Next(h History, a Answer, at time.Time, gap time.Duration) Step {
	st := Step{Span: Span{First: at, Last: at, Answer: a}, Fresh: true}
	var last *Span // of its kind
	for i := len(h) - 1; i >= 0 && last == nil; i-- {
		if h[i].Known == a.Known {
			last = &h[i]
		}
	}
	if last == nil {
		return st
	}
	if at.Before(last.Last) { // the clock was set back: nothing is known of the time in between
		at = last.Last
		st.Span.First, st.Span.Last = at, at
	}
	near := at.Sub(last.Last) <= gap
	if !a.Known {
		// A failure grows while nothing else was found after it.
		newest := !slices.ContainsFunc(h, func(s Span) bool { return s.Known && s.Last.After(last.Last) })
		if near && newest && last.same(a) {
			st.Span, st.Fresh = *last, false
			st.Span.Last = at
		}
		return st
	}
	if near && last.same(a) {
		st.Span, st.Fresh = *last, false
		st.Span.Last = at
		return st
	}
	st.Span.Joined = near
	if last.Set.Equal(a.Set) {
		return st
	}
	st.Changed, st.Before = true, *last
	for _, s := range h.known() {
		st.Again = st.Again || s.Set.Equal(a.Set) && at.Sub(s.Last) <= flap
	}
	return st
}

// Force is what was in force at one name at a time.
type Force struct {
	Answer
	// Since is when it was first seen, with nothing else in between. Seen is the look that showed it: at the time or
	// before it.
	Since, Seen time.Time
}

// At says what the records of the name were at a time, by a history of it alone (see [Relevant] for those above). It is
// known when looks before and after it found the same and were near each other, or when a look found it at most grace
// ago and none came since. It is pure.
func At(h History, name string, t time.Time, grace time.Duration) Force {
	known := h.known()
	// The last that began at t or before.
	i := len(known) - 1
	for i >= 0 && known[i].First.After(t) {
		i--
	}
	unknown := func(format string, args ...any) Force {
		why := name + ": " + fmt.Sprintf(format, args...)
		status := Unknown
		if f := h.failure(t); f != nil {
			why += ": " + f.Why
			if f.DNSSEC == Bogus {
				status = Bogus
			}
		}
		return Force{Answer: Answer{Why: why, DNSSEC: status}}
	}
	if i < 0 {
		if len(known) == 0 {
			return unknown("nobody has seen its records yet")
		}
		return unknown("its records were first seen at %s, after that time", stamp(known[0].First))
	}
	s := known[i]
	f := Force{Answer: s.Answer, Since: s.First, Seen: s.Last}
	if t.Before(s.Last) {
		f.Seen = t
	}
	for k := i; k > 0 && known[k].Joined && known[k-1].Set.Equal(s.Set); k-- {
		f.Since = known[k-1].First
	}
	if !t.After(s.Last) {
		return f
	}
	if i == len(known)-1 {
		if t.Sub(s.Last) <= grace {
			return f
		}
		return unknown("nobody has seen its records since %s", stamp(s.Last))
	}
	next := known[i+1]
	switch {
	case !next.Set.Equal(s.Set):
		return unknown("its records changed between %s and %s", stamp(s.Last), stamp(next.First))
	case !next.Joined:
		return unknown("nobody looked between %s and %s", stamp(s.Last), stamp(next.First))
	}
	if next.DNSSEC != s.DNSSEC || next.Claimed != s.Claimed { // somewhere between them
		f.DNSSEC, f.Claimed = weaker(s.DNSSEC, next.DNSSEC), s.Claimed || next.Claimed
	}
	return f
}

// failure is the last one that began at t or before and that no answer has followed by then, or nil.
func (h History) failure(t time.Time) (f *Span) {
	for i := range h {
		switch s := &h[i]; {
		case s.First.After(t):
		case !s.Known:
			if f == nil || !s.Last.Before(f.Last) {
				f = s
			}
		case f != nil && !s.Last.Before(f.Last) && !s.First.After(t) && s.Last.Before(t):
			f = nil
		}
	}
	return f
}

var strength = []string{Bogus, Unknown, Insecure, Secure}

// weaker is the one of two DNSSEC statuses that promises less.
func weaker(a, b string) string {
	return strength[max(0, min(slices.Index(strength, a), slices.Index(strength, b)))]
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// maxLabels bounds how far we climb: the names of reverse zones have 34.
const maxLabels = 40

// Climb returns the names at which records may stand for a name: itself and all above it, up to the top-level domain
// (RFC 8659 section 3). A wildcard begins at the name it stands under. ok is false for what DNS cannot hold.
func Climb(name string) (names []string, wildcard, ok bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	first, rest, dots := strings.Cut(name, ".")
	if strings.Contains(first, "*") {
		if !dots {
			return nil, true, false
		}
		name, wildcard = rest, true
	}
	if name == "" || len(name) > 253 || strings.Count(name, ".") >= maxLabels {
		return nil, wildcard, false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return nil, wildcard, false
		}
	}
	for {
		names = append(names, name)
		_, above, more := strings.Cut(name, ".")
		if !more {
			return names, wildcard, true
		}
		name = above
	}
}

// Histories are those of several names.
type Histories map[string]History

// Relevant says which records were relevant for a name at a time, and at which name they stood: its own, or those of the
// nearest name above it that has any. It is unknown when any name on the way was. Where there are none, zone is "". It is
// pure.
func Relevant(hs Histories, name string, t time.Time, grace time.Duration) (zone string, f Force) {
	at := func(n string) Force { return At(hs[n], n, t, grace) }
	return climb(name, at)
}

func climb(name string, at func(name string) Force) (zone string, f Force) {
	way, _, ok := Climb(name)
	if !ok {
		return "", Force{Answer: Answer{DNSSEC: Unknown, Why: "it is no name that DNS could hold"}}
	}
	status, claimed := Secure, false
	var since, seen time.Time
	for _, n := range way {
		f := at(n)
		if !f.Known {
			return "", f
		}
		// That the names below have none counts as much as what the one above has.
		status, claimed = weaker(status, f.DNSSEC), claimed || f.Claimed
		if f.Since.After(since) {
			since = f.Since
		}
		if seen.IsZero() || f.Seen.Before(seen) {
			seen = f.Seen
		}
		if len(f.Set) > 0 {
			f.DNSSEC, f.Claimed, f.Since, f.Seen = status, claimed, since, seen
			return n, f
		}
	}
	return "", Force{Answer: Answer{Known: true, Set: Set{}, DNSSEC: status, Claimed: claimed}, Since: since, Seen: seen}
}
