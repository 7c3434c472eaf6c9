package ctlog

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

// sawAside says how many of the log's entries of the range came aside.
func (r *receiver) sawAside(f *fakeLog, from, to int) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := from; i < to; i++ {
		if slices.ContainsFunc(r.aside, func(leaf []byte) bool { return bytes.Equal(leaf, f.entries[i].Leaf) }) {
			n++
		}
	}
	return n
}

// A certificate that somebody is shown in the other tree of a fork stands at an index that was read long ago.
func TestTheOtherTreeOfAForkIsReadFromWhereItParts(t *testing.T) {
	for name, size := range map[string]int{"a larger one": 1200, "one of equal size": 1000} {
		t.Run(name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, kind loglist.Kind) {
				f := newFakeLog(t, kind, 900)
				g := f.fork(900)
				r := newReceiver(t, nil)
				if err := r.once(f.client(t), TailOptions{}); err != nil {
					t.Fatal(err)
				}
				f.grow(1000)
				g.growSalted(size, "of another tree")
				if err := r.once(f.client(t), TailOptions{}); err != nil {
					t.Fatal(err)
				}
				_, stop := follow(t, r, g.client(t), TailOptions{})
				defer stop()
				pass(time.Hour)
				if n := r.sawAside(g, 900, size); n != size-900 {
					t.Errorf("%d of the %d entries of the other tree came", n, size-900)
				}
				// It parts at 900; the perfect subtree of the verified tree before that ends at 896.
				if n := len(r.aside); n > size-512 {
					t.Errorf("%d entries came aside: those of a head are read once, from near where its tree parts", n)
				}
				if d := cmp.Diff([]string{Forked}, r.kinds()); d != "" {
					t.Error(d)
				}
				if r.cursor.Verified.Size != 1000 || r.cursor.Verified.Root != f.root(1000) {
					t.Errorf("verified is now %d", r.cursor.Verified.Size)
				}
			})
		})
	}
}

// A log that lost entries goes on with others in their place. It cannot prove anything about the tree that it lost.
func TestASmallerTreeThatCannotBeProvenIsReadAndKeptAsEvidence(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 600)
		g := f.fork(500)
		r := newReceiver(t, nil)
		g.growSalted(550, "of another tree")
		var shown atomic.Pointer[fakeLog]
		shown.Store(f)
		c := f.client(t)
		f.fault = func(w http.ResponseWriter, req *http.Request) bool {
			if shown.Load() == f {
				return false
			}
			shown.Load().ServeHTTP(w, req)
			return true
		}
		tail, stop := follow(t, r, c, TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(time.Minute)
		shown.Store(g)
		pass(10 * time.Minute)
		if n := r.sawAside(g, 500, 550); n != 50 {
			t.Errorf("%d of the 50 entries in place of the lost ones came", n)
		}
		if kinds := r.kinds(); len(kinds) > 0 {
			t.Errorf("told %v of what cannot be proven yet", kinds)
		}
		shown.Store(f)
		f.grow(700)
		pass(10 * time.Minute)
		if d := cmp.Diff([]string{Forked}, r.kinds()); d != "" {
			t.Error(d)
		}
		if s := tail.Status(); s.Verified != 700 || s.State != "live" {
			t.Errorf("%+v", s)
		}
	})
}

// A fork may be longer than what is read at one go: it is read to its end, slice by slice, across restarts and growth,
// and the verified tree goes on meanwhile.
func TestALongForkIsReadToItsEndAcrossRestarts(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 900)
		g := f.fork(900)
		g.growSalted(4000, "of another tree")
		f.grow(1000)
		var other atomic.Bool
		f.fault = func(w http.ResponseWriter, req *http.Request) bool { // one front end for each tree
			if !other.Load() {
				return false
			}
			g.ServeHTTP(w, req)
			return true
		}
		r := newReceiver(t, nil)
		if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
			t.Fatal(err)
		}
		other.Store(true)
		begin := func() (*Tailer, func()) {
			tail := r.tailer(f.client(t), TailOptions{Poll: time.Minute})
			tail.aside.slice = 256
			return tail, running(t, tail)
		}
		for range 4 { // killed again and again in the middle
			_, stop := begin()
			pass(time.Second)
			stop()
		}
		if a := r.cursor.Aside; a == nil || a.Next <= 900 || a.Next >= 4000 || a.Head.Size != 4000 {
			t.Fatalf("the cursor holds %+v of a fork in the middle", a)
		}
		g.growSalted(4500, "of another tree") // the next head takes the place of the one that is read
		_, stop := begin()
		pass(time.Hour)
		stop()
		if n := r.sawAside(g, 900, 4500); n != 3600 {
			t.Errorf("%d of the 3600 entries of the other tree came", n)
		}
		if n := len(r.aside); n > 4500-512+6*256 { // a slice may come again after each end
			t.Errorf("%d entries came aside: a restart reads on where it was", n)
		}
		if a := r.cursor.Aside; a == nil || a.Head.Size != 0 || a.Done.Size != 4500 {
			t.Errorf("afterwards the cursor holds %+v", a)
		}
		other.Store(false)
		f.grow(1100)
		_, stop = begin()
		pass(10 * time.Minute)
		stop()
		if v := r.cursor.Verified; v.Size != 1100 || v.Root != f.root(1100) {
			t.Errorf("verified is now %d", v.Size)
		}
	})
}

