package app

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Toucher finds what a certificate touches. [watch.Matcher] is the one.
type Toucher interface {
	Touches([]cert.Ident) bool
	TouchesRaw([]byte) bool
	Match([]cert.Ident) []watch.Match
	MatchRaw([]byte) []watch.Match
}

// Stations are the pure middle of the way of the data: what a certificate says, what it touches, what is known of it
// and whether it was promised. They have no side effects and are safe for concurrent use.
type Stations struct {
	Watches []watch.Watch
	Matcher Toucher
	Owners  *facts.Owners
	Keys    *facts.Keys
	Rules   *policy.Rules
}

// Subject is one certificate with all that came with it.
type Subject struct {
	// Bytes are what is matched: the certificate, or the TBSCertificate of a precertificate's leaf, or whatever stood
	// in their place.
	Bytes []byte
	// Leaf says that Bytes came from the leaf of a log that the log covers by its tree; Precert and IssuerKeyHash are
	// then those of the leaf. IssuerKeyHash is zero for a final certificate.
	Precert       bool
	IssuerKeyHash [32]byte
	// Chain holds what came beside it and nobody vouches for, in DER: certificates, and the precertificate itself.
	Chain [][]byte
}

// Reading is what the stations before the decision make of a subject.
type Reading struct {
	Subject
	ID      cert.ID
	Cert    *cert.Certificate
	Matches []watch.Match
	Facts   facts.Facts
	// Logged is the earliest time that a log gave it; zero where that is not known.
	Logged time.Time
	// Fingerprint is the SHA-256 of the certificate as people know it: of the precertificate where it could be
	// believed, else of Bytes.
	Fingerprint [32]byte
}

// Touches reports whether the bytes touch a watch. scan is scratch memory of the caller.
func (s *Stations) Touches(scan *cert.Scan, b []byte, precert bool) bool {
	if precert {
		scan.TBS(b)
	} else {
		scan.Certificate(b)
	}
	if s.Matcher.Touches(scan.Idents) {
		return true
	}
	return scan.Incomplete && s.Matcher.TouchesRaw(b)
}

// Read reads a subject in full. Where a defect of ours makes that impossible, the bytes are searched instead, and the
// reading says so: such a subject is never expected.
func (s *Stations) Read(sub Subject) (r *Reading) {
	defer func() {
		if p := recover(); p != nil {
			r = &Reading{
				Subject: sub, ID: sha256.Sum256(sub.Bytes), Fingerprint: sha256.Sum256(sub.Bytes), Matches: s.Matcher.MatchRaw(sub.Bytes),
				Cert: &cert.Certificate{Raw: sub.Bytes, Incomplete: true, Oddities: []cert.Oddity{
					{Code: "reader-failed", Text: fmt.Sprintf("tocsin itself failed to read it, which is a defect to report: %v", p)},
				}},
			}
		}
	}()
	r = &Reading{Subject: sub}
	if sub.Precert && sub.IssuerKeyHash != ([32]byte{}) {
		r.Cert = cert.ParseTBS(sub.Bytes)
	} else {
		r.Cert = cert.Parse(sub.Bytes)
	}
	r.Matches = s.Matcher.Match(r.Cert.Idents)
	if r.Cert.Incomplete {
		r.Matches = append(r.Matches, s.Matcher.MatchRaw(sub.Bytes)...)
	}
	r.Facts = facts.Gather(r.Cert, sub.IssuerKeyHash, sub.Chain, s.Owners, s.Keys)
	r.Fingerprint = sha256.Sum256(sub.Bytes)
	r.identify()
	return r
}

// identify computes the identity of the issuance. The key of the issuer takes part only where it is certain: from the
// leaf of a precertificate, which the log hashed, or when the signature was verified.
func (r *Reading) identify() {
	tbs, key := r.Cert.RawTBS, r.IssuerKeyHash
	switch {
	case r.Precert && key != [32]byte{}: // the leaf of a log
		for _, der := range r.Chain {
			if p := cert.Parse(der); p.Poison {
				if final, hash, err := cert.FinalTBS(der, without(r.Chain, der)); err == nil && hash == key && bytes.Equal(final, r.Bytes) {
					r.Fingerprint = sha256.Sum256(der)
					break
				}
			}
		}
	case r.Cert.Poison: // a precertificate from a file
		if final, hash, err := cert.FinalTBS(r.Cert.Raw, r.Chain); err == nil {
			tbs = final
			if r.Facts.Issuer.Proven {
				key = hash
			}
		}
	case r.Facts.Issuer.Proven:
		key = r.Facts.Issuer.SPKI
	}
	if len(tbs) == 0 { // unreadable: its bytes are all that it is
		tbs = r.Bytes
	}
	r.ID = cert.Identity(tbs, key)
}

func without(chain [][]byte, der []byte) [][]byte {
	out := make([][]byte, 0, len(chain))
	for _, c := range chain {
		if !bytes.Equal(c, der) {
			out = append(out, c)
		}
	}
	return out
}

// Decide judges a reading at the given time.
func (s *Stations) Decide(r *Reading, now time.Time) policy.Verdict {
	return policy.Decide(policy.Input{Matches: r.Matches, Cert: r.Cert, Facts: r.Facts, Rules: s.Rules, Logged: r.Logged, Now: now})
}

// FromEntry is the subject of an entry of a log, with the chain that came beside it.
func FromEntry(e *ctlog.Entry, precert []byte, chain [][]byte) Subject {
	sub := Subject{Bytes: bytes.Clone(e.Cert), Precert: e.Precert, IssuerKeyHash: e.IssuerKeyHash}
	if precert != nil {
		sub.Chain = append(sub.Chain, bytes.Clone(precert))
	}
	for _, c := range chain {
		sub.Chain = append(sub.Chain, bytes.Clone(c))
	}
	return sub
}
