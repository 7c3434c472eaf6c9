package ctlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/loglist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func writeGzip(w io.Writer, b []byte) {
	z := gzip.NewWriter(w)
	_, _ = z.Write(b)
	_ = z.Close()
}

var bothKinds = []loglist.Kind{loglist.RFC6962, loglist.Static}

func forBoth(t *testing.T, test func(t *testing.T, kind loglist.Kind)) {
	for _, kind := range bothKinds {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, kind) })
		})
	}
}

func TestEveryEntryFromTheFirstIsReadAndVerified(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		for _, size := range []int{0, 1, 2, 3, 255, 256, 257, 600, 1025} {
			for _, zip := range []bool{false, true} {
				f := newFakeLog(t, kind, size)
				f.zip = zip
				r := newReceiver(t, f)
				if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
					t.Fatalf("size %d: %v", size, err)
				}
				r.exactly(0, uint64(size))
				if v := r.cursor.Verified; v.Size != uint64(size) || v.Root != f.root(uint64(size)) {
					t.Errorf("size %d: verified size %d", size, v.Size)
				}
				if k := r.kinds(); k != nil {
					t.Errorf("size %d: faults %v", size, k)
				}
			}
		}
	})
}

func TestReadingStartsAtTheRightEdgeAndGoesOn(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 0)
		for _, step := range []struct{ from, to int }{{0, 3}, {1, 2}, {256, 257}, {300, 300}, {511, 1100}, {1100, 1101}, {1200, 1400}} {
			f.grow(step.from)
			r := newReceiver(t, f)
			if err := r.once(f.client(t), TailOptions{}); err != nil {
				t.Fatal(err)
			}
			r.exactly(0, 0)
			if r.cursor.Verified.Size != uint64(step.from) || r.cursor.Start != uint64(step.from) {
				t.Fatalf("started at %d, verified %d, want %d", r.cursor.Start, r.cursor.Verified.Size, step.from)
			}
			f.grow(step.to)
			if err := r.once(f.client(t), TailOptions{}); err != nil {
				t.Fatal(err)
			}
			r.exactly(uint64(step.from), uint64(step.to))
			if k := r.kinds(); k != nil {
				t.Errorf("faults %v", k)
			}
		}
		if n := f.count("ct/v1/get-proof-by-hash"); n != 0 {
			t.Errorf("%d proofs by hash where get-entry-and-proof works", n)
		}
	})
}

func TestARightEdgeWithoutGetEntryAndProof(t *testing.T) {
	f := newFakeLog(t, loglist.RFC6962, 1000)
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/2027/ct/v1/get-entry-and-proof" {
			http.NotFound(w, r)
			return true
		}
		return false
	}
	r := newReceiver(t, f)
	if err := r.once(f.client(t), TailOptions{}); err != nil {
		t.Fatal(err)
	}
	if r.cursor.Verified.Size != 1000 || f.count("ct/v1/get-proof-by-hash") == 0 {
		t.Errorf("verified %d, %d proofs by hash", r.cursor.Verified.Size, f.count("ct/v1/get-proof-by-hash"))
	}
}

func TestAStartByDateLeavesNoLaterEntryBehind(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 1500)
		f.log.MMD = 5 * time.Minute // 300 entries
		for _, since := range []int{-5, 0, 10, 299, 300, 700, 1499, 1500, 5000} {
			r := newReceiver(t, f)
			c := f.client(t)
			tail := r.tailer(c, TailOptions{Once: true, From: Start{Since: time.UnixMilli(baseTime + int64(since)*1000)}})
			if err := tail.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			start := r.cursor.Start
			r.exactly(start, 1500)
			safe := max(0, since-300)
			if int(start) > safe || int(start) < min(safe, 1500)-2*TileWidth {
				t.Errorf("since entry %d: started at %d", since, start)
			}
			if tail.Status().Note == "" {
				t.Error("the status does not say where reading started")
			}
			if r.cursor.Verified.Size != 1500 {
				t.Errorf("verified %d", r.cursor.Verified.Size)
			}
		}
	})
}

// D07: a log that begins empty; a proof from size 0 cannot be had and is not asked for.
func TestD07AnEmptyLogThatGrows(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 0)
		r := newReceiver(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		tail := r.tailer(f.client(t), TailOptions{})
		done := make(chan error)
		go func() { done <- tail.Run(ctx) }()
		pass(time.Minute)
		f.grow(3)
		pass(time.Minute)
		r.exactly(0, 3)
		if s := tail.Status(); s.State != "live" || s.Faults != 0 || s.Verified != 3 || s.CatchUp != 0 {
			t.Errorf("status %+v", s)
		}
		if n := f.count("ct/v1/get-sth-consistency"); n != 0 {
			t.Errorf("%d consistency proofs asked for", n)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// D14: no data is asked for when the log has not grown.
func TestD14ALogThatStaysAsItIsIsAskedForItsHeadAlone(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 44)
		r := newReceiver(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := r.tailer(f.client(t), TailOptions{From: Start{Zero: true}}).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		r.exactly(0, 44)
		if n := f.count("tile/data") + f.count("ct/v1/get-entries"); n != 1 {
			t.Errorf("%d requests for entries, want 1", n)
		}
		if f.heads < 200 || f.heads > 300 {
			t.Errorf("%d heads asked for in an hour at a poll of 15 s", f.heads)
		}
	})
}

