package facts

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/cert"
)

// Bounds of the work for one certificate, whatever a log sends beside it.
const (
	maxChain         = 32       // certificates of a chain that are looked at
	maxVerifications = 96       // signatures that are verified
	maxSPKI          = 3 * 1024 // bytes of an issuer's key: RSA 16384 and ML-DSA-87 fit
)

// precertSigning is the extended key usage of a precertificate signing certificate (RFC 6962 section 3.1).
const precertSigning = "1.3.6.1.4.1.11129.2.4.4"

// Issuer finds the key that issued c and who answers for it. For the arguments see [Gather].
func (o *Owners) Issuer(c *cert.Certificate, leafKeyHash [32]byte, chain [][]byte) Issuer {
	w := newWalk(chain)
	found := Issuer{SPKI: leafKeyHash, Name: c.Issuer}
	key, why := w.prove(c, leafKeyHash)
	if key == nil {
		found.Why = why
		found.Note = o.claim(leafKeyHash)
		return found
	}
	found.SPKI, found.Proven, found.Why, found.Name = key.SPKI, true, why, key.Subject
	if h, ok := o.Lookup(key.SPKI); ok && h.Evidence {
		found.Owners, found.Basis = h.Owners, h.Basis
		found.Note = "the issuing key belongs to " + oneOf(h.Owners) + basisText[h.Basis]
	} else if owners := w.ancestors(o, key); len(owners) > 0 {
		found.Owners, found.Basis = owners, BasisAncestor
		found.Note = "verified signatures lead from the issuing key up to a key of " + oneOf(owners)
	} else if ok {
		found.Note = "the issuing key is known only by its own name (" + oneOf(h.Owners) + "), which is no evidence"
	} else {
		found.Note = "no owner of the issuing key is known, nor of a key above it in the chain"
	}
	found.Domains = o.Domains(found.Owners)
	return found
}

var basisText = map[string]string{
	BasisCCADB: " (CCADB names it)",
	BasisOld:   " (a former list of CCADB names it)",
	BasisChain: " (signatures lead from it to a key that CCADB names)",
}

// claim says whose key the leaf names, where the signature could not be verified under it.
func (o *Owners) claim(spki [32]byte) string {
	if h, ok := o.Lookup(spki); ok && h.Evidence {
		return "the leaf names a key of " + oneOf(h.Owners) + ", but nothing proves that this key was used"
	}
	return "without a proven key there is no owner"
}

func oneOf(owners []string) string { return strings.Join(owners, " or ") }

// walk is the chain of one certificate, read once, with what is left of the work that may be spent on it.
type walk struct {
	links []*cert.Certificate
	left  int
	cut   bool
}

func newWalk(chain [][]byte) *walk {
	w := &walk{left: maxVerifications}
	for _, der := range chain {
		if len(w.links) == maxChain {
			w.cut = true
			break
		}
		if c := cert.Parse(der); len(c.RawSPKI) > 0 && !c.BareTBS {
			w.links = append(w.links, c)
		}
	}
	return w
}

// verify says whether the signature of c verifies under the key of issuer.
func (w *walk) verify(c, issuer *cert.Certificate) bool {
	if w.left == 0 {
		w.cut = true
		return false
	}
	if len(issuer.RawSPKI) == 0 || len(issuer.RawSPKI) > maxSPKI {
		return false
	}
	w.left--
	return c.VerifiedBy(issuer.RawSPKI) == nil
}

// candidates returns the links that may have issued c, likely ones first. Servers and logs send chains in any order
// and with strangers among them, so position says nothing; the signature decides.
func (w *walk) candidates(c *cert.Certificate) []*cert.Certificate {
	likely := func(l *cert.Certificate) int {
		switch {
		case len(c.AuthorityKeyID) > 0 && bytes.Equal(l.SubjectKeyID, c.AuthorityKeyID):
			return 0
		case bytes.Equal(l.RawSubject, c.RawIssuer):
			return 1
		}
		return 2
	}
	links := slices.Clone(w.links)
	slices.SortStableFunc(links, func(a, b *cert.Certificate) int { return likely(a) - likely(b) })
	return links
}

// prove returns the certificate in the chain that holds the key which issued c, or nil; and why.
func (w *walk) prove(c *cert.Certificate, leafKeyHash [32]byte) (key *cert.Certificate, why string) {
	if !c.BareTBS {
		via, key := w.signer(c, leafKeyHash)
		return key, w.explain(c, via, key, leafKeyHash)
	}
	// The leaf holds no signature. The precertificate does, and is not hashed by the log: it must lead to the leaf.
	held := false
	for _, p := range w.links {
		if !p.Poison {
			continue
		}
		held = true
		via, key := w.signer(p, leafKeyHash)
		if key == nil {
			continue
		}
		chain := [][]byte{key.Raw}
		if via != nil {
			chain = [][]byte{via.Raw, key.Raw}
		}
		tbs, hash, err := cert.FinalTBS(p.Raw, chain)
		if err == nil && bytes.Equal(tbs, c.RawTBS) && hash == leafKeyHash {
			return key, w.explain(p, via, key, leafKeyHash)
		}
	}
	if !held {
		return nil, "not proven: the entry is a precertificate, and the signed precertificate itself is not at hand"
	}
	return nil, w.lost("not proven: no precertificate at hand is signed by the issuer that the leaf names and says what the leaf says")
}

