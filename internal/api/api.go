// Package api is what programs say to tocsin over HTTP: they announce issuances, and push what is ours into the journal.
// The same handlers answer on the socket beside the state file, where the operator speaks, and on api.listen, where
// everybody must show a token.
//
// It promises: a request is bounded in size, rate and time; a caller without a valid token learns nothing; a token does
// no more than its scope allows, which the [Backend] decides; errors are application/problem+json (RFC 9457); no secret
// is logged or answered, but the one time that a token is made.
//
// Trusted: the operator on the socket. Everybody else is hostile until the token is known, and then within its scope.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/expectation"
)

// Caller is who asks.
type Caller struct {
	// Operator owns the socket and may do everything. Otherwise Token is the id of a token that was verified.
	Operator bool
	Token    string
	// Name is for people: what the audit trail says.
	Name string
}

// Expectation is one as callers see it.
type Expectation struct {
	expectation.Expectation
	// State is open, used, expired or cancelled.
	State string `json:"state"`
	// Label warns of what the announcement lets pass; "" when nothing is to be said.
	Label string `json:"label,omitempty"`
	// Issuances are the ids of those that used it.
	Issuances []string `json:"issuances"`
}

// Expectations is a list of them, the newest first.
type Expectations struct {
	Expectations []Expectation `json:"expectations"`
}

// Push is something of ours for the journal: exactly one of the three.
type Push struct {
	// Certificate is PEM: the certificate, and its chain where it is at hand.
	Certificate string `json:"certificate,omitempty"`
	CSR         string `json:"csr,omitempty"` // PEM
	Key         string `json:"key,omitempty"` // SHA-256 of the SubjectPublicKeyInfo, in hexadecimal
	// Source is what people are told about where it comes from.
	Source string `json:"source,omitempty"`
	// End takes a pushed key back: it is not ours any more.
	End bool `json:"end,omitempty"`
}

// Pushed says what became of a push.
type Pushed struct {
	// New is false when the journal had it all already.
	New bool `json:"new"`
	// Key is the hash of the key.
	Key string `json:"key"`
	// Issuance is the identity of the certificate in CT; "" for a key, and where its issuer was not given.
	Issuance string   `json:"issuance,omitempty"`
	Names    []string `json:"names"`
	// Reconsidered is how many issuances are decided again because of it.
	Reconsidered int `json:"reconsidered"`
}

// Entry is one entry of the journal.
type Entry struct {
	Kind     string     `json:"kind"`   // key, certificate
	Origin   string     `json:"origin"` // directory, push, token
	Key      string     `json:"key"`
	Issuance string     `json:"issuance,omitempty"`
	SHA256   string     `json:"sha256,omitempty"`
	Names    []string   `json:"names"`
	Source   string     `json:"source"`
	By       string     `json:"by,omitempty"`
	At       time.Time  `json:"at"`
	Ended    *time.Time `json:"ended,omitempty"`
	// Control is how it stands with the positive control: waiting, seen, overdue, unpromised, before, unwatched.
	Control string `json:"control,omitempty"`
	Note    string `json:"note,omitempty"`
}

// Entries is a list of them, the newest first.
type Entries struct {
	Entries []Entry `json:"entries"`
	// Observed are keys that probes saw on endpoints. They lower no verdict.
	Observed []Observed `json:"observed"`
}

