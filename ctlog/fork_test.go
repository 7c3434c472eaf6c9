package ctlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

// D04: the log serves an entry that it did not hash.
func TestD04AWrongRootIsReportedOnceAndReadingGoesOn(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 700)
		r := newReceiver(t, nil)
		if err := r.once(f.client(t), TailOptions{}); err != nil {
			t.Fatal(err)
		}
		f.grow(1000)
		good := f.entries[800]
		bad := good
		bad.Cert = []byte("certificate 8O0 ")
		bad.Leaf, _ = AppendMerkleTreeLeaf(nil, &bad)
		f.entries[800] = bad
		if err := r.once(f.client(t), TailOptions{}); !errors.Is(err, ErrBlind) {
			t.Errorf("once: %v", err)
		}
		if r.cursor.Size != 700 || r.cursor.Verified.Size != 700 {
			t.Errorf("rewound to %d, verified %d", r.cursor.Size, r.cursor.Verified.Size)
		}
		tail, stop := follow(t, r, f.client(t), TailOptions{})
		defer stop()
		pass(time.Hour)
		if s := tail.Status(); s.State != "faulty" || s.Faults != 1 || s.Verified != 700 {
			t.Errorf("while at fault: %+v", s)
		}
		if d := cmp.Diff([]string{WrongRoot, WrongRoot}, r.kinds()); d != "" { // one by each tailer
			t.Fatal(d)
		}
		ev, heads := checkEvidence(t, f, r.faults[0], 1)
		if ev.EntryIndex != 800 || ev.From != 700 || ev.To != 1000 || *ev.Want != heads[0].Root || *ev.Got == *ev.Want || heads[0].Size != 1000 {
			t.Errorf("evidence %+v", ev)
		}
		if *ev.FirstBad != [2]uint64{800, 801} {
			t.Errorf("the wrong entry 800 is sought in %v", *ev.FirstBad)
		}
		for i := uint64(700); i < 1000; i++ {
			if r.times[i] < 2 {
				t.Fatalf("entry %d was not delivered again", i)
			}
		}
		f.set(func() { f.entries[800] = good })
		pass(10 * time.Minute)
		if s := tail.Status(); s.State != "live" || s.Verified != 1000 {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

func TestABadSignatureIsReportedAndReadingGoesOn(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 10)
		other := newFakeLog(t, kind, 0)
		key := f.key
		f.key = other.key
		r := newReceiver(t, f)
		if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); !errors.Is(err, ErrBlind) {
			t.Errorf("once: %v", err)
		}
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(50 * time.Minute)
		if s := tail.Status(); s.State != "faulty" || s.Faults != 1 || len(r.times) != 0 {
			t.Errorf("status %+v", s)
		}
		var ev Evidence
		if err := json.Unmarshal(r.faults[1].Evidence, &ev); err != nil || r.faults[1].Kind != BadSignature || len(ev.Heads) != 1 {
			t.Errorf("fault %+v", r.faults[1])
		}
		f.set(func() { f.key = key })
		pass(10 * time.Minute)
		r.exactly(0, 10)
		if s := tail.Status(); s.State != "live" {
			t.Errorf("status %+v", s)
		}
	})
}

// D03: an older head is held against the verified tree; a contradiction is a fork, consistent ones are none.
func TestD03OldHeadsAreCheckedWhateverTheirSize(t *testing.T) {
	for _, size := range []uint64{1000, 1024, 1100, 1200} {
		t.Run(fmt.Sprintf("another root at %d", size), func(t *testing.T) {
			forBoth(t, func(t *testing.T, kind loglist.Kind) {
				f := newFakeLog(t, kind, 1000)
				r := newReceiver(t, f)
				tail, stop := follow(t, r, f.client(t), TailOptions{})
				defer stop()
				show := func(n uint64) {
					f.set(func() { f.size = n })
					pass(time.Minute)
				}
				pass(time.Minute)
				f.grow(1200)
				show(1200)
				f.set(func() { f.fault = alsoServe(f, 1200) }) // only the head lags
				show(1100)
				if s := tail.Status(); s.Faults != 0 || s.State != "live" || s.Verified != 1200 {
					t.Fatalf("consistent heads: %+v %v", s, r.kinds())
				}
				f.set(func() {
					f.size = size
					f.sign = func(h *Head) {
						if h.Size == size {
							h.Root = Hash{1}
						}
					}
				})
				pass(10 * time.Minute)
				if d := cmp.Diff([]string{Forked}, r.kinds()); d != "" {
					t.Fatal(d)
				}
				_, heads := checkEvidence(t, f, r.faults[0], 2)
				if heads[0].Size > heads[1].Size || heads[0].Root == heads[1].Root || heads[0].Size != size {
					t.Errorf("heads of sizes %d and %d in evidence", heads[0].Size, heads[1].Size)
				}
				f.set(func() { f.sign = nil })
				f.grow(1300)
				pass(10 * time.Minute)
				r.exactly(1000, 1300)
				if s := tail.Status(); s.State != "live" {
					t.Errorf("afterwards: %+v", s)
				}
			})
		})
	}
}

// alsoServe answers all but heads as if the log had shown a head of the size.
func alsoServe(f *fakeLog, size uint64) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "get-sth") || strings.HasSuffix(r.URL.Path, "checkpoint") {
			return false
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		shown := f.size
		f.size = max(size, shown)
		body, _ := f.answer(strings.TrimPrefix(r.URL.Path, "/2027/"), r)
		f.size = shown
		if body == nil {
			http.NotFound(w, r)
		} else {
			_, _ = w.Write(body)
		}
		return true
	}
}

