package ctlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Witness is somebody who cosigns the checkpoints of logs (c2sp.org/tlog-cosignature, Ed25519): a promise to have seen
// only consistent ones.
type Witness struct {
	Name string
	Key  ed25519.PublicKey
}

// cosignatureV1 is the type of Ed25519 cosignatures in key ids and verifier keys.
const cosignatureV1 = 0x04

// ParseWitness reads a verifier key of a witness, "name+hash+key" (c2sp.org/signed-note).
func ParseWitness(vkey string) (w Witness, err error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, text, ok := strings.Cut(rest, "+")
	if !ok || name == "" || strings.ContainsFunc(name, unicode.IsSpace) || len(name) > maxWitnessName {
		return w, errors.New(`a witness is written as "name+hash+key"`)
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return w, fmt.Errorf("the key of witness %q is not base64: %w", name, err)
	}
	if len(key) != 1+ed25519.PublicKeySize || key[0] != cosignatureV1 {
		return w, fmt.Errorf("the key of witness %q is not one for Ed25519 cosignatures (type 0x04)", name)
	}
	w = Witness{Name: name, Key: ed25519.PublicKey(key[1:])}
	if want, err := strconv.ParseUint(hash, 16, 32); err != nil || len(hash) != 8 || uint32(want) != w.id() {
		return Witness{}, fmt.Errorf("the key of witness %q does not have the hash %q", name, hash)
	}
	return w, nil
}

// String is the verifier key, as [ParseWitness] reads it.
func (w Witness) String() string {
	return fmt.Sprintf("%s+%08x+%s", w.Name, w.id(), base64.StdEncoding.EncodeToString(append([]byte{cosignatureV1}, w.Key...)))
}

// id is the key id of signature lines.
func (w *Witness) id() uint32 {
	h := sha256.Sum256(slices.Concat([]byte(w.Name), []byte{'\n', cosignatureV1}, w.Key))
	return binary.BigEndian.Uint32(h[:])
}

// Cosigned says who cosigned a checkpoint.
type Cosigned struct {
	// By are the known witnesses whose cosignature verifies, each once, in the order of the checkpoint.
	By []Cosignature `json:"by,omitempty"`
	// Bad are the names of known witnesses whose line does not verify, and Unknown counts lines of others than the log
	// and the known witnesses.
	Bad     []string `json:"bad,omitempty"`
	Unknown int      `json:"unknown,omitempty"`
}

// Cosignature is a verified cosignature: the witness and when it saw the checkpoint.
type Cosignature struct {
	Name string    `json:"name"`
	Time time.Time `json:"time"`
}

// Bounds of what is read of a note: witnesses are few.
const (
	maxSignatures  = 100
	maxWitnessName = 200
)

// Cosignatures verifies the cosignatures of a checkpoint. A head of an RFC 6962 log has none. The log's own signatures
// are not looked at.
func Cosignatures(checkpoint []byte, witnesses []Witness) (c Cosigned) {
	at := bytes.LastIndex(checkpoint, []byte("\n\n"))
	if at < 0 {
		return c
	}
	text := string(checkpoint[:at+1])
	origin, _, _ := strings.Cut(text, "\n")
	seen := map[string]bool{}
	for _, s := range noteSignatures(checkpoint) {
		if s.name == origin {
			continue
		}
		name := s.name
		i := slices.IndexFunc(witnesses, func(w Witness) bool { return w.Name == name && w.id() == s.id })
		switch {
		case i < 0:
			c.Unknown++
		case seen[witnesses[i].String()]:
		default:
			if at, ok := witnesses[i].verify(text, s.sig); ok {
				seen[witnesses[i].String()] = true
				c.By = append(c.By, Cosignature{name, at})
			} else if !slices.Contains(c.Bad, name) {
				c.Bad = append(c.Bad, name)
			}
		}
	}
	return c
}

// noteSignature is a signature line of a note (c2sp.org/signed-note).
type noteSignature struct {
	name string
	id   uint32
	sig  []byte
}

// noteSignatures reads the signature lines of a note, none verified, at most maxSignatures. What is no such line is
// left out.
func noteSignatures(raw []byte) (out []noteSignature) {
	at := bytes.LastIndex(raw, []byte("\n\n"))
	if at < 0 {
		return nil
	}
	for line := range strings.Lines(string(raw[at+2:])) {
		rest, ok := strings.CutPrefix(line, "\u2014 ")
		name, signed, ok2 := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
		sig, err := base64.StdEncoding.DecodeString(signed)
		if !ok || !ok2 || err != nil || len(sig) < 5 || len(name) > maxWitnessName {
			continue
		}
		if out = append(out, noteSignature{name, binary.BigEndian.Uint32(sig), sig[4:]}); len(out) == maxSignatures {
			break
		}
	}
	return out
}

// cosignedText is what a witness signs at a time in seconds.
func cosignedText(text string, seconds uint64) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", seconds, text)
}

func (w *Witness) verify(text string, sig []byte) (at time.Time, ok bool) {
	if len(sig) != 8+ed25519.SignatureSize || len(w.Key) != ed25519.PublicKeySize {
		return at, false
	}
	seconds := binary.BigEndian.Uint64(sig)
	if seconds > 1<<40 || !ed25519.Verify(w.Key, cosignedText(text, seconds), sig[8:]) {
		return at, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// Cosign appends the cosignature of a witness to a checkpoint. It is for witnesses of our own, in labs and tests.
func Cosign(checkpoint []byte, name string, key ed25519.PrivateKey, at time.Time) []byte {
	i := bytes.LastIndex(checkpoint, []byte("\n\n"))
	if i < 0 {
		return checkpoint
	}
	w := Witness{Name: name, Key: key.Public().(ed25519.PublicKey)}
	seconds := uint64(at.Unix())
	sig := binary.BigEndian.AppendUint32(nil, w.id())
	sig = binary.BigEndian.AppendUint64(sig, seconds)
	sig = append(sig, ed25519.Sign(key, cosignedText(string(checkpoint[:i+1]), seconds))...)
	return fmt.Appendf(bytes.Clone(checkpoint), "\u2014 %s %s\n", name, base64.StdEncoding.EncodeToString(sig))
}
