package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/expectation"
)

// backend notes what it is asked for.
type backend struct {
	mu      sync.Mutex
	asked   []string
	refused []string
	fails   error
}

const goodToken = "tocsin_0123456789ab_secret"

func (b *backend) note(by api.Caller, format string, args ...any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	who := "operator"
	if !by.Operator {
		who = "token " + by.Token
	}
	b.asked = append(b.asked, who+" "+fmt.Sprintf(format, args...))
	return b.fails
}

func (b *backend) Authenticate(_ context.Context, token string) (api.Caller, error) {
	if token != goodToken {
		return api.Caller{}, errors.New("no")
	}
	return api.Caller{Token: "0123456789ab", Name: "ci"}, nil
}
func (b *backend) Announce(_ context.Context, by api.Caller, r expectation.Request) (api.Expectation, error) {
	return api.Expectation{State: "open", Issuances: []string{}}, b.note(by, "announces %s for %s", r.Names, r.For)
}
func (b *backend) Expectations(_ context.Context, by api.Caller) (api.Expectations, error) {
	return api.Expectations{}, b.note(by, "lists")
}
func (b *backend) Cancel(_ context.Context, by api.Caller, id string) (api.Expectation, error) {
	return api.Expectation{}, b.note(by, "cancels %s", id)
}
func (b *backend) Push(_ context.Context, by api.Caller, p api.Push) (api.Pushed, error) {
	return api.Pushed{New: true}, b.note(by, "pushes %s", p.Key)
}
func (b *backend) Journal(_ context.Context, control string, limit int) (api.Entries, error) {
	return api.Entries{}, b.note(api.Caller{Operator: true}, "reads the journal, %q, %d", control, limit)
}
func (b *backend) AddToken(_ context.Context, by api.Caller, r api.TokenRequest) (api.Token, error) {
	return api.Token{Secret: "once"}, b.note(by, "makes token %s", r.Name)
}
func (b *backend) Tokens(context.Context) (api.Tokens, error) {
	return api.Tokens{}, b.note(api.Caller{Operator: true}, "lists tokens")
}
func (b *backend) RevokeToken(_ context.Context, by api.Caller, id string) (api.Token, error) {
	return api.Token{}, b.note(by, "revokes %s", id)
}
func (b *backend) Refused(_ context.Context, by api.Caller, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused = append(b.refused, by.Name+": "+why)
}

type call struct {
	method, path, body, token, kind, from string
}

func (c call) do(h http.Handler) *http.Response {
	r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
	if c.kind == "" {
		c.kind = "application/json"
	}
	r.Header.Set("Content-Type", c.kind)
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.from != "" {
		r.RemoteAddr = c.from
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhoMayAskForWhat(t *testing.T) {
	announce := `{"names":["www.example.com"],"for":"2h","reason":"x"}`
	for _, row := range []struct {
		name     string
		operator bool
		c        call
		status   int
		asked    string
	}{
		{"the operator announces", true, call{method: "POST", path: "/api/v1/expectations", body: announce}, 201, "operator announces [www.example.com] for 2h"},
		{"a token announces", false, call{method: "POST", path: "/api/v1/expectations", body: announce, token: goodToken}, 201, "token 0123456789ab announces [www.example.com] for 2h"},
		{"nobody announces", false, call{method: "POST", path: "/api/v1/expectations", body: announce}, 401, ""},
		{"a wrong token announces nothing", false, call{method: "POST", path: "/api/v1/expectations", body: announce, token: goodToken + "x"}, 401, ""},
		{"a token sees its own", false, call{method: "GET", path: "/api/v1/expectations", token: goodToken}, 200, "token 0123456789ab lists"},
		{"a token cancels", false, call{method: "DELETE", path: "/api/v1/expectations/e1", token: goodToken}, 200, "token 0123456789ab cancels e1"},
		{"a token pushes", false, call{method: "POST", path: "/api/v1/journal", body: `{"key":"0a"}`, token: goodToken}, 200, "token 0123456789ab pushes 0a"},
		{"a token does not read the journal", false, call{method: "GET", path: "/api/v1/journal", token: goodToken}, 403, ""},
		{"a token makes no tokens", false, call{method: "POST", path: "/api/v1/tokens", body: `{"name":"mine"}`, token: goodToken}, 403, ""},
		{"a token sees no tokens", false, call{method: "GET", path: "/api/v1/tokens", token: goodToken}, 403, ""},
		{"a token revokes no tokens", false, call{method: "DELETE", path: "/api/v1/tokens/x", token: goodToken}, 403, ""},
		{"the operator makes tokens", true, call{method: "POST", path: "/api/v1/tokens", body: `{"name":"ci","scope":{"max_for":"2h0m0s"}}`}, 201, "operator makes token ci"},
		{"the operator revokes tokens", true, call{method: "DELETE", path: "/api/v1/tokens/x"}, 200, "operator revokes x"},
		{"the operator lists tokens", true, call{method: "GET", path: "/api/v1/tokens"}, 200, "operator lists tokens"},
		{"the operator reads the journal, bounded", true, call{method: "GET", path: "/api/v1/journal?control=overdue&limit=1000000"}, 200, `operator reads the journal, "overdue", 100`},
		{"nothing else is there", true, call{method: "GET", path: "/api/v1/else"}, 404, ""},
		{"nor to be learned of by who has no token", false, call{method: "GET", path: "/api/v1/else"}, 401, ""},
		{"a form is no JSON", true, call{method: "POST", path: "/api/v1/expectations", body: "names=x", kind: "application/x-www-form-urlencoded"}, 415, ""},
		{"an unknown key", true, call{method: "POST", path: "/api/v1/expectations", body: `{"nmaes":[]}`}, 400, ""},
		{"two objects", true, call{method: "POST", path: "/api/v1/expectations", body: announce + announce}, 400, ""},
		{"half an object", true, call{method: "POST", path: "/api/v1/expectations", body: announce[:20]}, 400, ""},
		{"a very large body", true, call{method: "POST", path: "/api/v1/journal", body: `{"certificate":"` + strings.Repeat("x", 300<<10) + `"}`}, 413, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := &backend{}
			r := row.c.do(api.Handler(b, api.Options{Operator: row.operator}))
			if got := strings.Join(b.asked, "; "); r.StatusCode != row.status || got != row.asked {
				t.Errorf("%d, asked %q; want %d, %q", r.StatusCode, got, row.status, row.asked)
			}
			kind := "application/json"
			if row.status >= 400 {
				kind = "application/problem+json"
				var p api.Problem
				if err := json.Unmarshal([]byte(text(t, r)), &p); err != nil || p.Status != row.status || p.Title == "" || p.Detail == "" || p.Type != "about:blank" {
					t.Errorf("problem %+v, %v", p, err)
				}
			}
			if got := r.Header.Get("Content-Type"); got != kind || r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("content type %s", got)
			}
			if row.status == 401 && r.Header.Get("WWW-Authenticate") == "" {
				t.Error("it does not say how to authenticate")
			}
			if row.status == 403 && len(b.refused) != 1 {
				t.Errorf("refusals on the trail: %q", b.refused)
			}
		})
	}
}

