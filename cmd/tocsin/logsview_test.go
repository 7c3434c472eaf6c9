package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/loglist"
)

// viewLog is a log that signs whatever it is asked to.
type viewLog struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	log loglist.Log
}

func newViewLog(t *testing.T, kind loglist.Kind, url string) *viewLog {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	log, err := loglist.FromKey(kind, url, "", spki, "")
	if err != nil {
		t.Fatal(err)
	}
	log.Description = "Example " + kind.String()
	return &viewLog{t, key, log}
}

// head signs a head.
func (l *viewLog) head(size uint64, root ctlog.Hash) ctlog.Head {
	h := ctlog.Head{Size: size, Root: root, Timestamp: 1_800_000_000_000 + size, Received: time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)}
	var err error
	if l.log.Kind == loglist.Static {
		h.Raw, err = ctlog.SignCheckpoint(l.key, l.log.Origin(), h)
	} else {
		h.Raw, err = ctlog.SignSTH(l.key, h)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return h
}

func (l *viewLog) view(heads ...ctlog.Head) app.LogCoverage {
	return app.LogCoverage{Name: l.log.Description, ID: base64.StdEncoding.EncodeToString(l.log.ID[:]), Kind: l.log.Kind.String(), URL: l.log.URL,
		LogView: app.LogView{Key: l.log.Key, MonitoringURL: l.log.MonitoringURL, Heads: heads}}
}

// inProcess runs tocsin within the test.
func inProcess(t *testing.T, status int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{ctx: context.Background(), stdout: &out, stderr: &errs}
	if got := p.run(args); got != status {
		t.Errorf("tocsin %s ended with %d, want %d\n%s%s", strings.Join(args, " "), got, status, &out, &errs)
	}
	return out.String() + errs.String()
}

func fileOf(t *testing.T, dir, name string, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTwoViewsOfALogAreCompared(t *testing.T) {
	t.Parallel()
	for _, kind := range []loglist.Kind{loglist.RFC6962, loglist.Static} {
		l, stranger := newViewLog(t, kind, "https://log.example.com/2027"), newViewLog(t, kind, "https://other.example.com/2027")
		h := func(size uint64) ctlog.Head { return l.head(size, ctlog.Hash{byte(size)}) }
		other := l.head(20, ctlog.Hash{99})
		forged := h(20)
		forged.Raw = stranger.head(20, ctlog.Hash{99}).Raw
		relabelled := other
		relabelled.Root = ctlog.Hash{20} // says what the other side says; what is signed counts
		noKey := l.view(h(10))
		noKey.Key = nil
		for _, row := range []struct {
			name   string
			a, b   app.LogCoverage
			status int
			result string
		}{
			{"the same head", l.view(h(20), h(10)), l.view(h(20)), exitQuiet, "same"},
			{"one is ahead, and they agree before", l.view(h(30), h(20)), l.view(h(20)), exitQuiet, "ahead"},
			{"one is ahead, nothing in common", l.view(h(30)), l.view(h(20)), exitBlind, "ahead"},
			{"two roots for the newest size", l.view(h(20)), l.view(other), exitSurprise, "split"},
			{"two roots for an older size", l.view(h(30), h(20)), l.view(h(40), other), exitSurprise, "split"},
			{"one side has seen both trees itself", l.view(h(20), other), l.view(h(30)), exitSurprise, "split"},
			{"a root that the JSON hides and the signature shows", l.view(h(20)), l.view(relabelled), exitSurprise, "split"},
			{"a head that the log did not sign", l.view(h(20)), l.view(forged), exitBlind, "unknown"},
			{"a head that the log did not sign beside one that it did", l.view(h(20)), l.view(forged, h(20)), exitQuiet, "same"},
			{"nobody knows the key", noKey, noKey, exitBlind, "unknown"},
			{"a key that is not the log's", l.view(h(20)), func() app.LogCoverage { v := stranger.view(other); v.ID = l.view().ID; return v }(), exitSurprise, "split"},
			{"different logs", l.view(h(20)), stranger.view(other), exitBlind, ""},
		} {
			t.Run(kind.String()+": "+row.name, func(t *testing.T) {
				dir := t.TempDir()
				a := fileOf(t, dir, "A.json", app.Coverage{Logs: []app.LogCoverage{row.a}})
				b := fileOf(t, dir, "B.json", app.Coverage{Logs: []app.LogCoverage{row.b}})
				for _, order := range [][]string{{a, b}, {b, a}} {
					out := inProcess(t, row.status, "logs", "compare", order[0], order[1], "--json", "--out", filepath.Join(dir, "out"))
					var r comparison
					if row.result != "" {
						if err := json.Unmarshal([]byte(out), &r); err != nil {
							t.Fatal(err, out)
						}
					}
					if r.Result != row.result {
						t.Errorf("%s, want %s: %s", r.Result, row.result, out)
					}
					if (r.Evidence != "") != (row.result == "split") {
						t.Errorf("evidence %q", r.Evidence)
					}
					if r.Evidence != "" {
						key := base64.StdEncoding.EncodeToString(l.log.Key)
						if out := inProcess(t, exitQuiet, "logs", "verify", r.Evidence, "--key", key); !strings.Contains(out, "proven, forked of Example") {
							t.Error(out)
						}
					}
				}
				text := inProcess(t, row.status, "logs", "compare", a, b, "--out", filepath.Join(dir, "out"))
				if !strings.Contains(text, "next: ") || (row.status == exitSurprise) != strings.Contains(text, "SPLIT VIEW") {
					t.Error(text)
				}
			})
		}
	}
}

// memoryTree keeps the hashes of package tlog.
type memoryTree []tlog.Hash

func (m *memoryTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = (*m)[x]
	}
	return out, nil
}

