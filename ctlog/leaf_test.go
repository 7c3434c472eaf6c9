package ctlog

import "testing"

// The hot path allocates nothing but the interior hashes, which the tree keeps: no more than one for each entry.
func TestReadingAndHashingDoNotAllocatePerEntry(t *testing.T) {
	var tile []byte
	page := []byte(`{"entries":[`)
	for i := range TileWidth {
		e := Entry{Timestamp: baseTime, Precert: true, Cert: make([]byte, 1000), PreCert: make([]byte, 100), Fingerprints: make([][32]byte, 2)}
		var err error
		if tile, err = AppendTileLeaf(tile, &e); err != nil {
			t.Fatal(err)
		}
		leaf, err := AppendMerkleTreeLeaf(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			page = append(page, ',')
		}
		page = append(page, mustJSON(map[string]any{"leaf_input": leaf, "extra_data": e.PreCert})...)
	}
	page = append(page, "]}"...)
	var batch Batch
	var hasher leafHasher
	for name, read := range map[string]func() error{
		"tile": func() error { return ReadDataTile(append([]byte(nil), tile...), 0, &batch) },
		"page": func() error { return ReadEntriesPage(page, 0, &batch) },
	} {
		n := testing.AllocsPerRun(10, func() {
			if err := read(); err != nil || len(batch.Entries) != TileWidth {
				t.Fatal(len(batch.Entries), err)
			}
			for i := range batch.Entries {
				hasher.sum(batch.Entries[i].Leaf)
			}
		})
		if n > 16 {
			t.Errorf("%s: %.0f allocations for %d entries", name, n, TileWidth)
		}
	}
}
