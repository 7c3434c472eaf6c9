package ctlog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

// D13: the log deleted the partial tiles that the head in hand names.
func TestD13APartialTileThatIsGoneIsTakenFromTheFullOne(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 600)
	c := f.client(t)
	head, err := c.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.grow(1024)
	f.gone = func(path string) bool { return strings.Contains(path, ".p/") && !strings.HasPrefix(path, "tile/1") }
	var b Batch
	if err := c.Entries(t.Context(), 520, head.Size, &b); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Entries); n != 80 || b.Entries[0].Index != 520 || b.Entries[79].Hash() != f.entries[599].Hash() {
		t.Errorf("%d entries", n)
	}
	for _, n := range []uint64{1, 255, 256, 599, 600} {
		edge, err := c.Edge(t.Context(), n, head)
		if err != nil {
			t.Fatal(err)
		}
		if root, _ := edgeRoot(n, edge); root != f.root(n) {
			t.Errorf("edge at %d", n)
		}
	}
}

// shorten makes the URL of a full tile answer with its first 24 entries or hashes while the condition holds.
func shorten(f *fakeLog, path string, while func() bool, noCache *int) {
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, path) || !while() {
			return false
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.Header.Get("Cache-Control") == "no-cache" {
			*noCache++
		}
		body, _ := f.answer(path+".p/24", r)
		_, _ = w.Write(body)
		return true
	}
}

// D16: the full tile's URL answers early, with 24 of 256 entries.
func TestD16AShortFullTileIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.Static, 600)
		heal, noCache := time.Now().Add(20*time.Minute), 0
		shorten(f, "tile/data/001", func() bool { return time.Now().Before(heal) }, &noCache)
		r := newReceiver(t, f)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(15 * time.Minute)
		if noCache == 0 || r.cursor.Verified.Size != 0 {
			t.Errorf("%d requests past caches, verified %d", noCache, r.cursor.Verified.Size)
		}
		if d := cmp.Diff([]string{BadTile}, r.kinds()); d != "" || tail.Status().State != "faulty" {
			t.Error(d, tail.Status().State)
		}
		pass(30 * time.Minute)
		r.exactly(0, 600)
		if r.cursor.Verified.Size != 600 || tail.Status().State != "live" {
			t.Errorf("%s, verified %d", tail.Status().State, r.cursor.Verified.Size)
		}
	})
}

func TestD16AShortFullHashTileIsRefused(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 600)
	c := f.client(t)
	head, err := c.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	short, noCache := true, 0
	shorten(f, "tile/0/001", func() bool { return short }, &noCache)
	var tile *tileError
	if _, err := c.Edge(t.Context(), 300, head); !errors.As(err, &tile) || noCache != 1 {
		t.Errorf("%v, %d requests past caches", err, noCache)
	}
	short = false
	if _, err := c.Edge(t.Context(), 300, head); err != nil {
		t.Error(err)
	}
}

func TestAWrongHashTileIsNotBelieved(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 70_000)
	c := f.client(t)
	head, err := c.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Edge(t.Context(), 66_000, head); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"tile/0/", "tile/1/", "tile/2/"} {
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, path) {
				return false
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			body, _ := f.answer(strings.TrimPrefix(r.URL.Path, "/2027/"), r)
			body = append([]byte(nil), body...)
			body[len(body)-1] ^= 1
			_, _ = w.Write(body)
			return true
		}
		if _, err := c.Edge(t.Context(), 66_000, head); err == nil {
			t.Errorf("%s: a hash that is not under the root was believed", path)
		}
	}
}

func TestAnIssuerWithAnotherHashIsRefused(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 1)
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		fmt.Fprint(w, "another certificate")
		return true
	}
	e := f.entries[0]
	e.Extra = nil
	pre, chain, err := Chain(t.Context(), f.client(t), &e)
	if err == nil || len(chain) != 0 || string(pre) != "precertificate 0" {
		t.Errorf("%q, %d certificates, %v", pre, len(chain), err)
	}
}

func TestTilePaths(t *testing.T) {
	for _, tc := range []struct {
		level int
		index uint64
		width int
		want  string
	}{
		{0, 0, 256, "tile/0/000"}, {1, 999, 0, "tile/1/999"}, {DataTile, 1000, 0, "tile/data/x001/000"}, {5, 1_234_067, 8, "tile/5/x001/x234/067.p/8"},
		{DataTile, 70_000_000_001, 255, "tile/data/x070/x000/x000/001.p/255"},
	} {
		if got := TilePath(tc.level, tc.index, tc.width); got != tc.want {
			t.Errorf("%s, want %s", got, tc.want)
		}
	}
}

// D05: an entry is later than the head that covers it.
func TestD05AHeadOlderThanItsEntriesIsTold(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 300)
		f.sign = func(h *Head) { h.Timestamp = baseTime + 299_000 - 161 }
		r := newReceiver(t, f)
		if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
			t.Fatal(err)
		}
		r.exactly(0, 300)
		if d := cmp.Diff([]string{FalseTime}, r.kinds()); d != "" {
			t.Fatal(d)
		}
		if ev, _ := checkEvidence(t, f, r.faults[0], 1); ev.From != 299 || !strings.Contains(r.faults[0].Text, "entry 299 is 161 ms later") {
			t.Errorf("%s, %+v", r.faults[0].Text, ev)
		}
	})
}

