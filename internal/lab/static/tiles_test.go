package static

import (
	"net/http"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

// D16: the URL of a full tile answers early, and with too little.
func TestShortTiles(t *testing.T) {
	w := start(t, nil)
	w.fill(100)
	size := func(path string, noCache bool) int {
		r, err := http.NewRequest(http.MethodGet, w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if noCache {
			r.Header.Set("Cache-Control", "no-cache")
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return -resp.StatusCode
		}
		n := 0
		for b := make([]byte, 1<<16); err == nil; {
			var k int
			k, err = resp.Body.Read(b)
			n += k
		}
		return n / 32
	}
	for _, row := range []struct {
		name    string
		f       fault.Faults
		path    string
		noCache bool
		want    int
	}{
		{"a full tile that is not there yet", fault.Faults{}, "/tile/0/000", false, -404},
		{"early, with 24 of 256 hashes", fault.Faults{ShortTile: 24}, "/tile/0/000", false, 24},
		{"partial tiles are as they should be", fault.Faults{ShortTile: 24}, "/tile/0/000.p/100", false, 100},
		{"also past caches", fault.Faults{ShortTile: 24}, "/tile/0/000", true, 24},
		{"only from a cache", fault.Faults{ShortCached: 24}, "/tile/0/000", false, 24},
		{"and not past it", fault.Faults{ShortCached: 24}, "/tile/0/000", true, -404},
	} {
		w.log.Faults.Set(row.f)
		if got := size(row.path, row.noCache); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
}

// D14: an unchanged checkpoint need not be sent again.
func TestTheCheckpointIsConditional(t *testing.T) {
	w := start(t, nil)
	w.fill(3)
	resp, err := http.Get(w.url + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	again := func() int {
		r, err := http.NewRequest(http.MethodGet, w.url+"/checkpoint", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-None-Match", resp.Header.Get("ETag"))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := again(); got != http.StatusNotModified {
		t.Errorf("unchanged: %d", got)
	}
	w.fill(4)
	if got := again(); got != http.StatusOK {
		t.Errorf("grown: %d", got)
	}
}
