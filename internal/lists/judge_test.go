package lists

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	over := func(g *loglist.Log) {
		g.Interval = &loglist.Interval{Start: now.AddDate(-1, 0, 0), End: now.AddDate(0, 0, -1)}
	}
	open := func(g *loglist.Log) {
		g.Interval = &loglist.Interval{Start: now.AddDate(-1, 0, 0), End: now.AddDate(0, 0, 1)}
	}
	of := func(logs ...loglist.Log) *loglist.List { return &loglist.List{Logs: logs} }
	at := func(d time.Time, l *loglist.List) *loglist.List { l.Timestamp = d; return l }
	nine := of(a("A/1"), a("A/2"), a("A/3"), a("B/1"), a("B/2"), a("C/1"), a("D/1"), a("E/1"), a("F/1"))
	ids := func(logs ...loglist.Log) (out []string) {
		for _, g := range logs {
			out = append(out, g.IDText())
		}
		return out
	}
	crowd := &loglist.List{}
	for i := range maxFollowed + 1 {
		g := a("A/1")
		g.ID[0], g.ID[1] = byte(i), byte(i>>8)
		crowd.Logs = append(crowd.Logs, g)
	}
	for _, row := range []struct {
		name          string
		before, after *loglist.List
		accepted      *Refusal
		want          string // part of the refusal, "" for none
		lost          int
	}{
		{"the first list is taken", nil, of(a("A/1")), nil, "", 0},
		{"a list without logs is refused, even as the first", nil, of(), nil, "none of its 0 logs", 0},
		{"a list in which no log is to be followed is refused", of(a("A/1")), of(a("A/1", in(loglist.Rejected))), nil, "none of its 1 logs", 0},
		{"a thousand logs are too many", nil, crowd, nil, "it has 1001 logs to follow", 0},
		{"logs may come", nine, of(append([]loglist.Log{a("G/1"), a("G/2")}, nine.Logs...)...), nil, "", 0},
		{"one log may leave", nine, of(nine.Logs[1:]...), nil, "", 0},
		{"the only log of an operator may leave", nine, of(nine.Logs[:8]...), nil, "", 0},
		{"one of two logs may leave", of(a("A/1"), a("B/1")), of(a("A/1")), nil, "", 0},
		{"two of three logs may leave", of(a("A/1"), a("B/1"), a("C/1")), of(a("A/1")), nil, "", 0},
		{"a third may leave", nine, of(nine.Logs[1], nine.Logs[2], nine.Logs[3], nine.Logs[4], nine.Logs[6], nine.Logs[8]), nil, "", 0},
		{"more than a third may not leave", nine, of(nine.Logs[0], nine.Logs[2], nine.Logs[3], nine.Logs[4], nine.Logs[8]), nil, "loses 4 of 9 logs", 4},
		{"an operator with two logs may not leave", nine, of(nine.Logs[0], nine.Logs[1], nine.Logs[2], nine.Logs[5], nine.Logs[6], nine.Logs[7], nine.Logs[8]), nil, "loses all 2 logs of B", 2},
		{"nor with both retired", nine, of(nine.Logs[0], nine.Logs[1], nine.Logs[2], a("B/1", in(loglist.Retired)), a("B/2", in(loglist.Rejected)),
			nine.Logs[5], nine.Logs[6], nine.Logs[7], nine.Logs[8]), nil, "loses all 2 logs of B", 2},
		{"read-only is not lost", nine, of(append([]loglist.Log{a("B/1", final(1)), a("B/2", final(2)), a("A/1", final(1)), a("A/2", final(1))}, nine.Logs[5:]...)...), nil, "", 0},
		{"another key for each log is a loss of each", of(a("A/1"), a("B/1"), a("C/1")), of(a("A/9"), a("B/9"), a("C/9")), nil, "loses 3 of 3", 3},
		{"shards whose interval is over retire in rows", of(a("A/1", over), a("A/2", over), a("B/1", over), a("B/2", over), a("C/1")), of(a("C/1")), nil, "", 0},
		{"shards whose interval is open do not", of(a("A/1", open), a("A/2", open), a("B/1", open), a("C/1")), of(a("B/1"), a("C/1")), nil, "loses all 2 logs of A", 2},
		{"what the operator accepted passes", nine, of(nine.Logs[5:]...), &Refusal{Lost: ids(nine.Logs[:5]...)}, "", 0},
		{"more than that does not", of(a("A/1"), a("A/2"), a("B/1"), a("B/2"), a("C/1")), of(a("C/1")), &Refusal{Lost: ids(a("A/1"), a("A/2"))}, "loses all 2 logs of B", 2},
		{"an older list is a list of the past", at(now, of(a("A/1"))), at(now.Add(-time.Second), of(a("A/1"), a("B/1"))), nil, "it is of 2026-10-31T23:59:59Z", 0},
		{"the same date is not older", at(now, of(a("A/1"))), at(now, of(a("A/1"))), nil, "", 0},
		{"a list without a date is not older", at(now, of(a("A/1"))), of(a("A/1")), nil, "", 0},
		{"an older list that was accepted passes", at(now, of(a("A/1"))), at(now.Add(-time.Second), of(a("A/1"))), &Refusal{Older: true, Timestamp: now.Add(-time.Second)}, "", 0},
		{"one older than that does not", at(now, of(a("A/1"))), at(now.Add(-time.Minute), of(a("A/1"))), &Refusal{Older: true, Timestamp: now.Add(-time.Second)}, "it is of", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			no := Judge(row.before, row.after, row.accepted, now)
			switch {
			case row.want == "" && no != nil:
				t.Errorf("refused: %+v", no)
			case row.want != "" && (no == nil || !strings.Contains(no.Text, row.want) || len(no.Lost) != row.lost):
				t.Errorf("%+v, want %q and %d lost", no, row.want, row.lost)
			}
		})
	}
}