func newTree(t *testing.T, n int, salt string) *memoryTree {
	m := new(memoryTree)
	for i := range n {
		hashes, err := tlog.StoredHashes(int64(i), fmt.Appendf(nil, "%d %s", i, salt), m)
		if err != nil {
			t.Fatal(err)
		}
		*m = append(*m, hashes...)
	}
	return m
}

func (m *memoryTree) root(t *testing.T, n int) ctlog.Hash {
	h, err := tlog.TreeHash(int64(n), m)
	if err != nil {
		t.Fatal(err)
	}
	return ctlog.Hash(h)
}

func TestOnlineTheLogProvesThatOneViewIsTheBeginningOfTheOther(t *testing.T) {
	t.Parallel()
	tree, split := newTree(t, 30, ""), newTree(t, 30, "another")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _ := strconv.Atoi(r.FormValue("first"))
		second, _ := strconv.Atoi(r.FormValue("second"))
		if second > 30 {
			http.Error(w, "beyond the tree", http.StatusBadRequest)
			return
		}
		p, err := tlog.ProveTree(int64(second), int64(first), tree)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var proof []ctlog.Hash
		for _, h := range p {
			proof = append(proof, ctlog.Hash(h))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"consistency": proof})
	}))
	defer srv.Close()
	l := newViewLog(t, loglist.RFC6962, srv.URL)
	ahead := l.view(l.head(30, tree.root(t, 30)))
	for _, row := range []struct {
		name   string
		b      app.LogCoverage
		status int
		result string
	}{
		{"one tree", l.view(l.head(21, tree.root(t, 21))), exitQuiet, "consistent"},
		{"two trees", l.view(l.head(21, split.root(t, 21))), exitSurprise, "split"},
		{"a size that the log does not prove", l.view(l.head(40, ctlog.Hash{4})), exitBlind, "ahead"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			a, b := fileOf(t, dir, "A.json", app.Coverage{Logs: []app.LogCoverage{ahead}}), fileOf(t, dir, "B.json", app.Coverage{Logs: []app.LogCoverage{row.b}})
			var r comparison
			if err := json.Unmarshal([]byte(inProcess(t, row.status, "logs", "compare", "--online", "--json", "--out", dir, a, b)), &r); err != nil || r.Result != row.result {
				t.Fatalf("%+v, %v", r, err)
			}
			if row.result == "split" {
				if out := inProcess(t, exitQuiet, "logs", "verify", r.Evidence, "--key", base64.StdEncoding.EncodeToString(l.log.Key)); !strings.Contains(out, "proven") {
					t.Error(out)
				}
			}
		})
	}
}

