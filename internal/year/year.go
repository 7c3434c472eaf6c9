// Package year runs a year of an organisation through tocsin in time of its own, and judges what rang.
//
// The organisation, its renewals and the twelve certificates that nobody ordered come from internal/lab/year. The
// configuration is what tocsin init proposes from the zone files, the directory of keys and the certificates of the weeks
// before, with the [Trims] of a person; it is frozen before any seed is drawn. All stations are the daemon's: readings
// and judgements, incidents, routes and messages, in the order and at the times in which they would come (package
// replay). Nothing is told to the stations that an attacker or a log would not tell them.
//
// It believes nothing that a station says of itself: which certificates are rogue is known from the lab alone, and a ring
// is a message that a receiver would have got.
package year

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/facts"
	lab "github.com/tocsin-ct/tocsin/internal/lab/year"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/proposal"
	"github.com/tocsin-ct/tocsin/internal/replay"
)

// Compile makes what decides of a configuration file: the same that the daemon does.
type Compile func(path string) (*app.Stations, app.Telling, error)

// Frozen is an organisation with the configuration that was made for it.
type Frozen struct {
	Organisation *lab.Organisation
	// Proposed is how many lines init proposes, Config the whole after the trims.
	Proposed int
	Config   string

	// Stations and Telling are what was made of it.
	Stations *app.Stations
	Telling  app.Telling

	receivers []notify.Receiver
	owners    *facts.Owners
	path      string
}

// Trims are what a person has changed.
func Trims() []Trim { return slices.Clone(trims) }

// Freeze makes the organisation and its configuration, in the folder dir.
func Freeze(ctx context.Context, dir string, compile Compile) (*Frozen, error) {
	o, err := lab.NewOrganisation()
	if err != nil {
		return nil, fmt.Errorf("making the organisation: %w", err)
	}
	owners, err := known(o)
	if err != nil {
		return nil, err
	}
	e, err := evidence(ctx, o, owners, dir)
	if err != nil {
		return nil, fmt.Errorf("looking at the organisation: %w", err)
	}
	p := proposal.Propose(e)
	f := &Frozen{Organisation: o, Proposed: p.Lines()}
	d := draft{o: o, watch: p.Section, lists: p.Lists}
	for _, t := range trims {
		if err := t.do(&d); err != nil {
			return nil, fmt.Errorf("trimming the configuration (%s): %w\n%s", t.What, err, p.Section)
		}
	}
	f.Config = d.watch + d.tail
	path := filepath.Join(dir, "tocsin.yaml")
	files := map[string]string{path: f.Config}
	for _, l := range d.lists {
		files[filepath.Join(dir, l.Path)] = l.Text
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, []byte(files[name]), 0o600); err != nil {
			return nil, err
		}
	}
	f.path, f.owners = path, owners
	for _, name := range []string{"oncall", "team"} {
		f.receivers = append(f.receivers, replay.Inbox(name))
	}
	f.Config = strings.ReplaceAll(f.Config, dir, "")
	return f.Again(compile)
}

// Again is the same organisation with what another compiler makes of the same configuration.
func (f *Frozen) Again(compile Compile) (*Frozen, error) {
	again := *f
	var err error
	if again.Stations, again.Telling, err = compile(f.path); err != nil {
		return nil, fmt.Errorf("reading the configuration of the year: %w", err)
	}
	again.Stations.Owners = f.owners
	return &again, nil
}

// known gives the CAs of the lab the owners whose names they have, as far as the CCADB would know them when the year
// begins: what comes later is found through the signatures of those above.
func known(o *lab.Organisation) (*facts.Owners, error) {
	base, err := facts.LoadOwners()
	if err != nil {
		return nil, err
	}
	keys := map[[32]byte]string{}
	for _, c := range o.CAs {
		if c.Owner == "" {
			continue
		}
		keys[c.Root.KeyHash()] = c.Owner
		for _, i := range c.Issuing[:c.Known] {
			keys[i.KeyHash()] = c.Owner
		}
	}
	return base.With(keys)
}
