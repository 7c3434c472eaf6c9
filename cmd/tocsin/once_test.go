package main

import (
	"fmt"
	"sync"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// D25: one issuance in several logs, as precertificate and as certificate, is one alarm.

func TestD25OneIssuanceInFourLogsAtTheSameInstantRingsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, toStdout, toExec)
	d := w.watch(nil)
	d.ready()
	i := w.issue()
	w.everywhereAtOnce(i)
	c := w.settled()
	d.stop()
	if n := int64(8); c.Ledger.Issuances != 1 || c.Ledger.Sightings != n {
		t.Errorf("in the ledger: %+v, want 1 issuance in %d sightings", c.Ledger, n)
	}
	w.rangOnce([]*daemon{d}, i)
	w.seenEverywhere(i)
}

// everywhereAtOnce submits precertificate and certificate to all logs at the same time.
func (w *world) everywhereAtOnce(i *ca.Issued) {
	w.t.Helper()
	var wg sync.WaitGroup
	for _, l := range w.logs() {
		for _, precert := range []bool{true, false} {
			chain := append([][]byte{i.Final}, i.FinalChain...)
			if precert {
				chain = append([][]byte{i.Precert}, i.Chain...)
			}
			wg.Go(func() {
				if _, err := l.Submit(chain, precert); err != nil {
					w.t.Error(err)
				}
			})
		}
	}
	wg.Wait()
}

// rangOnce checks that each issuance, and nothing else, rang once at both receivers over all runs.
func (w *world) rangOnce(runs []*daemon, all ...*ca.Issued) {
	w.t.Helper()
	screen, program := map[string]int{}, map[string]int{}
	for _, d := range runs {
		for _, l := range d.told() {
			if l.Kind != "ready" {
				screen[l.ID]++
			}
		}
	}
	for _, id := range w.programTold() {
		program[id]++
	}
	for _, i := range all {
		for receiver, got := range map[string]map[string]int{toStdout: screen, toExec: program} {
			id := store.AlarmID(rawID(i), receiver, "alarm")
			if got[id] != 1 {
				w.t.Errorf("issuance %s rang %d times at %s, want 1", idOf(i), got[id], receiver)
			}
			delete(got, id)
		}
	}
	if len(screen)+len(program) > 0 {
		w.t.Errorf("told beside what was issued: %v on the screen, %v to the program", screen, program)
	}
}

// seenEverywhere checks that explain shows precertificate and certificate in each log, each once.
func (w *world) seenEverywhere(i *ca.Issued) {
	w.t.Helper()
	x := w.explain(i)
	got := map[string]int{}
	for _, s := range x.Sightings {
		got[fmt.Sprint(s.LogID, s.Precert)]++
	}
	for _, l := range w.logs() {
		for _, precert := range []bool{true, false} {
			if n := got[fmt.Sprint(fmt.Sprintf("%x", l.Key.ID), precert)]; n != 1 {
				w.t.Errorf("log %x, precertificate %v: %d sightings, want 1", l.Key.ID, precert, n)
			}
		}
	}
	if want := 2 * len(w.logs()); len(x.Sightings) != want {
		w.t.Errorf("%d sightings, want %d", len(x.Sightings), want)
	}
	if x.Precert {
		w.t.Error("a precertificate still, although certificates were seen")
	}
}

func TestD25SpreadOverLogsAndARestartOneIssuanceRingsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, toStdout, toExec)
	logs := w.logs()
	i := w.issue("www.example.com")
	pre := append([][]byte{i.Precert}, i.Chain...)
	submit := func(l *sequence.Log, chain [][]byte, precert bool) {
		t.Helper()
		if _, err := l.Submit(chain, precert); err != nil {
			t.Fatal(err)
		}
	}

	first := w.watch(nil)
	first.ready()
	submit(logs[0], pre, true)
	first.rings(i) // the precertificate alone: the certificate may never be logged
	w.settled()
	if x := w.explain(i); !x.Precert || len(x.Sightings) != 1 || len(x.Messages) != 2 {
		t.Errorf("after the precertificate alone: %+v", x)
	}
	submit(logs[1], pre, true)
	w.settled()
	if x := w.explain(i); len(x.Sightings) != 2 {
		t.Errorf("%d sightings, want the later one added: %+v", len(x.Sightings), x.Sightings)
	}
	first.stop()

	// What is logged while nobody looks is found at the next start.
	submit(logs[2], pre, true)
	final := append([][]byte{i.Final}, i.FinalChain...)
	submit(logs[0], final, false)
	submit(logs[1], final, false)
	second := w.watch(nil)
	w.settled()
	submit(logs[3], pre, true)
	submit(logs[2], final, false)
	submit(logs[3], final, false)
	w.settled()
	w.seenEverywhere(i)

	other := w.issue("www.example.com") // the same names, another certificate
	w.everywhereAtOnce(other)
	second.rings(other)
	w.settled()
	second.stop()
	w.rangOnce([]*daemon{first, second}, i, other)
	w.seenEverywhere(other)
}
