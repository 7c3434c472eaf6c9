package ctlog

import (
	"bytes"
	"net/http"
	"slices"
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
