package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// tocsin is the program as its users have it: built from source, run as processes of its own.
type tocsin struct {
	binary, config, logs, state string
}

// message is a line on standard output, as docs/output.md describes it; of kind "ready" or about one issuance.
type message struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Issuance string `json:"issuance"`
	Matched  []struct {
		Value string `json:"value"`
	} `json:"matched"`
}

// about says whether the message names the address, as text, among what matched.
func (m message) about(address string) bool {
	for _, x := range m.Matched {
		if x.Value == address {
			return true
		}
	}
	return false
}

// built is the program, built once for all tests into the folder that TestMain removes.
var built = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildFolder, "tocsin")
	build := exec.Command("go", "build", "-o", binary, "./cmd/tocsin")
	build.Dir = ".." // the program's own module
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building tocsin: %w\n%s", err, out)
	}
	return binary, nil
})

func buildTocsin(t *testing.T) string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// args are those of `tocsin watch` over the real logs, from now on.
func (p *tocsin) args(more ...string) []string {
	return append([]string{"watch", "--config", p.config, "--logs", p.logs, "--state", p.state, "--poll", "50ms", "--json"}, more...)
}

// daemon is a running `tocsin watch`.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	// messages are handed over as they are printed; closed when standard output ends.
	messages chan message
	// got are all messages that were taken from the channel.
	got []message
}

// start returns when tocsin says that it sees what is logged from here on.
func (p *tocsin) start(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: exec.Command(p.binary, p.args()...), messages: make(chan message, 1000)}
	d.cmd.Stderr = &d.stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatalf("starting tocsin: %v", err)
	}
	t.Cleanup(d.kill)
	go func() {
		defer close(d.messages)
		if err := readMessages(stdout, func(m message) { d.messages <- m }); err != nil {
			t.Errorf("standard output of tocsin: %v", err)
		}
	}()
	d.await("ready", "")
	return d
}

// readMessages reads JSON lines until the end of the stream. The last may be cut off when the program was killed.
func readMessages(stdout io.Reader, take func(message)) error {
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF || errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		take(m)
	}
}

// await returns when a message of the kind about the address, if one is given, was printed.
func (d *daemon) await(kind, address string) {
	d.t.Helper()
	ctx := soon(d.t)
	for {
		select {
		case m, ok := <-d.messages:
			if !ok {
				d.kill()
				d.t.Fatalf("tocsin ended before %s %s; it said:\n%s", kind, address, d.stderr.String())
			}
			d.got = append(d.got, m)
			if m.Kind == kind && (address == "" || m.about(address)) {
				return
			}
		case <-ctx.Done():
			d.kill()
			d.t.Fatalf("no %s %s; tocsin printed %+v and said:\n%s", kind, address, d.got, d.stderr.String())
		}
	}
}

// kill ends the process without any warning, and takes what it still had printed. It may be called again.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // SIGKILL; an error says that it is gone already
	for m := range d.messages {
		d.got = append(d.got, m)
	}
	_ = d.cmd.Wait()
}

// catchUp runs `tocsin watch --once` to the current heads and returns what it printed.
func (p *tocsin) catchUp(t *testing.T) []message {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(soon(t), p.binary, p.args("--once")...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var got []message
	if err := readMessages(&stdout, func(m message) { got = append(got, m) }); err != nil {
		t.Errorf("standard output of tocsin: %v", err)
	}
	// 0 is quiet, 1 when something rang; 3 would mean that something could not be seen.
	want := []int{0}
	if slices.ContainsFunc(got, rings) {
		want = []int{1}
	}
	if cmd.ProcessState == nil || !slices.Contains(want, cmd.ProcessState.ExitCode()) {
		t.Errorf("tocsin watch --once: %v, want exit status %d; it said:\n%s", err, want, stderr.String())
	}
	return got
}

// sightings asks `tocsin explain` in which entries the issuance was seen: how many precertificates and certificates in
// each log.
func (p *tocsin) sightings(t *testing.T, issuance string) map[string]int {
	t.Helper()
	cmd := exec.CommandContext(soon(t), p.binary, "explain", "--state", p.state, "--json", issuance)
	cmd.Dir = filepath.Dir(p.state) // no config of somebody else's
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tocsin explain: %v", err)
	}
	var explained struct {
		Sightings []struct {
			Log     string `json:"log"`
			Precert bool   `json:"precert"`
		} `json:"sightings"`
	}
	if err := json.Unmarshal(out, &explained); err != nil {
		t.Fatalf("tocsin explain: %v", err)
	}
	n := map[string]int{}
	for _, s := range explained.Sightings {
		n[fmt.Sprintf("%s, precertificate %v", s.Log, s.Precert)]++
	}
	return n
}

