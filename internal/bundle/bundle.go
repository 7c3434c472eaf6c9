// Package bundle reads certificates from files, whatever form they are kept in.
//
// A file may be PEM (any number of blocks), one certificate in DER, a page of get-entries of RFC 6962 (or an array of
// such entries), a data tile of static-ct-api, or any of these under gzip. The form is told from the content, never
// from the name. Nothing is skipped: a block that cannot be decoded, or a file that is none of these forms, is
// yielded as the bytes that stand there, for the stations to search.
//
// Files are hostile: their size after gunzip is bounded, and so is the work, which is linear in the size.
package bundle

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tocsin-ct/tocsin/ctlog"
)

// MaxSize is the most that one file may hold after gunzip, in bytes.
const MaxSize = 1 << 30

// Item is one certificate in a file.
type Item struct {
	// File and Index say where it stands: Index counts from 0 within the file.
	File  string
	Index int
	// DER is the certificate, or whatever stood in its place. Nil when Entry is set.
	DER []byte
	// Entry is set for what came from a log page or tile: the bytes that the log hashed.
	Entry *ctlog.Entry
	// Problem says why the form of the file or block could not be read, or "".
	Problem string
}

// Read yields the certificates of the file at path, or of every regular file beneath it, in order. It stops at the
// first error of yield or of reading.
func Read(path string, yield func(Item) error) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return readFile(path, yield)
	}
	return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return readFile(p, yield)
	})
}

func readFile(path string, yield func(Item) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := readBounded(f)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	problem := ""
	if len(b) > 2 && b[0] == 0x1f && b[1] == 0x8b {
		b, problem, err = gunzip(b)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
	}
	return split(path, b, problem, yield)
}

var errTooLarge = fmt.Errorf("more than %d bytes", MaxSize)

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err == nil && len(b) > MaxSize {
		err = errTooLarge
	}
	return b, err
}

// gunzip keeps what could be read of a damaged file: the rest is a problem to show, not a reason to skip the start.
func gunzip(b []byte) (plain []byte, problem string, err error) {
	zr, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return b, "not readable as gzip", nil
	}
	plain, err = readBounded(zr)
	if errors.Is(err, errTooLarge) {
		return nil, "", err
	}
	if err != nil {
		return plain, "the gzip data is damaged: the readable part was used", nil
	}
	return plain, "", nil
}

func split(path string, b []byte, problem string, yield func(Item) error) error {
	n := 0
	emit := func(it Item) error {
		it.File, it.Index = path, n
		if it.Problem == "" {
			it.Problem = problem
		}
		n++
		return yield(it)
	}
	trimmed := bytes.TrimLeft(b, " \t\r\n")
	switch {
	case len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '['):
		entries, err := page(trimmed)
		if err != nil {
			return emit(Item{DER: b, Problem: fmt.Sprintf("not a get-entries page: %v", err)})
		}
		for i := range entries {
			if err := emit(entries[i]); err != nil {
				return err
			}
		}
		return nil
	case len(b) == 0:
		return nil
	case b[0] != 0x30 && bytes.Contains(b, pemBegin): // a DER certificate may hold PEM text inside
		return splitPEM(b, emit)
	}
	if entries, ok := tile(b); ok {
		for i := range entries {
			if err := emit(Item{Entry: &entries[i]}); err != nil {
				return err
			}
		}
		return nil
	}
	return emit(Item{DER: b})
}

var pemBegin = []byte("-----BEGIN ")

// splitPEM yields each block. encoding/pem passes over a block that it cannot decode; here such a block is yielded as
// it stands, so that its bytes are still searched.
func splitPEM(b []byte, emit func(Item) error) error {
	for {
		at := bytes.Index(b, pemBegin)
		if at < 0 {
			return nil
		}
		b = b[at:]
		end := len(b)
		if next := bytes.Index(b[len(pemBegin):], pemBegin); next >= 0 {
			end = len(pemBegin) + next
		}
		block, _ := pem.Decode(b[:end])
		switch {
		case block == nil:
			if err := emit(Item{DER: b[:end], Problem: "a PEM block that cannot be decoded"}); err != nil {
				return err
			}
		case block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE":
			if err := emit(Item{DER: block.Bytes}); err != nil {
				return err
			}
		}
		b = b[end:]
	}
}
