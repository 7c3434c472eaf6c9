package policy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

var update = flag.Bool("update", false, "write the golden files anew")

// broken returns the rules that did not hold, in order.
func broken(v policy.Verdict) []string {
	var rules []string
	for _, r := range v.Reasons {
		if !r.Held {
			rules = append(rules, r.Rule)
		}
	}
	return rules
}

func TestWhatIsDecided(t *testing.T) {
	no, yes := false, true
	for _, row := range []struct {
		name   string
		change func(s *situation)
		level  policy.Level
		broken []string
	}{
		{"a certificate that touches nothing is none", func(s *situation) { s.match = nil }, policy.None, nil},
		{"a certificate with all that was promised is expected", func(s *situation) {}, policy.Expected, nil},
		{"another CA owner is a surprise", func(s *situation) { s.facts.Issuer.Owners = []string{"Financijska agencija (Fina)"} },
			policy.Alarm, []string{"issuer"}},
		{"an issuer whose owner is unknown is a surprise", func(s *situation) { s.facts.Issuer.Owners = nil }, policy.Alarm, []string{"issuer"}},
		{"one of several owners of the key suffices", func(s *situation) { s.facts.Issuer.Owners = []string{"IdenTrust Services, LLC", "DigiCert"} },
			policy.Expected, nil},
		{"an issuer is wanted by its owner's name as well", func(s *situation) { s.watch.Expect.Issuers = []string{"DigiCert"} }, policy.Expected, nil},
		{"an issuer is wanted by its owner's short name as well", func(s *situation) {
			s.watch.Expect.Issuers = []string{"let's encrypt"}
			s.facts.Issuer.Owners = []string{"Internet Security Research Group"}
		}, policy.Expected, nil},
		{"a CAA name with several owners accepts each of them", func(s *situation) { s.watch.Expect.Issuers = []string{"amazon.com"} }, policy.Expected, nil},
		{"an issuer is wanted by its key, whoever owns it", func(s *situation) {
			s.watch.Expect.Issuers = []string{"spki:D1" + strings.Repeat("00", 31)}
			s.facts.Issuer.Owners = nil
		}, policy.Expected, nil},
		{"another issuing key than the wanted one is a surprise", func(s *situation) {
			s.watch.Expect.Issuers = []string{"spki:" + strings.Repeat("07", 32)}
		}, policy.Alarm, []string{"issuer"}},
		{"an unproven issuer is never expected, whoever it says it is", func(s *situation) { s.facts.Issuer.Proven = false },
			policy.Alarm, []string{"proven", "issuer"}},
		{"an unproven issuer is never expected, even where only the key is a condition", func(s *situation) {
			s.facts.Issuer.Proven = false
			s.watch.Expect.Issuers = nil
		}, policy.Alarm, []string{"proven"}},
		{"an unproven issuer is never expected, even where its key is wanted", func(s *situation) {
			s.facts.Issuer.Proven = false
			s.watch.Expect.Issuers = []string{"spki:d1" + strings.Repeat("00", 31)}
		}, policy.Alarm, []string{"proven", "issuer"}},
		{"the right CA for another key is a surprise", func(s *situation) {
			s.cert.SPKI, s.facts.Key = theirKey, facts.Key{SPKI: theirKey}
		}, policy.Alarm, []string{"key"}},
		{"a key that is ours, but not among the keys of this watch, is a surprise", func(s *situation) {
			s.facts.Key.Holdings[0].Entry = "file:/etc/other"
		}, policy.Alarm, []string{"key"}},
		{"a key that is written down is ours", func(s *situation) {
			s.watch.Expect.Keys = []string{"spki:01" + strings.Repeat("00", 31)}
			s.facts.Key.Holdings = nil
		}, policy.Expected, nil},
		{"facts about another key are no facts", func(s *situation) { s.facts.Key.SPKI = theirKey }, policy.Alarm, []string{"key"}},
		{"a key that cannot be read is never ours", func(s *situation) {
			s.cert.SPKI, s.facts.Key.SPKI = [32]byte{}, [32]byte{}
			s.watch.Expect.Keys = []string{"spki:" + strings.Repeat("00", 32)}
		}, policy.Alarm, []string{"key"}},
		{"a validity one second too long is a surprise", func(s *situation) { s.cert.NotAfter = s.cert.NotAfter.Add(time.Second) },
			policy.Alarm, []string{"validity"}},
		{"a validity of eight thousand years is a surprise", func(s *situation) { s.cert.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) },
			policy.Alarm, []string{"validity"}},
		{"a validity that cannot be read is a surprise", func(s *situation) { s.cert.NotAfter = time.Time{} }, policy.Alarm, []string{"validity"}},
		{"a validity that ends before it begins is a surprise", func(s *situation) { s.cert.NotAfter = start.Add(-time.Hour) },
			policy.Alarm, []string{"validity"}},
		{"a wildcard is allowed where nothing is said of it", func(s *situation) {
			s.watch.Expect.AllowWildcard = nil
			s.touch(name(cert.InDNS, "*.example.com"), 0)
		}, policy.Expected, nil},
		{"a wildcard where none is allowed is a surprise", func(s *situation) {
			s.watch.Expect.AllowWildcard = &no
			s.touch(name(cert.InDNS, "*.example.com"), 0)
		}, policy.Alarm, []string{"wildcard"}},
		{"a wildcard over a top-level domain is never expected", func(s *situation) {
			s.watch.Expect.AllowForeignNames = &yes
			s.touch(name(cert.InDNS, "*.com"), 0)
		}, policy.Alarm, []string{"wildcard-broad"}},
		{"a name of somebody else is a surprise where foreign names are not allowed", func(s *situation) {
			s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, "test1.example.net"))
		}, policy.Alarm, []string{"foreign-name"}},
		{"an address of somebody else is a surprise where foreign names are not allowed", func(s *situation) {
			s.cert.Idents = append(s.cert.Idents, addr("198.51.100.1"))
		}, policy.Alarm, []string{"foreign-name"}},
		{"a name that only ends like ours is foreign", func(s *situation) {
			s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, "badexample.com"))
		}, policy.Alarm, []string{"foreign-name"}},
		{"a name beneath an exact one is foreign", func(s *situation) {
			s.watch.Items = items(t, "=www.example.com")
			s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, "a.www.example.com"))
		}, policy.Alarm, []string{"foreign-name"}},
		{"a foreign common name is foreign", func(s *situation) {
			s.cert.Idents = append(s.cert.Idents, name(cert.InCN, "www.example.net"))
		}, policy.Alarm, []string{"foreign-name"}},
		{"a firm's name as common name is not foreign", func(s *situation) {
			s.cert.Idents = append(s.cert.Idents, name(cert.InCN, "example shop ltd."))
		}, policy.Expected, nil},
		{"names and addresses of the same watch are not foreign", func(s *situation) { s.touch(addr("192.0.2.7"), 1) }, policy.Expected, nil},
		{"foreign names are allowed where nothing is said of them", func(s *situation) {
			s.watch.Expect.AllowForeignNames = nil
			s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, "www.example.net"))
		}, policy.Expected, nil},
		{"a match found only by searching the bytes is never expected", func(s *situation) { s.match[0].Where = cert.InRaw },
			policy.Alarm, []string{"unreadable"}},
		{"a certificate of which a part is lost is never expected", func(s *situation) { s.cert.Incomplete = true },
			policy.Alarm, []string{"unreadable"}},
		{"empty basic constraints are expected", func(s *situation) { s.constrain("\x30\x00") }, policy.Expected, nil},
		{"basic constraints with FALSE written out are expected", func(s *situation) { s.constrain("\x30\x03\x01\x01\x00") }, policy.Expected, nil},
		{"basic constraints that cannot be read are never expected", func(s *situation) { s.constrain("") }, policy.Alarm, []string{"unreadable"}},
		{"basic constraints that say both are never expected", func(s *situation) {
			s.constrain("\x30\x06\x01\x01\x00\x01\x01\xff")
		}, policy.Alarm, []string{"unreadable"}},
		{"two basic constraints are never expected", func(s *situation) {
			s.constrain("\x30\x00")
			s.constrain("\x30\x00")
		}, policy.Alarm, []string{"unreadable"}},
		{"a CA certificate is never expected", func(s *situation) { s.cert.CA, s.cert.BasicConstraints = true, true },
			policy.Alarm, []string{"ca-certificate"}},
		{"a surprise has the level that the watch gives it", func(s *situation) {
			s.watch.Surprise = policy.Page
			s.facts.Issuer.Owners = nil
		}, policy.Page, []string{"issuer"}},
		{"a surprising name may be left to the digest", func(s *situation) {
			s.watch.Surprise = policy.Digest
			s.facts.Issuer.Owners = nil
		}, policy.Digest, []string{"issuer"}},
		{"a surprising address rings even where names are left to the digest", func(s *situation) {
			s.watch.Surprise = policy.Digest
			s.facts.Issuer.Owners = nil
			s.touch(addr("192.0.2.7"), 1)
		}, policy.Alarm, []string{"issuer"}},
		{"without expect a name is for the digest", func(s *situation) { s.watch.Expect = nil }, policy.Digest, []string{"no-expect-name"}},
		{"without expect an address rings", func(s *situation) {
			s.watch.Expect, s.match = nil, nil
			s.touch(addr("192.0.2.7"), 1)
		}, policy.Alarm, []string{"no-expect-address"}},
		{"without expect an address beside a name rings", func(s *situation) {
			s.watch.Expect = nil
			s.touch(addr("192.0.2.7"), 1)
		}, policy.Alarm, []string{"no-expect-address", "no-expect-name"}},
		{"without expect an address rings even where the list of matches was cut before it", func(s *situation) {
			s.watch.Expect = nil
			s.cert.Idents = append(s.cert.Idents, addr("192.0.2.7"))
		}, policy.Alarm, []string{"no-expect-name", "no-expect-address"}},
		{"a surprising address rings even where the list of matches was cut before it", func(s *situation) {
			s.watch.Surprise = policy.Digest
			s.facts.Issuer.Owners = nil
			s.cert.Idents = append(s.cert.Idents, addr("192.0.2.7"))
		}, policy.Alarm, []string{"issuer"}},
		{"without expect the watch's own surprise counts where it is louder", func(s *situation) {
			s.watch.Expect, s.watch.Surprise = nil, policy.Page
		}, policy.Page, []string{"no-expect-name"}},
		{"without expect an address rings whatever the surprise", func(s *situation) {
			s.watch.Expect, s.watch.Surprise = nil, policy.Digest
			s.touch(addr("192.0.2.7"), 1)
		}, policy.Alarm, []string{"no-expect-address", "no-expect-name"}},
		{"several broken conditions are all told", func(s *situation) {
			s.facts.Issuer.Owners, s.facts.Key, s.cert.SPKI = nil, facts.Key{SPKI: theirKey}, theirKey
			s.cert.NotAfter = start.AddDate(1, 0, 0)
		}, policy.Alarm, []string{"issuer", "key", "validity"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := promised(t)
			row.change(s)
			v := s.decide(t)
			if v.Level != row.level {
				t.Errorf("level %s, want %s", v.Level, row.level)
			}
			if diff := cmp.Diff(row.broken, broken(v)); diff != "" {
				t.Errorf("broken rules (-want +got):\n%s", diff)
			}
			for _, r := range v.Reasons {
				if r.Rule == "" || r.Watch == "" || r.Item == "" || r.Observed == "" || r.Wanted == "" || r.Config == "" || r.Text == "" {
					t.Errorf("the reason leaves something out: %+v", r)
				}
			}
		})
	}
}

