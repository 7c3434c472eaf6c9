package policy

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Decide returns the verdict for one certificate. It is pure, never panics, and takes no longer than a few passes over
// the certificate's names for each watch that is touched.
func Decide(in Input) Verdict {
	v := Verdict{Version: Version, Watches: []Outcome{}, Reasons: []Reason{}, Fired: []Fired{}}
	if in.Cert == nil {
		in.Cert = &cert.Certificate{Incomplete: true}
	}
	var order []int
	byWatch := map[int][]watch.Match{}
	for _, m := range in.Matches {
		if _, ok := byWatch[m.Watch]; !ok {
			order = append(order, m.Watch)
		}
		byWatch[m.Watch] = append(byWatch[m.Watch], m)
	}
	slices.Sort(order)
	wait := time.Duration(-1)
	for _, n := range order {
		c := clauses{in: &in, rule: in.Rules.rule(n), matches: byWatch[n]}
		level := c.decide()
		v.Level = max(v.Level, level)
		v.Watches = append(v.Watches, Outcome{Watch: c.rule.Name, Owner: c.rule.Owner, Level: level})
		v.Reasons = append(v.Reasons, c.reasons...)
		v.Fired = append(v.Fired, c.fired...)
		for _, id := range c.uses {
			if !slices.Contains(v.Uses, id) {
				v.Uses = append(v.Uses, id)
			}
		}
		if level >= Alarm {
			if w := c.wait(level); wait < 0 || w < wait {
				wait = w
			}
		}
	}
	v.Wait = max(wait, 0)
	return v
}

// rule returns the rule of watch n; one that expects nothing for a watch that is not known.
func (r *Rules) rule(n int) *guarded {
	if r == nil || n < 0 || n >= len(r.watches) {
		return &guarded{Watch: Watch{Name: fmt.Sprintf("watch %d", n)}}
	}
	return &r.watches[n]
}

// item returns an item of the rule; known is false when the match comes from other rules.
func (r *guarded) item(n int) (item watch.Item, known bool) {
	if n < 0 || n >= len(r.Items) {
		return watch.Item{}, false
	}
	return r.Items[n], true
}

// clauses collects the reasons for one watch.
type clauses struct {
	in      *Input
	rule    *guarded
	matches []watch.Match
	reasons []Reason
	fired   []Fired
	uses    []string
}

// add writes one clause down. held false makes the certificate a surprise.
func (c *clauses) add(rule string, held bool, observed, wanted, config, text string) {
	if config == "" {
		config = c.rule.Config
	}
	c.reasons = append(c.reasons, Reason{Rule: rule, Watch: c.rule.Name, Item: c.items(c.matches), Observed: observed,
		Wanted: wanted, Config: config, Held: held, Text: text})
}

// decide returns the level for the watch: clauses first, then rules.
func (c *clauses) decide() Level {
	if !slices.ContainsFunc(c.matches, func(m watch.Match) bool { return m.Odd != LookAlike }) {
		return c.judge() // it touches nothing of ours, and only resembles it
	}
	if c.rule.Expect == nil {
		c.nothingExpected()
	} else {
		c.promised(c.rule.Expect)
	}
	return c.judge()
}

// promised writes the clauses of an expectation.
func (c *clauses) promised(e *Expect) {
	c.proven(e)
	if e.Issuers != nil {
		c.issuer(e)
	}
	if e.Keys != nil {
		c.key(e)
	} else if e.Issuers != nil {
		c.add(RuleIssuerAlone, true, "no keys to compare with", "keys", e.at("issuers"), issuerAlone)
	}
	if e.MaxValidity > 0 {
		c.validity(e)
	}
	c.wildcard(e)
	if is(e.AllowForeignNames, false) {
		c.foreign(e)
	}
	c.readable()
	c.authority()
}

// surprise is the level of what was not promised to this watch.
func (c *clauses) surprise() Level {
	level := c.rule.Surprise
	if level < Digest {
		level = Digest
		if c.rule.Expect != nil {
			level = Alarm
		}
	}
	if c.addressed() {
		level = max(level, Alarm)
	}
	return level
}

// addressed tells whether an address or network of the watch is touched.
func (c *clauses) addressed() bool {
	return slices.ContainsFunc(c.matches, c.address) || c.unlisted() != ""
}

// nothingExpected writes the clauses for a watch without an expectation: by what was touched.
func (c *clauses) nothingExpected() {
	level := None
	all := c.matches
	for _, address := range []bool{true, false} {
		c.matches = slices.DeleteFunc(slices.Clone(all), func(m watch.Match) bool { return c.address(m) != address })
		if len(c.matches) == 0 {
			continue
		}
		rule, what, l := RuleNoName, "names", Digest
		if c.rule.Surprise >= Digest {
			l = c.rule.Surprise
		}
		if address {
			rule, what, l = RuleNoAddress, "addresses", max(l, Alarm)
		}
		c.add(rule, false, c.values(), "an expectation", "", fmt.Sprintf("%s touches %s, and the watch expects nothing: %s are %s",
			c.values(), c.items(c.matches), what, l))
		level = max(level, l)
	}
	c.matches = all
	if found := c.unlisted(); level < Alarm && found != "" {
		level = Alarm
		c.add(RuleNoAddress, false, found, "an expectation", "", fmt.Sprintf("%s lies in a network of this watch, and the watch expects nothing: addresses are %s", found, level))
	}
	c.readable()
	c.authority()
}

