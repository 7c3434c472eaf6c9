package ctlog

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tocsin-ct/tocsin/loglist"
)

// VerifyHead reads a head as its log sent it, the answer to get-sth or a checkpoint, and verifies its signature under
// the key of the log. It needs no network: it serves to check evidence. Errors are [*HeadError].
func VerifyHead(log loglist.Log, raw []byte) (Head, error) {
	v, err := newVerifier(&log)
	if err != nil {
		return Head{}, &HeadError{Raw: raw, Err: err}
	}
	return v.head(raw)
}

// verifier verifies heads of one log.
type verifier struct {
	log *loglist.Log
	key crypto.PublicKey
}

// newVerifier accepts the two kinds of keys that RFC 6962 section 2.1.4 allows.
func newVerifier(log *loglist.Log) (*verifier, error) {
	key, err := x509.ParsePKIXPublicKey(log.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the log's key: %w", err)
	}
	if sha256.Sum256(log.Key) != log.ID {
		return nil, errors.New("log id is not the SHA-256 of the key")
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("RSA key of %d bits", k.N.BitLen())
		}
	default:
		return nil, fmt.Errorf("key is neither ECDSA nor RSA but %T", key)
	}
	return &verifier{log: log, key: key}, nil
}

func (v *verifier) head(raw []byte) (h Head, err error) {
	if v.log.Kind == loglist.Static {
		h, err = v.checkpoint(raw)
	} else {
		h, err = v.sth(raw)
	}
	if err == nil && h.Size > maxSize {
		err = fmt.Errorf("tree size %d is beyond belief", h.Size)
	}
	if err == nil && h.Size == 0 && h.Root != emptyRoot {
		err = fmt.Errorf("root of the empty tree is %s, want %s", h.Root, emptyRoot)
	}
	if err != nil {
		return Head{}, &HeadError{Raw: bytes.Clone(raw), Err: err}
	}
	h.Raw, h.Received = bytes.Clone(raw), time.Now()
	return h, nil
}

// sth reads the answer to get-sth (RFC 6962 section 4.3).
func (v *verifier) sth(raw []byte) (h Head, err error) {
	var j struct {
		Size      *uint64 `json:"tree_size"`
		Timestamp *uint64 `json:"timestamp"`
		Root      []byte  `json:"sha256_root_hash"`
		Signature []byte  `json:"tree_head_signature"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return h, &notHeadError{fmt.Errorf("reading tree head: %w", err)}
	}
	if j.Size == nil || j.Timestamp == nil || len(j.Root) != 32 || len(j.Signature) == 0 {
		return h, &notHeadError{errors.New("reading tree head: fields are missing")}
	}
	h = Head{Size: *j.Size, Timestamp: *j.Timestamp, Root: Hash(j.Root)}
	return h, v.signature(&h, j.Signature)
}

// notHeadError marks an answer that is no head at all, such as an HTML page: an outage rather than a false signature.
type notHeadError struct{ error }

func (e *notHeadError) Unwrap() error { return e.error }

// checkpoint reads a signed note (static-ct-api, Checkpoints). Signatures of others, such as witnesses, are ignored,
// and so are extension lines, which the log's signature does not cover.
func (v *verifier) checkpoint(raw []byte) (h Head, err error) {
	if !bytes.Contains(raw, []byte("\n\n\u2014 ")) {
		return h, &notHeadError{errors.New("reading checkpoint: not a signed note")}
	}
	cv := &checkpointVerifier{v: v, origin: v.log.Origin()}
	n, err := note.Open(raw, note.VerifierList(cv))
	if err != nil {
		var unverified *note.UnverifiedNoteError
		if errors.As(err, &unverified) {
			return h, fmt.Errorf("reading checkpoint: no signature by the log's key for origin %q", cv.origin)
		}
		if cv.err != nil {
			return h, fmt.Errorf("reading checkpoint: %w", cv.err)
		}
		return h, fmt.Errorf("reading checkpoint: %w", err)
	}
	if len(n.Sigs) == 0 || cv.err != nil {
		return h, errors.New("reading checkpoint: no signature by the log's key")
	}
	return cv.head, nil
}

// checkpointVerifier is a note.Verifier for one note: it keeps the head that it verified.
type checkpointVerifier struct {
	v      *verifier
	origin string
	head   Head
	err    error
}

func (c *checkpointVerifier) Name() string    { return c.origin }
func (c *checkpointVerifier) KeyHash() uint32 { return noteKeyHash(c.origin, c.v.log.ID) }
func (c *checkpointVerifier) Verify(msg, sig []byte) bool {
	c.head, c.err = c.verify(string(msg), sig)
	return c.err == nil
}

func (c *checkpointVerifier) verify(msg string, sig []byte) (h Head, err error) {
	lines := strings.Split(msg, "\n")
	if len(lines) < 4 || lines[0] != c.origin {
		return h, fmt.Errorf("origin is %.100q, want %q", lines[0], c.origin)
	}
	if h.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil || lines[1] != strconv.FormatUint(h.Size, 10) {
		return h, fmt.Errorf("size %.100q is not a number", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		return h, fmt.Errorf("root %.100q is not a hash", lines[2])
	}
	h.Root = Hash(root)
	if len(sig) < 8 {
		return h, errors.New("signature too short")
	}
	h.Timestamp = binary.BigEndian.Uint64(sig)
	return h, c.v.signature(&h, sig[8:])
}

// signature verifies a DigitallySigned over the head: SHA-256 with the algorithm of the log's key and nothing else.
func (v *verifier) signature(h *Head, signature []byte) error {
	if err := v.signed(treeHeadInput(h), signature); err != nil {
		return fmt.Errorf("signature of the head (size %d, timestamp %d) %w", h.Size, h.Timestamp, err)
	}
	return nil
}

// signed verifies a DigitallySigned over the message, and nothing else that follows.
func (v *verifier) signed(message, signature []byte) error {
	s := reader{b: signature}
	hashAlg, sigAlg, sig := s.uint(1), s.uint(1), s.vector(2)
	if s.err != nil || len(s.b) != 0 {
		return errors.New("is malformed")
	}
	digest := sha256.Sum256(message)
	ok := false
	switch k := v.key.(type) {
	case *ecdsa.PublicKey:
		ok = hashAlg == 4 && sigAlg == 3 && ecdsa.VerifyASN1(k, digest[:], sig)
	case *rsa.PublicKey:
		ok = hashAlg == 4 && sigAlg == 1 && rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], sig) == nil
	}
	if !ok {
		return errors.New("does not verify under the log's key")
	}
	return nil
}
