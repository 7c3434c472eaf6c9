package faultproxy

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// tileOf is a data tile of n entries: certificates and precertificates in turn, each with its index in it.
func tileOf(n int) []byte {
	var b []byte
	vector := func(lengthBytes int, content []byte) {
		length := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
		b = append(append(b, length[4-lengthBytes:]...), content...)
	}
	for i := range n {
		b = binary.BigEndian.AppendUint64(b, uint64(1000+i))
		b = binary.BigEndian.AppendUint16(b, uint16(i%2))
		if i%2 == 1 {
			b = append(b, make([]byte, 32)...)
		}
		vector(3, fmt.Appendf(nil, "certificate %d", i))
		vector(2, nil)
		if i%2 == 1 {
			vector(3, fmt.Appendf(nil, "precertificate %d", i))
		}
		vector(2, make([]byte, 64))
	}
	return b
}

// pretend is a log as far as the proxy looks at it. The head counts up.
func pretend(t *testing.T) string {
	heads := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/ct/v1/get-sth", func(w http.ResponseWriter, r *http.Request) {
		heads++
		fmt.Fprintf(w, `{"tree_size":%d}`, heads)
	})
	mux.HandleFunc("/ct/v1/get-entries", func(w http.ResponseWriter, r *http.Request) {
		var page struct {
			Entries []entry `json:"entries"`
		}
		for i := range 10 {
			page.Entries = append(page.Entries, entry{fmt.Appendf(nil, "leaf %d", i), fmt.Appendf(nil, "extra %d", i)})
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	mux.HandleFunc("/tile/data/x001/003", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(tileOf(256)) })
	mux.HandleFunc("/tile/data/x001/004.p/5", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(tileOf(5)) })
	mux.HandleFunc("/tile/0/000", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 256*32)) })
	mux.HandleFunc("/issuer/00", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("an issuer")) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func start(t *testing.T, upstream string, seed uint64) *Proxy {
	t.Helper()
	p, err := Start(t.Context(), upstream, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// ask returns the status, header and body; brokenOff when no whole answer came.
func ask(t *testing.T, p *Proxy, path, encoding string) (status int, h http.Header, body []byte, brokenOff bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "log.example" // as clients do, whatever they dial
	req.Header.Set("Accept-Encoding", encoding)
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, nil, nil, true
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err != nil
}

const (
	entriesPath = "/ct/v1/get-entries?start=100&end=109"
	fullTile    = "/tile/data/x001/003"
	partialTile = "/tile/data/x001/004.p/5"
)

func TestEachFaultSpoilsWhatItSays(t *testing.T) {
	upstream := pretend(t)
	refused := func(want int, retry string) func(*testing.T, *Proxy, string) {
		return func(t *testing.T, p *Proxy, path string) {
			status, h, _, _ := ask(t, p, path, "identity")
			if status != want {
				t.Errorf("status %d, want %d", status, want)
			}
			switch got := h.Get("Retry-After"); {
			case retry == "a date":
				at, err := http.ParseTime(got)
				if wait := time.Until(at); err != nil || wait < 0 || wait > 3*time.Second {
					t.Errorf("Retry-After %q, want a date in a second or two", got)
				}
			case got != retry:
				t.Errorf("Retry-After %q, want %q", got, retry)
			}
		}
	}
	breaksOff := func(t *testing.T, p *Proxy, path string) {
		if _, _, _, brokenOff := ask(t, p, path, "identity"); !brokenOff {
			t.Error("the whole answer came")
		}
	}
	tile := func(leaves, differing int) func(*testing.T, *Proxy, string) {
		return func(t *testing.T, p *Proxy, path string) {
			_, _, body, _ := ask(t, p, path, "identity")
			got, ok := frame(body)
			if !ok || leaves >= 0 && len(got) != leaves || leaves < 0 && len(got) >= 256 {
				t.Fatalf("%d leaves (readable: %v), want %d", len(got), ok, leaves)
			}
			for i, l := range got {
				if wrong := string(l.certificate) != fmt.Sprintf("certificate %d", i); wrong != (i == differing) {
					t.Errorf("leaf %d is %q", i, l.certificate)
				}
			}
		}
	}
	for _, row := range []struct {
		name  string
		fault Fault
		path  string
		check func(*testing.T, *Proxy, string)
	}{
		{"no answer", Fault{Kind: HangUp}, entriesPath, breaksOff},
		{"half an answer", Fault{Kind: Cut}, fullTile, breaksOff},
		{"an answer in drops is the same answer", Fault{Kind: Drip}, fullTile, tile(256, -1)},
		{"429 that does not say when to come again", Fault{Kind: TooMany}, entriesPath, refused(429, "")},
		{"429 with seconds", Fault{Kind: TooManySeconds}, entriesPath, refused(429, "1")},
		{"429 with a date", Fault{Kind: TooManyDate}, entriesPath, refused(429, "a date")},
		{"a partial tile that is gone", Fault{Kind: PartialGone}, partialTile, refused(404, "")},
		{"a full tile that is missing", Fault{Kind: Missing}, fullTile, refused(404, "")},
		{"a full tile of fewer entries", Fault{Kind: ShortTile}, fullTile, tile(-1, -1)},
		{"a partial tile is none that could be short", Fault{Kind: ShortTile}, partialTile, tile(5, -1)},
		{"a damaged leaf of a tile", Fault{Kind: Flip, Index: 1003*256 + 7}, fullTile, tile(256, 7)},
		{"no other tile is damaged", Fault{Kind: Flip, Index: 1003*256 + 7}, partialTile, tile(5, -1)},
		{"a damaged leaf of get-entries", Fault{Kind: Flip, Index: 103}, entriesPath, func(t *testing.T, p *Proxy, path string) {
			_, _, body, _ := ask(t, p, path, "identity")
			var page struct{ Entries []entry }
			if err := json.Unmarshal(body, &page); err != nil || len(page.Entries) != 10 {
				t.Fatalf("%d entries, %v", len(page.Entries), err)
			}
			for i, e := range page.Entries {
				if wrong := string(e.Leaf) != fmt.Sprintf("leaf %d", i); wrong != (i == 3) {
					t.Errorf("entry %d is %q", i, e.Leaf)
				}
			}
		}},
		{"fewer entries than asked for", Fault{Kind: Short}, entriesPath, func(t *testing.T, p *Proxy, path string) {
			_, _, body, _ := ask(t, p, path, "identity")
			var page struct{ Entries []entry }
			if err := json.Unmarshal(body, &page); err != nil || len(page.Entries) == 0 || len(page.Entries) > 9 {
				t.Errorf("%d entries, %v, want 1 to 9", len(page.Entries), err)
			}
		}},
		{"a damaged compressed body", Fault{Kind: BadGzip}, fullTile, func(t *testing.T, p *Proxy, path string) {
			_, h, body, _ := ask(t, p, path, "gzip")
			a := answer{header: h, body: body}
			if h.Get("Content-Encoding") != "gzip" || a.plainly(func(b []byte) ([]byte, bool) { return b, true }) {
				t.Error("the body can be decompressed")
			}
		}},
		{"who takes no compression gets none", Fault{Kind: BadGzip}, fullTile, tile(256, -1)},
		{"another file for an issuer", Fault{Kind: WrongIssuer}, "/issuer/00", func(t *testing.T, p *Proxy, path string) {
			if _, _, body, _ := ask(t, p, path, "identity"); string(body) == "an issuer" || len(body) != 9 {
				t.Errorf("the issuer is %q", body)
			}
		}},
		{"an HTML page with status 200", Fault{Kind: HTML}, entriesPath, func(t *testing.T, p *Proxy, path string) {
			if status, _, body, _ := ask(t, p, path, "identity"); status != 200 || !bytes.HasPrefix(body, []byte("<!DOCTYPE")) {
				t.Errorf("status %d, body %q", status, body)
			}
		}},
		{"an error of the server", Fault{Kind: ServerError}, entriesPath, func(t *testing.T, p *Proxy, path string) {
			if status, _, _, _ := ask(t, p, path, "identity"); !slices.Contains([]int{500, 502, 503, 504}, status) {
				t.Errorf("status %d", status)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := start(t, upstream, 1)
			p.Set(row.fault)
			row.check(t, p, row.path)
		})
	}
}

func TestStaleHeadsAreHeadsThatTheLogGaveBefore(t *testing.T) {
	p := start(t, pretend(t), 1)
	for range 5 {
		ask(t, p, "/ct/v1/get-sth", "identity")
	}
	p.Set(Fault{Kind: Stale})
	for now := 6; now < 20; now++ {
		_, _, body, _ := ask(t, p, "/ct/v1/get-sth", "identity")
		var size int
		if _, err := fmt.Sscanf(string(body), `{"tree_size":%d}`, &size); err != nil || size < 1 || size >= now {
			t.Errorf("head %s where the log gave %d", body, now)
		}
	}
	p.Set()
	if _, _, body, _ := ask(t, p, "/ct/v1/get-sth", "identity"); string(body) != `{"tree_size":20}` {
		t.Errorf("without faults the head is %s", body)
	}
}

func TestSameSeedSpoilsTheSameRequestsInAnyOrder(t *testing.T) {
	upstream := pretend(t)
	run := func(seed uint64, paths []string) string {
		p := start(t, upstream, seed)
		p.Set(Fault{Kind: TooMany, Share: 0.5})
		got := map[string]string{}
		for range 16 {
			for _, path := range paths {
				status, _, _, _ := ask(t, p, path, "identity")
				got[path] += fmt.Sprint(status, " ")
			}
		}
		var all []string
		for _, path := range slices.Sorted(slices.Values(paths)) {
			all = append(all, got[path])
		}
		return strings.Join(all, "\n")
	}
	a := run(7, []string{"/tile/0/000", fullTile})
	if b := run(7, []string{fullTile, "/tile/0/000"}); a != b {
		t.Errorf("the same seed gave\n%s\nand in another order\n%s", a, b)
	}
	if b := run(8, []string{"/tile/0/000", fullTile}); a == b {
		t.Errorf("two seeds both gave\n%s", a)
	}
	if !strings.Contains(a, "429") || !strings.Contains(a, "200") {
		t.Errorf("half of the answers should be refusals:\n%s", a)
	}
}

func TestFaultWithTimesLetsEachAddressThroughAfterThem(t *testing.T) {
	p := start(t, pretend(t), 1)
	p.Set(Fault{Kind: ServerError, Times: 2})
	for _, path := range []string{fullTile, entriesPath} {
		for i, bad := range []bool{true, true, false, false} {
			if status, _, _, _ := ask(t, p, path, "identity"); (status != 200) != bad {
				t.Errorf("%s, request %d: status %d", path, i, status)
			}
		}
	}
	if p.Spoiled(ServerError) != 4 || p.Asked() != 8 {
		t.Errorf("%d of %d requests spoiled, want 4 of 8", p.Spoiled(ServerError), p.Asked())
	}
}
