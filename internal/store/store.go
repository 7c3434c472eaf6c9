// Package store keeps what tocsin must not forget, in one SQLite file: how far each log was read, the heads that logs
// signed, the ledger of every issuance that touched a watch with its raw entries, the verdicts, the outbox of what is
// still to be said, and the faults of logs with their evidence.
//
// It promises: the cursor of a log moves only in the transaction that files what was found before it; committing the
// same entry again changes nothing; one issuance is one row however many logs show it; an alarm once decided stays in
// the outbox until it is delivered; raw entries, chains, heads and evidence come back byte for byte. A commit that
// returned is on disk. A crash at any instant loses nothing that was committed.
//
// One process writes: [Open] refuses a second one with the pid of the first. Any number may read beside it, with
// [OpenReadOnly].
//
// Trust: the file is trusted. Who can write it can silence us (move a cursor, mark an alarm as delivered), therefore
// it is readable and writable by its owner alone. What is *in* it came from outside and is hostile to whoever shows it.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Options of [Open] and [OpenReadOnly]. The zero value is right for a daemon.
type Options struct {
	// BusyTimeout is how long a statement waits for a lock of another process; 0 means 10 s.
	BusyTimeout time.Duration
	// KeepHeads is how many heads are kept of each log beside those that contradict another; 0 means 512.
	// The evidence of a fault is kept with the fault, whatever this says.
	KeepHeads int
	// CheckTime bounds the check for damage at the start of [Open]; a file too large to be checked in this time is
	// used as it is. 0 means 2 s, negative no check.
	CheckTime time.Duration
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.BusyTimeout <= 0 {
		out.BusyTimeout = 10 * time.Second
	}
	if out.KeepHeads <= 0 {
		out.KeepHeads = 512
	}
	if out.CheckTime == 0 {
		out.CheckTime = 2 * time.Second
	}
	return out
}

// Store is an open state file. It is safe for concurrent use.
type Store struct {
	path string
	opts Options
	// w has one connection, so that transactions queue in Go instead of failing in SQLite; nil when read-only.
	w *sql.DB
	// r has several read-only connections: in WAL mode they never wait for the writer.
	r    *sql.DB
	lock *os.File
	// file is the state as it was opened: another one may come under its name. See [RiskError].
	file os.FileInfo
	// damage is what anybody came upon, checked when the file was last looked through (milliseconds).
	damage  atomic.Pointer[CorruptError]
	checked atomic.Int64

	// setCursor is prepared once: it is all that an empty batch does.
	setCursor *sql.Stmt

	// open is held for reading by each transaction, for writing by Close.
	open sync.RWMutex

	mu   sync.Mutex
	subs map[Topic]map[chan struct{}]bool

	closeOnce sync.Once
	closeErr  error
}

// Path is the state file.
func (s *Store) Path() string { return s.path }

// ReadOnly reports whether the store was opened with [OpenReadOnly].
func (s *Store) ReadOnly() bool { return s.w == nil }

// Close waits for running transactions, folds the write-ahead log into the file and releases the lock. Further calls
// return what the first one did.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		// database/sql alone would leave a running transaction with an open file after the lock is gone.
		s.open.Lock()
		defer s.open.Unlock()
		var errs []error
		if s.Moved() { // SQLite folds nothing into a file that has moved
			if err := s.fold(context.Background()); err != nil {
				errs = append(errs, err)
			}
		}
		if err := s.r.Close(); err != nil {
			errs = append(errs, err)
		}
		if s.w != nil {
			if s.setCursor != nil {
				s.setCursor.Close()
			}
			if err := s.w.Close(); err != nil {
				errs = append(errs, err)
			}
		}
		// Last: the next daemon may open the file from here on.
		if s.lock != nil {
			if err := s.lock.Close(); err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) > 0 {
			s.closeErr = s.wrap("closing", errs[0])
		}
	})
	return s.closeErr
}

// write runs f in one transaction of the single writer. The transaction takes the write lock at its start (the
// connection says _txlock=immediate), so that it cannot fail half-way because of another one.
func (s *Store) write(ctx context.Context, op string, f func(tx *sql.Tx) error) error {
	if s.w == nil {
		return s.wrap(op, ErrReadOnly)
	}
	s.open.RLock()
	defer s.open.RUnlock()
	tx, err := s.w.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap(op, err)
	}
	if err := f(tx); err != nil {
		tx.Rollback()
		return s.wrap(op, err)
	}
	if err := tx.Commit(); err != nil {
		return s.wrap(op, err)
	}
	return nil
}

// Check reads the whole file and returns an error when its structure or a reference in it is broken.
func (s *Store) Check(ctx context.Context) error {
	var first string
	if err := s.r.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&first); err != nil {
		return s.wrap("checking", err)
	}
	if first != "ok" {
		return &CorruptError{Path: s.path, Err: fmt.Errorf("%s", first)}
	}
	rows, err := s.r.QueryContext(ctx, "PRAGMA foreign_key_check")
	if err != nil {
		return s.wrap("checking", err)
	}
	defer rows.Close()
	if rows.Next() {
		return &CorruptError{Path: s.path, Err: fmt.Errorf("a row refers to one that is not there")}
	}
	return s.wrap("checking", rows.Err())
}

// Topic is something that loops wait for.
type Topic uint8

const (
	// TopicFiled: something is undecided.
	TopicFiled Topic = iota
	// TopicOutbox: something new is to be delivered.
	TopicOutbox
)

// Subscribe returns a channel that receives after a commit concerning the topic; several commits may be one value.
// What was committed before the call is not announced: look first, then wait. The second result ends the subscription.
func (s *Store) Subscribe(t Topic) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs == nil {
		s.subs = make(map[Topic]map[chan struct{}]bool)
	}
	if s.subs[t] == nil {
		s.subs[t] = make(map[chan struct{}]bool)
	}
	s.subs[t][c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs[t], c)
	}
}

func (s *Store) announce(t Topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.subs[t] {
		select {
		case c <- struct{}{}:
		default: // one is already waiting to be read
		}
	}
}

// millis is the column form of a time: 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
