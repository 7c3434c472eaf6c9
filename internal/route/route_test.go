package route

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

func window(t testing.TB, text string) *Window {
	t.Helper()
	w, err := ParseWindow(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var saturday = time.Date(2026, 3, 7, 9, 0, 0, 0, time.UTC)

func TestTheWalkSaysWhoIsToldAndWhy(t *testing.T) {
	all := []string{"oncall", "team", "boss", "archive"}
	routes := []Route{
		{When: When{AtLeast: policy.Page}, To: []string{"oncall", "team"}, EscalateTo: []string{"boss"}},
		{When: When{Owner: "dns", AtMost: policy.Alarm}, To: []string{"team"}, Window: window(t, "Mon-Fri 08:00-18:00 Europe/Berlin")},
		{When: When{Watch: "mail"}, To: []string{"archive"}},
	}
	for _, c := range []struct {
		name   string
		routes []Route
		m      Matter
		to     []string // receiver, and when where not at once
		why    string   // within the first reason
		steps  []bool
		fell   bool
	}{
		{"without routes all are told", nil, Matter{Level: policy.Alarm}, all, "no routes", nil, false},
		{"a page goes to those for pages", routes, Matter{Level: policy.Page, Owners: []string{"dns"}}, []string{"oncall", "team"}, "route 1: page and above", []bool{true, false, false}, false},
		{"what nobody acknowledges goes further", routes, Matter{Level: policy.Page, Escalate: true}, []string{"oncall", "team", "boss"}, "", []bool{true, false, false}, false},
		{"outside of the window it is put off to its opening", routes, Matter{Level: policy.Alarm, Owners: []string{"web", "dns"}}, []string{"team 2026-03-09 08:00 CET"}, "put off to 2026-03-09 08:00 CET", []bool{false, true, false}, false},
		{"each route that matches is taken", routes, Matter{Level: policy.Page, Watches: []string{"mail"}}, []string{"oncall", "team", "archive"}, "", []bool{true, false, true}, false},
		{"what no route takes goes to all, and says so", routes, Matter{Level: policy.Alarm, Owners: []string{"web"}}, all, "no route takes it", []bool{false, false, false}, true},
		{"of two routes to one receiver the earlier counts", append(routes[:2:2], Route{To: []string{"team"}}), Matter{Level: policy.Alarm, Owners: []string{"dns"}}, []string{"team"}, "route 3: takes everything", []bool{false, true, true}, false},
		{"a page is put off by no window", []Route{{To: []string{"team"}, Window: routes[1].Window}}, Matter{Level: policy.Page}, []string{"team"}, "route 1", []bool{true}, false},
		{"a route to somebody who does not exist takes nothing away", []Route{{To: []string{"gone"}}}, Matter{Level: policy.Alarm}, all, "no route takes it", []bool{true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Walk(c.routes, all, c.m, saturday)
			var to []string
			for _, d := range r.To {
				text := d.Receiver
				if !d.At.IsZero() {
					text += " " + d.At.Format("2006-01-02 15:04 MST")
				}
				to = append(to, text)
			}
			var steps []bool
			for _, s := range r.Steps {
				steps = append(steps, s.Taken)
				if s.Why == "" {
					t.Errorf("route %d gives no reason", s.Route)
				}
			}
			if diff := cmp.Diff(c.to, to); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.steps, steps); diff != "" {
				t.Error(diff)
			}
			if r.Fallback != c.fell || !strings.Contains(r.To[0].Why, c.why) {
				t.Errorf("fell back: %v; why: %s", r.Fallback, r.To[0].Why)
			}
		})
	}
}

func TestSomebodyIsAlwaysToldAndAPageAtOnce(t *testing.T) {
	names := []string{"a", "b", "c"}
	windows := []*Window{nil, window(t, "Mon 08:00-09:00 UTC"), window(t, "Sat,Sun 22:00-06:00 America/New_York")}
	level := rapid.SampledFrom([]policy.Level{policy.None, policy.Digest, policy.Alarm, policy.Page})
	some := rapid.SliceOfN(rapid.SampledFrom(append(names, "gone")), 0, 3)
	owner := rapid.SampledFrom([]string{"", "x", "y"})
	rapid.Check(t, func(t *rapid.T) {
		routes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Route {
			return Route{When: When{AtLeast: level.Draw(t, "least"), AtMost: level.Draw(t, "most"), Owner: owner.Draw(t, "owner"), Watch: owner.Draw(t, "watch")},
				To: some.Draw(t, "to"), EscalateTo: some.Draw(t, "further"), Window: rapid.SampledFrom(windows).Draw(t, "window")}
		}), 0, 4).Draw(t, "routes")
		now := saturday.Add(time.Duration(rapid.IntRange(0, 14*24*60).Draw(t, "minutes")) * time.Minute)
		m := Matter{Level: level.Draw(t, "level"), Owners: []string{owner.Draw(t, "o")}, Watches: []string{owner.Draw(t, "w")}, Escalate: rapid.Bool().Draw(t, "escalate")}
		r := Walk(routes, names, m, now)
		if len(r.To) == 0 || len(r.Steps) != len(routes) {
			t.Fatalf("%+v", r)
		}
		told := map[string]bool{}
		for _, d := range r.To {
			if told[d.Receiver] || d.Why == "" {
				t.Fatalf("%+v", r.To)
			}
			told[d.Receiver] = true
			if late := d.At.Sub(now); !d.At.IsZero() && (late < 0 || late > 8*24*time.Hour || m.Level >= policy.Page) {
				t.Fatalf("%s is told at %v, which is %v later", d.Receiver, d.At, late)
			}
		}
		calm := m
		calm.Escalate = false
		for _, d := range Walk(routes, names, calm, now).To {
			if fell := Walk(routes, names, calm, now).Fallback; !told[d.Receiver] && !fell {
				t.Fatalf("%s is not told any more once it escalates", d.Receiver)
			}
		}
	})
}

