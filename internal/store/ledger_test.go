package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestD25OneIssuanceInFiveEntriesOverTwoDaysAndARestartIsOneAlarm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := hash(77)
	entry := func(log int, index uint64, precert bool, chain ...string) Commit {
		is := Issuance{ID: id, Cert: []byte("final"), Precert: precert, IssuerKeyHash: hash(5), Matches: json.RawMessage(`[{"watch":"w"}]`)}
		if precert {
			is.Cert = []byte("tbs")
		}
		for _, c := range chain {
			is.Chain = append(is.Chain, []byte(c))
		}
		return Commit{LogID: hash(log), LogName: fmt.Sprintf("log %d", log), Cursor: []byte(`{}`), Size: index + 1, Filings: []Filing{{
			Issuance: is,
			Sighting: &Sighting{Index: index, Timestamp: 1000 * index, Precert: precert, Leaf: fmt.Appendf(nil, "leaf %d %d", log, index), Extra: []byte("extra")},
		}}}
	}
	rung := 0
	decide := func() {
		t.Helper()
		todo, err := s.Undecided(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, is := range todo {
			n, err := s.Decide(t.Context(), Decision{ID: is.ID, Revision: is.Revision, Version: 1, Level: "alarm",
				Outbox: []OutboxRow{{Receiver: "team", Kind: "alarm", Rank: 2}}})
			if err != nil {
				t.Fatal(err)
			}
			rung += n
		}
	}
	mustCommit(t, s, entry(1, 10, true, "issuer"))
	decide()
	if rung != 1 {
		t.Fatalf("the precertificate alone rang %d times", rung)
	}
	mustCommit(t, s, entry(2, 20, true, "issuer"))
	if todo, _ := s.Undecided(t.Context(), 10); len(todo) != 0 {
		t.Error("a sighting that brings nothing is to be decided again")
	}
	s.Close()
	if s, err = Open(path, nil); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustCommit(t, s, entry(3, 30, true, "issuer", "root"))
	if todo, _ := s.Undecided(t.Context(), 10); len(todo) != 1 || len(todo[0].Chain) != 2 {
		t.Error("a longer chain is not decided again")
	}
	decide()
	mustCommit(t, s, entry(1, 11, false, "issuer"))
	if todo, _ := s.Undecided(t.Context(), 10); len(todo) != 1 || string(todo[0].Cert) != "final" || todo[0].Precert {
		t.Errorf("the final certificate is not decided again: %+v", todo)
	}
	decide()
	mustCommit(t, s, entry(2, 21, false, "issuer"))
	mustCommit(t, s, entry(2, 22, true, "issuer"))
	decide()

	rec := find(t, s, id)
	if rung != 1 || len(rec.Outbox) != 1 || len(rec.Sightings) != 6 || rec.Issuance.Precert || string(rec.Issuance.Cert) != "final" {
		t.Errorf("rang %d times, %d messages, %d sightings, %+v", rung, len(rec.Outbox), len(rec.Sightings), rec.Issuance)
	}
	if got := len(rec.Verdicts); got != 3 || !rec.Verdicts[2].Latest || rec.Verdicts[1].Latest {
		t.Errorf("verdicts: %+v", rec.Verdicts)
	}

	// A different certificate with the same names still alerts.
	other := entry(1, 12, false, "issuer")
	other.Filings[0].Issuance.ID = hash(78)
	mustCommit(t, s, other)
	decide()
	if rung != 2 {
		t.Errorf("another certificate of the same names: rang %d times in all", rung)
	}
}

