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

// Bounds of gaps.
const (
	maxGaps       = 24              // more stay where they are: reading waits before the next
	maxProbe      = 1 << 20         // entries behind which no served one is looked for
	gapRequests   = 16              // for one gap, each time that gaps are asked for again
	stuckRhythm   = 5 * time.Minute // in which it is stored that an entry is not served
	firstGapRetry = time.Minute
	mostGapRetry  = 6 * time.Hour
	absentAgain   = 15 * time.Minute // without a "there is no such thing", after which the next one is the first
)

// unread notes that entries could not be read. When the log goes on for long signing heads that it does not serve, or
// serves a broken tile, that is a fault, and reading goes on behind what is missing. It returns nil when it does.
func (t *Tailer) unread(ctx context.Context, target Head, err error) error {
	if ctx.Err() != nil {
		return err
	}
	at := t.cur.Size
	if t.stuck.since.IsZero() || t.stuck.at != at {
		t.stuck.at, t.stuck.since, t.stuck.absent = at, time.Now(), time.Time{}
		for _, g := range t.known { // missed before the tree was rewound
			if g.From <= at && at < g.To {
				t.stuck.since, t.stuck.absent, t.stuck.absentLast = g.Since, g.Since, time.Now()
			}
		}
		if k := t.cur.Stuck; k != nil && k.At == at { // before a restart
			t.stuck.since, t.stuck.absent, t.stuck.absentLast = k.Since, k.Since, k.Last
		}
	}
	since := time.Since(t.stuck.since)
	absent := notThere(err)
	if absent {
		if t.stuck.absent.IsZero() || time.Since(t.stuck.absentLast) > absentAgain {
			t.stuck.absent = time.Now()
		}
		t.stuck.absentLast = time.Now()
		if err := t.rememberStuck(ctx, target); err != nil {
			return err
		}
		t.skewed(fmt.Sprintf("the log signed a head of size %d and does not serve entry %d: %v", target.Size, at, err))
	}
	ev := t.about(target)
	ev.From, ev.To, ev.Since, ev.Answer = at, target.Size, t.stuck.since.UTC(), disarm(err.Error())
	var tile *tileError
	if errors.As(err, &tile) && since >= mustKind(BadTile).Patience(t.g.MMD) {
		ev := ev
		ev.Tile, ev.TileSize, ev.TileBytes = tile.path, len(tile.body), tile.body[:min(len(tile.body), maxTileBytes)]
		err = errors.Join(t.fault(BadTile, fmt.Sprintf("the log serves a broken tile: %v", tile), ev), err)
	}
	patience := mustKind(Withheld).Patience(t.g.MMD)
	if !absent {
		patience = max(patience, longUnserved)
	} else if len(t.cur.Gaps) > 0 && time.Since(target.Received) >= patience && !t.opts.Once {
		patience = 0 // the log is known for it, and had its time
	}
	if absent { // what failed otherwise before says nothing of what there is: a lagging front end must not pay for it
		since = time.Since(t.stuck.absent)
	}
	if since < patience || tooMany(err) {
		return err
	}
	end, perr := t.extent(ctx, at, target.Size)
	if perr != nil {
		return errors.Join(err, perr)
	}
	ev.To = end
	what := fmt.Sprintf("entries %d to %d", at, end-1)
	if s, ok := t.c.(spanner); ok && end == s.Span(at, target.Size) {
		what = TilePath(DataTile, at/TileWidth, int(end-at/TileWidth*TileWidth)) + ", " + what
		ev.Tile = TilePath(DataTile, at/TileWidth, int(end-at/TileWidth*TileWidth))
	}
	fault := t.fault(Withheld, fmt.Sprintf("the log signed a head that covers %s, and does not serve them: %v", what, err), ev)
	if end >= target.Size || len(t.cur.Gaps) >= maxGaps {
		return errors.Join(fault, err) // there is nothing behind it to go on with
	}
	if err := t.skip(ctx, Range{From: at, To: end, Since: t.stuck.since.UTC()}, target); err != nil {
		return errors.Join(fault, err)
	}
	return nil
}

// rememberStuck stores now and then since when an entry is not served, so that a restart does not forget it.
func (t *Tailer) rememberStuck(ctx context.Context, target Head) error {
	if time.Since(t.stuck.absent) < stuckRhythm || t.cur.Stuck != nil && time.Since(t.cur.Stuck.Last) < stuckRhythm {
		return nil
	}
	cur := t.cur
	cur.Stuck = &Stuck{At: t.stuck.at, Since: t.stuck.absent.UTC(), Last: t.stuck.absentLast.UTC()}
	return t.deliver(ctx, nil, cur, target)
}

