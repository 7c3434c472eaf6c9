package cert

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// attributeNames are the short names of RFC 4514 section 3 and the usual ones beyond.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
	"2.5.4.15": "businessCategory", "2.5.4.17": "postalCode", "2.5.4.42": "GN", "2.5.4.46": "dnQualifier",
	"2.5.4.97":                   "organizationIdentifier",
	"0.9.2342.19200300.100.1.1":  "UID",
	"0.9.2342.19200300.100.1.25": "DC",
	"1.2.840.113549.1.9.1":       "emailAddress",
	"1.2.840.113549.1.9.2":       "unstructuredName",
	"1.2.840.113549.1.9.8":       "unstructuredAddress",
	"1.3.6.1.4.1.311.60.2.1.1":   "jurisdictionL",
	"1.3.6.1.4.1.311.60.2.1.2":   "jurisdictionST",
	"1.3.6.1.4.1.311.60.2.1.3":   "jurisdictionC",
}

// distinguished is a Name as text (RFC 4514 escapes, order of the certificate). Control and other unprintable
// characters are escaped.
func (s *Scan) distinguished(name []byte) string {
	if name == nil {
		return ""
	}
	_, body, _ := next(name, &s.notes)
	var b strings.Builder
	list := attributes{rest: body, n: &s.notes}
	for {
		oid, tag, value, ok := list.next()
		if !ok {
			return b.String()
		}
		if b.Len() > 0 {
			if list.first {
				b.WriteString(", ")
			} else {
				b.WriteByte('+')
			}
		}
		id := dotted(oid)
		if short, ok := attributeNames[id]; ok {
			id = short
		}
		b.WriteString(id)
		b.WriteByte('=')
		if !isString(tag) {
			s.notes.note(oddStringType)
			b.WriteByte('#')
			b.WriteString(hex.EncodeToString(value))
			continue
		}
		escape(&b, s.readable(tag, value))
	}
}

// commonNames are all common names of a Name as UTF-8.
func (s *Scan) commonNames(name []byte) (cns []string) {
	if name == nil {
		return nil
	}
	_, body, _ := next(name, &s.notes)
	list := attributes{rest: body, n: &s.notes}
	for {
		oid, tag, value, ok := list.next()
		if !ok {
			return cns
		}
		if isCN(oid) {
			cns = append(cns, s.readable(tag, value))
		}
	}
}

// readable decodes a string to valid UTF-8; bytes that are none are taken for Latin-1.
func (s *Scan) readable(tag byte, value []byte) string {
	t := string(s.decode(tag, value))
	switch tag &^ constructed {
	case 0x12, 0x13, 0x14, 0x16, 0x1a, tagUTF8, tagBMP, tagUniversal:
	default:
		s.notes.note(oddStringType)
	}
	switch tag &^ constructed {
	case 0x13:
		if strings.ContainsFunc(t, func(c rune) bool {
			return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(" '()+,-./:=?", c))
		}) {
			s.notes.note(oddStringInvalid)
		}
	case 0x16, 0x1a, 0x12:
		if !ascii(t) {
			s.notes.note(oddStringInvalid)
		}
	case tagUTF8:
		if !utf8.ValidString(t) {
			s.notes.note(oddStringInvalid)
		}
	}
	if !utf8.ValidString(t) {
		t = latin1(t)
	}
	return t
}

func escape(b *strings.Builder, t string) {
	for i, c := range t {
		switch {
		case strings.ContainsRune(`,+"\<>;`, c), i == 0 && c == '#', c == ' ' && (i == 0 || i == len(t)-1):
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == ' ' || unicode.IsGraphic(c):
			b.WriteRune(c)
		default:
			for _, x := range []byte(string(c)) {
				fmt.Fprintf(b, `\%02X`, x)
			}
		}
	}
}

