package caa

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func clock(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func found(s Set) Answer { return Answer{Known: true, Set: s, DNSSEC: Insecure} }

// play makes a history of looks, as the poller does.
func play(h History, a Answer, at time.Time, gap time.Duration) (History, Step) {
	st := Next(h, a, at, gap)
	if st.Fresh {
		return append(slices.Clone(h), st.Span), st
	}
	h = slices.Clone(h)
	for i := range h {
		if h[i].Known == st.Span.Known && h[i].First.Equal(st.Span.First) {
			h[i] = st.Span
		}
	}
	return h, st
}

// looked is one look, for a model that keeps them all.
type looked struct {
	at  time.Time
	set int // 0 for a failure
}

// model says which set was in force by the looks themselves.
func model(all []looked, t time.Time, gap, grace time.Duration) int {
	before, after := -1, -1
	for i, l := range all {
		if l.set == 0 {
			continue
		}
		if !l.at.After(t) {
			before = i
		} else if after < 0 {
			after = i
		}
	}
	switch {
	case before < 0:
		return 0
	case all[before].at.Equal(t):
		return all[before].set
	case after < 0:
		if t.Sub(all[before].at) <= grace {
			return all[before].set
		}
		return 0
	case all[before].set == all[after].set && all[after].at.Sub(all[before].at) <= gap:
		return all[before].set
	}
	return 0
}

func TestAtSaysWhatAllLooksTogetherSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gap := time.Duration(rapid.IntRange(1, 20).Draw(t, "gap")) * time.Minute
		grace := time.Duration(rapid.IntRange(0, 20).Draw(t, "grace")) * time.Minute
		var all []looked
		var h History
		now := 0
		for range rapid.IntRange(0, 25).Draw(t, "looks") {
			now += rapid.IntRange(1, 12).Draw(t, "minutes")
			l := looked{clock(now), rapid.IntRange(0, 3).Draw(t, "set")}
			a := Answer{Why: "no answer in time", DNSSEC: Unknown}
			if l.set > 0 {
				a = found(Set{{Tag: "issue", Value: fmt.Sprintf("ca%d.example", l.set)}})
				a.DNSSEC = rapid.SampledFrom([]string{Insecure, Secure}).Draw(t, "status")
			}
			all = append(all, l)
			h, _ = play(h, a, l.at, gap)
		}
		for minute := -1; minute <= now+25; minute++ {
			want := model(all, clock(minute), gap, grace)
			f := At(h, "example.com", clock(minute), grace)
			got := 0
			if f.Known {
				got = int(f.Set[0].Value[2] - '0')
			}
			if got != want {
				t.Fatalf("at %d: set %d, want %d\n%v\n%+v", minute, got, want, all, h)
			}
			if !f.Known && f.Why == "" {
				t.Fatalf("at %d it is unknown without a reason", minute)
			}
			if f.Known {
				// Since then, and at no look before that one, was it this set without a break.
				if f.Since.After(clock(minute)) || model(all, f.Since, gap, grace) != want {
					t.Fatalf("at %d since %v", minute, f.Since)
				}
			}
		}
	})
}

func TestWhatNobodyCouldSeeIsUnknown(t *testing.T) {
	one, two := set(t, `0 issue "ca1.example.net"`), set(t, `0 issue "ca2.example.org"`)
	gap := 30 * time.Minute
	failed := Answer{Why: "192.0.2.53:53: no answer in time", DNSSEC: Unknown}
	bogus := Answer{Why: "127.0.0.1:53: the answer does not validate", DNSSEC: Bogus}
	type look struct {
		minute int
		a      Answer
	}
	for _, c := range []struct {
		name  string
		looks []look
		at    int
		want  string // part of why, or the set
	}{
		{"never looked", nil, 10, "nobody has seen its records yet"},
		{"looked in vain only", []look{{0, failed}}, 10, "no answer in time"},
		{"before the first look", []look{{10, found(one)}}, 5, "first seen at 2026-11-01T00:10:00Z"},
		{"at the first look", []look{{10, found(one)}}, 10, "ca1"},
		{"shortly after the last look", []look{{10, found(one)}}, 40, "ca1"},
		{"long after the last look", []look{{10, found(one)}}, 41, "nobody has seen its records since 2026-11-01T00:10:00Z"},
		{"between equal looks", []look{{0, found(one)}, {20, found(one)}}, 10, "ca1"},
		{"between looks that differ", []look{{0, found(one)}, {20, found(two)}}, 10, "changed between 2026-11-01T00:00:00Z and 2026-11-01T00:20:00Z"},
		{"after the change", []look{{0, found(one)}, {20, found(two)}}, 20, "ca2"},
		{"between equal looks far from each other", []look{{0, found(one)}, {60, found(one)}}, 30, "nobody looked between"},
		{"a failure between equal looks that are near", []look{{0, found(one)}, {10, failed}, {20, found(one)}}, 15, "ca1"},
		{"failures for long", []look{{0, found(one)}, {20, failed}, {50, failed}, {80, found(one)}}, 60, "no answer in time"},
		{"an answer that does not validate", []look{{0, found(one)}, {20, bogus}, {45, bogus}}, 45, "does not validate"},
		{"no records are an answer", []look{{0, found(Set{})}}, 0, "no records"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h History
			for _, l := range c.looks {
				h, _ = play(h, l.a, clock(l.minute), gap)
			}
			f := At(h, "example.com", clock(c.at), gap)
			said := f.Why
			if f.Known {
				said = f.Set.String()
			}
			if !strings.Contains(said, c.want) {
				t.Errorf("%q lacks %q", said, c.want)
			}
			if strings.Contains(c.want, "validate") && f.DNSSEC != Bogus {
				t.Errorf("its status is %q", f.DNSSEC)
			}
		})
	}
}

