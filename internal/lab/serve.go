package lab

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// ServeOptions of [Serve]. The zero value is usable: free ports, fresh keys, no list written, nothing printed.
type ServeOptions struct {
	RFC6962Addr, StaticAddr string
	// KeyFile holds the private key of log A, and of log B when it holds a second one: PEM, ECDSA P-256. Without a
	// second one the key of log B follows from the first. Empty makes fresh keys.
	KeyFile string
	// ListPath is where the log list is written once all files found at the start are logged.
	ListPath string
	// Poll is the time between two looks at the directory; 1 s by default.
	Poll time.Duration
	// Merge is as in [Options].
	Merge time.Duration
	// Out gets what people need to use the logs: addresses, public keys, the list.
	Out io.Writer
	// Logger gets what could not be read; nil drops it.
	Logger *slog.Logger
	// Ready, if set, is called once everything found at the start is logged and covered by heads.
	Ready func(*Lab)
}

// Serve logs every certificate below dir in both logs and keeps them running until ctx is done, taking up files that
// appear. Each PEM block is logged whatever its bytes are; a file without PEM is one certificate in DER; .gz files are
// unpacked. A precertificate whose issuer is among the files becomes a precertificate entry, everything else an entry
// of a certificate. The error is nil when ctx ended it.
func Serve(ctx context.Context, dir string, opts *ServeOptions) (err error) {
	o := ServeOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	if st, err := os.Stat(dir); err != nil {
		return fmt.Errorf("reading certificates: %w", err)
	} else if !st.IsDir() {
		return fmt.Errorf("reading certificates: %s is not a directory", dir)
	}
	lo := &Options{RFC6962Addr: o.RFC6962Addr, StaticAddr: o.StaticAddr, Merge: o.Merge, Logger: o.Logger}
	if o.KeyFile != "" {
		if lo.RFC6962Key, lo.StaticKey, err = readKeys(o.KeyFile); err != nil {
			return err
		}
	}
	l, err := Start(ctx, lo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	f := newFolder(dir, o.Logger)
	first, err := f.scan(true)
	if err != nil {
		return err
	}
	n := l.addAll(f, first)
	l.RFC6962.Publish()
	l.Static.Publish()
	if o.ListPath != "" {
		if err := l.WriteLogList(o.ListPath); err != nil {
			return err
		}
	}
	announce(o.Out, l, o.ListPath, n, f)
	if o.Ready != nil {
		o.Ready(l)
	}
	t := time.NewTicker(o.Poll)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		more, err := f.scan(false)
		if err != nil {
			o.Logger.Warn("reading certificates", "err", err)
			continue
		}
		if n := l.addAll(f, more); n > 0 {
			o.Logger.Info("logged", "certificates", n, "size", l.RFC6962.Size())
		}
	}
}

func announce(w io.Writer, l *Lab, list string, n int, f *folder) {
	fmt.Fprintf(w, "log A  rfc6962  http://%s%s/  key %s\n", l.RFC6962Addr, prefix, l.RFC6962.Key.Base64())
	fmt.Fprintf(w, "log B  static   http://%s%s/  key %s\n", l.StaticAddr, prefix, l.Static.Key.Base64())
	fmt.Fprintf(w, "logged %d certificates of %d files, %d files hold none\n", n, f.read, f.barren)
	if list != "" {
		fmt.Fprintf(w, "list   %s\n", list)
		fmt.Fprintf(w, "next: tocsin watch --logs %s --from start ITEM\n", list)
	}
}

// addAll appends certificates to both logs and tells how many were new.
func (l *Lab) addAll(f *folder, certs [][]byte) int {
	before := l.RFC6962.Size()
	for _, c := range certs {
		e, err := f.entry(c)
		if err != nil {
			f.logger.Warn("not logged", "err", err)
			continue
		}
		l.RFC6962.Add(e)
		l.Static.Add(e)
	}
	return int(l.RFC6962.Size() - before)
}

// readKeys reads one or two private keys from a PEM file.
func readKeys(path string) (a, b crypto.Signer, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("reading log key: %w", err)
	}
	var keys []*ecdsa.PrivateKey
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		switch block.Type {
		case "EC PRIVATE KEY":
			k, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("reading log key %s: %w", path, err)
			}
			keys = append(keys, k)
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("reading log key %s: %w", path, err)
			}
			ec, ok := k.(*ecdsa.PrivateKey)
			if !ok {
				return nil, nil, fmt.Errorf("reading log key %s: a %T, and the key of a log must be ECDSA P-256", path, k)
			}
			keys = append(keys, ec)
		}
	}
	switch len(keys) {
	case 0:
		return nil, nil, fmt.Errorf("reading log key %s: no private key in PEM", path)
	case 1:
		raw, err := keys[0].Bytes()
		if err != nil {
			return nil, nil, fmt.Errorf("reading log key %s: %w", path, err)
		}
		d := sha256.Sum256(raw)
		if b, err = ca.NewKey(ca.P256, "second log of "+hex.EncodeToString(d[:])); err != nil {
			return nil, nil, err
		}
		return keys[0], b, nil
	}
	return keys[0], keys[1], nil
}
