package loglist

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

func TestTheRealSignedListVerifiesAndOneFlippedBitDoesNot(t *testing.T) {
	dir := filepath.Join(shared(t), "data", "loglists", "signed-2025-05-23")
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	list, sig := read("log_list.json"), read("log_list.sig")
	given, err := ParseKey(read("google_log_list_pubkey.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key := DefaultKey()
	if !key.(*rsa.PublicKey).Equal(given) {
		t.Error("the embedded key is not the one that Google publishes with its list")
	}
	if err := CheckSignature(list, sig, key); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, len(list) / 2, len(list) - 1} {
		list[at] ^= 1
		if CheckSignature(list, sig, key) == nil {
			t.Errorf("verifies with a flipped bit at byte %d of the list", at)
		}
		list[at] ^= 1
	}
	for _, at := range []int{0, len(sig) - 1} {
		sig[at] ^= 1
		if CheckSignature(list, sig, key) == nil {
			t.Errorf("verifies with a flipped bit at byte %d of the signature", at)
		}
		sig[at] ^= 1
	}
	if CheckSignature(list[:len(list)-1], sig, key) == nil || CheckSignature(list, nil, key) == nil || CheckSignature(nil, sig, key) == nil {
		t.Error("a part verifies")
	}
}

func signed(t testing.TB, list []byte, key crypto.Signer) []byte {
	digest := sha256.Sum256(list)
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func spki(t testing.TB, key crypto.Signer) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestKeysOfPublishersAreRSAOrECDSAInAnyCoat(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	list := []byte(`{"operators":[]}`)
	for _, key := range []crypto.Signer{ec, other, r} {
		der := spki(t, key)
		for coat, b := range map[string][]byte{
			"DER": der, "base64": []byte(base64.StdEncoding.EncodeToString(der) + "\n"),
			"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		} {
			public, err := ParseKey(b)
			if err != nil {
				t.Errorf("%T as %s: %v", key, coat, err)
				continue
			}
			if err := CheckSignature(list, signed(t, list, key), public); err != nil {
				t.Errorf("%T as %s: %v", key, coat, err)
			}
			if CheckSignature(append(list, ' '), signed(t, list, key), public) == nil {
				t.Errorf("%T as %s: another list verifies", key, coat)
			}
		}
	}
	if public, _ := ParseKey(spki(t, ec)); CheckSignature(list, signed(t, list, other), public) == nil {
		t.Error("the signature of another key verifies")
	}
}

func TestKeysThatProveNothingAreRefused(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{
		"nothing": nil, "text": []byte("a key"), "too much": make([]byte, maxKey+1),
		"an Ed25519 key": spki(t, ed), "RSA of 1024 bits": spki(t, small), "P-224": spki(t, p224),
		"a private key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: func() []byte { b, _ := x509.MarshalPKCS8PrivateKey(small); return b }()}),
	} {
		if k, err := ParseKey(b); err == nil {
			t.Errorf("%s is taken as a key: %T", what, k)
		}
	}
	if err := CheckSignature(nil, nil, nil); err == nil {
		t.Error("no key verifies")
	}
}

func TestTheSignatureIsFoundBesideTheList(t *testing.T) {
	for src, want := range map[string]string{
		"": "https://www.gstatic.com/ct/log_list/v3/log_list.sig", DefaultURL: "https://www.gstatic.com/ct/log_list/v3/log_list.sig",
		"https://example.com/list.json?v=3": "https://example.com/list.sig?v=3", "/etc/tocsin/list.json": "/etc/tocsin/list.sig",
		"https://example.com/list": "https://example.com/list.sig",
	} {
		if got := SignaturePlace(src); got != want {
			t.Errorf("%q: %q, want %q", src, got, want)
		}
	}
}

func FuzzKeyAndSignature(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	list := []byte(`{"operators":[]}`)
	f.Add(list, signed(f, list, key), spki(f, key))
	f.Add(list, []byte{0x30, 0}, googlePEM)
	f.Add([]byte(nil), make([]byte, 512), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki(f, key)}))
	f.Fuzz(func(t *testing.T, list, sig, raw []byte) {
		public, err := ParseKey(raw)
		if err != nil {
			public = DefaultKey()
		}
		if CheckSignature(list, sig, public) != nil {
			return
		}
		// What verifies does not verify for anything else.
		if CheckSignature(append(append([]byte(nil), list...), 0), sig, public) == nil {
			t.Error("one signature for two lists")
		}
	})
}