func TestWhatWentWrongIsToldToWhomItConcerns(t *testing.T) {
	for _, row := range []struct {
		name     string
		err      error
		operator bool
		status   int
		says     string
	}{
		{"a wrong field", &expectation.RequestError{Field: "for", Problem: "too long", HintText: "write 2h"}, false, 422, `"hint":"write 2h","field":"for"`},
		{"beyond the scope", &expectation.RefusedError{Why: "more than 3"}, false, 403, "more than 3"},
		{"a problem of its own", &api.Problem{Status: 404, Title: "Gone", Detail: "it is gone"}, false, 404, "it is gone"},
		{"a failure of ours, to a token", errors.New("disk /var/lib/x is full"), false, 500, "its log says why"},
		{"a failure of ours, to the operator", errors.New("disk /var/lib/x is full"), true, 500, "disk /var/lib/x is full"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := call{method: "DELETE", path: "/api/v1/expectations/e1", token: goodToken}.do(api.Handler(&backend{fails: row.err}, api.Options{Operator: row.operator}))
			if body := text(t, r); r.StatusCode != row.status || !strings.Contains(body, row.says) || !row.operator && strings.Contains(body, "/var/lib") {
				t.Errorf("%d %s", r.StatusCode, body)
			}
		})
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	var log bytes.Buffer
	h := api.Handler(&backend{fails: errors.New("broken")}, api.Options{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	call{method: "POST", path: "/api/v1/journal", body: `{"key":"0a"}`, token: goodToken}.do(h)
	call{method: "POST", path: "/api/v1/journal", body: `{"key":"0a"}`, token: goodToken + "x"}.do(h)
	if s := log.String(); !strings.Contains(s, "broken") || strings.Contains(s, "secret") || strings.Contains(s, "Bearer") {
		t.Errorf("log: %s", s)
	}
}

func TestCallersAreLimited(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	b := &backend{}
	h := api.Handler(b, api.Options{Now: func() time.Time { return now }})
	good := call{method: "GET", path: "/api/v1/expectations", token: goodToken, from: "192.0.2.1:1000"}
	bad := call{method: "GET", path: "/api/v1/expectations", token: "guess", from: "192.0.2.9:1000"}
	many := func(c call, n int) (last *http.Response) {
		for range n {
			last = c.do(h)
		}
		return last
	}
	if r := many(good, 30); r.StatusCode != 200 {
		t.Errorf("the 30th request: %d", r.StatusCode)
	}
	if r := many(good, 1); r.StatusCode != 429 || r.Header.Get("Retry-After") == "" {
		t.Errorf("the 31st: %d", r.StatusCode)
	}
	now = now.Add(2 * time.Second)
	if r := many(good, 1); r.StatusCode != 200 {
		t.Errorf("two seconds later: %d", r.StatusCode)
	}
	if r := many(bad, 10); r.StatusCode != 401 {
		t.Errorf("the 10th guess: %d", r.StatusCode)
	}
	if r := many(bad, 1); r.StatusCode != 429 {
		t.Errorf("the 11th: %d", r.StatusCode)
	}
	right := bad
	right.token = goodToken
	if r := many(right, 1); r.StatusCode != 429 {
		t.Errorf("a right guess after too many wrong ones: %d", r.StatusCode)
	}
	elsewhere := bad
	elsewhere.from = "192.0.2.10:1000"
	if r := many(elsewhere, 1); r.StatusCode != 401 {
		t.Errorf("another address: %d", r.StatusCode)
	}
}

func TestManyStrangersCostBoundedMemoryAndHoldBackNobody(t *testing.T) {
	now := time.Now()
	h := api.Handler(&backend{}, api.Options{Now: func() time.Time { return now }})
	for i := range 12_000 {
		call{method: "GET", path: "/api/v1/expectations", from: fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)}.do(h)
	}
	if r := (call{method: "GET", path: "/api/v1/expectations", token: goodToken, from: "192.0.2.1:1"}).do(h); r.StatusCode != 200 {
		t.Errorf("who has a token is refused: %d", r.StatusCode)
	}
}
