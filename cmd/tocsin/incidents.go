package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// place finds the state that a command is about.
type place struct {
	Config string `short:"c" type:"path" help:"Config file, for the place of the state file."`
	State  string `type:"path" help:"State file."`
	JSON   bool   `help:"Print JSON."`
}

func (c *place) path() (string, error) {
	cfg, err := configForState(c.Config)
	if err != nil {
		return "", err
	}
	return statePath(c.State, cfg)
}

// command is a command that is likely to be run next, for the same state.
func (c *place) command(text string) string { return text + withState(c.State, c.Config) }

// incidentsGroup lists incidents and shows one.
type incidentsGroup struct {
	List incidentsListCmd `cmd:"" default:"withargs" help:"List the open incidents, the loudest first."`
	Show incidentsShowCmd `cmd:"" help:"Show one incident with its certificates, and what was done."`
}

type incidentsListCmd struct {
	place
	Closed  bool   `help:"Those that were resolved or explained, in place of the open ones."`
	Owner   string `help:"Only those of this owner."`
	Status  string `help:"Only those with this status." placeholder:"STATUS"`
	AtLeast string `help:"Only those of this level and above." enum:",alarm,page" default:""`
	Limit   int    `help:"How many at most." default:"10000"`
}

func (c *incidentsListCmd) Run(p *process) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	all, err := app.AskIncidents(p.ctx, state, app.IncidentQuery{Closed: c.Closed, Owner: c.Owner, Status: c.Status, AtLeast: c.AtLeast, Limit: c.Limit})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(p.stdout, "no incident\nnext: %s\n", notify.Safe(c.command("tocsin logs"), 500))
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 4, 2, ' ', 0)
	for _, i := range all {
		of := i.Group
		if i.Owner != "" {
			of = i.Owner + ": " + of
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.Level, i.Status, i.Opened.Format("2006-01-02 15:04Z"), count(i.Certificates, "certificate"), notify.Safe(of, 60), notify.Safe(i.Title, 120))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "next: %s\n", notify.Safe(c.command("tocsin incidents show "+all[0].ID), 500))
	return err
}

type incidentsShowCmd struct {
	ID string `arg:"" name:"ID" help:"First digits (4 or more) of the id of the incident."`
	place
}

func (c *incidentsShowCmd) Run(p *process) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	i, err := app.AskIncident(p.ctx, state, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(i)
	}
	return incidentText(p.stdout, i, c.command)
}

func incidentText(w io.Writer, i *app.IncidentDetail, command func(string) string) error {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("%s  %s  %s", i.Level, i.ID, i.Title)
	say("  status     %s since %s", i.Status, i.Updated.Format(time.RFC3339))
	if s := &i.State; s.By != "" {
		say("  by         %s, %s: %s", notify.Safe(s.By, 100), s.At.UTC().Format(time.RFC3339), notify.Safe(s.Comment, 300))
	}
	if i.Owner != "" {
		say("  owner      %s", notify.Safe(i.Owner, 100))
	}
	say("  about      %s", i.Group)
	say("  watches    %s", notify.Safe(strings.Join(i.State.Subject.Watches, ", "), 300))
	say("  opened     %s, told %s", i.Opened.Format(time.RFC3339), count(i.State.Sequence, "time"))
	if i.Parent != "" {
		say("  beneath    %s, the incident of the CA", i.Parent)
	}
	for why, n := range i.State.Suppressed {
		say("  not told   %s: %s", count(n, "event"), why)
	}
	say("certificates: %d, of which %d are surprises", i.Certificates, i.State.Ringing)
	for _, m := range i.Members {
		var a notify.Alarm
		_ = json.Unmarshal(m.Alarm, &a) // shown as far as it is understood
		say("  %s  %s  %s  %s", m.Issuance[:16], m.Level, m.Since.Format(time.RFC3339), notify.Safe(strings.Join(append(a.Certificate.DNSNames, a.Certificate.IPs...), " "), 100))
		for _, r := range a.Reasons {
			if !r.Held {
				say("    %s", notify.Safe(r.Text, 300))
			}
		}
	}
	if len(i.Children) > 0 {
		say("beneath it:")
		for _, child := range i.Children {
			say("  %s  %s  %s  %s", child.ID, child.Level, child.Status, child.Title)
		}
	}
	if len(i.Trail) > 0 {
		say("what was done:")
		for _, t := range i.Trail {
			say("  %s  %s by %s %s", t.At.Format(time.RFC3339), t.Kind, t.Actor, t.Text)
		}
	}
	next := "tocsin ack " + i.ID
	if i.Status == "acknowledged" || i.Status == "archived" {
		next = "tocsin resolve " + i.ID
	}
	say("next: %s", notify.Safe(command(next), 500))
	_, err := io.WriteString(w, b.String())
	return err
}

// word is what a person says of incidents.
type word struct {
	ID []string `arg:"" name:"ID" help:"First digits (4 or more) of the ids of incidents."`
	place
	By      string `help:"Who says so; the user's name by default." placeholder:"NAME"`
	Comment string `short:"m" help:"What others should know." placeholder:"TEXT"`
}

// ackCmd stops the repeating of incidents.
type ackCmd struct {
	word
	UntilDifferent bool `help:"Ring again only for a certificate by another issuing key, with another key or with other names."`
}

func (c *ackCmd) Run(p *process) error {
	return c.say(p, "ack", app.Word{UntilDifferent: c.UntilDifferent})
}

// resolveCmd ends incidents.
type resolveCmd struct{ word }

func (c *resolveCmd) Run(p *process) error { return c.say(p, "resolve", app.Word{}) }

func (c *word) say(p *process, what string, w app.Word) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	w.By, w.Comment = person(c.By), c.Comment
	for _, id := range c.ID {
		i, err := app.AskSay(p.ctx, state, id, what, w)
		if err != nil {
			return err
		}
		if c.JSON {
			err = json.NewEncoder(p.stdout).Encode(i)
		} else {
			_, err = fmt.Fprintf(p.stdout, "%s  %s  %s\n", i.ID, i.Status, i.Title)
		}
		if err != nil {
			return err
		}
	}
	if c.JSON {
		return nil
	}
	_, err = fmt.Fprintf(p.stdout, "next: %s\n", notify.Safe(c.command("tocsin incidents"), 500))
	return err
}

// person is who runs the command, for the trail.
func person(given string) string {
	if given != "" {
		return given
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "somebody"
}
