package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

var (
	asnPoison  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	asnSCTs    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	asnSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 4}
	poison     = pkix.Extension{Id: asnPoison, Critical: true, Value: []byte{5, 0}}
	scts       = pkix.Extension{Id: asnSCTs, Value: tagged(tagOctetString, make([]byte, 200))}
)

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certify signs template for key; a nil parent signs itself.
func certify(t testing.TB, template *x509.Certificate, key crypto.Signer, parent *authority) *authority {
	t.Helper()
	if parent == nil {
		parent = &authority{template, key}
	}
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(4711)
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		template.NotAfter = template.NotBefore.AddDate(0, 3, 0)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

func caTemplate(name string, keyID byte) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, SubjectKeyId: bytes.Repeat([]byte{keyID}, 20),
		KeyUsage: x509.KeyUsageCertSign,
	}
}

func leafTemplate(extra ...pkix.Extension) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "www.example.com"}, DNSNames: []string{"www.example.com"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, ExtraExtensions: extra,
	}
}

func TestAPrecertificateAndItsFinalCertificateAreOneIssuance(t *testing.T) {
	root := certify(t, caTemplate("Example Root", 1), newKey(t), nil)
	ca := certify(t, caTemplate("Example CA", 2), newKey(t), root)
	signingTemplate := caTemplate("Example Precertificate Signing", 3)
	signingTemplate.UnknownExtKeyUsage = []asn1.ObjectIdentifier{asnSigning}
	signing := certify(t, signingTemplate, newKey(t), ca)
	leafKey := newKey(t)
	final := certify(t, leafTemplate(scts), leafKey, ca)
	keyHash := sha256.Sum256(ca.cert.RawSubjectPublicKeyInfo)
	want := Identity(final.cert.RawTBSCertificate, keyHash)

	for _, test := range []struct {
		name  string
		by    *authority
		chain [][]byte
	}{
		{"signed by the CA itself", ca, [][]byte{ca.cert.Raw, root.cert.Raw}},
		{"D22: signed by a precertificate signing certificate below the CA", signing, [][]byte{signing.cert.Raw, ca.cert.Raw, root.cert.Raw}},
	} {
		t.Run(test.name, func(t *testing.T) {
			pre := certify(t, leafTemplate(poison), leafKey, test.by)
			tbs, hash, err := FinalTBS(pre.cert.Raw, test.chain)
			if err != nil {
				t.Fatal(err)
			}
			if hash != keyHash {
				t.Error("the key hash is not that of the issuer of the final certificate")
			}
			if got := Identity(tbs, hash); got != want {
				t.Errorf("identity %s of the precertificate, %s of the final certificate", got, want)
			}
			stripped, err := IssuanceTBS(final.cert.RawTBSCertificate)
			if err != nil || !bytes.Equal(stripped, tbs) {
				t.Errorf("the leaf's TBSCertificate is not the final one without its SCTs (%v)", err)
			}
			c := ParseTBS(tbs)
			if c.Poison || c.Issuer != "CN=Example CA" || !bytes.Equal(c.AuthorityKeyID, ca.cert.SubjectKeyId) {
				t.Errorf("poison %t, issuer %q, authority key %x", c.Poison, c.Issuer, c.AuthorityKeyID)
			}
			if len(c.Oddities) > 0 {
				t.Errorf("oddities %v", c.Oddities)
			}
		})
	}
	t.Run("another certificate for the same name and key is another issuance", func(t *testing.T) {
		other := leafTemplate(scts)
		other.SerialNumber = big.NewInt(4712)
		if Identity(certify(t, other, leafKey, ca).cert.RawTBSCertificate, keyHash) == want {
			t.Error("same identity")
		}
	})
	t.Run("the same content from another issuer key is another issuance", func(t *testing.T) {
		if Identity(final.cert.RawTBSCertificate, sha256.Sum256(root.cert.RawSubjectPublicKeyInfo)) == want {
			t.Error("same identity")
		}
	})
	t.Run("a signing certificate without its issuer is an error", func(t *testing.T) {
		pre := certify(t, leafTemplate(poison), leafKey, signing)
		if _, _, err := FinalTBS(pre.cert.Raw, [][]byte{signing.cert.Raw}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a certificate without poison is no precertificate", func(t *testing.T) {
		if _, _, err := FinalTBS(final.cert.Raw, [][]byte{ca.cert.Raw}); err == nil {
			t.Error("no error")
		}
	})
}

func TestTheAuthorityKeyIdentifierFollowsThePrecertificateSigningCertificate(t *testing.T) {
	root := certify(t, caTemplate("Example Root", 1), newKey(t), nil)
	aki := func(id byte) pkix.Extension {
		return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 35}, Value: tagged(tagSequence, tagged(context, []byte{id}))}
	}
	for _, test := range []struct {
		name              string
		precert, signing  []pkix.Extension
		want              []byte
		wantExtensionMore bool
	}{
		{"both have one", []pkix.Extension{aki(7)}, []pkix.Extension{aki(9)}, []byte{9}, false},
		{"only the precertificate has one", []pkix.Extension{aki(7)}, nil, nil, false},
		{"only the signing certificate has one", nil, []pkix.Extension{aki(9)}, []byte{9}, true},
		{"neither has one", nil, nil, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			template := caTemplate("Example Signing", 0)
			template.SubjectKeyId = nil
			root := &authority{&x509.Certificate{Subject: root.cert.Subject, RawSubject: root.cert.RawSubject}, root.key}
			template.IsCA, template.KeyUsage = false, 0
			template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{asnSigning}
			template.ExtraExtensions = test.signing
			signing := certify(t, template, newKey(t), root)
			ca := certify(t, caTemplate("Example CA", 2), newKey(t), root)
			pre := certify(t, leafTemplate(append([]pkix.Extension{poison}, test.precert...)...), newKey(t), &authority{signing.cert, signing.key})
			tbs, _, err := FinalTBS(pre.cert.Raw, [][]byte{signing.cert.Raw, ca.cert.Raw})
			if err != nil {
				t.Fatal(err)
			}
			c := ParseTBS(tbs)
			if !bytes.Equal(c.AuthorityKeyID, test.want) || c.has("key-id-form") {
				t.Errorf("authority key identifier %x, want %x", c.AuthorityKeyID, test.want)
			}
			if test.wantExtensionMore && c.Extensions[len(c.Extensions)-1].ID != idAuthorityKeyID {
				t.Errorf("the new extension is not the last one: %v", c.Extensions)
			}
		})
	}
}

