package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// errHeld: another open file holds the lock.
var errHeld = errors.New("lock is held")

// takeLock locks the file at path and writes our pid into it. The kernel releases the lock when the file is closed,
// also by a crash. The file itself stays: removing it would let two processes lock two files of the same name.
func takeLock(state, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		defer f.Close()
		if errors.Is(err, errHeld) {
			return nil, &LockedError{Path: state, PID: holder(f)}
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return f, nil
}

// holder reads the pid from a lock file that another process holds. That process may be about to write it, so a
// short time is given.
func holder(f *os.File) int {
	for range 20 {
		b, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, 32), 32))
		if text := string(b); err == nil && strings.HasSuffix(text, "\n") {
			if pid, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && pid > 0 {
				return pid
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return 0
}
