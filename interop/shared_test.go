package interop_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sharedData reads a file of the data folder that lies beside the repository (or below TOCSIN_SHARED), unpacked when
// its name ends in .gz. Where there is no such folder the test is skipped.
func sharedData(t *testing.T, name string) []byte {
	t.Helper()
	folder := os.Getenv("TOCSIN_SHARED")
	if folder == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for folder = filepath.Join(dir, "shared"); !isDir(filepath.Join(folder, "data")); folder = filepath.Join(dir, "shared") {
			if dir == filepath.Dir(dir) {
				t.Skipf("needs the shared data folder (%s), which is not beside this repository; TOCSIN_SHARED may name it", name)
			}
			dir = filepath.Dir(dir)
		}
	}
	body, err := os.ReadFile(filepath.Join(folder, "data", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(name, ".gz") {
		return body
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	return body
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
