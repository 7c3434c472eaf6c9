package interop_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/ctutil"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
)

// oidPadding (subjectDirectoryAttributes) is an extension that nobody interprets here: a place for padding.
var oidPadding = []int{2, 5, 29, 9}

// withoutKeyID is the CA with a certificate that seems to have no key identifier, so that what it signs gets no
// authority key identifier.
func (c *ca) withoutKeyID() *ca {
	copied, bare := *c, *c.cert
	bare.SubjectKeyId = nil
	copied.cert = &bare
	return &copied
}

func TestFinalTBSAgreesWithCertificateTransparencyGo(t *testing.T) {
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	bare := root.withoutKeyID().sub(t, "Issuing CA", p384Key(t), nil)
	plain := leafFor(t, []string{"www.example.com", "example.com"}, "192.0.2.1", "2001:db8::1")
	none := &x509.Certificate{SerialNumber: serial(t), NotBefore: plain.NotBefore, NotAfter: plain.NotAfter}
	long := leafFor(t, nil)
	for i := range 2500 {
		long.DNSNames = append(long.DNSNames, fmt.Sprintf("host-%d.some.long.zone.example.com", i))
	}
	old := leafFor(t, []string{"www.example.com"})
	old.ExtraExtensions = []pkix.Extension{
		// An authority key identifier of the other kind, in an unusual place: [1] names, [2] serial.
		{Id: []int{2, 5, 29, 35}, Value: []byte{0x30, 0x14, 0xa1, 0x0f, 0xa4, 0x0d, 0x30, 0x0b, 0x31, 0x09, 0x30, 0x07, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x00, 0x82, 0x01, 0x07}},
		{Id: []int{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 0x03, 0x02, 0x01, 0x05}},
	}
	for _, row := range []struct {
		name   string
		signer *ca
		tmpl   *x509.Certificate
		key    crypto.Signer
	}{
		{"signed by the issuing CA", issuer, plain, ecdsaKey(t)},
		{"signed by the root", root, plain, ecdsaKey(t)},
		{"an RSA key", issuer, plain, rsaKey(t)},
		{"an Ed25519 key", issuer, plain, ed25519Key(t)},
		{"no name and no extension but a key identifier and the poison", issuer, none, ecdsaKey(t)},
		{"no name and no extension but the poison", issuer.withoutKeyID(), none, ecdsaKey(t)},
		{"80 KB of names", issuer, long, ecdsaKey(t)},
		{"D22: a precertificate signing CA", issuer.precertSigner(t, "Precert CA", ecdsaKey(t)), plain, ecdsaKey(t)},
		{"D22: a precertificate signing CA with another kind of key", issuer.precertSigner(t, "Precert CA", rsaKey(t)), plain, ecdsaKey(t)},
		{"D22: with a longer name than the issuer's", issuer.precertSigner(t, strings.Repeat("Precertificate signing ", 30), ecdsaKey(t)), plain, ecdsaKey(t)},
		{"D22: 80 KB of names", issuer.precertSigner(t, "Precert CA", ecdsaKey(t)), long, ecdsaKey(t)},
		{"D22: no key identifier in the precertificate", issuer.precertSigner(t, "Precert CA", ecdsaKey(t)).withoutKeyID(), plain, ecdsaKey(t)},
		{"D22: no key identifier and no other extension", issuer.precertSigner(t, "Precert CA", ecdsaKey(t)).withoutKeyID(), none, ecdsaKey(t)},
		{"D22: no key identifier in the signing CA's certificate", bare.withoutKeyID().precertSigner(t, "Precert CA", ecdsaKey(t)), plain, ecdsaKey(t)},
		{"D22: no key identifier anywhere", bare.withoutKeyID().precertSigner(t, "Precert CA", ecdsaKey(t)).withoutKeyID(), plain, ecdsaKey(t)},
		{"D22: a key identifier made of issuer and serial number", issuer.precertSigner(t, "Precert CA", ecdsaKey(t)), old, ecdsaKey(t)},
		{"a key identifier made of issuer and serial number", issuer, old, ecdsaKey(t)},
	} {
		t.Run(row.name, func(t *testing.T) {
			agree(t, row.signer.precert(t, row.tmpl, row.key.Public()), row.signer.chain())
		})
	}
}

// agree compares our view of a precertificate with that of the library that CTFE uses.
func agree(t *testing.T, precert []byte, chain [][]byte) {
	t.Helper()
	leaf, err := ct.MerkleTreeLeafFromChain(forkChain(t, joined(precert, chain)), ct.PrecertLogEntryType, 0)
	if err != nil {
		t.Fatalf("the oracle: %v", err)
	}
	want := leaf.TimestampedEntry.PrecertEntry
	tbs, hash, err := cert.FinalTBS(precert, chain)
	if err != nil {
		t.Fatalf("FinalTBS: %v", err)
	}
	if hash != want.IssuerKeyHash {
		t.Errorf("issuer key hash %x, the oracle says %x", hash, want.IssuerKeyHash)
	}
	if !bytes.Equal(tbs, want.TBSCertificate) {
		t.Errorf("the TBSCertificate differs:\n ours   %x\n oracle %x", tbs, want.TBSCertificate)
	}
}

