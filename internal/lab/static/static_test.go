package static

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/mod/sumdb/note"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
)

const origin = "log-b.lab.example/2026"

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
	l, err := New(origin, key, opts)
	if err != nil {
		t.Fatal(err)
	}
	l.Roots.Add(root.Cert)
	srv := httptest.NewServer(l.Handler())
	t.Cleanup(srv.Close)
	return &world{t, l, srv.URL, root}
}

func (w *world) get(path string, headers ...string) (int, http.Header, []byte) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.url+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	c := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body
}

// verifier checks RFC 6962 note signatures (C2SP static-ct-api, Checkpoints), for x/mod/sumdb/note.
type verifier struct {
	logID [32]byte
	key   *ecdsa.PublicKey
	when  *uint64
}

func (v verifier) Name() string { return origin }

func (v verifier) KeyHash() uint32 {
	d := sha256.Sum256(append([]byte(origin+"\n\x05"), v.logID[:]...))
	return binary.BigEndian.Uint32(d[:])
}

func (v verifier) Verify(msg, sig []byte) bool {
	size, root, ok := readText(string(msg))
	if !ok || len(sig) < 12 || sig[8] != 4 || sig[9] != 3 || int(sig[10])<<8|int(sig[11]) != len(sig)-12 {
		return false
	}
	*v.when = binary.BigEndian.Uint64(sig)
	signed := append([]byte{0, 1}, sig[:8]...)
	signed = append(binary.BigEndian.AppendUint64(signed, size), root...)
	d := sha256.Sum256(signed)
	return ecdsa.VerifyASN1(v.key, d[:], sig[12:])
}

