package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/loglist"
)

// chainPatience is how often a static log is asked for the chain of a match, and chainTime how long each time. After
// that the match is filed without: an issuer that is not proven rings, and a later sighting may bring the chain.
const (
	chainPatience = 3
	chainTime     = 20 * time.Second
)

// follower is the fast half for one log: it scans what the tailer delivers and files what touches a watch together
// with the cursor.
type follower struct {
	log      loglist.Log
	client   ctlog.Client
	store    *store.Store
	stations func() *Stations
	hook     func(string)
	logger   *slog.Logger

	sieve    *Sieve
	size     uint64 // of the cursor last stored, its gaps, and when that was
	gaps     int
	stored   time.Time
	verified ctlog.Head
	started  atomic.Bool // a start was chosen and stored
	from     ctlog.Start // where to begin when it was not
	start    atomic.Pointer[store.Start]
	proven   atomic.Pointer[ctlog.Head] // the newest verified head, with what the log sent

	entries, matches atomic.Uint64
}

// Deliver files what touches a watch, and moves the cursor, in one transaction. It keeps nothing of d.
func (f *follower) Deliver(ctx context.Context, d *ctlog.Delivery) error {
	st, hits := f.sieve.Sifted(d)
	c := store.Commit{LogID: f.log.ID, LogName: f.log.Name(), Size: d.Cursor.Size, Rewind: d.Cursor.Size < f.size}
	for _, i := range hits {
		e := &d.Entries[i]
		filing, ok, err := f.file(ctx, st, e) // also loads what Sift left out
		if err != nil {
			return err
		}
		if ok {
			c.Filings = append(c.Filings, filing)
		}
	}
	if len(c.Filings) == 0 && f.onTheWay(d) {
		f.entries.Add(uint64(len(d.Entries)))
		return nil
	}
	var err error
	if c.Cursor, err = json.Marshal(d.Cursor); err != nil {
		return fmt.Errorf("storing the cursor of %s: %w", f.log.Name(), err)
	}
	if v := d.Cursor.Verified; v.Raw != nil && (v.Size != f.verified.Size || v.Root != f.verified.Root || v.Timestamp != f.verified.Timestamp) {
		c.Heads = []store.Head{{Size: v.Size, Root: v.Root, Timestamp: v.Timestamp, Raw: v.Raw, Received: v.Received}}
		c.Mark = &c.Heads[0]
	}
	if !f.started.Load() && d.Cursor.Begun {
		c.Start = f.began(&d.Cursor)
	}
	if len(c.Filings) > 0 {
		f.hook(BeforeFiling)
	}
	if err := f.store.Commit(ctx, c); err != nil {
		return err
	}
	f.size, f.gaps, f.stored, f.verified = d.Cursor.Size, len(d.Cursor.Gaps), time.Now(), d.Cursor.Verified
	if c.Start != nil {
		f.start.Store(c.Start)
	}
	if v := d.Cursor.Verified; v.Raw != nil {
		f.proven.Store(&v)
	}
	f.started.Store(true)
	f.entries.Add(uint64(len(d.Entries)))
	f.matches.Add(uint64(len(c.Filings)))
	return nil
}

// storeEvery is how often the cursor is stored while a backlog is read in which nothing touches a watch.
const storeEvery = 50 * time.Millisecond

// onTheWay reports whether a delivery without filings may do without a transaction: a short step forward, soon after one
// that was stored, and to no head. After a crash such entries are read again.
func (f *follower) onTheWay(d *ctlog.Delivery) bool {
	c := &d.Cursor
	return f.started.Load() && len(d.Entries) > 0 && c.Size > f.size && d.Entries[len(d.Entries)-1].Index+1 == c.Size &&
		len(c.Gaps) == f.gaps && c.Target.Size > c.Size && c.Verified.Size == f.verified.Size && c.Verified.Root == f.verified.Root &&
		time.Since(f.stored) < storeEvery
}

// file makes the filing of an entry that touches a watch. ok is false when the full reading finds that it does not.
func (f *follower) file(ctx context.Context, st *Stations, e *ctlog.Entry) (filing store.Filing, ok bool, err error) {
	var oddities []cert.Oddity
	precert, chain, err := f.chain(ctx, e)
	if err != nil {
		if ctx.Err() != nil {
			return filing, false, ctx.Err()
		}
		f.logger.Warn("filing an entry without its whole chain", "log", f.log.Name(), "index", e.Index, "err", err)
		oddities = append(oddities, cert.Oddity{Code: "chain-missing", Text: "the log did not give the whole chain"})
	}
	sub := FromEntry(e, precert, chain)
	r := st.Read(sub)
	if len(r.Matches) == 0 {
		return filing, false, nil
	}
	if e.Precert && precert != nil && r.Fingerprint == sha256.Sum256(sub.Bytes) {
		oddities = append(oddities, cert.Oddity{Code: "precertificate-differs",
			Text: "the precertificate beside the leaf does not lead to the leaf, and was not believed"})
	}
	if e.Problem != "" {
		oddities = append(oddities, cert.Oddity{Code: "leaf-unreadable", Text: "the leaf of the log could not be decoded: " + e.Problem})
	}
	filing = store.Filing{
		Issuance: store.Issuance{
			ID: r.ID, Cert: sub.Bytes, Precert: sub.Precert, IssuerKeyHash: sub.IssuerKeyHash, Chain: sub.Chain,
			Matches:  mustJSON(st.Matches(r)),
			Oddities: mustJSON(append(oddities, r.Cert.Oddities...)),
		},
		Sighting: &store.Sighting{
			Index: e.Index, Timestamp: e.Timestamp, Precert: e.Precert,
			Leaf: bytes.Clone(e.Leaf), Extra: bytes.Clone(e.Extra), PrecertDER: bytes.Clone(e.PreCert),
		},
		Fingerprints: [][32]byte{r.Fingerprint},
	}
	return filing, true, nil
}

// chain gets what came beside a match, with patience for a log that stumbles.
func (f *follower) chain(ctx context.Context, e *ctlog.Entry) (precert []byte, chain [][]byte, err error) {
	for try := range chainPatience {
		if try > 0 {
			select {
			case <-ctx.Done():
				return precert, chain, ctx.Err()
			case <-time.After(time.Duration(try) * time.Second):
			}
		}
		cctx, cancel := context.WithTimeout(ctx, chainTime)
		precert, chain, err = ctlog.Chain(cctx, f.client, e)
		cancel()
		if err == nil || f.log.Kind == loglist.RFC6962 { // what stands in the entry does not get better
			break
		}
	}
	return precert, chain, err
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only for types that cannot be encoded at all
	}
	return b
}
