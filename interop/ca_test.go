package interop_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"testing"
	"time"
)

// Object identifiers of RFC 6962 that crypto/x509 does not know.
var (
	oidSCTList       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	oidPoison        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	oidPrecertSigner = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 4}
)

// ca is a certificate authority for tests. It is built on crypto/x509 alone, so that nothing of ours takes part in
// making what ours must read.
type ca struct {
	cert   *x509.Certificate
	key    crypto.Signer
	parent *ca // nil for a root
}

func newRoot(t testing.TB, name string) *ca { return newCA(t, nil, name, ecdsaKey(t), nil) }

// sub is an intermediate CA with the key; with precert it is a precertificate signing CA (RFC 6962 section 3.1), which
// signs precertificates on behalf of c.
func (c *ca) sub(t testing.TB, name string, key crypto.Signer, edit func(*x509.Certificate)) *ca {
	return newCA(t, c, name, key, edit)
}

func (c *ca) precertSigner(t testing.TB, name string, key crypto.Signer) *ca {
	return c.sub(t, name, key, func(tmpl *x509.Certificate) {
		tmpl.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidPrecertSigner}
	})
}

func newCA(t testing.TB, parent *ca, name string, key crypto.Signer, edit func(*x509.Certificate)) *ca {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber:          serial(t),
		Subject:               pkix.Name{Organization: []string{"Example Trust"}, CommonName: name},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if edit != nil {
		edit(tmpl)
	}
	c := &ca{key: key, parent: parent}
	signer, issuer := key, tmpl
	if parent != nil {
		signer, issuer = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, issuer, key.Public(), signer)
	if err != nil {
		t.Fatalf("making the CA %q: %v", name, err)
	}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatalf("reading the CA %q: %v", name, err)
	}
	return c
}

// chain is the CA's certificate and those above it, up to and with the root.
func (c *ca) chain() [][]byte {
	var chain [][]byte
	for ; c != nil; c = c.parent {
		chain = append(chain, c.cert.Raw)
	}
	return chain
}

// issue signs the template as it is.
func (c *ca) issue(t testing.TB, tmpl *x509.Certificate, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, c.cert, pub, c.key)
	if err != nil {
		t.Fatalf("issuing: %v", err)
	}
	return der
}

// precert signs the template with the poison after its other extensions.
func (c *ca) precert(t testing.TB, tmpl *x509.Certificate, pub crypto.PublicKey) []byte {
	t.Helper()
	return c.issue(t, with(tmpl, pkix.Extension{Id: oidPoison, Critical: true, Value: asn1.NullBytes}), pub)
}

// final signs the template with an SCT list where the precertificate has its poison.
func (c *ca) final(t testing.TB, tmpl *x509.Certificate, pub crypto.PublicKey, scts ...[]byte) []byte {
	t.Helper()
	var list []byte
	for _, sct := range scts {
		list = append(list, byte(len(sct)>>8), byte(len(sct)))
		list = append(list, sct...)
	}
	value, err := asn1.Marshal(append([]byte{byte(len(list) >> 8), byte(len(list))}, list...))
	if err != nil {
		t.Fatalf("encoding the SCT list: %v", err)
	}
	return c.issue(t, with(tmpl, pkix.Extension{Id: oidSCTList, Value: value}), pub)
}

// with is a copy of the template with one more extension.
func with(tmpl *x509.Certificate, e pkix.Extension) *x509.Certificate {
	copied := *tmpl
	copied.ExtraExtensions = append(append([]pkix.Extension{}, tmpl.ExtraExtensions...), e)
	return &copied
}

// leafFor is a template for a server certificate with the names and addresses, each with a serial number of its own.
func leafFor(t testing.TB, names []string, addresses ...string) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: serial(t),
		NotBefore:    time.Now().Add(-time.Hour).Truncate(time.Second),
		NotAfter:     time.Now().Add(40 * 24 * time.Hour).Truncate(time.Second),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names,
	}
	for _, a := range addresses {
		ip := net.ParseIP(a)
		if ip == nil {
			t.Fatalf("%q is no address", a)
		}
		tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
	}
	return tmpl
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("drawing a serial number: %v", err)
	}
	return n.Add(n, big.NewInt(1))
}

func ecdsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	return made(t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func p384Key(t testing.TB) crypto.Signer {
	t.Helper()
	return made(t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
}

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return key
}

func ed25519Key(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return key
}

func made(t testing.TB) func(*ecdsa.PrivateKey, error) crypto.Signer {
	return func(key *ecdsa.PrivateKey, err error) crypto.Signer {
		t.Helper()
		if err != nil {
			t.Fatalf("making a key: %v", err)
		}
		return key
	}
}

// joined is chain[0] followed by the rest, as the submission calls want it.
func joined(leaf []byte, chain [][]byte) [][]byte {
	return append([][]byte{bytes.Clone(leaf)}, chain...)
}
