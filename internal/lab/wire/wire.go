// Package wire is HTTP without a network: a transport whose requests go straight to a handler, so that time may be
// synthetic. Bodies stream, a handler that gives up looks like a connection that was reset, and what a client breaks
// off ends the handler's context, as with [http.Server].
package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

// Transport brings requests to a handler. All of them share a connection until one is reset. It is safe for concurrent
// use.
type Transport struct {
	h    http.Handler
	mu   sync.Mutex
	conn *fault.Conn
}

// New returns a transport to a handler.
func New(h http.Handler) *Transport { return &Transport{h: h, conn: new(fault.Conn)} }

func (t *Transport) connection() *fault.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.conn
}

func (t *Transport) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn = new(fault.Conn)
}

// RoundTrip is that of [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(t.connection().Context(r.Context()))
	pr, pw := io.Pipe()
	w := &writer{header: http.Header{}, pw: pw, ready: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = pw.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		err := t.serve(w, r.Clone(ctx))
		if err == nil && ctx.Err() != nil { // who has left gets no proper end
			err = context.Cause(ctx)
		}
		w.end(err)
	}()
	select {
	case <-w.ready:
	case <-ctx.Done():
		cancel()
		return nil, ctx.Err()
	}
	if w.code == 0 {
		cancel()
		return nil, fmt.Errorf("reading answer: %w", syscall.ECONNRESET)
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.code, http.StatusText(w.code)), StatusCode: w.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: &body{pr, cancel}, ContentLength: -1, Request: r,
	}, nil
}

func (t *Transport) serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.reset()
			if e, ok := p.(error); !ok || !errors.Is(e, http.ErrAbortHandler) {
				panic(p)
			}
			err = io.ErrUnexpectedEOF
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	t.h.ServeHTTP(w, r)
	return nil
}

// body lets go of the handler when the client closes it.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// writer is the handler's side. It belongs to one goroutine until ready is closed.
type writer struct {
	header, sent http.Header
	pw           *io.PipeWriter
	code         int
	ready        chan struct{}
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(code int) {
	if w.code == 0 {
		w.code, w.sent = code, w.header.Clone()
		close(w.ready)
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pw.Write(p)
}

// FlushError is for [http.ResponseController]; nothing is held back here.
func (w *writer) FlushError() error {
	w.WriteHeader(http.StatusOK)
	return nil
}

// end is called when the handler has returned.
func (w *writer) end(err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusOK)
	case w.code == 0: // no answer at all
		close(w.ready)
	}
	_ = w.pw.CloseWithError(err)
}
