package lab

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/tocsin-ct/tocsin/internal/lab/entry"
)

// Bounds for what is read from a directory.
const (
	maxFile       = 256 << 20 // bytes of one file, unpacked
	maxDepth      = 8         // certificates above a certificate
	maxCandidates = 16        // certificates of one subject that are tried as issuer
)

// folder is a directory tree of certificates and what was read of it. It is not safe for concurrent use.
type folder struct {
	dir     string
	logger  *slog.Logger
	done    map[string]stat // files as they were when they were read
	waiting map[string]stat // files that may still be written
	issuers map[string][][]byte
	read    int
	barren  int
}

type stat struct {
	size int64
	mod  time.Time
}

func newFolder(dir string, logger *slog.Logger) *folder {
	return &folder{dir: dir, logger: logger, done: map[string]stat{}, waiting: map[string]stat{}, issuers: map[string][][]byte{}}
}

// scan returns the certificates of all files that are new or changed. Unless now is set, a file is read only when it
// looked the same at the scan before, since somebody may be writing it.
func (f *folder) scan(now bool) ([][]byte, error) {
	var certs [][]byte
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if path == f.dir {
				return err
			}
			f.logger.Warn("reading certificates", "err", err)
			return nil
		}
		if path != f.dir && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		st, err := os.Stat(path) // follows links to files
		if err != nil || !st.Mode().IsRegular() {
			return nil
		}
		is := stat{st.Size(), st.ModTime()}
		if f.done[path] == is {
			return nil
		}
		if !now && f.waiting[path] != is {
			f.waiting[path] = is
			return nil
		}
		delete(f.waiting, path)
		f.done[path] = is
		found, err := readCerts(path)
		if err != nil {
			f.logger.Warn("reading certificates", "err", err)
		}
		f.read++
		if len(found) == 0 {
			f.barren++
		}
		certs = append(certs, found...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", err)
	}
	for _, c := range certs {
		subject := string(entry.Subject(c))
		known := f.issuers[subject]
		same := func(k []byte) bool { return bytes.Equal(k, c) }
		if subject != "" && len(known) < maxCandidates && !slices.ContainsFunc(known, same) {
			f.issuers[subject] = append(known, c)
		}
	}
	return certs, nil
}

// entry makes the log entry of one certificate, with as much of its chain as the folder holds.
func (f *folder) entry(der []byte) (*entry.Entry, error) {
	chain := f.chain(der)
	if len(chain) > 0 && entry.IsPrecert(der) {
		if e, err := entry.Precertificate(der, chain); err == nil {
			return e, nil
		}
	}
	return entry.Raw(der, chain)
}

// chain finds the certificates above der by name and signature. A self-signed certificate ends it.
func (f *folder) chain(der []byte) [][]byte {
	var chain [][]byte
	for at := der; len(chain) < maxDepth; {
		issuer := entry.Issuer(at)
		if issuer == nil || bytes.Equal(issuer, entry.Subject(at)) {
			break
		}
		i := slices.IndexFunc(f.issuers[string(issuer)], func(c []byte) bool { return entry.IssuedBy(at, c) })
		if i < 0 {
			break
		}
		at = f.issuers[string(issuer)][i]
		chain = append(chain, at)
	}
	return chain
}

// readCerts reads one file. Whatever stands in a PEM block that calls itself a certificate is one; without PEM the file
// is one when it begins like DER. Certificates that were read before an error are returned with it.
func readCerts(path string) ([][]byte, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	begin := []byte("-----BEGIN ")
	if !bytes.Contains(data, begin) {
		name := strings.TrimSuffix(path, ".gz")
		if len(data) > 0 && (data[0] == 0x30 || slices.Contains([]string{".der", ".cer", ".crt"}, filepath.Ext(name))) {
			return [][]byte{data}, nil
		}
		return nil, nil
	}
	want, got := bytes.Count(data, begin), 0
	var certs [][]byte
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		got++
		if strings.Contains(block.Type, "CERTIFICATE") && !strings.Contains(block.Type, "REQUEST") && len(block.Bytes) > 0 {
			certs = append(certs, block.Bytes)
		}
	}
	if got < want {
		return certs, fmt.Errorf("%s: %d of %d PEM blocks could not be read", path, want-got, want)
	}
	return certs, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var r io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(file)
		if err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", path, err)
		}
		r = z
	}
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading %s: larger than %d bytes", path, maxFile)
	}
	return data, nil
}
