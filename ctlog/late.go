package ctlog

import (
	"context"
	"slices"
	"time"
)

// askForGaps asks again for what is owed, when it is time. Failures are no news.
func (t *Tailer) askForGaps(ctx context.Context, head Head) error {
	if len(t.cur.Gaps) == 0 || time.Now().Before(t.nextGap) {
		return nil
	}
	before := t.owed().Error()
	for _, gap := range slices.Clone(t.cur.Gaps) {
		if gap.To > head.Size {
			continue
		}
		fill := t.fillInSequence
		if _, ok := t.c.(spanner); ok {
			fill = t.fillTiles
		}
		if err := fill(ctx, gap, head); err != nil {
			return err
		}
	}
	if err := t.owed(); err == nil || err.Error() != before {
		t.gapWait.reset()
	}
	t.nextGap = time.Now().Add(t.gapWait.next())
	return nil
}

// fillTiles asks for the tiles of a gap, each by itself. An error is one that ends the round.
func (t *Tailer) fillTiles(ctx context.Context, gap Range, head Head) error {
	spans := t.c.(spanner)
	var b Batch
	for next, n := gap.From, 0; next < gap.To && n < gapRequests; n++ {
		from, to := next, min(spans.Span(next, head.Size), gap.To)
		next = to
		err := t.c.Entries(ctx, from, head.Size, &b)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case tooMany(err):
			return nil
		case err != nil:
			continue
		}
		entries := b.Entries[:to-from]
		cur := t.cur
		if gap.Unhashed || t.asSigned(ctx, entries, head) {
			cur.Gaps = without(cur.Gaps, from, to)
		}
		if err := t.closeGap(ctx, entries, cur, head); err != nil {
			return err
		}
	}
	return nil
}

// asSigned checks entries that came late against the hash tiles, and accuses the log where they differ.
func (t *Tailer) asSigned(ctx context.Context, entries []Entry, head Head) bool {
	c, ok := t.c.(leafHashes)
	if !ok {
		return false
	}
	first := entries[0].Index
	hashes, err := c.leafHashes(ctx, first, first+uint64(len(entries)), head)
	if err != nil {
		return false
	}
	for i := range entries {
		if entries[i].Hash() != hashes[i] {
			w := &wrongEntry{index: entries[i].Index, leaf: slices.Clone(entries[i].Leaf)}
			if w.hash, w.path, err = t.c.(prover).leafAt(ctx, w.index, head); err == nil {
				_ = t.wrongEntry(head, first, first+uint64(len(entries)), nil, w)
			}
			return false
		}
	}
	return true
}

// fillInSequence reads a gap from its beginning as far as it is served, then looks for what is served within. Where the tree before it is known the entries
// must lead to the known tree behind it.
func (t *Tailer) fillInSequence(ctx context.Context, gap Range, head Head) error {
	tree, err := newRange(gap.From, gap.Before)
	if err != nil && !gap.Unhashed {
		return err
	}
	var b Batch
	for now, n := gap, 0; now.From < gap.To && n < gapRequests; n++ {
		err := t.c.Entries(ctx, now.From, head.Size, &b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if tooMany(err) {
				return nil
			}
			return t.within(ctx, now, head)
		}
		entries := b.Entries[:min(uint64(len(b.Entries)), gap.To-now.From, maxDelivery)]
		now.From += uint64(len(entries))
		cur := t.cur
		cur.Gaps = without(cur.Gaps, gap.From, gap.To)
		if !gap.Unhashed {
			for i := range entries {
				hash := entries[i].Hash()
				if err := tree.Append(hash[:], nil); err != nil {
					return err
				}
			}
			now.Before = rangeHashes(tree)
			if root := rangeRoot(tree); now.From == gap.To && root != gap.Root {
				_ = t.wrongRootIn(ctx, head, gap.From, gap.To, root)
				now = gap // all of it is owed again
			} else if now.From < gap.To && !t.ofTree(ctx, gap, gap.From, tree, head) {
				now = gap
			}
		}
		if now.From < now.To {
			cur.Gaps = insertGap(cur.Gaps, now)
		}
		if err := t.closeGap(ctx, entries, cur, head); err != nil || now.From == gap.From {
			return err
		}
	}
	return nil
}

// closeGap delivers entries that came late. When the last gap that hid the tree is closed, all behind the verified head
// is read again, so that it verifies.
func (t *Tailer) closeGap(ctx context.Context, entries []Entry, cur Cursor, head Head) error {
	hidden := t.unhashed()
	if err := t.deliver(ctx, entries, cur, head); err != nil {
		return err
	}
	t.count(len(entries))
	latest, at := t.latest, t.latestAt
	t.latest = 0
	for i := range entries {
		if e := &entries[i]; e.Timestamp > t.latest && e.Problem == "" {
			t.latest, t.latestAt = e.Timestamp, e.Index
		}
	}
	if t.latest > head.Timestamp {
		t.falseTime(ctx, head)
	}
	t.latest, t.latestAt = latest, at
	if hidden && !t.unhashed() {
		if err := t.rewindTree(); err != nil {
			return err
		}
		return t.deliver(ctx, nil, t.cur, head)
	}
	return nil
}

// without cuts a range out of the gaps.
func without(gaps []Range, from, to uint64) (out []Range) {
	for _, g := range gaps {
		if to <= g.From || g.To <= from {
			out = append(out, g)
			continue
		}
		if g.From < from {
			left := g
			left.To, left.Root = from, Hash{}
			out = append(out, left)
		}
		if to < g.To {
			right := g
			right.From, right.Before = to, nil
			out = append(out, right)
		}
	}
	return out
}

// insertGap puts a gap in its place.
func insertGap(gaps []Range, gap Range) []Range {
	i := slices.IndexFunc(gaps, func(g Range) bool { return g.From > gap.From })
	if i < 0 {
		i = len(gaps)
	}
	return slices.Insert(slices.Clone(gaps), i, gap)
}
