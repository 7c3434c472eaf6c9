package siege

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/loglist"
)

// toldOnce are the messages of the day, each once: what they begin with.
var toldOnce = []string{
	`LIST +appeared: .*log 6`,
	`LIST +unreachable: `, `LIST +resolved: `,
	`TROUBLE receiver-down: .* mortal `, `RESOLVED receiver-down: .* mortal `,
	`TROUBLE log-blind: log 1: `, `RESOLVED log-blind: log 1: `,
	`LIST +changed: .* log 4: `, `LIST +final: log 4 `,
	`LIST +leaving: .*log 2`, `LIST +closed: log 2 `,
	`FAULT forked of log 5: `, `FAULT wrong-root of log 5: `,
	`TROUBLE operator-blind: .*Operator 2 `, `RESOLVED operator-blind: .*Operator 2 `,
	`TROUBLE log-blind: log 0: `, `RESOLVED log-blind: log 0: `,
	`COVERAGE 2000-01-01: `,
}

// Each trouble of a day is told once, when it has lasted for its patience, and once more when it is over; and meanwhile
// every certificate rings.
func TestTwentyFourHoursInWhichEachTroubleIsToldOnceAndResolvedByItself(t *testing.T) {
	if testing.Short() {
		t.Skip("a day takes some seconds: not in a short run")
	}
	stock, err := NewStock(52, 20)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Seed: 24, Dir: t.TempDir(), Stock: stock, Logs: 8, Span: 26 * time.Hour, Schedules: make([]fault.Schedule, 8)}
	for n, text := range map[int]string{1: "down@8h-10h", 5: "wrong-root@16h-18h", 0: "too-many@19h-21h", 3: "skew=3@1h-23h", 7: "slow=2s+partials-gone@0s-23h"} {
		step, err := fault.ParseStep(text)
		if err != nil {
			t.Fatal(err)
		}
		o.Schedules[n] = fault.Schedule{step}
	}
	const h = time.Hour
	list := func(n int, s loglist.State) func(*day) { return func(d *day) { d.listed(n, s) } }
	events := []Event{
		{0, "a shard is not listed yet", list(6, loglist.None)},
		{3 * h, "the shard is listed", list(6, loglist.Usable)},
		{5 * h, "the list cannot be had", func(d *day) { d.publisher.goes(true) }},
		{6 * h, "a receiver dies", func(d *day) { d.told[1].dies(true) }},
		{11 * h, "the list can be had", func(d *day) { d.publisher.goes(false) }},
		{12 * h, "the receiver lives", func(d *day) { d.told[1].dies(false) }},
		{14 * h, "a log becomes read-only", list(4, loglist.ReadOnly)},
		{15 * h, "a log retires", list(2, loglist.Retired)},
	}
	synctest.Test(t, func(t *testing.T) {
		r, told, err := Day(t.Context(), o, events)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := r.Judge(); len(wrong) > 0 {
			t.Error(strings.Join(wrong, "\n"))
		}
		for _, want := range toldOnce {
			n := 0
			for _, m := range told {
				if regexp.MustCompile("^" + want).MatchString(m.Text) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("told %d times: %s", n, want)
			}
		}
		for _, m := range told {
			if !slices.ContainsFunc(toldOnce, func(want string) bool { return regexp.MustCompile("^" + want).MatchString(m.Text) }) {
				t.Errorf("told as well: %s", m.Text)
			}
			t.Logf("%5.1f h  %.150s", m.At.Hours(), m.Text)
		}
		if c := r.coverage(r.Logs[6]); c.State != "live" || c.Start != 0 || c.Verified != r.Logs[6].seq.Size() {
			t.Errorf("the shard that appeared: %+v", c)
		}
		if c, size := r.coverage(r.Logs[4]), r.Logs[4].seq.Size(); c.State != "closed" || c.Verified != size || c.Owed > 0 {
			t.Errorf("the read-only log of %d entries: %+v", size, c)
		}
		if c, size := r.coverage(r.Logs[2]), r.Logs[2].seq.Size(); c.State != "closed" || !strings.Contains(c.Note, fmt.Sprintf("verified to its last head, of %d entries", size)) {
			t.Errorf("the log of %d entries that retired: %+v", size, c)
		}
	})
}
