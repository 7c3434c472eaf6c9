package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// source returns the folder with the tables; tests of it run only where it is.
func source(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("TOCSIN_SHARED"); dir != "" {
		return filepath.Join(dir, "data", "ca-owners")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		data := filepath.Join(dir, "shared", "data", "ca-owners")
		if _, err := os.Stat(data); err == nil {
			return data
		}
		if dir == filepath.Dir(dir) {
			t.Skip("the tables of CA owners are not here: no folder shared/data/ca-owners beside the repository, TOCSIN_SHARED not set")
		}
	}
}

func TestWhatIsBuiltInComesFromTheSource(t *testing.T) {
	to := t.TempDir()
	if err := run(source(t), to); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"owners.tsv", "keys.tsv.gz"} {
		want, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s differs from its source: run go run ./internal/facts/gen", name)
		}
	}
}

func TestKeysAreKeptWithWhatIsKnownOfThem(t *testing.T) {
	const header = "spki_sha256\towner\thow\tbasis\tccadb_owners\n"
	a, b := strings.Repeat("0a", 32), strings.Repeat("0b", 32)
	numbers := map[string]int{"Alpha": 0, "Beta": 1}
	for _, row := range []struct{ name, in, want string }{
		{"sorted by hash", b + "\tAlpha\tccadb\t\tAlpha\n" + a + "\tBeta\tchain\t\tBeta\n", a + "\tchain\t1\n" + b + "\tccadb\t0\n"},
		{"with the owners in CCADB beside the holder", a + "\tBeta\tccadb\tsubordinate\tAlpha;Beta\n", a + "\tccadb\t1,0\n"},
		{"marked where only the subject names the owner", a + "\tBeta\tsubject-o\t\t\n", a + "\tsubject-o\t1\n"},
		{"not at all without an owner", a + "\t\tnone\t\t\n", ""},
	} {
		got, err := keyTable(strings.NewReader(header+row.in), numbers)
		if err != nil || string(got) != "spki_sha256\thow\towners\n"+row.want {
			t.Errorf("%s: %q, %v", row.name, got, err)
		}
	}
	for _, row := range []struct{ name, in string }{
		{"no hash", "0a\tAlpha\tccadb\t\t\n"},
		{"an owner that is not listed", a + "\tGamma\tccadb\t\t\n"},
		{"a basis that is not known", a + "\tAlpha\thearsay\t\t\n"},
		{"a basis without an owner", a + "\t\tccadb\t\t\n"},
		{"a row that is too short", a + "\tAlpha\n"},
	} {
		if got, err := keyTable(strings.NewReader(header+row.in), numbers); err == nil {
			t.Errorf("%s: accepted as %q", row.name, got)
		}
	}
}
