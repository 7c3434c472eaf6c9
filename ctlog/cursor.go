package ctlog

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Cursor is how far a log was read, in a form that can be stored (JSON, about 5 KB, with gaps and heads in doubt 80 KB at most). The zero value is that of
// a log never read. What older versions stored can be read. A Cursor must be stored in the same transaction as what was found in the entries before it.
type Cursor struct {
	// Begun is set once the start was chosen.
	Begun bool `json:"begun,omitempty"`
	// Start is the index of the first entry that was read.
	Start uint64 `json:"start"`
	// Size is the position: the number of entries before the next to read. Hashes is the compact range over them.
	Size   uint64 `json:"size"`
	Hashes []Hash `json:"hashes,omitempty"`
	// Verified is the last head whose root was recomputed; VerifiedHashes is the compact range at its size.
	Verified       Head   `json:"verified"`
	VerifiedHashes []Hash `json:"verified_hashes,omitempty"`
	// Target is the head that is being read up to; entries between Verified and Size hang on its root.
	Target Head `json:"target,omitzero"`
	// Gaps are ranges before Size that the log did not serve, in order and apart: owed, and asked for again and again.
	Gaps []Range `json:"gaps,omitempty"`
	// Stuck is set while the entry at Size is not served: since when, so that a restart does not start the patience
	// anew. Nil otherwise.
	Stuck *Stuck `json:"stuck,omitempty"`
	// Doubts are what would accuse the log if it lasts, for the same reason. It is never changed in place.
	Doubts map[FaultKind]Doubt `json:"doubts,omitempty"`
	// Undecided are signed heads that could not be held against the verified history yet. A restart does not forget them.
	// It is never changed in place.
	Undecided []Head `json:"undecided,omitempty"`
	// Aside is how far a signed head was read that is not of the verified tree, nil when there was none. It is never
	// changed in place.
	Aside *Aside `json:"aside,omitempty"`
}

// Aside is the reading of a signed head that contradicts what was verified, or cannot be shown to be part of it.
type Aside struct {
	// Head is being read; zero when all was. Hashes is the compact range over its tree before Next; nil, and Next 0,
	// while it is not known where that parts from the verified one.
	Head   Head   `json:"head,omitzero"`
	Next   uint64 `json:"next,omitempty"`
	Hashes []Hash `json:"hashes,omitempty"`
	// Part is how far the one before was read when Head took its place. Done is the last that was read to its end.
	Part Head `json:"part,omitzero"`
	Done Head `json:"done,omitzero"`
}

// Stuck is an entry that a log signed and does not serve: since when, and when that was last seen, give or take minutes.
type Stuck struct {
	At    uint64    `json:"at"`
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
}

// Range is a range of entries that a log signed and did not serve. Its entries were not seen.
type Range struct {
	// From is inside, To outside.
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Since is when the log was first found not to serve it.
	Since time.Time `json:"since"`
	// Unhashed is set when the log did not prove its tree beyond the range either. Then nothing beyond it counts as
	// verified before it is served.
	Unhashed bool `json:"unhashed,omitempty"`
	// Before is the compact range of the tree before From, and Root the root at To, against which the entries are
	// checked when they come. Without Before the log has hash tiles to check them against.
	Before []Hash `json:"before,omitempty"`
	Root   Hash   `json:"root,omitzero"`
}

// Start says where to begin with a log that was never read. The zero value is now.
type Start struct {
	// Zero starts at the first entry of the log.
	Zero bool
	// Since, when not zero, starts at a place that has every entry with this timestamp or a later one behind it.
	// Timestamps are not monotone: a log may merge an entry up to its maximum merge delay late, so reading starts
	// that much earlier.
	Since time.Time
}

