package watch

import (
	"bytes"
	"net/netip"

	"github.com/tocsin-ct/tocsin/cert"
)

// Bounds of the raw search: a name is at most 253 bytes, so a longer run is read from its end; the longest text of
// an address is a reverse name under ip6.arpa.
const (
	maxRawName = 255
	maxRawAddr = 80
)

// TouchesRaw reports whether the bytes touch any item, as far as [Matcher.MatchRaw] can tell.
func (m *Matcher) TouchesRaw(b []byte) bool {
	v, hit := visit{t: m.names, touch: true, steps: maxSteps}, false
	raw(b, func(_, name []byte, p netip.Prefix) bool {
		hit = m.touches(name, p, &v)
		return !hit
	})
	return hit
}

// MatchRaw searches bytes that package cert could not read, in linear time, for
//   - runs of host name characters that end in a watched name at a label boundary, without regard to case;
//   - 4 or 16 bytes (8 or 32: with a mask) behind a SAN iPAddress tag (0x87, or 0xA7 when constructed) and length;
//   - the plain text of an address, or its reverse name.
//
// A run may have swallowed a printable length byte before it, or the tag of the element after it: where an intact
// string tag and length frame a text they decide, else the run is tried with and without such a byte. A single label
// counts only in such a frame, and a wildcard for top-level domains ("*") never: stray bytes make them everywhere, and
// 30 82 01 2A is also how a SEQUENCE of 298 bytes begins.
func (m *Matcher) MatchRaw(b []byte) []Match {
	f := found{m: m, v: visit{t: m.names, steps: maxSteps}}
	raw(b, func(text, name []byte, p netip.Prefix) bool {
		f.ident(cert.InRaw, text, name, p, "")
		return !f.last
	})
	return f.list
}

// raw calls yield with each candidate (a name, or an address) until it returns false. The same candidate may come
// twice.
func raw(b []byte, yield func(text, name []byte, p netip.Prefix) bool) {
	low := bytes.ToLower(asciiOnly(b))
	s := search{b: b, low: low, yield: yield}
	for i := 0; i < len(b) && !s.stop; i++ {
		if (i == 0 || !isHost(b[i-1])) && isHost(b[i]) {
			s.run(i, s.hostEnd(i))
		}
		if isAddrText(b[i]) && (i == 0 || !isAddrText(b[i-1]) && !isHost(b[i-1])) {
			s.colons(i)
		}
		if isFrame(b[i]) {
			s.frame(i)
		}
	}
}

// asciiOnly copies b with every byte above 0x7F replaced, so that lower case is of ASCII only and of equal length.
func asciiOnly(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if c < 0x80 {
			out[i] = c
		}
	}
	return out
}

type search struct {
	b, low []byte
	yield  func(text, name []byte, p netip.Prefix) bool
	stop   bool
	// from and to is the last run of host characters looked at: makes hostEnd linear over all calls.
	from, to int
}

// hostEnd returns the end of the run of host name characters that holds position i.
func (s *search) hostEnd(i int) int {
	if i >= s.from && i < s.to {
		return s.to
	}
	e := i
	for e < len(s.b) && isHost(s.b[e]) {
		e++
	}
	s.from, s.to = i, e
	return e
}

// run tries a maximal run of host name characters.
func (s *search) run(start, end int) {
	if start >= 2 && isString(s.b[start-2]) && int(s.b[start-1]) == end-start {
		return // frame has it
	}
	s.text(start, end, false)
	// The element after a string is often a SEQUENCE (0x30, '0') or SET (0x31, '1').
	glued := end-start > 1 && end < len(s.b) && (s.b[end-1] == '0' || s.b[end-1] == '1')
	if glued {
		s.text(start, end-1, false)
	}
	// A length from 42 to 122 may be a host name character, too.
	if start >= 1 && isString(s.b[start-1]) && end-start > 1 {
		s.text(start+1, end, false)
		if glued {
			s.text(start+1, end-1, false)
		}
	}
}

