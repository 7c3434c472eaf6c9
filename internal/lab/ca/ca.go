// Package ca is a certificate authority for tests and drills: it can issue anything, above all what no honest CA
// would.
//
// Certificates are put together from raw elements by this package's own encoder, so that any part can be missing,
// doubled or malformed and still be signed. [Authority.Issue] gives the precertificate of RFC 6962 section 3.1,
// [Authority.Finish] the certificate with the SCTs; both share one TBSCertificate but for the poison and the SCT
// list, which stand in the same place.
//
// The package trusts its caller, and nobody may trust its certificates: keys may follow from a seed.
package ca

import (
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Object identifiers of extensions and purposes.
const (
	OIDPoison      = "1.3.6.1.4.1.11129.2.4.3"
	OIDSCTList     = "1.3.6.1.4.1.11129.2.4.2"
	OIDPrecertEKU  = "1.3.6.1.4.1.11129.2.4.4"
	OIDServerAuth  = "1.3.6.1.5.5.7.3.1"
	OIDSAN         = "2.5.29.17"
	OIDBasic       = "2.5.29.19"
	OIDKeyUsage    = "2.5.29.15"
	OIDSKI         = "2.5.29.14"
	OIDAKI         = "2.5.29.35"
	OIDEKU         = "2.5.29.37"
	OIDConstraints = "2.5.29.30"
)

// Authority is one CA certificate with its key. It is safe for concurrent use.
type Authority struct {
	CN      string
	Key     crypto.Signer
	Cert    []byte     // DER
	Subject []byte     // Name, a complete TLV
	Parent  *Authority // nil for a root
	// PrecertSigner marks a precert-signing CA of RFC 6962 section 3.1: it signs precertificates for its Parent,
	// which signs the final certificates.
	PrecertSigner bool

	seed   string
	keyID  []byte
	spki   []byte
	serial atomic.Uint64
	from   time.Time
}

// Options of an authority. The zero value is a P-256 CA with a fresh key, valid from an hour ago for ten years.
type Options struct {
	Type    KeyType
	Seed    string        // deterministic key, see [NewKey]
	Key     crypto.Signer // used as it is; Type and Seed are then ignored for the key
	Org     string
	Country string
	From    time.Time
	For     time.Duration
	// EKU limits the CA to these purposes (dotted OIDs); empty means no EKU extension.
	EKU []string
	// Extensions are added after the usual ones.
	Extensions []Extension
	// PathLen is written when above zero, or zero when NoSubCAs is set.
	PathLen  int
	NoSubCAs bool
}

// NewRoot makes a self-signed CA.
func NewRoot(cn string, opts *Options) (*Authority, error) { return newAuthority(nil, cn, opts) }

// NewIntermediate makes a CA under a, at any depth.
func (a *Authority) NewIntermediate(cn string, opts *Options) (*Authority, error) {
	return newAuthority(a, cn, opts)
}

// NewPrecertSigner makes a precert-signing CA under a (RFC 6962 section 3.1): [Authority.Issue] of the result signs
// precertificates with its own key and name, [Authority.Finish] signs the final certificates with those of a. Its key
// is of the same type as that of a, since the signature algorithm inside both certificates must be the same.
func (a *Authority) NewPrecertSigner(cn string, opts *Options) (*Authority, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.EKU = []string{OIDPrecertEKU}
	o.Type = typeOf(a.Key)
	p, err := newAuthority(a, cn, &o)
	if err != nil {
		return nil, err
	}
	p.PrecertSigner = true
	return p, nil
}

func newAuthority(parent *Authority, cn string, opts *Options) (*Authority, error) {
	if opts == nil {
		opts = &Options{}
	}
	a := &Authority{CN: cn, Parent: parent, Key: opts.Key, Subject: DN(cn, opts.Org, opts.Country), seed: opts.Seed, from: opts.From}
	var err error
	if a.Key == nil {
		if a.Key, err = NewKey(opts.Type, opts.Seed); err != nil {
			return nil, fmt.Errorf("making key of CA %q: %w", cn, err)
		}
	}
	if a.spki, err = SPKI(a.Key); err != nil {
		return nil, fmt.Errorf("encoding key of CA %q: %w", cn, err)
	}
	a.keyID = keyID(a.spki)
	if a.from.IsZero() {
		a.from = time.Now().Add(-time.Hour)
	}
	issuer := parent
	if issuer == nil {
		issuer = a
	}
	bc := [][]byte{TLV(TagBoolean, []byte{0xff})}
	if opts.PathLen > 0 || opts.NoSubCAs {
		bc = append(bc, TLV(TagInteger, unsigned([]byte{byte(opts.PathLen)})))
	}
	exts := []Extension{
		{ID: OIDBasic, Critical: true, Value: TLV(TagSequence, bc...)},
		{ID: OIDKeyUsage, Critical: true, Value: TLV(TagBitString, []byte{1, 0x06})}, // keyCertSign, cRLSign
		{ID: OIDSKI, Value: TLV(TagOctetString, a.keyID)},
		{ID: OIDAKI, Value: akiValue(issuer.keyID)},
	}
	if len(opts.EKU) > 0 {
		exts = append(exts, Extension{ID: OIDEKU, Value: eku(opts.EKU)})
	}
	exts = append(exts, opts.Extensions...)
	life := opts.For
	if life == 0 {
		life = 10 * 365 * 24 * time.Hour
	}
	alg, _, err := algorithm(issuer.Key)
	if err != nil {
		return nil, err
	}
	serial := sha256.Sum256(append([]byte(cn), a.spki...))
	tbs := &TBS{
		Version: TLV(0xa0, Integer(2)), Serial: TLV(TagInteger, unsigned(serial[:16])), Algorithm: alg,
		Issuer: issuer.Subject, Validity: TLV(TagSequence, Time(a.from), Time(a.from.Add(life))),
		Subject: a.Subject, SPKI: a.spki, Extensions: exts,
	}
	a.Cert, err = issuer.Sign(tbs.Encode())
	return a, err
}

// Sign makes a certificate of any bytes given as TBSCertificate.
func (a *Authority) Sign(tbs []byte) ([]byte, error) {
	alg, _, err := algorithm(a.Key)
	if err != nil {
		return nil, err
	}
	sig, err := sign(a.Key, tbs)
	if err != nil {
		return nil, fmt.Errorf("signing as %q: %w", a.CN, err)
	}
	return TLV(TagSequence, tbs, alg, BitString(sig)), nil
}

// Chain gives the certificates from a up to its root, a first.
func (a *Authority) Chain() [][]byte {
	var out [][]byte
	for ; a != nil; a = a.Parent {
		out = append(out, a.Cert)
	}
	return out
}

// Root is the top of the chain.
func (a *Authority) Root() *Authority {
	for a.Parent != nil {
		a = a.Parent
	}
	return a
}

// KeyHash is the SHA-256 of the authority's SPKI.
func (a *Authority) KeyHash() [32]byte { return sha256.Sum256(a.spki) }

// SPKI is the authority's SubjectPublicKeyInfo.
func (a *Authority) SPKI() []byte { return a.spki }

// Final is the authority whose name stands in the final certificates: a itself, or the parent of a precert signer.
func (a *Authority) Final() *Authority {
	if a.PrecertSigner && a.Parent != nil {
		return a.Parent
	}
	return a
}

// nextSerial gives positive serials of 16 octets, different for each call and following from the seed if there is one.
func (a *Authority) nextSerial() []byte {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], a.serial.Add(1))
	d := sha256.Sum256(append(append([]byte("serial\x00"), a.keyID...), n[:]...))
	d[0] = d[0]&0x7f | 0x40
	return d[:16]
}

func keyID(spki []byte) []byte {
	d := sha1.Sum(spki)
	return d[:]
}

func akiValue(keyID []byte) []byte { return TLV(TagSequence, TLV(0x80, keyID)) }

func eku(oids []string) []byte {
	var parts [][]byte
	for _, o := range oids {
		parts = append(parts, OID(o))
	}
	return TLV(TagSequence, parts...)
}

var errFinal = errors.New("a precert-signing CA needs a parent")