// extent finds where the log serves entries again behind one that it does not serve; size when nowhere. In a static log
// that is the end of the tile. Elsewhere it looks further and further ahead, then between: one range is sought.
func (t *Tailer) extent(ctx context.Context, at, size uint64) (end uint64, err error) {
	if s, ok := t.c.(spanner); ok {
		return s.Span(at, size), nil
	}
	var b Batch
	served := func(i uint64) (bool, error) {
		err := t.c.Entries(ctx, i, size, &b)
		if err != nil && (tooMany(err) || ctx.Err() != nil) {
			return false, err
		}
		return err == nil, nil
	}
	missing, found := at, size
	for step := uint64(1); step <= maxProbe && at+step < size; step *= 2 {
		ok, err := served(at + step)
		if err != nil {
			return 0, err
		}
		if ok {
			found = at + step
			break
		}
		missing = at + step
	}
	if found == size {
		return size, nil
	}
	for found-missing > 1 {
		mid := missing + (found-missing)/2
		ok, err := served(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			found = mid
		} else {
			missing = mid
		}
	}
	return found, nil
}

// leafHashes is a client that gives leaf hashes without the entries: proven under the head.
type leafHashes interface {
	leafHashes(ctx context.Context, from, to uint64, head Head) ([][32]byte, error)
}

// skip goes on behind a gap, which stays owed. What the entries in it hash to is known from the log's hash tiles, or
// the tree behind it from its proofs, so that all else still verifies. Where neither can be had nothing behind the gap
// counts as verified until the gap is served.
func (t *Tailer) skip(ctx context.Context, gap Range, target Head) error {
	root := rangeRoot(t.tree)
	tree, err := t.beyond(ctx, &gap, target)
	var fork *ForkError
	switch {
	case errors.As(err, &fork):
		return t.wrongRoot(ctx, target, root, false)
	case ctx.Err() != nil, tooMany(err):
		return err
	case err != nil:
		t.log.Warn("the tree behind a gap is not known", "from", gap.From, "to", gap.To, "err", err)
		gap.Unhashed, gap.Before, gap.Root = true, nil, Hash{}
		if tree, err = newRange(gap.To, make([]Hash, bits.OnesCount64(gap.To))); err != nil {
			return err
		}
	}
	t.tree = tree
	cur := t.cur
	cur.Size, cur.Hashes, cur.Target = t.tree.End(), rangeHashes(t.tree), target
	cur.Gaps = withGap(cur.Gaps, gap)
	t.log.Warn("going on behind a gap", "from", gap.From, "to", gap.To, "unhashed", gap.Unhashed)
	if gap.Unhashed {
		t.trail = nil
	} else {
		t.passed(cur.Size, rangeRoot(t.tree))
	}
	return t.deliver(ctx, nil, cur, target)
}

// beyond makes the tree behind a gap.
func (t *Tailer) beyond(ctx context.Context, gap *Range, target Head) (tree *compact.Range, err error) {
	if t.unhashed() {
		return nil, errors.New("there is an unhashed gap before it")
	}
	before := rangeHashes(t.tree)
	if c, ok := t.c.(leafHashes); ok {
		var hashes [][32]byte
		err := t.tries(ctx, proofAttempts, func() (err error) {
			hashes, err = c.leafHashes(ctx, gap.From, gap.To, target)
			return err
		})
		if err != nil {
			return nil, err
		}
		if tree, err = newRange(gap.From, before); err != nil {
			return nil, err
		}
		for i := range hashes {
			if err := tree.Append(hashes[i][:], nil); err != nil {
				return nil, err
			}
		}
		return tree, nil
	}
	var edge []Hash
	err = t.tries(ctx, proofAttempts, func() (err error) {
		if gap.From > 0 {
			if err := t.c.Consistent(ctx, Head{Size: gap.From, Root: rangeRoot(t.tree)}, target); err != nil {
				return err
			}
		}
		edge, err = t.c.Edge(ctx, gap.To, target)
		return err
	})
	if err != nil {
		return nil, err
	}
	if tree, err = newRange(gap.To, edge); err != nil {
		return nil, err
	}
	gap.Before, gap.Root = before, rangeRoot(tree)
	return tree, nil
}

// withGap adds a gap behind the others and joins it with one that ends where it begins.
func withGap(gaps []Range, gap Range) []Range {
	gaps = slices.Clone(gaps)
	if n := len(gaps); n > 0 && gaps[n-1].To == gap.From && gaps[n-1].Unhashed == gap.Unhashed {
		gaps[n-1].To, gaps[n-1].Root = gap.To, gap.Root
		return gaps
	}
	return append(gaps, gap)
}

// unhashed reports whether there is a gap behind which nothing can be verified.
func (t *Tailer) unhashed() bool {
	return slices.ContainsFunc(t.cur.Gaps, func(g Range) bool { return g.Unhashed })
}

// owedError says in Once mode that the head is verified, but not all its entries were seen.
type owedError struct {
	gaps    []Range
	entries uint64
}

func (e *owedError) Error() string {
	return fmt.Sprintf("the log does not serve %d entries that it signed, the first of them %d", e.entries, e.gaps[0].From)
}

func (t *Tailer) owed() error {
	if len(t.cur.Gaps) == 0 {
		return nil
	}
	e := &owedError{gaps: t.cur.Gaps}
	for _, g := range t.cur.Gaps {
		e.entries += g.To - g.From
	}
	return e
}
