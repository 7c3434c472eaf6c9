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
	cov, err := app.AskCoverage(p.ctx, state)
	if err != nil {
		return err
	}
	n := 0
	for _, f := range cov.Faults {
		doc, err := json.Marshal(map[string]any{"kind": f.Kind, "evidence": f.Evidence})
		if err != nil {
			return fmt.Errorf("writing evidence: %w", err)
		}
		ev, err := ctlog.ReadEvidence(doc)
		if err != nil { // kept without any
			fmt.Fprintf(p.stderr, "tocsin: %s of %s has no evidence that can be written: %s\n", f.Kind, notify.Safe(f.Log, 100), notify.Safe(f.Text, 300))
			continue
		}
		if ev.Text == "" {
			ev.Text, ev.At = f.Text, f.First
		}
		file, err := writeEvidence(c.Dir, ev)
		if err != nil {
			return err
		}
		n++
		if c.JSON {
			if err := json.NewEncoder(p.stdout).Encode(written{"evidence", file, f.Kind, f.Log, f.Text}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(p.stdout, "%s: %s of %s: %s\n", notify.Safe(file, 500), f.Kind, notify.Safe(f.Log, 100), notify.Safe(f.Text, 500))
	}
	if !c.JSON {
		if n == 0 {
			fmt.Fprintln(p.stdout, "no evidence is kept: no log was found at fault")
		} else {
			fmt.Fprintln(p.stdout, "next: tocsin logs verify FILE --logs LIST")
		}
	}
	return nil
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
