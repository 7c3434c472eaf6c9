package facts

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/cert"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Why a readable file gave no key.
const (
	noteEncrypted = "holds an encrypted private key, which cannot be read: put its certificate, request or public key beside it"
	noteCA        = "holds only CA certificates, whose keys are not taken as our own"
	noteNothing   = "holds no certificate, request or key that can be read"
)

// Contents is what a file holds of ours. DER is copied from the file, private keys excepted: of these only the hash of
// the public half is kept.
type Contents struct {
	// Keys are the hashes of the public keys of end entities, each once and in order.
	Keys [][32]byte
	// Certificates are those of end entities, Authorities those of CAs, Requests are certification requests; in DER.
	Certificates, Authorities, Requests [][]byte
	// Note says what could not be taken, or is "".
	Note string
}

// Own reads what a file holds of ours: PEM with any text around it, or one DER value.
func Own(data []byte) Contents {
	f := contents(data)
	return f.Contents
}

// load reads the file at path again if it differs from last, which is zero for a file never read. fresh is what was read.
func load(path string, last file) (_ file, fresh *Contents) {
	stale := func(text string) (file, *Contents) {
		last.stale = text
		return last, nil
	}
	in, err := os.Open(path)
	if err != nil {
		return stale(reason(err))
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return stale(reason(err))
	}
	if last.stale == "" && info.Size() == last.size && info.ModTime().Equal(last.mod) {
		return last, nil
	}
	if info.Size() > maxFile {
		return stale(fmt.Sprintf("is larger than %d MiB and is not read", maxFile>>20))
	}
	var c Contents
	if err := wiped(in, info.Size(), func(data []byte) { c = Own(data) }); err != nil {
		return stale(reason(err))
	}
	if len(c.Keys) == 0 && len(last.keys) > 0 {
		return stale(c.Note + "; the keys that it held before still count")
	}
	return file{size: info.Size(), mod: info.ModTime(), keys: c.Keys, note: c.Note}, &c
}

// wiped reads size bytes into one buffer, lends it to use and wipes it afterwards: it may hold a secret.
func wiped(in io.Reader, size int64, use func(data []byte)) error {
	data := make([]byte, size)
	defer clear(data)
	if _, err := io.ReadFull(in, data); err != nil {
		return err
	}
	use(data)
	return nil
}

func contents(data []byte) (found found) {
	blocks := 0
	for rest := data; ; blocks++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		found.pem(block)
		clear(block.Bytes)
	}
	if blocks == 0 {
		found.der(data, false)
	}
	switch {
	case found.encrypted && len(found.Keys) == 0:
		found.Note = noteEncrypted
	case len(found.Keys) > 0:
	case len(found.Authorities) > 0:
		found.Note = noteCA
	default:
		found.Note = noteNothing
	}
	return found
}

type found struct {
	Contents
	encrypted bool
}

func (f *found) add(spki []byte) {
	if h := sha256.Sum256(spki); !slices.Contains(f.Keys, h) {
		f.Keys = append(f.Keys, h)
	}
}

func (f *found) pem(b *pem.Block) {
	if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		f.encrypted = true
		return
	}
	// What stands between the lines counts, not what the lines call it; but Diffie-Hellman parameters look like an RSA
	// key of PKCS #1, one that anybody can break, so that must be called what it is.
	f.der(b.Bytes, b.Type == "RSA PUBLIC KEY")
}

