package ctlog

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tocsin-ct/tocsin/loglist"
)

// rfc6962Client reads a log as RFC 6962 section 4 describes it.
type rfc6962Client struct {
	log *loglist.Log
	v   *verifier
	*fetcher
	size batchSize
}

func newRFC6962(log *loglist.Log, v *verifier, f *fetcher) Client {
	return &rfc6962Client{log: log, v: v, fetcher: f}
}

func (c *rfc6962Client) Log() *loglist.Log { return c.log }
func (c *rfc6962Client) Close()            { c.fetcher.close() }

func (c *rfc6962Client) Head(ctx context.Context) (Head, error) {
	raw, err := c.get(ctx, request{path: "ct/v1/get-sth", limit: maxHead}, nil)
	if err != nil {
		return Head{}, fmt.Errorf("asking for the head: %w", err)
	}
	return c.v.head(raw)
}

func (c *rfc6962Client) Entries(ctx context.Context, start, size uint64, into *Batch) error {
	into.reset(0)
	if start >= size {
		return fmt.Errorf("reading entries: start %d is beyond the tree of size %d", start, size)
	}
	return c.entries(ctx, start, min(size, alignEnd(start, c.size.ask())), into)
}

// upTo is the next aligned page, once the log was seen to give pages of one size.
func (c *rfc6962Client) upTo(start, size uint64) (end uint64, ok bool) {
	n := c.size.stable()
	if n == 0 {
		return 0, false
	}
	return min((start/n+1)*n, size), true
}

// parallel is small, since RFC 6962 logs answer from a database.
func (c *rfc6962Client) parallel() int { return 3 }

func (c *rfc6962Client) readTo(ctx context.Context, start, end, _ uint64, into *Batch) error {
	into.reset(0)
	return c.entries(ctx, start, end, into)
}

// entries reads the range from start to end, which is outside, or the beginning of it.
func (c *rfc6962Client) entries(ctx context.Context, start, end uint64, into *Batch) error {
	q := "start=" + strconv.FormatUint(start, 10) + "&end=" + strconv.FormatUint(end-1, 10)
	buf, err := c.get(ctx, request{path: "ct/v1/get-entries", query: q, limit: maxBody, bulk: true}, into.page)
	lazy := into.lazy
	if into.page = buf; cap(buf) > easyBody { // too much to hold on to
		into.page, into.lazy = nil, false
	}
	if len(buf) > 0 { // also of a body that broke off: its whole entries count
		if perr := ReadEntriesPage(buf, start, into); err == nil {
			err = perr
		}
	}
	into.lazy = lazy
	if uint64(len(into.Entries)) > end-start { // more than asked for
		into.Entries = into.Entries[:end-start]
	}
	c.size.got(int(end-start), len(into.Entries), err)
	if len(into.Entries) > 0 {
		return nil // the rest is asked for again
	}
	if err == nil {
		err = errEmpty
	}
	return fmt.Errorf("reading entries %d to %d: %w", start, end-1, err)
}

func (c *rfc6962Client) Timestamp(ctx context.Context, index, size uint64) (uint64, error) {
	var b Batch
	if err := c.entries(ctx, index, index+1, &b); err != nil {
		return 0, err
	}
	if e := &b.Entries[0]; e.Problem == "" {
		return e.Timestamp, nil
	}
	return 0, fmt.Errorf("entry %d: %s", index, b.Entries[0].Problem)
}

// Edge proves the last of the n entries into the tree of size n: the proof's nodes are the compact range. That tree is
// then proven to be a prefix of the head's. Where the log does not serve that entry, the next one does it as well.
func (c *rfc6962Client) Edge(ctx context.Context, n uint64, head Head) ([]Hash, error) {
	if n > head.Size {
		return nil, fmt.Errorf("entry %d is beyond the head of size %d", n, head.Size)
	}
	if n == 0 {
		return nil, nil
	}
	leaf, path, err := c.inclusion(ctx, n-1, n)
	if err != nil {
		if n < head.Size && notThere(err) {
			return c.edgeBefore(ctx, n, head)
		}
		return nil, err
	}
	low := bits.TrailingZeros64(n)
	if want := low + bits.OnesCount64(n) - 1; len(path) != want {
		return nil, fmt.Errorf("inclusion proof of entry %d in size %d has %d nodes, want %d", n-1, n, len(path), want)
	}
	node := leaf[:]
	for _, left := range path[:low] {
		node = hashChildren(left[:], node)
	}
	hashes := append(slices.Clone(path[low:]), Hash{})
	slices.Reverse(hashes[:len(hashes)-1])
	hashes[len(hashes)-1] = Hash(node)
	root, err := edgeRoot(n, hashes)
	if err != nil {
		return nil, err
	}
	return hashes, c.tie(ctx, Head{Size: n, Root: root}, head)
}

