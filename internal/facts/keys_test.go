package facts_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

func spkiOf(t testing.TB, public crypto.PublicKey) [32]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(der)
}

func must(t testing.TB) func(der []byte, err error) []byte {
	return func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// change writes a file and gives it a time of change that differs from before, however coarse the clock of files is.
func change(t testing.TB, path string, data []byte) {
	t.Helper()
	later := time.Now().Add(time.Hour)
	if info, err := os.Stat(path); err == nil {
		later = info.ModTime().Add(time.Second)
	}
	write(t, path, data)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
}

func publicPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	return inPEM("PUBLIC KEY", must(t)(x509.MarshalPKIXPublicKey(key.Public())))
}

func TestWhatCountsAsAKeyInAFile(t *testing.T) {
	ec := newKey(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := ca(t, "Example Root", nil)
	crt := sign(t, leafTemplate(), ec, root).der()
	csr := must(t)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "www.example.com"}}, ec))
	pkcs8 := must(t)(x509.MarshalPKCS8PrivateKey(ec))
	spki := must(t)(x509.MarshalPKIXPublicKey(ec.Public()))
	params := must(t)(asn1.Marshal(struct{ P, G *big.Int }{rsaKey.N, big.NewInt(65537)}))
	encrypted := must(t)(asn1.Marshal(struct {
		Alg  pkix.AlgorithmIdentifier
		Data []byte
	}{pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}}, []byte{1, 2, 3}}))
	other := leaf(t, root)
	oldKey := inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))
	oldKey = slices.Concat([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n"), oldKey[len("-----BEGIN RSA PRIVATE KEY-----\n"):])

	ecKey := [][32]byte{spkiOf(t, ec.Public())}
	for _, row := range []struct {
		name string
		data []byte
		keys [][32]byte
		note string
	}{
		{"a certificate in PEM", inPEM("CERTIFICATE", crt), ecKey, ""},
		{"a certificate in DER", crt, ecKey, ""},
		{"a certificate with text around it", slices.Concat([]byte("subject=www\n"), inPEM("CERTIFICATE", crt), []byte("bye\n")), ecKey, ""},
		{"a trusted certificate of OpenSSL", inPEM("TRUSTED CERTIFICATE", slices.Concat(crt, []byte{0x30, 0})), ecKey, ""},
		{"a request in PEM", inPEM("CERTIFICATE REQUEST", csr), ecKey, ""},
		{"a request in DER", csr, ecKey, ""},
		{"a public key in PEM", inPEM("PUBLIC KEY", spki), ecKey, ""},
		{"a public key in DER", spki, ecKey, ""},
		{"an RSA public key of PKCS #1", inPEM("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)), [][32]byte{spkiOf(t, rsaKey.Public())}, ""},
		{"a private key of PKCS #8 in PEM", inPEM("PRIVATE KEY", pkcs8), ecKey, ""},
		{"a private key of PKCS #8 in DER", slices.Clone(pkcs8), ecKey, ""},
		{"an EC private key of SEC 1, after its parameters", slices.Concat(inPEM("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}),
			inPEM("EC PRIVATE KEY", must(t)(x509.MarshalECPrivateKey(ec)))), ecKey, ""},
		{"an RSA private key of PKCS #1", inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), [][32]byte{spkiOf(t, rsaKey.Public())}, ""},
		{"an Ed25519 private key", inPEM("PRIVATE KEY", must(t)(x509.MarshalPKCS8PrivateKey(edKey))), [][32]byte{spkiOf(t, edPublic)}, ""},
		{"several certificates in one file", slices.Concat(inPEM("CERTIFICATE", crt), inPEM("CERTIFICATE", other.der())), [][32]byte{ecKey[0], other.spki()}, ""},
		{"of a bundle only the end entity", slices.Concat(inPEM("CERTIFICATE", crt), inPEM("CERTIFICATE", root.der())), ecKey, ""},
		{"a key and its certificate count once", slices.Concat(inPEM("PRIVATE KEY", pkcs8), inPEM("CERTIFICATE", crt)), ecKey, ""},
		{"not the key of a CA", inPEM("CERTIFICATE", root.der()), nil, "only CA certificates"},
		{"not an encrypted private key", inPEM("ENCRYPTED PRIVATE KEY", encrypted), nil, "encrypted private key"},
		{"not an encrypted private key in DER", encrypted, nil, "encrypted private key"},
		{"not an encrypted private key of old", oldKey, nil, "encrypted private key"},
		{"not Diffie-Hellman parameters, which look like an RSA key", inPEM("DH PARAMETERS", params), nil, "no certificate"},
		{"not Diffie-Hellman parameters in DER", params, nil, "no certificate"},
		{"not text", []byte("hello"), nil, "no certificate"},
		{"not an empty file", nil, nil, "no certificate"},
	} {
		t.Run(row.name, func(t *testing.T) {
			keys, note := facts.OwnKeys(slices.Clone(row.data))
			if diff := cmp.Diff(row.keys, keys); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if (row.note == "") != (note == "") || !strings.Contains(note, row.note) {
				t.Errorf("note %q, want something with %q", note, row.note)
			}
		})
	}
}

func TestASourceOfKeysIsAHashOrAPath(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for _, row := range []struct{ text, want string }{
		{"spki:" + hash, "spki:" + hash},
		{" spki:" + strings.ToUpper(hash), "spki:" + hash},
		{"file:/etc/tocsin/keys/", "file:/etc/tocsin/keys"},
		{"file:///etc/tocsin/keys", "file:/etc/tocsin/keys"},
		{"/etc/tocsin/keys", "file:/etc/tocsin/keys"},
		{"file:keys/a.pem", "file:keys/a.pem"},
		{"spki:0a", ""}, {"spki:" + hash + "00", ""}, {"spki:" + strings.Repeat("zz", 32), ""},
		{"", ""}, {"file:", ""}, {"sha256:" + hash, ""}, {"https://example.com/key.pem", ""},
	} {
		if got, err := facts.Entry(row.text); (err != nil) != (row.want == "") || err == nil && filepath.ToSlash(got) != row.want {
			t.Errorf("%q: %q, %v; want %q", row.text, got, err, row.want)
		}
	}
	if _, err := facts.OpenKeys([]string{"spki:1", "https://example.com/"}); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("want both sources told: %v", err)
	}
}

func TestADirectoryIsReadWithAllBelowIt(t *testing.T) {
	dir := t.TempDir()
	a, b, hidden, linked := newKey(t), newKey(t), newKey(t), newKey(t)
	write(t, filepath.Join(dir, "a.pem"), publicPEM(t, a))
	write(t, filepath.Join(dir, "live", "www", "b.der"), must(t)(x509.MarshalPKIXPublicKey(b.Public())))
	write(t, filepath.Join(dir, "README"), []byte("how to add a key"))
	write(t, filepath.Join(dir, ".old", "c.pem"), publicPEM(t, hidden))
	write(t, filepath.Join(dir, ".d.pem"), publicPEM(t, hidden))
	elsewhere := filepath.Join(t.TempDir(), "e.pem")
	write(t, elsewhere, publicPEM(t, linked))
	if err := os.Symlink(elsewhere, filepath.Join(dir, "live", "e.pem")); err != nil {
		t.Skip("no links here:", err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "live", "loop")); err != nil {
		t.Skip("no links here:", err)
	}
	written := "spki:" + strings.Repeat("0a", 32)
	k, err := facts.OpenKeys([]string{"file:" + dir, written})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, source string
		spki         [32]byte
	}{
		{"a file", filepath.Join(dir, "a.pem"), spkiOf(t, a.Public())},
		{"a file below", filepath.Join(dir, "live", "www", "b.der"), spkiOf(t, b.Public())},
		{"a link to a file", filepath.Join(dir, "live", "e.pem"), spkiOf(t, linked.Public())},
		{"a hash that is written down", written, [32]byte([]byte(strings.Repeat("\x0a", 32)))},
		{"a hidden file", "", spkiOf(t, hidden.Public())},
		{"nothing", "", [32]byte{}},
	} {
		if source, ok := k.Owned(row.spki); source != row.source || ok != (row.source != "") {
			t.Errorf("%s: %q %v, want %q", row.name, source, ok, row.source)
		}
	}
	if k.Len() != 4 || len(k.Problems()) != 0 {
		t.Errorf("%d keys, problems %v", k.Len(), k.Problems())
	}
	want := []facts.Holding{{Entry: "file:" + dir, File: filepath.Join(dir, "a.pem")}}
	if diff := cmp.Diff(want, k.Holdings(spkiOf(t, a.Public()))); diff != "" {
		t.Errorf("holdings (-want +got):\n%s", diff)
	}
}

func TestKeysFollowTheirFiles(t *testing.T) {
	a, b := newKey(t), newKey(t)
	owned := func(k *facts.Keys) (have string) {
		if _, ok := k.Owned(spkiOf(t, a.Public())); ok {
			have += "a"
		}
		if _, ok := k.Owned(spkiOf(t, b.Public())); ok {
			have += "b"
		}
		return have
	}
	for _, row := range []struct {
		name    string
		change  func(t *testing.T, dir, file string)
		want    string
		changed bool
		problem string
	}{
		{"nothing happened", func(*testing.T, string, string) {}, "a", false, ""},
		{"the file holds another key", func(t *testing.T, _, file string) { change(t, file, publicPEM(t, b)) }, "b", true, ""},
		{"another file came", func(t *testing.T, dir, _ string) { write(t, filepath.Join(dir, "b.pem"), publicPEM(t, b)) }, "ab", true, ""},
		{"the file is gone from its directory", func(t *testing.T, _, file string) { os.Remove(file) }, "", true, "holds no certificate"},
		{"the file is half written", func(t *testing.T, _, file string) { change(t, file, publicPEM(t, b)[:60]) }, "a", false, "still count"},
		{"the file is empty", func(t *testing.T, _, file string) { change(t, file, nil) }, "a", false, "still count"},
		{"the file is far too large", func(t *testing.T, _, file string) { os.Truncate(file, 1<<30) }, "a", false, "larger than"},
		{"the directory is gone", func(t *testing.T, dir, _ string) { os.RemoveAll(dir) }, "a", false, "cannot be read"},
		{"the file is a directory now", func(t *testing.T, _, file string) { os.Remove(file); os.Mkdir(file, 0o755) }, "", true, "holds no certificate"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			file := filepath.Join(dir, "a.pem")
			write(t, file, publicPEM(t, a))
			k, err := facts.OpenKeys([]string{"file:" + dir})
			if err != nil || owned(k) != "a" {
				t.Fatal(owned(k), err)
			}
			row.change(t, dir, file)
			changed, err := k.Reload()
			if got := owned(k); got != row.want || changed != row.changed {
				t.Errorf("owned %q, changed %v; want %q, %v", got, changed, row.want, row.changed)
			}
			if row.problem == "" && err != nil || row.problem != "" && (err == nil || !strings.Contains(err.Error(), row.problem)) {
				t.Errorf("problem %v, want something with %q", err, row.problem)
			}
			// What is wrong is tried again, and a file that is well again is read.
			os.RemoveAll(dir)
			change(t, file, publicPEM(t, b))
			if _, err := k.Reload(); err != nil || owned(k) != "b" {
				t.Errorf("afterwards: %q, %v", owned(k), err)
			}
		})
	}
}

