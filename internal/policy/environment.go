package policy

import (
	"encoding/hex"
	"iter"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy/rule"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// environment is what rules may know of the certificate, the watch and the facts.
func (c *clauses) environment(broken map[string]bool) *rule.Env {
	f := &c.in.Facts
	e := &rule.Env{Now: c.in.Now, Cert: c.certificate(), Watch: c.watch(), CAA: summary(f.CAA),
		Policy: rule.Policy{AllowWildcard: true, AllowForeignNames: true},
		Broken: rule.Broken{
			Issuer: broken[RuleIssuer], Proven: broken[RuleProven], Key: broken[RuleKey], Validity: broken[RuleValidity], Wildcard: broken[RuleWildcard],
			WildcardBroad: broken[RuleBroad], ForeignName: broken[RuleForeign], Unreadable: broken[RuleUnreadable], CA: broken[RuleCA],
			NoName: broken[RuleNoName], NoAddress: broken[RuleNoAddress],
		},
		Journal: rule.Journal{Known: f.Journal.Known, Certificate: f.Journal.Certificate, Source: f.Journal.Source, At: f.Journal.At},
		Past:    rule.Past{Known: f.Past.Known, FirstUse: f.Past.FirstUse, Seen: f.Past.Seen, Since: f.Past.Since},
		Revoked: rule.Revoked{Known: f.Revoked.Known, At: f.Revoked.At},
	}
	e.Broken.Derive()
	if x := c.rule.Expect; x != nil {
		e.Policy = rule.Policy{Issuers: x.Issuers, Keys: x.Keys, MaxValidity: x.MaxValidity,
			AllowWildcard: !is(x.AllowWildcard, false), AllowForeignNames: !is(x.AllowForeignNames, false)}
	}
	e.Announced.IssuerAlone = len(f.Announced) > 0
	for _, a := range f.Announced {
		e.Announced.Known = true
		e.Announced.IssuerAlone = e.Announced.IssuerAlone && a.IssuerAlone
		e.Announced.IDs, e.Announced.Reasons = append(e.Announced.IDs, a.ID), append(e.Announced.Reasons, a.Reason)
	}
	if r := &e.Revoked; r.Known {
		from := e.Cert.NotBefore
		if e.Cert.LoggedKnown {
			from = e.Cert.Logged
		}
		r.After = max(r.At.Sub(from), 0)
	}
	return e
}

func (c *clauses) certificate() rule.Cert {
	x, f := c.in.Cert, &c.in.Facts
	out := rule.Cert{
		Subject: x.Subject, CommonNames: x.CommonNames, Serial: hex.EncodeToString(x.Serial), NotBefore: x.NotBefore, NotAfter: x.NotAfter,
		Precert: x.Poison || x.BareTBS, CA: x.CA, Readable: !x.Incomplete && !slices.ContainsFunc(c.matches, func(m watch.Match) bool { return m.Where == cert.InRaw }),
		Issuer: rule.Issuer{Name: f.Issuer.Name, Proven: f.Issuer.Proven},
		Key:    rule.Key{SHA256: hexOrNone(x.SPKI), Algorithm: x.KeyAlgorithm, Observed: f.Key.Observed},
	}
	if f.Issuer.Proven {
		out.Issuer.Owners, out.Issuer.Domains, out.Issuer.Key = f.Issuer.Owners, f.Issuer.Domains, hexOrNone(f.Issuer.SPKI)
		if len(f.Issuer.Owners) > 0 {
			out.Issuer.Owner = f.Issuer.Owners[0]
		}
	}
	if x.SPKI != [32]byte{} && f.Key.SPKI == x.SPKI {
		out.Key.Owned, out.Key.Source = f.Key.Owned || f.Journal.Known, f.Key.Source
	}
	seen := map[string]bool{}
	for i := range x.Idents {
		id := &x.Idents[i]
		if !claimed(id) {
			continue
		}
		text := identText(id)
		if seen[text] {
			continue
		}
		seen[text] = true
		if id.Prefix.IsValid() {
			out.Addresses = append(out.Addresses, text)
		} else {
			out.Names = append(out.Names, text)
		}
	}
	for _, o := range x.Oddities {
		// The text around a certificate in a file is none of its own.
		if o.Code != "pem-text" && !slices.Contains(out.Oddities, o.Code) {
			out.Oddities = append(out.Oddities, o.Code)
		}
	}
	for _, oid := range x.ExtKeyUsage {
		out.Usages = append(out.Usages, usage(oid))
	}
	out.Logged = c.in.Logged
	for i := range x.SCTs {
		if t := x.SCTs[i].Timestamp; out.Logged.IsZero() || t.Before(out.Logged) {
			out.Logged = t
		}
	}
	out.Derive()
	return out
}

// claimed tells the identities for which clients would take the certificate.
func claimed(id *cert.Ident) bool {
	switch id.Where {
	case cert.InDNS, cert.InIP, cert.InURI:
		return true
	case cert.InCN: // often no host name at all, but the name of a firm
		return len(id.Name) == 0 || hostname(id.Name)
	}
	return false
}

func identText(id *cert.Ident) string {
	if id.Prefix.IsValid() {
		return prefixText(id.Prefix.Masked())
	}
	return string(id.Name)
}

var usages = map[string]string{
	"1.3.6.1.5.5.7.3.1": "serverAuth", "1.3.6.1.5.5.7.3.2": "clientAuth", "1.3.6.1.5.5.7.3.3": "codeSigning", "1.3.6.1.5.5.7.3.4": "emailProtection",
	"1.3.6.1.5.5.7.3.8": "timeStamping", "1.3.6.1.5.5.7.3.9": "OCSPSigning", "2.5.29.37.0": "any",
}

func usage(oid string) string {
	if name, ok := usages[oid]; ok {
		return name
	}
	return oid
}

func hexOrNone(h [32]byte) string {
	if h == [32]byte{} {
		return ""
	}
	return hash(h)
}

func (c *clauses) watch() rule.Watch {
	w := rule.Watch{Name: c.rule.Name, Owner: c.rule.Owner, Surprise: c.surprise().String(), Expects: c.rule.Expect != nil, LookAlike: c.rule.Lookalike}
	seen, items := map[string]bool{}, map[int]bool{}
	for _, m := range c.matches {
		text := m.Normal
		if text == "" {
			text = m.Value
		}
		if !seen[text] {
			seen[text] = true
			w.Touched = append(w.Touched, text)
		}
		if item, known := c.rule.item(m.Item); known && !items[m.Item] {
			items[m.Item] = true
			w.Items = append(w.Items, item.Text)
		}
		w.Names = w.Names || m.Odd != LookAlike && !c.address(m)
	}
	w.Addresses = c.addressed()
	return w
}

// summary is the worst answer of CAA, with the names that have it.
func summary(all []facts.CAA) rule.CAA {
	answer := func(a facts.CAA) int {
		return slices.Index([]string{facts.CAAAllows, facts.CAANone, facts.CAAUnknown, facts.CAAForbids}, a.Answer)
	}
	out := rule.CAA{Answer: facts.CAAUnknown}
	worst := -1
	for _, a := range all {
		n := answer(a)
		if n < 0 {
			n, a.Answer = 2, facts.CAAUnknown
		}
		if n > worst {
			worst = n
			out = rule.CAA{Answer: a.Answer, Wanted: a.Wanted, Since: a.Since, DNSSEC: a.DNSSEC, Note: a.Note}
		}
		if n == worst {
			out.Names = append(out.Names, a.Name)
		}
	}
	return out
}

// idents yields the names and addresses of the certificate, each once.
func (c *clauses) idents() iter.Seq[rule.Ident] {
	return func(yield func(rule.Ident) bool) {
		// Lists of matches are cut. Then each name may be ours, which is louder.
		cut := len(c.in.Matches) >= watch.MaxMatches
		touched := map[string]bool{}
		for _, m := range c.matches {
			if m.Odd != LookAlike {
				touched[m.Normal] = true
			}
		}
		type key struct {
			where     cert.Where
			text, odd string
		}
		seen := map[key]bool{}
		for i := range c.in.Cert.Idents {
			id := &c.in.Cert.Idents[i]
			text := identText(id)
			k := key{id.Where, text, id.Odd}
			if seen[k] {
				continue
			}
			seen[k] = true
			out := rule.Ident{Text: text, Where: id.Where.String(), Address: id.Prefix.IsValid(), Odd: id.Odd,
				Reverse: id.Prefix.IsValid() && reverse(id.Raw), Ours: cut || touched[text] || c.quietly(id)}
			if !out.Address {
				out.Wildcard = strings.Contains(text, "*")
				out.Domain = rule.Registrable(text)
				out.LookAlike, out.LookAlikeBy = c.rule.look.Of(text)
			}
			if !yield(out) {
				return
			}
		}
	}
}

// quietly tells that an address is ours although the list of matches may have been cut before it.
func (c *clauses) quietly(id *cert.Ident) bool {
	return c.rule.quiet != nil && id.Prefix.IsValid() && c.rule.quiet.OverlapsPrefix(id.Prefix.Masked())
}

// reverse tells that an address was written as a name of a reverse zone.
func reverse(raw []byte) bool {
	name := strings.ToLower(strings.TrimRight(strings.TrimSpace(string(raw)), "."))
	return strings.HasSuffix(name, ".in-addr.arpa") || strings.HasSuffix(name, ".ip6.arpa")
}
