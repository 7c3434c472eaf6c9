package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/loglist"
)

// logsVerifyCmd verifies evidence files. It asks nobody: what they prove stands in them.
type logsVerifyCmd struct {
	Files []string `arg:"" name:"FILE" type:"existingfile" help:"Evidence files."`
	Key   []string `help:"Public key of the log, from a source of your own: base64 as in log lists, or a PEM file." placeholder:"KEY" sep:"none"`
	Logs  string   `help:"Log list (a file or https URL) that has the keys of the logs." placeholder:"LIST"`
	JSON  bool     `help:"Print one JSON object per file."`
}

// verification is the result for one file.
type verification struct {
	Kind  string `json:"kind"` // "verification"
	File  string `json:"file"`
	Fault string `json:"fault"`
	Log   string `json:"log"`
	LogID string `json:"log_id"`
	// Key says where the key came from: "given", "list", or "file" when only the evidence itself names it.
	Key string `json:"key"`
	// Verdict is "proven", "shown", "nothing", or "refused" when the evidence does not hold.
	Verdict string       `json:"verdict"`
	Text    string       `json:"text"`
	Heads   []ctlog.Head `json:"heads"`
}

const refused = "refused"

func (c *logsVerifyCmd) Run(p *process) error {
	keys, err := openKeyring(p.ctx, c.Key, c.Logs)
	if err != nil {
		return err
	}
	code := exitQuiet
	for _, file := range c.Files {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading evidence: %w", err)
		}
		v := verify(b, keys)
		v.File = file
		if c.JSON {
			if err := json.NewEncoder(p.stdout).Encode(v); err != nil {
				return err
			}
		} else {
			verificationText(p.stdout, &v)
		}
		switch {
		case v.Verdict == refused:
			code = exitSurprise
		case (v.Verdict != string(ctlog.Proven) || v.Key == "file") && code == exitQuiet:
			code = exitBlind
		}
	}
	if code != exitQuiet {
		return exitError(code)
	}
	return nil
}

// verify checks one document under the verifier's keys.
func verify(b []byte, keys *keyring) verification {
	v := verification{Kind: "verification", Verdict: refused, Heads: []ctlog.Head{}}
	ev, err := ctlog.ReadEvidence(b)
	if err != nil {
		v.Text = err.Error()
		return v
	}
	id := sha256.Sum256(ev.Key)
	v.Fault, v.Log, v.LogID = notify.Safe(ev.Kind, 50), notify.Safe(ev.Log.Name, 200), base64.StdEncoding.EncodeToString(id[:])
	var log loglist.Log
	key, given := keys.keys[id]
	listed, ok := keys.logs[id]
	switch {
	case ok:
		v.Key, log = "list", listed
		v.Log = listed.Name()
	case given:
		v.Key = "given"
		log, err = ev.LogFor(key)
	case !keys.empty():
		v.Key, v.Verdict = "file", string(ctlog.Nothing)
		if len(keys.keys) > 0 {
			v.Verdict = refused
		}
		v.Text = "The evidence is about a log whose key is not among yours."
		return v
	default:
		v.Key = "file"
		log, err = ev.LogFor(ev.Key)
	}
	var f ctlog.Finding
	if err == nil {
		f, err = ev.Verify(log)
	}
	if err != nil {
		v.Text = err.Error()
		return v
	}
	v.Verdict, v.Text, v.Heads = string(f.Verdict), f.Text, append(v.Heads, f.Heads...)
	if v.Key == "file" {
		v.Text += " But the key is the one that the evidence itself names: this proves nothing about who signed."
	}
	return v
}

func verificationText(w io.Writer, v *verification) {
	fmt.Fprintf(w, "%s: %s", notify.Safe(v.File, 300), v.Verdict)
	if v.Fault != "" {
		fmt.Fprintf(w, ", %s of %s (log id %s)", v.Fault, notify.Safe(v.Log, 200), v.LogID)
	}
	fmt.Fprintf(w, "\n  %s\n", notify.Safe(v.Text, 2000))
	for _, h := range v.Heads {
		fmt.Fprintf(w, "  head of size %d, root %s, %s: signed", h.Size, h.Root, h.Time().Format(time.RFC3339))
		if !h.Received.IsZero() {
			fmt.Fprintf(w, "; said to have come %s", h.Received.UTC().Format(time.RFC3339))
		}
		fmt.Fprintln(w)
	}
	switch {
	case v.Key == "file" && v.Verdict != refused:
		fmt.Fprintln(w, "next: give the log's key from a source that you trust, with --key or --logs")
	case v.Verdict == string(ctlog.Shown) || v.Verdict == string(ctlog.Nothing):
		fmt.Fprintln(w, "next: ask the log yourself, as the text says")
	}
}
