package year

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
)

func organisation(t testing.TB) *Organisation {
	t.Helper()
	o, err := NewOrganisation()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func year(t testing.TB, o *Organisation, seed uint64, every int) *Year {
	t.Helper()
	y, err := o.Year(seed, every)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func TestTheOrganisationHasTheSizeThatTheMeasureAsksFor(t *testing.T) {
	o := organisation(t)
	if len(o.Zones) != 200 || len(o.Networks) != 50 {
		t.Errorf("%d zones and %d networks", len(o.Zones), len(o.Networks))
	}
	for seed := range uint64(20) {
		if n := len(year(t, o, seed, 1).renewed); n < Renewals+100 {
			t.Errorf("seed %d: %d renewals", seed, n)
		}
	}
}

// digest is of all that happens in a year.
func digest(t *testing.T, y *Year) string {
	t.Helper()
	h := sha256.New()
	for e, err := range y.Events() {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(h, e.At, e.Kind, e.Log, e.Final, e.KeyOnly)
		if c := e.Certificate; c != nil {
			h.Write(c.Issued.Precert)
			if e.Final {
				der, err := c.Final()
				if err != nil {
					t.Fatal(err)
				}
				h.Write(der)
			}
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestTheSameSeedGivesTheSameYear(t *testing.T) {
	o := organisation(t)
	first, other := digest(t, year(t, o, 3, 100)), digest(t, year(t, o, 4, 100))
	if first == other {
		t.Error("two seeds give one year")
	}
	// Made anew, and after another year of the same organisation.
	if again := digest(t, year(t, organisation(t), 3, 100)); again != first {
		t.Error("one seed gives two years")
	}
	if again := digest(t, year(t, o, 3, 100)); again != first {
		t.Error("a year depends on what was played before")
	}
}

func TestAYearIsWhatItSays(t *testing.T) {
	o := organisation(t)
	for seed := range uint64(5) {
		var last time.Time
		rogues := map[*Certificate]bool{}
		what := map[string]int{}
		checked := map[*Certificate]bool{}
		for e, err := range year(t, o, seed, 50).Events() {
			if err != nil {
				t.Fatal(err)
			}
			if e.At.Before(last) {
				t.Fatalf("seed %d: %s comes after %s", seed, e.At, last)
			}
			last = e.At
			c := e.Certificate
			if c == nil {
				what["announced"]++
				continue
			}
			what[c.What]++
			if c.Rogue != nil {
				rogues[c] = true
			}
			if e.Kind == Logged && e.At.Before(c.Logged) {
				t.Errorf("seed %d: %s is seen before it was logged", seed, c.What)
			}
			if checked[c] {
				continue
			}
			checked[c] = true
			p := cert.Parse(c.Issued.Precert)
			if err := p.VerifiedBy(c.Issued.Issuer().SPKI()); err != nil {
				t.Errorf("seed %d: %s: %v", seed, c.What, err)
			}
			if tbs, hash, err := cert.FinalTBS(c.Issued.Precert, c.Issued.Chain); err != nil || string(tbs) != string(c.Issued.TBS) || hash != c.Issued.IssuerKeyHash() {
				t.Errorf("seed %d: the precertificate of %s does not lead to its leaf: %v", seed, c.What, err)
			}
		}
		own, settling, page := 0, 0, 0
		for c := range rogues {
			if c.Rogue.OwnCA {
				own++
			}
			if c.Rogue.InSettle {
				settling++
			}
			if c.Rogue.Page {
				page++
			}
		}
		if len(rogues) != Rogues || own < 2 || settling != 2 || page < 2 {
			t.Errorf("seed %d: %d rogues, %d by the CA in use, %d beside renewals, %d that page", seed, len(rogues), own, settling, page)
		}
		for _, kind := range []string{"a renewal with a new key", "a renewal with a key that is kept", "a certificate of the CDN", "a short-lived certificate for an address", "a certificate of a staging environment"} {
			if what[kind] == 0 {
				t.Errorf("seed %d has no %s", seed, kind)
			}
		}
	}
}

func TestARogueBesideARenewalComesWhileTheJournalIsWaitedFor(t *testing.T) {
	o := organisation(t)
	found := 0
	y := year(t, o, 1, 50)
	pushes := map[string]time.Time{}
	rogue := map[string]time.Time{}
	for e, err := range y.Events() {
		if err != nil {
			t.Fatal(err)
		}
		c := e.Certificate
		switch {
		case c == nil:
		case e.Kind == Pushed:
			pushes[fmt.Sprint(c.Service.DNS, c.Logged.Format(time.DateOnly))] = e.At
		case c.Rogue != nil && c.Rogue.InSettle:
			rogue[fmt.Sprint(cert.ParseTBS(c.Issued.TBS).DNSNames, c.Logged.Format(time.DateOnly))] = c.Logged
		}
	}
	for names, at := range rogue {
		if push, ok := pushes[names]; ok && push.After(at) && push.Sub(at) < 20*time.Minute {
			found++
		}
	}
	if found == 0 {
		t.Errorf("no hook is late for a renewal beside one of %v", rogue)
	}
}
