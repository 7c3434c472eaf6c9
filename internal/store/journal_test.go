package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// decided files an issuance and decides it, as one that the journal would know by these.
func decided(t testing.TB, s *Store, id, spki, tbs [32]byte) {
	t.Helper()
	mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: id, Cert: []byte("c")}}}})
	if _, err := s.Decide(t.Context(), Decision{ID: id, Level: "alarm", SPKI: spki, TBS: tbs}); err != nil {
		t.Fatal(err)
	}
}

func waiting(t testing.TB, s *Store) (ids [][32]byte) {
	t.Helper()
	all, err := s.Undecided(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, is := range all {
		ids = append(ids, is.ID)
	}
	return ids
}

func keyEntry(n int, source string) JournalEntry {
	return JournalEntry{Kind: JournalKey, Origin: FromPush, SPKI: hash(n), Source: source}
}

func certEntry(spki, tbs, issuance int) JournalEntry {
	e := JournalEntry{Kind: JournalCertificate, Origin: FromDirectory, SPKI: hash(spki), TBS: hash(tbs), SHA256: hash(tbs + 1000), DER: []byte("der"), Source: "cert.pem"}
	if issuance > 0 {
		e.Issuance = hash(issuance)
	}
	return e
}

func journalled(t testing.TB, s *Store, entries ...JournalEntry) Journalled {
	t.Helper()
	done, err := s.AddJournal(t.Context(), nil, nil, entries...)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestWhatTheJournalLearnsLateIsDecidedAgain(t *testing.T) {
	s := open(t)
	decided(t, s, hash(1), hash(11), hash(21))
	decided(t, s, hash(2), hash(12), hash(22))
	if left := waiting(t, s); len(left) > 0 {
		t.Fatalf("undecided %x", left)
	}
	for _, row := range []struct {
		name  string
		entry JournalEntry
		want  [][32]byte
	}{
		{"a key that nobody used", keyEntry(19, ""), nil},
		{"a key", keyEntry(11, ""), [][32]byte{hash(1)}},
		{"the same key again", keyEntry(11, ""), nil},
		{"the certificate of another key and issuance", certEntry(19, 29, 0), nil},
		{"a certificate concerns its own issuance, and no other with its key", certEntry(11, 22, 0), [][32]byte{hash(2)}},
		{"the same certificate, now with its issuer", certEntry(11, 22, 2), [][32]byte{hash(2)}},
		{"the same certificate again", certEntry(11, 22, 2), nil},
		{"the same certificate with less", certEntry(11, 22, 0), nil},
	} {
		if got := journalled(t, s, row.entry).Reconsidered; !slices.Equal(got, row.want) || !slices.Equal(waiting(t, s), row.want) {
			t.Errorf("%s: %x", row.name, got)
		}
		for _, id := range row.want {
			spki, tbs := hash(11), hash(21)
			if id == hash(2) {
				spki, tbs = hash(12), hash(22)
			}
			if _, err := s.Decide(t.Context(), Decision{ID: id, Level: "expected", SPKI: spki, TBS: tbs, Journal: 1 << 40}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWhatTheJournalLearnsDuringADecisionIsNotMissed(t *testing.T) {
	for _, row := range []struct {
		name  string
		learn func(s *Store) error
		again bool
	}{
		{"nothing", func(*Store) error { return nil }, false},
		{"another key", func(s *Store) error { _, err := s.AddJournal(t.Context(), nil, nil, keyEntry(77, "")); return err }, false},
		{"its key", func(s *Store) error { _, err := s.AddJournal(t.Context(), nil, nil, keyEntry(11, "new")); return err }, true},
		{"its certificate", func(s *Store) error { _, err := s.AddJournal(t.Context(), nil, nil, certEntry(5, 21, 0)); return err }, true},
		{"that its key is no longer ours", func(s *Store) error { _, err := s.EndJournalKey(t.Context(), hash(11)); return err }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := open(t)
			journalled(t, s, keyEntry(11, "old"))
			mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("c")}}}})
			entries, upTo, err := s.JournalOf(t.Context(), hash(11), hash(21))
			if err != nil || len(entries) != 1 || entries[0].Source != "old" {
				t.Fatalf("%+v, %v", entries, err)
			}
			if err := row.learn(s); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Decide(t.Context(), Decision{ID: hash(1), Level: "alarm", SPKI: hash(11), TBS: hash(21), Journal: upTo}); err != nil {
				t.Fatal(err)
			}
			if got := len(waiting(t, s)) == 1; got != row.again {
				t.Errorf("to be decided again: %v", got)
			}
		})
	}
}

