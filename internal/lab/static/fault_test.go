package static

import (
	"bytes"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

func TestFaults(t *testing.T) {
	w := start(t, nil)
	w.fill(300)
	_, good, _, err := w.checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	status := func(path string) int { st, _, _ := w.get(path); return st }
	one := uint64(1)
	for _, row := range []struct {
		name  string
		f     fault.Faults
		check func() bool
	}{
		{"wrong root verifies and is another", fault.Faults{WrongRoot: true}, func() bool {
			_, root, _, err := w.checkpoint()
			return err == nil && !bytes.Equal(root, good)
		}},
		{"bad signature does not verify", fault.Faults{BadSignature: true}, func() bool { _, _, _, err := w.checkpoint(); return err != nil }},
		{"a missing tile is 404, others are not", fault.Faults{MissingTile: "tile/data/000"}, func() bool {
			return status("/tile/data/000") == 404 && status("/tile/0/000") == 200
		}},
		{"partial tiles go when the full one exists", fault.Faults{PartialsGone: true}, func() bool {
			return status("/tile/0/000.p/44") == 404 && status("/tile/data/000.p/44") == 404 && status("/tile/0/001.p/44") == 200
		}},
		{"one entry is not what was hashed", fault.Faults{AlterEntry: &one}, func() bool {
			_, _, tile := w.get("/tile/data/000")
			leaves, hashes := readTile(t, tile), w.level(0, 256)
			return bytes.Equal(rfc6962.DefaultHasher.HashLeaf(leaves[0].hashed), hashes[0]) && !bytes.Equal(rfc6962.DefaultHasher.HashLeaf(leaves[1].hashed), hashes[1])
		}},
		{"endless tile", fault.Faults{Endless: 3 << 20}, func() bool { _, _, b := w.get("/tile/data/000"); return len(b) == 3<<20 }},
		{"a bomb is small on the wire", fault.Faults{Bomb: 8 << 20}, func() bool { _, _, b := w.get("/tile/data/000"); return len(b) < 1<<20 }},
		{"endless checkpoint", fault.Faults{EndlessHead: 3 << 20}, func() bool { _, _, b := w.get("/checkpoint"); return len(b) > 3<<20 }},
		{"down is 503", fault.Faults{Down: true}, func() bool { return status("/checkpoint") == 503 }},
		{"repaired", fault.Faults{}, func() bool { _, root, _, err := w.checkpoint(); return err == nil && bytes.Equal(root, good) }},
	} {
		w.log.Faults.Set(row.f)
		if !row.check() {
			t.Error(row.name)
		}
	}
}
