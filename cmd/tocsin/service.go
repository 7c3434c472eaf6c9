package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/tocsin-ct/tocsin/internal/systemd"
)

// service tells systemd how the daemon does, when systemd started it. See examples/tocsin.service.
type service struct {
	n      *systemd.Notifier
	logger *slog.Logger
}

func newService(logger *slog.Logger) *service {
	n, err := systemd.FromEnvironment()
	if err != nil {
		logger.Error("systemd is not told everything", "err", err)
	}
	return &service{n, logger}
}

// Times of a service: how long it may take until every log has a start before the service counts as ready anyway (logs
// that do not answer must not keep it from starting), and how often the line of status is looked at.
const (
	readyBound  = time.Minute
	statusEvery = 15 * time.Second
)

func (s *service) say(what string, err error) {
	if err != nil {
		s.logger.Error("systemd cannot be told", "what", what, "err", err)
	}
}

// reloading is for [app.Options.Reloading].
func (s *service) reloading(begins bool) {
	if begins {
		s.say("reloading", s.n.Reloading())
	} else {
		s.say("ready", s.n.Ready())
	}
}

// watched is what a service needs of an [app.App].
type watched interface {
	Ready() <-chan struct{}
	Reload()
	Stuck() error
	Line() string
}

// run speaks until done is closed, and takes SIGHUP for a wish to reload.
func (s *service) run(ctx context.Context, a watched, done <-chan struct{}) {
	if s.n == nil {
		return
	}
	hup := make(chan os.Signal, 1)
	notifyHangup(hup) // a terminal that goes away is another matter: only under systemd it asks for a reload
	defer signal.Stop(hup)
	s.speak(ctx, a, hup, done)
}

// speak speaks until done is closed. The watchdog is fed only while every station is alive: when one is stuck, systemd
// ends the process, and what is filed and not told is told by the next one.
func (s *service) speak(ctx context.Context, a watched, hup <-chan os.Signal, done <-chan struct{}) {
	every := statusEvery
	if w := s.n.Watchdog(); w > 0 {
		every = min(every, w/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	bound := time.NewTimer(readyBound)
	defer bound.Stop()
	ready, stop, stuck := a.Ready(), ctx.Done(), false
	for {
		select {
		case <-done:
			if stop != nil { // the end may be as quick as the word of it
				s.say("stopping", s.n.Stopping())
			}
			return
		case <-stop:
			s.say("stopping", s.n.Stopping())
			stop = nil
		case <-ready:
			s.say("ready", s.n.Ready())
			ready = nil
		case <-bound.C:
			if ready != nil {
				s.say("ready", s.n.Ready())
				ready = nil
			}
		case <-hup:
			a.Reload()
		case <-tick.C:
		}
		if err := a.Stuck(); err == nil {
			stuck = false
			s.say("alive", s.n.Alive())
		} else if !stuck {
			stuck = true
			s.logger.Error("the watchdog is not fed", "err", err)
		}
		s.say("status", s.n.Status(a.Line()))
	}
}