// signer returns the link whose key issued c, and the precertificate signing certificate between them, if any.
func (w *walk) signer(c *cert.Certificate, leafKeyHash [32]byte) (via, key *cert.Certificate) {
	named := func(l *cert.Certificate) bool { return leafKeyHash == [32]byte{} || l.SPKI == leafKeyHash }
	candidates := w.candidates(c)
	if bytes.Equal(c.RawIssuer, c.RawSubject) { // self-signed: it is its own issuer, and needs no chain
		candidates = append(candidates, c)
	}
	for _, l := range candidates {
		special := c.Poison && isCA(l) && slices.Contains(l.ExtKeyUsage, precertSigning)
		if (!special && !named(l)) || !w.verify(c, l) {
			continue
		}
		if !special {
			return nil, l
		}
		for _, above := range w.candidates(l) {
			if named(above) && above.SPKI != l.SPKI && w.verify(l, above) {
				return l, above
			}
		}
	}
	return nil, nil
}

// explain says in a sentence why key is, or is not, proven to have issued c.
func (w *walk) explain(c, via, key *cert.Certificate, leafKeyHash [32]byte) string {
	inLog := leafKeyHash != [32]byte{}
	if key == nil {
		switch {
		case len(w.links) == 0:
			return "not proven: no issuer certificate is at hand"
		case inLog && !slices.ContainsFunc(w.links, func(l *cert.Certificate) bool { return l.SPKI == leafKeyHash }):
			return "not proven: no certificate at hand has the issuer key that the leaf names (" + short(leafKeyHash) + ")"
		case inLog:
			return w.lost("not proven: the signature does not verify under the issuer key that the leaf names (" + short(leafKeyHash) + ")")
		}
		return w.lost(fmt.Sprintf("not proven: the signature verifies under none of the %d keys at hand", len(w.links)))
	}
	switch {
	case key == c:
		return "proven: the certificate is signed by its own key"
	case via != nil && inLog:
		return "proven: the signature verifies through a precertificate signing certificate, issued by the key that the leaf names"
	case via != nil:
		return "proven: the signature verifies through a precertificate signing certificate, issued by this key"
	case inLog:
		return "proven: the signature verifies under this key, which the leaf names"
	}
	return "proven: the signature verifies under this key"
}

// lost adds to a sentence that the search was cut short.
func (w *walk) lost(why string) string {
	if w.cut {
		return why + "; the chain is too long, not all of it was tried"
	}
	return why
}

// ancestors returns the owners of the nearest keys above key that the table knows with evidence, level by level.
// Each step is one signature of a CA certificate that verifies under the next key; a certificate that is no CA passes
// nothing on, else the subject of any certificate could issue in the name of its CA.
func (w *walk) ancestors(o *Owners, key *cert.Certificate) []string {
	level := [][32]byte{key.SPKI}
	seen := map[[32]byte]bool{key.SPKI: true}
	for depth := 0; len(level) > 0; depth++ {
		var owners []string
		var next [][32]byte
		for _, l := range w.links {
			// RFC 5280 section 4.2.1.9: depth CA certificates stand between l and the end entity.
			if !slices.Contains(level, l.SPKI) || !isCA(l) || (l.PathLen >= 0 && l.PathLen < depth) {
				continue
			}
			for _, above := range w.candidates(l) {
				if seen[above.SPKI] || !w.verify(l, above) {
					continue
				}
				seen[above.SPKI] = true
				next = append(next, above.SPKI)
				if h, ok := o.Lookup(above.SPKI); ok && h.Evidence {
					for _, name := range h.Owners {
						if !slices.Contains(owners, name) {
							owners = append(owners, name)
						}
					}
				}
				break // the key above l is found: no other key verifies the same signature
			}
		}
		if len(owners) > 0 {
			return owners
		}
		level = next
	}
	return nil
}

// isCA tells that c may issue without any doubt: its basic constraints are there once, as the standard describes them.
func isCA(c *cert.Certificate) bool {
	n := 0
	for _, e := range c.Extensions {
		if e.ID == "2.5.29.19" {
			n++
		}
	}
	return c.CA && n == 1 && !slices.ContainsFunc(c.Oddities, func(o cert.Oddity) bool { return o.Code == "basic-constraints-form" })
}

func short(spki [32]byte) string { return hex.EncodeToString(spki[:8]) + "…" }
