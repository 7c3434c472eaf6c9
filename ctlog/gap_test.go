package ctlog

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tocsin-ct/tocsin/loglist"
)

// came checks which entries were delivered at least once.
func (r *receiver) came(from, to uint64, want bool) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := from; i < to; i++ {
		if (r.times[i] > 0) != want {
			r.t.Fatalf("entry %d came %d times", i, r.times[i])
		}
	}
}

func bounds(gaps []Range) (out [][2]uint64) {
	for _, g := range gaps {
		out = append(out, [2]uint64{g.From, g.To})
	}
	return out
}

func TestD15AMissingTileIsToldAndReadingGoesOnBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.Static, 2000)
		f.log.MMD = time.Minute
		lost := map[string]bool{"tile/data/003": true, "tile/data/004": true, "tile/data/006": true}
		f.gone = func(path string) bool { return lost[path] }
		r := newReceiver(t, f)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		pass(50 * time.Minute)
		r.exactly(0, 768)
		if k := r.kinds(); k != nil {
			t.Errorf("accused too early: %v", k)
		}
		pass(30 * time.Minute)
		want := [][2]uint64{{768, 1280}, {1536, 1792}}
		r.came(0, 768, true)
		r.came(768, 1280, false)
		r.came(1280, 1536, true)
		r.came(1536, 1792, false)
		r.came(1792, 2000, true)
		s := tail.Status()
		if d := cmp.Diff(want, bounds(s.Gaps)); d != "" || s.Verified != 2000 || s.Position != 2000 {
			t.Errorf("verified %d: %s", s.Verified, d)
		}
		if text := r.of(Withheld).Text; !strings.Contains(text, "tile/data/003") || !strings.Contains(text, "768 to 1023") {
			t.Errorf("told without the tile: %s", text)
		}
		if ev, _ := checkEvidence(t, f, r.of(Withheld), 1); ev.Tile != "tile/data/003" || ev.From != 768 || ev.To != 1024 || ev.Answer == "" || ev.Since.IsZero() {
			t.Errorf("evidence %+v", ev)
		}

		// The gaps outlive a restart, and new entries are live beside them.
		stop()
		tail, stop = follow(t, r, f.client(t), TailOptions{})
		defer stop()
		f.grow(2100)
		pass(2 * time.Minute)
		r.came(2000, 2100, true)
		if s := tail.Status(); s.Verified != 2100 || s.State != "live" || len(s.Gaps) != 2 {
			t.Errorf("after a restart: %+v", s)
		}
		before := f.count("tile/data/003")
		pass(24 * time.Hour)
		if n := f.count("tile/data/003") - before; n < 4 || n > 40 {
			t.Errorf("asked %d times in a day for what is missing", n)
		}
		f.set(func() { delete(lost, "tile/data/004") })
		pass(7 * time.Hour)
		r.came(1024, 1280, true)
		if d := cmp.Diff([][2]uint64{{768, 1024}, {1536, 1792}}, bounds(tail.Status().Gaps)); d != "" {
			t.Error(d)
		}
		f.set(func() { clear(lost) })
		pass(7 * time.Hour)
		r.exactly(0, 2100)
		if s := tail.Status(); len(s.Gaps) != 0 || s.State != "live" {
			t.Errorf("afterwards %+v", s)
		}
	})
}

func TestD15ThePatienceOutlivesRestarts(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 2000)
		f.log.MMD = 2 * time.Hour
		f.gone = func(path string) bool { return path == "tile/data/003" }
		f.fault = missing(f, 768, 1024)
		r := newReceiver(t, f)
		for range 6 { // restarted again and again, each time long before the patience ends
			_, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
			pass(30 * time.Minute)
			stop()
		}
		if d := cmp.Diff([]string{Withheld}, r.kinds()); d != "" {
			t.Error(d)
		}
		r.came(1024, 2000, true)
		if r.cursor.Stuck != nil {
			t.Errorf("still stuck at %d", r.cursor.Stuck.At)
		}
	})
}

