// Package expectation holds issuances that were announced beforehand, and the tokens that may announce them. All of it is
// pure: no I/O, no clock of its own.
//
// An expectation is narrow, counted and expiring: every name of the certificate must be among the announced ones, its
// key and issuer must be those announced where any are, so many issuances may use it, and it ends. [Match] says which
// expectation announces a certificate, and of the others why not. An expectation by issuer alone passes an attack
// through the same CA, and is labelled so.
//
// A [Scope] bounds what a token may announce: who steals it can hush at most so many issuances, of these watches, for so
// long; [Scope.Allows] is the whole decision. The secret of a token is shown once and kept nowhere; what is kept is its
// hash, compared in constant time.
//
// Trusted: the operator, and a token as far as its scope. Not trusted: the certificate.
package expectation

import (
	"crypto/rand"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
)

// Expectation is an issuance that was announced.
type Expectation struct {
	ID string `json:"id"`
	// Names are DNS names in normal form, "*." and such a name, or addresses: exactly those that may stand in the
	// certificate. Nothing stands for what is beneath it.
	Names []string `json:"names"`
	// Issuers are CA owners by CAA domain or name, or "spki:" and a hash; any of them. Empty for any issuer.
	Issuers []string `json:"issuers,omitempty"`
	// Keys are the hashes of the certificate's key in hexadecimal; any of them. Empty for any key.
	Keys []string `json:"keys,omitempty"`
	// Count is how many issuances may use it, Used how many have.
	Count   int       `json:"count"`
	Used    int       `json:"used"`
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"`
	Reason  string    `json:"reason"`
	// By is who announced it.
	By string `json:"by"`
	// NotifyMissing: tell when it ends without having been used.
	NotifyMissing bool `json:"notify_missing,omitempty"`
	// Cancelled is when it was cancelled; zero for never.
	Cancelled time.Time `json:"cancelled,omitzero"`

	// UsedBy are the issuances that have used it.
	UsedBy []cert.ID `json:"-"`
}

// SameCA is the label of an expectation that names nothing but the CA.
const SameCA = "same-CA attacks pass"

// IssuerAlone says that nothing but the names and the issuer is checked: see [SameCA].
func (e *Expectation) IssuerAlone() bool { return len(e.Keys) == 0 }

// State is open, used, expired or cancelled.
func (e *Expectation) State(now time.Time) string {
	switch {
	case !e.Cancelled.IsZero():
		return "cancelled"
	case e.Used >= e.Count:
		return "used"
	case now.After(e.Until):
		return "expired"
	}
	return "open"
}

// Late is how long after it was logged an issuance may still be announced: pipelines announce when they order, and a log
// may be quicker.
const Late = 15 * time.Minute

// Subject is the certificate that may have been announced.
type Subject struct {
	ID     cert.ID
	Cert   *cert.Certificate
	Issuer facts.Issuer
	// Logged is when it was first logged, or first seen where that is not known.
	Logged time.Time
}

// Miss is an expectation that does not announce a certificate although it has a name in common with it.
type Miss struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// Match returns the expectations that announce a certificate, the narrowest first, and of those that name one of its names
// why they do not. One that this very issuance has used before announces it for ever.
func Match(all []Expectation, s Subject) (by []facts.Announced, missed []Miss) {
	matched := make([]*Expectation, 0, 1)
	for i := range all {
		e := &all[i]
		why, related := e.misses(&s)
		switch {
		case why == "":
			matched = append(matched, e)
		case related:
			missed = append(missed, Miss{e.ID, why})
		}
	}
	slices.SortStableFunc(matched, func(a, b *Expectation) int {
		if u, v := slices.Contains(a.UsedBy, s.ID), slices.Contains(b.UsedBy, s.ID); u != v {
			return first(u)
		}
		if a.IssuerAlone() != b.IssuerAlone() {
			return first(!a.IssuerAlone())
		}
		if (len(a.Issuers) > 0) != (len(b.Issuers) > 0) {
			return first(len(a.Issuers) > 0)
		}
		if len(a.Names) != len(b.Names) {
			return len(a.Names) - len(b.Names)
		}
		return a.Until.Compare(b.Until)
	})
	for _, e := range matched {
		by = append(by, facts.Announced{ID: e.ID, Reason: e.Reason, By: e.By, IssuerAlone: e.IssuerAlone()})
	}
	return by, missed
}

