package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// receivers makes the receivers of a config; without any, matches are printed. What is wrong with one is told with its
// place.
func receivers(c *config.Config, w io.Writer, json bool) ([]notify.Receiver, error) {
	var out []notify.Receiver
	var errs []error
	for _, r := range c.Receivers {
		made, err := receiver(r, w, json)
		if err != nil {
			errs = append(errs, &hintError{err: fmt.Errorf("%s: receiver %s: %w", r.Place, r.Name, err), hint: "once it is changed: tocsin receivers test " + r.Name})
			continue
		}
		out = append(out, made)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		out = append(out, notify.NewStdout(w, &notify.StdoutOptions{JSON: json}))
	}
	return out, nil
}

// secret is how a receiver reads a secret, nil when there is none. One that cannot be had is refused at the start.
func secret(s config.Secret) (notify.Secret, error) {
	if !s.Given() {
		return nil, nil
	}
	_, err := s.Value()
	return s.Value, err
}

func receiver(r config.Receiver, w io.Writer, json bool) (notify.Receiver, error) {
	switch {
	case r.Stdout != nil:
		return notify.NewStdout(w, &notify.StdoutOptions{Name: r.Name, JSON: json || r.Stdout.JSON}), nil
	case r.Exec != nil:
		return notify.NewExec(r.Name, r.Exec.Command, &notify.ExecOptions{Timeout: r.Exec.Timeout, CertSpotter: r.Exec.CertSpotter})
	case r.Email != nil:
		e := r.Email
		password, err := secret(e.Password)
		if err != nil {
			return nil, err
		}
		return notify.NewEmail(r.Name, notify.EmailOptions{From: e.From, To: e.To, Server: e.Server, TLS: e.TLS, User: e.User, Password: password, Roots: e.Roots, Timeout: e.Timeout})
	case r.Webhook != nil:
		key, err := secret(r.Webhook.Secret)
		if err != nil {
			return nil, err
		}
		return notify.NewWebhook(r.Name, notify.WebhookOptions{URL: r.Webhook.URL, Secret: key, Roots: r.Webhook.Roots, Timeout: r.Webhook.Timeout})
	case r.Slack != nil:
		s := r.Slack
		hook, err := secret(s.URL)
		if err != nil {
			return nil, err
		}
		token, err := secret(s.Token)
		if err != nil {
			return nil, err
		}
		return notify.NewSlack(r.Name, notify.SlackOptions{Webhook: hook, Token: token, Channel: s.Channel, Server: s.Server, API: s.API, Roots: s.Roots, Timeout: s.Timeout})
	case r.PagerDuty != nil:
		p := r.PagerDuty
		key, err := secret(p.Key)
		if err != nil {
			return nil, err
		}
		return notify.NewPagerDuty(r.Name, notify.PagerDutyOptions{Key: key, URL: p.URL, Source: p.Source, Roots: p.Roots, Timeout: p.Timeout})
	case r.Syslog != nil:
		s := r.Syslog
		return notify.NewSyslog(r.Name, notify.SyslogOptions{Address: s.Address, Facility: s.Facility, JSON: s.JSON, Roots: s.Roots, Timeout: s.Timeout})
	case r.Shoutrrr != nil:
		to, err := secret(r.Shoutrrr.URL)
		if err != nil {
			return nil, err
		}
		return notify.NewShoutrrr(r.Name, notify.ShoutrrrOptions{URL: to, Timeout: r.Shoutrrr.Timeout})
	}
	return nil, errors.New("a receiver of no kind")
}

// receiversCmd shows the receivers of a configuration, and tries one.
type receiversCmd struct {
	List receiversListCmd `cmd:"" default:"withargs" help:"Show who is told."`
	Test receiversTestCmd `cmd:"" help:"Send a message that says that it is a test, and succeed only when the receiver took it."`
}

type receiversListCmd struct {
	Config string `short:"c" type:"path" help:"Config file."`
	JSON   bool   `help:"Print one JSON object per line."`
}

