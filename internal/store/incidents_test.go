package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var march = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func incident(id, key string, n int) IncidentRow {
	return IncidentRow{Incident: Incident{
		ID: id, Key: key, Kind: "owner", Owner: "web", Group: "example.com", Level: "alarm", Rank: 3, Status: "new", Title: "title", Certificates: n,
		Opened: march, Updated: march, NextDue: march.Add(10 * time.Second), Body: json.RawMessage(`{"id":"` + id + `"}`),
	}}
}

func filedIssuance(t testing.TB, s *Store, n int) [32]byte {
	t.Helper()
	mustCommit(t, s, Commit{Filings: []Filing{{Issuance: Issuance{ID: hash(n), Cert: []byte("c")}}}})
	return hash(n)
}

func change(t testing.TB, s *Store, rows ...IncidentRow) int {
	t.Helper()
	n, err := s.ChangeIncidents(t.Context(), rows...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnIncidentIsKeptWithItsVerdictAndItsMessages(t *testing.T) {
	s := open(t)
	id := filedIssuance(t, s, 1)
	row := incident("i1", "k1", 1)
	row.Members = []IncidentMember{{Issuance: id, Fingerprint: "f", Issuer: "ab", At: march, State: json.RawMessage(`{"level":"alarm"}`), Alarm: json.RawMessage(`{"kind":"alarm"}`)}}
	row.Outbox = []OutboxRow{{ID: "m1", Receiver: "team", Kind: "incident", Text: "text"}}
	row.Suppressed = []Suppression{{At: march, Why: "silenced", Silence: "s1", Rules: []string{"key", "issuer", ""}, Address: true}}
	row.Trail = []TrailEntry{{Kind: "incident-opened", Actor: "tocsin", Subject: "i1", Text: "opened"}}
	queued, err := s.Decide(t.Context(), Decision{ID: id, Level: "alarm", Incidents: []IncidentRow{row}})
	if err != nil || queued != 1 {
		t.Fatal(queued, err)
	}
	got, ok, err := s.OpenIncident(t.Context(), "k1")
	want := row.Incident
	want.Revision = 1
	if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
		t.Error(diff, ok, err)
	}
	members, err := s.IncidentMembers(t.Context(), "i1", 10)
	wantMember := row.Members[0]
	wantMember.Incident = "i1"
	if diff := cmp.Diff([]IncidentMember{wantMember}, members); diff != "" || err != nil {
		t.Error(diff, err)
	}
	counts, err := s.SuppressedBetween(t.Context(), march, march)
	if diff := cmp.Diff([]SuppressedCount{{"silenced", "s1", "", 1, 1}, {"silenced", "s1", "issuer", 1, 1}, {"silenced", "s1", "key", 1, 1}}, counts); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if due, err := s.Due(t.Context(), "team", time.Now(), 10); err != nil || len(due) != 1 || due[0].ID != "m1" {
		t.Errorf("%+v, %v", due, err)
	}
	if trail, err := s.TrailOf(t.Context(), "i1"); err != nil || len(trail) != 1 || trail[0].Kind != "incident-opened" {
		t.Errorf("%+v, %v", trail, err)
	}
	if of, err := s.IncidentsOf(t.Context(), id); err != nil || len(of) != 1 || of[0].Incident != "i1" {
		t.Errorf("%+v, %v", of, err)
	}
}

func TestADecisionOnAnIncidentThatHasChangedIsNotKept(t *testing.T) {
	s := open(t)
	id := filedIssuance(t, s, 1)
	change(t, s, incident("i1", "k1", 1))
	old := incident("i1", "k1", 2)
	old.Revision = 1
	change(t, s, old) // somebody acknowledges while the slow half thinks
	for name, row := range map[string]IncidentRow{
		"read at an older revision":      old,
		"opened a second time":           incident("i1", "k1", 1),
		"opened beside one with its key": incident("i2", "k1", 1),
	} {
		row.Outbox = []OutboxRow{{ID: "m-" + name, Receiver: "team", Kind: "incident"}}
		_, err := s.Decide(t.Context(), Decision{ID: id, Level: "alarm", Incidents: []IncidentRow{row}})
		if !errors.Is(err, ErrIncidentChanged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.ChangeIncidents(t.Context(), row); !errors.Is(err, ErrIncidentChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if rec := find(t, s, id); len(rec.Verdicts) != 0 {
		t.Errorf("the verdict was kept without its incident: %+v", rec.Verdicts)
	}
	if due, err := s.Due(t.Context(), "team", time.Now(), 10); err != nil || len(due) != 0 {
		t.Errorf("%+v, %v", due, err)
	}
	closed := incident("i1", "k1", 2)
	closed.Revision, closed.Closed = 2, true
	change(t, s, closed, incident("i2", "k1", 1)) // and now there may be another
	if got, ok, err := s.OpenIncident(t.Context(), "k1"); !ok || got.ID != "i2" || err != nil {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
}

func TestTheNextIncidentIsLookedAtInTime(t *testing.T) {
	s := open(t)
	if _, ok, err := s.NextIncidentDue(t.Context()); ok || err != nil {
		t.Error(ok, err)
	}
	news, cancel := s.Subscribe(TopicIncidents)
	defer cancel()
	late, never := incident("i2", "k2", 1), incident("i3", "k3", 1)
	late.NextDue, never.NextDue = march.Add(time.Hour), time.Time{}
	change(t, s, late, incident("i1", "k1", 1), never)
	select {
	case <-news:
	default:
		t.Error("nobody is told that the next time has changed")
	}
	if at, ok, err := s.NextIncidentDue(t.Context()); !at.Equal(march.Add(10*time.Second)) || !ok || err != nil {
		t.Error(at, ok, err)
	}
	for limit, want := range map[int]string{10: "i1 i2", 1: "i1"} {
		due, err := s.IncidentsDue(t.Context(), march.Add(time.Hour), limit)
		if err != nil || ids(due) != want || len(due[0].Body) == 0 {
			t.Errorf("%s, %v", ids(due), err)
		}
	}
}

func ids(list []Incident) string {
	var out []string
	for _, i := range list {
		out = append(out, i.ID)
	}
	return strings.Join(out, " ")
}

func TestIncidentsAreListedByUrgencyPageByPage(t *testing.T) {
	s := open(t)
	var rows []IncidentRow
	for i := range 50 {
		r := incident(fmt.Sprintf("i%02d", i), fmt.Sprint("k", i), 1)
		r.Opened = march.Add(time.Duration(i%7) * time.Hour)
		r.Owner = []string{"web", "dns"}[i%2]
		if i%5 == 0 {
			r.Level, r.Rank = "page", 4
		}
		r.Closed = i >= 40
		r.Parent = map[bool]string{true: "i00"}[i%10 == 3]
		rows = append(rows, r)
	}
	change(t, s, rows...)
	all, err := s.Incidents(t.Context(), IncidentFilter{})
	if err != nil || len(all) != 40 {
		t.Fatal(len(all), err)
	}
	if !slices.IsSortedFunc(all, func(a, b Incident) int {
		if a.Rank != b.Rank {
			return b.Rank - a.Rank
		}
		return b.Opened.Compare(a.Opened)
	}) {
		t.Errorf("not in order: %s", ids(all))
	}
	var paged []Incident
	f := IncidentFilter{Limit: 7}
	for {
		page, err := s.Incidents(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		f.After = &page[len(page)-1]
	}
	if diff := cmp.Diff(ids(all), ids(paged)); diff != "" {
		t.Errorf("pages differ from the whole\n%s", diff)
	}
	for want, f := range map[int]IncidentFilter{
		8: {AtLeast: 4}, 20: {Owner: "dns"}, 10: {Closed: true}, 0: {Status: "resolved"}, 4: {AtLeast: 4, Owner: "web"},
	} {
		if got, err := s.Incidents(t.Context(), f); err != nil || len(got) != want {
			t.Errorf("%+v: %d, %v", f, len(got), err)
		}
	}
	counts, err := s.CountIncidents(t.Context())
	if diff := cmp.Diff([]IncidentCount{{"new", "alarm", 32}, {"new", "page", 8}}, counts); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, err := s.IncidentsBeneath(t.Context(), "i00"); err != nil || len(got) != 4 {
		t.Errorf("%s, %v", ids(got), err)
	}
}

func TestACAIsFoundByTheIncidentsThatItTouched(t *testing.T) {
	s := open(t)
	for i := range 4 {
		id := filedIssuance(t, s, i)
		r := incident(fmt.Sprint("i", i), fmt.Sprint("k", i), 1)
		m := IncidentMember{Issuance: id, Fingerprint: fmt.Sprint("f", i%2), Issuer: "ab", At: march.Add(time.Duration(i) * time.Hour)}
		if i == 3 {
			m.Issuer = ""
		}
		r.Members = []IncidentMember{m}
		r.Closed = i == 2
		change(t, s, r)
	}
	got, err := s.IncidentsByIssuer(t.Context(), "ab", march.Add(30*time.Minute))
	if diff := cmp.Diff([]TouchedBy{{"i1", "k1", march.Add(time.Hour)}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, err := s.IncidentsByIssuer(t.Context(), "", march); err != nil || len(got) != 0 {
		t.Errorf("an unknown issuer touched %+v, %v", got, err)
	}
	for but, want := range map[[32]byte]bool{hash(0): false, hash(1): true} {
		if known, err := s.FingerprintKnown(t.Context(), "i0", "f0", but); known != want || err != nil {
			t.Error(known, err)
		}
	}
	if m, ok, err := s.IncidentMember(t.Context(), "i0", hash(0)); !ok || m.Fingerprint != "f0" || err != nil {
		t.Error(m, ok, err)
	}
	if _, ok, err := s.IncidentMember(t.Context(), "i0", hash(1)); ok || err != nil {
		t.Error(ok, err)
	}
}

func TestASilenceIsKeptCountedAndEnded(t *testing.T) {
	s := open(t)
	now := time.Now().Truncate(time.Millisecond).UTC()
	never := incident("i1", "k1", 1)
	never.NextDue = time.Time{}
	change(t, s, never)
	sil := SilenceRow{ID: "s1", Body: json.RawMessage(`{"id":"s1"}`), Start: now, Until: now.Add(time.Hour), Created: now}
	if err := s.AddSilence(t.Context(), sil, TrailEntry{Kind: "silence-created", Actor: "ann", Subject: "s1"}); err != nil {
		t.Fatal(err)
	}
	if due, err := s.IncidentsDue(t.Context(), time.Now(), 10); err != nil || len(due) != 1 {
		t.Errorf("open incidents are not looked at again: %v, %v", due, err)
	}
	for i := range 3 {
		r := never
		r.Revision = int64(1 + i)
		r.Suppressed = []Suppression{{Why: "silenced", Silence: "s1", Rules: []string{"key"}, Address: i == 0}}
		change(t, s, r)
	}
	got, err := s.Silences(t.Context(), now, 10)
	want := sil
	want.Hid, want.HidAddresses = 3, 1
	if diff := cmp.Diff([]SilenceRow{want}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if err := s.EndSilence(t.Context(), "s1"); err != nil {
		t.Error(err)
	}
	if err := s.EndSilence(t.Context(), "s1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("ended twice: %v", err)
	}
	if got, err := s.Silences(t.Context(), now, 10); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := s.Silences(t.Context(), time.Time{}, 10); err != nil || len(got) != 1 || got[0].Ended.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	if due, err := s.IncidentsDue(t.Context(), time.Now(), 10); err != nil || len(due) != 1 {
		t.Errorf("%v, %v", due, err)
	}
}

func TestReadingIncidentsUsesIndexes(t *testing.T) {
	s := open(t)
	for _, q := range []string{
		`SELECT id FROM incidents WHERE key = 'k' AND closed = 0 ORDER BY opened DESC, id LIMIT 1`,
		`SELECT id FROM incidents WHERE next_due > 0 AND next_due <= 5 ORDER BY next_due LIMIT 10`,
		`SELECT min(next_due) FROM incidents WHERE next_due > 0`,
		`SELECT id FROM incidents WHERE closed = 0 ORDER BY rank DESC, opened DESC, id LIMIT 10`,
		`SELECT id FROM incidents WHERE parent = 'p' AND parent <> '' AND closed = 0`,
		`SELECT 1 FROM incident_members WHERE incident = 'i' AND fingerprint = 'f' AND issuance <> x'00' LIMIT 1`,
		`SELECT m.issuance FROM incident_members AS m JOIN incidents AS i ON i.id = m.incident WHERE m.issuer = 'a' AND m.issuer <> '' AND m.at >= 5`,
		`SELECT m.incident FROM incident_members AS m WHERE m.issuance = x'00'`,
		`SELECT sum(count) FROM suppressed WHERE silence = 's' AND silence <> '' AND rule = ''`,
		`SELECT sum(count) FROM suppressed WHERE day BETWEEN 1 AND 2`,
		`SELECT text FROM trail WHERE subject = 's' ORDER BY seq`,
		`SELECT id FROM silences AS s WHERE s.until > 5 AND s.ended = 0 ORDER BY s.until`,
	} {
		rows, err := s.r.Query("EXPLAIN QUERY PLAN " + q)
		if err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var plan string
			if err := rows.Scan(&id, &parent, &unused, &plan); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(plan, "SCAN") && !strings.Contains(plan, "INDEX") {
				t.Errorf("%s: %s", q, plan)
			}
		}
		rows.Close()
	}
}

// manyIncidents fills a store with n open incidents whose bodies are as large as real ones.
func manyIncidents(t testing.TB, s *Store, n int) {
	t.Helper()
	body := json.RawMessage(`{"x":"` + strings.Repeat("x", 3000) + `"}`)
	for from := 0; from < n; from += 1000 {
		var rows []IncidentRow
		for i := from; i < min(from+1000, n); i++ {
			r := incident(fmt.Sprintf("%012x", i), fmt.Sprint("owner:3:web:", i), 3)
			r.Opened, r.Body = march.Add(time.Duration(i)*time.Second), body
			r.Title = "www.example.com (and 3 more) is named in a certificate by Some Certification Authority"
			rows = append(rows, r)
		}
		if _, err := s.ChangeIncidents(context.Background(), rows...); err != nil {
			t.Fatal(err)
		}
	}
}

// The limit is 100 ms for 10,000 open incidents: less than what people take for a wait.
func BenchmarkTenThousandOpenIncidentsAreListed(b *testing.B) {
	s := open(b)
	manyIncidents(b, s, 10_000)
	for b.Loop() {
		got, err := s.Incidents(b.Context(), IncidentFilter{})
		if err != nil || len(got) != 10_000 {
			b.Fatal(len(got), err)
		}
	}
	b.ReportMetric(100, "limit-ms/op")
}

func TestAReceiverThatComesBackIsNotToldEarlyOfWhatWasPutOff(t *testing.T) {
	s := open(t)
	now := time.Now()
	if _, err := s.Enqueue(t.Context(), OutboxRow{ID: "failed", Receiver: "r", Kind: "k"}, OutboxRow{ID: "monday", Receiver: "r", Kind: "k", NextAttempt: now.Add(48 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Failed(t.Context(), "failed", errors.New("no"), now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Wake(t.Context(), "r", now); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]int{0: 1, 49 * time.Hour: 2} {
		if due, err := s.Due(t.Context(), "r", now.Add(at), 10); err != nil || len(due) != want {
			t.Errorf("after %v: %+v, %v", at, due, err)
		}
	}
}
