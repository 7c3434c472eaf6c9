package store

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestIssuancesAreFoundByAnyPrefixThatNamesOne(t *testing.T) {
	s := open(t)
	id := func(b ...byte) (h [32]byte) { copy(h[:], b); h[31] = 1; return h }
	precertSum := id(0xbe, 0xef, 0x01)
	mustCommit(t, s, Commit{LogID: hash(1), Filings: []Filing{
		{Issuance: Issuance{ID: id(0x4b, 0xe1, 0x10), Cert: []byte("one")}, Sighting: &Sighting{Index: 1, Leaf: []byte("1"), PrecertDER: []byte("pre")}},
		{Issuance: Issuance{ID: id(0x4b, 0xe1, 0x20), Cert: []byte("two")}, Fingerprints: [][32]byte{precertSum}},
		{Issuance: Issuance{ID: id(0xaa, 0xaa, 0xaa), Cert: []byte("tbs"), Precert: true}},
	}})
	if _, err := s.Decide(t.Context(), Decision{ID: id(0xaa, 0xaa, 0xaa), Level: "alarm", Outbox: []OutboxRow{{Receiver: "r", Kind: "alarm"}}}); err != nil {
		t.Fatal(err)
	}
	certSum := fmt.Sprintf("%x", sha256.Sum256([]byte("two")))
	preSum := fmt.Sprintf("%x", sha256.Sum256([]byte("pre")))
	alarm := AlarmID(id(0xaa, 0xaa, 0xaa), "r", "alarm")
	for _, row := range []struct {
		name, prefix string
		want         [32]byte
	}{
		{"an id", fmt.Sprintf("%x", id(0x4b, 0xe1, 0x10)), id(0x4b, 0xe1, 0x10)},
		{"an odd number of digits", "4be11", id(0x4b, 0xe1, 0x10)},
		{"upper case with colons", "4B:E1:20", id(0x4b, 0xe1, 0x20)},
		{"the hash of the certificate", "sha256:" + certSum, id(0x4b, 0xe1, 0x20)},
		{"the beginning of it", certSum[:9], id(0x4b, 0xe1, 0x20)},
		{"the hash of a precertificate that the log gave apart", preSum[:12], id(0x4b, 0xe1, 0x10)},
		{"the hash of a precertificate that the caller gave", "beef", id(0x4b, 0xe1, 0x20)},
		{"an alarm", alarm, id(0xaa, 0xaa, 0xaa)},
		{"the beginning of an alarm", alarm[:8], id(0xaa, 0xaa, 0xaa)},
		{"four digits", "aaaa", id(0xaa, 0xaa, 0xaa)},
	} {
		t.Run(row.name, func(t *testing.T) {
			rec, err := s.Find(t.Context(), row.prefix)
			if err != nil || rec.Issuance.ID != row.want {
				t.Fatalf("Find(%s) = %v", row.prefix, err)
			}
		})
	}
	var ambiguous *AmbiguousError
	if _, err := s.Find(t.Context(), "4be1"); !errors.As(err, &ambiguous) || len(ambiguous.Candidates) != 2 || ambiguous.More {
		t.Errorf("ambiguous: %v", err)
	} else if !strings.Contains(err.Error(), "4be1100000000000") {
		t.Errorf("candidates are not listed: %v", err)
	}
	if _, err := s.Find(t.Context(), "0123456789"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	var bad *PrefixError
	for _, text := range []string{"", "4be", "xyzw", "'; DROP TABLE logs", strings.Repeat("a", 65), "%%%%"} {
		if _, err := s.Find(t.Context(), text); !errors.As(err, &bad) {
			t.Errorf("Find(%q) = %v", text, err)
		}
	}
	for i := range 30 {
		h := id(0xcc, 0xcc, byte(i))
		mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: h, Cert: h[:]}}}})
	}
	if _, err := s.Find(t.Context(), "cccc"); !errors.As(err, &ambiguous) || len(ambiguous.Candidates) != maxCandidates || !ambiguous.More {
		t.Errorf("thirty candidates: %v", err)
	}
}

