package cert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// String is the identity in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Identity is the identity of an issuance: the same for a precertificate, its final certificate and all their entries
// in all logs. tbs is the TBSCertificate of either, as the leaf of a precertificate holds it ([FinalTBS]) or as it
// stands in the final certificate; issuerKeyHash is the SHA-256 of the subjectPublicKeyInfo of the issuer of the final
// certificate. A tbs that cannot be taken apart is its own identity.
//
// It is SHA-256(SHA-256(IssuanceTBS) ‖ issuerKeyHash).
func Identity(tbs []byte, issuerKeyHash [32]byte) ID {
	if stripped, err := IssuanceTBS(tbs); err == nil {
		tbs = stripped
	}
	var b [64]byte
	digest := sha256.Sum256(tbs)
	copy(b[:], digest[:])
	copy(b[32:], issuerKeyHash[:])
	return sha256.Sum256(b[:])
}

// errApart is returned for what cannot be taken apart without guessing.
var errApart = errors.New("the TBSCertificate cannot be taken apart")

// IssuanceTBS is the TBSCertificate without poison and SCT list, all else byte for byte; only the lengths around the
// extensions are written anew. An extensions field that holds nothing is left out, since the final certificate of a
// precertificate whose only extension was the poison need not have one. Without any of this the input itself is
// returned.
func IssuanceTBS(tbs []byte) ([]byte, error) {
	return edit(tbs, func(e *editor) {
		e.extensions = slices.DeleteFunc(e.extensions, func(x []byte) bool {
			oid := extensionOID(x)
			drop := sameOID(oid, oidPoison) || sameOID(oid, oidSCTs)
			e.changed = e.changed || drop
			return drop
		})
	})
}

// FinalTBS is the TBSCertificate that the log entry of a precertificate holds (RFC 6962 section 3.2), and the key hash
// of the issuer of the final certificate. chain[0] has issued the precertificate. Where that is a precertificate
// signing certificate (extended key usage 1.3.6.1.4.1.11129.2.4.4), the final issuer is chain[1]: the issuer name
// becomes that of chain[0]'s issuer, and the authority key identifier that of chain[0].
//
// It does not check signatures: whoever believes the chain compares the result with the leaf.
func FinalTBS(precert []byte, chain [][]byte) (tbs []byte, issuerKeyHash [32]byte, err error) {
	if len(chain) == 0 {
		return nil, issuerKeyHash, errors.New("the chain of the precertificate is empty")
	}
	var s Scan
	s.certificate(precert)
	if s.parts.tbs == nil || s.parts.bare {
		return nil, issuerKeyHash, errors.New("the precertificate cannot be read")
	}
	raw := s.parts.tbs
	by := Parse(chain[0])
	final, signing := by, slices.Contains(by.ExtKeyUsage, dotted(oidPrecertSigning))
	if signing {
		if len(chain) < 2 {
			return nil, issuerKeyHash, errors.New("the issuer of the precertificate signing certificate is missing")
		}
		if by.RawIssuer == nil {
			return nil, issuerKeyHash, errors.New("the precertificate signing certificate cannot be read")
		}
		final = Parse(chain[1])
	}
	if final.RawSPKI == nil {
		return nil, issuerKeyHash, errors.New("the key of the issuer cannot be read")
	}
	poisoned := false
	tbs, err = edit(raw, func(e *editor) {
		e.extensions = slices.DeleteFunc(e.extensions, func(x []byte) bool {
			drop := sameOID(extensionOID(x), oidPoison)
			poisoned = poisoned || drop
			return drop
		})
		e.changed, e.keepEmpty = true, true
		if signing {
			e.issuer = by.RawIssuer
			e.replaceAKI(by)
		}
	})
	if err != nil {
		return nil, issuerKeyHash, fmt.Errorf("building the final TBSCertificate: %w", err)
	}
	if !poisoned {
		return nil, issuerKeyHash, errors.New("the precertificate has no poison")
	}
	return tbs, final.SPKI, nil
}

