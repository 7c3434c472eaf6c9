package ca

// Extension is one extension to be written. Value is the content of the extnValue OCTET STRING. Raw, when set,
// replaces the whole Extension element.
type Extension struct {
	ID       string
	Critical bool
	Value    []byte
	Raw      []byte
}

func (e Extension) encode() []byte {
	if e.Raw != nil {
		return e.Raw
	}
	if e.Critical {
		return TLV(TagSequence, OID(e.ID), TLV(TagBoolean, []byte{0xff}), TLV(TagOctetString, e.Value))
	}
	return TLV(TagSequence, OID(e.ID), TLV(TagOctetString, e.Value))
}

// TBS is a TBSCertificate (RFC 5280 section 4.1.2) in parts. Each []byte is a complete element and stands in the
// result as it is; nil leaves the element out.
type TBS struct {
	Version   []byte // [0] EXPLICIT; nil means v1
	Serial    []byte
	Algorithm []byte
	Issuer    []byte
	Validity  []byte
	Subject   []byte
	SPKI      []byte
	// Fields stand between the key and the extensions: unique identifiers, or fields that no standard knows.
	Fields [][]byte
	// Extensions are wrapped in [3]; none means that the field is absent.
	Extensions []Extension
	// ExtensionsTag replaces the identifier octet 0xA3 of the extensions.
	ExtensionsTag byte
	// Tail stands after the extensions.
	Tail [][]byte
	// Indefinite writes the outer SEQUENCE in BER indefinite length.
	Indefinite bool
}

// Encode joins the parts.
func (t *TBS) Encode() []byte {
	parts := [][]byte{t.Version, t.Serial, t.Algorithm, t.Issuer, t.Validity, t.Subject, t.SPKI}
	parts = append(parts, t.Fields...)
	if len(t.Extensions) > 0 {
		exts := make([][]byte, 0, len(t.Extensions))
		for _, e := range t.Extensions {
			exts = append(exts, e.encode())
		}
		tag := t.ExtensionsTag
		if tag == 0 {
			tag = 0xa3
		}
		parts = append(parts, TLV(tag, TLV(TagSequence, exts...)))
	}
	parts = append(parts, t.Tail...)
	if t.Indefinite {
		return Indefinite(TagSequence, parts...)
	}
	return TLV(TagSequence, parts...)
}

// clone copies the struct and its lists, not the elements.
func (t *TBS) clone() *TBS {
	c := *t
	c.Fields = append([][]byte(nil), t.Fields...)
	c.Extensions = append([]Extension(nil), t.Extensions...)
	c.Tail = append([][]byte(nil), t.Tail...)
	return &c
}

// with gives a copy with one more extension at position at (or at the end when at is out of range).
func (t *TBS) with(at int, e Extension) *TBS {
	c := t.clone()
	if at < 0 || at > len(c.Extensions) {
		at = len(c.Extensions)
	}
	c.Extensions = append(c.Extensions[:at:at], append([]Extension{e}, c.Extensions[at:]...)...)
	return c
}
