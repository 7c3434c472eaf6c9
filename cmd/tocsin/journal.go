package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// journalGroup is about what is ours.
type journalGroup struct {
	Push journalPushCmd `cmd:"" help:"Journal a certificate, CSR or key of ours: what the hook of an ACME client calls."`
	List journalListCmd `cmd:"" help:"Show what is ours, and whether it was seen in CT."`
}

type journalPushCmd struct {
	Cert    string `type:"path" xor:"what" help:"Certificate in PEM, best with its chain."`
	CSR     string `name:"csr" type:"path" xor:"what" help:"Certification request in PEM."`
	KeyHash string `xor:"what" help:"SHA-256 of the public key (SubjectPublicKeyInfo) in hexadecimal."`
	Source  string `help:"Where it comes from, in a few words."`
	End     bool   `help:"Take a pushed key back: it is not ours any more."`
	elsewhere
	ourState
}

func (c *journalPushCmd) Run(p *process) error {
	push := api.Push{Key: c.KeyHash, Source: c.Source, End: c.End}
	var err error
	if push.Certificate, err = smallFile(c.Cert); err != nil {
		return err
	}
	if push.CSR, err = smallFile(c.CSR); err != nil {
		return err
	}
	if push.Certificate == "" && push.CSR == "" && push.Key == "" {
		return &hintError{err: errors.New("nothing to push"), hint: "name --cert FILE, --csr FILE or --key-hash; docs/journal.md shows it for each ACME client", code: exitUsage}
	}
	if push.Source == "" && (c.Cert != "" || c.CSR != "") {
		push.Source = c.Cert + c.CSR
		if len(push.Source) > 200 {
			push.Source = "…" + push.Source[len(push.Source)-150:]
		}
	}
	var done api.Pushed
	if c.URL != "" {
		done, err = overAPI[api.Pushed](p.ctx, &c.elsewhere, "/api/v1/journal", push)
	} else {
		state, watches, serr := c.open()
		if serr != nil {
			return serr
		}
		done, err = app.TellControl(p.ctx, state, http.MethodPost, "/api/v1/journal", push, watches, func(k *app.Control, by api.Caller) (api.Pushed, error) {
			return k.Push(p.ctx, by, push)
		})
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(done)
	}
	word := "journalled"
	switch {
	case c.End:
		word = "no longer ours:"
	case !done.New:
		word = "journalled before:"
	}
	fmt.Fprintf(p.stdout, "%s key %s\n", word, done.Key)
	if len(done.Names) > 0 {
		fmt.Fprintf(p.stdout, "      for %s\n", notify.Safe(strings.Join(done.Names, ", "), 500))
	}
	if done.Reconsidered > 0 {
		fmt.Fprintf(p.stdout, "      %s decided again\n", count(done.Reconsidered, "issuance"))
	}
	return nil
}

type journalListCmd struct {
	Control string `help:"Only certificates whose positive control stands so: waiting, seen, overdue, unpromised, before, unwatched."`
	Limit   int    `default:"100" help:"How many, the newest first."`
	ourState
}

func (c *journalListCmd) Run(p *process) error {
	if c.Limit < 1 || c.Limit > 10_000 {
		return &hintError{err: fmt.Errorf("--limit %d is out of bounds", c.Limit), hint: "from 1 to 10000", code: exitUsage}
	}
	state, watches, err := c.open()
	if err != nil {
		return err
	}
	q := url.Values{"control": {c.Control}, "limit": {strconv.Itoa(c.Limit)}}
	list, err := app.TellControl(p.ctx, state, http.MethodGet, "/api/v1/journal?"+q.Encode(), nil, watches, func(k *app.Control, _ api.Caller) (api.Entries, error) {
		return k.Journal(p.ctx, c.Control, c.Limit)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(list)
	}
	for i := range list.Entries {
		e := &list.Entries[i]
		text := fmt.Sprintf("%-11s %s  %s", e.Kind, e.At.UTC().Format(time.RFC3339), e.Key)
		if len(e.Names) > 0 {
			text += "  " + strings.Join(e.Names, ", ")
		}
		text += "  " + e.Source
		if e.Ended != nil {
			text += "  (no longer ours since " + e.Ended.UTC().Format(time.RFC3339) + ")"
		}
		fmt.Fprintln(p.stdout, notify.Safe(text, 1000))
		if e.Control != "" {
			fmt.Fprintf(p.stdout, "      in CT: %s: %s\n", e.Control, notify.Safe(e.Note, 500))
		}
	}
	for _, o := range list.Observed {
		fmt.Fprintln(p.stdout, notify.Safe(fmt.Sprintf("observed    %s  %s  at %s (lowers no verdict)", o.Last.UTC().Format(time.RFC3339), o.Key, o.Endpoint), 500))
	}
	if len(list.Entries) == 0 && len(list.Observed) == 0 {
		fmt.Fprintln(p.stdout, "the journal is empty")
	}
	return nil
}
