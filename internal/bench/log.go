package bench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/bench/limit"
	"github.com/tocsin-ct/tocsin/loglist"
)

// pageSize is the most that an RFC 6962 log of the benchmark gives at a time: a common figure among public logs.
const pageSize = 256

// Log is a log that lies in a directory: data tiles as they are served, or pages of get-entries, and a signed head.
type Log struct {
	// Dir holds all of it.
	Dir string `json:"-"`
	// Static says which kind of log it is.
	Static bool `json:"static"`
	// Size is the number of entries, Plain their bytes as the log has them (tiles or JSON), Wire what crosses the
	// network for them.
	Size  int   `json:"size"`
	Plain int64 `json:"plain"`
	Wire  int64 `json:"wire"`
	// Repeat says that the files are so many, and begin again behind the last; 0 for as many as the size needs.
	Repeat int `json:"repeat,omitempty"`
	// Origin is the host and path of the log. Head is the checkpoint or the answer to get-sth; Key the public key of the log.
	Origin string `json:"origin"`
	Head   []byte `json:"head"`
	Key    []byte `json:"key"`
	// Ends are the places in the file of their page at which entries end; none for a static log.
	Ends []int32 `json:"ends,omitempty"`
	// Planted are names that stand in some entries, for somebody to watch.
	Planted []string `json:"planted,omitempty"`
}

// Name is a word for the kind.
func (l *Log) Name() string {
	if l.Static {
		return "static"
	}
	return "rfc6962"
}

// Listed is the log as a log list has it. Dial is where it listens, or "".
func (l *Log) Listed(dial string) (loglist.Log, error) {
	kind := loglist.RFC6962
	if l.Static {
		kind = loglist.Static
	}
	return loglist.FromKey(kind, "https://"+l.Origin, "", l.Key, dial)
}

// files is the number of tiles or pages.
func (l *Log) files() int { return (l.Size + l.perFile() - 1) / l.perFile() }

// opener opens them.
func (l *Log) opener() func(int) (io.ReadCloser, error) {
	return func(i int) (io.ReadCloser, error) { return os.Open(l.file(i)) }
}

// getter fetches them where the log is served.
func (l *Log) getter(dial string) (get func(int) (io.ReadCloser, error), done func()) {
	t := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 8}
	client := &http.Client{Transport: t}
	return func(i int) (io.ReadCloser, error) {
		url := fmt.Sprintf("%s/2026/ct/v1/get-entries?start=%d&end=%d", dial, i*pageSize, min((i+1)*pageSize, l.Size)-1)
		if l.Static {
			url = dial + "/2026/" + ctlog.TilePath(ctlog.DataTile, uint64(i), min(ctlog.TileWidth, l.Size-i*ctlog.TileWidth))
		}
		resp, err := client.Get(url)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, errors.Join(errNone, resp.Body.Close())
		}
		return resp.Body, nil
	}, t.CloseIdleConnections
}

func (l *Log) perFile() int {
	if l.Static {
		return ctlog.TileWidth
	}
	return pageSize
}

func (l *Log) file(i int) string {
	if l.Repeat > 0 {
		i %= l.Repeat
	}
	return filepath.Join(l.Dir, fmt.Sprintf("%06d", i))
}

// writer builds a log in a directory.
type writer struct {
	Log
	buf    bytes.Buffer // of the file at hand
	inFile int
	zip    *gzip.Writer
	tile   []byte
}

func newWriter(dir string, static bool) (*writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	return &writer{Log: Log{Dir: dir, Static: static}, zip: gzip.NewWriter(nil)}, nil
}

// add appends an entry.
func (w *writer) add(e *ctlog.Entry) (err error) {
	if w.Static {
		e.Extensions = ctlog.AppendLeafIndex(nil, uint64(w.Size))
		if w.tile, err = ctlog.AppendTileLeaf(w.tile, e); err != nil {
			return err
		}
	} else {
		e.Extensions = nil
		leaf, err := ctlog.AppendMerkleTreeLeaf(nil, e)
		if err != nil {
			return err
		}
		if w.inFile == 0 {
			w.buf.WriteString(`{"entries":[`)
		} else {
			w.buf.WriteByte(',')
		}
		fmt.Fprintf(&w.buf, `{"leaf_input":"%s","extra_data":"%s"}`,
			base64.StdEncoding.EncodeToString(leaf), base64.StdEncoding.EncodeToString(e.Extra))
		w.Ends = append(w.Ends, int32(w.buf.Len()))
	}
	w.Size++
	w.inFile++
	if w.inFile == w.perFile() {
		return w.flush()
	}
	return nil
}

