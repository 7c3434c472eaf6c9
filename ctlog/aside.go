package ctlog

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
)

// asideSlice is how many entries of a head that was set aside are read between two looks at the log's own head. Reading
// also pauses when it took as long as the time between two looks: the verified tree comes first.
const asideSlice = 1 << 16

// asideHeads are signed heads that are not, or not provably, of the verified tree.
type asideHeads struct {
	todo, done Head           // to be read, and read last
	tree       *compact.Range // over the todo's tree as far as it was read; nil before its parting is known
	part       Head           // how far the todo before this one was read: its root there is not signed
	next       time.Time      // no try to read todo before
	wait       backoff
	slice      uint64 // asideSlice, less in tests
	owing      []Head // to be held against a larger verified head; bounded by maxLater
	tried      uint64 // the verified size at which that was last tried
}

// mostAsideWait bounds the waits between tries to read a head that was set aside: the log may never show its tree again.
const mostAsideWait = 10 * time.Minute

// lookAside follows each round, which ended with err, and says whether something was read: such a log is not down.
func (t *Tailer) lookAside(ctx context.Context, err error) (read bool, _ error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if err == nil {
		t.settleAside(ctx)
	}
	for {
		progress, err := t.readAside(ctx)
		read = read || progress
		if err != nil || !progress || !t.opts.Once {
			return read, err
		}
	}
}

// undecided keeps a smaller head that could not be held against the verified one, because the log does not give the
// proof now: that is tried again when a larger one is verified, and the head's entries are read meanwhile.
func (t *Tailer) undecided(head Head) {
	t.setAside(head)
	same := func(h Head) bool { return h.Size == head.Size && h.Root == head.Root }
	switch {
	case slices.ContainsFunc(t.aside.owing, same):
	case len(t.aside.owing) >= maxLater:
		t.log.Warn("too many smaller heads wait for proofs; this one is forgotten", "size", head.Size, "root", head.Root)
	default:
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
			if todo := &t.aside.todo; todo.Size == h.Size && todo.Root == h.Root { // nothing but what was read
				*todo, t.aside.tree = Head{}, nil
			}
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
		if tree := t.aside.tree; tree != nil {
			t.aside.part = Head{Size: tree.End(), Root: rangeRoot(tree)}
		}
		*todo, t.aside.tree = h, nil
		t.aside.next, t.aside.wait = time.Time{}, backoff{first: firstWait, most: mostAsideWait}
	}
}

// readAside delivers entries of a head that was set aside, from where its tree parts from the verified one: what others
// are shown there may be what we watch for. The position stays where it is. Each such head is read once, to its end, in
// slices. Progress says that some of it was read. The error is one of the receiver, in Once mode.
func (t *Tailer) readAside(ctx context.Context) (progress bool, _ error) {
	a := &t.aside
	if a.todo.Size == 0 || time.Now().Before(a.next) || ctx.Err() != nil {
		return false, nil
	}
	before := uint64(0)
	if a.tree != nil {
		before = a.tree.End()
	}
	err := t.readTree(ctx, a.todo)
	progress = a.tree != nil && a.tree.End() > before
	var undelivered *deliveryError
	switch {
	case err == nil && a.tree.End() < a.todo.Size: // the slice is full
		a.wait.reset()
		return progress, nil
	case ctx.Err() != nil:
		return progress, nil
	case errors.As(err, &undelivered):
		return progress, err
	case err != nil:
		t.log.Warn("reading a head that is not of the verified tree", "size", a.todo.Size, "err", err)
		if !errors.Is(err, errOtherTree) {
			if progress {
				a.wait.reset()
			}
			a.next = time.Now().Add(a.wait.next())
			return progress, nil
		}
	}
	a.done, a.todo, a.tree, a.part = a.todo, Head{}, nil, Head{}
	return true, t.storeUnsettled(ctx)
}

// errOtherTree is a head whose tree the log does not show.
var errOtherTree = errors.New("the entries do not hash to the root of the head")

// readTree reads one slice of the head's tree.
func (t *Tailer) readTree(ctx context.Context, head Head) error {
	a := &t.aside
	if a.tree == nil {
		from, err := t.parting(ctx, head)
		if err != nil {
			return err
		}
		edge, err := t.c.Edge(ctx, from, head)
		if err != nil {
			return err
		}
		if a.tree, err = newRange(from, edge); err != nil {
			return err
		}
	}
	began, first := time.Now(), a.tree.End()
	l := newLoad(t.opts.Sift != nil)
	for next := first; next < head.Size && next-first < a.slice && time.Since(began) < t.opts.Poll; next = a.tree.End() {
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
			if err := p.join(a.tree); err != nil {
				return err
			}
			d := Delivery{Entries: l.Entries[p.from:p.to], Hits: l.hits[p.hitsFrom:p.hitsTo], Mark: p.mark, Cursor: t.cur, Head: head, Aside: true}
			if err := t.hand(ctx, &d); err != nil {
				return err
			}
		}
	}
	l.release()
	if a.tree.End() == head.Size && rangeRoot(a.tree) != head.Root {
		return errOtherTree
	}
	return nil
}

// parting is the largest size known to us up to which the head's tree is the verified one, or one that was read aside.
func (t *Tailer) parting(ctx context.Context, head Head) (uint64, error) {
	for _, read := range []Head{t.aside.part, t.aside.done} {
		if read.Size == 0 || read.Size > head.Size {
			continue
		}
		if same, err := t.holds(ctx, head, read); same || err != nil {
			return read.Size, err
		}
	}
	if part := t.aside.part; part.Size > 0 {
		t.log.Warn("a head that is not of the verified tree was read in part only: the log shows a third tree", "read", part.Size)
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
// that were checked, now and before a restart, and of the perfect subtrees that it consists of.
func (t *Tailer) landmarks(limit uint64) []Head {
	var marks []Head
	for _, h := range t.checked {
		marks = append(marks, h)
	}
	if t.opts.Verified != nil {
		for _, h := range t.opts.Verified() {
			if h.Size <= t.cur.Verified.Size {
				marks = append(marks, h)
			}
		}
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
