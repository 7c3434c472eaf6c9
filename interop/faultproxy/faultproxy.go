// Package faultproxy stands before a real log and spoils some of its answers, as bad networks, bad caches, overloaded
// servers and lying logs do.
//
// Which answers are spoiled follows from the seed, the request and how often that request came, and from nothing else:
// not from the time, nor from the order in which requests of different addresses arrive. Submissions are passed on as
// they are. The proxy trusts the log behind it and whoever can reach its port.
package faultproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// answerLimit bounds an answer of the log, which is held in memory.
const answerLimit = 64 << 20

// Proxy is a running proxy. All methods may be called concurrently.
type Proxy struct {
	// Addr is the address (host:port) to dial in place of the log's.
	Addr string

	seed   uint64
	server *http.Server
	back   *http.Transport

	mu       sync.Mutex
	upstream string
	faults   []Fault
	asked    map[string]int          // how often each address was asked for
	spoiled  map[Kind]int            // answers spoiled, by kind
	each     map[Kind]map[string]int // by kind and address
	heads    map[string][]answer     // the different heads that the log gave, by host; bounded by maxHeads
}

// maxHeads bounds the old heads that are kept for [Stale].
const maxHeads = 64

// Start puts a proxy before the log at the address. It spoils nothing until [Proxy.Set]. Close must be called.
func Start(ctx context.Context, upstream string, seed uint64) (*Proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a port for the proxy: %w", err)
	}
	p := &Proxy{
		Addr: listener.Addr().String(), seed: seed, upstream: upstream, asked: map[string]int{},
		spoiled: map[Kind]int{}, each: map[Kind]map[string]int{}, heads: map[string][]answer{},
	}
	var d net.Dialer
	p.back = &http.Transport{
		DisableCompression:  true,
		MaxIdleConnsPerHost: 16,
		// The host in the URL is the address to dial; what the log is asked for is in the Host header.
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Close breaks off what is under way.
func (p *Proxy) Close() error {
	err := p.server.Close()
	p.back.CloseIdleConnections()
	return err
}

// Set replaces the faults; none means an honest proxy. The counts of what was asked and spoiled go on.
func (p *Proxy) Set(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
}

// To passes requests on to another address from now on: to the other instance of a split view, or to a log that was
// restarted. Old heads are kept.
func (p *Proxy) To(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
}

// Spoiled is how many answers were spoiled by faults of the kind.
func (p *Proxy) Spoiled(kind Kind) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spoiled[kind]
}

// Asked is how many requests came, without submissions.
func (p *Proxy) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, k := range p.asked {
		n += k
	}
	return n
}

// answer is an answer of the log, on its way.
type answer struct {
	status int
	header http.Header
	body   []byte
	send   sending
}

// sending is how the body goes out.
type sending int

const (
	whole       sending = iota
	cutMeasured         // announces the whole length, then breaks off
	cutChunked          // announces no length, then breaks off
	dripping            // in small pieces
	hangingUp           // no answer at all
)

// ServeHTTP passes the request on and spoils the answer.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := p.ask(r)
	if err != nil {
		http.Error(w, "the log behind the proxy: "+err.Error(), http.StatusBadGateway)
		return
	}
	if r.Method == http.MethodGet {
		a = p.spoil(r, a)
	}
	a.write(w)
}

func (p *Proxy) ask(r *http.Request) (a answer, err error) {
	p.mu.Lock()
	upstream := p.upstream
	p.mu.Unlock()
	req := r.Clone(r.Context())
	req.RequestURI, req.URL.Scheme, req.URL.Host = "", "http", upstream
	if req.Host == "" {
		req.Host = r.Host
	}
	resp, err := p.back.RoundTrip(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err == nil && len(body) > answerLimit {
		err = errors.New("the answer is too large")
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}, err
}

func (a *answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		if name != "Content-Length" && name != "Date" {
			w.Header()[name] = values
		}
	}
	if a.send != cutChunked && a.send != hangingUp {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	control := http.NewResponseController(w)
	switch a.send {
	case whole:
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
	case cutMeasured, cutChunked:
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = control.Flush()
		panic(http.ErrAbortHandler)
	case dripping:
		w.WriteHeader(a.status)
		for piece := max(1, len(a.body)/20); len(a.body) > 0; a.body = a.body[min(piece, len(a.body)):] {
			_, _ = w.Write(a.body[:min(piece, len(a.body))])
			if control.Flush() != nil {
				return // the client has gone
			}
			time.Sleep(5 * time.Millisecond)
		}
	case hangingUp:
		panic(http.ErrAbortHandler)
	}
}

// keepHead remembers a head as the log gives it. The caller holds the lock.
func (p *Proxy) keepHead(host string, a answer) {
	kept := p.heads[host]
	if k := len(kept); k > 0 && bytes.Equal(kept[k-1].body, a.body) || k == maxHeads {
		return
	}
	p.heads[host] = append(kept, answer{status: a.status, header: a.header.Clone(), body: a.body})
}
