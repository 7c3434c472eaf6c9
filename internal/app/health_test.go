package app

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/loglist"
)

func TestAStartCoversNoMoreThanBothClocksGrant(t *testing.T) {
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	head := func(stamp, received time.Time) ctlog.Cursor {
		return ctlog.Cursor{Begun: true, Start: 10, Verified: ctlog.Head{Size: 10, Timestamp: uint64(stamp.UnixMilli()), Received: received, Raw: []byte("x")}}
	}
	tests := []struct {
		name string
		from ctlog.Start
		cur  ctlog.Cursor
		want time.Time
	}{
		{"from now: after the head, when it came", ctlog.Start{}, head(noon.Add(-time.Minute), noon), noon.Add(time.Millisecond)},
		{"a head dated later than our clock counts by its date", ctlog.Start{}, head(noon.Add(time.Hour), noon), noon.Add(time.Hour + time.Millisecond)},
		{"from a date: from that date", ctlog.Start{Since: noon.Add(-24 * time.Hour)}, head(noon, noon), noon.Add(-24 * time.Hour)},
		{"in the middle of a tree without a head there: not known", ctlog.Start{}, ctlog.Cursor{Begun: true, Start: 10, Verified: ctlog.Head{Size: 10}}, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := follower{from: tt.from, log: loglist.Log{MMD: time.Hour, Operator: "O"}}
			got := f.began(&tt.cur)
			if !got.Since.Equal(tt.want) || got.Index != 10 || got.MMD != time.Hour || got.Operator != "O" {
				t.Errorf("%+v, want since %s", got, tt.want)
			}
		})
	}
}

func TestNothingWaitsForAClockThatWasWrongAtTheStart(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(state, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Queued while the clock was a day ahead.
		_, err = s.Enqueue(t.Context(), store.OutboxRow{ID: "late", Receiver: "oncall", Kind: "alarm", NextAttempt: time.Now().Add(24 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		r := &taker{}
		_, end := tended(t, state, r)
		time.Sleep(time.Minute)
		end()
		if len(r.took) != 1 || r.took[0].ID != "late" {
			t.Errorf("told: %+v", r.took)
		}
	})
}

func TestTroublesOfListsStandInTheNotice(t *testing.T) {
	got := listTroubles([]lists.Status{{List: "good"}, {List: "bad", Troubles: []lists.Trouble{{Kind: "unreachable", Text: "no answer"}, {Kind: "refused"}}}})
	want := []health.Observation{{Code: health.ListStale, Subject: "bad", Args: health.Args{"why": "no answer"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMessagesOfHealth(t *testing.T) {
	since := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	event := func(code string, level health.Level, resolved bool) *health.Event {
		return &health.Event{Trouble: health.Trouble{Code: code, Subject: "log \x1b[31m", Since: since, Args: health.Args{"why": "evil \u202e"}}, Level: level, Resolved: resolved}
	}
	tests := []struct {
		name              string
		e                 *health.Event
		kind, level, text string
	}{
		{"blindness is an alarm", event(health.BlindWhole, health.Alarm, false), "blind", "alarm", `BLIND blind: tocsin is blind: evil \u{202e} (since 2026-11-25T12:00:00Z)`},
		{"that it is over does not ring", event(health.BlindWhole, health.Alarm, true), "trouble", "digest", "RESOLVED blind: "},
		{"the rest does not ring, and nothing of it reaches the terminal", event(health.LogDark, health.Digest, false), "trouble", "digest", `TROUBLE log-blind: log \x1b[31m: evil \u{202e} `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			level, text, doc := (&carer{}).message(tt.e)
			var m TroubleMessage
			if err := json.Unmarshal(doc, &m); err != nil {
				t.Fatal(err)
			}
			if level != tt.level || !strings.HasPrefix(text, tt.text) || m.Kind != tt.kind || m.Resolved != tt.e.Resolved || m.Health.Code != tt.e.Code {
				t.Errorf("%s %q %+v", level, text, m)
			}
			if strings.ContainsAny(text+m.Health.Text, "\x1b\u202e") {
				t.Errorf("hostile text passes: %q", text)
			}
		})
	}
}
