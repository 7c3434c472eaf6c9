package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/loglist"
)

// listsCmd shows the log lists, and accepts what was refused.
type listsCmd struct {
	Do     string `arg:"" optional:"" name:"accept" help:"Take over the update of a list that was refused for what it loses."`
	Source string `arg:"" optional:"" name:"SOURCE" help:"The list, as tocsin lists names it; not needed when only one waits."`
	Config string `short:"c" type:"path" help:"Config file, for the place of the state file."`
	State  string `type:"path" help:"State file."`
	JSON   bool   `help:"Print one JSON object."`
}

func (c *listsCmd) Run(p *process) error {
	if c.Do != "" && c.Do != "accept" {
		return &hintError{err: fmt.Errorf("unexpected argument %s", c.Do), hint: "tocsin lists, or tocsin lists accept", code: exitUsage}
	}
	cfg, err := configForState(c.Config)
	if err != nil {
		return err
	}
	state, err := statePath(c.State, cfg)
	if err != nil {
		return err
	}
	if c.Do != "" {
		return c.accept(p, state)
	}
	cov, err := app.AskCoverage(p.ctx, state)
	if err != nil {
		return err
	}
	if c.JSON {
		if cov.Lists == nil {
			cov.Lists = []lists.Status{}
		}
		return json.NewEncoder(p.stdout).Encode(listsOutput{cov.At, cov.PID, cov.Lists, append([]string{}, cov.ListReports...)})
	}
	listsText(p.stdout, cov.Lists)
	for _, l := range cov.Logs {
		if l.Note != "" {
			fmt.Fprintf(p.stdout, "log %s: %s\n", notify.Safe(l.Name, 100), notify.Safe(l.Note, 500))
		}
	}
	for _, r := range cov.ListReports {
		fmt.Fprintf(p.stdout, "note: %s\n", notify.Safe(r, 500))
	}
	next := "tocsin logs"
	for _, l := range cov.Lists {
		if l.Acceptable {
			next = "tocsin lists accept " + l.List
		}
	}
	fmt.Fprintf(p.stdout, "next: %s\n", notify.Safe(next, 500))
	return nil
}

// listsOutput is what lists prints with --json.
type listsOutput struct {
	At    time.Time      `json:"at"`
	PID   int            `json:"pid,omitempty"` // of the daemon, when one runs
	Lists []lists.Status `json:"lists"`
	// Reports say what was not understood in the lists, or refused, and where they contradict each other.
	Reports []string `json:"reports"`
}

func (c *listsCmd) accept(p *process, state string) error {
	done, err := app.AskAcceptList(p.ctx, state, c.Source)
	if err != nil {
		return &hintError{err: err, hint: "tocsin lists names the lists and what is wrong with them"}
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(done)
	}
	fmt.Fprintf(p.stdout, "accepted, and taken over with the next look at the list: %s\n", notify.Safe(done.Text, 2000))
	fmt.Fprintln(p.stdout, "next: tocsin lists")
	return nil
}

// listsText says in a line or more for each list what is in force.
func listsText(w io.Writer, all []lists.Status) {
	for _, l := range all {
		fmt.Fprintf(w, "list %s: ", notify.Safe(l.List, 300))
		switch l.From {
		case "nothing":
			fmt.Fprint(w, "nothing of it is in force")
		case lists.FromEmbedded:
			fmt.Fprint(w, "the copy that is part of this program is in force")
		default:
			fmt.Fprint(w, l.From)
		}
		if l.Version != "" {
			fmt.Fprintf(w, ", version %s", notify.Safe(l.Version, 50))
		}
		if l.Timestamp != nil {
			fmt.Fprintf(w, ", of %s", l.Timestamp.Format(time.RFC3339))
		}
		if l.Checked != nil {
			fmt.Fprintf(w, ", good %s ago", age(l.Age))
		} else if l.Age > 0 {
			fmt.Fprintf(w, ", %s old", age(l.Age))
		}
		fmt.Fprintf(w, ", signature: %s, %s followed, %d not\n", l.Signature, count(l.Followed, "log"), l.Skipped)
		for _, t := range l.Troubles {
			fmt.Fprintf(w, "    %s since %s: %s\n", t.Kind, t.Since.Format(time.RFC3339), notify.Safe(t.Text, 1000))
		}
	}
}

func age(seconds float64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// listSources are the lists to follow: of the flag, of the config, or the public one.
func listSources(c *config.Config, flag string) ([]lists.Source, error) {
	configured := c.Logs.Lists
	if flag != "" && flag != "none" && !strings.Contains(flag, "://") { // remembered by its name, wherever the next start is from
		abs, err := filepath.Abs(flag)
		if err != nil {
			return nil, fmt.Errorf("finding the log list %s: %w", flag, err)
		}
		flag = abs
	}
	switch {
	case flag == "none", flag == "" && c.Logs.None:
		return nil, nil
	case flag != "":
		i := slices.IndexFunc(configured, func(l config.List) bool { return l.Source == flag })
		if i >= 0 {
			configured = configured[i : i+1]
		} else {
			configured = []config.List{{Source: flag}}
		}
	case len(configured) == 0:
		configured = []config.List{{Source: loglist.DefaultURL}}
	}
	var out []lists.Source
	for _, l := range configured {
		src := lists.Source{Name: l.Source}
		if l.SignatureKey != nil {
			key, err := loglist.ParseKey(l.SignatureKey)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.Place, err)
			}
			src.Key = key
		}
		if l.Source == loglist.DefaultURL {
			src.Floor = loglist.Embedded()
			if src.Key == nil {
				src.Key = loglist.DefaultKey()
			}
		}
		out = append(out, src)
	}
	return out, nil
}