func TestTheKeysOfDirectoriesComeAndGo(t *testing.T) {
	s := open(t)
	decided(t, s, hash(1), hash(11), hash(21))
	journalled(t, s, keyEntry(13, "pushed"))
	ours := func() (out []string) {
		for _, n := range []int{11, 12, 13} {
			entries, _, err := s.JournalOf(t.Context(), hash(n), [32]byte{})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				out = append(out, fmt.Sprint(n, " ", e.Source))
			}
		}
		return out
	}
	for _, row := range []struct {
		name         string
		keys         []JournalEntry
		added, ended int
		again        int
		ours         []string
	}{
		{"they come", []JournalEntry{keyEntry(11, "a"), keyEntry(11, "b"), keyEntry(12, "c")}, 3, 0, 1, []string{"11 a", "11 b", "12 c", "13 pushed"}},
		{"they stay", []JournalEntry{keyEntry(11, "a"), keyEntry(11, "b"), keyEntry(12, "c")}, 0, 0, 0, []string{"11 a", "11 b", "12 c", "13 pushed"}},
		{"one file of two goes", []JournalEntry{keyEntry(11, "b"), keyEntry(12, "c")}, 0, 1, 1, []string{"11 b", "12 c", "13 pushed"}},
		{"all go; what was pushed stays", nil, 0, 2, 1, []string{"13 pushed"}},
		{"one comes back", []JournalEntry{keyEntry(11, "b")}, 1, 0, 1, []string{"11 b", "13 pushed"}},
	} {
		done, err := s.SyncJournalKeys(t.Context(), row.keys)
		if err != nil || done.Added != row.added || done.Ended != row.ended || len(done.Reconsidered) != row.again {
			t.Errorf("%s: %+v, %v", row.name, done, err)
		}
		if diff := cmp.Diff(row.ours, ours()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}

func TestThePositiveControlIsDueUntilItIsSettled(t *testing.T) {
	s := open(t)
	now := time.Now().Truncate(time.Millisecond)
	e := certEntry(11, 21, 1)
	e.Control, e.Due = "waiting", now.Add(time.Hour)
	journalled(t, s, e)
	due := func(at time.Time) int {
		all, err := s.ControlDue(t.Context(), at, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if due(now) != 0 || due(now.Add(time.Hour)) != 1 {
		t.Error("it is due at another time")
	}
	seen := func() bool {
		ok, err := s.SeenIssuance(t.Context(), hash(1), hash(21))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if seen() {
		t.Error("it was seen before it was")
	}
	mustCommit(t, s, Commit{LogID: hash(50), Cursor: []byte("{}"), Size: 1, Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("c")}, Sighting: &Sighting{Leaf: []byte("l")}}}})
	if !seen() {
		t.Error("it was not seen by its identity")
	}
	all, err := s.Journal(t.Context(), "waiting", 10)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if err := s.SetControl(t.Context(), all[0].Seq, "seen", time.Time{}, "it was seen"); err != nil {
		t.Fatal(err)
	}
	if due(now.Add(1000*time.Hour)) != 0 {
		t.Error("what is settled is due")
	}
}

func TestAnIssuanceIsSeenByItsContentWhereItsIssuerIsNotKnown(t *testing.T) {
	s := open(t)
	mustCommit(t, s, Commit{LogID: hash(50), Cursor: []byte("{}"), Size: 1, Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("c")}, Sighting: &Sighting{Leaf: []byte("l")}}}})
	if _, err := s.Decide(t.Context(), Decision{ID: hash(1), Level: "expected", SPKI: hash(11), TBS: hash(21)}); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.SeenIssuance(t.Context(), [32]byte{}, hash(21)); !ok || err != nil {
		t.Error(ok, err)
	}
}

