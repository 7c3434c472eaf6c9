package store

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhereReadingBeganIsKept(t *testing.T) {
	s := open(t)
	since := time.UnixMilli(1764072000123).UTC()
	first := Start{Index: 100, Since: since, At: since.Add(time.Second), MMD: time.Minute, Operator: "Lab"}
	mustCommit(t, s, Commit{LogID: hash(1), LogName: "A", Cursor: []byte("{}"), Start: &first})
	later := Start{Index: 900, Since: since.Add(time.Hour), MMD: 24 * time.Hour, Operator: "Other"}
	mustCommit(t, s, Commit{LogID: hash(1), Cursor: []byte("{}"), Start: &later})
	want := map[[32]byte]Start{hash(1): {Index: 100, Since: since, At: since.Add(time.Second), MMD: 24 * time.Hour, Operator: "Other"}}
	got, err := s.Starts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := s.SetTerms(t.Context(), hash(1), time.Hour, "Renamed"); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Starts(t.Context()); err != nil || got[hash(1)].MMD != time.Hour || got[hash(1)].Operator != "Renamed" || got[hash(1)].Index != 100 {
		t.Errorf("%v %+v", err, got)
	}
	if err := s.Commit(t.Context(), Commit{Start: &first}); err == nil {
		t.Error("a start without a log is taken")
	}
}

func TestOneVerifiedHeadOfEachHourIsKeptForEver(t *testing.T) {
	s := open(t)
	begin := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	for m := 0; m < 180; m += 20 {
		at := begin.Add(time.Duration(m) * time.Minute)
		h := Head{Size: uint64(1000 + m), Timestamp: uint64(at.Add(-time.Minute).UnixMilli()), Received: at}
		if m == 160 {
			h.Timestamp = 1 << 63 // as a log may write
		}
		mustCommit(t, s, Commit{LogID: hash(1), Cursor: []byte("{}"), Size: h.Size, Mark: &h})
	}
	got, err := s.Marks(t.Context(), hash(1))
	if err != nil {
		t.Fatal(err)
	}
	var want []Head
	for _, m := range []int{0, 60, 120} {
		at := begin.Add(time.Duration(m) * time.Minute)
		want = append(want, Head{Size: uint64(1000 + m), Timestamp: uint64(at.Add(-time.Minute).UnixMilli()), Received: at})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestATroubleThatCountsAsToldIsQueued(t *testing.T) {
	s := open(t)
	row := OutboxRow{ID: "0123456789abcdef", Receiver: "r", Kind: "trouble", Text: "x"}
	open := []Trouble{{"a", "", json.RawMessage(`{"n":1}`)}, {"b", "log", json.RawMessage(`{"n":2}`)}}
	if err := s.SetTroubles(t.Context(), open, []OutboxRow{row}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Troubles(t.Context()); err != nil || cmp.Diff(open, got) != "" {
		t.Errorf("%v %s", err, cmp.Diff(open, got))
	}
	// A message that cannot be queued takes the change back.
	if err := s.SetTroubles(t.Context(), nil, []OutboxRow{{ID: "1"}}); err == nil {
		t.Fatal("a message without a receiver is queued")
	}
	if got, err := s.Troubles(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("%v %v", err, got)
	}
	if err := s.SetTroubles(t.Context(), open[1:], []OutboxRow{row}); err != nil {
		t.Fatal(err)
	}
	if due, err := s.Due(t.Context(), "r", time.Now(), 10); err != nil || len(due) != 1 {
		t.Errorf("queued: %v %v", err, due)
	}
	if got, err := s.Troubles(t.Context()); err != nil || len(got) != 1 || got[0].Code != "b" {
		t.Errorf("%v %v", err, got)
	}
}

func TestNothingWaitsForAClockThatWasWrong(t *testing.T) {
	s := open(t)
	now := time.Now()
	row := func(id string, next time.Time) OutboxRow {
		return OutboxRow{ID: id, Receiver: "r", Kind: "trouble", NextAttempt: next}
	}
	if _, err := s.Enqueue(t.Context(), row("soon", now.Add(5*time.Minute)), row("tomorrow", now.Add(24*time.Hour))); err != nil {
		t.Fatal(err)
	}
	is := Issuance{ID: hash(7), Cert: []byte("c")}
	mustCommit(t, s, Commit{LogID: hash(1), Cursor: []byte("{}"), Filings: []Filing{{Issuance: is}}})
	if err := s.Postpone(t.Context(), is.ID, now.Add(24*time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Thaw(t.Context(), now, 15*time.Minute); err != nil {
		t.Fatal(err)
	}
	due, err := s.Due(t.Context(), "r", now.Add(time.Second), 10)
	if err != nil || len(due) != 1 || due[0].ID != "tomorrow" {
		t.Errorf("due: %+v %v", due, err)
	}
	if u, err := s.Undecided(t.Context(), 10); err != nil || len(u) != 1 {
		t.Errorf("undecided: %v %v", u, err)
	}
}

func TestSignsOfLifeAndWhatWaits(t *testing.T) {
	s := open(t)
	if at, err := s.LastAlive(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("%v %v", at, err)
	}
	now := time.UnixMilli(1764072000123).UTC()
	for range 2 {
		now = now.Add(time.Minute)
		if err := s.Alive(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	if at, err := s.LastAlive(t.Context()); err != nil || at != now {
		t.Errorf("%v %v", at, err)
	}
	for _, id := range []string{"1", "2", "3"} {
		if _, err := s.Enqueue(t.Context(), OutboxRow{ID: id, Receiver: "r", Kind: "trouble"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Failed(t.Context(), "1", nil, now); err != nil {
		t.Fatal(err)
	}
	if err := s.Delivered(t.Context(), "3"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Waiting(t.Context())
	if w := got["r"]; err != nil || w.Pending != 2 || w.Failing != 1 || w.Oldest.IsZero() {
		t.Errorf("%+v %v", got, err)
	}
}
