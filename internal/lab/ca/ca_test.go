package ca

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	return must(x509.ParseCertificate(der))(t)
}

// without gives the extensions of a certificate but for one OID, and whether that was there.
func without(c *x509.Certificate, oid string) (rest []string, found bool) {
	for _, e := range c.Extensions {
		if e.Id.String() == oid {
			found = true
			continue
		}
		rest = append(rest, fmt.Sprintf("%s %t %x", e.Id, e.Critical, e.Value))
	}
	return rest, found
}

func TestEveryKeyTypeIssuesChainsThatX509Verifies(t *testing.T) {
	types := []KeyType{P256, P384, Ed25519, RSA2048, RSA3072, RSA4096}
	if testing.Short() {
		types = types[:4]
	}
	for _, kt := range types {
		t.Run(kt.String(), func(t *testing.T) {
			t.Parallel()
			root := must(NewRoot("Root", &Options{Org: "Lab", Country: "ZZ", Type: kt}))(t)
			mid := must(root.NewIntermediate("Middle", nil))(t)
			low := must(mid.NewIntermediate("Low", &Options{Type: kt, NoSubCAs: true, EKU: []string{OIDServerAuth}}))(t)
			i := must(low.Issue(Leaf{
				CN: "www.example.com", DNS: []string{"www.example.com"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
			}))(t)
			if got := len(i.Chain); got != 3 {
				t.Fatalf("chain of %d certificates, want 3", got)
			}
			final := parse(t, must(i.Finish([][]byte{{0, 1, 2}}))(t))
			pool, roots := x509.NewCertPool(), x509.NewCertPool()
			pool.AddCert(parse(t, low.Cert))
			pool.AddCert(parse(t, mid.Cert))
			roots.AddCert(parse(t, root.Cert))
			if _, err := final.Verify(x509.VerifyOptions{DNSName: "www.example.com", Intermediates: pool, Roots: roots}); err != nil {
				t.Error(err)
			}
			pre := parse(t, i.Precert)
			if err := pre.CheckSignatureFrom(parse(t, low.Cert)); err != nil {
				t.Error(err)
			}
			if len(pre.UnhandledCriticalExtensions) != 1 {
				t.Errorf("unhandled critical extensions %v, want the poison alone", pre.UnhandledCriticalExtensions)
			}
		})
	}
}

func TestPrecertificateAndCertificateDifferInPoisonAndSCTsOnly(t *testing.T) {
	root := must(NewRoot("Root", &Options{Seed: "x"}))(t)
	ca := must(root.NewIntermediate("Issuing", &Options{Seed: "y"}))(t)
	i := must(ca.Issue(Leaf{CN: "a.example.com", DNS: []string{"a.example.com"}, For: 6 * 24 * time.Hour}))(t)
	pre := parse(t, i.Precert)
	final := parse(t, must(i.Finish([][]byte{bytes.Repeat([]byte{7}, 40)}))(t))
	p, poisoned := without(pre, OIDPoison)
	f, listed := without(final, OIDSCTList)
	if !poisoned || !listed {
		t.Fatalf("poison %t, SCT list %t; want both", poisoned, listed)
	}
	if d := cmp.Diff(p, f); d != "" {
		t.Error(d)
	}
	bare := parse(t, must(i.Finish(nil))(t))
	if !bytes.Equal(bare.RawTBSCertificate, i.TBS) {
		t.Error("the certificate without SCTs is not the issuance's TBSCertificate")
	}
	for name, pair := range map[string][2]any{
		"serial": {pre.SerialNumber.String(), final.SerialNumber.String()}, "issuer": {pre.Issuer.String(), final.Issuer.String()},
		"validity": {pre.NotAfter.Sub(pre.NotBefore), 6 * 24 * time.Hour},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v and %v", name, pair[0], pair[1])
		}
	}
}

