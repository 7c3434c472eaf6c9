package ctlog

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

func testWitness(name string) (Witness, ed25519.PrivateKey) {
	seed := sha256.Sum256([]byte(name))
	key := ed25519.NewKeyFromSeed(seed[:])
	return Witness{Name: name, Key: key.Public().(ed25519.PublicKey)}, key
}

var seenAt = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func TestCosignaturesAreVerifiedAndCounted(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 10)
	raw := f.rawHead(10)
	w1, k1 := testWitness("witness.example.com/w1")
	w2, k2 := testWitness("witness.example.org")
	_, k3 := testWitness("unknown.example.net")
	by := func(names ...string) (out []Cosignature) {
		for _, n := range names {
			out = append(out, Cosignature{n, seenAt})
		}
		return out
	}
	signed := Cosign(Cosign(Cosign(raw, w1.Name, k1, seenAt), "unknown.example.net", k3, seenAt), w2.Name, k2, seenAt)
	other := Cosign(f.rawHead(9), w2.Name, k2, seenAt)
	moved := append(bytes.Clone(raw), other[bytes.LastIndexByte(other[:len(other)-1], '\n')+1:]...)
	for _, row := range []struct {
		name string
		raw  []byte
		know []Witness
		want Cosigned
	}{
		{"nobody cosigned", raw, []Witness{w1, w2}, Cosigned{}},
		{"no witness is known", signed, nil, Cosigned{Unknown: 3}},
		{"two known witnesses and one other", signed, []Witness{w2, w1}, Cosigned{By: by(w1.Name, w2.Name), Unknown: 1}},
		{"the same one twice counts once", Cosign(signed, w1.Name, k1, seenAt.Add(time.Hour)), []Witness{w1}, Cosigned{By: by(w1.Name), Unknown: 2}},
		{"a cosignature of another checkpoint", moved, []Witness{w2}, Cosigned{Bad: []string{w2.Name}}},
		{"another root under a cosignature", bytes.Replace(signed, []byte("\n10\n"), []byte("\n11\n"), 1), []Witness{w1}, Cosigned{Bad: []string{w1.Name}, Unknown: 2}},
		{"a head of an RFC 6962 log", newFakeLog(t, loglist.RFC6962, 3).rawHead(3), []Witness{w1}, Cosigned{}},
		{"the log as its own witness", Cosign(raw, f.log.Origin(), k1, seenAt), []Witness{{f.log.Origin(), w1.Key}}, Cosigned{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if d := cmp.Diff(row.want, Cosignatures(row.raw, row.know)); d != "" {
				t.Error(d)
			}
		})
	}
	// The log's own signature stands beside them.
	if h, err := VerifyHead(f.log, signed); err != nil || h.Size != 10 {
		t.Error(err)
	}
}

// What is signed is written out here once more, after c2sp.org/tlog-cosignature.
func TestACosignatureCoversTimeAndWholeNote(t *testing.T) {
	w, key := testWitness("witness.example.com")
	text := "log.example.com/2027\n7\nAAAA\nan extension line\n"
	msg := fmt.Sprintf("cosignature/v1\ntime %d\n%s", seenAt.Unix(), text)
	id := sha256.Sum256(append([]byte("witness.example.com\n\x04"), w.Key...))
	sig := binary.BigEndian.AppendUint64(id[:4:4], uint64(seenAt.Unix()))
	sig = append(sig, ed25519.Sign(key, []byte(msg))...)
	raw := []byte(text + "\n— witness.example.com " + base64.StdEncoding.EncodeToString(sig) + "\n")
	if d := cmp.Diff(Cosigned{By: []Cosignature{{w.Name, seenAt}}}, Cosignatures(raw, []Witness{w})); d != "" {
		t.Error(d)
	}
}

func TestWitnessKeysAreReadStrictly(t *testing.T) {
	w, _ := testWitness("witness.example.com/w1")
	good := w.String()
	if back, err := ParseWitness(good); err != nil || back.String() != good || !bytes.Equal(back.Key, w.Key) {
		t.Errorf("%v, %v", back, err)
	}
	parts := strings.Split(good, "+")
	tail := strings.Join(parts[2:], "+")
	for name, bad := range map[string]string{
		"empty": "", "only a name": "w", "no name": "+" + parts[1] + "+" + tail, "a space in the name": "w 1+" + parts[1] + "+" + tail,
		"another hash": parts[0] + "+00000000+" + tail, "a long hash": parts[0] + "+00" + parts[1] + "+" + tail,
		"another name": "x" + good, "no base64": parts[0] + "+" + parts[1] + "+?", "cut": good[:len(good)-4],
		"a plain Ed25519 note key": parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, w.Key...)),
	} {
		if got, err := ParseWitness(bad); err == nil {
			t.Errorf("%s: %q is taken for %+v", name, bad, got)
		}
	}
}

func TestTheStatusShowsWhoCosignedTheHead(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 10)
	w, key := testWitness("witness.example.com/w1")
	r := newReceiver(t, f)
	opts := TailOptions{Once: true, Witnesses: []Witness{w}}
	f.cosign = func(raw []byte) []byte { return Cosign(raw, w.Name, key, seenAt) }
	tail := r.tailer(f.client(t), opts)
	if err := tail.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Cosigned{By: []Cosignature{{w.Name, seenAt}}}, tail.Status().Cosigned); d != "" {
		t.Error(d)
	}
}

func TestWitnessesOfACapturedCheckpointAreCountedAsUnknown(t *testing.T) {
	raw := sharedFile(t, "ct-captures/parcelyard2026h2-2026-10-07/checkpoint")
	w, _ := testWitness("witness.stagemole.eu") // the name alone is nobody
	if d := cmp.Diff(Cosigned{Unknown: 2}, Cosignatures(raw, []Witness{w})); d != "" {
		t.Error(d)
	}
}

func FuzzCosignature(f *testing.F) {
	w, key := testWitness("witness.example.com")
	text := []byte("log.example.com/2027\n7\nAAAA\n\n")
	good := Cosign(text, w.Name, key, seenAt)
	f.Add(good, w.String())
	f.Add([]byte("\n\n— a AAAAAAAA\n"), "a+00000000+AAAA")
	f.Add(Cosign(good, "other.example", key, seenAt), "")
	f.Fuzz(func(t *testing.T, raw []byte, vkey string) {
		if got, err := ParseWitness(vkey); err == nil {
			if back, err := ParseWitness(got.String()); err != nil || back.Name != got.Name || !bytes.Equal(back.Key, got.Key) {
				t.Errorf("%q is read as %+v, which is not read again", vkey, got)
			}
			_ = Cosignatures(raw, []Witness{got})
		}
		c := Cosignatures(raw, []Witness{w})
		if len(c.By)+len(c.Bad)+c.Unknown > maxSignatures {
			t.Errorf("%d lines counted", len(c.By)+len(c.Bad)+c.Unknown)
		}
		// This witness signed one note only.
		if len(c.By) > 0 && !bytes.HasPrefix(raw, text) {
			t.Errorf("%q passes for cosigned", raw)
		}
	})
}