// A length in DER takes one to four bytes: removing the poison, or putting in another issuer, may shrink or grow the
// lengths of everything around it.
func TestFinalTBSAgreesAcrossLengthBoundaries(t *testing.T) {
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", ecdsaKey(t), nil)
	key := ecdsaKey(t)
	for _, row := range []struct {
		name   string
		signer *ca
	}{
		{"poison only", issuer},
		{"poison and issuer", issuer.precertSigner(t, "A precertificate signing CA", ecdsaKey(t))},
		{"poison, issuer and a new key identifier", issuer.precertSigner(t, "A precertificate signing CA", ecdsaKey(t)).withoutKeyID()},
	} {
		t.Run(row.name, func(t *testing.T) {
			// The rest of a TBSCertificate and its extensions is 200 to 400 bytes.
			for boundary, step := range map[int]int{0x80: 1, 0x100: 1, 0x10000: 3} {
				for n := max(0, boundary-420); n < boundary+10; n += step {
					tmpl := &x509.Certificate{SerialNumber: serial(t), ExtraExtensions: []pkix.Extension{{Id: oidPadding, Value: make([]byte, n)}}}
					agree(t, row.signer.precert(t, tmpl, key.Public()), row.signer.chain())
					if t.Failed() {
						t.Fatalf("with %d bytes of padding", n)
					}
				}
			}
		})
	}
}

func TestPrecertificateAndFinalCertificateAreOneIssuance(t *testing.T) {
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	stranger := root.sub(t, "Issuing CA", p384Key(t), nil) // the same name, another key
	for _, row := range []struct {
		name   string
		signer *ca
	}{
		{"signed by the issuing CA", issuer},
		// Of the same kind of key, since the algorithm of the signature stands in the TBSCertificate.
		{"D22: signed by a precertificate signing CA", issuer.precertSigner(t, "Precert CA", p384Key(t))},
	} {
		t.Run(row.name, func(t *testing.T) {
			key := ecdsaKey(t)
			tmpl := leafFor(t, []string{"www.example.com"}, "192.0.2.1")
			precert := row.signer.precert(t, tmpl, key.Public())
			tbs, hash, err := cert.FinalTBS(precert, row.signer.chain())
			if err != nil {
				t.Fatal(err)
			}
			if want := sha256.Sum256(issuer.cert.RawSubjectPublicKeyInfo); hash != want {
				t.Errorf("issuer key hash %x, want that of the issuing CA %x", hash, want)
			}
			id := cert.Identity(tbs, hash)

			final := cert.Parse(issuer.final(t, tmpl, key.Public(), []byte("no SCT, but in its place")))
			if got := cert.Identity(final.RawTBS, hash); got != id {
				t.Errorf("the final certificate is issuance %v, the precertificate %v", got, id)
			}
			bare, err := cert.IssuanceTBS(final.RawTBS)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(bare, tbs) {
				t.Error("precertificate and final certificate differ in more than poison and SCT list")
			}
			oracle, err := ctx509.RemoveSCTList(final.RawTBS)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(bare, oracle) {
				t.Error("IssuanceTBS removes something else than the oracle does")
			}

			again := leafFor(t, []string{"www.example.com"}, "192.0.2.1")
			if other := cert.Parse(issuer.final(t, again, key.Public())); cert.Identity(other.RawTBS, hash) == id {
				t.Error("a certificate with another serial number is the same issuance")
			}
			otherHash := sha256.Sum256(stranger.cert.RawSubjectPublicKeyInfo)
			if cert.Identity(final.RawTBS, otherHash) == id {
				t.Error("a certificate by another key of the same name is the same issuance")
			}
		})
	}
}

