package cert

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

var oidEmail = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01}

// attributes walks the AttributeTypeAndValue pairs of a Name (RFC 5280 section 4.1.2.4).
type attributes struct {
	rest, rdn []byte
	n         *notes
	first     bool // the pair begins a new RDN
}

func (a *attributes) next() (oid []byte, tag byte, value []byte, ok bool) {
	a.first = false
	for {
		for len(a.rdn) > 0 {
			var t byte
			var pair []byte
			t, pair, a.rdn = next(a.rdn, a.n)
			if t&constructed == 0 || len(pair) == 0 {
				a.n.lose(oddNameForm)
				continue
			}
			t, oid, pair = next(pair, a.n)
			if t != tagOID || len(pair) == 0 {
				a.n.lose(oddNameForm)
				continue
			}
			tag, value, pair = next(pair, a.n)
			if len(pair) > 0 {
				a.n.lose(oddNameForm)
			}
			return oid, tag, value, true
		}
		if len(a.rest) == 0 {
			return nil, 0, nil, false
		}
		var t byte
		t, a.rdn, a.rest = next(a.rest, a.n)
		if t != tagSet {
			a.n.lose(oddNameForm)
			if t&constructed == 0 {
				a.rdn = nil
				continue
			}
		}
		if len(a.rdn) == 0 {
			a.n.note(oddRDNEmpty)
		}
		a.first = true
	}
}

// name reads the content of a Name: common names as cn, e-mail domains and addresses in the others as other.
func (s *Scan) name(cn, other Where, b []byte) {
	list := attributes{rest: b, n: &s.notes}
	for {
		oid, tag, value, ok := list.next()
		if !ok {
			return
		}
		switch {
		case isCN(oid):
			s.commonName(cn, tag, value)
		case len(oid) == len(oidEmail) && bytes.Equal(oid, oidEmail):
			s.email(other, value, s.decode(tag, value))
		case len(value) >= 3:
			s.attribute(other, value, s.decode(tag, value))
		}
	}
}

func isCN(oid []byte) bool {
	if len(oid) == 3 {
		return oid[0] == 0x55 && oid[1] == 4 && oid[2] == 3
	}
	return len(oid) > 3 && oid[0] == 0x55 && sameOID(oid, []byte{0x55, 4, 3})
}

func (s *Scan) commonName(w Where, tag byte, value []byte) {
	s.host(w, value, s.decode(tag, value))
	if (tag == tagBMP || tag == tagUniversal) && len(value) > 0 && plainText(value) {
		// Eight-bit text under the tag of a wider one.
		s.slow(w, value, value, oddStringInvalid)
	}
}

func plainText(v []byte) bool {
	for _, c := range v {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

func isString(tag byte) bool {
	switch tag &^ constructed {
	case tagOctetString, tagUTF8, 0x12, 0x13, 0x14, 0x15, 0x16, 0x19, 0x1a, 0x1b, tagUniversal, tagBMP:
		return true
	}
	return false
}

// decode turns a string of any type into UTF-8 or, for eight-bit types, leaves it as it is. Pieces of a constructed
// string are joined.
func (s *Scan) decode(tag byte, v []byte) []byte {
	if tag&constructed != 0 {
		if !isString(tag) {
			return v
		}
		s.notes.note(oddOctetsConstructed)
		v = s.join(v)
	}
	start := len(s.buf)
	switch tag &^ constructed {
	case tagBMP:
		for len(v) >= 2 {
			c := rune(v[0])<<8 | rune(v[1])
			v = v[2:]
			if utf16.IsSurrogate(c) && len(v) >= 2 {
				if d := utf16.DecodeRune(c, rune(v[0])<<8|rune(v[1])); d != utf8.RuneError {
					c, v = d, v[2:]
				}
			}
			s.buf = utf8.AppendRune(s.buf, c)
		}
	case tagUniversal:
		for len(v) >= 4 {
			c := rune(v[0])<<24 | rune(v[1])<<16 | rune(v[2])<<8 | rune(v[3])
			v = v[4:]
			s.buf = utf8.AppendRune(s.buf, c)
		}
	default:
		return v
	}
	if len(v) > 0 {
		s.notes.note(oddStringInvalid)
	}
	return s.buf[start:len(s.buf):len(s.buf)]
}
