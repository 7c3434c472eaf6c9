package ctlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin-ct/tocsin/loglist"
)

// prover is a client that proves what a tree holds at an index.
type prover interface {
	// leafAt returns the leaf hash at index in the head's tree with its audit path.
	leafAt(ctx context.Context, index uint64, head Head) (leaf Hash, path []Hash, err error)
}

func (c *staticClient) leafHashes(ctx context.Context, from, to uint64, head Head) ([][32]byte, error) {
	indexes := make([]int64, 0, to-from)
	for i := from; i < to; i++ {
		indexes = append(indexes, tlog.StoredHashIndex(0, int64(i)))
	}
	nodes, err := c.hashes(ctx, head).ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("reading the leaf hashes %d to %d: %w", from, to-1, err)
	}
	hashes := make([][32]byte, len(nodes))
	for i := range nodes {
		hashes[i] = nodes[i]
	}
	return hashes, nil
}

func (c *staticClient) leafAt(ctx context.Context, index uint64, head Head) (leaf Hash, path []Hash, err error) {
	hashes, err := c.leafHashes(ctx, index, index+1, head)
	if err != nil {
		return leaf, nil, err
	}
	p, err := tlog.ProveRecord(int64(head.Size), int64(index), c.hashes(ctx, head))
	if err != nil {
		return leaf, nil, fmt.Errorf("proving entry %d: %w", index, err)
	}
	for _, h := range p {
		path = append(path, Hash(h))
	}
	return hashes[0], path, nil
}

// leafAt asks for the entry with its proof. A log that serves another entry there than it hashed is asked for the one
// beside it: the audit path of that begins with the leaf hash sought.
func (c *rfc6962Client) leafAt(ctx context.Context, index uint64, head Head) (leaf Hash, path []Hash, err error) {
	proven := func(leaf Hash, path []Hash) bool {
		return proof.VerifyInclusion(rfc6962.DefaultHasher, index, head.Size, leaf[:], hashSlices(path), head.Root[:]) == nil
	}
	leaf, path, err = c.inclusion(ctx, index, head.Size)
	if err == nil && proven(leaf, path) {
		return leaf, path, nil
	}
	if beside := index ^ 1; beside < head.Size {
		leaf, path, err = c.inclusion(ctx, beside, head.Size)
		if err == nil && len(path) > 0 {
			sought := path[0]
			if path[0] = leaf; proven(sought, path) {
				return sought, path, nil
			}
		}
	}
	return leaf, nil, errors.Join(fmt.Errorf("the log does not prove its entry %d", index), err)
}

// wrongEntry is an entry that the log serves in the place of the one that it signed.
type wrongEntry struct {
	index uint64
	leaf  []byte
	hash  Hash // what the signed tree has there
	path  []Hash
}

// Bounds of what is read again to find a wrong entry.
const (
	maxSought      = 4096
	maxSoughtBytes = 32 << 20
)

// soughtEntry reads a range again and finds the first entry in it that is not the one which the target's tree holds
// (D04). Fine says that there is none: the entries were damaged on the way to us. Nil without an error means that the
// log does not give the proofs for it.
func (t *Tailer) soughtEntry(ctx context.Context, target Head, from, to uint64) (w *wrongEntry, fine bool) {
	p, ok := t.c.(prover)
	if !ok || to-from > maxSought {
		return nil, false
	}
	leaves, roots, err := t.again(ctx, target, from, to)
	if err != nil {
		t.log.Debug("the wrong entry is not narrowed down", "err", err)
		return nil, false
	}
	good, bad := -1, len(leaves) // leaves[good] is right, leaves[bad] is wrong or outside
	for bad-good > 1 {
		mid := good + (bad-good)/2
		var fork *ForkError
		var unproven *unprovenError
		err := t.c.Consistent(ctx, Head{Size: from + uint64(mid) + 1, Root: roots[mid]}, target)
		switch {
		case err == nil:
			good = mid
		case errors.As(err, &fork) || errors.As(err, &unproven):
			bad = mid
		default:
			return nil, false
		}
	}
	if bad == len(leaves) {
		return nil, true
	}
	w = &wrongEntry{index: from + uint64(bad), leaf: leaves[bad]}
	if w.hash, w.path, err = p.leafAt(ctx, w.index, target); err != nil {
		t.log.Debug("the wrong entry is not proven", "index", w.index, "err", err)
		return nil, false
	}
	var h leafHasher
	if Hash(h.sum(w.leaf)) == w.hash {
		return nil, false
	}
	return w, false
}

// again reads a range with the roots behind each of its entries, from the tree that the log proves before it.
func (t *Tailer) again(ctx context.Context, target Head, from, to uint64) (leaves [][]byte, roots []Hash, err error) {
	edge, err := t.c.Edge(ctx, from, target)
	if err != nil {
		return nil, nil, err
	}
	tree, err := newRange(from, edge)
	if err != nil {
		return nil, nil, err
	}
	var b Batch
	bytesRead := 0
	for next := from; next < to; next = from + uint64(len(leaves)) {
		if err := t.c.Entries(ctx, next, target.Size, &b); err != nil {
			return nil, nil, err
		}
		for i := range b.Entries {
			if b.Entries[i].Index >= to {
				break
			}
			if bytesRead += len(b.Entries[i].Leaf); bytesRead > maxSoughtBytes {
				return nil, nil, errors.New("too much to be read again")
			}
			hash := b.Entries[i].Hash()
			if err := tree.Append(hash[:], nil); err != nil {
				return nil, nil, err
			}
			leaves = append(leaves, bytes.Clone(b.Entries[i].Leaf))
			roots = append(roots, rangeRoot(tree))
		}
	}
	return leaves, roots, nil
}

