package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/mistake"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/policy/rule"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// policyGroup are the commands about config and rules.
type policyGroup struct {
	Check policyCheckCmd `cmd:"" help:"Check the config and the rules: all mistakes at once, each with its place and what to write instead."`
	Test  policyTestCmd  `cmd:"" help:"Run the tests that stand beside the rules."`

	Replay policyReplayCmd `cmd:"" help:"Say what would have rung, rule by rule, over the ledger."`
	Noise  policyNoiseCmd  `cmd:"" help:"Say how often each rule rang, and how often somebody did something about it."`

	Rules policyRulesCmd `cmd:"" help:"List the rules in force."`
	Show  policyShowCmd  `cmd:"" help:"Print a rule as it is written."`
}

// ruleFlags find the rules: those of the config, and of files beside it.
type ruleFlags struct {
	Files  []string `arg:"" optional:"" name:"FILE" help:"Files of rules, beside those that the config names."`
	Config string   `short:"c" type:"path" help:"Config file. Default: tocsin.yaml, where there is one."`
	JSON   bool     `help:"Print JSON."`
}

// config is the path of the config, or "" when there is none.
func (f *ruleFlags) config() string {
	if f.Config != "" {
		return f.Config
	}
	if _, err := os.Stat(defaultConfig); err == nil {
		return defaultConfig
	}
	return ""
}

// set reads the rules. A config that is broken elsewhere does not matter.
func (f *ruleFlags) set() (*rule.Set, error) {
	var paths []string
	if path := f.config(); path != "" {
		paths = config.Partial(path).RulePaths()
	}
	return rule.Read(append(paths, f.Files...))
}

type policyCheckCmd struct {
	ruleFlags
}

// policyChecked is what `policy check` prints.
type policyChecked struct {
	Config   string   `json:"config"`
	Watches  int      `json:"watches"`
	Rules    int      `json:"rules"`
	Own      int      `json:"own"`        // in files of the operator
	Override int      `json:"overridden"` // built-in rules that are not as they are shipped
	Warnings []string `json:"warnings"`
}

func (c *policyCheckCmd) Run(p *process) error {
	path := c.config()
	if path == "" && len(c.Files) == 0 {
		return &hintError{err: errors.New("nothing to check"), hint: "name a config, as in: tocsin policy check --config tocsin.yaml; or files of rules"}
	}
	out := policyChecked{Config: path, Warnings: []string{}}
	set, err := c.set()
	if path != "" {
		cfg, cerr := config.Load(path)
		if cerr == nil {
			var warnings []string
			out.Watches = len(cfg.Watches)
			cfg.Rules = nil // read above, with the others
			_, warnings, cerr = stations(cfg)
			out.Warnings = append(out.Warnings, warnings...)
		} else {
			cerr = errors.Join(cerr, unknownCAs(config.Partial(path)))
		}
		err = errors.Join(placed(cerr), err)
	}
	if err != nil {
		return err
	}
	for _, w := range set.Warnings {
		out.Warnings = append(out.Warnings, w.String())
	}
	now := time.Now()
	for _, r := range set.Rules {
		out.Rules++
		switch {
		case r.Overridden:
			out.Override++
		case !strings.HasPrefix(r.File, "builtin/"):
			out.Own++
		}
		for i := range r.Except {
			if x := &r.Except[i]; !now.Before(x.Until) {
				out.Warnings = append(out.Warnings, fmt.Sprintf("%s: rule %s: the exception %q is over: remove it", x.Place(), r.ID, x.Name))
			} else if x.Until.Sub(now) > 366*24*time.Hour {
				out.Warnings = append(out.Warnings, fmt.Sprintf("%s: rule %s: the exception %q counts for more than a year: an end that comes sooner is looked at again", x.Place(), r.ID, x.Name))
			}
		}
	}
	if c.JSON {
		return p.printJSON(out)
	}
	for _, w := range out.Warnings {
		fmt.Fprintf(p.stderr, "tocsin: note: %s\n", notify.Safe(w, 1000))
	}
	what := "the rules are good"
	if path != "" {
		what = notify.Safe(path, 500) + " is good: " + counted(out.Watches, "watch", "watches")
	}
	fmt.Fprintf(p.stdout, "%s; %s, %d of your own, %d overridden; %s\n", what, count(out.Rules, "rule"), out.Own, out.Override, count(len(out.Warnings), "note"))
	fmt.Fprintf(p.stdout, "next: %s\n", next("tocsin policy test", c.Config, c.Files))
	return nil
}

