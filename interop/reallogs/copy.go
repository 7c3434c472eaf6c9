package reallogs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Copy copies the folder of a static log that takes no submissions meanwhile, and has published all of them, to dir,
// which must not exist. It serves to start a second instance, or this one on an older copy: see [Options.From].
func (l *Log) Copy(dir string) error {
	if l.Kind != Static {
		return fmt.Errorf("copying log %s: only a static log has a folder", l.Name)
	}
	if err := copyFolder(dir, l.Folder()); err != nil {
		return fmt.Errorf("copying log %s: %w", l.Name, err)
	}
	return nil
}

// copyFolder passes over files that go away meanwhile: the log deletes partial tiles on its own.
func copyFolder(to, from string) error {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists", to)
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if path != from && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
}
