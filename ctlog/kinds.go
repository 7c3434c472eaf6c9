package ctlog

import "time"

// FaultKind names a kind of fault or condition; stable, for JSON.
type FaultKind = string

// The kinds of faults, which accuse the log and carry evidence.
const (
	BadSignature FaultKind = "bad-signature" // a head was not signed by the log's key
	KeyChange    FaultKind = "key-change"    // heads are signed by another key than the listed one: one that a list names, or any for long
	WrongRoot    FaultKind = "wrong-root"    // the entries do not hash to the signed root
	Forked       FaultKind = "forked"        // two signed heads contradict each other
	Inconsistent FaultKind = "inconsistent"  // the log gives no valid consistency proof between two heads
	Rollback     FaultKind = "rollback"      // the log goes on with a smaller tree than it signed before
	BadTile      FaultKind = "bad-tile"      // a full tile without 256 entries, again and again
	Withheld     FaultKind = "withheld"      // a signed head whose entries are not served, for long
	FalseTime    FaultKind = "false-time"    // an entry is later than the head that covers it
	FalseFinal   FaultKind = "false-final"   // the list's final head of a read-only log contradicts the log
)

// The kinds of conditions, which accuse nobody and resolve by themselves.
const (
	Skew        FaultKind = "skew"         // some answers are older than others: front ends that lag
	Unreachable FaultKind = "unreachable"  // no usable answer at all
	RateLimited FaultKind = "rate-limited" // the log answers "too many requests"
	Stale       FaultKind = "stale"        // no new head for longer than the maximum merge delay
)

// Severity grades a kind.
type Severity string

// The severities: notice is for the record, warning means that something is not seen, serious that the log broke its
// promise to everybody.
const (
	Notice  Severity = "notice"
	Warning Severity = "warning"
	Serious Severity = "serious"
)

// Kind describes one thing that a log can do wrong: what it means, how long it must last before it is told, and what
// can be shown of it.
type Kind struct {
	Name FaultKind
	// Accuses is set for faults: they are told once, with evidence. Without it the kind is a condition, told when it
	// begins and when it ends.
	Accuses  bool
	Severity Severity
	// Proof is the most that evidence of this kind can be worth to somebody who was not there.
	Proof Verdict
	// Means and Evidence are sentences for people.
	Means, Evidence string

	patience time.Duration
	mmd      bool          // at least the log's maximum merge delay
	calm     time.Duration // how long a condition must be absent to be over
}

// Patience is how long the kind must last before it is told, at a log with this maximum merge delay (0 when unknown).
func (k Kind) Patience(mmd time.Duration) time.Duration {
	if !k.mmd {
		return k.patience
	}
	if mmd <= 0 {
		mmd = unknownMMD
	}
	return max(k.patience, mmd)
}

// kinds is the table. Skew never accuses, and a fork never waits.
var kinds = []Kind{
	{Name: Skew, Severity: Notice, patience: 15 * time.Minute,
		Means: "A front end answers from an older tree than another one signed. Entries come late; none is lost."},
	{Name: Unreachable, Severity: Warning, patience: 15 * time.Minute,
		Means: "The log gives no usable answer: no connection, status 5xx, or something that is no log's answer."},
	{Name: RateLimited, Severity: Notice, patience: time.Hour, calm: time.Hour,
		Means: "The log refuses requests as too many. It is read as fast as it allows."},
	{Name: Stale, Severity: Warning, patience: time.Hour,
		Means: "The newest head is older than the maximum merge delay allows. What was submitted since is not shown to us."},
	{Name: BadSignature, Accuses: true, Severity: Warning, Proof: Nothing,
		Means:    "A head is not signed by the log's key: a broken answer, or somebody in the path.",
		Evidence: "The head. Anybody can make one: it proves nothing against the log."},
	{Name: KeyChange, Accuses: true, Severity: Warning, Proof: Nothing, patience: time.Hour,
		Means:    "Heads are signed by another key than the listed one, by one that a list names or for long by any: the log changed it, the list is old, a front end answers for another log, or somebody stands in the path.",
		Evidence: "A head, and the key where a list names it. Anybody in the path can give one: it proves nothing against the log."},
	{Name: WrongRoot, Accuses: true, Severity: Serious, Proof: Shown,
		Means: "The entries that the log serves are not those that it signed.",
		Evidence: "The head, the first wrong entry, and the leaf hash that the head's tree has in its place, with the audit path. " +
			"That the log served that entry is our word."},
	{Name: Forked, Accuses: true, Severity: Serious, Proof: Proven,
		Means:    "The log signed two heads of which neither tree contains the other: it shows different people different trees.",
		Evidence: "Both heads, and for different sizes the consistency proof. It convicts the log."},
	{Name: Inconsistent, Accuses: true, Severity: Warning, Proof: Shown, patience: time.Hour,
		Means:    "The log gives only proofs that do not verify between two heads that it signed.",
		Evidence: "Both heads and the proof. A proof is not signed: that the log gave it is our word."},
	{Name: Rollback, Accuses: true, Severity: Serious, Proof: Proven, patience: time.Hour, mmd: true,
		Means:    "The log goes on with a smaller tree than it signed before: it lost entries, or was restored from an old copy.",
		Evidence: "Both heads. It convicts the log when the smaller one has the later timestamp."},
	{Name: BadTile, Accuses: true, Severity: Warning, Proof: Shown, patience: 10 * time.Minute,
		Means:    "The URL of a full tile gives another number of entries than 256, also past caches.",
		Evidence: "The head and the tile, or the beginning of it. A tile is not signed: that the log served it is our word."},
	{Name: Withheld, Accuses: true, Severity: Serious, Proof: Nothing, patience: time.Hour, mmd: true,
		Means:    "The log signed a head and does not serve a range or tile of its tree.",
		Evidence: "The head, the range, and the answers with their times. Nobody can prove an absence: ask the log for it."},
	{Name: FalseTime, Accuses: true, Severity: Notice, Proof: Proven,
		Means:    "An entry is later than the head that covers it (RFC 6962 section 3.5).",
		Evidence: "The head, the entry and its audit path. It convicts the log."},
	{Name: FalseFinal, Accuses: true, Severity: Serious, Proof: Shown,
		Means:    "The final head that the list gives for a read-only log is not one of its tree.",
		Evidence: "The log's head, the list's final head and the consistency proof. A list's head is not signed: it may be the list that is wrong."},
}

// longUnserved is how long a range must fail in ways other than "there is no such thing" before reading goes on
// behind it, while the log answers otherwise.
const longUnserved = 24 * time.Hour

// Kinds returns the table of all kinds.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// KindOf finds a kind by its name.
func KindOf(name FaultKind) (Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

func mustKind(name FaultKind) Kind {
	k, ok := KindOf(name)
	if !ok {
		return Kind{Name: name, Accuses: true}
	}
	return k
}
