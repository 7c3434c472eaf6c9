package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
)

// silenceGroup mutes what is known, for a time.
type silenceGroup struct {
	Add  silenceAddCmd  `cmd:"" help:"Mute what is known, for a time and with a reason; with --dry-run only say what that would have muted."`
	List silenceListCmd `cmd:"" help:"List the silences that are not over, and what each has muted."`
	End  silenceEndCmd  `cmd:"" help:"End a silence early. What it muted is told."`
}

type silenceAddCmd struct {
	place
	Owner  []string `help:"Only what touches no other owner." placeholder:"OWNER"`
	Watch  []string `help:"Only what touches no other watch." placeholder:"WATCH"`
	Name   []string `help:"Only what names nothing else: a name and all beneath it, =NAME, an address or a network." placeholder:"NAME"`
	Issuer []string `help:"Only what this CA owner issued, or spki: and the SHA-256 of its key." placeholder:"ISSUER"`
	Key    []string `help:"Only what has this key: the SHA-256 of it." placeholder:"HASH"`
	Rule   []string `help:"Only what no other rule makes ring." placeholder:"ID"`
	For    string   `help:"How long, as 2h or 7d; 90 days at most." required:"" placeholder:"TIME"`
	Reason string   `help:"Why." required:"" placeholder:"TEXT"`
	By     string   `help:"Who says so; the user's name by default." placeholder:"NAME"`
	AtMost string   `help:"The highest level that is muted; page must be said." enum:"alarm,page" default:"alarm"`
	DryRun bool     `help:"Only say what it would have muted."`
}

func (c *silenceAddCmd) Run(p *process) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	long, err := config.ParseDuration(c.For)
	if err != nil {
		return &hintError{err: fmt.Errorf("--for: %w", err), hint: "a number with a unit, as 2h or 7d", code: exitUsage}
	}
	most, err := policy.ParseSurprise(c.AtMost)
	if err != nil {
		return err
	}
	s := incident.Silence{End: time.Now().Add(long).UTC(), By: person(c.By), Reason: c.Reason, Match: incident.Matchers{
		Owners: c.Owner, Watches: c.Watch, Names: c.Name, Issuers: c.Issuer, Keys: c.Key, Rules: c.Rule, AtMost: most}}
	out, err := app.AskSilence(p.ctx, state, s, c.DryRun)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(out)
	}
	next := c.command("tocsin silence list")
	if out.Made {
		fmt.Fprintf(p.stdout, "silence %s until %s\n", out.Silence.ID, out.Silence.End.Format(time.RFC3339))
	} else {
		fmt.Fprintf(p.stdout, "no silence was made\n")
		next = "the same without --dry-run"
	}
	_, err = fmt.Fprintf(p.stdout, "%s\nnext: %s\n", out.Text, notify.Safe(next, 500))
	return err
}

type silenceListCmd struct{ place }

func (c *silenceListCmd) Run(p *process) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	all, err := app.AskSilences(p.ctx, state)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(p.stdout, "no silence\nnext: %s\n", notify.Safe(c.command("tocsin incidents"), 500))
		return err
	}
	for i := range all {
		s := &all[i]
		fmt.Fprintf(p.stdout, "%s  until %s by %s: %s\n    %s; muted %s", s.ID, s.End.UTC().Format(time.RFC3339), notify.Safe(s.By, 100), notify.Safe(s.Reason, 300), notify.Safe(coveredText(&s.Match), 500), count(s.Hid, "event"))
		if s.HidAddresses > 0 {
			fmt.Fprintf(p.stdout, ", %d of them for addresses", s.HidAddresses)
		}
		fmt.Fprintln(p.stdout)
	}
	_, err = fmt.Fprintf(p.stdout, "next: %s\n", notify.Safe(c.command("tocsin silence end "+all[0].ID), 500))
	return err
}

func coveredText(m *incident.Matchers) string {
	var parts []string
	for _, l := range []struct {
		what string
		list []string
	}{{"owner", m.Owners}, {"watch", m.Watches}, {"name", m.Names}, {"issuer", m.Issuers}, {"key", m.Keys}, {"rule", m.Rules}} {
		if len(l.list) > 0 {
			parts = append(parts, l.what+" "+strings.Join(l.list, " or "))
		}
	}
	return strings.Join(parts, ", ") + ", up to " + max(m.AtMost, policy.Alarm).String()
}

type silenceEndCmd struct {
	ID string `arg:"" name:"ID" help:"The id of the silence."`
	place
	By string `help:"Who says so; the user's name by default." placeholder:"NAME"`
}

func (c *silenceEndCmd) Run(p *process) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	if err := app.AskEndSilence(p.ctx, state, c.ID, person(c.By)); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(map[string]string{"ended": c.ID})
	}
	_, err = fmt.Fprintf(p.stdout, "silence %s is over\nnext: %s\n", notify.Safe(c.ID, 60), notify.Safe(c.command("tocsin incidents"), 500))
	return err
}
