package cert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// Parse is the full reading of a certificate, of a bare TBSCertificate, or of PEM text of either. It never returns nil
// and never panics; what could not be read is left zero and named in the oddities.
func Parse(b []byte) *Certificate {
	var s Scan
	s.Certificate(b)
	c := s.full()
	if c.Raw == nil {
		c.Raw = b
	}
	return c
}

// ParseTBS is the full reading of a bare TBSCertificate, such as the leaf of a precertificate.
func ParseTBS(tbs []byte) *Certificate {
	var s Scan
	s.TBS(tbs)
	c := s.full()
	if c.Raw == nil {
		c.Raw = tbs
	}
	return c
}

// full reads everything else out of the parts that a scan has found. It consumes the scan.
func (s *Scan) full() *Certificate {
	p, n := &s.parts, &s.notes
	c := &Certificate{
		Raw: p.cert, RawTBS: p.tbs, RawIssuer: p.issuer, RawSubject: p.subject, RawSPKI: p.spki, BareTBS: p.bare,
		SignatureAlgorithm: p.outerAlgorithm,
		Idents:             s.Idents, Incomplete: s.Incomplete,
		PathLen: -1,
	}
	if p.bare {
		c.Raw = p.tbs
	}
	s.version(c)
	s.serial(c)
	c.Issuer = s.distinguished(p.issuer)
	c.Subject = s.distinguished(p.subject)
	c.CommonNames = s.commonNames(p.subject)
	s.validity(c)
	s.key(c)
	s.extensions(c)
	s.signature(c)
	c.Oddities = n.list()
	return c
}

func (s *Scan) version(c *Certificate) {
	p, n := &s.parts, &s.notes
	switch {
	case p.tbs == nil:
		return
	case p.version == nil:
		c.Version = 1
	default:
		_, body, _ := next(p.version, n)
		if len(body) > 0 {
			tag, v, rest := next(body, n)
			if tag == tagInteger && len(v) == 1 && v[0] <= 2 && len(rest) == 0 {
				c.Version = int(v[0]) + 1
			}
		}
		if c.Version == 0 {
			n.note(oddVersion)
		}
	}
	if (c.Version == 1 || c.Version == 2) && p.nExtensions > 0 {
		n.note(oddVersionExtensions)
	}
}

func (s *Scan) serial(c *Certificate) {
	p, n := &s.parts, &s.notes
	if p.serial != nil {
		_, c.Serial, _ = next(p.serial, n)
	}
	v := c.Serial
	switch {
	case p.tbs == nil:
	case len(v) == 0:
		n.note(oddSerialEmpty)
	case v[0]&0x80 != 0:
		n.note(oddSerialNegative)
	case len(bytes.Trim(v, "\x00")) == 0:
		n.note(oddSerialZero)
	}
	if len(v) > 20 {
		n.note(oddSerialLong)
	}
	if len(v) > 1 && (v[0] == 0 && v[1] < 0x80 || v[0] == 0xff && v[1] >= 0x80) {
		n.note(oddSerialNonMinimal)
	}
}

func (s *Scan) signature(c *Certificate) {
	p, n := &s.parts, &s.notes
	if p.bare || p.tbs == nil {
		return
	}
	if p.signature == nil {
		n.note(oddSignatureMissing)
		return
	}
	tag, v, _ := next(p.signature, n)
	switch {
	case tag == tagBitString|constructed:
		n.note(oddSignatureForm)
		v = s.join(v)
	case tag != tagBitString:
		n.note(oddSignatureForm)
		c.Signature = v
		return
	}
	if len(v) < 2 {
		n.note(oddSignatureMissing)
		return
	}
	if v[0] != 0 {
		n.note(oddSignatureForm)
	}
	c.Signature = v[1:]
	if p.algorithm != nil && !bytes.Equal(p.algorithm, p.outerAlgorithm) {
		n.note(oddAlgorithmMismatch)
	}
}

// key reads the subjectPublicKeyInfo.
func (s *Scan) key(c *Certificate) {
	n := &s.notes
	if c.RawSPKI == nil {
		return
	}
	c.SPKI = sha256.Sum256(c.RawSPKI)
	k, err := readKey(c.RawSPKI)
	c.KeyAlgorithm = k.name()
	if err != nil {
		n.note(oddKeyUnreadable)
	}
	if k.unused != 0 {
		n.note(oddKeyUnusedBits)
	}
	if k.modulus != nil && k.modulus.BitLen() < 2048 {
		n.note(oddKeySmall)
	}
}

// extensions reads all extensions in order, and decodes the known ones.
func (s *Scan) extensions(c *Certificate) {
	p, n := &s.parts, &s.notes
	if p.version == nil && p.nExtensions == 0 {
		return
	}
	seen := map[string]bool{}
	for _, field := range p.extensions[:p.nExtensions] {
		list := extensionList{rest: field, n: n}
		for {
			e, ok := list.next()
			if !ok {
				break
			}
			id := "hex:"
			if len(e) > 0 {
				tag, oid, _ := next(e, n)
				if id = dotted(oid); tag != tagOID {
					id = "hex:" + hex.EncodeToString(oid) // no client knows it by its number
				}
			}
			critical, value := s.extension(e)
			if seen[id] {
				n.note(oddExtensionDuplicate)
			}
			seen[id] = true
			c.Extensions = append(c.Extensions, Extension{ID: id, Critical: critical, Value: value})
			s.known(c, id, critical, value)
		}
	}
	if c.Poison && len(c.SCTs) > 0 {
		n.note(oddPoisonAndSCTs)
	}
}

