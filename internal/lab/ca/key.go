package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"hash"
)

// KeyType is a kind of key. The zero value is P-256.
type KeyType uint8

// The kinds of keys that a CA or a leaf can have.
const (
	P256 KeyType = iota
	P384
	Ed25519
	RSA2048
	RSA3072
	RSA4096
)

func (t KeyType) String() string {
	return [...]string{"ECDSA P-256", "ECDSA P-384", "Ed25519", "RSA 2048", "RSA 3072", "RSA 4096"}[t]
}

// NewKey makes a key. With a seed, EC and Ed25519 keys follow from it; RSA keys and keys without a seed are fresh.
// Seeded keys are for tests and drills only: whoever knows the seed has the key.
func NewKey(t KeyType, seed string) (crypto.Signer, error) {
	switch t {
	case P256:
		return ecKey(elliptic.P256(), 32, seed)
	case P384:
		return ecKey(elliptic.P384(), 48, seed)
	case Ed25519:
		if seed == "" {
			_, k, err := ed25519.GenerateKey(rand.Reader)
			return k, err
		}
		b, err := expand(seed, "ed25519", ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		return ed25519.NewKeyFromSeed(b), nil
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, fmt.Errorf("unknown key type %d", t)
}

func ecKey(curve elliptic.Curve, n int, seed string) (crypto.Signer, error) {
	if seed == "" {
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	// A scalar outside the group is refused by ParseRawPrivateKey; the next counter then gives another.
	for i := range 256 {
		b, err := expand(seed, fmt.Sprintf("%s/%d", curve.Params().Name, i), n)
		if err != nil {
			return nil, err
		}
		if k, err := ecdsa.ParseRawPrivateKey(curve, b); err == nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("no key follows from seed %q", seed)
}

func expand(seed, info string, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(seed), []byte("tocsin lab"), info, n)
}

// SPKI is the SubjectPublicKeyInfo of a key, as in certificates.
func SPKI(key crypto.Signer) ([]byte, error) { return x509.MarshalPKIXPublicKey(key.Public()) }

// KeyHash is the SHA-256 of the SPKI of a key; what configuration writes as spki:<hex>.
func KeyHash(key crypto.Signer) ([32]byte, error) {
	spki, err := SPKI(key)
	if err != nil {
		return [32]byte{}, fmt.Errorf("encoding public key: %w", err)
	}
	return sha256.Sum256(spki), nil
}

// typeOf tells the type of a key; unknown ones count as P-256.
func typeOf(key crypto.Signer) KeyType {
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P384() {
			return P384
		}
	case ed25519.PublicKey:
		return Ed25519
	case *rsa.PublicKey:
		return RSA2048
	}
	return P256
}

// algorithm is the AlgorithmIdentifier with which a key signs, and the hash it signs over; hash is 0 for Ed25519.
func algorithm(key crypto.Signer) (ident []byte, h crypto.Hash, err error) {
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P384() {
			return TLV(TagSequence, OID("1.2.840.10045.4.3.3")), crypto.SHA384, nil
		}
		return TLV(TagSequence, OID("1.2.840.10045.4.3.2")), crypto.SHA256, nil
	case *rsa.PublicKey:
		return TLV(TagSequence, OID("1.2.840.113549.1.1.11"), TLV(TagNull)), crypto.SHA256, nil
	case ed25519.PublicKey:
		return TLV(TagSequence, OID("1.3.101.112")), 0, nil
	}
	return nil, 0, fmt.Errorf("cannot sign with a %T", key)
}

// sign makes a deterministic signature: ECDSA after RFC 6979, RSA PKCS #1 v1.5, Ed25519.
func sign(key crypto.Signer, message []byte) ([]byte, error) {
	_, h, err := algorithm(key)
	if err != nil {
		return nil, err
	}
	if h == 0 {
		return key.Sign(nil, message, crypto.Hash(0))
	}
	var d hash.Hash = sha256.New()
	if h == crypto.SHA384 {
		d = sha512.New384()
	}
	d.Write(message)
	if _, ok := key.Public().(*rsa.PublicKey); ok {
		return key.Sign(rand.Reader, d.Sum(nil), h)
	}
	return key.Sign(nil, d.Sum(nil), h)
}