func TestWhatIsNoViewIsRefusedWithAHint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := fileOf(t, dir, "good.json", app.Coverage{Logs: []app.LogCoverage{}})
	for _, bad := range []string{"", "[]", "no JSON", `{"kind":"fault"}`} {
		path := filepath.Join(dir, "bad.json")
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := inProcess(t, exitUsage, "logs", "compare", good, path); !strings.Contains(out, "hint: write one with: tocsin logs --json") {
			t.Error(out)
		}
	}
}

func TestEvidenceIsWrittenAndVerifiedUnderKeysOfOnesOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, stranger := newViewLog(t, loglist.Static, "https://log.example.com/2027"), newViewLog(t, loglist.Static, "https://other.example.com/2027")
	a, b := l.head(20, ctlog.Hash{1}), l.head(20, ctlog.Hash{2})
	fork := ctlog.ForkEvidence(l.log, &ctlog.ForkError{Older: a, Newer: b, Computed: b.Root}, time.Now())
	raw, err := json.Marshal(fork)
	if err != nil {
		t.Fatal(err)
	}
	held := *fork
	held.Kind, held.Text, held.Heads = ctlog.Withheld, "not served", fork.Heads[:1]
	held.From = 5
	heldRaw, err := json.Marshal(held)
	if err != nil {
		t.Fatal(err)
	}

	state := filepath.Join(dir, "state.db")
	s, err := store.Open(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	for kind, ev := range map[string][]byte{"forked": raw, "withheld": heldRaw} {
		if err := s.RecordFault(t.Context(), store.Fault{Kind: kind, LogID: l.log.ID, LogName: l.log.Name(), Text: "what it did", Evidence: ev, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	said := inProcess(t, exitQuiet, "logs", "evidence", out, "--state", state)
	if !strings.Contains(said, "next: tocsin logs verify") {
		t.Error(said)
	}
	inProcess(t, exitQuiet, "logs", "evidence", out, "--state", state) // the same files
	files, err := filepath.Glob(filepath.Join(out, "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	forked, withheld := files[0], files[1]
	if !strings.HasPrefix(filepath.Base(forked), "forked-") || !strings.HasPrefix(filepath.Base(withheld), "withheld-") {
		t.Fatal(files)
	}

	key := base64.StdEncoding.EncodeToString(l.log.Key)
	pemFile := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(pemFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: l.log.Key}), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := loglist.Marshal(&loglist.List{Logs: []loglist.Log{l.log, stranger.log}})
	if err != nil {
		t.Fatal(err)
	}
	listFile := filepath.Join(dir, "list.json")
	if err := os.WriteFile(listFile, list, 0o600); err != nil {
		t.Fatal(err)
	}
	tampered := filepath.Join(dir, "tampered.json")
	text, err := os.ReadFile(forked)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tampered, bytes.Replace(text, []byte(`\n20\n`), []byte(`\n21\n`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"a fork under the key as text", []string{forked, "--key", key}, exitQuiet, "proven"},
		{"a fork under the key in a file", []string{forked, "--key", pemFile}, exitQuiet, "proven"},
		{"a fork under the key of a list", []string{forked, "--logs", listFile}, exitQuiet, "proven"},
		{"a fork without a key", []string{forked}, exitBlind, "proves nothing about who signed"},
		{"a fork under the key of another log", []string{forked, "--key", base64.StdEncoding.EncodeToString(stranger.log.Key)}, exitSurprise, "refused"},
		{"tampered evidence", []string{tampered, "--key", key}, exitSurprise, "refused"},
		{"tampered evidence without a key", []string{tampered}, exitSurprise, "refused"},
		{"what nobody can prove", []string{withheld, "--key", key}, exitBlind, "cannot be proven to others"},
		{"several, one tampered", []string{forked, withheld, tampered, "--key", key}, exitSurprise, "refused"},
		{"no evidence at all", []string{listFile, "--key", key}, exitSurprise, "refused"},
		{"a key that is none", []string{forked, "--key", "AAAA"}, exitUsage, "is no public key"},
		{"a key that is nowhere", []string{forked, "--key", "nowhere.pem"}, exitUsage, "hint: give the key"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if out := inProcess(t, row.status, append([]string{"logs", "verify"}, row.args...)...); !strings.Contains(out, row.says) {
				t.Error(out)
			}
		})
	}
	var v verification
	if err := json.Unmarshal([]byte(inProcess(t, exitQuiet, "logs", "verify", "--json", forked, "--logs", listFile)), &v); err != nil {
		t.Fatal(err)
	}
	if v.Kind != "verification" || v.Verdict != "proven" || v.Key != "list" || v.Fault != "forked" || len(v.Heads) != 2 || v.Log != l.log.Description {
		t.Errorf("%+v", v)
	}
	if out := inProcess(t, exitQuiet, "logs", "evidence", "--state", state, "--json", out); strings.Count(out, "\n") != 2 || !strings.Contains(out, `"kind":"evidence"`) {
		t.Error(out)
	}
}

// However many there are: a log that misbehaved for a year is not forgiven its first misdeeds.
func TestAllEvidenceThatIsKeptIsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, out := filepath.Join(dir, "state.db"), filepath.Join(dir, "out")
	s, err := store.Open(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	const each = 65
	for n, l := range []*viewLog{newViewLog(t, loglist.Static, "https://a.example.com/"), newViewLog(t, loglist.RFC6962, "https://b.example.com/")} {
		for i := range each {
			a, b := l.head(uint64(20+i), ctlog.Hash{1}), l.head(uint64(20+i), ctlog.Hash{2})
			raw, err := json.Marshal(ctlog.ForkEvidence(l.log, &ctlog.ForkError{Older: a, Newer: b, Computed: b.Root}, time.Now()))
			if err != nil {
				t.Fatal(err)
			}
			f := store.Fault{Kind: "forked", LogID: l.log.ID, LogName: l.log.Name(), Text: fmt.Sprint("fork ", n, i), Evidence: raw, At: time.Now()}
			if err := s.RecordFault(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	said := inProcess(t, exitQuiet, "logs", "evidence", out, "--state", state)
	files, err := filepath.Glob(filepath.Join(out, "forked-*.json"))
	if err != nil || len(files) != 2*each || strings.Count(said, "\n") != 2*each+1 {
		t.Errorf("%d files for %d faults, %v", len(files), 2*each, err)
	}
	sizes := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := ctlog.ReadEvidence(b)
		if err != nil {
			t.Fatal(err)
		}
		sizes[fmt.Sprint(ev.Log.Name, ev.From)] = true
	}
	if len(sizes) != 2*each {
		t.Errorf("%d different faults were written, want %d", len(sizes), 2*each)
	}
}

// The whole way: a log of the lab forks under a running daemon, and somebody who was not there convicts it.
func TestALogThatForkedIsConvictedByOthers(t *testing.T) {
	t.Parallel()
	for n, who := range []string{"an RFC 6962 log", "a static log"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, toStdout, toExec)
			liar := w.logs()[n]
			d := w.watch(nil, "--from", "start")
			w.log(liar, w.issue())
			w.settled()
			views := []string{w.path("A.json"), w.path("B.json")}
			save := func(path string) {
				var cov json.RawMessage
				w.json(&cov, []int{exitQuiet, exitBlind}, "logs", "--json", "--state", w.path("state.db"))
				if err := os.WriteFile(path, cov, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			save(views[0])
			liar.Faults.Set(fault.Faults{WrongRoot: true})
			d.await("the fault", func(l *told) bool { return l.Kind == "fault" && l.Fault.Kind == "forked" })
			save(views[1])
			inProcess(t, exitQuiet, "logs", "evidence", w.path("running"), "--state", w.path("state.db"))
			if files, err := filepath.Glob(w.path("running/forked-*.json")); err != nil || len(files) != 1 {
				t.Errorf("with the daemon: %v, %v", files, err)
			}
			d.stop()

			list := w.path("list.json")
			out := inProcess(t, exitQuiet, "logs", "evidence", w.path("out"), "--state", w.path("state.db"))
			files, err := filepath.Glob(w.path("out/forked-*.json"))
			if err != nil || len(files) != 1 {
				t.Fatalf("%v, %v\n%s", files, err, out)
			}
			if out := inProcess(t, exitQuiet, "logs", "verify", files[0], "--logs", list); !strings.Contains(out, "proven, forked") {
				t.Error(out)
			}
			if out := inProcess(t, exitQuiet, "logs", "compare", views[0], views[1], "--logs", list, "--out", w.dir); !strings.Contains(out, "no split view") {
				t.Error(out) // the verified heads of one instance agree, whatever else it was shown
			}
		})
	}
}
