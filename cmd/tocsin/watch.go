package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// watchCmd is the daemon.
type watchCmd struct {
	Items  []string      `arg:"" optional:"" name:"ITEM" help:"Name (and all beneath it), =exact name, address or network. Instead of a config."`
	Config string        `short:"c" type:"path" help:"Config file; tocsin.yaml in this directory when there is one and no ITEM is given."`
	State  string        `type:"path" help:"State file (default: tocsin.db in your directory for state)."`
	Logs   string        `help:"Log list: a file or an https URL (default: the public list)."`
	From   string        `default:"now" help:"Where to begin with a log not read before: now, start, or a date."`
	Poll   time.Duration `help:"Time between looks at the head of a log (default 15s)."`
	Once   bool          `help:"Read every log to its current head, decide, tell, and exit: 1 when something rang, 3 when something could not be seen."`
	JSON   bool          `help:"Print one JSON object per line."`
	Debug  bool          `help:"Log every step to standard error."`
}

func (c *watchCmd) Run(p *process) error {
	cfg, err := loadConfig(c.Config, c.Items)
	if err != nil {
		return err
	}
	if c.Poll != 0 && (c.Poll < minPoll || c.Poll > maxPoll) {
		return &hintError{err: fmt.Errorf("--poll %s is out of bounds", c.Poll), hint: fmt.Sprintf("from %s to %s; the default is 15s", minPoll, maxPoll)}
	}
	from, err := start(c.From)
	if err != nil {
		return err
	}
	state, err := statePath(c.State, cfg)
	if err != nil {
		return err
	}
	st, warnings, err := stations(cfg)
	if err != nil {
		return err
	}
	known, err := witnesses(cfg)
	if err != nil {
		return err
	}
	out := &lockedWriter{w: p.stdout}
	to, err := receivers(cfg, out, c.JSON)
	if err != nil {
		return err
	}
	screen := newScreen(p.stderr)
	logger := slog.New(logHandler(screen, c.Debug))
	set, notes, err := c.openLists(p, cfg, state, logger)
	if err != nil {
		return err
	}
	own, journalNotes, err := ours(cfg)
	if err != nil {
		return err
	}
	notes = append(notes, journalNotes...)
	logs := len(set.Wanted())
	for _, w := range append(warnings, notes...) {
		fmt.Fprintf(screen, "tocsin: note: %s\n", notify.Safe(w, 500))
	}
	if c.Poll == 0 {
		c.Poll = cfg.Poll
	}
	// A reader of our output that goes away must not end the daemon: other receivers still want to be told.
	signal.Ignore(syscall.SIGPIPE)
	sd := newService(logger)
	a, err := app.New(p.ctx, app.Options{
		State: state, Lists: set, Refresh: cfg.Logs.Refresh, Control: c.guard(cfg).control, Stations: st, Reload: reloader(cfg, st), Pending: cfg.PendingNow(), Receivers: to,
		MinOperators: cfg.Coverage.MinOperators, Patience: cfg.Coverage.Patience, PromisePatience: cfg.Coverage.PromisePatience, Reloading: sd.reloading, Witnesses: known,
		Ours: own, Telling: telling(cfg), CAA: caaOptions(cfg), Quiet: quiet(cfg),
		From: from, Poll: c.Poll, Once: c.Once, Contact: cfg.Contact, Version: buildVersion().Version,
		Logger: logger, Seams: p.seams,
	})
	if err != nil {
		return err
	}
	defer a.Close()
	items := 0
	for _, w := range st.Watches {
		items += len(w.Items)
	}
	fmt.Fprintf(screen, "tocsin: watching %s on %s, from %s; state in %s\n", count(items, "item"), count(logs, "log"), c.From, state)

	var side sync.WaitGroup
	done := make(chan struct{})
	side.Go(func() {
		select {
		case <-a.Ready():
		case <-done:
			select {
			case <-a.Ready():
			default:
				return
			}
		}
		if c.JSON {
			_ = json.NewEncoder(out).Encode(ready{Kind: "ready", At: time.Now().UTC(), Logs: logs, Items: items})
		} else {
			fmt.Fprintf(screen, "tocsin: every log has a place to be read from: what is logged from here on is seen\n")
		}
	})
	side.Go(func() { screen.progress(a, done) })
	side.Go(func() { sd.run(p.ctx, a, done) })
	res, err := a.Run(p.ctx)
	close(done)
	side.Wait()
	if err != nil {
		return err
	}
	if c.Once && p.ctx.Err() != nil {
		res.Blind = append(res.Blind, "interrupted before every log was read to its head")
	}
	for _, why := range res.Blind {
		fmt.Fprintf(screen, "tocsin: not seen: %s\n", notify.Safe(why, 1000))
	}
	if !c.Once {
		return nil
	}
	fmt.Fprintf(screen, "tocsin: %s rang\n", count(int(res.Rang), "certificate"))
	fmt.Fprintf(screen, "tocsin: next: tocsin logs%s\n", notify.Safe(withState(c.State, c.Config), 500))
	switch {
	case res.Rang > 0:
		return exitError(exitSurprise)
	case len(res.Blind) > 0:
		return exitError(exitBlind)
	}
	return nil
}

// Bounds of --poll. Public logs answer with 429 long before the lower one: it is for logs on this machine.
const (
	minPoll = 10 * time.Millisecond
	maxPoll = time.Hour
)

// ready is the line of --json that says: from here on everything is seen.
type ready struct {
	Kind  string    `json:"kind"`
	At    time.Time `json:"at"`
	Logs  int       `json:"logs"`
	Items int       `json:"items"`
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// lockedWriter lets several goroutines write whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// logHandler writes logs as text on a terminal and as JSON elsewhere.
func logHandler(s *screen, debug bool) slog.Handler {
	o := &slog.HandlerOptions{Level: slog.LevelWarn}
	if debug {
		o.Level = slog.LevelDebug
	}
	if s.terminal {
		return slog.NewTextHandler(s, o)
	}
	return slog.NewJSONHandler(s, o)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}
