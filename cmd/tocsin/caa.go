package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/facts/caa"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// caaCmd shows what the CAA records said, and when.
type caaCmd struct {
	Zone   string `arg:"" optional:"" name:"ZONE" help:"A name: it, what is beneath it and above it; all without."`
	Config string `short:"c" type:"path" help:"Config file, for the place of the state file."`
	State  string `type:"path" help:"State file."`
	JSON   bool   `help:"Print one JSON object per line."`
}

func (c *caaCmd) Run(p *process) error {
	cfg, err := configForState(c.Config)
	if err != nil {
		return err
	}
	state, err := statePath(c.State, cfg)
	if err != nil {
		return err
	}
	all, err := app.AskCAA(p.ctx, state, c.Zone)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		hint := "tocsin watch looks at them when the config has caa.resolvers"
		if c.Zone != "" {
			hint += "; without a name, tocsin caa shows all that were looked at"
		}
		return &hintError{err: fmt.Errorf("no CAA records were looked at"), hint: hint, code: exitBlind}
	}
	if c.JSON {
		enc := json.NewEncoder(p.stdout)
		for _, h := range all {
			if err := enc.Encode(h); err != nil {
				return err
			}
		}
		return nil
	}
	caaText(p.stdout, all)
	return nil
}

// caaText says of each name what its records were, the newest last.
func caaText(w io.Writer, all []app.CAAHistory) {
	date := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	for _, h := range all {
		fmt.Fprintf(w, "%s\n", notify.Safe(h.Name, 260))
		for _, s := range h.Spans {
			span := date(s.First) + " to " + date(s.Last)
			if !s.Known {
				fmt.Fprintf(w, "  %s  unknown: %s\n", span, notify.Safe(s.Why, 500))
				continue
			}
			set := caa.NewSet(s.Records...)
			fmt.Fprintf(w, "  %s  %s\n", span, notify.Safe(set.String(), 2000))
			if len(s.Via) > 0 {
				fmt.Fprintf(w, "      by the aliases %s\n", notify.Safe(strings.Join(s.Via, ", "), 500))
			}
			switch {
			case s.Claimed && s.DNSSEC == caa.Secure:
				fmt.Fprintf(w, "      DNSSEC: secure, as a resolver on the network claims\n")
			case s.DNSSEC != "" && s.DNSSEC != caa.Unknown:
				fmt.Fprintf(w, "      DNSSEC: %s\n", notify.Safe(s.DNSSEC, 20))
			default:
				fmt.Fprintf(w, "      DNSSEC: unknown: the resolver is not known to validate\n")
			}
			for _, what := range s.Changed {
				fmt.Fprintf(w, "      changed: %s\n", notify.Safe(what, 1000))
			}
		}
	}
	fmt.Fprintf(w, "accounturi and validationmethods are not verifiable from CT; %s\n", caa.Addresses)
	fmt.Fprintf(w, "next: tocsin explain ID says what they meant for a certificate\n")
}

// caaOptions says whom to ask for CAA records.
func caaOptions(c *config.Config) app.CAA {
	o := app.CAA{Resolvers: c.CAA.Resolvers, Every: c.CAA.Every, Deadline: c.CAA.Deadline}
	for _, z := range c.CAA.Zones {
		o.Zones = append(o.Zones, z.Name)
	}
	return o
}
