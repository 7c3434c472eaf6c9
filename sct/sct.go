// Package sct reads and verifies Signed Certificate Timestamps (RFC 6962 section 3.2): a log's promise to merge a
// certificate within its maximum merge delay.
//
// It answers three questions about an SCT. What does it say: [ParseList], [Embedded]. Did that log sign it over this
// certificate: [Verifier.Verify], [Verifier.Embedded], which say why not. Which leaf did the log promise: [SCT.Leaf],
// so that anybody can ask for its inclusion. Whether some client would be content with the SCTs of a certificate is a
// matter of policy and not decided here.
//
// Nothing is trusted but the keys of the logs that the caller brings. Certificates, lists of SCTs and issuers are
// hostile: all work is bounded by the length of the input, and nothing panics. Certificates are read by their bytes,
// and strictly: what is not DER where it matters is an error, since a log has signed exact bytes.
package sct

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// SCT is one SignedCertificateTimestamp. Its slices alias the input that it was read from.
type SCT struct {
	// Version is 0 for v1. All else but Raw is zero for other versions, which nobody can read yet.
	Version uint8
	// LogID is the SHA-256 of the log's key.
	LogID [32]byte
	// Timestamp is in milliseconds since 1970.
	Timestamp uint64
	// Extensions are the CtExtensions, signed like the rest and kept byte for byte. See [SCT.LeafIndex].
	Extensions []byte
	// Hash and Algorithm are those of the DigitallySigned (RFC 5246 section 7.4.1.4.1): 4 is SHA-256; 1 is RSA, 3 ECDSA.
	Hash, Algorithm uint8
	Signature       []byte
	// Raw is the SerializedSCT.
	Raw []byte
}

// Time is Timestamp as a time; what no time can hold is the end of the year 9999.
func (s *SCT) Time() time.Time {
	const end = 253402300799999
	return time.UnixMilli(int64(min(s.Timestamp, end))).UTC()
}

// LogIDText is the log id in the base64 form that lists use.
func (s *SCT) LogIDText() string { return base64.StdEncoding.EncodeToString(s.LogID[:]) }

// LeafIndex is the index that a static log has promised in the extensions (static-ct-api, SCT Extension): exactly one
// extension of type 0, with 5 bytes.
func (s *SCT) LeafIndex() (index uint64, ok bool) {
	rest := cryptobyte.String(s.Extensions)
	for !rest.Empty() {
		var kind uint8
		var data cryptobyte.String
		if !rest.ReadUint8(&kind) || !rest.ReadUint16LengthPrefixed(&data) {
			return 0, false
		}
		if kind != 0 {
			continue
		}
		if ok || len(data) != 5 {
			return 0, false
		}
		var b [8]byte
		copy(b[3:], data)
		index, ok = binary.BigEndian.Uint64(b[:]), true
	}
	return index, ok
}

// Parse reads one SerializedSCT. An SCT of another version than v1 is no error.
func Parse(raw []byte) (SCT, error) {
	s := SCT{Raw: raw}
	in := cryptobyte.String(raw)
	if !in.ReadUint8(&s.Version) {
		return s, errors.New("reading SCT: it is empty")
	}
	if s.Version != 0 {
		return s, nil
	}
	var extensions, signature cryptobyte.String
	if !in.CopyBytes(s.LogID[:]) || !in.ReadUint64(&s.Timestamp) || !in.ReadUint16LengthPrefixed(&extensions) ||
		!in.ReadUint8(&s.Hash) || !in.ReadUint8(&s.Algorithm) || !in.ReadUint16LengthPrefixed(&signature) {
		return s, errors.New("reading SCT: it ends too early")
	}
	s.Extensions, s.Signature = extensions, signature
	if !in.Empty() {
		return s, fmt.Errorf("reading SCT: %d bytes after the signature", len(in))
	}
	return s, nil
}

