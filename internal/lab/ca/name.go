package ca

import "net/netip"

// OIDs of subject attributes.
const (
	attrCN      = "2.5.4.3"
	attrCountry = "2.5.4.6"
	attrLoc     = "2.5.4.7"
	attrOrg     = "2.5.4.10"
)

// Attribute is one attribute of a distinguished name. Tag 0 means UTF8String. Value stands in the certificate as it
// is, whatever the tag says.
type Attribute struct {
	OID   string
	Tag   byte
	Value []byte
}

// RDNs encodes a Name with one attribute in each relative distinguished name.
func RDNs(attrs ...Attribute) []byte {
	parts := make([][]byte, 0, len(attrs))
	for _, a := range attrs {
		tag := a.Tag
		if tag == 0 {
			tag = TagUTF8
		}
		parts = append(parts, TLV(TagSet, TLV(TagSequence, OID(a.OID), TLV(tag, a.Value))))
	}
	return TLV(TagSequence, parts...)
}

// CN is a commonName attribute as UTF8String.
func CN(value string) Attribute { return Attribute{OID: attrCN, Value: []byte(value)} }

// DN encodes the usual three attributes of a CA or subject: country, organization, common name; empty ones are left
// out.
func DN(cn, org, country string) []byte {
	var attrs []Attribute
	if country != "" {
		attrs = append(attrs, Attribute{OID: attrCountry, Tag: TagPrintable, Value: []byte(country)})
	}
	if org != "" {
		attrs = append(attrs, Attribute{OID: attrOrg, Value: []byte(org)})
	}
	if cn != "" {
		attrs = append(attrs, CN(cn))
	}
	return RDNs(attrs...)
}

// General names of RFC 5280 section 4.2.1.6. Each takes raw bytes, since a hostile CA writes what it likes.

// GeneralName encodes one general name with any identifier octet: 0x82 is a dNSName, 0x87 an iPAddress, 0xA7 the
// constructed form that crypto/x509 skips without a word.
func GeneralName(tag byte, value []byte) []byte { return TLV(tag, value) }

// DNSName is a dNSName of any bytes: UTF-8, Latin-1, with NUL or newline.
func DNSName(value string) []byte { return TLV(0x82, []byte(value)) }

// IPAddress is an iPAddress of any length.
func IPAddress(octets ...byte) []byte { return TLV(0x87, octets) }

// IPAddressConstructed is an iPAddress with the constructed bit set, around a primitive OCTET STRING.
func IPAddressConstructed(octets ...byte) []byte { return TLV(0xa7, TLV(TagOctetString, octets)) }

// DNSNameConstructed is a dNSName with the constructed bit set, around a primitive IA5String.
func DNSNameConstructed(value string) []byte { return TLV(0xa2, TLV(TagIA5, []byte(value))) }

// Email is an rfc822Name.
func Email(value string) []byte { return TLV(0x81, []byte(value)) }

// URI is a uniformResourceIdentifier.
func URI(value string) []byte { return TLV(0x86, []byte(value)) }

// DirName is a directoryName; name is a Name as made by [RDNs].
func DirName(name []byte) []byte { return TLV(0xa4, name) }

// OtherName is an otherName holding a UTF8String.
func OtherName(oid, value string) []byte {
	return TLV(0xa0, OID(oid), TLV(0xa0, TLV(TagUTF8, []byte(value))))
}

// Addr is the iPAddress of a proper address.
func Addr(a netip.Addr) []byte { return IPAddress(a.AsSlice()...) }

// SAN encodes the value of a subjectAltName extension.
func SAN(names ...[]byte) []byte { return TLV(TagSequence, names...) }
