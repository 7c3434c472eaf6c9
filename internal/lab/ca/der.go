package ca

import (
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The tags that builders of odd certificates need most.
const (
	TagBoolean     = 0x01
	TagInteger     = 0x02
	TagBitString   = 0x03
	TagOctetString = 0x04
	TagNull        = 0x05
	TagOID         = 0x06
	TagUTF8        = 0x0c
	TagSequence    = 0x30
	TagSet         = 0x31
	TagPrintable   = 0x13
	TagT61         = 0x14
	TagIA5         = 0x16
	TagUTCTime     = 0x17
	TagGeneralized = 0x18
	TagUniversal   = 0x1c
	TagBMP         = 0x1e
)

// TLV encodes one element with the given identifier octet and a minimal definite length. The parts are joined as the
// content; nothing checks that they mean anything.
func TLV(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]byte, 0, n+6)
	out = append(out, tag)
	out = appendLength(out, n)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Indefinite encodes one element in the BER indefinite length form, which DER forbids.
func Indefinite(tag byte, parts ...[]byte) []byte {
	out := []byte{tag, 0x80}
	for _, p := range parts {
		out = append(out, p...)
	}
	return append(out, 0, 0)
}

// LongLength encodes one element with a length of four octets whatever its size, which DER forbids when fewer do.
func LongLength(tag byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	n := len(body)
	return append([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

func appendLength(out []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(out, byte(n))
	case n < 0x100:
		return append(out, 0x81, byte(n))
	case n < 0x10000:
		return append(out, 0x82, byte(n>>8), byte(n))
	case n < 0x1000000:
		return append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// OID encodes a dotted object identifier. It panics on text that is none, since OIDs here are constants of the
// program.
func OID(dotted string) []byte {
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(dotted, ".") {
		n, err := strconv.Atoi(arc)
		if err != nil {
			panic(fmt.Sprintf("ca: OID %q: %v", dotted, err))
		}
		oid = append(oid, n)
	}
	out, err := asn1.Marshal(oid)
	if err != nil {
		panic(fmt.Sprintf("ca: OID %q: %v", dotted, err))
	}
	return out
}

// BitString encodes a BIT STRING without unused bits.
func BitString(b []byte) []byte { return TLV(TagBitString, []byte{0}, b) }

// Time encodes a time as RFC 5280 section 4.1.2.5 says: UTCTime up to 2049, then GeneralizedTime.
func Time(t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y >= 1950 && y < 2050 {
		return TLV(TagUTCTime, []byte(t.Format("060102150405Z")))
	}
	return TLV(TagGeneralized, []byte(t.Format("20060102150405Z")))
}

// Integer encodes the content octets of an INTEGER as given, so that it may be negative or not minimal.
func Integer(content ...byte) []byte { return TLV(TagInteger, content) }

// unsigned turns a magnitude into the content of a positive INTEGER.
func unsigned(b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	if len(b) == 0 || b[0]&0x80 != 0 {
		return append([]byte{0}, b...)
	}
	return b
}