func rings(m message) bool { return m.Kind == "alarm" || m.Kind == "page" }

// world is two real logs, an owner's own CA and somebody else's, and a tocsin that watches the owner's network.
type world struct {
	t          *testing.T
	logs       []*reallogs.Log
	own, other *ca
	tocsin     *tocsin
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldVia(t, func(...*reallogs.Log) func(*reallogs.Log) string {
		return func(l *reallogs.Log) string { return l.Addr }
	})
}

// newWorldVia is newWorld with something put before the logs, whose addresses to dial stand in the list of logs.
func newWorldVia(t *testing.T, before func(...*reallogs.Log) (dial func(*reallogs.Log) string)) *world {
	t.Helper()
	binary := buildTocsin(t)
	root := newRoot(t, "Root")
	w := &world{
		t:    t,
		logs: startLogs(t, root),
		own:  root.sub(t, "The CA of our choice", p384Key(t), nil),
		// Its certificates are surprises.
		other: root.sub(t, "A CA never chosen", p384Key(t), nil),
	}
	dir := t.TempDir()
	w.tocsin = &tocsin{binary: binary, config: filepath.Join(dir, "tocsin.yaml"), logs: filepath.Join(dir, "logs.json"), state: filepath.Join(dir, "tocsin.db")}
	list, err := reallogs.ListVia(before(w.logs...), w.logs...)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`contact: ct@lab.example
watch:
  - name: public resolver
    owner: dns-team
    networks: [192.0.2.0/24, "2001:db8::/48"]
    names: [resolver.example]
    expect:
      issuers: ["spki:%x"]
    surprise: alarm
`, sha256.Sum256(w.own.cert.RawSubjectPublicKeyInfo))
	for file, text := range map[string][]byte{w.tocsin.config: []byte(config), w.tocsin.logs: list} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// issuance is one certificate as its CA meant it. The chains lead from the issuer to the root.
type issuance struct {
	address              string
	pre, final           []byte
	preChain, finalChain [][]byte
}

// issue makes an issuance for the address. Names beside it are nobody's that is watched.
func (w *world) issue(by *ca, address string) issuance { return w.issueVia(by, by, address) }

// issueVia is issue with a precertificate that another CA signs on the issuer's behalf.
func (w *world) issueVia(signer, by *ca, address string) issuance {
	key := ecdsaKey(w.t)
	tmpl := leafFor(w.t, []string{"test1.example.com", "test2.example.com"}, address)
	return issuance{address, signer.precert(w.t, tmpl, key.Public()), by.final(w.t, tmpl, key.Public()), signer.chain(), by.chain()}
}

// precertify submits the precertificate to both logs, or to those given, at the same time, and returns when they have
// published it.
func (w *world) precertify(i issuance, logs ...*reallogs.Log) {
	w.t.Helper()
	w.submit((*reallogs.Log).AddPreChain, joined(i.pre, i.preChain), logs)
}

// certify does the same with the final certificate.
func (w *world) certify(i issuance) {
	w.t.Helper()
	w.submit((*reallogs.Log).AddChain, joined(i.final, i.finalChain), nil)
}

