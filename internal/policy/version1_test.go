package policy_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// version1 is what version 1 of the policy made of clauses, without rules: the level of a watch by its broken clauses
// and by what is touched. It is kept to hold the built-in rules against.
func version1(s *situation, v policy.Verdict) policy.Level {
	isAddress := func(m watch.Match) bool { return s.watch.Items[m.Item].Prefix.IsValid() }
	addressed := slices.ContainsFunc(s.match, isAddress)
	for _, id := range s.cert.Idents { // lists of matches may be cut
		addressed = addressed || id.Prefix.IsValid() && slices.ContainsFunc(s.watch.Items, func(i watch.Item) bool {
			return i.Prefix.IsValid() && i.Prefix.Overlaps(id.Prefix)
		})
	}
	surprise := s.watch.Surprise
	switch {
	case s.watch.Expect == nil:
		level := policy.None
		if slices.ContainsFunc(s.match, func(m watch.Match) bool { return !isAddress(m) }) {
			level = max(surprise, policy.Digest)
		}
		if addressed {
			level = max(surprise, policy.Alarm)
		}
		return level
	case len(broken(v)) == 0:
		return policy.Expected
	}
	if surprise < policy.Digest {
		surprise = policy.Alarm
	}
	if addressed {
		surprise = max(surprise, policy.Alarm)
	}
	return surprise
}

func TestTheBuiltInRulesDecideAsVersion1Did(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		v := s.decide(t)
		if want := version1(s, v); v.Level != want {
			rt.Fatalf("%s, version 1 said %s: %+v", v.Level, want, v.Reasons)
		}
	})
}

// What version 1 did not look at is told, and does not ring: but for names of reverse zones, for which no CA may issue.
func TestWhatIsLookedAtSinceVersion2(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(s *situation)
		level  policy.Level
		rule   string
	}{
		{"a usage beside TLS", func(s *situation) { s.cert.ExtKeyUsage = []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.9"} }, policy.Digest, "unexpected-usage"},
		{"server and client", func(s *situation) { s.cert.ExtKeyUsage = []string{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"} }, policy.Expected, ""},
		{"an encoding that a strict reader refuses", func(s *situation) { s.cert.Oddities = []cert.Oddity{{Code: "serial-negative"}} }, policy.Digest, "malformed-encoding"},
		{"the text around a certificate in a file", func(s *situation) { s.cert.Oddities = []cert.Oddity{{Code: "pem-text"}} }, policy.Expected, ""},
		{"an SCT three days after notBefore", func(s *situation) { s.cert.SCTs = []cert.SCT{{Timestamp: start.AddDate(0, 0, 3)}} }, policy.Digest, "backdated"},
		{"an SCT an hour after notBefore", func(s *situation) { s.cert.SCTs = []cert.SCT{{Timestamp: start.Add(3600e9)}} }, policy.Expected, ""},
		{"an entry long before notBefore", func(s *situation) { s.logged = start.AddDate(0, 0, -5) }, policy.Digest, "backdated"},
		{"a name of a reverse zone", func(s *situation) {
			id := addr("192.0.2.7")
			id.Where, id.Raw, id.Odd = cert.InDNS, []byte("7.2.0.192.in-addr.arpa"), "ip-arpa"
			s.touch(id, 1)
		}, policy.Alarm, "reverse-zone"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := promised(t)
			row.change(s)
			v := s.decide(t)
			if v.Level != row.level || (len(v.Fired) == 1) != (row.rule != "") || row.rule != "" && v.Fired[0].Rule != row.rule {
				t.Errorf("%s with %+v, want %s with %q", v.Level, v.Fired, row.level, row.rule)
			}
			if row.rule != "" && !slices.Contains(broken(v), row.rule) {
				t.Errorf("no reason names the rule: %+v", v.Reasons)
			}
		})
	}
}
