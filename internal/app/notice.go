package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// Notice is the daily notice: what of a day was not covered, and what is wrong. Its JSON is described in docs/output.md.
type Notice struct {
	Kind string    `json:"kind"` // "coverage"
	Day  string    `json:"day"`  // in UTC
	At   time.Time `json:"at"`
	// Blind and Why are of the whole; Operators of those that are seen and not.
	Blind     bool           `json:"blind"`
	Why       string         `json:"why"`
	Operators Operators      `json:"operators"`
	Logs      int            `json:"logs"`
	Grades    map[string]int `json:"grades"`
	// NotCovered are logs of which something of the day was not read and verified, or that are behind now.
	NotCovered []NotCovered `json:"not_covered"`
	Health     []Trouble    `json:"health"`
}

// Operators are those that are seen, and those that are not.
type Operators struct {
	Wanted int      `json:"wanted"`
	Seeing []string `json:"seeing"`
	Unseen []string `json:"unseen"`
}

// NotCovered is one log in a [Notice].
type NotCovered struct {
	Log      string         `json:"log"`
	Operator string         `json:"operator,omitempty"`
	Grade    coverage.Grade `json:"grade"`
	Why      string         `json:"why"`
	Owed     uint64         `json:"owed"`
	// Except are the exceptions of the day, without what logs may still merge.
	Except []coverage.Exception `json:"except"`
}

// Trouble is one that people see.
type Trouble struct {
	Code    string    `json:"code"`
	Subject string    `json:"subject,omitempty"`
	Text    string    `json:"text"`
	Since   time.Time `json:"since"`
}

func shown(open []health.Trouble) []Trouble {
	out := []Trouble{}
	for _, t := range open {
		out = append(out, Trouble{t.Code, t.Subject, notify.Safe(t.Text(), 500), t.Since.UTC()})
	}
	return out
}

func operators(s coverage.Sight) Operators {
	return Operators{Wanted: s.Wanted, Seeing: append([]string{}, s.Seeing...), Unseen: append([]string{}, s.Unseen...)}
}

// noticeAfter is how long after the end of a day its notice is made: what lags by minutes is read by then.
const noticeAfter = 15 * time.Minute

// newNotice makes the notice about a day, which begins at the given time in UTC.
func newNotice(day, now time.Time, v view, open []health.Trouble) (*Notice, error) {
	s, err := coverage.State(v.logs, day, day.Add(24*time.Hour-time.Millisecond), now)
	if err != nil {
		return nil, err
	}
	n := &Notice{
		Kind: "coverage", Day: day.UTC().Format(time.DateOnly), At: now.UTC(), Blind: v.sight.Blind, Why: v.sight.Why, Operators: operators(v.sight),
		Logs: len(v.logs), Grades: map[string]int{}, NotCovered: []NotCovered{}, Health: []Trouble{},
	}
	for i := range v.logs {
		a := &v.marks[i]
		n.Grades[string(a.Grade)]++
		one := NotCovered{Log: v.logs[i].Name, Operator: v.logs[i].Operator, Grade: a.Grade, Why: a.Why, Owed: a.Owed, Except: []coverage.Exception{}}
		for _, e := range s.Logs[i].Except {
			if !e.Reason.Promise() {
				one.Except = append(one.Except, e)
			}
		}
		if len(one.Except) > 0 || a.Grade.Worse(coverage.Lagging) {
			n.NotCovered = append(n.NotCovered, one)
		}
	}
	for _, t := range shown(open) {
		// What is wrong with a log stands with the log.
		if !slices.ContainsFunc(n.NotCovered, func(l NotCovered) bool { return l.Log == t.Subject }) {
			n.Health = append(n.Health, t)
		}
	}
	return n, nil
}

// maxNoticeLines bounds the text; the document has all.
const maxNoticeLines = 40

// Text is the notice for people: one line when all is well, and one more for each log that is not covered and for each
// trouble.
func (n *Notice) Text() string {
	var b strings.Builder
	whole := n.Logs - len(n.NotCovered)
	switch {
	case n.Blind:
		fmt.Fprintf(&b, "COVERAGE %s: BLIND: %s", n.Day, notify.Safe(n.Why, 300))
	case len(n.NotCovered) == 0 && len(n.Health) == 0:
		fmt.Fprintf(&b, "COVERAGE %s: all of %d logs of %d operators was read and verified; nothing is wrong", n.Day, n.Logs, len(n.Operators.Seeing))
		return b.String()
	default:
		fmt.Fprintf(&b, "COVERAGE %s: %d of %d logs were read and verified whole; %s", n.Day, whole, n.Logs, notify.Safe(n.Why, 300))
	}
	lines := 0
	line := func(format string, args ...any) {
		if lines++; lines <= maxNoticeLines {
			fmt.Fprintf(&b, "\n  "+format, args...)
		}
	}
	for _, l := range n.NotCovered {
		why := l.Why
		if !l.Grade.Worse(coverage.Lagging) && len(l.Except) > 0 { // what is missing of the day, though all is well now
			why = l.Except[0].Text
		}
		line("not covered: %s: %s: %s", notify.Safe(l.Log, 100), l.Grade, notify.Safe(why, 300))
	}
	for _, t := range n.Health {
		line("wrong: %s (%s, since %s)", t.Text, t.Code, t.Since.Format(time.RFC3339))
	}
	if lines > maxNoticeLines {
		fmt.Fprintf(&b, "\n  and %d more", lines-maxNoticeLines)
	}
	b.WriteString("\nnext: tocsin logs")
	return b.String()
}