// edgeBefore proves the entry n into the tree of size n+1: all nodes of the proof are left of it.
func (c *rfc6962Client) edgeBefore(ctx context.Context, n uint64, head Head) ([]Hash, error) {
	leaf, hashes, err := c.inclusion(ctx, n, n+1)
	if err != nil {
		return nil, err
	}
	slices.Reverse(hashes)
	tree, err := newRange(n, hashes)
	if err != nil {
		return nil, err
	}
	if err := tree.Append(leaf[:], nil); err != nil {
		return nil, err
	}
	return hashes, c.tie(ctx, Head{Size: n + 1, Root: rangeRoot(tree)}, head)
}

// tie checks that a tree which proofs led to is a prefix of the head's.
func (c *rfc6962Client) tie(ctx context.Context, own, head Head) error {
	if err := c.Consistent(ctx, own, head); err != nil {
		// Not %w: the smaller head is our own, so a contradiction is a broken proof and no fork between signed heads.
		return fmt.Errorf("tying the tree of the first %d entries to the head of size %d: %v", own.Size, head.Size, err)
	}
	return nil
}

// inclusion fetches the leaf hash of an entry and its audit path in the tree of the given size.
func (c *rfc6962Client) inclusion(ctx context.Context, index, size uint64) (leaf Hash, path []Hash, err error) {
	q := url.Values{"leaf_index": {strconv.FormatUint(index, 10)}, "tree_size": {strconv.FormatUint(size, 10)}}
	raw, err := c.get(ctx, request{path: "ct/v1/get-entry-and-proof", query: q.Encode(), limit: maxBody}, nil)
	var status *StatusError
	if errors.As(err, &status) && status.Code != http.StatusTooManyRequests && status.Code != http.StatusServiceUnavailable {
		return c.inclusionByHash(ctx, index, size) // not every log offers the former
	}
	if err != nil {
		return leaf, nil, fmt.Errorf("asking for entry %d with its proof: %w", index, err)
	}
	var j struct {
		Leaf []byte `json:"leaf_input"`
		Path []Hash `json:"audit_path"`
	}
	if err := json.Unmarshal(raw, &j); err != nil || len(j.Leaf) == 0 {
		return leaf, nil, fmt.Errorf("reading entry %d with its proof: not understood: %q", index, disarm(string(raw[:min(len(raw), 120)])))
	}
	var h leafHasher
	return h.sum(j.Leaf), j.Path, nil
}

func (c *rfc6962Client) inclusionByHash(ctx context.Context, index, size uint64) (leaf Hash, path []Hash, err error) {
	var b Batch
	if err := c.entries(ctx, index, index+1, &b); err != nil {
		return leaf, nil, err
	}
	leaf = b.Entries[0].Hash()
	q := url.Values{"hash": {base64.StdEncoding.EncodeToString(leaf[:])}, "tree_size": {strconv.FormatUint(size, 10)}}
	raw, err := c.get(ctx, request{path: "ct/v1/get-proof-by-hash", query: q.Encode(), limit: maxProof}, nil)
	if err != nil {
		return leaf, nil, fmt.Errorf("asking for the proof of entry %d: %w", index, err)
	}
	var j struct {
		Index *uint64 `json:"leaf_index"`
		Path  []Hash  `json:"audit_path"`
	}
	if err := json.Unmarshal(raw, &j); err != nil || j.Index == nil {
		return leaf, nil, fmt.Errorf("reading the proof of entry %d: not understood: %q", index, disarm(string(raw[:min(len(raw), 120)])))
	}
	if *j.Index != index {
		return leaf, nil, fmt.Errorf("the proof of entry %d is for entry %d", index, *j.Index)
	}
	return leaf, j.Path, nil
}

