package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

// list is one names_file or networks_file with what was last read from it without an error.
type list struct {
	watch int // index of its Watch
	path  string
	parse func(string, watch.Place) (watch.Item, error)
	items []watch.Item
	// stamp is the state of the file when it was last looked at, also when that failed: a broken file is reported
	// once, and tried again when it changes.
	stamp stamp
}

// stamp tells two states of a file apart. The zero stamp is a file that cannot be looked at.
type stamp struct {
	info os.FileInfo
	mod  time.Time
	size int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info: info, mod: info.ModTime(), size: info.Size()}
}

func (s stamp) equal(t stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return s.size == t.size && s.mod.Equal(t.mod) && os.SameFile(s.info, t.info)
}

func (k *checker) list(n int, t text, key string, parse func(string, watch.Place) (watch.Item, error)) {
	if t.Value == "" {
		return
	}
	l := &list{watch: n, path: k.abs(t.Value), parse: parse}
	if err := l.read(); err != nil {
		var open *os.PathError
		switch {
		case errors.As(err, &open):
			k.refuse(t.At, fmt.Sprintf("%s cannot be read: %v", key, open.Err), "looked for "+l.path)
		case errors.Is(err, errEmpty):
			k.refuse(t.At, fmt.Sprintf("%s holds no items: it would match nothing", key), "write one item per line into "+l.path)
		default:
			k.errs = append(k.errs, err)
		}
	}
	k.c.lists = append(k.c.lists, l)
}

var errEmpty = errors.New("no items")

// read replaces the items if the whole file is good.
func (l *list) read() error {
	l.stamp = stampOf(l.path)
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	items, err := watch.ReadItems(f, l.path, l.parse)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return fmt.Errorf("%s: %w", l.path, errEmpty)
	}
	l.items = items
	return nil
}

// Changed returns the files that differ from what was read: the configuration, which [Load] reads again, and bulk
// lists and rules, which [Config.Reload] does. It is cheap enough to be asked every few seconds.
func (c *Config) Changed() []string {
	var out []string
	if c.self.info != nil && !c.self.equal(stampOf(c.Path)) {
		out = append(out, c.Path)
	}
	for _, l := range c.lists {
		if !l.stamp.equal(stampOf(l.path)) {
			out = append(out, l.path)
		}
	}
	for _, r := range c.Rules {
		if !r.stamp.equal(stampOf(r.Path)) {
			out = append(out, r.Path)
		}
	}
	return out
}

// Reload reads the bulk lists that changed. It returns a new Config and whether any item changed in it; c stays as it
// is. A list with an error, or one that has become empty or disappeared, keeps its old items, and the error says so;
// it comes once for each state of the file. A changed file of rules is a change as well; it is for package rule to read
// it, and to refuse it. Use next in any case.
func (c *Config) Reload() (next *Config, changed bool, err error) {
	fresh := *c
	fresh.lists = slices.Clone(c.lists)
	var errs []error
	for i, old := range c.lists {
		if old.stamp.equal(stampOf(old.path)) {
			continue
		}
		l := *old
		if err := l.read(); err != nil {
			errs = append(errs, fmt.Errorf("keeping the %d items read before from %s: %w", len(old.items), l.path, err))
		} else {
			changed = true
		}
		fresh.lists[i] = &l
	}
	changed = fresh.stampRules() || changed
	if changed {
		fresh.Watches = slices.Clone(c.Watches)
		for i := range fresh.Watches {
			w := &fresh.Watches[i]
			w.Items = slices.Clone(w.inline)
			for _, l := range fresh.lists {
				if l.watch == i {
					w.Items = append(w.Items, l.items...)
				}
			}
		}
	}
	return &fresh, changed, errors.Join(errs...)
}
