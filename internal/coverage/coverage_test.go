package coverage

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// at is a time of the day of the tests.
func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-11-25 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// log is a static log that was read from entry 100 on since 08:00 and is verified to its newest head of noon.
func log(change ...func(*Log)) *Log {
	l := &Log{
		Name: "Lab A", Operator: "Lab", MMD: time.Minute, Begun: true, Start: 100, Since: at("08:00:00"),
		Head: 1000, HeadTime: noon.Add(-5 * time.Second), HeadAt: noon, Position: 1000, Verified: 1000,
		VerifiedAs: NewMark(1000, noon.Add(-5*time.Second), noon),
		Progress:   noon, Watched: at("08:00:00"),
	}
	for _, c := range change {
		c(l)
	}
	return l
}

func TestGrades(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Log)
		want   Grade
		why    string
	}{
		{"a log that is verified to its newest head is live", func(*Log) {}, Live, "verified to its newest head"},
		{"a log of which nothing was seen yet is lagging, not blind", func(l *Log) { *l = Log{Watched: noon.Add(-time.Minute)} }, Lagging, "no head was seen yet"},
		{"nor is it live when it has a head and no start", func(l *Log) { l.Begun = false }, Lagging, ""},
		{"entries that are owed make it lag, with the time to catch up", func(l *Log) { l.Head, l.CatchUp = 4000, 90*time.Second }, Lagging, "3000 entries are owed, caught up in 1m30s"},
		{"a rate that is not known yet promises no time", func(l *Log) { l.Head = 4000 }, Lagging, "3000 entries are owed, time to catch up not known yet"},
		{"a rate that is less than the growth for the moment cries no wolf", func(l *Log) { l.Head, l.CatchUp = 4000, -1 }, Lagging, "at the present rate they get no fewer"},
		{"a log that outgrows the reading is uncovered, and says how much", func(l *Log) {
			l.Head, l.CatchUp, l.Outgrows, l.Rate, l.Growth = 4000, -1, true, 44, 130
		}, Uncovered, "it grows by 130/s and may be read at 44/s: 3000 entries are owed, more every day"},
		{"a gap is uncovered, whatever is read behind it", func(l *Log) { l.Gaps = []Range{{From: 200, To: 456, Why: "404"}} }, Uncovered, "256 entries are owed that the log does not give"},
		{"read and not verified is lagging", func(l *Log) { l.Position, l.Verified, l.Head = 1000, 900, 1000 }, Lagging, "0 entries are owed, the root is being verified"},
		{"an hour without progress is within the patience", func(l *Log) { l.Progress = noon.Add(-time.Hour) }, Live, ""},
		{"a log that takes a week to merge has seven hours", func(l *Log) {
			l.MMD, l.Watched, l.Progress = 7*24*time.Hour, noon.Add(-99*time.Hour), noon.Add(-7*time.Hour)
		}, Live, ""},
		{"and no more", func(l *Log) {
			l.MMD, l.Watched, l.Progress = 7*24*time.Hour, noon.Add(-99*time.Hour), noon.Add(-7*time.Hour-time.Second)
		}, Blind, ""},
		{"a patience that is given counts, a shorter one", func(l *Log) { l.Patience, l.Progress = time.Minute, noon.Add(-61*time.Second) }, Blind, ""},
		{"and a longer one", func(l *Log) { l.Patience, l.Progress = 5*time.Hour, noon.Add(-5*time.Hour) }, Live, ""},
		{"more is blind, since the last progress and with the cause", func(l *Log) {
			l.Progress, l.Trouble = noon.Add(-time.Hour-time.Second), "connection refused"
		}, Blind, "nothing new could be verified since 2026-11-25 10:59:59Z: connection refused"},
		{"blind counts from the start of the daemon at the earliest", func(l *Log) {
			l.Progress, l.Watched = noon.Add(-100*time.Hour), noon.Add(-time.Minute)
		}, Live, ""},
		{"a head that is never signed anew makes blind, by its age", func(l *Log) {
			l.HeadTime, l.Progress = noon.Add(-3*time.Hour), noon.Add(-2*time.Hour)
		}, Blind, "its newest head is of 2026-11-25 09:00:00Z"},
		{"blind is worse than uncovered", func(l *Log) {
			l.Gaps, l.Progress = []Range{{From: 200, To: 456}}, noon.Add(-2*time.Hour)
		}, Blind, ""},
		{"a log that has ended and was read is closed for ever", func(l *Log) { l.Closed, l.Progress = true, noon.Add(-1000*time.Hour) }, Closed, ""},
		{"but not when it owes a range", func(l *Log) {
			l.Closed, l.Progress, l.Gaps = true, noon.Add(-1000*time.Hour), []Range{{From: 200, To: 201}}
		}, Uncovered, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Assess(log(tt.change), noon)
			if got.Grade != tt.want || !strings.Contains(got.Why, tt.why) {
				t.Errorf("%s: %s; want %s: %s", got.Grade, got.Why, tt.want, tt.why)
			}
		})
	}
}

