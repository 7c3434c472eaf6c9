package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recipe is a certificate in parts; nil parts are ordinary ones.
type recipe struct {
	version, serial, issuer, validity, subject, spki []byte
	before                                           []byte // stands before the extensions
	extensions                                       []byte // the whole [3] field
}

func seq(parts ...[]byte) []byte { return tagged(tagSequence, parts...) }

func cn(tag byte, v string) []byte {
	return tagged(tagSet, seq(tagged(tagOID, []byte{0x55, 4, 3}), tagged(tag, []byte(v))))
}

func attribute(oid []byte, v string) []byte {
	return tagged(tagSet, seq(tagged(tagOID, oid), tagged(tagUTF8, []byte(v))))
}

func extension(oid []byte, value []byte) []byte {
	return seq(tagged(tagOID, oid), tagged(tagOctetString, value))
}

func field(extensions ...[]byte) []byte { return tagged(0xa3, seq(extensions...)) }

func san(names ...[]byte) []byte { return extension(oidSAN, seq(names...)) }

func dnsName(v string) []byte { return tagged(0x82, []byte(v)) }

var ordinaryAlgorithm = seq(tagged(tagOID, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}))

func (r recipe) tbs() []byte {
	or := func(b, otherwise []byte) []byte {
		if b == nil {
			return otherwise
		}
		return b
	}
	utc := func(v string) []byte { return tagged(tagUTCTime, []byte(v)) }
	return seq(
		or(r.version, tagged(0xa0, tagged(tagInteger, []byte{2}))),
		or(r.serial, tagged(tagInteger, []byte{0x47, 0x11})),
		ordinaryAlgorithm,
		or(r.issuer, seq(cn(tagUTF8, "Example CA"))),
		or(r.validity, seq(utc("260101000000Z"), utc("260401000000Z"))),
		or(r.subject, seq(cn(tagUTF8, "Example Leaf"))),
		or(r.spki, seq(seq(tagged(tagOID, []byte{0x2b, 0x65, 0x70})), tagged(tagBitString, make([]byte, 33)))),
		r.before, r.extensions,
	)
}

func (r recipe) certificate() []byte {
	return seq(r.tbs(), ordinaryAlgorithm, tagged(tagBitString, []byte{0, 1, 2, 3}))
}

// read is what both speeds read of a certificate: identities as text, and the codes of the oddities.
func read(t *testing.T, der []byte) (ids, codes []string, c *Certificate) {
	t.Helper()
	c = Parse(der)
	var s Scan
	s.Certificate(der)
	if !sameIdents(s.Idents, c.Idents) || s.Incomplete != c.Incomplete {
		t.Error("Scan and Parse differ")
	}
	for _, id := range c.Idents {
		ids = append(ids, id.text())
	}
	for _, o := range c.Oddities {
		codes = append(codes, o.Code)
	}
	return ids, codes, c
}

