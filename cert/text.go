package cert

import (
	"bytes"
	"strings"
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
	var seen byte
	last := 0
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

func (s *Scan) add(w Where, raw, name []byte, why odd) {
	if why != oddNone {
		s.notes.note(why)
	}
	if s.room() {
		s.Idents = append(s.Idents, Ident{Where: w, Raw: raw, Name: name, Odd: why.code()})
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

func (r *reader) value(v []byte, why odd) {
	r.first = len(r.s.Idents)
	t := string(v)
	if !utf8.ValidString(t) {
		// Cut off what is not ASCII at the edges, then take the whole for Latin-1.
		if cut := strings.TrimFunc(t, func(c rune) bool { return c >= utf8.RuneSelf }); len(cut) < len(t) && ascii(cut) {
			r.whole(cut, why.or(oddBadCharacter), 0)
		}
		t, why = latin1(t), why.or(oddLatin1Name)
	}
	if i := strings.IndexByte(t, 0); i >= 0 {
		if strings.Count(t, "\x00") >= len(t)/2 { // 16-bit characters in an 8-bit string
			r.whole(strings.ReplaceAll(t, "\x00", ""), why.or(oddNUL), 0)
		} else {
			r.whole(t[:i], why.or(oddNUL), 0)
		}
		why = why.or(oddNUL)
		if r.w == InDNS {
			r.name(t, why)
		}
	}
	r.whole(t, why, 0)
	if r.w == InDNS && len(r.s.Idents) == r.first {
		if t, f := fold(t); strings.TrimFunc(t, edge) != "" {
			r.name(strings.TrimFunc(t, edge), why.or(f).or(oddBadCharacter))
		}
	}
}

// reader reads one odd value.
type reader struct {
	s     *Scan
	w     Where
	raw   []byte
	first int  // identity of this value
	only  bool // addresses in plain notation, no names
}

// separator reports what cannot stand inside a host name, an address or the readable start of a URL.
func separator(c rune) bool {
	return c <= ' ' || c == 0x7f || strings.ContainsRune(",;|<>\"'`(){}=", c)
}

// edge reports what may be cut off around a name.
func edge(c rune) bool { return c <= ' ' || c >= 0x7f && c <= 0xa0 }

// whole reads a value, or the part of it that some client would take for the whole.
func (r *reader) whole(t string, why odd, depth int) {
	t, f := fold(t)
	why = why.or(f)
	if trimmed := strings.TrimFunc(t, edge); trimmed != t {
		t, why = trimmed, why.or(oddEdgeSpace)
	}
	if t == "" || r.addresses(t, why, r.only) {
		return
	}
	if depth < 3 {
		if rest, ok := cutTypePrefix(t); ok {
			r.whole(rest, why.or(oddTypePrefix), depth+1)
			return
		}
		if d := unescape(t); d != t {
			r.whole(d, why.or(oddPercent), depth+1)
			return
		}
	}
	if strings.IndexFunc(t, separator) < 0 {
		r.token(t, why, false)
		return
	}
	if near := joinAtDots(t); near != t && strings.IndexFunc(near, separator) < 0 {
		r.token(near, why.or(oddInnerSpace), false)
		return
	}
	for rest := t; rest != ""; {
		i := strings.IndexFunc(rest, separator)
		token := rest
		if i >= 0 {
			token, rest = rest[:i], rest[i+1:] // separators are ASCII
		} else {
			rest = ""
		}
		if strings.ContainsAny(token, ".:") {
			r.token(token, why, true)
		}
	}
}

// token reads text without separators. among tells that other text stands around it.
func (r *reader) token(t string, why odd, among bool) {
	if i := strings.Index(t, "://"); i >= 0 {
		t, why = t[i+3:], why.or(oddURLInName)
	}
	inText := oddNone
	if among && !r.only {
		inText = oddIPInText
	}
	if r.addresses(t, why.or(inText), among || r.only) {
		return
	}
	if i := strings.IndexAny(t, "/?#"); i >= 0 {
		// A slash may also belong to a classless reverse name (RFC 2317).
		if !strings.HasSuffix(strings.ToLower(t), ".arpa") {
			t, why = t[:i], why.or(oddURLInName)
		}
	}
	if i := strings.LastIndexByte(t, '@'); i >= 0 {
		t, why = t[i+1:], why.or(oddUserPart)
	}
	if strings.Contains(t, `\`) {
		t, why = strings.ReplaceAll(t, `\`, ""), why.or(oddBackslash)
	}
	if rest, ok := cutTypePrefix(t); ok {
		t, why = rest, why.or(oddTypePrefix)
	}
	if r.addresses(t, why.or(inText), among || r.only) {
		return
	}
	if host, port, ok := strings.Cut(t, ":"); ok && digits(port) {
		t, why = host, why.or(oddPort)
	}
	if among && !strings.Contains(strings.TrimRight(t, "."), ".") {
		return
	}
	if among {
		why = why.or(oddNameInText)
	}
	r.name(t, why)
}

// addresses adds the address that t is and reports whether it is one.
func (r *reader) addresses(t string, why odd, plain bool) bool {
	a := readAddress(t, plain)
	for i := range a.n {
		o := why.or(a.why[i])
		if o == oddNone {
			switch {
			case r.w == InDNS:
				o = oddIPInDNS
			case r.w == InSubject:
				o = oddIPInSubject
			}
		}
		p := a.prefix[i]
		if p.IsSingleIP() {
			r.s.address(r.w, r.raw, p.Addr(), o)
		} else {
			r.s.network(r.w, r.raw, p, o)
		}
	}
	return a.n > 0
}

// name adds the normal form of a name, and the network it stands for when it is a reverse name.
func (r *reader) name(t string, why odd) {
	if r.only || r.w != InDNS && (strings.Contains(t, ":") || !strings.Contains(t, ".") && !ascii(t)) {
		return // words and hardware addresses
	}
	t, why = normal(t, why)
	if t == "" {
		return
	}
	s := r.s
	if n := len(s.Idents); n-r.first < 16 {
		for _, id := range s.Idents[r.first:n] {
			if string(id.Name) == t {
				return
			}
		}
	}
	start := len(s.buf)
	s.buf = append(s.buf, t...)
	s.add(r.w, r.raw, s.buf[start:len(s.buf):len(s.buf)], why)
	if strings.HasSuffix(t, ".arpa") {
		// It remains a name as well.
		if p, ok := arpa(t); ok {
			s.network(r.w, r.raw, p, oddIPArpa)
		}
	}
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

// cutTypePrefix cuts the kind of a name off its front, as people write it in forms.
func cutTypePrefix(t string) (string, bool) {
	for _, p := range [...]string{"DNS:", "IP:", "DNS=", "IP=", "IP Address:", "IP Address=", "DNS Name:", "DNS Name=", "URI:", "URL:", "URL=", "CN=", "email:"} {
		if len(t) > len(p) && strings.EqualFold(t[:len(p)], p) {
			return t[len(p):], true
		}
	}
	return t, false
}

// unescape decodes %XX once.
func unescape(t string) string {
	i := strings.IndexByte(t, '%')
	if i < 0 {
		return t
	}
	out := make([]byte, 0, len(t))
	for i := 0; i < len(t); i++ {
		if t[i] == '%' && i+2 < len(t) && isHex(t[i+1]) && isHex(t[i+2]) {
			out = append(out, hexValue(t[i+1])<<4|hexValue(t[i+2]))
			i += 2
		} else {
			out = append(out, t[i])
		}
	}
	if d := string(out); utf8.ValidString(d) {
		return d
	}
	return latin1(string(out))
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// joinAtDots removes the space beside dots.
func joinAtDots(t string) string {
	if !strings.Contains(t, " .") && !strings.Contains(t, ". ") {
		return t
	}
	parts := strings.Split(t, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(p, " \t")
	}
	return strings.Join(parts, ".")
}

// ascii reports whether all of t is ASCII.
func ascii(t string) bool {
	for i := range len(t) {
		if t[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func latin1(t string) string {
	out := make([]rune, len(t))
	for i := range len(t) {
		out[i] = rune(t[i])
	}
	return string(out)
}
