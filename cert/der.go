package cert

// The tags that are looked at, with class and constructed bit.
const (
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagBitString   = 0x03
	tagOctetString = 0x04
	tagNull        = 0x05
	tagOID         = 0x06
	tagUTF8        = 0x0c
	tagUTCTime     = 0x17
	tagGenTime     = 0x18
	tagUniversal   = 0x1c
	tagBMP         = 0x1e
	tagSequence    = 0x30
	tagSet         = 0x31

	constructed = 0x20
	context     = 0x80
)

// next reads one TLV from the front of b, which must not be empty. It is lenient: any length form of BER is taken, and
// what runs past the end of b ends there. It always moves forward. A tag number above 30 reads as 31.
func next(b []byte, n *notes) (tag byte, body, rest []byte) {
	if len(b) >= 2 {
		if l := int(b[1]); l < 0x80 && l+2 <= len(b) && b[0]&0x1f != 0x1f {
			return b[0], b[2 : l+2], b[l+2:]
		} else if l == 0x82 && len(b) >= 4 && b[2] != 0 && b[0]&0x1f != 0x1f {
			l = int(b[2])<<8 | int(b[3])
			if l+4 <= len(b) {
				return b[0], b[4 : l+4], b[l+4:]
			}
		} else if l == 0x81 && len(b) >= 3 && b[2] >= 0x80 && b[0]&0x1f != 0x1f {
			l = int(b[2])
			if l+3 <= len(b) {
				return b[0], b[3 : l+3], b[l+3:]
			}
		}
	}
	return nextOdd(b, n)
}

// element is next with the complete TLV.
func element(b []byte, n *notes) (tag byte, full, body, rest []byte) {
	tag, body, rest = next(b, n)
	return tag, b[:len(b)-len(rest)], body, rest
}

func nextOdd(b []byte, n *notes) (tag byte, body, rest []byte) {
	tag = b[0]
	h := header(b)
	if h.highTag {
		n.note(oddTagHigh)
	}
	if h.nonMinimal {
		n.note(oddLengthNonMinimal)
	}
	switch {
	case h.indefinite && tag&constructed != 0:
		n.note(oddLengthIndefinite)
		end, after := endOfContents(b[h.size:])
		if after < 0 {
			n.lose(oddLengthTruncated)
			return tag, b[h.size:], nil
		}
		return tag, b[h.size : h.size+end], b[h.size+after:]
	case h.indefinite, h.length > len(b)-h.size:
		n.lose(oddLengthTruncated)
		return tag, b[h.size:], nil
	}
	return tag, b[h.size : h.size+h.length], b[h.size+h.length:]
}

// head is what stands before the content of a TLV.
type head struct {
	size       int // bytes of tag and length, at least 1
	length     int // of the content; past any end when truncated
	indefinite bool
	nonMinimal bool
	highTag    bool
}

const tooLong = 1 << 40

// header reads tag and length of any BER form. b must not be empty.
func header(b []byte) (h head) {
	i := 1
	if b[0]&0x1f == 0x1f {
		h.highTag = true
		for i < len(b) && b[i]&0x80 != 0 {
			i++
		}
		i++
	}
	if i >= len(b) {
		return head{size: len(b), length: 1, highTag: h.highTag}
	}
	l := b[i]
	i++
	switch {
	case l < 0x80:
		h.length = int(l)
	case l == 0x80:
		h.indefinite = true
	default:
		k := int(l & 0x7f)
		if k > len(b)-i {
			return head{size: len(b), length: 1, highTag: h.highTag}
		}
		for j, c := range b[i : i+k] {
			if j == 0 && c == 0 {
				h.nonMinimal = true
			}
			if h.length < tooLong {
				h.length = h.length<<8 | int(c)
			}
		}
		if h.length < 0x80 {
			h.nonMinimal = true
		}
		i += k
	}
	h.size = i
	return h
}

// endOfContents finds where the content of an indefinite length ends and what follows its end mark; after is -1 when
// there is no end. It keeps a depth instead of recursing, so that hostile nesting costs only its bytes.
func endOfContents(b []byte) (end, after int) {
	depth := 1
	for i := 0; i < len(b); {
		if b[i] == 0 && i+1 < len(b) && b[i+1] == 0 {
			depth--
			if depth == 0 {
				return i, i + 2
			}
			i += 2
			continue
		}
		h := header(b[i:])
		switch {
		case h.indefinite && b[i]&constructed != 0:
			depth++
			i += h.size
		case h.indefinite || h.length > len(b)-i-h.size:
			return len(b), -1
		default:
			i += h.size + h.length
		}
	}
	return len(b), -1
}

// flatten appends to dst the pieces of a constructed string (X.690 section 8.7.3), at any nesting.
func flatten(dst, b []byte) []byte {
	for len(b) > 0 {
		if b[0] == 0 && len(b) > 1 && b[1] == 0 {
			b = b[2:]
			continue
		}
		h := header(b)
		if b[0]&constructed != 0 {
			b = b[h.size:]
			continue
		}
		end := len(b)
		if !h.indefinite && h.length <= len(b)-h.size {
			end = h.size + h.length
		}
		dst = append(dst, b[h.size:end]...)
		b = b[end:]
	}
	return dst
}

// inPieces reports whether b is nothing but TLVs of universal string types, as in a constructed string.
func inPieces(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		switch b[0] &^ constructed {
		case tagOctetString, tagUTF8, 0x12, 0x13, 0x14, 0x16, 0x1a, 0x1b, tagBMP, tagUniversal:
		case 0:
			return len(b) == 2 && b[1] == 0
		default:
			return false
		}
		h := header(b)
		if h.indefinite {
			return b[0]&constructed != 0
		}
		if h.length > len(b)-h.size {
			return false
		}
		b = b[h.size+h.length:]
	}
	return true
}

// tagged is a DER TLV with the given content.
func tagged(tag byte, parts ...[]byte) []byte {
	l := 0
	for _, p := range parts {
		l += len(p)
	}
	out := make([]byte, 0, l+6)
	out = append(out, tag)
	switch {
	case l < 0x80:
		out = append(out, byte(l))
	case l < 0x100:
		out = append(out, 0x81, byte(l))
	case l < 0x10000:
		out = append(out, 0x82, byte(l>>8), byte(l))
	case l < 0x1000000:
		out = append(out, 0x83, byte(l>>16), byte(l>>8), byte(l))
	default:
		out = append(out, 0x84, byte(l>>24), byte(l>>16), byte(l>>8), byte(l))
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
