package facts_test

import (
	"compress/gzip"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
)

// shared returns the folder of real data that stands beside the repository and is not ours to copy. Tests of it run
// only where it is.
func shared(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("TOCSIN_SHARED"); dir != "" {
		return filepath.Join(dir, "data")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if data := filepath.Join(dir, "shared", "data"); isDir(data) {
			return data
		}
		if dir == filepath.Dir(dir) {
			t.Skip("the real certificates are not here: no folder shared/data beside the repository, TOCSIN_SHARED not set")
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func bundle(t testing.TB, path string) (all [][]byte) {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		all = append(all, block.Bytes)
	}
}

// world is all CA certificates at hand, by subject. Real logs send the chain; here it is put together by name, and what
// does not belong to it is for the facts to tell.
type world map[string][]*cert.Certificate

func readWorld(t testing.TB) world {
	w := world{}
	for _, name := range []string{"ca", "ct-accepted-root"} {
		for _, der := range bundle(t, filepath.Join(shared(t), "corpus", "real", name+".pem.gz")) {
			c := cert.Parse(der)
			key := strings.ToLower(string(c.RawSubject))
			w[key] = append(w[key], c)
		}
	}
	return w
}

// chain returns at most MaxChain certificates that may stand above c, the nearest first.
func (w world) chain(c *cert.Certificate) (chain [][]byte) {
	done := map[string]bool{}
	next := []string{strings.ToLower(string(c.RawIssuer))}
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		if done[name] {
			continue
		}
		done[name] = true
		for _, above := range w[name] {
			if len(chain) == facts.MaxChain {
				return chain
			}
			chain = append(chain, above.Raw)
			next = append(next, strings.ToLower(string(above.RawIssuer)))
		}
	}
	return chain
}

func TestRealCertificatesHaveAnIssuerWithEvidence(t *testing.T) {
	w, o := readWorld(t), load(t)
	for _, row := range []struct {
		file                string
		all, proven, owners int
	}{
		// 44 leaves come from keys that are known by their subject alone (32) or not at all (12, among them the one
		// whose issuer is not at hand).
		{"public-leaf", 2823, 2822, 2779},
		// The table knows the owners of 703; the CA certificate of one of these is not at hand, so nothing proves it.
		{"public-precert", 704, 703, 702},
		{"staging-precert", 1024, 0, 0}, // their issuer is not at hand
	} {
		t.Run(row.file, func(t *testing.T) {
			all := bundle(t, filepath.Join(shared(t), "corpus", "real", row.file+".pem.gz"))
			proven, owners := 0, 0
			bases := map[string]int{}
			for _, der := range all {
				c := cert.Parse(der)
				got := o.Issuer(c, [32]byte{}, w.chain(c))
				if got.Proven {
					proven++
				}
				if len(got.Owners) > 0 {
					owners++
				}
				bases[got.Basis]++
			}
			t.Logf("%d certificates by basis: %v", len(all), bases)
			if len(all) != row.all || proven != row.proven || owners != row.owners {
				t.Errorf("%d certificates, %d proven, %d with owners; want %d, %d, %d", len(all), proven, owners, row.all, row.proven, row.owners)
			}
		})
	}
}
