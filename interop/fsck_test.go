package interop_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// TestFsckIsOfOurOpinion holds what our tailer makes of the folder of a real log, healthy and damaged, against the
// checker of its makers: the fsck of Tessera, which TesseraCT's own is made of (look runs it).
func TestFsckIsOfOurOpinion(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	first := startTesseraCT(t, root, nil)
	fill(t, first, issuer, 600)
	folder := filepath.Join(t.TempDir(), "copy")
	if err := first.Copy(folder); err != nil {
		t.Fatal(err)
	}
	tile := func(change func(t *testing.T, file string)) func(*testing.T, *reallogs.Log) {
		return func(t *testing.T, l *reallogs.Log) { change(t, filepath.Join(l.Folder(), "tile", "data", "001")) }
	}
	edit := func(change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, file string) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, file, change(content))
		}
	}
	for _, row := range []struct {
		name   string
		damage func(*testing.T, *reallogs.Log)
		// told are the accusations that are due at once.
		told []ctlog.FaultKind
		well bool
	}{
		{name: "a healthy log", damage: func(*testing.T, *reallogs.Log) {}, well: true},
		{name: "one bit of a certificate", told: []ctlog.FaultKind{ctlog.WrongRoot},
			damage: tile(edit(func(b []byte) []byte { b[100] ^= 1; return b }))},
		{name: "two entries in each other's place", told: []ctlog.FaultKind{ctlog.WrongRoot}, damage: tile(edit(swapFirstTwo))},
		{name: "a tile that is gone", damage: tile(func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		})},
		{name: "a full tile that breaks off", damage: tile(edit(func(b []byte) []byte { return b[:len(b)/2] }))},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := startTesseraCT(t, root, &reallogs.Options{Key: first.Key, From: folder})
			row.damage(t, l)
			v, theirs := fsckSays(t, l, row.well)
			r := newReader(t, l)
			r.attempts = 1
			ours := r.readAgain()
			t.Logf("fsck: %v; we: %v", theirs, ours)
			if (theirs == nil) != row.well || (ours == nil) != row.well {
				t.Fatalf("fsck says %v, we say %v, and the log is well: %v", theirs, ours, row.well)
			}
			if row.well {
				if v.size != 600 {
					t.Errorf("fsck counts %d entries, want 600", v.size)
				}
				r.check(v, 0) // the same root, and entry by entry the same leaves
				return
			}
			if !errors.Is(ours, ctlog.ErrBlind) {
				t.Errorf("the error %v does not say that the log is not verified", ours)
			}
			told := r.accused()
			if len(told) != len(row.told) || len(told) > 0 && told[0] != row.told[0] {
				t.Errorf("told %v, want %v", told, row.told)
			}
			if r.verified() != 0 {
				t.Errorf("%d entries count as verified", r.verified())
			}
		})
	}
}

// fsckSays is what Tessera's fsck makes of the log. When it finds a tile that does not hash to what stands above it, the
// fsck of Tessera v1.0.4 waits for ever for the worker that found it and ended: then it does not say that all is well.
func fsckSays(t *testing.T, l *reallogs.Log, well bool) (v view, err error) {
	t.Helper()
	type opinion struct {
		view
		error
	}
	patience := 5 * time.Second
	if well {
		patience = time.Minute
	}
	said := make(chan opinion, 1)
	go func() {
		v, err := lookStatic(t.Context(), l)
		said <- opinion{v, err}
	}()
	select {
	case o := <-said:
		return o.view, o.error
	case <-time.After(patience):
		return view{}, errors.New("fsck came to no end")
	}
}

// swapFirstTwo exchanges the first two entries of a data tile.
func swapFirstTwo(tile []byte) []byte {
	leaves := tileEnds(tile)
	a, b := tile[:leaves[0]], tile[leaves[0]:leaves[1]]
	return bytes.Join([][]byte{b, a, tile[leaves[1]:]}, nil)
}

// tileEnds is where each entry of a data tile ends, by the reader of certificate-transparency-go.
func tileEnds(tile []byte) []int {
	var ends []int
	for n := 1; n <= len(tile); n++ {
		// The shortest beginning that is a tile by itself ends with an entry.
		at := 0
		if len(ends) > 0 {
			at = ends[len(ends)-1]
		}
		if leaves, err := readTile(tile[at:n]); err == nil && len(leaves) == 1 {
			if ends = append(ends, n); len(ends) == 2 {
				return ends
			}
		}
	}
	return ends
}