func (w *world) submit(add func(*reallogs.Log, context.Context, ...[]byte) (reallogs.SCT, error), chain [][]byte, logs []*reallogs.Log) {
	w.t.Helper()
	ctx := soon(w.t)
	var work errgroup.Group
	if len(logs) == 0 {
		logs = w.logs
	}
	for _, l := range logs {
		work.Go(func() error {
			size, err := l.Size(ctx)
			if err != nil {
				return err
			}
			if _, err := add(l, ctx, chain...); err != nil {
				return err
			}
			return l.WaitSize(ctx, size+1)
		})
	}
	if err := work.Wait(); err != nil {
		w.t.Fatal(err)
	}
}

func TestTocsinRingsOncePerIssuanceInBothRealLogs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the program itself: left out in short mode")
	}
	w := newWorld(t)
	var all []message
	// A message that was printed but not yet noted as delivered comes again, under the same id, after a kill. So before
	// each kill an expected certificate follows the alarm: once that is told, the alarm before it is noted.
	killAfter := func(d *daemon, address string) {
		expected := w.issue(w.own, address)
		w.precertify(expected)
		d.await("filed", address)
		d.kill()
		all = append(all, d.got...)
	}

	// What the logs held before tocsin first looked is not asked for.
	past := w.issue(w.other, "192.0.2.99")
	w.precertify(past)
	life := w.tocsin.start(t)
	a := w.issue(w.other, "192.0.2.1")
	w.precertify(a)
	life.await("alarm", a.address)
	killAfter(life, "192.0.2.101")

	// While it is down, one more is issued, and the first one's final certificate is logged.
	b := w.issue(w.other, "192.0.2.2")
	w.precertify(b)
	w.certify(a)
	life = w.tocsin.start(t)
	life.await("alarm", b.address)
	c := w.issueVia(w.other.precertSigner(t, "Precertificate signing CA", p384Key(t)), w.other, "2001:db8::3") // D22
	w.precertify(c)
	w.certify(b)
	life.await("alarm", c.address)
	killAfter(life, "192.0.2.102")

	// After this, everything in both logs has been read: with the final certificate of the last one, and a renewal for
	// an address that rang before.
	w.certify(c)
	renewal := w.issue(w.own, a.address)
	w.precertify(renewal)
	all = append(all, w.tocsin.catchUp(t)...)
	if diff := cmp.Diff(map[string]int{a.address: 1, b.address: 1, c.address: 1}, count(all)); diff != "" {
		t.Errorf("alarms by address (-want +rung):\n%s", diff)
	}

	// Another certificate for the same address is another issuance, here with its final certificate first.
	d := w.issue(w.other, a.address)
	w.certify(d)
	last := w.tocsin.catchUp(t)
	w.precertify(d)
	last = append(last, w.tocsin.catchUp(t)...)
	if diff := cmp.Diff(map[string]int{d.address: 1}, count(last)); diff != "" {
		t.Errorf("alarms for another certificate for %s (-want +rung):\n%s", d.address, diff)
	}

	all = append(all, last...)
	issuances, ids := map[string]bool{}, map[string]bool{}
	for _, m := range all {
		if m.Kind == "ready" {
			continue
		}
		issuances[m.Issuance], ids[m.ID] = true, true
	}
	// Four that rang and three that were expected, each told once.
	if len(issuances) != 7 || len(ids) != 7 {
		t.Errorf("%d issuances told in messages of %d ids, want 7 of each", len(issuances), len(ids))
	}
	// And each of the four was seen four times.
	everywhere := map[string]int{}
	for _, l := range w.logs {
		everywhere[l.Description+", precertificate true"], everywhere[l.Description+", precertificate false"] = 1, 1
	}
	for _, m := range all {
		if !rings(m) {
			continue
		}
		if diff := cmp.Diff(everywhere, w.tocsin.sightings(t, m.Issuance)); diff != "" {
			t.Errorf("sightings of %s (-want +seen):\n%s", m.Issuance, diff)
		}
	}
}

// count is how often it rang by what matched.
func count(messages []message) map[string]int {
	n := map[string]int{}
	for _, m := range messages {
		if !rings(m) {
			continue
		}
		for _, x := range m.Matched {
			n[x.Value]++
		}
	}
	return n
}
