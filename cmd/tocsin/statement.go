package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// span reads --from and --to. A date without a time is the whole day: as the end it is its last millisecond.
func span(from, to string, now time.Time) (a, b time.Time, err error) {
	bad := func(flag, text string) error {
		return &hintError{err: fmt.Errorf("%s %q is no time", flag, text), hint: "a date such as 2026-11-01, a time such as 2026-11-01T12:00:00Z, or now"}
	}
	if from == "" {
		return a, b, &hintError{err: fmt.Errorf("--to without --from"), hint: "say also from when: --from 2026-11-01"}
	}
	a, _, ok := moment(from, now)
	if !ok {
		return a, b, bad("--from", from)
	}
	b = now
	if to != "" {
		var whole bool
		if b, whole, ok = moment(to, now); !ok {
			return a, b, bad("--to", to)
		}
		if whole {
			b = b.Add(24*time.Hour - time.Millisecond)
		}
	}
	return a, b, nil
}

// moment reads one time in UTC; day says that it was a date.
func moment(text string, now time.Time) (t time.Time, day, ok bool) {
	if text == "now" {
		return now, false, true
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), layout == time.DateOnly, true
		}
	}
	return t, false, false
}

// statementText is the statement for people: what is missing first, then what no log is late with.
func statementText(w io.Writer, s *coverage.Statement) {
	names := make([]string, len(s.Logs))
	var missing, promised []string
	for i, l := range s.Logs {
		names[i] = notify.Safe(l.Name, 100)
		for _, e := range l.Except {
			line := fmt.Sprintf("  %s, %s to %s: %s: %s", names[i], e.From.Format(timeLayout), e.To.Format(timeLayout), e.Reason, notify.Safe(e.Text, 300))
			if e.From.Unix() <= 0 {
				line = fmt.Sprintf("  %s, up to %s: %s: %s", names[i], e.To.Format(timeLayout), e.Reason, notify.Safe(e.Text, 300))
			}
			if e.Reason.Promise() {
				promised = append(promised, line)
			} else {
				missing = append(missing, line)
			}
		}
	}
	claim := fmt.Sprintf("from %s to %s every entry of %s was read and verified", s.From.Format(timeLayout), s.To.Format(timeLayout), these(len(s.Logs)))
	switch {
	case len(s.Logs) == 0:
		fmt.Fprintln(w, "no log was ever followed: nothing can be said")
		return
	case len(missing) == 0 && len(promised) == 0:
		fmt.Fprintln(w, claim)
	case len(missing) == 0:
		fmt.Fprintln(w, claim+", except what logs have promised and may still merge:")
	default:
		fmt.Fprintln(w, claim+", except:")
		fmt.Fprintln(w, strings.Join(missing, "\n"))
		if len(promised) > 0 {
			fmt.Fprintln(w, "and except what logs have promised and may still merge:")
		}
	}
	if len(promised) > 0 {
		fmt.Fprintln(w, strings.Join(promised, "\n"))
	}
	fmt.Fprintf(w, "logs: %s\n", strings.Join(names, ", "))
	fmt.Fprintln(w, "next: tocsin logs")
}

const timeLayout = "2006-01-02T15:04:05.999Z07:00"

func these(n int) string {
	if n == 1 {
		return "this log"
	}
	return fmt.Sprintf("these %d logs", n)
}
