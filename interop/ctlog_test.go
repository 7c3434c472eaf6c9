package interop_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// reader collects what a tailer delivers, like a store would.
type reader struct {
	t      testing.TB
	client ctlog.Client
	// attempts is how often a request is tried in a round; 0 is the tailer's default.
	attempts int
	// poll is the time between looks at the head; 0 is 20 ms.
	poll time.Duration

	mu      sync.Mutex
	entries []ctlog.Entry
	cursor  ctlog.Cursor
	faults  []ctlog.Fault
	seen    map[[32]byte]bool // leaf hashes of all that came
	moved   chan struct{}     // gets a token, without blocking, after each delivery
}

func newReader(t testing.TB, l *reallogs.Log) *reader {
	t.Helper()
	return newReaderVia(t, l, l.Addr, nil)
}

// newReaderVia is a reader that dials another address in place of the log's, over the transport if one is given.
func newReaderVia(t testing.TB, l *reallogs.Log, dial string, transport http.RoundTripper) *reader {
	t.Helper()
	return newReaderWith(t, l, dial, &ctlog.Options{Transport: transport})
}

func newReaderWith(t testing.TB, l *reallogs.Log, dial string, o *ctlog.Options) *reader {
	t.Helper()
	listing := listedVia(t, func(*reallogs.Log) string { return dial }, l)[0]
	o.Contact = "ct@lab.example"
	c, err := ctlog.NewClient(listing, o)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t: t, client: c, seen: map[[32]byte]bool{}, moved: make(chan struct{}, 1)}
}

func (r *reader) options(from ctlog.Start, once bool) *ctlog.TailOptions {
	poll := r.poll
	if poll == 0 {
		poll = 20 * time.Millisecond
	}
	return &ctlog.TailOptions{From: from, Once: once, Poll: poll, Attempts: r.attempts, Deliver: r.deliver, Fault: r.fault}
}

func (r *reader) deliver(_ context.Context, d *ctlog.Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range d.Entries {
		r.seen[d.Entries[i].Hash()] = true
	}
	if d.Aside { // of another tree than the one that is verified
		return nil
	}
	if len(d.Entries) > 0 && len(r.entries) > 0 {
		// After a fault entries come again, from the last verified one on.
		first, again := r.entries[0].Index, d.Entries[0].Index
		if again < first || again > first+uint64(len(r.entries)) {
			r.t.Errorf("entry %d comes after those from %d to %d", again, first, first+uint64(len(r.entries))-1)
		} else {
			r.entries = r.entries[:again-first]
		}
	}
	for _, e := range d.Entries {
		// A delivery is valid until we return.
		e.Leaf, e.Cert = bytes.Clone(e.Leaf), bytes.Clone(e.Cert)
		e.Extensions, e.Extra, e.PreCert = bytes.Clone(e.Extensions), bytes.Clone(e.Extra), bytes.Clone(e.PreCert)
		e.Fingerprints = append([][32]byte(nil), e.Fingerprints...)
		r.entries = append(r.entries, e)
	}
	// The cursor must survive being stored.
	text, err := json.Marshal(d.Cursor)
	if err != nil {
		return err
	}
	var stored ctlog.Cursor
	if err := json.Unmarshal(text, &stored); err != nil {
		return err
	}
	r.cursor = stored
	select {
	case r.moved <- struct{}{}:
	default:
	}
	return nil
}

func (r *reader) fault(f ctlog.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, f)
}

// once reads to the current head, from where the last life of the reader ended.
func (r *reader) once(from ctlog.Start) {
	r.t.Helper()
	if err := ctlog.NewTailer(r.client, r.cursor, r.options(from, true)).Run(soon(r.t)); err != nil {
		r.t.Fatalf("reading %s to its head: %v", r.client.Log().Name(), err)
	}
}

