package ctlog

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

// holed is missing for several ranges.
func holed(f *fakeLog, holes ...[2]uint64) func(http.ResponseWriter, *http.Request) bool {
	var each []func(http.ResponseWriter, *http.Request) bool
	for _, h := range holes {
		each = append(each, missing(f, h[0], h[1]))
	}
	f.max = func(start, n uint64) uint64 {
		n = min(n, 256)
		for _, h := range holes {
			if start < h[0] {
				n = min(n, h[0]-start)
			}
		}
		return n
	}
	return func(w http.ResponseWriter, r *http.Request) bool {
		for _, fault := range each {
			if fault(w, r) {
				return true
			}
		}
		return false
	}
}

// D15: an RFC 6962 log that misses several ranges is owed those and nothing between them, however they lie.
func TestD15SeveralHolesOfAnRFC6962LogAreFoundHoleByHole(t *testing.T) {
	for name, holes := range map[string][][2]uint64{
		"holes with little between": {{700, 720}, {730, 800}},
		"holes of one entry":        {{700, 701}, {702, 703}, {704, 705}, {706, 707}, {711, 900}},
		"a large hole with islands": {{500, 700}, {716, 900}, {930, 1400}},
		"to the end of a page":      {{512, 768}, {800, 1024}, {1100, 1536}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeLog(t, loglist.RFC6962, 2000)
				f.log.MMD = time.Hour
				f.fault = holed(f, holes...)
				r := newReceiver(t, f)
				tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}, Poll: 2 * time.Minute})
				defer stop()
				pass(26 * time.Hour)
				s := tail.Status()
				if d := cmp.Diff(holes, bounds(s.Gaps)); d != "" || s.Verified != 2000 {
					t.Errorf("verified %d, owed (-want +got):\n%s", s.Verified, d)
				}
				at := uint64(0)
				for _, h := range holes {
					r.came(at, h[0], true)
					r.came(h[0], h[1], false)
					at = h[1]
				}
				r.came(at, 2000, true)
				before := f.count("ct/v1/get-ent")
				pass(24 * time.Hour)
				if n := f.count("ct/v1/get-ent") - before; n < 4 || n > len(holes)*(maxProbes+gapRequests)*6 {
					t.Errorf("asked %d times in a day for what is missing", n)
				}
				f.set(func() { f.fault = nil })
				pass(7 * time.Hour)
				r.came(0, 2000, true)
				if s := tail.Status(); len(s.Gaps) != 0 || s.State != "live" {
					t.Errorf("afterwards %+v", s)
				}
			})
		})
	}
}

// What lies between two holes is held against the signed tree like all else.
func TestWhatLiesBetweenTwoHolesMustBeWhatWasSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 2000)
		f.log.MMD = time.Hour
		f.fault = holed(f, [2]uint64{700, 720}, [2]uint64{730, 800})
		good := f.entries[725]
		e := &f.entries[725]
		e.Cert = []byte("certificate 7Z5 ")
		e.Leaf, _ = AppendMerkleTreeLeaf(nil, e)
		r := newReceiver(t, nil)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}, Poll: 2 * time.Minute})
		defer stop()
		pass(10 * time.Hour)
		r.came(720, 730, true) // to be searched, whatever they are
		if d := cmp.Diff([][2]uint64{{700, 800}}, bounds(tail.Status().Gaps)); d != "" {
			t.Error(d)
		}
		ev, err := ReadEvidence(r.of(WrongRoot).Evidence)
		if err != nil {
			t.Fatal(err, r.kinds())
		}
		if got, err := ev.Verify(f.log); err != nil || got.Verdict != Shown || ev.EntryIndex != 725 {
			t.Errorf("%+v, %v, entry %d", got, err, ev.EntryIndex)
		}
		f.set(func() { f.entries[725] = good })
		pass(14 * time.Hour)
		if d := cmp.Diff([][2]uint64{{700, 720}, {730, 800}}, bounds(tail.Status().Gaps)); d != "" {
			t.Error(d)
		}
	})
}

// Without proofs for what lies between two holes it is matched, and owed until it is proven.
func TestWhatLiesBetweenTwoHolesIsOwedWithoutProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 2000)
		f.log.MMD = time.Hour
		gone := holed(f, [2]uint64{700, 720}, [2]uint64{730, 800})
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if i := r.FormValue("leaf_index"); strings.HasPrefix(i, "72") || r.FormValue("hash") != "" {
				http.Error(w, "no", http.StatusBadRequest)
				return true
			}
			return gone(w, r)
		}
		r := newReceiver(t, f)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}, Poll: 2 * time.Minute})
		defer stop()
		pass(10 * time.Hour)
		r.came(720, 730, true)
		if s := tail.Status(); len(s.Gaps) != 1 || s.Verified != 2000 || s.Gaps[0].To != 800 {
			t.Errorf("%+v", s)
		}
		f.set(func() { f.fault = gone })
		pass(14 * time.Hour)
		if d := cmp.Diff([][2]uint64{{700, 720}, {730, 800}}, bounds(tail.Status().Gaps)); d != "" {
			t.Error(d)
		}
	})
}

func TestPlacesInsideAGapAreEverDenserAndAllOfThem(t *testing.T) {
	for _, width := range []uint64{1, 2, 3, 7, 100, 1000} {
		seen := map[uint64]bool{}
		for n := uint64(1); n < 4*width; n++ {
			place := spread(n, width)
			if place >= width {
				t.Fatalf("place %d of %d", place, width)
			}
			seen[place] = true
		}
		if uint64(len(seen)) != width && width > 1 {
			t.Errorf("%d of %d places were met", len(seen), width)
		}
	}
}
