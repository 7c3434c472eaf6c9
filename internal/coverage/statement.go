package coverage

import (
	"fmt"
	"slices"
	"time"
)

// Reason is why entries are not covered. The values are stable: they stand in JSON.
type Reason string

// The reasons.
const (
	NeverRead   Reason = "never-read"   // no start was chosen yet
	BeforeStart Reason = "before-start" // logged before the entry at which reading began
	Gap         Reason = "gap"          // a range is owed
	NotYetRead  Reason = "not-yet-read" // logged after the newest verified head
	NotMerged   Reason = "not-merged"   // promised by the log and perhaps not merged before the newest verified head
)

// Promise reports whether the reason is no lack of ours: the log has time to merge it, and it is read when it does.
func (r Reason) Promise() bool { return r == NotMerged }

// Exception is a part of the span of one log for which the statement does not hold: entries with a timestamp from From
// to To.
type Exception struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason Reason    `json:"reason"`
	Text   string    `json:"text"`
	// Entries are those concerned, where they are known.
	Entries *Range `json:"entries,omitempty"`
}

// LogStatement is the statement about one log. Covered and Except together are the span; Except may overlap itself.
type LogStatement struct {
	Name     string `json:"name"`
	ID       string `json:"id"`
	Operator string `json:"operator,omitempty"`
	// Covered are the parts of the span of which every entry was read and verified.
	Covered []Span      `json:"covered"`
	Except  []Exception `json:"except"`
}

// Span is a span of time, both ends inside.
type Span struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Statement says of a span of time what was seen of each log: every entry with a timestamp in it was read and verified,
// except what is named.
type Statement struct {
	Span
	// Whole is set when there is no exception but what logs have promised and may still merge.
	Whole bool           `json:"whole"`
	Logs  []LogStatement `json:"logs"`
}

// State makes the statement for the timestamps from `from` to `to`. A span that reaches beyond now ends there: of the
// future nothing is said.
func State(logs []Log, from, to, now time.Time) (Statement, error) {
	// A log's timestamps are whole milliseconds.
	from, to, now = from.UTC().Truncate(time.Millisecond), to.UTC().Truncate(time.Millisecond), now.UTC().Truncate(time.Millisecond)
	if to.After(now) {
		to = now
	}
	if from.After(to) {
		return Statement{}, fmt.Errorf("the span from %s to %s is empty", stamp(from), stamp(to))
	}
	s := Statement{Span: Span{from, to}, Whole: true, Logs: []LogStatement{}}
	for i := range logs {
		l := &logs[i]
		one := LogStatement{Name: l.Name, ID: l.ID, Operator: l.Operator, Covered: []Span{}, Except: []Exception{}}
		for _, e := range exceptions(l, now) {
			if e.From.Before(from) {
				e.From = from
			}
			if e.To.After(to) {
				e.To = to
			}
			if !e.From.After(e.To) {
				one.Except = append(one.Except, e)
				s.Whole = s.Whole && e.Reason.Promise()
			}
		}
		one.Covered = covered(s.Span, one.Except)
		s.Logs = append(s.Logs, one)
	}
	return s, nil
}

// ever stands for the beginning of time in exceptions: no log is older.
var ever = time.Unix(0, 0).UTC()

const tick = time.Millisecond // of a log's timestamps

