package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// The test binary is also the program, under the name tocsin: scripts and tests run it as processes of their own. In
// such a process the environment may replace a part of the daemon (stubEnv), or kill it or let it panic at one of its points
// (killEnv, panicEnv); the program itself reads none of them.
const (
	stubEnv = "TOCSIN_TEST_STUB" // matcher, outbox or verification
	killEnv = "TOCSIN_TEST_KILL" // a point of package app
	// panicEnv is a point at which the worker that comes there panics.
	panicEnv = "TOCSIN_TEST_PANIC"
	// progEnv makes the test binary be the program whatever its name, for tests that start it by os.Executable.
	progEnv = "TOCSIN_TEST_PROGRAM"
)

func TestMain(m *testing.M) {
	if os.Getenv(progEnv) != "" {
		os.Exit(run(os.Args[1:], testSeams()))
	}
	testscript.Main(m, map[string]func(){
		"tocsin": func() { os.Exit(run(os.Args[1:], testSeams())) },
	})
}

func testSeams() app.Seams {
	var s app.Seams
	switch os.Getenv(stubEnv) {
	case "matcher":
		s.Matcher = func(app.Toucher) app.Toucher { return deafMatcher{} }
	case "outbox":
		s.Deliver = func(ctx context.Context, _ notify.Outbox, _ []notify.Receiver, _ *notify.Options) error {
			<-ctx.Done()
			return nil
		}
	case "verification":
		s.Tailer = func(c ctlog.Client, cur ctlog.Cursor, o *ctlog.TailOptions) app.Tailer {
			return &trustingTailer{c: c, opts: o}
		}
	}
	if at := os.Getenv(killEnv); at != "" {
		s.Hook = func(point string) {
			if point == at {
				self, err := os.FindProcess(os.Getpid())
				if err == nil {
					err = self.Signal(syscall.SIGKILL)
				}
				if err != nil {
					panic(err)
				}
				select {} // the signal is on its way
			}
		}
	}
	if at := os.Getenv(panicEnv); at != "" {
		s.Hook = func(point string) {
			if point == at {
				panic("a defect at " + point)
			}
		}
	}
	return s
}

// deafMatcher finds that nothing touches anything.
type deafMatcher struct{}

func (deafMatcher) Touches([]cert.Ident) bool        { return false }
func (deafMatcher) TouchesRaw([]byte) bool           { return false }
func (deafMatcher) Match([]cert.Ident) []watch.Match { return nil }
func (deafMatcher) MatchRaw([]byte) []watch.Match    { return nil }

// trustingTailer reads a log and verifies nothing.
type trustingTailer struct {
	c    ctlog.Client
	opts *ctlog.TailOptions
}

func (t *trustingTailer) Status() ctlog.Status { return ctlog.Status{State: "live"} }

func (t *trustingTailer) Run(ctx context.Context) error {
	cur := ctlog.Cursor{Begun: true}
	if err := t.opts.Deliver(ctx, &ctlog.Delivery{Cursor: cur}); err != nil {
		return err
	}
	var b ctlog.Batch
	for {
		head, err := t.c.Head(ctx)
		for err == nil && cur.Size < head.Size {
			if err = t.c.Entries(ctx, cur.Size, head.Size, &b); err == nil {
				cur.Size += uint64(len(b.Entries))
				err = t.opts.Deliver(ctx, &ctlog.Delivery{Entries: b.Entries, Cursor: cur, Head: head})
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.opts.Poll):
		}
	}
}

// program is the test binary as a program to start: its path, and the environment that makes it tocsin.
func program(t testing.TB, env ...string) (path string, environ []string) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TOCSIN_TEST_") {
			environ = append(environ, e)
		}
	}
	return path, append(append(environ, progEnv+"=1"), env...)
}
