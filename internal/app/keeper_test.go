package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/process"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// fakeLog is a log that grows, is read, and has moods.
type fakeLog struct {
	name, operator string
	growth, rate   float64 // per second
	down           bool    // does not answer
	leaving        bool    // is no longer listed
	ahead          time.Duration
	size, position float64
	headAt         time.Time
	lastErr        time.Time
}

func (f *fakeLog) step(d time.Duration, now time.Time) {
	f.size += f.growth * d.Seconds()
	if f.down {
		f.lastErr = now
		return
	}
	f.position = min(f.size, f.position+f.rate*d.Seconds())
	f.headAt = now
}

func (f *fakeLog) look() logLook {
	seen := f.size
	if f.down {
		seen = f.position
	}
	g := logLook{Log: coverage.Log{
		Name: f.name, ID: f.name, Operator: f.operator, MMD: time.Minute, Begun: true, Start: 10, Since: f.headAt.Add(-365 * 24 * time.Hour),
		Head: uint64(seen), HeadTime: f.headAt.Add(f.ahead), HeadAt: f.headAt, Position: uint64(f.position), Verified: uint64(f.position),
		VerifiedAs: coverage.NewMark(uint64(f.position), f.headAt.Add(-time.Duration((seen-f.position)/f.growth)*time.Second), f.headAt), Rate: f.rate, Growth: f.growth,
	}}
	g.leaving = f.leaving
	if f.growth > f.rate {
		g.CatchUp = -1
	}
	if f.down {
		g.unreachable, g.Trouble = true, "connection refused"
	}
	g.beat = fmt.Sprint(f.headAt, f.position, f.lastErr)
	return g
}

// days is a world of fake logs in which the keeper looks every quarter of a minute, as the daemon does.
type days struct {
	t       *testing.T
	k       *keeper
	logs    []*fakeLog
	begin   time.Time
	shift   time.Duration // of the wall clock
	boot    time.Duration // slept
	waiting map[string]store.OutboxCounts
	store   error
	more    []health.Observation
	usage   process.Usage
	told    []string // "time told|over code subject"
	notices []string
	silent  map[string]bool // stations that do not beat
}

func newDays(t *testing.T, logs ...*fakeLog) *days {
	for _, l := range logs {
		l.size, l.position, l.headAt = 1e6, 1e6, time.Now()
	}
	return &days{t: t, k: &keeper{receivers: []string{"oncall"}}, logs: logs, begin: time.Now(), silent: map[string]bool{}}
}

// run lets time pass.
func (d *days) run(span time.Duration) {
	d.t.Helper()
	for end := time.Now().Add(span); time.Now().Before(end); {
		before := time.Now().UTC().Add(-noticeAfter)
		time.Sleep(lookEvery)
		now := time.Now() // its monotonic part is what counts; heads differ from it by what the wall clock is wrong
		for _, s := range []string{decideStation, outboxStation("oncall")} {
			if !d.silent[s] {
				d.k.pulses.Beat(s, time.Now(), 5*time.Minute)
			}
		}
		l := look{now: now, clock: health.Reading{Wall: now.Add(d.shift), Mono: time.Since(d.begin), Boot: time.Since(d.begin) + d.boot}, waiting: d.waiting, store: d.store, usage: d.usage, more: d.more}
		for _, f := range d.logs {
			f.step(lookEvery, now)
			l.logs = append(l.logs, f.look())
		}
		open, events := d.k.observe(l)
		d.k.settle(open)
		for _, e := range events {
			what := "told"
			if e.Resolved {
				what = "over"
			}
			if e.Level == health.Alarm && !e.Resolved {
				what = "ALARM"
			}
			d.told = append(d.told, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", time.Since(d.begin).Round(time.Minute), what, e.Code, e.Subject)))
		}
		if after := time.Now().UTC().Add(-noticeAfter); after.YearDay() != before.YearDay() && after.After(d.begin) {
			v, open := d.k.now()
			n, err := newNotice(after.Truncate(24*time.Hour).Add(-24*time.Hour), now, v, open)
			if err != nil {
				d.t.Fatal(err)
			}
			d.notices = append(d.notices, n.Text())
		}
	}
}

func steadyLogs() []*fakeLog {
	return []*fakeLog{
		{name: "A1", operator: "A", growth: 50, rate: 1000},
		{name: "B1", operator: "B", growth: 50, rate: 1000},
		{name: "C1", operator: "C", growth: 50, rate: 1000},
		{name: "C2", operator: "C", growth: 50, rate: 1000},
	}
}

func (d *days) expect(told ...string) {
	d.t.Helper()
	if diff := cmp.Diff(told, d.told); diff != "" {
		d.t.Errorf("told (-want +got)\n%s", diff)
	}
}

func TestADayOnWhichAllIsWellIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, steadyLogs()...)
		d.run(72*time.Hour + time.Hour)
		d.expect()
		for i, n := range d.notices {
			if n != fmt.Sprintf("COVERAGE 2000-01-%02d: all of 4 logs of 3 operators was read and verified; nothing is wrong", i+1) {
				t.Errorf("%s", n)
			}
		}
		if len(d.notices) != 3 {
			t.Errorf("%d notices in 3 days", len(d.notices))
		}
	})
}

