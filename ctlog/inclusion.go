package ctlog

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

// AbsentError says that a leaf is not in the tree of a head. For a static log that is proven where Proof is set, or
// Index is not below the size of the head; for an RFC 6962 log it is what the log itself says.
type AbsentError struct {
	Leaf Hash
	Head Head
	// Index is where the leaf was looked for: the one that the log had promised. Nil for an RFC 6962 log.
	Index *uint64
	// Found is the leaf hash that the tree holds at Index, and Proof its inclusion proof; zero and nil when Index is
	// beyond the tree.
	Found Hash
	Proof []Hash
	// Answer is what an RFC 6962 log said, cut and made harmless.
	Answer string
}

func (e *AbsentError) Error() string {
	switch {
	case e.Index == nil && e.Head.Size == 0:
		return "the tree is empty"
	case e.Index == nil:
		return fmt.Sprintf("the log does not know the leaf in its tree of size %d: %s", e.Head.Size, e.Answer)
	case *e.Index >= e.Head.Size:
		return fmt.Sprintf("the tree of size %d ends before index %d", e.Head.Size, *e.Index)
	}
	return fmt.Sprintf("the tree of size %d holds another leaf at index %d", e.Head.Size, *e.Index)
}

// UnprovenError is an answer of a log that neither proves nor denies that a leaf is in its tree: a proof that does not
// verify, or none that can be read.
type UnprovenError struct{ Err error }

func (e *UnprovenError) Error() string { return e.Err.Error() }
func (e *UnprovenError) Unwrap() error { return e.Err }

// ErrNoIndex: a static log cannot be asked for a leaf whose index is not known.
var ErrNoIndex = errors.New("a static log can be asked only for an index, and none is known")

// Inclusion asks for the proof by hash and verifies it.
func (c *rfc6962Client) Inclusion(ctx context.Context, leaf Hash, _ *uint64, head Head) (uint64, error) {
	if head.Size == 0 {
		return 0, &AbsentError{Leaf: leaf, Head: head}
	}
	q := url.Values{"hash": {base64.StdEncoding.EncodeToString(leaf[:])}, "tree_size": {strconv.FormatUint(head.Size, 10)}}
	raw, err := c.get(ctx, request{path: "ct/v1/get-proof-by-hash", query: q.Encode(), limit: maxProof}, nil)
	var status *StatusError
	switch {
	case errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusBadRequest):
		return 0, &AbsentError{Leaf: leaf, Head: head, Answer: disarm(status.Error())}
	case err != nil:
		return 0, fmt.Errorf("asking for the proof of a leaf: %w", err)
	}
	var j struct {
		Index *uint64 `json:"leaf_index"`
		Path  []Hash  `json:"audit_path"`
	}
	if err := json.Unmarshal(raw, &j); err != nil || j.Index == nil {
		return 0, &UnprovenError{fmt.Errorf("reading the proof of a leaf: not understood: %q", disarm(string(raw[:min(len(raw), 120)])))}
	}
	if *j.Index >= head.Size {
		return 0, &UnprovenError{fmt.Errorf("the proof of a leaf is for index %d, beyond the tree of size %d", *j.Index, head.Size)}
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, *j.Index, head.Size, leaf[:], hashSlices(j.Path), head.Root[:]); err != nil {
		return 0, &UnprovenError{fmt.Errorf("the proof of a leaf at index %d in the tree of size %d does not verify", *j.Index, head.Size)}
	}
	return *j.Index, nil
}

// Inclusion compares the leaf with the one that the tree holds at the index, as hash tiles prove under the head.
func (c *staticClient) Inclusion(ctx context.Context, leaf Hash, index *uint64, head Head) (uint64, error) {
	if index == nil {
		return 0, ErrNoIndex
	}
	if *index >= head.Size {
		return 0, &AbsentError{Leaf: leaf, Head: head, Index: index}
	}
	tiles := &watchedTiles{hashTiles: hashTiles{ctx, c}}
	reader := tlog.TileHashReader(tlog.Tree{N: int64(head.Size), Hash: tlog.Hash(head.Root)}, tiles)
	found, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(*index))})
	if err != nil {
		err = fmt.Errorf("reading the leaf at index %d in the tree of size %d: %w", *index, head.Size, err)
		var bad *tileError
		if !tiles.failed || errors.As(err, &bad) { // all that was asked for came, and does not belong to the head
			return 0, &UnprovenError{err}
		}
		return 0, err
	}
	if Hash(found[0]) == leaf {
		return *index, nil
	}
	absent := &AbsentError{Leaf: leaf, Head: head, Index: index, Found: Hash(found[0])}
	path, err := tlog.ProveRecord(int64(head.Size), int64(*index), reader)
	if err != nil {
		return 0, fmt.Errorf("proving the leaf at index %d in the tree of size %d: %w", *index, head.Size, err)
	}
	absent.Proof = make([]Hash, len(path))
	for i := range path {
		absent.Proof[i] = Hash(path[i])
	}
	return 0, absent
}

// watchedTiles tells tiles that could not be had from tiles that contradict the head.
type watchedTiles struct {
	hashTiles
	failed bool
}

func (w *watchedTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	b, err := w.hashTiles.ReadTiles(tiles)
	w.failed = w.failed || err != nil
	return b, err
}

// VerifyInclusion checks that the tree of the head holds the leaf at the index. It needs no network: it serves to check
// evidence.
func VerifyInclusion(leaf Hash, index uint64, path []Hash, head Head) error {
	return proof.VerifyInclusion(rfc6962.DefaultHasher, index, head.Size, leaf[:], hashSlices(path), head.Root[:])
}
