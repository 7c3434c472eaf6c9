package cert

import (
	"net/netip"
	"strings"
)

// ParseAddress reads an address or network in any notation that some client takes: dotted quad, leading zeros, octal,
// hexadecimal, one number, two or three parts (inet_aton), IPv6 in any form, brackets, zone, port, CIDR or dotted
// mask, trailing dot, a wildcard before a dotted quad, fullwidth digits, space around it, and names under
// in-addr.arpa and ip6.arpa. IPv4-mapped IPv6 is IPv4. Host bits of a network are cleared.
//
// The notation is an oddity code, or "" for a plain dotted quad or IPv6 text. Leading zeros are ambiguous: the decimal
// reading is returned where there is one, else the octal one.
func ParseAddress(text string) (p netip.Prefix, notation string, ok bool) {
	t, why := fold(text)
	if trimmed := strings.TrimFunc(t, edge); trimmed != t {
		t, why = trimmed, why.or(oddEdgeSpace)
	}
	a := readAddress(t, false)
	if a.n == 0 {
		if p, ok := arpa(strings.ToLower(strings.TrimSuffix(t, "."))); ok {
			return p, oddIPArpa.code(), true
		}
		return netip.Prefix{}, "", false
	}
	p, o := unmap(a.prefix[0], a.why[0])
	return p, why.or(o).code(), true
}

func unmap(p netip.Prefix, why odd) (netip.Prefix, odd) {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96).Masked(), why.or(oddIPMapped)
	}
	return p.Masked(), why
}

// readings are the one or two ways to read the text of an address.
type readings struct {
	prefix [2]netip.Prefix
	why    [2]odd
	n      int
}

func (r *readings) add(a netip.Addr, bits int, why odd) {
	if bits < 0 {
		bits = a.BitLen()
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return
	}
	r.prefix[r.n], r.why[r.n] = p, why
	r.n++
}

// maxAddressText is longer than any address with zone, brackets, mask and port.
const maxAddressText = 128

// readAddress reads ASCII text without space around it, apart from names under arpa. With plain only dotted quads and
// IPv6 count, in brackets or with a port or a prefix length: that is for text in which an address may stand among
// other things.
func readAddress(t string, plain bool) (r readings) {
	if len(t) == 0 || len(t) > maxAddressText {
		return r
	}
	why := oddNone
	switch c := t[0]; {
	case c == '*':
		rest, ok := strings.CutPrefix(t, "*.")
		if !ok || plain {
			return r
		}
		if r = readAddress(rest, true); r.n > 0 {
			r.why[0] = oddIPWildcard
		}
		return r
	case c == '[':
		inner, tail, _ := strings.Cut(t[1:], "]")
		if len(tail) > 0 && tail[0] != ':' && tail[0] != '/' {
			return r
		}
		if len(tail) > 0 && tail[0] == ':' {
			if !digits(tail[1:]) {
				return r
			}
			tail = ""
		}
		if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
			inner = inner[5:]
		}
		t, why = inner+tail, oddIPBrackets
	case c != ':' && !isHex(c):
		return r
	}
	bits, mask := -1, ""
	if host, length, ok := strings.Cut(t, "/"); ok {
		t, mask, why = host, length, why.or(oddIPNetwork)
		if mask == "" {
			return readings{}
		}
	}
	if i := strings.IndexByte(t, '%'); i >= 0 && strings.Count(t[:i], ":") >= 2 {
		t, why = t[:i], why.or(oddIPZone)
	}
	colons := strings.Count(t, ":")
	if colons == 1 {
		host, port, _ := strings.Cut(t, ":")
		if !digits(port) || len(host) < 7 {
			return r // two numbers, rather
		}
		t, why = host, why.or(oddIPPort)
	}
	if trimmed, ok := strings.CutSuffix(t, "."); ok {
		t, why = trimmed, why.or(oddIPTrailingDot)
	}
	if mask != "" {
		var ok bool
		if bits, ok = maskLength(mask); !ok {
			return r
		}
	}
	if colons >= 2 {
		if a, err := netip.ParseAddr(t); err == nil {
			r.add(a, bits, why)
		}
		return r
	}
	r.v4(t, bits, why, plain)
	return r
}

// maskLength reads what stands behind the slash: a number of bits, or a dotted mask.
func maskLength(m string) (bits int, ok bool) {
	if digits(m) && len(m) <= 3 {
		for _, c := range []byte(m) {
			bits = bits*10 + int(c-'0')
		}
		return bits, bits <= 128
	}
	if a, err := netip.ParseAddr(m); err == nil {
		return maskBits(a.AsSlice())
	}
	return 0, false
}

