package fault

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// spoil answers a request for entries or a tile with the faults of single answers. Endless and Bomb come first: what
// breaks off can then be their body.
func (f *Faults) spoil(w http.ResponseWriter, r *http.Request, next http.Handler) {
	kind := "application/octet-stream"
	if strings.HasSuffix(r.URL.Path, "/get-entries") {
		kind = "application/json"
	}
	switch {
	case f.Status > 0:
		http.Error(w, "the backend is not well", f.Status)
	case f.HTML:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>Welcome</title><p>This page is <b>not</b> what you asked for.</p>")
	case f.Empty:
		w.Header().Set("Content-Type", kind)
		if kind == "application/json" {
			_, _ = io.WriteString(w, `{"entries":[]}`)
		}
	case f.Endless > 0 && kind == "application/json":
		Flood(w, kind, `{"entries":[{"leaf_input":"`, f.Endless)
	case f.Endless > 0:
		Flood(w, kind, "", f.Endless)
	case f.Bomb > 0:
		Bomb(w, kind, f.Bomb)
	case f.BadGzip:
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "this is not gzip, whatever the header says")
	case f.Cut > 0 || f.Short > 0 || f.Drip > 0:
		b := &body{ResponseWriter: w, r: r, left: -1, drip: f.Drip}
		if n := max(f.Cut, f.Short); n > 0 {
			b.left, b.abort = n, f.Cut > 0
		}
		next.ServeHTTP(b, r)
	default:
		next.ServeHTTP(w, r)
	}
}

// body is an answer that comes slowly or not whole.
type body struct {
	http.ResponseWriter
	r     *http.Request
	left  int // bytes that may pass; -1 for all
	abort bool
	drip  time.Duration
}

func (b *body) Write(p []byte) (int, error) {
	n := len(p)
	if b.left >= 0 {
		n = min(n, b.left)
		b.left -= n
	}
	if err := b.pass(p[:n]); err != nil {
		return 0, err
	}
	if n < len(p) && b.abort {
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return len(p), nil
}

func (b *body) pass(p []byte) error {
	if b.drip <= 0 {
		_, err := b.ResponseWriter.Write(p)
		return err
	}
	for i := range p {
		if !sleep(b.r.Context(), b.drip) {
			return b.r.Context().Err()
		}
		if _, err := b.ResponseWriter.Write(p[i : i+1]); err != nil {
			return err
		}
		_ = http.NewResponseController(b.ResponseWriter).Flush()
	}
	return nil
}
