package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
