package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// logsEvidenceCmd writes the evidence that is kept into files, for others.
type logsEvidenceCmd struct {
	Dir    string `arg:"" optional:"" name:"DIR" type:"path" default:"." help:"Where to write the files."`
	Config string `short:"c" type:"path" help:"Config file, for the place of the state file."`
	State  string `type:"path" help:"State file."`
	JSON   bool   `help:"Print one JSON object per file."`
}

// written is one evidence file.
type written struct {
	Kind  string `json:"kind"` // "evidence"
	File  string `json:"file"`
	Fault string `json:"fault"`
	Log   string `json:"log"`
	Text  string `json:"text"`
}

func (c *logsEvidenceCmd) Run(p *process) error {
	cfg, err := configForState(c.Config)
	if err != nil {
		return err
	}
	state, err := statePath(c.State, cfg)
	if err != nil {
		return err
	}
	n := 0
	err = app.EachFault(p.ctx, state, func(f *app.FaultCount) error {
		ok, err := c.write(p, f)
		if ok {
			n++
		}
		return err
	})
	if err != nil || c.JSON {
		return err
	}
	if n == 0 {
		fmt.Fprintln(p.stdout, "no evidence is kept: no log was found at fault")
	} else {
		fmt.Fprintln(p.stdout, "next: tocsin logs verify FILE --logs LIST")
	}
	return nil
}

// write writes the evidence of one fault. Ok is false when it was kept without any.
func (c *logsEvidenceCmd) write(p *process, f *app.FaultCount) (ok bool, err error) {
	doc, err := json.Marshal(map[string]any{"kind": f.Kind, "evidence": f.Evidence})
	if err != nil {
		return false, fmt.Errorf("writing evidence: %w", err)
	}
	ev, err := ctlog.ReadEvidence(doc)
	if err != nil {
		fmt.Fprintf(p.stderr, "tocsin: %s of %s has no evidence that can be written: %s\n", f.Kind, notify.Safe(f.Log, 100), notify.Safe(f.Text, 300))
		return false, nil
	}
	if ev.Text == "" {
		ev.Text, ev.At = f.Text, f.First
	}
	file, err := writeEvidence(c.Dir, ev)
	if err != nil {
		return false, err
	}
	if c.JSON {
		return true, json.NewEncoder(p.stdout).Encode(written{"evidence", file, f.Kind, f.Log, f.Text})
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s of %s: %s\n", notify.Safe(file, 500), f.Kind, notify.Safe(f.Log, 100), notify.Safe(f.Text, 500))
	return true, err
}

// writeEvidence writes a document into a file that is named after it. The same evidence gives the same file.
func writeEvidence(dir string, ev *ctlog.Evidence) (file string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("writing evidence: %w", err)
	}
	b, err := json.MarshalIndent(ev, "", " ")
	if err != nil {
		return "", fmt.Errorf("writing evidence: %w", err)
	}
	id, digest := sha256.Sum256(ev.Key), sha256.Sum256(b)
	kind := ev.Kind
	if strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz-") != "" || len(kind) > 40 {
		kind = "fault" // what stands in a file name must be harmless
	}
	file = filepath.Join(dir, fmt.Sprintf("%s-%s-%s.json", kind, hex.EncodeToString(id[:4]), hex.EncodeToString(digest[:4])))
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("writing evidence: %w", err)
	}
	return file, nil
}