// D12: the daily notice names each log that is not covered, and each trouble.
func TestD12TheNoticeNamesTheLogsThatAreNotCovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := steadyLogs()
		d := newDays(t, logs...)
		d.run(2 * time.Hour)
		logs[1].down, logs[3].down = true, true
		d.run(2 * 24 * time.Hour)
		if len(d.notices) == 0 {
			t.Fatal("no notice in two days")
		}
		last := d.notices[len(d.notices)-1]
		for i, l := range logs {
			if named := strings.Contains(last, "not covered: "+l.name+": blind"); named != l.down {
				t.Errorf("log %d, down %v, is named %v in: %s", i, l.down, named, last)
			}
		}
	})
}

func TestALogThatGrowsFasterThanItMayBeReadIsOneLineADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := append(steadyLogs(), &fakeLog{name: "D1", operator: "D", growth: 130, rate: 44})
		d := newDays(t, logs...)
		d.run(5 * 24 * time.Hour)
		d.expect() // no incident at all
		if len(d.notices) != 4 {
			t.Fatalf("%d notices", len(d.notices))
		}
		for i, n := range d.notices {
			lines := strings.Split(n, "\n")
			of := 0
			for _, l := range lines {
				if strings.Contains(l, "D1") {
					of++
				}
			}
			if len(lines) != 3 || of != 1 || !strings.HasPrefix(lines[1], "  not covered: D1: uncovered: it grows by 130/s and may be read at 44/s: ") || !strings.HasSuffix(lines[1], "entries are owed, more every day") {
				t.Errorf("notice %d: %s", i, n)
			}
			if !strings.Contains(lines[0], ": 4 of 5 logs were read and verified whole; 4 operators are seen") {
				t.Errorf("notice %d: %s", i, lines[0])
			}
		}
	})
}

func TestEachTroubleOfADayIsToldOnceAndResolvesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, steadyLogs()...)
		d.run(2 * time.Hour)
		d.logs[2].down = true // one log of C
		d.run(3 * time.Hour)
		d.logs[3].down = true // the other
		d.run(3 * time.Hour)
		d.waiting = map[string]store.OutboxCounts{"oncall": {Pending: 3, Failing: 1, Oldest: time.Now()}}
		d.run(2 * time.Hour)
		d.logs[2].down, d.logs[3].down = false, false
		d.run(2 * time.Hour)
		d.waiting = nil
		d.run(8 * time.Hour)
		d.expect("3h0m0s told log-blind C1", "6h0m0s told operator-blind C", "8h15m0s told receiver-down oncall",
			"10h10m0s over operator-blind C", "10h10m0s over log-blind C1", "12h1m0s over receiver-down oncall")
	})
}

func TestOnlyBlindnessRings(t *testing.T) {
	t.Run("when no log answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDays(t, steadyLogs()...)
			d.run(time.Hour)
			for _, l := range d.logs {
				l.down = true
			}
			d.run(5 * time.Hour)
			for _, l := range d.logs {
				l.down = false
			}
			d.run(time.Hour)
			d.expect("1h10m0s told offline", "2h0m0s ALARM blind", "6h2m0s over offline", "6h5m0s over blind")
		})
	})
	t.Run("when one operator of three is left", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDays(t, steadyLogs()...)
			d.run(time.Hour)
			d.logs[0].down, d.logs[1].down = true, true
			d.run(2 * time.Hour)
			d.expect("2h0m0s ALARM blind", "2h0m0s told operator-blind A", "2h0m0s told operator-blind B")
			v, _ := d.k.now()
			if !strings.Contains(v.sight.Why, "only 1 operator is seen, and 2 must be; nothing new is seen of A, B") {
				t.Error(v.sight.Why)
			}
		})
	})
	t.Run("when nothing is decided any more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDays(t, steadyLogs()...)
			d.run(time.Hour)
			d.silent[decideStation] = true
			d.run(time.Hour)
			d.expect("1h5m0s ALARM blind", "1h5m0s told stuck the decider")
			d.silent[decideStation] = false
			d.run(time.Hour)
			d.expect("1h5m0s ALARM blind", "1h5m0s told stuck the decider", "2h1m0s over stuck the decider", "2h5m0s over blind")
		})
	})
	t.Run("when nobody is told any more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDays(t, steadyLogs()...)
			d.run(time.Hour)
			d.silent[outboxStation("oncall")] = true
			d.run(time.Hour)
			d.expect("1h5m0s ALARM blind", "1h5m0s told stuck the outbox of oncall")
		})
	})
}

func TestBlindnessOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, steadyLogs()...)
		d.run(time.Hour)
		for _, l := range d.logs {
			l.down = true
		}
		d.run(2 * time.Hour)
		kept := rows(d.k.open)
		d.k = &keeper{receivers: []string{"oncall"}}
		if err := d.k.recall(kept); err != nil {
			t.Fatal(err)
		}
		d.run(3 * time.Hour)
		d.expect("1h10m0s told offline", "2h0m0s ALARM blind") // and no word of the restart
		for _, l := range d.logs {
			l.down = false
		}
		d.run(time.Hour)
		d.expect("1h10m0s told offline", "2h0m0s ALARM blind", "6h2m0s over offline", "6h5m0s over blind")
	})
}

