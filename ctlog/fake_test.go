package ctlog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin-ct/tocsin/loglist"
)

// baseTime is the timestamp of the fake log's first entry; the entries are one second apart.
const baseTime = 1_767_225_600_000

// fakeLog is a log of either kind on a transport in memory. It is correct unless told otherwise. Its tree is computed
// by package tlog, which the code under test uses only for static logs.
type fakeLog struct {
	key *ecdsa.PrivateKey
	log loglist.Log

	mu      sync.Mutex
	entries []Entry
	stored  []tlog.Hash // of package tlog
	size    uint64      // of the head that is shown
	heads   int         // heads asked for
	gets    map[string]int
	max     func(start, n uint64) uint64 // entries that one answer gives
	// fault may answer a request itself: it returns true when it did.
	fault func(w http.ResponseWriter, r *http.Request) bool
	// sign may change a head before it is signed.
	sign   func(h *Head)
	cosign func(raw []byte) []byte // witnesses of the checkpoint
	gone   func(path string) bool  // tiles that are 404
	zip    bool                    // answers are gzipped when asked
	known  []loglist.Log           // what lists know
}

func newFakeLog(t testing.TB, kind loglist.Kind, size int) *fakeLog {
	t.Helper()
	key := newKey()
	f := &fakeLog{key: key, gets: map[string]int{}, max: func(_, n uint64) uint64 { return min(n, 256) }}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if f.log, err = loglist.FromKey(kind, "https://log.example.com/2027", "", spki, ""); err != nil {
		t.Fatal(err)
	}
	f.grow(size)
	return f
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

var _ crypto.Signer = (*ecdsa.PrivateKey)(nil)

var fakeIssuer = bytes.Repeat([]byte("issuer"), 100)

// grow adds entries up to the size and shows a head of it. Every third entry is a precertificate.
func (f *fakeLog) grow(size int) { f.growSalted(size, "") }

func (f *fakeLog) growSalted(size int, salt string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.entries); i < size; i++ {
		e := Entry{Index: uint64(i), Timestamp: baseTime + uint64(i)*1000, Cert: fmt.Appendf(nil, "certificate %d %s", i, salt),
			Extensions: AppendLeafIndex(nil, uint64(i)), Fingerprints: [][32]byte{sha256.Sum256(fakeIssuer)}}
		if i%3 == 0 {
			e.Precert, e.PreCert, e.IssuerKeyHash = true, fmt.Appendf(nil, "precertificate %d", i), [32]byte{1, 2, byte(i)}
			e.Extra = append(appendUint24(nil, len(e.PreCert)), e.PreCert...)
		}
		chain := append(appendUint24(nil, len(fakeIssuer)), fakeIssuer...)
		e.Extra = append(appendUint24(e.Extra, len(chain)), chain...)
		if f.log.Kind == loglist.RFC6962 {
			e.Extensions = nil
		}
		leaf, err := AppendMerkleTreeLeaf(nil, &e)
		if err != nil {
			panic(err)
		}
		e.Leaf = leaf
		f.entries = append(f.entries, e)
		hashes, err := tlog.StoredHashes(int64(i), leaf, f)
		if err != nil {
			panic(err)
		}
		f.stored = append(f.stored, hashes...)
	}
	f.size = uint64(size)
}

// fork returns another log with the same key and the first n entries.
func (f *fakeLog) fork(n int) *fakeLog {
	g := &fakeLog{key: f.key, log: f.log, gets: map[string]int{}, max: f.max}
	g.entries = slices.Clone(f.entries[:n])
	g.stored = slices.Clone(f.stored[:tlog.StoredHashCount(int64(n))])
	g.size = uint64(n)
	return g
}

func (f *fakeLog) keys() []loglist.Log {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]loglist.Log{f.log}, f.known...)
}

func (f *fakeLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = f.stored[x]
	}
	return out, nil
}

func (f *fakeLog) root(size uint64) Hash {
	if size == 0 {
		return emptyRoot
	}
	h, err := tlog.TreeHash(int64(size), f)
	if err != nil {
		panic(err)
	}
	return Hash(h)
}

func (f *fakeLog) head(size uint64) Head {
	h := Head{Size: size, Root: f.root(size), Timestamp: baseTime + size*1000}
	if f.sign != nil {
		f.sign(&h)
	}
	return h
}

func (f *fakeLog) rawHead(size uint64) []byte {
	raw, err := SignSTH(f.key, f.head(size))
	if f.log.Kind == loglist.Static {
		raw, err = SignCheckpoint(f.key, f.log.Origin(), f.head(size))
	}
	if err != nil {
		panic(err)
	}
	if f.cosign != nil {
		raw = f.cosign(raw)
	}
	return raw
}

