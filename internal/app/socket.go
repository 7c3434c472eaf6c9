package app

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// SocketPath is where the daemon that owns the state file listens: beside it. Unix allows about 100 bytes for such a
// path; where that is not enough the socket stands in the directory for temporary files, under a name that follows
// from the state file.
func SocketPath(state string) string {
	abs, err := filepath.Abs(state)
	if err != nil {
		abs = state
	}
	if p := abs + ".sock"; len(p) <= 100 {
		return p
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("tocsin-%x.sock", sha256.Sum256([]byte(abs)))[:40]+".sock")
}

// serve answers other commands on the socket until ctx is done. Only the owner of the state file may connect.
func (a *App) serve(ctx context.Context) error {
	path := SocketPath(a.store.Path())
	// The lock on the state is ours, so that a socket found here belongs to a daemon that died.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("listening for other commands: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listening for other commands: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return fmt.Errorf("listening for other commands: %w", err)
	}
	srv := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: time.Minute}
	context.AfterFunc(ctx, func() { srv.Close() })
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answering other commands: %w", err)
	}
	return nil
}

func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/coverage", func(w http.ResponseWriter, r *http.Request) {
		c, err := a.Coverage(r.Context())
		reply(w, c, err)
	})
	mux.HandleFunc("GET /v1/faults", a.answerFaults)
	mux.HandleFunc("GET /v1/noise", a.answerNoise)
	a.reportRoutes(mux)
	mux.HandleFunc("GET /v1/caa", a.answerCAA)
	mux.HandleFunc("POST /v1/lists/accept", func(w http.ResponseWriter, r *http.Request) {
		text, err := a.AcceptList(r.FormValue("source"))
		reply(w, Accepted{text}, err)
	})
	mux.HandleFunc("GET /v1/statement", func(w http.ResponseWriter, r *http.Request) {
		from, err := time.Parse(time.RFC3339Nano, r.FormValue("from"))
		if err != nil {
			reply(w, nil, err)
			return
		}
		to, err := time.Parse(time.RFC3339Nano, r.FormValue("to"))
		if err != nil {
			reply(w, nil, err)
			return
		}
		s, err := a.Statement(r.Context(), from, to)
		reply(w, s, err)
	})
	mux.HandleFunc("GET /v1/issuances/{prefix}", func(w http.ResponseWriter, r *http.Request) {
		x, err := Explain(r.Context(), a.store, r.PathValue("prefix"))
		reply(w, x, err)
	})
	a.incidentRoutes(mux)
	mux.Handle("/api/v1/", api.Handler(a.newControl(), api.Options{Operator: true, Logger: a.logger}))
	return mux
}

// problem is an error on its way over the socket.
type problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func reply(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		p := problem{Error: err.Error()}
		var h interface{ Hint() string }
		if errors.As(err, &h) {
			p.Hint = h.Hint()
		}
		status := http.StatusInternalServerError
		if errors.Is(err, store.ErrNotFound) {
			status = http.StatusNotFound
		}
		w.WriteHeader(status)
		v = p
	}
	_ = json.NewEncoder(w).Encode(v) // the asker may be gone
}

// AskError says why there is no answer, in the words of the daemon when one was asked.
type AskError struct{ Text, HintText string }

func (e *AskError) Error() string { return e.Text }

// Hint is what to do about it, or "".
func (e *AskError) Hint() string { return e.HintText }

// Accepted is what [AskAcceptList] took over.
type Accepted struct {
	Text string `json:"text"`
}

// AskAcceptList accepts the refused update of a log list, "" for the only one, for the daemon of the given state, or for
// the next one when none runs.
func AskAcceptList(ctx context.Context, state, source string) (Accepted, error) {
	return ask(ctx, state, "POST /v1/lists/accept?source="+url.QueryEscape(source), func(*store.Store) (Accepted, error) {
		l, err := lists.Stored(state)
		if err != nil {
			return Accepted{}, err
		}
		text, err := lists.AcceptOne(l, source)
		return Accepted{text}, err
	})
}

// ask finds out about state: from the daemon that owns it when one runs, else from the file itself. remote is the path
// of the daemon's API, with a method before it that is not GET, and local does the same with the opened file. T is decoded from JSON in the first case.
func ask[T any](ctx context.Context, state, remote string, local func(*store.Store) (T, error)) (v T, err error) {
	return askWith(ctx, state, remote, nil, local)
}

// askWith is ask with a body for the daemon.
func askWith[T any](ctx context.Context, state, remote string, with io.Reader, local func(*store.Store) (T, error)) (v T, err error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", SocketPath(state))
		},
	}}
	defer client.CloseIdleConnections()
	method, path, ok := strings.Cut(remote, " ")
	if !ok {
		method, path = http.MethodGet, remote
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://tocsin"+path, with)
	if err != nil {
		return v, err
	}
	resp, err := client.Do(req)
	if err != nil { // nobody listens: no daemon
		s, err := store.OpenReadOnly(state, nil)
		if errors.Is(err, fs.ErrNotExist) {
			return v, &AskError{Text: "there is no state at " + state, HintText: "tocsin watch makes it; name another one with --state"}
		}
		if err != nil {
			return v, err
		}
		defer s.Close()
		return local(s)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return v, fmt.Errorf("asking the daemon: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var p problem
		if json.Unmarshal(body, &p) != nil || p.Error == "" {
			p.Error = "the daemon answered " + resp.Status
		}
		said := &AskError{Text: p.Error, HintText: p.Hint}
		if resp.StatusCode == http.StatusNotFound {
			return v, notFiled{said}
		}
		return v, said
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("asking the daemon: %w", err)
	}
	return v, nil
}

// AskExplain explains an issuance of the given state: see [Explain].
func AskExplain(ctx context.Context, state, prefix string) (*Explanation, error) {
	return ask(ctx, state, "/v1/issuances/"+url.PathEscape(prefix), func(s *store.Store) (*Explanation, error) {
		return Explain(ctx, s, prefix)
	})
}

// AskCoverage says what is seen of each log of the given state. Without a daemon it is what the last one stored.
func AskCoverage(ctx context.Context, state string) (*Coverage, error) {
	return ask(ctx, state, "/v1/coverage", func(s *store.Store) (*Coverage, error) {
		return StoredCoverage(ctx, s)
	})
}

// AskStatement says what was seen of a span of time by the given state: see [coverage.State].
func AskStatement(ctx context.Context, state string, from, to time.Time) (*coverage.Statement, error) {
	q := url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}}
	return ask(ctx, state, "/v1/statement?"+q.Encode(), func(s *store.Store) (*coverage.Statement, error) {
		return StoredStatement(ctx, s, from, to)
	})
}