func TestPrecertSigningCASignsForItsParent(t *testing.T) {
	for _, kt := range []KeyType{P256, RSA2048} {
		root := must(NewRoot("Root", nil))(t)
		ca := must(root.NewIntermediate("Issuing", &Options{Type: kt}))(t)
		signer := must(ca.NewPrecertSigner("Precert Signing", nil))(t)
		i := must(signer.Issue(Leaf{CN: "a.example.com", DNS: []string{"a.example.com"}}))(t)
		pre, final := parse(t, i.Precert), parse(t, must(signer.Finish(i, [][]byte{{1}}))(t))
		if err := pre.CheckSignatureFrom(parse(t, signer.Cert)); err != nil {
			t.Error(err)
		}
		if err := final.CheckSignatureFrom(parse(t, ca.Cert)); err != nil {
			t.Error(err)
		}
		if got, want := pre.Issuer.CommonName+"/"+final.Issuer.CommonName, "Precert Signing/Issuing"; got != want {
			t.Errorf("issuers %s, want %s", got, want)
		}
		if bytes.Equal(pre.AuthorityKeyId, final.AuthorityKeyId) || !bytes.Equal(final.AuthorityKeyId, parse(t, ca.Cert).SubjectKeyId) {
			t.Error("the AKI of each must be that of its own issuer")
		}
		if got := parse(t, signer.Cert).UnknownExtKeyUsage; len(got) != 1 || got[0].String() != OIDPrecertEKU {
			t.Errorf("purposes of the signer %v", got)
		}
		if len(i.Chain) != 3 || len(i.FinalChain) != 2 {
			t.Errorf("chains of %d and %d", len(i.Chain), len(i.FinalChain))
		}
	}
}

func TestSameSeedGivesTheSameBytes(t *testing.T) {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	build := func(seed string) []byte {
		root := must(NewRoot("Root", &Options{Seed: seed, From: from}))(t)
		ca := must(root.NewIntermediate("Issuing", &Options{Seed: seed + "/i", From: from, Type: Ed25519}))(t)
		i := must(ca.Issue(Leaf{CN: "a.example.com", KeySeed: seed + "/k", KeyType: P384, From: from}))(t)
		return append(i.Precert, bytes.Join(i.Chain, nil)...)
	}
	if !bytes.Equal(build("one"), build("one")) {
		t.Error("one seed, two results")
	}
	if bytes.Equal(build("one"), build("two")) {
		t.Error("two seeds, one result")
	}
}