func (c *rfc6962Client) Consistent(ctx context.Context, older, newer Head) error {
	if done, err := sameSize(older, newer); done {
		return err
	}
	q := url.Values{"first": {strconv.FormatUint(older.Size, 10)}, "second": {strconv.FormatUint(newer.Size, 10)}}
	raw, err := c.get(ctx, request{path: "ct/v1/get-sth-consistency", query: q.Encode(), limit: maxProof}, nil)
	if err != nil {
		return fmt.Errorf("asking for the consistency of sizes %d and %d: %w", older.Size, newer.Size, err)
	}
	var j struct {
		Proof []Hash `json:"consistency"`
	}
	if err := json.Unmarshal(raw, &j); err != nil || j.Proof == nil {
		return fmt.Errorf("reading the consistency of sizes %d and %d: not understood: %q", older.Size, newer.Size, disarm(string(raw[:min(len(raw), 120)])))
	}
	err = verifyConsistency(older, newer, j.Proof)
	var fork *ForkError
	if err == nil || errors.As(err, &fork) {
		return err
	}
	if fork := c.forkAtPowerOfTwo(ctx, older, newer); fork != nil {
		return fork
	}
	return &unprovenError{older, newer, j.Proof, err}
}

// forkAtPowerOfTwo decides where a consistency proof cannot: the proof from a perfect tree does not contain its root.
// The inclusion proof of its last entry in the newer tree does.
func (c *rfc6962Client) forkAtPowerOfTwo(ctx context.Context, older, newer Head) error {
	n := older.Size
	if n&(n-1) != 0 {
		return nil
	}
	leaf, path, err := c.inclusion(ctx, n-1, newer.Size)
	if err != nil {
		return nil
	}
	low := bits.TrailingZeros64(n)
	root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, n-1, newer.Size, leaf[:], hashSlices(path))
	if err != nil || Hash(root) != newer.Root || len(path) < low {
		return nil
	}
	node := leaf[:]
	for _, left := range path[:low] {
		node = hashChildren(left[:], node)
	}
	if Hash(node) == older.Root {
		return nil
	}
	return &ForkError{Older: older, Newer: newer, Computed: Hash(node), Proof: path[low:]}
}

func (c *rfc6962Client) Issuer(context.Context, [32]byte) ([]byte, error) {
	return nil, errors.New("an RFC 6962 log has no issuers by fingerprint")
}

// unprovenError is a consistency proof that proves nothing: a stale or broken answer as likely as a lying log.
type unprovenError struct {
	older, newer Head
	proof        []Hash
	err          error
}

func (e *unprovenError) Error() string {
	return fmt.Sprintf("the consistency proof between sizes %d and %d does not verify", e.older.Size, e.newer.Size)
}

// sameSize settles what needs no proof: equal sizes, and the empty tree, from which no log can give one (D07).
func sameSize(older, newer Head) (done bool, err error) {
	switch {
	case older.Size > newer.Size:
		return true, fmt.Errorf("checking consistency: older head has size %d, newer one %d", older.Size, newer.Size)
	case older.Size == newer.Size && older.Root != newer.Root:
		return true, &ForkError{Older: older, Newer: newer, Computed: newer.Root}
	case older.Size == newer.Size || older.Size == 0:
		return true, nil
	}
	return false, nil
}

// verifyConsistency checks a proof. It returns a [*ForkError] when the proof shows that the newer tree contains another
// tree than the older head says.
func verifyConsistency(older, newer Head, nodes []Hash) error {
	p := hashSlices(nodes)
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, older.Size, newer.Size, p, older.Root[:], newer.Root[:])
	var mismatch proof.RootMismatchError
	if errors.As(err, &mismatch) && bytes.Equal(mismatch.ExpectedRoot, older.Root[:]) && len(mismatch.CalculatedRoot) == 32 {
		other := Hash(mismatch.CalculatedRoot)
		if proof.VerifyConsistency(rfc6962.DefaultHasher, older.Size, newer.Size, p, other[:], newer.Root[:]) == nil {
			return &ForkError{Older: older, Newer: newer, Computed: other, Proof: nodes}
		}
	}
	return err
}

func hashSlices(hashes []Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}