func TestD15AMissingRangeOfAnRFC6962LogIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 2000)
		f.log.MMD = time.Hour
		f.fault = missing(f, 700, 901)
		r := newReceiver(t, f)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(75 * time.Minute)
		r.came(0, 700, true)
		r.came(700, 901, false)
		r.came(901, 2000, true)
		s := tail.Status()
		if d := cmp.Diff([][2]uint64{{700, 901}}, bounds(s.Gaps)); d != "" || s.Verified != 2000 || s.Gaps[0].Unhashed {
			t.Errorf("verified %d: %s", s.Verified, d)
		}
		f.set(func() { f.fault = missing(f, 800, 901) }) // a part comes back
		pass(7 * time.Hour)
		if d := cmp.Diff([][2]uint64{{800, 901}}, bounds(tail.Status().Gaps)); d != "" {
			t.Error(d)
		}
		f.set(func() { f.fault = nil })
		pass(7 * time.Hour)
		r.exactly(0, 2000)
		if s := tail.Status(); len(s.Gaps) != 0 || s.State != "live" {
			t.Errorf("afterwards %+v", s)
		}
	})
}

// Where the log proves nothing either, all behind the gap is delivered and nothing of it counts as verified.
func TestD15WithoutProofsNothingBehindAGapCountsAsVerified(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 500)
		f.log.MMD = time.Minute
		r := newReceiver(t, f)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		pass(time.Minute)
		f.grow(2000)
		gone := missing(f, 768, 1024)
		f.set(func() {
			f.gone = func(path string) bool { return path == "tile/data/003" || strings.HasPrefix(path, "tile/0/003") }
			if kind == loglist.RFC6962 {
				f.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if strings.Contains(r.URL.Path, "proof") || strings.Contains(r.URL.Path, "consistency") {
						http.NotFound(w, r)
						return true
					}
					return gone(w, r)
				}
			}
		})
		pass(80 * time.Minute)
		r.came(768, 1024, false)
		r.came(1024, 2000, true)
		s := tail.Status()
		if len(s.Gaps) != 1 || !s.Gaps[0].Unhashed || s.Verified != 500 || s.State != "behind" {
			t.Errorf("with a gap: %+v", s)
		}
		f.grow(2200)
		pass(10 * time.Minute)
		r.came(2000, 2200, true)
		for _, k := range r.kinds() {
			if k != Withheld {
				t.Errorf("accused of %s", k)
			}
		}
		stop()
		tail, stop = follow(t, r, f.client(t), TailOptions{})
		defer stop()
		f.set(func() { f.fault, f.gone = nil, nil })
		pass(7 * time.Hour)
		r.came(0, 2200, true)
		if s := tail.Status(); s.Verified != 2200 || len(s.Gaps) != 0 || s.State != "live" {
			t.Errorf("served at last: %+v", s)
		}
	})
}

func TestEntriesThatComeLateMustBeThoseThatWereSigned(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 2000)
		f.log.MMD = time.Minute
		f.gone = func(path string) bool { return path == "tile/data/003" }
		f.fault = missing(f, 768, 1024)
		r := newReceiver(t, nil)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(80 * time.Minute)
		good := f.entries[900]
		f.set(func() {
			f.gone, f.fault = nil, nil
			e := &f.entries[900]
			e.Cert = []byte("certificate 9OO ")
			e.Leaf, _ = AppendMerkleTreeLeaf(nil, e)
		})
		pass(7 * time.Hour)
		r.came(768, 1024, true) // to be searched, whatever they are
		if s := tail.Status(); len(s.Gaps) == 0 {
			t.Error("entries that were not signed have closed the gap")
		}
		fault := r.of(WrongRoot)
		ev, err := ReadEvidence(fault.Evidence)
		if err != nil {
			t.Fatal(err, r.kinds())
		}
		if got, err := ev.Verify(f.log); err != nil || got.Verdict != Shown || ev.EntryIndex != 900 {
			t.Errorf("%+v, %v, entry %d", got, err, ev.EntryIndex)
		}
		f.set(func() { f.entries[900] = good })
		pass(7 * time.Hour)
		if s := tail.Status(); len(s.Gaps) != 0 || s.State != "live" {
			t.Errorf("afterwards %+v", s)
		}
	})
}