func TestTheVerdictIsTheHighestOfItsWatches(t *testing.T) {
	s := promised(t)
	other := policy.Watch{Name: "names", Items: items(t, "example.com"), Config: "tocsin.yaml:20"}
	page := policy.Watch{Name: "addresses", Owner: "noc", Items: items(t, "192.0.2.0/24"), Surprise: policy.Page, Config: "tocsin.yaml:30"}
	s.match = append(s.match, watch.Match{Watch: 2, Where: cert.InIP, Normal: "192.0.2.1"}, watch.Match{Watch: 1, Where: cert.InDNS, Normal: "www.example.com"})
	v := policy.Decide(policy.Input{Matches: s.match, Cert: &s.cert, Facts: s.facts, Rules: compile(t, s.watch, other, page)})
	want := []policy.Outcome{
		{Watch: "shop", Owner: "web-team", Level: policy.Expected},
		{Watch: "names", Level: policy.Digest},
		{Watch: "addresses", Owner: "noc", Level: policy.Page},
	}
	if diff := cmp.Diff(want, v.Watches); diff != "" || v.Level != policy.Page {
		t.Errorf("level %s, watches (-want +got):\n%s", v.Level, diff)
	}
}

func TestAMatchOfNoKnownWatchRings(t *testing.T) {
	v := policy.Decide(policy.Input{Matches: []watch.Match{{Watch: 7, Item: -1, Normal: "a.example.com"}}})
	if v.Level != policy.Alarm {
		t.Errorf("level %s, want alarm: %+v", v.Level, v.Reasons)
	}
}

