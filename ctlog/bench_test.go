package ctlog

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/tocsin-ct/tocsin/loglist"
)

// The bars on one core of a 2-core machine: reading and hashing must stay far above what all logs together grow by
// (about 1,500 entries a second, with bursts of three times that).

// BenchmarkTile reads a full data tile of a real log, hashes its leaves and adds them to the tree. Bar: 250,000
// entries/s (1 ms per tile), at most 1.5 allocations per entry (one is the interior hash).
func BenchmarkTile(b *testing.B) {
	data := sharedFile(b, "ct-captures/navigli2025h2/tile/data/001")
	tile := make([]byte, len(data))
	var batch Batch
	l := &load{}
	t := benchTailer(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		copy(tile, data) // reading changes the tile
		if err := ReadDataTile(tile, 256, &batch); err != nil {
			b.Fatal(err)
		}
		benchHash(b, t, l, &batch)
	}
	b.ReportMetric(float64(b.N)*TileWidth/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkPage scans a get-entries page of real entries, decodes both fields, hashes the leaves and adds them to the
// tree. Bar: 100,000 entries/s, at most 1.5 allocations per entry.
func BenchmarkPage(b *testing.B) {
	entries, page := liveEntries(b)
	var batch Batch
	l := &load{}
	t := benchTailer(b)
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		if err := ReadEntriesPage(page, 0, &batch); err != nil {
			b.Fatal(err)
		}
		benchHash(b, t, l, &batch)
	}
	b.ReportMetric(float64(b.N)*float64(len(entries))/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkTail reads a static log of 65,536 entries of 1 KB through everything but the network. Bar: 100,000
// entries/s.
func BenchmarkTail(b *testing.B) {
	f := newFakeLog(b, loglist.Static, 0)
	pad := string(bytes.Repeat([]byte("x"), 1000))
	const size = 1 << 16
	f.growSalted(size, pad)
	tiles := map[string][]byte{}
	for i := range size / TileWidth {
		path := TilePath(DataTile, uint64(i), 0)
		tiles[path] = f.answerStatic(path)
	}
	h := &tileServer{f, tiles}
	for b.Loop() {
		c, err := NewClient(f.log, &Options{Transport: &handlerTransport{h}})
		if err != nil {
			b.Fatal(err)
		}
		t := NewTailer(c, Cursor{}, &TailOptions{Once: true, From: Start{Zero: true}, Deliver: deliverFunc(func(*Delivery) {})})
		if err := t.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*size/b.Elapsed().Seconds(), "entries/s")
}

func benchTailer(b *testing.B) *Tailer {
	t := NewTailer(newFakeLog(b, loglist.RFC6962, 0).client(b), Cursor{}, &TailOptions{})
	if err := t.restore(); err != nil {
		b.Fatal(err)
	}
	return t
}

func benchHash(b *testing.B, t *Tailer, l *load, batch *Batch) {
	l.Batch = *batch
	l.digest(t.tree.End(), nil)
	for i := range l.parts {
		if err := l.parts[i].join(t.tree); err != nil {
			b.Fatal(fmt.Errorf("adding leaves: %w", err))
		}
	}
}
