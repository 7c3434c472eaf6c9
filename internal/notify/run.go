package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/internal/store"
)

// Outbox is what [Run] needs of a [store.Store].
type Outbox interface {
	Due(ctx context.Context, receiver string, now time.Time, limit int) ([]store.OutboxRow, error)
	NextDue(ctx context.Context, receiver string) (at time.Time, ok bool, err error)
	Delivered(ctx context.Context, id string) error
	Failed(ctx context.Context, id string, cause error, next time.Time) error
	Wake(ctx context.Context, receiver string, now time.Time) error
	Subscribe(t store.Topic) (<-chan struct{}, func())
}

// Options of [Run]. The zero value is right.
type Options struct {
	// Logger takes what goes wrong; nil discards it.
	Logger *slog.Logger
	// Timeout bounds one Send; 0 means 1 minute.
	Timeout time.Duration
	// Grace is what a Send that is under way gets when ctx ends; 0 means 5 s.
	Grace time.Duration
	// MinBackoff is the delay of a message after its first failure, doubled with each further one up to MaxBackoff,
	// with a jitter of a fifth either way; 0 means 1 s and 10 min.
	MinBackoff, MaxBackoff time.Duration
	// MaxPause bounds how long a receiver that takes nothing at all is left alone before it is tried again; 0 means
	// 1 min. As soon as it takes a message, all others are due.
	MaxPause time.Duration
	// Once makes Run return when nothing more is due, instead of when ctx ends. What failed stays pending.
	Once bool
	// Hook, when set, is called at "before-send" and at "sent-not-committed", by any receiver's goroutine. It is for
	// tests that end the process there.
	Hook func(point string)
}

const (
	// batch bounds the messages in memory per receiver.
	batch = 16
	// tolerated is how many different messages may fail, with no success between, before a receiver counts as down.
	// Fewer broken messages than that delay no other one at all.
	tolerated = 5
	// idle is how often a loop looks at the outbox when nothing wakes it.
	idle = time.Minute
	// commitTime bounds a write to the store.
	commitTime = 30 * time.Second
)