func TestASourceThatCannotBeReadIsToldAndTheOthersCount(t *testing.T) {
	dir := t.TempDir()
	a := newKey(t)
	write(t, filepath.Join(dir, "a.pem"), publicPEM(t, a))
	write(t, filepath.Join(dir, "text"), []byte("hello"))
	sources := []string{"file:" + filepath.Join(dir, "none.pem"), "file:" + filepath.Join(dir, "text"), "file:" + filepath.Join(dir, "a.pem")}
	k, err := facts.OpenKeys(sources)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := k.Owned(spkiOf(t, a.Public())); !ok {
		t.Error("the readable file does not count")
	}
	var told []string
	for _, p := range k.Problems() {
		told = append(told, filepath.Base(p.File))
	}
	if diff := cmp.Diff([]string{"none.pem", "text"}, told); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestAnEncryptedKeyIsToldUnlessItsCertificateIsBesideIt(t *testing.T) {
	dir := t.TempDir()
	a := newKey(t)
	write(t, filepath.Join(dir, "key.pem"), inPEM("ENCRYPTED PRIVATE KEY", []byte{1}))
	write(t, filepath.Join(dir, "x", "b.pem"), publicPEM(t, newKey(t)))
	k, err := facts.OpenKeys([]string{dir})
	if err != nil || len(k.Problems()) != 1 || !strings.Contains(k.Problems()[0].Text, "encrypted") {
		t.Fatalf("problems %v, %v", k.Problems(), err)
	}
	write(t, filepath.Join(dir, "crt.pem"), inPEM("CERTIFICATE", sign(t, leafTemplate(), a, nil).der()))
	if _, err := k.Reload(); err != nil {
		t.Errorf("still told: %v", err)
	}
}

func TestTheBytesOfAFileAreWipedAfterUse(t *testing.T) {
	secret := must(t)(x509.MarshalPKCS8PrivateKey(newKey(t)))
	var kept []byte
	err := facts.Wiped(bytes.NewReader(secret), int64(len(secret)), func(data []byte) {
		if !bytes.Equal(data, secret) {
			t.Error("not what the file holds")
		}
		kept = data
	})
	if err != nil || slices.ContainsFunc(kept, func(b byte) bool { return b != 0 }) {
		t.Errorf("the secret is still there, or %v", err)
	}
}

func FuzzOwnKeys(f *testing.F) {
	key := newKey(f)
	one := sign(f, leafTemplate(), key, nil)
	f.Add(one.der())
	f.Add(inPEM("CERTIFICATE", one.der()))
	f.Add(must(f)(x509.MarshalPKCS8PrivateKey(key)))
	f.Add(must(f)(x509.MarshalECPrivateKey(key)))
	f.Add(publicPEM(f, key))
	f.Add(must(f)(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, note := facts.OwnKeys(slices.Clone(data))
		if (len(keys) == 0) != (note != "") {
			t.Errorf("%d keys, note %q", len(keys), note)
		}
		if slices.Contains(keys, [32]byte{}) {
			t.Error("the zero hash is owned")
		}
	})
}