func first(yes bool) int {
	if yes {
		return -1
	}
	return 1
}

// misses says why e does not announce s, or ""; related says that they have a name in common.
func (e *Expectation) misses(s *Subject) (why string, related bool) {
	c := s.Cert
	if c == nil || c.Incomplete || len(c.Idents) == 0 {
		return "the certificate could not be read", false
	}
	outside, address := "", false
	for i := range c.Idents {
		id := &c.Idents[i]
		text, counts := claim(id)
		if !counts {
			continue
		}
		if id.Prefix.IsValid() {
			address = true
		}
		if slices.Contains(e.Names, text) {
			related = true
		} else if outside == "" {
			outside = text
		}
	}
	used := slices.Contains(e.UsedBy, s.ID)
	switch {
	case !related:
		return "it has no name in common with it", false
	case outside != "":
		return "the certificate also names " + outside + ", which was not announced", true
	case c.CA:
		return "it is a CA certificate, which cannot be announced", true
	case address && len(e.Keys) == 0:
		return "addresses can be announced only with a key", true
	case len(e.Keys) > 0 && !slices.Contains(e.Keys, hex.EncodeToString(c.SPKI[:])):
		return "its key is not the one that was announced", true
	case len(e.Issuers) > 0 && !s.Issuer.Proven:
		return "who issued it is not proven, and " + strings.Join(e.Issuers, " or ") + " was announced", true
	case len(e.Issuers) > 0 && !issuedBy(e.Issuers, &s.Issuer):
		return "it was not issued by " + strings.Join(e.Issuers, " or "), true
	case used:
		return "", true
	case !e.Cancelled.IsZero():
		return "the announcement was cancelled", true
	case e.Used >= e.Count:
		return "the announcement is used up", true
	case s.Logged.After(e.Until):
		return "the announcement ended before it was logged", true
	case s.Logged.Add(Late).Before(e.Created):
		return "it was logged too long before it was announced", true
	}
	return "", true
}

// claim is a name or address that a certificate claims, as an expectation would have it. A common name that is no host
// name, but that of a firm, and what else stands in the subject are no claims.
func claim(id *cert.Ident) (text string, counts bool) {
	switch {
	case id.Where == cert.InSubject:
		return "", false
	case id.Prefix.IsValid():
		p := id.Prefix.Masked()
		if p.IsSingleIP() {
			return p.Addr().String(), true
		}
		return p.String(), true
	case id.Where == cert.InCN && !host(string(id.Name)):
		return "", false
	}
	return string(id.Name), true
}

// host says whether a common name may be taken for a host name: one that clients would try to match.
func host(name string) bool {
	_, err := cert.Name(name)
	return err == nil || strings.Contains(name, "*")
}

func issuedBy(wanted []string, by *facts.Issuer) bool {
	return slices.ContainsFunc(wanted, func(w string) bool {
		if pin, ok := strings.CutPrefix(w, "spki:"); ok {
			return strings.EqualFold(pin, hex.EncodeToString(by.SPKI[:]))
		}
		same := func(have string) bool { return strings.EqualFold(have, w) }
		return slices.ContainsFunc(by.Domains, same) || slices.ContainsFunc(by.Owners, same)
	})
}

// newID is 12 hex digits that nobody guesses twice.
func newID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// addressOf reads an address in the form that expectations have it.
func addressOf(text string) (string, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return "", false
	}
	return a.Unmap().String(), true
}