func TestEveryPlaceOfACertificateIsRead(t *testing.T) {
	email := []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01}
	r := recipe{
		subject: seq(cn(tagUTF8, "cn.example.com"), cn(0x13, "192.0.2.1"), attribute([]byte{0x55, 4, 10}, "org.example.com"),
			attribute([]byte{0x55, 4, 11}, "router 192.0.2.2"), attribute(email, "root@mail.example.com"), attribute(email, "root@[192.0.2.9]")),
		extensions: field(san(
			dnsName("dns.example.com"), tagged(0x87, []byte{192, 0, 2, 3}), tagged(0x81, []byte("a@email.example.com")),
			tagged(0x86, []byte("https://u@uri.example.com:443/p?q@r")), tagged(0x86, []byte("https://[2001:db8::4]/")), tagged(0x86, []byte("urn:x:192.0.2.66")),
			tagged(0x86, []byte("sip:bob@sip.example.com;transport=tcp")),
			tagged(0xa4, seq(cn(tagUTF8, "dir.example.com"))),
			tagged(0xa0, tagged(tagOID, []byte{42, 3}), tagged(0xa0, tagged(tagUTF8, []byte("upn@other.example.com")))),
		), extension([]byte{0x55, 0x1d, 0x12}, seq(dnsName("issuer-alternative.example.com")))),
	}
	ids, codes, c := read(t, r.certificate())
	want := []string{
		"subject:cn cn.example.com []", "subject:cn 192.0.2.1/32 []", "subject 192.0.2.2/32 [ip-in-subject]", "subject mail.example.com []", "subject 192.0.2.9/32 [ip-in-subject]",
		"san:dns dns.example.com []", "san:ip 192.0.2.3/32 []", "san:email email.example.com []", "san:uri uri.example.com []", "san:uri 2001:db8::4/128 []",
		"san:uri sip.example.com []", "san:dirname dir.example.com []", "san:other other.example.com [user-part]",
	}
	if d := cmp.Diff(want, ids); d != "" {
		t.Error(d)
	}
	if c.Incomplete {
		t.Errorf("incomplete: %v", codes)
	}
	if c.Subject != `CN=cn.example.com, CN=192.0.2.1, O=org.example.com, OU=router 192.0.2.2, emailAddress=root@mail.example.com, emailAddress=root@[192.0.2.9]` {
		t.Error(c.Subject)
	}
	if d := cmp.Diff([]string{"cn.example.com", "192.0.2.1"}, c.CommonNames); d != "" {
		t.Error(d)
	}
	if c.Version != 3 || c.Issuer != "CN=Example CA" || c.KeyAlgorithm != "Ed25519" || !bytes.Equal(c.Serial, []byte{0x47, 0x11}) || c.NotAfter.Format("2006-01-02") != "2026-04-01" {
		t.Errorf("%+v", c)
	}
}