// receiverLine is what receivers list prints of one with --json.
type receiverLine struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	To     string `json:"to"`
	Stream bool   `json:"stream"`
	Least  string `json:"least"`
}

func (c *receiversListCmd) Run(p *process) error {
	cfg, err := loadConfig(c.Config, nil)
	if err != nil {
		return err
	}
	all, err := receivers(cfg, p.stdout, false)
	if err != nil {
		return err
	}
	configured := slices.Clone(cfg.Receivers)
	if len(configured) == 0 {
		configured = []config.Receiver{{Name: all[0].Name(), Stdout: &config.Stdout{}}}
	}
	for i, r := range all {
		kind, to := configured[i].Kind()
		line := receiverLine{Name: r.Name(), Kind: kind, To: to, Stream: r.Stream(), Least: leastOf(r)}
		if c.JSON {
			if err := json.NewEncoder(p.stdout).Encode(line); err != nil {
				return err
			}
			continue
		}
		gets := "incidents"
		if line.Stream {
			gets = "each issuance"
		}
		fmt.Fprintf(p.stdout, "%-16s %-10s %s; %s, from %s up\n", notify.Safe(line.Name, 60), kind, notify.Safe(to, 200), gets, line.Least)
	}
	if !c.JSON {
		fmt.Fprintf(p.stdout, "next: tocsin receivers test %s\n", notify.Safe(all[0].Name(), 60))
	}
	return nil
}

// leastOf is the lowest level that a receiver is told of.
func leastOf(r notify.Receiver) string {
	for _, level := range []string{"expected", "digest", "alarm", "page"} {
		if r.Wants(level) {
			return level
		}
	}
	return "none"
}

type receiversTestCmd struct {
	Name    string        `arg:"" help:"The receiver, as the config names it."`
	Config  string        `short:"c" type:"path" help:"Config file."`
	Timeout time.Duration `default:"1m" help:"How long the receiver may take."`
	JSON    bool          `help:"Print one JSON object."`
}

// receiverTest is what receivers test prints with --json.
type receiverTest struct {
	Kind     string  `json:"kind"`
	Receiver string  `json:"receiver"`
	ID       string  `json:"id"`
	Taken    bool    `json:"taken"`
	Error    string  `json:"error"`
	Seconds  float64 `json:"seconds"`
}

func (c *receiversTestCmd) Run(p *process) error {
	cfg, err := loadConfig(c.Config, nil)
	if err != nil {
		return err
	}
	// Only that one is made: a mistake in another is no reason not to try it.
	i := slices.IndexFunc(cfg.Receivers, func(r config.Receiver) bool { return r.Name == c.Name })
	if i < 0 {
		var names []string
		for _, r := range cfg.Receivers {
			names = append(names, r.Name)
		}
		if names == nil {
			names = []string{"none is configured; then matches are printed"}
		}
		return &hintError{err: fmt.Errorf("no receiver is named %q", c.Name), hint: "there are: " + strings.Join(names, ", ")}
	}
	to, err := receiver(cfg.Receivers[i], p.stdout, false)
	if err != nil {
		return fmt.Errorf("%s: receiver %s: %w", cfg.Receivers[i].Place, c.Name, err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	n := notify.Test(hex.EncodeToString(id), time.Now())
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	begin := time.Now()
	err = to.Send(ctx, n)
	line := receiverTest{Kind: "receiver-test", Receiver: c.Name, ID: n.ID, Taken: err == nil, Seconds: time.Since(begin).Seconds()}
	if err != nil {
		line.Error = notify.Safe(err.Error(), 2000)
	}
	if c.JSON {
		if err := json.NewEncoder(p.stdout).Encode(line); err != nil {
			return err
		}
		if !line.Taken {
			return exitError(exitBlind)
		}
		return nil
	}
	if err != nil {
		return &hintError{err: fmt.Errorf("%s did not take the message: %w", c.Name, err), hint: "nobody is told through it until this is mended", code: exitBlind}
	}
	fmt.Fprintf(p.stdout, "%s took the test message %s: look whether it arrived\n", notify.Safe(c.Name, 60), n.ID)
	return nil
}
