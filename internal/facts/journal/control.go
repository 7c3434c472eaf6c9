package journal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is how it stands with the positive control of an issuance.
type State string

// The states. Waiting and Overdue are looked at again, the others are final.
const (
	Waiting    State = "waiting"    // there is time left
	Seen       State = "seen"       // CT has shown it to us
	Overdue    State = "overdue"    // CT should have shown it to us: we may be blind
	Unpromised State = "unpromised" // it carries no SCT: no log has promised it
	Before     State = "before"     // it is older than our watching
	Unwatched  State = "unwatched"  // it touches no watch, so that it is never filed
)

// Grace is the time beyond the maximum merge delay, and DefaultMMD the delay of a log that is not known.
const (
	Grace      = time.Hour
	DefaultMMD = 24 * time.Hour
	// Fresh is how old an issuance may be when it is journalled. What is older was perhaps logged before its name was
	// watched, which nothing tells.
	Fresh = 24 * time.Hour
)

// Log is a log that is followed.
type Log struct {
	Name string
	MMD  time.Duration // 0 counts as DefaultMMD
	// Since is such that whatever the log took from then on is read; zero when not known, which counts as always.
	Since time.Time
}

// Outcome is the positive control of one issuance at one time.
type Outcome struct {
	State State
	// Due is when to look again; zero for never.
	Due time.Time
	// Logs are those whose promise was not seen kept, by name; set when Overdue.
	Logs []string
	// Why says it in one sentence.
	Why string
}

// Control says whether an issuance that was journalled at the given time was seen in CT in time. seen says that any log
// has shown it, be it the precertificate. followed are the logs that are read, name gives people's name of any other.
//
// A log that has shown it is enough: whether every log keeps its own promise is audited apart. It is overdue as soon as
// one log that is followed has had its merge delay and an hour more.
func Control(is Issuance, journalled time.Time, seen bool, followed map[[32]byte]Log, name func([32]byte) string, now time.Time) Outcome {
	if seen {
		return Outcome{State: Seen, Why: "it was seen in CT"}
	}
	if len(is.SCTs) == 0 {
		return Outcome{State: Unpromised, Why: "it carries no SCT, so no log has promised to show it"}
	}
	promises := slices.Clone(is.SCTs)
	slices.SortFunc(promises, func(a, b Promise) int { return cmp.Or(a.Time.Compare(b.Time), slices.Compare(a.LogID[:], b.LogID[:])) })
	first := promises[0].Time
	if journalled.Sub(first) > Fresh {
		return Outcome{State: Before, Why: fmt.Sprintf("it was issued about %s, more than a day before it was journalled", first.UTC().Format(time.RFC3339))}
	}
	var earliest time.Time // reading of any log began
	for _, l := range followed {
		if earliest.IsZero() || l.Since.Before(earliest) {
			earliest = l.Since
		}
	}
	if len(followed) > 0 && first.Before(earliest) {
		return Outcome{State: Before, Why: "it was issued before any log was read"}
	}
	var due time.Time // of the first that should have shown it
	var late, missing []string
	early := 0
	for _, p := range promises {
		l, ok := followed[p.LogID]
		if !ok {
			missing = append(missing, name(p.LogID))
			continue
		}
		if p.Time.Before(l.Since) {
			early++
			continue
		}
		at := journalled.Add(cmp.Or(l.MMD, DefaultMMD) + Grace) // an SCT is older than the certificate that carries it
		if due.IsZero() || at.Before(due) {
			due = at
		}
		if !now.Before(at) {
			late = append(late, l.Name)
		}
	}
	switch {
	case len(late) > 0:
		return Outcome{State: Overdue, Due: now.Add(Grace), Logs: late, Why: fmt.Sprintf("I may be blind: %s promised to show it, and nothing was seen by %s",
			strings.Join(late, " and "), due.UTC().Format(time.RFC3339))}
	case !due.IsZero():
		return Outcome{State: Waiting, Due: due, Why: "there is time until " + due.UTC().Format(time.RFC3339)}
	case early > 0:
		return Outcome{State: Before, Why: "its logs are read from a later time on"}
	}
	due = journalled.Add(DefaultMMD + Grace)
	if now.Before(due) {
		return Outcome{State: Waiting, Due: due, Why: "there is time until " + due.UTC().Format(time.RFC3339)}
	}
	return Outcome{State: Overdue, Due: now.Add(Grace), Logs: missing, Why: fmt.Sprintf("I may be blind: it is promised only by %s, and none of these is followed", strings.Join(missing, " and "))}
}
