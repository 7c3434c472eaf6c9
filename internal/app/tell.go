package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// TellControl does something to a state: through the daemon that holds it when one runs, else on the file itself, which
// is held meanwhile. method and path are those of package api, in is its body or nil; local does the same with the file.
func TellControl[T any](ctx context.Context, state, method, path string, in any, watches []watch.Watch, local func(*Control, api.Caller) (T, error)) (out T, err error) {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return out, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://tocsin"+path, body)
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", SocketPath(state))
		},
	}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil { // nobody listens: no daemon
		return onFile(ctx, state, watches, local)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return out, fmt.Errorf("asking the daemon: %w", err)
	}
	if resp.StatusCode >= 300 {
		var p api.Problem
		if json.Unmarshal(answer, &p) != nil || p.Detail == "" {
			p.Detail = "the daemon answered " + resp.Status
		}
		return out, &p
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("asking the daemon: %w", err)
	}
	return out, nil
}

func onFile[T any](ctx context.Context, state string, watches []watch.Watch, local func(*Control, api.Caller) (T, error)) (out T, err error) {
	if _, err := os.Stat(state); errors.Is(err, fs.ErrNotExist) {
		return out, &AskError{Text: "there is no state at " + state, HintText: "tocsin watch makes it; name another one with --state"}
	}
	s, err := store.Open(state, nil)
	if err != nil {
		return out, err
	}
	defer s.Close()
	owners, err := facts.LoadOwners()
	if err != nil {
		return out, err
	}
	guarded := func() []watch.Watch { return watches }
	if watches == nil {
		guarded = nil
	}
	return local(NewControl(s, guarded, owners, nil), api.Caller{Operator: true, Name: "operator"})
}
