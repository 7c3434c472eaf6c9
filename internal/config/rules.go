package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

// RuleFile is one file of rules. Only that it is there was checked: package rule reads it.
type RuleFile struct {
	Path  string
	Place watch.Place

	stamp stamp
}

// rules finds the files of rules: each entry is a path or a pattern, as rules/*.yaml. The files of a pattern come in
// order of their names.
func (k *checker) rules(f *file) {
	if f.has("rules") && len(f.Rules) == 0 {
		k.refuse(f.Written["rules"], "rules is an empty list", "remove the key: the built-in rules are always there; or name files, as in rules: [rules/*.yaml]")
	}
	seen := map[string]bool{}
	for _, t := range f.Rules {
		if t.Value == "" {
			continue
		}
		found, err := filepath.Glob(k.abs(t.Value))
		switch {
		case err != nil:
			k.refuse(t.At, fmt.Sprintf("rules: the pattern %q is not closed", t.Value), "a pattern has * and ?, and [ with its ]: rules/*.yaml")
			continue
		case len(found) == 0 && strings.ContainsAny(t.Value, "*?["):
			k.refuse(t.At, fmt.Sprintf("rules: no file is like %q", t.Value), "relative paths are taken from the directory of the configuration")
			continue
		case len(found) == 0:
			k.refuse(t.At, fmt.Sprintf("rules: there is no file %s", t.Value), "relative paths are taken from the directory of the configuration")
			continue
		}
		slices.Sort(found)
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				k.refuse(t.At, fmt.Sprintf("rules: %s is a directory", t.Value), "name its files: "+strings.TrimRight(t.Value, "/")+"/*.yaml")
				continue
			}
			if !seen[path] {
				seen[path] = true
				k.c.Rules = append(k.c.Rules, RuleFile{Path: path, Place: k.place(t.At), stamp: stampOf(path)})
			}
		}
	}
}

// RulePaths are the paths of all files of rules, in order.
func (c *Config) RulePaths() []string {
	var out []string
	for _, f := range c.Rules {
		out = append(out, f.Path)
	}
	return out
}

// stampRules looks at the files of rules again, and reports whether any changed.
func (c *Config) stampRules() (changed bool) {
	c.Rules = slices.Clone(c.Rules)
	for i := range c.Rules {
		if now := stampOf(c.Rules[i].Path); !now.equal(c.Rules[i].stamp) {
			c.Rules[i].stamp, changed = now, true
		}
	}
	return changed
}

// Partial is as much of a configuration as can be read although there are mistakes in it, so that those of other readers
// (of rules, of CA names) can be told at the same time. Only [Load] says what is wrong with the file itself.
func Partial(path string) *Config {
	c := &Config{Path: path}
	text, err := os.ReadFile(path)
	if err != nil || len(text) > maxFile {
		return c
	}
	d := newDecoder(path, text)
	var raw file
	d.document(text, &raw)
	k := checker{decoder: d, dir: filepath.Dir(path), c: c}
	k.file(&raw)
	return k.c
}
