package cert

import "encoding/pem"

// Scan reads the identities of one certificate after another without allocating once its memory is warm. The zero
// value is ready. It is not for concurrent use, and what it yields is valid until its next use.
//
// Bound: time is linear in the length of the input, memory too (no more than [MaxIdents] identities).
type Scan struct {
	// Idents are the identities in the order of the certificate. The same one may be there several times.
	Idents []Ident
	// Incomplete is set when names may have been lost: callers then search the bytes.
	Incomplete bool

	notes  notes
	buf    []byte // decoded strings and normal forms; grows by append, so that older slices stay whole
	parts  parts
	resync int // how often a broken entry may still be searched for swallowed ones
}

// MaxIdents bounds the identities read from one certificate; what lies beyond makes it Incomplete.
const MaxIdents = 1 << 16

// parts are the pieces of a certificate, each a complete TLV or nil. They alias the input.
type parts struct {
	cert                                       []byte // the whole certificate, when there was one around the TBS
	tbs                                        []byte
	version, serial                            []byte
	algorithm, issuer, validity, subject, spki []byte
	extensions                                 [maxExtensionFields][]byte // contents of the [3] fields
	nExtensions                                int
	outerAlgorithm, signature                  []byte
	sequences                                  [5][]byte
	nSequences                                 int
	bare                                       bool
}

const maxExtensionFields = 4

// Certificate reads a certificate. A bare TBSCertificate and PEM text of a certificate are understood as well.
func (s *Scan) Certificate(der []byte) {
	s.reset()
	s.certificate(der)
	s.identities()
}

// TBS reads a bare TBSCertificate, such as the leaf of a precertificate.
func (s *Scan) TBS(tbs []byte) {
	s.reset()
	s.parts.bare = true
	s.bareTBS(tbs)
	s.identities()
}

// keep is the scratch that a Scan holds on to between certificates; a hostile one may have made it grow.
const keep = 1 << 16

func (s *Scan) reset() {
	s.Idents = s.Idents[:0]
	if cap(s.Idents) > keep/16 {
		s.Idents = nil
	}
	s.buf = s.buf[:0]
	if cap(s.buf) > keep {
		s.buf = nil
	}
	s.Incomplete = false
	s.notes = notes{}
	s.parts = parts{}
	s.resync = 64
}

// certificate finds the parts of a certificate.
func (s *Scan) certificate(b []byte) {
	n, p := &s.notes, &s.parts
	if len(b) == 0 {
		n.lose(oddNotCertificate)
		return
	}
	if b[0] != tagSequence {
		if block := fromPEM(b); block != nil {
			n.note(oddPEM)
			b = block
		}
	}
	tag, full, body, rest := element(b, n)
	if tag != tagSequence || len(body) == 0 {
		n.lose(oddNotCertificate)
		if tag&constructed == 0 || len(body) == 0 {
			return
		}
	}
	if len(rest) > 0 {
		n.note(oddTrailing)
		if !blank(rest) {
			n.lost = true
		}
	}
	if body[0] != tagSequence {
		p.bare = true
		s.tbs(full, body)
		return
	}
	p.cert = full
	_, tbs, inner, body := element(body, n)
	s.tbs(tbs, inner)
	if len(body) == 0 {
		n.note(oddSignatureMissing)
		return
	}
	_, p.outerAlgorithm, _, body = element(body, n)
	if len(body) == 0 {
		n.note(oddSignatureMissing)
		return
	}
	_, p.signature, _, body = element(body, n)
	if len(body) > 0 {
		n.note(oddExtraField)
	}
}

func (s *Scan) bareTBS(b []byte) {
	n := &s.notes
	if len(b) == 0 {
		n.lose(oddNotCertificate)
		return
	}
	tag, full, body, rest := element(b, n)
	if tag != tagSequence || len(body) == 0 {
		n.lose(oddNotCertificate)
		if tag&constructed == 0 || len(body) == 0 {
			return
		}
	}
	if len(rest) > 0 {
		n.note(oddTrailing)
		if !blank(rest) {
			n.lost = true
		}
	}
	s.tbs(full, body)
}

