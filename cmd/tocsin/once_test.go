package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
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

// A log that lies.

// lies are made by one log of the lab from the start, so that no head of it can ever be verified.
var lies = []struct {
	name, kind string
	faults     fault.Faults
}{
	{"a wrong root", "wrong-root", fault.Faults{WrongRoot: true}},
	{"a bad signature", "bad-signature", fault.Faults{BadSignature: true}},
}

// forEachLie runs a test for both lies told by both kinds of log: the liar, and the other log.
func forEachLie(t *testing.T, f func(t *testing.T, w *world, liar, honest *sequence.Log, kind string)) {
	for _, lie := range lies {
		for n, who := range []string{"an RFC 6962 log", "a static log"} {
			t.Run(lie.name+" of "+who, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 1, toStdout, toExec)
				logs := w.logs()
				logs[n].Faults.Set(lie.faults)
				f(t, w, logs[n], logs[1-n], lie.kind)
			})
		}
	}
}

func TestALyingLogIsEvidenceAndTheDaemonGoesOn(t *testing.T) {
	t.Parallel()
	forEachLie(t, func(t *testing.T, w *world, liar, honest *sequence.Log, kind string) {
		d := w.watch(nil, "--from", "start")
		hidden := w.issue()
		w.log(liar, hidden)
		liar.Publish()
		said := d.await("the fault", func(l *told) bool { return l.Kind == "fault" }).Fault
		if name := w.listed(liar).Description; said.Kind != kind || said.LogName != name {
			t.Errorf("the fault told is %+v, want %s of %s", said, kind, name)
		}
		undisturbed := w.issue()
		w.log(honest, undisturbed)
		d.rings(undisturbed)

		var cov app.Coverage
		w.json(&cov, []int{exitBlind}, "logs", "--json", "--state", w.path("state.db"))
		if g := of(&cov, liar); g.State != "faulty" || g.Verified != 0 {
			t.Errorf("the lying log is %q, verified to %d", g.State, g.Verified)
		}
		if g := of(&cov, honest); g.State != "live" || g.Verified != honest.Size() {
			t.Errorf("the other log is %q, verified to %d", g.State, g.Verified)
		}
		w.evidence(&cov, liar, kind)

		liar.Faults.Set(fault.Faults{})
		repaired := w.issue()
		w.log(liar, repaired)
		d.rings(repaired)
		d.rings(hidden)
		w.settled()
		d.stop()
		rung := w.programTold()
		slices.Sort(rung)
		if len(slices.Compact(rung)) != 3 || len(w.programTold()) != 3 {
			t.Errorf("the program was told %v, want each of 3 certificates once", rung)
		}
		// The evidence outlives the repair.
		w.json(&cov, []int{exitBlind}, "logs", "--json", "--state", w.path("state.db"))
		w.evidence(&cov, liar, kind)
	})
}

func TestALogThatSignsTwoRootsForOneSizeIsEvidenceAndTheDaemonGoesOn(t *testing.T) {
	t.Parallel()
	for n, who := range []string{"an RFC 6962 log", "a static log"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, toStdout, toExec)
			liar := w.logs()[n]
			d := w.watch(nil, "--from", "start")
			first := w.issue()
			w.log(liar, first)
			w.settled()
			liar.Faults.Set(fault.Faults{WrongRoot: true})
			d.await("the fault", func(l *told) bool { return l.Kind == "fault" && l.Fault.Kind == "forked" })

			undisturbed := w.issue()
			w.log(w.logs()[1-n], undisturbed)
			d.rings(undisturbed)
			liar.Faults.Set(fault.Faults{})
			repaired := w.issue()
			w.log(liar, repaired)
			d.rings(repaired)
			c := w.settled()
			d.stop()

			if len(c.Faults) != 1 {
				t.Fatalf("faults: %+v, want one", c.Faults)
			}
			var ev ctlog.Evidence
			if err := json.Unmarshal(c.Faults[0].Evidence, &ev); err != nil {
				t.Fatal(err)
			}
			if len(ev.Heads) != 2 || !bytes.Equal(ev.Key, liar.Key.SPKI) {
				t.Fatalf("%d heads in the evidence, want 2, under the log's key", len(ev.Heads))
			}
			size1, root1, signed1 := signedHead(t, liar, ev.Heads[0])
			size2, root2, signed2 := signedHead(t, liar, ev.Heads[1])
			if !signed1 || !signed2 || size1 != size2 || root1 == root2 {
				t.Errorf("the evidence is no fork: %s", c.Faults[0].Evidence)
			}
			if ev.Want == nil || *ev.Want != root1 || ev.Got == nil || *ev.Got != root2 {
				t.Errorf("the evidence says %v and %v, want the roots of its heads", ev.Want, ev.Got)
			}
		})
	}
}

