package app

import (
	"encoding/json"
	"fmt"
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

func TestAStartAndVerifiedHeadsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, end := tended(t, filepath.Join(t.TempDir(), "state.db"), &taker{})
		defer end()
		s := a.followed()[0]
		for i, size := range []uint64{10, 10, 20, 30} {
			if i > 0 {
				time.Sleep(40 * time.Minute)
			}
			v := ctlog.Head{Size: size, Timestamp: uint64(time.Now().Add(-time.Minute).UnixMilli()), Received: time.Now(), Raw: []byte("x")}
			d := &ctlog.Delivery{Cursor: ctlog.Cursor{Begun: true, Start: 10, Size: size, Verified: v}, Head: v}
			if err := s.Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			if got := s.look().VerifiedAs; got.Size != 10 && i == 0 {
				t.Errorf("%+v", got)
			}
		}
		starts, err := a.store.Starts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		if st := starts[s.log.ID]; st.Index != 10 || !st.Since.Equal(begin.Add(time.Millisecond)) || st.Operator != "O0" {
			t.Errorf("%+v", st)
		}
		kept, err := marks(t.Context(), a.store, s.log.ID)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range kept {
			got = append(got, fmt.Sprintf("%d %s %s", m.Size, m.Early.Format(time.TimeOnly), m.Late.Format(time.TimeOnly)))
		}
		if diff := cmp.Diff([]string{"10 23:59:00 00:00:00", "20 01:19:00 01:20:00", "30 01:59:00 02:00:00"}, got); diff != "" {
			t.Error(diff)
		}
	})
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
