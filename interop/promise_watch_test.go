package interop_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/interop/faultproxy"
	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// hurried lets the promises of the logs be due after a second, and a log be accused after another one.
func (w *world) hurried() {
	w.t.Helper()
	for file, edit := range map[string]func([]byte) []byte{
		w.tocsin.logs:   func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"mmd": 60`), []byte(`"mmd": 1`)) },
		w.tocsin.config: func(b []byte) []byte { return append(b, "coverage:\n  promise_patience: 1s\n"...) },
	} {
		before, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		after := edit(before)
		if bytes.Equal(before, after) {
			w.t.Fatalf("%s is as it was", file)
		}
		writeFile(w.t, file, after)
	}
}

// promised is a certificate of the owner's CA with an SCT of each of the logs, whose precertificates they have published.
func (w *world) promised(name string, logs ...*reallogs.Log) promised {
	w.t.Helper()
	sizes := make([]uint64, len(logs))
	for i, l := range logs {
		var err error
		if sizes[i], err = l.Size(soon(w.t)); err != nil {
			w.t.Fatal(err)
		}
	}
	p := promise(w.t, logs, w.own, w.own, name)
	for i, l := range logs {
		if err := l.WaitSize(soon(w.t), sizes[i]+1); err != nil {
			w.t.Fatal(err)
		}
	}
	return p
}

// meet submits the final certificate, in which tocsin meets the SCTs.
func (w *world) meet(p promised, logs ...*reallogs.Log) {
	w.t.Helper()
	w.submit((*reallogs.Log).AddChain, joined(p.final, p.chain), logs)
}

// settled lets the logs grow, and so sign newer heads, until the promises stand as wanted.
func (w *world) settled(want promises) {
	w.t.Helper()
	var last promises
	until(w.t, "the promises of the logs are judged", func() bool {
		for _, l := range w.logs {
			fill(w.t, l, w.own, 1)
		}
		c, _ := w.tocsin.coverage(w.t)
		if c.SCTs != last {
			w.t.Logf("promises: %+v", c.SCTs)
		}
		last = c.SCTs
		return last == want
	})
}

// explained is how it stands with the promises in an issuance: by log, the state; and how many precertificates were seen.
func (p *tocsin) explained(t *testing.T, issuance string) (states map[string]string, precerts int) {
	t.Helper()
	cmd := exec.CommandContext(soon(t), p.binary, "explain", "--state", p.state, "--json", issuance)
	cmd.Dir = filepath.Dir(p.state)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tocsin explain: %v", err)
	}
	var doc struct {
		Sightings []struct {
			Precert bool `json:"precert"`
		} `json:"sightings"`
		SCTs []struct {
			Log   string  `json:"log"`
			State string  `json:"state"`
			Index *uint64 `json:"index"`
		} `json:"scts"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("tocsin explain: %v\n%s", err, out)
	}
	states = map[string]string{}
	for _, s := range doc.SCTs {
		states[s.Log] = s.State
		if s.State == "proven" && s.Index == nil {
			t.Errorf("the promise of %s is proven nowhere", s.Log)
		}
	}
	for _, s := range doc.Sightings {
		if s.Precert {
			precerts++
		}
	}
	return states, precerts
}

func TestTocsinProvesWhatRealLogsPromised(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the program itself: left out in short mode")
	}
	w := newWorld(t)
	w.hurried()
	// The entries of the first are from before tocsin first looked: the logs must prove them. Those of the second it reads.
	unseen := w.promised("unseen.resolver.example", w.logs...)
	life := w.tocsin.start(t)
	seen := w.promised("seen.resolver.example", w.logs...)
	w.meet(unseen)
	w.meet(seen, w.logs[0])
	w.settled(promises{Proven: 4})
	life.await("filed", "unseen.resolver.example")
	if c, _ := w.tocsin.coverage(t); len(c.Faults) > 0 {
		t.Errorf("an honest log is accused: %+v", c.Faults)
	}
	everywhere := map[string]string{w.logs[0].Description: "proven", w.logs[1].Description: "proven"}
	for _, m := range life.got {
		if !m.about("unseen.resolver.example") {
			continue
		}
		states, precerts := w.tocsin.explained(t, m.Issuance)
		if diff := cmp.Diff(everywhere, states); diff != "" || precerts != 0 {
			t.Errorf("%d precertificates were seen; promises (-want +got):\n%s", precerts, diff)
		}
	}
}

