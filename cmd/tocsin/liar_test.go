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
	"testing"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
)

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