// Observed is a key that a probe saw.
type Observed struct {
	Key      string    `json:"key"`
	Endpoint string    `json:"endpoint"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// TokenRequest asks for a token.
type TokenRequest struct {
	Name  string            `json:"name"`
	Scope expectation.Scope `json:"scope"`
}

// Token is one as the operator sees it. Secret is set once, in the answer that makes it.
type Token struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	State    string            `json:"state"` // valid, expired, revoked
	Scope    expectation.Scope `json:"scope"`
	Granted  int               `json:"granted"` // issuances announced with it so far
	Most     int               `json:"most"`    // that whoever holds it could hush over its whole life
	Created  time.Time         `json:"created"`
	LastUsed *time.Time        `json:"last_used,omitempty"`
	Secret   string            `json:"secret,omitempty"`
	// Cancelled is, in the answer to a revocation, how many open announcements ended with it.
	Cancelled int `json:"cancelled,omitempty"`
}

// Tokens is a list of them, the newest first.
type Tokens struct {
	Tokens []Token `json:"tokens"`
}

// Backend does what callers ask. An error that is a *[Problem] is answered as it is.
type Backend interface {
	// Authenticate finds the caller who holds a token. An error means that there is none.
	Authenticate(ctx context.Context, token string) (Caller, error)
	Announce(ctx context.Context, by Caller, r expectation.Request) (Expectation, error)
	// Expectations are those that the caller may see.
	Expectations(ctx context.Context, by Caller) (Expectations, error)
	Cancel(ctx context.Context, by Caller, id string) (Expectation, error)
	Push(ctx context.Context, by Caller, p Push) (Pushed, error)
	// Journal returns entries with the given control, "" for all.
	Journal(ctx context.Context, control string, limit int) (Entries, error)
	AddToken(ctx context.Context, by Caller, r TokenRequest) (Token, error)
	Tokens(ctx context.Context) (Tokens, error)
	RevokeToken(ctx context.Context, by Caller, id string) (Token, error)
	// Refused puts on the audit trail that somebody was refused.
	Refused(ctx context.Context, by Caller, why string)
}

// Options of [Handler].
type Options struct {
	// Operator is set on the socket: whoever can connect is the operator, and no token is asked for.
	Operator bool
	Logger   *slog.Logger // nil discards
	// Now is the clock of the rate limits; nil is time.Now.
	Now func() time.Time
}

// maxBody bounds what a caller may send.
const maxBody = 256 << 10

// Handler answers under /api/v1/.
func Handler(b Backend, o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &handler{b: b, o: o, limits: newLimits(o.Now)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/expectations", serve(h, http.StatusCreated, func(r *http.Request, by Caller, in expectation.Request) (any, error) {
		return b.Announce(r.Context(), by, in)
	}))
	mux.HandleFunc("GET /api/v1/expectations", serve(h, http.StatusOK, func(r *http.Request, by Caller, _ nothing) (any, error) {
		return b.Expectations(r.Context(), by)
	}))
	mux.HandleFunc("DELETE /api/v1/expectations/{id}", serve(h, http.StatusOK, func(r *http.Request, by Caller, _ nothing) (any, error) {
		return b.Cancel(r.Context(), by, r.PathValue("id"))
	}))
	mux.HandleFunc("POST /api/v1/journal", serve(h, http.StatusOK, func(r *http.Request, by Caller, in Push) (any, error) {
		return b.Push(r.Context(), by, in)
	}))
	mux.HandleFunc("GET /api/v1/journal", serve(h, http.StatusOK, operatorOnly(func(r *http.Request, _ Caller, _ nothing) (any, error) {
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil || limit < 1 || limit > 10_000 {
			limit = 100
		}
		return b.Journal(r.Context(), r.URL.Query().Get("control"), limit)
	})))
	mux.HandleFunc("POST /api/v1/tokens", serve(h, http.StatusCreated, operatorOnly(func(r *http.Request, by Caller, in TokenRequest) (any, error) {
		return b.AddToken(r.Context(), by, in)
	})))
	mux.HandleFunc("GET /api/v1/tokens", serve(h, http.StatusOK, operatorOnly(func(r *http.Request, _ Caller, _ nothing) (any, error) {
		return b.Tokens(r.Context())
	})))
	mux.HandleFunc("DELETE /api/v1/tokens/{id}", serve(h, http.StatusOK, operatorOnly(func(r *http.Request, by Caller, _ nothing) (any, error) {
		return b.RevokeToken(r.Context(), by, r.PathValue("id"))
	})))
	mux.HandleFunc("/api/v1/", serve(h, http.StatusOK, func(r *http.Request, _ Caller, _ nothing) (any, error) {
		return nil, &Problem{Status: http.StatusNotFound, Title: "There is nothing of that name", Detail: r.Method + " " + r.URL.Path + " is not part of the API", HintText: "docs/api.md names what is"}
	}))
	return mux
}

type handler struct {
	b      Backend
	o      Options
	limits *limits
}

// nothing is the body of a request that has none.
type nothing struct{}

func operatorOnly[T any](do func(*http.Request, Caller, T) (any, error)) func(*http.Request, Caller, T) (any, error) {
	return func(r *http.Request, by Caller, in T) (any, error) {
		if !by.Operator {
			return nil, &Problem{Status: http.StatusForbidden, Title: "Only the operator may", Detail: "this is for the operator, over the socket", HintText: "run the command tocsin on the machine of the daemon"}
		}
		return do(r, by, in)
	}
}

// serve finds out who asks, reads the body, and writes the answer.
func serve[T any](h *handler, status int, do func(*http.Request, Caller, T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := func() (any, error) {
			by, err := h.caller(r)
			if err != nil {
				return nil, err
			}
			var in T
			if _, none := any(in).(nothing); !none {
				if err := decode(w, r, &in); err != nil {
					return nil, err
				}
			}
			out, err := do(r, by, in)
			if err != nil {
				if p := problem(err, h.o.Operator); p.Status == http.StatusForbidden {
					h.b.Refused(r.Context(), by, p.Detail)
				}
			}
			return out, err
		}()
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			h.fail(w, r, err)
			return
		}
		write(w, status, "application/json", answer)
	}
}

// caller finds out who asks.
func (h *handler) caller(r *http.Request) (Caller, error) {
	if h.o.Operator {
		return Caller{Operator: true, Name: "operator"}, nil
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	unknown := &Problem{Status: http.StatusUnauthorized, Title: "No valid token", Detail: "the request carries no token that is valid", HintText: "send the header Authorization: Bearer TOKEN; tocsin token add makes one"}
	if wait := h.limits.peek("from "+host, strangers); wait > 0 {
		return Caller{}, tooMany(wait)
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var by Caller
	if ok {
		by, err = h.b.Authenticate(r.Context(), strings.TrimSpace(token))
	}
	if !ok || err != nil {
		h.limits.take("from "+host, strangers)
		return Caller{}, unknown
	}
	if wait := h.limits.take("token "+by.Token, holders); wait > 0 {
		return Caller{}, tooMany(wait)
	}
	return by, nil
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Problem{Status: http.StatusUnsupportedMediaType, Title: "Not JSON", Detail: "the body must be JSON, with Content-Type: application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("something follows the object")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &Problem{Status: http.StatusRequestEntityTooLarge, Title: "Too large", Detail: "the body is larger than 256 KiB"}
	case err != nil:
		return &Problem{Status: http.StatusBadRequest, Title: "The body cannot be read", Detail: strings.TrimPrefix(err.Error(), "json: "), HintText: "docs/api.md has the schema"}
	}
	return nil
}

func write(w http.ResponseWriter, status int, kind string, v any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the asker may be gone
}
