package ctlog

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/tocsin-ct/tocsin/loglist"
)

func TestTheAddressToDialDiffersFromTheLogsName(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 10)
	var host, agent string
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, agent = r.Host, r.Header.Get("User-Agent")
		f.ServeHTTP(w, r)
	})
	plain, secure := httptest.NewServer(h), httptest.NewUnstartedServer(h)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	f.log.Dial = plain.URL // http, though the log is https
	c, err := NewClient(f.log, &Options{Contact: "ct@example.org\n", Version: "1.2"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	if host != "log.example.com" || !strings.HasPrefix(agent, "tocsin/1.2 (") || !strings.Contains(agent, "; ct@example.org)") {
		t.Errorf("host %q, agent %q", host, agent)
	}
	f.log.Dial = secure.Listener.Addr().String() // https as the log: its certificate must be for the log's name
	c, err = NewClient(f.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Head(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server without a certificate for the log: %v", err)
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 10)
	var to string
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/2027/checkpoint" {
			return false
		}
		http.Redirect(w, r, to, http.StatusFound)
		return true
	}
	for _, to = range []string{"https://other.example.com/2027/checkpoint", "http://log.example.com/2027/checkpoint", "/2027/checkpoint"} {
		if _, err := f.client(t).Head(t.Context()); err == nil || !strings.Contains(err.Error(), "redirected elsewhere") {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// One GB of body, plain or as a gzip bomb, costs no more memory than the bound.
func TestHugeBodiesCostBoundedMemory(t *testing.T) {
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for range 40 {
		_, _ = z.Write(chunk)
	}
	_ = z.Close()
	for _, zipped := range []bool{false, true} {
		f := newFakeLog(t, loglist.RFC6962, 10)
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if zipped {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(bomb.Bytes())
				return true
			}
			for range 1 << 10 {
				if _, err := w.Write(chunk); err != nil {
					return true
				}
			}
			t.Error("all of 1 GB was read")
			return true
		}
		c := f.client(t)
		for name, ask := range map[string]func() error{
			"head":    func() error { _, err := c.Head(t.Context()); return err },
			"entries": func() error { return c.Entries(t.Context(), 0, 10, new(Batch)) },
			"proof":   func() error { return c.Consistent(t.Context(), Head{Size: 3}, Head{Size: 10}) },
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := ask()
			runtime.ReadMemStats(&after)
			if !errors.Is(err, errTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 4*maxBody {
				t.Errorf("%s: %d MiB allocated in all", name, n>>20)
			}
		}
	}
}

// What comes out of a damaged gzip stream before its checksum fails may be wrong bytes, which would accuse the log of a
// wrong root.
func TestNothingOfADamagedCompressedPageIsUsed(t *testing.T) {
	f := newFakeLog(t, loglist.RFC6962, 40)
	damaged := 0
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/2027/ct/v1/get-entries" || damaged == 40 {
			return false
		}
		plain, err := f.answer("ct/v1/get-entries", r)
		if err != nil {
			t.Error(err)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(plain)
		_ = z.Close()
		b := packed.Bytes()
		// From the last block to the checksum at the end.
		b[len(b)-1-damaged] ^= 0x10
		damaged++
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b)
		return true
	}
	c := f.client(t)
	for damaged < 40 {
		var b Batch
		if err := c.Entries(t.Context(), 0, 40, &b); err == nil {
			t.Fatalf("%d entries read of a page damaged at byte %d from its end", len(b.Entries), damaged)
		}
	}
	var b Batch
	if err := c.Entries(t.Context(), 0, 40, &b); err != nil || len(b.Entries) == 0 {
		t.Errorf("%d entries of a whole page, %v", len(b.Entries), err)
	}
}

func TestHeadsThatAreNone(t *testing.T) {
	for _, kind := range bothKinds {
		f := newFakeLog(t, kind, 3)
		for name, body := range map[string]string{"HTML": "<html>", "empty": "", "other JSON": `{"tree_size":1}`, "a note without signatures": "log.example.com/2027\n1\nAAAA\n"} {
			_, err := VerifyHead(f.log, []byte(body))
			var bad *HeadError
			var none *notHeadError
			if !errors.As(err, &bad) || !errors.As(err, &none) || string(bad.Raw) != body {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
		}
		f.sign = func(h *Head) { h.Size, h.Root = 0, Hash{1} }
		if _, err := f.client(t).Head(t.Context()); err == nil || !strings.Contains(err.Error(), "root of the empty tree") {
			t.Errorf("%s: an empty tree with a root: %v", kind, err)
		}
		f.sign = func(h *Head) { h.Size = 1 << 60 }
		if _, err := f.client(t).Head(t.Context()); err == nil || !strings.Contains(err.Error(), "beyond belief") {
			t.Errorf("%s: a tree beyond belief: %v", kind, err)
		}
	}
}

func TestLogsWithRSAKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	h := Head{Size: 7, Root: Hash{1}, Timestamp: baseTime}
	for _, kind := range bothKinds {
		g, err := loglist.FromKey(kind, "https://log.example.com/rsa/", "", spki, "")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := SignSTH(key, h)
		if kind == loglist.Static {
			raw, err = SignCheckpoint(key, g.Origin(), h)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := VerifyHead(g, raw)
		if err != nil || got.Size != 7 || got.Root != h.Root || got.Timestamp != baseTime {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
	}
}

func TestBatchesAreSplitIntoBoundedDeliveries(t *testing.T) {
	l := &load{}
	var want uint64
	for i := range 600 {
		e := Entry{Index: uint64(i), Leaf: []byte{byte(i), byte(i >> 8)}}
		if i%100 == 0 {
			e.Extra = make([]byte, 3<<20)
		}
		l.Entries = append(l.Entries, e)
	}
	l.digest(0, nil)
	f := newFakeLog(t, loglist.RFC6962, 0)
	deliveries := 0
	tail := NewTailer(f.client(t), Cursor{}, &TailOptions{Deliver: nil})
	tail.opts.Deliver = deliverFunc(func(d *Delivery) {
		size := 0
		for i := range d.Entries {
			if d.Entries[i].Index != want {
				t.Errorf("entry %d, want %d", d.Entries[i].Index, want)
			}
			want++
			size += len(d.Entries[i].Leaf) + len(d.Entries[i].Extra)
		}
		if size > maxDeliveryBytes || d.Cursor.Size != want {
			t.Errorf("a delivery of %d bytes, cursor %d after %d", size, d.Cursor.Size, want)
		}
		deliveries++
	})
	if err := tail.restore(); err != nil {
		t.Fatal(err)
	}
	if err := tail.take(t.Context(), l, Head{Size: 1000}, false); err != nil || want != 600 || deliveries != 6 {
		t.Errorf("%d deliveries of %d entries, %v", deliveries, want, err)
	}
}

func TestATagMadeOfSecondsIsNotTrustedWithinThem(t *testing.T) {
	const now = "Wed, 25 Nov 2026 10:00:05 GMT"
	for name, row := range map[string]struct {
		h    http.Header
		want string
	}{
		"made of the content, by a server that tells no time": {http.Header{"Etag": {`"a"`}}, `"a"`},
		"of a file that has lain there":                       {http.Header{"Etag": {`"a"`}, "Date": {now}, "Last-Modified": {"Wed, 25 Nov 2026 10:00:03 GMT"}}, `"a"`},
		"of a file of this second":                            {http.Header{"Etag": {`"a"`}, "Date": {now}, "Last-Modified": {now}}, ""},
		"of a file of the second before":                      {http.Header{"Etag": {`"a"`}, "Date": {now}, "Last-Modified": {"Wed, 25 Nov 2026 10:00:04 GMT"}}, ""},
		"of a file from the future":                           {http.Header{"Etag": {`"a"`}, "Date": {now}, "Last-Modified": {"Wed, 25 Nov 2026 11:00:00 GMT"}}, ""},
		"of a file, by a server that does not say when it is": {http.Header{"Etag": {`"a"`}, "Last-Modified": {now}}, ""},
		"far too long": {http.Header{"Etag": {strings.Repeat("a", 201)}}, ""},
	} {
		if got := lastingTag(row.h); got != row.want {
			t.Errorf("a tag %s: %q, want %q", name, got, row.want)
		}
	}
}

func TestReadBoundedStopsAtTheLimit(t *testing.T) {
	for _, n := range []int{0, 1, 511, 512, 513, 1000, 1001} {
		b, err := readBounded(strings.NewReader(strings.Repeat("x", n)), 1000, n, nil)
		if len(b) != min(n, 1000) || (err != nil) != (n > 1000) {
			t.Errorf("%d bytes: %d, %v", n, len(b), err)
		}
	}
	pr, pw := io.Pipe()
	go func() { _, _ = pw.Write([]byte("part")); _ = pw.CloseWithError(io.ErrUnexpectedEOF) }()
	if b, err := readBounded(pr, 1000, 0, nil); string(b) != "part" || err == nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	b := backoff{first: time.Second, most: time.Minute}
	for i := range 100 {
		d, full := b.next(), min(time.Second<<min(i, 20), time.Minute)
		if d < full/2 || d > full {
			t.Errorf("wait %d is %v, want between %v and %v", i, d, full/2, full)
		}
	}
}

func TestAnUnchangedCheckpointIsNotSentAgain(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 10)
	c := f.client(t)
	unchanged := 0
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		tag := strconv.Quote(strconv.FormatUint(f.size, 10))
		if r.Header.Get("If-None-Match") == tag {
			unchanged++
			w.WriteHeader(http.StatusNotModified)
			return true
		}
		w.Header().Set("ETag", tag)
		return false
	}
	for _, size := range []int{10, 10, 12, 12, 12} {
		f.grow(size)
		h, err := c.Head(t.Context())
		if err != nil || h.Size != uint64(size) || h.Root != f.root(h.Size) {
			t.Fatalf("size %d, want %d: %v", h.Size, size, err)
		}
	}
	if unchanged != 3 {
		t.Errorf("%d answers without a body, want 3", unchanged)
	}
}
