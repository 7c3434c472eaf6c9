package interop_test

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"testing"

	ct "github.com/google/certificate-transparency-go"
	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// signedHead is a head out of evidence whose signature was verified by the libraries of others.
type signedHead struct {
	size uint64
	root [32]byte
}

// evidence is what the evidence of a fault holds, as docs/output.md describes it.
type evidence struct {
	Heads []string `json:"heads"`
	Got   []byte   `json:"got"`
	Proof [][]byte `json:"proof"`
}

// evidenceHeads are the heads in the evidence. Each must bear the log's own signature: verified without anything of
// ours, by transparency-dev/formats or certificate-transparency-go.
func evidenceHeads(t testing.TB, l *reallogs.Log, raw json.RawMessage) []signedHead {
	t.Helper()
	var ev evidence
	if err := json.Unmarshal(raw, &ev); err != nil {
		t.Fatalf("reading evidence: %v\n%s", err, raw)
	}
	var heads []signedHead
	for i, h := range ev.Heads {
		head, err := verifyHead(l, []byte(h))
		if err != nil {
			t.Fatalf("head %d of the evidence: %v\n%s", i, err, h)
		}
		heads = append(heads, head)
	}
	return heads
}

func verifyHead(l *reallogs.Log, raw []byte) (signedHead, error) {
	if l.Kind == reallogs.Static {
		v, err := fnote.NewRFC6962Verifier(verifierText(l))
		if err != nil {
			return signedHead{}, err
		}
		cp, _, _, err := log.ParseCheckpoint(raw, l.Origin(), v)
		if err != nil {
			return signedHead{}, err
		}
		return signedHead{cp.Size, [32]byte(cp.Hash)}, nil
	}
	var answer ct.GetSTHResponse
	if err := json.Unmarshal(raw, &answer); err != nil {
		return signedHead{}, err
	}
	sth, err := answer.ToSignedTreeHead()
	if err != nil {
		return signedHead{}, err
	}
	v, err := ct.NewSignatureVerifier(crypto.PublicKey((*ecdsa.PublicKey)(&l.Key.PublicKey)))
	if err != nil {
		return signedHead{}, err
	}
	return signedHead{sth.TreeSize, sth.SHA256RootHash}, v.VerifySTHSignature(*sth)
}

// convicts checks, without anything of ours, that the evidence of a fork proves it: two heads that the log signed, of
// one size with different roots, or with the proof that the larger tree holds another tree than the smaller head says.
func convicts(t testing.TB, l *reallogs.Log, raw json.RawMessage) (older, newer signedHead) {
	t.Helper()
	heads := evidenceHeads(t, l, raw)
	if len(heads) != 2 {
		t.Fatalf("the evidence holds %d heads, want both: %s", len(heads), raw)
	}
	older, newer = heads[0], heads[1]
	if older.size > newer.size {
		older, newer = newer, older
	}
	if older.size == newer.size {
		if older.root == newer.root {
			t.Errorf("the two heads say the same: %s", raw)
		}
		return older, newer
	}
	var ev evidence
	if err := json.Unmarshal(raw, &ev); err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, older.size, newer.size, ev.Proof, ev.Got, newer.root[:]); err != nil {
		t.Errorf("the proof that the larger tree holds another smaller one does not verify: %v\n%s", err, raw)
	}
	if [32]byte(ev.Got) == older.root {
		t.Errorf("the larger tree holds the smaller one: %s", raw)
	}
	return older, newer
}
