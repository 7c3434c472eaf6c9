package ctlog

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// maxAside bounds how far back entries are read of a tree that is not the verified one.
const maxAside = 1 << 20

// asideHeads are signed heads that are not, or not provably, of the verified tree.
type asideHeads struct {
	todo, done Head      // to be read, and read last
	next       time.Time // no try to read todo before
	wait       backoff
	owing      []Head // to be held against a larger verified head; bounded by maxLater
	tried      uint64 // the verified size at which that was last tried
}

// mostAsideWait bounds the waits between tries to read a head that was set aside: the log may never show its tree again.
const mostAsideWait = 10 * time.Minute

// lookAside follows each round, which ended with err, and says whether something was read: such a log is not down.
func (t *Tailer) lookAside(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if err == nil {
		t.settleAside(ctx)
	}
	return t.readAside(ctx)
}

// undecided keeps a smaller head that could not be held against the verified one, because the log does not give the
// proof now: that is tried again when a larger one is verified, and the head's entries are read meanwhile.
func (t *Tailer) undecided(head Head) {
	t.setAside(head)
	same := func(h Head) bool { return h.Size == head.Size && h.Root == head.Root }
	if len(t.aside.owing) < maxLater && !slices.ContainsFunc(t.aside.owing, same) {
		t.aside.owing = append(t.aside.owing, head)
	}
}

// settleAside decides about what undecided kept, as far as the log gives proofs now.
func (t *Tailer) settleAside(ctx context.Context) {
	v := t.cur.Verified
	if v.Size == t.aside.tried {
		return
	}
	t.aside.tried = v.Size
	t.aside.owing = slices.DeleteFunc(t.aside.owing, func(h Head) bool {
		if h.Size > v.Size {
			return false
		}
		err := t.c.Consistent(ctx, h, v)
		var fork *ForkError
		switch {
		case err == nil:
			t.remember(h)
		case errors.As(err, &fork):
			_ = t.forked(fork)
		default:
			return false
		}
		return true
	})
}

// setAside notes a signed head that contradicts what was verified, or that cannot be shown to be part of it: the other
// tree of a fork, or that of a log that lost entries and goes on without them.
func (t *Tailer) setAside(heads ...Head) {
	v := &t.cur.Verified
	for _, h := range heads {
		todo, done := &t.aside.todo, &t.aside.done
		if h.Raw == nil || h.Size == 0 || h.Size == v.Size && h.Root == v.Root ||
			h.Size == todo.Size && h.Root == todo.Root || h.Size == done.Size && h.Root == done.Root {
			continue
		}
		*todo, t.aside.next, t.aside.wait = h, time.Time{}, backoff{first: firstWait, most: mostAsideWait}
	}
}

// readAside delivers the entries of a head that was set aside, from where its tree parts from the verified one: what
// others are shown there may be what we watch for. The position stays where it is. Each such head is read once.
func (t *Tailer) readAside(ctx context.Context) bool {
	head := t.aside.todo
	if head.Size == 0 || time.Now().Before(t.aside.next) {
		return false
	}
	err := t.readTree(ctx, head)
	if err != nil {
		t.log.Warn("reading a head that is not of the verified tree", "size", head.Size, "err", err)
		if !errors.Is(err, errOtherTree) {
			t.aside.next = time.Now().Add(t.aside.wait.next())
			return false
		}
	}
	t.aside.done, t.aside.todo = head, Head{}
	return true
}

// errOtherTree is a head whose tree the log does not show.
var errOtherTree = errors.New("the entries do not hash to the root of the head")

func (t *Tailer) readTree(ctx context.Context, head Head) error {
	from, err := t.parting(ctx, head)
	if err != nil {
		return err
	}
	if head.Size-from > maxAside {
		t.log.Warn("not all entries of a head that is not of the verified tree are read", "size", head.Size, "from", head.Size-maxAside, "parting", from)
		from = head.Size - maxAside
	}
	edge, err := t.c.Edge(ctx, from, head)
	if err != nil {
		return err
	}
	tree, err := newRange(from, edge)
	if err != nil {
		return err
	}
	l := newLoad(t.opts.Sift != nil)
	for next := from; next < head.Size; next = tree.End() {
		// Not by retry: that these requests fail says nothing about the log that is followed.
		if err := t.c.Entries(ctx, next, head.Size, &l.Batch); err != nil {
			return err
		}
		if n := uint64(len(l.Entries)); n == 0 || n > head.Size-next {
			return fmt.Errorf("%d entries from %d in a tree of size %d", n, next, head.Size)
		}
		l.digest(next, t.opts.Sift)
		for i := range l.parts {
			p := &l.parts[i]
			if err := p.join(tree); err != nil {
				return err
			}
			d := Delivery{Entries: l.Entries[p.from:p.to], Hits: l.hits[p.hitsFrom:p.hitsTo], Mark: p.mark, Cursor: t.cur, Head: head, Aside: true}
			if err := t.hand(ctx, &d); err != nil {
				return err
			}
		}
	}
	l.release()
	if rangeRoot(tree) != head.Root {
		return errOtherTree
	}
	return nil
}

// parting is the largest size known to us up to which the head's tree is the verified one, or the one that was read
// aside last.
func (t *Tailer) parting(ctx context.Context, head Head) (uint64, error) {
	if done := t.aside.done; done.Size > 0 && done.Size <= head.Size {
		if same, err := t.holds(ctx, head, done); same || err != nil {
			return done.Size, err
		}
	}
	marks := t.landmarks(head.Size)
	lo, hi := 0, len(marks) // marks[:lo] are of the head's tree, marks[hi:] are not
	for lo < hi {
		mid := lo + (hi-lo)/2
		same, err := t.holds(ctx, head, marks[mid])
		if err != nil {
			return 0, err
		}
		if same {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return min(t.cur.Start, head.Size), nil
	}
	return max(marks[lo-1].Size, min(t.cur.Start, head.Size)), nil
}

// holds says whether the head's tree has the root of the older head at its size.
func (t *Tailer) holds(ctx context.Context, head, older Head) (bool, error) {
	edge, err := t.c.Edge(ctx, older.Size, head)
	if err != nil {
		return false, err
	}
	root, err := edgeRoot(older.Size, edge)
	return root == older.Root, err
}

// landmarks are the sizes up to the limit at which the root of the verified tree is known, in order: those of the heads
// that were checked, and of the perfect subtrees that it consists of.
func (t *Tailer) landmarks(limit uint64) []Head {
	var marks []Head
	for _, h := range t.checked {
		marks = append(marks, h)
	}
	size := uint64(0)
	for i := range t.cur.VerifiedHashes {
		size += 1 << (bits.Len64(t.cur.Verified.Size-size) - 1)
		if root, err := edgeRoot(size, t.cur.VerifiedHashes[:i+1]); err == nil {
			marks = append(marks, Head{Size: size, Root: root})
		}
	}
	marks = slices.DeleteFunc(marks, func(h Head) bool { return h.Size > limit || h.Size == 0 })
	slices.SortFunc(marks, func(a, b Head) int { return int(int64(a.Size) - int64(b.Size)) })
	return marks
}
