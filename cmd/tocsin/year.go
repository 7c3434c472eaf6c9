package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/year"
)

// aYear is the name of the scenario that is no incident, but a year of an organisation.
const aYear = "a-year"

// yearOutcome is what `drill --scenario a-year` prints.
type yearOutcome struct {
	Kind     string `json:"kind"` // "drill"
	Scenario string `json:"scenario"`
	OK       bool   `json:"ok"`
	Seeds    int    `json:"seeds"`
	// RogueRung is the fewest rogues of any seed that rang, of Rogues; FalseRings the most false rings of any seed.
	RogueRung  int `json:"rogue_rung"`
	Rogues     int `json:"rogues"`
	FalseRings int `json:"false_rings"`
	// Proposed is how many lines init proposes; Trims are what a person changes; Config is what decides then.
	Proposed int            `json:"proposed_lines"`
	Trims    []year.Trim    `json:"trims"`
	Config   string         `json:"config"`
	Years    []*year.Report `json:"years"`
}

// compileYear makes of a configuration what the daemon makes of it.
func compileYear(path string) (*app.Stations, app.Telling, error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, app.Telling{}, err
	}
	st, _, err := stations(c)
	return st, telling(c), err
}

// year plays years, two or more at a time where there are processors for it.
func (c *drillCmd) year(p *process) error {
	dir, err := os.MkdirTemp("", "tocsin-year")
	if err != nil {
		return fmt.Errorf("making a folder for the year: %w", err)
	}
	defer os.RemoveAll(dir)
	progress := io.Writer(p.stdout)
	if c.JSON {
		progress = io.Discard
	}
	fmt.Fprintln(progress, "an organisation of 200 zones and 50 networks; nothing leaves this process, and all of it happens in time of its own")
	f, err := year.Freeze(p.ctx, dir, compileYear)
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "tocsin init proposes %s; a person makes %s to it; now it is frozen\n", count(f.Proposed, "line"), count(len(year.Trims()), "change"))
	seeds := []uint64{c.Seed}
	for n := 1; n < c.Seeds; n++ {
		seeds = append(seeds, c.Seed+uint64(n))
	}
	out := &yearOutcome{Kind: "drill", Scenario: aYear, OK: true, Seeds: len(seeds), Proposed: f.Proposed, Trims: year.Trims(), Config: f.Config, Years: make([]*year.Report, len(seeds))}
	errs := make([]error, len(seeds))
	slots := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))
	var work sync.WaitGroup
	for i, seed := range seeds {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			out.Years[i], errs[i] = f.Run(p.ctx, seed, year.Options{Every: c.Every})
		})
	}
	work.Wait()
	for i, err := range errs {
		if err != nil {
			return err
		}
		y := out.Years[i]
		if i == 0 {
			out.RogueRung, out.Rogues = y.RogueRung, len(y.Rogues)
		}
		out.OK = out.OK && y.OK
		out.RogueRung, out.FalseRings = min(out.RogueRung, y.RogueRung), max(out.FalseRings, y.FalseRings)
	}
	if c.JSON {
		err = json.NewEncoder(p.stdout).Encode(out)
	} else {
		out.text(p.stdout)
	}
	if err == nil && !out.OK {
		return &hintError{err: fmt.Errorf("the year did not end as it should"), code: exitSurprise, hint: "tocsin drill --scenario a-year --seed N shows one year in full"}
	}
	return err
}

// text shows one year in full, and of several what became of each.
func (o *yearOutcome) text(w io.Writer) {
	for _, y := range o.Years {
		fmt.Fprintf(w, "seed %d: %d certificates in %d entries; %d of %d rogue ones rang, %s for what was ordered\n", y.Seed, y.Certificates, y.Entries, y.RogueRung, len(y.Rogues), count(y.FalseRings, "ring"))
		for _, problem := range y.Problems {
			fmt.Fprintf(w, "  FAILED: %s\n", notify.Safe(problem, 1000))
		}
		if len(o.Years) > 1 {
			continue
		}
		fmt.Fprintln(w, "what nobody ordered:")
		for _, r := range y.Rogues {
			if !r.Rang {
				fmt.Fprintf(w, "  SILENT  %s: %s\n", r.Kind, notify.Safe(r.Why, 300))
				continue
			}
			waited := ""
			if r.Waited > 0 {
				waited = ", most of it for the journal"
			}
			fmt.Fprintf(w, "  %-5s  %s after it was seen%s: %s (like %s), by %s\n", r.Level, (time.Duration(r.Latency) * time.Millisecond).String(), waited, notify.Safe(r.Why, 300), r.Like, strings.Join(r.Rules, ", "))
		}
		for _, f := range y.False {
			fmt.Fprintf(w, "false: %s, %s (%s)\n", f.At.Format(time.DateOnly), notify.Safe(f.What, 300), strings.Join(f.Rules, ", "))
		}
		fmt.Fprintln(w, "why the rest was silent:")
		for _, why := range slices.Sorted(maps.Keys(y.Silent)) {
			fmt.Fprintf(w, "  %7d  %s\n", y.Silent[why], notify.Safe(why, 300))
		}
		for _, why := range slices.Sorted(maps.Keys(y.Suppressed)) {
			fmt.Fprintf(w, "  %7d  not told by an incident: %s\n", y.Suppressed[why], notify.Safe(why, 300))
		}
	}
	fmt.Fprintln(w, "next: tocsin init YOUR-ZONES; then tocsin policy replay --since 30d")
}
