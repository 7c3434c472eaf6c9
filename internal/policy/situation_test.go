package policy_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/policy/rule"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

var (
	ourKey    = [32]byte{1}
	theirKey  = [32]byte{2}
	issuerKey = [32]byte{0xd1}
	start     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	keysEntry = "file:/etc/tocsin/keys"
)

func items(t testing.TB, texts ...string) []watch.Item {
	t.Helper()
	var all []watch.Item
	for i, text := range texts {
		item := watch.Item{Text: text, Place: watch.Place{File: "tocsin.yaml", Line: 5 + i}}
		if p, err := netip.ParsePrefix(text); err == nil {
			item.Prefix = p
		} else if a, err := netip.ParseAddr(text); err == nil {
			item.Prefix = netip.PrefixFrom(a, a.BitLen())
		} else {
			item.Name, item.Exact = strings.CutPrefix(text, "=")
		}
		all = append(all, item)
	}
	return all
}

func name(where cert.Where, n string) cert.Ident {
	return cert.Ident{Where: where, Raw: []byte(n), Name: []byte(n)}
}

func addr(a string) cert.Ident {
	ip := netip.MustParseAddr(a)
	return cert.Ident{Where: cert.InIP, Raw: ip.AsSlice(), Prefix: netip.PrefixFrom(ip, ip.BitLen())}
}

// situation is one certificate before one watch, which is touched by the first identity through the first item.
type situation struct {
	watch policy.Watch
	cert  cert.Certificate
	facts facts.Facts
	match []watch.Match
	// logged is when a log gave it, rules are those of the operator in a file.
	logged time.Time
	rules  string
	now    time.Time
}

// promised is the situation in which all that can be promised holds.
func promised(t testing.TB) *situation {
	yes, no := true, false
	s := &situation{
		watch: policy.Watch{
			Name: "shop", Owner: "web-team", Items: items(t, "example.com", "192.0.2.0/24"), Config: "tocsin.yaml:3",
			Expect: &policy.Expect{
				Issuers: []string{"digicert.com"}, Keys: []string{keysEntry}, MaxValidity: 90 * 24 * time.Hour,
				AllowWildcard: &yes, AllowForeignNames: &no, Config: "tocsin.yaml:8",
				Places: map[string]string{"issuers": "tocsin.yaml:9", "keys": "tocsin.yaml:10", "max_validity": "tocsin.yaml:11"},
			},
		},
		cert: cert.Certificate{
			SPKI: ourKey, NotBefore: start, NotAfter: start.Add(90*24*time.Hour - time.Second), PathLen: -1,
			Idents: []cert.Ident{name(cert.InDNS, "www.example.com"), name(cert.InCN, "www.example.com")},
		},
		facts: facts.Facts{
			Issuer: facts.Issuer{SPKI: issuerKey, Proven: true, Why: "proven: the signature verifies under this key",
				Name: "CN=DigiCert Test CA", Owners: []string{"DigiCert"}, Basis: facts.BasisCCADB,
				Domains: []string{"digicert.com"}, Note: "the issuing key belongs to DigiCert (CCADB names it)"},
			Key: facts.Key{SPKI: ourKey, Owned: true, Source: "/etc/tocsin/keys/www.pem",
				Holdings: []facts.Holding{{Entry: keysEntry, File: "/etc/tocsin/keys/www.pem"}}},
		},
		match: []watch.Match{{Where: cert.InDNS, Value: "www.example.com", Normal: "www.example.com"}},
	}
	return s
}

func (s *situation) touch(id cert.Ident, item int) {
	s.cert.Idents = append(s.cert.Idents, id)
	normal := string(id.Name)
	if id.Prefix.IsValid() {
		normal = id.Prefix.Addr().String()
	}
	s.match = append(s.match, watch.Match{Item: item, Where: id.Where, Value: string(id.Raw), Normal: normal})
}

func (s *situation) constrain(value string) {
	s.cert.Extensions = append(s.cert.Extensions, cert.Extension{ID: "2.5.29.19", Value: []byte(value)})
}

func owners(t testing.TB) *facts.Owners {
	t.Helper()
	o, err := facts.LoadOwners()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func compile(t testing.TB, w ...policy.Watch) *policy.Rules {
	t.Helper()
	r, err := policy.Compile(w, owners(t))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *situation) decide(t testing.TB) policy.Verdict {
	t.Helper()
	return policy.Decide(s.input(t))
}

func (s *situation) input(t testing.TB) policy.Input {
	t.Helper()
	rules := compile(t, s.watch)
	if s.rules != "" {
		set, err := rule.New([]rule.File{{Path: "rules.yaml", Text: []byte(s.rules)}})
		if err != nil {
			t.Fatal(err)
		}
		rules = rules.With(set)
	}
	now := s.now
	if now.IsZero() {
		now = start
	}
	return policy.Input{Matches: s.match, Cert: &s.cert, Facts: s.facts, Rules: rules, Logged: s.logged, Now: now}
}
