package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/loglist"
)

// patience bounds each wait of these tests. Nothing is asserted about how long a wait takes.
const patience = 90 * time.Second

// appendID makes the test binary a receiver: called as "appendID FILE" it appends the alarm id and the kind of the
// message to the file. An exec receiver passes no environment on, so that TestMain cannot be told.
const appendID = "tocsin-test-append-id"

func init() {
	if len(os.Args) != 3 || os.Args[1] != appendID {
		return
	}
	f, err := os.OpenFile(os.Args[2], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%s %s\n", os.Getenv("TOCSIN_ALARM_ID"), os.Getenv("TOCSIN_KIND"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		syscall.Exit(1)
	}
	syscall.Exit(0) // os.Exit would wait a second under the race detector
}

// world is a lab, a CA that nobody chose, a config that guards example.com and 192.0.2.0/24, and a state file.
type world struct {
	t      testing.TB
	dir    string
	labs   []*lab.Lab
	ca     *ca.Authority
	poll   time.Duration
	under  []string // a program that runs tocsin, with its arguments
	issued int
}

// receivers of a world: standard output, or a program that appends to [world.told], or both.
const (
	toStdout = "screen"
	toExec   = "program"
)

// newWorld starts n labs, whose logs stand in one list, and writes the config with these receivers.
func newWorld(t testing.TB, n int, receivers ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), poll: 50 * time.Millisecond}
	for range n {
		l, err := lab.Start(t.Context(), &lab.Options{Merge: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		w.labs = append(w.labs, l)
	}
	root, err := ca.NewRoot("Unchosen Root CA", &ca.Options{Org: "Unchosen Trust"})
	if err == nil {
		w.ca, err = root.NewIntermediate("Unchosen CA 1", &ca.Options{Org: "Unchosen Trust"})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.writeList(0)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	conf := "watch:\n  - name: edge\n    names: [example.com]\n    networks: [192.0.2.0/24]\n    surprise: alarm\nreceivers:\n"
	for _, r := range receivers {
		switch r {
		case toStdout:
			conf += fmt.Sprintf("  - {name: %s, stdout: {json: true}}\n", r)
		case toExec:
			conf += fmt.Sprintf("  - {name: %s, exec: {command: [%q, %q, %q]}}\n", r, program, appendID, w.path("told"))
		}
	}
	w.write("tocsin.yaml", []byte(conf))
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name string, b []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), b, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// writeList writes one list of the logs of all labs. mmd replaces their maximum merge delay unless it is 0.
func (w *world) writeList(mmd time.Duration) {
	w.t.Helper()
	var all map[string]any
	for n, l := range w.labs {
		b, err := l.LogList()
		if err != nil {
			w.t.Fatal(err)
		}
		var one map[string]any
		if err := json.Unmarshal(b, &one); err != nil {
			w.t.Fatal(err)
		}
		for _, o := range one["operators"].([]any) {
			for _, kind := range []string{"logs", "tiled_logs"} {
				for _, l := range o.(map[string]any)[kind].([]any) {
					l := l.(map[string]any)
					if n > 0 {
						l["description"] = fmt.Sprintf("%s%d", l["description"], n+1)
					}
					if mmd > 0 {
						l["mmd"] = mmd.Seconds()
					}
				}
			}
		}
		if all == nil {
			all = one
		} else {
			all["operators"] = append(all["operators"].([]any), one["operators"].([]any)...)
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("list.json", b)
}

// logs are the logs of all labs.
func (w *world) logs() (out []*sequence.Log) {
	for _, l := range w.labs {
		out = append(out, l.RFC6962.Log, l.Static.Log)
	}
	return out
}

// listed is a log as the list has it.
func (w *world) listed(l *sequence.Log) loglist.Log {
	w.t.Helper()
	list, err := loglist.Load(w.t.Context(), w.path("list.json"), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, g := range list.Followed() {
		if g.ID == l.Key.ID {
			return g
		}
	}
	w.t.Fatal("a log of the lab is not in its list")
	return loglist.Log{}
}

// issue makes a certificate that nobody ordered; with no names it is for the next host of example.com and address.
func (w *world) issue(names ...string) *ca.Issued {
	w.t.Helper()
	l := ca.Leaf{DNS: names}
	if w.issued++; len(names) == 0 {
		l.DNS = []string{fmt.Sprintf("host%d.example.com", w.issued)}
		l.IPs = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(w.issued)})}
	}
	i, err := w.ca.Issue(l)
	if err == nil {
		_, err = i.Finish(nil) // the same issuance with SCTs and without
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

// log puts precertificates into a log directly, whatever its faults.
func (w *world) log(l *sequence.Log, all ...*ca.Issued) {
	w.t.Helper()
	for _, i := range all {
		if _, err := l.Submit(append([][]byte{i.Precert}, i.Chain...), true); err != nil {
			w.t.Fatal(err)
		}
	}
}

// fill adds n entries that touch nothing.
func (w *world) fill(l *sequence.Log, n int) {
	w.t.Helper()
	for from := l.Size(); from+uint64(n) > l.Size(); {
		e, err := entry.Raw(fmt.Appendf(nil, "no certificate, entry %d", l.Size()), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		l.Add(e)
	}
	l.Publish()
}

// play submits over HTTP.
func (w *world) play(s lab.Submission) {
	w.t.Helper()
	if _, err := w.labs[0].Play(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
}

// idOf is the id of an issuance as documents have it.
func idOf(i *ca.Issued) string { return cert.Identity(i.TBS, i.IssuerKeyHash()).String() }

// coverage asks a running daemon, or the state file.
func (w *world) coverage() (*app.Coverage, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	return app.AskCoverage(ctx, w.path("state.db"))
}

// of is the coverage of one log.
func of(c *app.Coverage, l *sequence.Log) app.LogCoverage {
	id := base64.StdEncoding.EncodeToString(l.Key.ID[:])
	for _, g := range c.Logs {
		if g.ID == id {
			return g
		}
	}
	return app.LogCoverage{}
}

// until asks the daemon again and again until its coverage is as wanted.
func (w *world) until(what string, wanted func(*app.Coverage) bool) *app.Coverage {
	w.t.Helper()
	for end := time.Now().Add(patience); ; {
		c, err := w.coverage() // at the very start there is nothing to ask
		if err == nil && wanted(c) {
			return c
		}
		if time.Now().After(end) {
			b, _ := json.MarshalIndent(c, "", "  ")
			w.t.Fatalf("%s: not within %v, but: %v %s", what, patience, err, b)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// settled waits until a running daemon has read and verified all of the logs, and decided and told all that it filed.
func (w *world) settled() *app.Coverage {
	w.t.Helper()
	return w.until("all read, decided and told", func(c *app.Coverage) bool {
		if c.Ledger.Undecided > 0 || c.PID == 0 {
			return false
		}
		for _, n := range c.Ledger.Waiting {
			if n > 0 {
				return false
			}
		}
		for _, l := range w.logs() {
			if g := of(c, l); g.Verified != l.Size() || g.Position != l.Size() || g.Owed != 0 {
				return false
			}
		}
		return true
	})
}

// json calls the program and decodes what it prints; the exit status must be one of those wanted.
func (w *world) json(into any, wanted []int, args ...string) {
	w.t.Helper()
	cmd := w.command(nil, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); !slices.Contains(wanted, code) {
		w.t.Fatalf("tocsin %s: %v, and it said: %s", strings.Join(args, " "), err, stderr.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		w.t.Fatalf("tocsin %s: %v in %s", strings.Join(args, " "), err, out)
	}
}

// explain calls the program to explain an issuance.
func (w *world) explain(i *ca.Issued) *app.Explanation {
	w.t.Helper()
	var x app.Explanation
	w.json(&x, []int{exitQuiet}, "explain", "--json", "--state", w.path("state.db"), idOf(i))
	return &x
}

// programTold lists what the exec receiver was told: ids of alarms in order.
func (w *world) programTold() (ids []string) {
	w.t.Helper()
	b, err := os.ReadFile(w.path("told"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		id, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "alarm" || len(id) < 16 {
			w.t.Errorf("the program was told %q", line)
		}
		ids = append(ids, id)
	}
	return ids
}
