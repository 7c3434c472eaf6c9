package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKeysAndSCTsOfRealCertificatesAreReadAsTheIndexSays(t *testing.T) {
	kinds := map[string]string{"EC": "ECDSA ", "RSA": "RSA "}
	rows := 0
	for _, name := range corpusNames[:7] {
		f := readCorpus(t, name)
		for i, row := range f.Rows {
			c := Parse(f.Certs[i])
			if n, err := strconv.Atoi(row["scts"]); err != nil || n != len(c.SCTs) {
				t.Errorf("%s %s: %d SCTs, the index says %s (%v)", name, row["sha256"], len(c.SCTs), row["scts"], c.Oddities)
			}
			if poison := strings.Contains(row["flags"], "i:ct-poison"); poison != c.Poison {
				t.Errorf("%s %s: poison %t, the index says %t", name, row["sha256"], c.Poison, poison)
			}
			kind, size, _ := strings.Cut(row["key"], "-")
			if kinds[kind] != "" && size != "" && row["key"] != "RSA-PSS" {
				rows++
				if want := kinds[kind] + size; c.KeyAlgorithm != want {
					t.Errorf("%s %s: key %q, the index says %q", name, row["sha256"], c.KeyAlgorithm, want)
				}
			}
		}
	}
	if rows < 10_000 {
		t.Errorf("only %d rows with a key", rows)
	}
}

func TestConstraintsAndUsagesAgreeWithX509(t *testing.T) {
	usages := map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageAny: "2.5.29.37.0", x509.ExtKeyUsageServerAuth: "1.3.6.1.5.5.7.3.1", x509.ExtKeyUsageClientAuth: "1.3.6.1.5.5.7.3.2",
		x509.ExtKeyUsageCodeSigning: "1.3.6.1.5.5.7.3.3", x509.ExtKeyUsageEmailProtection: "1.3.6.1.5.5.7.3.4", x509.ExtKeyUsageTimeStamping: "1.3.6.1.5.5.7.3.8",
		x509.ExtKeyUsageOCSPSigning: "1.3.6.1.5.5.7.3.9", x509.ExtKeyUsageIPSECEndSystem: "1.3.6.1.5.5.7.3.5", x509.ExtKeyUsageIPSECTunnel: "1.3.6.1.5.5.7.3.6",
		x509.ExtKeyUsageIPSECUser: "1.3.6.1.5.5.7.3.7", x509.ExtKeyUsageMicrosoftServerGatedCrypto: "1.3.6.1.4.1.311.10.3.3",
		x509.ExtKeyUsageNetscapeServerGatedCrypto: "2.16.840.1.113730.4.1", x509.ExtKeyUsageMicrosoftCommercialCodeSigning: "1.3.6.1.4.1.311.2.1.22",
		x509.ExtKeyUsageMicrosoftKernelCodeSigning: "1.3.6.1.4.1.311.61.1.1",
	}
	limited := 0
	for _, name := range corpusNames {
		f := readCorpus(t, name)
		for i, der := range f.Certs {
			standard, err := x509.ParseCertificate(der)
			c := Parse(der)
			if err != nil || c.has("version-extensions") || c.has("field-unknown") {
				continue
			}
			var want []string
			for _, u := range standard.ExtKeyUsage {
				want = append(want, usages[u])
			}
			for _, u := range standard.UnknownExtKeyUsage {
				want = append(want, u.String())
			}
			slices.Sort(want)
			got := slices.Sorted(slices.Values(c.ExtKeyUsage))
			if !slices.Equal(got, want) {
				t.Errorf("%s %s: usages %v, crypto/x509 says %v", name, f.Rows[i]["sha256"], got, want)
			}
			pathLen := standard.MaxPathLen
			if !standard.BasicConstraintsValid || pathLen == 0 && !standard.MaxPathLenZero {
				pathLen = -1
			}
			if c.PathLen != pathLen || c.BasicConstraints != standard.BasicConstraintsValid {
				t.Errorf("%s %s: path length %d, crypto/x509 says %d", name, f.Rows[i]["sha256"], c.PathLen, pathLen)
			}
			nc := c.NameConstraints
			if nc == nil {
				nc = new(NameConstraints)
			} else {
				limited++
			}
			if !slices.Equal(nc.PermittedDNS, standard.PermittedDNSDomains) || !slices.Equal(nc.ExcludedDNS, standard.ExcludedDNSDomains) ||
				len(nc.PermittedIP) != len(standard.PermittedIPRanges) || len(nc.ExcludedIP) != len(standard.ExcludedIPRanges) {
				t.Errorf("%s %s: constraints %+v differ from crypto/x509", name, f.Rows[i]["sha256"], nc)
			}
			for j, e := range standard.Extensions {
				if c.Extensions[j].ID != e.Id.String() || c.Extensions[j].Critical != e.Critical || !bytes.Equal(c.Extensions[j].Value, e.Value) {
					t.Errorf("%s %s: extension %d is %+v, crypto/x509 says %+v", name, f.Rows[i]["sha256"], j, c.Extensions[j], e)
				}
			}
		}
	}
	if limited < 100 {
		t.Errorf("only %d certificates with name constraints", limited)
	}
}

