package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// expectGroup is about announced issuances. Without a further word it announces one.
type expectGroup struct {
	Announce expectCmd       `cmd:"" default:"withargs" help:"Announce an issuance (also without the word announce)."`
	List     expectListCmd   `cmd:"" help:"Show what was announced."`
	Cancel   expectCancelCmd `cmd:"" help:"End an announcement for what has not used it yet."`
}

type expectCmd struct {
	Names         []string `arg:"" optional:"" name:"NAME" help:"Each name and address of the certificate, exactly as it will stand there."`
	CSR           string   `name:"csr" type:"path" help:"Certification request in PEM: gives names and key."`
	Key           []string `help:"SHA-256 of the certificate's public key in hexadecimal; may be given several times."`
	Issuer        []string `help:"The CA, by its CAA domain or name, or spki: and the hash of its key; may be given several times."`
	For           string   `default:"2h" help:"How long the announcement lasts: 90m, 2h, 7d."`
	Count         int      `default:"1" help:"How many issuances may use it."`
	Reason        string   `required:"" help:"Why: people read it in the digest."`
	NotifyMissing bool     `help:"Tell when it ends without having been used."`
	elsewhere
	ourState
}

func (c *expectCmd) Run(p *process) error {
	r := expectation.Request{Names: c.Names, Issuers: c.Issuer, Keys: c.Key, For: c.For, Count: c.Count, Reason: c.Reason, NotifyMissing: c.NotifyMissing}
	if c.Count == 0 {
		r.Count = -1 // said, and wrong
	}
	var err error
	if r.CSR, err = smallFile(c.CSR); err != nil {
		return err
	}
	e, err := c.announce(p, r)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(e)
	}
	fmt.Fprintf(p.stdout, "announced %s: %s\n", e.ID, expectationText(&e))
	if e.Label != "" {
		fmt.Fprintf(p.stdout, "warning: by issuer alone: %s; give --key or --csr\n", e.Label)
	}
	fmt.Fprintf(p.stdout, "next: tocsin expect list%s\n", notify.Safe(withState(c.State, c.Config), 500))
	return nil
}

func (c *expectCmd) announce(p *process, r expectation.Request) (api.Expectation, error) {
	if c.URL != "" {
		return overAPI[api.Expectation](p.ctx, &c.elsewhere, "/api/v1/expectations", r)
	}
	state, watches, err := c.open()
	if err != nil {
		return api.Expectation{}, err
	}
	return app.TellControl(p.ctx, state, http.MethodPost, "/api/v1/expectations", r, watches, func(k *app.Control, by api.Caller) (api.Expectation, error) {
		return k.Announce(p.ctx, by, r)
	})
}

// expectationText is one announcement on one line.
func expectationText(e *api.Expectation) string {
	text := strings.Join(e.Names, ", ")
	if len(e.Keys) > 0 {
		text += " with key " + strings.Join(e.Keys, " or ")
	}
	if len(e.Issuers) > 0 {
		text += " by " + strings.Join(e.Issuers, " or ")
	}
	return notify.Safe(fmt.Sprintf("%s, until %s, %d of %d used: %s", text, e.Until.UTC().Format(time.RFC3339), e.Used, e.Count, e.Reason), 2000)
}

type expectListCmd struct {
	All bool `help:"Also what is used, over or cancelled."`
	ourState
}

func (c *expectListCmd) Run(p *process) error {
	state, watches, err := c.open()
	if err != nil {
		return err
	}
	list, err := app.TellControl(p.ctx, state, http.MethodGet, "/api/v1/expectations", nil, watches, func(k *app.Control, by api.Caller) (api.Expectations, error) {
		return k.Expectations(p.ctx, by)
	})
	if err != nil {
		return err
	}
	shown := []api.Expectation{}
	for _, e := range list.Expectations {
		if c.All || e.State == "open" {
			shown = append(shown, e)
		}
	}
	list.Expectations = shown
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(list)
	}
	for i := range shown {
		e := &shown[i]
		fmt.Fprintf(p.stdout, "%s  %-9s %s\n", e.ID, e.State, expectationText(e))
		fmt.Fprintf(p.stdout, "      by %s\n", notify.Safe(e.By, 200))
		if e.Label != "" {
			fmt.Fprintf(p.stdout, "      %s\n", e.Label)
		}
		for _, id := range e.Issuances {
			fmt.Fprintf(p.stdout, "      used by %s\n", id)
		}
	}
	if len(shown) == 0 {
		fmt.Fprintln(p.stdout, "nothing is announced")
	}
	return nil
}

type expectCancelCmd struct {
	ID string `arg:"" name:"ID" help:"The announcement, as tocsin expect list names it."`
	ourState
}

func (c *expectCancelCmd) Run(p *process) error {
	state, watches, err := c.open()
	if err != nil {
		return err
	}
	e, err := app.TellControl(p.ctx, state, http.MethodDelete, "/api/v1/expectations/"+url.PathEscape(c.ID), nil, watches, func(k *app.Control, by api.Caller) (api.Expectation, error) {
		return k.Cancel(p.ctx, by, c.ID)
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(e)
	}
	fmt.Fprintf(p.stdout, "cancelled %s: %s\n", e.ID, expectationText(&e))
	return nil
}

// maxSmallFile bounds what is read of a file that a person names: a certificate with its chain, a CSR.
const maxSmallFile = 200 << 10

// smallFile reads such a file; "" for no file.
func smallFile(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", &hintError{err: err, hint: "name a file that is there, and that you may read"}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSmallFile {
		return "", &hintError{err: errors.New(path + " is larger than 200 KiB"), hint: "give one certificate with its chain, or one CSR"}
	}
	return string(b), nil
}