func TestALogThatGoesOnWithAnotherTreeIsForked(t *testing.T) {
	for _, verified := range []int{512, 600} { // a proof from 512 does not hold the root at 512
		t.Run(strconv.Itoa(verified), func(t *testing.T) {
			forBoth(t, func(t *testing.T, kind loglist.Kind) {
				f := newFakeLog(t, kind, verified)
				g := f.fork(500)
				r := newReceiver(t, nil)
				if err := r.once(f.client(t), TailOptions{}); err != nil {
					t.Fatal(err)
				}
				g.growSalted(700, "of another tree")
				tail, stop := follow(t, r, g.client(t), TailOptions{})
				defer stop()
				pass(20 * time.Minute)
				if d := cmp.Diff([]string{Forked}, r.kinds()); d != "" {
					t.Fatal(d)
				}
				ev, heads := checkEvidence(t, f, r.faults[0], 2)
				if heads[0].Size != uint64(verified) || heads[1].Size != 700 || *ev.Got != g.root(uint64(verified)) {
					t.Errorf("evidence %+v", ev)
				}
				if kind == loglist.Static || verified == 600 {
					older := Head{Size: heads[0].Size, Root: *ev.Got}
					if err := verifyConsistency(older, heads[1], ev.Proof); err != nil {
						t.Errorf("the proof in evidence: %v", err)
					}
				}
				if s := tail.Status(); s.State != "faulty" || r.times[699] == 0 || r.cursor.Verified.Size != uint64(verified) {
					t.Errorf("the fork's entries came %d times; %+v", r.times[699], s)
				}
			})
		})
	}
}

// useless makes a log answer with consistency proofs that prove nothing.
func useless(f *fakeLog) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "get-sth-consistency") {
			return false
		}
		p := slices.Repeat([]Hash{{7}}, 8)
		_, _ = w.Write(mustJSON(map[string]any{"consistency": p}))
		return true
	}
}

func TestAUselessConsistencyProofAccusesNobodyWhereTheEntriesDecide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 600)
		r := newReceiver(t, f)
		if err := r.once(f.client(t), TailOptions{}); err != nil {
			t.Fatal(err)
		}
		f.fault = useless(f)
		_, stop := follow(t, r, f.client(t), TailOptions{})
		defer stop()
		for n := 601; n < 650; n++ {
			f.grow(n)
			pass(5 * time.Minute)
		}
		r.exactly(600, 649)
		if k := r.kinds(); k != nil {
			t.Error(k)
		}
	})
}

// A head that contradicts the log is shown once, without its entries; the next one is honest again.
func TestAForkedHeadThatCannotBeReadIsNotForgotten(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 600)
		r := newReceiver(t, f)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(time.Minute)
		f.grow(610)
		f.set(func() {
			f.sign = func(h *Head) { h.Root[5] ^= 1 }
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "get-sth") || strings.HasSuffix(r.URL.Path, "checkpoint") {
					return false
				}
				http.NotFound(w, r) // neither entries nor proofs
				return true
			}
		})
		pass(2 * time.Minute)
		if k := r.kinds(); k != nil {
			t.Errorf("so far nothing is known: %v", k)
		}
		f.set(func() { f.sign = nil })
		f.grow(650)
		pass(5 * time.Minute)
		f.set(func() { f.fault = nil })
		pass(10 * time.Minute)
		r.exactly(0, 650)
		if d := cmp.Diff([]string{Forked}, r.kinds()); d != "" {
			t.Fatal(d)
		}
		_, heads := checkEvidence(t, f, r.faults[0], 2)
		if heads[0].Size != 610 || heads[1].Size != 650 {
			t.Errorf("heads of sizes %d and %d in evidence", heads[0].Size, heads[1].Size)
		}
		ev, err := ReadEvidence(r.faults[0].Evidence)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ev.Verify(f.log); err != nil || got.Verdict != Proven {
			t.Errorf("%+v, %v", got, err)
		}
		if s := tail.Status(); s.State != "live" || len(tail.later) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestThePatienceWithALogThatLostEntriesOutlivesRestarts(t *testing.T) {
	for _, apart := range []time.Duration{time.Minute, 5 * time.Hour} { // how long it is down each time
		forBoth(t, func(t *testing.T, kind loglist.Kind) {
			f := newFakeLog(t, kind, 600)
			f.log.MMD = 2 * time.Hour
			r := newReceiver(t, nil)
			if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
				t.Fatal(err)
			}
			f.set(func() { f.size = 500 })
			for range 6 {
				_, stop := follow(t, r, f.client(t), TailOptions{})
				pass(30 * time.Minute)
				stop()
				time.Sleep(apart)
			}
			want := []string{Rollback}
			if apart > time.Hour {
				want = nil // what was between nobody has seen
			}
			if d := cmp.Diff(want, slices.Compact(r.kinds())); d != "" { // again by each tailer
				t.Error(d)
			}
			f.set(func() { f.size = 600 })
			_, stop := follow(t, r, f.client(t), TailOptions{})
			pass(30 * time.Minute)
			stop()
			if r.cursor.Doubts != nil {
				t.Errorf("still in doubt: %v", r.cursor.Doubts)
			}
		})
	}
}
