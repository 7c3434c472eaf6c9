package store

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func aPromise(n int, state string, next time.Time) SCT {
	return SCT{LogID: hash(1), LeafHash: hash(n), Timestamp: 1<<63 + 5, Raw: []byte("sct"), Leaf: []byte("leaf"), Due: next, Next: next, State: state,
		Progress: json.RawMessage(`{"state":"` + state + `"}`)}
}

func due(t *testing.T, s *Store, at time.Time) []SCT {
	t.Helper()
	got, err := s.DueSCTs(t.Context(), hash(1), at, 100)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAnSCTIsQueuedOnceAndComesBackByteForByte(t *testing.T) {
	s := open(t)
	at := time.UnixMilli(1_800_000_000_000).UTC()
	c := aPromise(1, "waiting", at)
	for range 2 {
		if err := s.QueueSCTs(t.Context(), c, c); err != nil {
			t.Fatal(err)
		}
	}
	if got := due(t, s, at.Add(-time.Millisecond)); len(got) != 0 {
		t.Fatalf("%d are due before their time", len(got))
	}
	got := due(t, s, at)
	if len(got) != 1 {
		t.Fatalf("%d SCTs", len(got))
	}
	g := got[0]
	if g.LogID != c.LogID || g.LeafHash != c.LeafHash || g.Timestamp != c.Timestamp || !bytes.Equal(g.Raw, c.Raw) || !bytes.Equal(g.Leaf, c.Leaf) ||
		!g.Due.Equal(at) || !g.Next.Equal(at) || g.State != "waiting" || string(g.Progress) != string(c.Progress) || g.Met.IsZero() {
		t.Errorf("%+v", g)
	}
	logs, err := s.SCTLogs(t.Context(), at)
	if err != nil || len(logs) != 1 || logs[0] != hash(1) {
		t.Errorf("logs %v, %v", logs, err)
	}
}

func TestWhatWasNoPromiseGivesWayToOne(t *testing.T) {
	s := open(t)
	at := time.UnixMilli(1_800_000_000_000)
	for i, weak := range []string{"invalid", "unaudited"} {
		forged, real := aPromise(i, weak, time.Time{}), aPromise(i, "waiting", at)
		forged.Raw = []byte("forged")
		if err := s.QueueSCTs(t.Context(), forged, real, forged); err != nil {
			t.Fatal(err)
		}
		got := due(t, s, at)
		if len(got) != i+1 || got[i].State != "waiting" || string(got[i].Raw) != "sct" {
			t.Errorf("%s: %+v", weak, got)
		}
	}
	proven := aPromise(0, "proven", time.Time{})
	if err := s.UpdateSCT(t.Context(), proven, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.QueueSCTs(t.Context(), aPromise(0, "waiting", at)); err != nil {
		t.Fatal(err)
	}
	if counts, err := s.SCTCounts(t.Context()); err != nil || counts["proven"] != 1 || counts["waiting"] != 1 {
		t.Errorf("%v, %v: what is proven must stay so", counts, err)
	}
}

func TestTheStateOfAnSCTItsFaultAndItsMessageAreOneTransaction(t *testing.T) {
	s := open(t)
	at := time.UnixMilli(1_800_000_000_000)
	if err := s.QueueSCTs(t.Context(), aPromise(1, "waiting", at)); err != nil {
		t.Fatal(err)
	}
	c := due(t, s, at)[0]
	c.State = "reported"
	f := &Fault{Kind: "sct-not-merged", LogID: hash(1), Text: "x"}
	row := OutboxRow{ID: "1", Receiver: "r", Kind: "fault"}
	if err := s.UpdateSCT(t.Context(), c, f, row, OutboxRow{ID: "2"}); err == nil {
		t.Fatal("a message without receiver was taken")
	}
	if got := due(t, s, at)[0]; got.State != "waiting" {
		t.Errorf("state %s after a failure", got.State)
	}
	if faults, err := s.Faults(t.Context(), 10); err != nil || len(faults) != 0 {
		t.Errorf("%d faults after a failure, %v", len(faults), err)
	}
	news, cancel := s.Subscribe(TopicOutbox)
	defer cancel()
	if err := s.UpdateSCT(t.Context(), c, f, row); err != nil {
		t.Fatal(err)
	}
	select {
	case <-news:
	default:
		t.Error("the message was not announced")
	}
	if faults, err := s.Faults(t.Context(), 10); err != nil || len(faults) != 1 {
		t.Errorf("%d faults, %v", len(faults), err)
	}
	if err := s.UpdateSCT(t.Context(), aPromise(9, "proven", time.Time{}), nil); err == nil {
		t.Error("an SCT that is not there was updated")
	}
}

func TestADecisionQueuesTheSCTsThatWereMet(t *testing.T) {
	s := open(t)
	mustCommit(t, s, Commit{LogID: hash(1), Filings: []Filing{{Issuance: Issuance{ID: hash(5), Cert: []byte("c")},
		Sighting: &Sighting{Index: 3, Leaf: []byte("leaf")}}}})
	c := aPromise(1, "waiting", time.UnixMilli(1_800_000_000_000))
	c.Issuance = hash(5)
	if _, err := s.Decide(t.Context(), Decision{ID: hash(5), Level: "digest", SCTs: []SCT{c}}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.SCTsOf(t.Context(), hash(5)); err != nil || len(got) != 1 || got[0].LeafHash != hash(1) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := s.SightingsOfLeaf(t.Context(), hash(1), leafHash([]byte("leaf"))); err != nil || len(got) != 1 || got[0] != 3 {
		t.Errorf("sightings %v, %v", got, err)
	}
	if got, err := s.SightingsOfLeaf(t.Context(), hash(2), leafHash([]byte("leaf"))); err != nil || len(got) != 0 {
		t.Errorf("sightings of another log %v, %v", got, err)
	}
}

func TestSettledSCTsAreForgottenAndReportedOnesKept(t *testing.T) {
	s := open(t)
	for i, state := range []string{"waiting", "reported", "proven", "invalid"} {
		if err := s.QueueSCTs(t.Context(), aPromise(i, state, time.UnixMilli(1))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ForgetSCTs(t.Context(), time.Now().Add(-time.Hour), "proven", "invalid"); err != nil {
		t.Fatal(err)
	}
	if counts, err := s.SCTCounts(t.Context()); err != nil || len(counts) != 4 {
		t.Errorf("%v, %v: young ones were forgotten", counts, err)
	}
	if err := s.ForgetSCTs(t.Context(), time.Now().Add(time.Hour), "proven", "invalid"); err != nil {
		t.Fatal(err)
	}
	if counts, err := s.SCTCounts(t.Context()); err != nil || counts["proven"]+counts["invalid"] != 0 || counts["waiting"] != 1 || counts["reported"] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
}
