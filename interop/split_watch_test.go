package interop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// instance sets up a tocsin in a folder of its own that watches 192.0.2.0/24.
func instance(t *testing.T, binary string, list []byte) *tocsin {
	t.Helper()
	dir := t.TempDir()
	p := &tocsin{binary: binary, config: filepath.Join(dir, "tocsin.yaml"), logs: filepath.Join(dir, "logs.json"), state: filepath.Join(dir, "tocsin.db")}
	writeFile(t, p.config, []byte("watch:\n  - name: our network\n    networks: [192.0.2.0/24]\n"))
	writeFile(t, p.logs, list)
	return p
}

// view writes what the instance saw of the logs into a file, as it would be given to a friend.
func (p *tocsin) view(t *testing.T) string {
	t.Helper()
	_, raw := p.coverage(t)
	file := filepath.Join(t.TempDir(), "view.json")
	writeFile(t, file, raw)
	return file
}

// command runs a command of tocsin that prints a JSON object per line, and returns its exit status.
func command[T any](t *testing.T, binary string, args ...string) (objects []T, status int) {
	t.Helper()
	cmd := exec.CommandContext(soon(t), binary, args...)
	cmd.Dir = t.TempDir()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("tocsin %s: %v", strings.Join(args, " "), err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var o T
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects, cmd.ProcessState.ExitCode()
		}
		if err != nil {
			t.Fatalf("tocsin %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
		}
		objects = append(objects, o)
	}
}

type compared struct {
	Log      string `json:"log"`
	Result   string `json:"result"`
	Evidence string `json:"evidence"`
	Text     string `json:"text"`
}

type verified struct {
	File    string `json:"file"`
	Fault   string `json:"fault"`
	Verdict string `json:"verdict"`
	Text    string `json:"text"`
}

// proven has tocsin verify the evidence under the keys of the list, and then does so without anything of ours.
func proven(t *testing.T, binary, list, file string, l *reallogs.Log) {
	t.Helper()
	said, status := command[verified](t, binary, "logs", "verify", "--logs", list, "--json", file)
	if status != 0 || len(said) != 1 || said[0].Verdict != "proven" || said[0].Fault != ctlog.Forked {
		t.Errorf("logs verify ends with %d and says %+v of the evidence of a fork, want it proven", status, said)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	convicts(t, l, raw)
}

// TestTwoInstancesNoticeASplitViewTogether lets two instances read one view each of two real logs: neither can see
// anything wrong, and both together can prove it.
func TestTwoInstancesNoticeASplitViewTogether(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the program itself: left out in short mode")
	}
	binary := buildTocsin(t)
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	var sideA, sideB []*reallogs.Log
	for _, kind := range splits {
		w := kind.split(t, root, issuer)
		fill(t, w.a, issuer, 4)
		fill(t, w.b, issuer, 4)
		sideA, sideB = append(sideA, w.a), append(sideB, w.b)
	}
	read := func(logs []*reallogs.Log) (*tocsin, string) {
		list, err := reallogs.List(logs...)
		if err != nil {
			t.Fatal(err)
		}
		p := instance(t, binary, list)
		if out, err := exec.CommandContext(soon(t), binary, p.args("--once", "--from", "start")...).CombinedOutput(); err != nil {
			t.Fatalf("tocsin watch --once: %v\n%s", err, out)
		}
		if c, _ := p.coverage(t); len(c.Faults) > 0 {
			t.Errorf("one side alone tells %+v", c.Faults)
		}
		return p, p.view(t)
	}
	a, viewA := read(sideA)
	_, viewAgain := read(sideA)
	_, viewB := read(sideB)

	same, status := command[compared](t, binary, "logs", "compare", "--logs", a.logs, "--json", viewA, viewAgain)
	if status != 0 || len(same) != 2 || same[0].Result != "same" || same[1].Result != "same" {
		t.Errorf("compare ends with %d and says %+v of two instances that see the same", status, same)
	}
	out := t.TempDir()
	split, status := command[compared](t, binary, "logs", "compare", "--logs", a.logs, "--out", out, "--json", viewA, viewB)
	if status != 1 || len(split) != 2 {
		t.Fatalf("compare ends with %d and says %+v of two instances that see different trees", status, split)
	}
	for _, s := range split {
		l := sideA[slices.IndexFunc(sideA, func(l *reallogs.Log) bool { return l.Description == s.Log })]
		if s.Result != "split" {
			t.Errorf("%s: %s: %s", s.Log, s.Result, s.Text)
			continue
		}
		file := s.Evidence
		if !filepath.IsAbs(file) {
			file = filepath.Join(out, filepath.Base(file))
		}
		proven(t, binary, a.logs, file, l)
	}
}

