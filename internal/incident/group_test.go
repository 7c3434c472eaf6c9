package incident

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

func name(watch, owner, item string) Touch {
	return Touch{Watch: watch, Owner: owner, Item: item, Name: item, Value: "a." + item, Level: policy.Alarm}
}

func TestCertificatesGoByOwnerAndDomainOrNetwork(t *testing.T) {
	network := Touch{Watch: "resolver", Owner: "dns", Item: "1.1.1.0/24", Network: "1.1.1.0/24", Value: "1.1.1.1", Level: policy.Page}
	quiet := name("w", "web", "example.net")
	quiet.Level = policy.Digest
	for _, c := range []struct {
		name    string
		touches []Touch
		want    []string // owner, group, level
	}{
		{"names below one domain are one group", []Touch{name("a", "web", "www.example.co.uk"), name("b", "web", "example.co.uk")}, []string{"web example.co.uk alarm"}},
		{"a private suffix parts its customers", []Touch{name("a", "web", "us.github.io")}, []string{"web us.github.io alarm"}},
		{"a suffix as a whole is a group", []Touch{name("a", "registry", "co.uk.")}, []string{"registry co.uk alarm"}},
		{"one certificate for many domains of an owner is one incident", []Touch{name("a", "web", "b.example"), name("a", "web", "a.example")}, []string{"web a.example alarm"}},
		{"two owners are two incidents", []Touch{name("a", "web", "a.example"), name("b", "shop", "a.example")}, []string{"shop a.example alarm", "web a.example alarm"}},
		{"the network comes before names", []Touch{name("a", "dns", "a.example"), network}, []string{"dns 1.1.1.0/24 page"}},
		{"what does not ring makes no incident", []Touch{quiet}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, g := range Groups(&Verdict{Touches: c.touches}) {
				got = append(got, g.Owner+" "+g.Name+" "+g.Level.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("an owner cannot be written as part of another's group", func(t *testing.T) {
		if groupKey("a:b", "c") == groupKey("a", "b:c") {
			t.Error("the same key")
		}
	})
}

func TestTheFingerprintIsOfIssuerKeyAndNames(t *testing.T) {
	base := Verdict{IssuerKey: "i", Key: "k", Names: []string{"a.example", "b.example"}}
	same := base
	same.Names = []string{"b.example", "a.example", "a.example"}
	same.Issuance = "another"
	if Fingerprint(&base) != Fingerprint(&same) {
		t.Error("the order of names matters")
	}
	for what, change := range map[string]func(*Verdict){
		"issuer": func(v *Verdict) { v.IssuerKey = "j" },
		"key":    func(v *Verdict) { v.Key = "l" },
		"names":  func(v *Verdict) { v.Names = []string{"a.example"} },
		"parts":  func(v *Verdict) { v.IssuerKey, v.Key = "ik", "" },
	} {
		v := base
		change(&v)
		if Fingerprint(&v) == Fingerprint(&base) {
			t.Errorf("another %s is not another fingerprint", what)
		}
	}
}

func TestOnlyNamesWaitForTheJournal(t *testing.T) {
	first := origin
	for _, c := range []struct {
		name    string
		level   policy.Level
		address bool
		held    bool
	}{{"an alarm for a name waits", policy.Alarm, false, true}, {"a page does not", policy.Page, false, false}, {"an address does not", policy.Alarm, true, false}} {
		v := &Verdict{FirstSeen: first, Wait: 15 * time.Minute}
		g := &Group{Level: c.level, Subject: Subject{Address: c.address}}
		if got := See(v, g, nil, false).Hold; got.IsZero() == c.held {
			t.Errorf("%s: held until %v", c.name, got)
		}
	}
}

func TestACAThatTouchesManyIsAnIncidentOfItsOwn(t *testing.T) {
	v := &Verdict{IssuerKey: "ab", Unlisted: true}
	at := func(key string, ago time.Duration) Recent {
		return Recent{Incident: "i-" + key, Key: key, Last: origin.Add(-ago)}
	}
	many := []Recent{at("c", 0), at("a", time.Minute), at("b", 50*time.Minute)}
	listed := *v
	listed.Unlisted = false
	unproven := *v
	unproven.IssuerKey = ""
	for _, c := range []struct {
		name   string
		v      *Verdict
		recent []Recent
		want   []string
	}{
		{"three groups within the hour", v, many, []string{"i-a", "i-b", "i-c"}},
		{"two are not enough", v, many[:2], nil},
		{"nor are three over two hours", v, append([]Recent{at("d", 2*time.Hour)}, many[:2]...), nil},
		{"nor several certificates of the same group", v, []Recent{at("a", 0), at("a", 0), at("a", 0)}, nil},
		{"a CA that is expected is none", &listed, many, nil},
		{"nor is a key that is not proven", &unproven, many, nil},
	} {
		if diff := cmp.Diff(c.want, Wide(c.v, c.recent, Defaults, origin)); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestTheIncidentOfACATellsWhatNoOtherDoes(t *testing.T) {
	v := &Verdict{Issuance: "1", IssuerKey: "ab", Unlisted: true, Touches: []Touch{name("a", "web", "a.example"), name("b", "shop", "b.example")}}
	s := StartCA(v, origin)
	e, ok := SeeCA(v, nil, false)
	if !ok {
		t.Fatal("no event")
	}
	s, _ = Step(s, e, Env{Now: origin, Config: Defaults})
	s, effect := Step(s, Tick{}, Env{Now: origin.Add(10 * time.Second), Config: Defaults})
	if effect.Notify == nil || effect.Notify.Change != Opened || !cmp.Equal(s.Subject.Owners, []string{"shop", "web"}) {
		t.Errorf("%+v of %+v", effect.Notify, s.Subject)
	}
	e, _ = SeeCA(v, nil, false)
	e.Issuance, e.Elsewhere = "2", true
	s, effect = Step(s, e, Env{Now: origin.Add(time.Minute), Config: Defaults})
	if effect.Suppressed == nil || effect.Suppressed.Why != Elsewhere {
		t.Errorf("%+v", effect)
	}
	e.Issuance, e.Elsewhere = "3", false
	s, _ = Step(s, e, Env{Now: origin.Add(time.Minute), Config: Defaults})
	if _, effect = Step(s, Tick{}, Env{Now: origin.Add(time.Hour), Config: Defaults}); effect.Notify == nil || effect.Notify.Change != Grew {
		t.Errorf("%+v", effect.Notify)
	}
}