func TestOnceIsBlindWhileSomethingIsOwed(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 2000)
		f.log.MMD = time.Minute
		f.gone = func(path string) bool { return path == "tile/data/003" }
		f.fault = missing(f, 768, 1024)
		r := newReceiver(t, f)
		_, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		pass(80 * time.Minute)
		stop()
		err := r.once(f.client(t), TailOptions{})
		if !errors.Is(err, ErrBlind) || !strings.Contains(err.Error(), "256 entries") {
			t.Errorf("once: %v", err)
		}
		f.set(func() { f.gone, f.fault = nil, nil })
		if err := r.once(f.client(t), TailOptions{}); err != nil {
			t.Error(err)
		}
		r.exactly(0, 2000)
	})
}

// The end of a static log may be served only in the shape of its newest tree.
func TestAStuckHeadDoesNotHideALargerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.Static, 600)
		f.gone = func(path string) bool { return path == "tile/data/002.p/88" }
		r := newReceiver(t, f)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(5 * time.Minute)
		f.grow(650)
		pass(10 * time.Minute)
		r.exactly(0, 650)
		if s := tail.Status(); s.State != "live" || s.Verified != 650 || len(tail.later) != 0 || len(r.kinds()) != 0 {
			t.Errorf("%+v, %v", s, r.kinds())
		}
	})
}

func TestCursorsOfOlderVersionsAreRead(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 600)
	r := newReceiver(t, f)
	if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(r.cursor)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"begun", "start", "size", "hashes", "verified", "verified_hashes"} { // as they ever were
		if keys[key] == nil {
			t.Errorf("the stored cursor has no %q", key)
		}
	}
	if keys["gaps"] != nil {
		t.Error("a cursor without gaps stores some")
	}
}

func TestGapsAreCutAndJoined(t *testing.T) {
	gaps := []Range{{From: 10, To: 20}, {From: 30, To: 40, Before: []Hash{{1}}, Root: Hash{2}}}
	for _, tc := range []struct {
		from, to uint64
		want     [][2]uint64
	}{
		{0, 10, [][2]uint64{{10, 20}, {30, 40}}}, {10, 20, [][2]uint64{{30, 40}}}, {12, 15, [][2]uint64{{10, 12}, {15, 20}, {30, 40}}},
		{15, 35, [][2]uint64{{10, 15}, {35, 40}}}, {0, 99, nil},
	} {
		if d := cmp.Diff(tc.want, bounds(without(gaps, tc.from, tc.to))); d != "" {
			t.Errorf("without %d to %d: %s", tc.from, tc.to, d)
		}
	}
	joined := withGap(gaps, Range{From: 40, To: 50, Root: Hash{3}})
	want := []Range{gaps[0], {From: 30, To: 50, Before: []Hash{{1}}, Root: Hash{3}}}
	if d := cmp.Diff(want, joined, cmpopts.EquateEmpty()); d != "" || gaps[1].To != 40 {
		t.Error(d)
	}
	if d := cmp.Diff([][2]uint64{{10, 20}, {22, 25}, {30, 40}}, bounds(insertGap(gaps, Range{From: 22, To: 25}))); d != "" {
		t.Error(d)
	}
}

// One of two front ends serves a damaged entry: read once more all is well, so nobody is accused, unless it goes on.
func TestDamageOnTheWayAccusesNobodyUnlessItGoesOn(t *testing.T) {
	for _, long := range []bool{false, true} {
		forBoth(t, func(t *testing.T, kind loglist.Kind) {
			f := newFakeLog(t, kind, 600)
			r := newReceiver(t, nil)
			tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
			defer stop()
			pass(time.Minute)
			f.grow(700)
			damaged := f.fork(700)
			e := &damaged.entries[650]
			e.Cert = []byte("damaged")
			e.Leaf, _ = AppendMerkleTreeLeaf(nil, e)
			n := 0
			f.set(func() {
				f.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if !isEntries(r) || n >= 3 && !long {
						return false
					}
					if n++; n%2 == 0 {
						return false
					}
					damaged.ServeHTTP(w, r)
					return true
				}
			})
			pass(50 * time.Minute)
			if k := r.kinds(); k != nil {
				t.Errorf("accused: %v", k)
			}
			pass(50 * time.Minute)
			if d := cmp.Diff(map[bool][]string{true: {WrongRoot}}[long], r.kinds()); d != "" {
				t.Error(d)
			}
			f.set(func() { f.fault = nil })
			pass(10 * time.Minute)
			if s := tail.Status(); s.Verified != 700 || s.State != "live" {
				t.Errorf("%+v", s)
			}
		})
	}
}