func announce(t testing.TB, s *Store, id string, count int) {
	t.Helper()
	now := time.Now()
	if err := s.Announce(t.Context(), Expectation{ID: id, Count: count, Created: now, Until: now.Add(time.Hour)}, now, nil); err != nil {
		t.Fatal(err)
	}
}

func TestAnExpectationIsUsedOnceByEachIssuanceAndNoMoreOftenThanItSays(t *testing.T) {
	s := open(t)
	announce(t, s, "e", 2)
	for n := range 4 {
		mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(n + 1), Cert: []byte("c")}}}})
	}
	use := func(n int) error {
		_, err := s.Decide(t.Context(), Decision{ID: hash(n), Level: "expected", Uses: []string{"e"}})
		return err
	}
	used := func() int {
		e, err := s.Expectation(t.Context(), "e")
		if err != nil || e.Used != len(e.Uses) {
			t.Fatalf("%+v, %v", e, err)
		}
		return e.Used
	}
	for i, row := range []struct {
		n, used int
		fails   bool
	}{{1, 1, false}, {1, 1, false}, {2, 2, false}, {3, 2, true}, {2, 2, false}} {
		if err := use(row.n); errors.Is(err, ErrUsedUp) != row.fails || used() != row.used {
			t.Errorf("step %d: %v, used %d", i, err, used())
		}
	}
	if v := find(t, s, hash(3)); len(v.Verdicts) != 0 || v.Issuance.Decided {
		t.Error("a decision that failed left a verdict behind")
	}
	trail, err := s.Trail(t.Context(), time.Time{}, time.Now().Add(time.Hour), 10)
	if err != nil || len(trail) != 2 || trail[0].Kind != TrailUsed || trail[0].Subject != "e" {
		t.Errorf("trail %+v, %v", trail, err)
	}
	t.Run("nor when it was cancelled", func(t *testing.T) {
		announce(t, s, "f", 2)
		if err := s.CancelExpectation(t.Context(), "f"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Decide(t.Context(), Decision{ID: hash(4), Level: "expected", Uses: []string{"f"}}); !errors.Is(err, ErrUsedUp) {
			t.Error(err)
		}
		if err := s.CancelExpectation(t.Context(), "f"); !errors.Is(err, ErrNotFound) {
			t.Error("it was cancelled twice:", err)
		}
	})
	t.Run("what is over is open to those that used it", func(t *testing.T) {
		if err := s.CloseExpectation(t.Context(), "e", nil); err != nil {
			t.Fatal(err)
		}
		for n, want := range map[int]int{1: 1, 4: 0} {
			if all, err := s.OpenExpectations(t.Context(), hash(n), time.Now()); err != nil || len(all) != want {
				t.Errorf("issuance %d: %+v, %v", n, all, err)
			}
		}
	})
}

