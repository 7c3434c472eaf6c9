package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// stations are cert, watch, facts and policy as a plan's configuration sets them up. The configuration is read here on
// its own, so that the lab depends on no reader of it.
type stations struct {
	matcher *watch.Matcher
	owners  *facts.Owners
	keys    *facts.Keys
	rules   *policy.Rules
}

func setUp(t *testing.T, config string) *stations {
	t.Helper()
	var c struct {
		Watch []struct {
			Name, Owner, Surprise string
			Networks, Names       []string
			Expect                struct {
				Issuers, Keys []string
				MaxValidity   string `yaml:"max_validity"`
			}
		}
	}
	if err := yaml.UnmarshalWithOptions([]byte(config), &c, yaml.Strict()); err != nil {
		t.Fatalf("%v\n%s", err, config)
	}
	var watches []watch.Watch
	var rules []policy.Watch
	for _, w := range c.Watch {
		var items []watch.Item
		for _, text := range append(w.Networks, w.Names...) {
			it, err := watch.ParseItem(text, watch.Place{File: "tocsin.yaml"})
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, it)
		}
		level, err := policy.ParseSurprise(w.Surprise)
		if err != nil {
			t.Fatal(err)
		}
		if w.Expect.MaxValidity != "100d" || len(w.Expect.Issuers) == 0 || len(w.Expect.Keys) == 0 {
			t.Fatalf("expectation %+v", w.Expect)
		}
		watches = append(watches, watch.Watch{Name: w.Name, Owner: w.Owner, Items: items})
		rules = append(rules, policy.Watch{Name: w.Name, Owner: w.Owner, Items: items, Surprise: level, Expect: &policy.Expect{
			Issuers: w.Expect.Issuers, Keys: w.Expect.Keys, MaxValidity: 100 * 24 * time.Hour,
		}})
	}
	s := &stations{matcher: watch.New(watches)}
	var err error
	if s.owners, err = facts.LoadOwners(); err != nil {
		t.Fatal(err)
	}
	if s.rules, err = policy.Compile(rules, s.owners); err != nil {
		t.Fatal(err)
	}
	if s.keys, err = facts.OpenKeys(s.rules.KeySources()); err != nil {
		t.Fatal(err)
	}
	return s
}

// judge is the decision for one entry, the identity of its issuance, and what an alarm tells beside the reasons.
func (s *stations) judge(e *entry.Entry) (id cert.ID, v policy.Verdict, told string) {
	var c *cert.Certificate
	chain := e.Chain
	if e.Precert {
		c = cert.ParseTBS(e.Cert)
		chain = append([][]byte{e.PreCert}, chain...)
	} else {
		c = cert.Parse(e.Cert)
	}
	f := facts.Gather(c, e.IssuerKeyHash, chain, s.owners, s.keys)
	matches := s.matcher.Match(c.Idents)
	if c.Incomplete {
		matches = append(matches, s.matcher.MatchRaw(c.Raw)...)
	}
	told = f.Issuer.Name
	for _, m := range matches {
		told += " " + m.Value
	}
	v = policy.Decide(policy.Input{Matches: matches, Cert: c, Facts: f, Rules: s.rules, Now: time.Now()})
	return cert.Identity(c.RawTBS, f.Issuer.SPKI), v, told
}

