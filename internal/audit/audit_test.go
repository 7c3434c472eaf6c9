package audit_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/internal/audit"
)

var (
	day   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	due   = audit.Due(day, time.Hour)
	rules = audit.Rules{Slack: 10 * time.Minute, Again: 30 * time.Minute, Retry: time.Minute, Patience: 2 * time.Hour, Denials: 3, Recheck: 24 * time.Hour}
)

// walk gives the answers to a promise, each at the time at which it asks to be looked at, and returns the events.
func walk(t *testing.T, answers ...audit.Answer) (p audit.Progress, now time.Time, events []audit.Event) {
	t.Helper()
	p, now = rules.Begin(due), day
	for _, a := range answers {
		if p.Next.IsZero() {
			t.Fatalf("nothing is to be done any more in state %s", p.State)
		}
		now = p.Next
		if a.HeadTime.IsZero() {
			a.HeadTime = now
		}
		var e audit.Event
		p, e = rules.Step(p, due, a, now)
		events = append(events, e)
	}
	return p, now, events
}

func count(events []audit.Event, want audit.Event) (n int) {
	for _, e := range events {
		if e == want {
			n++
		}
	}
	return n
}

func repeat(n int, a audit.Answer) (out []audit.Answer) {
	for range n {
		out = append(out, a)
	}
	return out
}

var (
	absent   = audit.Answer{Kind: audit.Absent, Text: "no such leaf"}
	noAnswer = audit.Answer{Kind: audit.NoAnswer, Text: "status 503"}
	included = audit.Answer{Kind: audit.Included, Index: 7}
)

func TestNobodyIsAskedBeforeTheDelayHasPassed(t *testing.T) {
	p := rules.Begin(due)
	if p.State != audit.Waiting || !p.Next.Equal(day.Add(time.Hour+10*time.Minute)) {
		t.Fatalf("begins with %+v", p)
	}
	early := absent
	early.HeadTime = day
	p, e := rules.Step(p, due, early, day.Add(30*time.Minute))
	if p.State != audit.Waiting || p.Denials != 0 || e != audit.Nothing || !p.Next.Equal(day.Add(time.Hour+10*time.Minute)) {
		t.Errorf("a denial within the delay: %+v, event %d", p, e)
	}
}

func TestAHeadFromBeforeTheDelayHadPassedIsNoDenial(t *testing.T) {
	stale := absent
	stale.HeadTime = due.Add(-time.Millisecond)
	p, _, events := walk(t, repeat(50, stale)...)
	if p.State != audit.Overdue || p.Denials != 0 || count(events, audit.Accuse) != 0 {
		t.Errorf("%+v, events %v", p, events)
	}
}

func TestALogIsAskedAgainBeforeItIsAccused(t *testing.T) {
	p, _, events := walk(t, absent, absent, absent, absent)
	if p.State != audit.Overdue || count(events, audit.Accuse) != 0 {
		t.Fatalf("after four denials in 90 minutes: %+v, events %v", p, events)
	}
	p, now, events := walk(t, repeat(5, absent)...)
	if p.State != audit.Reported || count(events, audit.Accuse) != 1 || events[4] != audit.Accuse {
		t.Fatalf("after five denials in two hours: %+v, events %v", p, events)
	}
	if want := due.Add(10*time.Minute + 2*time.Hour); !now.Equal(want) {
		t.Errorf("accused at %s, want %s", now, want)
	}
}

func TestAnAnswerInBetweenOrNoneDoesNotAccuse(t *testing.T) {
	p, _, events := walk(t, absent, absent, included)
	if p.State != audit.Proven || p.Late || *p.Index != 7 || count(events, audit.Accuse)+count(events, audit.Kept) != 0 {
		t.Errorf("merged before the patience ended: %+v, events %v", p, events)
	}
	p, _, events = walk(t, repeat(500, noAnswer)...)
	if p.State != audit.Overdue || count(events, audit.Accuse) != 0 {
		t.Errorf("never an answer: %+v", p)
	}
	// Denials are counted across times without an answer.
	_, _, events = walk(t, absent, noAnswer, absent, noAnswer, noAnswer, absent, absent, absent, absent)
	if count(events, audit.Accuse) != 1 {
		t.Errorf("denials with outages between: events %v", events)
	}
}

