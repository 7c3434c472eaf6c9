package ctlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/transparency-dev/merkle/compact"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Defaults and bounds of a tailer.
const (
	defaultPoll     = 15 * time.Second
	defaultAttempts = 6
	closedPoll      = time.Hour   // how often a log is asked that was read to its final head
	firstWait       = time.Second // between rounds that failed
	maxWait         = 5 * time.Minute
	unknownMMD      = 24 * time.Hour // the merge delay assumed where the list gives none
)

// A Tailer follows one log: see the package's promise.
type Tailer struct {
	c    Client
	g    *loglist.Log
	opts TailOptions
	log  *slog.Logger

	// Of the goroutine in Run.
	cur        Cursor
	tree       *compact.Range  // over the first cur.Size entries
	checked    map[uint64]Head // heads known to be consistent with cur.Verified; bounded
	trail      []Head          // sizes and roots that reading came through since Verified; bounded
	later      []Head          // heads beyond Verified, to be checked against the next verified head; bounded
	nextGlance time.Time       // when the head is looked at while reading
	finalDone  bool            // the list's final head was checked
	latest     uint64          // the latest timestamp of the entries since Verified, and where it is
	latestAt   uint64
	stuck      struct {
		at         uint64 // the position that cannot be read, and since when
		since      time.Time
		absent     time.Time // since when answers say that there is no such thing, and when the last one did
		absentLast time.Time
	}
	refuted Head              // the head under which the entries were last found wrong
	doubts  map[string]*Doubt // what would accuse the log, if it lasts; bounded
	known   []Range           // gaps met before the tree was rewound
	nextGap time.Time         // when gaps are asked for again
	gapWait backoff
	probed  map[[2]uint64]uint64 // how often it was looked inside a gap; bounded

	aside  asideHeads
	leaned map[leanKey][]byte // what lean made of heads; bounded

	tailerStatus
}

// NewTailer returns a tailer that goes on from the cursor. Opts must have Deliver.
func NewTailer(c Client, cur Cursor, opts *TailOptions) *Tailer {
	t := &Tailer{c: c, g: c.Log(), opts: *opts, cur: cur, checked: map[uint64]Head{}, doubts: map[string]*Doubt{}, leaned: map[leanKey][]byte{}, probed: map[[2]uint64]uint64{},
		gapWait: backoff{first: firstGapRetry, most: mostGapRetry}}
	if t.opts.Poll <= 0 {
		t.opts.Poll = defaultPoll
	}
	if t.opts.Attempts <= 0 {
		t.opts.Attempts = defaultAttempts
	}
	if t.log = t.opts.Logger; t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.log = t.log.With("log", t.g.Name())
	t.aside.slice = asideSlice
	t.recallDoubts()
	t.tailerStatus.init(t.g, &cur, opts.Witnesses)
	return t
}