// address tells whether a match concerns an address or network. What is not known counts as one: that is louder.
func (c *clauses) address(m watch.Match) bool {
	item, known := c.rule.item(m.Item)
	return !known || item.Prefix.IsValid()
}

// unlisted returns an address of the certificate that touches the watch, or "". The list of matches is cut when a
// certificate touches very much, and nobody shall hide an address behind many names.
func (c *clauses) unlisted() string {
	if c.rule.quiet == nil {
		return ""
	}
	for i := range c.in.Cert.Idents {
		if p := c.in.Cert.Idents[i].Prefix; p.IsValid() && c.rule.quiet.OverlapsPrefix(p.Masked()) {
			return prefixText(p.Masked())
		}
	}
	return ""
}

func (c *clauses) proven(e *Expect) {
	i := &c.in.Facts.Issuer
	why := i.Why
	if why == "" {
		why = "not proven: nothing is known of the issuer"
	}
	observed := "not proven"
	if i.Proven {
		observed = "proven: key " + hash(i.SPKI)
	}
	c.add(RuleProven, i.Proven, observed, "an issuer proven by signature", e.at(""), fmt.Sprintf("issuer %s is %s", show(i.Name), show(why)))
}

func (c *clauses) issuer(e *Expect) {
	i := &c.in.Facts.Issuer
	wanted := join(e.Issuers, " or ")
	at := e.at("issuers")
	if !i.Proven {
		c.add(RuleIssuer, false, "not proven", wanted, at, fmt.Sprintf("who issued it is not proven, so it is not known to be %s", wanted))
		return
	}
	owner := join(i.Owners, " or ")
	if owner == "" {
		owner = "an unknown owner"
	}
	observed := fmt.Sprintf("%s, key %s", owner, hash(i.SPKI))
	if c.rule.issuerKeys[i.SPKI] {
		c.add(RuleIssuer, true, observed, wanted, at, fmt.Sprintf("issued by key %s of %s, which is wanted as a key", hash(i.SPKI), owner))
		return
	}
	if slices.ContainsFunc(i.Owners, func(name string) bool { return c.rule.issuerOwners[name] }) {
		c.add(RuleIssuer, true, observed, wanted, at, fmt.Sprintf("issued by %s, and %s is wanted; %s", owner, wanted, show(i.Note)))
		return
	}
	c.add(RuleIssuer, false, observed, wanted, at, fmt.Sprintf("issued by %s, but %s is wanted; %s", owner, wanted, show(i.Note)))
}

func (c *clauses) key(e *Expect) {
	k := &c.in.Facts.Key
	wanted := join(e.Keys, " or ")
	at := e.at("keys")
	switch {
	case c.in.Cert.SPKI == [32]byte{} || k.SPKI != c.in.Cert.SPKI:
		c.add(RuleKey, false, "unreadable", wanted, at, "the certificate's key could not be read, so it is not known to be ours")
		return
	case c.rule.keys[k.SPKI]:
		c.add(RuleKey, true, hash(k.SPKI), wanted, at, fmt.Sprintf("the key is ours: %s is written down", hash(k.SPKI)))
		return
	}
	elsewhere := ""
	for _, h := range k.Holdings {
		if c.rule.keyFiles[h.Entry] {
			c.add(RuleKey, true, hash(k.SPKI), wanted, at, fmt.Sprintf("the key is ours: %s holds it", show(h.File)))
			return
		}
		elsewhere = h.File
	}
	if j := &c.in.Facts.Journal; j.Known {
		text := fmt.Sprintf("the key is ours: the journal has it (%s)", show(j.Source))
		if j.Certificate {
			text = fmt.Sprintf("the key is ours: the journal has this very certificate (%s)", show(j.Source))
		}
		c.add(RuleKey, true, hash(k.SPKI), wanted, at, text)
		return
	}
	text := fmt.Sprintf("the key %s is none of ours", hash(k.SPKI))
	if elsewhere != "" {
		text = fmt.Sprintf("the key %s is in %s, but that is not among the keys of this watch", hash(k.SPKI), show(elsewhere))
	}
	c.add(RuleKey, false, hash(k.SPKI), wanted, at, text)
}

