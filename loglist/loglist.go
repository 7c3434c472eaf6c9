// Package loglist reads lists of Certificate Transparency logs and says which of them are worth reading.
//
// It understands the v3 JSON format in the dialects in use: Google's, Apple's, and the lists made for monitors. A list
// may be wrong, old or hostile, and is read accordingly: log by log, so that one bad log is reported and loses no
// other; unknown fields and states are tolerated and reported. What is believed is checked where it can be: a log whose
// log_id is not the SHA-256 of its key (RFC 6962 section 3.2) is refused. Whoever controls a list can hide a log from
// us or make us ask any server; he cannot make us believe a log's contents, since those are verified under its key.
package loglist

import (
	"encoding/base64"
	"strings"
	"time"
)

// DefaultURL is the list that is followed when none is configured: Google's list of logs known to Chrome.
const DefaultURL = "https://www.gstatic.com/ct/log_list/v3/log_list.json"

// Kind is the protocol that a log speaks to its readers. The zero value is no kind.
type Kind uint8

// The two kinds of logs.
const (
	RFC6962 Kind = iota + 1 // RFC 6962: get-sth, get-entries (listed under "logs")
	Static                  // static-ct-api: checkpoint and tiles (listed under "tiled_logs")
)

func (k Kind) String() string {
	switch k {
	case RFC6962:
		return "rfc6962"
	case Static:
		return "static"
	}
	return "unknown"
}

// State is the state of a log as its list calls it. States that this package does not know keep their text.
type State string

// The known states. None is that of a log listed without a state.
const (
	None      State = ""
	Pending   State = "pending"
	Qualified State = "qualified"
	Usable    State = "usable"
	ReadOnly  State = "readonly"
	Retired   State = "retired"
	Rejected  State = "rejected"
)

func (s State) known() bool {
	switch s {
	case None, Pending, Qualified, Usable, ReadOnly, Retired, Rejected:
		return true
	}
	return false
}

func (s State) String() string {
	if s == None {
		return "none"
	}
	return string(s)
}

// TreeHead is the last head of a read-only log, as its list gives it.
type TreeHead struct {
	Size uint64
	Root [32]byte
}

// Interval is the range of notAfter dates that a log accepts: Start is inside, End is outside.
type Interval struct{ Start, End time.Time }

// Log is one log. Its texts come from outside: they are cut to a bounded length and free of control characters.
type Log struct {
	Kind     Kind
	ID       [32]byte // SHA-256 of Key
	Key      []byte   // DER SubjectPublicKeyInfo
	Operator string
	// Description is the name that the list gives; may be empty.
	Description string
	// URL is the submission prefix, with a trailing slash. For RFC 6962 it is also where the log is read.
	URL string
	// MonitoringURL is the prefix under which the log is read, with a trailing slash. Equal to URL for RFC 6962.
	MonitoringURL string
	// MMD is the maximum merge delay; 0 when the list does not say.
	MMD        time.Duration
	State      State
	StateSince time.Time // zero when unknown
	// Final is the last tree head of a read-only log; nil when the list does not give it.
	Final *TreeHead
	// Interval is nil when the log is not sharded by time.
	Interval *Interval
	// Type is the log_type field ("prod", "test", "monitoring_only"), or "".
	Type string
	// Dial, when not empty, is where to connect instead of the host of MonitoringURL: "host:port", or a URL such as
	// "http://127.0.0.1:8080", which also sets the scheme. Paths and the Host header stay those of MonitoringURL. In
	// a list file it is the field "tocsin_dial", an extension of ours.
	Dial string
}

// Origin is the name of the log in its checkpoints: the submission URL without scheme and trailing slash
// (static-ct-api, Checkpoints).
func (l *Log) Origin() string {
	u := l.URL
	if _, rest, ok := strings.Cut(u, "://"); ok {
		u = rest
	}
	return strings.TrimRight(u, "/")
}

// Name is what people call the log: its description or else its origin.
func (l *Log) Name() string {
	if l.Description != "" {
		return l.Description
	}
	return l.Origin()
}

// IDText is the log id in the base64 form that lists use.
func (l *Log) IDText() string { return base64.StdEncoding.EncodeToString(l.ID[:]) }

// Report is something in a list that people should know: a log that was refused, or a field or state that was not
// understood.
type Report struct {
	// Where names the place: `operator "Example", tiled_logs[2] "Example 2027h1"`.
	Where string
	Text  string
	// Refused is set when the log, or the operator's part of the list, was left out because of this.
	Refused bool
}

func (r Report) String() string { return r.Where + ": " + r.Text }

// List is a parsed list.
type List struct {
	// Version is the version as text ("85.108", "511"), or "" when the list carries none.
	Version string
	// Timestamp is zero when the list carries none.
	Timestamp time.Time
	// Logs holds every log that was understood, in the order of the list, whatever its state.
	Logs    []Log
	Reports []Report
}

// Skip is a log of the list that is not read, and why.
type Skip struct {
	Log    Log
	Reason string
}

// Followed returns the logs that a monitor reads: those that a browser accepts certificates from, now or until
// recently. See [Log.Follow].
func (l *List) Followed() []Log {
	var logs []Log
	for _, g := range l.Logs {
		if ok, _ := g.Follow(); ok {
			logs = append(logs, g)
		}
	}
	return logs
}

// Skipped returns the logs that [List.Followed] leaves out, each with the reason.
func (l *List) Skipped() []Skip {
	var skips []Skip
	for _, g := range l.Logs {
		if ok, why := g.Follow(); !ok {
			skips = append(skips, Skip{g, why})
		}
	}
	return skips
}

// Follow says whether a monitor reads the log by default, and why or why not.
func (l *Log) Follow() (ok bool, reason string) {
	switch l.State {
	case Usable, Qualified:
		return true, "state " + l.State.String()
	case ReadOnly:
		return true, "state readonly: read to its final head"
	case Retired:
		if strings.Contains(l.URL, "/bogus/") {
			return false, "state retired: a placeholder, not a log"
		}
		return false, "state retired: no client trusts it any more, and it may be gone"
	case Pending:
		return false, "state pending: no client trusts it yet"
	case Rejected:
		return false, "state rejected: no client trusts it"
	case None:
		return false, "no state: listed, but trusted by no client"
	}
	return false, "state " + l.State.String() + ": unknown state"
}