// Delivery is what a [Tailer] hands over. It is valid until Deliver returns.
type Delivery struct {
	// Entries follow each other without a gap. There may be none: a cursor moved back, a gap was left, or only a head
	// was verified. Those of a gap that is served late lie before the position and leave it as it is.
	Entries []Entry
	// Hits and Mark are what Sift made of Entries.
	Hits []int
	Mark any
	// Cursor is the position after Entries.
	Cursor Cursor
	// Aside is set for entries of a signed head that contradicts what was verified, or cannot be shown to be part of it:
	// what others may be shown. They stand at indexes that were read before, and the position stays where it is.
	Aside bool
	// Head is the signed head that is being read up to. Its tree is verified when Cursor.Verified is this head.
	Head Head
}

// TailOptions for a [Tailer]. Deliver is required.
type TailOptions struct {
	// From applies when the cursor is zero.
	From Start
	// Poll is the time between looks at the head of a log that was read to its end; default 15 s.
	Poll time.Duration
	// Deliver takes entries. The receiver stores what it found together with the cursor, in one transaction. Entries
	// may come again after an error, a restart or a fault. When it returns an error the same delivery is made again,
	// later; in Once mode the tailer ends with that error.
	Deliver func(context.Context, *Delivery) error
	// Sift, when set, is given all entries of a delivery as soon as they are read: ahead of Deliver, in several
	// goroutines at once, in no order, and before anything is verified. It appends the places in entries that the
	// receiver wants to look at to hits, and may return a mark that says under which conditions it looked. Both come
	// with the delivery. It must keep nothing of the entries. Extra is left out for all: see [Entry.LoadExtra].
	Sift func(entries []Entry, hits []int) ([]int, any)
	// Fault is told about each fault once; may be nil. It must not block for long.
	Fault func(Fault)
	// Condition is told when a condition of the log has become visible, and when that is over; may be nil. It must not
	// block for long.
	Condition func(Condition)
	// Verified returns heads that were verified before a restart, as many as are kept: where a fork parts is sought among
	// them. May be nil.
	Verified func() []Head
	// Keys returns logs whose keys are known, of all lists: a head that is not signed by the log may be by one of them.
	// May be nil.
	Keys func() []loglist.Log
	// Witnesses are those whose cosignatures on checkpoints are verified.
	Witnesses []Witness
	// Once makes Run return as soon as the head that was current at its start is verified, or cannot be.
	Once bool
	// Attempts is how often one request is tried before the tailer turns to the head again (in Once mode: gives up);
	// default 6, which with the waits between takes about half a minute.
	Attempts int
	Logger   *slog.Logger // nil discards
}

// Fault is something that a log did wrong, with evidence that stands without us.
type Fault struct {
	Kind    FaultKind `json:"kind"`
	Log     Hash      `json:"log"` // log id
	LogName string    `json:"log_name"`
	// Text is one sentence for people, bounded, free of control characters.
	Text string    `json:"text"`
	At   time.Time `json:"at"`
	// Evidence stands alone: the JSON of an [Evidence].
	Evidence json.RawMessage `json:"evidence"`
}

// Status is a snapshot of a [Tailer].
type Status struct {
	// State is one of "starting", "live", "behind", "unreachable", "faulty" and "closed" (a read-only log that was
	// read to its proven final head).
	State string
	// Head is the newest head seen; zero before the first.
	Head Head
	// Start is the index of the first entry read, Position that of the next one, Verified the size of the last head
	// whose root was recomputed.
	Start, Position, Verified uint64
	// VerifiedAt is when that happened; zero if not since the start of the program.
	VerifiedAt time.Time
	// Rate is entries per second read recently; Growth entries per second by which the log grows.
	Rate, Growth float64
	// CatchUp is the projected time until the log is read to its end; 0 when it is, negative when never at this rate.
	CatchUp time.Duration
	// LastError is bounded text; "" when the last request went well.
	LastError   string
	LastErrorAt time.Time
	Faults      int
	// Conditions are those that have lasted for the patience of their kind.
	Conditions []Condition
	// Gaps are the ranges before Position that the log does not serve, without their hashes.
	Gaps []Range
	// Cosigned says which witnesses cosigned Head.
	Cosigned Cosigned
	// Note says something about the start that people should know, or is "".
	Note string
}
