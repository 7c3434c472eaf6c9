package app

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/egress"
	"github.com/tocsin-ct/tocsin/internal/health"
)

// Heartbeat gives a sign of life to a dead-man's switch, which rings when none comes. The zero value gives none.
type Heartbeat struct {
	// URL returns where it is given. Who knows it can give signs of life in our name: it is shown nowhere.
	URL func() (string, error)
	// Every is the time between two; 0 for five minutes.
	Every time.Duration
}

// Bounds of a sign of life.
const (
	beatEvery = 5 * time.Minute
	beatTime  = 15 * time.Second
	beatSize  = 64 << 10
	// staleLook is how old the last look at everything may be.
	staleLook = 2 * time.Minute
)

// withheld says why no sign of life is given now, or nil. It vouches that somebody would be told: so not while a
// station is stuck, the whole is blind, or the state file cannot be written.
func withheld(v *view, sight coverage.Sight, open []health.Trouble, stuck error, now time.Time) error {
	switch {
	case stuck != nil:
		return stuck
	case v.at.IsZero():
		return errors.New("no look at everything was taken yet")
	case now.Sub(v.at) > staleLook:
		return errors.New("the last look at everything is " + now.Sub(v.at).Round(time.Second).String() + " old")
	case sight.Blind:
		return errors.New("blind: " + sight.Why)
	}
	for i := range open {
		switch open[i].Code {
		case health.BlindWhole, health.StoreFailing, health.StoreDamaged:
			return errors.New(open[i].Text())
		}
	}
	return nil
}

// beat gives signs of life until ctx is done.
func (a *App) beat(ctx context.Context) error {
	h := &a.opts.Quiet.Heartbeat
	if h.URL == nil || a.opts.Once {
		return nil
	}
	every := h.Every
	if every <= 0 {
		every = beatEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	silent := ""
	for {
		v, open := a.keeper.now()
		switch why := withheld(&v, v.sight, open, a.Stuck(), time.Now()); {
		case why != nil:
			if silent != why.Error() && !v.at.IsZero() {
				a.logger.Warn("no heartbeat is sent", "why", why)
				silent = why.Error()
			}
		default:
			silent = ""
			err := a.beatOnce(ctx)
			if ctx.Err() != nil {
				return nil
			}
			a.keeper.beaten(err)
			if err != nil {
				a.logger.Warn("the heartbeat was not taken", "err", err)
			}
		}
		wait := tick.C
		if v.at.IsZero() { // the daemon has just begun
			wait = time.After(min(every, time.Second))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wait:
		}
	}
}

// beatOnce gives one sign of life. The operator named the place: it may be in his own network.
func (a *App) beatOnce(ctx context.Context) error {
	at, err := a.opts.Quiet.Heartbeat.URL()
	if err != nil {
		return err
	}
	_, err = egress.Fetch(ctx, at, &egress.Options{AllowPrivate: true, AnySuccess: true, Size: beatSize, Time: beatTime, UserAgent: "tocsin/" + a.opts.Version})
	return unnamed(err, at)
}

// unnamed is an error without the place that it is about.
func unnamed(err error, at string) error {
	if err == nil {
		return nil
	}
	hide := []string{at, "its URL"}
	if u, perr := url.Parse(at); perr == nil {
		for _, part := range []string{u.String(), u.RequestURI(), u.Host, u.Hostname()} {
			if len(part) > 1 {
				hide = append(hide, part, "its URL")
			}
		}
	}
	return errors.New(strings.NewReplacer(hide...).Replace(err.Error()))
}
