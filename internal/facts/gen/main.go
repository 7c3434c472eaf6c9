// Command gen writes the embedded tables of package facts from a directory that holds owners.tsv and
// issuer_keys.tsv.gz (see the README of package facts for their source and licence).
//
// Usage: go run ./internal/facts/gen -from DIR [-to internal/facts]
//
// It keeps what a verdict needs: for each key the owner, the owners in CCADB and how the owner is known; for each
// owner its names and CAA names. Keys without any owner are left out, which makes them unknown. Keys whose owner is
// known only from the subject of their own certificate are kept under that mark, so that a reason can say so: they
// are never evidence. The output depends on the input alone.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	from := flag.String("from", "", "directory with owners.tsv and issuer_keys.tsv.gz")
	to := flag.String("to", filepath.Join("internal", "facts"), "directory to write owners.tsv and keys.tsv.gz to")
	flag.Parse()
	if *from == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "gen: error:", err)
		os.Exit(1)
	}
}

// run reads the tables in from and writes the embedded ones to to.
func run(from, to string) error {
	ownersIn, err := os.Open(filepath.Join(from, "owners.tsv"))
	if err != nil {
		return fmt.Errorf("reading owners: %w", err)
	}
	defer ownersIn.Close()
	keysIn, err := os.Open(filepath.Join(from, "issuer_keys.tsv.gz"))
	if err != nil {
		return fmt.Errorf("reading keys: %w", err)
	}
	defer keysIn.Close()

	owners, numbers, err := ownerTable(ownersIn)
	if err != nil {
		return fmt.Errorf("reading owners: %w", err)
	}
	unzipped, err := gzip.NewReader(keysIn)
	if err != nil {
		return fmt.Errorf("reading keys: %w", err)
	}
	keys, err := keyTable(unzipped, numbers)
	if err != nil {
		return fmt.Errorf("reading keys: %w", err)
	}
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compressing keys: %w", err)
	}
	if _, err := w.Write(keys); err != nil {
		return fmt.Errorf("compressing keys: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("compressing keys: %w", err)
	}
	if err := os.WriteFile(filepath.Join(to, "owners.tsv"), owners, 0o644); err != nil {
		return fmt.Errorf("writing owners: %w", err)
	}
	if err := os.WriteFile(filepath.Join(to, "keys.tsv.gz"), zipped.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing keys: %w", err)
	}
	return nil
}

// ownerTable keeps name, short name and CAA names; the number of an owner is its row, from 0.
func ownerTable(r io.Reader) (table []byte, numbers map[string]int, err error) {
	rows, err := read(r, "owner", "short_name", "caa_domains")
	if err != nil {
		return nil, nil, err
	}
	numbers = make(map[string]int, len(rows))
	out := bytes.NewBufferString("owner\tshort_name\tcaa_domains\n")
	for i, row := range rows {
		if _, twice := numbers[row[0]]; twice || row[0] == "" {
			return nil, nil, fmt.Errorf("owner %q stands twice or is empty", row[0])
		}
		numbers[row[0]] = i
		fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	return out.Bytes(), numbers, nil
}

// keyTable writes one row per key: hash, how, numbers of all owners that answer for the key.
func keyTable(r io.Reader, numbers map[string]int) ([]byte, error) {
	rows, err := read(r, "spki_sha256", "how", "owner", "ccadb_owners")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	out := bytes.NewBufferString("spki_sha256\thow\towners\n")
	for _, row := range rows {
		spki, how, owner := row[0], row[1], row[2]
		if b, err := hex.DecodeString(spki); err != nil || len(b) != 32 {
			return nil, fmt.Errorf("%q is no SHA-256", spki)
		}
		switch how {
		case "ccadb", "ccadb-old", "chain", "subject-o":
		case "none":
			continue
		default:
			return nil, fmt.Errorf("key %s: unknown basis %q", spki, how)
		}
		var owners []string
		for _, name := range append([]string{owner}, strings.Split(row[3], ";")...) {
			if name == "" {
				continue
			}
			n, ok := numbers[name]
			if !ok {
				return nil, fmt.Errorf("key %s: owner %q is not in the table of owners", spki, name)
			}
			if s := strconv.Itoa(n); !slices.Contains(owners, s) {
				owners = append(owners, s)
			}
		}
		if len(owners) == 0 {
			return nil, fmt.Errorf("key %s: no owner although its basis is %q", spki, how)
		}
		fmt.Fprintf(out, "%s\t%s\t%s\n", spki, how, strings.Join(owners, ","))
	}
	return out.Bytes(), nil
}

// read returns the named columns of a tab-separated table with one header line and no quoting.
func read(r io.Reader, columns ...string) ([][]string, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return nil, errors.Join(errors.New("no header line"), lines.Err())
	}
	header := strings.Split(lines.Text(), "\t")
	at := make([]int, len(columns))
	for i, name := range columns {
		if at[i] = slices.Index(header, name); at[i] < 0 {
			return nil, fmt.Errorf("no column %q", name)
		}
	}
	var rows [][]string
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != len(header) {
			return nil, fmt.Errorf("row %d has %d fields, the header %d", len(rows)+1, len(fields), len(header))
		}
		row := make([]string, len(at))
		for i, f := range at {
			row[i] = fields[f]
		}
		rows = append(rows, row)
	}
	return rows, lines.Err()
}