func TestIssuerAloneIsSaidInEachVerdict(t *testing.T) {
	s := promised(t)
	s.watch.Expect.Keys = nil
	v := s.decide(t)
	if v.Level != policy.Expected {
		t.Errorf("level %s, want expected", v.Level)
	}
	i := slices.IndexFunc(v.Reasons, func(r policy.Reason) bool { return r.Rule == policy.RuleIssuerAlone })
	if i < 0 || v.Reasons[i].Text != "an expectation by issuer alone cannot see an attack through the same CA" {
		t.Errorf("reasons %+v", v.Reasons)
	}
	s = promised(t)
	if v := s.decide(t); slices.ContainsFunc(v.Reasons, func(r policy.Reason) bool { return r.Rule == policy.RuleIssuerAlone }) {
		t.Error("said although keys are compared")
	}
}

func TestReasonsOfAHugeHostileCertificateAreShortAndSafe(t *testing.T) {
	s := promised(t)
	for i := range 10_000 {
		n := strings.Repeat("a", i%40) + "\x1b[2J\n" + strings.Repeat("é", i%500) + ".example.net"
		s.touch(name(cert.InDNS, n), 0)
	}
	v := s.decide(t)
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) > 16<<10 {
		t.Errorf("%d bytes of verdict", len(out))
	}
	for _, r := range v.Reasons {
		if strings.ContainsAny(r.Text+r.Observed, "\x1b\n") {
			t.Errorf("control characters reach the reader: %q", r.Text)
		}
	}
}

