package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
)

// telling is whom a config tells of incidents, and how patiently.
func telling(c *config.Config) app.Telling {
	d, i := incident.Defaults, c.Incidents
	return app.Telling{Routes: c.Routes, Incidents: incident.Config{
		Wait: cmp.Or(i.Wait, d.Wait), Regroup: cmp.Or(i.Regroup, d.Regroup), Repeat: cmp.Or(i.Repeat, d.Repeat), Escalate: cmp.Or(i.Escalate, d.Escalate),
		CAGroups: cmp.Or(i.CAGroups, d.CAGroups), CAWindow: cmp.Or(i.CAWindow, d.CAWindow),
	}}
}

// routesGroup walks through the routes.
type routesGroup struct {
	Test routesTestCmd `cmd:"" help:"Walk through the routes with a surprise that is made up: who would be told, when, and why."`
}

type routesTestCmd struct {
	Config   string    `short:"c" type:"path" help:"Config file."`
	Level    string    `help:"Its level." enum:"alarm,page" default:"alarm"`
	Owner    []string  `help:"The owners that it concerns." placeholder:"OWNER"`
	Watch    []string  `help:"The watches that it touches; their owners are concerned, too." placeholder:"WATCH"`
	Escalate bool      `help:"As if nobody had acknowledged it."`
	At       time.Time `help:"When it comes, as 2026-11-28T03:00:00Z; now by default." format:"2006-01-02T15:04:05Z07:00"`
	JSON     bool      `help:"Print one JSON object."`
}

func (c *routesTestCmd) Run(p *process) error {
	cfg, err := loadConfig(c.Config, nil)
	if err != nil {
		return err
	}
	m := route.Matter{Owners: c.Owner, Watches: c.Watch, Escalate: c.Escalate}
	if m.Level, err = policy.ParseSurprise(c.Level); err != nil {
		return err
	}
	known := false
	for _, name := range c.Watch {
		known = false
		for i := range cfg.Watches {
			if w := &cfg.Watches[i]; w.Name == name {
				m.Owners, known = append(m.Owners, w.Owner), true
			}
		}
		if !known {
			return &hintError{err: fmt.Errorf("there is no watch %q", notify.Safe(name, 100)), hint: "the config names its watches", code: exitUsage}
		}
	}
	var names []string
	for _, r := range cfg.Receivers {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		names = []string{"stdout"}
	}
	at := c.At
	if at.IsZero() {
		at = time.Now()
	}
	walk := route.Walk(cfg.Routes, names, m, at)
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(walk)
	}
	for _, s := range walk.Steps {
		word := "passes by"
		if s.Taken {
			word = "takes it"
		}
		fmt.Fprintf(p.stdout, "route %d (%s) %s: %s\n", s.Route, notify.Safe(s.Place, 200), word, notify.Safe(s.Why, 300))
	}
	for _, d := range walk.To {
		when := "at once"
		if !d.At.IsZero() {
			when = "from " + d.At.Format(time.RFC3339)
		}
		fmt.Fprintf(p.stdout, "told: %s, %s: %s\n", notify.Safe(d.Receiver, 100), when, notify.Safe(d.Why, 300))
	}
	_, err = fmt.Fprintf(p.stdout, "next: tocsin receivers test %s\n", notify.Safe(walk.To[0].Receiver, 100))
	return err
}