func TestIssuanceTBSKeepsEveryOtherByte(t *testing.T) {
	ext := func(oid []byte, v string) []byte {
		return tagged(tagSequence, tagged(tagOID, oid), tagged(tagOctetString, []byte(v)))
	}
	alg := []byte{0x30, 0x80, 6, 1, 42, 0, 0} // indefinite length must survive
	fields := func(extensions ...[]byte) []byte {
		parts := [][]byte{{0xa0, 3, 2, 1, 2}, {2, 1, 1}, alg, {0x30, 0}, {0x30, 0}, {0x30, 0}, {0x30, 0}}
		if extensions != nil {
			parts = append(parts, tagged(0xa3, tagged(tagSequence, extensions...)))
		}
		return tagged(tagSequence, append(parts, []byte{0x85, 1, 9})...)
	}
	a, b := ext([]byte{1, 2}, "a"), []byte{0x30, 0x81, 2, 6, 0} // not minimal, and no extension at all
	for _, test := range []struct {
		name      string
		have, out []byte
	}{
		{"nothing to remove: the input itself", fields(a, b), fields(a, b)},
		{"the poison goes", fields(a, ext(oidPoison, "x"), b), fields(a, b)},
		{"the SCT list goes", fields(ext(oidSCTs, string(make([]byte, 70_000))), a, b), fields(a, b)},
		{"both go, and repeated ones", fields(ext(oidSCTs, ""), ext(oidPoison, ""), a, ext(oidPoison, "")), fields(a)},
		{"an extensions field that becomes empty goes", fields(ext(oidPoison, "")), fields()},
		{"an empty extensions field goes", fields([][]byte{}...), fields()},
		{"no extensions at all", fields(), fields()},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := IssuanceTBS(test.have)
			if err != nil || !bytes.Equal(got, test.out) {
				t.Errorf("%x, %v; want %x", got, err, test.out)
			}
		})
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "no SEQUENCE": {2, 1, 1}, "cut off": fields(a)[:20], "more behind": append(fields(a), 0),
		"extensions twice": tagged(tagSequence, tagged(0xa3, tagged(tagSequence, a)), tagged(0xa3, tagged(tagSequence, a))),
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			if got, err := IssuanceTBS(bad); err == nil {
				t.Errorf("%x", got)
			}
			if Identity(bad, [32]byte{}) == Identity(append([]byte{1}, bad...), [32]byte{}) {
				t.Error("different bytes have the same identity")
			}
		})
	}
}

