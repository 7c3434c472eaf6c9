package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
)

func TestASignatureVerifiesUnderTheKeyThatMadeItAndNoOther(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	other := certify(t, caTemplate("Other", 1), newKey(t), nil).cert.RawSubjectPublicKeyInfo
	for _, test := range []struct {
		name string
		key  crypto.Signer
		alg  x509.SignatureAlgorithm
		say  string
	}{
		{"RSA with SHA-256", rsaKey, x509.SHA256WithRSA, "RSA 2048"},
		{"RSA with SHA-384", rsaKey, x509.SHA384WithRSA, "RSA 2048"},
		{"RSA with SHA-512", rsaKey, x509.SHA512WithRSA, "RSA 2048"},
		{"RSA-PSS with SHA-256", rsaKey, x509.SHA256WithRSAPSS, "RSA 2048"},
		{"RSA-PSS with SHA-512", rsaKey, x509.SHA512WithRSAPSS, "RSA 2048"},
		{"ECDSA on P-224", curve(elliptic.P224()), x509.ECDSAWithSHA256, "ECDSA P-224"},
		{"ECDSA on P-256", curve(elliptic.P256()), x509.ECDSAWithSHA256, "ECDSA P-256"},
		{"ECDSA on P-384", curve(elliptic.P384()), x509.ECDSAWithSHA384, "ECDSA P-384"},
		{"ECDSA on P-521", curve(elliptic.P521()), x509.ECDSAWithSHA512, "ECDSA P-521"},
		{"Ed25519", edKey, x509.PureEd25519, "Ed25519"},
	} {
		t.Run(test.name, func(t *testing.T) {
			template := caTemplate("Example CA", 1)
			template.SignatureAlgorithm = test.alg
			ca := certify(t, template, test.key, nil)
			c := Parse(ca.cert.Raw)
			if c.KeyAlgorithm != test.say {
				t.Errorf("key algorithm %q, want %q", c.KeyAlgorithm, test.say)
			}
			if err := c.VerifiedBy(c.RawSPKI); err != nil {
				t.Error(err)
			}
			if c.VerifiedBy(other) == nil {
				t.Error("verifies under another key")
			}
			changed := bytes.Clone(ca.cert.Raw)
			changed[bytes.Index(changed, []byte("Example CA"))] ^= 1
			if err := Parse(changed).VerifiedBy(c.RawSPKI); err == nil {
				t.Error("verifies after a byte was changed")
			}
			changed = bytes.Clone(ca.cert.Raw)
			changed[len(changed)-1] ^= 1
			if err := Parse(changed).VerifiedBy(c.RawSPKI); err == nil {
				t.Error("verifies after the signature was changed")
			}
			if err := ParseTBS(ca.cert.RawTBSCertificate).VerifiedBy(c.RawSPKI); err == nil {
				t.Error("a bare TBSCertificate verifies")
			}
		})
	}
	t.Run("a compressed point is the same key", func(t *testing.T) {
		key := curve(elliptic.P256())
		c := Parse(certify(t, caTemplate("Example CA", 1), key, nil).cert.Raw)
		pub := key.Public().(*ecdsa.PublicKey)
		raw, err := pub.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		i := bytes.Index(c.RawSPKI, raw)
		var n notes
		_, body, _ := next(c.RawSPKI, &n)
		_, alg, _, _ := element(body, &n)
		short := append([]byte{0, 2 + raw[64]&1}, raw[1:33]...)
		if i < 0 || c.VerifiedBy(tagged(tagSequence, alg, tagged(tagBitString, short))) != nil {
			t.Error("does not verify")
		}
	})
}

// signRSA makes a certificate signed under a key that crypto/rsa would not take.
func signRSA(t *testing.T, n, d *big.Int, e int64) *Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := caTemplate("Example CA", 1)
	c := Parse(certify(t, template, key, nil).cert.Raw)
	tail := append(append([]byte{0}, digestInfo[crypto.SHA256]...), digest(crypto.SHA256, c.RawTBS)...)
	k := (n.BitLen() + 7) / 8
	em := append(append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, k-2-len(tail))...), tail...)
	sig := new(big.Int).Exp(new(big.Int).SetBytes(em), d, n).FillBytes(make([]byte, k))
	return Parse(tagged(tagSequence, c.RawTBS, c.SignatureAlgorithm, tagged(tagBitString, []byte{0}, sig)))
}

