package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// tokenGroup is about the tokens of the API.
type tokenGroup struct {
	Add    tokenAddCmd    `cmd:"" help:"Make a token. It is printed once, and kept nowhere."`
	List   tokenListCmd   `cmd:"" help:"Show the tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token, and all that it announced."`
}

type tokenAddCmd struct {
	Name     string   `arg:"" name:"NAME" help:"Who will hold it: the audit trail says it."`
	Watch    []string `required:"" sep:"none" help:"Watch within which it may announce names, by name; may be given several times."`
	MaxCount int      `required:"" help:"How many issuances it may announce: over its whole life, or within --per."`
	Per      string   `help:"Count within any such span: 1d, 12h."`
	MaxFor   string   `required:"" help:"How long one announcement may last: 2h."`
	Expires  string   `required:"" help:"When the token ends: a date, or how long from now: 90d."`
	ourState
}

func (c *tokenAddCmd) Run(p *process) error {
	r := api.TokenRequest{Name: c.Name, Scope: expectation.Scope{Watches: c.Watch, MaxCount: c.MaxCount}}
	var errs []error
	span := func(flag, text string) expectation.Duration {
		if text == "" {
			return 0
		}
		d, err := config.ParseDuration(text)
		if err != nil {
			errs = append(errs, &hintError{err: fmt.Errorf("--%s %q: %w", flag, text, err), hint: "write a number with a unit: 90m, 2h, 7d"})
		}
		return expectation.Duration(d)
	}
	r.Scope.Per, r.Scope.MaxFor = span("per", c.Per), span("max-for", c.MaxFor)
	if end, err := start(c.Expires); err == nil && !end.Since.IsZero() {
		r.Scope.Expires = end.Since.UTC()
	} else {
		r.Scope.Expires = time.Now().Add(time.Duration(span("expires", c.Expires))).UTC().Truncate(time.Second)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	state, watches, err := c.open()
	if err != nil {
		return err
	}
	t, err := app.TellControl(p.ctx, state, http.MethodPost, "/api/v1/tokens", r, watches, func(k *app.Control, by api.Caller) (api.Token, error) {
		return k.AddToken(p.ctx, by, r)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(t)
	}
	fmt.Fprintln(p.stdout, t.Secret)
	fmt.Fprintf(p.stderr, "tocsin: token %s: %s\n", t.ID, tokenText(&t))
	fmt.Fprintln(p.stderr, "tocsin: it is shown this once; next: tocsin token list")
	return nil
}

// tokenText is a token on one line.
func tokenText(t *api.Token) string {
	per := "in all"
	if t.Scope.Per != 0 {
		per = "within " + t.Scope.Per.String()
	}
	return notify.Safe(fmt.Sprintf("%s may announce %s %s (at most %d over its life), each for %s, in %s, until %s", t.Name, count(t.Scope.MaxCount, "issuance"), per,
		t.Most, t.Scope.MaxFor, strings.Join(t.Scope.Watches, ", "), t.Scope.Expires.UTC().Format(time.RFC3339)), 1000)
}

type tokenListCmd struct{ ourState }

func (c *tokenListCmd) Run(p *process) error {
	state, watches, err := c.open()
	if err != nil {
		return err
	}
	list, err := app.TellControl(p.ctx, state, http.MethodGet, "/api/v1/tokens", nil, watches, func(k *app.Control, _ api.Caller) (api.Tokens, error) { return k.Tokens(p.ctx) })
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(list)
	}
	for i := range list.Tokens {
		t := &list.Tokens[i]
		used := "never used"
		if t.LastUsed != nil {
			used = "used last " + t.LastUsed.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(p.stdout, "%s  %-7s %s; %d announced, %s\n", t.ID, t.State, tokenText(t), t.Granted, used)
	}
	if len(list.Tokens) == 0 {
		fmt.Fprintln(p.stdout, "there is no token")
	}
	return nil
}

type tokenRevokeCmd struct {
	ID string `arg:"" name:"ID" help:"The token, as tocsin token list names it."`
	ourState
}

func (c *tokenRevokeCmd) Run(p *process) error {
	state, watches, err := c.open()
	if err != nil {
		return err
	}
	t, err := app.TellControl(p.ctx, state, http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(c.ID), nil, watches, func(k *app.Control, by api.Caller) (api.Token, error) {
		return k.RevokeToken(p.ctx, by, c.ID)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(t)
	}
	fmt.Fprintf(p.stdout, "revoked %s (%s); %s ended with it\n", t.ID, notify.Safe(t.Name, 200), count(t.Cancelled, "open announcement"))
	fmt.Fprintf(p.stdout, "next: tocsin expect list --all, for what it announced before\n")
	return nil
}
