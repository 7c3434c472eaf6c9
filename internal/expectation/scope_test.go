package expectation

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

func guarded(t testing.TB) []watch.Watch {
	t.Helper()
	item := func(text string) watch.Item { return need(watch.ParseItem(text, watch.Place{}))(t) }
	return []watch.Watch{
		{Name: "shop", Items: []watch.Item{item("shop.example.com"), item("=exact.example.net"), item("192.0.2.0/28")}},
		{Name: "rest", Items: []watch.Item{item("example.com")}},
	}
}

func TestWhatATokenMayAnnounce(t *testing.T) {
	watches := guarded(t)
	s := Scope{Watches: []string{"shop"}, MaxCount: 3, MaxFor: Duration(2 * time.Hour), Expires: noon.AddDate(0, 0, 7)}
	rolling := s
	rolling.Per = Duration(24 * time.Hour)
	fine := func(change func(*Demand)) Demand {
		d := Demand{Names: []string{"www.shop.example.com"}, Count: 1, Until: noon.Add(time.Hour), Keyed: true}
		change(&d)
		return d
	}
	named := func(names ...string) Demand { return fine(func(d *Demand) { d.Names = names }) }
	for _, row := range []struct {
		name    string
		s       Scope
		d       Demand
		revoked time.Time
		history []Grant
		now     time.Time
		why     string
	}{
		{"a name beneath its zone", s, fine(func(*Demand) {}), time.Time{}, nil, noon, ""},
		{"the zone itself, a wildcard, an exact name, an address", s, named("shop.example.com", "*.shop.example.com", "exact.example.net", "192.0.2.7"), time.Time{}, nil, noon, ""},
		{"not the zone above", s, named("example.com"), time.Time{}, nil, noon, "example.com is not within shop"},
		{"not a wildcard above", s, named("*.example.com"), time.Time{}, nil, noon, "*.example.com is not within"},
		{"not a name that only ends so", s, named("myshop.example.com"), time.Time{}, nil, noon, "is not within"},
		{"not beneath an exact name", s, named("a.exact.example.net"), time.Time{}, nil, noon, "is not within"},
		{"not a wildcard for an exact name", s, named("*.exact.example.net"), time.Time{}, nil, noon, "is not within"},
		{"not an address outside", s, named("192.0.2.16"), time.Time{}, nil, noon, "is not within"},
		{"not one foreign name among its own", s, named("www.shop.example.com", "www.example.org"), time.Time{}, nil, noon, "www.example.org is not within"},
		{"not without a key", s, fine(func(d *Demand) { d.Keyed = false }), time.Time{}, nil, noon, "only with a key"},
		{"not longer than it may", s, fine(func(d *Demand) { d.Until = noon.Add(2*time.Hour + 1) }), time.Time{}, nil, noon, "longer than 2h0m0s"},
		{"not beyond its own end", s, fine(func(d *Demand) { d.Until = s.Expires.Add(1) }), time.Time{}, nil, s.Expires.Add(-time.Minute), "outlast the token"},
		{"not when it has expired", s, fine(func(*Demand) {}), time.Time{}, nil, s.Expires, "expired"},
		{"not when it was revoked", s, fine(func(*Demand) {}), noon, nil, noon, "revoked"},
		{"as many as it may", s, fine(func(d *Demand) { d.Count = 2 }), time.Time{}, []Grant{{noon.AddDate(0, 0, -30), 1}}, noon, ""},
		{"not one more, however long ago", s, fine(func(d *Demand) { d.Count = 3 }), time.Time{}, []Grant{{noon.AddDate(0, 0, -30), 1}}, noon, "more than 3 issuances in all"},
		{"within a span that counts anew", rolling, fine(func(d *Demand) { d.Count = 3 }), time.Time{}, []Grant{{noon.Add(-24 * time.Hour), 3}}, noon, ""},
		{"not within the same span", rolling, fine(func(*Demand) {}), time.Time{}, []Grant{{noon.Add(-23 * time.Hour), 3}}, noon, "more than 3 issuances within 24h0m0s"},
		{"not nothing", s, Demand{Keyed: true, Count: 1}, time.Time{}, nil, noon, "no name"},
		{"not a count below one", s, fine(func(d *Demand) { d.Count = -5 }), time.Time{}, nil, noon, "nothing is announced"},
		{"not for a watch that is gone", Scope{Watches: []string{"gone"}, MaxCount: 1, MaxFor: s.MaxFor, Expires: s.Expires}, fine(func(*Demand) {}), time.Time{}, nil, noon, "is not within gone"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.s.Allows(row.d, row.revoked, watches, row.history, row.now)
			var no *RefusedError
			if row.why == "" && err != nil || row.why != "" && (!errors.As(err, &no) || !strings.Contains(no.Why, row.why)) {
				t.Errorf("%v, want %q", err, row.why)
			}
		})
	}
}

func TestAScopeIsCheckedWhenItIsMade(t *testing.T) {
	fine := Scope{Watches: []string{"shop"}, MaxCount: 1, MaxFor: Duration(time.Hour), Expires: noon.AddDate(0, 1, 0)}
	if err := fine.Check([]string{"shop", "rest"}, noon); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		field  string
		change func(*Scope)
	}{
		{"watch", func(s *Scope) { s.Watches = nil }},
		{"watch", func(s *Scope) { s.Watches = []string{"shopp"} }},
		{"max-count", func(s *Scope) { s.MaxCount = 0 }},
		{"max-count", func(s *Scope) { s.MaxCount = 1 << 30 }},
		{"max-for", func(s *Scope) { s.MaxFor = 0 }},
		{"max-for", func(s *Scope) { s.MaxFor = Duration(MaxFor) + 1 }},
		{"per", func(s *Scope) { s.Per = 1 }},
		{"expires", func(s *Scope) { s.Expires = noon }},
		{"expires", func(s *Scope) { s.Expires = noon.AddDate(3, 0, 0) }},
	} {
		s := fine
		row.change(&s)
		var bad *RequestError
		if err := s.Check([]string{"shop", "rest"}, noon); !errors.As(err, &bad) || bad.Field != row.field || bad.Hint() == "" {
			t.Errorf("%s: %v", row.field, err)
		}
	}
}