// tileOf appends a whole tile as it is.
func (w *writer) addTile(tile []byte) error {
	w.tile = append(w.tile, tile...)
	w.Size += ctlog.TileWidth
	w.inFile = ctlog.TileWidth
	return w.flush()
}

func (w *writer) flush() error {
	if w.inFile == 0 {
		return nil
	}
	if w.Static {
		w.Plain += int64(len(w.tile))
		w.zip.Reset(&w.buf)
		if _, err := w.zip.Write(w.tile); err != nil {
			return err
		}
		if err := w.zip.Close(); err != nil {
			return err
		}
		w.tile = w.tile[:0]
	} else {
		w.buf.WriteString("]}")
		w.Plain += int64(w.buf.Len())
	}
	w.Wire += int64(w.buf.Len())
	name := w.file((w.Size - 1) / w.perFile())
	if err := os.WriteFile(name, w.buf.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing a log: %w", err)
	}
	w.buf.Reset()
	w.inFile = 0
	return nil
}

// close signs the head, with a fresh key, and returns the log.
func (w *writer) close() (*Log, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	if err := w.sign("log.bench.example/2026"); err != nil {
		return nil, err
	}
	return &w.Log, nil
}

// sign makes a fresh key, and a head of all files.
func (l *Log) sign(origin string) error {
	root, n, err := limit.Read(l.opener(), l.files(), l.Static, 2)
	if err != nil {
		return err
	}
	if n != l.Size {
		return fmt.Errorf("wrote %d entries, and read %d", l.Size, n)
	}
	l.Origin = origin
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if l.Key, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return err
	}
	head := ctlog.Head{Size: uint64(l.Size), Root: root, Timestamp: uint64(time.Now().UnixMilli())}
	if l.Static {
		l.Head, err = ctlog.SignCheckpoint(key, origin, head)
	} else {
		l.Head, err = ctlog.SignSTH(key, head)
	}
	if err != nil {
		return err
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.Dir, "log.json"), b, 0o600); err != nil {
		return fmt.Errorf("writing a log: %w", err)
	}
	return nil
}

// copies are logs of the same entries under other names and keys.
func (l *Log) copies(n int) (logs []*Log, err error) {
	for i := range n {
		c := *l
		if err := c.sign(fmt.Sprintf("log%d.bench.example/2026", i)); err != nil {
			return nil, err
		}
		logs = append(logs, &c)
	}
	return logs, nil
}

// Repeated is a log that goes on with the same tiles up to so many entries, a multiple of a tile.
func (l *Log) Repeated(entries int) (*Log, error) {
	c := *l
	c.Repeat = l.Size / ctlog.TileWidth
	c.Size = entries / ctlog.TileWidth * ctlog.TileWidth
	c.Plain, c.Wire = l.Plain*int64(c.Size)/int64(l.Size), l.Wire*int64(c.Size)/int64(l.Size)
	return &c, c.sign("backlog.bench.example/2026")
}

// plantEvery is how far planted names are apart.
const plantEvery = 4096

// Make writes a log of so many generated entries into a directory of its own.
func Make(dir string, static bool, shape Shape, entries int) (*Log, error) {
	w, err := newWriter(dir, static)
	if err != nil {
		return nil, err
	}
	g := NewGenerator(shape)
	for i := range entries {
		e := g.Next()
		if i%plantEvery == plantEvery/2 {
			w.Planted = append(w.Planted, g.last)
		}
		if err := w.add(&e); err != nil {
			return nil, err
		}
	}
	return w.close()
}

// FromTiles writes a static log that repeats full data tiles.
func FromTiles(dir string, tiles [][]byte, entries int) (*Log, error) {
	w, err := newWriter(dir, true)
	if err != nil {
		return nil, err
	}
	for i := 0; w.Size < entries; i++ {
		if err := w.addTile(tiles[i%len(tiles)]); err != nil {
			return nil, err
		}
	}
	return w.close()
}

// Open reads a log that was written before.
func Open(dir string) (*Log, error) {
	b, err := os.ReadFile(filepath.Join(dir, "log.json"))
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	l := &Log{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	l.Dir = dir
	return l, nil
}
