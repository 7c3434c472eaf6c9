package health

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func sees(code, subject, group string) Observation {
	return Observation{Code: code, Subject: subject, Group: group, Args: Args{"why": "test"}}
}

// story steps through minutes in which these observations are made and returns what was told, as "minute code subject".
func story(t *testing.T, minutes int, seen func(minute int) []Observation) (told []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var open []Trouble
		for m := range minutes {
			var events []Event
			open, events = Step(open, seen(m), time.Now())
			for _, e := range events {
				what := "told"
				if e.Resolved {
					what = "over"
				}
				told = append(told, strings.TrimSpace(strings.Join([]string{time.Since(begin).String(), what, e.Code, e.Subject}, " ")))
			}
			if m%7 == 3 { // as over a restart
				b, err := json.Marshal(open)
				if err != nil {
					t.Fatal(err)
				}
				open = nil
				if err := json.Unmarshal(b, &open); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
	})
	return told
}

func TestTroublesAreToldOnceAndResolvedOnce(t *testing.T) {
	between := func(from, to int, o ...Observation) func(int) []Observation {
		return func(m int) []Observation {
			if m >= from && m < to {
				return o
			}
			return nil
		}
	}
	both := func(a, b func(int) []Observation) func(int) []Observation {
		return func(m int) []Observation { return append(slices.Clone(a(m)), b(m)...) }
	}
	receiver, log, operator := sees(ReceiverDown, "oncall", ""), sees(LogDark, "A1", "A"), sees(OperatorDark, "A", "")
	tests := []struct {
		name string
		seen func(int) []Observation
		want []string
	}{
		{"what is good says nothing", between(0, 0), nil},
		{"what lasts less than its time to visible is never told", between(0, 15, receiver), nil},
		{"what lasts is told once, when it becomes visible, and once when it is over", between(10, 600, receiver),
			[]string{"25m0s told receiver-down oncall", "10h1m0s over receiver-down oncall"}},
		{"what flaps is told once and over once", func(m int) []Observation {
			if m < 300 && m%5 != 0 {
				return []Observation{log}
			}
			return nil
		}, []string{"1m0s told log-blind A1", "5h10m0s over log-blind A1"}},
		{"what follows from another trouble is not told while that lasts", both(between(0, 100, log), between(0, 100, operator)),
			[]string{"0s told operator-blind A", "1h50m0s over operator-blind A"}},
		{"and is told when it remains", both(between(0, 200, log), between(0, 100, operator)),
			[]string{"0s told operator-blind A", "1h40m0s told log-blind A1", "1h50m0s over operator-blind A", "3h30m0s over log-blind A1"}},
		{"the trouble of another operator holds nothing back", both(between(0, 100, log), between(0, 100, sees(OperatorDark, "B", ""))),
			[]string{"0s told operator-blind B", "0s told log-blind A1", "1h50m0s over operator-blind B", "1h50m0s over log-blind A1"}},
		{"own blindness is held back by nothing", both(between(0, 100, sees(BlindWhole, "", "")), between(0, 100, sees(Offline, "", ""))),
			[]string{"0s told blind", "10m0s told offline", "1h42m0s over offline", "1h45m0s over blind"}},
		{"what cannot be told now stays as it is", func(m int) []Observation {
			o := log
			o.Unknown = m >= 10 && m < 300
			if m < 320 {
				return []Observation{o}
			}
			return nil
		}, []string{"0s told log-blind A1", "5h30m0s over log-blind A1"}},
		{"and goes on getting good", func(m int) []Observation {
			o := log
			o.Unknown = m >= 12
			if m == 10 || m == 11 {
				return nil
			}
			return []Observation{o}
		}, []string{"0s told log-blind A1", "20m0s over log-blind A1"}},
		{"what was never seen bad is no trouble when it is unknown", func(int) []Observation {
			o := log
			o.Unknown = true
			return []Observation{o}
		}, nil},
		{"what stands in the daily notice is not told by itself", between(0, 300, sees(LogOutgrown, "A1", "A")), nil},
		{"a clock that was set is told, and not told to be over", between(5, 6, sees(ClockSet, "", "")), []string{"5m0s told clock-set"}},
		{"a code of a newer version does not ring", between(0, 300, sees("brand-new", "x", "")), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, story(t, 2000, tt.seen)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAClockThatWasSetBackStopsNoTrouble(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	open, _ := Step(nil, []Observation{sees(ReceiverDown, "r", "")}, now)
	now = now.Add(-24 * time.Hour)
	open, _ = Step(open, []Observation{sees(ReceiverDown, "r", "")}, now)
	if _, events := Step(open, []Observation{sees(ReceiverDown, "r", "")}, now.Add(15*time.Minute)); len(events) != 1 {
		t.Errorf("told: %+v", events)
	}
}

func TestAnyHistoryTellsInTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
		var open []Trouble
		told := map[string]bool{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			var seen []Observation
			for _, k := range kinds {
				if rapid.IntRange(0, 3).Draw(t, k.Code) == 0 {
					seen = append(seen, Observation{Code: k.Code, Subject: "s", Group: "g", Unknown: rapid.IntRange(0, 5).Draw(t, "unknown") == 0})
				}
			}
			before := len(open)
			var events []Event
			next, events := Step(open, seen, now)
			if len(open) != before {
				t.Fatal("the open troubles were changed")
			}
			open = next
			for _, e := range events {
				if e.Level == Daily {
					t.Fatalf("%s is told", e.Code)
				}
				if told[e.Code] == e.Resolved {
					told[e.Code] = !e.Resolved
					continue
				}
				if !e.Kind().Momentary {
					t.Fatalf("%s: told %v, and now resolved %v", e.Code, told[e.Code], e.Resolved)
				}
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 1200).Draw(t, "wait")) * time.Second)
		}
	})
}