// text tries one text of host name characters as a name and as an IPv4 address or reverse name. framed says that
// an intact tag and length stand before it.
func (s *search) text(start, end int, framed bool) {
	for end > start && s.b[end-1] == '.' {
		end--
	}
	if s.stop || end <= start {
		return
	}
	from := max(start, end-maxRawName)
	name := s.low[from:end]
	if last := s.b[end-1]; last >= '0' && last <= '9' && end-start <= len("255.255.255.255") {
		if a, err := netip.ParseAddr(string(name)); err == nil {
			s.address(s.b[from:end], a)
			return
		}
	}
	if bytes.HasSuffix(name, []byte(".arpa")) && end-start <= maxRawAddr {
		if p, _, ok := cert.ParseAddress(string(name)); ok {
			s.stop = s.stop || !s.yield(s.b[from:end], nil, p)
			return
		}
	}
	top := name[bytes.LastIndexByte(name, '.')+1:]
	if !framed && len(top) == len(name) || bytes.IndexByte(top, '*') >= 0 {
		return
	}
	s.stop = s.stop || !s.yield(s.b[from:end], name, netip.Prefix{})
}

// colons tries a maximal run of the characters of IPv6 text.
func (s *search) colons(start int) {
	end := start
	colons := 0
	for end < len(s.b) && isAddrText(s.b[end]) {
		if s.b[end] == ':' {
			colons++
		}
		end++
	}
	if colons < 2 || end < len(s.b) && isHost(s.b[end]) || end-start > len("0000:0000:0000:0000:0000:0000:255.255.255.255")+1 {
		return
	}
	framed := start >= 2 && isString(s.b[start-2]) && int(s.b[start-1]) == end-start
	if a, err := netip.ParseAddr(string(s.b[start:end])); err == nil {
		s.address(s.b[start:end], a)
	}
	if !framed && end < len(s.b) && (s.b[end-1] == '0' || s.b[end-1] == '1') {
		if a, err := netip.ParseAddr(string(s.b[start : end-1])); err == nil {
			s.address(s.b[start:end-1], a)
		}
	}
}

// frame tries the element whose tag stands at i, when its length fits.
func (s *search) frame(i int) {
	body, n, ok := length(s.b, i+1)
	if !ok && s.b[i] == 0xa7 && i+1 < len(s.b) && s.b[i+1] == 0x80 { // indefinite length
		body, n, ok = i+2, 0, true
	}
	if !ok {
		return
	}
	switch tag := s.b[i]; {
	case tag == 0x87:
		s.octets(body, n)
	case tag == 0xa7:
		s.octets(body, n)
		if body < len(s.b) && s.b[body] == 0x04 {
			if inner, k, ok := length(s.b, body+1); ok {
				s.octets(inner, k)
			}
		}
	case n > 0 && n <= maxRawName && isHost(s.b[body]) && body+n <= s.hostEnd(body):
		s.text(body, body+n, true)
	case n > 0 && n <= maxRawAddr && s.b[i] == 0x82 && bytes.IndexByte(s.b[body:body+n], ':') >= 0:
		if a, err := netip.ParseAddr(string(s.b[body : body+n])); err == nil {
			s.address(s.b[body:body+n], a)
		}
	}
}

// octets tries the content of an iPAddress.
func (s *search) octets(at, n int) {
	switch n {
	case 4, 8:
		s.address(s.b[at:at+n], netip.AddrFrom4([4]byte(s.b[at:at+4])))
	case 16, 32:
		s.address(s.b[at:at+n], netip.AddrFrom16([16]byte(s.b[at:at+16])))
	}
}

func (s *search) address(text []byte, a netip.Addr) {
	a = a.WithZone("").Unmap()
	s.stop = s.stop || !s.yield(text, nil, netip.PrefixFrom(a, a.BitLen()))
}

// length reads a definite length (X.690 section 8.1.3) of at most two bytes at i and checks that the content is there.
func length(b []byte, i int) (body, n int, ok bool) {
	if i >= len(b) {
		return 0, 0, false
	}
	body, n = i+1, int(b[i])
	switch {
	case n == 0x81 && i+1 < len(b):
		body, n = i+2, int(b[i+1])
	case n == 0x82 && i+2 < len(b):
		body, n = i+3, int(b[i+1])<<8|int(b[i+2])
	case n >= 0x80:
		return 0, 0, false
	}
	return body, n, body+n <= len(b)
}

func isHost(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '*'
}

func isAddrText(c byte) bool {
	return c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' || c >= '0' && c <= '9' || c == '.' || c == ':'
}

// isString tells the tags of texts in a certificate: SAN kinds e-mail, DNS, URI, and the string types of X.690.
func isString(c byte) bool {
	switch c {
	case 0x81, 0x82, 0x86, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x1a, 0x1b:
		return true
	}
	return false
}

func isFrame(c byte) bool { return c == 0x87 || c == 0xa7 || isString(c) }
