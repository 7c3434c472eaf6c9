package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/bench"
)

// benchCmd groups the measurements.
type benchCmd struct {
	Tail  benchTailCmd  `cmd:"" help:"Measure what following logs costs, beside the least that it can cost."`
	Serve benchServeCmd `cmd:"" hidden:""`
}

// benchTailCmd measures the tail.
type benchTailCmd struct {
	JSON     bool          `help:"Print one JSON object per line."`
	Entries  int           `default:"65536" help:"Size of the logs that are read."`
	Cores    []int         `default:"1,2" help:"With how many cores."`
	Items    []int         `default:"100,100000,1000000" help:"With how many watch items."`
	Over     []string      `default:"files,http" help:"How logs are reached: files, http."`
	Time     time.Duration `default:"2s" help:"How long each line is measured, at least."`
	Backlog  int           `default:"500000" help:"Entries of the backlog that is read while ten live logs ring."`
	Resting  int           `default:"60" help:"How many logs are followed at rest."`
	Only     []string      `help:"Only these benches: static, rfc6962, static-captured, giant-names, giant-bytes, rest, latency."`
	Captured []string      `type:"existingfile" help:"Full data tiles of a real log, which are read as well (static-captured)."`
	Seed     uint64        `help:"Other entries of the same shape."`
}

var benches = []string{"static", "rfc6962", "static-captured", "giant-names", "giant-bytes", "rest", "latency"}

func (c *benchTailCmd) Run(p *process) error {
	for _, n := range slices.Concat(c.Cores, c.Items, []int{c.Entries, c.Backlog - 255, c.Resting}) {
		if n < 1 {
			return &hintError{err: fmt.Errorf("%d is too few", n), hint: "entries, cores, items and logs are counted from 1, a backlog from 256"}
		}
	}
	for _, name := range c.Only {
		if !slices.Contains(benches, name) {
			return &hintError{err: fmt.Errorf("there is no bench %q", name), hint: "see: tocsin bench tail --help"}
		}
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program to measure: %w", err)
	}
	o := bench.Options{
		Entries: c.Entries, Backlog: c.Backlog, Cores: c.Cores, Items: c.Items, Over: c.Over, Time: c.Time, Logs: c.Resting, Only: c.Only,
		Shape: bench.Shape{Seed: c.Seed}, Program: []string{program}, Progress: p.stderr,
	}
	for _, name := range c.Captured {
		tile, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading a captured tile: %w", err)
		}
		o.Captured = append(o.Captured, tile)
	}
	return bench.Tail(p.ctx, o, func(l bench.Line) error {
		if c.JSON {
			return json.NewEncoder(p.stdout).Encode(l)
		}
		benchText(p.stdout, &l)
		return nil
	})
}

// benchText is a line for people.
func benchText(w io.Writer, l *bench.Line) {
	switch l.Bench {
	case "rest":
		fmt.Fprintf(w, "rest: %s: %.0f MB resident\n", count(l.Logs, "log"), l.MB)
	case "latency":
		fmt.Fprintf(w, "latency: %s of 10 live logs beside a backlog of %d entries (%.0f/s): half within %.1f s, 99 of 100 within %.1f s, all within %.1f s\n",
			count(l.Alarms, "alarm"), l.Entries, l.EntriesPerS, l.P50MS/1e3, l.MS/1e3, l.MaxMS/1e3)
	case "giant-names", "giant-bytes":
		fmt.Fprintf(w, "%s: %.1f ms, %.1f MB allocated; ratio to the limit %.2f\n", l.Bench, l.MS, l.MB, l.Ratio)
	default:
		fmt.Fprintf(w, "%s over %s, %s, %s: %.0f entries/s, limit %.0f/s; ratio of CPU time %.2f; %.2f allocations per entry\n",
			l.Bench, l.Over, count(l.Cores, "core"), count(l.Items, "item"), l.EntriesPerS, l.LimitEntriesPerS, l.Ratio, l.Allocs)
	}
}

// benchServeCmd is the other process of bench tail.
type benchServeCmd struct {
	Dir string `arg:""`
}

func (c *benchServeCmd) Run(p *process) error {
	return bench.Serve(p.ctx, filepath.Clean(c.Dir), os.Stdin, p.stdout)
}