// editor is a TBSCertificate in pieces, each a TLV as it stands.
type editor struct {
	fields     [][]byte // all but the extensions
	issuer     []byte   // when set, replaces the issuer
	at         int      // where among the fields the extensions stand; -1 for none
	extensions [][]byte
	// keepEmpty keeps an extensions field that has become empty, as log servers do.
	keepEmpty bool
	changed   bool
}

// edit takes tbs apart, lets f change it, and puts it together again, if it was changed.
func edit(tbs []byte, f func(*editor)) ([]byte, error) {
	var n notes
	if len(tbs) == 0 || tbs[0] != tagSequence {
		return nil, errApart
	}
	_, body, rest := next(tbs, &n)
	if len(rest) > 0 || n.lost {
		return nil, errApart
	}
	e := editor{at: -1}
	for len(body) > 0 {
		tag, full, inner, rest := element(body, &n)
		body = rest
		if tag != context|constructed|3 {
			e.fields = append(e.fields, full)
			continue
		}
		if e.at >= 0 || len(inner) == 0 {
			return nil, errApart
		}
		e.at = len(e.fields)
		tag, list, after := next(inner, &n)
		if tag != tagSequence || len(after) > 0 {
			return nil, errApart
		}
		for len(list) > 0 {
			var x []byte
			_, x, _, list = element(list, &n)
			e.extensions = append(e.extensions, x)
		}
		e.changed = len(e.extensions) == 0
	}
	if n.lost {
		return nil, errApart
	}
	f(&e)
	if !e.changed {
		return tbs, nil
	}
	return e.build()
}

func (e *editor) build() ([]byte, error) {
	if e.issuer != nil {
		// The issuer is the second SEQUENCE (RFC 5280 section 4.1).
		sequences, done := 0, false
		for i, f := range e.fields {
			if f[0] != tagSequence {
				continue
			}
			if sequences++; sequences == 2 {
				e.fields[i], done = e.issuer, true
				break
			}
		}
		if !done {
			return nil, errApart
		}
	}
	if len(e.extensions) > 0 || e.keepEmpty && e.at >= 0 {
		field := tagged(context|constructed|3, tagged(tagSequence, e.extensions...))
		if e.at < 0 {
			e.at = len(e.fields)
		}
		e.fields = slices.Insert(e.fields, e.at, field)
	}
	return tagged(tagSequence, e.fields...), nil
}

var oidAKI = []byte{0x55, 0x1d, 0x23}

// replaceAKI gives the TBSCertificate the authority key identifier of a precertificate signing certificate: in the
// place of its own, which goes when there is no other, or at the end.
func (e *editor) replaceAKI(by *Certificate) {
	var value []byte
	found := false
	for _, x := range by.Extensions {
		if x.ID == idAuthorityKeyID {
			value, found = x.Value, true
			break
		}
	}
	at := slices.IndexFunc(e.extensions, func(x []byte) bool { return sameOID(extensionOID(x), oidAKI) })
	switch {
	case at >= 0 && !found:
		e.extensions = slices.Delete(e.extensions, at, at+1)
	case at >= 0:
		e.extensions[at] = withValue(e.extensions[at], value)
	case found:
		e.extensions = append(e.extensions, tagged(tagSequence, tagged(tagOID, oidAKI), tagged(tagOctetString, value)))
	}
}

// withValue is the Extension TLV x with another value; its OID and criticality stay byte for byte.
func withValue(x, value []byte) []byte {
	var quiet notes
	_, body, _ := next(x, &quiet)
	var kept [][]byte
	for len(body) > 0 {
		tag, full, old, rest := element(body, &quiet)
		body = rest
		if tag == tagOctetString && bytes.Equal(old, value) {
			return x
		}
		if tag == tagOID || tag == tagBoolean {
			kept = append(kept, full)
		}
	}
	return tagged(tagSequence, append(kept, tagged(tagOctetString, value))...)
}

// extensionOID is the OID of an Extension TLV, nil when there is none.
func extensionOID(x []byte) []byte {
	var quiet notes
	_, body, _ := next(x, &quiet)
	if len(body) == 0 {
		return nil
	}
	if tag, oid, _ := next(body, &quiet); tag == tagOID {
		return oid
	}
	return nil
}
