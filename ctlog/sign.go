package ctlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// SignSTH returns the answer of an RFC 6962 log to get-sth for a head, signed with the log's key (ECDSA or RSA). It is
// for logs of our own, in labs and tests.
func SignSTH(key crypto.Signer, h Head) ([]byte, error) {
	sig, err := signTreeHead(key, h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"tree_size": h.Size, "timestamp": h.Timestamp, "sha256_root_hash": h.Root, "tree_head_signature": sig})
}

// SignCheckpoint returns the checkpoint of a static log for a head, signed with the log's key (ECDSA or RSA). It is
// for logs of our own, in labs and tests.
func SignCheckpoint(key crypto.Signer, origin string, h Head) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("signing checkpoint: %w", err)
	}
	s := &checkpointSigner{key: key, head: h, origin: origin, id: sha256.Sum256(spki)}
	return note.Sign(&note.Note{Text: checkpointText(origin, h.Size, h.Root)}, s)
}

type checkpointSigner struct {
	key    crypto.Signer
	head   Head
	origin string
	id     [32]byte
}

func (s *checkpointSigner) Name() string    { return s.origin }
func (s *checkpointSigner) KeyHash() uint32 { return noteKeyHash(s.origin, s.id) }
func (s *checkpointSigner) Sign([]byte) ([]byte, error) {
	sig, err := signTreeHead(s.key, s.head)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64(nil, s.head.Timestamp), sig...), nil
}

func checkpointText(origin string, size uint64, root Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
}

// noteKeyHash is the key id of an RFC 6962 note signature (static-ct-api, Checkpoints): type 0x05.
func noteKeyHash(origin string, logID [32]byte) uint32 {
	h := sha256.Sum256(append(append([]byte(origin), '\n', 0x05), logID[:]...))
	return binary.BigEndian.Uint32(h[:])
}

// treeHeadInput is what a log signs: TreeHeadSignature of RFC 6962 section 3.5.
func treeHeadInput(h *Head) []byte {
	b := []byte{0, 1} // v1, tree_hash
	b = binary.BigEndian.AppendUint64(b, h.Timestamp)
	b = binary.BigEndian.AppendUint64(b, h.Size)
	return append(b, h.Root[:]...)
}

// signTreeHead returns a DigitallySigned (RFC 5246 section 4.7).
func signTreeHead(key crypto.Signer, h Head) ([]byte, error) {
	alg := byte(3)
	switch key.Public().(type) {
	case *ecdsa.PublicKey:
	case *rsa.PublicKey:
		alg = 1
	default:
		return nil, fmt.Errorf("signing tree head: key %T is neither ECDSA nor RSA", key.Public())
	}
	digest := sha256.Sum256(treeHeadInput(&h))
	sig, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing tree head: %w", err)
	}
	return append(binary.BigEndian.AppendUint16([]byte{4, alg}, uint16(len(sig))), sig...), nil
}
