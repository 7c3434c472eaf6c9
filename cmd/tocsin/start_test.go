package main

import (
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// Where reading starts and goes on.

func TestFromNowSeesNothingOlderAndEverythingLoggedAfterReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout, toExec)
	old, fresh := w.issue(), w.issue()
	for _, l := range w.logs() {
		w.fill(l, 300)
		w.log(l, old)
		l.Publish()
	}
	d := w.watch(nil)
	d.ready()
	w.everywhereAtOnce(fresh) // at once: ready is a promise
	c := w.settled()
	d.stop()
	w.rangOnce([]*daemon{d}, fresh)
	for _, l := range w.logs() {
		if g := of(c, l); g.Start != 301 {
			t.Errorf("%s starts at %d, want 301, which was the size of the log", g.Name, g.Start)
		}
	}
}

func TestFromStartSeesAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout, toExec)
	var all []*ca.Issued
	for range 3 { // at the very start, between, and at the end
		i := w.issue()
		for _, l := range w.logs() {
			w.log(l, i)
			w.fill(l, 200)
		}
		all = append(all, i)
	}
	last := w.issue()
	for _, l := range w.logs() {
		w.log(l, last)
	}
	d := w.watch(nil, "--from", "start")
	c := w.settled()
	d.stop()
	w.rangOnce([]*daemon{d}, append(all, last)...)
	if c.Ledger.Sightings != 8 {
		t.Errorf("%d sightings, want 8", c.Ledger.Sightings)
	}
}

func TestFromADateSeesWhatIsNewer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout, toExec)
	const mmd = time.Second // an entry may be that much older than its neighbours, and reading starts earlier by as much
	w.writeList(mmd)
	old, fresh := w.issue(), w.issue()
	for _, l := range w.logs() {
		w.log(l, old)
		w.fill(l, 300)
	}
	time.Sleep(mmd + 200*time.Millisecond) // what passes here are timestamps in logs
	date := time.Now().UTC()
	for _, l := range w.logs() {
		w.log(l, fresh)
		w.fill(l, 10)
	}
	d := w.watch(nil, "--from", date.Format(time.RFC3339Nano))
	c := w.settled()
	d.stop()
	w.rangOnce([]*daemon{d}, fresh)
	for _, l := range w.logs() {
		if g := of(c, l); g.Start == 0 || g.Start > 301 {
			t.Errorf("%s starts at %d, want behind the old certificate and not behind 301, the first entry since the date", g.Name, g.Start)
		}
	}
}

func TestARestartGoesOnExactlyWhereItStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout, toExec)
	for _, l := range w.logs() {
		w.fill(l, 10)
	}
	var runs []*daemon
	var all []*ca.Issued
	for n := range 4 {
		d := w.watch(nil, "--from", []string{"now", "start", "2020-01-01", "now"}[n]) // only the first time counts
		runs = append(runs, d)
		d.ready()
		for range 2 {
			i := w.issue()
			w.everywhereAtOnce(i)
			all = append(all, i)
		}
		c := w.settled()
		for _, l := range w.logs() {
			if g := of(c, l); g.Start != 10 {
				t.Errorf("run %d: %s starts at %d, want 10", n, g.Name, g.Start)
			}
		}
		d.stop()
		i := w.issue() // between two runs
		w.everywhereAtOnce(i)
		all = append(all, i)
	}
	last := w.watch(nil)
	c := w.settled()
	last.stop()
	w.rangOnce(append(runs, last), all...)
	if want := int64(4 * len(all)); c.Ledger.Issuances != int64(len(all)) || c.Ledger.Sightings != want {
		t.Errorf("in the ledger: %+v, want %d issuances in %d sightings", c.Ledger, len(all), want)
	}
}
