package ctlog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

// spanner is a client that knows beforehand which entries a request gives: that of a static log.
type spanner interface {
	Span(start, size uint64) (end uint64)
}

// forerunner is a client that may ask for several ranges at once.
type forerunner interface {
	// upTo is the end of the range that one request for start should give in a tree of the given size; ok is false
	// while that cannot be known.
	upTo(start, size uint64) (end uint64, ok bool)
	// parallel is how many such requests are made at the same time.
	parallel() int
	// readTo is Client.Entries for such a range.
	readTo(ctx context.Context, start, end, size uint64, into *Batch) error
}

// read fetches, hashes and delivers all entries up to the target, and compares the root. Doubtful says that a fault of
// the target was reported before.
func (t *Tailer) read(ctx context.Context, target Head, doubtful bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	ahead := fetchAhead
	if s, ok := t.c.(forerunner); ok {
		ahead = s.parallel() + runtime.GOMAXPROCS(0) // what was fetched is digested meanwhile
	}
	if need := (target.Size - t.cur.Size + TileWidth - 1) / TileWidth; need < uint64(ahead) {
		ahead = int(need)
	}
	ahead, giveBack := lend(ahead)
	defer giveBack()
	free, out := make(chan *load, ahead+1), make(chan *load, ahead+1)
	for range ahead + 1 {
		free <- newLoad(t.opts.Sift != nil)
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
		for part := l; part != nil; part = part.more {
			if part.err != nil {
				return t.unread(ctx, target, part.err)
			}
			if err := t.take(ctx, part, target, doubtful); err != nil {
				return err
			}
		}
		l.more = nil
		free <- l
		t.glance(ctx, target)
	}
	for range len(free) { // all, when nothing went wrong
		(<-free).release()
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
	t.checkFresh(head)
	t.tellConditions()
	if head.Size != target.Size || head.Root != target.Root {
		t.later = append(t.later, head)
	}
}

// fetch sends loads in sequence until the target, an error, or the end of ctx.
func (t *Tailer) fetch(ctx context.Context, wg *sync.WaitGroup, next, size uint64, free <-chan *load, out chan<- *load) {
	ahead, _ := t.c.(forerunner)
	var requests chan struct{}
	if ahead != nil {
		requests = make(chan struct{}, ahead.parallel())
	}
	for next < size {
		var l *load
		select {
		case l = <-free:
		case <-ctx.Done():
			return
		}
		l.ready, l.err = make(chan struct{}), nil
		start := next
		if ahead != nil {
			if end, ok := ahead.upTo(start, size); ok {
				next = end
				select {
				case requests <- struct{}{}: // in the sequence of the log
				case <-ctx.Done():
					return
				}
				wg.Go(func() {
					defer close(l.ready)
					t.loadRange(ctx, ahead, l, start, end, size, func() { <-requests })
				})
				out <- l // has room for all loads
				continue
			}
		}
		l.err = t.load(ctx, l, start, size, func() error { return t.c.Entries(ctx, start, size, &l.Batch) })
		if l.err != nil {
			close(l.ready)
			out <- l
			return
		}
		next += uint64(len(l.Entries))
		wg.Go(func() {
			defer close(l.ready)
			l.digest(start, t.opts.Sift)
		})
		out <- l
	}
}

// loadRange fetches and digests a range, and calls fetched as soon as its last request is answered. A log may give less
// than it used to: then the rest hangs on the load.
func (t *Tailer) loadRange(ctx context.Context, ahead forerunner, l *load, start, end, size uint64, fetched func()) {
	for {
		l.err = t.load(ctx, l, start, end, func() error { return ahead.readTo(ctx, start, end, size, &l.Batch) })
		if l.err != nil {
			fetched()
			return
		}
		last := start+uint64(len(l.Entries)) == end
		if last {
			fetched()
		}
		l.digest(start, t.opts.Sift)
		if start += uint64(len(l.Entries)); last {
			return
		}
		l.more = &load{Batch: Batch{lazy: l.lazy}}
		l = l.more
	}
}

// load fetches one batch, with retries.
func (t *Tailer) load(ctx context.Context, l *load, start, end uint64, request func() error) error {
	return t.retry(ctx, func() error {
		if err := request(); err != nil {
			return err
		}
		if n := uint64(len(l.Entries)); n == 0 || n > end-start {
			return fmt.Errorf("%d entries from %d in a tree of size %d", n, start, end)
		}
		return nil
	})
}

// take adds a batch to the tree and delivers it, in parts of bounded size. At the target it compares the root. Entries
// under a wrong root are delivered all the same: they are what the log shows.
func (t *Tailer) take(ctx context.Context, l *load, target Head, doubtful bool) error {
	for i := range l.parts {
		p := &l.parts[i]
		if p.latest > t.latest {
			t.latest, t.latestAt = p.latest, p.latestAt
		}
		if err := p.join(t.tree); err != nil {
			return fmt.Errorf("adding entries from %d to the tree: %w", t.tree.End(), err)
		}
		cur := t.cur
		cur.Size, cur.Hashes, cur.Target = t.tree.End(), rangeHashes(t.tree), target
		root := rangeRoot(t.tree)
		if cur.Size == target.Size && root == target.Root {
			cur.Verified, cur.VerifiedHashes, cur.Target = target, cur.Hashes, Head{}
		}
		t.passed(cur.Size, root)
		d := Delivery{Entries: l.Entries[p.from:p.to], Hits: l.hits[p.hitsFrom:p.hitsTo], Mark: p.mark, Cursor: cur, Head: target}
		if err := t.hand(ctx, &d); err != nil {
			return err
		}
		t.count(p.to - p.from)
		if cur.Size == target.Size {
			if root != target.Root {
				if t.unhashed() {
					return nil // as it must be until the gap is served
				}
				return t.wrongRoot(ctx, target, root, doubtful)
			}
			if err := t.reached(ctx, target); err != nil {
				return err
			}
		}
	}
	return nil
}

// reached settles what waited for a verified head.
func (t *Tailer) reached(ctx context.Context, target Head) (err error) {
	t.remember(target)
	t.settled(Inconsistent, "")
	t.settled(WrongRoot, "")
	t.trail = nil
	if t.latest > target.Timestamp {
		t.falseTime(ctx, target)
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