func TestD25ManyLogsCommittingOneIssuanceAtTheSameInstantMakeOneIssuance(t *testing.T) {
	s := open(t)
	const logs, issuances = 8, 25
	var wg sync.WaitGroup
	start := make(chan struct{})
	for l := range logs {
		wg.Go(func() {
			<-start
			for i := range issuances {
				c := Commit{LogID: hash(100 + l), Cursor: []byte(`{}`), Size: uint64(i + 1), Filings: []Filing{{
					Issuance: Issuance{ID: hash(i + 1), Cert: []byte("c"), Precert: l%2 == 0},
					Sighting: &Sighting{Index: uint64(i), Leaf: []byte{byte(l), byte(i)}},
				}}}
				if err := s.Commit(context.Background(), c); err != nil {
					t.Error(err)
				}
				// The slow half decides beside.
				if _, err := s.Decide(context.Background(), Decision{ID: hash(i + 1), Level: "alarm", Outbox: []OutboxRow{{Receiver: "r", Kind: "alarm"}}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	close(start)
	wg.Wait()
	c, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuances != issuances || c.Sightings != logs*issuances || c.Outbox["r"].Pending != issuances {
		t.Errorf("%+v", c)
	}
}

func TestTheSameBatchAgainChangesNothing(t *testing.T) {
	s := open(t)
	c := Commit{LogID: hash(1), LogName: "a", Cursor: []byte(`{"h":[]}`), Size: 9,
		Heads: []Head{{Size: 9, Root: hash(3), Timestamp: 5, Raw: []byte("raw"), Received: time.UnixMilli(7)}},
		Filings: []Filing{{
			Issuance: Issuance{ID: hash(2), FirstSeen: time.UnixMilli(5), Cert: []byte("c"), Chain: [][]byte{[]byte("i")}, Matches: json.RawMessage(`[1]`), Oddities: json.RawMessage(`[2]`)},
			Sighting: &Sighting{Index: 4, Leaf: []byte("l")},
		}}}
	dump := func() string {
		var b strings.Builder
		for _, q := range []string{"SELECT id || size || cursor FROM logs", "SELECT hex(log) || size || hex(raw) FROM heads", "SELECT hex(id) || first_seen || revision || state || matches || oddities FROM issuances",
			"SELECT hex(leaf_hash) || seen FROM sightings", "SELECT position || hex(sha256) FROM chains"} {
			rows, err := s.r.Query(q)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "%q\n", text)
			}
			rows.Close()
		}
		return b.String()
	}
	mustCommit(t, s, c)
	if _, err := s.Decide(t.Context(), Decision{ID: hash(2), Level: "none"}); err != nil {
		t.Fatal(err)
	}
	before := dump()
	mustCommit(t, s, c)
	mustCommit(t, s, c)
	if d := cmp.Diff(before, dump()); d != "" {
		t.Error(d)
	}
}

func TestWhatWasMissingIsAddedAndDecidedAgain(t *testing.T) {
	base := Issuance{ID: hash(1), Cert: []byte("tbs"), Precert: true, Chain: [][]byte{[]byte("a")}, Matches: json.RawMessage(`[{"watch":"w","item":"x"}]`), Oddities: json.RawMessage(`[{"code":"o"}]`)}
	for _, row := range []struct {
		name   string
		change func(*Issuance)
		again  bool
		check  func(Issuance) bool
	}{
		{"the same again", func(*Issuance) {}, false, func(i Issuance) bool { return i.Revision == 1 }},
		{"the final certificate", func(i *Issuance) { i.Cert, i.Precert = []byte("final"), false }, true, func(i Issuance) bool { return string(i.Cert) == "final" && !i.Precert }},
		{"another certificate of the chain", func(i *Issuance) { i.Chain = [][]byte{[]byte("b"), []byte("a")} }, true, func(i Issuance) bool { return len(i.Chain) == 2 && string(i.Chain[1]) == "b" }},
		{"the chain cut off", func(i *Issuance) { i.Chain = nil }, false, func(i Issuance) bool { return len(i.Chain) == 1 }},
		{"the issuer's key", func(i *Issuance) { i.IssuerKeyHash = hash(9) }, true, func(i Issuance) bool { return i.IssuerKeyHash == hash(9) }},
		{"another match", func(i *Issuance) { i.Matches = json.RawMessage(`[{"watch":"w","item":"y"}]`) }, true,
			func(i Issuance) bool {
				return string(i.Matches) == `[{"watch":"w","item":"x"},{"watch":"w","item":"y"}]`
			}},
		{"fewer matches", func(i *Issuance) { i.Matches = nil }, false, func(i Issuance) bool { return len(i.Matches) > 5 }},
		{"another oddity", func(i *Issuance) { i.Oddities = json.RawMessage(`[{"code":"p"}]`) }, false,
			func(i Issuance) bool { return string(i.Oddities) == `[{"code":"o"},{"code":"p"}]` }},
		{"an earlier time", func(i *Issuance) { i.FirstSeen = time.UnixMilli(1) }, false, func(i Issuance) bool { return i.FirstSeen.Equal(time.UnixMilli(1)) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := open(t)
			mustCommit(t, s, Commit{Filings: []Filing{{Issuance: base}}})
			if _, err := s.Decide(t.Context(), Decision{ID: base.ID, Revision: 1, Level: "digest"}); err != nil {
				t.Fatal(err)
			}
			next := base
			row.change(&next)
			mustCommit(t, s, Commit{Filings: []Filing{{Issuance: next}}})
			got := find(t, s, base.ID).Issuance
			if got.Decided == row.again || !row.check(got) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAPrecertificateNeverReplacesTheFinalCertificate(t *testing.T) {
	s := open(t)
	mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("final")}}}})
	mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("tbs"), Precert: true}}}})
	if is := find(t, s, hash(1)).Issuance; string(is.Cert) != "final" || is.Precert {
		t.Errorf("%+v", is)
	}
}