func TestVerdictsAsJSON(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(s *situation)
	}{
		{"expected", func(s *situation) {}},
		{"surprise", func(s *situation) {
			s.watch.Surprise = policy.Page
			s.facts.Issuer.Owners, s.facts.Issuer.Note = []string{"Financijska agencija (Fina)"}, "the issuing key belongs to Financijska agencija (Fina) (CCADB names it)"
			s.cert.SPKI, s.facts.Key = theirKey, facts.Key{SPKI: theirKey}
			s.cert.NotAfter = start.AddDate(1, 0, 0)
			s.touch(addr("192.0.2.7"), 1)
			s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, "test1.example.net"))
		}},
		{"nothing-expected", func(s *situation) { s.watch.Expect = nil; s.touch(addr("192.0.2.7"), 1) }},
		{"none", func(s *situation) { s.match = nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := promised(t)
			row.change(s)
			got, err := json.MarshalIndent(s.decide(t), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := filepath.Join("testdata", row.name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s (-want +got); run with -update when the change is meant, and raise Version:\n%s", file, cmp.Diff(string(want), string(got)))
			}
			var back policy.Verdict
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.decide(t), back); diff != "" {
				t.Errorf("does not survive JSON (-want +got):\n%s", diff)
			}
		})
	}
}
