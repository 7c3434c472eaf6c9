package incident

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// modelCert is what a naive bookkeeper writes down about a certificate: everything, for ever.
type modelCert struct {
	level policy.Level
	fp    string
	watch string
	// where it is: "told", "pending", "muted", or the reason for which it was put aside.
	where     string
	due, hold time.Time
	member    Member
}

// model is an incident without bounds, as one would explain it.
type model struct {
	now      time.Time
	certs    map[string]*modelCert
	items    map[string]bool
	status   Status
	rung     int
	last     time.Time
	since    time.Time
	parent   string
	sequence int
	silences []Silence
}

var origin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var watches = []string{"mail", "shop", "www"}

func (m *model) subject(watch string, level policy.Level) Subject {
	return Subject{Owners: []string{"web"}, Watches: []string{watch}, Items: []string{watch + " " + watch + ".example.com"},
		Names: []string{watch + ".example.com"}, Level: level}
}

// covered says whether a silence in force covers these watches at this level. The silences of the model cover one watch
// each, or all, up to alarm.
func (m *model) covered(level policy.Level, watches ...string) bool {
	return slices.ContainsFunc(m.silences, func(s Silence) bool {
		if m.now.Before(s.Start) || !m.now.Before(s.End) || level > policy.Alarm {
			return false
		}
		return !slices.ContainsFunc(watches, func(w string) bool { return !slices.Contains(s.Match.Watches, w) })
	})
}

