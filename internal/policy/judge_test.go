package policy_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/policy/rule"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// another gives the certificate the key of somebody else: what only the journal or an announcement can heal.
func another(s *situation) { s.cert.SPKI, s.facts.Key = theirKey, facts.Key{SPKI: theirKey} }

func announced(alone bool) []facts.Announced {
	return []facts.Announced{{ID: "x1", Reason: "CHG-7", By: "dana", IssuerAlone: alone}}
}

func TestWhatFactsOfOursMakeOfASurprise(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(s *situation)
		level  policy.Level
		uses   []string
	}{
		{"a key that the journal knows is ours", func(s *situation) { another(s); s.facts.Journal = facts.Journal{Known: true, Source: "/etc/le"} }, policy.Expected, nil},
		{"the journal makes no CA expected", func(s *situation) {
			s.facts.Issuer.Owners = nil
			s.facts.Journal = facts.Journal{Known: true, Certificate: true}
		}, policy.Alarm, nil},
		{"an observed key is no key of ours", func(s *situation) { another(s); s.facts.Key.Observed = true }, policy.Alarm, nil},
		{"an announced issuance is expected", func(s *situation) {
			another(s)
			s.facts.Issuer.Owners = nil
			s.facts.Announced = announced(false)
		}, policy.Expected, []string{"x1"}},
		{"an announced address is expected", func(s *situation) { another(s); s.touch(addr("192.0.2.7"), 1); s.facts.Announced = announced(false) },
			policy.Expected, []string{"x1"}},
		{"an announcement by the CA alone does not count where keys are compared", func(s *situation) { another(s); s.facts.Announced = announced(true) }, policy.Alarm, nil},
		{"an announcement by the CA alone counts where the watch compares no keys either", func(s *situation) {
			s.watch.Expect.Keys = nil
			s.facts.Issuer.Owners = nil
			s.facts.Announced = announced(true)
		}, policy.Expected, []string{"x1"}},
		{"an announcement by the CA alone does not count where nothing is expected", func(s *situation) { s.watch.Expect = nil; s.facts.Announced = announced(true) },
			policy.Digest, nil},
		{"an announced issuance is expected where nothing else is", func(s *situation) { s.watch.Expect = nil; s.facts.Announced = announced(false) },
			policy.Expected, []string{"x1"}},
		{"an announcement is not used where all holds without it", func(s *situation) { s.facts.Announced = announced(false) }, policy.Expected, nil},
		{"an announced CA certificate is never expected", func(s *situation) { s.cert.CA = true; s.facts.Announced = announced(false) }, policy.Alarm, nil},
		{"an announced certificate that cannot be read is never expected", func(s *situation) { s.cert.Incomplete = true; s.facts.Announced = announced(false) }, policy.Alarm, nil},
		{"an announced certificate of an unproven issuer is never expected", func(s *situation) {
			s.facts.Issuer.Proven = false
			s.facts.Announced = announced(false)
		}, policy.Alarm, nil},
		{"nor is it where nothing is expected", func(s *situation) {
			s.watch.Expect, s.facts.Issuer.Proven = nil, false
			s.facts.Announced = announced(false)
		}, policy.Digest, nil},
		{"an announced wildcard over com is never expected", func(s *situation) { s.touch(name(cert.InDNS, "*.com"), 0); s.facts.Announced = announced(false) }, policy.Alarm, nil},
		{"a CA that CAA forbids rings though all is promised", func(s *situation) {
			s.facts.CAA = []facts.CAA{{Name: "a.example.com", Answer: facts.CAAAllows}, {Name: "www.example.com", Answer: facts.CAAForbids, Wanted: []string{"pki.goog"}}}
		}, policy.Alarm, nil},
		{"a CA that CAA allows is silent", func(s *situation) { s.facts.CAA = []facts.CAA{{Name: "www.example.com", Answer: facts.CAAAllows}} }, policy.Expected, nil},
		{"the first use of a CA is told", func(s *situation) { s.facts.Past = facts.Past{Known: true, FirstUse: true} }, policy.Digest, nil},
		{"issued and revoked within a day rings", func(s *situation) { s.facts.Revoked = facts.Revoked{Known: true, At: start.Add(2 * time.Hour)} }, policy.Alarm, nil},
		{"revoked later is silent", func(s *situation) { s.facts.Revoked = facts.Revoked{Known: true, At: start.AddDate(0, 1, 0)} }, policy.Expected, nil},
		{"a look-alike is told where it is asked for", func(s *situation) {
			s.watch.Lookalike = true
			s.watch.Expect.AllowForeignNames = nil
			s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, "examp1e.com"))
		}, policy.Digest, nil},
		{"and not where nobody asked", func(s *situation) {
			s.watch.Expect.AllowForeignNames = nil
			s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, "examp1e.com"))
		}, policy.Expected, nil},
		{"what only resembles ours breaks no promise", func(s *situation) {
			s.watch.Lookalike, s.watch.Surprise = true, policy.Page
			another(s)
			s.facts.Issuer = facts.Issuer{}
			s.cert.Idents = []cert.Ident{name(cert.InDNS, "examp1e.com")}
			s.match = []watch.Match{{Item: 0, Where: cert.InDNS, Normal: "examp1e.com", Odd: policy.LookAlike}}
		}, policy.Digest, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := promised(t)
			row.change(s)
			v := s.decide(t)
			if v.Level != row.level || !slices.Equal(v.Uses, row.uses) {
				t.Errorf("%s, uses %q; want %s, %q: %+v", v.Level, v.Uses, row.level, row.uses, v.Reasons)
			}
		})
	}
}