func TestEmbeddedSCTsOfRealLogsVerifyOverWhatWeRead(t *testing.T) {
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	logs := startLogs(t, root)
	for _, row := range []struct {
		name   string
		signer *ca
	}{
		{"signed by the issuing CA", issuer},
		{"D22: signed by a precertificate signing CA", issuer.precertSigner(t, "Precert CA", p384Key(t))},
	} {
		t.Run(row.name, func(t *testing.T) {
			key := ecdsaKey(t)
			tmpl := leafFor(t, []string{"www.example.com"}, "192.0.2.1")
			precert := row.signer.precert(t, tmpl, key.Public())
			var raw [][]byte
			for _, l := range logs {
				sct, err := l.AddPreChain(soon(t), joined(precert, row.signer.chain())...)
				if err != nil {
					t.Fatal(err)
				}
				raw = append(raw, sct.TLS)
			}
			der := issuer.final(t, tmpl, key.Public(), raw...)
			read := cert.Parse(der)
			if len(read.SCTs) != len(logs) {
				t.Fatalf("%d SCTs read, want %d", len(read.SCTs), len(logs))
			}
			bare, err := cert.IssuanceTBS(read.RawTBS)
			if err != nil {
				t.Fatal(err)
			}
			for i, l := range logs {
				var sct ct.SignedCertificateTimestamp
				if _, err := tls.Unmarshal(raw[i], &sct); err != nil {
					t.Fatal(err)
				}
				// The oracle first: the certificate is as it should be.
				if err := ctutil.VerifySCT(&l.Key.PublicKey, forkChain(t, joined(der, issuer.chain())), &sct, true); err != nil {
					t.Fatalf("the oracle refuses the SCT of %s: %v", l.Name, err)
				}
				got := read.SCTs[i]
				want := cert.SCT{
					Raw: raw[i], Version: 0, LogID: l.ID, Timestamp: got.Timestamp, Extensions: sct.Extensions,
					HashAlg: uint8(sct.Signature.Algorithm.Hash), SigAlg: uint8(sct.Signature.Algorithm.Signature), Signature: sct.Signature.Signature,
				}
				if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
					t.Errorf("SCT of %s (-oracle +ours):\n%s", l.Name, diff)
				}
				if uint64(got.Timestamp.UnixMilli()) != sct.Timestamp {
					t.Errorf("SCT of %s: time %d, want %d", l.Name, got.Timestamp.UnixMilli(), sct.Timestamp)
				}
				// The signature covers a leaf; this one is made of our readings alone.
				verifier, err := ct.NewSignatureVerifier(&l.Key.PublicKey)
				if err != nil {
					t.Fatal(err)
				}
				entry := ct.LogEntry{Leaf: ct.MerkleTreeLeaf{
					Version: ct.V1, LeafType: ct.TimestampedEntryLeafType,
					TimestampedEntry: &ct.TimestampedEntry{
						Timestamp: sct.Timestamp, EntryType: ct.PrecertLogEntryType, Extensions: sct.Extensions,
						PrecertEntry: &ct.PreCert{IssuerKeyHash: sha256.Sum256(cert.Parse(issuer.cert.Raw).RawSPKI), TBSCertificate: bare},
					},
				}}
				if err := verifier.VerifySCTSignature(sct, entry); err != nil {
					t.Errorf("SCT of %s over our reading: %v", l.Name, err)
				}
			}
		})
	}
}

func TestVerifiedByAgreesOnWhoSigned(t *testing.T) {
	root := newRoot(t, "Root")
	for name, key := range map[string]crypto.Signer{"ECDSA P-256": ecdsaKey(t), "ECDSA P-384": p384Key(t), "RSA 2048": rsaKey(t), "Ed25519": ed25519Key(t)} {
		t.Run(name, func(t *testing.T) {
			issuer, stranger := root.sub(t, "Issuing CA", key, nil), root.sub(t, "Issuing CA", ecdsaKey(t), nil)
			der := issuer.issue(t, leafFor(t, []string{"www.example.com"}), ecdsaKey(t).Public())
			fork := forkChain(t, [][]byte{der, issuer.cert.Raw, stranger.cert.Raw})
			if err := fork[0].CheckSignatureFrom(fork[1]); err != nil {
				t.Fatalf("the oracle: %v", err)
			}
			read := cert.Parse(der)
			if err := read.VerifiedBy(issuer.cert.RawSubjectPublicKeyInfo); err != nil {
				t.Errorf("the issuer's signature: %v", err)
			}
			if err := read.VerifiedBy(stranger.cert.RawSubjectPublicKeyInfo); err == nil {
				t.Error("verified under a key of the same name that did not sign")
			}
			der[len(der)-1] ^= 1
			if err := cert.Parse(der).VerifiedBy(issuer.cert.RawSubjectPublicKeyInfo); err == nil {
				t.Error("verified with a changed signature")
			}
		})
	}
}

func TestIssuanceTBSAgreesOverRealPrecertificates(t *testing.T) {
	for _, file := range []string{"corpus/real/public-precert.pem.gz", "corpus/real/staging-precert.pem.gz"} {
		t.Run(file, func(t *testing.T) {
			rest, n, refused := sharedData(t, file), 0, 0
			for {
				var block *pem.Block
				if block, rest = pem.Decode(rest); block == nil {
					break
				}
				n++
				c := cert.Parse(block.Bytes)
				got, err := cert.IssuanceTBS(c.RawTBS)
				if err != nil {
					t.Errorf("certificate %d: %v", n, err)
					continue
				}
				want, oracleErr := ctx509.BuildPrecertTBS(c.RawTBS, nil)
				if oracleErr != nil {
					// Its reader is stricter than ours has to be. That must stay rare, or the test proves nothing.
					refused++
					continue
				}
				if !bytes.Equal(got, want) {
					t.Errorf("certificate %d (SHA-256 %x) differs from the oracle's", n, sha256.Sum256(block.Bytes))
				}
			}
			if n < 500 || refused > n/100 {
				t.Errorf("%d certificates, of which the oracle refused %d", n, refused)
			}
			t.Logf("%d certificates, the oracle refused %d", n, refused)
		})
	}
}