func readText(text string) (size uint64, root []byte, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != origin {
		return 0, nil, false
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	root, err2 := base64.StdEncoding.DecodeString(lines[2])
	return size, root, err == nil && err2 == nil
}

func (w *world) checkpoint() (size uint64, root []byte, when uint64, err error) {
	w.Helper()
	st, _, body := w.get("/checkpoint")
	if st != http.StatusOK {
		w.Fatalf("checkpoint: %d", st)
	}
	key, err := x509.ParsePKIXPublicKey(w.log.Key.SPKI)
	if err != nil {
		w.Fatal(err)
	}
	n, err := note.Open(body, note.VerifierList(verifier{w.log.Key.ID, key.(*ecdsa.PublicKey), &when}))
	if err != nil {
		return 0, nil, 0, err
	}
	size, root, _ = readText(n.Text)
	return size, root, when, nil
}

// fill adds n entries of few bytes.
func (w *world) fill(n int) {
	w.Helper()
	for range n {
		e, err := entry.Raw(fmt.Appendf(nil, "certificate %d", w.log.Size()), [][]byte{w.ca.Cert})
		if err != nil {
			w.Fatal(err)
		}
		w.log.Add(e)
	}
	w.log.Publish()
}

type tileLeaf struct {
	Timestamp uint64
	Precert   bool
	KeyHash   []byte
	Cert      []byte
	Index     uint64
	PreCert   []byte
	Chain     [][]byte
	hashed    []byte
}

// readTile is the TileLeaf structure of static-ct-api read with cryptobyte.
func readTile(t testing.TB, b []byte) (out []tileLeaf) {
	t.Helper()
	s := cryptobyte.String(b)
	for !s.Empty() {
		var l tileLeaf
		var kind uint16
		var data, ext, chain, ed cryptobyte.String
		whole := s
		var et uint8
		ok := s.ReadUint64(&l.Timestamp) && s.ReadUint16(&kind) && (kind == 0 || s.ReadBytes(&l.KeyHash, 32)) &&
			s.ReadUint24LengthPrefixed(&data) && s.ReadUint16LengthPrefixed(&ext)
		l.Cert, l.Precert = data, kind == 1
		l.hashed = append([]byte{0, 0}, whole[:len(whole)-len(s)]...)
		if kind == 1 {
			ok = ok && s.ReadUint24LengthPrefixed(&data)
			l.PreCert = data
		}
		ok = ok && s.ReadUint16LengthPrefixed(&chain) && ext.ReadUint8(&et) && et == 0 && ext.ReadUint16LengthPrefixed(&ed) && len(ed) == 5 && ext.Empty()
		if !ok {
			t.Fatalf("leaf %d of the tile cannot be read", len(out))
		}
		for _, c := range ed {
			l.Index = l.Index<<8 | uint64(c)
		}
		for !chain.Empty() {
			var f []byte
			if !chain.ReadBytes(&f, 32) {
				t.Fatal("fingerprints")
			}
			l.Chain = append(l.Chain, f)
		}
		out = append(out, l)
	}
	return out
}

func TestTilesOfEveryLevelRecomputeTheSignedRoot(t *testing.T) {
	w := start(t, nil)
	before := uint64(0)
	for _, size := range []uint64{0, 1, 255, 256, 257, 600, 70_000} {
		w.fill(int(size - w.log.Size()))
		n, root, when, err := w.checkpoint()
		if err != nil || n != size || when <= before {
			t.Fatalf("checkpoint of %d: size %d, time %d, %v", size, n, when, err)
		}
		before = when
		hashes := w.level(0, size)
		r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
		for _, h := range hashes {
			if err := r.Append(h, nil); err != nil {
				t.Fatal(err)
			}
		}
		want, err := r.GetRootHash(nil)
		if size == 0 {
			want = rfc6962.DefaultHasher.EmptyRoot()
		}
		if err != nil || !bytes.Equal(root, want) {
			t.Errorf("root of %d does not follow from the tiles: %v", size, err)
		}
		for i, h := range w.level(1, size>>8) { // each the root of one full tile
			sub := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
			for _, x := range hashes[i*256 : i*256+256] {
				if err := sub.Append(x, nil); err != nil {
					t.Fatal(err)
				}
			}
			if want, _ := sub.GetRootHash(nil); !bytes.Equal(h, want) {
				t.Errorf("tile hash %d of level 1", i)
			}
		}
	}
	if got := len(w.level(2, 70_000>>16)); got != 1 {
		t.Errorf("level 2 has %d", got)
	}
	// A data tile in the thousands does not exist at this size, but its path does: x000 is no group, x001 is one.
	for path, want := range map[string]int{"/tile/data/273": 404, "/tile/data/273.p/112": 200, "/tile/data/x001/000": 404, "/tile/0/272": 200} {
		if st, _, _ := w.get(path); st != want {
			t.Errorf("%s: %d, want %d", path, st, want)
		}
	}
}

// level reads the first n hashes of a level.
func (w *world) level(level int, n uint64) (out [][]byte) {
	w.Helper()
	for i := uint64(0); i < n; i += 256 {
		path := fmt.Sprintf("/tile/%d/%03d", level, i/256)
		width := min(n-i, 256)
		if width < 256 {
			path += fmt.Sprintf(".p/%d", width)
		}
		st, _, body := w.get(path)
		if st != http.StatusOK || uint64(len(body)) != 32*width {
			w.Fatalf("%s: %d, %d bytes", path, st, len(body))
		}
		for ; len(body) > 0; body = body[32:] {
			out = append(out, body[:32])
		}
	}
	return out
}

func TestSCTsCarryTheIndexUnderWhichTheDataTileHoldsTheEntry(t *testing.T) {
	w := start(t, nil)
	for n := range 3 {
		i, err := w.ca.Issue(ca.Leaf{CN: fmt.Sprintf("h%d.example.com", n)})
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(map[string]any{"chain": append([][]byte{i.Precert}, i.Chain...)})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(w.url+"/ct/v1/add-pre-chain", "application/json", bytes.NewReader(body))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(err, resp.StatusCode)
		}
		var s struct {
			Timestamp  uint64 `json:"timestamp"`
			Extensions []byte `json:"extensions"`
			Signature  []byte `json:"signature"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || resp.Body.Close() != nil {
			t.Fatal(err)
		}
		if want := []byte{0, 0, 5, 0, 0, 0, 0, byte(n)}; !bytes.Equal(s.Extensions, want) {
			t.Errorf("extensions % x, want % x", s.Extensions, want)
		}
		w.log.Publish()
		_, _, tile := w.get(fmt.Sprintf("/tile/data/000.p/%d", n+1))
		leaf := readTile(t, tile)[n]
		kh := w.ca.KeyHash()
		fp := sha256.Sum256(w.ca.Cert)
		want := tileLeaf{Timestamp: s.Timestamp, Precert: true, KeyHash: kh[:], Cert: i.TBS, Index: uint64(n), PreCert: i.Precert, Chain: [][]byte{fp[:]}}
		if d := cmp.Diff(want, leaf, cmp.AllowUnexported(tileLeaf{}), cmp.FilterPath(func(p cmp.Path) bool {
			return p.Last().String() == ".hashed"
		}, cmp.Ignore())); d != "" {
			t.Error(d)
		}
		key, err := x509.ParsePKIXPublicKey(w.log.Key.SPKI)
		if err != nil {
			t.Fatal(err)
		}
		d := sha256.Sum256(leaf.hashed) // an SCT signs the same bytes as the leaf has
		if !ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), d[:], s.Signature[4:]) {
			t.Error("SCT does not verify")
		}
		if h := w.level(0, uint64(n)+1)[n]; !bytes.Equal(h, rfc6962.DefaultHasher.HashLeaf(leaf.hashed)) {
			t.Error("hash tile and data tile differ")
		}
	}
	fp := sha256.Sum256(w.ca.Cert)
	if st, h, body := w.get(fmt.Sprintf("/issuer/%x", fp)); st != 200 || !bytes.Equal(body, w.ca.Cert) || h.Get("Content-Type") != "application/pkix-cert" {
		t.Errorf("issuer: %d %v", st, h)
	}
	if st, _, _ := w.get(fmt.Sprintf("/issuer/%x", sha256.Sum256(nil))); st != 404 {
		t.Errorf("unknown issuer: %d", st)
	}
}

func TestDataTilesComeInGzipWhenAccepted(t *testing.T) {
	w := start(t, nil)
	w.fill(256)
	_, h, plain := w.get("/tile/data/000")
	if h.Get("Content-Encoding") != "" || len(readTile(t, plain)) != 256 {
		t.Error("plain tile")
	}
	for accept, want := range map[string]string{"gzip": "gzip", "br, gzip;q=0.5": "gzip", "identity": "", "gzip;q=0": ""} {
		_, h, body := w.get("/tile/data/000", "Accept-Encoding", accept)
		if got := h.Get("Content-Encoding"); got != want {
			t.Errorf("%q gives %q", accept, got)
			continue
		}
		if want == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(body, plain) {
			t.Errorf("%q gives another tile", accept)
		}
	}
}

func TestUnknownSignaturesStandBesideTheRealOne(t *testing.T) {
	w := start(t, &Options{Grease: true})
	w.fill(1)
	if n, _, _, err := w.checkpoint(); err != nil || n != 1 {
		t.Errorf("checkpoint: %d, %v", n, err)
	}
	if _, _, body := w.get("/checkpoint"); strings.Count(string(body), "\n— ") != 2 {
		t.Errorf("signatures in\n%s", body)
	}
}

func TestTilePaths(t *testing.T) {
	for path, want := range map[string]tileName{
		"0/000":                  {level: 0, index: 0, width: 256},
		"data/x001/x234/067":     {data: true, index: 1234067, width: 256},
		"2/x001/000.p/7":         {level: 2, index: 1000, width: 7},
		"5/999.p/255":            {level: 5, index: 999, width: 255},
		"data/x999/999":          {data: true, index: 999999, width: 256},
		"data/x100/x000/000.p/1": {data: true, index: 100000000, width: 1},
	} {
		got, err := parseTile(path)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	for _, path := range []string{
		"", "0", "0/", "0/0", "0/0000", "0/x000/001", "0/001/002", "6/000", "-1/000", "00/000", "data/000.p/0", "data/000.p/256", "data/000.p/01",
		"data/000.p/", "names/000", "0/x001", "0/abc", "0/+12", "data/x001/x001/x001/x001/x001/001",
	} {
		if got, err := parseTile(path); err == nil {
			t.Errorf("%q is taken for %+v", path, got)
		}
	}
}

func FuzzTilePath(f *testing.F) {
	f.Add("data/x001/x234/067.p/3")
	f.Fuzz(func(t *testing.T, path string) {
		n, err := parseTile(path)
		if err == nil && (n.width < 1 || n.width > 256 || n.level < 0 || n.level > 5) {
			t.Errorf("%q gives %+v", path, n)
		}
	})
}

func TestOriginsThatCannotNameALogAreRefused(t *testing.T) {
	key, err := ca.NewKey(ca.P256, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []string{"", "log.example/", "log example", "log+example", "a\nb"} {
		if _, err := New(o, key, nil); err == nil {
			t.Errorf("%q was taken", o)
		}
	}
}