// v4 reads IPv4 text as inet_aton does: one to four parts in decimal, octal or hexadecimal, the last of which fills
// the remaining bytes. Leading zeros are read as decimal as well, as other clients do.
func (r *readings) v4(t string, bits int, why odd, plain bool) {
	const over = 1 << 33
	var c, dec [4]uint64 // as in C, and all decimal
	n, zeros, hex, cBad, decBad := 0, false, false, false, false
	for rest, more := t, true; more; n++ {
		var part string
		part, rest, more = strings.Cut(rest, ".")
		if n == 4 || part == "" || part[0] < '0' || part[0] > '9' {
			return
		}
		base := uint64(10)
		text := part
		if len(part) > 1 && part[0] == '0' {
			if part[1]|0x20 == 'x' {
				base, text, hex = 16, part[2:], true
				decBad = true
				if text == "" {
					return
				}
			} else {
				base, zeros = 8, true
			}
		}
		for _, d := range []byte(text) {
			var v uint64
			switch {
			case d >= '0' && d <= '9':
				v = uint64(d - '0')
			case base == 16 && isHex(d):
				v = uint64(d|0x20-'a') + 10
			default:
				return
			}
			if v >= base {
				cBad = true
			}
			c[n] = min(c[n]*base+v, over)
			dec[n] = min(dec[n]*10+v, over)
		}
	}
	if plain && (n != 4 || zeros || hex) {
		return
	}
	switch {
	case zeros:
	case hex:
		why = why.or(oddIPHex)
	case n == 1:
		why = why.or(oddIPDecimal)
	case n < 4:
		why = why.or(oddIPShort)
	}
	if !zeros {
		if a, ok := quad(c, n); ok {
			r.add(a, bits, why)
		}
		return
	}
	a, decOK := quad(dec, n)
	decOK = decOK && !decBad && n == 4
	if decOK {
		r.add(a, bits, why.or(oddIPLeadingZeros))
	}
	if b, ok := quad(c, n); ok && !cBad && (!decOK || a != b) {
		r.add(b, bits, why.or(oddIPOctal))
	}
}

func quad(v [4]uint64, n int) (netip.Addr, bool) {
	var sum uint64
	for i := range n - 1 {
		if v[i] > 255 {
			return netip.Addr{}, false
		}
		sum |= v[i] << (24 - 8*i)
	}
	if v[n-1] >= 1<<(8*(5-n)) {
		return netip.Addr{}, false
	}
	sum |= v[n-1]
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

// arpa reads a lower-case name under in-addr.arpa (RFC 1035 section 3.5) or ip6.arpa (RFC 3596 section 2.5) without a
// trailing dot. Labels that are no part of an address, such as those of RFC 2317 or a wildcard, are passed over: what
// remains is the network they stand in. The bare zone itself is no address, a wildcard right below it is everything.
func arpa(name string) (netip.Prefix, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		var b [4]byte
		n := 0
		for rest != "" && n < 4 {
			label := lastLabel(&rest)
			v, ok := octet(label)
			if !ok {
				if n == 0 && label != "*" {
					return netip.Prefix{}, false
				}
				break
			}
			b[n] = v
			n++
		}
		return netip.PrefixFrom(netip.AddrFrom4(b), 8*n), true
	}
	if rest, ok := strings.CutSuffix(name, ".ip6.arpa"); ok {
		var b [16]byte
		n := 0
		for rest != "" && n < 32 {
			label := lastLabel(&rest)
			if len(label) != 1 || !isHex(label[0]) {
				if n == 0 && label != "*" {
					return netip.Prefix{}, false
				}
				break
			}
			v := label[0] - '0'
			if label[0] > '9' {
				v = label[0] - 'a' + 10
			}
			b[n/2] |= v << (4 * (1 - n%2))
			n++
		}
		p := netip.PrefixFrom(netip.AddrFrom16(b), 4*n)
		q, _ := unmap(p, oddNone)
		return q, true
	}
	return netip.Prefix{}, false
}

// lastLabel cuts the last label off a name.
func lastLabel(name *string) string {
	i := strings.LastIndexByte(*name, '.')
	label := (*name)[i+1:]
	*name = (*name)[:max(i, 0)]
	return label
}

func octet(label string) (byte, bool) {
	if len(label) == 0 || len(label) > 3 || !digits(label) {
		return 0, false
	}
	v := 0
	for _, c := range []byte(label) {
		v = v*10 + int(c-'0')
	}
	return byte(v), v <= 255
}

func digits(t string) bool {
	for i := range len(t) {
		if t[i] < '0' || t[i] > '9' {
			return false
		}
	}
	return t != ""
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}
