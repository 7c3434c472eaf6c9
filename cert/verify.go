package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	_ "crypto/md5" // old roots and the attacks on them
	"crypto/rsa"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"fmt"
	"math/big"
)

// signatureScheme is how a signature algorithm signs.
type signatureScheme struct {
	key  string // name of the key algorithm
	hash crypto.Hash
	pss  bool
}

// schemes are the signature algorithms that can be checked, by dotted OID. MD2 is not among them.
var schemes = map[string]signatureScheme{
	"1.2.840.113549.1.1.4":  {key: "RSA", hash: crypto.MD5},
	"1.2.840.113549.1.1.5":  {key: "RSA", hash: crypto.SHA1},
	"1.3.14.3.2.29":         {key: "RSA", hash: crypto.SHA1},
	"1.2.840.113549.1.1.14": {key: "RSA", hash: crypto.SHA224},
	"1.2.840.113549.1.1.11": {key: "RSA", hash: crypto.SHA256},
	"1.2.840.113549.1.1.12": {key: "RSA", hash: crypto.SHA384},
	"1.2.840.113549.1.1.13": {key: "RSA", hash: crypto.SHA512},
	"1.2.840.113549.1.1.10": {key: "RSA", pss: true},
	"1.2.840.10045.4.1":     {key: "ECDSA", hash: crypto.SHA1},
	"1.2.840.10045.4.3.1":   {key: "ECDSA", hash: crypto.SHA224},
	"1.2.840.10045.4.3.2":   {key: "ECDSA", hash: crypto.SHA256},
	"1.2.840.10045.4.3.3":   {key: "ECDSA", hash: crypto.SHA384},
	"1.2.840.10045.4.3.4":   {key: "ECDSA", hash: crypto.SHA512},
	"1.3.101.112":           {key: "Ed25519"},
}

var hashes = map[string]crypto.Hash{
	"1.3.14.3.2.26":          crypto.SHA1,
	"2.16.840.1.101.3.4.2.4": crypto.SHA224,
	"2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384,
	"2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

// VerifiedBy checks that the signature of c verifies under a subjectPublicKeyInfo. The algorithm is the one outside
// the signed part. Nil means that the holder of the key has signed these very bytes, and nothing more: names, dates
// and constraints are not looked at. RSA keys above 16384 bits are refused, so that the work is bounded.
func (c *Certificate) VerifiedBy(issuerSPKI []byte) error {
	if c.BareTBS || c.RawTBS == nil || len(c.Signature) == 0 || len(c.SignatureAlgorithm) == 0 {
		return errors.New("the certificate has no signature")
	}
	var quiet notes
	_, alg, _ := next(c.SignatureAlgorithm, &quiet)
	if len(alg) == 0 || alg[0] != tagOID {
		return errors.New("the signature algorithm cannot be read")
	}
	_, oid, params := next(alg, &quiet)
	scheme, ok := schemes[dotted(oid)]
	if !ok {
		return fmt.Errorf("signatures of the algorithm %s cannot be checked", dotted(oid))
	}
	key, err := readKey(issuerSPKI)
	if err != nil {
		return err
	}
	switch kind := keyNames[key.algorithm]; {
	case scheme.key == "RSA" && (kind == "RSA" || kind == "RSA-PSS" && scheme.pss):
		return c.verifiedByRSA(&key, scheme, params)
	case scheme.key == "ECDSA" && kind == "ECDSA":
		pub, err := key.ecdsa()
		if err != nil {
			return err
		}
		if !ecdsa.VerifyASN1(pub, digest(scheme.hash, c.RawTBS), c.Signature) {
			return errSignature
		}
		return nil
	case scheme.key == "Ed25519" && kind == "Ed25519":
		pub, err := key.ed25519()
		if err != nil {
			return err
		}
		if !ed25519.Verify(pub, c.RawTBS, c.Signature) {
			return errSignature
		}
		return nil
	}
	return fmt.Errorf("a key of kind %s makes no signatures of the algorithm %s", key.name(), dotted(oid))
}

var errSignature = errors.New("the signature does not verify under the issuer's key")

func digest(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

func (c *Certificate) verifiedByRSA(key *publicKey, scheme signatureScheme, params []byte) error {
	bits := key.modulus.BitLen()
	if bits > maxModulus || bits < 256 {
		return fmt.Errorf("an RSA key of %d bits is not checked", bits)
	}
	if key.exponent.BitLen() > 31 || key.exponent.Cmp(big.NewInt(3)) < 0 || key.exponent.Bit(0) == 0 || key.modulus.Bit(0) == 0 {
		return errors.New("the exponent or modulus of the RSA key is no sound one")
	}
	pub := &rsa.PublicKey{N: key.modulus, E: int(key.exponent.Int64())}
	if scheme.pss {
		opts, err := readPSS(params)
		if err != nil {
			return err
		}
		if rsa.VerifyPSS(pub, opts.Hash, digest(opts.Hash, c.RawTBS), c.Signature, opts) != nil {
			return errSignature
		}
		return nil
	}
	sum := digest(scheme.hash, c.RawTBS)
	if bits < 1024 {
		return verifyShort(pub, scheme.hash, sum, c.Signature)
	}
	if rsa.VerifyPKCS1v15(pub, scheme.hash, sum, c.Signature) != nil {
		return errSignature
	}
	return nil
}

// digestInfo is the DER before the digest in a PKCS #1 v1.5 signature (RFC 8017 section 9.2).
var digestInfo = map[crypto.Hash][]byte{
	crypto.MD5:    {0x30, 0x20, 0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x05, 0x05, 0x00, 0x04, 0x10},
	crypto.SHA1:   {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14},
	crypto.SHA224: {0x30, 0x2d, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x04, 0x05, 0x00, 0x04, 0x1c},
	crypto.SHA256: {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20},
	crypto.SHA384: {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30},
	crypto.SHA512: {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40},
}

// verifyShort checks a PKCS #1 v1.5 signature under a key that crypto/rsa finds too short: such keys are in old roots,
// and who holds one has signed all the same.
func verifyShort(pub *rsa.PublicKey, h crypto.Hash, sum, sig []byte) error {
	k := pub.Size()
	tail := append(append([]byte{0}, digestInfo[h]...), sum...)
	if len(sig) != k || k < len(tail)+10 {
		return errSignature
	}
	want := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, k-2-len(tail))...)
	want = append(want, tail...)
	m := new(big.Int).SetBytes(sig)
	if m.Cmp(pub.N) >= 0 {
		return errSignature
	}
	if !bytes.Equal(m.Exp(m, big.NewInt(int64(pub.E)), pub.N).FillBytes(make([]byte, k)), want) {
		return errSignature
	}
	return nil
}

