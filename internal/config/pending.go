package config

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// sections are hashes of what the file says, by key: "poll", or "logs.refresh" for what stands in a mapping. Places do
// not count, so that a comment changes nothing.
func sections(text []byte) (map[string][32]byte, error) {
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	out := map[string][32]byte{}
	for key, value := range all {
		inner, ok := value.(map[string]any)
		if !ok {
			inner = map[string]any{"": value}
		}
		for name, v := range inner {
			b, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("reading %s of the configuration: %w", key, err)
			}
			out[strings.TrimSuffix(key+"."+name, ".")] = sha256.Sum256(b)
		}
	}
	return out, nil
}

// Pending says in one sentence how the file differs from what [Load] read, "" when it says the same. The file itself is
// not taken over by a running daemon, only files that it names are: who changed it must learn that. A file with
// mistakes is told as well, since the next start would be refused.
func (c *Config) Pending() string {
	if c.self.info == nil || c.self.equal(stampOf(c.Path)) {
		return ""
	}
	text, err := os.ReadFile(c.Path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return c.Path + " is gone: the next start would be refused"
	case err != nil:
		return fmt.Sprintf("%s cannot be read: %v; the next start would be refused", c.Path, errors.Unwrap(err))
	}
	if _, err := Load(c.Path); err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Sprintf("%s was changed and has mistakes, so that the next start would be refused: %s; see tocsin policy check", c.Path, first)
	}
	now, err := sections(text)
	if err != nil {
		return err.Error()
	}
	var changed []string
	for key, sum := range now {
		if c.sections[key] != sum {
			changed = append(changed, key)
		}
	}
	for key := range c.sections {
		if _, ok := now[key]; !ok {
			changed = append(changed, key)
		}
	}
	if len(changed) == 0 {
		return ""
	}
	slices.Sort(changed)
	return fmt.Sprintf("%s was changed in %s; restart tocsin to take it over", c.Path, strings.Join(changed, ", "))
}

// PendingNow is [Config.Pending] for a caller who asks every few seconds: the file is read only when it changes.
func (c *Config) PendingNow() func() string {
	at, says := c.self, ""
	return func() string {
		if now := stampOf(c.Path); !now.equal(at) {
			at, says = now, c.Pending()
		}
		return says
	}
}
