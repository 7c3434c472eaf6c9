package ctlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin-ct/tocsin/loglist"
)

// staticClient reads a log as static-ct-api describes it (c2sp.org/static-ct-api, c2sp.org/tlog-tiles).
type staticClient struct {
	log *loglist.Log
	v   *verifier
	*fetcher

	mu      sync.Mutex
	last    Head // the last head, and its ETag: an unchanged checkpoint is not sent again
	etag    string
	issuers map[[32]byte][]byte // bounded by maxIssuers
}

// maxIssuers bounds the chain certificates that are kept. Logs have a few hundred.
const maxIssuers = 512

func newStatic(log *loglist.Log, v *verifier, f *fetcher) Client {
	return &staticClient{log: log, v: v, fetcher: f, issuers: map[[32]byte][]byte{}}
}

func (c *staticClient) Log() *loglist.Log { return c.log }
func (c *staticClient) Close()            { c.fetcher.close() }

func (c *staticClient) Head(ctx context.Context) (Head, error) {
	c.mu.Lock()
	last, etag := c.last, c.etag
	c.mu.Unlock()
	raw, err := c.get(ctx, request{path: "checkpoint", limit: maxHead, etag: &etag}, nil)
	if errors.Is(err, errUnchanged) {
		last.Received = time.Now()
		return last, nil
	}
	if err != nil {
		return Head{}, fmt.Errorf("asking for the checkpoint: %w", err)
	}
	head, err := c.v.head(raw)
	if err != nil {
		return Head{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.etag = head, etag
	return head, nil
}

// tileError is a tile that does not hold what its name says (D16).
type tileError struct {
	path string
	body []byte // as it came
	err  error
}

func (e *tileError) Error() string { return e.path + ": " + e.err.Error() }
func (e *tileError) Unwrap() error { return e.err }

// tile fetches a tile of which the first width entries are needed. A log may delete a partial tile once the full one
// exists: then that is taken instead (D13), and full is set. Valid decides about what came; what it refuses is asked
// for once more, past caches (D16).
func (c *staticClient) tile(ctx context.Context, level int, index uint64, width, limit int, buf []byte,
	valid func(tile []byte, full bool) error) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		full := width == TileWidth
		path := TilePath(level, index, width)
		b, err := c.get(ctx, request{path: path, limit: limit, noCache: attempt > 0, bulk: level == DataTile}, buf)
		var status *StatusError
		if !full && errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusGone || status.Code == http.StatusForbidden) {
			full, path = true, TilePath(level, index, TileWidth)
			b, err = c.get(ctx, request{path: path, limit: limit, noCache: attempt > 0, bulk: level == DataTile}, buf)
		}
		if err != nil {
			return nil, fmt.Errorf("reading tile: %w", err)
		}
		var body []byte
		if attempt > 0 { // valid may write into b
			body = bytes.Clone(b)
		}
		if err = valid(b, full); err == nil {
			return b, nil
		}
		if attempt > 0 {
			return nil, fmt.Errorf("reading tile: %w", &tileError{path, body, err})
		}
		buf = b
	}
}

// Span is the end of the range of entries that one request for start gives, given the size of the tree.
func (c *staticClient) Span(start, size uint64) uint64 {
	return min((start/TileWidth+1)*TileWidth, size)
}

func (c *staticClient) upTo(start, size uint64) (end uint64, ok bool) {
	return c.Span(start, size), true
}

// parallel leaves room for waiting beside what all cores do, and stays below the number of connections.
func (c *staticClient) parallel() int { return min(max(4, runtime.GOMAXPROCS(0)+2), 8) }

func (c *staticClient) readTo(ctx context.Context, start, _, size uint64, into *Batch) error {
	return c.Entries(ctx, start, size, into)
}

func (c *staticClient) Entries(ctx context.Context, start, size uint64, into *Batch) error {
	into.Entries = into.Entries[:0]
	if start >= size {
		return fmt.Errorf("reading entries: start %d is beyond the tree of size %d", start, size)
	}
	index := start / TileWidth
	first := index * TileWidth
	width := int(c.Span(start, size) - first)
	buf := into.buf[:0]
	if cap(buf) > 4<<20 {
		buf = nil
	}
	buf, err := c.tile(ctx, DataTile, index, width, maxBody, buf, func(b []byte, full bool) error {
		if err := ReadDataTile(b, first, into); err != nil {
			return err
		}
		return checkWidth(len(into.Entries), width, full)
	})
	if err != nil {
		into.Entries = into.Entries[:0]
		return fmt.Errorf("reading entries %d to %d: %w", start, first+uint64(width)-1, err)
	}
	into.buf = buf
	into.Entries = into.Entries[start-first : width]
	return nil
}

func checkWidth(got, width int, full bool) error {
	if full {
		width = TileWidth
	}
	if got != width {
		return fmt.Errorf("the tile has %d entries, want %d", got, width)
	}
	return nil
}

