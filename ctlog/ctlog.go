// Package ctlog reads Certificate Transparency logs and believes none of them.
//
// It speaks both protocols, RFC 6962 and static-ct-api, behind one [Client]. A [Tailer] follows one log from a chosen
// start and promises: every head is checked under the log's key; every entry is hashed; the root over all entries
// equals the signed head before the position counts as verified; every head ever seen is consistent with what was
// verified before, whatever its size. What contradicts that becomes a [Fault] with portable evidence, told apart from
// skew between a log's front ends and from plain outages, which are retried for as long as it takes. A range that
// failed stays owed: no entry is ever skipped.
//
// A log is trusted for nothing. One that lies can withhold entries (which shows as a fault or as lag) and can waste a
// bounded amount of time and memory; it cannot make an unverified tree count as verified.
package ctlog

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"syscall"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// ErrBlind is wrapped by the error of a [Tailer] in Once mode that could not read the log to a verified head.
var ErrBlind = errors.New("log not verified")

// Hash is a SHA-256 hash; as text, base64.
type Hash [32]byte

// MarshalText encodes the hash in base64.
func (h Hash) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, h[:]), nil
}

// UnmarshalText decodes base64 of exactly 32 bytes.
func (h *Hash) UnmarshalText(b []byte) error {
	d, err := base64.StdEncoding.AppendDecode(nil, b)
	if err != nil {
		return fmt.Errorf("decoding hash: %w", err)
	}
	if len(d) != len(h) {
		return fmt.Errorf("decoding hash: %d bytes, want %d", len(d), len(h))
	}
	copy(h[:], d)
	return nil
}

func (h Hash) String() string { return base64.StdEncoding.EncodeToString(h[:]) }

// emptyRoot is the root of the empty tree (RFC 6962 section 2.1).
var emptyRoot = Hash(sha256.Sum256(nil))

// maxSize bounds the tree sizes that are believed: 35 trillion entries. It keeps all arithmetic far from overflow.
const maxSize = 1 << 45

// Head is a tree head whose signature was verified under the log's key (except in a zero Head).
type Head struct {
	Size uint64 `json:"size"`
	Root Hash   `json:"root"`
	// Timestamp is the log's, in milliseconds since 1970.
	Timestamp uint64 `json:"timestamp"`
	// Raw is the head as the log sent it, the get-sth answer or the checkpoint: evidence. Nil for the empty tree
	// that everything starts from.
	Raw []byte `json:"raw,omitempty"`
	// Received is when we got it.
	Received time.Time `json:"received,omitzero"`
}

// Time is Timestamp as a time.
func (h *Head) Time() time.Time { return time.UnixMilli(int64(h.Timestamp)).UTC() }

// Entry is one entry of a log. Its slices alias the [Batch] or input that it was read from.
type Entry struct {
	Index uint64
	// Timestamp is in milliseconds since 1970.
	Timestamp uint64
	Precert   bool
	// IssuerKeyHash is the SHA-256 of the final issuer's SubjectPublicKeyInfo; zero unless Precert.
	IssuerKeyHash [32]byte
	// Leaf is the MerkleTreeLeaf (RFC 6962 section 3.4): what the tree commits to.
	Leaf []byte
	// Cert is the certificate, or for a precertificate its TBSCertificate without poison. It is part of Leaf. When
	// Problem is set it is all of Leaf.
	Cert []byte
	// Extensions are the CtExtensions of the leaf. Part of Leaf.
	Extensions []byte
	// Extra is the extra_data of an RFC 6962 log, not covered by the tree. See [Chain]. In deliveries that were sifted
	// it is missing until LoadExtra.
	Extra []byte
	// PreCert is the precertificate as a static log gives it, not covered by the tree.
	PreCert []byte
	// Fingerprints are the SHA-256 hashes of the chain certificates at a static log, not covered by the tree.
	Fingerprints [][32]byte
	// Problem says why Leaf could not be decoded, or is "". Such an entry is hashed and delivered like any other.
	Problem string

	hashed  []byte // the byte 0 and Leaf, where both stand together in memory
	extra64 []byte // extra_data in base64, not yet decoded
}

// LoadExtra sets Extra where it was left out. It fails when the log sent no base64; Extra then stays missing.
func (e *Entry) LoadExtra() error {
	if e.extra64 == nil {
		return nil
	}
	extra, err := decodeString(e.extra64)
	if err != nil {
		return fmt.Errorf("decoding extra_data of entry %d: %w", e.Index, err)
	}
	e.Extra, e.extra64 = extra, nil
	return nil
}

// Hash is the leaf hash: SHA-256(0x00 || Leaf).
func (e *Entry) Hash() [32]byte {
	var h leafHasher
	return h.sum(e.Leaf)
}

// Time is Timestamp as a time.
func (e *Entry) Time() time.Time { return time.UnixMilli(int64(e.Timestamp)).UTC() }

