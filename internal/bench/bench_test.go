package bench

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/bench/limit"
)

func TestGeneratedEntriesHaveTheShapesOfPublicLogs(t *testing.T) {
	const n = 20_000
	g := NewGenerator(Shape{NoTail: true})
	var sizes, names []int
	var precerts, wild, addresses, long, p256, noCN int
	for range n {
		e := g.Next()
		c := cert.Parse(e.Cert)
		if e.Precert {
			precerts++
			c = cert.ParseTBS(e.Cert)
		}
		if c.Incomplete || len(c.Oddities) > 0 {
			t.Fatalf("entry %d is odd: %+v", e.Index, c.Oddities)
		}
		dns, ip, star, cn := 0, false, false, false
		for _, id := range c.Idents {
			switch id.Where {
			case cert.InDNS:
				dns++
				star = star || id.Name[0] == '*'
			case cert.InIP:
				ip = true
			case cert.InCN:
				cn = true
			}
		}
		sizes, names = append(sizes, len(e.Cert)), append(names, dns)
		count := func(n *int, is bool) {
			if is {
				*n++
			}
		}
		count(&wild, star)
		count(&addresses, ip)
		count(&noCN, !cn)
		count(&long, len(e.Fingerprints) == 3)
		count(&p256, c.KeyAlgorithm == "ECDSA P-256")
		if _, chain, err := ctlog.ReadExtra(e.Precert, e.Extra); err != nil || len(chain) != len(e.Fingerprints) || sha256.Sum256(chain[0]) != e.Fingerprints[0] {
			t.Fatalf("entry %d: %d certificates above it, %d fingerprints, %v", e.Index, len(chain), len(e.Fingerprints), err)
		}
	}
	slices.Sort(sizes)
	slices.Sort(names)
	for _, tc := range []struct {
		what           string
		got, from, to_ float64
	}{
		{"half of the certificates are so long", float64(sizes[n/2]), 700, 1300},
		{"19 of 20 are no longer", float64(sizes[n*95/100]), 1000, 2200},
		{"half have so many names", float64(names[n/2]), 1, 2},
		{"19 of 20 have no more names", float64(names[n*95/100]), 2, 8},
		{"99 of 100 have no more names", float64(names[n*99/100]), 7, 30},
		{"share of precertificates", float64(precerts) / n, 0.45, 0.55},
		{"share of wildcards", float64(wild) / n, 0.15, 0.40},
		{"share with addresses", float64(addresses) / n, 0.007, 0.013},
		{"share without common name", float64(noCN) / n, 0.07, 0.20},
		{"share with three certificates above", float64(long) / n, 0.14, 0.20},
		{"share of P-256 keys", float64(p256) / n, 0.35, 0.65},
	} {
		if tc.got < tc.from || tc.got > tc.to_ {
			t.Errorf("%s: %.3f, want %.3f to %.3f", tc.what, tc.got, tc.from, tc.to_)
		}
	}
}

func TestTheTailHasItsGiants(t *testing.T) {
	g := NewGenerator(Shape{})
	names, bytes := 0, 0
	var s cert.Scan
	for range every {
		e := g.Next()
		if bytes = max(bytes, len(e.Cert)); len(e.Cert) > 100_000 {
			if s.TBS(e.Cert); !e.Precert {
				s.Certificate(e.Cert)
			}
			names = max(names, len(s.Idents))
		}
	}
	if names < giantNames || bytes < giantBytes {
		t.Errorf("at most %d names and %d bytes", names, bytes)
	}
}

func TestTheSameSeedGivesTheSameEntries(t *testing.T) {
	a, b, other := NewGenerator(Shape{Seed: 7}), NewGenerator(Shape{Seed: 7}), NewGenerator(Shape{Seed: 8})
	for range 100 {
		e, f, g := a.Next(), b.Next(), other.Next()
		if !slices.Equal(e.Cert, f.Cert) || !slices.Equal(e.Extra, f.Extra) || slices.Equal(e.Cert, g.Cert) {
			t.Fatalf("entry %d", e.Index)
		}
	}
}

// The tailer verifies the root that the limit computed, over both ways and for every shape of the last file.
func TestWhatIsMeasuredIsVerifiedAndFindsWhatItMust(t *testing.T) {
	for _, static := range []bool{true, false} {
		for _, size := range []int{1, 255, 256, 2600} {
			l, err := Make(t.TempDir(), static, Shape{}, size)
			if err != nil {
				t.Fatal(err)
			}
			s, err := listen(l)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			for _, dial := range []string{"", s.dial} {
				c, err := tailPass(t.Context(), l, dial, Watching(10, l.Planted), 2)
				if err != nil || c.hits < len(l.Planted) || len(l.Planted) != (size+plantEvery/2-1)/plantEvery {
					t.Errorf("%s of %d entries: %d hits of %d, %v", l.Name(), size, c.hits, len(l.Planted), err)
				}
			}
			for _, dial := range []string{"", s.dial} {
				if _, err := limitPass(l, dial, 2); err != nil {
					t.Error(err)
				}
			}
			// A part of a file, and the limit is no limit.
			last := l.file(l.files() - 1)
			b, err := os.ReadFile(last)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(last, b[:len(b)/8], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := limitPass(l, "", 1); err == nil {
				t.Errorf("%s of %d entries: the limit reads a part of a file", l.Name(), size)
			}
		}
	}
}

func TestTheLimitComputesTheRootOfTheTree(t *testing.T) {
	g := NewGenerator(Shape{NoTail: true})
	w, err := newWriter(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	var hashes []tlog.Hash
	stored := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for i := range 700 {
		e := g.Next()
		if err := w.add(&e); err != nil {
			t.Fatal(err)
		}
		leaf, err := ctlog.AppendMerkleTreeLeaf(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		more, err := tlog.StoredHashes(int64(i), leaf, stored)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	l, err := w.close()
	if err != nil {
		t.Fatal(err)
	}
	want, err := tlog.TreeHash(700, stored)
	if err != nil {
		t.Fatal(err)
	}
	got, n, err := limit.Read(l.opener(), l.files(), true, 2)
	if err != nil || n != 700 {
		t.Fatal(n, err)
	}
	if d := cmp.Diff([32]byte(want), got); d != "" {
		t.Error(d)
	}
}

// shared finds real captures beside the repository, or skips.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("TOCSIN_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	b, err := os.ReadFile(filepath.Join(dir, "data", "ct-captures", name))
	if err != nil {
		t.Skip("the captures of real logs are not here: ", err)
	}
	return b
}

func TestCapturedTilesAreRead(t *testing.T) {
	tiles := [][]byte{shared(t, "navigli2025h2/tile/data/001"), shared(t, "tesseract-example-tile/tile-data-full")}
	l, err := FromTiles(t.TempDir(), tiles, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tailPass(t.Context(), l, "", Watching(10, nil), 1); err != nil {
		t.Error(err)
	}
}