func TestAnAnnouncementMakesWhatCameJustBeforeUndecided(t *testing.T) {
	s := open(t)
	now := time.Now()
	for n, age := range []time.Duration{time.Hour, time.Minute} {
		mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(n + 1), Cert: []byte("c"), FirstSeen: now.Add(-age)}}}})
		if _, err := s.Decide(t.Context(), Decision{ID: hash(n + 1), Level: "alarm"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Announce(t.Context(), Expectation{ID: "e", Count: 1, Created: now, Until: now.Add(time.Hour)}, now.Add(-15*time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	if got := waiting(t, s); len(got) != 1 || got[0] != hash(2) {
		t.Errorf("undecided %x", got)
	}
}

func TestATokenPaysBeforeItAnnounces(t *testing.T) {
	s := open(t)
	now := time.Now()
	if err := s.AddToken(t.Context(), Token{ID: "t", Hash: hash(1), Name: "ci", Expires: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("enough")
	atMost := func(most int) func(Token, []Grant) error {
		return func(tok Token, history []Grant) error {
			n := 1
			for _, g := range history {
				n += g.Count
			}
			if n > most || !tok.Revoked.IsZero() {
				return refused
			}
			return nil
		}
	}
	try := func(id string) error {
		return s.Announce(t.Context(), Expectation{ID: id, Token: "t", Count: 1, Created: now, Until: now.Add(time.Hour)}, now, &Charge{Token: "t", Count: 1, What: id, Check: atMost(3)}, TrailEntry{Kind: "made"})
	}
	// Many at once: the check runs within the transaction, so that no two see the same past.
	var work sync.WaitGroup
	var mu sync.Mutex
	passed := 0
	for i := range 10 {
		work.Go(func() {
			err := try(fmt.Sprint("e", i))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				passed++
			case !errors.Is(err, refused):
				t.Error(err)
			}
		})
	}
	work.Wait()
	all, err := s.Expectations(t.Context(), 100)
	trail, terr := s.Trail(t.Context(), now.Add(-time.Hour), now.Add(time.Hour), 100)
	if passed != 3 || len(all) != 3 || len(trail) != 3 || err != nil || terr != nil {
		t.Errorf("%d passed, %d are there, %d on the trail", passed, len(all), len(trail))
	}
	tokens, err := s.Tokens(t.Context())
	if err != nil || len(tokens) != 1 || tokens[0].Granted != 3 || tokens[0].LastUsed.IsZero() {
		t.Errorf("%+v, %v", tokens, err)
	}
	if n, err := s.RevokeToken(t.Context(), "t"); n != 3 || err != nil {
		t.Errorf("%d were cancelled, %v", n, err)
	}
	if open, err := s.OpenExpectations(t.Context(), [32]byte{}, time.Now()); len(open) != 0 || err != nil {
		t.Errorf("what a revoked token announced is open: %v, %v", open, err)
	}
	if _, err := s.RevokeToken(t.Context(), "t"); !errors.Is(err, ErrNotFound) {
		t.Errorf("it was revoked twice: %v", err)
	}
	if _, err := s.Token(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.AddJournal(t.Context(), &Charge{Token: "t", Count: 1, Check: atMost(100)}, nil, certEntry(1, 2, 3)); !errors.Is(err, refused) {
		t.Errorf("a revoked token journalled: %v", err)
	}
	if all, _ := s.Journal(t.Context(), "", 10); len(all) != 0 {
		t.Error("what was refused is there")
	}
}

func TestObservedKeysStandApart(t *testing.T) {
	s := open(t)
	at := time.Now().Truncate(time.Millisecond).UTC()
	for _, d := range []time.Duration{0, time.Minute, time.Second} {
		if err := s.SawKey(t.Context(), hash(1), "www:443", at.Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.ObservedKeys(t.Context(), hash(1))
	if diff := cmp.Diff([]Observed{{SPKI: hash(1), Endpoint: "www:443", First: at, Last: at.Add(time.Minute)}}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if entries, _, _ := s.JournalOf(t.Context(), hash(1), [32]byte{}); len(entries) != 0 {
		t.Error("an observed key is in the journal")
	}
}

func TestWhatWaitsForTheJournalIsLookedAtWhenItLearnsSomething(t *testing.T) {
	for _, row := range []struct {
		name  string
		learn func(s *Store)
		due   int
	}{
		{"nothing new", func(s *Store) { journalled(t, s, keyEntry(9, "old")) }, 0},
		{"a key", func(s *Store) { journalled(t, s, keyEntry(11, "new")) }, 1},
		{"keys of directories", func(s *Store) {
			if _, err := s.SyncJournalKeys(t.Context(), []JournalEntry{keyEntry(11, "file")}); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"an announcement", func(s *Store) { announce(t, s, "e", 1) }, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := open(t)
			journalled(t, s, keyEntry(9, "old"))
			mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(1), Cert: []byte("c")}}}})
			if err := s.Postpone(t.Context(), hash(1), time.Now().Add(time.Hour), nil); err != nil {
				t.Fatal(err)
			}
			row.learn(s)
			if got := len(waiting(t, s)); got != row.due {
				t.Errorf("%d are due", got)
			}
		})
	}
}
