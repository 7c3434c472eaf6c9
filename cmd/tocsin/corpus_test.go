package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// shared is the directory of shared data beside the repository, or at TOCSIN_SHARED; without it the test is skipped.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	dir := os.Getenv("TOCSIN_SHARED")
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; wd != filepath.Dir(wd) && dir == ""; wd = filepath.Dir(wd) {
			if _, err := os.Stat(filepath.Join(wd, "LICENSE")); err == nil {
				dir = filepath.Join(filepath.Dir(wd), "shared")
			}
		}
	}
	path := filepath.Join(append([]string{dir, "data"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skip("the shared data is not beside the repository; set TOCSIN_SHARED to its place to run this test")
	}
	return path
}

// index reads the table beside a bundle of the corpus: one row for each block.
func index(t testing.TB, base string) (rows []map[string]string) {
	t.Helper()
	var r io.Reader
	if f, err := os.Open(base + ".tsv"); err == nil {
		defer f.Close()
		r = f
	} else {
		f := need(os.Open(base + ".tsv.gz"))(t)
		defer f.Close()
		r = need(gzip.NewReader(f))(t)
	}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 16<<20)
	s.Scan()
	header := strings.Split(s.Text(), "\t")
	for s.Scan() {
		row := map[string]string{}
		for i, v := range strings.Split(s.Text(), "\t") {
			row[header[i]] = v
		}
		rows = append(rows, row)
	}
	return rows
}

// Cases that match does not report, each with the reason. docs/config.md says the same.
var unreported = map[string]string{
	"der/truncated-half": "strict, but cut in the public key, before the extensions",
	"der/pem-text":       "strict, but PEM text of an empty SEQUENCE",
	"dns-ip/v4-nip":      "a name of nip.io that resolves to the address: no client takes it for the address",
	"dns-ip/v4-sslip":    "a name of sslip.io that resolves to the address: no client takes it for the address",
}

func TestTheConstructedCorpusIsReportedAlsoBesideAThousandNetworks(t *testing.T) {
	t.Parallel()
	dir := shared(t, "corpus")
	items := []string{"192.0.2.77", "2001:db8::77", "watched.example"}

	rng := rand.New(rand.NewPCG(4, 2))
	var networks strings.Builder
	for range 1000 {
		a := netip.AddrFrom4([4]byte{byte(1 + rng.IntN(223)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))})
		fmt.Fprintln(&networks, netip.PrefixFrom(a, 8+rng.IntN(25)).Masked())
	}
	many := t.TempDir()
	for name, text := range map[string]string{
		"networks.txt": networks.String(),
		"tocsin.yaml": `watch:
  - {name: target, names: [watched.example], networks: [192.0.2.77, "2001:db8::77"]}
  - {name: random, networks_file: networks.txt}
`} {
		if err := os.WriteFile(filepath.Join(many, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, watching := range map[string][]string{
		"alone":                           items,
		"with a thousand networks beside": {"--config", filepath.Join(many, "tocsin.yaml")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			count := map[string]int{}
			seen := map[string]bool{}
			for _, b := range []string{"hostile/hostile", "ip/ip"} {
				base := filepath.Join(dir, filepath.FromSlash(b))
				rows := index(t, base)
				code, results := match(t, append(slices.Clone(watching), base+".pem.gz")...)
				if code != exitSurprise || len(results) != len(rows) {
					t.Fatalf("%s: exit status %d, %d results of %d blocks", b, code, len(results), len(rows))
				}
				for i, row := range rows {
					r, path := results[i], row["path"]
					if r.SHA256 != row["sha256"] {
						t.Fatalf("%s: block %d is %s, want %s", b, i, r.SHA256, row["sha256"])
					}
					if row["kind"] != "constructed" {
						continue
					}
					reported := r.touches(items...)
					if reported && r.Verdict == "none" {
						t.Errorf("%s: matched, and the verdict is none", path)
					}
					_, excused := unreported[path]
					switch target := row["target"]; target {
					case "none":
						if reported {
							t.Errorf("%s (%s) does not name the target and is reported: %+v", path, row["note"], r.Matched)
						}
					default:
						if reported == excused {
							t.Errorf("%s, %s (%s): reported %v, excused %v", path, target, row["note"], reported, excused)
						}
					}
					if !seen[row["sha256"]] {
						seen[row["sha256"]] = true
						count[row["target"]]++
					}
				}
			}
			if count["strict"] < 169 || count["alt"] < 83 || count["none"] < 43 {
				t.Errorf("the corpus holds %v, want at least 169 strict, 83 alt, 43 none", count)
			}
		})
	}
}

// raced says that the race detector is at work.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

func TestEveryCertificateOfTheRealCorpusIsShownOnce(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("reads 17,000 certificates")
	}
	dir := shared(t, "corpus", "real")
	bundles := []string{"public-precert", "wire-other", "ct-accepted-root"}
	if !raced() { // the detector makes it many times slower, and finds nothing more in the others
		bundles = append(bundles, "public-leaf", "public-other", "staging-precert", "ca")
	}
	for _, b := range bundles {
		t.Run(b, func(t *testing.T) {
			t.Parallel()
			base := filepath.Join(dir, b)
			rows := index(t, base)
			_, results := match(t, "1.1.1.0/24", base+".pem.gz")
			if len(results) != len(rows) {
				t.Fatalf("%d results of %d blocks", len(results), len(rows))
			}
			for i, row := range rows {
				if results[i].SHA256 != row["sha256"] {
					t.Fatalf("block %d is %s, want %s", i, results[i].SHA256, row["sha256"])
				}
			}
		})
	}
}

