// Package coverage says what was seen of the logs and what was not: the grade of each log, whether the whole is blind,
// and for any span of time the statement "every entry of these logs was read and verified, except …".
//
// All of it is a pure function of [Log] values and a time: no clock, no store, no network. What the statement claims,
// and on what it rests, stands in docs/coverage.md.
//
// It promises: no doubt is decided in our favour. Where a time is not known, where two clocks disagree, where a log may
// still merge what it promised, the entries concerned count as not covered. It trusts nobody beyond one point, which it
// names: a log that breaks its maximum merge delay, or dates an entry falsely, can have entries outside of the span to
// which the statement assigns them. They are read all the same.
package coverage

import (
	"fmt"
	"time"
)

// Grade of a log. The values are stable: they stand in JSON.
type Grade string

// The grades, from best to worst.
const (
	Closed    Grade = "closed"    // read to its proven last head: nothing more can come
	Live      Grade = "live"      // verified to its newest head
	Lagging   Grade = "lagging"   // behind, and catching up
	Uncovered Grade = "uncovered" // ranges are owed and are not getting fewer
	Blind     Grade = "blind"     // no progress within its patience
)

// rank orders grades from 0 (best).
func (g Grade) rank() int {
	for i, o := range []Grade{Closed, Live, Lagging, Uncovered, Blind} {
		if g == o {
			return i
		}
	}
	return 0
}

// Worse reports whether g is worse than o.
func (g Grade) Worse(o Grade) bool { return g.rank() > o.rank() }

// Range is a range of entries: From inside, To outside.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Why is set for ranges that are owed.
	Why string `json:"why,omitempty"`
}

// Len is the number of entries.
func (r Range) Len() uint64 {
	if r.To < r.From {
		return 0
	}
	return r.To - r.From
}

// Mark is a verified head in time: the log's own timestamp and our clock when it came, in order. A log that dates its
// heads into the future, or a clock of ours that is wrong, makes the two differ; each claim uses the one that makes it
// smaller.
type Mark struct {
	Size uint64
	// All entries below Size were in the tree at Early, and none of them has a timestamp later than Late.
	Early, Late time.Time
}

// NewMark makes a mark of a head. Received may be zero when not known.
func NewMark(size uint64, timestamp, received time.Time) Mark {
	m := Mark{Size: size, Early: timestamp.UTC(), Late: timestamp.UTC()}
	if !received.IsZero() && received.Before(timestamp) {
		m.Early = received.UTC()
	} else if received.After(timestamp) {
		m.Late = received.UTC()
	}
	return m
}

// Log is what is known of one log. The zero value is a log of which nothing is known.
type Log struct {
	Name, ID, Operator string
	// MMD is the maximum merge delay; 0 when the list does not say, which counts as a day.
	MMD time.Duration
	// Patience is how long it may show nothing new before it is blind; 0 for [PatienceFor].
	Patience time.Duration
	// Begun is set when a start was chosen. Start is the index of the first entry read.
	Begun bool
	Start uint64
	// Since is such that every entry with this timestamp or a later one has index Start or a higher one. Zero when not
	// known. Not needed when Start is 0.
	Since time.Time
	// Head is the size of the newest head seen, HeadTime its timestamp, HeadAt when we received it last.
	Head     uint64
	HeadTime time.Time
	HeadAt   time.Time
	// Position is the index of the next entry to read, Verified the size of the newest verified head and VerifiedAs that
	// head's mark.
	Position, Verified uint64
	VerifiedAs         Mark
	// Marks are further verified heads, by size, as far as they are kept. They place gaps in time.
	Marks []Mark
	// Gaps are ranges below Position that are owed, by From, without overlap.
	Gaps []Range
	// Rate and Growth are entries per second, CatchUp is the time to the newest head at that rate; negative: never.
	Rate, Growth float64
	CatchUp      time.Duration
	// Outgrows is the verdict of a [Pace].
	Outgrows bool
	// Faulty: what the log served last contradicts what it signed.
	Faulty bool
	// Progress is when we last saw something new of the log and could vouch for it: see [Vigil]. Watched is since when we
	// look; no log is blind before its patience has passed since then.
	Progress, Watched time.Time
	// Closed: the log ended and was read to its proven last head.
	Closed bool
	// Trouble is why there is no progress, for people; may be empty.
	Trouble string
}

// unknownMMD is the merge delay assumed where a list gives none: that of RFC 6962 logs.
const unknownMMD = 24 * time.Hour

func (l *Log) mmd() time.Duration {
	if l.MMD <= 0 {
		return unknownMMD
	}
	return l.MMD
}

// Patience is how long a log may show nothing new before it counts as blind, at least: outages of minutes are an everyday
// matter, and a log that cannot be read for an hour is not seen.
const Patience = time.Hour

// PatienceFor is the patience with a log of that maximum merge delay (0: not known): the 24th part of it, an hour for the
// logs of RFC 6962, and never less than [Patience]. A log that may take a week to merge hides for as long what it was
// given; that it cannot be read for some hours tells less there.
func PatienceFor(mmd time.Duration) time.Duration {
	if mmd <= 0 {
		mmd = unknownMMD
	}
	return max(Patience, mmd/24)
}

