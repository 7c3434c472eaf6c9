// Package config reads tocsin.yaml: what is watched, what is expected, who is told, which logs are followed.
//
// It is strict, because a watch list that means less than its author believes is how alarms stay silent. Unknown keys,
// keys written twice, items that are no names or networks, and anything that would match nothing are refused, all at
// once, each with file, line, column, the line itself and a hint. Nothing is expanded: no anchors, no environment.
//
// The file is the operator's and trusted, as are the files it names: whoever can write them can silence us. Relative
// paths are taken from the directory of the configuration file.
//
// Every key is described in docs/config.md; [Keys] lists them.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tocsin-ct/tocsin/internal/route"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Config is a configuration that was checked. It does not change: see [Config.Reload].
type Config struct {
	// Path is the file as it was named.
	Path    string
	Watches []Watch
	// Receivers is empty when none is configured: then matches are printed.
	Receivers []Receiver
	// Routes is empty when none is configured: then all receivers are told.
	Routes    []route.Route
	Incidents Incidents
	Digest    Digest
	Heartbeat Heartbeat
	Logs      Logs
	Coverage  Coverage
	CAA       CAA
	Journal   Journal
	API       API
	// Contact goes into the User-Agent with which logs are asked; "" when not given.
	Contact string
	// State is the path of the database, "" when not given.
	State string
	// Poll is the time between two looks at the head of a log, 0 when not given.
	Poll time.Duration
	// Witnesses are those whose cosignatures on checkpoints are verified.
	Witnesses []Witness
	// Rules are the files of rules beside the built-in ones.
	Rules []RuleFile

	lists []*list
	self  stamp
	// sections are hashes of what was read, by key.
	sections map[string][32]byte
}

// Watch is one entry of the list watch, with the items of its bulk lists.
type Watch struct {
	watch.Watch
	// Place is where the entry begins.
	Place watch.Place
	// Expect is nil when nothing is expected.
	Expect *Expect
	// Surprise is "digest", "alarm" or "page", or "" when not given.
	Surprise string
	// Lookalike asks for names that people take for those of the watch.
	Lookalike bool

	inline []watch.Item
}

// Witness is the verifier key of a witness, "name+hash+key" (c2sp.org/signed-note). Only its shape was checked.
type Witness struct {
	VerifierKey string
	Place       watch.Place
}

// Expect is what certificates of a watch promise. All conditions that are given must hold; nil and 0 are not given.
type Expect struct {
	// Issuers are CA owners by name or CAA domain, or "spki:" and 64 hexadecimal digits.
	Issuers []string
	// Keys are "spki:" and 64 hexadecimal digits, or "file:" and the path of a file or directory.
	Keys                             []string
	MaxValidity                      time.Duration
	AllowWildcard, AllowForeignNames *bool
	// Settle is how long a surprise by name waits for the journal; nil when not given.
	Settle *time.Duration
	// Place is where the expectation stands, Places where each of its conditions does, by key.
	Place  watch.Place
	Places map[string]watch.Place
}

// Logs says which logs are followed.
type Logs struct {
	// Lists are the log lists that are joined. Empty for the default list, unless None is set.
	Lists []List
	None  bool
	// Refresh is the time between two looks at the lists, 0 when not given.
	Refresh time.Duration
	// AllowPrivate lets lists and their logs lead to addresses that are not public.
	AllowPrivate bool
	// Add are logs beside the lists.
	Add []Log
}

// List is one log list.
type List struct {
	// Source is the path or URL.
	Source string
	// SignatureKey is the DER SubjectPublicKeyInfo of the key that signs it; nil when not given.
	SignatureKey []byte
	Place        watch.Place
}

// Log is one log that is described by hand.
type Log struct {
	Name string
	// Kind is "rfc6962" or "static".
	Kind string
	// URL is the submission prefix. MonitoringURL, where the log is read, is set for static logs only.
	URL, MonitoringURL string
	// Key is the DER SubjectPublicKeyInfo of the log.
	Key []byte
	// Dial is where to connect instead of the host of the URL ("host:port" or a URL without path), or "".
	Dial  string
	Place watch.Place
}

// Coverage says what is too little to see.
type Coverage struct {
	// MinOperators is how many operators must have a log that makes progress; 0 when not given.
	MinOperators int
	// Patience is how long a log may show nothing new before it is blind, PromisePatience how long one is asked for what
	// it promised before it is accused; 0 when not given.
	Patience, PromisePatience time.Duration
}

// maxFile bounds the configuration file, without its bulk lists.
const maxFile = 16 << 20

// Load reads and checks a configuration with its bulk lists. The error joins everything that is wrong: an *[Error] for
// each mistake in the file, a *watch.ItemError for each in a bulk list.
func Load(path string) (*Config, error) {
	self := stampOf(path)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if len(text) > maxFile {
		return nil, &Error{File: path, Problem: fmt.Sprintf("larger than %d bytes", maxFile), HintText: "put long lists into names_file and networks_file"}
	}
	c, err := parse(path, text)
	if err != nil {
		return nil, err
	}
	c.self = self
	if c.sections, err = sections(text); err != nil {
		return nil, err
	}
	return c, nil
}

// parse reads a configuration from memory; bulk lists come from the file system.
func parse(path string, text []byte) (*Config, error) {
	d := newDecoder(path, text)
	var raw file
	d.document(text, &raw)
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	k := checker{decoder: d, dir: filepath.Dir(path), c: &Config{Path: path}}
	k.file(&raw)
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	return k.c, nil
}