func TestATimeIsReadInEveryFormThatHasBeenSeen(t *testing.T) {
	for _, test := range []struct {
		tag  byte
		have string
		want string
		code string
	}{
		{tagUTCTime, "260101123456Z", "2026-01-01T12:34:56Z", ""},
		{tagUTCTime, "500101000000Z", "1950-01-01T00:00:00Z", ""},
		{tagUTCTime, "491231235959Z", "2049-12-31T23:59:59Z", ""},
		{tagUTCTime, "2601011234Z", "2026-01-01T12:34:00Z", "time-form"},
		{tagUTCTime, "260101123456+0200", "2026-01-01T10:34:56Z", "time-form"},
		{tagUTCTime, "260101123456-0130", "2026-01-01T14:04:56Z", "time-form"},
		{tagUTCTime, "260101123456", "2026-01-01T12:34:56Z", "time-form"},
		{tagUTCTime, "261231235960Z", "2027-01-01T00:00:00Z", "time-form"},
		{tagGenTime, "20260101123456Z", "2026-01-01T12:34:56Z", ""},
		{tagGenTime, "20260101123456.5Z", "2026-01-01T12:34:56.5Z", "time-form"},
		{tagGenTime, "99991231235959Z", "9999-12-31T23:59:59Z", ""},
		{tagGenTime, "00000101000000Z", "0000-01-01T00:00:00Z", ""},
		{tagUTCTime, "", "", "time-unreadable"},
		{tagUTCTime, "yesterday", "", "time-unreadable"},
		{tagUTCTime, "261301000000Z", "", "time-unreadable"},
		{tagUTF8, "260101123456Z", "", "time-unreadable"},
	} {
		got, why := readTime(test.tag, []byte(test.have))
		text := ""
		if !got.IsZero() {
			text = got.Format(time.RFC3339Nano)
		}
		if text != test.want || why.code() != test.code {
			t.Errorf("%q: %s %q, want %s %q", test.have, text, why.code(), test.want, test.code)
		}
	}
}