func TestQuestionsWithoutAnswerBackOff(t *testing.T) {
	p := rules.Begin(due)
	now := p.Next
	var waits []time.Duration
	for range 12 {
		p, _ = rules.Step(p, due, noAnswer, now)
		waits = append(waits, p.Next.Sub(now))
		now = p.Next
	}
	if waits[0] != time.Minute || waits[1] != 2*time.Minute || waits[11] != 6*time.Hour {
		t.Errorf("waits %v", waits)
	}
	denied := absent
	denied.HeadTime = now
	p, _ = rules.Step(p, due, denied, now)
	p, _ = rules.Step(p, due, noAnswer, p.Next)
	if p.Failures != 1 {
		t.Errorf("an answer does not end the back-off: %+v", p)
	}
}

func TestTheAccusationIsMadeOnceAndALateMergeIsTold(t *testing.T) {
	answers := append(repeat(40, absent), noAnswer, absent, included)
	p, _, events := walk(t, answers...)
	if count(events, audit.Accuse) != 1 || count(events, audit.Kept) != 1 || events[len(events)-1] != audit.Kept {
		t.Fatalf("events %v", events)
	}
	if p.State != audit.Proven || !p.Late || !p.Next.IsZero() {
		t.Errorf("%+v", p)
	}
	if p, e := rules.Step(p, due, absent, day.Add(1000*time.Hour)); p.State != audit.Proven || e != audit.Nothing {
		t.Errorf("what is proven stays proven: %+v, %d", p, e)
	}
}

func TestProofsThatProveNothingAreGivenMoreTime(t *testing.T) {
	broken := audit.Answer{Kind: audit.Unproven, Text: "does not verify"}
	_, _, events := walk(t, repeat(40, broken)...)
	if count(events, audit.Accuse) != 0 {
		t.Error("accused within 19.5 hours")
	}
	_, _, events = walk(t, repeat(42, broken)...)
	if count(events, audit.Accuse) != 1 {
		t.Error("not accused after 20 hours")
	}
}

func TestALogThatIsNotFollowedIsNotAccusedButLookedForAgain(t *testing.T) {
	p, now, events := walk(t, audit.Answer{Kind: audit.NotFollowed, Text: "the log is not followed"})
	if p.State != audit.Unaudited || count(events, audit.Accuse) != 0 || !p.Next.Equal(now.Add(24*time.Hour)) || p.Note == "" {
		t.Fatalf("%+v, events %v", p, events)
	}
	// It is followed later.
	p, e := rules.Step(p, due, included, p.Next)
	if p.State != audit.Proven || e != audit.Nothing {
		t.Errorf("%+v, event %d", p, e)
	}
	p, _, _ = walk(t, audit.Answer{Kind: audit.NoIndex, Text: "no index"})
	if p.State != audit.Unaudited || !p.Next.IsZero() {
		t.Errorf("an SCT without index is looked at for ever: %+v", p)
	}
	// What was reported stays reported when its log is no longer followed.
	p, _, _ = walk(t, append(repeat(5, absent), audit.Answer{Kind: audit.NotFollowed})...)
	if p.State != audit.Reported {
		t.Errorf("%+v", p)
	}
}

func TestTheDelayOfALogWithoutOneIsADay(t *testing.T) {
	if got := audit.Due(day, 0); !got.Equal(day.Add(24 * time.Hour)) {
		t.Errorf("due %s", got)
	}
}

// Whatever the answers: one accusation at most, never without enough denials about late heads over the patience, and
// the next look is never in the past.
func TestNoSequenceOfAnswersAccusesLightly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, now := rules.Begin(due), day
		accused, kept, denials := 0, 0, 0
		var first time.Time
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
			a := audit.Answer{Kind: audit.Kind(rapid.IntRange(1, 7).Draw(t, "kind")), HeadTime: day.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "head")) * time.Minute)}
			late := !a.HeadTime.Before(due) && !now.Before(due.Add(rules.Slack))
			if (a.Kind == audit.Absent || a.Kind == audit.Unproven) && late && p.State != audit.Proven {
				denials++
				if first.IsZero() {
					first = now
				}
			}
			was := p
			var e audit.Event
			p, e = rules.Step(p, due, a, now)
			switch e {
			case audit.Accuse:
				accused++
				if denials < rules.Denials || now.Sub(first) < rules.Patience || accused > 1 {
					t.Fatalf("accused after %d denials in %s", denials, now.Sub(first))
				}
			case audit.Kept:
				kept++
				if accused == 0 || kept > 1 {
					t.Fatal("kept without accusation")
				}
			}
			if !p.Next.IsZero() && p.Next.Before(now) {
				t.Fatalf("from %+v by %+v: next %s is before now %s", was, a, p.Next, now)
			}
			if was.State == audit.Proven && p.State != audit.Proven {
				t.Fatal("a proof was forgotten")
			}
		}
	})
}