func TestEnding(t *testing.T) {
	const grace = 7 * 24 * time.Hour
	left := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	after := func(d time.Duration) time.Time { return left.Add(d) }
	final := &loglist.TreeHead{Size: 100}
	for _, row := range []struct {
		name       string
		final      *loglist.TreeHead
		p          Progress
		moved, now time.Time
		want       string // part of the word, "" while it is not done
	}{
		{"read to the final head that a list gave, it is done at once", final, Progress{Head: 100, Verified: 100, Position: 100}, left, left, "final head of 100 entries"},
		{"not so while there is more", final, Progress{Head: 120, Verified: 100, Position: 100}, left, left, ""},
		{"nor before it is verified", final, Progress{Head: 100, Verified: 90, Position: 100}, left, left, ""},
		{"nor a log that was never read", &loglist.TreeHead{}, Progress{}, left, left, ""},
		{"read to its end it is still read on for the grace", nil, Progress{Head: 100, Verified: 100, Position: 100}, left, after(grace - 1), ""},
		{"and done after it", nil, Progress{Head: 100, Verified: 100, Position: 100}, left, after(grace), "last head, of 100 entries"},
		{"while it gives what is owed it is not done, however late", nil, Progress{Head: 100, Verified: 50, Position: 60, Tried: true}, after(5 * grace), after(6*grace - 1), ""},
		{"a log that gives nothing any more is done when that has lasted", nil, Progress{Head: 100, Verified: 50, Position: 60, Tried: true}, after(5 * grace), after(6 * grace), "50 of 100 entries of its last head were not verified"},
		{"one that is down is waited for", nil, Progress{Head: 100, Verified: 100, Position: 100, Down: true, Tried: true}, after(grace), after(2*grace - 1), ""},
		{"but not for ever", nil, Progress{Head: 100, Verified: 100, Position: 100, Down: true, Tried: true}, after(grace), after(2 * grace), "does not answer any more; read and verified to the last head that it gave"},
		{"one that was hardly asked yet is not given up", nil, Progress{Verified: 70, Position: 70, Down: true}, left, after(grace), ""},
		{"a log that is gone since the start of the program", nil, Progress{Verified: 70, Position: 70, Down: true, Tried: true}, left, after(grace), "what came after was not seen"},
	} {
		t.Run(row.name, func(t *testing.T) {
			done, word := Ending(row.final, row.p, left, row.moved, row.now, grace)
			if done != (row.want != "") || !strings.Contains(word, row.want) {
				t.Errorf("%v %q, want %q", done, word, row.want)
			}
		})
	}
}
