package ctlog

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// shards are logs of one operator in front of which stands one limit, and each of which is also asked for heads.
type shards struct {
	budget *Budget
	logs   []*fetcher

	mu              sync.Mutex
	refused, served map[*fetcher]int
	heads           []time.Duration // how long each head had to wait
	after           time.Duration   // Retry-After of a refusal
	takes           func(*fetcher) bool
}

func newShards(n int, takes func(*fetcher) bool) *shards {
	s := &shards{budget: new(Budget), refused: map[*fetcher]int{}, served: map[*fetcher]int{}, takes: takes}
	for range n {
		s.logs = append(s.logs, &fetcher{budget: s.budget, client: new(http.Client)})
	}
	return s
}

// ask makes one request and reports whether it was answered.
func (s *shards) ask(ctx context.Context, f *fetcher, urgent bool) bool {
	began := time.Now()
	if f.wait(ctx, urgent) != nil {
		return false
	}
	sent := time.Now()
	time.Sleep(10 * time.Millisecond) // the answer takes that long
	s.mu.Lock()
	defer s.mu.Unlock()
	if urgent {
		s.heads = append(s.heads, time.Since(began))
	}
	if !s.takes(f) {
		s.refused[f]++
		f.refused(429, sent, s.after)
		return false
	}
	s.served[f]++
	f.answered()
	return true
}

// read lets each of some logs read a backlog with two requests at a time, and all of them be asked for heads, for so long.
func (s *shards) read(t *testing.T, hungry int, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for i, f := range s.logs {
		if i < hungry {
			for range 2 {
				all.Go(func() {
					for ctx.Err() == nil {
						s.ask(ctx, f, false)
					}
				})
			}
		}
		all.Go(func() {
			for ctx.Err() == nil {
				s.ask(ctx, f, true)
				sleep(ctx, 15*time.Second)
			}
		})
	}
	all.Wait()
}

func (s *shards) sum() (refused, served int) {
	for _, f := range s.logs {
		refused += s.refused[f]
		served += s.served[f]
	}
	return refused, served
}

func (s *shards) reset() {
	clear(s.refused)
	clear(s.served)
	s.heads = nil
}

func TestLogsBehindOneLimitShareIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		rate  float64
		after time.Duration
	}{
		{"a slow front end", 2, 0},
		{"a middling front end", 20, 0},
		{"a fast front end", 100, 0},
		{"one that says when to come back", 20, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := bucket{rate: c.rate, burst: 5}
				s := newShards(8, func(*fetcher) bool { return b.takes() })
				s.after = c.after
				s.read(t, 4, 5*time.Minute) // to learn
				s.reset()
				const span = 20 * time.Minute
				s.read(t, 4, span)
				refused, served := s.sum()
				used := float64(served) / (c.rate * span.Seconds())
				t.Logf("%d refused, %d answered: %.0f %% of the limit", refused, served, 100*used)
				if float64(refused) > 0.04*float64(served) {
					t.Errorf("%d of %d were refused, want 4 %% at most", refused, refused+served)
				}
				if used < 0.5 {
					t.Errorf("%.0f %% of the limit was used", 100*used)
				}
				least, most := served, 0
				for _, f := range s.logs[:4] {
					least, most = min(least, s.served[f]), max(most, s.served[f])
				}
				if most > 2*least {
					t.Errorf("one of four logs that read got %d turns, another %d", most, least)
				}
			})
		})
	}
}

func TestHeadsDoNotWaitForTheBacklogOfASibling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket{rate: 4, burst: 4}
		s := newShards(8, func(*fetcher) bool { return b.takes() })
		s.read(t, 6, 5*time.Minute)
		s.reset()
		s.read(t, 6, 10*time.Minute)
		var all time.Duration
		for _, d := range s.heads {
			all += d
		}
		if mean := all / time.Duration(len(s.heads)); mean > 4*time.Second {
			t.Errorf("a head waits %v on average while 12 requests for entries wait, at 4 requests a second", mean)
		}
	})
}

func TestABrokenShardHoldsNoSiblingBack(t *testing.T) {
	for code, name := range map[int]string{429: "that refuses all", 503: "that is overloaded", 500: "that fails", 502: "without a backend"} {
		t.Run(fmt.Sprint("one ", name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newShards(4, func(*fetcher) bool { return true })
				broken := s.logs[0]
				for range 200 {
					if err := broken.wait(t.Context(), false); err != nil {
						t.Fatal(err)
					}
					broken.refused(code, time.Now(), time.Hour)
					if p := s.budget.Pace(); p.Pause != 0 || time.Until(p.Next) > 0 {
						t.Fatalf("its siblings are held back: %+v", p)
					}
				}
				began := time.Now()
				for range 1000 {
					if !s.ask(t.Context(), s.logs[1], false) {
						t.Fatal("refused")
					}
				}
				if d := time.Since(began); d > 1000*10*time.Millisecond {
					t.Errorf("1000 requests to a sibling took %v", d)
				}
			})
		})
	}
}

func TestALimitThatIsRaisedOrLoweredForTheOperatorIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucket{rate: 2, burst: 4}
		s := newShards(4, func(*fetcher) bool { return b.takes() })
		s.read(t, 4, 5*time.Minute)
		b.rate = 40
		s.read(t, 4, 2*time.Minute) // to find it
		s.reset()
		s.read(t, 4, 5*time.Minute)
		if _, served := s.sum(); served < 40*300/2 {
			t.Errorf("%d requests in 5 minutes after the limit was raised from 2 to 40 a second", served)
		}
		b.rate = 4
		s.read(t, 4, 2*time.Minute)
		s.reset()
		s.read(t, 4, 10*time.Minute)
		if refused, served := s.sum(); 10*refused > served || served < 4*600/2 {
			t.Errorf("%d answered and %d refused in 10 minutes after the limit was lowered to 4 a second", served, refused)
		}
	})
}

func TestAnOperatorThatIsDownIsAskedSeldomAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := true
		s := newShards(8, func(*fetcher) bool { return up })
		s.read(t, 8, time.Minute)
		up = false
		s.read(t, 8, time.Hour) // the pauses of logs grow to two minutes: two readers and one for heads each
		s.reset()
		s.read(t, 8, time.Hour)
		if refused, _ := s.sum(); refused > 8*40 {
			t.Errorf("an operator that refuses everything was asked %d times in an hour", refused)
		}
		up = true
		s.read(t, 8, 30*time.Minute)
		s.reset()
		s.read(t, 8, time.Minute)
		if _, served := s.sum(); served < 8*2*60*50 {
			t.Errorf("%d answers in the minute that comes half an hour after the operator came back", served)
		}
	})
}

func TestOneWhoGivesUpWaitingLeavesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShards(2, func(*fetcher) bool { return true })
		s.logs[0].refused(429, time.Now(), 0)
		s.logs[1].refused(429, time.Now(), time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s.ask(ctx, s.logs[0], true) {
			t.Error("answered before its time")
		}
		if n := len(s.budget.waiting); n != 0 {
			t.Errorf("%d wait", n)
		}
		s.logs[1].close()
		if len(s.budget.served)+len(s.budget.refusal) > 1 {
			t.Error("a log that was closed is remembered")
		}
	})
}