// The extensions that are decoded.
const (
	idSubjectKeyID     = "2.5.29.14"
	idSAN              = "2.5.29.17"
	idBasicConstraints = "2.5.29.19"
	idNameConstraints  = "2.5.29.30"
	idAuthorityKeyID   = "2.5.29.35"
	idExtKeyUsage      = "2.5.29.37"
	idSCTs             = "1.3.6.1.4.1.11129.2.4.2"
	idPoison           = "1.3.6.1.4.1.11129.2.4.3"
)

func (s *Scan) known(c *Certificate, id string, critical bool, v []byte) {
	n := &s.notes
	switch id {
	case idSAN:
		s.values(c, v)
	case idPoison:
		c.Poison = true
		if !critical || !bytes.Equal(v, []byte{tagNull, 0}) {
			n.note(oddPoisonForm)
		}
	case idSCTs:
		c.SCTs = append(c.SCTs, readSCTs(v, n)...)
	case idBasicConstraints:
		s.basicConstraints(c, v)
	case idExtKeyUsage:
		s.extKeyUsage(c, v)
	case idNameConstraints:
		s.nameConstraints(c, v)
	case idSubjectKeyID:
		if len(v) > 0 {
			if tag, id, _ := next(v, n); tag == tagOctetString {
				c.SubjectKeyID = id
				return
			}
		}
		n.note(oddKeyIDForm)
	case idAuthorityKeyID:
		if len(v) > 0 {
			if tag, body, _ := next(v, n); tag == tagSequence {
				for len(body) > 0 {
					var f []byte
					tag, f, body = next(body, n)
					if tag == context {
						c.AuthorityKeyID = f
					}
				}
				return
			}
		}
		n.note(oddKeyIDForm)
	}
}

// values keeps the plain values of a SAN extension byte for byte, for people and for comparison. The identities come
// from the scan alone.
func (s *Scan) values(c *Certificate, v []byte) {
	lists := nameLists{rest: v}
	for {
		body, ok := s.nextList(&lists)
		if !ok {
			return
		}
		for len(body) > 0 {
			var name []byte
			var tag byte
			tag, name, body = next(body, &s.notes)
			if tag&constructed != 0 && inPieces(name) {
				name = s.join(name)
			}
			switch tag &^ constructed {
			case context | 1:
				c.Emails = append(c.Emails, string(name))
			case context | 2:
				c.DNSNames = append(c.DNSNames, string(name))
			case context | 6:
				c.URIs = append(c.URIs, string(name))
			case context | 7:
				c.IPs = append(c.IPs, name)
			}
		}
	}
}

func (s *Scan) basicConstraints(c *Certificate, v []byte) {
	n := &s.notes
	if len(v) == 0 {
		n.note(oddBasicConstraintsForm)
		return
	}
	tag, body, rest := next(v, n)
	if tag != tagSequence {
		n.note(oddBasicConstraintsForm)
		return
	}
	c.BasicConstraints = true
	if len(rest) > 0 {
		n.note(oddBasicConstraintsForm)
	}
	for len(body) > 0 {
		var f []byte
		tag, f, body = next(body, n)
		switch {
		case tag == tagBoolean && len(f) > 0:
			c.CA = f[0] != 0
			if f[0] != 0xff {
				n.note(oddBasicConstraintsForm)
			}
		case tag == tagInteger && len(f) > 0 && len(f) <= 3 && f[0] < 0x80:
			c.PathLen = 0
			for _, b := range f {
				c.PathLen = c.PathLen<<8 | int(b)
			}
		default:
			n.note(oddBasicConstraintsForm)
		}
	}
}

func (s *Scan) extKeyUsage(c *Certificate, v []byte) {
	n := &s.notes
	if len(v) == 0 {
		n.note(oddEKUForm)
		return
	}
	tag, body, rest := next(v, n)
	if tag != tagSequence || len(rest) > 0 {
		n.note(oddEKUForm)
	}
	for len(body) > 0 {
		var oid []byte
		tag, oid, body = next(body, n)
		if tag != tagOID {
			n.note(oddEKUForm)
			continue
		}
		c.ExtKeyUsage = append(c.ExtKeyUsage, dotted(oid))
	}
}

// nameConstraints reads RFC 5280 section 4.2.1.10.
func (s *Scan) nameConstraints(c *Certificate, v []byte) {
	n := &s.notes
	if len(v) == 0 {
		n.note(oddNameConstraintsForm)
		return
	}
	tag, body, rest := next(v, n)
	if tag != tagSequence || len(rest) > 0 {
		n.note(oddNameConstraintsForm)
	}
	nc := c.NameConstraints
	if nc == nil {
		nc = new(NameConstraints)
		c.NameConstraints = nc
	}
	for len(body) > 0 {
		var trees []byte
		tag, trees, body = next(body, n)
		dns, ip := &nc.PermittedDNS, &nc.PermittedIP
		switch tag {
		case context | constructed:
		case context | constructed | 1:
			dns, ip = &nc.ExcludedDNS, &nc.ExcludedIP
		default:
			n.note(oddNameConstraintsForm)
			continue
		}
		for len(trees) > 0 {
			var tree, base []byte
			tag, tree, trees = next(trees, n)
			if tag != tagSequence || len(tree) == 0 {
				n.note(oddNameConstraintsForm)
				continue
			}
			switch tag, base, _ = next(tree, n); tag {
			case context | 2:
				*dns = append(*dns, string(base))
			case context | 7:
				*ip = append(*ip, base)
				if _, ok := maskBits(base[len(base)/2:]); (len(base) != 8 && len(base) != 32) || !ok && !zero(base[len(base)/2:]) {
					n.note(oddNameConstraintsForm)
				}
			default:
				nc.Other++
			}
		}
	}
}

func zero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }
