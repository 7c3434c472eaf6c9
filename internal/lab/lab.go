// Package lab is a Certificate Transparency world on loopback: one RFC 6962 log and one static-ct-api log that can
// misbehave on demand, a way to submit to them over real HTTP, and the scenarios of the drill.
//
// The logs are correct by default. Names and addresses differ as in the world: the logs are called log-a.lab.example
// and log-b.lab.example, and the list that the lab writes says where on 127.0.0.1 to dial. Nothing leaves the machine,
// nothing is written but what the caller asks for, and nobody outside may trust the logs: their keys may follow from a
// seed.
package lab

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/rfc6962"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/internal/lab/static"
)

// The public faces of the two logs. The submission and monitoring hosts of the static log differ, as they do for most
// logs in production.
const (
	prefix        = "/2026"
	rfc6962Host   = "log-a.lab.example"
	staticHost    = "log-b.lab.example"
	monitoringFor = "mon.log-b.lab.example"
)

// Options of a lab. The zero value is usable: free ports, fresh keys, any root.
type Options struct {
	// RFC6962Addr and StaticAddr are where to listen; "127.0.0.1:0" by default.
	RFC6962Addr, StaticAddr string
	// RFC6962Key and StaticKey are the keys of the logs (ECDSA P-256); nil makes them from Seed.
	RFC6962Key, StaticKey crypto.Signer
	// Seed makes keys that are the same each time; empty makes fresh ones.
	Seed string
	// Merge is the time in which submissions appear in a head; 50 ms by default.
	Merge time.Duration
	// MaxBatch is the limit of get-entries; 1000 by default.
	MaxBatch int
	// Grease adds an unknown signature to each checkpoint.
	Grease bool
	// Roots are the accepted roots (DER); none means that any chain is taken.
	Roots [][]byte
	// Logger gets what the HTTP servers complain of; nil drops it.
	Logger *slog.Logger
}

// Lab is a running pair of logs. It is safe for concurrent use.
type Lab struct {
	RFC6962 *rfc6962.Log
	Static  *static.Log
	// RFC6962Addr and StaticAddr are the addresses on which they listen.
	RFC6962Addr, StaticAddr string

	client  *http.Client
	servers []*http.Server
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// Start runs a lab until [Lab.Close] is called or ctx is done.
func Start(ctx context.Context, opts *Options) (*Lab, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Lab{}
	var err error
	if o.RFC6962Key, err = logKey(o.RFC6962Key, o.Seed, "/log-a"); err != nil {
		return nil, err
	}
	if o.StaticKey, err = logKey(o.StaticKey, o.Seed, "/log-b"); err != nil {
		return nil, err
	}
	seq := sequence.Options{Merge: o.Merge}
	if l.RFC6962, err = rfc6962.New(o.RFC6962Key, &rfc6962.Options{Options: seq, MaxBatch: o.MaxBatch, Prefix: prefix}); err != nil {
		return nil, err
	}
	if l.Static, err = static.New(staticHost+prefix, o.StaticKey, &static.Options{Options: seq, Prefix: prefix, Grease: o.Grease}); err != nil {
		return nil, err
	}
	if l.RFC6962.Key.ID == l.Static.Key.ID {
		return nil, errors.New("both logs have the same key: a log is known by its key, so that each needs its own")
	}
	for _, r := range o.Roots {
		l.AddRoot(r)
	}
	ctx, l.stop = context.WithCancel(ctx)
	l.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute}
	if l.RFC6962Addr, err = l.serve(ctx, o.RFC6962Addr, l.RFC6962.Log, l.RFC6962.Handler(), o.Logger); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if l.StaticAddr, err = l.serve(ctx, o.StaticAddr, l.Static.Log, l.Static.Handler(), o.Logger); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	context.AfterFunc(ctx, l.shut)
	return l, nil
}

func logKey(key crypto.Signer, seed, name string) (crypto.Signer, error) {
	if key != nil {
		return key, nil
	}
	if seed != "" {
		seed += name
	}
	k, err := ca.NewKey(ca.P256, seed)
	if err != nil {
		return nil, fmt.Errorf("making key of log: %w", err)
	}
	return k, nil
}

func (l *Lab) serve(ctx context.Context, addr string, log *sequence.Log, h http.Handler, logger *slog.Logger) (string, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listening for a log of the lab: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return new(fault.Conn).Context(ctx) }}
	l.servers = append(l.servers, srv)
	l.done.Add(2)
	go func() {
		defer l.done.Done()
		_ = srv.Serve(log.Faults.Listener(ln)) // always ErrServerClosed, after shut
	}()
	go func() {
		defer l.done.Done()
		log.Run(ctx)
	}()
	return ln.Addr().String(), nil
}

// AddRoot lets both logs accept chains to one more root. The first call ends that any chain is taken.
func (l *Lab) AddRoot(der []byte) {
	l.RFC6962.Roots.Add(der)
	l.Static.Roots.Add(der)
}

func (l *Lab) shut() {
	for _, s := range l.servers {
		_ = s.Close()
	}
}

// Close stops both logs and waits for their goroutines. It may be called more than once.
func (l *Lab) Close() error {
	l.stop()
	l.shut()
	l.done.Wait()
	l.client.CloseIdleConnections()
	return nil
}
