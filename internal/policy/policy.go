// Package policy decides: it turns a certificate that touches watches, and what is known of it, into a verdict with
// reasons. It is a pure function of its input: no I/O, no clock of its own, the same answer for the same input and
// [Version].
//
// A decision has two steps. The clauses of a watch's expectation say what was promised and whether it holds. Rules
// (package rule: built-in ones and the operator's) turn clauses and facts into a level; an exception of a rule, or an
// announced issuance, makes that quieter.
//
// What it promises: all conditions of an expectation must hold, else the certificate is a surprise; an issuer that is
// not proven is never expected, nor is what could not be read, nor a CA certificate, whatever rules and announcements
// say; a surprise that touches an address is never below [Alarm]; of the facts only an owned key, the journal and an
// announcement make a verdict quieter; each reason names the rule, what was seen, what was wanted and the line of the
// configuration. It trusts the configuration, the rules within these floors, and the facts' own mark of what is proven,
// and nothing that a certificate says of itself.
package policy

import (
	"fmt"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy/rule"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Version grows whenever the same input may get another verdict or another set of rules in its reasons.
const Version = 2

// Level says what is to be done about a certificate. A higher level is louder.
type Level uint8

// The levels.
const (
	None     Level = iota // touches no watch
	Expected              // touches a watch and all that was promised holds: filed
	Digest                // filed, and told once a day
	Alarm                 // rings
	Page                  // rings until acknowledged
)

var levelText = [...]string{"none", "expected", "digest", "alarm", "page"}

func (l Level) String() string {
	if int(l) < len(levelText) {
		return levelText[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// MarshalText writes the level as [Level.String].
func (l Level) MarshalText() ([]byte, error) {
	if int(l) >= len(levelText) {
		return nil, fmt.Errorf("no such level: %d", uint8(l))
	}
	return []byte(levelText[l]), nil
}

// UnmarshalText reads what MarshalText writes.
func (l *Level) UnmarshalText(text []byte) error {
	for i, name := range levelText {
		if name == string(text) {
			*l = Level(i)
			return nil
		}
	}
	return fmt.Errorf("no such level: %q", clip(string(text)))
}

// ParseSurprise reads what a watch may have as its surprise: digest, alarm or page.
func ParseSurprise(text string) (Level, error) {
	var l Level
	if err := l.UnmarshalText([]byte(text)); err != nil || l < Digest {
		return None, fmt.Errorf("surprise is digest, alarm or page, not %q", clip(text))
	}
	return l, nil
}

// The rules, as Reason.Rule has them. They are stable.
const (
	RuleIssuer      = "issuer"            // the issuing key belongs to a wanted CA owner, or is wanted itself
	RuleProven      = "proven"            // who issued it is proven by signature
	RuleIssuerAlone = "issuer-alone"      // only a remark: nothing but the issuer is checked
	RuleKey         = "key"               // the certificate's key is one of ours
	RuleValidity    = "validity"          // it is valid for no longer than wanted
	RuleWildcard    = "wildcard"          // no wildcard where none is wanted
	RuleBroad       = "wildcard-broad"    // no wildcard over a whole top-level domain
	RuleForeign     = "foreign-name"      // every name and address lies within the watch
	RuleUnreadable  = "unreadable"        // all of it could be read
	RuleCA          = "ca-certificate"    // it may not issue certificates itself
	RuleNoName      = "no-expect-name"    // a name of a watch that expects nothing
	RuleNoAddress   = "no-expect-address" // an address of a watch that expects nothing
	RuleAnnounced   = "announced"         // only a remark: the issuance was announced
	RuleException   = "exception"         // only a remark: a rule does not count for it
	RuleFloor       = "floor"             // rules may not make it as quiet as they say
)

// Reason is one clause of a decision. Strings of the certificate are made safe to print.
type Reason struct {
	Rule string `json:"rule"`
	// Watch is the name of the watch, Item the items of it that are concerned, as the configuration has them.
	Watch string `json:"watch"`
	Item  string `json:"item"`
	// Observed is what was seen, Wanted what the rule asks for.
	Observed string `json:"observed"`
	Wanted   string `json:"wanted"`
	// Config is where the rule stands ("tocsin.yaml:12"), or where the watch does.
	Config string `json:"config"`
	// Held is false for the clauses that made it a surprise.
	Held bool `json:"held"`
	// Text is the whole as a sentence for people.
	Text string `json:"text"`
}

// Outcome is the level for one watch.
type Outcome struct {
	Watch string `json:"watch"`
	Owner string `json:"owner,omitempty"`
	Level Level  `json:"level"`
}

// Fired is a rule that had something to say. Its texts are safe to print.
type Fired struct {
	Rule  string `json:"rule"` // its id
	Title string `json:"title"`
	Watch string `json:"watch"`
	// Severity is what the rule asks for; Level is what that is for this watch, [None] when it does not count: for an
	// exception, or because it is only simulated.
	Severity rule.Severity `json:"severity"`
	Level    Level         `json:"level"`
	// Say is what was seen, Next what to do.
	Say  string `json:"say"`
	Next string `json:"next,omitempty"`
	// Excepted names the exception for which it does not count, with its end and reason.
	Excepted string `json:"excepted,omitempty"`
	// Config is where the rule stands.
	Config string `json:"config"`
}

// Verdict is a decision. Its level is the highest of its watches.
type Verdict struct {
	Version int       `json:"version"`
	Level   Level     `json:"level"`
	Watches []Outcome `json:"watches"`
	Reasons []Reason  `json:"reasons"`
	// Fired are the rules that made the level, and those that would have.
	Fired []Fired `json:"fired"`
	// Uses are the announcements without which the level would be higher, by id.
	Uses []string `json:"uses,omitempty"`
	// Wait is how long after the certificate was first seen the ring may be held back, because nothing is broken but
	// what a late entry of the journal could heal (expect.settle). It is 0 for addresses and for [Page].
	Wait time.Duration `json:"wait,omitempty"`
}

// Input is all that a decision depends on.
type Input struct {
	// Matches are what the certificate touches; their Watch and Item are places in Rules. None means [None].
	Matches []watch.Match
	// Cert is the certificate. Nil counts as one that could not be read.
	Cert  *cert.Certificate
	Facts facts.Facts
	// Rules come from [Compile]. Nil, or a match that they do not know, is decided as a watch that expects nothing.
	Rules *Rules
	// Logged is the earliest time that a log gave the certificate; the zero time is unknown. An SCT in the certificate
	// counts as well.
	Logged time.Time
	// Now is the time of the decision: exceptions of rules end.
	Now time.Time
}
