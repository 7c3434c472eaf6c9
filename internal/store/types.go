package store

import (
	"encoding/json"
	"time"
)

// Log is how far one log was read.
type Log struct {
	ID   [32]byte
	Name string
	// Cursor is the JSON of the tailer, as committed; empty while nothing was.
	Cursor []byte
	// Size is the number of entries that are filed as far as they touch a watch.
	Size    uint64
	Updated time.Time
}

// Head is a signed head of a log.
type Head struct {
	Size      uint64
	Root      [32]byte
	Timestamp uint64 // milliseconds, as the log says
	Raw       []byte // as the log signed it
	Received  time.Time
}

// Issuance is one certificate as the CA meant it: its precertificate, its final certificate and all their entries in
// all logs are one.
type Issuance struct {
	ID        [32]byte
	FirstSeen time.Time
	// Cert is the certificate, or the TBSCertificate of the leaf while only precertificates were seen: see Precert.
	Cert          []byte
	Precert       bool
	IssuerKeyHash [32]byte // zero when not known
	// Chain holds the certificates that came with any sighting, each once, in the order in which they came. They are
	// claims: no log covers them with its tree.
	Chain [][]byte
	// Matches and Oddities are JSON arrays, nil for an empty one.
	Matches  json.RawMessage
	Oddities json.RawMessage
	// Fingerprints are SHA-256 hashes by which the issuance can be found beside its id: see [Filing]. Filled only by
	// [Store.Find].
	Fingerprints [][32]byte

	// Revision grows with each change that a decision should know. Set by the store.
	Revision int64
	// Decided is set when the latest verdict knows the latest revision. Set by the store.
	Decided bool
}

// Sighting is one entry of one log.
type Sighting struct {
	LogID     [32]byte // of the commit when zero
	LogName   string   // set by the store
	Index     uint64
	Timestamp uint64 // milliseconds, as the log says
	Precert   bool
	// Leaf is the MerkleTreeLeaf, Extra the extra_data of RFC 6962, PrecertDER the precertificate where a static log
	// gives it apart. All are kept byte for byte.
	Leaf, Extra, PrecertDER []byte
	// Seen is when we committed it, LeafHash is the Merkle hash of Leaf. Set by the store.
	Seen     time.Time
	LeafHash [32]byte
}

// Filing is an issuance together with the entry in which it was seen.
type Filing struct {
	Issuance Issuance
	// Sighting may be nil: what was not seen in a log.
	Sighting *Sighting
	// Fingerprints are further SHA-256 hashes by which people may ask for the issuance, as that of a precertificate
	// inside Extra. The hash of a final certificate and of PrecertDER need not be given.
	Fingerprints [][32]byte
}

// Commit is what one batch of one log leaves behind.
type Commit struct {
	LogID   [32]byte
	LogName string
	// Cursor is the new cursor, nil to leave it; Size is its size.
	Cursor []byte
	Size   uint64
	// Rewind allows a cursor smaller than the stored one: the operator wants to read again. Filing again does no harm.
	Rewind  bool
	Heads   []Head
	Filings []Filing
	Faults  []Fault
	// Start is where reading began. The first one stays, whatever comes later. Mark is the newest verified head: one of
	// each hour is kept for ever. Both may be nil.
	Start *Start
	Mark  *Head
}

// Decision is a verdict on one issuance together with what it makes ring.
type Decision struct {
	ID [32]byte
	// Revision is that of the issuance as it was decided. When the issuance has changed since, the verdict is kept
	// and the issuance stays undecided. 0 means whatever the issuance is now.
	Revision int64
	// Version is that of the policy.
	Version int
	Level   string
	// Reasons and Facts are JSON, for explain; nil is "[]" and "{}".
	Reasons, Facts json.RawMessage
	At             time.Time // zero: now
	Outbox         []OutboxRow
	// SCTs are queued as by [Store.QueueSCTs].
	SCTs []SCT
	// Uses are the expectations that announced it: each is used once by one issuance. See [ErrUsedUp].
	Uses []string
	// SPKI and TBS are by what the journal may know the issuance; Journal is how far the journal went when it was asked.
	// What it has learned since makes the issuance undecided again.
	SPKI, TBS [32]byte
	Journal   int64
	// Issued says for whom it was issued, by whom: see [Store.PastOf].
	Issued []Issued
	// Incidents are what becomes of incidents by this verdict. When one was changed since it was read, nothing of the
	// decision is kept: see [ErrIncidentChanged].
	Incidents []IncidentRow
}

// OutboxRow is one message for one receiver.
type OutboxRow struct {
	// ID is stable: the same message decided again has the same ID and is not sent again. Empty in a [Decision]
	// means [AlarmID] of issuance, receiver and kind.
	ID       string
	Receiver string
	// Kind is why it is sent, as "alarm" or "page". A level that rises has another kind and therefore rings.
	Kind string
	// Rank orders the kinds: a row is not queued when its receiver already has one of the same issuance with the same
	// or a higher rank (what was paged does not ring again as an alarm). 0 takes no part in this.
	Rank    int
	Payload json.RawMessage
	// Text is for people, safe for a terminal.
	Text string

	// Set by the store.
	Issuance    [32]byte // zero for what concerns no certificate
	State       string   // Pending, Delivered, Dropped
	Attempts    int
	NextAttempt time.Time
	LastError   string
	Created     time.Time
	DeliveredAt time.Time
	order       int64
}

// States of an [OutboxRow].
const (
	Pending   = "pending"
	Delivered = "delivered"
	Dropped   = "dropped"
)

// Verdict is a decision as it was kept.
type Verdict struct {
	Revision       int64
	Version        int
	Level          string
	Reasons, Facts json.RawMessage
	At             time.Time
	Latest         bool
}

// Fault is something that a log did wrong.
type Fault struct {
	Kind     string
	LogID    [32]byte
	LogName  string
	Text     string
	Evidence []byte
	At       time.Time // zero: now

	// Set by the store: when it was first and last seen, and how often.
	First, Last time.Time
	Count       int64
}
