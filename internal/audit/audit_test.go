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

// frozen is a denial under a head from before the promise was due, which the log still gives.
func frozen(now time.Time) audit.Answer {
	return audit.Answer{Kind: audit.Absent, HeadTime: due.Add(-time.Minute), Served: now, MMD: 24 * time.Hour, Text: "no such leaf"}
}

// stand gives the answer that the log makes at each time, until the given time.
func stand(t *testing.T, p audit.Progress, from, until time.Time, answer func(time.Time) audit.Answer) (_ audit.Progress, accused []time.Time) {
	t.Helper()
	for now := from; now.Before(until); now = now.Add(15 * time.Minute) {
		if now.Before(p.Next) {
			continue
		}
		var e audit.Event
		if p, e = rules.Step(p, due, answer(now), now); e == audit.Accuse {
			accused = append(accused, now)
		}
	}
	return p, accused
}

func TestALogThatStandsStillIsAccusedAfterItsMergeDelayOnceMore(t *testing.T) {
	asked := due.Add(rules.Slack)
	p, accused := stand(t, rules.Begin(due), asked, due.Add(72*time.Hour), frozen)
	if p.State != audit.Reported || !p.Frozen || len(accused) != 1 {
		t.Fatalf("%+v, accused at %v", p, accused)
	}
	if first := asked.Add(24 * time.Hour); accused[0].Before(first) || accused[0].After(first.Add(time.Hour)) {
		t.Errorf("accused %s after it was due", accused[0].Sub(due))
	}
	if p, e := rules.Step(p, due, included, due.Add(80*time.Hour)); e != audit.Kept || !p.Late {
		t.Errorf("merged after all: %+v, event %d", p, e)
	}
}

func TestALogThatStandsStillAndIsOutOfReachIsNotAccused(t *testing.T) {
	last := due.Add(2 * time.Hour) // it gave that head for the last time
	p, accused := stand(t, rules.Begin(due), due.Add(rules.Slack), due.Add(72*time.Hour), func(now time.Time) audit.Answer {
		a := frozen(now)
		if now.After(last) {
			a.Served = last
		}
		return a
	})
	if p.State != audit.Overdue || accused != nil {
		t.Errorf("%+v, accused at %v", p, accused)
	}
}

func TestDenialsWhileALogStoodStillDoNotCountOnceItGoesOn(t *testing.T) {
	moved := due.Add(20 * time.Hour)
	p, accused := stand(t, rules.Begin(due), due.Add(rules.Slack), moved, frozen)
	if p.State != audit.Overdue || accused != nil || p.Denials < rules.Denials {
		t.Fatalf("%+v, accused at %v", p, accused)
	}
	late := func(now time.Time) audit.Answer {
		a := absent
		a.HeadTime, a.Served = now, now
		return a
	}
	_, accused = stand(t, p, moved, moved.Add(10*time.Hour), late)
	if len(accused) != 1 || accused[0].Sub(moved) < rules.Patience {
		t.Errorf("accused %v after it went on, at %s", accused, moved)
	}
}

func TestTheTimesOfAnAuditFollowFromThePatience(t *testing.T) {
	if got, want := audit.For(0), (audit.Rules{}).WithDefaults(); got != want {
		t.Errorf("by default %+v, want %+v", got, want)
	}
	if got, want := audit.For(2*time.Hour), (audit.Rules{}).WithDefaults(); got != want {
		t.Errorf("of two hours %+v, want %+v", got, want)
	}
	week := audit.For(7 * 24 * time.Hour)
	if week.Patience != 7*24*time.Hour || week.Again != 30*time.Minute || week.Slack != 10*time.Minute {
		t.Errorf("of a week %+v", week)
	}
	if short := audit.For(time.Second); short.Slack >= time.Second/10 || short.Again*time.Duration(short.Denials) > time.Second || short.Tick <= 0 || short.Retry <= 0 {
		t.Errorf("of a second %+v", short)
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