func TestClocks(t *testing.T) {
	for _, shift := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		t.Run(fmt.Sprintf("set by %s", shift), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDays(t, steadyLogs()...)
				d.run(2 * time.Hour)
				d.shift = shift
				for _, l := range d.logs {
					l.ahead = -shift // the logs know the time
				}
				d.run(4 * time.Hour)
				want := []string{"2h0m0s told clock-set", "2h5m0s told clock-behind"}
				if shift > 0 {
					// Every head is now older than a log may leave it: nothing is seen.
					want = []string{"2h0m0s told clock-set", "2h10m0s told clock-ahead"}
				}
				for _, w := range want {
					if !contains(d.told, w) {
						t.Errorf("%q was not told: %q", w, d.told)
					}
				}
				for _, l := range d.told {
					if strings.Contains(l, "stuck") || strings.Contains(l, "blind") {
						t.Errorf("told: %s", l)
					}
				}
				d.shift = 0
				for _, l := range d.logs {
					l.ahead = 0
				}
				d.run(2 * time.Hour)
				_, open := d.k.now()
				for _, o := range open {
					if o.Code != health.ClockSet {
						t.Errorf("still wrong: %s", o.Text())
					}
				}
			})
		})
	}
	t.Run("a laptop that slept is no incident", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDays(t, steadyLogs()...)
			d.run(2 * time.Hour)
			d.shift, d.boot = 8*time.Hour, 8*time.Hour
			d.run(2 * time.Hour)
			d.expect()
			_, open := d.k.now()
			if len(open) != 1 || !strings.HasPrefix(open[0].Text(), "tocsin did not run for 8h0m0s, since the machine slept, until ") {
				t.Errorf("%+v", open)
			}
		})
	})
	t.Run("one log that dates its heads into the future stands in the notice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDays(t, steadyLogs()...)
			d.logs[0].ahead = time.Hour
			d.run(30 * time.Hour)
			d.expect()
			if n := d.notices[len(d.notices)-1]; !strings.Contains(n, "wrong: A1: its newest head is dated ") {
				t.Error(n)
			}
		})
	})
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func TestWhatRunsOutIsToldBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, steadyLogs()...)
		d.run(time.Hour)
		d.usage = process.Usage{DiskFree: 1 << 29, DiskSize: 100 << 30, RSS: 900, MemoryLimit: 1000, Files: 900, FilesLimit: 1000}
		d.run(time.Hour)
		d.usage = process.Usage{}
		d.run(time.Hour)
		d.expect("1h1m0s told disk-low", "1h1m0s told files-high", "1h5m0s told memory-high", "2h10m0s over disk-low", "2h10m0s over memory-high", "2h10m0s over files-high")
	})
}

func TestAStateFileThatCannotBeWrittenIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, steadyLogs()...)
		d.run(time.Hour)
		d.store = errors.New("the disk is full")
		d.run(time.Hour)
		d.store = &store.CorruptError{Path: "x", Err: errors.New("page 7")}
		d.run(time.Hour)
		d.store = &store.RiskError{Path: "x", Problem: "was removed"}
		d.run(time.Hour)
		d.expect("1h1m0s told store-failing", "2h0m0s told store-damaged", "2h1m0s over store-failing", "3h0m0s told store-at-risk", "3h10m0s over store-damaged")
	})
}

func TestAConfigurationThatIsNotInForceIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDays(t, steadyLogs()...)
		says := ""
		d.run(time.Hour)
		for _, says = range []string{"", "x.yaml was changed in poll; restart tocsin to take it over", ""} {
			d.more = pending(func() string { return says })
			d.run(time.Hour)
		}
		d.expect("2h1m0s told config-pending", "3h1m0s over config-pending")
	})
}

func TestEachConditionOfALogIsATroubleOfTheTable(t *testing.T) {
	known := map[string]bool{}
	for _, k := range health.Kinds() {
		known[k.Code] = true
	}
	n := 0
	for _, k := range ctlog.Kinds() {
		if !k.Accuses {
			if n++; !known[health.LogCondition+k.Name] {
				t.Errorf("%s is not in the table of package health", k.Name)
			}
		}
	}
	if n == 0 {
		t.Error("no condition")
	}
}

func TestALogThatLeftTheListsMayGoDark(t *testing.T) {
	for _, leaving := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log := func(name string) *fakeLog { return &fakeLog{name: name, operator: "of " + name, growth: 1, rate: 1} }
			gone := log("gone")
			d := newDays(t, log("a"), log("b"), log("c"), gone)
			d.run(time.Hour)
			gone.leaving, gone.down = leaving, true
			d.run(6 * time.Hour)
			if told := strings.Contains(strings.Join(d.told, "\n"), "gone"); told == leaving {
				t.Errorf("leaving %v: told %q", leaving, d.told)
			}
		})
	}
}
