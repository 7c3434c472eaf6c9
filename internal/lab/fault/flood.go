package fault

import (
	"bytes"
	"io"
	"net/http"

	"github.com/klauspost/compress/gzip"
)

// Flood writes prefix and then n bytes of garbage without announcing a length, until all is sent or the client leaves.
func Flood(w http.ResponseWriter, contentType, prefix string, n int64) {
	w.Header().Set("Content-Type", contentType)
	if _, err := io.WriteString(w, prefix); err != nil {
		return
	}
	chunk := bytes.Repeat([]byte("A"), 64<<10)
	for n > 0 {
		part := chunk
		if n < int64(len(part)) {
			part = part[:n]
		}
		k, err := w.Write(part)
		if err != nil {
			return
		}
		n -= int64(k)
	}
}

// Bomb writes a gzip body of about a thousandth of n bytes that unpacks to n.
func Bomb(w http.ResponseWriter, contentType string, n int64) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	defer func() { _ = z.Close() }()
	chunk := make([]byte, 64<<10)
	for n > 0 {
		part := chunk
		if n < int64(len(part)) {
			part = part[:n]
		}
		k, err := z.Write(part)
		if err != nil {
			return
		}
		n -= int64(k)
	}
}
