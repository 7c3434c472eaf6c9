package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheHistoryOfCAARecordsGrowsAndIsNeverRewritten(t *testing.T) {
	s := open(t)
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	span := func(hour int, answer string, fresh bool) CAASpan {
		return CAASpan{Name: "example.com", Known: true, First: at.Add(time.Duration(hour) * time.Hour), Last: at.Add(time.Duration(hour) * time.Hour), Answer: json.RawMessage(answer), Fresh: fresh}
	}
	first, second := span(0, `{"set":1}`, true), span(5, `{"set":2}`, true)
	failure := span(5, `{"why":"no answer in time"}`, true)
	failure.Known = false
	grown := first
	grown.Fresh, grown.Last = false, at.Add(4*time.Hour)
	stepBack := grown
	stepBack.Last = at.Add(time.Hour)
	other := second
	other.Answer = json.RawMessage(`{"set":"rewritten"}`)
	row := OutboxRow{ID: "change", Receiver: "team", Kind: "caa"}
	for _, batch := range [][]CAASpan{{first}, {grown}, {stepBack}, {failure, second}, {second}, {other}} {
		if err := s.RecordCAA(t.Context(), batch, []OutboxRow{row}); err != nil {
			t.Fatal(err)
		}
	}
	want := []CAASpan{grown, failure, second}
	for i := range want {
		want[i].Fresh = false
	}
	got, err := s.CAA(t.Context(), "example.com", time.Time{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	early, err := s.CAA(t.Context(), "example.com", at.Add(time.Hour), 10)
	if err != nil || len(early) != 1 {
		t.Errorf("before the change: %v, %v", early, err)
	}
	newest, err := s.CAA(t.Context(), "example.com", time.Time{}, 1)
	if err != nil || len(newest) != 1 || string(newest[0].Answer) != `{"set":2}` {
		t.Errorf("the newest: %v, %v", newest, err)
	}
	if waiting, err := s.Waiting(t.Context()); err != nil || waiting["team"].Pending != 1 {
		t.Errorf("the change is queued as %+v, %v", waiting, err)
	}
	for _, q := range []string{
		"DELETE FROM caa", "UPDATE caa SET answer = '{}'", "UPDATE caa SET first = first - 1", "UPDATE caa SET last = first", "UPDATE caa SET name = 'example.org'",
		"UPDATE caa SET known = 1 - known",
	} {
		if _, err := s.w.ExecContext(t.Context(), q); err == nil || !strings.Contains(err.Error(), "is not rewritten") {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestNamesBeneathAZoneAreFoundByLabels(t *testing.T) {
	s := open(t)
	var spans []CAASpan
	for _, name := range []string{"com", "example.com", "www.example.com", "notexample.com", "a.b.example.com", "example.com.test"} {
		spans = append(spans, CAASpan{Name: name, Known: true, First: time.UnixMilli(1), Last: time.UnixMilli(1), Fresh: true})
	}
	if err := s.RecordCAA(t.Context(), spans, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		zone, after string
		limit       int
		want        string
	}{
		{"example.com", "", 10, "a.b.example.com example.com www.example.com"},
		{"example.com", "a.b.example.com", 1, "example.com"},
		{"", "", 10, "a.b.example.com com example.com example.com.test notexample.com www.example.com"},
		{"example.net", "", 10, ""},
	} {
		got, err := s.CAANames(t.Context(), c.zone, c.after, c.limit)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("beneath %q: %v, %v", c.zone, got, err)
		}
	}
}

func TestOfNamesMetTheLatestAreKept(t *testing.T) {
	s := open(t)
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for i := range 5 {
		if err := s.MeetCAA(t.Context(), []string{fmt.Sprintf("n%d.example.com", i)}, at.Add(time.Duration(i)*time.Minute), 3); err != nil {
			t.Fatal(err)
		}
	}
	// Again, with a later and with an earlier time.
	if err := s.MeetCAA(t.Context(), []string{"n2.example.com"}, at.Add(time.Hour), 3); err != nil {
		t.Fatal(err)
	}
	if err := s.MeetCAA(t.Context(), []string{"n4.example.com"}, at, 3); err != nil {
		t.Fatal(err)
	}
	got, err := s.MetCAA(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]time.Time{"n2.example.com": at.Add(time.Hour), "n3.example.com": at.Add(3 * time.Minute), "n4.example.com": at.Add(4 * time.Minute)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	latest, err := s.MetCAA(t.Context(), 1)
	if err != nil || len(latest) != 1 || latest["n2.example.com"].IsZero() {
		t.Errorf("the latest: %v, %v", latest, err)
	}
}
