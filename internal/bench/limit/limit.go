// Package limit is what the tail is measured against: the least that reading a log with proof costs. It decompresses
// data tiles, finds the entries in them, hashes these and joins them to the root of the tile; of pages of an RFC 6962
// log it finds the leaves, decodes and hashes them. Nothing else: no certificates, no watches, no errors that anybody
// could act on.
//
// It is frozen: it uses the same libraries as the tail, imports none of its code, and does not change when the tail
// does, so that figures of different years can be compared. It trusts its files, which the benchmark has just written.
package limit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
)

// Read reads so many files and returns the root of the tree over their entries and how many there are. Every file but
// the last holds the same number of entries, which is a power of two. Files are gzipped data tiles (static) or pages of
// JSON. It uses so many goroutines, which open files at the same time.
func Read(open func(file int) (io.ReadCloser, error), files int, static bool, workers int) (root [32]byte, entries int, err error) {
	roots := make([][32]byte, files)
	var next, total atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			w := worker{}
			for {
				i := int(next.Add(1)) - 1
				if i >= files {
					return
				}
				f, err := open(i)
				if err == nil {
					err = errors.Join(w.file(f, static), f.Close())
				}
				if err != nil {
					err = fmt.Errorf("file %d: %w", i, err)
					failed.Store(&err)
					return
				}
				total.Add(int64(len(w.hashes)))
				roots[i] = treeRoot(w.hashes)
			}
		})
	}
	wg.Wait()
	if e := failed.Load(); e != nil {
		return root, 0, *e
	}
	return treeRoot(roots), int(total.Load()), nil
}

// worker is the memory of one goroutine.
type worker struct {
	raw, plain []byte
	zip        gzip.Reader
	hashes     [][32]byte
}

func (w *worker) file(r io.Reader, static bool) (err error) {
	if w.raw, err = fill(r, w.raw); err != nil {
		return err
	}
	w.hashes = w.hashes[:0]
	if !static {
		return w.page(w.raw)
	}
	if err := w.zip.Reset(bytes.NewReader(w.raw)); err != nil {
		return err
	}
	if w.plain, err = fill(&w.zip, w.plain); err != nil {
		return err
	}
	return w.tile(w.plain)
}

func fill(r io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, max(4096, len(buf)))...)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

var errShort = errors.New("ends too early")

// tile hashes the entries of a data tile (static-ct-api, Log Entries). The two bytes that make a MerkleTreeLeaf of a
// TimestampedEntry, and the byte that makes a leaf of that (RFC 6962 section 2.1), are written before it: what stands
// there was read already.
func (w *worker) tile(b []byte) error {
	var first []byte
	for at := 0; at < len(b); {
		if len(b)-at < 10 {
			return errShort
		}
		end := at + 10
		precert := binary.BigEndian.Uint16(b[at+8:]) == 1
		if precert {
			end += 32
		}
		skip := func(prefix int) bool {
			if len(b)-end < prefix {
				return false
			}
			n := 0
			for _, c := range b[end : end+prefix] {
				n = n<<8 | int(c)
			}
			end += prefix + n
			return end <= len(b)
		}
		if end > len(b) || !skip(3) || !skip(2) {
			return errShort
		}
		leaf := end
		if precert && !skip(3) || !skip(2) {
			return errShort
		}
		if at < 3 {
			first = append(append(first[:0], 0, 0, 0), b[:leaf]...)
			w.hashes = append(w.hashes, sha256.Sum256(first))
		} else {
			b[at-3], b[at-2], b[at-1] = 0, 0, 0
			w.hashes = append(w.hashes, sha256.Sum256(b[at-3:leaf]))
		}
		at = end
	}
	return nil
}

var (
	field    = []byte(`"leaf_input":"`)
	encoding = base64.StdEncoding
)

// page hashes the leaves of an answer to get-entries (RFC 6962 section 4.6).
func (w *worker) page(b []byte) error {
	for {
		i := bytes.Index(b, field)
		if i < 0 {
			return nil
		}
		b = b[i+len(field):]
		n := bytes.IndexByte(b, '"')
		if n < 0 {
			return errShort
		}
		if need := encoding.DecodedLen(n) + 1; cap(w.plain) < need {
			w.plain = make([]byte, 2*need)
		}
		w.plain = w.plain[:cap(w.plain)]
		w.plain[0] = 0
		k, err := encoding.Decode(w.plain[1:], b[:n])
		if err != nil {
			return err
		}
		w.hashes = append(w.hashes, sha256.Sum256(w.plain[:1+k]))
		b = b[n:]
	}
}

// treeRoot is the root of the tree over the hashes (RFC 6962 section 2.1), which it overwrites.
func treeRoot(h [][32]byte) [32]byte {
	if len(h) == 0 {
		return sha256.Sum256(nil)
	}
	var node [65]byte
	node[0] = 1
	for len(h) > 1 {
		for i := 0; i+1 < len(h); i += 2 {
			copy(node[1:], h[i][:])
			copy(node[33:], h[i+1][:])
			h[i/2] = sha256.Sum256(node[:])
		}
		if len(h)%2 == 1 {
			h[len(h)/2] = h[len(h)-1]
		}
		h = h[:(len(h)+1)/2]
	}
	return h[0]
}
