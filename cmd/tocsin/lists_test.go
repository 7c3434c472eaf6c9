package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/loglist"
)

// Log lists that change while the watch runs.

// refreshing adds to the config of a world that lists are looked at all the time.
func (w *world) refreshing(more string) {
	w.t.Helper()
	b, err := os.ReadFile(w.path("tocsin.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("tocsin.yaml", append(b, "logs:\n  refresh: 200ms\n"+more...))
}

// relist replaces the list by one of these logs, each of its own operator.
func (w *world) relist(logs ...loglist.Log) {
	w.t.Helper()
	for i := range logs {
		logs[i].Operator = "Operator of " + logs[i].Name()
	}
	b, err := loglist.Marshal(&loglist.List{Logs: logs})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("list.new", b)
	if err := os.Rename(w.path("list.new"), w.path("list.json")); err != nil {
		w.t.Fatal(err)
	}
}

// head is the present head of a log of the lab.
func (w *world) head(g loglist.Log) ctlog.Head {
	w.t.Helper()
	c, err := ctlog.NewClient(g, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	h, err := c.Head(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// says waits until the daemon tells of a log list: kind, and part of the text.
func (d *daemon) says(kind, text string) {
	d.t.Helper()
	d.await(kind+": "+text, func(l *told) bool {
		return l.Kind == "list" && l.Event.Kind == kind && strings.Contains(l.Event.Text, text)
	})
}

// about counts what the daemon told of the lists, by kind.
func (d *daemon) about() map[string]int {
	out := map[string]int{}
	for _, l := range d.told() {
		if l.Kind == "list" {
			out[l.Event.Kind]++
		}
	}
	return out
}

// D10: a shard appears, one log becomes read-only, one is retired, one disappears, one has an invalid TLS certificate, and
// one is local-only, all while the watch runs.
func TestD10TheListChangesWhileTheWatchRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, toStdout)
	var logs []*sequence.Log
	var listed []loglist.Log
	for i, l := range w.logs() {
		g := w.listed(l)
		g.Description = []string{"readonly", "vanishing", "steady", "retiring", "shard", "local"}[i]
		logs, listed = append(logs, l), append(listed, g)
		w.fill(l, 20)
	}
	local := listed[5]
	w.refreshing(fmt.Sprintf("  add:\n    - {name: local, kind: static, url: %q, monitoring_url: %q, key: %q, dial: %q}\n",
		local.URL, local.MonitoringURL, base64.StdEncoding.EncodeToString(local.Key), local.Dial))
	w.relist(listed[:4]...)
	d := w.watch(nil, "--from", "start")
	d.ready()

	// In the shard there is something already: it counts from its first entry.
	first := w.issue()
	w.log(logs[4], first)
	logs[4].Publish()
	broken := httptest.NewUnstartedServer(http.NotFoundHandler())
	broken.Config.ErrorLog = log.New(io.Discard, "", 0)
	broken.StartTLS()
	defer broken.Close()
	invalid := listed[2]
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if invalid.Key, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		t.Fatal(err)
	}
	invalid.ID, invalid.Description, invalid.URL, invalid.MonitoringURL = sha256.Sum256(invalid.Key), "invalid", "https://tls.example.com/", "https://tls.example.com/"
	invalid.Dial = broken.URL
	h := w.head(listed[0])
	readonly, retired := listed[0], listed[3]
	readonly.State, readonly.Final = loglist.ReadOnly, &loglist.TreeHead{Size: h.Size, Root: h.Root}
	retired.State = loglist.Retired
	w.relist(readonly, listed[2], retired, listed[4], invalid)
	d.says("appeared", "shard")
	d.says("leaving", "vanishing")
	d.says("leaving", "retiring")
	d.says("changed", "readonly")
	d.says("final", "read and verified to its final head")
	d.rings(first)

	// All that still gives something is still read.
	all := []*ca.Issued{first}
	for i := range 5 {
		one := w.issue()
		w.log(logs[i+1], one)
		logs[i+1].Publish()
		d.rings(one)
		all = append(all, one)
	}
	c := w.until("the log whose certificate is invalid is retried", func(c *app.Coverage) bool {
		for _, l := range c.Logs {
			if l.Name == "invalid" {
				return strings.Contains(l.Error, "certificate")
			}
		}
		return false
	})
	if g := of(c, logs[4]); g.Start != 0 || g.Verified != logs[4].Size() {
		t.Errorf("the shard was not read from its first entry: %+v", g)
	}
	if g := of(c, logs[0]); g.State != "closed" {
		t.Errorf("the read-only log: %+v", g)
	}
	if g := of(c, logs[3]); !strings.Contains(g.Note, "retired") {
		t.Errorf("the retired log: %+v", g)
	}
	d.stop()

	// Over a restart nothing of this is forgotten, nor told again.
	down := w.issue()
	w.log(logs[1], down)
	logs[1].Publish()
	again := w.watch(nil)
	again.rings(down)
	again.stop()
	told := d.about()
	for kind, n := range again.about() {
		told[kind] += n
	}
	if told["appeared"] != 1 || told["changed"] != 1 || told["final"] != 1 || told["leaving"] != 2 || len(told) != 4 {
		t.Errorf("told of the list: %v", told)
	}
	for _, i := range append(all, down) {
		rang := 0
		for _, l := range append(d.told(), again.told()...) {
			if l.rings() && l.Issuance == idOf(i) {
				rang++
			}
		}
		if rang != 1 {
			t.Errorf("%s rang %d times", idOf(i), rang)
		}
	}
}

func TestASuddenLossIsRefusedUntilSomebodyAcceptsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, toStdout)
	w.refreshing("")
	var listed []loglist.Log
	for _, l := range w.logs() {
		listed = append(listed, w.listed(l))
	}
	w.relist(listed...)
	d := w.watch(nil)
	d.ready()
	w.relist(listed[:1]...)
	d.says("refused", "it loses 3 of 4 logs at once")
	late := w.issue()
	w.everywhereAtOnce(late)
	d.rings(late)
	show := func() lists.Status {
		var out listsOutput
		w.json(&out, []int{exitQuiet}, "lists", "--json", "--state", w.path("state.db"))
		if len(out.Lists) != 1 {
			t.Fatalf("%+v", out)
		}
		return out.Lists[0]
	}
	if st := show(); !st.Acceptable || len(st.Troubles) != 1 || st.Followed != 4 {
		t.Errorf("%+v", st)
	}
	var done app.Accepted
	w.json(&done, []int{exitQuiet}, "lists", "accept", "--json", "--state", w.path("state.db"))
	if !strings.Contains(done.Text, "loses 3 of 4") {
		t.Errorf("%+v", done)
	}
	d.says("resolved", "is believed again")
	d.says("leaving", "3 logs are to be left")
	if st := show(); st.Acceptable || len(st.Troubles) != 0 || st.Followed != 1 {
		t.Errorf("%+v", st)
	}
	d.stop()
	if n := d.about(); n["refused"] != 1 || n["resolved"] != 1 {
		t.Errorf("told %v", n)
	}

	// Without a daemon it is the next one that heeds it.
	w.relist(listed...)
	d = w.watch(nil)
	d.says("returned", "3 logs are back")
	w.relist(listed[3])
	d.says("refused", "it loses 3 of 4")
	d.stop()
	out, err := w.command(nil, "lists", "--state", w.path("state.db")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "next: tocsin lists accept "+w.path("list.json")) {
		t.Errorf("%v: %s", err, out)
	}
	w.json(&done, []int{exitQuiet}, "lists", "accept", w.path("list.json"), "--json", "--state", w.path("state.db"))
	d = w.watch(nil)
	d.says("leaving", "3 logs are to be left")
	d.stop()
	if err := w.command(nil, "lists", "accept", "--state", w.path("state.db")).Run(); err == nil {
		t.Error("what does not wait was accepted")
	}
}