// der adds the key of one DER value, whatever kind it is of. What follows the value is ignored: a trusted certificate
// of OpenSSL carries its settings there. pkcs1 says that two INTEGERs are an RSA key.
func (f *found) der(der []byte, pkcs1 bool) {
	in := cryptobyte.String(der)
	var value, body cryptobyte.String
	if !in.ReadASN1Element(&value, asn1.SEQUENCE) {
		return
	}
	outer := value
	if !outer.ReadASN1(&body, asn1.SEQUENCE) {
		return
	}
	switch kind(body) {
	case isPublic:
		f.add(value)
	case isRSAPublic:
		if key, err := x509.ParsePKCS1PublicKey(value); err == nil && pkcs1 {
			f.public(key)
		}
	case isRequest:
		if spki := requestSPKI(body); spki != nil {
			f.add(spki)
			f.Requests = append(f.Requests, bytes.Clone(value))
		}
	case isCertificate:
		der := bytes.Clone(value)
		if c := cert.Parse(der); c.CA {
			f.Authorities = append(f.Authorities, der)
		} else if len(c.RawSPKI) > 0 {
			f.add(c.RawSPKI)
			f.Certificates = append(f.Certificates, der)
		}
	case isPrivate:
		f.private(value)
	case isEncrypted:
		f.encrypted = true
	}
}

// private derives the public half of a private key and forgets the rest.
func (f *found) private(der []byte) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			if key, err = x509.ParseECPrivateKey(der); err != nil {
				return
			}
		}
	}
	if signer, ok := key.(interface{ Public() crypto.PublicKey }); ok {
		f.public(signer.Public())
	}
}

func (f *found) public(key any) {
	if spki, err := x509.MarshalPKIXPublicKey(key); err == nil {
		f.add(spki)
	}
}

type derKind uint8

const (
	isUnknown     derKind = iota
	isPublic              // SubjectPublicKeyInfo: AlgorithmIdentifier, BIT STRING
	isRSAPublic           // RSAPublicKey (PKCS #1): two INTEGERs
	isRequest             // CertificationRequest (PKCS #10)
	isCertificate         // Certificate (X.509)
	isPrivate             // PKCS #8, PKCS #1 or SEC 1
	isEncrypted           // EncryptedPrivateKeyInfo: AlgorithmIdentifier, OCTET STRING
)

// kind tells the kinds of SEQUENCE apart by the tags of what they hold.
func kind(body cryptobyte.String) derKind {
	var tags []asn1.Tag
	var first cryptobyte.String
	for rest := body; len(rest) > 0 && len(tags) < 4; {
		var v cryptobyte.String
		var tag asn1.Tag
		if !rest.ReadAnyASN1(&v, &tag) {
			break
		}
		if len(tags) == 0 {
			first = v
		}
		tags = append(tags, tag)
	}
	is := func(want ...asn1.Tag) bool { return len(tags) >= len(want) && slices.Equal(tags[:len(want)], want) }
	switch {
	case is(asn1.SEQUENCE, asn1.BIT_STRING):
		return isPublic
	case is(asn1.SEQUENCE, asn1.OCTET_STRING):
		return isEncrypted
	case is(asn1.INTEGER, asn1.SEQUENCE, asn1.OCTET_STRING), is(asn1.INTEGER, asn1.OCTET_STRING):
		return isPrivate
	case is(asn1.INTEGER, asn1.INTEGER) && len(tags) == 2:
		return isRSAPublic
	case is(asn1.INTEGER, asn1.INTEGER):
		return isPrivate
	case is(asn1.SEQUENCE, asn1.SEQUENCE, asn1.BIT_STRING):
		// A request holds INTEGER, Name, key; a certificate begins with [0] or has a fourth SEQUENCE (v1).
		if request := first; request.SkipASN1(asn1.INTEGER) && request.SkipASN1(asn1.SEQUENCE) {
			var spki cryptobyte.String
			if request.ReadASN1(&spki, asn1.SEQUENCE) && kind(spki) == isPublic {
				return isRequest
			}
		}
		return isCertificate
	}
	return isUnknown
}

// requestSPKI returns the key of a certification request (RFC 2986 section 4), as it stands there.
func requestSPKI(body cryptobyte.String) []byte {
	var info, spki cryptobyte.String
	if !body.ReadASN1(&info, asn1.SEQUENCE) || !info.SkipASN1(asn1.INTEGER) || !info.SkipASN1(asn1.SEQUENCE) ||
		!info.ReadASN1Element(&spki, asn1.SEQUENCE) {
		return nil
	}
	return spki
}
