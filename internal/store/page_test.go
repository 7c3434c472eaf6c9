package store

import (
	"path/filepath"
	"testing"
	"time"
)

func TestTheLedgerIsReadInPages(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "s.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const all = 7
	for i := range all {
		is := Issuance{ID: [32]byte{byte(i + 1)}, Cert: []byte{byte(i)}, FirstSeen: time.UnixMilli(int64(i + 1)), Chain: [][]byte{{0xca, byte(i)}}}
		if err := s.Commit(t.Context(), Commit{Filings: []Filing{{Issuance: is}}}); err != nil {
			t.Fatal(err)
		}
	}
	seen, pages := 0, 0
	for at := int64(0); ; pages++ {
		list, next, err := s.Page(t.Context(), at, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			if next != at {
				t.Errorf("the end lies at %d, not at %d", next, at)
			}
			break
		}
		for _, is := range list {
			if is.ID[0] != byte(seen+1) || len(is.Chain) != 1 || is.Chain[0][1] != byte(seen) {
				t.Errorf("issuance %d is %x with chain %x", seen, is.ID[:1], is.Chain)
			}
			seen++
		}
		at = next
	}
	if seen != all || pages != 3 {
		t.Errorf("%d issuances in %d pages", seen, pages)
	}
}
