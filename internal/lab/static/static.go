// Package static is a small log with the API of C2SP static-ct-api v1.1: RFC 6962 submission, a signed checkpoint and
// tiles. For tests and drills.
//
// It holds everything in memory and is correct unless its faults say otherwise. It trusts nobody, and nobody outside
// a test may trust it.
package static

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
)

// Options of a log; the zero value is usable but for the origin.
type Options struct {
	sequence.Options
	// Prefix is the path of the log, such as "/2026"; it may be empty.
	Prefix string
	// Grease adds a signature of an unknown key to each checkpoint, which readers must ignore.
	Grease bool
}

// Log is one log. It is safe for concurrent use.
type Log struct {
	*sequence.Log
	origin string
	opts   Options
}

// New makes an empty log. origin is the submission URL without scheme and trailing slash.
func New(origin string, key crypto.Signer, opts *Options) (*Log, error) {
	if origin == "" || strings.ContainsAny(origin, " +\n") || strings.HasSuffix(origin, "/") {
		return nil, fmt.Errorf("origin %q cannot name a log", origin)
	}
	l := &Log{origin: origin}
	if opts != nil {
		l.opts = *opts
	}
	l.opts.LeafIndex = true
	var err error
	l.Log, err = sequence.New(key, &l.opts.Options)
	return l, err
}

// Origin is the first line of each checkpoint.
func (l *Log) Origin() string { return l.origin }

// Handler serves the log, both its submission and its monitoring part.
func (l *Log) Handler() http.Handler {
	mux := http.NewServeMux()
	l.HandleSubmissions(mux, l.opts.Prefix)
	p := "GET " + l.opts.Prefix
	mux.HandleFunc(p+"/checkpoint", l.checkpoint)
	mux.HandleFunc(p+"/tile/{path...}", l.tile)
	mux.HandleFunc(p+"/issuer/{hash}", l.issuer)
	return l.Faults.Wrap(mux)
}

func (l *Log) checkpoint(w http.ResponseWriter, r *http.Request) {
	v := l.View()
	if n := v.Faults().EndlessHead; n > 0 {
		fault.Flood(w, "text/plain; charset=utf-8", l.origin+"\n", n)
		return
	}
	note, err := l.note(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	sum := sha256.Sum256(note) // the same head has one signature
	etag := fmt.Sprintf("\"%x\"", sum[:8])
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(note)
}

// Checkpoint is the current head as a signed note: C2SP tlog-checkpoint with an RFC 6962 note signature.
func (l *Log) Checkpoint() ([]byte, error) { return l.note(l.View()) }

func (l *Log) note(v *sequence.View) ([]byte, error) {
	h := v.Head()
	signed, err := v.Sign()
	if err != nil {
		return nil, err
	}
	key, err := v.Key()
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n%d\n%s\n\n", l.origin, h.Size, base64.StdEncoding.EncodeToString(h.Root[:]))
	sig := keyID(l.origin, key.ID)
	sig = binary.BigEndian.AppendUint64(sig, h.Timestamp)
	sig = append(sig, signed...)
	if l.opts.Grease {
		junk := sha256.Sum256(sig)
		fmt.Fprintf(&out, "— grease.example/unknown %s\n", base64.StdEncoding.EncodeToString(append([]byte{0xff, 0, 0, 1}, junk[:]...)))
	}
	fmt.Fprintf(&out, "— %s %s\n", l.origin, base64.StdEncoding.EncodeToString(sig))
	return []byte(out.String()), nil
}

// keyID is the note key ID of an RFC 6962 key: type 0x05 and the log ID.
func keyID(origin string, logID [32]byte) []byte {
	d := sha256.Sum256(append([]byte(origin+"\n\x05"), logID[:]...))
	return d[:4:4]
}

func (l *Log) tile(w http.ResponseWriter, r *http.Request) {
	path := r.PathValue("path")
	t, err := parseTile(path)
	v := l.View()
	f := v.Faults()
	if err != nil || f.MissingTile == "tile/"+path {
		http.NotFound(w, r)
		return
	}
	if f.PartialsGone && t.width < tileWidth && full(v, t) {
		http.NotFound(w, r)
		return
	}
	if t.width == tileWidth {
		short := f.ShortTile
		if f.ShortCached > 0 && r.Header.Get("Cache-Control") != "no-cache" {
			short = f.ShortCached
		}
		if short > 0 {
			t.width = min(short, tileWidth)
		}
	}
	if t.data {
		dataTile(w, r, v, t)
		return
	}
	nodes := v.Nodes(8*t.level, t.index*tileWidth, uint64(t.width))
	if len(nodes) < t.width {
		http.NotFound(w, r)
		return
	}
	body := make([]byte, 0, 32*len(nodes))
	for _, h := range nodes {
		body = append(body, h[:]...)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(body)
}

func full(v *sequence.View, t tileName) bool {
	return len(v.Nodes(8*t.level, t.index*tileWidth, tileWidth)) == tileWidth
}

func dataTile(w http.ResponseWriter, r *http.Request, v *sequence.View, t tileName) {
	es, err := v.Entries(t.index*tileWidth, t.index*tileWidth+uint64(t.width))
	if err != nil || len(es) < t.width {
		http.NotFound(w, r)
		return
	}
	var body []byte
	for _, e := range es {
		body = append(body, e.TileLeaf()...)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Vary", "Accept-Encoding")
	if !acceptsGzip(r) {
		_, _ = w.Write(body)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return // the level is a constant that exists
	}
	_, _ = z.Write(body)
	_ = z.Close()
}

func acceptsGzip(r *http.Request) bool {
	for v := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, param, _ := strings.Cut(strings.TrimSpace(v), ";")
		if (name == "gzip" || name == "*") && strings.TrimSpace(param) != "q=0" {
			return true
		}
	}
	return false
}

func (l *Log) issuer(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("hash")
	fp, err := hex.DecodeString(name)
	if err != nil || len(fp) != 32 || name != strings.ToLower(name) {
		http.NotFound(w, r)
		return
	}
	c, err := l.View().Issuer([32]byte(fp))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/pkix-cert")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(c)
}

const tileWidth = 256

type tileName struct {
	data  bool
	level int
	index uint64
	width int
}

var errTile = errors.New("not the path of a tile")

// parseTile reads what follows "tile/": level or "data", then the index in groups of three digits of which all but
// the last begin with x, then ".p/W" for a partial tile.
func parseTile(path string) (t tileName, err error) {
	level, rest, ok := strings.Cut(path, "/")
	if !ok {
		return t, errTile
	}
	if level == "data" {
		t.data = true
	} else if t.level, err = strconv.Atoi(level); err != nil || t.level < 0 || t.level > 5 || strconv.Itoa(t.level) != level {
		return t, errTile
	}
	t.width = tileWidth
	if i := strings.Index(rest, ".p/"); i >= 0 {
		w := rest[i+3:]
		if t.width, err = strconv.Atoi(w); err != nil || t.width < 1 || t.width >= tileWidth || strconv.Itoa(t.width) != w {
			return t, errTile
		}
		rest = rest[:i]
	}
	groups := strings.Split(rest, "/")
	if len(groups) > 5 || len(groups) > 1 && groups[0] == "x000" {
		return t, errTile
	}
	for i, g := range groups {
		if i < len(groups)-1 {
			if !strings.HasPrefix(g, "x") {
				return t, errTile
			}
			g = g[1:]
		}
		n, err := strconv.ParseUint(g, 10, 64)
		if err != nil || len(g) != 3 {
			return t, errTile
		}
		t.index = t.index*1000 + n
	}
	return t, nil
}