func TestAnAnnouncementIsNamedInTheReasons(t *testing.T) {
	s := promised(t)
	s.watch.Expect.Keys = nil
	s.facts.Issuer.Owners = nil
	s.facts.Announced = announced(true)
	v := s.decide(t)
	i := slices.IndexFunc(v.Reasons, func(r policy.Reason) bool { return r.Rule == policy.RuleAnnounced })
	if i < 0 || !v.Reasons[i].Held || !strings.Contains(v.Reasons[i].Text, "x1, CHG-7, by dana") || !strings.Contains(v.Reasons[i].Text, "same-CA attacks pass") {
		t.Errorf("%+v", v.Reasons)
	}
}

func TestHowLongTheRingMayWait(t *testing.T) {
	const settle = 15 * time.Minute
	for _, row := range []struct {
		name   string
		change func(s *situation)
		wait   time.Duration
	}{
		{"a key that the journal may still bring waits", another, settle},
		{"nothing waits where settle is 0", func(s *situation) { another(s); s.watch.Expect.Settle = 0 }, 0},
		{"another CA does not wait, whatever the key", func(s *situation) { another(s); s.facts.Issuer.Owners = nil }, 0},
		{"too long a validity does not wait", func(s *situation) { another(s); s.cert.NotAfter = s.cert.NotAfter.AddDate(1, 0, 0) }, 0},
		{"an address does not wait", func(s *situation) { another(s); s.touch(addr("192.0.2.7"), 1) }, 0},
		{"an address behind a list of matches that was cut does not wait", func(s *situation) {
			another(s)
			s.watch.Surprise = policy.Digest
			s.cert.Idents = append(s.cert.Idents, addr("192.0.2.7"))
		}, 0},
		{"page does not wait", func(s *situation) { another(s); s.watch.Surprise = policy.Page }, 0},
		{"a rule that rings for something else does not wait", func(s *situation) {
			another(s)
			s.facts.CAA = []facts.CAA{{Name: "www.example.com", Answer: facts.CAAForbids}}
		}, 0},
		{"one that is only told beside it waits", func(s *situation) { another(s); s.cert.Oddities = []cert.Oddity{{Code: "serial-negative"}} }, settle},
		{"what does not ring has nothing to wait for", func(s *situation) { another(s); s.watch.Surprise = policy.Digest }, 0},
		{"what is expected has nothing to wait for", func(s *situation) {}, 0},
		{"a key that cannot be read will be in no journal", func(s *situation) { s.cert.SPKI = [32]byte{} }, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := promised(t)
			s.watch.Expect.Settle = settle
			row.change(s)
			if v := s.decide(t); v.Wait != row.wait {
				t.Errorf("%s waits %s, want %s: %+v", v.Level, v.Wait, row.wait, v.Reasons)
			}
		})
	}
}

func TestNoWatchWaitsForAnother(t *testing.T) {
	s := promised(t)
	another(s)
	s.watch.Expect.Settle = 15 * time.Minute
	other := policy.Watch{Name: "names", Items: items(t, "example.com"), Surprise: policy.Alarm, Config: "tocsin.yaml:20"}
	in := s.input(t)
	in.Rules = compile(t, s.watch, other)
	in.Matches = append(in.Matches, watch.Match{Watch: 1, Where: cert.InDNS, Normal: "www.example.com"})
	if v := policy.Decide(in); v.Wait != 0 {
		t.Errorf("waits %s, though another watch rings at once", v.Wait)
	}
}

