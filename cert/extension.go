package cert

import "bytes"

// extensionList walks the extensions in the content of a [3] field.
type extensionList struct {
	rest  []byte // of the field
	inner []byte // of the SEQUENCE that is being walked
	n     *notes
	begun bool
}

// next yields the content of the next Extension.
func (l *extensionList) next() (e []byte, ok bool) {
	for {
		for len(l.inner) > 0 {
			var tag byte
			tag, e, l.inner = next(l.inner, l.n)
			if tag == tagSequence {
				return e, true
			}
			l.n.lose(oddExtensionsForm)
		}
		if len(l.rest) == 0 {
			if !l.begun {
				l.n.note(oddExtensionsEmpty)
			}
			return nil, false
		}
		if l.begun {
			l.n.note(oddExtensionsForm)
		}
		l.begun = true
		tag, body, rest := next(l.rest, l.n)
		switch {
		case tag == tagSequence && len(body) > 0 && body[0] == tagOID:
			// Implicit tagging: the field holds the extensions themselves.
			l.n.note(oddExtensionsForm)
			l.inner, l.rest = l.rest, nil
		case tag == tagSequence || tag == tagSet:
			if len(body) == 0 {
				l.n.note(oddExtensionsEmpty)
			}
			if tag == tagSet {
				l.n.note(oddExtensionsForm)
			}
			l.inner, l.rest = body, rest
		default:
			l.n.lose(oddExtensionsForm)
			l.rest = rest
		}
	}
}

// passOrdinary passes over short extensions that are plainly no subject alternative names: what next and isSAN would say
// of them, faster.
func (l *extensionList) passOrdinary() {
	for b := l.inner; len(b) >= 7 && b[0] == tagSequence && b[1] >= 5 && b[1] < 0x80 && int(b[1])+2 <= len(b) && b[2] == tagOID; b = l.inner {
		if b[3] == 3 {
			if b[4] == 0x55 && b[5] == 0x1d && b[6] == 0x11 {
				return
			}
		} else if b[3] >= 0x80 || b[4] == 0x55 || b[4] == 0x80 {
			return
		}
		l.inner = b[int(b[1])+2:]
	}
}

var (
	oidSAN    = []byte{0x55, 0x1d, 0x11}
	oidPoison = []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x03}
	oidSCTs   = []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02}
	// oidPrecertSigning is the EKU of a precertificate signing certificate (RFC 6962 section 3.1).
	oidPrecertSigning = []byte{0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x04}
)

// isSAN looks at the OID of an Extension without reading the rest of it.
func isSAN(e []byte) bool {
	if len(e) < 5 {
		return false
	}
	if e[0] == tagOID && e[1] < 0x80 {
		if e[1] == 3 {
			return e[2] == 0x55 && e[3] == 0x1d && e[4] == 0x11
		}
		if e[2] != 0x55 && e[2] != 0x80 {
			return false
		}
	}
	var quiet notes
	tag, oid, _ := next(e, &quiet)
	return tag == tagOID && sameOID(oid, oidSAN)
}

// sameOID compares the content of an OID with one in DER; padding of its arcs (BER) is passed over.
func sameOID(oid, want []byte) bool {
	if bytes.Equal(oid, want) {
		return true
	}
	if len(oid) <= len(want) || len(oid) > 64 {
		return false
	}
	i, first := 0, true
	for _, c := range oid {
		if first && c == 0x80 {
			continue
		}
		first = c < 0x80
		if i == len(want) || c != want[i] {
			return false
		}
		i++
	}
	return i == len(want)
}

// extension takes an Extension apart (RFC 5280 section 4.1) and returns the content of its value. A value in pieces is
// joined in the scratch.
func (s *Scan) extension(e []byte) (critical bool, value []byte) {
	n := &s.notes
	if len(e) == 0 {
		n.note(oddExtensionForm)
		return false, nil
	}
	tag, _, e := next(e, n)
	if tag != tagOID {
		n.note(oddExtensionForm)
	}
	found := false
	for len(e) > 0 {
		tag, full, body, rest := element(e, n)
		e = rest
		switch {
		case tag == tagBoolean && !found:
			critical = len(body) > 0 && body[0] != 0
			if len(body) != 1 || body[0] != 0xff {
				n.note(oddCriticalForm)
			}
		case found:
			n.lose(oddExtensionForm)
		case tag == tagOctetString:
			value, found = body, true
		case tag == tagOctetString|constructed:
			n.note(oddOctetsConstructed)
			value, found = s.join(body), true
		default:
			n.note(oddExtensionForm)
			value, found = full, true
		}
	}
	if !found {
		n.note(oddExtensionForm)
	}
	return critical, value
}

// join puts the pieces of a constructed string together in the scratch.
func (s *Scan) join(pieces []byte) []byte {
	start := len(s.buf)
	s.buf = flatten(s.buf, pieces)
	return s.buf[start:len(s.buf):len(s.buf)]
}
