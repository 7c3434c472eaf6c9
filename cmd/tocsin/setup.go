package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// defaultConfig is read when it stands in the working directory and nothing else is asked for.
const defaultConfig = "tocsin.yaml"

// loadConfig reads the config at path, or makes one of the items, or takes the default file. Items and a config
// exclude each other: what is watched should stand in one place.
func loadConfig(path string, items []string) (*config.Config, error) {
	switch {
	case path != "" && len(items) > 0:
		return nil, &hintError{err: errors.New("items on the command line and --config exclude each other"), hint: "add the items to " + path}
	case path != "":
		return config.Load(path)
	case len(items) > 0:
		return inlineConfig(items)
	}
	if _, err := os.Stat(defaultConfig); err == nil {
		return config.Load(defaultConfig)
	}
	return nil, &hintError{err: errors.New("nothing to watch"),
		hint: "name what is yours, as in: tocsin watch example.com 192.0.2.0/24; or write a " + defaultConfig}
}

// inlineConfig makes a watch of each item.
func inlineConfig(items []string) (*config.Config, error) {
	c := &config.Config{}
	var errs []error
	for i, text := range items {
		it, err := watch.ParseItem(text, watch.Place{Line: i + 1})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.Watches = append(c.Watches, config.Watch{
			Watch: watch.Watch{Name: it.Text, Items: []watch.Item{it}}, Place: it.Place,
		})
	}
	return c, errors.Join(errs...)
}

// stations makes everything that decisions need of a config. The warnings are for people.
func stations(c *config.Config) (st *app.Stations, warnings []string, err error) {
	owners, err := facts.LoadOwners()
	if err != nil {
		return nil, nil, err
	}
	st = &app.Stations{Owners: owners}
	var rules []policy.Watch
	for _, w := range c.Watches {
		r := policy.Watch{Name: w.Name, Owner: w.Owner, Items: w.Items, Lookalike: w.Lookalike, Config: w.Place.String()}
		if w.Surprise != "" {
			if r.Surprise, err = policy.ParseSurprise(w.Surprise); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", w.Place, err)
			}
		}
		if e := w.Expect; e != nil {
			r.Expect = &policy.Expect{
				Issuers: e.Issuers, Keys: e.Keys, MaxValidity: e.MaxValidity,
				AllowWildcard: e.AllowWildcard, AllowForeignNames: e.AllowForeignNames,
				Config: e.Place.String(), Places: map[string]string{}, Settle: settle(c, &w),
			}
			for key, at := range e.Places {
				r.Expect.Places[key] = at.String()
			}
		}
		st.Watches = append(st.Watches, w.Watch)
		rules = append(rules, r)
	}
	if st.Rules, err = ruled(c, rules, owners); err != nil {
		return nil, nil, err
	}
	if st.Keys, err = facts.OpenKeys(st.Rules.KeySources()); err != nil {
		return nil, nil, err
	}
	st.Matcher = watch.New(st.Watches)
	warnings = policy.Warnings(st.Rules)
	for _, w := range st.Rules.Set().Warnings {
		warnings = append(warnings, w.String())
	}
	for _, p := range st.Keys.Problems() {
		warnings = append(warnings, p.String())
	}
	return st, warnings, nil
}

// reloader takes over changed item lists and key files while the daemon runs.
func reloader(c *config.Config, st *app.Stations) func() (*app.Stations, error) {
	keys := st.Keys
	return func() (*app.Stations, error) {
		next, changed, err := c.Reload()
		c = next
		if !changed {
			_, kerr := keys.Reload() // in place
			return nil, errors.Join(err, kerr)
		}
		st, _, serr := stations(next)
		if serr != nil {
			return nil, errors.Join(err, serr)
		}
		keys = st.Keys
		return st, err
	}
}

// start reads --from: now, start, or a date.
func start(from string) (ctlog.Start, error) {
	switch from {
	case "", "now":
		return ctlog.Start{}, nil
	case "start":
		return ctlog.Start{Zero: true}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, from); err == nil {
			return ctlog.Start{Since: t}, nil
		}
	}
	return ctlog.Start{}, &hintError{err: fmt.Errorf("--from %q is no place to start", from), hint: "now, start, or a date such as 2026-11-01 or 2026-11-01T12:00:00Z"}
}

// statePath is where the state file is: as asked for, as configured, or in the user's directory for state.
func statePath(flag string, c *config.Config) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if c != nil && c.State != "" {
		return c.State, nil
	}
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &hintError{err: fmt.Errorf("finding a place for the state file: %w", err), hint: "name one with --state"}
		}
		switch runtime.GOOS {
		case "windows":
			dir = filepath.Join(home, "AppData", "Local")
		case "darwin":
			dir = filepath.Join(home, "Library", "Application Support")
		default:
			dir = filepath.Join(home, ".local", "state")
		}
	}
	return filepath.Join(dir, "tocsin", "tocsin.db"), nil
}

// withState are the flags that find the same state again, for commands to be typed next.
func withState(state, config string) string {
	switch {
	case state != "":
		return " --state " + state
	case config != "":
		return " --config " + config
	}
	return ""
}

// configForState finds the config that a command which only asks about the state would use, for its state path.
func configForState(path string) (*config.Config, error) {
	if path == "" {
		if _, err := os.Stat(defaultConfig); err != nil {
			return nil, nil
		}
		path = defaultConfig
	}
	return config.Load(path)
}