// Real certificates with SCTs, turned into the precertificates that they must have had.
func TestRealCertificatesPairWithTheirPrecertificates(t *testing.T) {
	pairs := 0
	for _, name := range []string{"real/public-leaf", "real/public-other"} {
		f := readCorpus(t, name)
		for i, der := range f.Certs {
			c := Parse(der)
			if len(c.SCTs) == 0 {
				continue
			}
			pairs++
			pre, err := edit(c.RawTBS, func(e *editor) {
				e.changed = true
				e.extensions = slices.DeleteFunc(e.extensions, func(x []byte) bool { return sameOID(extensionOID(x), oidSCTs) })
				e.extensions = slices.Insert(e.extensions, len(e.extensions)/2, tagged(tagSequence, tagged(tagOID, oidPoison), []byte{1, 1, 0xff}, tagged(tagOctetString, []byte{5, 0})))
			})
			if err != nil {
				t.Fatalf("%s %s: %v", name, f.Rows[i]["sha256"], err)
			}
			if !ParseTBS(pre).Poison {
				t.Errorf("%s %s: the precertificate has no poison", name, f.Rows[i]["sha256"])
			}
			if Identity(pre, c.SPKI) != Identity(c.RawTBS, c.SPKI) {
				t.Errorf("%s %s: precertificate and final certificate are two issuances", name, f.Rows[i]["sha256"])
			}
		}
	}
	if pairs < 1_500 {
		t.Errorf("only %d certificates with SCTs", pairs)
	}
}

// Real precertificates whose final certificate is in the corpus too: same issuer and serial.
func TestRealPairsInTheCorpusAreOneIssuance(t *testing.T) {
	type key struct{ issuer, serial string }
	pre := map[key]*Certificate{}
	for _, name := range []string{"real/public-precert", "hostile/hostile"} {
		for _, der := range readCorpus(t, name).Certs {
			if c := Parse(der); c.Poison && len(c.Serial) > 8 {
				pre[key{string(c.RawIssuer), string(c.Serial)}] = c
			}
		}
	}
	same, differ := 0, 0
	for _, name := range []string{"real/public-leaf", "real/public-other"} {
		f := readCorpus(t, name)
		for i, der := range f.Certs {
			c := Parse(der)
			p := pre[key{string(c.RawIssuer), string(c.Serial)}]
			if p == nil || c.Poison {
				continue
			}
			one := Identity(p.RawTBS, c.SPKI) == Identity(c.RawTBS, c.SPKI)
			if strings.Contains(f.Rows[i]["path"], "/bad/") {
				// The CA's own mistake of June 2023: other certificate policies in the final certificate.
				differ++
				if one {
					t.Errorf("%s of %s differs from its precertificate, and yet it is one issuance", c.Subject, c.Issuer)
				}
				continue
			}
			same++
			if !one {
				t.Errorf("%s of %s is not one issuance with its precertificate", c.Subject, c.Issuer)
			}
		}
	}
	if same < 4 || differ != 1 {
		t.Errorf("%d pairs that agree, %d that do not", same, differ)
	}
}

// What two kinds of log software have hashed into their leaves is what we make of the precertificate.
func TestRealLogsHoldTheTBSCertificateThatIsBuiltFromThePrecertificate(t *testing.T) {
	captures := filepath.Join(filepath.Dir(corpusDir(t)), "ct-captures")
	for file, want := range map[string]int{"navigli2025h2/tile/data/000": 256, "tesseract-example-tile/tile-data-full": 256} {
		tile, err := os.ReadFile(filepath.Join(captures, file))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rest := cryptobyte.String(tile); !rest.Empty(); n++ {
			var kind uint16
			var hash []byte
			var tbs, ext, pre, chain cryptobyte.String
			if !rest.Skip(8) || !rest.ReadUint16(&kind) || kind != 1 || !rest.ReadBytes(&hash, 32) || !rest.ReadUint24LengthPrefixed(&tbs) ||
				!rest.ReadUint16LengthPrefixed(&ext) || !rest.ReadUint24LengthPrefixed(&pre) || !rest.ReadUint16LengthPrefixed(&chain) {
				t.Fatalf("%s: entry %d is no precertificate entry", file, n)
			}
			// An issuer of any key will do: only the poison has to go.
			issuer := tagged(tagSequence, tbs)
			got, _, err := FinalTBS(pre, [][]byte{issuer})
			if err != nil || !bytes.Equal(got, tbs) {
				t.Errorf("%s: entry %d: the leaf holds another TBSCertificate (%v)", file, n, err)
			}
			if c := Parse(pre); Identity(c.RawTBS, [32]byte(hash)) != Identity(tbs, [32]byte(hash)) {
				t.Errorf("%s: entry %d: leaf and precertificate are two issuances", file, n)
			}
			var s Scan
			s.TBS(tbs)
			fromLeaf := slices.Clone(s.Idents)
			s.Certificate(pre)
			if !sameIdents(fromLeaf, s.Idents) || s.Incomplete {
				t.Errorf("%s: entry %d: leaf and precertificate name different things", file, n)
			}
		}
		if n != want {
			t.Errorf("%s: %d entries, want %d", file, n, want)
		}
	}
}
