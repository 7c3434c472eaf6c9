// Package incident makes of verdicts what people can live with: certificates that belong together become one incident,
// which is told when it begins, when it grows, when it gets worse, and again until somebody has seen it.
//
// [Step] is a pure function of the state of one incident, of one event, and of [Env]: the time, the configuration and
// the silences. It promises: each verdict either is told, or will be ([State.Due] says when), or is counted with the
// reason for which it is not; what touches a watch item for the first time is told whatever else rings; a later
// sighting of the same certificate never rings, a different certificate for the same names does; only a person
// resolves. The life cycle is drawn in docs/incidents.md; [Life] is the same as a table.
//
// Trust: silences and acknowledgements are the operator's. What comes out of a certificate (names, issuers) is compared
// and kept, never interpreted, and the state of an incident stays bounded whatever is issued.
package incident

import (
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// Config says how patient incidents are.
type Config struct {
	// Wait is how long an alarm waits for others like it, Regroup how long after a message the next one may follow. A
	// page waits for neither; nor does what touches a new watch item wait for Regroup.
	Wait, Regroup time.Duration
	// Repeat is how long after a message an alarm that nobody has acknowledged is told again; Escalate the same for a
	// page, which then goes to further people.
	Repeat, Escalate time.Duration
	// CAGroups is how many incidents by one unlisted issuing key within CAWindow are one incident of that CA.
	CAGroups int
	CAWindow time.Duration
}

// Defaults are right for most.
var Defaults = Config{Wait: 10 * time.Second, Regroup: 5 * time.Minute, Repeat: 24 * time.Hour, Escalate: 15 * time.Minute, CAGroups: 3, CAWindow: time.Hour}

// Status is where in its life an incident is.
type Status string

// The states.
const (
	New          Status = "new"          // something in it is to be told
	Notified     Status = "notified"     // told, and nobody has acknowledged it
	Grouped      Status = "grouped"      // the same, and the incident of the CA speaks for it
	Acknowledged Status = "acknowledged" // somebody has seen it
	Archived     Status = "archived"     // somebody has seen it, and wants to hear of it again only when the certificate is another
	Silenced     Status = "silenced"     // all of it is muted for now: visible, and counted
	Explained    Status = "explained"    // what came late explains all of it
	Resolved     Status = "resolved"     // somebody has ended it
)

// Closed reports whether a further certificate begins another incident.
func (s Status) Closed() bool { return s == Explained || s == Resolved }

// Kinds of incidents.
const (
	OfOwner = "owner" // certificates for one group of one owner
	OfCA    = "ca"    // certificates by one issuing key that nobody expects, whomever they touch
)

// State is one incident. Its JSON is kept by the store.
type State struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Key is what certificates have in common that belong to it: see [Group].
	Key   string `json:"key"`
	Owner string `json:"owner,omitempty"`
	Group string `json:"group"`
	// Parent is the open incident of the CA that speaks for this one.
	Parent string       `json:"parent,omitempty"`
	Status Status       `json:"status"`
	Level  policy.Level `json:"level"`
	Title  string       `json:"title"`
	Opened time.Time    `json:"opened"`
	// Updated is when anything of it changed.
	Updated time.Time `json:"updated"`
	Drill   bool      `json:"drill,omitempty"`

	// Certificates counts all that belong to it, Ringing those that are surprises still. Level is the highest of these.
	Certificates int `json:"certificates"`
	Ringing      int `json:"ringing"`
	// Pages counts those of Ringing that are pages.
	Pages int `json:"pages,omitempty"`
	// Subject is what all of them touch together.
	Subject Subject `json:"subject"`

	// Pending is what is to be told; Folded counts what was so beyond that list.
	Pending []Pending `json:"pending,omitempty"`
	Folded  int       `json:"folded,omitempty"`
	// FoldedDue and FoldedLevel are the earliest and the highest of them.
	FoldedDue   time.Time    `json:"folded_due,omitzero"`
	FoldedLevel policy.Level `json:"folded_level,omitempty"`
	// Muted is what is to be told when the silence ends, the newest last; MutedTotal counts it.
	Muted      []Pending `json:"muted,omitempty"`
	MutedTotal int       `json:"muted_total,omitempty"`
	// MutedSubject is what they touch together: as long as a silence covers it, they are muted.
	MutedSubject Subject `json:"muted_subject,omitzero"`
	// Sequence counts the messages; Rung those that rang, and LastRung is when the last one did.
	Sequence int       `json:"sequence,omitempty"`
	Rung     int       `json:"rung,omitempty"`
	LastRung time.Time `json:"last_rung,omitzero"`
	// Since is from when the next reminder is counted.
	Since time.Time `json:"since,omitzero"`
	// Reopened is set from when it was closed or archived and is not so any more, until that was told.
	Reopened bool `json:"reopened,omitempty"`

	// By, At and Comment are of who acknowledged, archived or resolved it last.
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Comment string    `json:"comment,omitempty"`

	// Suppressed counts what did not ring, by why; AddressesMuted how much of it touched an address under a silence.
	Suppressed     map[Why]int `json:"suppressed,omitempty"`
	AddressesMuted int         `json:"addresses_muted,omitempty"`
	// Due is when it needs a [Tick]; zero for never.
	Due time.Time `json:"due,omitzero"`
}

