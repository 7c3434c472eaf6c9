package incident

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

func TestTheDiagramInTheDocumentsIsTheLifeCycle(t *testing.T) {
	b, err := os.ReadFile("../../docs/incidents.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "```mermaid\n")
	drawn, _, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatal("docs/incidents.md has no diagram")
	}
	if diff := cmp.Diff(Mermaid(), drawn); diff != "" {
		t.Errorf("(-code +docs)\n%s", diff)
	}
}

func TestEachMoveOfTheLifeCycleHappensAndNoOther(t *testing.T) {
	// Every sequence of six of these, from a new incident.
	silence := []Silence{{ID: "s", Start: origin, End: origin.Add(240 * time.Hour), Match: Matchers{Watches: []string{"www"}}}}
	type world struct {
		s      State
		now    time.Time
		muted  bool
		serial int
		member Member
	}
	sub := Subject{Watches: []string{"www"}, Items: []string{"www x"}, Level: policy.Alarm}
	moved := map[Move]bool{}
	seen := map[string]bool{}
	var walk func(w world, depth int)
	walk = func(w world, depth int) {
		key := fmt.Sprint(w.s.Status, w.s.Parent, w.muted, w.s.Ringing, len(w.s.Pending), w.s.MutedTotal, w.s.Rung > 0, w.member.Level, w.s.Reopened, depth)
		if seen[key] || depth == 0 {
			return
		}
		seen[key] = true
		try := func(e Event, after time.Duration, muted bool) {
			next := w
			next.now, next.muted = w.now.Add(after), muted
			env := Env{Now: next.now, Config: Defaults}
			if muted {
				env.Silences = silence
			}
			if e, ok := e.(Seen); ok && e.Was == nil {
				next.serial++
			}
			var effect Effect
			next.s, effect = Step(w.s, e, env)
			if effect.Member != nil {
				next.member = *effect.Member
			}
			for _, m := range effect.Moves {
				moved[m] = true
			}
			walk(next, depth-1)
		}
		level := func(l policy.Level) Seen {
			s := Seen{Issuance: "0", Level: l, Subject: sub, Fingerprint: "f"}
			s.Subject.Level = l
			if w.serial > 0 {
				was := w.member
				s.Was = &was
			}
			return s
		}
		for _, muted := range []bool{w.muted, !w.muted} {
			if w.serial == 0 {
				try(level(policy.Alarm), 0, muted)
				continue
			}
			try(Tick{}, time.Minute, muted)
			try(level(policy.Expected), 0, muted)
			try(level(policy.Alarm), 0, muted)
			try(level(policy.Page), 0, muted)
		}
		try(Ack{By: "ann"}, 0, w.muted)
		try(Ack{By: "ann", UntilDifferent: true}, 0, w.muted)
		try(Resolve{By: "ann"}, 0, w.muted)
		try(Join{"ca"}, 0, w.muted)
		try(Leave{}, 0, w.muted)
	}
	walk(world{s: State{ID: "i", Kind: OfOwner, Opened: origin}, now: origin}, 7)
	var want, got []string
	for _, e := range Life {
		want = append(want, string(e.From)+" → "+string(e.To))
	}
	for m := range moved {
		got = append(got, string(m.From)+" → "+string(m.To))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-life cycle +walked)\n%s", diff)
	}
}

// tale drives one incident by hand.
type tale struct {
	t        *testing.T
	s        State
	now      time.Time
	silences []Silence
	members  map[string]Member
	told     []string
}

func newTale(t *testing.T) *tale {
	return &tale{t: t, s: State{ID: "i", Kind: OfOwner, Owner: "web", Opened: origin}, now: origin, members: map[string]Member{}}
}

func (s *tale) do(e Event) Effect {
	var effect Effect
	if seen, ok := e.(Seen); ok {
		if m, ok := s.members[seen.Issuance]; ok {
			seen.Was = &m
		}
		for id, m := range s.members {
			seen.Known = seen.Known || id != seen.Issuance && m.Fingerprint == seen.Fingerprint
		}
		s.s, effect = Step(s.s, seen, Env{Now: s.now, Config: Defaults, Silences: s.silences})
		if effect.Member != nil {
			s.members[seen.Issuance] = *effect.Member
		}
	} else {
		s.s, effect = Step(s.s, e, Env{Now: s.now, Config: Defaults, Silences: s.silences})
	}
	if n := effect.Notify; n != nil {
		text := fmt.Sprintf("%s %s %s", s.now.Sub(origin), n.Change, n.Level)
		if n.Escalate {
			text += " further"
		}
		if n.Total > 0 {
			text += fmt.Sprintf(" (%d)", n.Total)
		}
		s.told = append(s.told, text)
	}
	return effect
}

// until lets time pass as a daemon would: with a tick whenever one is due.
func (s *tale) until(d time.Duration) {
	end := origin.Add(d)
	for !s.s.Due.IsZero() && !s.s.Due.After(end) {
		s.now = later(s.now, s.s.Due)
		s.do(Tick{})
	}
	s.now = end
}

func (s *tale) want(lines ...string) {
	s.t.Helper()
	if diff := cmp.Diff(lines, s.told); diff != "" {
		s.t.Errorf("told (-want +got)\n%s", diff)
	}
}

func cert(id, fp, watch string, level policy.Level) Seen {
	return Seen{Issuance: id, Fingerprint: fp, Level: level, Title: "t", Subject: Subject{Watches: []string{watch}, Items: []string{watch + " x"},
		Names: []string{watch + ".example.com"}, Rules: []string{"unlisted-issuer"}, Level: level}}
}

func TestWhatRingsAndWhen(t *testing.T) {
	const a, p = policy.Alarm, policy.Page
	for _, c := range []struct {
		name string
		does func(s *tale)
		want []string
	}{
		{"siblings of one batch are one message", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(5 * time.Second)
			s.do(cert("2", "b", "www", a))
			s.until(time.Hour)
		}, []string{"10s opened alarm (2)"}},
		{"a page waits for nothing, and escalates until it is acknowledged", func(s *tale) {
			s.do(cert("1", "a", "www", p))
			s.until(31 * time.Minute)
			s.do(Ack{By: "ann"})
			s.until(100 * time.Hour)
		}, []string{"0s opened page (1)", "15m0s escalated page further", "30m0s escalated page further", "31m0s acknowledged page"}},
		{"an alarm that nobody acknowledges is told again each day", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(49 * time.Hour)
		}, []string{"10s opened alarm (1)", "24h0m10s reminder alarm", "48h0m10s reminder alarm"}},
		{"the same certificate seen again never rings", func(s *tale) {
			for i := range 50 {
				s.do(cert("1", "a", "www", p))
				s.until(time.Duration(i) * time.Second)
			}
		}, []string{"0s opened page (1)"}},
		{"a different certificate for the same names rings, with the next message of the group", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(time.Minute)
			s.do(cert("2", "b", "www", a))
			s.do(cert("3", "a", "www", a))
			s.until(time.Hour)
		}, []string{"10s opened alarm (1)", "5m10s grew alarm (2)"}},
		{"a new watch item does not wait for that", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(time.Minute)
			s.do(cert("2", "b", "mail", a))
			s.until(time.Hour)
		}, []string{"10s opened alarm (1)", "1m10s grew alarm (1)"}},
		{"what has become worse rings again", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(time.Minute)
			s.do(cert("1", "a", "www", p))
		}, []string{"10s opened alarm (1)", "1m0s raised page (1)"}},
		{"what is explained late is noted, and what remains is a matter for a person", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.do(cert("2", "b", "www", a))
			s.until(time.Minute)
			s.do(cert("1", "a", "www", policy.Expected))
			s.until(2 * time.Minute)
			s.do(cert("2", "b", "www", policy.Expected))
			s.until(100 * time.Hour)
		}, []string{"10s opened alarm (2)", "1m0s note alarm (1)", "2m0s note alarm (1)"}},
		{"what is explained before it was told is not told", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.do(cert("1", "a", "www", policy.Expected))
			s.until(100 * time.Hour)
		}, nil},
		{"what the journal may still explain is held back, the others are not", func(s *tale) {
			e := cert("1", "a", "www", a)
			e.Hold = origin.Add(15 * time.Minute)
			s.do(e)
			s.do(cert("2", "b", "www", a))
			s.until(time.Hour)
		}, []string{"10s opened alarm (1)", "15m0s grew alarm (1)"}},
		{"acknowledged until different: a renewal by the same means is silent, another certificate is not", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(time.Minute)
			s.do(Ack{By: "ann", UntilDifferent: true})
			s.until(time.Hour)
			s.do(cert("2", "a", "www", a))
			s.until(60 * time.Hour)
			s.do(cert("3", "b", "www", a))
			s.until(61 * time.Hour)
		}, []string{"10s opened alarm (1)", "1m0s acknowledged alarm", "60h0m10s reopened alarm (1)"}},
		{"acknowledged: any further certificate rings", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(time.Minute)
			s.do(Ack{By: "ann"})
			s.until(time.Hour)
			s.do(cert("2", "a", "www", a))
			s.until(2 * time.Hour)
		}, []string{"10s opened alarm (1)", "1m0s acknowledged alarm", "1h0m10s grew alarm (1)"}},
		{"beneath a CA's incident only a newly touched item rings", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(time.Minute)
			s.do(Join{"ca"})
			s.do(cert("2", "b", "www", a))
			s.do(cert("3", "c", "mail", a))
			s.until(100 * time.Hour)
		}, []string{"10s opened alarm (1)", "1m10s grew alarm (1)"}},
		{"a silence mutes until it ends, then what is unresolved rings", func(s *tale) {
			s.silences = []Silence{{ID: "s", Start: origin, End: origin.Add(time.Hour), Match: Matchers{Watches: []string{"www"}}}}
			s.do(cert("1", "a", "www", a))
			s.do(cert("2", "a", "www", a))
			s.until(2 * time.Hour)
		}, []string{"1h0m0s opened alarm (2)"}},
		{"a silence up to alarm does not mute a page, nor what it covers only in part", func(s *tale) {
			s.silences = []Silence{{ID: "s", Start: origin, End: origin.Add(time.Hour), Match: Matchers{Names: []string{"www.example.com"}}}}
			s.do(cert("1", "a", "www", p))
			e := cert("2", "b", "www", a)
			e.Subject.Names = append(e.Subject.Names, "x.example.com")
			s.do(e)
			s.until(14 * time.Minute)
		}, []string{"0s opened page (1)", "5m0s grew alarm (1)"}},
		{"a page is muted when the silence says so", func(s *tale) {
			s.silences = []Silence{{ID: "s", Start: origin, End: origin.Add(time.Hour), Match: Matchers{Names: []string{"www.example.com"}, AtMost: p}}}
			s.do(cert("1", "a", "www", p))
			s.until(59 * time.Minute)
		}, nil},
		{"resolved is resolved, until one of it gets worse", func(s *tale) {
			s.do(cert("1", "a", "www", a))
			s.until(time.Minute)
			s.do(Resolve{By: "ann"})
			s.do(cert("1", "a", "www", a))
			s.until(100 * time.Hour)
			s.do(cert("1", "a", "www", p))
		}, []string{"10s opened alarm (1)", "1m0s resolved alarm", "100h0m0s reopened page (1)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTale(t)
			c.does(s)
			s.want(c.want...)
		})
	}
}

func TestAnAddressUnderASilenceStaysVisibleAndCounted(t *testing.T) {
	s := newTale(t)
	s.silences = []Silence{{ID: "s1", Start: origin, End: origin.Add(time.Hour), By: "bob", Reason: "CHG-7", Match: Matchers{Names: []string{"192.0.2.0/24"}}}}
	e := cert("1", "a", "net", policy.Alarm)
	e.Subject.Names, e.Subject.Address = []string{"192.0.2.7"}, true
	got := s.do(e)
	want := &Suppressed{Why: Muted, Text: "silence s1 by bob until 2026-03-01 13:00Z: CHG-7", Silence: "s1", Rules: []string{"unlisted-issuer"}, Address: true}
	if diff := cmp.Diff(want, got.Suppressed); diff != "" {
		t.Error(diff)
	}
	if s.s.Status != Silenced || s.s.AddressesMuted != 1 || s.s.Ringing != 1 {
		t.Errorf("%+v", s.s)
	}
}

func TestAStateStaysSmallWhateverIsIssued(t *testing.T) {
	s := newTale(t)
	s.silences = []Silence{{ID: "s", Start: origin, End: origin.Add(time.Hour), Match: Matchers{Watches: []string{"www"}}}}
	for i := range 5000 {
		e := cert(fmt.Sprintf("%064d", i), fmt.Sprint(i), "www", policy.Alarm)
		if i%2 == 0 {
			e = cert(fmt.Sprintf("%064d", i), fmt.Sprint(i), fmt.Sprint("watch", i), policy.Alarm)
		}
		e.Subject.Names = []string{strings.Repeat("x", i) + fmt.Sprint(i)}
		e.Title = strings.Repeat("ü", i)
		if i%3 == 0 {
			e.Hold = origin.Add(15 * time.Minute)
		}
		s.do(e)
	}
	b, err := json.Marshal(s.s)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 128<<10 {
		t.Errorf("%d bytes", len(b))
	}
	s.until(2 * time.Hour)
	total := 0
	for _, line := range s.told {
		var n int
		if _, err := fmt.Sscanf(line[strings.IndexByte(line, '('):], "(%d)", &n); err != nil {
			t.Fatal(line, err)
		}
		total += n
	}
	if total != 5000 {
		t.Errorf("told of %d: %v", total, s.told)
	}
	var back State
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
}