// site serves a list that can be spoilt.
type site struct {
	mu        sync.Mutex
	list, sig []byte
	down      bool
	asked     int
	unchanged int
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	b := s.list
	if strings.HasSuffix(r.URL.Path, ".sig") {
		b = s.sig
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(b)))
	if r.Header.Get("If-None-Match") != "" {
		s.unchanged++
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

func (s *site) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func TestASignedListIsFollowedAndAStartWithoutItUsesTheLastGoodCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(w.path("list.json"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(list)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	s := &site{list: list, sig: sig}
	srv := httptest.NewServer(s)
	defer srv.Close()
	url := srv.URL + "/list.json"
	w.refreshing(fmt.Sprintf("  list: %q\n  signature_key: %q\n", url, base64.StdEncoding.EncodeToString(spki)))
	start := func() *daemon { return w.watch(nil, "--logs", url) }

	d := start()
	d.ready()
	flipped := bytes.Clone(list)
	flipped[bytes.Index(flipped, []byte("Lab log A"))] ^= 1
	s.change(func() { s.list = flipped })
	d.says("refused", "the signature does not belong to the list and the key")
	i := w.issue()
	w.everywhereAtOnce(i)
	d.rings(i)
	s.change(func() { s.list = list })
	d.says("resolved", "is believed again")
	d.stop()

	s.change(func() { s.down = true })
	d = start()
	d.ready()
	i = w.issue()
	w.everywhereAtOnce(i)
	d.rings(i)
	if said := d.stderr.String(); !strings.Contains(said, "in force is the copy that is kept") {
		t.Errorf("the age of the list is not said: %s", said)
	}
	var out listsOutput
	w.json(&out, []int{exitQuiet}, "lists", "--json", "--state", w.path("state.db"))
	if st := out.Lists[0]; st.From != lists.FromMemory || st.Signature != "verified" || len(st.Troubles) != 1 || st.Troubles[0].Kind != lists.Unreachable {
		t.Errorf("%+v", st)
	}
	d.stop()
	s.change(func() {
		if s.unchanged == 0 {
			t.Error("the list was never asked for on condition")
		}
	})

	// A first start on a list that is spoilt has nothing to go by, and says so.
	s.change(func() { s.down, s.list = false, flipped })
	cmd := w.command(nil, "watch", "--once", "--config", w.path("tocsin.yaml"), "--state", w.path("other.db"), "--logs", url)
	said, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != exitBlind || !strings.Contains(string(said), "signature") {
		t.Errorf("%d, %v: %s", code, err, said)
	}
}

type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }

func TestWithoutNetworkAndCopyThePublicListIsTheOneInTheProgram(t *testing.T) {
	set, err := lists.Open([]lists.Source{{Name: loglist.DefaultURL, Key: loglist.DefaultKey(), Floor: loglist.Embedded()}},
		&lists.Options{Client: &http.Client{Transport: offline{}}})
	if err != nil {
		t.Fatal(err)
	}
	err = set.Refresh(context.Background())
	if err == nil {
		t.Fatal("no word of the network")
	}
	if again, fatal := (&watchCmd{}).judgeLists(set, err); again || fatal != nil {
		t.Errorf("no start: %v, %v", again, fatal)
	}
	notes := strings.Join(listNotes(set, err), "\n")
	if !strings.Contains(notes, "no network") || !strings.Contains(notes, fmt.Sprintf("embedded, %s old, with %d logs", age(set.Status()[0].Age), len(loglist.Embedded().Logs))) {
		t.Errorf("notes: %s", notes)
	}
	// Another list has no such floor: the daemon waits for it, and a single run ends.
	other, err := lists.Open([]lists.Source{{Name: "https://lists.example.com/l.json"}}, &lists.Options{Client: &http.Client{Transport: offline{}}})
	if err != nil {
		t.Fatal(err)
	}
	err = other.Refresh(context.Background())
	for _, once := range []bool{false, true} {
		if again, fatal := (&watchCmd{Once: once}).judgeLists(other, err); again == once || fatal == nil {
			t.Errorf("once %v: %v, %v", once, again, fatal)
		}
	}
	var buf bytes.Buffer
	listsText(io.MultiWriter(&buf), append(set.Status(), other.Status()...))
	for _, want := range []string{"the copy that is part of this program is in force, of 2026-08-21T00:00:00Z, ", "nothing of it is in force", "unreachable since"} {
		if !strings.Contains(buf.String(), want) {
			t.Errorf("%q is not said: %s", want, buf.String())
		}
	}
}

func TestAListOfTheCommandLineIsRememberedByItsWholePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	here := need(filepath.Abs("logs.json"))(t)
	for flag, want := range map[string]string{"logs.json": here, "./sub/../logs.json": here, here: here, loglist.DefaultURL: loglist.DefaultURL} {
		got, err := listSources(&config.Config{}, flag)
		if err != nil || len(got) != 1 || got[0].Name != want {
			t.Errorf("%s: %+v, %v; want %s", flag, got, err, want)
		}
	}
	// The key that the config has for it counts, however the flag is written.
	key := need(x509.MarshalPKIXPublicKey(loglist.DefaultKey()))(t)
	c := &config.Config{Logs: config.Logs{Lists: []config.List{{Source: here, SignatureKey: key}}}}
	if got, err := listSources(c, "logs.json"); err != nil || len(got) != 1 || got[0].Key == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := listSources(&config.Config{}, "none"); err != nil || got != nil {
		t.Errorf("none: %+v, %v", got, err)
	}
}