func TestATailerGoesOnWhereItWasStopped(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 3000)
		r := newReceiver(t, f)
		for stops := 0; r.cursor.Verified.Size < 3000; stops++ {
			if stops > 20 {
				t.Fatal("no progress")
			}
			ctx, cancel := context.WithCancel(t.Context())
			left := 2
			opts := TailOptions{From: Start{Zero: true}, Once: true, Deliver: func(ctx context.Context, d *Delivery) error {
				if left--; left < 0 {
					cancel() // stopped before this delivery is stored
					return ctx.Err()
				}
				return r.deliver(ctx, d)
			}}
			_ = NewTailer(f.client(t), r.cursor, &opts).Run(ctx)
			cancel()
			f.grow(3000 + stops)
		}
		r.exactly(0, r.cursor.Size)
	})
}

func TestADeliveryThatFailsIsMadeAgain(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 700)
		r := newReceiver(t, f)
		n := 0
		flaky := func(ctx context.Context, d *Delivery) error {
			if n++; n%2 == 1 {
				return errors.New("disk full")
			}
			return r.deliver(ctx, d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_ = NewTailer(f.client(t), Cursor{}, &TailOptions{From: Start{Zero: true}, Deliver: flaky}).Run(ctx)
		r.exactly(0, 700)
		once := NewTailer(f.client(t), Cursor{}, &TailOptions{Once: true, Deliver: func(context.Context, *Delivery) error { return io.ErrShortWrite }})
		if err := once.Run(t.Context()); !errors.Is(err, io.ErrShortWrite) || errors.Is(err, ErrBlind) {
			t.Errorf("once with a receiver that fails: %v", err)
		}
	})
}

func TestABrokenCursorIsRefusedOrRewound(t *testing.T) {
	f := newFakeLog(t, loglist.RFC6962, 700)
	r := newReceiver(t, f)
	if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
		t.Fatal(err)
	}
	good := r.cursor
	r.cursor.Hashes = nil
	f.grow(800)
	if err := r.once(f.client(t), TailOptions{}); err != nil || r.cursor.Verified.Size != 800 {
		t.Errorf("a lost position is not found again from the verified one: %v", err)
	}
	r.cursor = good
	r.cursor.VerifiedHashes = append([]Hash{{1}}, good.VerifiedHashes[1:]...)
	if err := r.once(f.client(t), TailOptions{}); err == nil {
		t.Error("a cursor that does not add up was accepted")
	}
}

// The compact range taken at any size agrees with that of reading everything, however the log grows.
func TestAnyStartAndAnyGrowthVerify(t *testing.T) {
	logs := map[loglist.Kind]*fakeLog{}
	for _, kind := range bothKinds {
		logs[kind] = newFakeLog(t, kind, 800)
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := logs[rapid.SampledFrom(bothKinds).Draw(rt, "kind")]
		sizes := rapid.SliceOfN(rapid.IntRange(0, 800), 2, 4).Draw(rt, "sizes")
		c, r := f.client(t), newReceiver(t, f)
		at := 0
		for _, size := range sizes {
			if at = max(at, size); at == 0 {
				continue
			}
			f.grow(at)
			if err := r.once(c, TailOptions{}); err != nil {
				rt.Fatal(err)
			}
		}
		if at == 0 {
			return
		}
		all := newReceiver(t, f)
		if err := all.once(c, TailOptions{From: Start{Zero: true}}); err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(all.cursor.Hashes, r.cursor.Hashes); d != "" {
			rt.Fatalf("compact ranges differ:\n%s", d)
		}
		n := uint64(rapid.IntRange(0, at).Draw(rt, "edge"))
		edge, err := c.Edge(context.Background(), n, all.cursor.Verified)
		if err != nil {
			rt.Fatal(err)
		}
		if root, err := edgeRoot(n, edge); err != nil || root != f.root(n) {
			rt.Fatalf("edge at %d of %d: %v", n, at, err)
		}
	})
}

func TestChainsAreFetchedAndDecoded(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 7)
		c := f.client(t)
		seen := 0
		opts := TailOptions{Once: true, From: Start{Zero: true}, Deliver: func(ctx context.Context, d *Delivery) error {
			for i := range d.Entries {
				pre, chain, err := Chain(ctx, c, &d.Entries[i])
				if err != nil || len(chain) != 1 || !bytes.Equal(chain[0], fakeIssuer) || d.Entries[i].Precert != (string(pre) == fmt.Sprintf("precertificate %d", i)) {
					t.Errorf("entry %d: precertificate %q, %d chain certificates, %v", i, pre, len(chain), err)
				}
				seen++
			}
			return nil
		}}
		if err := NewTailer(c, Cursor{}, &opts).Run(t.Context()); err != nil || seen != 7 {
			t.Fatal(seen, err)
		}
		if n := f.count("issuer/"); n > 1 {
			t.Errorf("an issuer was fetched %d times", n)
		}
	})
}
