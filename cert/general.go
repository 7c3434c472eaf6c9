package cert

import (
	"encoding/binary"
	"net/netip"
)

// nameLists walks the value of a subject alternative name extension (RFC 5280 section 4.2.1.6), which is one SEQUENCE
// of names and, where things went wrong, several, or a SET, or wrapped once more, or the bare names.
type nameLists struct {
	rest           []byte
	lists, unwraps int
}

// nextList yields the content of the next list.
func (s *Scan) nextList(l *nameLists) (list []byte, ok bool) {
	n := &s.notes
	for len(l.rest) > 0 {
		if l.lists > 0 && blank(l.rest) {
			n.note(oddSANForm)
			break
		}
		tag, body, rest := next(l.rest, n)
		switch {
		case tag == tagSequence || tag == tagSet:
			if tag == tagSet {
				n.note(oddSANSet)
			}
			if l.lists++; l.lists > 1 {
				n.note(oddSANSecondSequence)
			}
			if len(body) == 0 {
				n.note(oddSANEmpty)
			}
			l.rest = rest
			return body, true
		case tag&^constructed == tagOctetString && l.unwraps < 4:
			n.note(oddSANWrapped)
			l.unwraps++
			if tag&constructed != 0 {
				body = s.join(body)
			}
			if len(rest) > 0 {
				n.lose(oddSANForm)
			}
			l.rest = body
		case tag >= context && tag < 0xc0:
			n.lose(oddSANForm)
			list, l.rest = l.rest, nil
			return list, true
		default:
			n.lose(oddSANForm)
			l.rest = rest
		}
	}
	return nil, false
}

// alternativeNames reads the value of a subject alternative name extension.
func (s *Scan) alternativeNames(v []byte) {
	if len(v) == 0 {
		s.notes.note(oddSANEmpty)
	}
	lists := nameLists{rest: v}
	for {
		list, ok := s.nextList(&lists)
		if !ok {
			return
		}
		s.generalNames(list)
	}
}

// generalNames reads a list of GeneralName.
func (s *Scan) generalNames(v []byte) {
	n := &s.notes
	for len(v) > 0 {
		before := n.lost
		n.lost = false
		tag, body, rest := next(v, n)
		cut := n.lost
		n.lost = n.lost || before
		v = rest
		if tag == context|2 && !cut {
			s.host(InDNS, body, body)
			continue
		}
		s.generalName(tag, body)
		if cut {
			s.swallowed(body)
		}
	}
}

func (s *Scan) generalName(tag byte, v []byte) {
	n := &s.notes
	if tag < context || tag >= 0xc0 {
		n.note(oddSANUniversalTag)
		if tag&constructed != 0 {
			n.lost = true
		}
		return
	}
	switch tag &^ constructed {
	case context | 1, context | 2, context | 6, context | 7:
		raw := v
		if tag&constructed != 0 {
			n.note(oddSANConstructedTag)
			if inPieces(v) {
				v = s.join(v)
			}
		}
		switch tag & 0x1f {
		case 1:
			s.email(InEmail, raw, v)
		case 2:
			s.host(InDNS, raw, v)
		case 6:
			s.uri(raw, v)
		case 7:
			s.ip(raw, v)
			if len(v) != len(raw) && (len(raw) == 4 || len(raw) == 16) {
				s.ip(raw, raw)
			}
		}
	case context: // [0]
		s.otherName(v)
	case context | 4:
		if len(v) > 0 && v[0] == tagSequence {
			_, v, _ = next(v, n)
		}
		s.name(InDirName, InDirName, v)
	case context | 3, context | 5, context | 8:
	default:
		n.note(oddSANUnknownTag)
	}
}

// otherName reads the strings of an otherName: UTF8String of a UPN, SRVName, SmtpUTF8Mailbox and whatever else has
// one in that place.
func (s *Scan) otherName(v []byte) {
	n := &s.notes
	if len(v) == 0 {
		return
	}
	tag, _, rest := next(v, n)
	if tag != tagOID {
		rest = v
	}
	for len(rest) > 0 {
		var body []byte
		tag, body, rest = next(rest, n)
		if tag == context|constructed && len(body) > 0 {
			tag, body, _ = next(body, n)
		}
		if isString(tag) {
			s.host(InOtherName, body, s.decode(tag, body))
		}
	}
}