// dotted is an OID in dotted form; "hex:" and its bytes when it cannot be read.
func dotted(oid []byte) string {
	if len(oid) == 0 || oid[len(oid)-1] >= 0x80 || len(oid) > 128 {
		return "hex:" + hex.EncodeToString(oid)
	}
	b := make([]byte, 0, 32)
	var arc uint64
	var big_ *big.Int
	first := true
	for _, c := range oid {
		if big_ == nil && arc >= 1<<56 {
			big_ = new(big.Int).SetUint64(arc)
		}
		if big_ != nil {
			big_.Or(big_.Lsh(big_, 7), big.NewInt(int64(c&0x7f)))
		} else {
			arc = arc<<7 | uint64(c&0x7f)
		}
		if c >= 0x80 {
			continue
		}
		switch {
		case first && big_ != nil:
			b = append(b, "2."...)
			b = big_.Sub(big_, big.NewInt(80)).Append(b, 10)
		case first && arc < 80:
			b = fmt.Appendf(b, "%d.%d", arc/40, arc%40)
		case first:
			b = fmt.Appendf(b, "2.%d", arc-80)
		case big_ != nil:
			b = big_.Append(append(b, '.'), 10)
		default:
			b = fmt.Appendf(b, ".%d", arc)
		}
		first, arc, big_ = false, 0, nil
	}
	return string(b)
}

// validity reads notBefore and notAfter (RFC 5280 section 4.1.2.5) in any form that has been seen.
func (s *Scan) validity(c *Certificate) {
	p, n := &s.parts, &s.notes
	if p.validity == nil {
		return
	}
	_, body, _ := next(p.validity, n)
	for i := 0; i < 2; i++ {
		if len(body) == 0 {
			n.note(oddTimeUnreadable)
			return
		}
		var tag byte
		var v []byte
		tag, v, body = next(body, n)
		t, why := readTime(tag, v)
		if why != oddNone {
			n.note(why)
		}
		if i == 0 {
			c.NotBefore = t
		} else {
			c.NotAfter = t
		}
	}
	if c.NotAfter.Before(c.NotBefore) && !c.NotAfter.IsZero() {
		n.note(oddTimeReversed)
	}
}

// readTime reads UTCTime and GeneralizedTime, also without seconds or Z, with fractions, an offset or a leap second.
func readTime(tag byte, v []byte) (time.Time, odd) {
	t := strings.TrimSpace(string(v))
	year := 2
	switch tag {
	case tagUTCTime:
	case tagGenTime:
		year = 4
	default:
		return time.Time{}, oddTimeUnreadable
	}
	var f [6]int // year, month, day, hour, minute, second
	why, rest := oddNone, t
	for i := range f {
		width := 2
		if i == 0 {
			width = year
		}
		if len(rest) < width || !digits(rest[:width]) {
			if i < 5 {
				return time.Time{}, oddTimeUnreadable
			}
			why = oddTimeForm // no seconds
			break
		}
		for _, d := range []byte(rest[:width]) {
			f[i] = f[i]*10 + int(d-'0')
		}
		rest = rest[width:]
	}
	if year == 2 {
		f[0] += 1900
		if f[0] < 1950 {
			f[0] += 100
		}
	}
	nanoseconds := 0
	if rest != "" && (rest[0] == '.' || rest[0] == ',') {
		rest, why = rest[1:], oddTimeForm
		for scale := 100_000_000; rest != "" && rest[0] >= '0' && rest[0] <= '9'; scale /= 10 {
			nanoseconds += scale * int(rest[0]-'0')
			rest = rest[1:]
		}
	}
	offset := 0
	switch {
	case rest == "Z":
	case len(rest) == 5 && (rest[0] == '+' || rest[0] == '-') && digits(rest[1:]):
		why = oddTimeForm
		offset = 60 * (int(rest[1]-'0')*600 + int(rest[2]-'0')*60 + int(rest[3]-'0')*10 + int(rest[4]-'0'))
		if rest[0] == '-' {
			offset = -offset
		}
	default:
		why = oddTimeForm
	}
	if f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > 31 || f[3] > 24 || f[4] > 59 || f[5] > 60 {
		return time.Time{}, oddTimeUnreadable
	}
	if f[5] == 60 || f[3] == 24 {
		why = oddTimeForm
	}
	at := time.Date(f[0], time.Month(f[1]), f[2], f[3], f[4], f[5], nanoseconds, time.UTC)
	if at.Day() != f[2] && f[3] != 24 && f[5] != 60 {
		why = oddTimeForm
	}
	return at.Add(-time.Duration(offset) * time.Second), why
}
