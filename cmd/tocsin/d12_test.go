package main

import (
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/app"
)

// D12: a worker that panics is never a watch that is silently off. Where its station cannot go on, the process ends with
// a status other than 0 and the cause on stderr, and the next start loses nothing. Killed at random instants, and on a
// full disk: see the other tests of D12.
func TestD12AWorkerThatPanicsEndsTheProcessWithItsCauseAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, point := range []string{app.BeforeFiling, app.FiledNotDecided} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, toStdout)
			d := w.watch([]string{panicEnv + "=" + point})
			d.ready()
			rogue := w.issue()
			w.log(w.labs[0].RFC6962.Log, rogue)
			if code := d.wait(); code == 0 || !strings.Contains(d.stderr.String(), "a defect at "+point) {
				t.Errorf("it ended with %d and said: %s", code, d.stderr.String())
			}
			if rings := w.ringsOf(d, toStdout); len(rings) > 0 {
				t.Errorf("it rang before: %v", rings)
			}
			again := w.watch(nil)
			again.rings(rogue)
			again.stop()
		})
	}
}

// D12: without a daemon nothing claims to be covered.
func TestD12AWatchThatIsOffSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	d := w.watch(nil)
	d.ready()
	w.settled()
	d.kill()
	var cov app.Coverage
	w.json(&cov, []int{exitBlind}, "logs", "--json", "--state", w.path("state.db"))
	if !cov.Blind || !strings.Contains(cov.Why, "no daemon runs") {
		t.Errorf("blind %v: %s", cov.Blind, cov.Why)
	}
}
