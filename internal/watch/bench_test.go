package watch

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/tocsin-ct/tocsin/cert"
)

// million is a list of a million items, half names and half networks.
func million() []Watch {
	list := make([]Item, 0, 1_000_000)
	for i := range 500_000 {
		list = append(list, Item{Name: fmt.Sprintf("www.customer-%d.example%d.com", i, i%1000), Exact: i%2 == 0})
		a := netip.AddrFrom4([4]byte{byte(11 + i>>16), byte(i >> 8), byte(i), 0})
		list = append(list, Item{Prefix: netip.PrefixFrom(a, 24)})
	}
	return []Watch{{Name: "bulk", Items: list}}
}

// ordinary is a certificate of the common kind: a name with and without www, the first one also as CN.
var ordinary = []cert.Ident{ident("shop.example.net"), ident("shop.example.net"), ident("www.shop.example.net")}

// Limit: 150 ns and no allocation for an ordinary certificate (one core).
func BenchmarkTouchesFewItems(b *testing.B) {
	m := New([]Watch{{Items: items(b, "example.com =www.example.org a.b.example.net 192.0.2.0/24 2001:db8::/32")}})
	b.ReportAllocs()
	for b.Loop() {
		m.Touches(ordinary)
	}
}

// Limit: 500 ns and no allocation: the list does not fit into the caches.
func BenchmarkTouchesMillionItems(b *testing.B) {
	m := New(million())
	var ids [1024][]cert.Ident
	for i := range ids {
		ids[i] = []cert.Ident{ident(fmt.Sprintf("www.shop%d.example%d.com", i, i)), ident(fmt.Sprintf("*.shop%d.example%d.com", i, i)), ident(fmt.Sprintf("9.%d.2.1", i%256))}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Touches(ids[i%len(ids)])
	}
}

// Limit: 2 s and 200 MB for a million items, beside the items themselves.
func BenchmarkBuildMillionItems(b *testing.B) {
	w := million()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var m *Matcher
	for b.Loop() {
		m = New(w)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/1e6, "MB")
	runtime.KeepAlive(m)
}

// Limit: 30 MB/s.
func BenchmarkTouchesRaw(b *testing.B) {
	m := New(million())
	text := make([]byte, 0, 1<<20)
	for len(text) < 1<<20-64 {
		text = append(text, "\x30\x0f\x82\x0dwww.other.org\x87\x04\x01\x02\x03\x04\x06\x03*\x86\x48\xff\xee\xdd"...)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if m.TouchesRaw(text) {
			b.Fatal("touches")
		}
	}
}
