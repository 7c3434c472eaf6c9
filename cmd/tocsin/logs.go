package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/notify"
	usage "github.com/tocsin-ct/tocsin/internal/process"
)

// logsCmd shows coverage: what is read of each log, and what is owed.
type logsCmd struct {
	Config string `short:"c" type:"path" help:"Config file, for the place of the state file."`
	State  string `type:"path" help:"State file."`
	JSON   bool   `help:"Print one JSON object, with the evidence of faults."`
	From   string `help:"State what was seen of the entries with timestamps from this date or time on."`
	To     string `help:"The end of that span (default: now). A date is the whole day."`
}

func (c *logsCmd) Run(p *process) error {
	cfg, err := configForState(c.Config)
	if err != nil {
		return err
	}
	state, err := statePath(c.State, cfg)
	if err != nil {
		return err
	}
	if c.From != "" || c.To != "" {
		return c.statement(p, state)
	}
	cov, err := app.AskCoverage(p.ctx, state)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(p.stdout).Encode(cov); err != nil {
			return err
		}
	} else {
		logsText(p.stdout, cov, withState(c.State, c.Config))
	}
	for _, l := range cov.Logs {
		if cov.PID == 0 || l.State == "unreachable" || l.State == "faulty" || l.Grade == coverage.Blind {
			return exitError(exitBlind)
		}
	}
	if cov.Blind {
		return exitError(exitBlind)
	}
	return nil
}

// statement says what was seen of a span of time. It ends with 0 when nothing is missing but what logs may still merge.
func (c *logsCmd) statement(p *process, state string) error {
	from, to, err := span(c.From, c.To, time.Now())
	if err != nil {
		return err
	}
	s, err := app.AskStatement(p.ctx, state, from, to)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(p.stdout).Encode(s); err != nil {
			return err
		}
	} else {
		statementText(p.stdout, s)
	}
	if !s.Whole || len(s.Logs) == 0 {
		return exitError(exitBlind)
	}
	return nil
}

func logsText(w io.Writer, c *app.Coverage, state string) {
	if c.PID == 0 {
		fmt.Fprintln(w, "no daemon runs on this state: nothing is seen now; this is how far the last one came")
	}
	for _, l := range c.Logs {
		fmt.Fprintf(w, "%-36s %-12s from %d, at %d of %d, verified to %d, %d owed", notify.Safe(l.Name, 36), l.State, l.Start, l.Position, l.Head, l.Verified, l.Owed)
		if l.HeadTime != nil {
			fmt.Fprintf(w, ", head of %s", l.HeadTime.UTC().Format(time.RFC3339))
		}
		if l.Owed > 0 && c.PID != 0 {
			fmt.Fprintf(w, ", %.0f/s, %s", l.Rate, catchUp(&l))
			if l.Pause > 0 {
				fmt.Fprintf(w, ", asked every %s as it allows", pause(l.Pause))
			}
		}
		fmt.Fprintln(w)
		if l.Grade != "" && l.Grade != coverage.Live && l.Grade != coverage.Closed {
			fmt.Fprintf(w, "    %s: %s\n", l.Grade, notify.Safe(l.GradeWhy, 300))
		}
		for _, r := range l.OwedIn {
			if r.To <= l.Position { // what is not read yet is said above
				fmt.Fprintf(w, "    owed: entries %d to %d: %s\n", r.From, r.To-1, notify.Safe(r.Why, 300))
			}
		}
		if l.Error != "" {
			fmt.Fprintf(w, "    error: %s\n", notify.Safe(l.Error, 300))
		}
		if l.Note != "" {
			fmt.Fprintf(w, "    note: %s\n", notify.Safe(l.Note, 300))
		}
		viewText(w, &l.LogView)
	}
	if c.PID != 0 {
		whole := "seen"
		if c.Blind {
			whole = "BLIND"
		}
		fmt.Fprintf(w, "%s: %s\n", whole, notify.Safe(c.Why, 300))
	}
	for _, o := range c.Paces {
		fmt.Fprintf(w, "operator %s: its logs stand behind one limit and are asked every %s together, since %s\n", notify.Safe(o.Operator, 100), pause(o.Pause), o.Since.Format(time.RFC3339))
	}
	for _, t := range c.Health {
		fmt.Fprintf(w, "wrong: %s (%s, since %s)\n", notify.Safe(t.Text, 500), t.Code, t.Since.Format(time.RFC3339))
	}
	if u := c.Process; u != nil {
		fmt.Fprintf(w, "process: %s of memory, %d of %d file descriptors, database %s, disk %s free of %s\n", usage.Size(u.RSS), u.Files, u.FilesLimit,
			usage.Size(u.Database), usage.Size(u.DiskFree), usage.Size(u.DiskSize))
	}
	listsText(w, c.Lists)
	for _, f := range c.Faults {
		fmt.Fprintf(w, "fault %s of %s, %s, last %s: %s\n", f.Kind, notify.Safe(f.Log, 100), count(int(f.Count), "time"), f.Last.UTC().Format(time.RFC3339), notify.Safe(f.Text, 500))
	}
	if s := c.SCTs; s != (app.SCTCoverage{}) {
		fmt.Fprintf(w, "promises of logs (SCTs): %d proven, %d within the merge delay, %d overdue, %d not kept", s.Proven, s.Queued, s.Overdue, s.Reported)
		if s.Unaudited > 0 {
			fmt.Fprintf(w, ", %d of logs that are not followed", s.Unaudited)
		}
		if s.Invalid > 0 {
			fmt.Fprintf(w, ", %d not signed by their log", s.Invalid)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "filed: %s in %s, %d undecided", count(int(c.Ledger.Issuances), "issuance"), count(int(c.Ledger.Sightings), "sighting"), c.Ledger.Undecided)
	for _, level := range slices.Sorted(maps.Keys(c.Ledger.Levels)) {
		fmt.Fprintf(w, ", %d %s", c.Ledger.Levels[level], level)
	}
	fmt.Fprintln(w)
	for _, name := range slices.Sorted(maps.Keys(c.Ledger.Waiting)) {
		if n := c.Ledger.Waiting[name]; n > 0 {
			fmt.Fprintf(w, "waiting: %s for %s\n", count(int(n), "message"), notify.Safe(name, 100))
		}
	}
	next := "tocsin explain" + state + " ID"
	switch {
	case c.PID == 0:
		next = "tocsin watch" + state
	case c.Ledger.Issuances == 0:
		next = "tocsin drill"
	}
	fmt.Fprintf(w, "next: %s\n", notify.Safe(next, 500))
}

// pause is a time between two requests, in words.
func pause(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
}
