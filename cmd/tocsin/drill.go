package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/drill"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// drillCmd replays incidents through the real program.
type drillCmd struct {
	Scenario string `default:"fina-2025" help:"Which incident, or all of them; or a-year, a year of an organisation, which takes minutes. ${scenarios}"`
	JSON     bool   `help:"Print one JSON object per scenario."`

	Patience time.Duration `default:"30s" help:"How long each step may take before the scenario counts as failed."`

	Seed  uint64 `default:"1" help:"Of a-year: which year."`
	Seeds int    `default:"1" help:"Of a-year: how many, from that seed on."`
	Every int    `default:"1" help:"Of a-year: play the renewals of only one in so many services, to be quick."`
}

func scenarioNames() string {
	var names []string
	for _, s := range lab.Scenarios() {
		names = append(names, s.Name)
	}
	return strings.Join(append(names, aYear), ", ")
}

func (c *drillCmd) Run(p *process) error {
	if c.Scenario == aYear {
		return c.year(p)
	}
	scenarios := lab.Scenarios()
	if c.Scenario != "all" {
		s, err := lab.FindScenario(c.Scenario)
		if err != nil {
			return &hintError{err: err, hint: "tocsin drill --scenario all plays all of them, a-year apart"}
		}
		scenarios = []lab.Scenario{s}
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program to drill: %w", err)
	}
	failed := 0
	for _, s := range scenarios {
		o := drill.Options{Program: program, Progress: p.stdout, Patience: c.Patience}
		if c.JSON {
			o.Progress = io.Discard
		}
		out, err := drill.Run(p.ctx, s, o)
		if err != nil {
			return fmt.Errorf("playing scenario %s: %w", s.Name, err)
		}
		if !out.OK {
			failed++
		}
		if c.JSON {
			if err := json.NewEncoder(p.stdout).Encode(out); err != nil {
				return err
			}
			continue
		}
		outcomeText(p.stdout, out)
	}
	if failed > 0 {
		return &hintError{err: fmt.Errorf("%s did not end as it should", count(failed, "scenario")), code: exitSurprise,
			hint: "tocsin drill --scenario NAME shows the time line of one; on a slow machine: --patience 2m"}
	}
	if !c.JSON {
		fmt.Fprintln(p.stdout, "next: tocsin watch YOUR-DOMAIN YOUR-NETWORK")
	}
	return nil
}

func outcomeText(w io.Writer, o *drill.Outcome) {
	if len(o.Decided) > 0 {
		fmt.Fprintln(w, "what decided:")
		for _, d := range o.Decided {
			fmt.Fprintf(w, "  %s\n", notify.Safe(d, 300))
		}
	}
	switch {
	case !o.OK:
		fmt.Fprintf(w, "FAILED: wanted %s\n", o.Want)
		for _, problem := range o.Problems {
			fmt.Fprintf(w, "  %s\n", notify.Safe(problem, 2000))
		}
	case o.Rang:
		fmt.Fprintf(w, "it rings. %s, at most %.1f s from submission to alarm; %s filed in silence.\n", count(o.Rings, "alarm"), float64(o.Latency)/1000, count(o.Filed, "other"))
	default:
		fmt.Fprintf(w, "it stays silent, and was awake: %s seen and filed, at most %.1f s after submission.\n", count(o.Filed, "certificate"), float64(o.Latency)/1000)
	}
}