// tbs finds the parts of a TBSCertificate (RFC 5280 section 4.1). It goes by tags and order, so that unknown, missing
// and repeated fields do not hide the others.
func (s *Scan) tbs(full, b []byte) {
	n, p := &s.notes, &s.parts
	p.tbs = full
	unique := 0
	for len(b) > 0 {
		tag, full, body, rest := element(b, n)
		b = rest
		switch {
		case tag == tagSequence:
			if p.nSequences == len(p.sequences) {
				n.note(oddFieldUnknown)
				break
			}
			p.sequences[p.nSequences] = full
			p.nSequences++
		case tag == tagInteger && p.serial == nil:
			p.serial = full
		case tag == context|constructed && p.version == nil && p.serial == nil:
			p.version = full
		case tag&^constructed == context|3:
			if p.nExtensions == maxExtensionFields {
				n.lose(oddExtensionsForm)
				break
			}
			if tag&constructed == 0 || p.nExtensions > 0 {
				n.note(oddExtensionsForm)
			}
			p.extensions[p.nExtensions] = body
			p.nExtensions++
		case tag == context|1 && unique < 1, tag == context|2 && unique < 2:
			unique = int(tag & 3) // issuerUniqueID, then subjectUniqueID
		default:
			n.note(oddFieldUnknown)
		}
	}
	s.order()
}

// order tells the SEQUENCEs of the TBSCertificate apart: by place, and by shape where the place disagrees.
func (s *Scan) order() {
	n, p := &s.notes, &s.parts
	q := &p.sequences
	if p.nSequences == 5 && namelike(q[1]) && namelike(q[3]) {
		p.algorithm, p.issuer, p.validity, p.subject, p.spki = q[0], q[1], q[2], q[3], q[4]
		return
	}
	n.lose(oddFieldShape)
	if p.nSequences < 5 {
		n.note(oddFieldMissing)
	}
	for _, f := range q[:p.nSequences] {
		var quiet notes
		_, body, _ := next(f, &quiet)
		first := byte(0)
		if len(body) > 0 {
			first = body[0]
		}
		switch first {
		case tagOID:
			if p.algorithm == nil {
				p.algorithm = f
			}
		case tagUTCTime, tagGenTime:
			p.validity = f
		case tagSequence:
			p.spki = f
		default:
			// Names before the validity are the issuer, after it the subject.
			if p.issuer == nil && p.validity == nil {
				p.issuer = f
			} else if p.subject == nil {
				p.subject = f
			}
		}
	}
}

// namelike reports whether a TLV may be a Name: empty, or beginning with a SET.
func namelike(f []byte) bool {
	var quiet notes
	_, body, _ := next(f, &quiet)
	return len(body) == 0 || body[0] == tagSet
}

// identities reads the subject and the subject alternative names out of the parts.
func (s *Scan) identities() {
	n, p := &s.notes, &s.parts
	if p.subject != nil {
		_, body, _ := next(p.subject, n)
		s.name(InCN, InSubject, body)
	}
	sans := 0
	for _, field := range p.extensions[:p.nExtensions] {
		list := extensionList{rest: field, n: n}
		for {
			list.passOrdinary()
			e, ok := list.next()
			if !ok {
				break
			}
			if !isSAN(e) {
				continue
			}
			sans++
			if sans > 1 {
				n.note(oddSANDuplicate)
			}
			_, value := s.extension(e)
			s.alternativeNames(value)
		}
	}
	s.Incomplete = n.lost
}

// fromPEM returns the bytes of the first PEM block in b, nil if there is none.
func fromPEM(b []byte) []byte {
	for i := 0; i < len(b) && i < 256; i++ {
		if b[i] == '-' {
			if block, _ := pem.Decode(b[i:]); block != nil && len(block.Bytes) > 0 {
				return block.Bytes
			}
			return nil
		}
		if b[i] >= 0x80 || b[i] < ' ' && b[i] != '\n' && b[i] != '\r' && b[i] != '\t' {
			return nil
		}
	}
	return nil
}

// blank reports whether b holds nothing in which a name could stand: padding and line ends.
func blank(b []byte) bool {
	for _, c := range b {
		if c != 0 && c != '\n' && c != '\r' && c != ' ' {
			return false
		}
	}
	return true
}
