package cert

import (
	"strings"
	"unicode/utf8"
)

// reader reads one odd value.
type reader struct {
	s     *Scan
	w     Where
	raw   []byte
	first int  // identity of this value
	only  bool // addresses in plain notation, no names
}

// value reads the value in every way that some client might.
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