func TestOddCertificatesHoldTheOddBytes(t *testing.T) {
	a := must(NewRoot("Careless", nil))(t)
	san := TLV(TagOctetString, SAN(DNSName("x.example")))
	for _, row := range []struct {
		name  string
		leaf  Leaf
		want  []byte // must stand in both certificates
		never []byte
		x509  bool // whether crypto/x509 still reads it
	}{
		{name: "iPAddress of 3 bytes", leaf: Leaf{RawSAN: [][]byte{IPAddress(192, 0, 2)}}, want: []byte{0x87, 3, 192, 0, 2}},
		{name: "iPAddress of 300 bytes", leaf: Leaf{RawSAN: [][]byte{IPAddress(make([]byte, 300)...)}}, want: []byte{0x87, 0x82, 1, 44, 0}},
		{name: "dNSName in UTF-8", leaf: Leaf{RawSAN: [][]byte{DNSName("ü.example")}}, want: []byte("\x82\x0aü.example")},
		{name: "dNSName in Latin-1", leaf: Leaf{RawSAN: [][]byte{DNSName("\xfc.example")}}, want: []byte("\x82\x09\xfc.example")},
		{name: "dNSName with NUL", leaf: Leaf{RawSAN: [][]byte{DNSName("a\x00b")}}, want: []byte("\x82\x03a\x00b"), x509: true},
		{name: "constructed iPAddress", leaf: Leaf{RawSAN: [][]byte{IPAddressConstructed(192, 0, 2, 1)}}, want: []byte{0xa7, 6, 4, 4, 192, 0, 2, 1}, x509: true},
		{name: "constructed dNSName", leaf: Leaf{RawSAN: [][]byte{DNSNameConstructed("a.b")}}, want: []byte("\xa2\x05\x16\x03a.b"), x509: true},
		{name: "e-mail, URI, directoryName and otherName", leaf: Leaf{RawSAN: [][]byte{
			Email("a@b.example"), URI("https://c.example/"), DirName(RDNs(CN("d.example"))), OtherName("1.2.3", "e.example"),
		}}, want: []byte("\x81\x0ba@b.example\x86\x12https://c.example/\xa4"), x509: true},
		{name: "several SAN extensions", leaf: Leaf{DNS: []string{"x.example"}, SANs: [][]byte{SAN(DNSName("x.example"))}}, want: san},
		{name: "version 1 with extensions", leaf: Leaf{DNS: []string{"x.example"}, Mutate: func(b *TBS) { b.Version = nil }}, never: []byte{0xa0, 3, 2, 1, 2}, want: san, x509: true},
		{name: "negative serial", leaf: Leaf{Serial: []byte{0x80, 1}}, want: []byte{2, 2, 0x80, 1}},
		{name: "serial of 200 bytes", leaf: Leaf{Serial: bytes.Repeat([]byte{1}, 200)}, want: append([]byte{2, 0x81, 200}, bytes.Repeat([]byte{1}, 200)...), x509: true},
		{name: "name in the CN only", leaf: Leaf{CN: "x.example"}, want: []byte("\x0c\x09x.example"), never: OID(OIDSAN), x509: true},
		{name: "critical SAN with empty subject", leaf: Leaf{DNS: []string{"x.example"}}, want: append(append(OID(OIDSAN), 1, 1, 0xff), san...), x509: true},
		{name: "unknown TBS field", leaf: Leaf{Mutate: func(b *TBS) { b.Fields = [][]byte{TLV(0x85, []byte("??"))} }}, want: []byte{0x85, 2, '?', '?'}, x509: true},
		{name: "CN as BMPString", leaf: Leaf{Subject: RDNs(Attribute{OID: attrCN, Tag: TagBMP, Value: []byte{0, 'a'}})}, want: []byte{TagBMP, 2, 0, 'a'}, x509: true},
		{name: "extensions under another tag", leaf: Leaf{Mutate: func(b *TBS) { b.ExtensionsTag = 0xa4 }}, want: []byte{0xa4}, x509: true},
		{name: "raw extension", leaf: Leaf{Extensions: []Extension{{Raw: []byte{0x30, 1, 0xff}}}}, want: []byte{0x30, 1, 0xff}},
		{name: "bytes after the certificate", leaf: Leaf{Wrap: func(b []byte) []byte { return append(b, "tail"...) }}, want: []byte("tail")},
		{name: "indefinite length", leaf: Leaf{Mutate: func(b *TBS) { b.Indefinite = true }}, want: []byte{0x30, 0x80, 0xa0, 3, 2, 1, 2}},
		{name: "a key that Go does not know", leaf: Leaf{SPKI: TLV(TagSequence, TLV(TagSequence, OID("1.2.3.4")), BitString([]byte("key")))}, want: append(OID("1.2.3.4"), 3, 4, 0, 'k', 'e', 'y'), x509: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			i := must(a.Issue(row.leaf))(t)
			must(i.Finish([][]byte{{1, 2, 3}}))(t)
			for kind, der := range map[string][]byte{"precertificate": i.Precert, "certificate": i.Final} {
				if !bytes.Contains(der, row.want) {
					t.Errorf("%s lacks % x:\n% x", kind, row.want, der)
				}
				if row.never != nil && bytes.Contains(der, row.never) {
					t.Errorf("%s has % x", kind, row.never)
				}
				if _, err := x509.ParseCertificate(der); (err == nil) != row.x509 {
					t.Errorf("%s: crypto/x509 says %v, want readable %t", kind, err, row.x509)
				}
			}
		})
	}
}

func TestLengthsAreMinimalDER(t *testing.T) {
	for n, want := range map[int]string{0: "0400", 127: "047f", 128: "048180", 255: "0481ff", 256: "04820100", 65536: "0483010000"} {
		if got := fmt.Sprintf("%x", TLV(4, make([]byte, n))[:len(want)/2]); got != want {
			t.Errorf("length %d: %s, want %s", n, got, want)
		}
	}
}

// 1,000 leaves should take about a second on one core.
func BenchmarkIssueP256(b *testing.B) {
	a := must(NewRoot("Root", nil))(b)
	for n := 0; b.Loop(); n++ {
		if _, err := a.Issue(Leaf{DNS: []string{fmt.Sprintf("h%d.example.com", n)}}); err != nil {
			b.Fatal(err)
		}
	}
}
