package replay

import (
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

var morning = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// lab is a CA that a watch expects, with what decides.
type lab struct {
	ca *ca.Authority
	st *app.Stations
}

func newLab(t *testing.T, settle time.Duration) *lab {
	root := must(ca.NewRoot("Root", &ca.Options{Seed: t.Name(), From: morning.AddDate(-1, 0, 0)}))(t)
	owners := must(facts.LoadOwners())(t)
	it := must(watch.ParseItem("example.com", watch.Place{}))(t)
	w := []watch.Watch{{Name: "web", Owner: "web-team", Items: []watch.Item{it}}}
	hash := root.KeyHash()
	rules := must(policy.Compile([]policy.Watch{{Name: "web", Owner: "web-team", Items: w[0].Items, Expect: &policy.Expect{
		Issuers: []string{"spki:" + hex.EncodeToString(hash[:])}, Keys: []string{policy.Journal}, Settle: settle,
	}}}, owners))(t)
	return &lab{ca: root, st: &app.Stations{Watches: w, Matcher: watch.New(w), Owners: owners, Rules: rules, Keys: must(facts.OpenKeys(nil))(t)}}
}

func (l *lab) issue(t *testing.T, name string) (*ca.Issued, app.Subject, crypto.Signer) {
	t.Helper()
	key := must(ca.NewKey(ca.P256, t.Name()+name))(t)
	i := must(l.ca.Issue(ca.Leaf{DNS: []string{name}, Key: key, From: morning.Add(-time.Hour)}))(t)
	return i, app.Subject{Bytes: i.TBS, Precert: true, IssuerKeyHash: i.IssuerKeyHash(), Chain: append([][]byte{i.Precert}, i.Chain...)}, key
}

// rings are the changes that would have rung, with their time after the morning.
type rings struct {
	t    *testing.T
	list []string
}

func (r *rings) told(m Message) error {
	var doc notify.Incident
	if err := json.Unmarshal(m.Payload, &doc); err != nil {
		return err
	}
	if incident.Change(doc.Change).Rings() {
		r.list = append(r.list, m.At.Sub(morning).String()+" "+doc.Change+" "+doc.Group)
	}
	return nil
}

func (l *lab) world(r *rings) *World {
	return New(Options{Stations: l.st, Receivers: []notify.Receiver{Inbox("team")}, Telling: app.Telling{Incidents: incident.Defaults}, Told: r.told})
}

func TestWhatTheWorldDoes(t *testing.T) {
	entry := func(key crypto.Signer) journal.Entry {
		hash, _ := ca.KeyHash(key)
		return journal.Entry{SPKI: hash, Source: "hook"}
	}
	for _, c := range []struct {
		name string
		play func(t *testing.T, l *lab, w *World)
		want []string
	}{
		{"a surprise rings when the journal was waited for, and is told again a day later", func(t *testing.T, l *lab, w *World) {
			_, sub, _ := l.issue(t, "a.example.com")
			must(w.See(t.Context(), morning, sub, morning))(t)
		}, []string{"15m10s opened example.com", "24h15m10s reminder example.com"}},
		{"what the journal tells in time is silent", func(t *testing.T, l *lab, w *World) {
			_, sub, key := l.issue(t, "a.example.com")
			f := must(w.See(t.Context(), morning, sub, morning))(t)
			if err := w.Journal(t.Context(), morning.Add(14*time.Minute), entry(key)); err != nil {
				t.Fatal(err)
			}
			if f.Verdict.Level != policy.Expected || !f.Journalled || f.Waited.IsZero() || f.Decided.Sub(morning) != 14*time.Minute {
				t.Errorf("%s, decided %s, waited %s, announced by %q", f.Verdict.Level, f.Decided, f.Waited, f.Announced)
			}
		}, nil},
		{"what comes too late has rung once, and rings no more", func(t *testing.T, l *lab, w *World) {
			_, sub, key := l.issue(t, "a.example.com")
			must(w.See(t.Context(), morning, sub, morning))(t)
			if err := w.Journal(t.Context(), morning.Add(time.Hour), entry(key)); err != nil {
				t.Fatal(err)
			}
		}, []string{"15m10s opened example.com"}},
		{"further entries and the final certificate of a renewal are silent", func(t *testing.T, l *lab, w *World) {
			i, sub, key := l.issue(t, "a.example.com")
			if err := w.Journal(t.Context(), morning, entry(key)); err != nil {
				t.Fatal(err)
			}
			f := must(w.See(t.Context(), morning, sub, morning))(t)
			must(w.See(t.Context(), morning.Add(time.Minute), sub, morning))(t)
			der := must(i.Finish(nil))(t)
			if g := must(w.See(t.Context(), morning.Add(time.Hour), app.Subject{Bytes: der, Chain: i.FinalChain}, morning))(t); g != f || f.Entries != 3 {
				t.Errorf("the final certificate is filed apart, or %d entries are not three", f.Entries)
			}
		}, nil},
		{"an announcement counts as often as it says", func(t *testing.T, l *lab, w *World) {
			_, first, announced := l.issue(t, "a.example.com")
			hash := must(ca.KeyHash(announced))(t)
			e := expectation.Expectation{ID: "e1", Names: []string{"a.example.com"}, Keys: []string{hex.EncodeToString(hash[:])}, Count: 1, Created: morning, Until: morning.Add(time.Hour)}
			if err := w.Announce(t.Context(), morning, e); err != nil {
				t.Fatal(err)
			}
			f := must(w.See(t.Context(), morning.Add(time.Minute), first, morning.Add(time.Minute)))(t)
			i := must(l.ca.Issue(ca.Leaf{DNS: []string{"a.example.com"}, Key: announced, From: morning}))(t)
			must(w.See(t.Context(), morning.Add(2*time.Minute), app.Subject{Bytes: i.TBS, Precert: true, IssuerKeyHash: i.IssuerKeyHash(), Chain: append([][]byte{i.Precert}, i.Chain...)}, morning))(t)
			if f.Verdict.Level != policy.Expected || len(f.Announced) != 1 {
				t.Errorf("%s, decided %s, waited %s, announced by %q", f.Verdict.Level, f.Decided, f.Waited, f.Announced)
			}
		}, []string{"17m10s opened example.com", "24h17m10s reminder example.com"}},
		{"what touches nothing is not filed", func(t *testing.T, l *lab, w *World) {
			_, sub, _ := l.issue(t, "a.example.net")
			if f := must(w.See(t.Context(), morning, sub, morning))(t); f != nil || len(w.Filed()) != 0 {
				t.Error("it is filed")
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, r := newLab(t, 15*time.Minute), &rings{t: t}
			w := l.world(r)
			c.play(t, l, w)
			if err := w.Advance(t.Context(), morning.Add(36*time.Hour)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, r.list); d != "" {
				t.Error(d)
			}
		})
	}
}

// The store keeps what a world keeps: a ledger that was filled by hand gives the same as what was played.
func TestALedgerIsReplayed(t *testing.T) {
	l := newLab(t, 15*time.Minute)
	s := must(store.Open(filepath.Join(t.TempDir(), "state.db"), nil))(t)
	t.Cleanup(func() { s.Close() })
	file := func(at time.Time, sub app.Subject) cert.ID {
		t.Helper()
		r := l.st.Read(sub)
		c := store.Commit{LogID: [32]byte{1}, LogName: "log", Cursor: []byte("{}"), Filings: []store.Filing{{
			Issuance: store.Issuance{ID: r.ID, FirstSeen: at, Cert: sub.Bytes, Precert: sub.Precert, IssuerKeyHash: sub.IssuerKeyHash, Chain: sub.Chain},
		}}}
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	_, old, _ := l.issue(t, "old.example.com")
	_, ours, key := l.issue(t, "ours.example.com")
	_, stolen, _ := l.issue(t, "stolen.example.com")
	_, known, _ := l.issue(t, "known.example.com")
	file(morning.AddDate(0, 0, -60), old)
	file(morning, ours)
	id := file(morning.Add(time.Hour), stolen)
	muted := file(morning.Add(36*time.Hour), known)
	hash := must(ca.KeyHash(key))(t)
	if _, err := s.AddJournal(t.Context(), nil, nil, store.JournalEntry{Kind: store.JournalKey, Origin: store.FromPush, SPKI: hash, Source: "hook", At: morning.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	silence := incident.Silence{ID: "s1", Start: morning.Add(30 * time.Hour), End: morning.AddDate(0, 0, 20), By: "ana", Reason: "known", Match: incident.Matchers{Names: []string{"known.example.com"}}}
	if err := s.AddSilence(t.Context(), store.SilenceRow{ID: "s1", Body: must(json.Marshal(silence))(t), Start: silence.Start, Until: silence.End, Created: silence.Start}); err != nil {
		t.Fatal(err)
	}
	out := must(Since(t.Context(), s, Options{Stations: l.st, Receivers: []notify.Receiver{Inbox("team")}, Telling: app.Telling{Incidents: incident.Defaults}}, morning.AddDate(0, 0, -10), morning.AddDate(0, 0, 10)))(t)
	if d := cmp.Diff(map[string]int{"expected": 1, "alarm": 2}, out.Levels); d != "" {
		t.Error(d)
	}
	if out.Certificates != 3 || out.Rings != 1 || out.Messages != 1 || len(out.Examples) != 1 || out.Examples[0].Issuance != hex.EncodeToString(id[:]) {
		t.Errorf("%+v", out)
	}
	for _, r := range out.Rules {
		want := Rule{Rule: r.Rule, Title: r.Title, Severity: r.Severity}
		if r.Rule == "unknown-key" {
			want.Fired, want.Rang, want.Silenced, want.PerWeek = 2, 1, 1, 0.35
		}
		if d := cmp.Diff(want, r); d != "" {
			t.Errorf("%s (muted %x): %s", r.Rule, muted[:4], d)
		}
	}
	t.Run("a rule of the config that is tried counts", func(t *testing.T) {
		deaf := *l.st
		deaf.Rules = must(policy.Compile([]policy.Watch{{Name: "web", Items: l.st.Watches[0].Items, Expect: &policy.Expect{MaxValidity: 365 * 24 * time.Hour}}}, l.st.Owners))(t)
		out := must(Since(context.Background(), s, Options{Stations: &deaf, Receivers: []notify.Receiver{Inbox("team")}, Telling: app.Telling{Incidents: incident.Defaults}}, morning.AddDate(0, 0, -10), morning.AddDate(0, 0, 10)))(t)
		if out.Rings != 0 || out.Levels["expected"] != 3 {
			t.Errorf("%+v", out)
		}
	})
}
