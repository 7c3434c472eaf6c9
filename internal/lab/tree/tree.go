// Package tree is the Merkle tree of a log under test: RFC 6962 section 2.1, in memory.
//
// It is written from the definitions of the RFC and shares no code with what tocsin verifies logs with, so that each
// is a check of the other.
package tree

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
)

// Hash is a SHA-256 node hash.
type Hash = [32]byte

// LeafHash is MTH of one entry.
func LeafHash(leaf []byte) Hash {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	return Hash(h.Sum(nil))
}

func node(l, r Hash) Hash {
	var b [65]byte
	b[0] = 1
	copy(b[1:], l[:])
	copy(b[33:], r[:])
	return sha256.Sum256(b[:])
}

// Tree keeps the hash of every complete subtree. The zero value is empty and ready. It is not safe for concurrent
// use.
type Tree struct {
	levels [][]Hash // levels[l][i] covers leaves i<<l to (i+1)<<l
}

// Snapshot is the tree as it is now. It may be read while t grows.
func (t *Tree) Snapshot() *Tree { return &Tree{append([][]Hash(nil), t.levels...)} }

// Append adds a leaf by its hash and returns its index.
func (t *Tree) Append(leaf Hash) uint64 {
	if len(t.levels) == 0 {
		t.levels = append(t.levels, nil)
	}
	index := uint64(len(t.levels[0]))
	h := leaf
	for l := 0; ; l++ {
		if l == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[l] = append(t.levels[l], h)
		n := len(t.levels[l])
		if n%2 != 0 {
			return index
		}
		h = node(t.levels[l][n-2], h)
	}
}

// Size is the number of leaves.
func (t *Tree) Size() uint64 {
	if len(t.levels) == 0 {
		return 0
	}
	return uint64(len(t.levels[0]))
}

// Node is the hash of the complete subtree of 1<<level leaves at position index in its level.
func (t *Tree) Node(level int, index uint64) (Hash, bool) {
	if level < 0 || level >= len(t.levels) || index >= uint64(len(t.levels[level])) {
		return Hash{}, false
	}
	return t.levels[level][index], true
}

// Root is the Merkle tree hash of the first size leaves; size may not exceed [Tree.Size].
func (t *Tree) Root(size uint64) (Hash, error) {
	if size > t.Size() {
		return Hash{}, fmt.Errorf("root of %d leaves: the tree has %d", size, t.Size())
	}
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	return t.mth(0, size), nil
}

// mth is MTH(D[begin:end]) where begin is a multiple of the power of two not below end-begin.
func (t *Tree) mth(begin, end uint64) Hash {
	n := end - begin
	if n&(n-1) == 0 {
		l := bits.TrailingZeros64(n)
		return t.levels[l][begin>>l]
	}
	k := split(n)
	return node(t.mth(begin, begin+k), t.mth(begin+k, end))
}

// split is the largest power of two smaller than n, for n above 1.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// Inclusion is PATH(index, D[0:size]) of RFC 6962 section 2.1.1.
func (t *Tree) Inclusion(index, size uint64) ([]Hash, error) {
	if size > t.Size() || index >= size {
		return nil, fmt.Errorf("inclusion of leaf %d in %d: the tree has %d", index, size, t.Size())
	}
	return t.path(index, 0, size), nil
}

func (t *Tree) path(m, begin, end uint64) []Hash {
	n := end - begin
	if n == 1 {
		return nil
	}
	k := split(n)
	if m < k {
		return append(t.path(m, begin, begin+k), t.mth(begin+k, end))
	}
	return append(t.path(m-k, begin+k, end), t.mth(begin, begin+k))
}

// Consistency is PROOF(first, D[0:second]) of RFC 6962 section 2.1.2. It is empty when the sizes are equal.
func (t *Tree) Consistency(first, second uint64) ([]Hash, error) {
	if first == 0 || first > second || second > t.Size() {
		return nil, fmt.Errorf("consistency of %d and %d: the tree has %d", first, second, t.Size())
	}
	return t.subproof(first, 0, second, true), nil
}

func (t *Tree) subproof(m, begin, end uint64, whole bool) []Hash {
	n := end - begin
	if m == n {
		if whole {
			return nil
		}
		return []Hash{t.mth(begin, end)}
	}
	k := split(n)
	if m <= k {
		return append(t.subproof(m, begin, begin+k, whole), t.mth(begin+k, end))
	}
	return append(t.subproof(m-k, begin+k, end, false), t.mth(begin, begin+k))
}
