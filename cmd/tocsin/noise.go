package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// policyNoiseCmd says how loud each rule was, and whether anybody cared.
type policyNoiseCmd struct {
	place
	Since string `default:"30d" help:"From when on is counted: a time before now, as 30d, or a date."`
}

func (c *policyNoiseCmd) Run(p *process) error {
	since, err := before(c.Since, time.Now())
	if err != nil {
		return err
	}
	state, err := c.path()
	if err != nil {
		return err
	}
	n, err := app.AskNoise(p.ctx, state, since)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(n)
	}
	fmt.Fprintf(p.stdout, "since %s: %s rang, %d of them acknowledged or resolved by somebody\n", n.Since.Format(time.RFC3339), count(n.Alarms, "certificate"), n.Acted)
	if len(n.Rules) > 0 {
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "RULE\tALARMS\tA WEEK\tACTED UPON\tTITLE")
		for _, r := range n.Rules {
			id := r.Rule
			if id == "" {
				id = "-"
			}
			fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f %%\t%s\n", notify.Safe(id, 60), r.Alarms, r.PerWeek, 100*r.Share, notify.Safe(r.Title, 100))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(p.stdout, "next: %s\n", notify.Safe(c.command("tocsin policy replay"), 500))
	return err
}