// readPSS reads RSASSA-PSS-params (RFC 4055 section 3.1).
func readPSS(params []byte) (*rsa.PSSOptions, error) {
	opts := &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA1}
	mgf := crypto.SHA1
	var n notes
	errParams := errors.New("the parameters of RSASSA-PSS cannot be read")
	if len(params) == 0 || params[0] == tagNull {
		return opts, nil
	}
	tag, body, _ := next(params, &n)
	if tag != tagSequence {
		return nil, errParams
	}
	algorithm := func(b []byte) (string, []byte) {
		if len(b) == 0 {
			return "", nil
		}
		_, seq, _ := next(b, &n)
		if len(seq) == 0 {
			return "", nil
		}
		_, oid, rest := next(seq, &n)
		return dotted(oid), rest
	}
	for len(body) > 0 {
		var f []byte
		tag, f, body = next(body, &n)
		switch tag {
		case context | constructed:
			id, _ := algorithm(f)
			if opts.Hash = hashes[id]; opts.Hash == 0 {
				return nil, fmt.Errorf("RSASSA-PSS with the hash %s cannot be checked", id)
			}
		case context | constructed | 1:
			_, inner := algorithm(f)
			id, _ := algorithm(inner)
			mgf = hashes[id]
		case context | constructed | 2:
			if len(f) == 0 {
				return nil, errParams
			}
			_, v, _ := next(f, &n)
			if len(v) == 0 || len(v) > 2 || v[0] >= 0x80 {
				return nil, errParams
			}
			opts.SaltLength = int(new(big.Int).SetBytes(v).Int64())
		case context | constructed | 3:
		default:
			return nil, errParams
		}
	}
	if mgf != opts.Hash {
		return nil, errors.New("RSASSA-PSS with two different hashes cannot be checked")
	}
	if opts.SaltLength == 0 {
		return nil, errors.New("RSASSA-PSS without salt is not checked")
	}
	return opts, nil
}