// firstBad narrows down which entries are not those of the target's tree (D04): the log itself proves up to which size
// what we read is a prefix of it. Without proofs it is all the range.
func (t *Tailer) firstBad(ctx context.Context, target Head) (from, to uint64) {
	trail := append([]Head{t.cur.Verified}, t.trail...)
	good, bad := 0, len(trail)-1 // trail[bad] is the position at the target's size
	for bad-good > 1 {
		mid := good + (bad-good)/2
		err := t.c.Consistent(ctx, trail[mid], target)
		var fork *ForkError
		var unproven *unprovenError
		switch {
		case err == nil:
			good = mid
		case errors.As(err, &fork) || errors.As(err, &unproven):
			bad = mid
		default:
			return t.cur.Verified.Size, target.Size
		}
	}
	return trail[good].Size, trail[bad].Size
}

// longDamaged is how long damage on the way is believed in.
const longDamaged = time.Hour

// errDamaged is a range that was wrong when it came and right when it came again: damage on the way, no fault.
var errDamaged = errors.New("entries were damaged on their way; they are read again")

// wrongRoot reports that the entries are not those that the head signs, and goes back to the verified position.
func (t *Tailer) wrongRoot(ctx context.Context, target Head, root Hash, doubtful bool) error {
	verified := t.cur.Verified
	var fork *ForkError
	err := error(nil)
	if !doubtful {
		if verified.Size > 0 {
			errors.As(t.c.Consistent(ctx, verified, target), &fork)
		}
		if fork != nil {
			err = t.forked(fork)
		} else {
			from, to := t.firstBad(ctx, target)
			err = t.wrongRange(ctx, target, verified.Size, target.Size, root, from, to)
		}
	} else {
		err = &faultError{fmt.Sprintf("the entries do not hash to the root of the head of size %d", target.Size)}
	}
	if !errors.Is(err, errDamaged) {
		t.refuted = target
	}
	if rerr := t.rewindTree(); rerr != nil {
		return rerr
	}
	if derr := t.deliver(ctx, nil, t.cur, target); derr != nil {
		return derr
	}
	return err
}

// wrongRootIn is wrongRoot for a range that came late.
func (t *Tailer) wrongRootIn(ctx context.Context, head Head, from, to uint64, root Hash) error {
	return t.wrongRange(ctx, head, from, to, root, from, to)
}

// wrongRange reports that entries from one index to another lead to a wrong root; the first wrong one is between low
// and high.
func (t *Tailer) wrongRange(ctx context.Context, target Head, from, to uint64, root Hash, low, high uint64) error {
	w, fine := t.soughtEntry(ctx, target, low, high)
	if since, _ := t.lasts(WrongRoot, ""); fine && time.Since(since) < longDamaged {
		return errDamaged
	}
	if w != nil {
		return t.wrongEntry(target, from, to, &root, w)
	}
	ev := t.about(target)
	ev.From, ev.To, ev.FirstBad, ev.Want, ev.Got = from, to, &[2]uint64{low, high}, &target.Root, &root
	return t.fault(WrongRoot, fmt.Sprintf("the entries from %d to %d hash to the root %s, but the head of size %d signs %s; the first wrong entry is one from %d to %d",
		from, to-1, root, target.Size, target.Root, low, high-1), ev)
}

// wrongEntry reports the entry that makes a root wrong. Root is what was computed over the range, or nil.
func (t *Tailer) wrongEntry(target Head, from, to uint64, root *Hash, w *wrongEntry) error {
	var h leafHasher
	ev := t.about(target)
	ev.From, ev.To, ev.FirstBad, ev.Want, ev.Got = from, to, &[2]uint64{w.index, w.index + 1}, &target.Root, root
	ev.EntryIndex, ev.Entry, ev.EntryHash, ev.EntryPath = w.index, w.leaf, &w.hash, w.path
	return t.fault(WrongRoot, fmt.Sprintf("the log serves an entry %d that hashes to %s, but its head of size %d signs %s there",
		w.index, Hash(h.sum(w.leaf)), target.Size, w.hash), ev)
}

// falseTime reports an entry that is later than the head which covers it (D05), with the entry where it can be had.
func (t *Tailer) falseTime(ctx context.Context, target Head) {
	ev := t.about(target)
	ev.From, ev.To = t.latestAt, t.latestAt+1
	var b Batch
	if p, ok := t.c.(prover); ok && t.c.Entries(ctx, t.latestAt, target.Size, &b) == nil {
		e := &b.Entries[0]
		if hash, path, err := p.leafAt(ctx, t.latestAt, target); err == nil && hash == Hash(e.Hash()) {
			ev.EntryIndex, ev.Entry, ev.EntryHash, ev.EntryPath = e.Index, slices.Clone(e.Leaf), &hash, path
		}
	}
	t.faultNote(FalseTime, fmt.Sprintf("entry %d is %d ms later than the head of size %d that covers it", t.latestAt, t.latest-target.Timestamp, target.Size), ev)
}

// otherKey says which key signed a checkpoint instead of the log's, as far as the note tells.
func otherKey(raw []byte, log *loglist.Log) string {
	if log.Kind != loglist.Static {
		return ""
	}
	for _, s := range noteSignatures(raw) {
		if s.name == log.Origin() && s.id != noteKeyHash(log.Origin(), log.ID) {
			return fmt.Sprintf("; it is signed by the key with the id %08x instead", s.id)
		}
	}
	return ""
}