func (c *clauses) validity(e *Expect) {
	from, to := c.in.Cert.NotBefore, c.in.Cert.NotAfter
	wanted := "at most " + days(e.MaxValidity)
	at := e.at("max_validity")
	if from.IsZero() || to.IsZero() || to.Before(from) {
		c.add(RuleValidity, false, "unreadable", wanted, at, "its validity cannot be read, so it is not known to be "+wanted)
		return
	}
	// Both ends count. Sub saturates at 292 years, so the second is taken from the other side.
	held := to.Sub(from) <= e.MaxValidity-time.Second
	observed := days(to.Sub(from).Truncate(time.Second))
	if d := to.Sub(from); d < 1<<63-1-time.Second {
		observed = days(d + time.Second)
	}
	text := fmt.Sprintf("valid for %s, which is within %s", observed, days(e.MaxValidity))
	if !held {
		text = fmt.Sprintf("valid for %s, but %s is wanted", observed, wanted)
	}
	c.add(RuleValidity, held, observed, wanted, at, text)
}

// wildcard looks at the whole certificate, not only at what touches the watch: lists of matches may be cut.
func (c *clauses) wildcard(e *Expect) {
	var all, broad list
	note := func(name string) {
		if !strings.Contains(name, "*") {
			return
		}
		all.add(name)
		if star := name[strings.LastIndexByte(name, '*'):]; strings.Count(strings.Trim(star, "."), ".") < 2 {
			broad.add(name)
		}
	}
	for i := range c.in.Cert.Idents {
		note(string(c.in.Cert.Idents[i].Name))
	}
	for _, m := range c.matches {
		note(m.Normal)
	}
	if broad.n > 0 {
		c.add(RuleBroad, false, broad.String(), "no wildcard over a top-level domain", "",
			fmt.Sprintf("%s stands for names of everybody, which is never expected", &broad))
	}
	if is(e.AllowWildcard, false) {
		text := "it names no wildcard, and none is allowed"
		if all.n > 0 {
			text = fmt.Sprintf("it names %s, and no wildcard is allowed", &all)
		}
		c.add(RuleWildcard, all.n == 0, all.String(), "no wildcard", e.at("allow_wildcard"), text)
	}
}

// foreign looks for names and addresses for which clients would take the certificate, outside this watch.
func (c *clauses) foreign(e *Expect) {
	var found list
	for i := range c.in.Cert.Idents {
		id := &c.in.Cert.Idents[i]
		switch id.Where {
		case cert.InDNS, cert.InIP, cert.InURI:
		case cert.InCN: // often no host name at all, but the name of a firm
			if len(id.Name) > 0 && !hostname(id.Name) {
				continue
			}
		default:
			continue
		}
		switch {
		case id.Prefix.IsValid():
			if p := id.Prefix.Masked(); !c.rule.within.nets.LookupPrefix(p) {
				found.add(prefixText(p))
			}
		case len(id.Name) > 0 && !c.rule.within.name(string(id.Name)):
			found.add(string(id.Name))
		}
	}
	text := "every name and address lies within this watch"
	if found.n > 0 {
		text = fmt.Sprintf("it also names %s, outside this watch, which may not be", &found)
	}
	c.add(RuleForeign, found.n == 0, found.String(), "only names and addresses of this watch", e.at("allow_foreign_names"), text)
}

// readable refuses what could not be read: what is not seen cannot be expected.
func (c *clauses) readable() {
	what := ""
	switch x := c.in.Cert; {
	case slices.ContainsFunc(c.matches, func(m watch.Match) bool { return m.Where == cert.InRaw }):
		what = "it was found by searching bytes that could not be read as a certificate"
	case x.Incomplete:
		what = "part of it could not be read, and names may be lost there"
	case doubtful(x):
		what = "whether it may issue certificates could not be read"
	default:
		return
	}
	c.add(RuleUnreadable, false, "unreadable", "a certificate that can be read", "", what+", so it is never expected")
}

// doubtful tells that the basic constraints (RFC 5280 section 4.2.1.9) may say to some client that it is a CA, although
// they were not read so: there are several, or they are not what the standard describes. FALSE written out is not DER,
// but common and clear.
func doubtful(x *cert.Certificate) bool {
	n := 0
	for _, e := range x.Extensions {
		if e.ID != "2.5.29.19" {
			continue
		}
		value := cryptobyte.String(e.Value)
		var body cryptobyte.String
		var ca bool
		if n++; n > 1 || !value.ReadASN1(&body, asn1.SEQUENCE) || !value.Empty() ||
			body.PeekASN1Tag(asn1.BOOLEAN) && !body.ReadASN1Boolean(&ca) ||
			!body.SkipOptionalASN1(asn1.INTEGER) || !body.Empty() {
			return true
		}
	}
	return false
}

func (c *clauses) authority() {
	if c.in.Cert.CA {
		c.add(RuleCA, false, "CA:TRUE", "CA:FALSE", "", "it is a CA certificate, which can issue for any name, so it is never expected")
	}
}

func hash(spki [32]byte) string { return hex.EncodeToString(spki[:]) }
