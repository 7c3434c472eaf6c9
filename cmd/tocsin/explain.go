package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// explainCmd shows why one issuance rang, or did not.
type explainCmd struct {
	ID     string `arg:"" name:"ID" help:"First digits (4 or more) of the id of an issuance or alarm, or of a certificate's SHA-256."`
	Config string `short:"c" type:"path" help:"Config file, for the place of the state file."`
	State  string `type:"path" help:"State file."`
	JSON   bool   `help:"Print one JSON object."`
}

func (c *explainCmd) Run(p *process) error {
	cfg, err := configForState(c.Config)
	if err != nil {
		return err
	}
	state, err := statePath(c.State, cfg)
	if err != nil {
		return err
	}
	x, err := app.AskExplain(p.ctx, state, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(x)
	}
	return explainText(p.stdout, x, "tocsin logs"+withState(c.State, c.Config))
}

func explainText(w io.Writer, x *app.Explanation, next string) error {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	safe := func(s string) string { return notify.Safe(s, 300) }
	say("%s  %s", x.Level, x.ID)
	say("  first seen  %s", x.FirstSeen.UTC().Format(time.RFC3339))
	kind := "certificate"
	if x.Precert {
		kind = "precertificate; no final certificate was seen"
	}
	say("  what        %s", kind)
	for _, h := range x.SHA256 {
		say("  sha256      %s", h)
	}
	say("  subject     %s", safe(x.Certificate.Subject))
	say("  issuer      %s (as it says of itself)", safe(x.Certificate.Issuer))
	say("  serial      %s", safe(x.Certificate.Serial))
	say("  valid       %s to %s", x.Certificate.NotBefore.UTC().Format(time.DateTime), x.Certificate.NotAfter.UTC().Format(time.DateTime))
	var matched []notify.Match
	if err := json.Unmarshal(x.Matched, &matched); err != nil {
		return err
	}
	for _, m := range matched {
		odd := ""
		if m.Odd != "" {
			odd = ", read as " + safe(m.Odd)
		}
		say("  touches     %s: %s by %s %q%s", safe(m.Watch), safe(m.Item), safe(m.Where), safe(m.Value), odd)
	}
	for i, v := range x.Verdicts {
		latest := ""
		if i == len(x.Verdicts)-1 {
			latest = ", in force"
		}
		say("decided %s: %s (policy %d%s)", v.At.UTC().Format(time.RFC3339), v.Level, v.Policy, latest)
		for _, r := range v.Reasons {
			mark := "no "
			if r.Held {
				mark = "yes"
			}
			at := ""
			if r.Config != "" {
				at = "  (" + safe(r.Config) + ")"
			}
			say("  %s %-18s %s%s", mark, safe(r.Rule), safe(r.Text), at)
			if r.Observed != "" || r.Wanted != "" {
				say("      observed %s; wanted %s", safe(r.Observed), safe(r.Wanted))
			}
		}
	}
	if len(x.Verdicts) == 0 {
		say("not decided yet")
	}
	for _, s := range x.Sightings {
		what := "certificate"
		if s.Precert {
			what = "precertificate"
		}
		say("seen in %s #%d, %s, at %s", safe(s.Log), s.Index, what, s.Time.UTC().Format(time.RFC3339))
	}
	for _, s := range x.SCTs {
		say("promised by %s on %s for %s: %s", safe(s.Log), s.Time.UTC().Format(time.RFC3339), s.Due.UTC().Format(time.RFC3339), promiseText(&s))
	}
	var odd []cert.Oddity
	if err := json.Unmarshal(x.Oddities, &odd); err != nil {
		return err
	}
	for _, o := range odd {
		say("odd: %s: %s", safe(o.Code), safe(o.Text))
	}
	for _, i := range x.Incidents {
		what := "told with it"
		if i.NotTold != "" {
			what = "not told: " + i.NotTold
		}
		say("incident %s (%s), %s: %s", i.ID, i.Status, what, i.Title)
	}
	for _, m := range x.Messages {
		state := m.State
		if m.Delivered != nil {
			state += " " + m.Delivered.UTC().Format(time.RFC3339)
		}
		if m.Error != "" {
			state += fmt.Sprintf(" after %s: %s", count(m.Attempts, "attempt"), safe(m.Error))
		}
		say("told %s (%s): %s", safe(m.Receiver), safe(m.Kind), state)
	}
	say("next: %s", safe(next))
	_, err := io.WriteString(w, b.String())
	return err
}

// promiseText says how it stands with the promise of an SCT.
func promiseText(s *app.Promised) string {
	text := s.State
	if s.Index != nil {
		text += fmt.Sprintf(" at #%d", *s.Index)
	}
	if s.Note != "" {
		text += ": " + notify.Safe(s.Note, 300)
	}
	return text
}