func TestAllFaultsAreReadPageByPage(t *testing.T) {
	s := open(t)
	for i := range 25 {
		mustCommit(t, s, Commit{LogID: hash(i % 3), Faults: []Fault{{Kind: "forked", LogID: hash(i % 3), Text: fmt.Sprint(i), Evidence: []byte{byte(i)}}}})
	}
	want := 24
	for before := int64(0); ; {
		page, err := s.FaultsBefore(t.Context(), before, 4)
		if err != nil || len(page) > 4 {
			t.Fatal(len(page), err)
		}
		if len(page) == 0 {
			break
		}
		for _, f := range page {
			if f.Text != fmt.Sprint(want) || len(f.Evidence) != 1 || f.Evidence[0] != byte(want) {
				t.Errorf("%+v, want fault %d", f, want)
			}
			want--
			before = f.Seq
		}
		// One that comes meanwhile is not of these pages.
		mustCommit(t, s, Commit{LogID: hash(9), Faults: []Fault{{Kind: "forked", LogID: hash(9), Text: fmt.Sprint("later ", want)}}})
	}
	if want != -1 {
		t.Errorf("%d faults were not read", want+1)
	}
}

func TestFaultsAreCountedAndTheirEvidenceIsBounded(t *testing.T) {
	s := open(t)
	at := time.UnixMilli(1000).UTC()
	evidence := []byte{0, 1, 0xff, '"'}
	for i := range 3 {
		if err := s.RecordFault(t.Context(), Fault{Kind: "bad-root", LogID: hash(1), LogName: "a", Text: "t", Evidence: evidence, At: at.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Faults(t.Context(), 10)
	if d := cmp.Diff([]Fault{{Kind: "bad-root", LogID: hash(1), LogName: "a", Text: "t", Evidence: evidence, At: at.Add(2 * time.Second), First: at, Last: at.Add(2 * time.Second), Count: 3}}, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for i := range maxFaults + 20 {
		mustCommit(t, s, Commit{LogID: hash(2), Faults: []Fault{{Kind: "bad-signature", LogID: hash(2), Text: fmt.Sprint(i), Evidence: []byte{byte(i)}}}})
	}
	got, err = s.Faults(t.Context(), 1000)
	if err != nil || len(got) != maxFaults+1 {
		t.Errorf("%d kinds of evidence, %v", len(got), err)
	}
	if c, err := s.Counts(t.Context()); err != nil || c.Faults != 3+maxFaults+20 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestCountsAndLists(t *testing.T) {
	s := open(t)
	for i, level := range []string{"expected", "alarm", "alarm", ""} {
		mustCommit(t, s, Commit{LogID: hash(9), Filings: []Filing{{Issuance: Issuance{ID: hash(i + 1), Cert: []byte("c"), Matches: json.RawMessage(`[1]`)}, Sighting: &Sighting{Index: uint64(i), Leaf: []byte{1}}}}})
		if level == "" {
			continue
		}
		if _, err := s.Decide(t.Context(), Decision{ID: hash(i + 1), Level: level, Outbox: []OutboxRow{{Receiver: "r", Kind: level}}}); err != nil {
			t.Fatal(err)
		}
	}
	out := func(i int, kind string) string { return AlarmID(hash(i), "r", kind) }
	if err := errors.Join(s.Delivered(t.Context(), out(1, "expected")), s.Drop(t.Context(), out(2, "alarm"), "the receiver is gone"),
		s.Failed(t.Context(), out(3, "alarm"), errors.New("no"), time.Now())); err != nil {
		t.Fatal(err)
	}
	got, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Counts{Issuances: 4, Undecided: 1, Sightings: 4, Levels: map[string]int64{"expected": 1, "alarm": 2},
		Outbox: map[string]OutboxCounts{"r": {Pending: 1, Delivered: 1, Dropped: 1, Failing: 1}}}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(OutboxCounts{}, "Oldest")); d != "" || got.Outbox["r"].Oldest.IsZero() {
		t.Error(d)
	}
	list, err := s.Recent(t.Context(), 10, "alarm", "page")
	if err != nil || len(list) != 2 || list[0].ID != hash(3) || list[0].Level != "alarm" || list[0].Sightings != 1 || !list[0].Decided {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = s.Recent(t.Context(), 1); err != nil || len(list) != 1 || list[0].ID != hash(4) || list[0].Level != "" || list[0].Decided {
		t.Errorf("%+v, %v", list, err)
	}
	if logs, err := s.Logs(t.Context()); err != nil || len(logs) != 1 || logs[0].ID != hash(9) {
		t.Errorf("%+v, %v", logs, err)
	}
}
