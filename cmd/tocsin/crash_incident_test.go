package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// hook is a webhook that writes down what it took. Now and then it fails after it took a message, or does not take one.
type hook struct {
	*httptest.Server
	mood func() (status int)

	mu    sync.Mutex
	took  map[string]int  // messages about incidents, by idempotency key
	about map[string]bool // issuances that they are about
}

func newHook(t *testing.T, mood func() int) *hook {
	t.Helper()
	h := &hook{mood: mood, took: map[string]int{}, about: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var doc struct {
			ID      string          `json:"id"`
			Kind    string          `json:"kind"`
			Payload notify.Incident `json:"document"`
		}
		if err != nil || json.Unmarshal(b, &doc) != nil || doc.ID != r.Header.Get("Idempotency-Key") {
			t.Errorf("not understood: %s %v", b, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		status := h.mood()
		if doc.Kind == notify.KindIncident && status < 500 {
			h.took[doc.ID]++
			for _, a := range doc.Payload.Alarms {
				h.about[a.Issuance] = true
			}
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(h.Close)
	return h
}

func well() int { return http.StatusOK }

// config adds the hook to the receivers of a world, whose incidents are impatient.
func (h *hook) config(w *world) {
	w.write("hook.secret", []byte("a secret of some length\n"))
	w.write("tocsin.yaml", []byte(fmt.Sprintf(`watch:
  - name: edge
    names: [example.com]
    networks: [192.0.2.0/24]
    surprise: alarm
receivers:
  - {name: hook, webhook: {url: %q, secret_file: hook.secret}}
incidents: {wait: 100ms, regroup: 100ms}
`, h.URL)))
}

func TestKilledAtEachBoundaryTheIncidentIsTold(t *testing.T) {
	t.Parallel()
	for _, point := range []string{app.BeforeFiling, app.FiledNotDecided, app.BeforeSend, app.SentNotCommitted} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, toStdout)
			h := newHook(t, well)
			h.config(w)
			first := w.watch([]string{killEnv + "=" + point})
			first.ready()
			rogue := w.issue()
			w.play(lab.Submission{Issued: rogue, AsPrecert: true, AsFinal: true})
			first.wait()
			second := w.watch(nil)
			w.settled()
			h.await(t, rogue)
			second.stop()
			h.mu.Lock()
			defer h.mu.Unlock()
			want := 1
			if point == app.SentNotCommitted {
				want = 2 // again, under the same id
			}
			for id, n := range h.took {
				if n != want || len(h.took) != 1 {
					t.Errorf("message %s was taken %d times, want %d; %d messages", id, n, want, len(h.took))
				}
			}
		})
	}
}

// await waits until the hook has been told of all of these.
func (h *hook) await(t *testing.T, all ...*ca.Issued) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		h.mu.Lock()
		missing := ""
		for _, i := range all {
			if !h.about[idOf(i)] {
				missing = idOf(i)
			}
		}
		h.mu.Unlock()
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody was told of %s", missing)
		}
	}
}

func TestKilledAgainAndAgainWithAMoodyReceiverEveryCertificateIsInAnIncidentThatWasTold(t *testing.T) {
	t.Parallel()
	const kills = 12
	rnd := rand.New(rand.NewPCG(2, 2))
	moods := rand.New(rand.NewPCG(3, 3)) // under the lock of the hook
	w := newWorld(t, 1, toStdout)
	h := newHook(t, func() int { return []int{200, 200, 200, 503, 429}[moods.IntN(5)] })
	h.config(w)
	var rogue []*ca.Issued
	for n := range kills {
		d := w.watch(nil, "--from", "start")
		i := w.issue()
		rogue = append(rogue, i)
		w.log(w.logs()[n%2], i)
		time.Sleep(100*time.Millisecond + time.Duration(rnd.Int64N(int64(900*time.Millisecond))))
		d.kill()
	}
	h.mu.Lock()
	h.mood = well
	h.mu.Unlock()
	last := w.watch(nil, "--from", "start")
	w.settled()
	h.await(t, rogue...)
	last.stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	repeats := 0
	for _, n := range h.took {
		repeats += n - 1
	}
	if refused := len(h.took) * 20; repeats > kills+refused { // what it took and called a failure comes again, under the same id
		t.Errorf("%d repeats of %d messages", repeats, len(h.took))
	}
	if len(h.took) > len(rogue) {
		t.Errorf("%d messages about %d certificates", len(h.took), len(rogue))
	}
}