// ParseList reads a SignedCertificateTimestampList (RFC 6962 section 3.3), as the TLS extension carries it. With an
// error it returns those SCTs that could be read.
func ParseList(list []byte) ([]SCT, error) {
	in := cryptobyte.String(list)
	var body cryptobyte.String
	if !in.ReadUint16LengthPrefixed(&body) || !in.Empty() {
		return nil, errors.New("reading SCT list: its length is wrong")
	}
	if body.Empty() {
		return nil, errors.New("reading SCT list: it is empty")
	}
	var scts []SCT
	var bad []error
	for !body.Empty() {
		var raw cryptobyte.String
		if !body.ReadUint16LengthPrefixed(&raw) {
			return scts, errors.Join(append(bad, errors.New("reading SCT list: it ends too early"))...)
		}
		s, err := Parse(raw)
		if err == nil {
			scts = append(scts, s)
		} else if len(bad) < 4 { // enough to know
			bad = append(bad, err)
		}
	}
	return scts, errors.Join(bad...)
}

// ParseExtension reads the value of an X.509 or OCSP extension: a list in an OCTET STRING (RFC 6962 section 3.3).
func ParseExtension(value []byte) ([]SCT, error) {
	in := cryptobyte.String(value)
	var list cryptobyte.String
	if !in.ReadASN1(&list, asn1.OCTET_STRING) || !in.Empty() {
		return nil, errors.New("reading SCT list: its extension holds no OCTET STRING")
	}
	return ParseList(list)
}

// Embedded reads the SCTs in a final certificate. There are none, and no error, without the extension.
func Embedded(cert []byte) ([]SCT, error) {
	p, err := split(cert)
	if err != nil {
		return nil, err
	}
	if p.lists == 0 {
		return nil, nil
	}
	if p.lists > 1 {
		return nil, fmt.Errorf("the certificate has %d SCT lists: which one counts is anybody's guess", p.lists)
	}
	return ParseExtension(p.list)
}

// Entry is what a log has signed and hashed beside the SCT itself.
type Entry struct {
	// Precert is set for a precert_entry: Cert is then a TBSCertificate without poison and SCT list, and IssuerKeyHash
	// the SHA-256 of the final issuer's subjectPublicKeyInfo. Otherwise Cert is the certificate.
	Precert       bool
	IssuerKeyHash [32]byte
	Cert          []byte
}

// X509Entry is the entry of an SCT that came beside the certificate: by the TLS extension or in an OCSP response.
func X509Entry(cert []byte) Entry { return Entry{Cert: cert} }

// PrecertEntry rebuilds, from a final certificate and the key hash of its issuer, the entry of an SCT embedded in it:
// the TBSCertificate without the SCT list, all else byte for byte.
//
// That the precertificate may have been signed by a precertificate signing certificate makes no difference here
// (RFC 6962 section 3.2: the entry has the name and key of the final issuer).
func PrecertEntry(cert []byte, issuerKeyHash [32]byte) (Entry, error) {
	p, err := split(cert)
	switch {
	case err != nil:
		return Entry{}, err
	case p.lists != 1:
		return Entry{}, fmt.Errorf("the certificate has %d SCT lists, want one", p.lists)
	}
	tbs, err := p.without()
	if err != nil {
		return Entry{}, err
	}
	return Entry{Precert: true, IssuerKeyHash: issuerKeyHash, Cert: tbs}, nil
}

// ErrTooLong is returned for an entry that has no encoding: no log can have signed it.
var ErrTooLong = errors.New("the certificate is too long for an entry of a log")

// Leaf is the MerkleTreeLeaf (RFC 6962 section 3.4) that the log has promised to merge. The same bytes are what it has
// signed: the two structures of section 3.2 and 3.4 differ in nothing but the names of their fields.
func (s *SCT) Leaf(e Entry) ([]byte, error) {
	if len(e.Cert) >= 1<<24 || len(s.Extensions) >= 1<<16 {
		return nil, ErrTooLong
	}
	b := make([]byte, 0, 2+8+2+32+3+len(e.Cert)+2+len(s.Extensions))
	b = append(b, 0, 0) // v1; timestamped_entry, or certificate_timestamp
	b = binary.BigEndian.AppendUint64(b, s.Timestamp)
	if e.Precert {
		b = append(b, 0, 1)
		b = append(b, e.IssuerKeyHash[:]...)
	} else {
		b = append(b, 0, 0)
	}
	b = append(b, byte(len(e.Cert)>>16), byte(len(e.Cert)>>8), byte(len(e.Cert)))
	b = append(b, e.Cert...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.Extensions)))
	return append(b, s.Extensions...), nil
}

// LeafHash is the Merkle hash of a leaf: SHA-256(0x00 || leaf).
func LeafHash(leaf []byte) (out [32]byte) {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	h.Sum(out[:0])
	return out
}