const exception = `rules:
  - id: unlisted-issuer
    except:
      - {name: black-friday, when: 'cert.issuer.owner == "Example CDN" and under(cert.names, "example.com")', until: 2026-01-15, reason: 'CHG-1882, dana@example.com'}
  - id: own-simulated
    title: Names of the shop
    severity: simulate
    when: touches(cert.names, "www.example.com")
    tests: [{name: fires, cert: {names: [www.example.com]}, expect: simulate}, {name: silent, expect: none}]
`

func TestExceptionsAreNamedAndEnd(t *testing.T) {
	s := promised(t)
	s.rules = exception
	s.facts.Issuer.Owners = []string{"Example CDN"}
	s.now = time.Date(2026, 1, 15, 23, 59, 59, 0, time.UTC)
	v := s.decide(t)
	if v.Level != policy.Expected {
		t.Errorf("excepted, and %s", v.Level)
	}
	const want = "black-friday until 2026-01-15: CHG-1882, dana@example.com"
	i := slices.IndexFunc(v.Reasons, func(r policy.Reason) bool { return r.Rule == policy.RuleException })
	if i < 0 || !strings.Contains(v.Reasons[i].Text, "unlisted-issuer") || !strings.Contains(v.Reasons[i].Text, want) || v.Reasons[i].Config != "rules.yaml:4" {
		t.Errorf("reasons %+v", v.Reasons)
	}
	got := map[string]string{}
	for _, f := range v.Fired {
		got[f.Rule] = f.Level.String() + " " + f.Excepted
	}
	if diff := cmp.Diff(map[string]string{"unlisted-issuer": "none " + want, "own-simulated": "none "}, got); diff != "" {
		t.Errorf("fired (-want +got):\n%s", diff)
	}
	s.now = time.Date(2026, 1, 16, 0, 0, 0, 0, time.UTC)
	if v := s.decide(t); v.Level != policy.Alarm {
		t.Errorf("over, and %s", v.Level)
	}
	s.now = start
	s.touch(addr("192.0.2.7"), 1)
	v = s.decide(t)
	if v.Level != policy.Alarm || !slices.ContainsFunc(v.Fired, func(f policy.Fired) bool { return f.Rule == "address-surprise" && f.Level == policy.Alarm }) {
		t.Errorf("an address under an exception is %s: %+v", v.Level, v.Fired)
	}
}

// hush draws a file of rules that does all that rules can do to be quiet.
func hush(t *rapid.T) string {
	builtin, err := rule.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("rules:\n")
	for _, id := range builtin.IDs() {
		severity := rapid.SampledFrom([]string{"expected", "digest", "simulate", "alarm", "surprise", "page"}).Draw(t, id)
		switch rapid.IntRange(0, 2).Draw(t, "how "+id) {
		case 0:
			fmt.Fprintf(&b, "  - {id: %s, severity: %s}\n", id, severity)
		case 1:
			fmt.Fprintf(&b, "  - {id: %s, severity: %s, except: [{name: all, when: 'true', until: 2030-01-01, reason: because}]}\n", id, severity)
		case 2:
			fmt.Fprintf(&b, "  - {id: %s, title: never, severity: %s, when: 'false'}\n", id, severity)
		}
	}
	return b.String()
}

func TestNoRulesFileMakesAnAddressSurpriseQuieterThanAlarm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		s.touch(addr("192.0.2.7"), 1)
		if before := s.decide(t); before.Level == policy.Expected {
			return
		}
		s.rules = hush(rt)
		if v := s.decide(t); v.Level < policy.Alarm {
			rt.Fatalf("%s: %+v\n%s", v.Level, v.Reasons, s.rules)
		}
	})
}

func TestNoRulesFileMakesWhatIsNeverExpectedExpected(t *testing.T) {
	never := map[string]func(s *situation){
		"unproven": func(s *situation) { s.facts.Issuer.Proven = false },
		"CA":       func(s *situation) { s.cert.CA = true },
		"unread":   func(s *situation) { s.cert.Incomplete = true },
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		never[rapid.SampledFrom(keys(never)).Draw(rt, "never")](s)
		s.rules = hush(rt)
		s.facts.Announced = announced(false)
		s.facts.Journal.Known = true
		v := s.decide(t)
		if v.Level <= policy.Expected || len(broken(v)) == 0 {
			rt.Fatalf("%s: %+v\n%s", v.Level, v.Reasons, s.rules)
		}
	})
}

