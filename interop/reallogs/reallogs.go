// Package reallogs runs two real Certificate Transparency logs inside the calling process: Google's CTFE over
// Trillian's memory storage (RFC 6962) and TesseraCT over Tessera's POSIX storage (static-ct-api). These are the
// request handlers, tree code and signing that production runs, not imitations; only the database below the first is
// replaced.
//
// Each log listens on a free port of 127.0.0.1 and is up in milliseconds. Its name in the log list ([Log.URL]) is a
// host that resolves nowhere: clients must dial [Log.Addr] instead, as they would with the address override
// "tocsin_dial" of [List]. The logs accept chains to the given roots only, forget everything on Close, and trust
// whoever can reach the port.
package reallogs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// Kind is the protocol by which a log is read. Submission is the same for both.
type Kind string

// The two protocols.
const (
	RFC6962 Kind = "rfc6962"
	Static  Kind = "static-ct-api"
)

// Options are the settings of a log. The zero value is ready to use.
type Options struct {
	// Name is the log's label in the host names and the description; it must be a DNS label. Default: the kind.
	Name string
	// Interval is the time between two signed heads of a growing log, and so the longest wait of a submission before
	// it can be read. Default: 20 ms for RFC 6962, 100 ms for static-ct-api; TesseraCT takes no less.
	Interval time.Duration
	// Key is the log's key; default: a new one. Two logs of one kind, name and key show a split view.
	Key *ecdsa.PrivateKey
	// From is a folder that [Log.Copy] made: the log goes on from there. Only for static-ct-api.
	From string
}

// Log is a running log. Its fields must not be changed. All methods may be called concurrently.
type Log struct {
	Kind Kind
	// Name and Description stand in the log list.
	Name, Description string
	// URL is the submission prefix, with a trailing slash: for RFC 6962 also where it is read.
	URL string
	// MonitoringURL is the prefix from which a static log is read, with a trailing slash: another host than URL.
	// Empty for RFC 6962.
	MonitoringURL string
	// Addr is the address (host:port) that serves both URLs; they resolve nowhere else.
	Addr string
	// Key signs heads and SCTs; SPKI is its public half, and ID the log's identity: the SHA-256 of SPKI.
	Key  *ecdsa.PrivateKey
	SPKI []byte
	ID   [32]byte

	client *http.Client
	server *http.Server
	dir    string
	// stop ends the backend after the last request has been answered.
	stop      func(context.Context) error
	closeOnce sync.Once
	closeErr  error
}

// Origin is the name under which a static log signs its checkpoints: the submission prefix without scheme and
// trailing slash, as static-ct-api demands.
func (l *Log) Origin() string {
	return strings.TrimSuffix(l.URL[strings.Index(l.URL, "://")+3:], "/")
}

// Folder is where a static log keeps what it publishes: the checkpoint, tiles and issuers, and its own state beside them.
func (l *Log) Folder() string { return filepath.Join(l.dir, "log") }

// Client returns the HTTP client that dials Addr whatever host a URL names.
func (l *Log) Client() *http.Client { return l.client }

// StartCTFE starts a log that is read by RFC 6962. Close must be called.
func StartCTFE(ctx context.Context, roots []*x509.Certificate, opts *Options) (*Log, error) {
	return start(ctx, RFC6962, roots, opts, 20*time.Millisecond, startTrillian)
}

// StartTesseraCT starts a log that is read by static-ct-api. Close must be called.
func StartTesseraCT(ctx context.Context, roots []*x509.Certificate, opts *Options) (*Log, error) {
	return start(ctx, Static, roots, opts, 100*time.Millisecond, startTessera)
}

// backend starts the log proper with its files below l.dir, and returns the handler for every request to l.Addr and
// what ends it.
type backend func(ctx context.Context, l *Log, rootsFile string, interval time.Duration) (http.Handler, func(context.Context) error, error)

func start(ctx context.Context, kind Kind, roots []*x509.Certificate, opts *Options, interval time.Duration, run backend) (l *Log, err error) {
	silence()
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Name == "" {
		o.Name = string(kind)
	}
	if o.Interval > 0 {
		interval = o.Interval
	}
	l = &Log{Kind: kind, Name: o.Name, Description: "Lab " + o.Name, URL: "http://" + o.Name + ".lab.example/s/"}
	if kind == Static {
		l.MonitoringURL = "http://monitor." + o.Name + ".lab.example/m/"
	}
	if l.Key = o.Key; l.Key == nil {
		if l.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, fmt.Errorf("making the key of log %s: %w", o.Name, err)
		}
	}
	if l.SPKI, err = x509.MarshalPKIXPublicKey(&l.Key.PublicKey); err != nil {
		return nil, fmt.Errorf("encoding the key of log %s: %w", o.Name, err)
	}
	l.ID = sha256.Sum256(l.SPKI)
	if l.dir, err = os.MkdirTemp("", "reallogs-"); err != nil {
		return nil, fmt.Errorf("making the folder of log %s: %w", o.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(l.dir))
		}
	}()
	if o.From != "" {
		if kind != Static {
			return nil, fmt.Errorf("starting log %s: only a static log can go on from a folder", o.Name)
		}
		if err := copyFolder(l.Folder(), o.From); err != nil {
			return nil, fmt.Errorf("starting log %s: %w", o.Name, err)
		}
	}
	rootsFile := filepath.Join(l.dir, "roots.pem")
	if err := writeRoots(rootsFile, roots); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a port for log %s: %w", o.Name, err)
	}
	l.Addr = listener.Addr().String()
	// The life of the log ends at Close, not when the context of its start does.
	handler, stop, err := run(context.WithoutCancel(ctx), l, rootsFile, interval)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting log %s: %w", o.Name, err), listener.Close())
	}
	l.stop = stop
	l.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	l.client = dialing(l.Addr)
	go func() { _ = l.server.Serve(listener) }()
	return l, nil
}

// Close gives the requests under way a second to end, breaks off the rest, stops the log and deletes its files.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.client.CloseIdleConnections()
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		// A connection that a client opened and never used counts as busy, so running out of time is no fault.
		err := l.server.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			err = l.server.Close()
		}
		ending, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		l.closeErr = errors.Join(err, l.stop(ending), os.RemoveAll(l.dir))
	})
	return l.closeErr
}

// dialing returns a client all of whose connections go to addr. It follows no redirects and asks no proxy.
func dialing(addr string) *http.Client {
	var d net.Dialer
	return &http.Client{
		Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 16,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return d.DialContext(ctx, network, addr)
			},
		},
	}
}

func writeRoots(file string, roots []*x509.Certificate) error {
	var text []byte
	for _, c := range roots {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("writing the accepted roots: %w", err)
	}
	return nil
}

// silence discards what both logs say through klog, for the whole process.
var silence = sync.OnceFunc(func() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) })
