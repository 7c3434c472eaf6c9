package rfc6962

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
)

type world struct {
	*testing.T
	log *Log
	url string
	ca  *ca.Authority
}

func start(t *testing.T, opts *Options) *world {
	t.Helper()
	key, err := ca.NewKey(ca.P256, "log")
	if err != nil {
		t.Fatal(err)
	}
	root, err := ca.NewRoot("Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := root.NewIntermediate("Issuing", nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(key, opts)
	if err != nil {
		t.Fatal(err)
	}
	l.Roots.Add(root.Cert)
	srv := httptest.NewServer(l.Handler())
	t.Cleanup(srv.Close)
	return &world{t, l, srv.URL + "/ct/v1/", issuing}
}

func (w *world) get(path string, into any) int {
	w.Helper()
	resp, err := http.Get(w.url + path)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
			w.Fatal(err)
		}
	}
	return resp.StatusCode
}

type sct struct {
	Version    int    `json:"sct_version"`
	ID         []byte `json:"id"`
	Timestamp  uint64 `json:"timestamp"`
	Extensions []byte `json:"extensions"`
	Signature  []byte `json:"signature"`
}

func (w *world) post(method string, chain ...[]byte) (s sct, status int) {
	w.Helper()
	body, err := json.Marshal(map[string]any{"chain": chain})
	if err != nil {
		w.Fatal(err)
	}
	resp, err := http.Post(w.url+method, "application/json", bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
			w.Fatal(err)
		}
	}
	return s, resp.StatusCode
}

func (w *world) issue(n int) *ca.Issued {
	w.Helper()
	i, err := w.ca.Issue(ca.Leaf{CN: fmt.Sprintf("h%d.example.com", n), DNS: []string{fmt.Sprintf("h%d.example.com", n)}})
	if err != nil {
		w.Fatal(err)
	}
	return i
}

func (w *world) verify(message, digitallySigned []byte) bool {
	w.Helper()
	key, err := x509.ParsePKIXPublicKey(w.log.Key.SPKI)
	if err != nil {
		w.Fatal(err)
	}
	if len(digitallySigned) < 4 || !bytes.Equal(digitallySigned[:2], []byte{4, 3}) || int(binary.BigEndian.Uint16(digitallySigned[2:])) != len(digitallySigned)-4 {
		w.Errorf("DigitallySigned frame % x", digitallySigned)
		return false
	}
	d := sha256.Sum256(message)
	return ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), d[:], digitallySigned[4:])
}

type sth struct {
	Size      uint64 `json:"tree_size"`
	Timestamp uint64 `json:"timestamp"`
	Root      []byte `json:"sha256_root_hash"`
	Signature []byte `json:"tree_head_signature"`
}

func (w *world) head() (h sth, ok bool) {
	w.Helper()
	if st := w.get("get-sth", &h); st != http.StatusOK {
		w.Fatalf("get-sth: %d", st)
	}
	msg := binary.BigEndian.AppendUint64([]byte{0, 1}, h.Timestamp)
	msg = binary.BigEndian.AppendUint64(msg, h.Size)
	return h, w.verify(append(msg, h.Root...), h.Signature)
}

type entries struct {
	Entries []struct {
		Leaf  []byte `json:"leaf_input"`
		Extra []byte `json:"extra_data"`
	} `json:"entries"`
}

// read fetches all entries of a head and returns the leaves, in as many requests as the log makes it.
func (w *world) read(size uint64) (leaves [][]byte, requests int) {
	w.Helper()
	for uint64(len(leaves)) < size {
		var e entries
		if st := w.get(fmt.Sprintf("get-entries?start=%d&end=%d", len(leaves), size-1), &e); st != http.StatusOK || len(e.Entries) == 0 {
			w.Fatalf("get-entries: %d, %d entries", st, len(e.Entries))
		}
		requests++
		for _, x := range e.Entries {
			leaves = append(leaves, x.Leaf)
		}
	}
	return leaves, requests
}

