package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Coverage says what is seen of each log, and what is in the ledger.
type Coverage struct {
	At time.Time `json:"at"`
	// PID is the daemon's; 0 when none runs and the rest is what the last one stored.
	PID    int           `json:"pid,omitempty"`
	Logs   []LogCoverage `json:"logs"`
	Ledger LedgerCounts  `json:"ledger"`
	Faults []FaultCount  `json:"faults"`
	SCTs   SCTCoverage   `json:"scts"`
	// Lists are the log lists by which logs are followed.
	Lists []lists.Status `json:"lists,omitempty"`
}

// LogCoverage says how far one log was read. Sizes are numbers of entries.
type LogCoverage struct {
	Name     string `json:"name"`
	ID       string `json:"id"` // base64
	Kind     string `json:"kind,omitempty"`
	Operator string `json:"operator,omitempty"`
	URL      string `json:"url,omitempty"`
	// State is the tailer's ("live", "behind", "unreachable", "faulty", "closed", "starting"), or "not followed" when
	// no daemon reads it.
	State    string     `json:"state"`
	Head     uint64     `json:"head"`
	HeadTime *time.Time `json:"head_time,omitempty"`
	// Start is the index of the first entry read, Position the next one, Verified the size of the last head whose
	// root was recomputed from the entries.
	Start    uint64 `json:"start"`
	Position uint64 `json:"position"`
	Verified uint64 `json:"verified"`
	// Owed is how many entries of the newest head are still to be read.
	Owed uint64 `json:"owed"`
	// Rate and Growth are entries per second. CatchUp is the projected time to the end of the log in seconds: 0 when
	// it is there, -1 when it is never reached at this rate.
	Rate    float64 `json:"rate"`
	Growth  float64 `json:"growth"`
	CatchUp float64 `json:"catch_up"`
	Error   string  `json:"error,omitempty"`
	Faults  int     `json:"faults"`
	Note    string  `json:"note,omitempty"`
}

// LedgerCounts is the ledger in numbers.
type LedgerCounts struct {
	Issuances int64            `json:"issuances"`
	Undecided int64            `json:"undecided"`
	Sightings int64            `json:"sightings"`
	Levels    map[string]int64 `json:"levels"`
	// Waiting counts messages that are not delivered yet, by receiver.
	Waiting map[string]int64 `json:"waiting"`
}

// FaultCount is one kind of fault of one log.
type FaultCount struct {
	Kind  string    `json:"kind"`
	Log   string    `json:"log"`
	Text  string    `json:"text"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int64     `json:"count"`
	// Evidence stands without us: signed heads, hashes, proofs.
	Evidence json.RawMessage `json:"evidence,omitempty"`
}

// maxFaults bounds the faults in a [Coverage].
const maxFaults = 100

func covers(l *LogCoverage, s ctlog.Status) {
	l.State, l.Head, l.Start, l.Position, l.Verified = s.State, s.Head.Size, s.Start, s.Position, s.Verified
	if s.Head.Timestamp != 0 {
		t := s.Head.Time()
		l.HeadTime = &t
	}
	if s.Head.Size > s.Position {
		l.Owed = s.Head.Size - s.Position
	}
	l.Rate, l.Growth, l.Error, l.Faults, l.Note = s.Rate, s.Growth, s.LastError, s.Faults, s.Note
	switch {
	case s.CatchUp < 0:
		l.CatchUp = -1
	default:
		l.CatchUp = s.CatchUp.Seconds()
	}
}

func ledger(ctx context.Context, s *store.Store, c *Coverage) error {
	n, err := s.Counts(ctx)
	if err != nil {
		return err
	}
	c.Ledger = LedgerCounts{Issuances: n.Issuances, Undecided: n.Undecided, Sightings: n.Sightings, Levels: n.Levels, Waiting: map[string]int64{}}
	for name, o := range n.Outbox {
		c.Ledger.Waiting[name] = o.Pending
	}
	if c.SCTs, err = sctCoverage(ctx, s); err != nil {
		return err
	}
	faults, err := s.Faults(ctx, maxFaults)
	if err != nil {
		return err
	}
	for _, f := range faults {
		c.Faults = append(c.Faults, FaultCount{Kind: f.Kind, Log: f.LogName, Text: f.Text, First: f.First, Last: f.Last, Count: f.Count, Evidence: rawJSON(f.Evidence)})
	}
	return nil
}

// rawJSON is b where it is JSON, else nothing.
func rawJSON(b []byte) json.RawMessage {
	if !json.Valid(b) {
		return nil
	}
	return b
}

// StoredCoverage is the coverage as the last daemon left it.
func StoredCoverage(ctx context.Context, s *store.Store) (*Coverage, error) {
	c := &Coverage{At: time.Now().UTC()}
	logs, err := s.Logs(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range logs {
		var cur ctlog.Cursor
		if len(l.Cursor) > 0 {
			if err := json.Unmarshal(l.Cursor, &cur); err != nil {
				return nil, err
			}
		}
		lc := LogCoverage{Name: l.Name, ID: base64.StdEncoding.EncodeToString(l.ID[:]), State: "not followed",
			Head: cur.Target.Size, Start: cur.Start, Position: cur.Size, Verified: cur.Verified.Size}
		if lc.Head < cur.Verified.Size {
			lc.Head = cur.Verified.Size
		}
		if lc.Head > lc.Position {
			lc.Owed = lc.Head - lc.Position
		}
		c.Logs = append(c.Logs, lc)
	}
	if l, err := lists.Stored(s.Path()); err == nil { // else it is the next daemon's to say
		c.listed(l)
	}
	return c, ledger(ctx, s, c)
}
