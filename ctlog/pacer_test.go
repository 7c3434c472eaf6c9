package ctlog

import (
	"testing"
	"testing/synctest"
	"time"
)

// bucket limits requests as common front ends do: so many a second, and a few more at once.
type bucket struct {
	rate, burst float64
	tokens      float64
	last        time.Time
}

func (b *bucket) takes() bool {
	now := time.Now()
	if b.last.IsZero() {
		b.tokens = b.burst
	}
	b.tokens = min(b.burst, b.tokens+now.Sub(b.last).Seconds()*b.rate)
	if b.last = now; b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// ask makes n requests to one log as fast as its pace lets them, and says how many were refused and how long that took.
func (p *Budget) ask(t *testing.T, n int, takes func() bool) (refused int, took time.Duration) {
	t.Helper()
	began := time.Now()
	for range n {
		if err := p.wait(t.Context(), nil, false); err != nil {
			t.Fatal(err)
		}
		if takes() {
			p.answered()
		} else {
			refused++
			p.refused(time.Now(), 0)
		}
	}
	return refused, time.Since(began)
}

// D08: the limit of a log is found, whatever it is, used, and touched seldom.
func TestD08ThePaceStaysNearTheLimitAndSeldomTouchesIt(t *testing.T) {
	for _, rate := range []float64{0.2, 1, 5, 44, 200} {
		synctest.Test(t, func(t *testing.T) {
			var p Budget
			b := bucket{rate: rate, burst: 3}
			p.ask(t, 100, b.takes) // to find it
			refused, took := p.ask(t, 1000, b.takes)
			used := float64(1000-refused) / (took.Seconds() * rate)
			t.Logf("limit %.1f a second: %d of 1000 refused, %.0f %% of the limit used", rate, refused, 100*used)
			if refused > 60 || used < 0.75 {
				t.Errorf("limit %.1f a second: %d of 1000 refused, %.0f %% of the limit used", rate, refused, 100*used)
			}
		})
	}
}

func TestARaisedLimitIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Budget
		b := bucket{rate: 2, burst: 3}
		p.ask(t, 300, b.takes)
		b.rate = 40
		if _, took := p.ask(t, 200, b.takes); took > time.Minute {
			t.Errorf("200 requests took %v after the limit was raised from 2 to 40 a second", took)
		}
	})
}

// An outage says nothing about the rate that a log bears.
func TestThePaceRecoversFromAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Budget
		p.ask(t, 100, func() bool { return true })
		p.ask(t, 20, func() bool { return false })
		if p.pace.pause != maxPause {
			t.Errorf("pause %v after 20 refusals, want %v", p.pace.pause, maxPause)
		}
		if _, took := p.ask(t, 100, func() bool { return true }); took > 20*time.Minute || p.pace.pause > 0 {
			t.Errorf("100 requests after an outage took %v and left a pause of %v", took, p.pace.pause)
		}
	})
}

// Several requests under way at a limit are refused together, which counts once.
func TestRefusalsOfRequestsThatWereUnderWayCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Budget
		sent := time.Now()
		for range 4 {
			time.Sleep(time.Second)
			p.refused(sent, 0)
		}
		if p.pace.pause != minPause {
			t.Errorf("pause %v after four refusals at once, want %v", p.pace.pause, minPause)
		}
		time.Sleep(time.Nanosecond)
		p.refused(time.Now(), 0)
		if p.pace.pause != 2*minPause {
			t.Errorf("pause %v after another, want %v", p.pace.pause, 2*minPause)
		}
	})
}
