package ctlog

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// TileWidth is the number of entries of a full tile (static-ct-api).
const TileWidth = 256

// DataTile is the level of data tiles for [TilePath].
const DataTile = -1

// TilePath is the path of a tile below a log's monitoring prefix: "tile/0/x001/x234/067", with ".p/7" at the end for
// the first 7 entries. A width of 0 or 256 is the full tile. The level is [DataTile] for "tile/data".
func TilePath(level int, index uint64, width int) string {
	var b strings.Builder
	b.WriteString("tile/")
	if level == DataTile {
		b.WriteString("data")
	} else {
		fmt.Fprintf(&b, "%d", level)
	}
	div := uint64(1)
	for index/div >= 1000 {
		div *= 1000
	}
	for ; div > 1; div /= 1000 {
		fmt.Fprintf(&b, "/x%03d", index/div%1000)
	}
	fmt.Fprintf(&b, "/%03d", index%1000)
	if width != 0 && width != TileWidth {
		fmt.Fprintf(&b, ".p/%d", width)
	}
	return b.String()
}

const (
	x509Entry    = 0
	precertEntry = 1
)

var errTooLong = errors.New("field too long for its length prefix")

// AppendMerkleTreeLeaf appends the MerkleTreeLeaf (RFC 6962 section 3.4) made of Timestamp, Precert, IssuerKeyHash,
// Cert and Extensions. It fails when a field is too long to be encoded.
func AppendMerkleTreeLeaf(dst []byte, e *Entry) ([]byte, error) {
	return appendTimestampedEntry(append(dst, 0, 0), e) // version v1, timestamped_entry
}

func appendTimestampedEntry(dst []byte, e *Entry) ([]byte, error) {
	if len(e.Cert) >= 1<<24 || len(e.Extensions) >= 1<<16 {
		return nil, errTooLong
	}
	dst = binary.BigEndian.AppendUint64(dst, e.Timestamp)
	if e.Precert {
		dst = binary.BigEndian.AppendUint16(dst, precertEntry)
		dst = append(dst, e.IssuerKeyHash[:]...)
	} else {
		dst = binary.BigEndian.AppendUint16(dst, x509Entry)
	}
	dst = append(appendUint24(dst, len(e.Cert)), e.Cert...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Extensions)))
	return append(dst, e.Extensions...), nil
}

// AppendTileLeaf appends the TileLeaf (static-ct-api, Log Entries): the entry as it stands in a data tile, made of the
// fields of [AppendMerkleTreeLeaf], PreCert and Fingerprints. It fails when a field is too long to be encoded.
func AppendTileLeaf(dst []byte, e *Entry) ([]byte, error) {
	if len(e.PreCert) >= 1<<24 || len(e.Fingerprints)*32 >= 1<<16 {
		return nil, errTooLong
	}
	dst, err := appendTimestampedEntry(dst, e)
	if err != nil {
		return nil, err
	}
	if e.Precert {
		dst = append(appendUint24(dst, len(e.PreCert)), e.PreCert...)
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Fingerprints)*32))
	for i := range e.Fingerprints {
		dst = append(dst, e.Fingerprints[i][:]...)
	}
	return dst, nil
}

// AppendLeafIndex appends the CtExtensions of a static log's leaf: its index (static-ct-api, SCT Extension).
func AppendLeafIndex(dst []byte, index uint64) []byte {
	return append(dst, 0, 0, 5, byte(index>>32), byte(index>>24), byte(index>>16), byte(index>>8), byte(index))
}

// ReadTileLeaf reads the first TileLeaf of b into e (all but Index) and returns the rest of b. e.Leaf is newly
// allocated, all else aliases b or is copied.
func ReadTileLeaf(e *Entry, b []byte) (rest []byte, err error) {
	var fingerprints [][32]byte
	n, rest, err := readTileLeaf(e, b, &fingerprints)
	if err != nil {
		return nil, err
	}
	e.Leaf = append([]byte{0, 0}, b[:n]...)
	return rest, nil
}

