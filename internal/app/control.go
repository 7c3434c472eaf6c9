package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Control is what operators and tokens may do to a state: announce, journal, make tokens. It is the [api.Backend] of the
// daemon, and of commands on a state that no daemon holds.
type Control struct {
	store *store.Store
	// watches are those there are; nil when they are not known.
	watches func() []watch.Watch
	owners  *facts.Owners
	logger  *slog.Logger

	mu      sync.Mutex
	refused map[string]time.Time // when a refusal was last put on the trail, by token
}

var _ api.Backend = (*Control)(nil)

// NewControl makes the control of a state. watches may be nil, which believes every name to be watched; owners may be
// nil, which believes every issuer to exist; logger may be nil.
func NewControl(s *store.Store, watches func() []watch.Watch, owners *facts.Owners, logger *slog.Logger) *Control {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Control{store: s, watches: watches, owners: owners, logger: logger, refused: map[string]time.Time{}}
}

// Kinds of entries of the audit trail, beside [store.TrailUsed].
const (
	trailAnnounced = "expectation-created"
	trailCancelled = "expectation-cancelled"
	trailExpired   = "expectation-expired"
	trailMissing   = "expectation-missing"
	trailPushed    = "journal-pushed"
	trailEnded     = "journal-ended"
	trailToken     = "token-created"
	trailRevoked   = "token-revoked"
	trailRefused   = "token-refused"
)

func notFound(what, id string) error {
	return &api.Problem{Status: http.StatusNotFound, Title: "There is no such " + what, Detail: "there is no " + what + " " + notify.Safe(id, 60) + " that is open",
		HintText: "the lists name what there is: tocsin expect list, tocsin token list"}
}

// Authenticate finds the holder of a token. What is wrong with a token is not told.
func (c *Control) Authenticate(ctx context.Context, text string) (api.Caller, error) {
	id, err := expectation.TokenID(text)
	if err != nil {
		return api.Caller{}, err
	}
	t, err := c.store.Token(ctx, id)
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		c.logger.Error("a token cannot be looked up", "err", err)
	}
	// The hash of no token is compared as well: how long it takes shall not tell whether there is such an id.
	same := expectation.SameToken(text, t.Hash)
	if !known || !same || !t.Revoked.IsZero() || !time.Now().Before(t.Expires) {
		return api.Caller{}, errors.New("no valid token")
	}
	return api.Caller{Token: t.ID, Name: fmt.Sprintf("token %s (%s)", t.Name, t.ID)}, nil
}

// Refused puts a refusal on the trail, at most one a minute for each token.
func (c *Control) Refused(ctx context.Context, by api.Caller, why string) {
	now := time.Now()
	c.mu.Lock()
	often := now.Sub(c.refused[by.Token]) < time.Minute
	if !often {
		c.refused[by.Token] = now
	}
	c.mu.Unlock()
	if often {
		return
	}
	if err := c.store.AddTrail(ctx, store.TrailEntry{Kind: trailRefused, Actor: by.Name, Subject: by.Token, Text: why}); err != nil {
		c.logger.Error("a refusal cannot be kept", "err", err)
	}
}

func (c *Control) guarded() []watch.Watch {
	if c.watches == nil {
		return nil
	}
	return c.watches()
}

// charge makes a token pay for a demand; the operator pays nothing.
func (c *Control) charge(by api.Caller, d expectation.Demand, what string, now time.Time) *store.Charge {
	if by.Operator {
		return nil
	}
	return &store.Charge{Token: by.Token, Count: d.Count, What: what, Check: func(t store.Token, past []store.Grant) error {
		var scope expectation.Scope
		if err := json.Unmarshal(t.Scope, &scope); err != nil {
			return fmt.Errorf("reading the scope of token %s: %w", t.ID, err)
		}
		history := make([]expectation.Grant, len(past))
		for i, g := range past {
			history[i] = expectation.Grant{At: g.At, Count: g.Count}
		}
		return scope.Allows(d, t.Revoked, c.guarded(), history, now)
	}}
}

