package facts_test

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

var (
	start     = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	poisonOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	precertCA = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 4}
)

// authority is a certificate with its key; nearly always a CA.
type authority struct {
	x509 *x509.Certificate
	key  crypto.Signer
}

func (a *authority) der() []byte    { return a.x509.Raw }
func (a *authority) spki() [32]byte { return sha256.Sum256(a.x509.RawSubjectPublicKeyInfo) }

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(cn string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: cn},
		NotBefore: start, NotAfter: start.AddDate(1, 0, 0),
	}
}

// sign makes a certificate of tmpl for key, by issuer; self-signed when issuer is nil.
func sign(t testing.TB, tmpl *x509.Certificate, key crypto.Signer, issuer *authority) *authority {
	t.Helper()
	parent, signer := tmpl, key
	if issuer != nil {
		parent, signer = issuer.x509, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

func ca(t testing.TB, cn string, issuer *authority, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	tmpl := template(cn)
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	for _, f := range change {
		f(tmpl)
	}
	return sign(t, tmpl, newKey(t), issuer)
}

func leafTemplate() *x509.Certificate {
	tmpl := template("www.example.com")
	tmpl.DNSNames = []string{"www.example.com"}
	return tmpl
}

func leaf(t testing.TB, issuer *authority) *authority {
	t.Helper()
	return sign(t, leafTemplate(), newKey(t), issuer)
}

func poisoned(tmpl *x509.Certificate) *x509.Certificate {
	tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: poisonOID, Critical: true, Value: []byte{5, 0}})
	return tmpl
}

// table makes Owners of rows "hash how owners", with the owners Alpha (0), Beta (1) and Gamma (2).
func table(t testing.TB, rows ...string) *facts.Owners {
	t.Helper()
	owners := "owner\tshort_name\tcaa_domains\n" +
		"Alpha Trust Inc.\tAlpha\talpha.example,shared.example\nBeta CA\t\tbeta.example,shared.example\nGamma\t\t\n"
	keys := strings.Join(append([]string{"spki_sha256\thow\towners"}, rows...), "\n") + "\n"
	o, err := facts.ReadOwners([]byte(owners), zip(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func row(a *authority, how, owners string) string {
	spki := a.spki()
	return hex.EncodeToString(spki[:]) + "\t" + how + "\t" + owners
}

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