// A smaller head without a proof waits for one. The program may end in between: a signed head is never forgotten.
func TestAHeadThatCouldNotBeCheckedIsCheckedAfterARestart(t *testing.T) {
	for name, salt := range map[string]string{"consistent": "", "of another tree": "of another tree"} {
		t.Run(name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, kind loglist.Kind) {
				f := newFakeLog(t, kind, 600)
				g := f.fork(500)
				g.growSalted(550, salt)
				r := newReceiver(t, nil)
				if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
					t.Fatal(err)
				}
				f.set(func() {
					f.fault = func(w http.ResponseWriter, req *http.Request) bool {
						if strings.HasSuffix(req.URL.Path, "get-sth") || strings.HasSuffix(req.URL.Path, "checkpoint") {
							g.ServeHTTP(w, req) // one head of a tree of which nothing else is to be had
							return true
						}
						http.Error(w, "no", http.StatusInternalServerError)
						return true
					}
				})
				_, stop := follow(t, r, f.client(t), TailOptions{})
				pass(3 * time.Minute)
				stop()
				if u := r.cursor.Undecided; len(u) != 1 || u[0].Size != 550 || u[0].Raw == nil {
					t.Fatalf("the cursor holds %+v", u)
				}
				if k := r.kinds(); k != nil {
					t.Errorf("accused without proof: %v", k)
				}
				f.set(func() { f.fault = nil })
				f.grow(700)
				_, stop = follow(t, r, f.client(t), TailOptions{})
				pass(10 * time.Minute)
				stop()
				want := []string(nil)
				if salt != "" {
					want = []string{Forked}
				}
				if d := cmp.Diff(want, r.kinds()); d != "" {
					t.Error(d)
				}
				if salt != "" {
					checkEvidence(t, f, r.of(Forked), 2)
				}
				if u := r.cursor.Undecided; u != nil {
					t.Errorf("afterwards the cursor still holds %+v", u)
				}
			})
		})
	}
}

// The cursor is stored often: of a long head it keeps what the log's signature needs.
func TestALongHeadIsKeptShortAndStillVerifies(t *testing.T) {
	for _, kind := range []loglist.Kind{loglist.RFC6962, loglist.Static} {
		f := newFakeLog(t, kind, 600)
		raw := f.rawHead(600)
		if kind == loglist.Static {
			text, signatures, _ := bytes.Cut(raw, []byte("\n\n"))
			raw = slices.Concat(text, []byte("\nan extension line"), []byte("\n\n"), signatures)
			for i := range 90 {
				raw = fmt.Appendf(raw, "\u2014 witness%d.example AAAA%s\n", i, strings.Repeat("B", 88))
			}
		} else {
			raw = append(bytes.TrimSpace(raw[:len(raw)-1]), `,"note":"`+strings.Repeat("x", 5000)+`"}`...)
		}
		h, err := VerifyHead(f.log, raw)
		if err != nil {
			t.Fatal(err)
		}
		lean := newReceiver(t, nil).tailer(f.client(t), TailOptions{}).lean(h)
		if again, err := VerifyHead(f.log, lean.Raw); err != nil || again.Root != h.Root || len(lean.Raw) > maxLean {
			t.Errorf("%v: %d bytes: %v\n%s", kind, len(lean.Raw), err, lean.Raw)
		}
	}
}
