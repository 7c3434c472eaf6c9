package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/lookalike"
	"github.com/tocsin-ct/tocsin/internal/policy/rule"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Expect is what a watch promises of its certificates. All conditions that are given must hold. At least one that
// can fail must be given.
type Expect struct {
	// Issuers: the issuing key belongs to one of these CA owners (CAA name, owner name or short name), or is one of
	// these keys ("spki:" and the SHA-256 in hex). Nil: not a condition.
	Issuers []string
	// Keys: the certificate's key is one of these ("spki:…"), or in one of these files or directories ("file:…");
	// see facts.Entry; or [Journal]. Nil: not a condition.
	Keys []string
	// MaxValidity: notAfter - notBefore + 1 s (both seconds are part of the validity, RFC 5280 section 4.1.2.5) is
	// no longer. Zero: not a condition.
	MaxValidity time.Duration
	// AllowWildcard: when false, no name in the certificate may hold a wildcard. Nil is true, since zones are
	// commonly served with one.
	AllowWildcard *bool
	// AllowForeignNames: when false, every DNS name and address in the certificate must lie within this watch. Nil
	// is true, since certificates commonly cover several of an owner's domains.
	AllowForeignNames *bool
	// Settle is how long the ring for a name may wait for the journal (see Verdict.Wait). Zero: not at all.
	Settle time.Duration
	// Config is where the expectation stands ("tocsin.yaml:12"); Places, which may be nil, is where each of its
	// conditions does, by its key there ("issuers", "keys", "max_validity", "allow_wildcard", "allow_foreign_names").
	Config string
	Places map[string]string
}

// Watch is what the rules need to know of one watch.
type Watch struct {
	Name, Owner string
	Items       []watch.Item
	// Expect is nil for a watch that expects nothing: then every certificate is told of.
	Expect *Expect
	// Surprise is the level of what was not expected: Digest, Alarm or Page. None means the default: Alarm with an
	// Expect; without one, Digest for names and Alarm for addresses. Addresses never ring below Alarm.
	Surprise Level
	// Lookalike asks for names that people take for those of the watch.
	Lookalike bool
	// Config is where the watch stands.
	Config string
}

// Rules are watches that were checked and made ready by [Compile]. They never change and are safe for concurrent use.
type Rules struct {
	watches  []guarded
	sources  []string
	warnings []string
	set      *rule.Set
}

// guarded is a watch that was checked and made ready.
type guarded struct {
	Watch
	look         *lookalike.Index // nil unless look-alike names are asked for
	issuerKeys   map[[32]byte]bool
	issuerOwners map[string]bool
	keys         map[[32]byte]bool // of "spki:" entries
	keyFiles     map[string]bool   // "file:" entries in normal form
	within       *within           // nil unless foreign names are forbidden
	quiet        *bart.Lite        // the networks of a watch whose names may be told below Alarm, else nil
}

// Error is a rule that was refused.
type Error struct {
	Config, Watch, Problem, Hint string
	// Text is what is wrong, as the configuration has it, or "".
	Text string
}

// Error is one line without the hint.
func (e *Error) Error() string {
	at := ""
	if e.Config != "" {
		at = e.Config + ": "
	}
	return fmt.Sprintf("%swatch %q: %s", at, e.Watch, e.Problem)
}

// HintText returns Hint, so that a command can print it under the error.
func (e *Error) HintText() string { return e.Hint }

