// Package bench measures what following logs costs: real client, real tailer, real look at each entry, over generated
// logs that look like public ones, beside the least that reading them with proof can cost (package limit), in the same
// run and by turns.
//
// It promises that what it measures is what the daemon does, and that a pass that did not verify everything, or found
// nothing of what it had to find, is an error and no figure. It uses the network of this machine only.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
)

// Line is one result. Zero where something does not apply.
type Line struct {
	// Bench says what was read: "static", "rfc6962", "static-captured", "giant-names", "giant-bytes", "rest", "latency".
	Bench string `json:"bench"`
	// Over is "files" or "http"; with http the log is served by another process, over loopback.
	Over    string `json:"over,omitempty"`
	Cores   int    `json:"cores,omitempty"`
	Items   int    `json:"items,omitempty"`
	Entries int    `json:"entries"`
	// EntriesPerS is the best of all passes, by the clock; LimitEntriesPerS is the same for the limit.
	EntriesPerS      float64 `json:"entries_per_s"`
	LimitEntriesPerS float64 `json:"limit_entries_per_s"`
	// Ratio is our CPU time over the limit's: the median of the pairs of passes.
	Ratio float64 `json:"ratio"`
	// CPU and LimitCPU are microseconds of CPU time for each entry, in the best pass.
	CPU      float64 `json:"cpu_us_per_entry"`
	LimitCPU float64 `json:"limit_cpu_us_per_entry"`
	// Allocs is the number of allocations for each entry, PlainBytes and WireBytes its size.
	Allocs     float64 `json:"allocs_per_entry"`
	PlainBytes float64 `json:"plain_bytes_per_entry,omitempty"`
	WireBytes  float64 `json:"wire_bytes_per_entry,omitempty"`
	Passes     int     `json:"passes,omitempty"`
	// MB is memory: of the watch list, of one giant entry, or of the process at rest.
	MB float64 `json:"mb,omitempty"`
	// Milliseconds: of one giant entry, or of alarms.
	MS    float64 `json:"ms,omitempty"`
	P50MS float64 `json:"p50_ms,omitempty"`
	MaxMS float64 `json:"max_ms,omitempty"`
	// Logs is how many were followed, Alarms how many rang.
	Logs   int `json:"logs,omitempty"`
	Alarms int `json:"alarms,omitempty"`
}

// Options of a run. All but Captured are required; the command has defaults.
type Options struct {
	// Entries is the size of the logs, Backlog that of the log that is read while others ring.
	Entries, Backlog int
	Cores, Items     []int
	// Over holds "files", "http" or both.
	Over []string
	// Time is how long each line is measured, at least.
	Time time.Duration
	// Logs is how many are followed at rest.
	Logs int
	// Only names the benches to run; empty means all.
	Only []string
	// Captured are full data tiles of a real log.
	Captured [][]byte
	Shape    Shape
	// Program is this program: it serves logs ("bench serve DIR") and is watched ("watch …").
	Program []string
	// Progress is told what is going on; may be io.Discard.
	Progress io.Writer
}

func (o *Options) wants(name string) bool { return len(o.Only) == 0 || slices.Contains(o.Only, name) }

// Tail runs all benches and hands over each line when it is there.
func Tail(ctx context.Context, o Options, emit func(Line) error) (err error) {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return fmt.Errorf("making room for the logs: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, kind := range []string{"static", "rfc6962", "static-captured"} {
		if !o.wants(kind) || kind == "static-captured" && len(o.Captured) == 0 {
			continue
		}
		fmt.Fprintf(o.Progress, "writing a log: %s, %d entries\n", kind, o.Entries)
		var l *Log
		if at := filepath.Join(dir, kind); kind == "static-captured" {
			l, err = FromTiles(at, o.Captured, o.Entries)
		} else {
			l, err = Make(at, kind == "static", o.Shape, o.Entries)
		}
		if err != nil {
			return err
		}
		if err := o.passes(ctx, kind, l, emit); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	for _, giant := range []string{"giant-names", "giant-bytes"} {
		if o.wants(giant) {
			if err := o.giant(ctx, giant, filepath.Join(dir, giant), emit); err != nil {
				return fmt.Errorf("%s: %w", giant, err)
			}
		}
	}
	if o.wants("rest") {
		if err := o.rest(ctx, filepath.Join(dir, "rest"), emit); err != nil {
			return fmt.Errorf("rest: %w", err)
		}
	}
	if o.wants("latency") {
		if err := o.latency(ctx, filepath.Join(dir, "latency"), emit); err != nil {
			return fmt.Errorf("latency: %w", err)
		}
	}
	return nil
}

// passes measures one log with each number of items, each way and each number of cores.
func (o *Options) passes(ctx context.Context, kind string, l *Log, emit func(Line) error) error {
	for _, items := range o.Items {
		before := heap()
		st := Watching(items, l.Planted)
		mb := heap() - before
		want := min(len(l.Planted), items/2)
		for _, over := range o.Over {
			err := o.reached(ctx, l, over, func(dial string) error {
				for _, cores := range o.Cores {
					line := Line{Bench: kind, Over: over, Cores: cores, Items: items, MB: mb}
					fmt.Fprintf(o.Progress, "reading: %s over %s, %d cores, %d items\n", kind, over, cores, items)
					if err := o.pairs(ctx, &line, l, dial, st, want); err != nil {
						return err
					}
					if err := emit(line); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// reached calls f with where to dial, or "" when the files are read in this process.
func (o *Options) reached(ctx context.Context, l *Log, over string, f func(dial string) error) error {
	switch over {
	case "files":
		return f("")
	case "http":
		s, err := o.serve(ctx, l)
		if err != nil {
			return err
		}
		return errors.Join(f(s.dial), s.stop())
	}
	return fmt.Errorf("there is no way %q to reach a log: files or http", over)
}

// minPairs is how often limit and tail take turns, at least.
const minPairs = 5

// pairs lets limit and tail read the log by turns, so that a machine that others share favours neither.
func (o *Options) pairs(ctx context.Context, line *Line, l *Log, dial string, st *app.Stations, want int) error {
	var ratios []float64
	var ours, least cost
	for begun := time.Now(); len(ratios) < minPairs || time.Since(begun) < o.Time; {
		lim, err := limitPass(l, dial, line.Cores)
		if err != nil {
			return err
		}
		c, err := tailPass(ctx, l, dial, st, line.Cores)
		if err != nil {
			return err
		}
		if c.hits < want {
			return fmt.Errorf("%d entries touched a watch, and %d had to", c.hits, want)
		}
		if lim.cpu > 0 {
			ratios = append(ratios, float64(c.cpu)/float64(lim.cpu))
		} else {
			ratios = append(ratios, 0)
		}
		ours, least = ours.best(c), least.best(lim)
	}
	slices.Sort(ratios)
	n := float64(l.Size)
	line.Entries, line.Passes, line.Ratio = l.Size, len(ratios), ratios[len(ratios)/2]
	line.EntriesPerS, line.LimitEntriesPerS = n/ours.wall.Seconds(), n/least.wall.Seconds()
	line.CPU, line.LimitCPU = ours.cpu.Seconds()*1e6/n, least.cpu.Seconds()*1e6/n
	line.Allocs = float64(ours.allocs) / n
	line.PlainBytes, line.WireBytes = float64(l.Plain)/n, float64(l.Wire)/n
	return nil
}
