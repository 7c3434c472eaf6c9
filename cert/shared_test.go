package cert

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// corpusDir is the folder with the certificate corpus that stands beside the repository. It holds certificates that
// are not ours to copy, so these tests run only where it is.
func corpusDir(t testing.TB) string {
	t.Helper()
	root := os.Getenv("TOCSIN_SHARED")
	if root == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if try := filepath.Join(dir, "shared"); isDir(filepath.Join(try, "data")) {
				root = try
				break
			}
			up := filepath.Dir(dir)
			if up == dir {
				t.Skip("the certificate corpus is not here: no folder shared/data above the repository, TOCSIN_SHARED not set")
			}
			dir = up
		}
	}
	dir := filepath.Join(root, "data", "corpus")
	if !isDir(dir) {
		t.Skipf("the certificate corpus is not here: no folder %s", dir)
	}
	return dir
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// corpusFile is one bundle of certificates with the rows of its index.
type corpusFile struct {
	Name  string
	Certs [][]byte
	Rows  []map[string]string
}

var corpusNames = []string{
	"real/public-leaf", "real/public-precert", "real/public-other", "real/staging-precert", "real/wire-other", "real/ca",
	"real/ct-accepted-root", "hostile/hostile", "ip/ip",
}

// corpus keeps what was read: several tests go over the same files.
var corpus sync.Map

func readCorpus(t testing.TB, name string) corpusFile {
	t.Helper()
	dir := corpusDir(t)
	if f, ok := corpus.Load(name); ok {
		return f.(corpusFile)
	}
	f := corpusFile{Name: name}
	for rest := gunzip(t, filepath.Join(dir, name+".pem.gz")); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		f.Certs = append(f.Certs, block.Bytes)
	}
	index := filepath.Join(dir, name+".tsv")
	var text []byte
	if _, err := os.Stat(index); err == nil {
		text, err = os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
	} else {
		text = gunzip(t, index+".gz")
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	columns := strings.Split(lines[0], "\t")
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, v := range strings.Split(line, "\t") {
			row[columns[i]] = v
		}
		f.Rows = append(f.Rows, row)
	}
	if len(f.Rows) != len(f.Certs) || len(f.Certs) == 0 {
		t.Fatalf("%s: %d rows in the index, %d certificates", name, len(f.Rows), len(f.Certs))
	}
	corpus.Store(name, f)
	return f
}

func gunzip(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