func TestChainsOfALyingLogAreBounded(t *testing.T) {
	s := open(t)
	for i := range 10 {
		var chain [][]byte
		for j := range 20 {
			chain = append(chain, fmt.Appendf(nil, "%d %d", i, j))
		}
		mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("c"), Chain: chain}}}})
	}
	is := find(t, s, hash(1)).Issuance
	if len(is.Chain) != maxChain || string(is.Chain[0]) != "0 0" || string(is.Chain[63]) != "3 3" {
		t.Errorf("%d certificates", len(is.Chain))
	}
}

func TestRawBytesComeBackAsTheyWere(t *testing.T) {
	s := open(t)
	every := make([]byte, 0, 3*256)
	for i := range 256 {
		every = append(every, byte(i), 0, byte(255-i))
	}
	in := Sighting{LogName: "log", LogID: hash(1), Index: math.MaxUint64, Timestamp: math.MaxUint64 - 1, Precert: true, Leaf: every, Extra: every[1:], PrecertDER: every[2:], LeafHash: leafHash(every)}
	head := Head{Size: math.MaxUint64, Root: hash(4), Timestamp: math.MaxUint64, Raw: every, Received: time.UnixMilli(1234).UTC()}
	mustCommit(t, s, Commit{LogID: hash(1), LogName: "log", Cursor: every, Size: 1, Heads: []Head{head}, Filings: []Filing{{
		Issuance: Issuance{ID: hash(2), Cert: every, Chain: [][]byte{every, every[:3]}}, Sighting: &in}}})
	rec := find(t, s, hash(2))
	if d := cmp.Diff([]Sighting{in}, rec.Sightings, cmpopts.IgnoreFields(Sighting{}, "Seen")); d != "" {
		t.Error(d)
	}
	if !bytes.Equal(rec.Issuance.Cert, every) || !bytes.Equal(rec.Issuance.Chain[0], every) {
		t.Error("certificate or chain differ")
	}
	heads, err := s.Heads(t.Context(), hash(1), 5)
	if d := cmp.Diff([]Head{head}, heads); d != "" || err != nil {
		t.Error(d, err)
	}
	if l, _, _ := s.LoadLog(t.Context(), hash(1)); !bytes.Equal(l.Cursor, every) {
		t.Error("cursor differs")
	}
	if got, err := s.Sightings(t.Context(), hash(2), false); err != nil || len(got) != 1 || got[0].Leaf != nil || got[0].Index != math.MaxUint64 {
		t.Errorf("without raw bytes: %+v, %v", got, err)
	}
}

