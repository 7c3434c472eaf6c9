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
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

// ServeOptions of [Serve]. The zero value is usable: free ports, fresh keys, no list written, nothing printed.
type ServeOptions struct {
	RFC6962Addr, StaticAddr string
	// KeyFile holds the private key of log A, and of log B when it holds a second one: PEM, ECDSA P-256. Without a
	// second one the key of log B follows from the first. Empty makes fresh keys.
	KeyFile string
	// ListPath is where the log list is written once all files found at the start are logged.
	ListPath string
	// Faults are what the logs do wrong: "LOG:FAULT[=VALUE][+FAULT…][@FROM[-UNTIL]]" with the log "log-a" or "log-b" and
	// faults of [fault.Options], or "LOG:random@FROM-UNTIL" for a schedule that follows from Seed. Times count from when
	// the logs are ready; the list is written anew when a fault changes it.
	Faults []string
	Seed   uint64
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
	a, b, err := schedules(o.Faults, o.Seed)
	if err != nil {
		return err
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
	for name, s := range map[string]fault.Schedule{logA: a, logB: b} {
		for _, step := range s {
			fmt.Fprintf(o.Out, "faults %s:%s\n", name, step)
		}
	}
	var side sync.WaitGroup
	defer side.Wait()
	misbehave, heal := context.WithCancel(ctx)
	defer heal()
	side.Go(func() { l.misbehave(misbehave, a, &l.RFC6962.Faults, &o) })
	side.Go(func() { l.misbehave(misbehave, b, &l.Static.Faults, &o) })
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

// The names of the logs in specifications of faults.
const logA, logB = "log-a", "log-b"

// schedules reads specifications of faults.
func schedules(specs []string, seed uint64) (a, b fault.Schedule, err error) {
	for _, spec := range specs {
		name, text, ok := strings.Cut(spec, ":")
		to, kind, n := &a, "rfc6962", uint64(1)
		switch {
		case !ok || name != logA && name != logB:
			return nil, nil, fmt.Errorf("faults %q do not begin with the name of a log and a colon: %s or %s", spec, logA, logB)
		case name == logB:
			to, kind, n = &b, "static", 2
		}
		random := strings.HasPrefix(text, "random@")
		if random { // the times are read as those of any fault
			text = "down@" + strings.TrimPrefix(text, "random@")
		}
		step, err := fault.ParseStep(text)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case random && step.Until == 0:
			return nil, nil, fmt.Errorf("faults %q: a random schedule needs an end, as random@0s-10m", spec)
		case random:
			*to = append(*to, fault.Random(rand.New(rand.NewPCG(seed, n)), kind, step.At, step.Until)...)
		default:
			*to = append(*to, step)
		}
	}
	return a, b, nil
}

// misbehave runs a schedule and keeps the list as the faults say.
func (l *Lab) misbehave(ctx context.Context, s fault.Schedule, sw *fault.Switch, o *ServeOptions) {
	listed := sw.Get().Listed
	s.Run(ctx, sw, func() {
		f := sw.Get()
		o.Logger.Info("faults changed", "faults", fmt.Sprintf("%+v", f))
		if f.Listed == listed || o.ListPath == "" {
			return
		}
		listed = f.Listed
		if err := l.WriteLogList(o.ListPath); err != nil {
			o.Logger.Error("the log list is not as the faults say", "err", err)
		}
	})
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
