package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"modernc.org/sqlite"
)

var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrReadOnly: the store was opened for reading.
	ErrReadOnly = errors.New("the state is open for reading only")
	// ErrCursorBack: a commit would move a cursor back. See [Commit.Rewind].
	ErrCursorBack = errors.New("the cursor of a log never moves back")
)

// Each error type below has a method Hint: one sentence on what to do, for the line "tocsin: hint: …", or "".

// Error is any failure of the state file while it is in use. It wraps the cause.
type Error struct {
	Op   string // what was being done, as "filing"
	Path string
	Err  error
	hint string
}

func (e *Error) Error() string {
	if e.hint == "" { // not the file's fault: its name helps nobody
		return e.Op + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s in %s: %v", e.Op, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do, or is "".
func (e *Error) Hint() string { return e.hint }

// LockedError says that another process has the state open for writing.
type LockedError struct {
	Path string
	// PID of that process, 0 when it could not be learned.
	PID int
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("state %s is in use by another tocsin", e.Path)
	}
	return fmt.Sprintf("state %s is in use by another tocsin (pid %d)", e.Path, e.PID)
}

// Hint says what to do.
func (e *LockedError) Hint() string {
	return "stop the other one first, or give this one a state of its own with --state"
}

// SchemaError says that the file was written by another version of tocsin than this one can use.
type SchemaError struct {
	Path string
	// Have is the schema of the file, Known the newest that this program knows.
	Have, Known int64
}

func (e *SchemaError) Error() string {
	if e.Have > e.Known {
		return fmt.Sprintf("state %s was written by a newer tocsin (schema %d, this one knows up to %d)", e.Path, e.Have, e.Known)
	}
	return fmt.Sprintf("state %s was written by an older tocsin (schema %d, this one needs %d)", e.Path, e.Have, e.Known)
}

// Hint says what to do.
func (e *SchemaError) Hint() string {
	if e.Have > e.Known {
		return "use the newer tocsin; a state is never taken back to an older schema"
	}
	return "start tocsin watch once with this state: it brings the schema up to date"
}

// ForeignError says that the file is not one of ours. It was not changed.
type ForeignError struct {
	Path   string
	Reason string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s is not a state of tocsin: %s", e.Path, e.Reason)
}

// Hint says what to do.
func (e *ForeignError) Hint() string { return "nothing was changed; name another file with --state" }

// CorruptError says that the file is damaged. It was not changed.
type CorruptError struct {
	Path string
	Err  error
}

func (e *CorruptError) Error() string { return fmt.Sprintf("state %s is damaged: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *CorruptError) Hint() string {
	return "put a backup in its place, or move it away and start anew; nothing was changed"
}

// Primary result codes of SQLite (sqlite.org/rescode.html).
const (
	codeBusy     = 5
	codeReadOnly = 8
	codeIO       = 10
	codeCorrupt  = 11
	codeFull     = 13
	codeCantOpen = 14
	codeNotADB   = 26
)

// codeSharedSize is an extended result code: the memory that processes share could not grow, which is a file.
const codeSharedSize = codeIO | 19<<8

// primary is the primary result code of an SQLite error, or 0.
func primary(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// wrap puts the operation, and for failures of the file a hint, around err. nil stays nil. Damage is remembered for
// [Store.Alive]: whoever came upon it may have nobody to tell.
func (s *Store) wrap(op string, err error) error {
	err = wrap(s.path, op, err)
	if bad, ok := err.(*CorruptError); ok {
		s.damage.CompareAndSwap(nil, bad)
	}
	return err
}

func wrap(path, op string, err error) error {
	if err == nil {
		return nil
	}
	out := &Error{Op: op, Path: path, Err: err}
	switch primary(err) {
	case codeBusy:
		out.hint = "another process holds the file; see who has it open"
	case codeReadOnly:
		out.hint = "the file or its folder cannot be written: check its owner, its mode and how the disk is mounted"
	case codeIO:
		var e *sqlite.Error
		if errors.As(err, &e) && e.Code() == codeSharedSize {
			out.hint = "the disk is full: free some space; nothing is lost"
			break
		}
		out.hint = "the disk failed or is gone: look at the system log; nothing committed before is lost"
	case codeFull:
		out.hint = "the disk is full: free some space; reading goes on where it stopped, nothing is lost"
	case codeCantOpen:
		out.hint = "check that the folder exists and that its owner is the user of tocsin"
	case codeCorrupt, codeNotADB:
		return &CorruptError{Path: path, Err: fmt.Errorf("%s: %w", op, err)}
	case 0:
		var risk *RiskError
		switch {
		case errors.As(err, &risk):
			out.hint = risk.hint
		case errors.Is(err, fs.ErrPermission):
			out.hint = "check the owner and the mode of the file and its folder"
		case errors.Is(err, syscall.ENOSPC):
			out.hint = "the disk is full: free some space; nothing is lost"
		case errors.Is(err, syscall.EROFS):
			out.hint = "the disk is mounted read-only: see why, mount it for writing, or name another file with --state"
		}
	}
	return out
}

// AmbiguousError says that a prefix names several issuances.
type AmbiguousError struct {
	Prefix     string
	Candidates []Candidate
	// More is set when there are more than are listed.
	More bool
}

func (e *AmbiguousError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s names several issuances: ", e.Prefix)
	for i, c := range e.Candidates {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%x", c.ID[:8])
	}
	if e.More {
		b.WriteString(" and more")
	}
	return b.String()
}

// Hint says what to do.
func (e *AmbiguousError) Hint() string { return "write more digits" }

// PrefixError says that a text is no prefix of an id.
type PrefixError struct{ Text, Problem string }

func (e *PrefixError) Error() string { return fmt.Sprintf("%q is no id: %s", e.Text, e.Problem) }

// Hint says what to do.
func (e *PrefixError) Hint() string {
	return "give at least 4 hex digits of an issuance, an alarm, or the SHA-256 of a certificate"
}
