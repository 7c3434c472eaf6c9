package ctlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of one delivery, and of what is fetched ahead of the hashing.
const (
	maxDelivery      = 1024    // entries
	maxDeliveryBytes = 4 << 20 // bytes, beyond one entry
	maxTrail         = 256     // roots on the way to a head
	glanceEvery      = time.Minute
	fetchAhead       = 2 // batches, from a log that is read in sequence
)

// spanner is a client that knows beforehand which entries a request gives, so that several can run at once.
type spanner interface {
	Span(start, size uint64) (end uint64)
	Parallel() int
}

// load is a batch on its way from the log, with its leaf hashes.
type load struct {
	Batch
	hashes [][32]byte
	hasher leafHasher
	err    error
	ready  chan struct{} // closed when all else is set
}

// read fetches, hashes and delivers all entries up to the target, and compares the root. Doubtful says that a fault of
// the target was reported before.
func (t *Tailer) read(ctx context.Context, target Head, doubtful bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	ahead := fetchAhead
	if s, ok := t.c.(spanner); ok {
		ahead = s.Parallel()
	}
	free, out := make(chan *load, ahead+1), make(chan *load, ahead+1)
	for range ahead + 1 {
		free <- new(load)
	}
	start := t.cur.Size
	wg.Go(func() {
		defer close(out)
		t.fetch(ctx, &wg, start, target.Size, free, out)
	})
	for l := range out {
		select {
		case <-l.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.err != nil {
			return t.unread(target, l.err)
		}
		if err := t.take(ctx, l, target, doubtful); err != nil {
			return err
		}
		free <- l
		t.glance(ctx, target)
	}
	return ctx.Err()
}

// glance looks at the head now and then while a long way is read, so that the status shows the true backlog. A head
// that was seen is checked, though only once something larger is verified. The looks become rarer: few heads wait.
func (t *Tailer) glance(ctx context.Context, target Head) {
	now := time.Now()
	if t.cur.Size >= target.Size || len(t.later) >= maxLater/2 || now.Before(t.nextGlance) {
		return
	}
	t.nextGlance = now.Add(max(glanceEvery, t.opts.Poll) << len(t.later))
	head, err := t.c.Head(ctx)
	if err != nil {
		return // the next round asks in earnest
	}
	t.sawHead(head)
	if head.Size != target.Size || head.Root != target.Root {
		t.later = append(t.later, head)
	}
}

// fetch sends loads in sequence until the target, an error, or the end of ctx.
func (t *Tailer) fetch(ctx context.Context, wg *sync.WaitGroup, next, size uint64, free <-chan *load, out chan<- *load) {
	spans, parallel := t.c.(spanner)
	for next < size {
		var l *load
		select {
		case l = <-free:
		case <-ctx.Done():
			return
		}
		l.ready, l.err = make(chan struct{}), nil
		start := next
		if parallel {
			next = spans.Span(start, size)
			end := next
			wg.Go(func() {
				defer close(l.ready)
				l.err = t.load(ctx, l, start, size)
				if l.err == nil && uint64(len(l.Entries)) != end-start {
					l.err = fmt.Errorf("%d entries from %d, want %d", len(l.Entries), start, end-start)
				}
			})
			out <- l // has room for all loads
			continue
		}
		l.err = t.load(ctx, l, start, size)
		close(l.ready)
		out <- l
		if l.err != nil {
			return
		}
		next += uint64(len(l.Entries))
	}
}

// load fetches and hashes one batch, with retries.
func (t *Tailer) load(ctx context.Context, l *load, start, size uint64) error {
	return t.retry(ctx, func() error {
		if err := t.c.Entries(ctx, start, size, &l.Batch); err != nil {
			return err
		}
		if n := uint64(len(l.Entries)); n == 0 || n > size-start {
			return fmt.Errorf("%d entries from %d in a tree of size %d", n, start, size)
		}
		l.hashes = l.hashes[:0]
		for i := range l.Entries {
			l.hashes = append(l.hashes, l.hasher.sum(l.Entries[i].Leaf))
		}
		return nil
	})
}

// take adds a batch to the tree and delivers it, in parts of bounded size. At the target it compares the root. Entries
// under a wrong root are delivered all the same: they are what the log shows.
func (t *Tailer) take(ctx context.Context, l *load, target Head, doubtful bool) error {
	var nodes [32 * TileWidth]byte
	for from := 0; from < len(l.Entries); {
		to, bytes := from, 0
		for ; to < len(l.Entries) && to-from < maxDelivery; to++ {
			e := &l.Entries[to]
			bytes += len(e.Leaf) + len(e.Extra) + len(e.PreCert)
			if bytes > maxDeliveryBytes && to > from {
				break
			}
			if e.Timestamp > t.latest && e.Problem == "" {
				t.latest, t.latestAt = e.Timestamp, e.Index
			}
		}
		for i := from; i < to; i += TileWidth {
			// The tree keeps the slices of leaves that are not yet merged, at most a few: so they get memory of
			// their own, in one piece.
			if err := t.appendLeaves(l.hashes[i:min(to, i+TileWidth)], nodes[:]); err != nil {
				return err
			}
		}
		cur := t.cur
		cur.Size, cur.Hashes, cur.Target = t.tree.End(), rangeHashes(t.tree), target
		root := rangeRoot(t.tree)
		if cur.Size == target.Size && root == target.Root {
			cur.Verified, cur.VerifiedHashes, cur.Target = target, cur.Hashes, Head{}
		}
		t.passed(cur.Size, root)
		if err := t.deliver(ctx, l.Entries[from:to], cur, target); err != nil {
			return err
		}
		t.count(to - from)
		from = to
		if cur.Size == target.Size {
			if root != target.Root {
				return t.wrongRoot(ctx, target, root, doubtful)
			}
			if err := t.reached(ctx, target); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendLeaves adds leaf hashes to the tree. Scratch is overwritten; the tree keeps none of it.
func (t *Tailer) appendLeaves(hashes [][32]byte, scratch []byte) error {
	for i := range hashes {
		leaf := scratch[i*32 : i*32+32]
		copy(leaf, hashes[i][:])
		if err := t.tree.Append(leaf, nil); err != nil {
			return fmt.Errorf("adding entry %d to the tree: %w", t.tree.End(), err)
		}
	}
	// Only the last node can be a leaf; it must not stay in scratch.
	if nodes := t.tree.Hashes(); len(nodes) > 0 {
		nodes[len(nodes)-1] = append([]byte(nil), nodes[len(nodes)-1]...)
	}
	return nil
}

// reached settles what waited for a verified head.
func (t *Tailer) reached(ctx context.Context, target Head) (err error) {
	t.remember(target)
	t.trail = nil
	if t.latest > target.Timestamp {
		t.faultNote(FalseTime, fmt.Sprintf("entry %d is %d ms later than the head of size %d that covers it", t.latestAt, t.latest-target.Timestamp, target.Size),
			Evidence{Heads: []string{string(target.Raw)}, From: t.latestAt, To: t.latestAt + 1})
	}
	t.latest = 0
	later := t.later
	t.later = nil
	for _, h := range later {
		if h.Size > target.Size {
			t.later = append(t.later, h)
			continue
		}
		_, e := t.check(ctx, h)
		err = errors.Join(err, e)
	}
	return err
}

// passed keeps a root on the way to the next head, at most maxTrail of them, evenly spread.
func (t *Tailer) passed(size uint64, root Hash) {
	if len(t.trail) == maxTrail {
		for i := range maxTrail / 2 {
			t.trail[i] = t.trail[2*i+1]
		}
		t.trail = t.trail[:maxTrail/2]
	}
	t.trail = append(t.trail, Head{Size: size, Root: root})
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

// wrongRoot reports that the entries are not those that the head signs, and goes back to the verified position: the
// entries may have been damaged on the way.
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
			err = t.fault(WrongRoot, fmt.Sprintf("the entries from %d to %d hash to the root %s, but the head of size %d signs %s; the first wrong entry is one from %d to %d",
				verified.Size, target.Size-1, root, target.Size, target.Root, from, to-1),
				Evidence{Heads: []string{string(target.Raw)}, From: verified.Size, To: target.Size, FirstBad: &[2]uint64{from, to}, Want: &target.Root, Got: &root})
		}
	} else {
		err = &faultError{fmt.Sprintf("the entries do not hash to the root of the head of size %d", target.Size)}
	}
	if rerr := t.rewindTree(); rerr != nil {
		return rerr
	}
	if derr := t.deliver(ctx, nil, t.cur, target); derr != nil {
		return derr
	}
	return err
}
