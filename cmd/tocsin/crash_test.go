package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// No crash loses an alarm. One can repeat only when the crash falls between the send and the commit, and then under
// the same id.
func TestKilledAtEachBoundaryTheAlarmIsDelivered(t *testing.T) {
	t.Parallel()
	for _, point := range []string{app.BeforeFiling, app.FiledNotDecided, app.BeforeSend, app.SentNotCommitted} {
		for _, receiver := range []string{toStdout, toExec} {
			t.Run(point+" to "+receiver, func(t *testing.T) {
				t.Parallel()
				killedAt(t, point, receiver)
			})
		}
	}
}

func killedAt(t *testing.T, point, receiver string) {
	w := newWorld(t, 1, receiver)
	first := w.watch([]string{killEnv + "=" + point})
	first.ready()
	rogue := w.issue()
	w.play(lab.Submission{Issued: rogue, AsPrecert: true, AsFinal: true})
	first.wait()
	if ws, ok := first.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("it ended by %v, want SIGKILL; it said: %s", first.cmd.ProcessState, first.stderr.String())
	}
	before := w.ringsOf(first, receiver)
	want := 0
	if point == app.SentNotCommitted {
		want = 1
	}
	if len(before) != want {
		t.Errorf("delivered before the crash: %v, want %d", before, want)
	}

	second := w.watch(nil)
	w.settled()
	second.stop()
	id := store.AlarmID(rawID(rogue), receiver, "alarm")
	got := w.ringsOf(second, receiver)
	if receiver == toStdout { // the file of the program goes on over both runs
		got = slices.Concat(before, got)
	}
	wanted := slices.Repeat([]string{id}, 1+want)
	if !slices.Equal(got, wanted) {
		t.Errorf("alarms over both runs: %v, want %v", got, wanted)
	}
	x := w.explain(rogue)
	if len(x.Sightings) != 4 {
		t.Errorf("%d sightings, want precertificate and certificate in both logs: %+v", len(x.Sightings), x.Sightings)
	}
}

// ringsOf lists the ids of the alarms that a receiver got: of one run on standard output, of all runs in a file.
func (w *world) ringsOf(d *daemon, receiver string) (ids []string) {
	if receiver == toExec {
		return w.programTold()
	}
	for _, l := range d.told() {
		if l.rings() {
			ids = append(ids, l.ID)
		}
	}
	return ids
}

// The daemon is killed fifty times at random instants while certificates come in, and in the end has told all of them.
func TestD12KilledFiftyTimesEveryAlarmIsDelivered(t *testing.T) {
	t.Parallel()
	const kills, ringing, others = 50, 20, 60
	rnd := rand.New(rand.NewPCG(1, 1)) // the instants; what the process is doing then differs from run to run
	w := newWorld(t, 1, toStdout, toExec)

	var subs []lab.Submission
	var rogue []*ca.Issued
	for n := range ringing {
		i := w.issue()
		rogue = append(rogue, i)
		subs = append(subs, lab.Submission{Label: fmt.Sprint("rogue ", n), Issued: i, AsPrecert: true, AsFinal: n%2 == 0})
	}
	for n := range others {
		i := w.issue(fmt.Sprintf("host%d.neighbour.example", n))
		subs = append(subs, lab.Submission{Label: fmt.Sprint("other ", n), Issued: i, AsPrecert: true, AsFinal: n%2 == 0})
	}
	rnd.Shuffle(len(subs), func(i, j int) { subs[i], subs[j] = subs[j], subs[i] })

	var runs [][]told
	for n := range kills {
		d := w.watch(nil, "--from", "start")
		left := 100*time.Millisecond + time.Duration(rnd.Int64N(int64(500*time.Millisecond)))
		end := time.After(left)
		for len(subs)*kills > (kills-n-1)*(ringing+others) { // what is due by now, at random moments of this run
			time.Sleep(time.Duration(rnd.Int64N(int64(left / 2))))
			w.play(subs[0])
			subs = subs[1:]
		}
		<-end
		d.kill()
		runs = append(runs, d.told())
	}
	if len(subs) > 0 {
		t.Fatalf("%d certificates were not submitted", len(subs))
	}
	last := w.watch(nil, "--from", "start")
	w.settled()
	last.stop()
	runs = append(runs, last.told())

	var cov app.Coverage
	w.json(&cov, []int{exitBlind}, "logs", "--json", "--state", w.path("state.db")) // no daemon runs now
	for _, l := range w.logs() {
		if g := of(&cov, l); g.Owed != 0 || g.Position != l.Size() || g.Verified != l.Size() {
			t.Errorf("%s: at %d of %d, %d owed", g.Name, g.Position, l.Size(), g.Owed)
		}
	}
	if cov.Ledger.Issuances != ringing || cov.Ledger.Undecided != 0 || cov.Ledger.Sightings != 3*ringing || len(cov.Faults) > 0 {
		t.Errorf("in the ledger: %+v, faults %v, want %d issuances in %d sightings", cov.Ledger, cov.Faults, ringing, 3*ringing)
	}
	checkStdout(t, runs, rogue)

	want := map[string]int{}
	for _, i := range rogue {
		want[store.AlarmID(rawID(i), toExec, "alarm")] = 0
	}
	repeats := 0
	for _, id := range w.programTold() {
		n, ok := want[id]
		if !ok {
			t.Errorf("the program was told %s, which is the id of no certificate submitted", id)
		}
		if want[id]++; n > 0 {
			repeats++
		}
	}
	for id, n := range want {
		if n == 0 {
			t.Errorf("the program was never told %s", id)
		}
	}
	if repeats > kills {
		t.Errorf("%d repeats, want at most one per kill", repeats)
	}
}

// checkStdout checks the alarms on standard output over all runs: each once, or again when it was the last of its run,
// which is the only one that can have been sent and not committed.
func checkStdout(t *testing.T, runs [][]told, rogue []*ca.Issued) {
	t.Helper()
	ids := map[string]string{} // of issuances
	for _, i := range rogue {
		ids[idOf(i)] = ""
	}
	repeats := 0
	uncommitted := map[string]bool{}
	for n, run := range runs {
		for _, l := range run {
			switch {
			case l.Kind == "ready":
				continue
			case !l.rings():
				t.Errorf("run %d said %+v", n, l)
				continue
			}
			id, known := ids[l.Issuance]
			switch {
			case !known:
				t.Errorf("run %d rang for issuance %s, which nobody submitted", n, l.Issuance)
			case id == "":
				ids[l.Issuance] = l.ID
			case id != l.ID:
				t.Errorf("issuance %s rang as %s and as %s", l.Issuance, id, l.ID)
			case !uncommitted[id]:
				t.Errorf("run %d repeated %s, which was committed", n, id)
			default:
				repeats++
			}
			uncommitted[l.ID] = l.last
		}
	}
	for issuance, id := range ids {
		if id == "" {
			t.Errorf("issuance %s never rang", issuance)
		}
	}
	t.Logf("%d runs, %d alarms, %d repeats", len(runs), len(ids), repeats)
}

// rawID is the id of an issuance in bytes.
func rawID(i *ca.Issued) [32]byte { return cert.Identity(i.TBS, i.IssuerKeyHash()) }
