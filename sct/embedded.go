package sct

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Result is what became of one SCT.
type Result struct {
	SCT SCT
	// Log is the log that it names; nil when unknown.
	Log *loglist.Log
	// Entry is what the log has signed, when the issuer of the certificate is certain; else empty.
	Entry Entry
	// Err is nil for an SCT that counts, else an [*Error].
	Err error
}

// maxIssuers bounds the issuers that are tried for one certificate, and maxSPKI the length of a key under which its
// signature is verified: RSA of 16,384 bits.
const (
	maxIssuers = 8
	maxSPKI    = 2200
)

// Embedded verifies each SCT in a final certificate. The issuer is found among the given certificates by its name and
// key, wherever it stands: servers send them in any order, with roots and strangers among them. Those that bear the
// issuer's name are tried, or all when none does. Which one it was is certain when a log has signed its key hash, or
// when the certificate's own signature verifies under its key; a signature of a log counts as bad only then.
//
// The error concerns the certificate as a whole: it cannot be read, or its list of SCTs is damaged, in which case the
// results are about those that could be read. There are no results and no error for a certificate without SCTs.
func (v *Verifier) Embedded(cert []byte, issuers [][]byte, now time.Time) ([]Result, error) {
	scts, damage := Embedded(cert)
	if len(scts) == 0 {
		return nil, damage
	}
	p, err := split(cert)
	if err != nil {
		return nil, err
	}
	tbs, err := p.without()
	if err != nil {
		return nil, err
	}
	keys := candidates(p.issuer, issuers)
	entries := make([]Entry, len(keys))
	for i, spki := range keys {
		entries[i] = Entry{Precert: true, IssuerKeyHash: sha256.Sum256(spki), Cert: tbs}
	}
	out := make([]Result, len(scts))
	certain := -1
	for i := range scts {
		r := &out[i]
		r.SCT, r.Log = scts[i], v.Log(scts[i].LogID)
		which := -1
		err := v.verify(&r.SCT, entries, &which, now)
		if which >= 0 {
			certain = which
		}
		if err != nil {
			r.Err = err
		}
	}
	if certain < 0 {
		certain = issuer(cert, keys)
	}
	for i := range out {
		r := &out[i]
		if certain >= 0 {
			r.Entry = entries[certain]
		} else if e, ok := r.Err.(*Error); ok && (e.Reason == BadSignature || e.Reason == LostExtensions) {
			r.Err = fail(UnknownIssuer, "the issuer of the certificate is not at hand, and what the log has signed contains its key")
		}
	}
	return out, damage
}

// candidates are the keys of the certificates that may be the issuer: those with its name, or all when none has.
func candidates(issuer []byte, certs [][]byte) [][]byte {
	var named, others [][]byte
	add := func(to *[][]byte, spki []byte) {
		for _, have := range *to {
			if bytes.Equal(have, spki) {
				return
			}
		}
		if len(*to) < maxIssuers {
			*to = append(*to, spki)
		}
	}
	for _, c := range certs {
		p, err := split(c)
		if err != nil {
			continue
		}
		if bytes.Equal(p.subject, issuer) {
			add(&named, p.spki)
		} else {
			add(&others, p.spki)
		}
	}
	if len(named) > 0 {
		return named
	}
	return others
}

// issuer is the index of the key under which the signature of the certificate verifies, or -1.
func issuer(cert []byte, keys [][]byte) int {
	c, err := x509.ParseCertificate(cert)
	if err != nil {
		return -1
	}
	for i, spki := range keys {
		if len(spki) > maxSPKI {
			continue
		}
		key, err := x509.ParsePKIXPublicKey(spki)
		if err != nil {
			continue
		}
		if (&x509.Certificate{PublicKey: key}).CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			return i
		}
	}
	return -1
}
