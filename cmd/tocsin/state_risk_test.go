package main

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
)

// What is done to the state file of a running daemon.

func TestAnotherFileInPlaceOfTheStateIsToldAndLosesNothing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows lets nobody move a file that is open")
	}
	w := newWorld(t, 1, toStdout)
	d := w.watch(nil)
	d.ready()
	first := w.issue()
	w.everywhereAtOnce(first)
	d.rings(first)

	state, aside, notes := w.path("state.db"), w.path("aside.db"), "my notes, which are longer than a header of one hundred bytes is: "+strings.Repeat("so they are. ", 10)
	away := func() {
		t.Helper()
		if err := os.Rename(state, aside); err != nil {
			t.Fatal(err)
		}
		w.write("state.db", []byte(notes))
		c := w.until("the health says it", atRiskNow)
		if text := c.Health[slices.IndexFunc(c.Health, isAtRisk)].Text; !strings.Contains(text, "replaced or removed while tocsin runs") || !strings.Contains(text, "put the old file back under its name") {
			t.Errorf("it says %q", text)
		}
	}
	back := func() {
		t.Helper()
		if b, err := os.ReadFile(state); err != nil || string(b) != notes {
			t.Errorf("the other file was changed: %v", err)
		}
		if err := os.Rename(aside, state); err != nil {
			t.Fatal(err)
		}
	}
	away()
	d.await("a word", func(l *told) bool { return l.Kind == "trouble" })
	second := w.issue()
	w.everywhereAtOnce(second)
	d.rings(second)
	back()
	w.until("it is over by itself", func(c *app.Coverage) bool { return c.PID != 0 && !atRiskNow(c) })
	d.stop()
	runs := []*daemon{d}

	d = w.watch(nil)
	d.ready()
	away() // so soon after the first time it is the same trouble, of which there was a word
	third := w.issue()
	w.everywhereAtOnce(third)
	d.rings(third)
	w.settled() // else the kill may come between the word and the note of it
	d.kill()
	refused := w.watch(nil)
	if code := refused.wait(); code != exitUsage || !strings.Contains(refused.stderr.String(), "is not a state of tocsin") {
		t.Errorf("a start with the other file ended with %d and said: %s", code, refused.stderr.String())
	}
	back()
	last := w.watch(nil)
	c := w.settled()
	last.stop()
	rang := map[string]int{}
	for _, d := range append(runs, d, last) {
		for _, l := range d.told() {
			if l.rings() {
				rang[l.Issuance]++
			}
		}
	}
	if want := map[string]int{idOf(first): 1, idOf(second): 1, idOf(third): 1}; !maps.Equal(rang, want) {
		t.Errorf("rang: %v, want %v", rang, want)
	}
	if c.Ledger.Issuances != 3 {
		t.Errorf("in the ledger: %+v", c.Ledger)
	}
}

func TestAStateMadeReadOnlyIsToldWhileItIsStillWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	d := w.watch(nil)
	d.ready()
	if err := os.Chmod(w.path("state.db"), 0o400); err != nil {
		t.Fatal(err)
	}
	d.await("a word", func(l *told) bool { return l.Kind == "trouble" })
	c := w.until("the health says it", atRiskNow)
	if text := c.Health[slices.IndexFunc(c.Health, isAtRisk)].Text; !strings.Contains(text, "was made read-only") || !strings.Contains(text, "make it writable") {
		t.Errorf("it says %q", text)
	}
	i := w.issue()
	w.everywhereAtOnce(i)
	d.rings(i)
	if err := os.Chmod(w.path("state.db"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.until("it is over by itself", func(c *app.Coverage) bool { return c.PID != 0 && !atRiskNow(c) })
	w.settled()
	d.stop()
}

func isAtRisk(t app.Trouble) bool { return t.Code == "store-at-risk" }

func atRiskNow(c *app.Coverage) bool { return slices.ContainsFunc(c.Health, isAtRisk) }

func TestAChangedConfigurationThatIsNotInForceIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	d := w.watch(nil)
	d.ready()
	text := string(need(os.ReadFile(w.path("tocsin.yaml")))(t))
	w.write("tocsin.yaml", []byte(text+"logs: {refresh: 30m}\n"))
	// It shows after a minute, so that a half-written file is none: nearly as long as the patience of these tests.
	var said string
	for end := time.Now().Add(3 * patience); said == "" && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if c, err := w.coverage(); err == nil {
			for _, h := range c.Health {
				if h.Code == "config-pending" {
					said = h.Text
				}
			}
		}
	}
	if !strings.Contains(said, "tocsin.yaml was changed in logs.refresh; restart tocsin to take it over") {
		t.Fatalf("it says %q", said)
	}
	d.await("a word", func(l *told) bool { return l.Kind == "trouble" })
	w.write("tocsin.yaml", []byte(text))
	w.until("it is over by itself", func(c *app.Coverage) bool {
		return c.PID != 0 && !slices.ContainsFunc(c.Health, func(h app.Trouble) bool { return h.Code == "config-pending" })
	})
	d.stop()
}