func TestWindowsFollowTheClockOnTheWall(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, window string
		at           time.Time
		open         bool
		next         string
	}{
		{"inside", "Mon-Fri 08:00-18:00 Europe/Berlin", time.Date(2026, 3, 6, 17, 59, 0, 0, berlin), true, "2026-03-06 17:59 CET"},
		{"at its end", "Mon-Fri 08:00-18:00 Europe/Berlin", time.Date(2026, 3, 6, 18, 0, 0, 0, berlin), false, "2026-03-09 08:00 CET"},
		{"across the change to summer time", "Mon-Fri 08:00-18:00 Europe/Berlin", time.Date(2026, 3, 28, 12, 0, 0, 0, berlin), false, "2026-03-30 08:00 CEST"},
		{"past midnight, of the day before", "Sat 22:00-06:00 UTC", time.Date(2026, 3, 8, 5, 0, 0, 0, time.UTC), true, "2026-03-08 05:00 UTC"},
		{"past midnight, not of this day", "Sat 22:00-06:00 UTC", time.Date(2026, 3, 7, 5, 0, 0, 0, time.UTC), false, "2026-03-07 22:00 UTC"},
		{"days around the end of the week", "Sat-Mon 00:00-24:00 UTC", time.Date(2026, 3, 9, 23, 59, 0, 0, time.UTC), true, "2026-03-09 23:59 UTC"},
		{"an hour that summer time takes is that of the next week", "Sun 02:00-03:00 Europe/Berlin", time.Date(2026, 3, 28, 12, 0, 0, 0, berlin), false, "2026-04-05 02:00 CEST"},
		{"every day, without days", "09:00-10:00 UTC", time.Date(2026, 3, 7, 10, 0, 0, 0, time.UTC), false, "2026-03-08 09:00 UTC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := window(t, c.window)
			if got := w.Open(c.at); got != c.open {
				t.Errorf("open: %v", got)
			}
			next := w.Next(c.at)
			if got := next.In(w.zone).Format("2006-01-02 15:04 MST"); got != c.next {
				t.Errorf("next at %s, want %s", got, c.next)
			}
			if !w.Open(next) {
				t.Error("it is not open when it opens")
			}
		})
	}
}

func TestAWindowThatMeansNothingIsRefused(t *testing.T) {
	for _, text := range []string{"", "always", "08:00-18:00", "Mon-Fri 08:00-18:00", "Mon-Fry 08:00-18:00 UTC", "Mon 8-18 UTC", "Mon 08:00-08:00 UTC", "Mon 24:00-06:00 UTC",
		"Mon 08:00-18:00 Europe/Nowhere", "Mon 08:00-18:00 Local", "Mon 25:00-26:00 UTC", "Mon, Tue 08:00-09:00 UTC", "Mon 08:00-18:00 ../../etc/passwd"} {
		if w, err := ParseWindow(text); err == nil {
			t.Errorf("%q is taken as %+v", text, w)
		}
	}
}
