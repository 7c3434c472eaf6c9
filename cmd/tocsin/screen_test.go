package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/app"
)

func TestTheBlockOfProgressFitsAnyTerminal(t *testing.T) {
	var logs []app.LogCoverage
	for i := range 40 {
		logs = append(logs, app.LogCoverage{Name: fmt.Sprintf("Log %d \x1b[31m", i), State: "behind", Head: 5000, Position: 1000, Owed: 4000, Rate: 100, CatchUp: 40})
	}
	for _, row := range []struct {
		name                 string
		logs, width, height  int
		lines                int
		mustHold, mustNotHld string
	}{
		{"a terminal without a size", 2, 0, 0, 3, "Log 1", "\x1b"},
		{"a tiny terminal", 40, 20, 4, 3, "... and 39 more", "\x1b"},
		{"more logs than lines", 40, 100, 24, 23, "... and 19 more: tocsin logs", "\x1b"},
		{"exactly as many as fit", 22, 100, 24, 23, "Log 21", "more"},
		{"a wide terminal", 3, 200, 50, 4, "head 5000", "\x1b"},
		{"the time to catch up", 1, 200, 50, 2, "in 40s", "\x1b"},
		{"no log at all", 0, 80, 24, 1, "0 logs", "\x1b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			lines := blockLines(logs[:row.logs], row.width, row.height)
			text := strings.Join(lines, "\n")
			if len(lines) != row.lines || !strings.Contains(text, row.mustHold) || strings.Contains(text, row.mustNotHld) {
				t.Errorf("%d lines, want %d with %q and without %q:\n%s", len(lines), row.lines, row.mustHold, row.mustNotHld, text)
			}
			if row.width > 0 {
				for _, l := range lines {
					if len([]rune(l)) >= row.width {
						t.Errorf("a line of %d columns on a terminal of %d: %q", len([]rune(l)), row.width, l)
					}
				}
			}
		})
	}
}