// evidence checks that the fault kept stands without us: the head as the log sent it, under the log's key, and the
// roots.
func (w *world) evidence(c *app.Coverage, liar *sequence.Log, kind string) {
	w.t.Helper()
	if len(c.Faults) != 1 || c.Faults[0].Kind != kind || c.Faults[0].Log != w.listed(liar).Description {
		w.t.Fatalf("faults: %+v, want one %s", c.Faults, kind)
	}
	var ev ctlog.Evidence
	if err := json.Unmarshal(c.Faults[0].Evidence, &ev); err != nil {
		w.t.Fatalf("%v in %s", err, c.Faults[0].Evidence)
	}
	if !bytes.Equal(ev.Key, liar.Key.SPKI) {
		w.t.Errorf("the key in the evidence is %x, want that of the log", ev.Key)
	}
	if len(ev.Heads) != 1 {
		w.t.Fatalf("%d heads in the evidence, want 1", len(ev.Heads))
	}
	size, root, signed := signedHead(w.t, liar, ev.Heads[0])
	switch kind {
	case "bad-signature":
		if signed {
			w.t.Errorf("the head in the evidence is well signed: %s", ev.Heads[0])
		}
	case "wrong-root":
		if !signed {
			w.t.Errorf("the head in the evidence is not signed by the log: %s", ev.Heads[0])
		}
		honest := root
		honest[0] ^= 0xff // as the lab lies
		if ev.Want == nil || *ev.Want != root || ev.Got == nil || *ev.Got != honest || ev.To != size {
			w.t.Errorf("the evidence says entries to %d have root %v and the head signs %v; want %d, %v and %v", ev.To, ev.Got, ev.Want, size, honest, root)
		}
	}
}

// signedHead reads a get-sth answer or a checkpoint of a log, and verifies the signature without the code under test.
func signedHead(t testing.TB, l *sequence.Log, raw string) (size uint64, root ctlog.Hash, signed bool) {
	t.Helper()
	var sth struct {
		Size      uint64 `json:"tree_size"`
		Timestamp uint64 `json:"timestamp"`
		Root      []byte `json:"sha256_root_hash"`
		Signature []byte `json:"tree_head_signature"`
	}
	if err := json.Unmarshal([]byte(raw), &sth); err != nil { // a checkpoint
		text, sigs, _ := strings.Cut(raw, "\n\n")
		lines := strings.Split(text, "\n")
		if len(lines) != 3 {
			t.Fatalf("no head: %q", raw)
		}
		fields := strings.Fields(sigs)
		sig, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
		if err != nil || len(sig) < 12 {
			t.Fatalf("no head: %q", raw)
		}
		if _, err := fmt.Sscan(lines[1], &sth.Size); err != nil {
			t.Fatal(err)
		}
		if sth.Root, err = base64.StdEncoding.DecodeString(lines[2]); err != nil {
			t.Fatal(err)
		}
		sth.Timestamp, sth.Signature = binary.BigEndian.Uint64(sig[4:]), sig[12:] // behind the id of the key
	}
	if len(sth.Root) != 32 || len(sth.Signature) < 4 {
		t.Fatalf("no head: %q", raw)
	}
	message := []byte{0, 1}
	message = binary.BigEndian.AppendUint64(message, sth.Timestamp)
	message = binary.BigEndian.AppendUint64(message, sth.Size)
	digest := sha256.Sum256(append(message, sth.Root...))
	return sth.Size, ctlog.Hash(sth.Root), ecdsa.VerifyASN1(&l.Key.Signer.PublicKey, digest[:], sth.Signature[4:])
}

