package store

import (
	"testing"
	"time"
)

func TestThePastIsWhatWasSeenBefore(t *testing.T) {
	s := open(t)
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	file := func(n int, at time.Time, issued ...Issued) {
		t.Helper()
		mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(n), FirstSeen: at, Cert: []byte("c")}}}})
		if _, err := s.Decide(t.Context(), Decision{ID: hash(n), Level: "expected", Issued: issued}); err != nil {
			t.Fatal(err)
		}
	}
	web, mail := Issued{"web", "Example Trust"}, Issued{"mail", "Example Trust"}
	file(1, day, web)
	file(2, day.Add(time.Hour), Issued{"web", "Other Trust"})
	file(3, day.Add(2*time.Hour), web, mail)
	file(4, day.Add(3*time.Hour), web)
	for _, c := range []struct {
		name  string
		of    int
		who   Issued
		seen  int
		since bool
	}{
		{"nothing was before the first", 1, web, 0, false},
		{"another issuer before does not count", 2, Issued{"web", "Other Trust"}, 0, true},
		{"one before, and one of another issuer", 3, web, 1, true},
		{"another owner has a past of his own", 3, mail, 0, false},
		{"all before count, and it does not count itself", 4, web, 2, true},
		{"one that never issued", 4, Issued{"web", "Careless Trust"}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := s.PastOf(t.Context(), hash(c.of), c.who)
			if err != nil || p.Seen != c.seen || p.Since.IsZero() == c.since || p.First.IsZero() != (c.seen == 0) {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
	t.Run("a decision that is taken again counts once, as the last one says", func(t *testing.T) {
		for range 2 {
			if _, err := s.Decide(t.Context(), Decision{ID: hash(1), Level: "expected", Issued: []Issued{mail}}); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := s.PastOf(t.Context(), hash(4), web); err != nil || p.Seen != 1 {
			t.Errorf("%+v, %v", p, err)
		}
	})
}
