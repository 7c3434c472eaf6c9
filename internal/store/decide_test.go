package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestADecisionThatMissedALaterSightingIsNotTheLast(t *testing.T) {
	s := open(t)
	c := Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("tbs"), Precert: true}}}}
	mustCommit(t, s, c)
	read, err := s.Undecided(t.Context(), 1)
	if err != nil || len(read) != 1 {
		t.Fatal(read, err)
	}
	c.Filings[0].Issuance.Precert = false
	mustCommit(t, s, c) // while the slow half thinks
	if _, err := s.Decide(t.Context(), Decision{ID: hash(1), Revision: read[0].Revision, Level: "expected"}); err != nil {
		t.Fatal(err)
	}
	again, err := s.Undecided(t.Context(), 1)
	if err != nil || len(again) != 1 || again[0].Revision <= read[0].Revision {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestAlarmsRingOncePerReceiverAndKindAndRiseButNeverFall(t *testing.T) {
	s := open(t)
	mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("c")}}}})
	rank := map[string]int{"filed": 1, "alarm": 2, "page": 3}
	for i, step := range []struct {
		kind string
		want int
	}{{"filed", 2}, {"filed", 0}, {"alarm", 2}, {"filed", 0}, {"alarm", 0}, {"page", 2}, {"alarm", 0}, {"page", 0}} {
		n, err := s.Decide(t.Context(), Decision{ID: hash(1), Level: step.kind, Outbox: []OutboxRow{
			{Receiver: "a", Kind: step.kind, Rank: rank[step.kind]}, {Receiver: "b", Kind: step.kind, Rank: rank[step.kind]}}})
		if err != nil || n != step.want {
			t.Errorf("step %d (%s): queued %d, %v", i, step.kind, n, err)
		}
	}
	t.Run("another kind of the same rank is silent, without a rank it is not", func(t *testing.T) {
		for i, row := range []OutboxRow{{Receiver: "a", Kind: "page again", Rank: 3}, {Receiver: "a", Kind: "resolved"}} {
			if n, err := s.Decide(t.Context(), Decision{ID: hash(1), Level: "page", Outbox: []OutboxRow{row}}); err != nil || n != i {
				t.Errorf("%s: queued %d, %v", row.Kind, n, err)
			}
		}
	})
	t.Run("page first, alarm later is silent", func(t *testing.T) {
		mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(2), Cert: []byte("c")}}}})
		for _, kind := range []string{"page", "alarm"} {
			if _, err := s.Decide(t.Context(), Decision{ID: hash(2), Level: kind, Outbox: []OutboxRow{{Receiver: "a", Kind: kind, Rank: rank[kind]}}}); err != nil {
				t.Fatal(err)
			}
		}
		if out := find(t, s, hash(2)).Outbox; len(out) != 1 || out[0].Kind != "page" || out[0].ID != AlarmID(hash(2), "a", "page") {
			t.Errorf("%+v", out)
		}
	})
}

func TestADecisionAboutNothingIsAnError(t *testing.T) {
	s := open(t)
	if _, err := s.Decide(t.Context(), Decision{ID: hash(1)}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestADecisionThatCannotBeTakenStandsInNobodysWay(t *testing.T) {
	s := open(t)
	for i := range 3 {
		mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(i + 1), Cert: []byte("c"), Precert: true}}}})
	}
	if err := s.Postpone(t.Context(), hash(1), time.Now().Add(time.Hour), errors.New(strings.Repeat("x", 9999))); err != nil {
		t.Fatal(err)
	}
	ids := func() (out []int) {
		list, err := s.Undecided(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, is := range list {
			for n := range 10 {
				if is.ID == hash(n) {
					out = append(out, n)
				}
			}
		}
		return out
	}
	if d := cmp.Diff([]int{2, 3}, ids()); d != "" {
		t.Error(d)
	}
	mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("c")}}}})
	if d := cmp.Diff([]int{1, 2, 3}, ids()); d != "" {
		t.Error("news about it does not end the delay", d)
	}
	for i := range 3 {
		if _, err := s.Decide(t.Context(), Decision{ID: hash(i + 1), Level: "none"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Reconsider(t.Context(), hash(3)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int{3}, ids()); d != "" {
		t.Error(d)
	}
	if err := s.Reconsider(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int{1, 2, 3}, ids()); d != "" {
		t.Error(d)
	}
}
