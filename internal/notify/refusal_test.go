package notify

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAnswerSaysWhetherWaitingHelps(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, row := range []struct {
		name      string
		status    int
		after     string
		permanent bool
		want      time.Duration
	}{
		{"a request that is wrong stays wrong", 400, "", true, 0},
		{"a token that is wrong stays wrong", 401, "", true, 0},
		{"a path that is gone stays gone", 410, "", true, 0},
		{"a redirect that is not followed leads nowhere tomorrow", 302, "", true, 0},
		{"too many: as many seconds as asked for", 429, "30", false, 30 * time.Second},
		{"too many: until the date", 429, "Fri, 02 Jan 2026 03:05:05 GMT", false, time.Minute},
		{"a date that is past is now", 429, "Fri, 02 Jan 2026 03:00:00 GMT", false, 0},
		{"no number and no date is nothing", 429, "soon", false, 0},
		{"a negative number is nothing", 503, "-5", false, 0},
		{"a server in trouble gets over it", 500, "", false, 0},
		{"a server that says when", 503, "120", false, 2 * time.Minute},
		{"too slow is not wrong", 408, "", false, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := answered(row.status, http.Header{"Retry-After": {row.after}}, []byte("because \x1b[31m"), now)
			var r *Refusal
			if !errors.As(err, &r) || r.Permanent != row.permanent || r.After != row.want {
				t.Errorf("%+v", r)
			}
			if !strings.Contains(err.Error(), `because \x1b[31m`) {
				t.Errorf("%q does not say what the server said, in safe letters", err)
			}
		})
	}
}

func TestWhatIsRefusedForGoodIsKeptAndTriedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healed atomic.Bool
		r := &fake{name: "r"}
		r.send = func(context.Context, Notice) error {
			if healed.Load() {
				return nil
			}
			return permanent("no such channel")
		}
		s, stop := start(t, nil, r)
		defer stop()
		say(t, s, "1", r)
		time.Sleep(time.Hour)
		synctest.Wait()
		r.mu.Lock()
		tries := len(r.at)
		r.mu.Unlock()
		if tries < 5 || tries > 8 { // every ten minutes, give or take a fifth
			t.Errorf("%d attempts in an hour", tries)
		}
		healed.Store(true)
		time.Sleep(13 * time.Minute)
		synctest.Wait()
		if got := r.taken(); len(got) != 1 {
			t.Errorf("once it is mended it has %v", got)
		}
	})
}

func TestAReceiverThatAsksForPeaceGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		r := &fake{name: "r"}
		r.send = func(context.Context, Notice) error {
			if asked.Add(1) == 1 {
				return &Refusal{Err: errors.New("too many"), After: 5 * time.Minute}
			}
			return nil
		}
		other := &fake{name: "other"}
		s, stop := start(t, nil, r, other)
		defer stop()
		for _, text := range []string{"1", "2", "3"} {
			say(t, s, text, r, other)
		}
		time.Sleep(5*time.Minute - time.Second)
		synctest.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times before its time", n)
		}
		if len(other.taken()) != 3 {
			t.Error("another receiver waits for it")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.taken(); len(got) != 3 {
			t.Errorf("afterwards it has %v", got)
		}
	})
}

func TestNoAnswerSilencesForLong(t *testing.T) {
	opts := Options{MinBackoff: time.Second, MaxBackoff: 10 * time.Minute}
	message, receiver := delays(&Refusal{Err: errors.New("x"), After: 10 * 365 * 24 * time.Hour}, 0, &opts)
	if message != time.Hour || receiver != time.Hour {
		t.Errorf("ten years became %v and %v", message, receiver)
	}
}