// unknownCAs are the CAs that nobody knows in a config that is broken elsewhere. What else a watch lacks may come from that.
func unknownCAs(cfg *config.Config) error {
	var out []error
	_, _, err := stations(&config.Config{Watches: cfg.Watches})
	for _, e := range apart(err) {
		var place *mistake.Error
		if errors.As(e, &place) && strings.Contains(place.Problem, "no CA owner is known") {
			out = append(out, e)
		}
	}
	return errors.Join(out...)
}

// apart are the errors that were joined.
func apart(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, apart(e)...)
	}
	return out
}

// next is a command with the same files.
func next(command, config string, files []string) string {
	if config != "" {
		command += " --config " + config
	}
	return notify.Safe(strings.Join(append([]string{command}, files...), " "), 500)
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func (p *process) printJSON(v any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

type policyTestCmd struct {
	ruleFlags
}

// policyTested is what `policy test` prints.
type policyTested struct {
	Tests    int             `json:"tests"`
	Rules    int             `json:"rules"`
	Failures []policyFailure `json:"failures"`
	Untested []string        `json:"untested"` // ids of rules without tests
}

// policyFailure is a test that came out otherwise.
type policyFailure struct {
	Rule  string `json:"rule"`
	Test  string `json:"test"`
	Place string `json:"place"`
	Want  string `json:"want"`
	Got   string `json:"got"`
}

func (c *policyTestCmd) Run(p *process) error {
	set, err := c.set()
	if err != nil {
		return err
	}
	out := policyTested{Failures: []policyFailure{}, Untested: []string{}}
	tested := map[string]bool{}
	for _, o := range set.Test() {
		out.Tests += o.Tests
		tested[o.Rule] = true
		for _, f := range o.Failures {
			out.Failures = append(out.Failures, policyFailure(f))
		}
	}
	for _, id := range set.IDs() {
		out.Rules++
		if !tested[id] {
			out.Untested = append(out.Untested, id)
		}
	}
	if c.JSON {
		err = p.printJSON(out)
	} else {
		err = out.text(p.stdout, next("tocsin policy rules", c.Config, c.Files))
	}
	if err == nil && len(out.Failures) > 0 {
		return exitError(exitSurprise)
	}
	return err
}

func (o *policyTested) text(w io.Writer, next string) error {
	for _, f := range o.Failures {
		fmt.Fprintf(w, "FAIL %s: rule %s: %s: it asks for %s, and the test expects %s\n", notify.Safe(f.Place, 500), f.Rule, notify.Safe(f.Test, 500), f.Got, f.Want)
	}
	for _, id := range o.Untested {
		fmt.Fprintf(w, "no tests: rule %s\n", id)
	}
	if len(o.Failures) > 0 {
		_, err := fmt.Fprintf(w, "%s of %s of %s failed\nnext: look at the condition, or at what the test says of the certificate\n",
			strconv.Itoa(len(o.Failures)), count(o.Tests, "test"), count(o.Rules, "rule"))
		return err
	}
	_, err := fmt.Fprintf(w, "%s of %s passed\nnext: %s\n", count(o.Tests, "test"), count(o.Rules, "rule"), next)
	return err
}

type policyRulesCmd struct {
	ruleFlags
}

// policyRule is a rule as `policy rules` and `policy show` print it.
type policyRule struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Help     string            `json:"help"`
	On       string            `json:"on"`
	Severity string            `json:"severity"`
	When     string            `json:"when"`
	Except   []policyException `json:"except"`
	Say      string            `json:"say"`
	Next     string            `json:"next"`
	Tests    int               `json:"tests"`
	From     string            `json:"from"` // built-in, overridden, or own
	Place    string            `json:"place"`
}

// policyException is an exception of a rule.
type policyException struct {
	Name   string    `json:"name"`
	When   string    `json:"when"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
}

func newPolicyRule(r *rule.Rule) policyRule {
	out := policyRule{ID: r.ID, Title: r.Title, Help: r.Help, On: r.On, Severity: string(r.Severity), When: r.When, Except: []policyException{},
		Say: r.Say, Next: r.Next, Tests: len(r.Tests), From: "own", Place: r.Place()}
	switch {
	case strings.HasPrefix(r.File, "builtin/"):
		out.From = "built-in"
	case r.Builtin:
		out.From = "overridden"
	}
	for _, x := range r.Except {
		out.Except = append(out.Except, policyException{Name: x.Name, When: x.When, Until: x.Until, Reason: x.Reason})
	}
	return out
}

func (c *policyRulesCmd) Run(p *process) error {
	set, err := c.set()
	if err != nil {
		return err
	}
	if c.JSON {
		for _, r := range set.Rules {
			if err := p.printJSON(newPolicyRule(r)); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tSEVERITY\tFROM\tTITLE")
	for _, r := range set.Rules {
		v := newPolicyRule(r)
		if n := len(v.Except); n > 0 {
			v.From += ", " + count(n, "exception")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.ID, v.Severity, v.From, notify.Safe(v.Title, 200))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "next: %s\n", next("tocsin policy show "+set.Rules[0].ID, c.Config, nil))
	return err
}

type policyShowCmd struct {
	ID string `arg:"" name:"ID" help:"The id of a rule."`
	ruleFlags
}

func (c *policyShowCmd) Run(p *process) error {
	set, err := c.set()
	if err != nil {
		return err
	}
	r := set.Rule(c.ID)
	if r == nil {
		hint := "tocsin policy rules lists them"
		if near := mistake.Closest(c.ID, set.IDs()); near != "" {
			hint = "did you mean " + near + "?"
		}
		return &hintError{err: fmt.Errorf("no rule has the id %s", c.ID), hint: hint}
	}
	if c.JSON {
		return p.printJSON(newPolicyRule(r))
	}
	fmt.Fprintf(p.stdout, "# %s, %s\n", newPolicyRule(r).From, notify.Safe(r.Place(), 500))
	for line := range strings.Lines(r.Source()) {
		fmt.Fprintln(p.stdout, notify.Safe(strings.TrimRight(line, "\r\n"), 2000))
	}
	return nil
}

// ruled compiles the watches under the rules of the config.
func ruled(c *config.Config, watches []policy.Watch, owners *facts.Owners) (*policy.Rules, error) {
	set, rerr := rule.Read(c.RulePaths())
	rules, err := policy.Compile(watches, owners)
	if err := errors.Join(placed(err), rerr); err != nil {
		return nil, err
	}
	return rules.With(set), nil
}

// placed gives errors that name a line of a file the column and the line itself, as far as they can be found.
func placed(err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, placed(e))
		}
		return errors.Join(out...)
	}
	var refused *policy.Error
	var item *watch.ItemError
	var e mistake.Error
	text := ""
	switch {
	case errors.As(err, &refused):
		i := strings.LastIndexByte(refused.Config, ':')
		if i < 0 {
			return err
		}
		e.File, text = refused.Config[:i], refused.Text
		e.Line, _ = strconv.Atoi(refused.Config[i+1:])
		e.Problem, e.HintText = fmt.Sprintf("watch %q: %s", refused.Watch, refused.Problem), refused.Hint
	case errors.As(err, &item) && item.Place.File != "":
		e.File, e.Line, text = item.Place.File, item.Place.Line, item.Text
		e.Problem, e.HintText = fmt.Sprintf("%q: %s", notify.Safe(item.Text, 100), item.Problem), item.HintText
	default:
		return err
	}
	b, rerr := os.ReadFile(e.File)
	lines := strings.Split(string(b), "\n")
	if rerr != nil || e.Line < 1 || e.Line > len(lines) {
		return err
	}
	// The text may stand on one of the lines after that of its key.
	for i := e.Line - 1; text != "" && i < min(e.Line+40, len(lines)); i++ {
		if before, _, found := strings.Cut(lines[i], text); found {
			e.Line, e.Column = i+1, len([]rune(before))+1
			break
		}
	}
	if e.Column == 0 {
		line := lines[e.Line-1]
		e.Column = len(line) - len(strings.TrimLeft(line, " -")) + 1
	}
	e.Excerpt = mistake.Excerpt(lines, e.Line, e.Column)
	return &e
}
