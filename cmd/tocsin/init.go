package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/proposal"
	"github.com/tocsin-ct/tocsin/internal/proposal/source"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// initCmd proposes a config, and accepts nothing by itself.
type initCmd struct {
	Items    []string `arg:"" optional:"" name:"ITEM" help:"Zones and networks of yours, as in the config."`
	Config   string   `short:"c" help:"Config file to propose, or to add to." default:"tocsin.yaml"`
	ZoneFile []string `sep:"none" help:"Zone file, or directory of them. May be given several times."`
	Axfr     string   `placeholder:"SERVER" help:"Ask this name server for the zones among the ITEMs."`
	TsigFile string   `type:"path" help:"Key for the transfer, as tsig-keygen writes it."`
	Endpoint []string `sep:"none" help:"HOST:PORT of yours to ask for its certificate. What it serves stays observed: it may be somebody in the path who answers. May be given several times."`
	Keys     []string `sep:"none" help:"Directory that holds keys or certificates of yours. May be given several times."`
	State    string   `type:"path" help:"State file, for what the logs have shown."`
	Certs    []string `sep:"none" help:"File or directory of certificates that the logs have shown. May be given several times."`
	Write    bool     `help:"Write what is proposed. Over a config that is there, only after its diff was shown; what was there is kept beside it."`
	JSON     bool     `help:"Print one JSON object."`
}

// initOutput is what init prints with --json.
type initOutput struct {
	Kind    string           `json:"kind"` // "init"
	Config  string           `json:"config"`
	Exists  bool             `json:"exists"`
	Changed bool             `json:"changed"` // more than counts in comments
	Written bool             `json:"written"`
	Lines   int              `json:"lines"` // of what is proposed
	Text    string           `json:"text"`  // the config as it would be
	Diff    string           `json:"diff"`  // "" for a new file
	Lists   []proposal.List  `json:"lists"`
	Watches []proposal.Watch `json:"watches"`
	Doubts  []proposal.Doubt `json:"doubts"`
	Unread  []string         `json:"unread"` // what could not be read
}

func (c *initCmd) Run(p *process) error {
	old, exists, err := c.old()
	if err != nil {
		return err
	}
	e, unread, err := c.evidence(p, exists)
	if err != nil {
		return err
	}
	prop := proposal.Propose(*e)
	if len(prop.Watches) == 0 && !exists {
		p.tell(unread)
		return &hintError{err: errors.New("nothing to propose: no zone and no network is known"),
			hint: "name what is yours, or where it stands: tocsin init example.com 192.0.2.0/24 --zone-file DIR --keys DIR"}
	}
	text, err := prop.Into(old)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Config, err)
	}
	out := initOutput{
		Kind: "init", Config: c.Config, Exists: exists, Changed: !proposal.Same(old, text), Lines: prop.Lines(), Text: text,
		Lists: orEmpty(prop.Lists), Watches: orEmpty(prop.Watches), Doubts: orEmpty(prop.Doubts), Unread: []string{},
	}
	if exists && out.Changed {
		out.Diff = string(diff.Diff(c.Config, []byte(old), c.Config+" (proposed)", []byte(text)))
	}
	if len(unread) > 0 {
		for _, part := range parts(errors.Join(unread...)) {
			out.Unread = append(out.Unread, part.text)
		}
	}
	if !c.JSON {
		c.show(p, &out)
	}
	if c.Write && out.Changed {
		if err := c.write(p, &out, old); err != nil {
			return err
		}
	}
	if c.JSON {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(out); err != nil {
			return err
		}
	} else {
		p.tell(unread)
		mark := ""
		if !exists && !out.Written {
			mark = "# " // what is printed is then a config, whoever keeps it
		}
		fmt.Fprintf(p.stdout, "%snext: %s\n", mark, notify.Safe(c.next(&out), 300))
	}
	if len(unread) > 0 {
		return exitError(exitBlind)
	}
	return nil
}

// tell says what could not be read.
func (p *process) tell(unread []error) {
	if err := errors.Join(unread...); err != nil {
		p.say(err)
	}
}

// show prints the proposal: all of it for a new file, what changes in one that is there.
func (c *initCmd) show(p *process, out *initOutput) {
	switch {
	case !out.Exists:
		fmt.Fprint(p.stdout, out.Text)
	case !out.Changed:
		fmt.Fprintf(p.stdout, "%s holds all of it already\n", notify.Safe(c.Config, 300))
	default:
		for line := range strings.Lines(out.Diff) { // the old file is a person's, and printed as such
			fmt.Fprintln(p.stdout, notify.Safe(strings.TrimRight(line, "\r\n"), 2000))
		}
	}
	for _, l := range out.Lists {
		fmt.Fprintf(p.stdout, "# %s: %s\n", l.Path, count(l.Items, "item"))
	}
}