// Batch holds the entries of one request together with their memory, which the next use of the Batch overwrites. The
// zero value is ready.
type Batch struct {
	Entries []Entry

	buf          []byte     // decoded bytes of a page, or the tile
	page         []byte     // the page itself
	lazy         bool       // leave Extra out, which then aliases page
	fingerprints [][32]byte // of all entries
}

// A Client reads one log. Its methods may be called from several goroutines. They do not retry; their errors are
// temporary unless documented otherwise (a [*HeadError], a [*ForkError]).
type Client interface {
	// Log is the log that is read.
	Log() *loglist.Log
	// Head fetches the current head and verifies its signature. A head with a wrong signature, or that is no head of
	// this log, is a [*HeadError].
	Head(ctx context.Context) (Head, error)
	// Entries reads at least one entry, beginning with start, into the batch: as many as one request gives, and
	// none at or beyond size, which must be the size of a head of this log. Entries are in sequence, but not yet
	// verified.
	Entries(ctx context.Context, start, size uint64, into *Batch) error
	// Timestamp is that of the entry at index in the tree of the given size, in milliseconds.
	Timestamp(ctx context.Context, index, size uint64) (uint64, error)
	// Edge returns the roots of the perfect subtrees over the first n entries of the head's tree, from left to right
	// (a compact range): proven to belong to that tree.
	Edge(ctx context.Context, n uint64, head Head) ([]Hash, error)
	// Consistent checks that the tree of older is a prefix of that of newer. It returns nil when proven, a
	// [*ForkError] when the contrary is proven, and any other error when nothing is.
	Consistent(ctx context.Context, older, newer Head) error
	// Inclusion proves that the tree of the head, which must be one of this log, holds the leaf, and returns its index.
	// A static log needs the index to look at (else [ErrNoIndex]); an RFC 6962 log ignores it. An [*AbsentError] says
	// that the tree does not hold the leaf, an [*UnprovenError] that the log gave a proof that proves nothing; any
	// other error that it gave no answer.
	Inclusion(ctx context.Context, leaf Hash, index *uint64, head Head) (uint64, error)
	// Issuer fetches a chain certificate by its SHA-256 from a static log and checks it. An error for RFC 6962.
	Issuer(ctx context.Context, fingerprint [32]byte) ([]byte, error)
	// Pace is how fast the log is asked now, apart from its operator's [Budget].
	Pace() Pace
	// Close lets idle connections go. The client remains usable.
	Close()
}

// Options for a [Client]. The zero value, and nil, are fine.
type Options struct {
	// Transport replaces the HTTP transport, for tests; the log's Dial is then ignored.
	Transport http.RoundTripper
	// Control is asked about each address as it is connected to, after the name was resolved, and may refuse it: see
	// [net.Dialer]. Not where the log's Dial says where to connect, nor where the environment names a proxy.
	Control func(network, address string, c syscall.RawConn) error
	// Contact is added to the User-Agent so that a log's operator can write to somebody: an address or URL.
	Contact string
	// Version is the program version for the User-Agent; default "dev".
	Version string
	// Timeout bounds each request, including its body; default 60 s.
	Timeout time.Duration
	// Budget is shared by the clients of all logs of one operator; nil for a log that stands alone.
	Budget *Budget
	// Logger is never nil inside; the default discards.
	Logger *slog.Logger
}

// NewClient returns the client for the kind of the log. It fails when the log's key or addresses cannot be used.
func NewClient(log loglist.Log, opts *Options) (Client, error) {
	v, err := newVerifier(&log)
	if err != nil {
		return nil, fmt.Errorf("using log %s: %w", log.Name(), err)
	}
	f, err := newFetcher(&log, opts)
	if err != nil {
		return nil, fmt.Errorf("using log %s: %w", log.Name(), err)
	}
	switch log.Kind {
	case loglist.RFC6962:
		return newRFC6962(&log, v, f), nil
	case loglist.Static:
		return newStatic(&log, v, f), nil
	}
	return nil, fmt.Errorf("using log %s: unknown kind of log", log.Name())
}

// HeadError is a head that the log's key did not sign, or that cannot be a head of this log. It is evidence only of a
// broken or false answer, not against the log: anybody in the path can make one.
type HeadError struct {
	Raw []byte
	Err error
}

func (e *HeadError) Error() string { return "head refused: " + e.Err.Error() }
func (e *HeadError) Unwrap() error { return e.Err }

// ForkError proves that two heads, both signed, do not belong to one append-only log.
type ForkError struct {
	Older, Newer Head
	// Computed is the root that Newer's tree proves for Older's size. It differs from Older.Root.
	Computed Hash
	// Proof is the consistency proof from Computed to Newer.Root.
	Proof []Hash
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("log forked: head of size %d has root %s, but the tree of the head of size %d has root %s there",
		e.Older.Size, e.Older.Root, e.Newer.Size, e.Computed)
}
