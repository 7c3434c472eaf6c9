package ctlog

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/tocsin-ct/tocsin/loglist"
)

// sharedFile reads a file of the data beside the repository, or skips.
func sharedFile(t testing.TB, path string) []byte {
	t.Helper()
	root := os.Getenv("TOCSIN_SHARED")
	for dir, _ := os.Getwd(); root == ""; dir = filepath.Dir(dir) {
		if st, err := os.Stat(filepath.Join(dir, "shared", "data")); err == nil && st.IsDir() {
			root = filepath.Join(dir, "shared")
		} else if dir == filepath.Dir(dir) {
			t.Skip("the shared data folder is not beside this repository; captures of real logs are not tested here")
		}
	}
	b, err := os.ReadFile(filepath.Join(root, "data", path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func capturedLog(t testing.TB, dir, field string) loglist.Log {
	t.Helper()
	l, err := loglist.Parse([]byte(`{"operators":[{"name":"captured","` + field + `":[` + string(sharedFile(t, dir+"/log.json")) + `]}]}`))
	if err != nil || len(l.Logs) != 1 {
		t.Fatal(err, l)
	}
	return l.Logs[0]
}

func TestCapturedTreeHeadsAndTheirConsistencyVerify(t *testing.T) {
	const dir = "ct-captures/argon2027h1-2026-10-04"
	log := capturedLog(t, dir, "logs")
	var heads []Head
	for _, name := range []string{"get-sth-1.json", "get-sth-2.json"} {
		h, err := VerifyHead(log, sharedFile(t, dir+"/"+name))
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, h)
	}
	if heads[0].Size != 384_065_451 || heads[1].Size != 384_071_894 {
		t.Errorf("sizes %d and %d", heads[0].Size, heads[1].Size)
	}
	var proof struct{ Consistency []Hash }
	if err := json.Unmarshal(sharedFile(t, dir+"/get-sth-consistency-1-2.json"), &proof); err != nil {
		t.Fatal(err)
	}
	if err := verifyConsistency(heads[0], heads[1], proof.Consistency); err != nil {
		t.Error(err)
	}
	lie := heads[0]
	lie.Root[5] ^= 1
	var fork *ForkError
	if err := verifyConsistency(lie, heads[1], proof.Consistency); !errors.As(err, &fork) || fork.Computed != heads[0].Root {
		t.Errorf("another root under the same proof: %v", err)
	}
	proof.Consistency[7][0] ^= 1
	if err := verifyConsistency(heads[0], heads[1], proof.Consistency); err == nil || errors.As(err, &fork) {
		t.Errorf("a damaged proof: %v", err)
	}
	for i, raw := range [][]byte{heads[0].Raw, bytes.Replace(heads[0].Raw, []byte("384065451"), []byte("384065452"), 1)} {
		if _, err := VerifyHead(log, raw); (err == nil) != (i == 0) {
			t.Errorf("head %d: %v", i, err)
		}
	}
}

func TestACapturedCheckpointVerifies(t *testing.T) {
	const dir = "ct-captures/parcelyard2026h2-2026-10-07"
	log := capturedLog(t, dir, "tiled_logs")
	raw := sharedFile(t, dir+"/checkpoint")
	h, err := VerifyHead(log, raw)
	if err != nil || h.Size != 1_587_930_800 || h.Time().Format("2006-01-02") != "2026-10-07" {
		t.Fatalf("%+v, %v", h, err)
	}
	for name, bad := range map[string][]byte{
		"another size":   bytes.Replace(raw, []byte("1587930800"), []byte("1587930801"), 1),
		"another origin": bytes.ReplaceAll(raw, []byte("parcelyard2026h2"), []byte("parcelyard2026h1")),
		"another root":   bytes.Replace(raw, []byte("SVJj"), []byte("SVJk"), 1),
		"without our line": bytes.Join([][]byte{bytes.SplitAfter(raw, []byte("\n\n"))[0],
			bytes.SplitAfterN(bytes.SplitAfter(raw, []byte("\n\n"))[1], []byte("\n"), 2)[1]}, nil),
	} {
		if _, err := VerifyHead(log, bad); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
}

func TestCapturedDataTilesHashToTheirHashTiles(t *testing.T) {
	const dir = "ct-captures/navigli2025h2/tile/"
	total := 0
	for _, tile := range []struct {
		path  string
		index uint64
		n     int
	}{{"000", 0, 256}, {"001", 256, 256}, {"002", 512, 256}, {"003", 768, 256}, {"003.p/10", 768, 10}} {
		var b Batch
		data := sharedFile(t, dir+"data/"+tile.path)
		var again []byte
		if err := ReadDataTile(bytes.Clone(data), tile.index, &b); err != nil {
			t.Fatal(err)
		}
		hashes := sharedFile(t, dir+"0/"+tile.path)
		if len(b.Entries) != tile.n || len(hashes) != 32*tile.n {
			t.Fatalf("%s: %d entries, %d bytes of hashes", tile.path, len(b.Entries), len(hashes))
		}
		for i := range b.Entries {
			e := &b.Entries[i]
			if h := e.Hash(); !bytes.Equal(h[:], hashes[32*i:32*i+32]) {
				t.Errorf("%s: entry %d has another hash", tile.path, e.Index)
			}
			if !e.Precert || len(e.PreCert) == 0 || len(e.Fingerprints) == 0 || e.Time().Format("2006-01") != "2025-05" {
				t.Errorf("%s: entry %d is %+v", tile.path, e.Index, e)
			}
			if want := AppendLeafIndex(nil, e.Index); !bytes.Equal(e.Extensions, want) {
				t.Errorf("%s: entry %d has extensions %x, want %x", tile.path, e.Index, e.Extensions, want)
			}
			var err error
			if again, err = AppendTileLeaf(again, e); err != nil {
				t.Fatal(err)
			}
			total++
		}
		if !bytes.Equal(again, data) {
			t.Errorf("%s: written again it differs", tile.path)
		}
	}
	if total != 1034 {
		t.Errorf("%d entries", total)
	}
}

func TestACapturedTesseractTileIsFramed(t *testing.T) {
	var b Batch
	data := sharedFile(t, "ct-captures/tesseract-example-tile/tile-data-full")
	if err := ReadDataTile(bytes.Clone(data), 1024, &b); err != nil || len(b.Entries) != 256 {
		t.Fatal(len(b.Entries), err)
	}
	issuers := map[[32]byte]bool{}
	for i := range b.Entries {
		e := &b.Entries[i]
		for _, fp := range e.Fingerprints {
			issuers[fp] = true
		}
		if !bytes.Equal(e.Extensions, AppendLeafIndex(nil, e.Index)) || !e.Precert {
			t.Errorf("entry %d: %x", e.Index, e.Extensions)
		}
	}
	if len(issuers) != 22 {
		t.Errorf("%d issuers, want 22", len(issuers))
	}
}

type liveEntry struct {
	Index     uint64 `json:"cert_index"`
	LeafInput []byte `json:"leaf_input"`
	ExtraData []byte `json:"extra_data"`
}

// liveEntries are entries of production logs, and the page that such a log answers with.
func liveEntries(t testing.TB) (entries []liveEntry, page []byte) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(sharedFile(t, "corpus/real/json/live-get-entries-2026-05.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &entries); err != nil {
		t.Fatal(err)
	}
	page = []byte(`{"entries":[`)
	for i, e := range entries {
		if i > 0 {
			page = append(page, ',')
		}
		page = append(page, mustJSON(map[string]any{"leaf_input": e.LeafInput, "extra_data": e.ExtraData})...)
	}
	return entries, append(page, "]}"...)
}

func TestCapturedEntriesAreReadWithoutLoss(t *testing.T) {
	entries, page := liveEntries(t)
	if len(entries) != 40 {
		t.Fatalf("%d entries in the capture", len(entries))
	}
	old := sharedFile(t, "corpus/real/json/nimbus-get-entries-10000.json")
	var nimbus struct {
		Entries []liveEntry `json:"entries"`
	}
	if err := json.Unmarshal(old, &nimbus); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		page []byte
		want []liveEntry
	}{{page, entries}, {old, nimbus.Entries}} {
		var b Batch
		if err := ReadEntriesPage(tc.page, 10_000, &b); err != nil || len(b.Entries) != len(tc.want) {
			t.Fatal(len(b.Entries), err)
		}
		for i := range b.Entries {
			e, want := &b.Entries[i], &tc.want[i]
			if !bytes.Equal(e.Leaf, want.LeafInput) || !bytes.Equal(e.Extra, want.ExtraData) || e.Problem != "" || e.Index != 10_000+uint64(i) {
				t.Errorf("entry %d: problem %q, %d and %d bytes", i, e.Problem, len(e.Leaf), len(e.Extra))
			}
			again, err := AppendMerkleTreeLeaf(nil, e)
			if err != nil || !bytes.Equal(again, want.LeafInput) {
				t.Errorf("entry %d: written again it differs: %v", i, err)
			}
			pre, chain, err := Chain(t.Context(), nil, e)
			if err != nil || len(chain) == 0 || e.Precert != (pre != nil) {
				t.Errorf("entry %d: %d chain certificates, %v", i, len(chain), err)
			}
			for _, c := range chain {
				if len(c) < 200 || c[0] != 0x30 {
					t.Errorf("entry %d: a chain certificate of %d bytes", i, len(c))
				}
			}
			if h := sha256.Sum256(append([]byte{0}, want.LeafInput...)); e.Hash() != h {
				t.Errorf("entry %d: hash", i)
			}
		}
	}
	var sth struct {
		Root string `json:"sha256_root_hash"`
	}
	if err := json.Unmarshal(sharedFile(t, "corpus/real/json/nimbus-get-sth.json"), &sth); err != nil {
		t.Fatal(err)
	}
	var h Hash
	if err := h.UnmarshalText([]byte(sth.Root)); err != nil || base64.StdEncoding.EncodeToString(h[:]) != sth.Root {
		t.Error(err)
	}
}
