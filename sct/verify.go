package sct

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Reason says why an SCT does not count. Its text is stable, in kebab case.
type Reason string

// The reasons.
const (
	// UnknownVersion: no v1 SCT.
	UnknownVersion Reason = "unknown-version"
	// UnknownLog: none of the known logs has this id. No fault of anybody.
	UnknownLog Reason = "unknown-log"
	// UnusableKey: the log's key is none that RFC 6962 section 2.1.4 allows.
	UnusableKey Reason = "unusable-key"
	// UnknownIssuer: the issuer of the certificate is not at hand, and without its key nothing can be verified.
	UnknownIssuer Reason = "unknown-issuer"
	// Malformed: the certificate, or the signature, cannot be read.
	Malformed Reason = "malformed"
	// BadSignature: the log's key has not signed this.
	BadSignature Reason = "bad-signature"
	// LostExtensions: the signature does not verify, and the extensions, in which a static log puts the index of the
	// leaf, are empty: they were lost on the way into the certificate.
	LostExtensions Reason = "lost-extensions"
	// EncodedExtensions: the signature verifies only when the extensions are decoded from base64, the form in which
	// add-chain returns them: they were put into the certificate without decoding.
	EncodedExtensions Reason = "encoded-extensions"
	// Future: properly signed, but with a time that has not come yet.
	Future Reason = "future-timestamp"
)

// Error says why an SCT does not count.
type Error struct {
	Reason Reason
	// Text is one sentence for people. It holds nothing of the certificate that could disturb a terminal.
	Text string
}

func (e *Error) Error() string { return "SCT not valid: " + e.Text }

func fail(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// Options of a [Verifier]. The zero value, and nil, are fine.
type Options struct {
	// Skew is how far an SCT may lie in the future; default 1 s.
	Skew time.Duration
}

// Verifier verifies SCTs under the keys of logs. It is immutable and safe for concurrent use.
type Verifier struct {
	logs map[[32]byte]*knownLog
	skew time.Duration
}

type knownLog struct {
	log loglist.Log
	key crypto.PublicKey
	err error // why the key cannot be used
}

// NewVerifier knows the given logs, whatever their state: what a state means is the matter of a policy. Of two logs
// with the same id, the first counts.
func NewVerifier(logs []loglist.Log, opts *Options) *Verifier {
	v := &Verifier{logs: make(map[[32]byte]*knownLog, len(logs)), skew: time.Second}
	if opts != nil && opts.Skew > 0 {
		v.skew = opts.Skew
	}
	for _, l := range logs {
		if _, ok := v.logs[l.ID]; ok {
			continue
		}
		k := &knownLog{log: l}
		k.key, k.err = readKey(&l)
		v.logs[l.ID] = k
	}
	return v
}

// readKey accepts the two kinds of keys that RFC 6962 section 2.1.4 allows.
func readKey(l *loglist.Log) (crypto.PublicKey, error) {
	if sha256.Sum256(l.Key) != l.ID {
		return nil, fmt.Errorf("its id is not the SHA-256 of its key")
	}
	key, err := x509.ParsePKIXPublicKey(l.Key)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read")
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return k, nil
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > 8192 {
			return nil, fmt.Errorf("it is an RSA key of %d bits", n)
		}
		return k, nil
	}
	return nil, fmt.Errorf("it is neither ECDSA nor RSA")
}

// Log is the log with the id, or nil.
func (v *Verifier) Log(id [32]byte) *loglist.Log {
	if k := v.logs[id]; k != nil {
		return &k.log
	}
	return nil
}

// Verify checks that a known log has signed the SCT over the entry, and that its time is not after now. The error is
// an [*Error].
func (v *Verifier) Verify(s *SCT, e Entry, now time.Time) error {
	if err := v.verify(s, []Entry{e}, new(int), now); err != nil {
		return err
	}
	return nil
}

// verify finds that of the entries which the log has signed.
func (v *Verifier) verify(s *SCT, entries []Entry, which *int, now time.Time) *Error {
	if s.Version != 0 {
		return fail(UnknownVersion, "it has version %d, and only v1 (0) is known", s.Version)
	}
	k := v.logs[s.LogID]
	if k == nil {
		return fail(UnknownLog, "no list at hand names the log %s", s.LogIDText())
	}
	if k.err != nil {
		return fail(UnusableKey, "the key of %s cannot be used: %v", k.log.Name(), k.err)
	}
	if err := k.algorithm(s); err != nil {
		return err
	}
	for i, e := range entries {
		signed, err := s.Leaf(e)
		if err != nil {
			return fail(Malformed, "%v", err)
		}
		if k.signed(signed, s.Signature) {
			*which = i
			if at := s.Time(); at.After(now.Add(v.skew)) {
				return fail(Future, "%s has signed it with the time %s, which has not come yet", k.log.Name(), at.Format(time.RFC3339))
			}
			return nil
		}
	}
	return k.explain(s, entries)
}

// algorithm checks that the signature has the form of the log's key: SHA-256 with the key's algorithm and nothing else.
func (k *knownLog) algorithm(s *SCT) *Error {
	want := uint8(3)
	if _, ok := k.key.(*rsa.PublicKey); ok {
		want = 1
	}
	if s.Hash != 4 || s.Algorithm != want {
		return fail(Malformed, "its signature names the algorithms %d and %d, where those of %s's key are 4 and %d", s.Hash, s.Algorithm, k.log.Name(), want)
	}
	return nil
}

func (k *knownLog) signed(b, sig []byte) bool {
	digest := sha256.Sum256(b)
	switch key := k.key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest[:], sig)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig) == nil
	}
	return false
}

// explain looks for the cause of a signature that does not verify. What it finds never makes the SCT count.
func (k *knownLog) explain(s *SCT, entries []Entry) *Error {
	if len(s.Extensions) == 0 && k.log.Kind == loglist.Static {
		return fail(LostExtensions, "the signature of %s does not verify, and its extensions are empty although a static log puts the index of the leaf there: they were lost on the way", k.log.Name())
	}
	if decoded, ok := decode(s.Extensions); ok {
		fixed := *s
		fixed.Extensions = decoded
		for _, e := range entries {
			if b, err := fixed.Leaf(e); err == nil && k.signed(b, s.Signature) {
				return fail(EncodedExtensions, "its extensions are still in base64: %s has signed them decoded", k.log.Name())
			}
		}
	}
	return fail(BadSignature, "the key of %s has not signed this certificate with this time", k.log.Name())
}

func decode(b []byte) ([]byte, bool) {
	if len(b) == 0 || len(b) > 1<<12 {
		return nil, false
	}
	out, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(string(b), "="))
	return out, err == nil
}
