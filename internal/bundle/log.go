package bundle

import (
	"encoding/json"
	"errors"

	"github.com/tocsin-ct/tocsin/ctlog"
)

// page reads a get-entries answer (RFC 6962 section 4.6), or an array of such entries, which may carry their index as
// "cert_index" or "leaf_index".
func page(b []byte) ([]Item, error) {
	type entry struct {
		LeafInput []byte  `json:"leaf_input"`
		ExtraData []byte  `json:"extra_data"`
		CertIndex *uint64 `json:"cert_index"`
		LeafIndex *uint64 `json:"leaf_index"`
	}
	var entries []entry
	if b[0] == '[' {
		if err := json.Unmarshal(b, &entries); err != nil {
			return nil, err
		}
	} else {
		var answer struct {
			Entries []entry `json:"entries"`
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			return nil, err
		}
		entries = answer.Entries
	}
	if len(entries) == 0 {
		return nil, errors.New("no entries in it")
	}
	items := make([]Item, len(entries))
	for i, e := range entries {
		if len(e.LeafInput) == 0 {
			return nil, errors.New("an entry without leaf_input")
		}
		le := &ctlog.Entry{Index: uint64(i), Extra: e.ExtraData}
		switch {
		case e.CertIndex != nil:
			le.Index = *e.CertIndex
		case e.LeafIndex != nil:
			le.Index = *e.LeafIndex
		}
		ctlog.ReadMerkleTreeLeaf(le, e.LeafInput)
		items[i] = Item{Entry: le, Problem: le.Problem}
	}
	return items, nil
}

// tile reads a data tile of static-ct-api, full or partial. ok is false when the bytes are none.
func tile(b []byte) (entries []ctlog.Entry, ok bool) {
	const width = 256
	for len(b) > 0 && len(entries) < width {
		e := ctlog.Entry{Index: uint64(len(entries))}
		rest, err := ctlog.ReadTileLeaf(&e, b)
		if err != nil {
			return nil, false
		}
		b = rest
		entries = append(entries, e)
	}
	return entries, len(b) == 0 && len(entries) > 0
}
