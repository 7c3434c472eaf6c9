package interop_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// coverage is what `tocsin logs --json` says, as far as these tests look at it.
type coverage struct {
	Logs   []loggedLog `json:"logs"`
	Faults []toldFault `json:"faults"`
	SCTs   promises    `json:"scts"`
}

// promises counts those of logs that were met in certificates.
type promises struct {
	Queued, Overdue, Reported, Proven, Unaudited, Invalid int
}

type loggedLog struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Verified uint64 `json:"verified"`
	Head     uint64 `json:"head"`
}

type toldFault struct {
	Kind     string          `json:"kind"`
	Log      string          `json:"log"`
	Text     string          `json:"text"`
	Evidence json.RawMessage `json:"evidence"`
}

// coverage asks the running daemon, or reads what the last one stored. raw is the whole answer.
func (p *tocsin) coverage(t *testing.T) (c coverage, raw []byte) {
	t.Helper()
	cmd := exec.CommandContext(soon(t), p.binary, "logs", "--state", p.state, "--json")
	cmd.Dir = filepath.Dir(p.state) // no config of somebody else's
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	// Exit status 3 says that something is not seen now, which is for the caller to judge.
	if err != nil && cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("tocsin logs: %v\n%s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatalf("tocsin logs: %v\n%s", err, raw)
	}
	return c, raw
}

// verified says whether all logs are read to what they hold.
func (w *world) verified() bool {
	w.t.Helper()
	c, _ := w.tocsin.coverage(w.t)
	for _, l := range w.logs {
		size, err := l.Size(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		read := false
		for _, s := range c.Logs {
			read = read || s.Name == l.Description && s.Verified == size
		}
		if !read {
			return false
		}
	}
	return true
}

// writeFile writes a file of this test's own.
func writeFile(t testing.TB, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