func spkiRSA(n []byte, e int64) []byte {
	return tagged(tagSequence,
		tagged(tagSequence, tagged(tagOID, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01})),
		tagged(tagBitString, []byte{0}, tagged(tagSequence, tagged(tagInteger, n), tagged(tagInteger, big.NewInt(e).Bytes()))))
}

func TestOddRSAKeysOfOldIssuersStillVerify(t *testing.T) {
	var p, q *big.Int
	for {
		p, _ = rand.Prime(rand.Reader, 320)
		q, _ = rand.Prime(rand.Reader, 320)
		if new(big.Int).GCD(nil, nil, big.NewInt(65537), new(big.Int).Mul(minus1(p), minus1(q))).Cmp(big.NewInt(1)) == 0 {
			break
		}
	}
	n := new(big.Int).Mul(p, q)
	d := new(big.Int).ModInverse(big.NewInt(65537), new(big.Int).Mul(minus1(p), minus1(q)))
	c := signRSA(t, n, d, 65537)
	if err := c.VerifiedBy(spkiRSA(append([]byte{0}, n.Bytes()...), 65537)); err != nil {
		t.Errorf("640 bits: %v", err)
	}
	if err := c.VerifiedBy(spkiRSA(n.Bytes(), 65537)); err != nil {
		t.Errorf("a modulus without its leading zero: %v", err)
	}
	if err := c.VerifiedBy(spkiRSA(n.Bytes(), 3)); !errors.Is(err, errSignature) {
		t.Errorf("another exponent: %v", err)
	}
}

func minus1(x *big.Int) *big.Int { return new(big.Int).Sub(x, big.NewInt(1)) }

func TestHostileKeysAreRefusedWithoutWork(t *testing.T) {
	c := Parse(certify(t, caTemplate("Example CA", 1), newKey(t), nil).cert.Raw)
	c.SignatureAlgorithm = tagged(tagSequence, tagged(tagOID, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b}), []byte{5, 0})
	huge := bytes.Repeat([]byte{0xff}, 1<<20)
	for name, spki := range map[string][]byte{
		"nothing": nil, "no SEQUENCE": {4, 1, 1}, "an empty SEQUENCE": {0x30, 0},
		"a modulus of a million bytes": spkiRSA(huge, 65537), "an even modulus": spkiRSA(append(bytes.Repeat([]byte{0xfe}, 256), 0xfe), 65537),
		"an exponent of one": spkiRSA(huge[:256], 1), "an exponent of two": spkiRSA(huge[:256], 2), "an exponent of 62 bits": spkiRSA(huge[:256], 1<<61+1),
		"a modulus of zero": spkiRSA([]byte{0}, 3),
	} {
		if err := c.VerifiedBy(spki); err == nil || errors.Is(err, errSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignaturesOfTheCorpusVerifyAsCryptoX509Says(t *testing.T) {
	verified, refused := 0, 0
	for _, name := range []string{"real/ca", "real/ct-accepted-root", "hostile/hostile"} {
		f := readCorpus(t, name)
		for i, der := range f.Certs {
			c := Parse(der)
			standard, err := x509.ParseCertificate(der)
			if err != nil || !bytes.Equal(c.RawIssuer, c.RawSubject) || i%3 != 0 {
				continue
			}
			want := standard.CheckSignature(standard.SignatureAlgorithm, standard.RawTBSCertificate, standard.Signature)
			got := c.VerifiedBy(c.RawSPKI)
			if want == nil {
				verified++
			} else {
				refused++
			}
			if want == nil && got != nil {
				t.Errorf("%s %s: %v, crypto/x509 verifies it", name, f.Rows[i]["sha256"], got)
			}
			// What only we verify must be old, not wrong.
			if want != nil && got == nil && standard.SignatureAlgorithm >= x509.SHA256WithRSA && c.KeyAlgorithm[:3] != "RSA" {
				t.Errorf("%s %s: verified, crypto/x509 says %v", name, f.Rows[i]["sha256"], want)
			}
		}
	}
	t.Logf("crypto/x509: %d verified, %d not", verified, refused)
	if verified < 200 || refused == 0 {
		t.Errorf("crypto/x509: %d verified, %d not", verified, refused)
	}
}
