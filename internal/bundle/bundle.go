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

// Read yields the certificates of the file at path, or of every regular file beneath it, in order. A file that cannot
// be read does not hide the others: its error comes at the end, joined with those of other files. An error of yield
// ends everything at once.
func Read(path string, yield func(Item) error) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return readFile(path, yield)
	}
	var unread []error
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var stop error
			err = readFile(p, func(it Item) error {
				stop = yield(it)
				return stop
			})
			if stop != nil {
				return stop
			}
		}
		if err != nil {
			unread = append(unread, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(unread...)
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
	switch {
	case err != nil && len(plain) == 0:
		return b, "the gzip data is damaged: nothing of it can be read", nil
	case err != nil:
		return plain, "the gzip data is damaged: the readable part was used", nil
	}
	return plain, "", nil
}

// split yields what the bytes of one file hold. problem is one of the file as a whole.
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
	if t := bytes.TrimLeft(b, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		return splitPage(t, emit)
	}
	if entries, rest, err := splitTile(b, emit); err != nil {
		return err
	} else if entries > 0 {
		if len(rest) == 0 {
			return nil
		}
		return emit(Item{DER: rest, Problem: "a data tile that ends within an entry"})
	}
	text := bytes.Index(b, pemBegin)
	for len(b) > 0 {
		if text >= 0 && (b[0] != 0x30 || !binary(b[:min(text, 256)])) {
			return splitPEM(b, emit)
		}
		size := element(b)
		if err := emit(Item{DER: b[:size]}); err != nil {
			return err
		}
		if b = b[size:]; text >= 0 {
			if text -= size; text < 0 {
				text = bytes.Index(b, pemBegin)
			}
		}
	}
	return nil
}

// element is how many bytes of b belong to the DER element at its start. What follows belongs to it as well (a strict
// reader would refuse it, and the oddity should be seen), unless that looks like a further certificate.
func element(b []byte) int {
	const shortest = 64 // no certificate is shorter
	if len(b) < shortest || b[0] != 0x30 || b[1]&0x80 == 0 || b[1]&0x7f == 0 || b[1]&0x7f > 4 {
		return len(b)
	}
	size, head := 0, 2+int(b[1]&0x7f)
	for _, c := range b[2:head] {
		size = size<<8 | int(c)
	}
	if size += head; size < shortest || len(b)-size < shortest {
		return len(b)
	}
	if next := b[size:]; next[0] == 0x30 && next[1]&0x80 != 0 || bytes.HasPrefix(bytes.TrimLeft(next, "\r\n"), pemBegin) {
		return size
	}
	return len(b)
}

var pemBegin = []byte("-----BEGIN ")

// binary says that these bytes are no text that people put around PEM blocks. A certificate and a tile may hold the
// text of a PEM block inside; it must not make them PEM.
func binary(b []byte) bool {
	return bytes.ContainsFunc(b, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' && r != '\f'
	})
}

// splitPEM yields each block that is called a certificate, or PKCS #7 and CMS, which hold certificates. encoding/pem
// passes over a block that it cannot decode; here such a block is yielded as it stands, so that its bytes are still
// searched, and so are bytes around the blocks that are no text. Keys, requests and other blocks are passed over.
func splitPEM(b []byte, emit func(Item) error) error {
	outside := func(text []byte) error {
		if !binary(text) {
			return nil
		}
		return emit(Item{DER: text, Problem: "bytes around PEM blocks that are no text"})
	}
	for {
		at := bytes.Index(b, pemBegin)
		if at < 0 {
			return outside(b)
		}
		if err := outside(b[:at]); err != nil {
			return err
		}
		b = b[at:]
		end := len(b)
		if next := bytes.Index(b[len(pemBegin):], pemBegin); next >= 0 {
			end = len(pemBegin) + next
		}
		block, rest := pem.Decode(b[:end])
		if block == nil {
			if err := emit(Item{DER: b[:end], Problem: "a PEM block that cannot be decoded"}); err != nil {
				return err
			}
			b = b[end:]
			continue
		}
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
			if err := emit(Item{DER: block.Bytes}); err != nil {
				return err
			}
		case "PKCS7", "PKCS #7 SIGNED DATA", "CMS":
			if err := emit(Item{DER: block.Bytes, Problem: "a block of PKCS #7, searched as bytes"}); err != nil {
				return err
			}
		}
		if err := outside(rest); err != nil {
			return err
		}
		b = b[end:]
	}
}
