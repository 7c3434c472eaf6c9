package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
	"github.com/tocsin-ct/tocsin/loglist"
)

// smallDisk is a file system of a few megabytes of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=0700"); err != nil {
		t.Skipf("no file system of its own may be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no byte free; the file that takes all is returned.
func fill(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; size /= 2 {
		for {
			if _, err := f.Write(make([]byte, size)); err != nil {
				break
			}
		}
	}
	return ballast
}

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

func TestAFullDiskIsToldWithoutTheStateFile(t *testing.T) {
	for _, down := range []bool{false, true} {
		name := "to a receiver that listens"
		if down {
			name = "to one that is down, when both are back"
		}
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t)
			synctest.Test(t, func(t *testing.T) {
				r := &taker{}
				a, end := tended(t, filepath.Join(dir, "state.db"), r)
				defer end()
				time.Sleep(5 * time.Minute)
				if told, _ := r.codes(t); told != nil {
					t.Fatalf("told while all was well: %q", told)
				}
				ballast := fill(t, dir)
				r.refuse(down)
				a.fault(ctlog.Fault{Kind: ctlog.FalseTime, LogName: "L0", Text: "seen while the disk was full", At: time.Now(), Evidence: json.RawMessage("{}")})
				time.Sleep(10 * time.Minute)
				told, _ := r.codes(t)
				switch {
				case down && len(told) > 0:
					t.Fatalf("told: %q", told)
				case !down && (len(told) != 1 || told[0] != "store-failing" || !strings.Contains(r.took[0].Text, "the disk is full: free some space")):
					t.Fatalf("told: %q %+v", told, r.took)
				}
				if _, open := a.keeper.now(); len(open) == 0 || !strings.Contains(open[0].Text(), "cannot be written") {
					t.Errorf("shown: %+v", open)
				}
				r.refuse(false)
				if err := os.Remove(ballast); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Minute)
				told, ids := r.codes(t)
				if len(told) != 2 || told[0] != "store-failing" || told[1] != "store-failing resolved" || len(ids) != 2 {
					t.Errorf("told: %q, with %d ids", told, len(ids))
				}
				faults, err := a.store.Faults(t.Context(), 10)
				if err != nil || len(faults) != 1 || faults[0].Text != "seen while the disk was full" {
					t.Errorf("the fault was lost: %+v %v", faults, err)
				}
				if err := a.store.Check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestTheLoopMakesOneNoticeADay runs the real loop over the real store for three days.
func TestTheLoopMakesOneNoticeADay(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &taker{}
		a, end := tended(t, filepath.Join(dir, "state.db"), r)
		for _, s := range a.followed() {
			s.started.Store(true)
			s.start.Store(&store.Start{At: time.Now()})
		}
		time.Sleep(36 * time.Hour)
		end()
		// A restart in the middle of a day adds nothing.
		a, end = tended(t, filepath.Join(dir, "state.db"), r)
		for _, s := range a.followed() {
			s.started.Store(true)
			s.start.Store(&store.Start{At: time.Now().Add(-36 * time.Hour)})
		}
		time.Sleep(14 * time.Hour)
		end()
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