// Run follows the log until ctx is done, whatever the log does; then it returns ctx.Err(). In Once mode it returns nil
// once the head that was current at the start is verified, and an error wrapping [ErrBlind] when it cannot be. It also
// returns when the cursor is not one that a Tailer made. Run is called once.
func (t *Tailer) Run(ctx context.Context) error {
	if err := t.restore(); err != nil {
		return fmt.Errorf("going on with log %s: %w", t.g.Name(), err)
	}
	if err := t.recallUnsettled(); err != nil {
		return fmt.Errorf("going on with log %s: %w", t.g.Name(), err)
	}
	wait := backoff{first: firstWait, most: maxWait}
	for {
		err := t.round(ctx)
		read, aerr := t.lookAside(ctx, err)
		if read {
			wait.reset()
		}
		t.tellConditions()
		for _, e := range []error{aerr, t.storeDoubts(ctx), t.storeUnsettled(ctx)} {
			if err == nil {
				err = e
			}
		}
		var undelivered *deliveryError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && t.opts.Once:
			return nil
		case errors.As(err, &undelivered) && t.opts.Once:
			return fmt.Errorf("reading log %s: %w", t.g.Name(), err)
		case err != nil && t.opts.Once:
			return fmt.Errorf("reading log %s: %w: %w", t.g.Name(), ErrBlind, err)
		}
		t.ended(err)
		pause := t.opts.Poll - t.opts.Poll/10
		switch {
		case err != nil:
			t.log.Debug("round failed", "err", err)
			pause = max(pause/10, wait.next())
		case t.closed():
			wait.reset()
			pause = max(closedPoll, t.opts.Poll)
		default:
			wait.reset()
		}
		if read && t.aside.todo.Size > 0 {
			pause = min(pause, firstWait) // there is more to be read
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// restore rebuilds the tree at the cursor. A position that does not add up is given up for the verified one.
func (t *Tailer) restore() (err error) {
	if !t.cur.Begun {
		t.tree = ranges.NewEmptyRange(0)
		return nil
	}
	c := &t.cur
	root, err := edgeRoot(c.Verified.Size, c.VerifiedHashes)
	if err != nil {
		return err
	}
	if root != c.Verified.Root || c.Size > maxSize {
		return errors.New("the stored cursor does not add up")
	}
	if c.Size >= c.Verified.Size {
		if t.tree, err = newRange(c.Size, c.Hashes); err == nil {
			return nil
		}
	}
	return t.rewindTree()
}

// rewindTree goes back to the verified position.
func (t *Tailer) rewindTree() (err error) {
	c := &t.cur
	c.Size, c.Hashes, c.Target = c.Verified.Size, c.VerifiedHashes, Head{}
	t.latest, t.trail = 0, nil
	var kept []Range
	for _, g := range c.Gaps {
		if g.From >= c.Size { // will be met again
			t.known = append(t.known[max(0, len(t.known)-maxGaps):], g)
		} else {
			kept = append(kept, g)
		}
	}
	c.Gaps = kept
	t.tree, err = newRange(c.Size, c.Hashes)
	return err
}

// round looks at the head once and reads to it. Nil means that all heads seen are verified.
func (t *Tailer) round(ctx context.Context) error {
	head, err := t.head(ctx)
	if err != nil {
		return err
	}
	t.sawHead(head)
	t.settled(KeyChange, "")
	t.checkFresh(head)
	t.nextGlance = time.Now().Add(max(glanceEvery, t.opts.Poll))
	if !t.cur.Begun {
		if err := t.begin(ctx, head); err != nil {
			return fmt.Errorf("choosing where to start: %w", err)
		}
	}
	doubtful, checkErr := t.check(ctx, head)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What was begun before a restart comes first: that head was signed, too. A contradiction elsewhere is no reason
	// not to read what there is.
	if old := t.cur.Target; old.Size > t.cur.Size {
		err := t.readTo(ctx, old, false)
		switch {
		case err != nil && notThere(err) && head.Size > old.Size:
			t.wait(old) // a log serves its end only in the shape of its newest tree
		case err != nil:
			return errors.Join(checkErr, err)
		}
	}
	if head.Size > t.cur.Size {
		if err := t.readTo(ctx, head, doubtful); err != nil {
			same := func(h *Head) bool { return h.Size == head.Size && h.Root == head.Root }
			if !doubtful && head.Size > t.cur.Verified.Size && !same(&t.cur.Target) && !same(&t.refuted) {
				t.wait(head) // the next one may be another, and this one was signed as well
			}
			return errors.Join(checkErr, err)
		}
	}
	if checkErr != nil {
		return checkErr
	}
	if head.Size >= t.cur.Verified.Size {
		t.aligned()
	}
	if err := t.askForGaps(ctx, head); err != nil {
		return err
	}
	if err := t.checkFinal(ctx); err != nil {
		return err
	}
	if t.opts.Once {
		return t.owed()
	}
	return nil
}

// readTo reads to the target, also where it has to go on behind a gap.
func (t *Tailer) readTo(ctx context.Context, target Head, doubtful bool) error {
	for t.cur.Size < target.Size {
		if err := t.read(ctx, target, doubtful); err != nil {
			return err
		}
	}
	return nil
}

// head fetches the current head, with retries.
func (t *Tailer) head(ctx context.Context) (head Head, err error) {
	err = t.retry(ctx, func() (err error) {
		head, err = t.c.Head(ctx)
		return err
	})
	var bad *HeadError
	var noHead *notHeadError
	if errors.As(err, &bad) && !errors.As(err, &noHead) {
		return head, t.checkKey(bad)
	}
	if err != nil && notThere(err) {
		t.failedHead(err)
	}
	return head, err
}

// retry tries one request until it succeeds, is refused for good, or was tried often enough.
func (t *Tailer) retry(ctx context.Context, request func() error) error {
	return t.tries(ctx, t.opts.Attempts, request)
}

// tries is retry with a number of attempts of its own.
func (t *Tailer) tries(ctx context.Context, attempts int, request func() error) error {
	wait := backoff{first: firstWait / 2, most: time.Minute}
	for attempt := 1; ; attempt++ {
		err := request()
		if err == nil {
			t.succeeded()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t.failed(err)
		var fork *ForkError
		var bad *HeadError
		var noHead *notHeadError
		if errors.As(err, &fork) || errors.As(err, &bad) && !errors.As(err, &noHead) || attempt >= attempts {
			return err
		}
		if err := sleep(ctx, wait.next()); err != nil {
			return err
		}
	}
}

// begin chooses the start in a log never read. Nothing is believed that the head does not prove.
func (t *Tailer) begin(ctx context.Context, head Head) (err error) {
	cur := Cursor{Begun: true, Verified: Head{Root: emptyRoot}}
	note := ""
	switch from := t.opts.From; {
	case from.Zero:
	case !from.Since.IsZero():
		if cur.Start, note, err = t.search(ctx, from.Since, head); err != nil {
			return err
		}
	default:
		cur.Start = head.Size
	}
	err = t.retry(ctx, func() (err error) {
		cur.VerifiedHashes, err = t.c.Edge(ctx, cur.Start, head)
		return err
	})
	if err != nil {
		return err
	}
	root, err := edgeRoot(cur.Start, cur.VerifiedHashes)
	if err != nil {
		return err
	}
	switch {
	case cur.Start == head.Size && root != head.Root:
		return errors.New("the edge of the tree does not have the signed root") // a client that does not keep its word
	case cur.Start == head.Size:
		cur.Verified = head
		t.remember(head)
	default:
		cur.Verified = Head{Size: cur.Start, Root: root}
	}
	cur.Size, cur.Hashes = cur.Start, cur.VerifiedHashes
	if t.tree, err = newRange(cur.Size, cur.Hashes); err != nil {
		return err
	}
	if note != "" {
		t.log.Info(note)
		t.setNote(note)
	}
	return t.deliver(ctx, nil, cur, head)
}

// search finds a start that leaves no entry with the timestamp since, or a later one, before it. An entry that was
// merged before a moment has a timestamp before it; one that was merged later may have one that is older by the
// maximum merge delay. So the place looked for is where timestamps pass since minus that delay.
func (t *Tailer) search(ctx context.Context, since time.Time, head Head) (start uint64, note string, err error) {
	slack := t.g.MMD
	if slack <= 0 {
		slack = unknownMMD
	}
	want := max(since.Add(-slack).UnixMilli(), 0)
	lo, hi := uint64(0), (head.Size+TileWidth-1)/TileWidth
	for lo < hi {
		mid := lo + (hi-lo)/2
		var ts uint64
		err := t.retry(ctx, func() (err error) {
			ts, err = t.c.Timestamp(ctx, mid*TileWidth, head.Size)
			return err
		})
		if err != nil {
			return 0, "", err
		}
		if ts >= uint64(want) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo > 0 {
		start = (lo - 1) * TileWidth // the entries before the first one that is late enough may be, too
	}
	note = fmt.Sprintf("asked to start from %s; starts at entry %d, which was merged up to %v earlier: a log may merge an entry that late",
		since.UTC().Format(time.RFC3339), start, slack)
	return start, note, nil
}

// deliver hands entries over together with the cursor behind them, again and again until they are taken.
func (t *Tailer) deliver(ctx context.Context, entries []Entry, cur Cursor, head Head) error {
	return t.hand(ctx, &Delivery{Entries: entries, Cursor: cur, Head: head})
}

func (t *Tailer) hand(ctx context.Context, d *Delivery) error {
	if k := d.Cursor.Stuck; k != nil && k.At != d.Cursor.Size { // not any more
		d.Cursor.Stuck = nil
	}
	d.Cursor.Undecided, d.Cursor.Aside = t.unsettled()
	wait := backoff{first: firstWait, most: time.Minute}
	for {
		err := t.opts.Deliver(ctx, d)
		if err == nil {
			t.cur = d.Cursor
			t.moved(&d.Cursor)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err = &deliveryError{err}
		if t.opts.Once {
			return err
		}
		t.log.Error("delivery failed, will be repeated", "err", err)
		t.failed(err)
		if err := sleep(ctx, wait.next()); err != nil {
			return err
		}
	}
}

// deliveryError is an error of the receiver, not of the log.
type deliveryError struct{ err error }

func (e *deliveryError) Error() string { return "delivering entries: " + e.err.Error() }
func (e *deliveryError) Unwrap() error { return e.err }