func root(t testing.TB, leaves [][]byte) []byte {
	t.Helper()
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, l := range leaves {
		if err := r.Append(rfc6962.DefaultHasher.HashLeaf(l), nil); err != nil {
			t.Fatal(err)
		}
	}
	h, err := r.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSCTsHeadsEntriesAndProofsVerify(t *testing.T) {
	w := start(t, &Options{MaxBatch: 7})
	if h, ok := w.head(); !ok || h.Size != 0 || !bytes.Equal(h.Root, rfc6962.DefaultHasher.EmptyRoot()) {
		t.Errorf("empty log: %+v, signature %t", h, ok)
	}
	heads := []sth{}
	for n := range 20 {
		i := w.issue(n)
		s, st := w.post("add-pre-chain", append([][]byte{i.Precert}, i.Chain[0])...)
		if st != http.StatusOK {
			t.Fatalf("add-pre-chain: %d", st)
		}
		// RFC 6962 section 3.2, put together here from the issuance, not from what the log holds.
		signed := binary.BigEndian.AppendUint64([]byte{0, 0}, s.Timestamp)
		kh := w.ca.KeyHash()
		signed = append(append(signed, 0, 1), kh[:]...)
		signed = append(signed, byte(len(i.TBS)>>16), byte(len(i.TBS)>>8), byte(len(i.TBS)))
		signed = append(append(signed, i.TBS...), 0, 0)
		if !w.verify(signed, s.Signature) || s.Version != 0 || !bytes.Equal(s.ID, w.log.Key.ID[:]) || len(s.Extensions) != 0 {
			t.Errorf("SCT of precertificate %d does not verify: %+v", n, s)
		}
		if again, _ := w.post("add-pre-chain", append([][]byte{i.Precert}, i.Chain...)...); !bytes.Equal(again.Signature, s.Signature) {
			t.Error("the same precertificate got two SCTs")
		}
		if n%3 == 0 {
			final, err := i.Finish(nil)
			if err != nil {
				t.Fatal(err)
			}
			s, st := w.post("add-chain", append([][]byte{final}, i.FinalChain...)...)
			signed := binary.BigEndian.AppendUint64([]byte{0, 0}, s.Timestamp)
			signed = append(signed, 0, 0, byte(len(final)>>16), byte(len(final)>>8), byte(len(final)))
			signed = append(append(signed, final...), 0, 0)
			if st != http.StatusOK || !w.verify(signed, s.Signature) {
				t.Errorf("SCT of certificate %d does not verify", n)
			}
		}
		w.log.Publish()
		h, ok := w.head()
		if !ok {
			t.Error("signature of head")
		}
		heads = append(heads, h)
	}
	last := heads[len(heads)-1]
	leaves, requests := w.read(last.Size)
	if last.Size != 27 || requests != 4 {
		t.Errorf("size %d in %d requests, want 27 in 4", last.Size, requests)
	}
	for k, h := range heads {
		if !bytes.Equal(root(t, leaves[:h.Size]), h.Root) {
			t.Errorf("root of %d does not follow from the entries", h.Size)
		}
		if k > 0 && h.Timestamp <= heads[k-1].Timestamp {
			t.Error("timestamps of heads must grow")
		}
		var c struct {
			Proof [][]byte `json:"consistency"`
		}
		if st := w.get(fmt.Sprintf("get-sth-consistency?first=%d&second=%d", h.Size, last.Size), &c); st != http.StatusOK {
			t.Fatalf("get-sth-consistency: %d", st)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, h.Size, last.Size, c.Proof, h.Root, last.Root); err != nil {
			t.Error(err)
		}
	}
	for i, leaf := range leaves {
		hash := rfc6962.DefaultHasher.HashLeaf(leaf)
		var p struct {
			Index uint64   `json:"leaf_index"`
			Path  [][]byte `json:"audit_path"`
			Leaf  []byte   `json:"leaf_input"`
		}
		q := url.Values{"hash": {base64.StdEncoding.EncodeToString(hash)}, "tree_size": {fmt.Sprint(last.Size)}}
		if st := w.get("get-proof-by-hash?"+q.Encode(), &p); st != http.StatusOK || p.Index != uint64(i) {
			t.Fatalf("get-proof-by-hash: %d, index %d", st, p.Index)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, last.Size, hash, p.Path, last.Root); err != nil {
			t.Error(err)
		}
		if st := w.get(fmt.Sprintf("get-entry-and-proof?leaf_index=%d&tree_size=%d", i, last.Size), &p); st != http.StatusOK || !bytes.Equal(p.Leaf, leaf) {
			t.Errorf("get-entry-and-proof: %d", st)
		}
	}
}

func TestExtraDataHoldsPrecertificateAndChainToTheRoot(t *testing.T) {
	w := start(t, nil)
	i := w.issue(1)
	w.post("add-pre-chain", i.Precert, i.Chain[0]) // without the root, which the log knows
	w.log.Publish()
	var e entries
	w.get("get-entries?start=0&end=0", &e)
	v24 := func(b []byte) []byte {
		return append([]byte{byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
	}
	chain := append(v24(i.Chain[0]), v24(i.Chain[1])...)
	if want := append(v24(i.Precert), v24(chain)...); len(e.Entries) != 1 || !bytes.Equal(e.Entries[0].Extra, want) {
		t.Error("extra_data is not precertificate, issuer, root")
	}
}

func TestPrecertSigningCAIsReplacedInTheLeaf(t *testing.T) {
	w := start(t, nil)
	signer, err := w.ca.NewPrecertSigner("Signer", nil)
	if err != nil {
		t.Fatal(err)
	}
	i, err := signer.Issue(ca.Leaf{CN: "a.example.com", DNS: []string{"a.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, st := w.post("add-pre-chain", append([][]byte{i.Precert}, i.Chain...)...); st != http.StatusOK {
		t.Fatal(st)
	}
	w.log.Publish()
	leaves, _ := w.read(1)
	kh := w.ca.KeyHash()
	if got := leaves[0][12:44]; !bytes.Equal(got, kh[:]) {
		t.Error("issuer key hash is not that of the final issuer")
	}
	if got := leaves[0][47 : len(leaves[0])-2]; !bytes.Equal(got, i.TBS) {
		t.Error("the TBSCertificate in the leaf is not that of the final certificate")
	}
}

func TestWrongSubmissionsAndQuestionsAreRefused(t *testing.T) {
	w := start(t, nil)
	stranger, err := ca.NewRoot("Root", nil) // same name, another key
	if err != nil {
		t.Fatal(err)
	}
	bad, err := stranger.Issue(ca.Leaf{CN: "a.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	good := w.issue(1)
	if _, err := good.Finish(nil); err != nil {
		t.Fatal(err)
	}
	for name, st := range map[string]func() int{
		"a chain to no accepted root":   func() int { _, st := w.post("add-pre-chain", bad.Precert, stranger.Cert); return st },
		"a signature of another key":    func() int { _, st := w.post("add-pre-chain", bad.Precert); return st },
		"a precertificate in add-chain": func() int { _, st := w.post("add-chain", good.Precert, good.Chain[0]); return st },
		"a certificate in add-pre-chain": func() int {
			_, st := w.post("add-pre-chain", good.Final, good.Chain[0])
			return st
		},
		"an empty chain":               func() int { _, st := w.post("add-chain"); return st },
		"garbage":                      func() int { _, st := w.post("add-chain", []byte("garbage")); return st },
		"entries beyond the end":       func() int { return w.get("get-entries?start=0&end=0", nil) },
		"entries backwards":            func() int { return w.get("get-entries?start=1&end=0", nil) },
		"a proof from size 0":          func() int { return w.get("get-sth-consistency?first=0&second=0", nil) },
		"a proof for a size to come":   func() int { return w.get("get-sth-consistency?first=1&second=9", nil) },
		"an entry and proof of no one": func() int { return w.get("get-entry-and-proof?leaf_index=0&tree_size=0", nil) },
		"a hash that is none":          func() int { return w.get("get-proof-by-hash?hash=AA&tree_size=1", nil) },
	} {
		if got := st(); got != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got)
		}
	}
	if w.log.Size() != 0 {
		t.Error("something was logged")
	}
}

func TestRunPublishesWhatWasSubmitted(t *testing.T) {
	l := start(t, &Options{Options: sequence.Options{Merge: time.Millisecond}})
	go l.log.Run(t.Context())
	i := l.issue(1)
	l.post("add-pre-chain", i.Precert, i.Chain[0])
	for h := (sth{}); h.Size != 1; {
		h, _ = l.head()
	}
}
