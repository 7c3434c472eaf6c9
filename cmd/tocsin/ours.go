package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// defaultSettle is how long a surprise by name waits for the journal, where there is one.
const defaultSettle = 15 * time.Minute

// settle is how long a surprise of a watch waits for the journal: see policy.Expect.
func settle(c *config.Config, w *config.Watch) time.Duration {
	switch {
	case w.Expect.Settle != nil:
		return *w.Expect.Settle
	case c.Journal.Given, slices.Contains(w.Expect.Keys, policy.Journal):
		return defaultSettle
	}
	return 0
}

// ours is what the daemon is to know and hear of our own issuance. The notes are for people.
func ours(c *config.Config) (o app.Ours, notes []string, err error) {
	j := &c.Journal
	o = app.Ours{Control: j.PositiveControl || !j.Given, Endpoints: j.Endpoints, ProbeEvery: j.Probe, Listen: c.API.Listen}
	if len(j.Directories) > 0 {
		var dirs []journal.Directory
		for _, d := range j.Directories {
			dirs = append(dirs, journal.Directory{Path: d.Path, Layout: journal.Layout(d.Layout)})
		}
		o.Journal = journal.Open(dirs)
		for _, p := range o.Journal.Problems() {
			notes = append(notes, "journal: "+p.String())
		}
	}
	if c.API.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.API.Cert, c.API.Key)
		if err != nil {
			return o, nil, &hintError{err: fmt.Errorf("the certificate of the API: %w", err), hint: "api.cert_file and api.key_file name PEM files that belong together"}
		}
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	return o, notes, nil
}

// ourState are the flags of commands that change or ask a state.
type ourState struct {
	Config string `short:"c" type:"path" help:"Config file, for the place of the state file and the names of watches."`
	State  string `type:"path" help:"State file."`
	JSON   bool   `help:"Print JSON."`
}

// open finds the state, and the watches where there is a config.
func (c *ourState) open() (state string, watches []watch.Watch, err error) {
	cfg, err := configForState(c.Config)
	if err != nil {
		return "", nil, err
	}
	if cfg != nil {
		for _, w := range cfg.Watches {
			watches = append(watches, w.Watch)
		}
	}
	state, err = statePath(c.State, cfg)
	return state, watches, err
}

// elsewhere are the flags of commands that may also speak to a tocsin on another machine.
type elsewhere struct {
	URL       string `name:"url" help:"Speak to the API of a tocsin elsewhere, as https://tocsin.example.com:8631, within the scope of a token."`
	TokenFile string `type:"path" help:"File with the token for --url."`
}

// overAPI posts to the API of a tocsin elsewhere.
func overAPI[T any](ctx context.Context, at *elsewhere, path string, in any) (out T, err error) {
	u, err := url.Parse(at.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return out, &hintError{err: errors.New("--url is no address of an API"), hint: "such as https://tocsin.example.com:8631", code: exitUsage}
	}
	if at.TokenFile == "" {
		return out, &hintError{err: errors.New("--url needs --token-file"), hint: "tocsin token add makes a token; keep it in a file that only its user can read", code: exitUsage}
	}
	token, err := smallFile(at.TokenFile)
	if err != nil {
		return out, err
	}
	if token = strings.TrimSpace(token); !isToken(token) {
		return out, &hintError{err: fmt.Errorf("%s holds no token", at.TokenFile), hint: "one line, as tocsin token add prints it: tocsin_…", code: exitUsage}
	}
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	// A redirect would carry the token to somebody else.
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return out, fmt.Errorf("asking the API: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return out, fmt.Errorf("asking the API: %w", err)
	}
	if resp.StatusCode >= 300 {
		var problem api.Problem
		if json.Unmarshal(answer, &problem) != nil || problem.Detail == "" {
			problem.Detail = "the API answered " + resp.Status
		}
		return out, &problem
	}
	return out, json.Unmarshal(answer, &out)
}

func isToken(text string) bool {
	_, err := expectation.TokenID(text)
	return err == nil && !strings.ContainsAny(text, " \r\n")
}