func (f *fakeLog) client(t testing.TB) Client {
	t.Helper()
	c, err := NewClient(f.log, &Options{Transport: &handlerTransport{f}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fakeLog) count(prefix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, k := range f.gets {
		if strings.HasPrefix(path, prefix) {
			n += k
		}
	}
	return n
}

func (f *fakeLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fault := f.fault
	f.gets[strings.TrimPrefix(r.URL.Path, "/2027/")]++
	f.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := f.answer(strings.TrimPrefix(r.URL.Path, "/2027/"), r)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case body == nil:
		http.NotFound(w, r)
	case f.zip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"):
		w.Header().Set("Content-Encoding", "gzip")
		writeGzip(w, body)
	default:
		_, _ = w.Write(body)
	}
}

func (f *fakeLog) answer(path string, r *http.Request) ([]byte, error) {
	num := func(name string) uint64 {
		n, err := strconv.ParseUint(r.FormValue(name), 10, 62)
		if err != nil {
			return 1 << 40
		}
		return n
	}
	if f.log.Kind == loglist.Static {
		return f.answerStatic(path), nil
	}
	switch path {
	case "ct/v1/get-sth":
		f.heads++
		return f.rawHead(f.size), nil
	case "ct/v1/get-entries":
		start, end := num("start"), num("end")
		if start > end || start >= f.size {
			return nil, fmt.Errorf("need tree size %d but have %d", start+1, f.size)
		}
		end = min(end, f.size-1, start+f.max(start, end-start+1)-1)
		var b bytes.Buffer
		b.WriteString(`{"entries":[`)
		for i := start; i <= end; i++ {
			if i > start {
				b.WriteByte(',')
			}
			e := &f.entries[i]
			fmt.Fprintf(&b, "{\"leaf_input\":%q,\n\"extra_data\" : %q}", base64.StdEncoding.EncodeToString(e.Leaf), base64.StdEncoding.EncodeToString(e.Extra))
		}
		b.WriteString("]}\n")
		return b.Bytes(), nil
	case "ct/v1/get-sth-consistency":
		first, second := num("first"), num("second")
		if first == 0 || first > second || second > f.size {
			return nil, fmt.Errorf("no consistency of %d and %d", first, second)
		}
		p, err := tlog.ProveTree(int64(second), int64(first), f)
		if err != nil {
			return nil, err
		}
		return json.Marshal(map[string]any{"consistency": textHashes(p)})
	case "ct/v1/get-entry-and-proof":
		i, size := num("leaf_index"), num("tree_size")
		if i >= size || size > f.size {
			return nil, fmt.Errorf("no proof of %d in %d", i, size)
		}
		p, err := tlog.ProveRecord(int64(size), int64(i), f)
		return mustJSON(map[string]any{"leaf_input": f.entries[i].Leaf, "extra_data": f.entries[i].Extra, "audit_path": textHashes(p)}), err
	case "ct/v1/get-proof-by-hash":
		want, _ := base64.StdEncoding.DecodeString(r.FormValue("hash"))
		size := num("tree_size")
		for i := range f.entries {
			if h := f.entries[i].Hash(); bytes.Equal(h[:], want) && uint64(i) < size {
				p, err := tlog.ProveRecord(int64(size), int64(i), f)
				return mustJSON(map[string]any{"leaf_index": i, "audit_path": textHashes(p)}), err
			}
		}
	}
	return nil, nil
}

func (f *fakeLog) answerStatic(path string) []byte {
	if path == "checkpoint" {
		f.heads++
		return f.rawHead(f.size)
	}
	if path == fmt.Sprintf("issuer/%x", sha256.Sum256(fakeIssuer)) {
		return fakeIssuer
	}
	if f.gone != nil && f.gone(path) {
		return nil
	}
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return nil
	}
	level, rest, _ := strings.Cut(rest, "/")
	data := level == "data"
	if data {
		level = "0"
	}
	tile, err := tlog.ParseTilePath("tile/8/" + fmt.Sprintf("%0s", level) + "/" + rest)
	if err != nil {
		return nil
	}
	if end := (uint64(tile.N)*TileWidth + uint64(tile.W)) << (8 * tile.L); end > f.size {
		return nil
	}
	if !data {
		b, err := tlog.ReadTileData(tile, f)
		if err != nil {
			return nil
		}
		return b
	}
	var b []byte
	for i := tile.N * TileWidth; i < tile.N*TileWidth+int64(tile.W); i++ {
		if b, err = AppendTileLeaf(b, &f.entries[i]); err != nil {
			return nil
		}
	}
	return b
}

func textHashes[T ~[]tlog.Hash](p T) []Hash {
	out := []Hash{}
	for _, h := range p {
		out = append(out, Hash(h))
	}
	return out
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// handlerTransport serves requests from a handler through a pipe in memory: bodies stream, time may be synthetic.
type handlerTransport struct{ h http.Handler }

func (t *handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pw: pw, ready: make(chan struct{})}
	stop := context.AfterFunc(r.Context(), func() { pr.CloseWithError(r.Context().Err()) })
	go func() {
		defer stop()
		t.h.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		_ = pw.CloseWithError(w.err)
	}()
	select {
	case <-w.ready:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: w.code, Header: w.header, Body: pr, ContentLength: -1, Request: r}, nil
}

type pipeWriter struct {
	header http.Header
	pw     *io.PipeWriter
	code   int
	ready  chan struct{}
	err    error // how the body ends; nil is EOF
}

func (w *pipeWriter) Header() http.Header { return w.header }
func (w *pipeWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
		close(w.ready)
	}
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pw.Write(b)
}

func deliverFunc(f func(*Delivery)) func(context.Context, *Delivery) error {
	return func(_ context.Context, d *Delivery) error {
		f(d)
		return nil
	}
}

// tileServer serves tiles that were made before, for benchmarks.
type tileServer struct {
	f     *fakeLog
	tiles map[string][]byte
}

func (s *tileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if tile, ok := s.tiles[strings.TrimPrefix(r.URL.Path, "/2027/")]; ok {
		_, _ = w.Write(tile)
		return
	}
	s.f.ServeHTTP(w, r)
}