// TestTocsinReportsWhatRealLogsDidNotMerge: an instance of each log has signed an SCT and merged it, and another one with
// the same key, which everybody sees, knows nothing of it: of the CTFE a second one, of TesseraCT the same one, gone back
// to an older copy of its folder.
func TestTocsinReportsWhatRealLogsDidNotMerge(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the program itself: left out in short mode")
	}
	proxies := map[*reallogs.Log]*faultproxy.Proxy{}
	w := newWorldVia(t, func(logs ...*reallogs.Log) func(*reallogs.Log) string {
		for i, l := range logs {
			proxies[l] = proxied(t, l, uint64(i))
		}
		return func(l *reallogs.Log) string { return proxies[l].Addr }
	})
	w.hurried()
	root := w.own.parent
	before := w.logs[1]
	fill(t, before, w.own, 3)
	folder := filepath.Join(t.TempDir(), "copy")
	if err := before.Copy(folder); err != nil {
		t.Fatal(err)
	}
	twin := startCTFE(t, root, &reallogs.Options{Key: w.logs[0].Key})
	lost := w.promised("lost.resolver.example", twin, before)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	w.logs[1] = startTesseraCT(t, root, &reallogs.Options{Key: before.Key, From: folder})
	proxies[before].To(w.logs[1].Addr)

	life := w.tocsin.start(t)
	w.meet(lost, w.logs[0])
	kept := w.promised("kept.resolver.example", w.logs...)
	w.meet(kept, w.logs[1])
	w.settled(promises{Reported: 2, Proven: 2})
	life.await("fault", "")

	c, _ := w.tocsin.coverage(t)
	told := map[string]int{}
	for i, f := range c.Faults {
		told[f.Kind+" of "+f.Log]++
		l := w.logs[slices.IndexFunc(w.logs, func(l *reallogs.Log) bool { return l.Description == f.Log })]
		if heads := evidenceHeads(t, l, f.Evidence); len(heads) != 1 {
			t.Errorf("%d heads of %s in the evidence", len(heads), f.Log)
		}
		var ev struct {
			SCT []byte `json:"sct"`
		}
		wanted := lost.scts[slices.Index(w.logs, l)].TLS
		if err := json.Unmarshal(f.Evidence, &ev); err != nil || !bytes.Equal(ev.SCT, wanted) {
			t.Errorf("the evidence against %s does not hold the SCT that was signed: %v", f.Log, err)
		}
		file := filepath.Join(t.TempDir(), "evidence.json")
		writeFile(t, file, f.Evidence)
		out, err := exec.CommandContext(soon(t), w.tocsin.binary, "logs", "verify", "--logs", w.tocsin.logs, file).CombinedOutput()
		verdict := ctlog.Shown // nobody can prove that a leaf is nowhere in a tree
		if l.Kind == reallogs.Static {
			verdict = ctlog.Proven // but what stands at the index that the SCT promised
		}
		if !strings.Contains(strings.ToLower(string(out)), string(verdict)) {
			t.Errorf("fault %d: tocsin logs verify, want %s: %v\n%s", i, verdict, err, out)
		}
	}
	want := map[string]int{ctlog.NotMerged + " of " + w.logs[0].Description: 1, ctlog.NotMerged + " of " + w.logs[1].Description: 1}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("accusations (-want +told):\n%s", diff)
	}
}
