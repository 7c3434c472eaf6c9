package store

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestOpenLeavesAloneWhatIsNotOurs(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "other.db")
	db, err := sql.Open("sqlite", foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE t (x)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	foreignBytes, _ := os.ReadFile(foreign)

	ours := filepath.Join(t.TempDir(), "ours.db")
	s, err := Open(ours, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		mustCommit(t, s, Commit{LogID: hash(1), Cursor: []byte(`{}`), Filings: []Filing{{Issuance: Issuance{ID: hash(i + 1), Cert: bytes.Repeat([]byte{1}, 1000)}}}})
	}
	if _, err := s.w.Exec("INSERT INTO schema_versions (version_id, is_applied) VALUES (99, 1)"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	newer, _ := os.ReadFile(ours)
	damaged := bytes.Clone(newer)
	for i := 4096; i < len(damaged); i += 4096 {
		copy(damaged[i:], bytes.Repeat([]byte{0xff}, 64))
	}

	var (
		isForeign *ForeignError
		isCorrupt *CorruptError
		isSchema  *SchemaError
	)
	for _, row := range []struct {
		name    string
		content []byte
		want    any
	}{
		{"a text file", []byte("watch:\n  - name: x\n"), &isForeign},
		{"a text file longer than a header", bytes.Repeat([]byte("watch\n"), 100), &isForeign},
		{"a database of another program", foreignBytes, &isForeign},
		{"a file cut short", newer[:60], &isForeign},
		{"a damaged file", damaged, &isCorrupt},
		{"a file that lost its end", newer[:len(newer)/2], &isCorrupt},
		{"a file of a newer schema", newer, &isSchema},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(path, row.content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, nil)
			if err == nil {
				s.Close()
			}
			if !errors.As(err, row.want) {
				t.Fatalf("Open = %v", err)
			}
			if h, ok := err.(interface{ Hint() string }); !ok || h.Hint() == "" {
				t.Error("no hint")
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, row.content) {
				t.Error("the file was changed")
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		if _, err := Open(t.TempDir(), nil); !errors.As(err, &isForeign) {
			t.Fatalf("Open = %v", err)
		}
	})
	t.Run("a missing file for a reader", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "none.db")
		if _, err := OpenReadOnly(path, nil); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("OpenReadOnly = %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("a reader created the file")
		}
	})
	t.Run("an older schema for a reader", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := mark(path); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenReadOnly(path, nil); !errors.As(err, &isSchema) {
			t.Fatalf("OpenReadOnly = %v", err)
		}
		s, err := Open(path, nil)
		if err != nil {
			t.Fatalf("a crash between mark and migration: %v", err)
		}
		s.Close()
	})
}

func TestStateIsReadableByItsOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes of files mean nothing on windows")
	}
	path := filepath.Join(t.TempDir(), "new", "folder", "state #1 50%?.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustCommit(t, s, Commit{LogID: hash(1), Cursor: []byte(`{}`), Size: 1})
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if m := info.Mode().Perm(); m != 0o600 {
			t.Errorf("mode of state%s is %o", suffix, m)
		}
	}
	if info, _ := os.Stat(filepath.Dir(path)); info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the new folder is %o", info.Mode().Perm())
	}
	s.Close()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err = Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("a file that others may read stays so: %o", info.Mode().Perm())
	}
}

func TestSecondWriterIsRefusedWithThePidOfTheFirst(t *testing.T) {
	s := open(t)
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(s.Path(), link); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{s.Path(), link} {
		_, err := Open(path, nil)
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != os.Getpid() {
			t.Fatalf("Open(%s) = %v", path, err)
		}
	}
	ro, err := OpenReadOnly(link, nil)
	if err != nil {
		t.Fatalf("reading beside the daemon: %v", err)
	}
	ro.Close()
	s.Close()
	again, err := Open(s.Path(), nil)
	if err != nil {
		t.Fatalf("after the first has closed: %v", err)
	}
	again.Close()
}

func TestAFolderThatCannotBeWrittenCanBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, Commit{LogID: hash(1), LogName: "a", Cursor: []byte("{}"), Size: 5})
	s.Close()
	dir := filepath.Dir(path)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	ro, err := OpenReadOnly(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	if l, ok, err := ro.LoadLog(t.Context(), hash(1)); err != nil || !ok || l.Size != 5 {
		t.Errorf("%+v, %v, %v", l, ok, err)
	}
}

// Whoever is killed while he writes the mark leaves a file that looks marked, and a journal that takes the mark back.
func TestOneWhoDiedWhileCreatingTheStateLeavesOneThatCanBeOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := prepareFile(path); err != nil {
		t.Fatal(err)
	}
	if err := mark(path); err != nil {
		t.Fatal(err)
	}
	// The header of a rollback journal (sqlite.org/fileformat2.html section 3) of a database of no page.
	journal := make([]byte, 512)
	copy(journal, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7")
	binary.BigEndian.PutUint32(journal[20:], 512)  // sector size
	binary.BigEndian.PutUint32(journal[24:], 4096) // page size
	if err := os.WriteFile(path+"-journal", journal, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is a state like any other
		s, err := Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := inspect(path); err != nil {
			t.Fatal(err)
		}
	}
}
