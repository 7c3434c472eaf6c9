package store

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatADigestReadsOfTheLedger(t *testing.T) {
	s := open(t)
	day := time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC)
	for n, f := range []struct {
		at     time.Time
		level  string
		issued []Issued
	}{
		{day.Add(-time.Millisecond), "expected", nil},
		{day, "expected", []Issued{{"web", "Example Trust"}, {"mail", "Example Trust"}}},
		{day.Add(time.Hour), "alarm", nil},
		{day.Add(2 * time.Hour), "digest", []Issued{{"web", "Other Trust"}}},
		{day.Add(3 * time.Hour), "", nil},
		{day.Add(24 * time.Hour), "digest", nil},
	} {
		mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(n), FirstSeen: f.at, Cert: []byte("c"), Matches: json.RawMessage(`[]`)}}}})
		if f.level == "" {
			continue
		}
		if _, err := s.Decide(t.Context(), Decision{ID: hash(n), Level: f.level, Issued: f.issued}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	if err := s.EachFiled(t.Context(), day, day.Add(24*time.Hour), func(r *FiledRow) error {
		got = append(got, r.FirstSeen.UTC().Format("15:04 ")+r.Level+" "+r.Issuer+string(r.Cert))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"07:00 expected Example Trust", "08:00 alarm ", "09:00 digest Other Trust", "10:00  "}, got); diff != "" {
		t.Errorf("filed on the day:\n%s", diff)
	}
	got = nil
	if err := s.EachLive(t.Context(), day, func(r *FiledRow) error {
		got = append(got, r.FirstSeen.UTC().Format("02 15:04 ")+r.Level+" "+string(r.Cert))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"28 07:00 expected c", "28 09:00 digest c", "29 07:00 digest c"}, got); diff != "" {
		t.Errorf("what rang nobody:\n%s", diff)
	}
	enough := errors.New("enough")
	if err := s.EachFiled(t.Context(), day, day.Add(time.Hour), func(*FiledRow) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
}

func TestWhatADigestReadsOfTheTrail(t *testing.T) {
	s := open(t)
	begin := time.Now().Add(-time.Second)
	if err := s.AddToken(t.Context(), Token{ID: "t1", Hash: [32]byte{1}, Name: "ci", Expires: begin.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"e1", "e2"} {
		e := Expectation{ID: id, Token: "t1", Count: 2, Created: begin, Until: begin.Add(time.Hour)}
		charge := &Charge{Token: "t1", Count: 2, What: "www", Check: func(Token, []Grant) error { return nil }}
		if err := s.Announce(t.Context(), e, begin, charge, TrailEntry{Kind: "expectation-created", Subject: id}, TrailEntry{Kind: "other", Subject: id}); err != nil {
			t.Fatal(err)
		}
	}
	end := time.Now().Add(time.Second)
	if used, err := s.TokensUsed(t.Context(), begin, end); err != nil || !cmp.Equal(used, []TokenUse{{ID: "t1", Name: "ci", Times: 2, Count: 4}}) {
		t.Errorf("%+v, %v", used, err)
	}
	if used, err := s.TokensUsed(t.Context(), end, end.Add(time.Hour)); err != nil || used != nil {
		t.Errorf("later: %+v, %v", used, err)
	}
	if counts, err := s.TrailCounts(t.Context(), begin, end); err != nil || !cmp.Equal(counts, map[string]int{"expectation-created": 2, "other": 2}) {
		t.Errorf("%+v, %v", counts, err)
	}
	for limit, want := range map[int]int{1: 1, 10: 2} {
		some, err := s.TrailOfKinds(t.Context(), begin, end, limit, "expectation-created", "nothing")
		if err != nil || len(some) != want || some[0].Subject != "e1" {
			t.Errorf("%+v, %v", some, err)
		}
	}
}

func TestUntilWhenDigestsHaveToldIsKept(t *testing.T) {
	s := open(t)
	if at, err := s.DigestedUntil(t.Context()); err != nil || !at.IsZero() {
		t.Error(at, err)
	}
	want := time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC)
	if err := s.SetDigestedUntil(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if at, err := s.DigestedUntil(t.Context()); err != nil || !at.Equal(want) {
		t.Error(at, err)
	}
}
