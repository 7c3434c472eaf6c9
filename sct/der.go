package sct

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The content of the OID 1.3.6.1.4.1.11129.2.4.2 as it stands in the bytes.
const oidSCTs = "\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02"

var (
	errNotDER       = errors.New("the certificate is not in DER: the bytes that a log has signed cannot be rebuilt")
	tagVersion      = asn1.Tag(0).ContextSpecific().Constructed()
	tagIssuerUID    = asn1.Tag(1).ContextSpecific()
	tagSubjectUID   = asn1.Tag(2).ContextSpecific()
	tagExtensions   = asn1.Tag(3).ContextSpecific().Constructed()
	errNoExtensions = errors.New("the certificate has no extensions")
)

// parts is a certificate taken apart. All slices alias it.
type parts struct {
	issuer, subject, spki []byte // whole elements
	fields                []byte // of the TBSCertificate, before the extensions
	extensions            [][]byte
	lists                 int // SCT lists among them
	list                  []byte
}

// maxExtensions bounds the extensions of a certificate that is taken apart.
const maxExtensions = 4096

func split(cert []byte) (*parts, error) {
	in := cryptobyte.String(cert)
	var outer, tbs cryptobyte.String
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1(&tbs, asn1.SEQUENCE) {
		return nil, errNotDER
	}
	p := &parts{}
	rest := tbs
	var issuer, subject, spki cryptobyte.String
	if !rest.SkipOptionalASN1(tagVersion) || !rest.SkipASN1(asn1.INTEGER) || !rest.SkipASN1(asn1.SEQUENCE) ||
		!rest.ReadASN1Element(&issuer, asn1.SEQUENCE) || !rest.SkipASN1(asn1.SEQUENCE) ||
		!rest.ReadASN1Element(&subject, asn1.SEQUENCE) || !rest.ReadASN1Element(&spki, asn1.SEQUENCE) ||
		!rest.SkipOptionalASN1(tagIssuerUID) || !rest.SkipOptionalASN1(tagSubjectUID) {
		return nil, errNotDER
	}
	p.issuer, p.subject, p.spki = issuer, subject, spki
	p.fields = tbs[:len(tbs)-len(rest)]
	if rest.Empty() {
		return p, nil
	}
	var field, list cryptobyte.String
	if !rest.ReadASN1(&field, tagExtensions) || !rest.Empty() || !field.ReadASN1(&list, asn1.SEQUENCE) || !field.Empty() {
		return nil, errNotDER
	}
	for !list.Empty() {
		var element, x, oid, value cryptobyte.String
		if !list.ReadASN1Element(&element, asn1.SEQUENCE) || len(p.extensions) >= maxExtensions {
			return nil, errNotDER
		}
		p.extensions = append(p.extensions, element)
		if inner := element; !inner.ReadASN1(&x, asn1.SEQUENCE) || !x.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
			return nil, errNotDER
		}
		if string(oid) != oidSCTs {
			continue
		}
		if !x.SkipOptionalASN1(asn1.BOOLEAN) || !x.ReadASN1(&value, asn1.OCTET_STRING) || !x.Empty() {
			return nil, errNotDER
		}
		p.lists++
		p.list = value
		p.extensions = p.extensions[:len(p.extensions)-1]
	}
	return p, nil
}

// without is the TBSCertificate without SCT lists. Only the lengths around the extensions are written anew. An
// extensions field that becomes empty stays, as in the entries of logs: the poison stood there.
func (p *parts) without() ([]byte, error) {
	if p.lists == 0 && p.extensions == nil {
		return nil, errNoExtensions
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(p.fields)
		b.AddASN1(tagExtensions, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, x := range p.extensions {
					b.AddBytes(x)
				}
			})
		})
	})
	return b.Bytes()
}
