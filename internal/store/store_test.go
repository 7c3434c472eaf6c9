package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if run := os.Getenv("STORE_TEST_CHILD"); run != "" {
		child(run)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "state.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func hash(n int) (h [32]byte) {
	copy(h[:], fmt.Sprintf("%08d", n))
	return h
}

func mustCommit(t testing.TB, s *Store, c Commit) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func find(t testing.TB, s *Store, id [32]byte) *Record {
	t.Helper()
	r, err := s.Record(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReadersSeeWhatIsCommittedAndCannotWrite(t *testing.T) {
	s := open(t)
	mustCommit(t, s, Commit{LogID: hash(1), LogName: "a", Cursor: []byte(`{"n":1}`), Size: 7})
	ro, err := OpenReadOnly(s.Path(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	mustCommit(t, s, Commit{LogID: hash(1), Cursor: []byte(`{"n":2}`), Size: 8})
	l, ok, err := ro.LoadLog(t.Context(), hash(1))
	if err != nil || !ok || l.Size != 8 || l.Name != "a" || string(l.Cursor) != `{"n":2}` {
		t.Fatalf("LoadLog = %+v, %v, %v", l, ok, err)
	}
	if err := ro.Commit(t.Context(), Commit{LogID: hash(1), Cursor: []byte(`{}`), Size: 9}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Commit = %v", err)
	}
	if _, err := ro.r.Exec("DELETE FROM logs"); err == nil {
		t.Error("the connections of a reader can write")
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFullDiskSaysSoAndLosesNothing(t *testing.T) {
	s := open(t)
	filing := func(i int) Commit {
		return Commit{LogID: hash(1), Cursor: []byte(`{}`), Size: uint64(i), Filings: []Filing{{
			Issuance: Issuance{ID: hash(i), Cert: bytes.Repeat([]byte{byte(i)}, 20000)},
			Sighting: &Sighting{Index: uint64(i), Leaf: bytes.Repeat([]byte{2}, 20000)},
		}}}
	}
	mustCommit(t, s, filing(1))
	if _, err := s.w.Exec("PRAGMA max_page_count = 60"); err != nil {
		t.Fatal(err)
	}
	var failed error
	n := 1
	for failed == nil && n < 100 {
		n++
		failed = s.Commit(t.Context(), filing(n))
	}
	var e *Error
	if !errors.As(failed, &e) || !strings.Contains(e.Hint(), "disk is full") {
		t.Fatalf("Commit = %v", failed)
	}
	if l, _, err := s.LoadLog(t.Context(), hash(1)); err != nil || l.Size != uint64(n-1) {
		t.Errorf("after the failed commit the cursor is at %d (%v), want %d", l.Size, err, n-1)
	}
	if _, err := s.Record(t.Context(), hash(n)); !errors.Is(err, ErrNotFound) {
		t.Errorf("half of a commit is there: %v", err)
	}
	if _, err := s.w.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, filing(n))
}

func TestReadOnlyFileComesWithAHint(t *testing.T) {
	s := open(t)
	db, err := sql.Open("sqlite", dsn(s.Path(), "mode=ro"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec("DELETE FROM logs")
	var e *Error
	if !errors.As(s.wrap("filing", err), &e) || !strings.Contains(e.Hint(), "cannot be written") {
		t.Errorf("wrap(%v) has hint %q", err, e.Hint())
	}
}

func TestEveryQueryThatLoopsUsesAnIndex(t *testing.T) {
	s := open(t)
	for _, q := range []string{
		`SELECT ` + issuanceColumns + ` FROM issuances AS i WHERE i.state = 'undecided' AND i.decide_after <= 1 ORDER BY i.seq LIMIT 1`,
		`SELECT ` + outboxColumns + ` FROM outbox INDEXED BY outbox_pending WHERE receiver = 'r' AND state = 'pending' AND next_attempt <= 1 ORDER BY seq LIMIT 1`,
		`SELECT min(next_attempt) FROM outbox INDEXED BY outbox_next WHERE receiver = 'r' AND state = 'pending'`,
		`SELECT 1 FROM outbox WHERE issuance = x'00' AND receiver = 'r' AND rank >= 1`,
		`SELECT seq FROM heads WHERE log = x'00' ORDER BY seq DESC LIMIT 1 OFFSET 9`,
		`SELECT id FROM issuances WHERE id BETWEEN x'00' AND x'01'`,
		`SELECT DISTINCT issuance FROM fingerprints WHERE sha256 BETWEEN x'00' AND x'01'`,
		`SELECT DISTINCT issuance FROM outbox WHERE id >= 'a' AND id < 'ag'`,
		`SELECT 1 FROM journal WHERE kind = 'certificate' AND tbs = x'00'`,
		`SELECT 1 FROM journal WHERE kind = 'key' AND ended = 0 AND spki = x'00'`,
		`SELECT 1 FROM journal WHERE changed > 1 AND (kind = 'key' AND spki = x'00' OR kind = 'certificate' AND tbs = x'00')`,
		`SELECT max(changed) FROM journal`,
		`SELECT seq FROM journal WHERE due > 0 AND due <= 1 ORDER BY due LIMIT 1`,
		`SELECT issuance FROM subjects WHERE spki = x'00'`,
		`SELECT issuance FROM subjects WHERE tbs = x'00'`,
		`SELECT id FROM expectations WHERE closed = 0 AND until <= 1`,
		`SELECT expectation FROM expectation_uses WHERE issuance = x'00'`,
		`SELECT id FROM expectations WHERE until >= 1 AND cancelled = 0 AND used < count OR id IN (SELECT expectation FROM expectation_uses WHERE issuance = x'00')`,
		`SELECT at FROM grants WHERE token = 't' ORDER BY seq`,
	} {
		rows, err := s.r.Query("EXPLAIN QUERY PLAN " + q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		for rows.Next() {
			var a, b, c int
			var plan string
			if err := rows.Scan(&a, &b, &c, &plan); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(plan, "SCAN") && !strings.Contains(plan, "INDEX") || strings.Contains(plan, "TEMP B-TREE FOR ORDER") {
				t.Errorf("%s\n\t%s", q, plan)
			}
		}
		rows.Close()
	}
}

func TestMergeJSONKeepsEveryElementOnceAndEveryByte(t *testing.T) {
	for _, row := range []struct {
		name, old, add, want string
		grown                bool
	}{
		{"nothing to add", `[{"a":1}]`, ``, `[{"a":1}]`, false},
		{"null adds nothing", `[]`, `null`, `[]`, false},
		{"the same in other spacing", `[{"a":1}]`, `[ {"a" : 1} ]`, `[{"a":1}]`, false},
		{"a new one goes to the end", `[1]`, `[2, 1, 2]`, `[1,2]`, true},
		{"bytes that are not UTF-8 stay", `[]`, "[\"b\xfccher\"]", "[\"b\xfccher\"]", true},
	} {
		got, grown, err := mergeJSON(row.old, json.RawMessage(row.add))
		if err != nil || got != row.want || grown != row.grown {
			t.Errorf("%s: %q, %v, %v", row.name, got, grown, err)
		}
	}
	if _, _, err := mergeJSON(`[]`, json.RawMessage(`{"a":1}`)); err == nil {
		t.Error("an object was taken for an array")
	}
}

func TestErrorsOfRowsAreBounded(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 2000), strings.Repeat("ü", 2000), strings.Repeat("x", 1) + strings.Repeat("€", 2000), "short"} {
		got := bounded(text)
		if len(got) > maxError || !strings.HasPrefix(text, strings.TrimSuffix(got, "…")) || strings.ToValidUTF8(got, "?") != got {
			t.Errorf("bounded(%.20q…) = %q", text, got)
		}
	}
}

func TestSubscribersHearOfCommits(t *testing.T) {
	s := open(t)
	filed, stop := s.Subscribe(TopicFiled)
	defer stop()
	out, stop2 := s.Subscribe(TopicOutbox)
	defer stop2()
	heard := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	mustCommit(t, s, Commit{LogID: hash(1), Cursor: []byte(`{}`), Size: 1})
	if heard(filed) {
		t.Error("a cursor alone was announced as a filing")
	}
	c := Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(2), Cert: []byte("c")}}}}
	mustCommit(t, s, c)
	if !heard(filed) {
		t.Error("a filing was not announced")
	}
	mustCommit(t, s, c)
	if heard(filed) {
		t.Error("the same filing again was announced")
	}
	d := Decision{ID: hash(2), Level: "alarm", Outbox: []OutboxRow{{Receiver: "r", Kind: "alarm"}}}
	for i, want := range []int{1, 0} {
		n, err := s.Decide(context.Background(), d)
		if err != nil || n != want || heard(out) != (want > 0) {
			t.Errorf("decision %d queued %d, %v", i, n, err)
		}
	}
}

func TestEachCommitIsOnDiskBeforeItReturns(t *testing.T) {
	s := open(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "application_id": fmt.Sprint(applicationID)} {
		var got string
		if err := s.w.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", pragma, got, err, want)
		}
	}
}