// exceptions are all exceptions of a log until now.
//
// They rest on two rules of RFC 6962 section 3. An entry that is in the tree of a head has no later timestamp than the
// head. An entry with timestamp t is in the tree of every head with timestamp t + MMD or later. So what is not in the
// tree of a head of time h has a timestamp later than h - MMD.
func exceptions(l *Log, now time.Time) []Exception {
	if !l.Begun {
		return []Exception{{From: ever, To: now, Reason: NeverRead, Text: "nothing was read of it yet"}}
	}
	var out []Exception
	head := l.VerifiedAs.Early.UTC().Truncate(tick)
	if l.Start > 0 {
		since, text := l.Since, fmt.Sprintf("reading began with entry %d", l.Start)
		if since.IsZero() { // not known: later than the first head that holds all that stands before
			text += ", at a time that was not kept"
			since = now.Add(tick)
			if m, ok := l.above(l.Start); ok {
				since = m.Late.Add(tick)
			}
		}
		if e := (Exception{From: ever, To: ceil(since).Add(-tick), Reason: BeforeStart, Text: text, Entries: &Range{To: l.Start}}); !e.To.Before(e.From) {
			out = append(out, e)
		}
	}
	for _, g := range l.Gaps {
		e := Exception{From: ever, To: now, Reason: Gap, Text: fmt.Sprintf("entries %d to %d are owed: %s", g.From, g.To-1, g.Why), Entries: &Range{From: g.From, To: g.To}}
		if m, ok := l.below(g.From); ok {
			e.From = m.Early.Add(-l.mmd()).UTC().Truncate(tick).Add(tick)
		}
		if m, ok := l.above(g.To); ok {
			e.To = ceil(m.Late)
		}
		out = append(out, e)
	}
	if l.Closed {
		return out // nothing is promised any more, and nothing comes
	}
	if l.VerifiedAs.Early.IsZero() { // no head was verified yet
		return append(out, Exception{From: ever, To: now, Reason: NotYetRead, Text: "no head of it was verified yet"})
	}
	if head.After(now) {
		head = now
	}
	upTo, text := head, fmt.Sprintf("read as far as the log had merged it by %s; it may take %s to merge what it has promised", stamp(head), duration(l.mmd()))
	if l.fresh(now) { // there is nothing newer to be read
		upTo = now
	}
	out = append(out, Exception{From: head.Add(-l.mmd() + tick), To: upTo, Reason: NotMerged, Text: text})
	if upTo.Before(now) {
		text := fmt.Sprintf("later than its newest verified head, of %d entries", l.Verified)
		if l.Trouble != "" {
			text += ": " + l.Trouble
		}
		out = append(out, Exception{From: head.Add(tick), To: now, Reason: NotYetRead, Text: text})
	}
	return out
}

// freshness is how long the answer "there is no newer head" holds.
const freshness = 10 * time.Minute

// fresh reports whether the newest verified head is the newest that the log shows, and is not too old for it.
func (l *Log) fresh(now time.Time) bool {
	return l.Verified >= l.Head && !l.Faulty && !l.Stale(now) && now.Sub(l.HeadAt) <= freshness
}

// below is the largest mark of at most size entries; above the smallest of at least size.
func (l *Log) below(size uint64) (best Mark, ok bool) {
	for _, m := range l.all() {
		if m.Size <= size && !m.Early.IsZero() && (!ok || m.Size > best.Size || m.Size == best.Size && m.Early.After(best.Early)) {
			best, ok = m, true
		}
	}
	return best, ok
}

func (l *Log) above(size uint64) (best Mark, ok bool) {
	for _, m := range l.all() {
		if m.Size >= size && !m.Late.IsZero() && (!ok || m.Size < best.Size || m.Size == best.Size && m.Late.Before(best.Late)) {
			best, ok = m, true
		}
	}
	return best, ok
}

func (l *Log) all() []Mark { return append(slices.Clone(l.Marks), l.VerifiedAs) }

// ceil rounds up to whole milliseconds.
func ceil(t time.Time) time.Time {
	c := t.UTC().Truncate(tick)
	if c.Before(t) {
		c = c.Add(tick)
	}
	return c
}

// covered is the span less the exceptions.
func covered(s Span, except []Exception) []Span {
	holes := slices.Clone(except)
	slices.SortFunc(holes, func(a, b Exception) int { return a.From.Compare(b.From) })
	out := []Span{}
	at := s.From
	for _, h := range holes {
		if h.From.After(at) {
			out = append(out, Span{at, h.From.Add(-tick)})
		}
		if next := h.To.Add(tick); next.After(at) {
			at = next
		}
	}
	if !at.After(s.To) {
		out = append(out, Span{at, s.To})
	}
	return out
}

func duration(d time.Duration) string {
	if d >= time.Hour && d%time.Hour == 0 {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return d.String()
}
