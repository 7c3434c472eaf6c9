package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/interop/faultproxy"
	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// proxied puts a fault-injecting proxy before the log.
func proxied(t testing.TB, l *reallogs.Log, seed uint64) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Start(t.Context(), l.Addr, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("stopping the proxy before %s: %v", l.Name, err)
		}
	})
	return p
}

// faultRow is one thing that goes wrong before a real log, and what our tailer is to make of it.
type faultRow struct {
	name   string
	faults []faultproxy.Fault
	// only, unless empty, is the one kind of log that can do this.
	only reallogs.Kind
	// blocks says that the faults stand in the way until they end: the tailer must have met enough of them by then.
	blocks bool
	// told are the accusations that are due; may are those that patience may or may not keep back. All others are false.
	told, may []ctlog.FaultKind
	// besides says that what stands beside the leaves (extra_data) was spoiled, too.
	besides bool
}

// badEntry is the entry that is damaged where one is: of the second tile, among those that are logged while we read.
const badEntry = 300

var faultRows = []faultRow{
	{name: "an honest proxy", faults: nil},
	{name: "connections are closed in place of an answer", faults: faults(faultproxy.HangUp, 0.3, 1)},
	{name: "bodies break off in the middle", faults: faults(faultproxy.Cut, 0.4, 1)},
	{name: "bodies come in drops", faults: faults(faultproxy.Drip, 0, 0)},
	{name: "429 without a word when to come again", faults: faults(faultproxy.TooMany, 0.3, 1)},
	{name: "429 with Retry-After in seconds", faults: faults(faultproxy.TooManySeconds, 0.1, 1)},
	{name: "429 with Retry-After as a date", faults: faults(faultproxy.TooManyDate, 0.1, 1)},
	{name: "errors of the server", faults: faults(faultproxy.ServerError, 0.3, 1)},
	{name: "pages of HTML with status 200", faults: faults(faultproxy.HTML, 0.3, 1)},
	{name: "front ends that lag: half of the heads are old ones", faults: faults(faultproxy.Stale, 0.5, 0)},
	{name: "compressed bodies are damaged", faults: faults(faultproxy.BadGzip, 0.4, 1)},
	{name: "get-entries gives as few entries as it likes", faults: faults(faultproxy.Short, 0, 0), only: reallogs.RFC6962},
	{name: "partial tiles are gone", faults: faults(faultproxy.PartialGone, 0.5, 1), only: reallogs.Static},
	{name: "what the head promises is not there", faults: faults(faultproxy.Missing, 0, 0), blocks: true},
	{name: "full tiles end early", faults: faults(faultproxy.ShortTile, 0, 0), only: reallogs.Static, blocks: true, may: []ctlog.FaultKind{ctlog.BadTile}},
	{name: "a bit of a leaf is wrong", faults: []faultproxy.Fault{{Kind: faultproxy.Flip, Index: badEntry}}, blocks: true, told: []ctlog.FaultKind{ctlog.WrongRoot}},
	{name: "what stands beside the leaves is wrong", faults: faults(faultproxy.WrongIssuer, 0, 0), only: reallogs.RFC6962, besides: true},
	{name: "all of it at once", faults: slices.Concat(
		faults(faultproxy.Stale, 0.3, 0), faults(faultproxy.Short, 0.5, 0), faults(faultproxy.TooManySeconds, 0.02, 1), faults(faultproxy.TooMany, 0.05, 1),
		faults(faultproxy.Cut, 0.1, 1), faults(faultproxy.HTML, 0.1, 1), faults(faultproxy.ServerError, 0.1, 1), faults(faultproxy.HangUp, 0.1, 1),
		faults(faultproxy.BadGzip, 0.1, 1), faults(faultproxy.PartialGone, 0.3, 1), faults(faultproxy.Drip, 0.3, 0))},
}

func faults(kind faultproxy.Kind, share float64, times int) []faultproxy.Fault {
	return []faultproxy.Fault{{Kind: kind, Share: share, Times: times}}
}

// sick is a tailer behind a proxy with the faults of a row.
type sick struct {
	row    faultRow
	log    *reallogs.Log
	proxy  *faultproxy.Proxy
	reader *reader
	took   time.Duration
	err    error
}