// follow runs a tailer while do does something, and until the tailer has verified a head of the size that do returns.
func (r *reader) follow(from ctlog.Start, do func() uint64) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(soon(r.t))
	defer cancel()
	tailer := ctlog.NewTailer(r.client, r.cursor, r.options(from, false))
	ended := make(chan error, 1)
	go func() { ended <- tailer.Run(ctx) }()
	for size := do(); r.verified() < size; {
		select {
		case <-r.moved:
		case err := <-ended:
			r.t.Fatalf("the tailer ended at %d of %d entries: %v; its status: %+v", r.verified(), size, err, tailer.Status())
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		r.t.Errorf("the tailer ended with %v, want the error of its context", err)
	}
}

// sawAll says whether all entries of a view have come, in the verified tree or aside.
func (r *reader) sawAll(v view) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, leaf := range v.leaves {
		if !r.seen[[32]byte(rfc6962.DefaultHasher.HashLeaf(leaf.input))] {
			return false
		}
	}
	return true
}

// running is a tailer that lives until end.
type running struct {
	tailer *ctlog.Tailer
	end    func()
}

// live lets a tailer follow the log.
func (r *reader) live(from ctlog.Start) *running {
	ctx, cancel := context.WithCancel(r.t.Context())
	l := &running{tailer: ctlog.NewTailer(r.client, r.cursor, r.options(from, false))}
	ended := make(chan error, 1)
	go func() { ended <- l.tailer.Run(ctx) }()
	l.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.t.Errorf("the tailer ended with %v, want the error of its context", err)
		}
	})
	return l
}

func (r *reader) verified() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cursor.Verified.Size
}

// check compares what was read, from index first on, with what an independent client sees of the log.
func (r *reader) check(v view, first uint64) {
	t := r.t
	t.Helper()
	for _, f := range r.faults {
		t.Errorf("fault of an honest log: %s: %s", f.Kind, f.Text)
	}
	if r.cursor.Verified.Size != v.size || r.cursor.Verified.Root != v.root {
		t.Errorf("verified head: size %d, root %v; the oracle says %d, %v", r.cursor.Verified.Size, r.cursor.Verified.Root, v.size, ctlog.Hash(v.root))
	}
	if r.cursor.Size != v.size || r.cursor.Start != first {
		t.Errorf("the cursor spans %d to %d, want %d to %d", r.cursor.Start, r.cursor.Size, first, v.size)
	}
	if uint64(len(r.entries)) != v.size-first {
		t.Fatalf("%d entries read, want %d", len(r.entries), v.size-first)
	}
	for i := range r.entries {
		e, want := &r.entries[i], v.leaves[first+uint64(i)]
		if diff := cmp.Diff(fromOracle(first+uint64(i), want), e, cmp.Comparer(bytes.Equal), cmpopts.IgnoreUnexported(ctlog.Entry{})); diff != "" {
			t.Fatalf("entry %d differs from what the oracle reads (-oracle +ours):\n%s", first+uint64(i), diff)
		}
	}
}

// fromOracle is the entry that the oracle's leaf should read as.
func fromOracle(index uint64, o oracleLeaf) *ctlog.Entry {
	te := o.leaf.TimestampedEntry
	e := &ctlog.Entry{Index: index, Timestamp: te.Timestamp, Leaf: o.input, Extensions: te.Extensions, Extra: o.extra}
	switch te.EntryType {
	case ct.PrecertLogEntryType:
		e.Precert, e.IssuerKeyHash, e.Cert = true, te.PrecertEntry.IssuerKeyHash, te.PrecertEntry.TBSCertificate
	case ct.X509LogEntryType:
		e.Cert = te.X509Entry.Data
	}
	if o.extra == nil {
		e.PreCert, e.Fingerprints = o.precert, o.fingerprints
	}
	return e
}

