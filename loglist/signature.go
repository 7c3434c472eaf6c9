package loglist

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
)

//go:embed google.pem
var googlePEM []byte

// DefaultKey is the key that signs the list at [DefaultURL].
var DefaultKey = sync.OnceValue(func() crypto.PublicKey {
	key, err := ParseKey(googlePEM)
	if err != nil {
		panic(err) // a file of this package, and a test
	}
	return key
})

// maxKey bounds the bytes of a key and of a signature.
const maxKey = 16 << 10

// minRSA is the least size of an RSA key in bits.
const minRSA = 2048

// ParseKey reads a public key that signs lists, RSA or ECDSA: PEM, DER (SubjectPublicKeyInfo), or base64 of DER.
func ParseKey(b []byte) (crypto.PublicKey, error) {
	if len(b) > maxKey {
		return nil, fmt.Errorf("reading public key: larger than %d bytes", maxKey)
	}
	der := b
	if block, _ := pem.Decode(b); block != nil {
		der = block.Bytes
	} else if d, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(b), nil))); err == nil {
		der = d
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("reading public key: not a SubjectPublicKeyInfo in PEM, DER or base64")
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return nil, fmt.Errorf("reading public key: RSA of %d bits, less than %d", k.N.BitLen(), minRSA)
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return nil, errors.New("reading public key: ECDSA on a curve of less than 256 bits")
		}
	default:
		return nil, fmt.Errorf("reading public key: neither RSA nor ECDSA, but %T", key)
	}
	return key, nil
}

// CheckSignature checks the detached signature of a list as its publisher wrote it, byte for byte: SHA-256 with RSA
// (PKCS #1 v1.5) or ECDSA (ASN.1), as Google signs.
func CheckSignature(list, signature []byte, key crypto.PublicKey) error {
	digest := sha256.Sum256(list)
	switch k := key.(type) {
	case *rsa.PublicKey:
		if rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil {
			return nil
		}
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(k, digest[:], signature) {
			return nil
		}
	default:
		return fmt.Errorf("checking the signature of a log list: a key of type %T", key)
	}
	return errors.New("the signature does not belong to the list and the key")
}

// SignaturePlace is where the detached signature of a list is found: beside it, with .sig in place of .json.
func SignaturePlace(src string) string {
	if src == "" {
		src = DefaultURL
	}
	path, query, _ := strings.Cut(src, "?")
	path = strings.TrimSuffix(path, ".json") + ".sig"
	if query != "" {
		path += "?" + query
	}
	return path
}
