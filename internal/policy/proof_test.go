package policy_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// harm is one change of certificate, facts or matches that can only make a certificate more suspect.
var harm = map[string]func(s *situation){
	"issuer unproven":    func(s *situation) { s.facts.Issuer.Proven = false },
	"owner unknown":      func(s *situation) { s.facts.Issuer.Owners = nil },
	"other owner":        func(s *situation) { s.facts.Issuer.Owners = []string{"Financijska agencija (Fina)"} },
	"other issuing key":  func(s *situation) { s.facts.Issuer.SPKI = [32]byte{0xee} },
	"key not ours":       func(s *situation) { s.facts.Key.Holdings = nil },
	"other key":          func(s *situation) { s.cert.SPKI, s.facts.Key = theirKey, facts.Key{SPKI: theirKey} },
	"key unreadable":     func(s *situation) { s.cert.SPKI = [32]byte{} },
	"longer":             func(s *situation) { s.cert.NotAfter = s.cert.NotAfter.AddDate(1, 0, 0) },
	"end unreadable":     func(s *situation) { s.cert.NotAfter = time.Time{} },
	"wildcard":           func(s *situation) { s.touch(name(cert.InDNS, "*.example.com"), 0) },
	"broad wildcard":     func(s *situation) { s.touch(name(cert.InDNS, "*.com"), 0) },
	"foreign name":       func(s *situation) { s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, "example.net")) },
	"foreign address":    func(s *situation) { s.cert.Idents = append(s.cert.Idents, addr("203.0.113.9")) },
	"our address":        func(s *situation) { s.touch(addr("192.0.2.7"), 1) },
	"raw match":          func(s *situation) { s.match = append(s.match, watch.Match{Where: cert.InRaw, Value: "example.com"}) },
	"incomplete":         func(s *situation) { s.cert.Incomplete = true },
	"CA":                 func(s *situation) { s.cert.CA = true },
	"constraints broken": func(s *situation) { s.constrain("") },
}

func drawSituation(t *rapid.T, tb testing.TB) *situation {
	s := promised(tb)
	maybe := func(label string) bool { return rapid.Bool().Draw(t, label) }
	flag := func(label string) *bool {
		switch rapid.IntRange(0, 2).Draw(t, label) {
		case 0:
			return nil
		case 1:
			return new(true)
		}
		return new(false)
	}
	e := s.watch.Expect
	if maybe("no issuers") {
		e.Issuers = nil
	}
	if maybe("no keys") && e.Issuers != nil {
		e.Keys = nil
	}
	if maybe("no max_validity") {
		e.MaxValidity = 0
	}
	e.AllowWildcard, e.AllowForeignNames = flag("allow_wildcard"), flag("allow_foreign_names")
	if maybe("no expect") {
		s.watch.Expect = nil
	}
	s.watch.Surprise = rapid.SampledFrom([]policy.Level{policy.None, policy.Digest, policy.Alarm, policy.Page}).Draw(t, "surprise")
	for _, h := range rapid.SliceOfN(rapid.SampledFrom(keys(harm)), 0, 4).Draw(t, "harm before") {
		harm[h](s)
	}
	return s
}

// keys are sorted, or a found counterexample could not be replayed.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func TestNothingSuspectEverLowersAVerdict(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		before := s.decide(t)
		h := rapid.SampledFrom(keys(harm)).Draw(rt, "harm")
		harm[h](s)
		if after := s.decide(t); after.Level < before.Level {
			rt.Fatalf("%q lowers %s to %s", h, before.Level, after.Level)
		}
	})
}

func TestAFurtherConditionNeverLowersAVerdict(t *testing.T) {
	add := map[string]func(e *policy.Expect){
		"issuers":             func(e *policy.Expect) { e.Issuers = []string{"digicert.com"} },
		"keys":                func(e *policy.Expect) { e.Keys = []string{keysEntry} },
		"max_validity":        func(e *policy.Expect) { e.MaxValidity = 10 * 24 * time.Hour },
		"allow_wildcard":      func(e *policy.Expect) { e.AllowWildcard = new(false) },
		"allow_foreign_names": func(e *policy.Expect) { e.AllowForeignNames = new(false) },
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		if s.watch.Expect == nil {
			return
		}
		before := s.decide(t)
		c := rapid.SampledFrom(keys(add)).Draw(rt, "condition")
		add[c](s.watch.Expect)
		if after := s.decide(t); after.Level < before.Level {
			rt.Fatalf("%s lowers %s to %s", c, before.Level, after.Level)
		}
	})
}

func TestAnUnprovenIssuerIsNeverExpected(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		s.facts.Issuer.Proven = false
		if v := s.decide(t); v.Level <= policy.Expected {
			rt.Fatalf("%s: %+v", v.Level, v.Reasons)
		}
	})
}

func TestASurpriseAlwaysHasABrokenClauseAndAnExpectedOneNever(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := drawSituation(rt, t).decide(t)
		if n := len(broken(v)); (n == 0) != (v.Level == policy.Expected) {
			rt.Fatalf("%s with %d broken clauses: %+v", v.Level, n, v.Reasons)
		}
	})
}