func TestDottedOIDsAreReadAsTheStandardLibraryDoes(t *testing.T) {
	for _, want := range []string{"2.5.29.17", "1.3.6.1.4.1.11129.2.4.2", "0.9.2342.19200300.100.1.25", "2.999.1", "1.39.0", "2.16.840.1.113730.1.13"} {
		var arcs asn1.ObjectIdentifier
		for arc := range strings.SplitSeq(want, ".") {
			n, _ := strconv.Atoi(arc)
			arcs = append(arcs, n)
		}
		der, err := asn1.Marshal(arcs)
		if err != nil {
			t.Fatal(err)
		}
		if got := dotted(der[2:]); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for have, want := range map[string]string{
		"": "hex:", "\x55\x84": "hex:5584", "\x2a\x83\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f": "1.2.680564733841876926926749214863536422911"[:3],
	} {
		if got := dotted([]byte(have)); !strings.HasPrefix(got, want) {
			t.Errorf("%x: %s, want %s", have, got, want)
		}
	}
}

func TestIssuerAndSubjectCannotDisturbATerminal(t *testing.T) {
	c := Parse(recipe{
		issuer: seq(cn(tagUTF8, "Evil\x1b[31m\nCA, \"O=Good\"\u202e")),
		subject: seq(tagged(tagSet, seq(tagged(tagOID, []byte{0x55, 4, 6}), tagged(0x13, []byte("ZZ"))), seq(tagged(tagOID, []byte{0x55, 4, 10}), tagged(0x14, []byte("B\xfccher")))),
			tagged(tagSet, seq(tagged(tagOID, []byte{42, 3}), tagged(tagInteger, []byte{5}))), tagged(tagSet)),
	}.certificate())
	if want := `CN=Evil\1B[31m\0ACA\, \"O=Good\"\E2\80\AE`; c.Issuer != want {
		t.Errorf("%s, want %s", c.Issuer, want)
	}
	if want := `C=ZZ+O=Bücher, 1.2.3=#05`; c.Subject != want {
		t.Errorf("%s, want %s", c.Subject, want)
	}
	if !c.has("rdn-empty") || !c.has("string-type") {
		t.Errorf("oddities %v", c.Oddities)
	}
}

// sctBytes is a SerializedSCT.
func sctBytes(version byte, ext, sig []byte) []byte {
	b := append([]byte{version}, bytes.Repeat([]byte{7}, 32)...)
	b = append(b, 0, 0, 0x01, 0x9b, 0, 0, 0, 0)
	b = append(b, byte(len(ext)>>8), byte(len(ext)))
	b = append(b, ext...)
	b = append(b, 4, 3, byte(len(sig)>>8), byte(len(sig)))
	return append(b, sig...)
}

func TestAnSCTListIsReadAsFarAsItGoes(t *testing.T) {
	list := func(scts ...[]byte) (b []byte) {
		for _, s := range scts {
			b = append(b, byte(len(s)>>8), byte(len(s)))
			b = append(b, s...)
		}
		return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
	}
	index := []byte{0, 0, 5, 0, 0, 0, 0, 9} // leaf index of static-ct-api
	good := sctBytes(0, index, []byte("signature"))
	for _, test := range []struct {
		name  string
		value []byte
		want  int
		codes []string
	}{
		{"one with a leaf index, one without", tagged(tagOctetString, list(good, sctBytes(0, nil, []byte("s")))), 2, nil},
		{"without the inner OCTET STRING", list(good), 1, []string{"sct-form"}},
		{"an unknown version", tagged(tagOctetString, list(sctBytes(1, nil, nil), good)), 2, []string{"sct-version"}},
		{"cut off", tagged(tagOctetString, list(good, good)[:len(good)+30]), 1, []string{"sct-form"}},
		{"an empty list", tagged(tagOctetString, list()), 0, []string{"sct-form"}},
		{"an empty SCT", tagged(tagOctetString, list(nil, good)), 2, []string{"sct-form"}},
		{"nothing", nil, 0, []string{"sct-form"}},
		{"bytes behind a signature", tagged(tagOctetString, list(append(slices.Clone(good), 1))), 1, []string{"sct-form"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Parse(recipe{extensions: field(extension(oidSCTs, test.value))}.certificate())
			if len(c.SCTs) != test.want {
				t.Errorf("%d SCTs, want %d", len(c.SCTs), test.want)
			}
			var codes []string
			for _, o := range c.Oddities {
				codes = append(codes, o.Code)
			}
			if d := cmp.Diff(test.codes, codes); d != "" {
				t.Error(d)
			}
		})
	}
	c := Parse(recipe{extensions: field(extension(oidSCTs, tagged(tagOctetString, list(good))))}.certificate())
	want := SCT{Raw: good, LogID: [32]byte(bytes.Repeat([]byte{7}, 32)), Timestamp: time.UnixMilli(0x19b00000000).UTC(), Extensions: index, HashAlg: 4, SigAlg: 3, Signature: []byte("signature")}
	if d := cmp.Diff(want, c.SCTs[0]); d != "" {
		t.Error(d)
	}
}