func TestAReadOnlyLogIsReadToItsProvenFinalHead(t *testing.T) {
	for name, change := range map[string]func(*loglist.TreeHead){
		"true": func(*loglist.TreeHead) {}, "false": func(h *loglist.TreeHead) { h.Root[0]++ }, "smaller and true": nil,
	} {
		t.Run(name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, kind loglist.Kind) {
				f := newFakeLog(t, kind, 700)
				f.log.State = loglist.ReadOnly
				f.log.Final = &loglist.TreeHead{Size: 700, Root: f.root(700)}
				if change == nil {
					f.log.Final = &loglist.TreeHead{Size: 600, Root: f.root(600)}
				} else {
					change(f.log.Final)
				}
				r := newReceiver(t, f)
				tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
				defer stop()
				pass(10 * time.Minute)
				r.exactly(0, 700)
				want, faults := "live", []string(nil)
				switch name {
				case "true":
					want = "closed"
					if f.heads != 1 {
						t.Errorf("asked for its head %d times", f.heads)
					}
				case "false":
					want, faults = "faulty", []string{FalseFinal}
				}
				if got := tail.Status().State; got != want {
					t.Errorf("state %s, want %s", got, want)
				}
				if d := cmp.Diff(faults, r.kinds()); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestStatusTellsTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 30_000)
		slot := make(chan struct{}, 1)
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if isEntries(r) {
				slot <- struct{}{}
				_ = sleep(r.Context(), 2560*time.Millisecond) // 256 entries at a time: 100 a second
				<-slot
			}
			return false
		}
		r := newReceiver(t, nil)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(50 * time.Second)
		s := tail.Status()
		if s.State != "behind" || s.Rate < 80 || s.Rate > 120 || s.Position < 4_000 || s.CatchUp < 200*time.Second || s.CatchUp > 350*time.Second {
			t.Errorf("%s at %d, rate %.1f, catches up in %v", s.State, s.Position, s.Rate, s.CatchUp)
		}
		// While that head is being read the log grows by 50 entries a second.
		f.grow(32_500)
		pass(50 * time.Second)
		if s := tail.Status(); s.Head.Size != 32_500 || s.Growth < 20 || s.Growth > 50 || s.CatchUp < 250*time.Second {
			t.Errorf("head of size %d, growth %.1f, catches up in %v", s.Head.Size, s.Growth, s.CatchUp)
		}
		pass(10 * time.Minute)
		r.exactly(0, 32_500)
		if s := tail.Status(); s.State != "live" || s.Faults != 0 || len(tail.later) != 0 {
			t.Errorf("%+v, %d heads left", s, len(tail.later))
		}
	})
}

// A head that was seen on the way is checked, too.
func TestAForkedHeadSeenOnTheWayIsFound(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 5_000)
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if isEntries(r) {
				_ = sleep(r.Context(), 20*time.Second)
			}
			return false
		}
		r := newReceiver(t, f)
		_, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(10 * time.Second)
		f.set(func() {
			f.size = 4_000
			f.sign = func(h *Head) { h.Root[3] ^= 1 }
			honest := f.fault
			f.fault = func(w http.ResponseWriter, r *http.Request) bool { return honest(w, r) || alsoServe(f, 5_000)(w, r) }
		})
		pass(70 * time.Second)
		f.set(func() { f.size, f.sign = 5_000, nil })
		pass(20 * time.Minute)
		r.exactly(0, 5_000)
		if d := cmp.Diff([]string{Forked}, r.kinds()); d != "" {
			t.Fatal(d)
		}
		if _, heads := checkEvidence(t, f, r.faults[0], 2); heads[0].Size != 4_000 || heads[1].Size != 5_000 {
			t.Errorf("heads of sizes %d and %d", heads[0].Size, heads[1].Size)
		}
	})
}

func TestALogThatIsDownIsUnreachableAndStopsAtOnce(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 10)
		f.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}
		r := newReceiver(t, f)
		if err := r.once(f.client(t), TailOptions{Attempts: 2}); !errors.Is(err, ErrBlind) || !strings.Contains(err.Error(), "no whole answer within 1m0s") {
			t.Errorf("once: %v", err)
		}
		tail, stop := follow(t, r, f.client(t), TailOptions{})
		pass(time.Hour)
		if s := tail.Status(); s.State != "unreachable" || s.Faults != 0 {
			t.Errorf("status %+v", s)
		}
		before := time.Now()
		stop()
		if d := time.Since(before); d != 0 {
			t.Errorf("stopping took %v", d)
		}
		if err := tail.opts.Deliver(context.Background(), &Delivery{}); err != nil {
			t.Error(err)
		}
	})
}
