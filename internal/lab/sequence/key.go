package sequence

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tocsin-ct/tocsin/internal/lab/entry"
)

// Key is the key of a log: ECDSA P-256, as RFC 6962 section 2.1.4 has it.
type Key struct {
	Signer *ecdsa.PrivateKey
	SPKI   []byte
	ID     [32]byte
}

// NewKey takes a key into use. It must be ECDSA P-256.
func NewKey(signer crypto.Signer) (*Key, error) {
	k, ok := signer.(*ecdsa.PrivateKey)
	if !ok || k.Curve.Params().BitSize != 256 {
		return nil, errors.New("the key of a log must be ECDSA P-256")
	}
	spki, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return nil, fmt.Errorf("encoding key of log: %w", err)
	}
	return &Key{Signer: k, SPKI: spki, ID: sha256.Sum256(spki)}, nil
}

// Base64 is the public key as log lists write it.
func (k *Key) Base64() string { return base64.StdEncoding.EncodeToString(k.SPKI) }

// digitallySigned is the DigitallySigned structure of RFC 5246 section 4.7: hash sha256, signature ecdsa.
func (k *Key) digitallySigned(message []byte) ([]byte, error) {
	d := sha256.Sum256(message)
	sig, err := k.Signer.Sign(nil, d[:], crypto.SHA256) // no randomness: RFC 6979, so the same head has one signature
	if err != nil {
		return nil, fmt.Errorf("signing as log: %w", err)
	}
	return append([]byte{4, 3, byte(len(sig) >> 8), byte(len(sig))}, sig...), nil
}

// SCT is the SignedCertificateTimestamp of an entry (RFC 6962 section 3.2).
func (k *Key) SCT(e *entry.Entry) ([]byte, error) {
	signed, err := k.digitallySigned(e.MerkleTreeLeaf())
	if err != nil {
		return nil, err
	}
	out := append([]byte{0}, k.ID[:]...)
	out = binary.BigEndian.AppendUint64(out, e.Timestamp)
	out = append(out, byte(len(e.Extensions)>>8), byte(len(e.Extensions)))
	out = append(out, e.Extensions...)
	return append(out, signed...), nil
}

// SignHead signs a tree head (RFC 6962 section 3.5); the result is a DigitallySigned structure.
func (k *Key) SignHead(timestamp, size uint64, root [32]byte) ([]byte, error) {
	msg := []byte{0, 1}
	msg = binary.BigEndian.AppendUint64(msg, timestamp)
	msg = binary.BigEndian.AppendUint64(msg, size)
	return k.digitallySigned(append(msg, root[:]...))
}
