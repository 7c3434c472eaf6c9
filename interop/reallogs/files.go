package reallogs

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
)

// files serves the folder of a static log as static-ct-api asks: the checkpoint, the tiles and the issuers, and nothing
// else; the log's own state stays hidden, and folders are not listed. Data tiles are sent compressed to those who
// accept it, like production logs do, though they lie uncompressed on disk.
type files struct{ root fs.FS }

func newFiles(dir string) http.Handler { return files{os.DirFS(dir)} }

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	path := r.URL.Path
	switch {
	case path == "checkpoint":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
	case strings.HasPrefix(path, "tile/"):
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	case strings.HasPrefix(path, "issuer/"):
		w.Header().Set("Content-Type", "application/pkix-cert")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	default:
		http.NotFound(w, r)
		return
	}
	// fs.ReadFile refuses every path with an empty, "." or ".." element; a folder cannot be read as a file.
	body, err := fs.ReadFile(f.root, path)
	if err != nil {
		w.Header().Del("Cache-Control")
		if errors.Is(err, fs.ErrPermission) {
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		http.NotFound(w, r)
		return
	}
	if strings.HasPrefix(path, "tile/data/") {
		w.Header().Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			_, _ = z.Write(body) // a bytes.Buffer takes all
			_ = z.Close()
			body = packed.Bytes()
			w.Header().Set("Content-Encoding", "gzip")
		}
	}
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body)
}
