package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/loglist"
)

// station is one log that is followed.
type station struct {
	follower
	tailer Tailer
	began  time.Time
	// patience is how long it may show nothing new before it is blind; 0 for what follows from its merge delay.
	patience time.Duration
	// leaving is set while the log is read to its end only, because it left the lists.
	leaving atomic.Bool

	stop context.CancelFunc // ends the tailer
	done chan struct{}      // closed when it has ended; nil before it runs
}

// followed are the logs that are followed at present.
func (a *App) followed() []*station {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.logs)
}

// Follow begins to follow one more log while the app runs, from the given start when it was never read. A log that is
// followed already is left alone.
func (a *App) Follow(ctx context.Context, l loglist.Log, from ctlog.Start) error {
	for _, s := range a.followed() {
		if s.log.ID == l.ID {
			return nil
		}
	}
	s, err := a.station(ctx, l, from)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.logs = append(a.logs, s)
	a.mu.Unlock()
	a.tail(ctx, s)
	return nil
}

// tail runs the tailer of a log in a goroutine of its own.
func (a *App) tail(ctx context.Context, s *station) {
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	a.tails.Go(func() {
		defer close(s.done)
		defer s.stop()
		if err := s.tailer.Run(ctx); err != nil && ctx.Err() == nil {
			a.cannotSee(err.Error())
			a.logger.Error("a log is no longer followed", "log", s.log.Name(), "err", err)
		}
	})
}

// drop ends the following of a log. It may be followed again, from where it is.
func (a *App) drop(s *station) {
	if s.done != nil {
		s.stop()
		<-s.done
	}
	s.client.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.logs = slices.DeleteFunc(a.logs, func(o *station) bool { return o == s })
}

// station prepares the following of one log from where it was left.
func (a *App) station(ctx context.Context, l loglist.Log, from ctlog.Start) (*station, error) {
	o := &ctlog.Options{Contact: a.opts.Contact, Version: a.opts.Version, Logger: a.logger, Budget: a.budgets.budget(&l)}
	if a.opts.Control != nil {
		o.Control = a.opts.Control(l)
	}
	if a.opts.Seams.Transport != nil {
		o.Transport = a.opts.Seams.Transport(l)
	}
	client, err := ctlog.NewClient(l, o)
	if err != nil {
		return nil, err
	}
	var cur ctlog.Cursor
	known, ok, err := a.store.LoadLog(ctx, l.ID)
	if err != nil {
		return nil, err
	}
	if ok && len(known.Cursor) > 0 {
		if err := json.Unmarshal(known.Cursor, &cur); err != nil {
			return nil, fmt.Errorf("reading the stored cursor of %s: %w", l.Name(), err)
		}
	}
	s := &station{began: time.Now(), patience: a.opts.Patience, follower: follower{
		log: l, client: client, store: a.store, stations: a.stations.Load, hook: a.hook, logger: a.logger,
		size: cur.Size, verified: cur.Verified, sieve: NewSieve(a.stations.Load, a.logger.With("log", l.Name())),
	}}
	if err := s.recall(ctx, &cur, from); err != nil {
		return nil, err
	}
	opts := &ctlog.TailOptions{
		From: from, Poll: a.opts.Poll, Once: a.opts.Once, Logger: a.logger,
		Deliver: s.Deliver, Sift: s.sieve.Sift, Fault: a.fault, Witnesses: a.opts.Witnesses,
		Keys: a.keys, Verified: func() []ctlog.Head { return a.verified(&l) },
	}
	if a.opts.Seams.Tailer != nil {
		s.tailer = a.opts.Seams.Tailer(client, cur, opts)
	} else {
		s.tailer = ctlog.NewTailer(client, cur, opts)
	}
	return s, nil
}

// keys are the logs whose keys are known: those that are followed, and those that any list names.
func (a *App) keys() (all []loglist.Log) {
	for _, s := range a.followed() {
		all = append(all, s.log)
	}
	if a.opts.Lists != nil {
		all = append(all, a.opts.Lists.Joined().Logs...)
	}
	return all
}

// verified are the heads of a log that were verified lately, before a restart as well.
func (a *App) verified(l *loglist.Log) []ctlog.Head {
	heads, err := storedHeads(context.Background(), a.store, l.ID)
	if err != nil {
		a.logger.Warn("the verified heads of a log are not at hand", "log", l.Name(), "err", err)
	}
	return heads
}
