package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/replay"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// policyReplayCmd says what would have rung under a config, by the ledger of a state file.
type policyReplayCmd struct {
	Since  string `default:"30d" help:"From when on is counted: a time before now, as 30d, or a date."`
	Config string `short:"c" type:"path" help:"Config file to try. Default: tocsin.yaml, where there is one."`
	State  string `type:"path" help:"State file. Default: that of the config."`
	JSON   bool   `help:"Print JSON."`
}

// policyReplayed is what `policy replay` prints.
type policyReplayed struct {
	Kind string `json:"kind"` // "replay"
	*replay.Outcome
}

func (c *policyReplayCmd) Run(p *process) error {
	now := time.Now()
	since, err := before(c.Since, now)
	if err != nil {
		return err
	}
	cfg, err := loadConfig(c.Config, nil)
	if err != nil {
		return err
	}
	st, _, err := stations(cfg)
	if err != nil {
		return err
	}
	path, err := statePath(c.State, cfg)
	if err != nil {
		return err
	}
	s, err := store.OpenReadOnly(path, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	out, err := replay.Since(p.ctx, s, replay.Options{Stations: st, Receivers: []notify.Receiver{replay.Inbox("everybody")}, Telling: everybody(cfg)}, since, now)
	if err != nil {
		return fmt.Errorf("replaying the ledger: %w", err)
	}
	if c.JSON {
		return p.printJSON(policyReplayed{"replay", out})
	}
	return replayText(p.stdout, out, withState(c.State, c.Config))
}

// everybody puts one inbox in the place of all receivers: the question is what rings, not who is told.
func everybody(cfg *config.Config) app.Telling {
	t := telling(cfg)
	t.Routes = nil
	return t
}

// before reads a time before now, as 30d, or a date.
func before(text string, now time.Time) (time.Time, error) {
	if d, err := config.ParseDuration(text); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Before(now) {
			return t, nil
		}
	}
	return time.Time{}, &hintError{err: fmt.Errorf("--since %q is no time before now", notify.Safe(text, 100)), hint: "such as 30d, 12h or 2026-11-01", code: exitUsage}
}

func replayText(w io.Writer, o *replay.Outcome, flags string) error {
	fmt.Fprintf(w, "since %s: %s; ", o.Since.UTC().Format(time.DateOnly), count(o.Certificates, "certificate"))
	for i, level := range []string{"expected", "digest", "alarm", "page"} {
		if i > 0 {
			fmt.Fprint(w, ", ")
		}
		fmt.Fprintf(w, "%s %d", level, o.Levels[level])
	}
	fmt.Fprintf(w, "; %s would have rung in %s\n", count(o.Rings, "certificate"), count(o.Messages, "message"))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tSEVERITY\tFIRED\tRANG\tA WEEK\tDIGEST\tEXCEPTED\tSILENCED")
	for _, r := range o.Rules {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.2f\t%d\t%d\t%d\n", r.Rule, r.Severity, r.Fired, r.Rang, r.PerWeek, r.Digest, r.Excepted, r.Silenced)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, why := range slices.Sorted(maps.Keys(o.Suppressed)) {
		fmt.Fprintf(w, "not told by an incident: %d %s\n", o.Suppressed[why], notify.Safe(why, 100))
	}
	for _, e := range o.Examples {
		fmt.Fprintf(w, "%s  %s  %s\n", e.At.UTC().Format(time.DateTime), e.Level, notify.Safe(e.Title, 200))
	}
	next := "tocsin policy rules"
	if len(o.Examples) > 0 {
		next = "tocsin explain " + o.Examples[0].Issuance[:16] + flags
	}
	_, err := fmt.Fprintf(w, "next: %s\n", notify.Safe(next, 300))
	return err
}