func (m *model) in(where string) (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(m.certs)) {
		if m.certs[id].where == where {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *model) ringing() (n int, top policy.Level) {
	for _, c := range m.certs {
		if c.level >= policy.Alarm {
			n++
			top = max(top, c.level)
		}
	}
	return n, top
}

// touched are all watches that were ever touched, and the level of the worst certificate ever.
func (m *model) touched() (all []string, worst policy.Level) {
	for id := range m.items {
		all = append(all, id)
	}
	for _, c := range m.certs {
		worst = max(worst, c.member.Level)
	}
	return all, worst
}

func TestAnIncidentAgreesWithANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Wait: 10 * time.Second, Regroup: 5 * time.Minute, Repeat: 24 * time.Hour, Escalate: 15 * time.Minute}
		m := &model{now: origin, certs: map[string]*modelCert{}, items: map[string]bool{}}
		s := State{ID: "i", Kind: OfOwner, Owner: "web", Group: "example.com", Opened: origin}
		worst := policy.None
		mutedAtWorst, mutedWatches := policy.None, map[string]bool{}

		// apply takes a step and holds what the effect says of telling against the model; which says what was new.
		apply := func(e Event, expectSuppressed Why) {
			before, _ := json.Marshal(s)
			next, effect := Step(s, e, Env{Now: m.now, Config: c, Silences: m.silences})
			if after, _ := json.Marshal(s); string(before) != string(after) {
				t.Fatal("the step changed its input")
			}
			s = next
			for _, mv := range effect.Moves {
				if !slices.ContainsFunc(Life, func(e Edge) bool { return e.From == mv.From && e.To == mv.To }) {
					t.Fatalf("%T moves from %q to %q, which is not in the life cycle", e, mv.From, mv.To)
				}
			}
			if expectSuppressed != "" && effect.Suppressed == nil {
				t.Fatalf("%T is silent without a reason; want %s", e, expectSuppressed)
			}
			if effect.Member != nil {
				m.certs[e.(Seen).Issuance].member = *effect.Member
			}
			if m.status == None && s.Status == None {
				return
			}

			// What a naive bookkeeper does after each event: release what nobody mutes any more, then tell what is due.
			if mu := m.in("muted"); len(mu) > 0 && !m.covered(mutedAtWorst, slices.Collect(maps.Keys(mutedWatches))...) {
				for _, id := range mu {
					m.certs[id].where, m.certs[id].due = "pending", later(m.now, m.certs[id].hold)
				}
				mutedAtWorst, mutedWatches = policy.None, map[string]bool{}
			} else if len(mu) == 0 {
				mutedAtWorst, mutedWatches = policy.None, map[string]bool{}
			}
			said := effect.Notify != nil && !effect.Notify.Change.Rings()
			var told []string
			pending := m.in("pending")
			due := slices.ContainsFunc(pending, func(id string) bool { return !m.certs[id].due.After(m.now) })
			all, _ := m.touched()
			if due && !said {
				if m.covered(worst, all...) {
					for _, id := range pending {
						m.certs[id].where = "muted"
					}
					mutedAtWorst = worst
					for _, w := range all {
						mutedWatches[w] = true
					}
				} else {
					for _, id := range pending {
						if !m.certs[id].hold.After(m.now) {
							told = append(told, id)
							m.certs[id].where = "told"
						}
					}
					m.rung++
					m.last, m.since = m.now, m.now
				}
			}
			if effect.Notify != nil {
				m.sequence++
				if effect.Notify.Sequence != m.sequence {
					t.Fatalf("message %d is numbered %d", m.sequence, effect.Notify.Sequence)
				}
			}
			if len(told) > 0 {
				if effect.Notify == nil || effect.Notify.Total != len(told) {
					t.Fatalf("%T at %s: told %+v, the model %v", e, m.now.Sub(origin), effect.Notify, told)
				}
				got := slices.Clone(effect.Notify.Issuances)
				slices.Sort(got)
				if len(told) <= maxTold {
					if diff := cmp.Diff(told, got); diff != "" {
						t.Fatalf("told (-model +incident)\n%s", diff)
					}
				}
				return
			}
			if effect.Notify == nil || said {
				return
			}
			// Nothing new: then it reminds, of what nobody has acknowledged, and not too early.
			_, top := m.ringing()
			every := c.Repeat
			if top == policy.Page {
				every = c.Escalate
			}
			if s.Status != Notified || m.now.Sub(m.since) < every || effect.Notify.Escalate != (top == policy.Page) {
				t.Fatalf("%T at %s: told %+v, the model nothing", e, m.now.Sub(origin), effect.Notify)
			}
			m.since = m.now
		}

		check := func(t *rapid.T) {
			if m.status = s.Status; m.status == None {
				return
			}
			n, top := m.ringing()
			if s.Ringing != n || n > 0 && s.Level != top || s.Certificates != len(m.certs) {
				t.Fatalf("rings %d of %d at %s, the model %d of %d at %s", s.Ringing, s.Certificates, s.Level, n, len(m.certs), top)
			}
			if got, want := len(s.Pending)+s.Folded, len(m.in("pending")); got != want {
				t.Fatalf("%d are to be told, in the model %d", got, want)
			}
			if got, want := s.MutedTotal, len(m.in("muted")); got != want {
				t.Fatalf("%d are muted, in the model %d", got, want)
			}
			if s.Rung != m.rung {
				t.Fatalf("rang %d times, the model %d", s.Rung, m.rung)
			}
			if (len(m.in("pending")) > 0 || len(m.in("muted")) > 0) && s.Due.IsZero() {
				t.Fatal("something is still to be told, and no time is set")
			}
			if n == 0 && !s.Status.Closed() {
				t.Fatalf("nothing rings and the state is %s", s.Status)
			}
			if s.Status == Explained && n > 0 {
				t.Fatalf("%d ring and it is explained", n)
			}
		}

		seen := func(id string, level policy.Level) {
			cert := m.certs[id]
			e := Seen{Issuance: id, Level: level, Fingerprint: cert.fp, Subject: m.subject(cert.watch, level), Title: "t", Hold: cert.hold}
			was := cert.level
			if cert.member != (Member{}) {
				member := cert.member
				e.Was = &member
			}
			for other, o := range m.certs {
				e.Known = e.Known || other != id && o.member != (Member{}) && o.fp == cert.fp
			}
			cert.level = level
			want := Why("")
			switch {
			case e.Was != nil && level == was:
				if level >= policy.Alarm {
					want = Sighting
				}
			case e.Was != nil && level < was:
				if level < policy.Alarm && was >= policy.Alarm {
					if cert.where == "pending" {
						want = Cured
					}
					cert.where = "explained"
				}
				if n, _ := m.ringing(); n == 0 {
					for _, c := range m.certs {
						if c.where == "pending" || c.where == "muted" {
							c.where = "explained"
						}
					}
				}
			default:
				raised := e.Was != nil && was >= policy.Alarm
				item := !m.items[cert.watch]
				m.items[cert.watch] = true
				worst = max(worst, level)
				switch {
				case m.status == Archived && !raised && e.Known:
					want, cert.where = Same, "archived"
				case m.covered(level, cert.watch):
					want, cert.where = Muted, "muted"
					mutedAtWorst = max(mutedAtWorst, level)
					mutedWatches[cert.watch] = true
				case m.parent != "" && !item && !m.status.Closed():
					want, cert.where = Beneath, "grouped"
				default:
					cert.where, cert.due = "pending", m.now
					if level < policy.Page {
						cert.due = m.now.Add(c.Wait)
						if m.rung > 0 && !item && !raised && m.last.Add(c.Regroup).After(cert.due) {
							cert.due = m.last.Add(c.Regroup)
						}
						cert.due = later(cert.due, cert.hold)
					} else {
						cert.hold = time.Time{}
					}
				}
			}
			apply(e, want)
			if want == "" && e.Was == nil && level == policy.Page && cert.where != "told" {
				t.Fatal("a page waits")
			}
		}
		level := rapid.SampledFrom([]policy.Level{policy.Alarm, policy.Alarm, policy.Alarm, policy.Page})

		t.Repeat(map[string]func(*rapid.T){
			"": check,
			"a certificate": func(t *rapid.T) {
				if len(m.certs) > 40 {
					t.Skip("enough")
				}
				id := fmt.Sprintf("%03d", len(m.certs))
				m.certs[id] = &modelCert{fp: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "fp"), watch: rapid.SampledFrom(watches).Draw(t, "watch")}
				if rapid.IntRange(0, 4).Draw(t, "hold") == 0 {
					m.certs[id].hold = m.now.Add(15 * time.Minute)
				}
				seen(id, level.Draw(t, "level"))
			},
			"decided again": func(t *rapid.T) {
				if len(m.certs) == 0 {
					t.Skip("none")
				}
				id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.certs))).Draw(t, "id")
				seen(id, rapid.SampledFrom([]policy.Level{policy.Expected, policy.Alarm, policy.Alarm, policy.Page}).Draw(t, "level"))
			},
			"all is explained": func(t *rapid.T) {
				for _, id := range slices.Sorted(maps.Keys(m.certs)) {
					seen(id, policy.Expected)
					check(t)
				}
			},
			"time passes": func(t *rapid.T) {
				m.now = m.now.Add(rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, time.Minute, 16 * time.Minute, 25 * time.Hour}).Draw(t, "d"))
				apply(Tick{}, "")
			},
			"the next tick": func(t *rapid.T) {
				if s.Due.After(m.now) {
					m.now = s.Due
				}
				apply(Tick{}, "")
			},
			"ack": func(t *rapid.T) {
				different := rapid.Bool().Draw(t, "different")
				if s.Status != None && !s.Status.Closed() {
					want := Acknowledged
					if different {
						want = Archived
					}
					if s.Status != want { // else it is the same again, and nothing
						for _, id := range m.in("muted") {
							m.certs[id].where = "acknowledged"
						}
					}
				}
				apply(Ack{By: "ann", UntilDifferent: different}, "")
			},
			"resolve": func(t *rapid.T) {
				if s.Status != None {
					for _, id := range append(m.in("muted"), m.in("pending")...) {
						m.certs[id].where = "resolved"
					}
				}
				apply(Resolve{By: "ann"}, "")
			},
			"the CA's incident opens": func(t *rapid.T) {
				if s.Status != None && !s.Status.Closed() {
					m.parent = "ca"
				}
				apply(Join{"ca"}, "")
			},
			"the CA's incident ends": func(t *rapid.T) {
				m.parent = ""
				apply(Leave{}, "")
			},
			"a silence": func(t *rapid.T) {
				sil := Silence{ID: fmt.Sprint("s", len(m.silences)), Start: m.now, By: "bob", Reason: "planned",
					End: m.now.Add(rapid.SampledFrom([]time.Duration{5 * time.Second, 10 * time.Minute, 48 * time.Hour}).Draw(t, "for"))}
				sil.Match.Watches = []string{rapid.SampledFrom(watches).Draw(t, "watch")}
				if rapid.Bool().Draw(t, "all") {
					sil.Match.Watches = watches
				}
				m.silences = append(m.silences, sil)
				apply(Tick{}, "")
			},
		})

		// In the end nothing is left untold: all silences end, and time passes.
		for range 20 {
			m.now = later(m.now.Add(49*time.Hour), s.Due)
			apply(Tick{}, "")
			check(t)
		}
		if left := append(m.in("pending"), m.in("muted")...); len(left) > 0 || len(s.Pending)+s.Folded+s.MutedTotal > 0 {
			t.Fatalf("never told: %v", left)
		}
	})
}
