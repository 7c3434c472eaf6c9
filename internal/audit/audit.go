// Package audit decides about the promises of logs. An SCT promises that a leaf is in the log within its maximum merge
// delay (MMD): when is the log asked for it, what does an answer mean, and when is the log accused?
//
// It is pure: no clock, no network, no store. [Promises] finds the promises in a certificate; [Rules.Begin] and
// [Rules.Step] move one promise through its life:
//
//	waiting ─▶ overdue ─▶ proven
//	   │          └─▶ reported ─▶ proven (late)
//	   └─▶ unaudited (nobody can be asked)          invalid (no promise at all)
//
// It promises: no verdict before the delay has passed, by the log's own clock as its signed head shows it; no
// accusation for want of an answer, nor on one answer alone; one accusation for one promise, and a word when it was
// kept after all. A log cannot escape by standing still: one that answers, and for long shows no head from after the
// delay, is accused of that, and of no more than that.
package audit

import (
	"fmt"
	"time"
)

// State of a promise; stable, for JSON and the store.
type State string

// The states.
const (
	// Waiting: the delay has not passed; nobody is asked.
	Waiting State = "waiting"
	// Overdue: the delay has passed, and inclusion is not proven: not asked yet, not answered, or denied too few times.
	Overdue State = "overdue"
	// Reported: the log was accused. It is still asked now and then.
	Reported State = "reported"
	// Proven: the leaf is in the log.
	Proven State = "proven"
	// Unaudited: nobody can be asked, as when the log is not followed. No accusation.
	Unaudited State = "unaudited"
	// Invalid: the log has not signed it, so there is no promise.
	Invalid State = "invalid"
)

// States lists all of them.
var States = []State{Waiting, Overdue, Reported, Proven, Unaudited, Invalid}

// Progress is how far a promise was audited, in a form that can be stored (JSON).
type Progress struct {
	State State `json:"state"`
	// Next is when to look at it again; zero for never.
	Next time.Time `json:"next,omitzero"`
	// Since is when the log first denied, and Denials how often it did: answers that the leaf is absent, or proofs that
	// prove nothing.
	Since   time.Time `json:"since,omitzero"`
	Denials int       `json:"denials,omitempty"`
	// Frozen says that the denials were under a head from before the promise was due, since the log showed no later one.
	Frozen bool `json:"frozen,omitempty"`
	// Failures counts requests without any answer since the last answer.
	Failures int `json:"failures,omitempty"`
	// Index is where the leaf was proven to be.
	Index *uint64 `json:"index,omitempty"`
	// Late is set when it was proven only after the report.
	Late bool `json:"late,omitempty"`
	// Note says in one sentence how it stands.
	Note string `json:"note,omitempty"`
}

// Kind of an [Answer].
type Kind uint8

// The kinds of answers.
const (
	// Included: the leaf is proven to be in a verified tree.
	Included Kind = iota + 1
	// Absent: the log says, or its tree proves, that the leaf is not in it.
	Absent
	// Unproven: the log gave a proof that proves nothing.
	Unproven
	// NoAnswer: the log was asked and gave no answer.
	NoAnswer
	// NoHead: there is no verified head yet that is late enough for a verdict.
	NoHead
	// NotFollowed: the log is not one that is read.
	NotFollowed
	// NoIndex: a static log cannot be asked, since its SCT names no index.
	NoIndex
)

// Answer is what came of looking for a promise.
type Answer struct {
	Kind Kind
	// Index is that of an Included leaf.
	Index uint64
	// HeadTime is the timestamp of the signed head that the answer is about, and Served when the log gave it last, by our
	// clock; zero when not known. For Absent and Unproven.
	HeadTime, Served time.Time
	// MMD is that of the log; 0 for [DefaultMMD].
	MMD time.Duration
	// Text is what was said; for Absent, Unproven, NoAnswer and NotFollowed.
	Text string
}

// Event is what the world is to be told after a step.
type Event uint8

// The events.
const (
	Nothing Event = iota
	// Accuse: report the log.
	Accuse
	// Kept: the promise was kept after all, after an accusation.
	Kept
)

// Rules are the times of an audit. The zero value means the defaults.
type Rules struct {
	// Slack is added to the MMD before anybody asks; default 10 min.
	Slack time.Duration
	// Again is the time between two questions after a denial; default 30 min.
	Again time.Duration
	// Retry is the first time between two questions without an answer, doubled up to 6 h; default 1 min.
	Retry time.Duration
	// A log is accused after so many Denials (default 4) over so much Patience (default 2 h); when none of the proofs it
	// gives proves anything, after ten times the patience; when it shows no head from after the promise was due, after
	// its maximum merge delay once more, at least the patience.
	Denials  int
	Patience time.Duration
	// Recheck is the time between two looks at a promise that was reported, or that nobody can be asked about; default
	// 24 h.
	Recheck time.Duration
	// PerHour is how many questions one log is asked in an hour; default 60.
	PerHour int
	// Tick is how often the queue is looked at; default 1 min.
	Tick time.Duration
}

