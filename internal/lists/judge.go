package lists

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// maxFollowed bounds the logs of one list that are read: ten times what all of the world has.
const maxFollowed = 1000

// fewLost is the number of logs up to which a loss is never too many, by count.
const fewLost = 2

// Refusal says why an update is not put in force.
type Refusal struct {
	Text string `json:"text"`
	// Lost are the ids of the logs that the update loses, base64; Older is set when its date is before that of the list
	// in force. Both can be accepted by the operator: see [Set.Accept].
	Lost      []string  `json:"lost,omitempty"`
	Older     bool      `json:"older,omitempty"`
	Empty     bool      `json:"empty,omitempty"` // it has no log to follow
	Timestamp time.Time `json:"timestamp,omitzero"`
}

// UpdateError is an update that [Judge] refuses.
type UpdateError struct {
	List    string
	Refusal *Refusal
}

func (e *UpdateError) Error() string {
	return fmt.Sprintf("log list %s: the update is refused: %s", e.List, e.Refusal.Text)
}

// Judge decides whether an update takes the place of the list in force, which may be nil; nil is yes. An update is
// refused
//
//   - when it has no log to follow, or more than a thousand;
//   - when its date is before that of the list in force: somebody shows us the past;
//   - when it loses, at once, more than a third of the logs that are followed and at least three, or every log of an
//     operator that has two or more.
//
// A log is lost when the update does not list it any more, or with a state in which it is not followed. Not counted are
// logs whose interval of notAfter dates is over: shards retire in whole rows every half year. What the operator has
// accepted before is not counted either.
func Judge(before, after *loglist.List, accepted *Refusal, now time.Time) *Refusal {
	next := map[[32]byte]bool{}
	for _, g := range after.Followed() {
		next[g.ID] = true
	}
	if len(next) == 0 {
		return &Refusal{Empty: true, Text: fmt.Sprintf("none of its %d logs is to be followed", len(after.Logs))}
	}
	if len(next) > maxFollowed {
		return &Refusal{Text: fmt.Sprintf("it has %d logs to follow, more than %d", len(next), maxFollowed)}
	}
	if before == nil {
		return nil
	}
	if accepted == nil {
		accepted = &Refusal{}
	}
	if older(after, before) && (accepted.Timestamp.IsZero() || after.Timestamp.Before(accepted.Timestamp)) {
		return &Refusal{Text: fmt.Sprintf("it is of %s, and the list in force of %s", day(after.Timestamp), day(before.Timestamp)), Older: true, Timestamp: after.Timestamp}
	}
	had, of, gone := 0, map[string]int{}, map[string]int{}
	var lost, names []string
	for _, g := range before.Followed() {
		if g.Interval != nil && !g.Interval.End.IsZero() && g.Interval.End.Before(now) || slices.Contains(accepted.Lost, g.IDText()) {
			continue
		}
		had++
		of[g.Operator]++
		if !next[g.ID] {
			gone[g.Operator]++
			lost, names = append(lost, g.IDText()), append(names, g.Name())
		}
	}
	no := &Refusal{Lost: lost, Timestamp: after.Timestamp}
	if len(lost) > fewLost && 3*len(lost) > had {
		no.Text = fmt.Sprintf("it loses %d of %d logs at once: %s", len(lost), had, some(names))
		return no
	}
	for _, g := range before.Logs { // in the order of the list
		if op := g.Operator; of[op] >= 2 && gone[op] == of[op] {
			no.Text = fmt.Sprintf("it loses all %d logs of %s at once: %s", of[op], op, some(names))
			return no
		}
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// some names the first of many.
func some(names []string) string {
	const most = 12
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// Progress is how far a log was read.
type Progress struct {
	// Head is the size of the newest head seen, 0 when none was; Verified that of the last one whose root was
	// recomputed; Position the number of the next entry.
	Head, Verified, Position uint64
	// Final is set once the final head of a read-only log is proven and read to.
	Final bool
	// Down is set while the log does not answer. Tried is set once this run of the program has given it a fair chance to.
	Down, Tried bool
}

// Ending decides whether a log that leaves the lists is done with, and with what word. Since is when it left, moved when
// reading last got on, grace how long it is read on at least.
//
// It is done when it was read to a final head that a list gave; after the grace when it was read to the newest head
// obtainable; and when reading has not got on for as long as the grace, because the log is gone or does not serve what it
// signed. While it still gives what is owed, it is never done.
func Ending(final *loglist.TreeHead, p Progress, since, moved, now time.Time, grace time.Duration) (done bool, word string) {
	end := p.Head > 0 && p.Verified >= p.Head
	switch {
	case final != nil && p.Verified >= final.Size && p.Verified >= p.Head && p.Verified > 0:
		return true, fmt.Sprintf("read and verified to its final head of %d entries", p.Verified)
	case now.Sub(since) < grace:
		return false, ""
	case end && !p.Down:
		return true, fmt.Sprintf("read and verified to its last head, of %d entries", p.Verified)
	case now.Sub(moved) < grace || !p.Tried:
		return false, ""
	case end:
		return true, fmt.Sprintf("it does not answer any more; read and verified to the last head that it gave, of %d entries", p.Verified)
	case p.Head > 0:
		return true, fmt.Sprintf("it does not serve what it signed: %d of %d entries of its last head were not verified", p.Head-p.Verified, p.Head)
	}
	return true, fmt.Sprintf("it does not answer any more; verified are %d entries, and what came after was not seen", p.Verified)
}
