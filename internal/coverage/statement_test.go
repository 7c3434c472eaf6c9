package coverage

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// said is a statement about one log in short: the parts that are covered, and the exceptions.
func said(s Statement) (out []string) {
	clock := func(t time.Time) string {
		if t.Nanosecond() == 0 {
			return t.Format("15:04:05")
		}
		return t.Format("15:04:05.000")
	}
	for _, l := range s.Logs {
		for _, c := range l.Covered {
			out = append(out, fmt.Sprintf("covered %s to %s", clock(c.From), clock(c.To)))
		}
		for _, e := range l.Except {
			out = append(out, fmt.Sprintf("%s %s to %s", e.Reason, clock(e.From), clock(e.To)))
		}
	}
	return out
}

func TestStatement(t *testing.T) {
	tests := []struct {
		name     string
		log      *Log
		from, to time.Time
		whole    bool
		want     []string
	}{
		{"a span that is read and merged is covered whole", log(), at("09:00:00"), at("11:00:00"), true,
			[]string{"covered 09:00:00 to 11:00:00"}},
		{"up to now, what the log may still merge is named, and no lack", log(), at("11:00:00"), noon, true,
			[]string{"covered 11:00:00 to 11:58:55", "not-merged 11:58:55.001 to 12:00:00"}},
		{"a log with a merge delay of a day has no settled hour of today", log(func(l *Log) { l.MMD = 24 * time.Hour }), at("09:00:00"), at("11:00:00"), true,
			[]string{"not-merged 09:00:00 to 11:00:00"}},
		{"a delay that the list does not give counts as a day", log(func(l *Log) { l.MMD = 0 }), at("09:00:00"), at("11:00:00"), true,
			[]string{"not-merged 09:00:00 to 11:00:00"}},
		{"before the start nothing is covered", log(), at("06:00:00"), at("09:00:00"), false,
			[]string{"covered 08:00:00 to 09:00:00", "before-start 06:00:00 to 07:59:59.999"}},
		{"who reads from entry 0 covers all the past", log(func(l *Log) { l.Start = 0 }), at("00:00:00"), at("09:00:00"), true,
			[]string{"covered 00:00:00 to 09:00:00"}},
		{"a start whose time was not kept counts from the first head that is known", log(func(l *Log) {
			l.Since = time.Time{}
			l.Marks = []Mark{NewMark(100, at("08:29:00"), at("08:30:00")), NewMark(400, at("10:00:00"), at("10:00:01"))}
		}), at("08:00:00"), at("09:00:00"), false,
			[]string{"covered 08:30:00.001 to 09:00:00", "before-start 08:00:00 to 08:30:00"}},
		{"and without any such head, from now", log(func(l *Log) { l.Since, l.VerifiedAs = time.Time{}, Mark{} }), at("08:00:00"), at("09:00:00"), false,
			[]string{"before-start 08:00:00 to 09:00:00", "not-yet-read 08:00:00 to 09:00:00"}},
		{"a log never read covers nothing", &Log{Name: "new"}, at("08:00:00"), at("09:00:00"), false,
			[]string{"never-read 08:00:00 to 09:00:00"}},
		{"a log that lags is covered as far as it is verified", log(func(l *Log) {
			l.Verified, l.VerifiedAs = 500, NewMark(500, at("10:00:00"), at("10:00:05"))
		}), at("09:00:00"), at("11:00:00"), false,
			[]string{"covered 09:00:00 to 09:59:00", "not-merged 09:59:00.001 to 10:00:00", "not-yet-read 10:00:00.001 to 11:00:00"}},
		{"a log that was not asked for long is not covered since", log(func(l *Log) {
			l.HeadAt, l.HeadTime, l.VerifiedAs = at("10:00:05"), at("10:00:00"), NewMark(1000, at("10:00:00"), at("10:00:05"))
		}), at("09:30:00"), at("11:00:00"), false,
			[]string{"covered 09:30:00 to 09:59:00", "not-merged 09:59:00.001 to 10:00:00", "not-yet-read 10:00:00.001 to 11:00:00"}},
		{"a gap between known heads is an exception between their times", log(func(l *Log) {
			l.Gaps = []Range{{From: 256, To: 512, Why: "404"}}
			l.Marks = []Mark{NewMark(200, at("09:00:00"), at("09:00:01")), NewMark(600, at("09:30:00"), at("09:30:01"))}
		}), at("08:30:00"), at("11:00:00"), false,
			[]string{"covered 08:30:00 to 08:59:00", "covered 09:30:01.001 to 11:00:00", "gap 08:59:00.001 to 09:30:01"}},
		{"a gap of which no head tells the time may be anywhere up to the first head behind it", log(func(l *Log) { l.Gaps = []Range{{From: 256, To: 512}} }),
			at("09:00:00"), at("11:00:00"), false, []string{"gap 09:00:00 to 11:00:00"}},
		{"a head dated into the future covers no more than our clock", log(func(l *Log) {
			l.VerifiedAs = NewMark(1000, noon.Add(24*time.Hour), noon)
		}), at("11:59:30"), noon, true,
			[]string{"not-merged 11:59:30 to 12:00:00"}},
		{"nor does one that came before its date", log(func(l *Log) {
			l.VerifiedAs, l.HeadTime, l.HeadAt = NewMark(1000, at("11:30:00"), at("10:30:00")), at("11:30:00"), at("10:30:00")
		}), at("10:00:00"), at("11:00:00"), false,
			[]string{"covered 10:00:00 to 10:29:00", "not-merged 10:29:00.001 to 10:30:00", "not-yet-read 10:30:00.001 to 11:00:00"}},
		{"a log that has ended promises nothing more", log(func(l *Log) { l.Closed, l.HeadAt = true, at("08:00:00") }), at("11:00:00"), noon, true,
			[]string{"covered 11:00:00 to 12:00:00"}},
		{"of the future nothing is said", log(), at("11:00:00"), noon.Add(time.Hour), true,
			[]string{"covered 11:00:00 to 11:58:55", "not-merged 11:58:55.001 to 12:00:00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := State([]Log{*tt.log}, tt.from, tt.to, noon)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, said(s)); diff != "" || s.Whole != tt.whole {
				t.Errorf("whole: %v, want %v (-want +got)\n%s", s.Whole, tt.whole, diff)
			}
			for _, e := range s.Logs[0].Except {
				if e.Text == "" {
					t.Errorf("%s without a text", e.Reason)
				}
			}
		})
	}
	if _, err := State(nil, noon, noon.Add(-time.Second), noon); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty span: %v", err)
	}
	if _, err := State(nil, noon.Add(time.Second), noon.Add(time.Hour), noon); err == nil {
		t.Error("a span in the future is no mistake")
	}
}