// Announce keeps an expectation.
func (c *Control) Announce(ctx context.Context, by api.Caller, r expectation.Request) (api.Expectation, error) {
	now := time.Now()
	e, err := expectation.New(r, by.Name, c.owners, now)
	if err != nil {
		return api.Expectation{}, err
	}
	if watches := c.guarded(); by.Operator && watches != nil {
		var items []watch.Item
		for i := range watches {
			items = append(items, watches[i].Items...)
		}
		if out := expectation.Outside(e.Names, items); len(out) == len(e.Names) {
			return api.Expectation{}, &expectation.RequestError{Field: "names", Problem: out[0] + " is not watched, so a certificate for it never rings",
				HintText: "announce names of a watch; tocsin.yaml lists them"}
		}
	}
	body, err := json.Marshal(e)
	if err != nil {
		return api.Expectation{}, err
	}
	text := fmt.Sprintf("%s announced %s until %s, by %s: %s", count(e.Count, "issuance"), strings.Join(e.Names, ", "), e.Until.UTC().Format(time.RFC3339), proof(&e), e.Reason)
	charge := c.charge(by, expectation.Demand{Names: e.Names, Count: e.Count, Until: e.Until, Keyed: !e.IssuerAlone()}, "expectation "+e.ID, now)
	err = c.store.Announce(ctx, store.Expectation{ID: e.ID, Body: body, Token: by.Token, Count: e.Count, Created: e.Created, Until: e.Until}, now.Add(-expectation.Late), charge,
		store.TrailEntry{Kind: trailAnnounced, Actor: by.Name, Subject: e.ID, Text: text})
	if err != nil {
		return api.Expectation{}, err
	}
	return announced(e, now), nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// proof says what an announced certificate is recognised by.
func proof(e *expectation.Expectation) string {
	text := "issuer " + strings.Join(e.Issuers, " or ") + " alone (" + expectation.SameCA + ")"
	if len(e.Keys) > 0 {
		text = "key " + strings.Join(e.Keys, " or ")
	}
	return text
}

func announced(e expectation.Expectation, now time.Time) api.Expectation {
	out := api.Expectation{Expectation: e, State: e.State(now), Issuances: []string{}}
	if e.IssuerAlone() {
		out.Label = expectation.SameCA
	}
	for _, id := range e.UsedBy {
		out.Issuances = append(out.Issuances, id.String())
	}
	return out
}

// expected reads an expectation as it was kept.
func expected(row *store.Expectation) (e expectation.Expectation, err error) {
	if err := json.Unmarshal(row.Body, &e); err != nil {
		return e, fmt.Errorf("reading expectation %s: %w", row.ID, err)
	}
	e.ID, e.Used, e.Count, e.Cancelled = row.ID, row.Used, row.Count, row.Cancelled
	for _, id := range row.Uses {
		e.UsedBy = append(e.UsedBy, id)
	}
	return e, nil
}

// maxListed bounds lists.
const maxListed = 1000

// Expectations are all for the operator, and its own for a token.
func (c *Control) Expectations(ctx context.Context, by api.Caller) (api.Expectations, error) {
	out := api.Expectations{Expectations: []api.Expectation{}}
	rows, err := c.store.Expectations(ctx, maxListed)
	if err != nil {
		return out, err
	}
	for i := range rows {
		if !by.Operator && rows[i].Token != by.Token {
			continue
		}
		e, err := expected(&rows[i])
		if err != nil {
			return out, err
		}
		out.Expectations = append(out.Expectations, announced(e, time.Now()))
	}
	return out, nil
}

// Cancel ends an expectation; a token only its own.
func (c *Control) Cancel(ctx context.Context, by api.Caller, id string) (api.Expectation, error) {
	row, err := c.store.Expectation(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !by.Operator && row.Token != by.Token {
		return api.Expectation{}, notFound("expectation", id)
	}
	if err != nil {
		return api.Expectation{}, err
	}
	err = c.store.CancelExpectation(ctx, id, store.TrailEntry{Kind: trailCancelled, Actor: by.Name, Subject: id, Text: "the announcement was cancelled"})
	if errors.Is(err, store.ErrNotFound) {
		return api.Expectation{}, notFound("expectation", id)
	}
	if err == nil {
		row, err = c.store.Expectation(ctx, id)
	}
	if err != nil {
		return api.Expectation{}, err
	}
	e, err := expected(&row)
	return announced(e, time.Now()), err
}

// AddToken makes a token. Its secret is in the answer, and nowhere else.
func (c *Control) AddToken(ctx context.Context, by api.Caller, r api.TokenRequest) (api.Token, error) {
	now := time.Now()
	var names []string
	if watches := c.guarded(); watches != nil {
		for i := range watches {
			names = append(names, watches[i].Name)
		}
	}
	r.Name = strings.TrimSpace(r.Name)
	if r.Name == "" || len(r.Name) > 100 || !expectation.Printable(r.Name) {
		return api.Token{}, &expectation.RequestError{Field: "name", Problem: "a token has a name of 1 to 100 printable characters", HintText: "name who will hold it: the audit trail says it"}
	}
	if err := r.Scope.Check(names, now); err != nil {
		return api.Token{}, err
	}
	secret, id, hash := expectation.NewToken()
	row := store.Token{ID: id, Hash: hash, Name: r.Name, Scope: mustJSON(r.Scope), Expires: r.Scope.Expires}
	text := fmt.Sprintf("token %s may announce at most %s within %s, each for at most %s, until %s", r.Name, count(r.Scope.Most(now), "issuance"),
		strings.Join(r.Scope.Watches, ", "), r.Scope.MaxFor, r.Scope.Expires.UTC().Format(time.RFC3339))
	if err := c.store.AddToken(ctx, row, store.TrailEntry{Kind: trailToken, Actor: by.Name, Subject: id, Text: text}); err != nil {
		return api.Token{}, err
	}
	return api.Token{ID: id, Name: r.Name, State: "valid", Scope: r.Scope, Most: r.Scope.Most(now), Created: now.UTC(), Secret: secret}, nil
}

// Tokens are all tokens.
func (c *Control) Tokens(ctx context.Context) (api.Tokens, error) {
	out := api.Tokens{Tokens: []api.Token{}}
	rows, err := c.store.Tokens(ctx)
	for i := range rows {
		t, terr := shownToken(&rows[i])
		if terr != nil {
			return out, terr
		}
		out.Tokens = append(out.Tokens, t)
	}
	return out, err
}

func shownToken(row *store.Token) (api.Token, error) {
	t := api.Token{ID: row.ID, Name: row.Name, State: "valid", Granted: row.Granted, Created: row.Created}
	if err := json.Unmarshal(row.Scope, &t.Scope); err != nil {
		return t, fmt.Errorf("reading the scope of token %s: %w", row.ID, err)
	}
	t.Most = t.Scope.Most(row.Created)
	switch {
	case !row.Revoked.IsZero():
		t.State = "revoked"
	case !time.Now().Before(row.Expires):
		t.State = "expired"
	}
	if !row.LastUsed.IsZero() {
		t.LastUsed = &row.LastUsed
	}
	return t, nil
}

// RevokeToken ends a token, and with it what it announced and nothing has used.
func (c *Control) RevokeToken(ctx context.Context, by api.Caller, id string) (api.Token, error) {
	n, err := c.store.RevokeToken(ctx, id, store.TrailEntry{Kind: trailRevoked, Actor: by.Name, Subject: id, Text: "the token was revoked, with all that it had announced"})
	if errors.Is(err, store.ErrNotFound) {
		return api.Token{}, notFound("token", id)
	}
	if err != nil {
		return api.Token{}, err
	}
	all, err := c.Tokens(ctx)
	for _, t := range all.Tokens {
		if t.ID == id {
			t.Cancelled = n
			return t, err
		}
	}
	return api.Token{ID: id, Cancelled: n}, err
}
