package cert

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"math/big"
)

// maxModulus bounds the RSA keys under which signatures are checked, in bits.
const maxModulus = 16384

// publicKey is a subjectPublicKeyInfo, read leniently.
type publicKey struct {
	algorithm string // dotted OID
	curve     string // dotted OID of the named curve, or "explicit"
	unused    byte
	bits      []byte
	modulus   *big.Int // RSA
	exponent  *big.Int
}

var (
	keyNames = map[string]string{
		"1.2.840.113549.1.1.1": "RSA", "1.2.840.113549.1.1.10": "RSA-PSS", "2.5.8.1.1": "RSA", "1.2.840.10040.4.1": "DSA", "1.2.840.10045.2.1": "ECDSA",
		"1.3.101.110": "X25519", "1.3.101.111": "X448", "1.3.101.112": "Ed25519", "1.3.101.113": "Ed448",
		"2.16.840.1.101.3.4.3.17": "ML-DSA-44", "2.16.840.1.101.3.4.3.18": "ML-DSA-65", "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
		"2.16.840.1.101.3.4.3.20": "SLH-DSA-SHA2-128s", "2.16.840.1.101.3.4.3.21": "SLH-DSA-SHA2-128f",
		"2.16.840.1.101.3.4.4.1": "ML-KEM-512", "2.16.840.1.101.3.4.4.2": "ML-KEM-768", "2.16.840.1.101.3.4.4.3": "ML-KEM-1024",
		"1.2.643.2.2.19": "GOST R 34.10-2001", "1.2.643.7.1.1.1.1": "GOST R 34.10-2012 256", "1.2.643.7.1.1.1.2": "GOST R 34.10-2012 512",
	}
	curveNames = map[string]string{
		"1.3.132.0.33": "P-224", "1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521",
		"1.2.840.10045.3.1.1": "P-192", "1.3.132.0.10": "secp256k1", "1.2.156.10197.1.301": "SM2",
		"1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1", "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1", "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
	}
)

// readKey takes a subjectPublicKeyInfo TLV apart (RFC 5280 section 4.1.2.7). What was read is returned beside an error.
func readKey(spki []byte) (k publicKey, err error) {
	var quiet notes
	errForm := errors.New("the public key cannot be read")
	if len(spki) == 0 {
		return k, errForm
	}
	_, body, _ := next(spki, &quiet)
	if len(body) == 0 || body[0] != tagSequence {
		return k, errForm
	}
	_, alg, body := next(body, &quiet)
	if len(alg) == 0 || alg[0] != tagOID {
		return k, errForm
	}
	_, oid, params := next(alg, &quiet)
	k.algorithm = dotted(oid)
	if len(params) > 0 && params[0] == tagOID {
		_, oid, _ = next(params, &quiet)
		k.curve = dotted(oid)
	} else if len(params) > 0 && params[0] == tagSequence {
		k.curve = "explicit"
	}
	if len(body) == 0 {
		return k, errForm
	}
	tag, bits, _ := next(body, &quiet)
	if tag != tagBitString || len(bits) < 2 {
		return k, errForm
	}
	k.unused, k.bits = bits[0], bits[1:]
	if keyNames[k.algorithm] == "RSA" || keyNames[k.algorithm] == "RSA-PSS" {
		tag, body, _ := next(k.bits, &quiet)
		if tag != tagSequence || len(body) == 0 {
			return k, errForm
		}
		tag, m, rest := next(body, &quiet)
		if tag != tagInteger || len(rest) == 0 {
			return k, errForm
		}
		// A modulus whose first bit is set is one that lacks its zero byte, not a negative number.
		if k.modulus = new(big.Int).SetBytes(m); k.modulus.Sign() == 0 {
			return k, errForm
		}
		tag, e, _ := next(rest, &quiet)
		if k.exponent = new(big.Int).SetBytes(e); tag != tagInteger || k.exponent.Sign() == 0 {
			return k, errForm
		}
	}
	return k, nil
}

// name is a short name for people.
func (k *publicKey) name() string {
	n, ok := keyNames[k.algorithm]
	switch {
	case !ok:
		return k.algorithm
	case k.modulus != nil:
		return fmt.Sprintf("%s %d", n, k.modulus.BitLen())
	case n == "ECDSA" && curveNames[k.curve] != "":
		return n + " " + curveNames[k.curve]
	case n == "ECDSA" && k.curve != "":
		return n + " " + k.curve
	}
	return n
}

// ecdsa is the key on one of the curves that can be checked.
func (k *publicKey) ecdsa() (*ecdsa.PublicKey, error) {
	var curve elliptic.Curve
	switch curveNames[k.curve] {
	case "P-224":
		curve = elliptic.P224()
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, fmt.Errorf("signatures on the curve %s cannot be checked", k.name())
	}
	point := k.bits
	if len(point) > 0 && (point[0] == 2 || point[0] == 3) {
		x, y := elliptic.UnmarshalCompressed(curve, point)
		if x == nil {
			return nil, errors.New("the key is no point on its curve")
		}
		size := (curve.Params().BitSize + 7) / 8
		point = make([]byte, 1+2*size)
		point[0] = 4
		x.FillBytes(point[1 : 1+size])
		y.FillBytes(point[1+size:])
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, fmt.Errorf("reading the issuer's key: %w", err)
	}
	return key, nil
}

func (k *publicKey) ed25519() (ed25519.PublicKey, error) {
	if len(k.bits) != ed25519.PublicKeySize {
		return nil, errors.New("the Ed25519 key does not have 32 bytes")
	}
	return ed25519.PublicKey(k.bits), nil
}