// ReadDataTile reads a data tile (static-ct-api, Log Entries) that begins with the entry at index into the batch. The
// batch aliases the tile and overwrites parts of it.
func ReadDataTile(tile []byte, index uint64, into *Batch) error {
	into.Entries, into.fingerprints = into.Entries[:0], into.fingerprints[:0]
	at, chained := 0, false
	for at < len(tile) {
		if len(into.Entries) >= TileWidth {
			return fmt.Errorf("reading data tile: more than %d entries", TileWidth)
		}
		into.Entries = append(into.Entries, Entry{})
		e := &into.Entries[len(into.Entries)-1]
		e.Index = index + uint64(len(into.Entries)-1)
		n, rest, err := readTileLeaf(e, tile[at:], &into.fingerprints)
		if err != nil {
			into.Entries = into.Entries[:len(into.Entries)-1]
			return fmt.Errorf("reading data tile: entry %d: %w", e.Index, err)
		}
		// A MerkleTreeLeaf is two zero bytes (version v1, timestamped_entry) and the TimestampedEntry. The two bytes
		// before this entry are the end of the previous one's fingerprints, or of their length, which were copied: so
		// the leaf is made in place.
		if at >= 2 {
			tile[at-2], tile[at-1] = 0, 0
			e.Leaf = tile[at-2 : at+n : at+n]
			if chained { // then the byte before is one of a fingerprint, too
				tile[at-3] = 0
				e.hashed = tile[at-3 : at+n : at+n]
			}
		} else {
			e.Leaf = append(make([]byte, 2, 2+n), tile[:n]...)
		}
		at = len(tile) - len(rest)
		chained = len(e.Fingerprints) > 0
	}
	return nil
}

func (c *staticClient) Timestamp(ctx context.Context, index, size uint64) (uint64, error) {
	var b Batch
	if err := c.Entries(ctx, index, size, &b); err != nil {
		return 0, err
	}
	return b.Entries[0].Timestamp, nil
}

// Edge reads the compact range from hash tiles, each authenticated under the head's root.
func (c *staticClient) Edge(ctx context.Context, n uint64, head Head) ([]Hash, error) {
	if n > head.Size {
		return nil, fmt.Errorf("entry %d is beyond the head of size %d", n, head.Size)
	}
	if n == 0 {
		return nil, nil
	}
	var indexes []int64
	for _, id := range compact.RangeNodes(0, n, nil) {
		indexes = append(indexes, tlog.StoredHashIndex(int(id.Level), int64(id.Index)))
	}
	nodes, err := c.hashes(ctx, head).ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("reading the edge of the tree at size %d: %w", n, err)
	}
	hashes := make([]Hash, len(nodes))
	for i := range nodes {
		hashes[i] = Hash(nodes[i])
	}
	return hashes, nil
}

// Consistent computes the root at the older size from the newer head's authenticated tiles.
func (c *staticClient) Consistent(ctx context.Context, older, newer Head) error {
	if done, err := sameSize(older, newer); done {
		return err
	}
	hashes, err := c.Edge(ctx, older.Size, newer)
	if err != nil {
		return fmt.Errorf("checking consistency of sizes %d and %d: %w", older.Size, newer.Size, err)
	}
	root, err := edgeRoot(older.Size, hashes)
	if err != nil || root == older.Root {
		return err
	}
	fork := &ForkError{Older: older, Newer: newer, Computed: root}
	// The proof is evidence for others; that it cannot be had changes nothing for us.
	if p, err := tlog.ProveTree(int64(newer.Size), int64(older.Size), c.hashes(ctx, newer)); err == nil {
		for _, h := range p {
			fork.Proof = append(fork.Proof, Hash(h))
		}
	}
	return fork
}

func (c *staticClient) hashes(ctx context.Context, head Head) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(head.Size), Hash: tlog.Hash(head.Root)}, &hashTiles{ctx, c})
}

// hashTiles gives package tlog the log's hash tiles; tlog verifies them.
type hashTiles struct {
	ctx context.Context
	c   *staticClient
}

func (r *hashTiles) Height() int                     { return 8 }
func (r *hashTiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (r *hashTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		b, err := r.c.tile(r.ctx, t.L, uint64(t.N), t.W, TileWidth*32, nil, func(b []byte, full bool) error {
			if len(b)%32 != 0 {
				return fmt.Errorf("the tile has %d bytes", len(b))
			}
			return checkWidth(len(b)/32, t.W, full)
		})
		if err != nil {
			return nil, err
		}
		out[i] = b[:t.W*32]
	}
	return out, nil
}

func (c *staticClient) Issuer(ctx context.Context, fingerprint [32]byte) ([]byte, error) {
	c.mu.Lock()
	cert, ok := c.issuers[fingerprint]
	c.mu.Unlock()
	if ok {
		return cert, nil
	}
	name := hex.EncodeToString(fingerprint[:])
	cert, err := c.get(ctx, request{path: "issuer/" + name, limit: maxIssuer}, nil)
	if err != nil {
		return nil, fmt.Errorf("reading issuer: %w", err)
	}
	if sha256.Sum256(cert) != fingerprint {
		return nil, fmt.Errorf("reading issuer %s: the certificate has another SHA-256", name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.issuers) >= maxIssuers {
		for k := range c.issuers { // any one
			delete(c.issuers, k)
			break
		}
	}
	if len(cert) <= 16<<10 {
		c.issuers[fingerprint] = cert
	}
	return cert, nil
}
