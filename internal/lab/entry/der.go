package entry

import (
	"bytes"
	"errors"
	"fmt"
)

var errDER = errors.New("not an ASN.1 element")

// element is one TLV read leniently: any definite length, also longer than needed, and the indefinite form.
type element struct {
	tag     byte
	content []byte
	whole   []byte
}

// next splits the first element off b.
func next(b []byte) (element, []byte, error) { return nextAt(b, 0) }

func nextAt(b []byte, depth int) (e element, rest []byte, err error) {
	if len(b) < 2 || b[0]&0x1f == 0x1f || depth > 64 {
		return e, nil, errDER
	}
	e.tag = b[0]
	n, at := int(b[1]), 2
	switch {
	case n == 0x80:
		if e.tag&0x20 == 0 {
			return e, nil, errDER
		}
		return indefinite(e, b, depth)
	case n > 0x80:
		k := n & 0x7f
		if k > 8 || len(b) < at+k {
			return e, nil, errDER
		}
		n = 0
		for _, c := range b[at : at+k] {
			if n >= 1<<40 {
				return e, nil, errDER
			}
			n = n<<8 | int(c)
		}
		at += k
	}
	if n > len(b)-at {
		return e, nil, errDER
	}
	e.content, e.whole = b[at:at+n], b[:at+n]
	return e, b[at+n:], nil
}

// indefinite reads up to the end-of-contents octets of the element that begins b.
func indefinite(e element, b []byte, depth int) (element, []byte, error) {
	rest := b[2:]
	for {
		if bytes.HasPrefix(rest, []byte{0, 0}) {
			n := len(b) - len(rest)
			e.content, e.whole = b[2:n], b[:n+2]
			return e, rest[2:], nil
		}
		var err error
		if _, rest, err = nextAt(rest, depth+1); err != nil {
			return e, nil, err
		}
	}
}

// children splits all elements of b.
func children(b []byte) ([]element, error) {
	var out []element
	for len(b) > 0 {
		e, rest, err := next(b)
		if err != nil {
			return out, err
		}
		out, b = append(out, e), rest
	}
	return out, nil
}

func encode(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := []byte{tag}
	if n < 0x80 {
		out = append(out, byte(n))
	} else {
		k := 1
		for n>>(8*k) > 0 {
			k++
		}
		out = append(out, 0x80|byte(k))
		for i := k - 1; i >= 0; i-- {
			out = append(out, byte(n>>(8*i)))
		}
	}
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// certificate is what a log needs to know of a certificate.
type certificate struct {
	tbs, algorithm, signature []byte
	fields                    []element // of the TBSCertificate
	issuer, subject, spki     int       // places in fields
	extensions                int       // place of the [3] field, or -1
}

func parse(der []byte) (*certificate, error) {
	outer, _, err := next(der)
	if err != nil || outer.tag != 0x30 {
		return nil, errDER
	}
	parts, err := children(outer.content)
	if len(parts) < 1 {
		return nil, errors.Join(errDER, err)
	}
	c := &certificate{tbs: parts[0].whole, extensions: -1}
	if len(parts) >= 3 {
		c.algorithm = parts[1].whole
		if s := parts[2]; s.tag == 3 && len(s.content) > 0 {
			c.signature = s.content[1:]
		}
	}
	if parts[0].tag != 0x30 {
		return nil, fmt.Errorf("TBSCertificate: %w", errDER)
	}
	if c.fields, err = children(parts[0].content); err != nil {
		return nil, fmt.Errorf("TBSCertificate: %w", err)
	}
	at := 0
	if len(c.fields) > 0 && c.fields[0].tag == 0xa0 {
		at = 1
	}
	if len(c.fields) < at+6 {
		return nil, errors.New("TBSCertificate: fields are missing")
	}
	c.issuer, c.subject, c.spki = at+2, at+4, at+5
	for i := at + 6; i < len(c.fields); i++ {
		if c.fields[i].tag == 0xa3 {
			c.extensions = i
			break
		}
	}
	return c, nil
}

// extension is one Extension element.
type extension struct {
	whole, oid []byte
	head       [][]byte // all elements before the value
	value      []byte   // content of the OCTET STRING
}

func (c *certificate) readExtensions() ([]extension, error) {
	if c.extensions < 0 {
		return nil, nil
	}
	seq, _, err := next(c.fields[c.extensions].content)
	if err != nil {
		return nil, fmt.Errorf("extensions: %w", err)
	}
	list, err := children(seq.content)
	if err != nil {
		return nil, fmt.Errorf("extensions: %w", err)
	}
	out := make([]extension, 0, len(list))
	for _, e := range list {
		x := extension{whole: e.whole}
		if parts, err := children(e.content); err == nil && len(parts) >= 2 {
			x.oid, x.value = parts[0].content, parts[len(parts)-1].content
			for _, p := range parts[:len(parts)-1] {
				x.head = append(x.head, p.whole)
			}
		}
		out = append(out, x)
	}
	return out, nil
}