// readTileLeaf is ReadTileLeaf without Leaf: n is the length of the TimestampedEntry at the start of b. Fingerprints
// are appended to the given slice and e.Fingerprints aliases it.
func readTileLeaf(e *Entry, b []byte, fingerprints *[][32]byte) (n int, rest []byte, err error) {
	index := e.Index
	*e = Entry{Index: index}
	s := reader{b: b}
	s.timestampedEntry(e)
	if s.err != nil {
		return 0, nil, s.err
	}
	n = len(b) - len(s.b)
	if e.Precert {
		e.PreCert = s.vector(3)
	}
	chain := s.vector(2)
	if s.err != nil {
		return 0, nil, s.err
	}
	if len(chain)%32 != 0 {
		return 0, nil, fmt.Errorf("tile leaf: %d bytes of fingerprints", len(chain))
	}
	first := len(*fingerprints)
	for ; len(chain) > 0; chain = chain[32:] {
		*fingerprints = append(*fingerprints, [32]byte(chain))
	}
	if len(*fingerprints) > first {
		e.Fingerprints = (*fingerprints)[first:len(*fingerprints):len(*fingerprints)]
	}
	return n, s.b, nil
}

// ReadMerkleTreeLeaf reads a MerkleTreeLeaf into e (Timestamp to Extensions). It never fails: what cannot be decoded
// is kept whole in Leaf and Cert, and Problem says why.
func ReadMerkleTreeLeaf(e *Entry, leaf []byte) {
	e.Leaf, e.Problem = leaf, ""
	s := reader{b: leaf}
	switch version, kind := s.uint(1), s.uint(1); {
	case s.err != nil:
	case version != 0:
		s.err = fmt.Errorf("leaf version %d", version)
	case kind != 0:
		s.err = fmt.Errorf("leaf type %d", kind)
	default:
		s.timestampedEntry(e)
		if s.err == nil && len(s.b) > 0 {
			s.err = fmt.Errorf("%d bytes after the leaf", len(s.b))
		}
	}
	if s.err != nil {
		e.Problem = s.err.Error()
		e.Cert, e.Extensions, e.IssuerKeyHash, e.Precert = leaf, nil, [32]byte{}, false
	}
}

// leafHasher computes leaf hashes without allocating. The zero value is ready.
type leafHasher struct {
	h   hash.Hash
	out [32]byte
}

var leafPrefix = []byte{0}

func (l *leafHasher) sum(leaf []byte) [32]byte {
	if l.h == nil {
		l.h = sha256.New()
	}
	l.h.Reset()
	l.h.Write(leafPrefix)
	l.h.Write(leaf)
	l.h.Sum(l.out[:0])
	return l.out
}

// entry is the leaf hash of an entry.
func (l *leafHasher) entry(e *Entry) [32]byte {
	if h := e.hashed; len(h) > 1 && len(h) == len(e.Leaf)+1 && &h[1] == &e.Leaf[0] && h[0] == 0 {
		return sha256.Sum256(h)
	}
	return l.sum(e.Leaf)
}

// reader reads TLS presentation language. After an error it yields zeros.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("leaf ends too early")

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.b) {
		r.err = errShort
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uint(bytes int) (v uint64) {
	for _, c := range r.take(bytes) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) vector(prefix int) []byte { return r.take(int(r.uint(prefix))) }

func (r *reader) timestampedEntry(e *Entry) {
	e.Timestamp = r.uint(8)
	switch kind := r.uint(2); {
	case r.err != nil:
	case kind == x509Entry:
		e.Precert, e.IssuerKeyHash = false, [32]byte{}
	case kind == precertEntry:
		e.Precert = true
		copy(e.IssuerKeyHash[:], r.take(32))
	default:
		r.err = fmt.Errorf("entry type %d", kind)
	}
	e.Cert = r.vector(3)
	e.Extensions = r.vector(2)
}

func appendUint24(dst []byte, n int) []byte { return append(dst, byte(n>>16), byte(n>>8), byte(n)) }