// write writes bulk lists, and then the config that names them.
func (c *initCmd) write(p *process, out *initOutput, old string) error {
	dir := filepath.Dir(c.Config)
	for _, l := range out.Lists {
		path := filepath.Join(dir, filepath.FromSlash(l.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := replace(path, l.Text); err != nil {
			return err
		}
	}
	if out.Exists {
		if err := replace(c.Config+".old", old); err != nil {
			return err
		}
	}
	if err := replace(c.Config, out.Text); err != nil {
		return err
	}
	out.Written = true
	if c.JSON {
		return nil
	}
	fmt.Fprintf(p.stdout, "written: %s", notify.Safe(c.Config, 300))
	if n := len(out.Lists); n > 0 {
		fmt.Fprintf(p.stdout, " and %s", count(n, "bulk list"))
	}
	if out.Exists {
		fmt.Fprintf(p.stdout, "; what was there is %s", notify.Safe(c.Config+".old", 300))
	}
	fmt.Fprintln(p.stdout)
	return nil
}

// replace writes a file as a whole: nobody ever sees half of it.
func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tocsin-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone by then, unless something failed
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// next is the command that comes after this one.
func (c *initCmd) next(out *initOutput) string {
	switch {
	case out.Written || out.Exists && !out.Changed:
		return "tocsin watch --config " + c.Config
	case out.Exists:
		return "read the diff, then the same with --write"
	}
	return "read it, then the same with --write"
}

// old is the config that is there.
func (c *initCmd) old() (text string, exists bool, err error) {
	b, err := os.ReadFile(c.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(b), err == nil, err
}

// evidence asks all sources. unread is what one of them could not read; the others count all the same.
func (c *initCmd) evidence(p *process, exists bool) (e *proposal.Evidence, unread []error, err error) {
	owners, err := facts.LoadOwners()
	if err != nil {
		return nil, nil, err
	}
	e = &proposal.Evidence{Now: time.Now(), Owners: owners}
	if exists {
		if err := c.kept(e, owners); err != nil {
			return nil, nil, err
		}
	}
	for i, text := range c.Items {
		it, err := watch.ParseItem(text, watch.Place{Line: i + 1})
		if err != nil {
			return nil, nil, err
		}
		e.Items = append(e.Items, it)
	}
	must := func(err error) {
		if err != nil {
			unread = append(unread, err)
		}
	}
	into := source.NewIssuances(owners)
	zones, err := source.Zones(c.ZoneFile, owners)
	must(err)
	e.Zones = zones
	if c.Axfr != "" {
		if err := c.transfer(p, e, owners, must); err != nil {
			return nil, nil, err
		}
	} else if c.TsigFile != "" {
		return nil, nil, &hintError{err: errors.New("--tsig-file without --axfr"), hint: "name the server with --axfr, and the zones as ITEMs"}
	}
	places := make([]source.Place, len(c.Keys))
	for i, dir := range c.Keys {
		places[i] = source.Place{Path: dir, As: c.beside(dir)}
	}
	e.Directories, err = source.Directories(places, into)
	must(err)
	for _, address := range c.Endpoint {
		ep, err := source.Probe(p.ctx, address, into)
		must(err)
		if err == nil {
			e.Endpoints = append(e.Endpoints, ep)
		}
	}
	must(source.Certificates(c.Certs, into))
	if c.State != "" {
		must(source.Ledger(p.ctx, c.State, into))
	}
	if err := p.ctx.Err(); err != nil {
		return nil, nil, err
	}
	e.Issuances = into.List()
	return e, unread, nil
}

// transfer asks for each zone that was named.
func (c *initCmd) transfer(p *process, e *proposal.Evidence, owners *facts.Owners, must func(error)) error {
	var key *source.Key
	if c.TsigFile != "" {
		var err error
		if key, err = source.ReadKey(c.TsigFile); err != nil {
			return err
		}
	}
	asked := 0
	for _, it := range e.Items {
		if it.Name == "" || it.Exact {
			continue
		}
		asked++
		z, err := source.Transfer(p.ctx, c.Axfr, it.Name, key, owners)
		must(err)
		if err == nil {
			e.Zones = append(e.Zones, z)
		}
	}
	if asked == 0 {
		return &hintError{err: errors.New("--axfr without a zone to ask for"), hint: "tocsin init --axfr " + c.Axfr + " example.com"}
	}
	return nil
}

// beside is a path as the config is to have it: relative ones are read from where the config stands.
func (c *initCmd) beside(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	if rel, err := filepath.Rel(filepath.Dir(c.Config), path); err == nil {
		return rel
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// kept reads the config that is there: what it holds stays.
func (c *initCmd) kept(e *proposal.Evidence, owners *facts.Owners) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	for _, w := range cfg.Watches {
		k := proposal.Kept{Name: w.Name, Owner: w.Owner, Items: w.Items}
		if w.Expect != nil {
			k.Issuers = proposal.KeptIssuers(owners, w.Expect.Issuers)
		}
		e.Kept = append(e.Kept, k)
	}
	found, err := os.ReadDir(filepath.Join(filepath.Dir(c.Config), proposal.ListFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range found {
		e.Lists = append(e.Lists, f.Name())
	}
	slices.Sort(e.Lists)
	return nil
}
