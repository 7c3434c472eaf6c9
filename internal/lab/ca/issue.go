package ca

import (
	"crypto"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Leaf says what to issue. The zero value is a certificate without any name, with a fresh P-256 key, valid for 90
// days from an hour ago.
type Leaf struct {
	// CN is the common name; empty means an empty subject, which makes the SAN critical (RFC 5280 section 4.2.1.6).
	CN string
	// Subject replaces the whole subject: a Name as made by [RDNs], or any other element.
	Subject []byte
	DNS     []string
	IPs     []netip.Addr
	// RawSAN holds general names as complete elements, after DNS and IPs: see [GeneralName].
	RawSAN [][]byte
	// SANs holds values of further subjectAltName extensions, in order after the first one.
	SANs [][]byte
	// Key of the subject; nil makes a fresh one of KeyType (or from KeySeed).
	Key     crypto.Signer
	KeyType KeyType
	KeySeed string
	// SPKI replaces the SubjectPublicKeyInfo, for keys that Go does not know.
	SPKI []byte
	// From and For give the validity.
	From time.Time
	For  time.Duration
	// Serial is the content of the INTEGER, unchanged: negative, zero or 255 octets long as you like.
	Serial []byte
	// Extensions are added after the usual ones.
	Extensions []Extension
	// Mutate changes the parts of the TBSCertificate before it is signed. It runs once, so that precertificate and
	// final certificate agree; the issuer of a precertificate by a precert-signing CA is exchanged afterwards.
	Mutate func(*TBS)
	// Wrap changes the bytes of each finished certificate: trailing bytes, BER forms, cuts.
	Wrap func(der []byte) []byte
}

// Issued is one issuance: the precertificate, and after [Authority.Finish] the certificate.
type Issued struct {
	Precert []byte
	Final   []byte // nil before Finish
	// Chain stands under the precertificate: its issuer first, the root last.
	Chain [][]byte
	// FinalChain stands under the final certificate; it differs from Chain when a precert-signing CA was used.
	FinalChain [][]byte
	Key        crypto.Signer // nil when the leaf gave an SPKI
	// TBS is the TBSCertificate without poison and SCTs, as the final issuer means it.
	TBS []byte

	parts  *TBS
	issuer *Authority
	wrap   func([]byte) []byte
}

// Issue makes the precertificate of a leaf.
func (a *Authority) Issue(l Leaf) (*Issued, error) {
	if a.PrecertSigner && a.Parent == nil {
		return nil, errFinal
	}
	parts, key, err := a.Final().build(l)
	if err != nil {
		return nil, fmt.Errorf("building certificate for %q: %w", l.CN, err)
	}
	i := &Issued{parts: parts, issuer: a, Key: key, wrap: l.Wrap, TBS: parts.Encode(), Chain: a.Chain(), FinalChain: a.Final().Chain()}
	pre := parts.with(-1, Extension{ID: OIDPoison, Critical: true, Value: TLV(TagNull)})
	if a.PrecertSigner {
		pre.Issuer = a.Subject
		for n, e := range pre.Extensions {
			if e.ID == OIDAKI && e.Raw == nil {
				pre.Extensions[n].Value = akiValue(a.keyID)
			}
		}
	}
	if i.Precert, err = a.Sign(pre.Encode()); err != nil {
		return nil, err
	}
	if l.Wrap != nil {
		i.Precert = l.Wrap(i.Precert)
	}
	return i, nil
}

// Finish signs the final certificate with the given SCTs (each a serialized SignedCertificateTimestamp) where the
// precertificate has the poison. Without SCTs there is no SCT list: a certificate that its CA never logged.
func (a *Authority) Finish(i *Issued, scts [][]byte) ([]byte, error) {
	if i.issuer != a {
		return nil, errors.New("finishing a certificate of another authority")
	}
	parts := i.parts
	if len(scts) > 0 {
		parts = parts.with(-1, Extension{ID: OIDSCTList, Value: TLV(TagOctetString, SCTList(scts))})
	}
	der, err := a.Final().Sign(parts.Encode())
	if err != nil {
		return nil, err
	}
	if i.wrap != nil {
		der = i.wrap(der)
	}
	i.Final = der
	return der, nil
}

// Finish is the same as Finish of the authority that issued i.
func (i *Issued) Finish(scts [][]byte) ([]byte, error) { return i.issuer.Finish(i, scts) }

// Issuer is the authority that signed the precertificate.
func (i *Issued) Issuer() *Authority { return i.issuer }

// SCTList encodes a SignedCertificateTimestampList (RFC 6962 section 3.3).
func SCTList(scts [][]byte) []byte {
	var body []byte
	for _, s := range scts {
		body = append(body, byte(len(s)>>8), byte(len(s)))
		body = append(body, s...)
	}
	return append([]byte{byte(len(body) >> 8), byte(len(body))}, body...)
}

func (a *Authority) build(l Leaf) (*TBS, crypto.Signer, error) {
	alg, _, err := algorithm(a.Key)
	if err != nil {
		return nil, nil, err
	}
	key, spki := l.Key, l.SPKI
	if spki == nil {
		if key == nil {
			if key, err = NewKey(l.KeyType, l.KeySeed); err != nil {
				return nil, nil, fmt.Errorf("making key: %w", err)
			}
		}
		if spki, err = SPKI(key); err != nil {
			return nil, nil, fmt.Errorf("encoding key: %w", err)
		}
	}
	from, life := l.From, l.For
	if from.IsZero() {
		from = time.Now().Add(-time.Hour)
	}
	if life == 0 {
		life = 90 * 24 * time.Hour
	}
	subject := l.Subject
	if subject == nil {
		subject = DN(l.CN, "", "")
	}
	serial := l.Serial
	if serial == nil {
		serial = a.nextSerial()
	}
	exts := []Extension{
		{ID: OIDKeyUsage, Critical: true, Value: TLV(TagBitString, []byte{7, 0x80})}, // digitalSignature
		{ID: OIDEKU, Value: eku([]string{OIDServerAuth})},
		{ID: OIDBasic, Critical: true, Value: TLV(TagSequence)},
		{ID: OIDSKI, Value: TLV(TagOctetString, keyID(spki))},
		{ID: OIDAKI, Value: akiValue(a.keyID)},
	}
	names := l.names()
	if len(names) > 0 {
		exts = append(exts, Extension{ID: OIDSAN, Critical: l.Subject == nil && l.CN == "", Value: SAN(names...)})
	}
	for _, v := range l.SANs {
		exts = append(exts, Extension{ID: OIDSAN, Value: v})
	}
	exts = append(exts, l.Extensions...)
	tbs := &TBS{
		Version: TLV(0xa0, Integer(2)), Serial: TLV(TagInteger, serial), Algorithm: alg, Issuer: a.Subject,
		Validity: TLV(TagSequence, Time(from), Time(from.Add(life))), Subject: subject, SPKI: spki, Extensions: exts,
	}
	if l.Mutate != nil {
		l.Mutate(tbs)
	}
	return tbs, key, nil
}

func (l *Leaf) names() [][]byte {
	var names [][]byte
	for _, d := range l.DNS {
		names = append(names, DNSName(d))
	}
	for _, ip := range l.IPs {
		names = append(names, Addr(ip))
	}
	return append(names, l.RawSAN...)
}

// IssuerKeyHash is the SHA-256 of the key of the final issuer: with TBS it identifies the issuance.
func (i *Issued) IssuerKeyHash() [32]byte { return i.issuer.Final().KeyHash() }
