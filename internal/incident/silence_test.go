package incident

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

func TestASilenceNeedsAnEndAReasonAnAuthorAndSomethingToCover(t *testing.T) {
	good := Silence{End: origin.Add(time.Hour), By: "ann", Reason: "CHG-1", Match: Matchers{Owners: []string{"web"}}}
	if err := good.Check(origin); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Silence){
		"without a reason":   func(s *Silence) { s.Reason = " " },
		"without an author":  func(s *Silence) { s.By = "" },
		"without an end":     func(s *Silence) { s.End = time.Time{} },
		"over before":        func(s *Silence) { s.End = origin },
		"more than 90 days":  func(s *Silence) { s.End = origin.Add(91 * 24 * time.Hour) },
		"covers everything":  func(s *Silence) { s.Match = Matchers{AtMost: policy.Page} },
		"silence of nothing": func(s *Silence) { s.Match.Rules = []string{""} },
		"of the name":        func(s *Silence) { s.Match.Names = []string{"*."} },
	} {
		s := good
		change(&s)
		if err := s.Check(origin); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestASilenceCoversAllOrNothing(t *testing.T) {
	sub := Subject{Owners: []string{"web"}, Watches: []string{"shop", "www"}, Names: []string{"192.0.2.7", "A.example.com"}, Issuers: []string{"spki:ab Fina"},
		Keys: []string{"cd"}, Rules: []string{"issuer", "key"}, Level: policy.Alarm}
	for _, c := range []struct {
		name  string
		match Matchers
		want  bool
	}{
		{"by owner", Matchers{Owners: []string{"web"}}, true},
		{"by another owner", Matchers{Owners: []string{"mail"}}, false},
		{"by one of two watches", Matchers{Watches: []string{"www"}}, false},
		{"by both watches", Matchers{Watches: []string{"www", "shop"}}, true},
		{"by a zone and a network", Matchers{Names: []string{"example.com", "192.0.2.0/24"}}, true},
		{"by a zone alone", Matchers{Names: []string{"example.com"}}, false},
		{"by an exact name above it", Matchers{Names: []string{"=example.com", "192.0.2.7"}}, false},
		{"by a name that ends alike", Matchers{Names: []string{"ample.com", "192.0.2.7"}}, false},
		{"by the CA's owner", Matchers{Issuers: []string{"fina"}}, true},
		{"by the CA's key", Matchers{Issuers: []string{"spki:AB"}}, true},
		{"by the key", Matchers{Keys: []string{"spki:cd"}}, true},
		{"by one of the rules", Matchers{Rules: []string{"issuer"}}, false},
		{"by owner and another key", Matchers{Owners: []string{"web"}, Keys: []string{"ef"}}, false},
	} {
		s := Silence{Match: c.match}
		if got := s.Covers(&sub); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	t.Run("an issuer whose owner is not proven is covered by no owner", func(t *testing.T) {
		s := Silence{Match: Matchers{Issuers: []string{"Fina", "spki:"}}}
		if s.Covers(&Subject{Issuers: []string{"spki: "}}) {
			t.Error("covered")
		}
	})
	t.Run("what was cut is not covered", func(t *testing.T) {
		cut := sub
		cut.Over = []string{"owners"}
		if s := (Silence{Match: Matchers{Owners: []string{"web"}}}); s.Covers(&cut) {
			t.Error("covered")
		}
	})
	t.Run("IPv4 within IPv6 counts as IPv4", func(t *testing.T) {
		if s := (Silence{Match: Matchers{Names: []string{"::ffff:192.0.2.0/120"}}}); !s.Covers(&Subject{Names: []string{"192.0.2.9"}}) {
			t.Error("not covered")
		}
	})
}

func TestAPreviewSaysWhatASilenceWouldHaveMuted(t *testing.T) {
	past := []Past{
		{origin, Verdict{Issuance: "1", Touches: []Touch{name("a", "web", "a.example")}, Rules: []string{"issuer"}}},
		{origin.Add(time.Hour), Verdict{Issuance: "2", Touches: []Touch{name("a", "web", "a.example"), name("b", "shop", "b.example")}}},
		{origin.Add(2 * time.Hour), Verdict{Issuance: "3", Touches: []Touch{{Watch: "n", Owner: "web", Item: "192.0.2.0/24", Network: "192.0.2.0/24", Value: "192.0.2.1", Level: policy.Alarm}}, Rules: []string{"issuer"}}},
		{origin.Add(3 * time.Hour), Verdict{Issuance: "4", Touches: []Touch{{Watch: "n", Owner: "web", Item: "x.example", Name: "x.example", Level: policy.Page}}}},
		{origin.Add(4 * time.Hour), Verdict{Issuance: "5"}}, // rang for nobody
	}
	got := Preview(&Silence{Match: Matchers{Owners: []string{"web"}}}, past)
	want := WouldMute{Issuances: []string{"3", "1"}, Seen: 4, Addresses: 1, Rules: map[string]int{"issuer": 2}, Spared: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := got.Text(); got != "would have muted 2 of 4, 1 of them for addresses; 1 more would ring for another owner" {
		t.Error(got)
	}
}
