package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
	"github.com/tocsin-ct/tocsin/loglist"
)

// taker takes messages and notes them.
type taker struct {
	mu   sync.Mutex
	down bool
	took []notify.Notice
}

func (r *taker) refuse(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (*taker) Name() string      { return "oncall" }
func (*taker) Wants(string) bool { return true }
func (*taker) Stream() bool      { return true }
func (r *taker) Send(_ context.Context, n notify.Notice) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return errors.New("out of order")
	}
	r.took = append(r.took, n)
	return nil
}

// codes are "code" or "code resolved" of what was told about health, with the number of times per id.
func (r *taker) codes(t *testing.T) (list []string, ids map[string]int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	ids = map[string]int{}
	for _, n := range r.took {
		var m TroubleMessage
		if err := json.Unmarshal(n.Payload, &m); err != nil {
			t.Fatal(err)
		}
		if m.Health.Code == "" || strings.HasPrefix(m.Health.Code, "disk") {
			continue
		}
		word := m.Health.Code
		if m.Resolved {
			word += " resolved"
		}
		ids[n.ID]++
		list = append(list, word)
	}
	return list, ids
}

// stillTailer is a log that shows a fresh head every minute and is read.
type stillTailer struct{ began time.Time }

func (*stillTailer) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (s *stillTailer) Status() ctlog.Status {
	h := ctlog.Head{Size: 10, Timestamp: uint64(time.Now().UnixMilli()), Raw: []byte("x"), Received: time.Now()}
	return ctlog.Status{State: "live", Head: h, Position: 10, Verified: 10}
}

// tended runs the health loop and the outbox of an app over fake logs.
func tended(t *testing.T, state string, r notify.Receiver) (a *App, end func()) {
	t.Helper()
	item, err := watch.ParseItem("example.org", watch.Place{Line: 1})
	if err != nil {
		t.Fatal(err)
	}
	watches := []watch.Watch{{Name: "w", Items: []watch.Item{item}}}
	var logs []loglist.Log
	for i := range 2 {
		l := loglist.Log{Kind: loglist.RFC6962, Key: testKey(t), Operator: fmt.Sprint("O", i), Description: fmt.Sprint("L", i), URL: "https://ct.example.org/", MonitoringURL: "https://ct.example.org/"}
		l.ID = keyID(l.Key)
		logs = append(logs, l)
	}
	a, err = New(t.Context(), Options{
		State: state, Logs: logs, Stations: &Stations{Watches: watches, Matcher: watch.New(watches)}, Receivers: []notify.Receiver{r},
		Seams: Seams{Tailer: func(ctlog.Client, ctlog.Cursor, *ctlog.TailOptions) Tailer { return &stillTailer{time.Now()} }},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	loops.Go(func() { _ = a.care(ctx) })
	loops.Go(func() { _ = a.deliver(ctx) })
	loops.Go(func() { _ = a.decide(ctx) })
	return a, func() {
		cancel()
		loops.Wait()
		a.side.Wait()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTheLoopMakesOneNoticeADay runs the real loop over the real store around two midnights, with restarts.
func TestTheLoopMakesOneNoticeADay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &taker{}
		run := func(d time.Duration) {
			a, end := tended(t, filepath.Join(dir, "state.db"), r)
			for _, s := range a.followed() {
				s.started.Store(true)
				s.start.Store(&store.Start{At: time.Date(2000, 1, 1, 23, 0, 0, 0, time.UTC)})
			}
			time.Sleep(d)
			end()
		}
		time.Sleep(23*time.Hour + 30*time.Minute)
		run(time.Hour) // until half past midnight: the first notice
		run(time.Hour) // a restart adds nothing
		time.Sleep(22 * time.Hour)
		run(25 * time.Minute) // until five to midnight, past the time of the notice of a day that has one
		time.Sleep(5 * time.Hour)
		run(20 * time.Minute) // what was due while nothing ran comes late
		run(20 * time.Minute)
		var days []string
		for _, n := range r.took {
			var doc Notice
			if err := json.Unmarshal(n.Payload, &doc); err != nil || n.Kind != "coverage" {
				t.Errorf("%s %v", n.Text, err)
			}
			days = append(days, doc.Day)
		}
		if fmt.Sprint(days) != "[2000-01-01 2000-01-02]" {
			t.Errorf("notices of %q", days)
		}
	})
}