func TestNamesAreFoundWhereStrictParsersLoseOrRefuseThem(t *testing.T) {
	ip := tagged(0x87, []byte{192, 0, 2, 77})
	plain := san(ip)
	const want = "san:ip 192.0.2.77/32 []"
	utf8 := func(v string) []byte { return tagged(tagUTF8, []byte(v)) }
	indefinite := func(tag byte, body ...[]byte) []byte {
		return slices.Concat([]byte{tag, 0x80}, slices.Concat(body...), []byte{0, 0})
	}
	with := func(extensions ...[]byte) []byte { return recipe{extensions: field(extensions...)}.certificate() }
	for _, test := range []struct {
		name string
		der  []byte
		want string
		code string
		lost bool
	}{
		{"D17: negative serial", recipe{serial: []byte{2, 1, 0x80}, extensions: field(plain)}.certificate(), want, "serial-negative", false},
		{"D18: an iPAddress of three bytes before it", with(san(tagged(0x87, []byte{1, 2, 3}), ip)), want, "ip-length", false},
		{"D18: an iPAddress of eight bytes: address and mask", with(san(tagged(0x87, []byte{192, 0, 2, 0, 255, 255, 255, 0}))), "san:ip 192.0.2.0/24 [ip-mask]", "ip-mask", false},
		{"D18: eight bytes without a mask", with(san(tagged(0x87, []byte{192, 0, 2, 77, 9, 0, 9, 0}))), "san:ip 192.0.2.77/32 [ip-length]", "ip-length", false},
		{"version 1 with extensions", recipe{version: []byte{}, extensions: field(plain)}.certificate(), want, "version-extensions", false},
		{"version 2 with extensions", recipe{version: []byte{0xa0, 3, 2, 1, 1}, extensions: field(plain)}.certificate(), want, "version-extensions", false},
		{"a version that is no number", recipe{version: []byte{0xa0, 1, 4}, extensions: field(plain)}.certificate(), want, "version", false},
		{"an unknown field before the extensions", recipe{before: []byte{0xa5, 2, 5, 0}, extensions: field(plain)}.certificate(), want, "field-unknown", false},
		{"a constructed unique identifier before the extensions", recipe{before: []byte{0xa2, 2, 5, 0}, extensions: field(plain)}.certificate(), want, "field-unknown", false},
		{"two extensions fields", recipe{before: field(san(dnsName("a.example.com"))), extensions: field(plain)}.certificate(), want, "extensions-form", false},
		{"a primitive extensions field", recipe{extensions: tagged(0x83, seq(plain))}.certificate(), want, "extensions-form", false},
		{"an implicitly tagged extensions field", recipe{extensions: tagged(0xa3, plain)}.certificate(), want, "extensions-form", false},
		{"the constructed tag of an iPAddress", with(san(tagged(0xa7, []byte{192, 0, 2, 77}))), want, "san-constructed-tag", false},
		{"an iPAddress in pieces", with(san(tagged(0xa7, []byte{4, 2, 192, 0}, []byte{4, 2, 2, 77}))), want, "san-constructed-tag", false},
		{"an explicitly tagged iPAddress", with(san(tagged(0xa7, []byte{4, 4, 192, 0, 2, 77}))), want, "san-constructed-tag", false},
		{"a dNSName in pieces of indefinite length", with(san(indefinite(0xa2, []byte{0x16, 1, 'a'}, indefinite(0x36, []byte{0x16, 8, '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e'})))), "san:dns a.example []", "san-constructed-tag", false},
		{"a second SAN extension", with(san(dnsName("a.example.com")), plain), want, "san-duplicate", false},
		{"a second SEQUENCE in the extension", with(extension(oidSAN, slices.Concat(seq(dnsName("a.example.com")), seq(ip)))), want, "san-second-sequence", false},
		{"a SET", with(extension(oidSAN, tagged(tagSet, ip))), want, "san-set", false},
		{"no SEQUENCE at all", with(extension(oidSAN, ip)), want, "san-form", true},
		{"one more OCTET STRING", with(extension(oidSAN, tagged(tagOctetString, seq(ip)))), want, "san-wrapped", false},
		{"a value in pieces", with(seq(tagged(tagOID, oidSAN), indefinite(0x24, []byte{4, 2, 0x30, 6}, tagged(tagOctetString, ip)))), want, "octets-constructed", false},
		{"a value without OCTET STRING", with(seq(tagged(tagOID, oidSAN), seq(ip))), want, "extension-form", false},
		{"padding in the OID", with(seq(tagged(tagOID, []byte{0x55, 0x80, 0x1d, 0x11}), tagged(tagOctetString, seq(ip)))), want, "", false},
		{"a length of four bytes", with(extension(oidSAN, slices.Concat([]byte{0x30, 0x84, 0, 0, 0, 6}, ip))), want, "length-nonminimal", false},
		{"indefinite lengths all the way", indefinite(0x30, indefinite(0x30, []byte{0xa0, 3, 2, 1, 2}, []byte{2, 1, 1}, ordinaryAlgorithm, seq(cn(tagUTF8, "CA")), seq(tagged(tagUTCTime, []byte("260101000000Z")), tagged(tagUTCTime, []byte("260101000000Z"))), []byte{0x30, 0},
			seq(seq(tagged(tagOID, []byte{0x2b, 0x65, 0x70})), tagged(tagBitString, make([]byte, 33))), indefinite(0xa3, indefinite(0x30, indefinite(0x30, tagged(tagOID, oidSAN), tagged(tagOctetString, indefinite(0x30, ip)))))), ordinaryAlgorithm, []byte{3, 2, 0, 1}), want, "length-indefinite", false},
		{"an entry that swallows the next", with(san([]byte{0x82, 7, 'x'}, ip)), "san:ip 192.0.2.77/32 [san-swallowed]", "san-swallowed", true},
		{"an iPAddress that swallows the next", with(san([]byte{0x87, 10, 1, 2, 3, 4}, ip)), "san:ip 192.0.2.77/32 [san-swallowed]", "san-swallowed", true},
		{"an entry that runs past the end", with(san(ip, []byte{0x82, 9, 'x'})), want, "length-truncated", true},
		{"text in an iPAddress", with(san(tagged(0x87, []byte("192.0.2.77")))), "san:ip 192.0.2.77/32 [ip-as-text]", "ip-as-text", false},
		{"IPv4-mapped IPv6", with(san(tagged(0x87, []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x4d")))), "san:ip 192.0.2.77/32 [ip-mapped]", "ip-mapped", false},
		{"NAT64", with(san(tagged(0x87, []byte("\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00\xc0\x00\x02\x4d")))), "san:ip 192.0.2.77/32 [ip-nat64]", "ip-nat64", false},
		{"no signature", seq(recipe{extensions: field(plain)}.tbs()), want, "signature-missing", false},
		{"no validity", recipe{validity: []byte{}, extensions: field(plain)}.certificate(), want, "field-missing", true},
		{"bytes behind", append(with(plain), 0), want, "trailing-data", false},
		{"another certificate behind", append(with(plain), with(plain)...), want, "trailing-data", true},
		{"PEM text", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: with(plain)}), want, "pem-text", false},
		{"cut off behind the names", with(plain, extension([]byte{1}, make([]byte, 99)))[:180], want, "length-truncated", true},
		{"CN in UTF-16", recipe{subject: seq(cn(tagBMP, "\x00w\x00.\x00e\x00x\x00a\x00m\x00p\x00l\x00e"))}.certificate(), "subject:cn w.example []", "", false},
		{"CN in UTF-32", recipe{subject: seq(cn(tagUniversal, "\x00\x00\x00w\x00\x00\x00.\x00\x00\x00e"))}.certificate(), "subject:cn w.e []", "", false},
		{"CN in UTF-16 by its tag, in ASCII in truth", recipe{subject: seq(cn(tagBMP, "www.example.com."))}.certificate(), "subject:cn www.example.com [string-invalid]", "string-invalid", false},
		{"CN in UTF-16 in an eight-bit string", recipe{subject: seq(cn(tagUTF8, "\x00w\x00.\x00e\x00x\x00a\x00m\x00p\x00l\x00e"))}.certificate(), "subject:cn w.example [nul-byte]", "nul-byte", false},
		{"CN in pieces", recipe{subject: seq(tagged(tagSet, seq(tagged(tagOID, []byte{0x55, 4, 3}), tagged(tagUTF8|constructed, utf8("www."), utf8("example.com")))))}.certificate(), "subject:cn www.example.com []", "octets-constructed", false},
		{"CN in a second pair of its SET", recipe{subject: seq(tagged(tagSet, seq(tagged(tagOID, []byte{0x55, 4, 10}), utf8("O")), seq(tagged(tagOID, []byte{0x55, 4, 3}), utf8("www.example.com"))))}.certificate(), "subject:cn www.example.com []", "", false},
		{"words around an address in the CN", recipe{subject: seq(cn(tagUTF8, "router at 192.0.2.77"))}.certificate(), "subject:cn 192.0.2.77/32 [ip-in-text]", "ip-in-text", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ids, codes, c := read(t, test.der)
			if !slices.Contains(ids, test.want) {
				t.Errorf("%q is not among %q (%v)", test.want, ids, codes)
			}
			if test.code != "" && !slices.Contains(codes, test.code) {
				t.Errorf("oddity %s is not among %v", test.code, codes)
			}
			if c.Incomplete != test.lost {
				t.Errorf("incomplete %t, want %t: %v", c.Incomplete, test.lost, codes)
			}
		})
	}
}

func TestWhatNoClientReadsIsNoName(t *testing.T) {
	for name, der := range map[string][]byte{
		"entries with universal tags":  recipe{extensions: field(san(tagged(tagUTF8, []byte("www.example.com")), tagged(tagOctetString, []byte{192, 0, 2, 77})))}.certificate(),
		"the issuer alternative name":  recipe{extensions: field(extension([]byte{0x55, 0x1d, 0x12}, seq(dnsName("www.example.com"))))}.certificate(),
		"the issuer":                   recipe{issuer: seq(cn(tagUTF8, "www.example.com"))}.certificate(),
		"words in the CN":              recipe{subject: seq(cn(tagUTF8, "192 0 2 77"))}.certificate(),
		"a name in the organisation":   recipe{subject: seq(attribute([]byte{0x55, 4, 10}, "www.example.com"))}.certificate(),
		"a registered identifier":      recipe{extensions: field(san(tagged(0x88, []byte{192, 0, 2, 77})))}.certificate(),
		"a number in the organisation": recipe{subject: seq(attribute([]byte{0x55, 4, 5}, "3221226061"))}.certificate(),
		"a URN":                        recipe{extensions: field(san(tagged(0x86, []byte("urn:uuid:192.0.2.77"))))}.certificate(),
	} {
		ids, codes, c := read(t, der)
		if len(ids) > 0 {
			t.Errorf("%s: %q (%v)", name, ids, codes)
		}
		if c.Incomplete {
			t.Errorf("%s: incomplete (%v), so that the search of bytes would find it", name, codes)
		}
	}
}

// D20. What would take quadratic time or memory, or recursion, would not end here before the limit of the test run.
func TestD20WorkIsLinearInTheInput(t *testing.T) {
	const mega = 1 << 20
	many := func(n int, f func(i int) []byte) []byte {
		var parts [][]byte
		for i := range n {
			parts = append(parts, f(i))
		}
		return slices.Concat(parts...)
	}
	repeat := func(s string) []byte { return []byte(strings.Repeat(s, mega/len(s))) }
	for _, test := range []struct {
		name string
		der  []byte
		want int // identities at least
	}{
		{"10,000 names", recipe{extensions: field(san(many(10_000, func(i int) []byte { return dnsName("a.example.com") })))}.certificate(), 10_000},
		{"more names than are read", recipe{extensions: field(san(many(MaxIdents+10, func(i int) []byte { return dnsName("a.b") })))}.certificate(), MaxIdents},
		{"an extension of one megabyte", recipe{extensions: field(extension([]byte{42}, make([]byte, mega)), san(dnsName("a.example.com")))}.certificate(), 1},
		{"10,000 extensions", recipe{extensions: field(many(10_000, func(i int) []byte { return extension([]byte{42, byte(i >> 7), byte(i & 0x7f)}, nil) }), san(dnsName("a.example.com")))}.certificate(), 1},
		{"2,000 name constraints", recipe{extensions: field(extension([]byte{0x55, 0x1d, 0x1e}, seq(tagged(0xa0, many(2000, func(i int) []byte { return seq(dnsName(fmt.Sprint("d", i, ".example"))) })))), san(dnsName("a.example.com")))}.certificate(), 1},
		{"nesting without end", repeat("\x30\x80"), 0},
		{"nesting of indefinite lengths in names", recipe{extensions: field(san(repeat("\xa0\x80")))}.certificate(), 0},
		{"nesting of definite lengths", recipe{extensions: field(san(tagged(0xa0, repeat("\x30\x82\xff\xff")), dnsName("a.example.com")))}.certificate(), 1},
		{"pieces in pieces", recipe{extensions: field(san(tagged(0xa2, repeat("\x24\x80"))))}.certificate(), 0},
		{"a value in empty pieces", recipe{extensions: field(seq(tagged(tagOID, oidSAN), tagged(0x24, repeat("\x04\x00"))))}.certificate(), 0},
		{"empty entries", recipe{extensions: field(san(repeat("\x82\x00")))}.certificate(), 0},
		{"entries that seem to swallow others", recipe{extensions: field(san(dnsName(string(repeat("\x82\x01\x87")))))}.certificate(), 0},
		{"a list of names in one", recipe{extensions: field(san(dnsName(string(many(MaxIdents+9, func(i int) []byte { return fmt.Appendf(nil, "%d.b,", i) })))))}.certificate(), MaxIdents},
		{"a U-label of one megabyte", recipe{extensions: field(san(dnsName(string(repeat("ü")))))}.certificate(), 1},
		{"as many U-labels", recipe{extensions: field(san(dnsName(string(repeat("ü.")))))}.certificate(), 1},
		{"dots", recipe{extensions: field(san(dnsName(string(repeat(".")))))}.certificate(), 0},
		{"percent signs", recipe{extensions: field(san(dnsName(string(repeat("%25")))))}.certificate(), 1},
		{"NUL bytes", recipe{extensions: field(san(dnsName(string(repeat("a\x00b")))))}.certificate(), 1},
		{"a CN of one megabyte", recipe{subject: seq(cn(tagUTF8, string(repeat("a.1 "))))}.certificate(), 0},
		{"kinds before kinds", recipe{extensions: field(san(dnsName(string(repeat("DNS:")))))}.certificate(), 0},
		{"attributes", recipe{subject: seq(many(50_000, func(int) []byte { return cn(tagUTF8, "") }))}.certificate(), 0},
		{"PEM without end", repeat("-----BEGIN "), 0},
		{"a long OID", recipe{extensions: field(extension(repeat("\x81"), nil))}.certificate(), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			ids, codes, c := read(t, test.der)
			if len(ids) < test.want || len(ids) > MaxIdents {
				t.Errorf("%d identities, want %d", len(ids), test.want)
			}
			if len(ids) == MaxIdents && (!c.Incomplete || !slices.Contains(codes, "too-many-names")) {
				t.Error("names were left out without a word")
			}
		})
	}
}