// A single run says by its exit status what it saw.

func (w *world) once(args ...string) *daemon {
	w.t.Helper()
	d := w.watch(nil, append([]string{"--once", "--from", "start"}, args...)...)
	d.wait()
	return d
}

func TestOnceExits3WhenALogLiesAnd1WhenSomethingRangAsWell(t *testing.T) {
	t.Parallel()
	forEachLie(t, func(t *testing.T, w *world, liar, honest *sequence.Log, kind string) {
		w.fill(liar, 3)
		w.fill(honest, 3)
		check := func(d *daemon, want int, rung ...*ca.Issued) {
			t.Helper()
			if code := d.cmd.ProcessState.ExitCode(); code != want {
				t.Errorf("exit status %d, want %d; it said: %s", code, want, d.stderr.String())
			}
			if name := w.listed(liar).Description; !strings.Contains(d.stderr.String(), "not seen: reading log "+name) {
				t.Errorf("it does not say that it could not see %s, but: %s", name, d.stderr.String())
			}
			for _, i := range rung {
				d.rings(i)
			}
		}
		check(w.once(), exitBlind)
		var cov app.Coverage
		w.json(&cov, []int{exitBlind}, "logs", "--json", "--state", w.path("state.db"))
		w.evidence(&cov, liar, kind)

		i := w.issue()
		w.log(honest, i)
		honest.Publish()
		check(w.once(), exitSurprise, i)
		check(w.once(), exitBlind) // that surprise was told
	})
}

func TestOnceExits3WhenALogIsDownAndTellsOfTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	down, well := w.labs[0].Static, w.labs[0].RFC6962
	down.Faults.Set(fault.Faults{Refuse: true})
	w.fill(well.Log, 3)
	d := w.once()
	if code := d.cmd.ProcessState.ExitCode(); code != exitBlind {
		t.Errorf("exit status %d, want 3; it said: %s", code, d.stderr.String())
	}
	if name := w.listed(down.Log).Description; strings.Count(d.stderr.String(), "not seen:") != 1 || !strings.Contains(d.stderr.String(), "not seen: reading log "+name) {
		t.Errorf("it does not say that it could not see %s alone, but: %s", name, d.stderr.String())
	}
	c, err := w.coverage()
	if err != nil {
		t.Fatal(err)
	}
	if g := of(c, well.Log); g.Verified != 3 {
		t.Errorf("the other log: %+v, want it verified to 3", g)
	}
}

func TestOnceExits0WhenAllWasSeenAndNothingRang(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout, toExec)
	for _, l := range w.logs() {
		w.fill(l, 3)
	}
	if d := w.once(); d.cmd.ProcessState.ExitCode() != exitQuiet {
		t.Errorf("exit status %d, want 0; it said: %s", d.cmd.ProcessState.ExitCode(), d.stderr.String())
	}
	i := w.issue()
	w.everywhereAtOnce(i)
	for _, l := range w.logs() {
		l.Publish()
	}
	d := w.once()
	if d.cmd.ProcessState.ExitCode() != exitSurprise {
		t.Errorf("exit status %d, want 1; it said: %s", d.cmd.ProcessState.ExitCode(), d.stderr.String())
	}
	w.rangOnce([]*daemon{d}, i)
	w.seenEverywhere(i)
}
