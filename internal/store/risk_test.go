package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func fileOne(t *testing.T, s *Store, n int) {
	t.Helper()
	mustCommit(t, s, Commit{LogID: hash(1), Cursor: []byte(`{}`), Filings: []Filing{{Issuance: Issuance{ID: hash(n), Cert: bytes.Repeat([]byte{1}, 1000)}}}})
}

func TestWhatHappensToTheFileOfARunningStoreIsSaidAndLosesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows lets nobody move a file that is open")
	}
	notes := []byte("my notes")
	for _, tc := range []struct {
		name, says, hint string
		do               func(t *testing.T, state, aside string) // returns it to its place with undo
		undo             func(t *testing.T, state, aside string)
		kept             string // where the file is afterwards, when nobody undoes it
	}{
		{"another file is put in its place", "replaced or removed", "put the old file back",
			func(t *testing.T, state, aside string) { move(t, state, aside); write(t, state, notes) },
			func(t *testing.T, state, aside string) { move(t, aside, state) }, "aside"},
		{"it is moved away", "replaced or removed", "put the old file back",
			func(t *testing.T, state, aside string) { move(t, state, aside) },
			func(t *testing.T, state, aside string) { move(t, aside, state) }, "aside"},
		{"it is made read-only", "was made read-only", "make it writable",
			func(t *testing.T, state, _ string) { chmod(t, state, 0o400) },
			func(t *testing.T, state, _ string) { chmod(t, state, 0o600) }, ""},
		{"its write-ahead log is removed", "state.db-wal was removed", "leave the files beside the state alone",
			func(t *testing.T, state, _ string) { remove(t, state+"-wal") }, nil, ""},
		{"its lock is removed", "a second tocsin would not be refused", "leave the files beside the state alone",
			func(t *testing.T, state, _ string) { remove(t, state+".lock") }, nil, ""},
	} {
		for _, undone := range []bool{true, false} {
			if undone && tc.undo == nil {
				continue
			}
			name := tc.name
			if undone {
				name += ", and that is undone"
			}
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				state, aside := filepath.Join(dir, "state.db"), filepath.Join(dir, "aside")
				s, err := Open(state, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				fileOne(t, s, 1)
				if err := s.Alive(t.Context(), time.Now()); err != nil || s.Moved() {
					t.Fatalf("before: %v", err)
				}
				tc.do(t, state, aside)
				fileOne(t, s, 2) // it goes on
				var risk *RiskError
				if err := s.Alive(t.Context(), time.Now()); !errors.As(err, &risk) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(risk.Hint(), tc.hint) || !s.Moved() {
					t.Fatalf("it says %v", err)
				}
				fileOne(t, s, 3)
				if n, err := s.Counts(t.Context()); err != nil || n.Issuances != 3 {
					t.Errorf("it reads %+v, %v", n, err)
				}
				if undone {
					tc.undo(t, state, aside)
					if err := s.Alive(t.Context(), time.Now()); err != nil || s.Moved() {
						t.Errorf("when that was undone it says %v", err)
					}
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if !undone && tc.kept != "" {
					if b, err := os.ReadFile(state); err == nil && !bytes.Equal(b, notes) {
						t.Error("the other file was changed")
					}
					if info, err := os.Stat(state + "-wal"); err == nil && info.Size() > 0 {
						t.Error("a write-ahead log of the old file is left beside the new one")
					}
					move(t, aside, state)
				}
				chmod(t, state, 0o600)
				if s, err = Open(state, nil); err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if n, err := s.Counts(t.Context()); err != nil || n.Issuances != 3 {
					t.Errorf("after a start: %+v, %v", n, err)
				}
			})
		}
	}
}

func TestNoConnectionIsOpenedToAnotherFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows lets nobody move a file that is open")
	}
	dir := t.TempDir()
	state, other := filepath.Join(dir, "state.db"), filepath.Join(dir, "other.db")
	o, err := Open(other, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Close()
	s, err := Open(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fileOne(t, s, 1)
	move(t, other, state)
	if n, err := s.Counts(t.Context()); err != nil || n.Issuances != 1 {
		t.Errorf("those that are open read %+v, %v", n, err)
	}
	s.r.SetMaxIdleConns(0) // as if they were lost
	var risk *RiskError
	if n, err := s.Counts(t.Context()); !errors.As(err, &risk) {
		t.Errorf("a new one reads %+v, %v", n, err)
	}
}

func TestDamageThatAnybodyMetIsSaidUntilItIsGone(t *testing.T) {
	for _, met := range []bool{true, false} {
		name := "found by the look once an hour"
		if met {
			name = "met by a reader"
		}
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state.db")
			s, err := Open(state, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 300 {
				fileOne(t, s, i+1)
			}
			s.Close() // all is in the file, and nothing in memory
			if s, err = Open(state, nil); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			now := time.Now()
			if err := s.Alive(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			whole, err := os.ReadFile(state)
			if err != nil {
				t.Fatal(err)
			}
			damaged := bytes.Clone(whole)
			for at := 4096; at < len(damaged); at += 4096 {
				if page := damaged[at:min(at+4096, len(damaged))]; bytes.Contains(page, bytes.Repeat([]byte{1}, 900)) {
					copy(page, bytes.Repeat([]byte{0xff}, 64))
				}
			}
			over(t, state, damaged)
			if met {
				for i := range 300 {
					if _, err = s.Find(t.Context(), fmt.Sprintf("%x", hash(i+1))); err != nil {
						break
					}
				}
				var bad *CorruptError
				if !errors.As(err, &bad) {
					t.Fatalf("a reader met %v", err)
				}
			} else {
				now = now.Add(2 * recheckEvery)
			}
			var bad *CorruptError
			for range 2 {
				if err := s.Alive(t.Context(), now); !errors.As(err, &bad) {
					t.Fatalf("it says %v", err)
				}
			}
			over(t, state, whole)
			s.r.SetMaxIdleConns(0) // what they hold in memory is the damage
			if err := s.Alive(t.Context(), now); err != nil {
				t.Errorf("when the file is whole again it says %v", err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, from, to string)             { t.Helper(); must(t, os.Rename(from, to)) }
func remove(t *testing.T, name string)               { t.Helper(); must(t, os.Remove(name)) }
func chmod(t *testing.T, name string, m os.FileMode) { t.Helper(); must(t, os.Chmod(name, m)) }
func write(t *testing.T, name string, b []byte)      { t.Helper(); must(t, os.WriteFile(name, b, 0o600)) }

// over writes over what is there.
func over(t *testing.T, name string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(b, 0)
	must(t, errors.Join(err, f.Close()))
}
