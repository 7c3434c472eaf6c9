package app

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/health"
)

// beside runs one more loop of the app until it is ended.
func (b *bureau) beside(f func(context.Context) error) (end func()) { return beside(b.t, f) }

func beside(t *testing.T, f func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); loop.Wait() }
}

func TestAHeartbeatVouchesThatSomebodyWouldBeTold(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	trouble := func(code string) []health.Trouble {
		return []health.Trouble{{Code: code, Args: health.Args{"why": "test"}, Since: now, Visible: now}}
	}
	fresh := view{at: now.Add(-10 * time.Second)}
	tests := []struct {
		name  string
		view  view
		sight coverage.Sight
		open  []health.Trouble
		stuck error
		why   string
	}{
		{"all is well", fresh, coverage.Sight{}, nil, nil, ""},
		{"one log that is blind does not matter", fresh, coverage.Sight{}, trouble(health.LogDark), nil, ""},
		{"a station is stuck", fresh, coverage.Sight{}, nil, errors.New("no sign of life from the decider"), "the decider"},
		{"blind", fresh, coverage.Sight{Blind: true, Why: "2 operators are unseen"}, nil, nil, "blind: 2 operators"},
		{"blind for another reason than logs", fresh, coverage.Sight{}, trouble(health.BlindWhole), nil, "tocsin is blind: test"},
		{"nothing can be written", fresh, coverage.Sight{}, trouble(health.StoreFailing), nil, "cannot be written"},
		{"nobody has looked yet", view{}, coverage.Sight{}, nil, nil, "no look"},
		{"nobody looks any more", view{at: now.Add(-time.Hour)}, coverage.Sight{}, nil, nil, "1h0m0s old"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := withheld(&tt.view, tt.sight, tt.open, tt.stuck, now); err != nil {
				got = err.Error()
			}
			if (got == "") != (tt.why == "") || !strings.Contains(got, tt.why) {
				t.Errorf("%q, want %q", got, tt.why)
			}
		})
	}
}

func TestAHeartbeatThatIsNotTakenIsATroubleOfItsOwn(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		r := &taker{}
		a, end := tended(t, state, r)
		var asked atomic.Int64
		a.opts.Quiet.Heartbeat = Heartbeat{Every: time.Minute, URL: func() (string, error) {
			asked.Add(1)
			return "", errors.New("the file is gone")
		}}
		stop := beside(t, a.beat)
		time.Sleep(10 * time.Minute)
		stop()
		if n := asked.Load(); n < 9 || n > 12 {
			t.Errorf("%d signs of life in ten minutes", n)
		}
		time.Sleep(time.Minute)
		end()
		list, _ := r.codes(t)
		if !slices.Contains(list, health.BeatFailing) {
			t.Errorf("told: %v", list)
		}
	})
}

func TestASignOfLifeIsTakenByAnySuccess(t *testing.T) {
	var status atomic.Int64
	var agent, path atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent.Store(r.UserAgent())
		path.Store(r.URL.Path)
		w.WriteHeader(int(status.Load()))
	}))
	defer srv.Close()
	secret := srv.URL + "/ping/5ecre7?token=hush"
	a := &App{}
	a.opts.Version = "1.2"
	a.opts.Quiet.Heartbeat.URL = func() (string, error) { return secret, nil }
	for _, code := range []int64{200, 202, 204} {
		status.Store(code)
		if err := a.beatOnce(t.Context()); err != nil {
			t.Errorf("status %d: %v", code, err)
		}
	}
	if agent.Load() != "tocsin/1.2" || path.Load() != "/ping/5ecre7" {
		t.Errorf("asked %v as %v", path.Load(), agent.Load())
	}
	hidden := func(err error, what string) {
		t.Helper()
		if err == nil {
			t.Fatalf("%s is taken for success", what)
		}
		host := strings.TrimPrefix(srv.URL, "http://")
		for _, part := range []string{"5ecre7", "hush", host} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s shows %q: %v", what, part, err)
			}
		}
	}
	status.Store(500)
	hidden(a.beatOnce(t.Context()), "an answer of 500")
	srv.Close()
	hidden(a.beatOnce(t.Context()), "a place where nobody answers")
	secret = "ht tp://5ecre7/hush"
	hidden(a.beatOnce(t.Context()), "no URL")
	secret = "ftp://example.com/5ecre7/hush"
	hidden(a.beatOnce(t.Context()), "another protocol")
}