// run reads the log through the faults to the size that final gives, once it does. Faults that block are ended when
// the tailer met them often enough and has told what it must.
func (s *sick) run(ctx context.Context, final <-chan uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tailer := ctlog.NewTailer(s.reader.client, s.reader.cursor, s.reader.options(ctlog.Start{Zero: true}, false))
	ended := make(chan error, 1)
	go func() { ended <- tailer.Run(ctx) }()
	size, known := uint64(0), false
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !known || s.reader.verified() < size {
		if s.row.blocks && s.met() >= 4 && s.toldAll() {
			s.proxy.Set()
		}
		select {
		case n, open := <-final:
			if open {
				size, known = n, true
			}
			final = nil
		case <-s.reader.moved:
		case <-tick.C:
		case err := <-ended:
			return fmt.Errorf("the tailer ended at %d of %d entries: %w; its status: %+v", s.reader.verified(), size, err, tailer.Status())
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the tailer ended with %v, want the error of its context", err)
	}
	return nil
}

// met is how often a fault of the row came.
func (s *sick) met() (n int) {
	for _, f := range s.row.faults {
		n += s.proxy.Spoiled(f.Kind)
	}
	return n
}

func (s *sick) toldAll() bool {
	for _, kind := range s.row.told {
		if !slices.Contains(s.reader.accused(), kind) {
			return false
		}
	}
	return true
}

// accused are the kinds of the faults that were told.
func (r *reader) accused() (kinds []ctlog.FaultKind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

// TestTailerOutlivesFaultsBeforeRealLogs reads growing real logs through each fault, all at the same time: whatever
// happens in between, each entry arrives as the log has it, and who did not lie is not accused.
func TestTailerOutlivesFaultsBeforeRealLogs(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	logs := startLogs(t, root)
	var all []*sick
	var running errgroup.Group
	finals := map[*reallogs.Log][]chan uint64{}
	for _, l := range logs {
		fill(t, l, issuer, 20)
		for i, row := range faultRows {
			if row.only != "" && row.only != l.Kind {
				continue
			}
			s := &sick{row: row, log: l, proxy: proxied(t, l, uint64(i))}
			s.reader = newReaderVia(t, l, s.proxy.Addr, nil)
			s.reader.poll = 80 * time.Millisecond // there are many of them
			s.proxy.Set(row.faults...)
			all = append(all, s)
			final := make(chan uint64, 1)
			finals[l] = append(finals[l], final)
			ctx := soon(t)
			running.Go(func() error {
				began := time.Now()
				s.err = s.run(ctx, final)
				s.took = time.Since(began)
				return nil
			})
		}
	}
	// The logs grow in steps, so that there are heads to be stale, across the edge of a tile.
	var growing errgroup.Group
	for _, l := range logs {
		growing.Go(func() error {
			for _, n := range []int{30, 100, 100, 30, 40} {
				fill(t, l, issuer, n)
				time.Sleep(150 * time.Millisecond) // for tailers to look between the steps; nothing hangs on it
			}
			return nil
		})
	}
	_ = growing.Wait()
	views := map[*reallogs.Log]view{}
	for _, l := range logs {
		views[l] = look(t, l)
		for _, final := range finals[l] {
			final <- views[l].size
		}
	}
	_ = running.Wait()

	for _, s := range all {
		t.Run(s.log.Name+"/"+s.row.name, func(t *testing.T) {
			s.reader.t = t
			if s.err != nil {
				t.Fatal(s.err)
			}
			if len(s.row.faults) > 0 && s.met() == 0 {
				t.Error("the fault never happened")
			}
			accused := s.reader.accused()
			for _, kind := range s.row.told {
				if !slices.Contains(accused, kind) {
					t.Errorf("%s was not told", kind)
				}
			}
			s.reader.faults = slices.DeleteFunc(s.reader.faults, func(f ctlog.Fault) bool {
				return slices.Contains(s.row.told, f.Kind) || slices.Contains(s.row.may, f.Kind)
			})
			v := views[s.log]
			if s.row.besides {
				for i := range s.reader.entries {
					e := &s.reader.entries[i]
					if bytes.Equal(e.Extra, v.leaves[i].extra) {
						t.Errorf("entry %d came with what stands beside it undamaged", i)
					}
					e.Extra = v.leaves[i].extra
				}
			}
			s.reader.check(v, 0)
			t.Logf("%v, %d requests, %d spoiled, told %v", s.took.Round(100*time.Millisecond), s.proxy.Asked(), s.met(), accused)
		})
	}
}

// What stands beside the leaves is not hashed by the log: a wrong issuer file is noticed by its name.
func TestAWrongIssuerFileIsNotBelieved(t *testing.T) {
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	l := startTesseraCT(t, root, nil)
	fill(t, l, issuer, 1)
	p := proxied(t, l, 1)
	r := newReaderVia(t, l, p.Addr, nil)
	r.once(ctlog.Start{Zero: true})
	p.Set(faultproxy.Fault{Kind: faultproxy.WrongIssuer})
	if _, chain, err := ctlog.Chain(soon(t), r.client, &r.entries[0]); err == nil {
		t.Errorf("a chain of %d certificates was believed", len(chain))
	}
	p.Set()
	_, chain, err := ctlog.Chain(soon(t), r.client, &r.entries[0])
	if err != nil || len(chain) != len(issuer.chain()) {
		t.Errorf("%d certificates of the chain from the healthy log, %v; want %d", len(chain), err, len(issuer.chain()))
	}
}