func TestAnAssessmentCountsWhatIsReadAndWhatIsOwed(t *testing.T) {
	got := Assess(log(func(l *Log) {
		l.Gaps = []Range{{From: 200, To: 456, Why: "404"}, {From: 950, To: 960, Why: "404"}}
		l.Verified, l.Position, l.Head = 900, 1000, 1300
	}), noon)
	want := Assessment{
		Grade: Uncovered, Why: "266 entries are owed that the log does not give", Owed: 256 + 10 + 300, Unverified: 90,
		OwedIn: []Range{{200, 456, "404"}, {950, 960, "404"}, {1000, 1300, "not read yet"}},
		Read:   []Range{{From: 100, To: 200}, {From: 456, To: 900}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestProgress(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Log)
		want   bool
	}{
		{"a larger verified head is progress", func(l *Log) { l.Verified++ }, true},
		{"entries read towards a signed head are progress", func(l *Log) { l.Position++ }, true},
		{"but not while what the log serves contradicts what it signed", func(l *Log) { l.Position++; l.Faulty = true }, false},
		{"the same head, asked for again, is progress", func(l *Log) { l.HeadAt = l.HeadAt.Add(time.Second) }, true},
		{"but not when it is older than the log may leave it", func(l *Log) {
			l.HeadAt, l.HeadTime = l.HeadAt.Add(time.Second), noon.Add(-2*time.Hour)
		}, false},
		{"nor when it is not verified", func(l *Log) { l.HeadAt, l.Head = l.HeadAt.Add(time.Second), 2000 }, false},
		{"nothing new is none", func(*Log) {}, false},
		{"going back is none", func(l *Log) { l.Position, l.Verified = 500, 500 }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v Vigil
			before := v.Note(log(), noon)
			after := v.Note(log(tt.change), noon.Add(time.Second))
			if got := after.After(before); got != tt.want {
				t.Errorf("progress: %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("a range that is read again is none", func(t *testing.T) {
		var v Vigil
		v.Note(log(), noon)
		want := v.Note(log(func(l *Log) { l.Position = 1500 }), noon) // read on, and not verified
		for i, p := range []uint64{1100, 1300, 1500} {
			if got := v.Note(log(func(l *Log) { l.Position = p }), noon.Add(time.Duration(i+1)*time.Second)); got != want {
				t.Errorf("progress at position %d", p)
			}
		}
	})
}

func TestWhole(t *testing.T) {
	tests := []struct {
		name  string
		logs  []Graded
		min   int
		blind bool
		why   string
	}{
		{"two operators are enough", []Graded{{"A", Live}, {"B", Lagging}}, 0, false, "2 operators are seen"},
		{"one log of an operator is enough for it", []Graded{{"A", Blind}, {"A", Uncovered}, {"B", Live}}, 0, false, "2 operators are seen"},
		{"one operator of many missing is said, and no more", []Graded{{"A", Blind}, {"B", Live}, {"C", Live}}, 0, false, "nothing new is seen of A"},
		{"two missing of many could hide a certificate, which is said", []Graded{{"A", Blind}, {"B", Blind}, {"C", Live}, {"D", Live}}, 0, false, "what is logged only with A and B is not seen"},
		{"one of two is blind", []Graded{{"A", Blind}, {"B", Live}}, 0, true, "only 1 operator is seen, and 2 must be; nothing new is seen of A"},
		{"none is blind", []Graded{{"A", Blind}, {"B", Blind}}, 0, true, "nothing new is seen of A, B"},
		{"whoever follows one operator on purpose is not told every day", []Graded{{"A", Live}}, 0, false, "1 operator is seen"},
		{"unless the config asks for more", []Graded{{"A", Live}}, 2, true, "only 1 operator is followed, fewer than coverage.min_operators (2)"},
		{"the config may ask for less", []Graded{{"A", Blind}, {"B", Live}}, 1, false, ""},
		{"logs that have ended do not count either way", []Graded{{"A", Closed}, {"B", Live}, {"C", Live}}, 0, false, "2 operators are seen"},
		{"only ended logs: nothing to see, and no wolf", []Graded{{"A", Closed}}, 0, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Whole(tt.logs, tt.min)
			if got.Blind != tt.blind || !strings.Contains(got.Why, tt.why) {
				t.Errorf("blind %v: %s; want %v: %s", got.Blind, got.Why, tt.blind, tt.why)
			}
		})
	}
}

// grow adds a minute-wise course of a log to the pace and counts how often the verdict changes.
func grow(p *Pace, from time.Time, d time.Duration, rate, growth func(minute int) float64, head, position *float64) (changes int) {
	was := p.outgrows
	for m := range int(d / time.Minute) {
		*head += growth(m) * 60
		*position = min(*head, *position+rate(m)*60)
		if got := p.Add(from.Add(time.Duration(m)*time.Minute), uint64(*head), uint64(*position)); got != was {
			was = got
			changes++
		}
	}
	return changes
}

func steady(v float64) func(int) float64 { return func(int) float64 { return v } }

func TestPaceCriesNoWolf(t *testing.T) {
	tests := []struct {
		name         string
		rate, growth func(int) float64
		outgrows     bool
		changes      int
	}{
		{"a log that allows 44/s and grows by 130 outgrows us, said once", steady(44), steady(130), true, 1},
		{"one that allows more than it grows does not", steady(200), steady(130), false, 0},
		{"equal rates do not", steady(130), steady(130), false, 0},
		{"a burst of ten minutes every two hours does not", steady(200), func(m int) float64 {
			if m%120 < 10 {
				return 1000
			}
			return 100
		}, false, 0},
		{"an outage of half an hour does not", func(m int) float64 {
			if m%600 < 30 {
				return 0
			}
			return 400
		}, steady(130), false, 0},
		{"rates that swing around each other change no verdict", func(m int) float64 { return 120 + float64(m%7)*4 }, func(m int) float64 { return 120 + float64(m%5)*5 }, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p Pace
			head, position := 1e6, 1e6
			changes := grow(&p, noon, 24*time.Hour, tt.rate, tt.growth, &head, &position)
			if p.outgrows != tt.outgrows || changes != tt.changes {
				t.Errorf("outgrows: %v after %d changes; want %v after %d", p.outgrows, changes, tt.outgrows, tt.changes)
			}
		})
	}
	t.Run("it is taken back when the reading wins", func(t *testing.T) {
		var p Pace
		head, position := 1e6, 1e6
		grow(&p, noon, 8*time.Hour, steady(44), steady(130), &head, &position)
		if changes := grow(&p, noon.Add(8*time.Hour), 12*time.Hour, steady(400), steady(130), &head, &position); p.outgrows || changes != 1 {
			t.Errorf("outgrows: %v after %d changes", p.outgrows, changes)
		}
	})
	t.Run("its rates are those of the window", func(t *testing.T) {
		var p Pace
		head, position := 1e6, 1e6
		grow(&p, noon, 7*time.Hour, steady(44), steady(130), &head, &position)
		if rate, growth, ok := p.Rates(); !ok || rate < 43.9 || rate > 44.1 || growth < 129.9 || growth > 130.1 {
			t.Errorf("%v %v %v", rate, growth, ok)
		}
	})
}

func TestThePatienceFollowsFromTheMergeDelay(t *testing.T) {
	for mmd, want := range map[time.Duration]time.Duration{
		0: time.Hour, time.Minute: time.Hour, 24 * time.Hour: time.Hour, 48 * time.Hour: 2 * time.Hour, 7 * 24 * time.Hour: 7 * time.Hour,
	} {
		if got := PatienceFor(mmd); got != want {
			t.Errorf("of %s: %s, want %s", mmd, got, want)
		}
	}
	// A head may be as old as the delay and the patience.
	l := log(func(l *Log) { l.Patience = 10 * time.Minute })
	if end := l.HeadTime.Add(l.MMD + 10*time.Minute); l.Stale(end) || !l.Stale(end.Add(time.Second)) {
		t.Error("the patience does not count for the age of a head")
	}
}
