package rfc6962

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

func TestFaults(t *testing.T) {
	w := start(t, nil)
	for n := range 5 {
		i := w.issue(n)
		w.post("add-pre-chain", i.Precert, i.Chain[0])
	}
	w.log.Publish()
	good, ok := w.head()
	if !ok {
		t.Fatal("signature of head")
	}
	leaves, _ := w.read(5)
	one := uint64(1)
	status := func(path string) int { return w.get(path, &struct{}{}) }
	for _, row := range []struct {
		name  string
		f     fault.Faults
		check func() bool
	}{
		{"down is 503", fault.Faults{Down: true}, func() bool { return status("get-sth") == http.StatusServiceUnavailable }},
		{"too many requests is 429 with Retry-After", fault.Faults{TooMany: true, RetryAfter: 1500 * time.Millisecond}, func() bool {
			resp, err := http.Get(w.url + "get-sth")
			return err == nil && resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "2" && resp.Body.Close() == nil
		}},
		{"refuse ends without an answer", fault.Faults{Refuse: true}, func() bool { _, err := http.Get(w.url + "get-sth"); return err != nil }},
		{"wrong root verifies and is another", fault.Faults{WrongRoot: true}, func() bool {
			h, ok := w.head()
			return ok && !bytes.Equal(h.Root, good.Root)
		}},
		{"bad signature does not verify", fault.Faults{BadSignature: true}, func() bool { _, ok := w.head(); return !ok }},
		{"short batches", fault.Faults{MaxBatch: 2}, func() bool { _, n := w.read(5); return n == 3 }},
		{"one entry is not what was hashed", fault.Faults{AlterEntry: &one}, func() bool {
			l, _ := w.read(5)
			h, ok := w.head()
			return ok && bytes.Equal(h.Root, good.Root) && bytes.Equal(l[0], leaves[0]) && !bytes.Equal(l[1], leaves[1])
		}},
		{"slow waits", fault.Faults{Delay: time.Hour}, func() bool {
			c := http.Client{Timeout: 20 * time.Millisecond}
			_, err := c.Get(w.url + "get-sth")
			return err != nil
		}},
		{"endless entries", fault.Faults{Endless: 3 << 20}, func() bool {
			resp, err := http.Get(w.url + "get-entries?start=0&end=4")
			if err != nil || resp.ContentLength >= 0 {
				return false
			}
			n, _ := io.Copy(io.Discard, resp.Body)
			return n > 3<<20 && resp.Body.Close() == nil
		}},
		{"endless head", fault.Faults{EndlessHead: 3 << 20}, func() bool {
			resp, err := http.Get(w.url + "get-sth")
			if err != nil {
				return false
			}
			n, _ := io.Copy(io.Discard, resp.Body)
			return n > 3<<20 && resp.Body.Close() == nil
		}},
		{"a bomb is small on the wire", fault.Faults{Bomb: 8 << 20}, func() bool {
			c := http.Client{Transport: &http.Transport{DisableCompression: true}}
			resp, err := c.Get(w.url + "get-entries?start=0&end=4")
			if err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
				return false
			}
			n, _ := io.Copy(io.Discard, resp.Body)
			return n < 1<<20 && resp.Body.Close() == nil
		}},
		{"repaired", fault.Faults{}, func() bool {
			h, ok := w.head()
			return ok && bytes.Equal(h.Root, good.Root)
		}},
	} {
		w.log.Faults.Set(row.f)
		if !row.check() {
			t.Error(row.name)
		}
	}
}