func TestTheTableHolds(t *testing.T) {
	doc, err := os.ReadFile("../../docs/coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if seen[k.Code] || k.Code == "" || k.Title == "" || k.Template == "" {
			t.Errorf("%q is twice or incomplete", k.Code)
		}
		seen[k.Code] = true
		if k.TimeToResolve <= 0 {
			t.Errorf("%s is over at once: it could flap", k.Code)
		}
		if (k.Level == Alarm) != (k.Code == BlindWhole || k.Code == Unseen) {
			t.Errorf("%s has level %s: only blindness rings, and the sign of it", k.Code, k.Level)
		}
		for _, d := range k.DependsOn {
			if d == BlindWhole {
				t.Errorf("blindness holds back %s", k.Code)
			}
			if rank(d) >= rank(k.Code) {
				t.Errorf("%s depends on %s, which does not stand before it", k.Code, d)
			}
		}
		if k.Code == BlindWhole && len(k.DependsOn) > 0 {
			t.Error("something holds blindness back")
		}
		if !regexp.MustCompile("(?m)^\\| `" + k.Code + "` \\|").Match(doc) {
			t.Errorf("docs/coverage.md does not describe %s", k.Code)
		}
	}
}

func TestTexts(t *testing.T) {
	trouble := Trouble{Code: ReceiverDown, Subject: "{count}", Args: Args{"count": "3", "since": "noon"}}
	if got, want := trouble.Text(), "the receiver {count} does not take messages: 3 wait, the oldest since noon"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	unknown := Trouble{Code: "brand-new", Subject: "x"}
	if got := unknown.Text(); got != "brand-new x" {
		t.Errorf("%q", got)
	}
	a := Event{Trouble: Trouble{Code: "c", Since: time.Unix(1e9, 5)}}
	b := Event{Trouble: Trouble{Code: "c", Since: time.Unix(1e9, 0).UTC()}, Resolved: true}
	if a.Key() == b.Key() || !strings.HasPrefix(a.Key(), "c\x00\x002001-09-09T01:46:40Z") {
		t.Errorf("%q %q", a.Key(), b.Key())
	}
}

func TestAStationThatDoesNotBeatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pulses
		if got := p.Stuck(time.Now()); got != nil {
			t.Errorf("%v", got)
		}
		p.Beat("outbox", time.Now(), 5*time.Minute)
		p.Beat("decider", time.Now(), time.Minute)
		p.Beat("log A", time.Now(), time.Second)
		p.Ended("log A")
		time.Sleep(time.Minute)
		if got := p.Stuck(time.Now()); got != nil {
			t.Errorf("stuck within its patience: %v", got)
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff([]Silence{{"decider", 61 * time.Second}}, p.Stuck(time.Now())); diff != "" {
			t.Error(diff)
		}
		p.Beat("decider", time.Now(), time.Minute)
		if got := p.Stuck(time.Now()); got != nil {
			t.Errorf("it beats again, and is stuck: %v", got)
		}
	})
}