// ip reads an iPAddress of any length.
func (s *Scan) ip(raw, v []byte) {
	n := &s.notes
	switch len(v) {
	case 4:
		s.address(InIP, raw, netip.AddrFrom4([4]byte(v)), oddNone)
		return
	case 16:
		s.address(InIP, raw, netip.AddrFrom16([16]byte(v)), oddNone)
		return
	}
	n.note(oddIPLength)
	if len(v) < 4 {
		return
	}
	if printable(v) {
		before := len(s.Idents)
		s.slow(InIP, raw, v, oddIPAsText)
		if len(s.Idents) > before {
			return
		}
	}
	s.swallowed(v)
	switch {
	case len(v) == 8:
		if bits, ok := maskBits(v[4:]); ok {
			s.network(InIP, raw, netip.PrefixFrom(netip.AddrFrom4([4]byte(v)), bits).Masked(), oddIPMask)
			return
		}
	case len(v) == 32:
		if bits, ok := maskBits(v[16:]); ok {
			s.network(InIP, raw, netip.PrefixFrom(netip.AddrFrom16([16]byte(v)), bits).Masked(), oddIPMask)
			return
		}
	}
	if len(v) != 32 {
		s.address(InIP, raw, netip.AddrFrom4([4]byte(v)), oddIPLength)
	}
	if len(v) >= 16 {
		s.address(InIP, raw, netip.AddrFrom16([16]byte(v)), oddIPLength)
	}
}

// maskBits is the length of a contiguous mask; an empty mask does not count, for it would claim the whole Internet.
func maskBits(m []byte) (bits int, ok bool) {
	end := false
	for _, c := range m {
		for i := 7; i >= 0; i-- {
			one := c>>i&1 == 1
			if one && end {
				return 0, false
			}
			if one {
				bits++
			} else {
				end = true
			}
		}
	}
	return bits, bits > 0
}

// swallowed looks for entries inside the content of a broken one, whose length may have been written too large. The
// first offset from which the rest reads as entries to the very end counts.
func (s *Scan) swallowed(v []byte) {
	for i := 0; i+2 < len(v); i++ {
		switch v[i] {
		case context | 1, context | 2, context | 6, context | 7:
		default:
			continue
		}
		if s.resync == 0 {
			s.notes.lost = true // others may be in there
			return
		}
		s.resync--
		if !entries(v[i:]) {
			continue
		}
		s.notes.lose(oddSANSwallowed)
		s.resync = 0 // once is enough: the raw search follows anyhow
		for r := v[i:]; len(r) > 0; {
			var tag byte
			var body []byte
			tag, body, r = next(r, &s.notes)
			before := len(s.Idents)
			s.generalName(tag, body)
			for j := before; j < len(s.Idents); j++ {
				s.Idents[j].Odd = oddSANSwallowed.code()
			}
		}
		return
	}
}

// entries reports whether b is nothing but non-empty primitive GeneralNames, each of fitting length.
func entries(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 3 || b[1] == 0 || b[1] >= 0x80 || int(b[1])+2 > len(b) {
			return false
		}
		switch b[0] {
		case context | 1, context | 2, context | 6:
		case context | 7:
			if b[1] != 4 && b[1] != 16 {
				return false
			}
		default:
			return false
		}
		b = b[int(b[1])+2:]
	}
	return true
}

func printable(v []byte) bool {
	for _, c := range v {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

// room reports whether one more identity may be added.
func (s *Scan) room() bool {
	if len(s.Idents) < MaxIdents {
		return true
	}
	s.notes.lose(oddTooManyNames)
	return false
}

// address adds an address, and the IPv4 address that stands inside some IPv6 ones.
func (s *Scan) address(w Where, raw []byte, a netip.Addr, why odd) {
	if a.Is4In6() {
		a, why = a.Unmap(), why.or(oddIPMapped)
	}
	s.network(w, raw, netip.PrefixFrom(a, a.BitLen()), why)
	if a.Is6() {
		if v4, inside := embedded(a); inside != oddNone {
			s.network(w, raw, netip.PrefixFrom(v4, 32), inside)
		}
	}
}

// network adds an address or network as it is.
func (s *Scan) network(w Where, raw []byte, p netip.Prefix, why odd) {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p, why = netip.PrefixFrom(a.Unmap(), p.Bits()-96), why.or(oddIPMapped)
	}
	if why != oddNone {
		s.notes.note(why)
	}
	if s.room() {
		s.Idents = append(s.Idents, Ident{Where: w, Raw: cut(raw), Prefix: p, Odd: why.code()})
	}
}

// embedded is the IPv4 address inside a 6to4 (RFC 3056), NAT64 (RFC 6052, well-known prefix) or IPv4-compatible
// (RFC 4291 section 2.5.5.1) address.
func embedded(a netip.Addr) (netip.Addr, odd) {
	b := a.As16()
	hi, mid := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint32(b[8:12])
	switch {
	case hi>>48 == 0x2002:
		return netip.AddrFrom4([4]byte(b[2:6])), oddIP6to4
	case hi == 0x0064ff9b<<32 && mid == 0:
		return netip.AddrFrom4([4]byte(b[12:])), oddIPNAT64
	case hi == 0 && mid == 0 && b[12] != 0:
		return netip.AddrFrom4([4]byte(b[12:])), oddIPCompatible
	}
	return netip.Addr{}, oddNone
}