func (l *Log) patience() time.Duration {
	if l.Patience > 0 {
		return l.Patience
	}
	return PatienceFor(l.MMD)
}

// Stale reports whether the newest head is older than the log promises: it must sign a new one at least once per
// maximum merge delay, also when nothing was added (RFC 6962 section 3).
func (l *Log) Stale(now time.Time) bool {
	return l.Head > 0 && !l.Closed && now.Sub(l.HeadTime) > l.mmd()+l.patience()
}

// Vigil notes when a log last showed progress: entries were read towards a signed head, or the newest head, asked for
// again, is verified and is not stale. A log that serves what it cannot prove makes none. The zero value is ready.
type Vigil struct {
	verified, high uint64
	headAt, at     time.Time
}

// Note takes what is known of the log now and returns when the last progress was; zero for none so far.
func (v *Vigil) Note(l *Log, now time.Time) time.Time {
	current := l.Begun && l.HeadAt.After(v.headAt) && l.Verified >= l.Head && !l.Stale(now)
	if l.Verified > v.verified || l.Position > v.high && !l.Faulty && l.Begun || current {
		v.at = now
	}
	// A range that is read again, after a fault, is no progress.
	v.verified, v.high, v.headAt = max(v.verified, l.Verified), max(v.high, l.Position), l.HeadAt
	return v.at
}

// Assessment is the grade of a log, with its reasons.
type Assessment struct {
	Grade Grade
	// Why is one sentence without the name of the log.
	Why string
	// Owed is the number of entries not read, in OwedIn; Unverified the number read whose root is not yet verified.
	Owed, Unverified uint64
	OwedIn           []Range
	// Read are the ranges that were read and verified.
	Read []Range
}

// Assess grades a log.
func Assess(l *Log, now time.Time) Assessment {
	var a Assessment
	a.OwedIn = append(a.OwedIn, l.Gaps...)
	if l.Head > l.Position {
		a.OwedIn = append(a.OwedIn, Range{From: l.Position, To: l.Head, Why: "not read yet"})
	}
	for _, r := range a.OwedIn {
		a.Owed += r.Len()
	}
	if l.Position > l.Verified {
		a.Unverified = l.Position - l.Verified
		for _, g := range l.Gaps {
			a.Unverified -= min(a.Unverified, Range{From: max(g.From, l.Verified), To: min(g.To, l.Position)}.Len())
		}
	}
	if l.Begun {
		a.Read = without(Range{From: l.Start, To: l.Verified}, l.Gaps)
	}
	a.Grade, a.Why = grade(l, &a, now)
	return a
}

func grade(l *Log, a *Assessment, now time.Time) (Grade, string) {
	last := l.Progress
	if last.Before(l.Watched) {
		last = l.Watched
	}
	gaps := uint64(0)
	for _, g := range l.Gaps {
		gaps += g.Len()
	}
	switch {
	case l.Closed && gaps == 0:
		return Closed, "the log has ended and was read to its last head"
	case now.Sub(last) > l.patience() && !l.Closed:
		why := "nothing new could be verified since " + stamp(last)
		if l.Stale(now) && l.Verified >= l.Head {
			why = "its newest head is of " + stamp(l.HeadTime)
		}
		if l.Trouble != "" {
			why += ": " + l.Trouble
		}
		return Blind, why
	case gaps > 0:
		return Uncovered, fmt.Sprintf("%d entries are owed that the log does not give", gaps)
	case l.Outgrows && a.Owed > 0:
		return Uncovered, fmt.Sprintf("it grows by %.0f/s and may be read at %.0f/s: %d entries are owed, more every day", l.Growth, l.Rate, a.Owed)
	case !l.Begun || l.Head == 0 && l.HeadAt.IsZero():
		return Lagging, "no head was seen yet"
	case a.Owed > 0 || a.Unverified > 0 || l.Verified < l.Head:
		return Lagging, fmt.Sprintf("%d entries are owed, %s", a.Owed, catchUp(l, a.Owed))
	}
	return Live, "verified to its newest head"
}

func catchUp(l *Log, owed uint64) string {
	switch {
	case owed == 0:
		return "the root is being verified"
	case l.CatchUp < 0:
		return "and at the present rate they get no fewer"
	case l.CatchUp == 0:
		return "time to catch up not known yet"
	}
	return "caught up in " + l.CatchUp.Round(time.Second).String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// without is r less the holes, which are in order.
func without(r Range, holes []Range) []Range {
	var out []Range
	at := r.From
	for _, h := range holes {
		if h.To <= at || h.From >= r.To {
			continue
		}
		if h.From > at {
			out = append(out, Range{From: at, To: h.From})
		}
		at = h.To
	}
	if at < r.To {
		out = append(out, Range{From: at, To: r.To})
	}
	return out
}
