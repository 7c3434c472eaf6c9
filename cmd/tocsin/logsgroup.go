package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/loglist"
)

// logsGroup is what can be asked about logs. Without a further word it shows coverage.
type logsGroup struct {
	Show     logsCmd         `cmd:"" default:"withargs" help:"Show what is seen of each log, and what is not (also without the word show)."`
	Verify   logsVerifyCmd   `cmd:"" help:"Verify evidence against a log, offline, under keys of your own."`
	Compare  logsCompareCmd  `cmd:"" help:"Compare what two instances saw of the logs: two outputs of logs --json."`
	Evidence logsEvidenceCmd `cmd:"" help:"Write the evidence of faults into files."`
}

// keyring holds the keys by which logs are known to whoever verifies.
type keyring struct {
	logs map[[32]byte]loglist.Log // of a list, complete
	keys map[[32]byte][]byte      // keys alone
}

// openKeyring reads keys (base64 or PEM files) and a log list; each may be absent.
func openKeyring(ctx context.Context, keys []string, list string) (*keyring, error) {
	k := &keyring{logs: map[[32]byte]loglist.Log{}, keys: map[[32]byte][]byte{}}
	for _, text := range keys {
		der, err := readLogKey(text)
		if err != nil {
			return nil, err
		}
		k.keys[sha256.Sum256(der)] = der
	}
	if list != "" {
		l, err := loglist.Load(ctx, list, &http.Client{Timeout: time.Minute})
		if err != nil {
			return nil, &hintError{err: err, hint: "give a log list as a file or an https URL", code: exitUsage}
		}
		for _, g := range l.Logs {
			k.logs[g.ID] = g
		}
	}
	return k, nil
}

func (k *keyring) empty() bool { return len(k.logs) == 0 && len(k.keys) == 0 }

// readLogKey reads the public key of a log: base64 of its DER, as lists have it, or a PEM file.
func readLogKey(text string) ([]byte, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		b, ferr := os.ReadFile(text)
		if ferr != nil {
			return nil, &hintError{err: fmt.Errorf("%.100q is neither base64 nor a file that can be read", text), code: exitUsage,
				hint: `give the key of the log as lists have it ("key"), or a PEM file`}
		}
		block, _ := pem.Decode(b)
		switch {
		case block != nil:
			der = block.Bytes
		default:
			if der, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(bytes.TrimSpace(b)))); err != nil {
				der = b
			}
		}
	}
	if _, err := x509.ParsePKIXPublicKey(der); err != nil {
		return nil, &hintError{err: errors.Join(fmt.Errorf("%.100q is no public key", text)), hint: "a log's key is a SubjectPublicKeyInfo", code: exitUsage}
	}
	return der, nil
}

// viewText shows what a log is like, and who cosigned its newest head.
func viewText(w io.Writer, v *app.LogView) {
	for _, c := range v.Conditions {
		fmt.Fprintf(w, "    %s since %s: %s\n", c.Kind, c.Since.UTC().Format(time.RFC3339), notify.Safe(c.Text, 300))
	}
	c := v.Cosigned
	if len(c.By) == 0 && len(c.Bad) == 0 && c.Unknown == 0 {
		return
	}
	var by []string
	for _, k := range c.By {
		by = append(by, notify.Safe(k.Name, 100))
	}
	fmt.Fprintf(w, "    cosignatures on the head: %d of known witnesses", len(by))
	if len(by) > 0 {
		fmt.Fprintf(w, " (%s)", strings.Join(by, ", "))
	}
	fmt.Fprintf(w, ", %d of unknown ones", c.Unknown)
	for _, name := range c.Bad {
		fmt.Fprintf(w, "; the cosignature of %s does not verify", notify.Safe(name, 100))
	}
	fmt.Fprintln(w)
}

// witnesses reads the verifier keys of the config.
func witnesses(c *config.Config) (out []ctlog.Witness, err error) {
	for _, w := range c.Witnesses {
		known, err := ctlog.ParseWitness(w.VerifierKey)
		if err != nil {
			return nil, &hintError{err: fmt.Errorf("%s: %w", w.Place, err), hint: "copy the verifier key as the witness publishes it", code: exitUsage}
		}
		out = append(out, known)
	}
	return out, nil
}