func TestPagesOfRealLogsAreReadWithoutLoss(t *testing.T) {
	t.Parallel()
	dir := shared(t, "corpus", "real", "json")
	files := need(filepath.Glob(filepath.Join(dir, "*.json*")))(t)
	entries := 0
	for _, path := range files {
		f := need(os.Open(path))(t)
		var r io.Reader = f
		if strings.HasSuffix(path, ".gz") {
			r = need(gzip.NewReader(f))(t)
		}
		text := string(need(io.ReadAll(r))(t))
		f.Close()
		want := strings.Count(text, `"leaf_input"`)
		if want == 0 {
			continue
		}
		entries += want
		var indexed []struct {
			Want uint64 `json:"cert_index"`
		}
		_ = json.Unmarshal([]byte(text), &indexed) // only the array has them
		_, results := match(t, "com.", "net.", "org.", path)
		if len(results) != want {
			t.Errorf("%s: %d results of %d entries", path, len(results), want)
		}
		hashes := map[string]bool{}
		for _, r := range results {
			hashes[r.SHA256] = true
			if r.odd("file") || slices.ContainsFunc(r.Matched, func(m struct{ Watch, Item, Where, Value, Odd string }) bool { return m.Where == "raw" }) {
				t.Errorf("%s #%d: %+v %+v", path, r.At, r.Matched, r.Oddities)
			}
		}
		if len(hashes) != want {
			t.Errorf("%s: %d different certificates of %d entries", path, len(hashes), want)
		}
	}
	if entries < 41 {
		t.Errorf("%d entries in %d files, want at least 41", entries, len(files))
	}
}

func TestDataTilesOfRealLogsAreReadWithoutLoss(t *testing.T) {
	t.Parallel()
	dir := shared(t, "ct-captures")
	tiles := []string{filepath.Join(dir, "tesseract-example-tile", "tile-data-full")}
	err := filepath.WalkDir(filepath.Join(dir, "navigli2025h2", "tile", "data"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			tiles = append(tiles, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tiles) < 5 {
		t.Fatalf("only %d tiles", len(tiles))
	}
	ids := map[string]bool{}
	all := 0
	for _, path := range tiles {
		want := 256
		if dir := filepath.Base(filepath.Dir(path)); strings.HasSuffix(dir, ".p") {
			want = 0
			if _, err := fmt.Sscan(filepath.Base(path), &want); err != nil {
				t.Fatal(err)
			}
		}
		_, results := match(t, "watched.example", path)
		if len(results) != want {
			t.Errorf("%s: %d results, want %d", path, len(results), want)
		}
		for _, r := range results {
			if r.odd("file") {
				t.Errorf("%s #%d: %+v", path, r.At, r.Oddities)
			}
			ids[r.ID] = true
		}
		all += len(results)
	}
	if len(ids) < all*9/10 {
		t.Errorf("%d issuances in %d entries", len(ids), all)
	}
}