func TestOurClientsReadRealLogsWhole(t *testing.T) {
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	for _, l := range startLogs(t, root) {
		t.Run(l.Name, func(t *testing.T) {
			t.Run("an empty log is read to its head", func(t *testing.T) {
				r := newReader(t, l)
				r.once(ctlog.Start{Zero: true})
				r.check(look(t, l), 0)
			})
			fill(t, l, issuer, 300)
			old := look(t, l)

			t.Run("from the first entry, and on as the log grows", func(t *testing.T) {
				r := newReader(t, l)
				r.follow(ctlog.Start{Zero: true}, func() uint64 {
					fill(t, l, issuer, 40)
					return old.size + 40
				})
				r.check(look(t, l), 0)
			})
			t.Run("from now, across a restart from the stored cursor", func(t *testing.T) {
				r := newReader(t, l)
				before := look(t, l)
				r.once(ctlog.Start{})
				r.check(before, before.size)
				fill(t, l, issuer, 20)
				r.once(ctlog.Start{})
				r.check(look(t, l), before.size)
				r.follow(ctlog.Start{Zero: true}, func() uint64 { // the start counts for a log never read only
					fill(t, l, issuer, 30)
					return before.size + 50
				})
				r.check(look(t, l), before.size)
			})
			t.Run("from the middle of a tile that fills later", func(t *testing.T) {
				r := newReader(t, l)
				before := look(t, l)
				r.once(ctlog.Start{})
				fill(t, l, issuer, 130) // tile 1 ends at 512
				r.once(ctlog.Start{})
				r.check(look(t, l), before.size)
			})
			t.Run("from a date, no entry since then is missed", func(t *testing.T) {
				v := look(t, l)
				at := v.leaves[200].leaf.TimestampedEntry.Timestamp
				r := newReader(t, l)
				r.once(ctlog.Start{Since: time.UnixMilli(int64(at))})
				first := r.cursor.Start
				for i, leaf := range v.leaves[:first] {
					if leaf.leaf.TimestampedEntry.Timestamp >= at {
						t.Errorf("entry %d was left out though it is no older than the date", i)
					}
				}
				r.check(v, first)
			})
		})
	}
}

func TestChainOfAnEntryIsWhatWasSubmitted(t *testing.T) {
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	signer := issuer.precertSigner(t, "Precertificate signing CA", ecdsaKey(t))
	for _, l := range startLogs(t, root) {
		t.Run(l.Name, func(t *testing.T) {
			ctx := soon(t)
			key := ecdsaKey(t)
			tmpl := leafFor(t, []string{"www.example.com"})
			type submission struct {
				precert []byte
				chain   [][]byte
			}
			sent := []submission{
				{issuer.precert(t, tmpl, key.Public()), issuer.chain()},
				{signer.precert(t, tmpl, key.Public()), signer.chain()},
				{nil, issuer.chain()},
			}
			for i, s := range sent {
				var err error
				if s.precert != nil {
					_, err = l.AddPreChain(ctx, joined(s.precert, s.chain)...)
				} else {
					_, err = l.AddChain(ctx, joined(issuer.issue(t, tmpl, key.Public()), s.chain)...)
				}
				if err != nil {
					t.Fatal(err)
				}
				// One by one, so that the order is known.
				if err := l.WaitSize(ctx, uint64(i+1)); err != nil {
					t.Fatal(err)
				}
			}
			r := newReader(t, l)
			r.once(ctlog.Start{Zero: true})
			r.check(look(t, l), 0)
			for i := range r.entries {
				precert, chain, err := ctlog.Chain(ctx, r.client, &r.entries[i])
				if err != nil {
					t.Fatalf("entry %d: %v", i, err)
				}
				if !bytes.Equal(precert, sent[i].precert) {
					t.Errorf("entry %d: another precertificate than submitted", i)
				}
				if diff := cmp.Diff(prints(sent[i].chain), prints(chain)); diff != "" {
					t.Errorf("entry %d: the chain differs by SHA-256 (-submitted +read):\n%s", i, diff)
				}
			}
		})
	}
}

func prints(chain [][]byte) [][32]byte {
	var sums [][32]byte
	for _, c := range chain {
		sums = append(sums, sha256.Sum256(c))
	}
	return sums
}
