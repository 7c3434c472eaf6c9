package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// screen is standard error: lines that stay, and on a terminal below them a line per log that is drawn again and again.
type screen struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	drawn    int // lines of the block below
}

func newScreen(w io.Writer) *screen { return &screen{w: w, terminal: isTerminal(w)} }

// Write writes lines that stay.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	return s.w.Write(b)
}

func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}

// How often progress is shown: on a terminal it is redrawn, elsewhere it is one line now and then.
const (
	redraw  = time.Second
	oneLine = time.Minute
)

// progress shows how far each log was read until done is closed.
func (s *screen) progress(a *app.App, done <-chan struct{}) {
	every := oneLine
	if s.terminal {
		every = redraw
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			s.mu.Lock()
			s.erase()
			s.mu.Unlock()
			return
		case <-tick.C:
		}
		logs := a.Progress()
		s.mu.Lock()
		s.erase()
		if s.terminal {
			s.block(logs)
		} else {
			fmt.Fprintf(s.w, "tocsin: %s\n", summary(logs))
		}
		s.mu.Unlock()
	}
}

func (s *screen) block(logs []app.LogCoverage) {
	width, height := 0, 0
	if f, ok := s.w.(interface{ Fd() uintptr }); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil {
			width, height = w, h
		}
	}
	lines := blockLines(logs, width, height)
	for _, line := range lines {
		fmt.Fprintf(s.w, "%s\n", line)
	}
	s.drawn = len(lines)
}

// blockLines are the summary and a line per log, as far as they fit on a terminal of that size. A terminal may say that
// it has no size.
func blockLines(logs []app.LogCoverage, width, height int) []string {
	if width < 20 || height < 4 {
		width, height = 100, 24
	}
	lines := []string{summary(logs)}
	for i := range logs {
		if len(lines) == height-2 && i < len(logs)-1 {
			lines = append(lines, fmt.Sprintf("  ... and %d more: tocsin logs", len(logs)-i))
			break
		}
		lines = append(lines, progressLine(&logs[i]))
	}
	for i, line := range lines {
		if r := []rune(line); len(r) >= width {
			lines[i] = string(r[:width-1])
		}
	}
	return lines
}

func summary(logs []app.LogCoverage) string {
	states := map[string]int{}
	var owed uint64
	var rate float64
	for _, l := range logs {
		states[l.State]++
		owed += l.Owed
		rate += l.Rate
	}
	var parts []string
	for _, st := range []string{"live", "closed", "behind", "starting", "unreachable", "faulty"} {
		if states[st] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", states[st], st))
		}
	}
	return fmt.Sprintf("%d logs: %s; %d entries owed, %.0f/s", len(logs), strings.Join(parts, ", "), owed, rate)
}

// progressLine is one log: head, position, rate, time to catch up.
func progressLine(l *app.LogCoverage) string {
	line := fmt.Sprintf("  %-28s %-11s head %-11d at %-11d %6.0f/s  %s", notify.Safe(l.Name, 28), l.State, l.Head, l.Position, l.Rate, catchUp(l))
	if l.Error != "" && l.State != "live" {
		line += "  " + notify.Safe(l.Error, 100)
	}
	return line
}

func catchUp(l *app.LogCoverage) string {
	switch {
	case l.Owed == 0 && l.Head > 0:
		return "caught up"
	case l.CatchUp < 0:
		return "never at this rate"
	case l.CatchUp == 0:
		return ""
	}
	return "in " + (time.Duration(l.CatchUp) * time.Second).String()
}
