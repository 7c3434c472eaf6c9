package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestD27SlowAndDeadReceiversDelayNobodyAndLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate, seconds, tail := 50, 6, 120
		if testing.Short() {
			rate, seconds, tail = 20, 3, 30
		}
		var dead atomic.Bool
		dead.Store(true)
		var attemptsWhileDead atomic.Int64
		fast := &fake{name: "fast"}
		slow := &fake{name: "slow", send: func(context.Context, Notice) error { time.Sleep(time.Second); return nil }}
		gone := &fake{name: "gone"}
		gone.send = func(context.Context, Notice) error {
			if dead.Load() {
				attemptsWhileDead.Add(1)
				return errors.New("connection refused")
			}
			return nil
		}
		all := []Receiver{fast, slow, gone}
		s, stop := start(t, nil, all...)
		begin := time.Now()
		sent := 0
		for range seconds { // 50 a second …
			for range rate {
				say(t, s, fmt.Sprint(sent), all...)
				sent++
				time.Sleep(time.Second / time.Duration(rate))
			}
		}
		synctest.Wait()
		if got := len(fast.taken()); got != sent {
			t.Errorf("the fast one has %d of %d", got, sent)
		}
		if got := len(slow.taken()); got < seconds-1 || got > seconds {
			t.Errorf("the slow one took %d in %d s", got, seconds)
		}
		for range tail { // … and then for an hour one now and then
			say(t, s, fmt.Sprint(sent), all...)
			sent++
			time.Sleep(time.Hour / time.Duration(tail))
			synctest.Wait()
			if got := len(fast.taken()); got != sent {
				t.Fatalf("%v in, the fast one has %d of %d", time.Since(begin), got, sent)
			}
		}
		if d := cmp.Diff(numbers(0, sent), fast.taken()); d != "" {
			t.Error("fast:", d)
		}
		if d := cmp.Diff(numbers(0, sent), slow.taken()); d != "" {
			t.Error("slow:", d)
		}
		if len(gone.taken()) != 0 || attemptsWhileDead.Load() > 150 {
			t.Errorf("the dead one took %d, was tried %d times in an hour", len(gone.taken()), attemptsWhileDead.Load())
		}
		dead.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := gone.taken()
		// The one that found it alive comes first, all others in their order.
		if len(got) != sent {
			t.Errorf("after an hour the dead one has %d of %d", len(got), sent)
		}
		rest := slices.DeleteFunc(numbers(0, sent), func(n string) bool { return n == got[0] })
		if d := cmp.Diff(rest, got[1:]); d != "" {
			t.Error("gone:", d)
		}
		c, err := s.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if o := c.Outbox[r.Name()]; o.Pending != 0 || o.Dropped != 0 || o.Delivered != int64(sent) {
				t.Errorf("%s: %+v", r.Name(), o)
			}
		}
		stop()
	})
}

// answering is a network on which a server answers after a while, or nobody does.
type answering struct {
	after time.Duration
	dead  atomic.Bool
	asked atomic.Int64
	mu    sync.Mutex
	ids   []string
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked.Add(1)
	if a.dead.Load() {
		return nil, errors.New("connection refused")
	}
	time.Sleep(a.after)
	a.mu.Lock()
	a.ids = append(a.ids, r.Header.Get(HeaderIdem))
	a.mu.Unlock()
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

func (a *answering) taken() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.ids)
}

func TestD27WebhooksThatAreSlowOrDeadForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate, seconds := 50, 6
		if testing.Short() {
			rate, seconds = 20, 3
		}
		slow, gone := &answering{after: time.Second}, &answering{}
		gone.dead.Store(true)
		hook := func(name string, net http.RoundTripper) *Webhook {
			w := need(NewWebhook(name, WebhookOptions{URL: "https://hooks.example.com/" + name, Secret: given("k")}))(t)
			w.to.client.Transport = net
			return w
		}
		fast := &fake{name: "fast"}
		all := []Receiver{fast, hook("slow", slow), hook("gone", gone)}
		s, stop := start(t, nil, all...)
		defer stop()
		want := map[string][]string{}
		sent := 0
		for range rate * seconds {
			text := fmt.Sprint(sent)
			for _, row := range Messages("test", text, "alarm", text, nil, all) {
				want[row.Receiver] = append(want[row.Receiver], row.ID)
			}
			say(t, s, text, all...)
			sent++
			time.Sleep(time.Second / time.Duration(rate))
		}
		synctest.Wait()
		if got := len(fast.taken()); got != sent {
			t.Errorf("the fast one has %d of %d", got, sent)
		}
		if got := len(slow.taken()); got < seconds-1 || got > seconds {
			t.Errorf("the slow one took %d in %d s", got, seconds)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if d := cmp.Diff(want["slow"], slow.taken()); d != "" {
			t.Error("slow:", d)
		}
		if n := gone.asked.Load(); n > 150 || len(gone.taken()) > 0 {
			t.Errorf("the dead one was asked %d times", n)
		}
		gone.dead.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := gone.taken()
		if len(got) != sent {
			t.Fatalf("after an hour the dead one has %d of %d", len(got), sent)
		}
		rest := slices.DeleteFunc(want["gone"], func(id string) bool { return id == got[0] })
		if d := cmp.Diff(rest, got[1:]); d != "" {
			t.Error("gone:", d)
		}
	})
}

func TestD27AProgramThatHangsHoldsUpOnlyItself(t *testing.T) {
	gate, count := filepath.Join(t.TempDir(), "gate"), filepath.Join(t.TempDir(), "count")
	slow := need(NewExec("slow", []string{os.Args[0]}, &ExecOptions{Env: []string{"NOTIFY_TEST_PROGRAM=gate", "GORACE=atexit_sleep_ms=0", "GATE=" + gate, "OUT=" + count}, Timeout: 5 * time.Minute}))(t)
	fast := &fake{name: "fast"}
	const sent = 25 // each run starts this whole binary
	s, stop := start(t, nil, slow, fast)
	for i := range sent {
		say(t, s, fmt.Sprint(i), slow, fast)
	}
	patient(t, "the fast one", func() bool { return len(fast.taken()) == sent })
	if c, err := s.Counts(t.Context()); err != nil || c.Outbox["slow"].Delivered != 0 || c.Outbox["slow"].Pending != sent {
		t.Errorf("%+v, %v", c.Outbox["slow"], err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	patient(t, "the program", func() bool {
		c, err := s.Counts(t.Context())
		return err == nil && c.Outbox["slow"].Pending == 0
	})
	stop()
	if b := need(os.ReadFile(count))(t); len(b) != sent {
		t.Errorf("it ran %d times for %d messages", len(b), sent)
	}
}

// patient waits until something is so.
func patient(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(4 * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
