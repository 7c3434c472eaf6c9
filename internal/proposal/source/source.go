// Package source gathers the evidence for a proposal: zone files, zone transfers, endpoints, directories of keys, the
// ledger of a state file, and files with certificates.
//
// It promises that nothing is passed over in silence: what could not be read comes back as an error beside what could,
// and each source is bounded in size and time. One issuance is one, however many sources show it.
//
// Trusted: the directories and zone files that the operator names. Not trusted: certificates, what an endpoint serves
// (it stays observed), and the answers of a name server beyond what its TSIG key covers.
package source

import (
	"bytes"
	"encoding/hex"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/proposal"
)

// Why a certificate can never be expected.
const (
	oddUnreadable = "part of it cannot be read"
	oddAuthority  = "it may issue certificates itself"
)

// Issuances collects certificates, each issuance once.
type Issuances struct {
	owners *facts.Owners
	cas    authorities
	seen   map[cert.ID]int
	list   []proposal.Issuance
}

// NewIssuances begins a collection.
func NewIssuances(owners *facts.Owners) *Issuances {
	return &Issuances{owners: owners, seen: map[cert.ID]int{}}
}

// List is what was collected.
func (s *Issuances) List() []proposal.Issuance { return s.list }

// one is a certificate with all that came with it.
type one struct {
	id       cert.ID // zero where it is to be computed
	bytes    []byte  // a certificate, or the TBSCertificate of a leaf when leafKey is set
	leafKey  [32]byte
	chain    [][]byte
	seen     time.Time // zero: when it says that it begins
	observed string
}

func (s *Issuances) add(o one) proposal.Issuance {
	var c *cert.Certificate
	if o.leafKey != [32]byte{} {
		c = cert.ParseTBS(o.bytes)
	} else {
		c = cert.Parse(o.bytes)
	}
	by := facts.Gather(c, o.leafKey, o.chain, s.owners, nil).Issuer
	if o.id == (cert.ID{}) {
		o.id = identity(c, &o, &by)
	}
	is := proposal.Issuance{
		ID: hex.EncodeToString(o.id[:6]), Idents: c.Idents, Key: c.SPKI, From: c.NotBefore, To: c.NotAfter, Seen: o.seen, Observed: o.observed,
		Issuer: proposal.Issuer{Name: by.Name, Proven: by.Proven, Owners: by.Owners, Text: proposal.IssuerText(s.owners, by.Owners, by.SPKI)},
	}
	if is.Seen.IsZero() {
		is.Seen = c.NotBefore
	}
	switch {
	case c.Incomplete:
		is.Odd, is.Raw = oddUnreadable, bytes.Clone(o.bytes)
	case c.CA:
		is.Odd = oddAuthority
	}
	if n, known := s.seen[o.id]; known {
		old := &s.list[n]
		if is.Seen.Before(old.Seen) {
			old.Seen = is.Seen
		}
		if is.Issuer.Proven && !old.Issuer.Proven {
			old.Issuer = is.Issuer
		}
		return *old
	}
	s.seen[o.id] = len(s.list)
	s.list = append(s.list, is)
	return is
}

// identity is that of the issuance as the ledger has it, where the issuer is proven.
func identity(c *cert.Certificate, o *one, by *facts.Issuer) cert.ID {
	tbs, key := c.RawTBS, o.leafKey
	switch {
	case c.Poison:
		if final, hash, err := cert.FinalTBS(c.Raw, o.chain); err == nil {
			tbs, key = final, hash
		}
	case by.Proven && key == [32]byte{}:
		key = by.SPKI
	}
	if len(tbs) == 0 {
		tbs = o.bytes
	}
	return cert.Identity(tbs, key)
}

// authorities are CA certificates by their subjects.
type authorities struct {
	n         int
	bySubject map[string][]*cert.Certificate
}

// Bounds of the chains that are put together from files.
const (
	maxAuthorities = 10_000
	maxChain       = 24
)

func (a *authorities) add(der []byte) {
	c := cert.Parse(der)
	if !c.CA || len(c.RawSPKI) == 0 || a.n == maxAuthorities {
		return
	}
	if a.bySubject == nil {
		a.bySubject = map[string][]*cert.Certificate{}
	}
	subject := string(c.RawSubject)
	if slices.ContainsFunc(a.bySubject[subject], func(have *cert.Certificate) bool { return bytes.Equal(have.Raw, c.Raw) }) {
		return
	}
	a.n++
	a.bySubject[subject] = append(a.bySubject[subject], cert.Parse(bytes.Clone(der)))
}

// above are the certificates that may lead from c upwards, by name; the signatures are checked by who reads them.
func (a *authorities) above(c *cert.Certificate) (chain [][]byte) {
	seen := map[string]bool{}
	next := []string{string(c.RawIssuer)}
	for len(next) > 0 && len(chain) < maxChain {
		name := next[0]
		next = next[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		for _, ca := range a.bySubject[name] {
			if len(chain) == maxChain {
				break
			}
			chain = append(chain, ca.Raw)
			next = append(next, string(ca.RawIssuer))
		}
	}
	return chain
}
