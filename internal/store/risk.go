package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"modernc.org/sqlite"
)

// RiskError says that the state file can be written, but that what is in it will not be found at the next start: the
// file, or one beside it, is no longer where it was opened.
type RiskError struct {
	Path    string
	Problem string
	hint    string
}

func (e *RiskError) Error() string { return e.Path + " " + e.Problem }

// Hint says what to do.
func (e *RiskError) Hint() string { return e.hint }

const (
	replacedText = "was replaced or removed while tocsin runs: what it files now is lost with the old file"
	replacedHint = "stop tocsin, put the old file back under its name and start again; if it is gone, tocsin tells until it is stopped, and the next start needs --from and a date from before"
)

// recheckEvery is how often a running store looks for damage in pages that nobody has read.
const recheckEvery = time.Hour

// Alive writes a sign of life, so that a file that cannot be written is noticed while nothing else is. It also says
// what would be noticed too late: a *[RiskError] when the file is no longer the one under its name, a *[CorruptError]
// when anybody came upon damage that a check still finds.
func (s *Store) Alive(ctx context.Context, now time.Time) error {
	err := s.write(ctx, "writing a sign of life", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO alive (one, at) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET at = ?1`, millis(now))
		return err
	})
	if err != nil {
		return err
	}
	if err := s.recheck(ctx, now); err != nil {
		return err
	}
	return s.risk(ctx)
}

// recheck looks for damage when somebody met some, and now and then without that. What it cannot finish in its time
// says nothing.
func (s *Store) recheck(ctx context.Context, now time.Time) error {
	met := s.damage.Load()
	if limit := s.opts.CheckTime; limit > 0 && (met != nil || now.Sub(fromMillis(s.checked.Load())).Abs() >= recheckEvery) {
		s.checked.Store(millis(now))
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		var found *CorruptError
		switch err := s.Check(ctx); {
		case errors.As(err, &found):
			met = found
		case err == nil:
			met = nil
		}
		s.damage.Store(met)
	}
	if met != nil {
		return met
	}
	return nil
}

// risk compares the files under our names with those that are open. While they differ the write-ahead log is emptied
// into the open file: it must not be taken for that of another file, and the old file, moved back, is whole.
func (s *Store) risk(ctx context.Context) error {
	e := s.compare()
	if e == nil {
		return nil
	}
	s.open.RLock()
	defer s.open.RUnlock()
	if err := s.fold(ctx); err != nil {
		e.Problem += "; its log cannot be emptied: " + err.Error()
	}
	return e
}

// Moved reports, without reading or writing anything, whether [Store.Alive] would say that the file is at risk.
func (s *Store) Moved() bool { return s.w != nil && s.compare() != nil }

func (s *Store) compare() *RiskError {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, s.file) {
		return &RiskError{Path: s.path, Problem: replacedText, hint: replacedHint}
	}
	if err == nil && info.Mode().Perm()&0o200 == 0 {
		return &RiskError{Path: s.path, Problem: "was made read-only while tocsin runs: what is open is still written, but the next start will be refused",
			hint: "make it writable for its owner again"}
	}
	if _, err := os.Stat(s.path + "-wal"); errors.Is(err, fs.ErrNotExist) { // it is there as long as anybody has it open
		return &RiskError{Path: s.path + "-wal", Problem: "was removed while tocsin runs: what was filed in the last minute is lost if tocsin is killed",
			hint: "stop tocsin and start it again; leave the files beside the state alone"}
	}
	info, err = os.Stat(s.path + ".lock")
	held, herr := s.lock.Stat()
	if errors.Is(err, fs.ErrNotExist) || err == nil && herr == nil && !os.SameFile(info, held) {
		return &RiskError{Path: s.path + ".lock", Problem: "was replaced or removed while tocsin runs: a second tocsin would not be refused",
			hint: "stop tocsin and start it again; leave the files beside the state alone"}
	}
	return nil
}

// fold empties the write-ahead log into the file.
func (s *Store) fold(ctx context.Context) error {
	var busy, frames, done int64
	if err := s.w.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &done); err != nil {
		return s.wrap("emptying the write-ahead log", err)
	}
	return nil
}

// connector opens connections to one file and to no other that came under its name meanwhile: half of our reads would
// come from there, and what it says of the outbox would be told again.
type connector struct {
	driver    driver.Driver
	dsn, path string
	file      os.FileInfo // nil for whatever is there
}

func (c connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil || c.file == nil {
		return conn, err
	}
	if info, err := os.Stat(c.path); err != nil || !os.SameFile(info, c.file) {
		conn.Close()
		return nil, &RiskError{Path: c.path, Problem: replacedText, hint: replacedHint}
	}
	return conn, nil
}

// Driver is for database/sql.
func (c connector) Driver() driver.Driver { return c.driver }

// pool makes a pool of connections to a file.
func pool(path, dsn string, file os.FileInfo) *sql.DB {
	return sql.OpenDB(connector{driver: &sqlite.Driver{}, dsn: dsn, path: path, file: file})
}

// warm opens all connections of the pool of readers and has each read once, so that none has to find its files later.
func (s *Store) warm(ctx context.Context) error {
	for range readers {
		c, err := s.r.Conn(ctx)
		if err != nil {
			return fmt.Errorf("opening a connection: %w", err)
		}
		defer c.Close() // when all are open
		var n int
		if err := c.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
			return err
		}
	}
	return nil
}
