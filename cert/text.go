package cert

import (
	"bytes"
	"unicode/utf8"
)

// Kinds of bytes in a name. What is none of these is plain: lower-case letters, digits, hyphen and underscore.
const (
	kindUpper byte = 1 << iota
	kindDot
	kindColon
	kindOther
	kindStar
	kindHigh // control characters and bytes above ASCII
)

var kinds = func() (k [256]byte) {
	for c := range k {
		switch b := byte(c); {
		case b >= 'a' && b <= 'z', b >= '0' && b <= '9', b == '-', b == '_':
		case b == '*':
			k[c] = kindStar
		case b >= 'A' && b <= 'Z':
			k[c] = kindUpper
		case b == '.':
			k[c] = kindDot
		case b == ':':
			k[c] = kindColon
		case b >= ' ' && b <= '~':
			k[c] = kindOther
		default:
			k[c] = kindHigh
		}
	}
	return k
}()

// host reads a value that is, or holds, a host name or an address. raw is the value as it stands, v the same decoded
// to bytes of some ASCII-like set. The plain case neither allocates nor leaves this function.
func (s *Scan) host(w Where, raw, v []byte) {
	seen, last := kindsOf(v)
	if seen&(kindColon|kindOther|kindHigh) == 0 && last < len(v) {
		if c := v[last]; (c < '0' || c > '9') && len(v) <= 253 && len(v)-last <= 63 && !(len(v)-last == 4 && isArpa(v[last:])) {
			if seen&kindUpper != 0 {
				v = s.lower(v)
			}
			why := oddNone
			if seen&kindStar != 0 && !plainWildcard(v) {
				why = oddWildcard
			}
			s.add(w, raw, v, why)
			return
		}
	}
	if len(v) == 0 {
		if w == InDNS {
			s.notes.note(oddEmptyName)
		}
		return
	}
	if w != InDNS && seen&kindOther != 0 && seen&(kindDot|kindColon|kindHigh) == 0 {
		return // words, as in the CN of a CA: nothing in them can be a name or an address
	}
	s.slow(w, raw, v, oddNone)
}

// kindsOf gathers the kinds of all bytes of a name, and kindOther for an empty or long label. last is where the last
// label begins; how long that is the caller must see.
func kindsOf(v []byte) (seen byte, last int) {
	if len(v) <= 63 { // no label is too long, and two dots tell an empty one: nearly all names, without a branch for each byte
		before, pairs := kindDot, byte(0)
		for i, c := range v {
			k := kinds[c]
			seen |= k
			pairs |= k & before
			before = k
			if k == kindDot {
				last = i + 1
			}
		}
		if pairs&kindDot != 0 {
			seen |= kindOther
		}
		return seen, last
	}
	for i, c := range v {
		k := kinds[c]
		seen |= k
		if k == kindDot {
			if uint(i-last-1) > 62 {
				seen |= kindOther // an empty or long label
			}
			last = i + 1
		}
	}
	return seen, last
}

// plainWildcard reports whether '*' is the whole first label, and no other, above at least two more labels.
func plainWildcard(v []byte) bool {
	return len(v) > 2 && v[0] == '*' && v[1] == '.' && bytes.IndexByte(v[1:], '*') < 0 && bytes.IndexByte(v[2:], '.') > 0
}

func isArpa(label []byte) bool {
	return label[0]|0x20 == 'a' && label[1]|0x20 == 'r' && label[2]|0x20 == 'p' && label[3]|0x20 == 'a'
}

func (s *Scan) lower(v []byte) []byte {
	start := len(s.buf)
	for _, c := range v {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		s.buf = append(s.buf, c)
	}
	return s.buf[start:len(s.buf):len(s.buf)]
}

// MaxRaw bounds the Raw of an [Ident]: one value of a megabyte may hold thousands of identities, and who copies each
// of them must not copy the megabyte each time.
const MaxRaw = 1024

func cut(raw []byte) []byte {
	if len(raw) > MaxRaw {
		return raw[:MaxRaw:MaxRaw]
	}
	return raw
}

func (s *Scan) add(w Where, raw, name []byte, why odd) {
	if why != oddNone {
		s.notes.note(why)
	}
	if s.room() {
		s.Idents = append(s.Idents, Ident{Where: w, Raw: cut(raw), Name: name, Odd: why.code()})
	}
}

// email reads the domain of an e-mail address, or a whole value that is only a domain.
func (s *Scan) email(w Where, raw, v []byte) {
	if i := bytes.LastIndexByte(v, '@'); i >= 0 {
		v = v[i+1:]
	}
	s.host(w, raw, literal(v))
}

// uri reads the host of a URI (RFC 3986 section 3.2). The user part is not the host.
func (s *Scan) uri(raw, v []byte) {
	v = bytes.TrimFunc(v, edge)
	if i := bytes.Index(v, []byte("://")); i >= 0 {
		v = v[i+3:]
	} else if rest, ok := bytes.CutPrefix(v, []byte("//")); ok {
		v = rest
	} else if i := bytes.IndexByte(v, ':'); i >= 0 {
		scheme, rest := v[:i], v[i+1:]
		switch {
		case len(rest) > 0 && bytes.EqualFold(scheme, []byte("http")), bytes.EqualFold(scheme, []byte("https")):
			v = bytes.TrimLeft(rest, `/\`) // one slash or none: browsers take it
		case bytes.IndexByte(rest, '@') >= 0: // sip:, mailto:, xmpp:
			v = rest
		case bytes.IndexByte(scheme, '.') >= 0: // a host and a port without a scheme
		default:
			return // urn:, tag:, data:
		}
	}
	if i := bytes.IndexAny(v, `/?#\;`); i >= 0 {
		v = v[:i]
	}
	if i := bytes.LastIndexByte(v, '@'); i >= 0 {
		v = v[i+1:]
	}
	if i := bytes.LastIndexByte(v, ':'); i > 0 && v[0] != '[' && digits(string(v[i+1:])) && bytes.IndexByte(v, ':') == i {
		v = v[:i] // a port is no oddity in a URI
	}
	if len(v) > 0 {
		s.host(InURI, raw, literal(v))
	}
}

// literal takes the brackets off an address where they belong (RFC 3986 section 3.2.2, RFC 5321 section 4.1.3).
func literal(v []byte) []byte {
	if len(v) < 3 || v[0] != '[' {
		return v
	}
	end := bytes.IndexByte(v, ']')
	if end < 0 || end+1 < len(v) && !(v[end+1] == ':' && digits(string(v[end+2:]))) {
		return v
	}
	v = v[1:end]
	if len(v) > 5 && bytes.EqualFold(v[:5], []byte("IPv6:")) {
		v = v[5:]
	}
	return v
}

// slow reads a value byte by byte in every way that some client might.
func (s *Scan) slow(w Where, raw, v []byte, why odd) {
	if w != InCN && (!utf8.Valid(v) || control(v)) {
		s.swallowed(v)
	}
	(&reader{s: s, w: w, raw: raw}).value(v, why)
}

// control reports whether v holds control characters other than those of line ends.
func control(v []byte) bool {
	return bytes.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\n' && c != '\r' && c != '\t' })
}

// attribute reads an attribute of the subject other than its common name: only addresses in plain notation count, for
// anything else there would be guessed.
func (s *Scan) attribute(w Where, raw, v []byte) {
	dots, colons := 0, 0
	for _, c := range v {
		if c == '.' {
			dots++
		} else if c == ':' {
			colons++
		}
	}
	if dots < 3 && colons < 2 {
		return
	}
	(&reader{s: s, w: w, raw: raw, only: true}).value(v, oddNone)
}
