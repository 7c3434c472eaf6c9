package watch

import (
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
)

// tlv is one element of DER, made by hand: crypto/x509 would refuse to write most of what stands here.
func tlv(tag byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	switch n := len(body); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, body...)
	default:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	}
}

func oid(arcs ...int) []byte {
	b, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		panic(err)
	}
	return b
}

// certificate makes one with a CN and the given GeneralNames in its SAN (no SAN when there are none).
func certificate(cn string, general ...[]byte) []byte {
	name := func(cn string) []byte {
		if cn == "" {
			return tlv(0x30)
		}
		return tlv(0x30, tlv(0x31, tlv(0x30, oid(2, 5, 4, 3), tlv(0x0c, []byte(cn)))))
	}
	algorithm := tlv(0x30, oid(1, 2, 840, 10045, 4, 3, 2))
	date := func(s string) []byte { return tlv(0x17, []byte(s)) }
	spki := tlv(0x30, tlv(0x30, oid(1, 2, 840, 10045, 2, 1), oid(1, 2, 840, 10045, 3, 1, 7)), tlv(0x03, []byte{0, 4}, make([]byte, 64)))
	tbs := [][]byte{
		tlv(0xa0, tlv(0x02, []byte{2})), tlv(0x02, []byte{1}), algorithm, name("Example CA"),
		tlv(0x30, date("260101000000Z"), date("260401000000Z")), name(cn), spki,
	}
	if len(general) > 0 {
		san := tlv(0x30, oid(2, 5, 29, 17), tlv(0x04, tlv(0x30, general...)))
		tbs = append(tbs, tlv(0xa3, tlv(0x30, san)))
	}
	return tlv(0x30, tlv(0x30, tbs...), algorithm, tlv(0x03, []byte{0, 1, 2, 3}))
}

func dns(s string) []byte      { return tlv(0x82, []byte(s)) }
func address(b ...byte) []byte { return tlv(0x87, b) }

func TestCases(t *testing.T) {
	type hit struct{ Item, Where, Value string }
	for _, row := range []struct {
		it    string
		items string
		der   []byte
		want  []hit
	}{
		{
			"D18: an iPAddress of 3 bytes does not hide the name beside it", "watched.example.org",
			certificate("", dns("watched.example.org"), address(192, 0, 2)),
			[]hit{{"watched.example.org", "san:dns", "watched.example.org"}},
		},
		{
			"D18: an iPAddress of 3 bytes does not hide the name behind it", "watched.example.org",
			certificate("", address(192, 0, 2), dns("watched.example.org")),
			[]hit{{"watched.example.org", "san:dns", "watched.example.org"}},
		},
		{
			"D18: an iPAddress of 8 bytes, address and mask, touches the watch on the address", "192.0.2.77",
			certificate("", address(192, 0, 2, 77, 255, 255, 255, 0)),
			[]hit{{"192.0.2.77", "san:ip", "\xc0\x00\x02\x4d\xff\xff\xff\x00"}},
		},
		{
			"D19: one normal form for A-label, U-label, Latin-1, case, final dot, final space", "bücher.example.org a.example.org",
			certificate("", dns("bücher.example.org"), dns("b\xfccher.example.org"), dns("xn--bcher-kva.example.org"), dns("A.Example.ORG"), dns("a.example.org."), dns("a.example.org ")),
			// Each normal form is told once, as it first stands.
			[]hit{{"bücher.example.org", "san:dns", "bücher.example.org"}, {"a.example.org", "san:dns", "A.Example.ORG"}},
		},
		{"D19: a name in Latin-1 alone", "bücher.example.org", certificate("", dns("b\xfccher.example.org")), []hit{{"bücher.example.org", "san:dns", "b\xfccher.example.org"}}},
		{"D19: an A-label alone", "bücher.example.org", certificate("", dns("XN--BCHER-KVA.example.org")), []hit{{"bücher.example.org", "san:dns", "XN--BCHER-KVA.example.org"}}},
		{"D19: a final dot alone", "a.example.org", certificate("", dns("a.example.org.")), []hit{{"a.example.org", "san:dns", "a.example.org."}}},
		{"D19: a final space alone", "a.example.org", certificate("", dns("a.example.org ")), []hit{{"a.example.org", "san:dns", "a.example.org "}}},
		{
			"D21: an address as text in a dNSName", "192.0.2.0/24",
			certificate("", dns("192.0.2.1")),
			[]hit{{"192.0.2.0/24", "san:dns", "192.0.2.1"}},
		},
		{
			"D21: an address in the subject only", "192.0.2.0/24",
			certificate("192.0.2.1"),
			[]hit{{"192.0.2.0/24", "subject:cn", "192.0.2.1"}},
		},
		{
			"D21: an address in all three places is told for each", "192.0.2.1",
			certificate("192.0.2.1", dns("192.0.2.1"), address(192, 0, 2, 1)),
			[]hit{{"192.0.2.1", "subject:cn", "192.0.2.1"}, {"192.0.2.1", "san:dns", "192.0.2.1"}, {"192.0.2.1", "san:ip", "\xc0\x00\x02\x01"}},
		},
		{
			"a reverse name is the address", "192.0.2.0/24 2001:db8::/32",
			certificate("", dns("1.2.0.192.in-addr.arpa"), dns("8.b.d.0.1.0.0.2.ip6.arpa")),
			[]hit{{"192.0.2.0/24", "san:dns", "1.2.0.192.in-addr.arpa"}, {"2001:db8::/32", "san:dns", "8.b.d.0.1.0.0.2.ip6.arpa"}},
		},
		{
			"a reverse name of a network around the item touches it", "192.0.2.77",
			certificate("", dns("2.0.192.in-addr.arpa")),
			[]hit{{"192.0.2.77", "san:dns", "2.0.192.in-addr.arpa"}},
		},
		{"a certificate for others", "192.0.2.0/24 example.org", certificate("www.example.net", dns("www.example.net"), address(198, 51, 100, 1)), nil},
	} {
		t.Run(row.it, func(t *testing.T) {
			m := New([]Watch{{Items: items(t, row.items)}})
			var s cert.Scan
			s.Certificate(row.der)
			var got []hit
			for _, match := range m.Match(s.Idents) {
				got = append(got, hit{m.Watches()[match.Watch].Items[match.Item].Text, match.Where.String(), match.Value})
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if m.Touches(s.Idents) != (len(row.want) > 0) {
				t.Error("Touches says otherwise")
			}
		})
	}
}

func TestABrokenCertificateTouchesByItsBytes(t *testing.T) {
	m := New([]Watch{{Items: items(t, "watched.example 192.0.2.0/24")}})
	whole := certificate("", dns("www.watched.example"), address(192, 0, 2, 77))
	var s cert.Scan
	for cut := range whole {
		broken := whole[cut:] // the head is lost: no part of it is where it should be
		s.Certificate(broken)
		names := strings.Contains(string(broken), "\x13www.watched.example")
		if touches := m.Touches(s.Idents) || s.Incomplete && m.TouchesRaw(broken); names && !touches {
			t.Fatalf("without its first %d bytes the certificate touches nothing", cut)
		}
	}
}