func TestTwoLeavesUnderOneIndexAreBothFiled(t *testing.T) {
	s := open(t)
	for _, leaf := range []string{"one", "other", "one"} {
		mustCommit(t, s, Commit{LogID: hash(1), Filings: []Filing{{Issuance: Issuance{ID: hash(2), Cert: []byte("c")}, Sighting: &Sighting{Index: 3, Leaf: []byte(leaf)}}}})
	}
	if got := find(t, s, hash(2)).Sightings; len(got) != 2 {
		t.Errorf("%d sightings", len(got))
	}
}

func TestCursorNeverMovesBackUnlessAsked(t *testing.T) {
	s := open(t)
	commit := func(size uint64, rewind bool) error {
		return s.Commit(t.Context(), Commit{LogID: hash(1), LogName: "a log", Cursor: fmt.Appendf(nil, "%d", size), Size: size, Rewind: rewind,
			Filings: []Filing{{Issuance: Issuance{ID: hash(int(size)), Cert: []byte("c")}}}})
	}
	if err := errors.Join(commit(10, false), commit(10, false), commit(12, false)); err != nil {
		t.Fatal(err)
	}
	if err := commit(11, false); !errors.Is(err, ErrCursorBack) || !strings.Contains(err.Error(), "a log") {
		t.Errorf("back: %v", err)
	}
	if _, err := s.Record(t.Context(), hash(11)); !errors.Is(err, ErrNotFound) {
		t.Error("a refused commit has filed something")
	}
	if err := commit(3, true); err != nil {
		t.Error(err)
	}
	if l, _, _ := s.LoadLog(t.Context(), hash(1)); l.Size != 3 || string(l.Cursor) != "3" {
		t.Errorf("%+v", l)
	}
	// Heads and faults alone leave the cursor where it is.
	mustCommit(t, s, Commit{LogID: hash(1), Heads: []Head{{Size: 99}}})
	if l, _, _ := s.LoadLog(t.Context(), hash(1)); l.Size != 3 || l.Name != "a log" {
		t.Errorf("%+v", l)
	}
	if err := s.Commit(t.Context(), Commit{LogID: hash(1), Cursor: []byte("x"), Size: math.MaxUint64}); err == nil {
		t.Error("a size beyond 2^63 was taken as a cursor")
	}
}

func TestHeadsAreBoundedButContradictionsStay(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "s.db"), &Options{KeepHeads: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustCommit(t, s, Commit{LogID: hash(1), Heads: []Head{{Size: 5, Root: hash(1)}, {Size: 5, Root: hash(2)}, {Size: 5, Root: hash(2)}}})
	for i := range 50 {
		mustCommit(t, s, Commit{LogID: hash(1), Heads: []Head{{Size: uint64(100 + i), Root: hash(i)}}})
	}
	heads, err := s.Heads(t.Context(), hash(1), 1000)
	if err != nil || len(heads) != 12 || heads[0].Size != 149 || heads[11].Size != 5 || heads[10].Size != 5 {
		t.Errorf("%d heads, %v: %+v", len(heads), err, heads)
	}
}

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

func BenchmarkCommit(b *testing.B) {
	// A machine that follows forty logs commits some tens of batches a second: below 10 ms each is light. Most of it is
	// the fsync of the disk.
	for _, filings := range []int{0, 10} {
		b.Run(fmt.Sprintf("%d filings", filings), func(b *testing.B) {
			s := open(b)
			cursor := bytes.Repeat([]byte("x"), 3000)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				c := Commit{LogID: hash(1), LogName: "log", Cursor: cursor, Size: uint64(n)}
				for range filings {
					n++
					c.Filings = append(c.Filings, Filing{
						Issuance: Issuance{ID: sha256.Sum256(fmt.Append(nil, n)), Cert: bytes.Repeat([]byte{byte(n)}, 1500), Chain: [][]byte{bytes.Repeat([]byte("i"), 1500)}, Matches: json.RawMessage(`[{"watch":"w"}]`)},
						Sighting: &Sighting{Index: uint64(n), Leaf: bytes.Repeat([]byte{byte(n)}, 1600), Extra: bytes.Repeat([]byte("e"), 3000)},
					})
				}
				if err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
