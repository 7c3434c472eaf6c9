package main

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// However the logs misbehave, and however often the daemon is ended by SIGTERM or SIGKILL meanwhile: every alarm is
// told, and again only after a SIGKILL, under the same id.
func TestEndedInAnyScheduleNothingIsLost(t *testing.T) {
	t.Parallel()
	seeds := 4
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			endedIn(t, uint64(seed))
		})
	}
}

func endedIn(t *testing.T, seed uint64) {
	const ends, ringing = 10, 12
	rnd := rand.New(rand.NewPCG(seed, 9))
	w := newWorld(t, 1, toStdout, toExec)
	var rogue []*ca.Issued
	killed, left := 0, ringing
	for n := range ends {
		for i, l := range w.logs() { // new faults for each run, all gone in the end
			kind := []string{"rfc6962", "static"}[i]
			s := fault.Random(rnd, kind, time.Millisecond, time.Second)
			t.Logf("run %d, %s log: %s", n, kind, s)
			go s.Run(t.Context(), &l.Faults, nil)
		}
		d := w.watch(nil, "--from", "start")
		for left*ends > ringing*(ends-n-1) {
			time.Sleep(time.Duration(rnd.Int64N(int64(200 * time.Millisecond))))
			i := w.issue()
			w.log(w.logs()[left%2], i)
			rogue = append(rogue, i)
			left--
		}
		time.Sleep(time.Duration(rnd.Int64N(int64(400 * time.Millisecond))))
		if rnd.IntN(2) == 0 {
			d.kill()
			killed++
			continue
		}
		if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		// One that had hardly begun says that it did not get to see; one that had not begun even to listen for signals dies
		// of it, with nothing said and nothing promised: that is a kill.
		code := d.wait()
		if code == -1 && d.stderr.String() == "" && len(d.told()) == 0 {
			killed++
			continue
		}
		if code != exitQuiet && code != exitBlind {
			t.Errorf("run %d ended with %d and said: %s", n, code, d.stderr.String())
		}
	}
	time.Sleep(time.Second) // the last schedules end
	for _, l := range w.logs() {
		l.Faults.Set(fault.Faults{})
		l.Publish()
	}
	last := w.watch(nil, "--from", "start")
	c := w.settled()
	last.stop()
	if c.Ledger.Issuances != ringing || c.Ledger.Sightings != ringing {
		t.Errorf("in the ledger: %+v, want %d issuances, each seen once", c.Ledger, ringing)
	}
	times := map[string]int{}
	for _, id := range w.programTold() {
		times[id]++
	}
	repeats := 0
	for _, i := range rogue {
		n := times[store.AlarmID(rawID(i), toExec, "alarm")]
		if n == 0 {
			t.Errorf("nobody was told of %s", idOf(i))
		}
		repeats += max(0, n-1)
	}
	if len(times) != ringing || repeats > killed {
		t.Errorf("%d alarms, want %d; %d repeats, and it was killed %d times", len(times), ringing, repeats, killed)
	}
}
