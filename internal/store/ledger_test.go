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