// more are facts that may only raise a level.
var more = map[string]func(s *situation){
	"CAA forbids": func(s *situation) {
		s.facts.CAA = append(s.facts.CAA, facts.CAA{Name: "a.example.com", Answer: facts.CAAForbids})
	},
	"CAA allows": func(s *situation) {
		s.facts.CAA = append(s.facts.CAA, facts.CAA{Name: "b.example.com", Answer: facts.CAAAllows})
	},
	"CAA none": func(s *situation) {
		s.facts.CAA = append(s.facts.CAA, facts.CAA{Name: "c.example.com", Answer: facts.CAANone})
	},
	"CAA odd":   func(s *situation) { s.facts.CAA = append(s.facts.CAA, facts.CAA{Name: "d.example.com", Answer: "?"}) },
	"first use": func(s *situation) { s.facts.Past = facts.Past{Known: true, FirstUse: true} },
	"known issuer": func(s *situation) {
		if !s.facts.Past.Known { // another answer is another fact, not one more
			s.facts.Past = facts.Past{Known: true, Seen: 100}
		}
	},
	"revoked at once": func(s *situation) { s.facts.Revoked = facts.Revoked{Known: true, At: start.Add(time.Hour)} },
	"revoked late": func(s *situation) {
		if !s.facts.Revoked.Known {
			s.facts.Revoked = facts.Revoked{Known: true, At: start.AddDate(0, 2, 0)}
		}
	},
	"key observed": func(s *situation) { s.facts.Key.Observed, s.facts.Key.ObservedAt = true, start },
	"logged": func(s *situation) {
		if s.logged.IsZero() {
			s.logged = start.Add(time.Hour)
		}
	},
}

func TestAFurtherFactNeverLowersALevelUnlessItIsOurs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		if rapid.Bool().Draw(rt, "journal") {
			s.facts.Journal.Known = true
		}
		if rapid.Bool().Draw(rt, "announced") {
			s.facts.Announced = announced(rapid.Bool().Draw(rt, "alone"))
		}
		for _, m := range rapid.SliceOfN(rapid.SampledFrom(keys(more)), 0, 3).Draw(rt, "facts before") {
			more[m](s)
		}
		before := s.decide(t)
		m := rapid.SampledFrom(keys(more)).Draw(rt, "fact")
		more[m](s)
		if after := s.decide(t); after.Level < before.Level {
			rt.Fatalf("%q lowers %s to %s: %+v", m, before.Level, after.Level, after.Reasons)
		}
	})
}

func TestADecisionIsDeterministicAndLeavesItsInputAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		for _, m := range rapid.SliceOfN(rapid.SampledFrom(keys(more)), 0, 3).Draw(rt, "facts") {
			more[m](s)
		}
		s.watch.Lookalike = rapid.Bool().Draw(rt, "lookalike")
		if rapid.Bool().Draw(rt, "own rules") {
			s.rules = hush(rt)
		}
		in := s.input(t)
		f := in.Facts
		first := policy.Decide(in)
		for range 3 {
			if diff := cmp.Diff(first, policy.Decide(in)); diff != "" {
				rt.Fatalf("another answer (-first +next):\n%s", diff)
			}
		}
		if !reflect.DeepEqual(f, in.Facts) {
			rt.Fatal("the facts were changed")
		}
	})
}

func TestALevelIsThatOfTheLoudestRuleThatFired(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawSituation(rt, t)
		for _, m := range rapid.SliceOfN(rapid.SampledFrom(keys(more)), 0, 3).Draw(rt, "facts") {
			more[m](s)
		}
		v := s.decide(t)
		loudest := policy.Expected
		for _, f := range v.Fired {
			loudest = max(loudest, f.Level)
			if f.Rule == "" || f.Title == "" || f.Say == "" || f.Config == "" || f.Watch == "" {
				rt.Fatalf("a rule says too little: %+v", f)
			}
		}
		if v.Level != loudest {
			rt.Fatalf("%s, and the loudest rule asks for %s: %+v", v.Level, loudest, v.Fired)
		}
	})
}
