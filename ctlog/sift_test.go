package ctlog

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

func TestWhatIsSiftedComesWithTheDelivery(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 3000)
		var sifted atomic.Int64
		hits := 0
		tail := NewTailer(f.client(t), Cursor{}, &TailOptions{Once: true, From: Start{Zero: true},
			Sift: func(entries []Entry, hits []int) ([]int, any) {
				for i := range entries {
					if entries[i].Index%7 == 0 {
						hits = append(hits, i)
					}
				}
				sifted.Add(int64(len(entries)))
				return hits, entries[0].Index
			},
			Deliver: deliverFunc(func(d *Delivery) {
				var want []int
				for i := range d.Entries {
					if d.Entries[i].Index%7 == 0 {
						want = append(want, i)
					}
				}
				if !cmp.Equal(d.Hits, want) && len(d.Hits)+len(want) > 0 {
					t.Errorf("hits %v, want %v", d.Hits, want)
				}
				if len(d.Entries) > 0 && d.Mark != any(d.Entries[0].Index) {
					t.Errorf("mark %v of entries from %d", d.Mark, d.Entries[0].Index)
				}
				for _, i := range d.Hits {
					hits++
					e, w := &d.Entries[i], &f.entries[d.Entries[i].Index]
					if e.Extra != nil {
						t.Errorf("entry %d has its extra data, which nobody asked for", e.Index)
					}
					if err := e.LoadExtra(); err != nil || kind == loglist.RFC6962 && !bytes.Equal(e.Extra, w.Extra) {
						t.Errorf("entry %d: extra data %x, %v; want %x", e.Index, e.Extra, err, w.Extra)
					}
					if !bytes.Equal(e.Leaf, w.Leaf) {
						t.Errorf("entry %d has another leaf", e.Index)
					}
				}
			})})
		if err := tail.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		if sifted.Load() != 3000 || hits != 429 || tail.cur.Verified.Size != 3000 {
			t.Errorf("%d entries sifted, %d hits, %d verified", sifted.Load(), hits, tail.cur.Verified.Size)
		}
	})
}

func TestExtraDataThatIsNoBase64HidesNoEntry(t *testing.T) {
	page := fmt.Sprintf(`{"entries":[{"leaf_input":"%s","extra_data":"***"},{"leaf_input": "QUJDREVGR0hJSktM\u0051UI\/","extra_data":"QU\u004a\/"}]}`,
		base64.StdEncoding.EncodeToString([]byte("leaf")))
	b := Batch{lazy: true}
	if err := ReadEntriesPage([]byte(page), 5, &b); err != nil || len(b.Entries) != 2 || string(b.Entries[0].Leaf) != "leaf" {
		t.Fatalf("%+v, %v", b.Entries, err)
	}
	if got := string(b.Entries[1].Leaf); got != "ABCDEFGHIJKLAB?" {
		t.Errorf("a leaf with escapes is %q", got)
	}
	if err := b.Entries[0].LoadExtra(); err == nil || b.Entries[0].Extra != nil {
		t.Errorf("extra data %q", b.Entries[0].Extra)
	}
	if err := b.Entries[1].LoadExtra(); err != nil || string(b.Entries[1].Extra) != "AB\x7f" {
		t.Errorf("extra data %q, %v", b.Entries[1].Extra, err)
	}
}

// An RFC 6962 log is asked for several pages at once when it cuts its answers alike, and loses nothing when it changes
// its mind.
func TestPagesAreReadAheadWhileTheirSizeIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 9000)
		var mu sync.Mutex
		page, now, most := uint64(100), 0, 0
		f.max = func(start, n uint64) uint64 {
			if start > 6000 {
				page = 70 + start%11 // from here on as it likes
			}
			return min(n, page)
		}
		f.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if isEntries(r) {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				_ = sleep(r.Context(), time.Second)
				mu.Lock()
				now--
				mu.Unlock()
			}
			return false
		}
		r := newReceiver(t, f)
		begun := time.Now()
		if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
			t.Fatal(err)
		}
		r.exactly(0, 9000)
		if most != 3 {
			t.Errorf("%d requests at once, want 3", most)
		}
		if took := time.Since(begun); took > 90*time.Second { // one by one it is 98 pages or more
			t.Errorf("took %v", took)
		}
	})
}

func TestSubtreeRootsAreThoseOfTheTree(t *testing.T) {
	f := newFakeLog(t, loglist.RFC6962, 700)
	for _, tc := range [][2]uint64{{0, 1}, {0, 256}, {0, 700}, {1, 2}, {1, 256}, {3, 699}, {255, 257}, {256, 512}, {300, 300}, {511, 700}} {
		tree, err := newRange(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		for from := uint64(0); from < 700; {
			to := uint64(700)
			switch {
			case from < tc[0]:
				to = tc[0]
			case from < tc[1]:
				to = tc[1]
			}
			l := &load{Batch: Batch{Entries: f.entries[from:to]}}
			l.digest(from, nil)
			for i := range l.parts {
				if err := l.parts[i].join(tree); err != nil {
					t.Fatalf("%v: %v", tc, err)
				}
			}
			from = to
			if root := rangeRoot(tree); root != f.root(to) {
				t.Fatalf("cut at %v: the root at %d is %s, want %s", tc, to, root, f.root(to))
			}
		}
	}
}

// A leaf that is no longer where it was decoded is hashed as it is, whatever stands before it in memory.
func TestWhatIsHashedIsTheLeaf(t *testing.T) {
	f := newFakeLog(t, loglist.RFC6962, 1)
	var b Batch
	page, err := f.answer("ct/v1/get-entries", mustRequest("/ct/v1/get-entries?start=0&end=0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ReadEntriesPage(page, 0, &b); err != nil {
		t.Fatal(err)
	}
	var h leafHasher
	e := &b.Entries[0]
	if h.entry(e) != f.entries[0].Hash() || e.hashed == nil {
		t.Error("another hash")
	}
	e.Leaf = []byte("something else")
	if h.entry(e) != e.Hash() {
		t.Error("the hash of what stood there before")
	}
}

func mustRequest(url string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	return r
}
