package cert

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// readSCTs reads a SignedCertificateTimestampList (RFC 6962 section 3.3) as far as it goes.
func readSCTs(v []byte, n *notes) []SCT {
	list := v
	if len(v) > 1 && v[0] == tagOctetString {
		var rest []byte
		if _, list, rest = next(v, n); len(rest) > 0 {
			n.note(oddSCTForm)
		}
	} else {
		n.note(oddSCTForm)
	}
	all := cryptobyte.String(list)
	var entries cryptobyte.String
	if !all.ReadUint16LengthPrefixed(&entries) || !all.Empty() || entries.Empty() {
		n.note(oddSCTForm)
		if entries == nil && len(list) > 2 {
			entries = cryptobyte.String(list[2:]) // the length is wrong: take what is there
		}
	}
	var scts []SCT
	for !entries.Empty() {
		var raw cryptobyte.String
		if !entries.ReadUint16LengthPrefixed(&raw) {
			n.note(oddSCTForm)
			break
		}
		s, ok := readSCT(raw, n)
		if !ok {
			n.note(oddSCTForm)
		}
		scts = append(scts, s)
	}
	return scts
}

// readSCT reads one SerializedSCT. Fields after the first unreadable one stay zero.
func readSCT(raw cryptobyte.String, n *notes) (s SCT, ok bool) {
	s.Raw = raw
	var ms uint64
	var ext, sig cryptobyte.String
	if !raw.ReadUint8(&s.Version) {
		return s, false
	}
	if s.Version != 0 {
		n.note(oddSCTVersion)
		return s, true
	}
	if !raw.CopyBytes(s.LogID[:]) || !raw.ReadUint64(&ms) {
		return s, false
	}
	s.Timestamp = milliseconds(ms)
	if !raw.ReadUint16LengthPrefixed(&ext) {
		return s, false
	}
	s.Extensions = ext
	if !raw.ReadUint8(&s.HashAlg) || !raw.ReadUint8(&s.SigAlg) || !raw.ReadUint16LengthPrefixed(&sig) {
		return s, false
	}
	s.Signature = sig
	return s, raw.Empty()
}

// milliseconds is a time since 1970; what no int64 holds reads as the zero time.
func milliseconds(ms uint64) time.Time {
	if int64(ms) < 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}
