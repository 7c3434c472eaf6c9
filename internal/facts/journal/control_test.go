package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/internal/facts/journal"
)

func logID(b byte) (id [32]byte) {
	for i := range id {
		id[i] = b
	}
	return id
}

func logName(id [32]byte) string { return fmt.Sprintf("log %c", id[0]) }

func TestPositiveControl(t *testing.T) {
	at := func(d time.Duration) time.Time { return began.Add(d) }
	both := []journal.Promise{{LogID: logID('a'), Time: began}, {LogID: logID('b'), Time: at(time.Second)}}
	follow := func(since time.Duration, names ...byte) map[[32]byte]journal.Log {
		out := map[[32]byte]journal.Log{}
		for _, n := range names {
			mmd := 24 * time.Hour
			if n == 'b' {
				mmd = time.Minute
			}
			out[logID(n)] = journal.Log{Name: logName(logID(n)), MMD: mmd, Since: at(since)}
		}
		return out
	}
	before := -time.Hour
	for _, row := range []struct {
		name       string
		promises   []journal.Promise
		journalled time.Duration
		seen       bool
		followed   map[[32]byte]journal.Log
		now        time.Duration
		state      journal.State
		due        time.Duration // 0 for never
		logs       []string
	}{
		{"seen is seen, whoever promised it", nil, 0, true, nil, 0, journal.Seen, 0, nil},
		{"within the delay there is time", both, 0, false, follow(before, 'a'), 24 * time.Hour, journal.Waiting, 25 * time.Hour, nil},
		{"one hour beyond the delay it is overdue, and the log is named", both, 0, false, follow(before, 'a'), 25 * time.Hour, journal.Overdue, 26 * time.Hour, []string{"log a"}},
		{"the quickest log is the one that counts", both, 0, false, follow(before, 'a', 'b'), time.Hour + 2*time.Minute, journal.Overdue, 2*time.Hour + 2*time.Minute, []string{"log b"}},
		{"later all that are late are named", both, 0, false, follow(before, 'a', 'b'), 30 * time.Hour, journal.Overdue, 31 * time.Hour, []string{"log a", "log b"}},
		{"the time runs from the journal, when that comes later", both, 10 * time.Hour, false, follow(before, 'b'), 11 * time.Hour, journal.Waiting, 11*time.Hour + time.Minute, nil},
		{"without an SCT nobody promised anything", nil, 0, false, follow(before, 'a'), 100 * time.Hour, journal.Unpromised, 0, nil},
		{"what is a month old says nothing", both, 30 * 24 * time.Hour, false, follow(before, 'a'), 40 * 24 * time.Hour, journal.Before, 0, nil},
		{"nor what was issued before any log was read", both, time.Minute, false, follow(time.Hour, 'a', 'c'), 30 * time.Hour, journal.Before, 0, nil},
		{"a log that is read from a later time is not asked", both, 0, false, map[[32]byte]journal.Log{logID('a'): {Name: "log a", Since: at(time.Hour)}, logID('c'): {Name: "log c", Since: at(-time.Hour)}}, 30 * time.Hour, journal.Before, 0, nil},
		{"logs that nobody follows have a day", both, 0, false, follow(before, 'c'), 24 * time.Hour, journal.Waiting, 25 * time.Hour, nil},
		{"then we are blind for what is only in them", both, 0, false, follow(before, 'c'), 25 * time.Hour, journal.Overdue, 26 * time.Hour, []string{"log a", "log b"}},
		{"an SCT from the future does not wait for it", []journal.Promise{{LogID: logID('b'), Time: at(1000 * time.Hour)}}, 0, false, follow(before, 'b'), 2 * time.Hour, journal.Overdue, 3 * time.Hour, []string{"log b"}},
		{"a log that is not known has a day", []journal.Promise{{LogID: logID('x'), Time: began}}, 0, false, map[[32]byte]journal.Log{logID('x'): {Name: "log x", Since: at(before)}}, 25*time.Hour - time.Second, journal.Waiting, 25 * time.Hour, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := journal.Control(journal.Issuance{SCTs: row.promises}, at(row.journalled), row.seen, row.followed, logName, at(row.now))
			var due time.Time
			if row.due != 0 {
				due = at(row.due)
			}
			if o.State != row.state || !o.Due.Equal(due) || o.Why == "" {
				t.Errorf("%s, due %s (%s); want %s, %s", o.State, o.Due, o.Why, row.state, due)
			}
			if diff := cmp.Diff(row.logs, o.Logs); diff != "" {
				t.Errorf("logs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnIssuanceNeverWaitsForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours := rapid.IntRange(-100, 100)
		var promises []journal.Promise
		for range rapid.IntRange(1, 4).Draw(t, "promises") {
			promises = append(promises, journal.Promise{LogID: logID(byte('a' + rapid.IntRange(0, 3).Draw(t, "log"))), Time: began.Add(time.Duration(hours.Draw(t, "sct")) * time.Hour)})
		}
		followed := map[[32]byte]journal.Log{}
		for i := range rapid.IntRange(0, 4).Draw(t, "followed") {
			id := logID(byte('a' + i))
			followed[id] = journal.Log{Name: logName(id), MMD: time.Duration(rapid.IntRange(0, 24).Draw(t, "mmd")) * time.Hour, Since: began.Add(time.Duration(hours.Draw(t, "since")) * time.Hour)}
		}
		last := journal.Outcome{}
		for h := 0; h <= 26; h++ {
			now := began.Add(time.Duration(h) * time.Hour)
			o := journal.Control(journal.Issuance{SCTs: promises}, began, false, followed, logName, now)
			if h > 0 && last.State != o.State && last.State != journal.Waiting {
				t.Fatalf("%s became %s", last.State, o.State)
			}
			if o.State == journal.Waiting && !o.Due.After(now) {
				t.Fatalf("it waits for a time that is past: %s", o.Due)
			}
			if (o.State == journal.Overdue) != (len(o.Logs) > 0) {
				t.Fatalf("%s names %v", o.State, o.Logs)
			}
			last = o
		}
		if last.State == journal.Waiting {
			t.Fatalf("it still waits after 26 hours: %+v", last)
		}
	})
}
