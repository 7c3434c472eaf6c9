package rule

import (
	"embed"
	"errors"
	"strings"
	"sync"
)

//go:embed builtin/*.yaml
var shipped embed.FS

// Builtin returns the rules of the program, in the order of their files. Each file holds one and is named by its id.
var Builtin = sync.OnceValues(func() (*Set, error) {
	entries, err := shipped.ReadDir("builtin")
	if err != nil {
		return nil, err
	}
	s := &Set{}
	seen := map[string]*Rule{}
	var errs []error
	for _, e := range entries {
		name := "builtin/" + e.Name()
		text, err := shipped.ReadFile(name)
		if err != nil {
			return nil, err
		}
		d := &reader{path: name, lines: strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")}
		for _, e := range d.file(text) {
			d.join(s, e, seen)
		}
		errs = append(errs, d.errs...)
	}
	for _, r := range s.Rules {
		r.Builtin = true
	}
	s.shipped = s.Rules
	return s, errors.Join(errs...)
})