func TestOnlyAChangeOfRecordsRings(t *testing.T) {
	one, two := found(set(t, `0 issue "ca1.example.net"`)), found(set(t, `0 issue "ca2.example.org"`))
	failed := Answer{Why: "no answer in time", DNSSEC: Unknown}
	signed, aliased := one, one
	signed.DNSSEC = Secure
	aliased.Via = []string{"caa.example.net"}
	day := int(24 * time.Hour / time.Minute)
	type look struct {
		minute int
		a      Answer
		rings  bool
	}
	for _, c := range []struct {
		name  string
		looks []look
	}{
		{"the first look", []look{{0, one, false}}},
		{"the first look after one in vain", []look{{0, failed, false}, {10, one, false}}},
		{"the same again", []look{{0, one, false}, {10, one, false}}},
		{"other records", []look{{0, one, false}, {10, two, true}}},
		{"none any more", []look{{0, one, false}, {10, found(Set{}), true}}},
		{"records where none were", []look{{0, found(Set{}), false}, {10, one, true}}},
		{"a failure is no loss", []look{{0, one, false}, {10, failed, false}, {20, one, false}}},
		{"a change behind a failure", []look{{0, one, false}, {10, failed, false}, {20, two, true}}},
		{"a change behind a long time without a look", []look{{0, one, false}, {3 * day, two, true}}},
		{"another DNSSEC status", []look{{0, one, false}, {10, signed, false}}},
		{"another alias to the same records", []look{{0, one, false}, {10, aliased, false}}},
		{"servers that do not change at one moment ring once", []look{{0, one, false}, {10, two, true}, {20, one, false}, {30, two, false}}},
		{"the same change another day", []look{{0, one, false}, {10, two, true}, {20, one, false}, {2 * day, one, false}, {2*day + 10, two, true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h History
			for _, l := range c.looks {
				var st Step
				h, st = play(h, l.a, clock(l.minute), time.Hour)
				if rings := st.Changed && !st.Again; rings != l.rings {
					t.Errorf("at %d it rings: %v", l.minute, rings)
				}
			}
		})
	}
}

func TestAClockThatIsSetBackRewritesNothing(t *testing.T) {
	one, two := found(set(t, `0 issue "ca1.example.net"`)), found(set(t, `0 issue "ca2.example.org"`))
	h, _ := play(nil, one, clock(0), time.Hour)
	h, _ = play(h, one, clock(30), time.Hour)
	h, st := play(h, two, clock(10), time.Hour)
	if !st.Fresh || len(h) != 2 || !h[0].Last.Equal(clock(30)) || h[1].First.Before(clock(30)) {
		t.Errorf("%+v", h)
	}
}

// always is a history in which a name had the records all the time.
func always(s Set) History {
	return History{{First: start, Last: clock(24 * 60), Answer: Answer{Known: true, Set: s, DNSSEC: Secure}}}
}

func TestTheRecordsOfTheNearestNameAboveAreRelevant(t *testing.T) {
	one, two := set(t, `0 issue "ca1.example.net"`), set(t, `0 issue "ca2.example.org"`)
	insecure := always(Set{})
	insecure[0].DNSSEC = Insecure
	hs := Histories{
		"example": always(Set{}), "com": always(Set{}), "example.com": always(one), "www.example.com": always(Set{}), "shop.example.com": always(two),
		"a.shop.example.com": always(Set{}), "plain.example": always(Set{}), "new.example.com": nil, "soft.example.com": insecure,
		"x.new.example.com": always(Set{}), "own.new.example.com": always(two),
	}
	for _, c := range []struct{ name, zone, want string }{
		{"www.example.com", "example.com", "ca1"},
		{"example.com", "example.com", "ca1"},
		{"a.shop.example.com", "shop.example.com", "ca2"},
		{"plain.example", "", "no records"},
		{"x.new.example.com", "", "new.example.com: nobody has seen"},
		{"own.new.example.com", "own.new.example.com", "ca2"}, // what is unknown above it does not matter
		{"not..a.name", "", "no name that DNS could hold"},
		{strings.Repeat("a.", 60) + "example.com", "", "no name that DNS could hold"},
	} {
		zone, f := Relevant(hs, c.name, clock(60), time.Hour)
		said := f.Why
		if f.Known {
			said = f.Set.String()
		}
		if zone != c.zone || !strings.Contains(said, c.want) {
			t.Errorf("%s: at %q: %s", c.name, zone, said)
		}
	}
	if _, f := Relevant(hs, "soft.example.com", clock(60), time.Hour); f.DNSSEC != Insecure {
		t.Errorf("that the name has none is not secure, and the answer is %s", f.DNSSEC)
	}
}

func TestFactsSayWhatHeldWhenItWasIssued(t *testing.T) {
	one, two := set(t, `0 issue "ca1.example.net; accounturi=https://ca1.example.net/acct/7"`), set(t, `0 issue "ca2.example.org"`)
	changed := always(one)
	changed[0].Last = clock(600)
	changed = append(changed, Span{First: clock(610), Last: clock(24 * 60), Joined: true, Answer: Answer{Known: true, Set: two, DNSSEC: Secure}})
	claimed := always(two)
	claimed[0].Claimed = true
	late := History{{First: clock(30), Last: clock(90), Answer: found(two)}}
	hs := Histories{
		"com": always(Set{}), "example.com": changed, "www.example.com": always(Set{}), "far.com": claimed, "late.com": late, "free.com": always(Set{}),
	}
	ca1, ca2 := []string{"ca1.example.net"}, []string{"ca2.example.org"}
	for _, c := range []struct {
		name, host string
		minute     int
		ca         []string
		want, zone string
		note       string
	}{
		{"the CA that was named", "www.example.com", 60, ca1, facts.CAAAllows, "example.com", "accounturi=https://ca1.example.net/acct/7 is not verifiable from CT"},
		{"a CA that was not", "www.example.com", 60, ca2, facts.CAAForbids, "example.com", "names ca1.example.net for www.example.com, and not this CA"},
		{"a wildcard begins where it stands", "*.example.com", 60, ca1, facts.CAAAllows, "example.com", "*.example.com"},
		{"the CA that was named until shortly before", "example.com", 700, ca1, facts.CAAAllows, "example.com", "may have relied on the former ones"},
		{"the CA that was named until long before", "example.com", 600 + 8*60 + 1, ca1, facts.CAAForbids, "example.com", "and not this CA"},
		{"the CA that is named now", "example.com", 700, ca2, facts.CAAAllows, "example.com", "names ca2.example.org"},
		{"between two looks", "example.com", 605, ca2, facts.CAAUnknown, "", "changed between"},
		{"a resolver far away claims that it is secure", "far.com", 60, ca2, facts.CAAAllows, "far.com", "only claimed"},
		{"the first look came soon after", "late.com", 20, ca1, facts.CAAForbids, "late.com", "first looked at 10m0s after it was issued"},
		{"long before the first look", "late.com", -90, ca1, facts.CAAUnknown, "", "is unknown"},
		{"no records", "free.com", 60, ca1, facts.CAANone, "", "any CA may issue"},
		{"nobody ever looked", "new.com", 60, ca1, facts.CAAUnknown, "", "nobody has seen"},
		{"no name", "*", 60, ca1, facts.CAAUnknown, "", "no name that DNS could hold"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Facts([]string{c.host, c.host}, clock(c.minute), c.ca, hs, time.Hour)
			if len(got) != 1 || got[0].Answer != c.want || got[0].Zone != c.zone || got[0].Name != c.host || !strings.Contains(got[0].Note, c.note) {
				t.Fatalf("%+v", got)
			}
			if secure := got[0].DNSSEC == Secure; secure != (c.want != facts.CAAUnknown && c.host != "far.com" && c.host != "late.com") {
				t.Errorf("its DNSSEC status is %q", got[0].DNSSEC)
			}
		})
	}
}