func TestScanDoesNotAllocateOnceWarm(t *testing.T) {
	der := recipe{
		subject: seq(attribute([]byte{0x55, 4, 6}, "ZZ"), attribute([]byte{0x55, 4, 10}, "Example Organisation, Inc."), cn(tagUTF8, "WWW.Example.com")),
		extensions: field(extension([]byte{0x55, 0x1d, 0x13}, seq()), san(dnsName("WWW.Example.com"), dnsName("*.example.com"), dnsName("xn--bcher-kva.example.org"),
			tagged(0x87, []byte{192, 0, 2, 77}), tagged(0x87, make([]byte, 16)), tagged(0x86, []byte("https://www.example.com/a")), tagged(0x81, []byte("a@example.com")))),
	}.certificate()
	var s Scan
	s.Certificate(der)
	if len(s.Idents) != 8 {
		t.Fatalf("%d identities", len(s.Idents))
	}
	if n := testing.AllocsPerRun(100, func() { s.Certificate(der) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAScanForgetsTheCertificateBefore(t *testing.T) {
	var s Scan
	s.Certificate([]byte("garbage"))
	if !s.Incomplete {
		t.Error("garbage is not incomplete")
	}
	s.Certificate(recipe{extensions: field(san(dnsName("A.example.com")))}.certificate())
	if len(s.Idents) != 1 || s.Incomplete {
		t.Errorf("%v, incomplete %t", s.Idents, s.Incomplete)
	}
	s.TBS(recipe{extensions: field(san(dnsName("B.example.com")))}.tbs())
	if len(s.Idents) != 1 || string(s.Idents[0].Name) != "b.example.com" || s.Incomplete {
		t.Errorf("%v, incomplete %t", s.Idents, s.Incomplete)
	}
}

func TestEveryOddityHasAStableCodeAndAText(t *testing.T) {
	m := Oddities()
	if len(m) != int(oddCount)-1 {
		t.Errorf("%d codes for %d oddities: one is there twice", len(m), oddCount-1)
	}
	for code, text := range m {
		if code == "" || text == "" || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasSuffix(text, ".") {
			t.Errorf("%q: %q", code, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{0x30, 0x80, 0x30, 0x80})
	f.Add(recipe{subject: seq(cn(tagBMP, "\x00a\x00.\x00b")), extensions: field(san(dnsName("bücher.example"), tagged(0xa7, []byte{4, 4, 1, 2, 3, 4}), tagged(0x87, make([]byte, 8))),
		extension(oidPoison, []byte{5, 0}), extension(oidSCTs, []byte{4, 4, 0, 2, 0, 0}))}.certificate())
	f.Add(recipe{version: []byte{}, before: []byte{0xa5, 0}, extensions: tagged(0xa3, san(dnsName("a\x00b.example")))}.certificate())
	f.Fuzz(func(t *testing.T, der []byte) {
		_, codes, c := read(t, der)
		for _, id := range c.Idents {
			if len(id.Raw) > MaxRaw {
				t.Fatal("an identity carries too much")
			}
			if (id.Name == nil) == !id.Prefix.IsValid() || id.Name != nil && len(id.Name) == 0 {
				t.Fatalf("%q is neither a name nor an address: %+v", id.Raw, id)
			}
			if _, known := Oddities()[id.Odd]; id.Odd != "" && !known {
				t.Fatalf("unknown oddity %q", id.Odd)
			}
			if id.Odd != "" && !slices.Contains(codes, id.Odd) {
				t.Fatalf("%q is odd, the certificate is not: %v", id.Odd, codes)
			}
		}
		if len(c.Idents) > MaxIdents {
			t.Fatal("too many identities")
		}
		for _, v := range c.DNSNames {
			if n, err := Name(v); err == nil && len(c.Idents) < MaxIdents && !slices.ContainsFunc(c.Idents, func(id Ident) bool { return string(id.Name) == n }) {
				t.Fatalf("the dNSName %q is no identity: %v", v, texts(c.Idents))
			}
		}
		c.VerifiedBy(c.RawSPKI)
		bare := ParseTBS(der)
		bare.VerifiedBy(c.RawSPKI)
		standard, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		rest := c.DNSNames
		for _, v := range standard.DNSNames {
			i := slices.Index(rest, v)
			if i < 0 {
				t.Fatalf("crypto/x509 reads the dNSName %q, we do not: %q", v, c.DNSNames)
			}
			rest = rest[i+1:]
		}
		for _, ip := range standard.IPAddresses {
			if !slices.ContainsFunc(c.IPs, func(b []byte) bool { return bytes.Equal(b, ip) }) {
				t.Fatalf("crypto/x509 reads the address %v, we do not", ip)
			}
		}
		if !bytes.Equal(standard.RawTBSCertificate, c.RawTBS) || !bytes.Equal(standard.RawSubjectPublicKeyInfo, c.RawSPKI) || !bytes.Equal(standard.RawIssuer, c.RawIssuer) {
			t.Fatal("raw parts differ from crypto/x509")
		}
	})
}

func FuzzIssuanceTBS(f *testing.F) {
	f.Add(recipe{extensions: field(extension(oidPoison, []byte{5, 0}), san(dnsName("a.example")))}.tbs())
	f.Add(recipe{extensions: field(extension(oidSCTs, make([]byte, 200)))}.tbs())
	f.Add(recipe{extensions: tagged(0xa3)}.tbs())
	f.Fuzz(func(t *testing.T, tbs []byte) {
		Identity(tbs, [32]byte{})
		FinalTBS(tbs, [][]byte{tbs, tbs})
		FinalTBS(seq(tbs), [][]byte{seq(tbs), seq(tbs)})
		out, err := IssuanceTBS(tbs)
		if err != nil {
			return
		}
		again, err := IssuanceTBS(out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%x becomes %x, and then %x (%v)", tbs, out, again, err)
		}
		have, got := ParseTBS(tbs), ParseTBS(out)
		if got.Poison || len(got.SCTs) > 0 {
			t.Fatalf("poison or SCTs remain in %x", out)
		}
		if !sameIdents(have.Idents, got.Idents) || !bytes.Equal(have.RawSPKI, got.RawSPKI) || !bytes.Equal(have.RawIssuer, got.RawIssuer) || !bytes.Equal(have.Serial, got.Serial) {
			t.Fatalf("%x says other things than %x", out, tbs)
		}
	})
}