// TestTocsinRingsInBothTreesOfAFork switches a running tocsin to the other view of two real logs. What that shows at
// indexes that were read before rings as well, and the fork is on record for others.
func TestTocsinRingsInBothTreesOfAFork(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the program itself: left out in short mode")
	}
	binary := buildTocsin(t)
	root := newRoot(t, "Root")
	issuer := root.sub(t, "A CA never chosen", p384Key(t), nil)
	var pairs []twins
	var logs []*reallogs.Log
	proxies := map[*reallogs.Log]*faultproxy.Proxy{}
	for i, kind := range splits {
		w := kind.split(t, root, issuer)
		pairs, logs = append(pairs, w), append(logs, w.a)
		proxies[w.a] = proxied(t, w.a, uint64(i))
	}
	list, err := reallogs.ListVia(func(l *reallogs.Log) string { return proxies[l].Addr }, logs...)
	if err != nil {
		t.Fatal(err)
	}
	p := instance(t, binary, list)
	life := p.start(t)
	want := map[string]int{}
	ring := func(l *reallogs.Log, address string) {
		t.Helper()
		ctx := soon(t)
		size, err := l.Size(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.AddPreChain(ctx, joined(issuer.precert(t, leafFor(t, []string{"test1.example.com"}, address), ecdsaKey(t).Public()), issuer.chain())...); err != nil {
			t.Fatal(err)
		}
		if err := l.WaitSize(ctx, size+1); err != nil {
			t.Fatal(err)
		}
		want[address] = 1
	}
	for i, w := range pairs {
		ring(w.a, fmt.Sprintf("192.0.2.%d", 10+i))
		fill(t, w.a, issuer, 3)
		// In the other tree these stand where tocsin has read: the first of the two before what it has verified.
		ring(w.b, fmt.Sprintf("192.0.2.%d", 20+i))
		fill(t, w.b, issuer, 6)
		ring(w.b, fmt.Sprintf("192.0.2.%d", 30+i))
		life.await("alarm", fmt.Sprintf("192.0.2.%d", 10+i))
	}
	until(t, "the first trees are verified to their ends", func() bool {
		c, _ := p.coverage(t)
		for _, l := range logs {
			size, err := l.Size(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(c.Logs, func(s loggedLog) bool { return s.Name == l.Description && s.Verified == size }) {
				return false
			}
		}
		return true
	})
	for _, w := range pairs {
		proxies[w.a].To(w.b.Addr)
	}
	for address := range want {
		if !slices.ContainsFunc(life.got, func(m message) bool { return rings(m) && m.about(address) }) {
			life.await("alarm", address)
		}
	}
	until(t, "both logs are accused", func() bool {
		c, _ := p.coverage(t)
		return len(c.Faults) >= 2
	})
	life.kill()
	if diff := cmp.Diff(want, alarms(life.got)); diff != "" {
		t.Errorf("alarms by address (-want +rung):\n%s", diff)
	}
	type file struct {
		File  string `json:"file"`
		Fault string `json:"fault"`
		Log   string `json:"log"`
	}
	dir := t.TempDir()
	files, _ := command[file](t, binary, "logs", "evidence", dir, "--state", p.state, "--json")
	told := map[string]int{}
	for _, f := range files {
		told[f.Log+": "+f.Fault]++
		l := logs[slices.IndexFunc(logs, func(l *reallogs.Log) bool { return l.Description == f.Log })]
		path := f.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, filepath.Base(path))
		}
		proven(t, binary, p.logs, path, l)
	}
	if diff := cmp.Diff(map[string]int{logs[0].Description + ": " + ctlog.Forked: 1, logs[1].Description + ": " + ctlog.Forked: 1}, told); diff != "" {
		t.Errorf("accusations (-want +told):\n%s", diff)
	}
}