func TestEveryScenarioEndsAsItShould(t *testing.T) {
	for _, sc := range lab.Scenarios() {
		t.Run(sc.Name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w := &lab.World{Seed: "scenario", Dir: dir}
			if testing.Short() {
				w.Renewals = 12
			}
			plan, err := sc.Build(w)
			if err != nil {
				t.Fatal(err)
			}
			for name, data := range plan.Files {
				path := filepath.Join(dir, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := setUp(t, plan.Config)
			l, err := lab.Start(t.Context(), &lab.Options{Roots: plan.Roots})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			subs := map[cert.ID]lab.Submission{}
			rings := 0
			for _, sub := range plan.Submissions {
				if _, err := l.Play(t.Context(), sub); err != nil {
					t.Fatal(err)
				}
				subs[cert.Identity(sub.Issued.TBS, sub.Issued.IssuerKeyHash())] = sub
				if sub.Rings {
					rings++
				}
			}
			if len(subs) != len(plan.Submissions) {
				t.Errorf("%d issuances, but %d identities", len(plan.Submissions), len(subs))
			}
			if (rings > 0) != (sc.Want == lab.Ring) {
				t.Errorf("want %s, and %d submissions ring", sc.Want, rings)
			}
			l.RFC6962.Publish()
			l.Static.Publish()
			rang := map[cert.ID]bool{}
			for _, log := range []interface {
				Entries(start, end uint64) ([]*entry.Entry, error)
				Size() uint64
			}{l.RFC6962, l.Static} {
				entries, err := log.Entries(0, log.Size())
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					id, v, told := s.judge(e)
					sub, ok := subs[id]
					if !ok {
						t.Errorf("entry %d is of no known issuance: %+v", e.Index, v.Reasons)
						continue
					}
					if got := v.Level >= policy.Alarm; got != sub.Rings {
						t.Errorf("%s: level %s, rings should be %t: %+v", sub.Label, v.Level, sub.Rings, v.Reasons)
						continue
					}
					if sub.Rings {
						rang[id] = true
						checkReasons(t, sub, v, told)
					}
				}
			}
			if len(rang) != rings {
				t.Errorf("%d rang, want %d", len(rang), rings)
			}
		})
	}
}

func checkReasons(t *testing.T, sub lab.Submission, v policy.Verdict, told string) {
	t.Helper()
	for _, r := range v.Reasons {
		if r.Rule == sub.Rule && !r.Held {
			if all := told + " " + r.Text; sub.Reason == "" || !strings.Contains(all, sub.Reason) {
				t.Errorf("%s: %q does not say %q", sub.Label, all, sub.Reason)
			}
			return
		}
	}
	t.Errorf("%s: rule %q is not among the reasons %+v", sub.Label, sub.Rule, v.Reasons)
}

func TestFinaHidesAmongTwoHundredRenewals(t *testing.T) {
	sc, err := lab.FindScenario(lab.DefaultScenario)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sc.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	legit := 0
	for i, s := range plan.Submissions {
		if !s.Rings {
			legit++
			continue
		}
		at = append(at, i)
		c := cert.Parse(s.Issued.Precert)
		names := strings.Join(c.DNSNames, " ")
		if c.Issuer == "" || !strings.Contains(c.Issuer, "Fina RDC 2020") || fmt.Sprint(c.IPs) != "[[1 1 1 1]]" || !strings.HasPrefix(names, "test1") {
			t.Errorf("%s: %s for %s, %v", s.Label, c.Issuer, names, c.IPs)
		}
		if !s.AsPrecert || s.AsFinal || s.To != 0 && s.To != lab.ToBoth {
			t.Errorf("%s is not a precertificate in both logs", s.Label)
		}
	}
	if legit != 200 || len(at) != 3 || at[0] == 0 || at[2] == len(plan.Submissions)-1 {
		t.Errorf("%d renewals, rogue ones at %v of %d", legit, at, len(plan.Submissions))
	}
	for _, root := range plan.Roots {
		if c := cert.Parse(root); !c.CA {
			t.Errorf("%s is no CA", c.Subject)
		}
	}
	if _, err := lab.FindScenario("no such"); err == nil || !strings.Contains(err.Error(), "renewals-only") {
		t.Errorf("error %v does not name the scenarios", err)
	}
}

func TestPlayOfNothingIsAnError(t *testing.T) {
	l, err := lab.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := l.Play(t.Context(), lab.Submission{}); err == nil {
		t.Error("no error")
	}
	sc, _ := lab.FindScenario("diginotar-2011")
	plan, err := sc.Build(&lab.World{Renewals: 1})
	if err != nil {
		t.Fatal(err)
	}
	l.Static.Faults.Set(fault.Faults{Down: true})
	if _, err := l.Play(t.Context(), plan.Submissions[0]); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("error %v does not say that the log is down", err)
	}
}
