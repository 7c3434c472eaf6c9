// Package entry makes log entries of submitted chains, in the framing of RFC 6962 and of static-ct-api.
//
// Like all of the lab it is written from the documents and shares no code with the reader in ctlog and cert, so that
// each is a check of the other. It trusts nothing that is submitted.
package entry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Contents of OBJECT IDENTIFIERs.
var (
	oidPoison     = []byte{0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 3}
	oidPrecertEKU = []byte{0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 4}
	oidAKI        = []byte{0x55, 0x1d, 35}
	oidEKU        = []byte{0x55, 0x1d, 37}
)

// Limits of the wire formats.
const (
	MaxCert  = 1<<24 - 1
	MaxChain = 64 // certificates; far below what a fingerprint vector could hold
)

// Entry is one entry of a log.
type Entry struct {
	Index     uint64
	Timestamp uint64 // milliseconds since 1970
	Precert   bool
	// Cert is what is hashed: the certificate, or for a precertificate the TBSCertificate without poison, with the
	// issuer and AKI of the final certificate.
	Cert          []byte
	IssuerKeyHash [32]byte // of the final issuer; for precertificates only
	PreCert       []byte   // the precertificate as submitted
	Chain         [][]byte // under Cert or PreCert, issuer first
	Extensions    []byte   // CtExtensions
}

// Raw makes an entry of type x509_entry from any bytes, unread.
func Raw(cert []byte, chain [][]byte) (*Entry, error) {
	if len(cert) == 0 || len(cert) > MaxCert {
		return nil, fmt.Errorf("a certificate of %d bytes has no place in a log entry", len(cert))
	}
	return &Entry{Cert: cert, Chain: chain}, nil
}

// Precertificate makes an entry of type precert_entry. chain[0] is the issuer of the precertificate; when that is a
// precert-signing CA, chain[1] must be the issuer of the final certificate (RFC 6962 section 3.2).
func Precertificate(pre []byte, chain [][]byte) (*Entry, error) {
	if len(pre) > MaxCert {
		return nil, fmt.Errorf("a precertificate of %d bytes has no place in a log entry", len(pre))
	}
	if len(chain) == 0 {
		return nil, errors.New("a precertificate without its issuer")
	}
	c, err := parse(pre)
	if err != nil {
		return nil, fmt.Errorf("reading precertificate: %w", err)
	}
	issuer, err := parse(chain[0])
	if err != nil {
		return nil, fmt.Errorf("reading issuer: %w", err)
	}
	final, signer := issuer, (*certificate)(nil)
	if issuer.signsPrecerts() {
		if len(chain) < 2 {
			return nil, errors.New("a precert-signing CA without its issuer")
		}
		if final, err = parse(chain[1]); err != nil {
			return nil, fmt.Errorf("reading final issuer: %w", err)
		}
		signer = issuer
	}
	tbs, err := c.leafTBS(signer)
	if err != nil {
		return nil, err
	}
	return &Entry{
		Precert: true, Cert: tbs, PreCert: pre, Chain: chain,
		IssuerKeyHash: sha256.Sum256(final.fields[final.spki].whole),
	}, nil
}

// IsPrecert tells whether der carries the poison.
func IsPrecert(der []byte) bool {
	c, err := parse(der)
	if err != nil {
		return false
	}
	exts, _ := c.readExtensions()
	for _, x := range exts {
		if bytes.Equal(x.oid, oidPoison) {
			return true
		}
	}
	return false
}

func (c *certificate) signsPrecerts() bool {
	exts, _ := c.readExtensions()
	for _, x := range exts {
		if bytes.Equal(x.oid, oidEKU) && bytes.Contains(x.value, oidPrecertEKU) {
			return true
		}
	}
	return false
}

// leafTBS is the TBSCertificate without poison; with a precert-signing CA, its issuer name and AKI take the place of
// those in the precertificate.
func (c *certificate) leafTBS(signer *certificate) ([]byte, error) {
	exts, err := c.readExtensions()
	if err != nil {
		return nil, fmt.Errorf("reading precertificate: %w", err)
	}
	var aki *extension
	if signer != nil {
		own, err := signer.readExtensions()
		if err != nil {
			return nil, fmt.Errorf("reading precert-signing CA: %w", err)
		}
		for i := range own {
			if bytes.Equal(own[i].oid, oidAKI) {
				aki = &own[i]
			}
		}
	}
	poisoned := false
	var keep [][]byte
	for _, x := range exts {
		switch {
		case bytes.Equal(x.oid, oidPoison):
			poisoned = true
		case signer != nil && bytes.Equal(x.oid, oidAKI):
			if aki != nil {
				keep = append(keep, encode(0x30, append(x.head[:len(x.head):len(x.head)], encode(4, aki.value))...))
			}
		default:
			keep = append(keep, x.whole)
		}
	}
	if !poisoned {
		return nil, errors.New("no poison: not a precertificate")
	}
	var parts [][]byte
	for i, f := range c.fields {
		switch {
		case i == c.issuer && signer != nil:
			parts = append(parts, signer.fields[signer.issuer].whole)
		case i == c.extensions:
			// RFC 5280 has no empty list of extensions.
			if len(keep) > 0 {
				parts = append(parts, encode(0xa3, encode(0x30, keep...)))
			}
		default:
			parts = append(parts, f.whole)
		}
	}
	return encode(0x30, parts...), nil
}

// timestamped is the TimestampedEntry of RFC 6962 section 3.4, which static-ct-api has in its tiles.
func (e *Entry) timestamped(out []byte) []byte {
	out = binary.BigEndian.AppendUint64(out, e.Timestamp)
	if e.Precert {
		out = append(out, 0, 1)
		out = append(out, e.IssuerKeyHash[:]...)
	} else {
		out = append(out, 0, 0)
	}
	out = vector24(out, e.Cert)
	return vector16(out, e.Extensions)
}

// MerkleTreeLeaf is the hashed form (RFC 6962 section 3.4). The bytes that an SCT signs are the same: version v1, then
// zero as signature or leaf type.
func (e *Entry) MerkleTreeLeaf() []byte { return e.timestamped([]byte{0, 0}) }

// ExtraData is the extra_data of get-entries (RFC 6962 section 4.6).
func (e *Entry) ExtraData() []byte {
	var out []byte
	if e.Precert {
		out = vector24(out, e.PreCert)
	}
	n := 0
	for _, c := range e.Chain {
		n += 3 + len(c)
	}
	out = append(out, byte(n>>16), byte(n>>8), byte(n))
	for _, c := range e.Chain {
		out = vector24(out, c)
	}
	return out
}

// TileLeaf is the form in data tiles (C2SP static-ct-api).
func (e *Entry) TileLeaf() []byte {
	out := e.timestamped(nil)
	if e.Precert {
		out = vector24(out, e.PreCert)
	}
	n := 32 * len(e.Chain)
	out = append(out, byte(n>>8), byte(n))
	for _, c := range e.Chain {
		f := sha256.Sum256(c)
		out = append(out, f[:]...)
	}
	return out
}

// LeafIndex is the CtExtensions with the leaf_index extension of static-ct-api: type 0, 5 bytes, big endian.
func LeafIndex(index uint64) []byte {
	return []byte{0, 0, 5, byte(index >> 32), byte(index >> 24), byte(index >> 16), byte(index >> 8), byte(index)}
}

func vector16(out, b []byte) []byte {
	out = append(out, byte(len(b)>>8), byte(len(b)))
	return append(out, b...)
}

func vector24(out, b []byte) []byte {
	out = append(out, byte(len(b)>>16), byte(len(b)>>8), byte(len(b)))
	return append(out, b...)
}