// Run delivers until ctx ends, and returns nil then. The receivers must have different names; another receiver's
// messages are left alone.
func Run(ctx context.Context, box Outbox, receivers []Receiver, o *Options) error {
	var opts Options
	if o != nil {
		opts = *o
	}
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{
		{&opts.Timeout, time.Minute}, {&opts.Grace, 5 * time.Second}, {&opts.MinBackoff, time.Second},
		{&opts.MaxBackoff, 10 * time.Minute}, {&opts.MaxPause, time.Minute},
	} {
		if *d.at <= 0 {
			*d.at = d.is
		}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Hook == nil {
		opts.Hook = func(string) {}
	}
	names := make(map[string]bool)
	for _, r := range receivers {
		if r.Name() == "" || names[r.Name()] {
			return fmt.Errorf("starting receivers: name %q is empty or used twice", r.Name())
		}
		names[r.Name()] = true
	}
	var wg sync.WaitGroup
	for _, r := range receivers {
		l := &loop{box: box, to: r, opts: opts, failing: make(map[string]bool), log: opts.Logger.With("receiver", r.Name())}
		wg.Go(func() { l.run(ctx) })
	}
	wg.Wait()
	return nil
}

// loop serves one receiver.
type loop struct {
	box  Outbox
	to   Receiver
	opts Options
	log  *slog.Logger
	// failing holds the messages that failed since the last success, tolerated of them at most; tries counts failures
	// since the receiver is down.
	failing map[string]bool
	tries   int
	// broken counts failures of the store since its last success.
	broken int
	// quiet is until when the receiver asked to be left alone.
	quiet time.Time
}

func (l *loop) down() bool { return len(l.failing) >= tolerated }

func (l *loop) run(ctx context.Context) {
	news, stop := l.box.Subscribe(store.TopicOutbox)
	defer stop()
	for ctx.Err() == nil {
		rows, err := l.box.Due(ctx, l.to.Name(), time.Now(), batch)
		if err != nil {
			if l.storeFailed(ctx, err) {
				continue
			}
			return
		}
		l.broken = 0
		if left := time.Until(l.quiet); left > 0 && len(rows) > 0 {
			// In short steps, so that whoever watches this loop sees that it is alive.
			if l.opts.Once || !l.pause(ctx, min(left, idle)) {
				return
			}
			continue
		}
		if len(rows) == 0 {
			if l.opts.Once || !l.wait(ctx, news) {
				return
			}
			continue
		}
		for _, row := range rows {
			if ctx.Err() != nil {
				return
			}
			if !l.deliver(ctx, row) || time.Now().Before(l.quiet) {
				break
			}
		}
		if l.down() {
			if l.opts.Once {
				return
			}
			l.pause(ctx, backoff(l.tries-1, l.opts.MinBackoff, l.opts.MaxPause))
		}
	}
}

// deliver sends one message and writes down what came of it. It reports whether the batch goes on.
func (l *loop) deliver(ctx context.Context, row store.OutboxRow) bool {
	l.opts.Hook("before-send")
	err := l.send(ctx, row)
	if err != nil && ctx.Err() != nil {
		return false // we stopped it; it failed through no fault of its own
	}
	if err != nil {
		if !l.down() {
			l.failing[row.ID] = true
		}
		if l.down() {
			l.tries++
		}
		later, quiet := delays(err, row.Attempts, &l.opts)
		next := time.Now().Add(later)
		if quiet > 0 {
			l.quiet = time.Now().Add(quiet)
		}
		l.log.Warn("message was not taken", "id", row.ID, "attempt", row.Attempts+1, "next", next, "err", err)
		if err := l.commit(ctx, func(ctx context.Context) error { return l.box.Failed(ctx, row.ID, err, next) }); err != nil {
			return false
		}
		return !l.down()
	}
	l.opts.Hook("sent-not-committed")
	if err := l.commit(ctx, func(ctx context.Context) error { return l.box.Delivered(ctx, row.ID) }); err != nil {
		return false
	}
	was, tries := l.down(), l.tries
	clear(l.failing)
	l.tries = 0
	if !was {
		return true
	}
	// It was down and is back: what waits need not wait out its delay, and the oldest goes first.
	l.log.Info("receiver takes messages again", "failures", tries)
	l.commit(ctx, func(ctx context.Context) error { return l.box.Wake(ctx, l.to.Name(), time.Now()) })
	return false
}

// send calls the receiver. When ctx ends, a send that is under way has a little time left: to break it off would
// repeat a message that is perhaps taken already.
func (l *loop) send(ctx context.Context, row store.OutboxRow) (err error) {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.opts.Timeout)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(l.opts.Grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-done:
		}
	})
	defer stop()
	defer func() {
		// A receiver's mistake must not silence the others.
		if p := recover(); p != nil {
			err = fmt.Errorf("receiver panicked: %v", p)
		}
	}()
	memory, _ := l.box.(Memory)
	return l.to.Send(sending, Notice{ID: row.ID, Kind: row.Kind, At: row.Created, Payload: row.Payload, Text: row.Text, Attempt: row.Attempts + 1, Memory: memory})
}

// commit writes to the store, again and again while that fails: a message that was sent must not be sent once more
// because the disk is full just now. It gives up when ctx ends.
func (l *loop) commit(ctx context.Context, f func(context.Context) error) error {
	for {
		// Not under ctx alone: what was sent is to be written down also while we stop.
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
		err := f(writing)
		cancel()
		if err == nil || errors.Is(err, store.ErrNotFound) { // not there: dropped by hand meanwhile
			l.broken = 0
			return nil
		}
		if !l.storeFailed(ctx, err) {
			return err
		}
	}
}

// storeFailed waits a while and reports whether to try again.
func (l *loop) storeFailed(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	l.log.Error("outbox cannot be used", "err", err)
	l.broken++
	return l.pause(ctx, backoff(l.broken-1, l.opts.MinBackoff, l.opts.MaxPause))
}

// wait returns when there may be something to do, false when ctx has ended.
func (l *loop) wait(ctx context.Context, news <-chan struct{}) bool {
	d := idle
	if at, ok, err := l.box.NextDue(ctx, l.to.Name()); err == nil && ok {
		// A millisecond more: the store keeps milliseconds, and must find it due.
		d = min(max(time.Until(at)+time.Millisecond, time.Millisecond), idle)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-news:
	case <-t.C:
	}
	return true
}

func (l *loop) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// backoff is the delay after n failures before this one: least doubled n times, at most most, give or take a fifth so
// that what failed together is not tried together.
func backoff(n int, least, most time.Duration) time.Duration {
	d := most
	if n = max(n, 0); n < 32 && least<<n > 0 && least<<n < most {
		d = least << n
	}
	return d*4/5 + rand.N(d*2/5+1)
}