// world is a log of which all is known: when each entry was promised, and in which order the log merged them within its
// delay. It keeps both rules of RFC 6962.
type world struct {
	mmd    time.Duration
	stamps []time.Time // of entries by index
	merged []time.Time
}

// TestTheStatementIsTrue draws honest logs, and readers that began somewhere, owe something and are verified to some
// head, and checks every entry against the statement.
func TestTheStatementIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		begin := noon.Add(-2 * time.Hour)
		w := world{mmd: time.Duration(rapid.IntRange(1, 1200).Draw(t, "mmd")) * time.Second}
		at := begin
		for range rapid.IntRange(1, 60).Draw(t, "entries") {
			at = at.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "step")) * time.Second)
			w.merged = append(w.merged, at)
			w.stamps = append(w.stamps, at.Add(-time.Duration(rapid.IntRange(0, int(w.mmd/time.Second)).Draw(t, "delay"))*time.Second))
		}
		// A head at a time is of all that was merged by then.
		headAt := func(h time.Time) (n uint64) {
			for _, m := range w.merged {
				if !m.After(h) {
					n++
				}
			}
			return n
		}
		when := func(label string) time.Time {
			return begin.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, label)) * time.Second)
		}
		startHead, lastHead := when("start"), when("verified")
		if lastHead.Before(startHead) {
			startHead, lastHead = lastHead, startHead
		}
		l := Log{Begun: true, MMD: w.mmd, Start: headAt(startHead), Since: startHead.Add(tick), Verified: headAt(lastHead), VerifiedAs: NewMark(headAt(lastHead), lastHead, lastHead)}
		if rapid.Bool().Draw(t, "from date") {
			// Some date, and a start such that nothing later stands before it.
			l.Since = when("date")
			l.Start = l.Verified
			for i := len(w.stamps) - 1; i >= 0; i-- {
				if uint64(i) < l.Start && !w.stamps[i].Before(l.Since) {
					l.Start = uint64(i)
				}
			}
		}
		l.Head, l.HeadTime, l.HeadAt, l.Position = l.Verified, lastHead, lastHead, l.Verified
		for range rapid.IntRange(0, 4).Draw(t, "marks") {
			h := when("mark")
			if !h.After(lastHead) {
				l.Marks = append(l.Marks, NewMark(headAt(h), h, h.Add(time.Second)))
			}
		}
		if n := l.Verified - l.Start; n > 2 {
			from := l.Start + uint64(rapid.IntRange(0, int(n)-1).Draw(t, "gap"))
			l.Gaps = []Range{{From: from, To: min(l.Verified, from+uint64(rapid.IntRange(1, 5).Draw(t, "gap length")))}}
		}
		from, to := when("from"), when("to")
		if to.Before(from) {
			from, to = to, from
		}
		s, err := State([]Log{l}, from, to, noon)
		if err != nil {
			t.Fatal(err)
		}
		read := func(i uint64) bool {
			for _, g := range l.Gaps {
				if i >= g.From && i < g.To {
					return false
				}
			}
			return i >= l.Start && i < l.Verified
		}
		for i, ts := range w.stamps {
			for _, c := range s.Logs[0].Covered {
				if !ts.Before(c.From) && !ts.After(c.To) && !read(uint64(i)) {
					t.Fatalf("entry %d of %s was not read, and %s to %s is said to be covered: %+v", i, ts, c.From, c.To, s)
				}
			}
		}
		// Covered and exceptions are the whole span.
		for p := from; !p.After(to); p = p.Add(7 * time.Second) {
			in := 0
			for _, c := range s.Logs[0].Covered {
				if !p.Before(c.From) && !p.After(c.To) {
					in++
				}
			}
			for _, e := range s.Logs[0].Except {
				if !p.Before(e.From) && !p.After(e.To) {
					in++
				}
			}
			if in == 0 {
				t.Fatalf("nothing is said of %s: %+v", p, s)
			}
		}
	})
}