// Compile checks the rules of all watches, in the order in which matches number them, and makes them ready. The error
// joins one *[Error] for each rule that is refused. The built-in rules decide: see [Rules.With].
func Compile(watches []Watch, owners *facts.Owners) (*Rules, error) {
	r := &Rules{watches: make([]guarded, len(watches))}
	var errs []error
	for i, w := range watches {
		if w.Name == "" && len(w.Items) > 0 {
			w.Name = w.Items[0].Text
		}
		c := compiler{rule: &r.watches[i], owners: owners}
		c.rule.Watch = w
		c.surprise()
		c.networks()
		if w.Expect != nil {
			c.expect(w.Expect)
		}
		c.lookalike()
		r.warnings = append(r.warnings, c.warnings...)
		errs = append(errs, c.errs...)
		for _, s := range c.sources {
			if !slices.Contains(r.sources, s) {
				r.sources = append(r.sources, s)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// With returns the same watches under other rules: those of the operator, or those that a replay tries. Nil stands for
// the built-in ones.
func (r *Rules) With(set *rule.Set) *Rules {
	with := *r
	with.set = set
	return &with
}

// Set returns the rules that decide.
func (r *Rules) Set() *rule.Set {
	if r != nil && r.set != nil {
		return r.set
	}
	builtin, err := rule.Builtin()
	if err != nil { // the tests of package rule make this impossible
		return &rule.Set{}
	}
	return builtin
}

// KeySources returns all sources of own keys that the rules name, each once, in normal form: for facts.OpenKeys.
func (r *Rules) KeySources() []string { return slices.Clone(r.sources) }

// Warnings returns, as sentences to show at the start, what the rules cannot see, or mean beside what one may think.
func Warnings(r *Rules) []string {
	if r == nil {
		return nil
	}
	return slices.Clone(r.warnings)
}

type compiler struct {
	rule     *guarded
	owners   *facts.Owners
	sources  []string
	warnings []string
	errs     []error
}

func (c *compiler) refuse(at, problem, hint string) {
	c.errs = append(c.errs, &Error{Config: at, Watch: c.rule.Name, Problem: problem, Hint: hint})
}

func (c *compiler) warn(at, format string, args ...any) {
	if at != "" {
		at += ": "
	}
	c.warnings = append(c.warnings, fmt.Sprintf("%swatch %q: %s", at, c.rule.Name, fmt.Sprintf(format, args...)))
}

func (c *compiler) surprise() {
	w := c.rule
	if w.Surprise == Expected || w.Surprise > Page {
		c.refuse(w.Config, fmt.Sprintf("surprise is digest, alarm or page, not %s", w.Surprise), "")
	}
	if w.Surprise != Digest {
		return
	}
	addresses := 0
	for _, item := range w.Items {
		if item.Prefix.IsValid() {
			addresses++
		}
	}
	switch {
	case addresses > 0 && addresses == len(w.Items):
		c.refuse(w.Config, "surprise: digest is below alarm, and addresses never ring below alarm", "write alarm or page, or expect what is legitimate")
	case addresses > 0:
		c.warn(w.Config, "surprise: digest counts for its names only; its addresses ring as alarm")
	}
}

// networks keeps the networks beside names that are told more quietly.
func (c *compiler) networks() {
	w := c.rule
	if w.Surprise >= Alarm || w.Surprise == None && w.Expect != nil {
		return
	}
	var nets bart.Lite
	names := false
	for _, item := range w.Items {
		if item.Prefix.IsValid() {
			nets.Insert(item.Prefix.Masked())
		}
		names = names || item.Name != ""
	}
	if names && nets.Size() > 0 {
		w.quiet = &nets
	}
}

func (c *compiler) lookalike() {
	if !c.rule.Lookalike {
		return
	}
	var names []string
	for _, item := range c.rule.Items {
		if item.Name != "" {
			names = append(names, item.Name)
		}
	}
	if len(names) == 0 {
		c.warn(c.rule.Config, "lookalike: true on a watch without names finds nothing")
	}
	c.rule.look = lookalike.New(names)
}

func (c *compiler) expect(e *Expect) {
	c.issuers(e)
	c.keySources(e)
	if e.Settle < 0 {
		c.refuse(e.at("settle"), "settle is negative", "write a duration such as 15m")
	}
	if e.MaxValidity < 0 {
		c.refuse(e.at("max_validity"), "max_validity is negative", "write a duration such as 90d")
	}
	if is(e.AllowForeignNames, false) {
		c.rule.within = newWithin(c.rule.Items)
	}
	alone := e.Keys == nil && e.Issuers != nil
	switch {
	case e.Issuers == nil && e.Keys == nil && e.MaxValidity == 0 && !is(e.AllowWildcard, false) && !is(e.AllowForeignNames, false):
		c.refuse(e.at(""), "expect holds no condition that can fail: every certificate would be expected", "add issuers and keys, or remove expect")
	case e.Issuers == nil && e.Keys == nil:
		c.warn(e.at(""), "an expectation without issuers and keys accepts a certificate of any CA for anybody's key")
	case alone:
		c.warn(e.at("issuers"), "%s; add keys", issuerAlone)
	}
}

const issuerAlone = "an expectation by issuer alone cannot see an attack through the same CA"

func (c *compiler) issuers(e *Expect) {
	at := e.at("issuers")
	if e.Issuers != nil && len(e.Issuers) == 0 {
		c.refuse(at, "issuers is empty: nothing would ever be expected", "name a CA by its CAA name, such as digicert.com")
	}
	c.rule.issuerKeys, c.rule.issuerOwners = map[[32]byte]bool{}, map[string]bool{}
	for _, text := range e.Issuers {
		if hash, ok := strings.CutPrefix(strings.TrimSpace(text), "spki:"); ok {
			spki, err := facts.ParseSPKI(hash)
			if err != nil {
				c.refuse(at, "issuers: "+err.Error(), "openssl x509 -in issuer.pem -pubkey -noout | openssl pkey -pubin -outform der | sha256sum")
			}
			c.rule.issuerKeys[spki] = true
			continue
		}
		owners := c.owners.Resolve(text)
		switch {
		case len(owners) == 0:
			hint := "write the name that a CA recognises in CAA records (digicert.com), its owner's name, or spki:<sha256> of its key"
			if near := c.owners.Nearest(text, 3); len(near) > 0 {
				hint = "did you mean " + join(near, " or ") + "?"
			}
			c.refuse(at, fmt.Sprintf("issuers: no CA owner is known as %q", clip(text)), hint)
			c.errs[len(c.errs)-1].(*Error).Text = text
		case len(owners) > 1:
			c.warn(at, "%s stands for %s: a certificate of either is expected", text, join(owners, " and "))
		}
		for _, name := range owners {
			c.rule.issuerOwners[name] = true
		}
	}
}

func (c *compiler) keySources(e *Expect) {
	at := e.at("keys")
	if e.Keys != nil && len(e.Keys) == 0 {
		c.refuse(at, "keys is empty: nothing would ever be expected", "name keys: spki:<sha256>, file:/path")
	}
	c.rule.keys, c.rule.keyFiles = map[[32]byte]bool{}, map[string]bool{}
	for _, text := range e.Keys {
		if text == Journal {
			continue // the journal counts wherever keys are compared
		}
		normal, err := facts.Entry(text)
		if err != nil {
			c.refuse(at, "keys: "+err.Error(), "")
			continue
		}
		c.sources = append(c.sources, normal)
		if hash, ok := strings.CutPrefix(normal, "spki:"); ok {
			spki, _ := facts.ParseSPKI(hash) // Entry has checked it
			c.rule.keys[spki] = true
		} else {
			c.rule.keyFiles[normal] = true
		}
	}
}

// at returns where a condition stands, or else where the expectation does.
func (e *Expect) at(condition string) string {
	if place := e.Places[condition]; place != "" {
		return place
	}
	return e.Config
}

// Journal among the keys of an expectation names no source: the keys are those of the journal, and of the others.
const Journal = "journal"

func is(b *bool, want bool) bool { return b != nil && *b == want }

// within tells whether a name or network lies wholly inside the items of a watch, which is less than to touch them:
// *.com touches example.com and does not lie within it.
type within struct {
	names map[string]bool // true for a zone, false for an exact name
	nets  bart.Lite
}

func newWithin(items []watch.Item) *within {
	w := &within{names: map[string]bool{}}
	for _, item := range items {
		switch {
		case item.Name != "":
			w.names[item.Name] = w.names[item.Name] || !item.Exact
		case item.Prefix.IsValid():
			w.nets.Insert(item.Prefix.Masked())
		}
	}
	return w
}

// maxName bounds the work on one name: no DNS name is longer (RFC 1035 section 2.3.4), so a longer one is foreign.
const maxName = 255

func (w *within) name(name string) bool {
	if len(name) > maxName {
		return false
	}
	if _, ok := w.names[name]; ok {
		return true
	}
	for {
		_, parent, more := strings.Cut(name, ".")
		if !more {
			return false
		}
		if w.names[parent] {
			return true
		}
		name = parent
	}
}
