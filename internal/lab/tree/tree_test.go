package tree

import (
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

func TestProofsOfEverySizeVerifyWithTransparencyDev(t *testing.T) {
	const n = 70
	var tr Tree
	rng := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	var roots [][]byte
	empty, err := tr.Root(0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := empty[:], rfc6962.DefaultHasher.EmptyRoot(); string(got) != string(want) {
		t.Errorf("empty root %x, want %x", got, want)
	}
	roots = append(roots, empty[:])
	leaf := func(i int) []byte { return fmt.Appendf(nil, "leaf %d", i) }
	for i := range n {
		h := LeafHash(leaf(i))
		if want := rfc6962.DefaultHasher.HashLeaf(leaf(i)); string(h[:]) != string(want) {
			t.Fatalf("leaf hash %x, want %x", h, want)
		}
		if got := tr.Append(h); got != uint64(i) {
			t.Fatalf("index %d, want %d", got, i)
		}
		if err := rng.Append(h[:], nil); err != nil {
			t.Fatal(err)
		}
		want, err := rng.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		root, err := tr.Root(uint64(i) + 1)
		if err != nil || string(root[:]) != string(want) {
			t.Fatalf("root of %d: %x, %v; want %x", i+1, root, err, want)
		}
		roots = append(roots, want)
	}
	for size := uint64(1); size <= n; size++ {
		for i := range size {
			p, err := tr.Inclusion(i, size)
			if err != nil {
				t.Fatal(err)
			}
			h := LeafHash(leaf(int(i)))
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, i, size, h[:], slices(p), roots[size]); err != nil {
				t.Errorf("inclusion of %d in %d: %v", i, size, err)
			}
		}
		for first := uint64(1); first <= size; first++ {
			p, err := tr.Consistency(first, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, first, size, slices(p), roots[first], roots[size]); err != nil {
				t.Errorf("consistency of %d and %d: %v", first, size, err)
			}
		}
	}
}

func TestOutOfRangeIsAnError(t *testing.T) {
	var tr Tree
	tr.Append(LeafHash(nil))
	if _, err := tr.Root(2); err == nil {
		t.Error("root beyond the tree")
	}
	if _, err := tr.Inclusion(1, 1); err == nil {
		t.Error("inclusion beyond the tree")
	}
	if _, err := tr.Consistency(0, 1); err == nil {
		t.Error("consistency from zero")
	}
	if _, ok := tr.Node(0, 1); ok {
		t.Error("node beyond the tree")
	}
}

func slices(p []Hash) [][]byte {
	out := make([][]byte, len(p))
	for i := range p {
		out[i] = p[i][:]
	}
	return out
}