// Pending is a certificate that is to be told.
type Pending struct {
	Issuance string       `json:"issuance"`
	Level    policy.Level `json:"level"`
	// Due is when; it may be told earlier together with others, but not before Hold.
	Due  time.Time `json:"due"`
	Hold time.Time `json:"hold,omitzero"`
	// Raised: it is told again, since it has become worse. Item: it touches a new watch item.
	Raised bool `json:"raised,omitempty"`
	Item   bool `json:"item,omitempty"`
}

// Bounds of a state.
const (
	maxPending = 64
	maxMuted   = 10
	// maxTold is how many certificates a message shows.
	maxTold = 10
)

// Member is what is kept of a certificate of an incident.
type Member struct {
	Level       policy.Level `json:"level"`
	Fingerprint string       `json:"fingerprint"`
	At          time.Time    `json:"at"`
	// Why is why it was not to be told when it came, "" when it was.
	Why Why `json:"why,omitempty"`
}

// Event is one of [Seen], [Tick], [Ack], [Resolve], [Join] and [Leave].
type Event interface{ event() }

// Seen is a verdict on a certificate.
type Seen struct {
	Issuance string
	Level    policy.Level
	// Fingerprint is that of [Fingerprint]; Known is set when another certificate of the incident has it.
	Fingerprint string
	Known       bool
	// Was is what the incident has of this certificate already; nil when it is new to it.
	Was     *Member
	Subject Subject
	// Elsewhere: another open incident tells of it now, so that this one, which is told already, need not.
	Elsewhere bool
	// Hold is until when it must not be told, since what would explain it may be on its way; zero for no delay.
	Hold time.Time
	// Title is one line for people.
	Title string
	Drill bool
}

// Tick lets time pass.
type Tick struct{}

// Ack is somebody who has seen it.
type Ack struct {
	By, Comment string
	// UntilDifferent: only a certificate by another issuing key, with another key or with other names is to be told.
	UntilDifferent bool
}

// Resolve is somebody who ends it.
type Resolve struct{ By, Comment string }

// Join puts it beneath the incident of a CA; Leave takes it out of there.
type (
	Join  struct{ Parent string }
	Leave struct{}
)

func (Seen) event()    {}
func (Tick) event()    {}
func (Ack) event()     {}
func (Resolve) event() {}
func (Join) event()    {}
func (Leave) event()   {}

// Env is what a step depends on beside the incident.
type Env struct {
	Now      time.Time
	Config   Config
	Silences []Silence
}

// Change is why an incident is told.
type Change string

// The changes.
const (
	Opened    Change = "opened"
	Grew      Change = "grew"
	Raised    Change = "raised"
	Reminder  Change = "reminder"
	Escalated Change = "escalated"
	Acked     Change = "acknowledged"
	Ended     Change = "resolved"
	Reopened  Change = "reopened"
	Note      Change = "note"
)

// Rings reports whether a change is for waking people; the others are to be known.
func (c Change) Rings() bool {
	return c != Acked && c != Ended && c != Note
}

// Notification is something to be told now.
type Notification struct {
	// Sequence counts the messages of the incident from 1: with the id of the incident it names this one for ever.
	Sequence int
	Change   Change
	Level    policy.Level
	// Reason says why, in words.
	Reason string
	// Issuances are the certificates that it is about, the newest first, at most 10; Total counts them.
	Issuances []string
	Total     int
	// Escalate: also to those to whom the routes escalate.
	Escalate bool
}

// Why is a reason for not telling.
type Why string

// The reasons.
const (
	Sighting  Why = "sighting"  // the same certificate, seen again or decided again, and no worse
	Muted     Why = "silenced"  // under a silence
	Beneath   Why = "grouped"   // the incident of the CA tells it
	Same      Why = "archived"  // acknowledged until different, and it is not
	Cured     Why = "explained" // what came late explained it before it was told
	Over      Why = "resolved"  // somebody resolved the incident before it was told
	Elsewhere Why = "elsewhere" // another incident tells it
	Reminding Why = "reminder"  // a reminder, under a silence
)

// Suppressed is something that is not told.
type Suppressed struct {
	Why Why
	// Text is the reason in words.
	Text string
	// Silence is the id of the silence that it is under, if that is why.
	Silence string
	// Rules are those that had fired: it is counted for each.
	Rules []string
	// Address: it touches an address.
	Address bool
}

// Effect is what follows from a step.
type Effect struct {
	// Notify is nil when nothing is to be told now.
	Notify *Notification
	// Suppressed is nil when nothing was kept from being told.
	Suppressed *Suppressed
	// Member is what is to be kept of the certificate of a [Seen].
	Member *Member
	// Moves are the changes of the status, in order.
	Moves []Move
}

// Move is a change of the status.
type Move struct{ From, To Status }

func (s *State) clone() State {
	c := *s
	c.Pending, c.Muted = slices.Clone(s.Pending), slices.Clone(s.Muted)
	c.Subject, c.MutedSubject = s.Subject.clone(), s.MutedSubject.clone()
	if s.Suppressed != nil {
		c.Suppressed = make(map[Why]int, len(s.Suppressed))
		for k, v := range s.Suppressed {
			c.Suppressed[k] = v
		}
	}
	return c
}
