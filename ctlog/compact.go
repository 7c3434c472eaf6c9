package ctlog

import (
	"crypto/sha256"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
)

// ranges makes compact ranges. It is shared: the hash function has no state.
var ranges = &compact.RangeFactory{Hash: hashChildren}

// hashChildren is the hash of an interior node (RFC 6962 section 2.1).
func hashChildren(left, right []byte) []byte {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left)
	copy(b[33:], right)
	h := sha256.Sum256(b[:])
	return h[:]
}

// newRange makes the compact range over the first n entries.
func newRange(n uint64, hashes []Hash) (*compact.Range, error) {
	nodes := make([][]byte, len(hashes))
	for i := range hashes {
		nodes[i] = append([]byte(nil), hashes[i][:]...)
	}
	r, err := ranges.NewRange(0, n, nodes)
	if err != nil {
		return nil, fmt.Errorf("restoring compact range of %d entries: %w", n, err)
	}
	return r, nil
}

// rangeHashes copies the hashes of a compact range.
func rangeHashes(r *compact.Range) []Hash {
	hashes := make([]Hash, len(r.Hashes()))
	for i, h := range r.Hashes() {
		hashes[i] = Hash(h)
	}
	return hashes
}

// rangeRoot is the root of the tree over the range.
func rangeRoot(r *compact.Range) Hash {
	if r.End() == 0 {
		return emptyRoot
	}
	root, err := r.GetRootHash(nil)
	if err != nil { // only for a range that does not begin at 0
		return Hash{}
	}
	return Hash(root)
}

// edgeRoot is the root over the first n entries, given their compact range.
func edgeRoot(n uint64, hashes []Hash) (Hash, error) {
	r, err := newRange(n, hashes)
	if err != nil {
		return Hash{}, err
	}
	return rangeRoot(r), nil
}
