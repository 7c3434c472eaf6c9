package bench

// The tags of what a certificate is made of.
const (
	tagBool, tagInteger, tagBits, tagOctets, tagOID, tagUTF8, tagPrintable = 1, 2, 3, 4, 6, 12, 19
	tagUTCTime, tagSequence, tagSet                                        = 23, 0x30, 0x31
)

// builder writes DER into one buffer. Constructed elements are opened and closed; their length is put in afterwards.
type builder struct{ b []byte }

// in writes an element whose contents the function writes.
func (w *builder) in(tag byte, contents func()) {
	w.b = append(w.b, tag, 0)
	at := len(w.b)
	contents()
	n := len(w.b) - at
	if n < 0x80 {
		w.b[at-1] = byte(n)
		return
	}
	var length [4]byte
	k := 0
	for v := n; v > 0; v >>= 8 {
		k++
		length[4-k] = byte(v)
	}
	w.b[at-1] = 0x80 | byte(k)
	w.b = append(w.b, length[:k]...)
	copy(w.b[at+k:], w.b[at:at+n])
	copy(w.b[at:], length[4-k:])
}

// put writes an element with the given contents.
func (w *builder) put(tag byte, contents ...byte) {
	w.in(tag, func() { w.b = append(w.b, contents...) })
}

func (w *builder) text(tag byte, s string) { w.in(tag, func() { w.b = append(w.b, s...) }) }

func (w *builder) sequence(contents func()) { w.in(tagSequence, contents) }

// attribute writes one relative distinguished name; last is the last number of an OID under 2.5.4.
func (w *builder) attribute(last, tag byte, value string) {
	w.in(tagSet, func() {
		w.sequence(func() {
			w.put(tagOID, 0x55, 4, last)
			w.text(tag, value)
		})
	})
}

// extension writes an extension; last is the last number of an OID under 2.5.29.
func (w *builder) extension(last byte, critical bool, value func()) {
	w.extensionOID([]byte{0x55, 0x1d, last}, critical, value)
}

func (w *builder) extensionOID(oid []byte, critical bool, value func()) {
	w.sequence(func() {
		w.put(tagOID, oid...)
		if critical {
			w.put(tagBool, 0xff)
		}
		w.in(tagOctets, value)
	})
}