func TestATokenIsKnownByItsHashAlone(t *testing.T) {
	text, id, hash := NewToken()
	again, _, _ := NewToken()
	if got, err := TokenID(text); err != nil || got != id {
		t.Errorf("id %q, %v", got, err)
	}
	if !SameToken(text, hash) || SameToken(again, hash) || SameToken(text+"0", hash) || SameToken("", hash) {
		t.Error("the hash does not tell it from others")
	}
	for _, bad := range []string{"", "tocsin_", "tocsin_" + id, text[1:], text + "0", strings.Replace(text, "_", "-", 1)} {
		if _, err := TokenID(bad); err == nil {
			t.Errorf("%q was taken for a token", bad)
		}
	}
}

// An attacker holds a token and a CA. He announces whatever he likes, whenever he likes, and issues whatever he likes.
func TestALeakedTokenHushesNoMoreThanItsScopeSays(t *testing.T) {
	watches := guarded(t)
	key := newKey(t)
	names := []string{"www.shop.example.com", "shop.example.com", "exact.example.net", "192.0.2.7", "www.example.com", "example.com", "192.0.2.99", "evil.example.org"}
	made := map[string]*cert.Certificate{}
	for i := range names {
		for j := range names {
			made[fmt.Sprint(i, j)] = certificate(t, key, nil, names[i], names[j])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := Scope{Watches: []string{"shop"}, MaxCount: rapid.IntRange(1, 4).Draw(t, "max count"), MaxFor: Duration(time.Duration(rapid.IntRange(1, 5).Draw(t, "max for")) * time.Hour),
			Expires: noon.Add(time.Duration(rapid.IntRange(1, 48).Draw(t, "expires")) * time.Hour)}
		if rapid.Bool().Draw(t, "rolling") {
			s.Per = Duration(time.Duration(rapid.IntRange(1, 24).Draw(t, "per")) * time.Hour)
		}
		most := s.Most(noon)
		now := noon
		var all []Expectation
		var history []Grant
		var revoked time.Time
		var hushed []time.Time // when each issuance was logged
		seq := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"announce": func(t *rapid.T) {
				r := Request{Count: rapid.IntRange(-1, 3).Draw(t, "count"), For: rapid.SampledFrom([]string{"1h", "2h", "5h", "6h", "90d"}).Draw(t, "for"), Reason: "trust me"}
				for range rapid.IntRange(1, 3).Draw(t, "names") {
					r.Names = append(r.Names, rapid.SampledFrom(names).Draw(t, "name"))
				}
				if rapid.Bool().Draw(t, "with key") {
					r.Keys = []string{keyHash(key)}
				} else {
					r.Issuers = []string{"ca.example"}
				}
				e, err := New(r, "thief", nil, now)
				if err != nil {
					return
				}
				d := Demand{Names: e.Names, Count: e.Count, Until: e.Until, Keyed: !e.IssuerAlone()}
				if s.Allows(d, revoked, watches, history, now) != nil {
					return
				}
				history = append(history, Grant{now, e.Count})
				all = append(all, e)
			},
			"issue": func(t *rapid.T) {
				seq++
				i, j := rapid.IntRange(0, len(names)-1).Draw(t, "one"), rapid.IntRange(0, len(names)-1).Draw(t, "two")
				c := made[fmt.Sprint(i, j)]
				id := cert.ID{seq, 1}
				by, _ := Match(all, Subject{ID: id, Cert: c, Logged: now, Issuer: facts.Issuer{Proven: true, Domains: []string{"ca.example"}}})
				if len(by) == 0 {
					return
				}
				hushed = append(hushed, now)
				for k := range all {
					if all[k].ID == by[0].ID {
						all[k].Used++
						all[k].UsedBy = append(all[k].UsedBy, id)
					}
				}
				for _, n := range []string{names[i], names[j]} {
					if len(Outside([]string{n}, watches[0].Items)) > 0 {
						t.Fatalf("a certificate for %s was hushed", n)
					}
				}
				if now.After(s.Expires) {
					t.Fatalf("a certificate was hushed after the token had expired")
				}
				if !revoked.IsZero() && now.Sub(revoked) > time.Duration(s.MaxFor) {
					t.Fatalf("a certificate was hushed long after the token was revoked")
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 180).Draw(t, "minutes")) * time.Minute)
			},
			"revoke": func(t *rapid.T) { revoked = now },
			"": func(t *rapid.T) {
				if len(hushed) > most {
					t.Fatalf("%d were hushed, and the scope says %d", len(hushed), most)
				}
				granted := 0
				for _, g := range history {
					if s.Per == 0 || now.Sub(g.At) < time.Duration(s.Per) {
						granted += g.Count
					}
				}
				if granted > s.MaxCount {
					t.Fatalf("%d were granted in one span, and the scope says %d", granted, s.MaxCount)
				}
			},
		})
	})
}
