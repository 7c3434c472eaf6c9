// Package rfc6962 is a small log with the HTTP API of RFC 6962 section 4, for tests and drills.
//
// It holds everything in memory and is correct unless its faults say otherwise. It trusts nobody, and nobody outside
// a test may trust it.
package rfc6962

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/internal/lab/tree"
)

// Options of a log; the zero value is usable.
type Options struct {
	sequence.Options
	// MaxBatch is the most that get-entries gives at once; 1000 by default.
	MaxBatch int
	// Prefix is the path of the log, such as "/2026"; it may be empty.
	Prefix string
}

// Log is one log. It is safe for concurrent use.
type Log struct {
	*sequence.Log
	opts  Options
	calls atomic.Uint64 // of get-entries, for batches in turn
}

// New makes an empty log.
func New(key crypto.Signer, opts *Options) (*Log, error) {
	l := &Log{}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.MaxBatch <= 0 {
		l.opts.MaxBatch = 1000
	}
	l.opts.LeafIndex = false
	var err error
	l.Log, err = sequence.New(key, &l.opts.Options)
	return l, err
}

// Handler serves the log.
func (l *Log) Handler() http.Handler {
	mux := http.NewServeMux()
	l.HandleSubmissions(mux, l.opts.Prefix)
	p := "GET " + l.opts.Prefix + "/ct/v1/"
	mux.HandleFunc(p+"get-sth", l.getSTH)
	mux.HandleFunc(p+"get-sth-consistency", l.getConsistency)
	mux.HandleFunc(p+"get-proof-by-hash", l.getProofByHash)
	mux.HandleFunc(p+"get-entries", l.getEntries)
	mux.HandleFunc(p+"get-entry-and-proof", l.getEntryAndProof)
	return l.Faults.Wrap(mux)
}

func (l *Log) getSTH(w http.ResponseWriter, _ *http.Request) {
	v := l.View()
	if n := v.Faults().EndlessHead; n > 0 {
		fault.Flood(w, "application/json", `{"tree_size":1,"sha256_root_hash":"`, n)
		return
	}
	h := v.Head()
	sig, err := v.Sign()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sequence.JSON(w, map[string]any{
		"tree_size": h.Size, "timestamp": h.Timestamp, "sha256_root_hash": h.Root[:], "tree_head_signature": sig,
	})
}

func (l *Log) getConsistency(w http.ResponseWriter, r *http.Request) {
	first, second, ok := numbers(w, r, "first", "second")
	if !ok {
		return
	}
	p, err := l.View().Consistency(first, second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sequence.JSON(w, map[string]any{"consistency": slices(p)})
}

func (l *Log) getProofByHash(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseUint(r.FormValue("tree_size"), 10, 63)
	if err != nil {
		http.Error(w, "tree_size: not a number", http.StatusBadRequest)
		return
	}
	h, err := base64.StdEncoding.DecodeString(r.FormValue("hash"))
	if err != nil || len(h) != 32 {
		http.Error(w, "hash: not the base64 of 32 bytes", http.StatusBadRequest)
		return
	}
	v := l.View()
	i, ok := v.Index([32]byte(h))
	if !ok || i >= size {
		http.Error(w, "no such leaf in a tree of that size", http.StatusNotFound)
		return
	}
	p, err := v.Inclusion(i, size)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sequence.JSON(w, map[string]any{"leaf_index": i, "audit_path": slices(p)})
}

func (l *Log) getEntryAndProof(w http.ResponseWriter, r *http.Request) {
	i, size, ok := numbers(w, r, "leaf_index", "tree_size")
	if !ok {
		return
	}
	v := l.View()
	p, err := v.Inclusion(i, size)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	es, err := v.Entries(i, i+1)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sequence.JSON(w, map[string]any{
		"leaf_input": es[0].MerkleTreeLeaf(), "extra_data": es[0].ExtraData(), "audit_path": slices(p),
	})
}

func (l *Log) getEntries(w http.ResponseWriter, r *http.Request) {
	start, end, ok := numbers(w, r, "start", "end")
	if !ok {
		return
	}
	if end < start {
		http.Error(w, "end before start", http.StatusBadRequest)
		return
	}
	v := l.View()
	es, err := v.Entries(start, start+min(end-start+1, l.batch(v.Faults(), start)))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(page(es))
}

// batch is how many entries the next answer from start on gives at most.
func (l *Log) batch(f *fault.Faults, start uint64) uint64 {
	n := uint64(l.opts.MaxBatch)
	if f.MaxBatch > 0 {
		n = min(n, uint64(f.MaxBatch))
	}
	if len(f.Batches) > 0 {
		n = min(n, uint64(f.Batches[l.calls.Add(1)%uint64(len(f.Batches))]))
	}
	if cut := (start + n) / 256 * 256; f.Aligned && cut > start {
		n = cut - start
	}
	return n
}

// page is the answer of get-entries (RFC 6962 section 4.6).
func page(es []*entry.Entry) []byte {
	out := []byte(`{"entries":[`)
	for i, e := range es {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"leaf_input":"`...)
		out = base64.StdEncoding.AppendEncode(out, e.MerkleTreeLeaf())
		out = append(out, `","extra_data":"`...)
		out = base64.StdEncoding.AppendEncode(out, e.ExtraData())
		out = append(out, `"}`...)
	}
	return append(out, `]}`...)
}

func numbers(w http.ResponseWriter, r *http.Request, a, b string) (x, y uint64, ok bool) {
	x, errX := strconv.ParseUint(r.FormValue(a), 10, 62)
	y, errY := strconv.ParseUint(r.FormValue(b), 10, 62)
	if errX != nil || errY != nil {
		http.Error(w, fmt.Sprintf("%s and %s must be numbers", a, b), http.StatusBadRequest)
		return 0, 0, false
	}
	return x, y, true
}

// slices never gives nil: an empty proof is [] in JSON, not null.
func slices(p []tree.Hash) [][]byte {
	out := make([][]byte, len(p))
	for i := range p {
		out[i] = p[i][:]
	}
	return out
}