// logsByHand are the logs of the config that stand in no list.
func logsByHand(c *config.Config) (logs []loglist.Log, err error) {
	for _, g := range c.Logs.Add {
		kind := loglist.RFC6962
		if g.Kind == loglist.Static.String() {
			kind = loglist.Static
		}
		l, err := loglist.FromKey(kind, g.URL, g.MonitoringURL, g.Key, g.Dial)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", g.Place, err)
		}
		if g.Name != "" {
			l.Description = g.Name
		}
		logs = append(logs, l)
	}
	return logs, nil
}

// listRetry is how long the daemon waits between attempts to load a list from the network while it knows no log at all.
const listRetry = 30 * time.Second

// openLists finds the logs. A daemon that starts before the network does must not give up: with a list that was good
// before, or the one that is part of the program, it starts, and says how old that is; without, it says that it sees
// nothing, and tries again. A mistake in the call ends it at once.
func (c *watchCmd) openLists(p *process, cfg *config.Config, state string, logger *slog.Logger) (set *lists.Set, notes []string, err error) {
	sources, err := listSources(cfg, c.Logs)
	if err != nil {
		return nil, nil, err
	}
	add, err := logsByHand(cfg)
	if err != nil {
		return nil, nil, err
	}
	set, err = lists.Open(sources, &lists.Options{
		Memory: lists.MemoryPath(state), Add: add, Logger: logger, Client: guarding(cfg, sources, add).client(sources),
		UserAgent: strings.TrimSpace("tocsin/" + buildVersion().Version + " " + cfg.Contact),
	})
	if err != nil {
		return nil, nil, err
	}
	if err := set.Problem(); err != nil {
		notes = append(notes, err.Error())
	}
	for {
		err := set.Refresh(p.ctx)
		if p.ctx.Err() != nil {
			return nil, nil, exitError(exitBlind)
		}
		again, fatal := c.judgeLists(set, err)
		switch {
		case fatal != nil && !again:
			return nil, nil, fatal
		case fatal == nil:
			return set, append(notes, listNotes(set, err)...), nil
		}
		p.say(fatal)
		fmt.Fprintf(p.stderr, "tocsin: nothing is seen; trying again in %s\n", listRetry)
		select {
		case <-p.ctx.Done():
			return nil, nil, exitError(exitBlind)
		case <-time.After(listRetry):
		}
	}
}

// judgeLists says whether there is enough to start with after the first look at the lists, which ended with err; and
// where not, whether to look again.
func (c *watchCmd) judgeLists(set *lists.Set, err error) (again bool, fatal error) {
	var names []string
	local, remote := false, false
	for _, l := range set.Status() {
		names = append(names, l.List)
		if l.From == "nothing" {
			local = local || !loglist.Remote(l.List)
			remote = remote || loglist.Remote(l.List)
		}
	}
	const hint = "give a list as a file or URL with --logs, or leave it out for " + loglist.DefaultURL
	var refused *lists.UpdateError
	switch {
	case errors.As(err, &refused) && refused.Refusal.Empty && len(set.Wanted()) == 0:
	case local: // a file that is no list is a mistake in the call
		return false, &hintError{err: err, hint: hint, code: exitUsage}
	case remote && len(set.Wanted()) == 0:
		return !c.Once, &hintError{err: err, hint: hint, code: exitBlind}
	}
	if len(set.Wanted()) == 0 {
		in := strings.Join(names, ", ")
		return false, &hintError{err: fmt.Errorf("no usable log in %s", in), hint: "tocsin follows logs in the states usable, qualified and readonly", code: exitBlind}
	}
	return false, nil
}

// listNotes are what people should know of the lists at the start.
func listNotes(set *lists.Set, err error) (notes []string) {
	if gone := set.Dropped(); len(gone) > 0 {
		notes = append(notes, fmt.Sprintf("no longer read, as their list is no longer configured: %s", strings.Join(gone, ", ")))
	}
	if err != nil {
		for _, part := range parts(err) {
			notes = append(notes, part.text)
		}
	}
	joined := set.Joined()
	status := set.Status()
	for _, l := range status {
		if l.From == lists.FromMemory || l.From == lists.FromEmbedded {
			notes = append(notes, fmt.Sprintf("log list %s: in force is the copy that is %s, %s old, with %s", l.List, l.From, age(l.Age), count(l.Followed, "log")))
		}
	}
	const most = 20
	said := 0
	for _, r := range joined.Reports {
		if said < most && (r.Refused || len(joined.Reports) <= most) {
			notes = append(notes, "log list: "+r.String())
			said++
		}
	}
	if more := len(joined.Reports) - said; more > 0 {
		notes = append(notes, fmt.Sprintf("log list: %s more: tocsin lists", count(more, "remark")))
	}
	return notes
}