// DefaultMMD is taken for a log whose list gives no maximum merge delay.
const DefaultMMD = 24 * time.Hour

// maxRetry bounds the doubling of Retry.
const maxRetry = 6 * time.Hour

// WithDefaults fills in what is zero.
func (r Rules) WithDefaults() Rules {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&r.Slack, 10*time.Minute)
	set(&r.Again, 30*time.Minute)
	set(&r.Retry, time.Minute)
	set(&r.Patience, 2*time.Hour)
	set(&r.Recheck, 24*time.Hour)
	set(&r.Tick, time.Minute)
	if r.Denials <= 0 {
		r.Denials = 4
	}
	if r.PerHour <= 0 {
		r.PerHour = 60
	}
	return r
}

// For are the rules of somebody who is patient for as long with a log that denies; 0 for the default. All other times
// follow in proportion where they are shorter than by default.
func For(patience time.Duration) Rules {
	r := Rules{Patience: patience}.WithDefaults()
	if patience > 0 {
		r.Slack, r.Again = min(r.Slack, patience/12), min(r.Again, patience/4)
		r.Retry, r.Tick = min(r.Retry, patience/120), min(r.Tick, patience/120)
		r.Recheck = min(r.Recheck, 12*patience)
	}
	return r
}

// Due is when the promise of an SCT with this time must be kept: at its time plus the MMD (0: [DefaultMMD]).
func Due(at time.Time, mmd time.Duration) time.Time {
	if mmd <= 0 {
		mmd = DefaultMMD
	}
	return at.Add(mmd)
}

// Begin is the progress of a promise that must be kept at the time due.
func (r Rules) Begin(due time.Time) Progress {
	return Progress{State: Waiting, Next: due.Add(r.WithDefaults().Slack)}
}

// Step is what becomes of a promise, due at the given time, after an answer. An answer of the log that comes too early
// changes nothing but the time of the next look. One about a head from before the promise was due counts only while the
// log still gave that head after it was: see [Progress].Frozen.
func (r Rules) Step(p Progress, due time.Time, a Answer, now time.Time) (Progress, Event) {
	r = r.WithDefaults()
	was := p.State
	if a.Kind == Included {
		p.State, p.Next, p.Index, p.Late, p.Note = Proven, time.Time{}, &a.Index, was == Reported, ""
		p.Failures = 0
		if p.Late {
			return p, Kept
		}
		return p, Nothing
	}
	if was == Proven || was == Invalid {
		return p, Nothing
	}
	if a.Kind == NotFollowed || a.Kind == NoIndex {
		p.Next, p.Note = now.Add(r.Recheck), a.Text
		if was != Reported {
			p.State = Unaudited
			if a.Kind == NoIndex {
				p.Next = time.Time{} // it will never name one
			}
		}
		return p, Nothing
	}
	if early := due.Add(r.Slack); now.Before(early) {
		p.State, p.Next = Waiting, early
		return p, Nothing
	}
	if a.early(due) && (a.Served.Before(due.Add(r.Slack)) || a.Served.Before(now.Add(-r.Again))) {
		a.Kind = NoHead // or no answer: that it gave that head once is no reason
	}
	if was != Reported {
		p.State = Overdue
	}
	switch a.Kind {
	case Absent, Unproven:
		return r.denied(p, due, a, now)
	case NoAnswer:
		p.Next = now.Add(min(r.Retry<<min(p.Failures, 20), maxRetry))
		p.Failures++
		p.Note = "no answer: " + a.Text
	case NoHead:
		p.Next = now.Add(r.Again)
		p.Note = "the log has not signed a head since " + due.UTC().Format(time.RFC3339) + " that was verified"
	}
	return p, Nothing
}

// early: it denies under a head from before the promise was due.
func (a *Answer) early(due time.Time) bool {
	return (a.Kind == Absent || a.Kind == Unproven) && a.HeadTime.Before(due)
}

func (r Rules) denied(p Progress, due time.Time, a Answer, now time.Time) (Progress, Event) {
	p.Failures = 0
	if frozen := a.early(due); frozen != p.Frozen && p.State != Reported { // another accusation: it is begun anew
		p.Frozen, p.Denials, p.Since = frozen, 0, time.Time{}
	}
	p.Denials++
	if p.Since.IsZero() {
		p.Since = now
	}
	p.Note = fmt.Sprintf("denied %d times since %s: %s", p.Denials, p.Since.UTC().Format(time.RFC3339), a.Text)
	if p.State == Reported {
		p.Next = now.Add(r.Recheck)
		return p, Nothing
	}
	patience := r.Patience
	switch {
	case p.Frozen:
		patience = max(patience, Due(time.Time{}, a.MMD).Sub(time.Time{}))
	case a.Kind == Unproven:
		patience *= 10
	}
	if p.Denials >= r.Denials && now.Sub(p.Since) >= patience {
		p.State, p.Next = Reported, now.Add(r.Recheck)
		return p, Accuse
	}
	p.Next = now.Add(r.Again)
	return p, Nothing
}
