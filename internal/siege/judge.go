package siege

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// accused are the kinds of faults of which a log may be accused because of an option of its schedule. An option that
// is not named is weather: it excuses no accusation.
var accused = map[string][]ctlog.FaultKind{
	"wrong-root":    {"wrong-root", "forked", "inconsistent"},
	"fork":          {"wrong-root", "forked", "inconsistent", "rollback"},
	"alter-entry":   {"wrong-root", "inconsistent"},
	"bad-signature": {"bad-signature", "key-change"},
	"other-key":     {"bad-signature", "key-change"},
	"early-head":    {"false-time"},
	"rollback":      {"rollback"},
	"skew":          {"rollback"}, // when it is all front ends
	"short-tile":    {"bad-tile", "withheld"},
	"short-cached":  {"bad-tile", "withheld"},
	"short":         {"bad-tile", "withheld"},
	"html":          {"bad-tile", "withheld"},
	"empty":         {"bad-tile", "withheld"},
	"bad-gzip":      {"bad-tile", "withheld"},
	"missing-tile":  {"withheld"},
	"status":        {"withheld"},
}

// accusing are all kinds that accuse; others are news about the weather.
var accusing = []ctlog.FaultKind{
	"bad-signature", "key-change", "wrong-root", "forked", "inconsistent", "rollback", "bad-tile", "withheld", "false-time", "false-final",
}

// minWithheld is how long a log must withhold something before it may be accused of it.
const minWithheld = 55 * time.Minute

func options(s fault.Step) (names []string) {
	for one := range strings.SplitSeq(s.Text, "+") {
		name, _, _ := strings.Cut(one, "=")
		names = append(names, name)
	}
	return names
}

// excuses are the accusations that a step may lead to.
func excuses(s fault.Step) (kinds []ctlog.FaultKind) {
	for _, name := range options(s) {
		kinds = append(kinds, accused[name]...)
	}
	return kinds
}

// mayBeAccused reports whether the schedule of a log holds a reason for the accusation.
func mayBeAccused(s fault.Schedule, kind ctlog.FaultKind) bool {
	var long time.Duration
	for _, step := range s {
		if slices.Contains(excuses(step), kind) {
			long += step.Until - step.At
		}
	}
	if kind == "withheld" || kind == "rollback" {
		return long >= minWithheld
	}
	return long > 0
}

// mustBeAccused are the steps that lie so plainly and for so long that the app has to tell of it: one lie about heads,
// on all requests, while the log does nothing else wrong.
func mustBeAccused(s fault.Schedule) (steps []fault.Step) {
	patience := map[string]time.Duration{"wrong-root": 30 * time.Minute, "bad-signature": 30 * time.Minute, "other-key": 90 * time.Minute}
	for i, step := range s {
		names := options(step)
		if need, plain := patience[names[0]]; len(names) > 1 || !plain || step.Until-step.At < need {
			continue
		}
		alone := true
		for k, other := range s {
			alone = alone && (k == i || other.Until+15*time.Minute < step.At || other.At >= step.Until)
		}
		if alone {
			steps = append(steps, step)
		}
	}
	return steps
}

// coverage is what the app said of a log in the end.
func (r *Report) coverage(l *Log) app.LogCoverage {
	for _, c := range r.Coverage {
		if c.Name == l.Listed.Name() {
			return c
		}
	}
	return app.LogCoverage{Name: l.Listed.Name(), State: "not followed"}
}

// Judge says what the app did wrong; nothing when it did all right.
func (r *Report) Judge() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for name, took := range r.Told {
		for n, id := range r.Ringing {
			id := store.AlarmID(id, name, "alarm")
			if took[id] != 1 {
				say("%s took the alarm of certificate %d %d times", name, n, took[id])
			}
		}
		if len(took) != len(r.Ringing) {
			say("%s took %d messages about certificates, of which %d rang", name, len(took), len(r.Ringing))
		}
	}
	if r.Healed < 0 {
		for _, l := range r.Logs {
			if c := r.coverage(l); c.Verified != l.seq.Size() || c.Owed > 0 || c.State != "live" {
				say("never whole again: %s is %s, at %d of %d, verified to %d, %s; it did: %s", c.Name, c.State, c.Position, l.seq.Size(), c.Verified, c.Error, l.Schedule)
			}
		}
		say("not all was read, decided and told in the end")
	}
	if r.Healed >= 0 && r.Counts.Issuances != int64(len(r.Ringing)) {
		say("%d issuances in the ledger, want %d", r.Counts.Issuances, len(r.Ringing))
	}
	if n := int64(r.Placed); r.Healed >= 0 && (r.Counts.Sightings < n || r.Counts.Sightings > n && !slices.ContainsFunc(r.Logs, (*Log).forks)) {
		say("%d sightings in the ledger, want %d", r.Counts.Sightings, n)
	}
	for _, f := range r.Accused {
		l := r.Logs[slices.IndexFunc(r.Logs, func(l *Log) bool { return ctlog.Hash(l.Listed.ID) == f.Log })]
		if slices.Contains(accusing, f.Kind) && !mayBeAccused(l.Schedule, f.Kind) {
			say("%s was accused of %s (%s), but it did: %s", f.LogName, f.Kind, f.Text, l.Schedule)
		}
	}
	for _, l := range r.Logs {
		if r.coverage(l).State == "faulty" && !slices.ContainsFunc(r.Accused, func(f ctlog.Fault) bool { return f.Log == ctlog.Hash(l.Listed.ID) }) {
			say("%s is faulty in the end, and nobody was told", l.Listed.Description)
		}
		for _, step := range mustBeAccused(l.Schedule) {
			if !slices.ContainsFunc(r.Accused, func(f ctlog.Fault) bool {
				return f.Log == ctlog.Hash(l.Listed.ID) && slices.Contains(excuses(step), f.Kind)
			}) {
				say("nobody was told that %s did %s", l.Listed.Description, step)
			}
		}
	}
	return append(wrong, r.False...)
}
