package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/bench/limit"
)

// cost is what one pass over a log took.
type cost struct {
	wall, cpu time.Duration
	allocs    uint64
	bytes     uint64 // allocated in all
	hits      int
}

// measured runs f on so many cores and says what it cost.
func measured(cores int, f func() (hits int, err error)) (c cost, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	c.hits, err = f()
	c.wall, c.cpu = time.Since(start), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	c.allocs, c.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return c, err
}

// tailPass reads the whole log as the daemon does: client, tailer and the follower's look at each entry.
func tailPass(ctx context.Context, l *Log, dial string, st *app.Stations, cores int) (cost, error) {
	listed, err := l.Listed(dial)
	if err != nil {
		return cost{}, err
	}
	opts := &ctlog.Options{}
	if dial == "" {
		opts.Transport = files{l}
	}
	client, err := ctlog.NewClient(listed, opts)
	if err != nil {
		return cost{}, err
	}
	defer client.Close()
	return measured(cores, func() (hits int, err error) {
		read := uint64(0)
		sieve := app.NewSieve(func() *app.Stations { return st }, slog.New(slog.DiscardHandler))
		t := ctlog.NewTailer(client, ctlog.Cursor{}, &ctlog.TailOptions{
			Once: true, From: ctlog.Start{Zero: true}, Sift: sieve.Sift,
			Deliver: func(_ context.Context, d *ctlog.Delivery) error {
				st, found := sieve.Sifted(d)
				for _, i := range found {
					_ = st.Read(app.FromEntry(&d.Entries[i], d.Entries[i].PreCert, nil))
				}
				hits += len(found)
				read = d.Cursor.Verified.Size
				return nil
			},
			Fault: func(f ctlog.Fault) { err = errors.Join(err, errors.New(f.Text)) },
		})
		if rerr := t.Run(ctx); rerr != nil {
			return hits, rerr
		}
		if read != uint64(l.Size) {
			err = errors.Join(err, fmt.Errorf("%d entries verified, want %d", read, l.Size))
		}
		return hits, err
	})
}

// limitPass does what cannot be left out, by the same way. Over the network it keeps several requests on their way, too.
func limitPass(l *Log, dial string, cores int) (cost, error) {
	open, workers := l.opener(), cores
	if dial != "" {
		var done func()
		open, done = l.getter(dial)
		defer done()
		workers = max(cores, 4)
	}
	return measured(cores, func() (int, error) {
		_, n, err := limit.Read(open, l.files(), l.Static, workers)
		if err == nil && n != l.Size {
			err = fmt.Errorf("the limit read %d entries, want %d", n, l.Size)
		}
		return 0, err
	})
}

// best is the better of two passes, in each respect.
func (c cost) best(d cost) cost {
	if c.wall == 0 {
		return d
	}
	return cost{min(c.wall, d.wall), min(c.cpu, d.cpu), min(c.allocs, d.allocs), min(c.bytes, d.bytes), min(c.hits, d.hits)}
}

// heap is what lives on the heap, in MB.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}
