package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tocsin-ct/tocsin/internal/store"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("NOTIFY_TEST_CHILD"); path != "" {
		child(path, os.Getenv("NOTIFY_TEST_POINT"))
		os.Exit(0)
	}
	if what := os.Getenv("NOTIFY_TEST_PROGRAM"); what != "" {
		program(what)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// fake is a receiver whose behaviour is a function.
type fake struct {
	name string
	send func(ctx context.Context, n Notice) error

	mu   sync.Mutex
	took []string
	at   []time.Time // of every attempt
}

func (f *fake) Name() string      { return f.name }
func (f *fake) Wants(string) bool { return true }
func (*fake) Stream() bool        { return true }
func (f *fake) Send(ctx context.Context, n Notice) error {
	f.mu.Lock()
	f.at = append(f.at, time.Now())
	f.mu.Unlock()
	if f.send != nil {
		if err := f.send(ctx, n); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took = append(f.took, n.Text)
	return nil
}

func (f *fake) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.took)
}

// start runs the receivers over a new store inside a bubble; the result ends them and closes the store.
func start(t *testing.T, o *Options, receivers ...Receiver) (*store.Store, func()) {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "state.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, s, receivers, o) }()
	return s, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func say(t *testing.T, s *store.Store, text string, receivers ...Receiver) {
	t.Helper()
	if n, err := s.Enqueue(t.Context(), Messages("test", text, "alarm", text, nil, receivers)...); err != nil || n != len(receivers) {
		t.Fatal(n, err)
	}
}

func numbers(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func TestBackoffDoublesUpToItsBoundWithJitter(t *testing.T) {
	for n, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 9: 512 * time.Second, 10: 10 * time.Minute, 31: 10 * time.Minute, 1000: 10 * time.Minute} {
		seen := make(map[time.Duration]bool)
		for range 100 {
			d := backoff(n, time.Second, 10*time.Minute)
			if d < want*4/5 || d > want*6/5 {
				t.Fatalf("backoff(%d) = %v, want about %v", n, d, want)
			}
			seen[d] = true
		}
		if len(seen) < 50 {
			t.Errorf("backoff(%d) has %d values in 100", n, len(seen))
		}
	}
}

func TestMessageThatIsNotTakenIsSentAgainLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 6
		var ids, errs []string
		r := &fake{name: "r"}
		r.send = func(_ context.Context, n Notice) error {
			ids = append(ids, n.ID)
			errs = append(errs, fmt.Sprint(n.Attempt))
			if left--; left >= 0 {
				return errors.New("not now")
			}
			return nil
		}
		s, stop := start(t, &Options{MaxBackoff: 20 * time.Second}, r)
		say(t, s, "x", r)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		stop()
		if d := cmp.Diff(numbers(1, 8), errs); d != "" {
			t.Error("attempts:", d)
		}
		if len(slices.Compact(ids)) != 1 {
			t.Errorf("ids differ: %v", ids)
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 20} {
			want *= time.Second
			if got := r.at[i+1].Sub(r.at[i]); got < want*4/5 || got > want*6/5+10*time.Millisecond {
				t.Errorf("delay %d is %v, want about %v", i, got, want)
			}
		}
	})
}

func TestPoisonedMessageDoesNotStandInTheWayOfLaterOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fake{name: "r", send: func(_ context.Context, n Notice) error {
			if n.Text == "3" {
				return errors.New("I do not like this one")
			}
			return nil
		}}
		s, stop := start(t, nil, r)
		begin := time.Now()
		for _, n := range numbers(0, 40) {
			say(t, s, n, r)
		}
		synctest.Wait()
		if d := cmp.Diff(append(numbers(0, 3), numbers(4, 40)...), r.taken()); d != "" {
			t.Error(d)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("the others waited %v", d)
		}
		time.Sleep(24 * time.Hour)
		say(t, s, "40", r)
		synctest.Wait()
		if got := r.taken(); got[len(got)-1] != "40" {
			t.Errorf("after a day of failures a new message waits: %v", got)
		}
		c, err := s.Counts(t.Context())
		if o := c.Outbox[r.name]; err != nil || o.Pending != 1 || o.Failing != 1 || o.Dropped != 0 {
			t.Errorf("%+v, %v", o, err)
		}
		stop()
		if n := len(r.at); n < 100 || n > 250 {
			t.Errorf("%d attempts in a day, most of them for the one", n)
		}
	})
}

func TestReceiverThatPanicsFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := &fake{name: "bad", send: func(_ context.Context, n Notice) error {
			if n.Attempt == 1 {
				panic("index out of range")
			}
			return nil
		}}
		good := &fake{name: "good"}
		s, stop := start(t, nil, bad, good)
		say(t, s, "x", bad, good)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(good.taken()) != 1 || len(bad.taken()) != 1 {
			t.Errorf("good took %v, bad %v", good.taken(), bad.taken())
		}
		stop()
	})
}

func TestSendIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fake{name: "r", send: func(ctx context.Context, n Notice) error {
			if n.Text == "hangs" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}
		s, stop := start(t, &Options{Timeout: 10 * time.Second}, r)
		say(t, s, "hangs", r)
		say(t, s, "next", r)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if d := cmp.Diff([]string{"next"}, r.taken()); d != "" {
			t.Error(d)
		}
		stop()
	})
}

func TestSendUnderWayAtTheEndIsFinishedAndWrittenDown(t *testing.T) {
	for _, row := range []struct {
		name    string
		takes   time.Duration
		pending int64
		stop    time.Duration
	}{
		{"within the grace", 3 * time.Second, 0, 3 * time.Second},
		{"broken off after it", time.Hour, 1, 5 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &fake{name: "r", send: func(ctx context.Context, n Notice) error {
					select {
					case <-time.After(row.takes):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}}
				s, err := store.Open(filepath.Join(t.TempDir(), "state.db"), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- Run(ctx, s, []Receiver{r}, &Options{Timeout: 24 * time.Hour}) }()
				say(t, s, "x", r)
				synctest.Wait()
				begin := time.Now()
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if d := time.Since(begin); d != row.stop {
					t.Errorf("stopped after %v", d)
				}
				c, err := s.Counts(t.Context())
				if o := c.Outbox["r"]; err != nil || o.Pending != row.pending || o.Failing != 0 {
					t.Errorf("%+v, %v", o, err)
				}
			})
		})
	}
}

// broken is an outbox that fails for a while.
type broken struct {
	*store.Store
	left int
}

var errDisk = errors.New("disk full")

func (b *broken) Delivered(ctx context.Context, id string) error {
	if b.left--; b.left >= 0 {
		return errDisk
	}
	return b.Store.Delivered(ctx, id)
}

func TestWhatWasSentIsNotSentAgainBecauseTheDiskIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(filepath.Join(t.TempDir(), "state.db"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r := &fake{name: "r"}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Run(ctx, &broken{s, 5}, []Receiver{r}, nil) }()
		say(t, s, "1", r)
		say(t, s, "2", r)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if d := cmp.Diff(numbers(1, 3), r.taken()); d != "" {
			t.Error(d)
		}
		cancel()
		<-done
	})
}

func TestOnceDeliversWhatIsDueAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(filepath.Join(t.TempDir(), "state.db"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		good := &fake{name: "good"}
		bad := &fake{name: "bad", send: func(context.Context, Notice) error { return errors.New("no") }}
		other := &fake{name: "other"}
		for _, n := range numbers(0, 30) {
			say(t, s, n, good, bad, other)
		}
		if err := Run(t.Context(), s, []Receiver{good, bad}, &Options{Once: true}); err != nil {
			t.Fatal(err)
		}
		if len(good.taken()) != 30 || len(bad.at) != tolerated || len(other.taken()) != 0 {
			t.Errorf("good took %d, bad was tried %d times, other took %d", len(good.taken()), len(bad.at), len(other.taken()))
		}
		c, err := s.Counts(t.Context())
		if err != nil || c.Outbox["bad"].Pending != 30 || c.Outbox["other"].Pending != 30 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func TestReceiversNeedDifferentNames(t *testing.T) {
	for _, list := range [][]Receiver{{&fake{name: "a"}, &fake{name: "a"}}, {&fake{}}} {
		if err := Run(t.Context(), nil, list, nil); err == nil {
			t.Errorf("%v was accepted", list)
		}
	}
}
