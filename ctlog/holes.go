package ctlog

import (
	"context"
	"errors"
	"math/bits"

	"github.com/transparency-dev/merkle/compact"
)

// maxProbes bounds the requests by which served entries are sought inside one gap, each time that gaps are asked for.
const maxProbes = 32

// within looks for entries that are served inside a gap whose first one is not: a log may miss several ranges, and what
// lies between them is read, matched and verified like all else. It looks ever closer, and goes on the next time.
func (t *Tailer) within(ctx context.Context, gap Range, head Head) error {
	width := gap.To - gap.From - 1 // of which the first is not served, as was just seen
	if width == 0 {
		return nil
	}
	if len(t.probed) > 4*maxGaps {
		clear(t.probed)
	}
	key := [2]uint64{gap.From, gap.To}
	var b Batch
	served := func(i uint64) (bool, error) {
		err := t.c.Entries(ctx, i, head.Size, &b)
		if ctx.Err() != nil || tooMany(err) {
			return false, err
		}
		return err == nil, nil
	}
	for range maxProbes {
		t.probed[key]++
		ok, err := served(gap.From + 1 + spread(t.probed[key], width))
		if err != nil {
			return ctx.Err()
		}
		if !ok {
			continue
		}
		missing, found := gap.From, gap.From+1+spread(t.probed[key], width)
		for found-missing > 1 {
			mid := missing + (found-missing)/2
			switch ok, err := served(mid); {
			case err != nil:
				return ctx.Err()
			case ok:
				found = mid
			default:
				missing = mid
			}
		}
		return t.island(ctx, gap, found, head)
	}
	return nil
}

// spread is the n-th of a sequence of places below width that fills it ever more densely, and evenly.
func spread(n, width uint64) uint64 {
	place, _ := bits.Mul64(bits.Reverse64(n), width)
	return place
}

// island reads what is served inside a gap from an index on. Where the log proves the tree before it, what it hashes to
// must be of the head's tree, and then only what lies on both sides of it stays owed.
func (t *Tailer) island(ctx context.Context, gap Range, from uint64, head Head) error {
	var tree *compact.Range
	if !gap.Unhashed {
		edge, err := t.c.Edge(ctx, from, head)
		if err == nil {
			tree, err = newRange(from, edge)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case tooMany(err):
			return nil
		case err != nil:
			t.log.Debug("what is served inside a gap is not proven", "from", from, "err", err)
		}
	}
	left, right := gap, gap
	left.To, right.From, right.Before = from, from, nil
	if left.Root = (Hash{}); tree != nil {
		left.Root = rangeRoot(tree)
	}
	var b Batch
	for n := 0; right.From < gap.To && n < gapRequests; n++ {
		if err := t.c.Entries(ctx, right.From, head.Size, &b); err != nil {
			break
		}
		entries := b.Entries[:min(uint64(len(b.Entries)), gap.To-right.From, maxDelivery)]
		if err := t.closeGap(ctx, entries, t.cur, head); err != nil { // matched, whatever they hash to
			return err
		}
		right.From += uint64(len(entries))
		for i := range entries {
			hash := entries[i].Hash()
			if tree == nil {
				continue
			}
			if err := tree.Append(hash[:], nil); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil || right.From == from || tree == nil && !gap.Unhashed {
		return ctx.Err()
	}
	if tree != nil {
		if right.Before = rangeHashes(tree); !t.ofTree(ctx, gap, from, tree, head) {
			return ctx.Err()
		}
	}
	cur := t.cur
	cur.Gaps = insertGap(without(cur.Gaps, gap.From, gap.To), left)
	if right.From < gap.To {
		cur.Gaps = insertGap(cur.Gaps, right)
	}
	if len(cur.Gaps) > maxGaps {
		t.log.Warn("too many gaps: what was read inside one stays owed with it", "from", from, "to", right.From)
		return nil
	}
	return t.closeGap(ctx, nil, cur, head)
}

// ofTree reports whether what was read from an index on leads to the tree of the head, and accuses the log where it does
// not. Without a proof it does not: what it is about stays owed.
func (t *Tailer) ofTree(ctx context.Context, gap Range, from uint64, tree *compact.Range, head Head) bool {
	root, to := rangeRoot(tree), tree.End()
	err := t.c.Consistent(ctx, Head{Size: to, Root: root}, head)
	var fork *ForkError
	var unproven *unprovenError
	wrong := errors.As(err, &fork) || errors.As(err, &unproven) || to == gap.To && root != gap.Root
	if wrong && ctx.Err() == nil {
		_ = t.wrongRootIn(ctx, head, from, to, root)
	}
	return err == nil && !wrong
}
