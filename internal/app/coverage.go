package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/process"
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
	// Blind says that the whole is, and Why, or why not. Operators, Health and Process are absent without a daemon.
	Blind     bool           `json:"blind"`
	Why       string         `json:"why"`
	Operators *Operators     `json:"operators,omitempty"`
	Health    []Trouble      `json:"health,omitempty"`
	Process   *process.Usage `json:"process,omitempty"`
	// Paces are of the operators whose logs are held back together, because they stand behind one limit.
	Paces []OperatorPace `json:"paces,omitempty"`
	// Lists are the log lists by which logs are followed.
	Lists []lists.Status `json:"lists,omitempty"`
	// ListReports say what was not understood in them, or refused, and where they contradict each other.
	ListReports []string `json:"list_reports,omitempty"`
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
	// Pause is the time between two requests in seconds, learned where the log refuses more; 0 when it refuses none.
	Pause  float64 `json:"pause"`
	Error  string  `json:"error,omitempty"`
	Faults int     `json:"faults"`
	Note   string  `json:"note,omitempty"`
	// Grade and GradeWhy are empty without a daemon.
	Grade    coverage.Grade `json:"grade,omitempty"`
	GradeWhy string         `json:"grade_why,omitempty"`
	// Read are the ranges that were read and verified, OwedIn those that are owed, with why. Unverified counts entries
	// that were read under a root that is not verified yet.
	Read       []coverage.Range `json:"read"`
	OwedIn     []coverage.Range `json:"owed_in"`
	Unverified uint64           `json:"unverified"`
	// Of the timestamps from CoveredFrom to CoveredTo everything that the log had merged by then was read and verified,
	// but for OwedIn. CoveredFrom is absent when all was read from the first entry on, or when it is not known.
	CoveredFrom *time.Time `json:"covered_from,omitempty"`
	CoveredTo   *time.Time `json:"covered_to,omitempty"`
	LogView
}

// graded fills what the look at a log makes of it.
func (l *LogCoverage) graded(g *coverage.Log, now time.Time) {
	a := coverage.Assess(g, now)
	l.Grade, l.GradeWhy, l.Unverified, l.Owed = a.Grade, a.Why, a.Unverified, a.Owed
	l.Read, l.OwedIn = append([]coverage.Range{}, a.Read...), append([]coverage.Range{}, a.OwedIn...)
	if g.Start > 0 && !g.Since.IsZero() {
		t := g.Since.UTC()
		l.CoveredFrom = &t
	}
	if t := g.VerifiedAs.Early; !t.IsZero() {
		l.CoveredTo = &t
	}
}

// judged fills in what the daemon makes of what it sees.
func (c *Coverage) judged(a *App) {
	v, open := a.keeper.now()
	stations := map[string]*station{}
	for _, s := range a.followed() {
		stations[s.log.IDText()] = s
	}
	for i := range c.Logs {
		l := &c.Logs[i]
		s := stations[l.ID]
		if s == nil { // left meanwhile
			continue
		}
		g := s.look().Log
		g.Watched = c.At
		for j := range v.logs {
			if o := &v.logs[j]; o.ID == g.ID {
				g.Watched, g.Progress, g.Outgrows = o.Watched, o.Progress, o.Outgrows
				if g.Outgrows {
					g.Rate, g.Growth = o.Rate, o.Growth
				}
			}
		}
		l.graded(&g, c.At)
		l.Pause = s.client.Pace().Pause.Seconds()
	}
	c.Blind, c.Why = v.sight.Blind, v.sight.Why
	for _, t := range open {
		if t.Code == health.BlindWhole {
			c.Blind, c.Why = true, t.Text()
		}
	}
	o := operators(v.sight)
	c.Operators, c.Health = &o, shown(open)
	c.Process = usageOf(a.store.Path())
	c.Paces = a.budgets.paces()
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
	for i := range faults {
		c.Faults = append(c.Faults, faultCount(&faults[i]))
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
	starts, err := s.Starts(ctx)
	if err != nil {
		return nil, err
	}
	c.Blind, c.Why = true, "no daemon runs"
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
		g := stored(&l, &cur, starts[l.ID])
		lc.graded(&g, c.At)
		lc.Grade, lc.GradeWhy = "", "" // nobody looks
		lc.Gaps = outlines(cur.Gaps)
		if lc.Heads, err = storedHeads(ctx, s, l.ID); err != nil {
			return nil, err
		}
		c.Logs = append(c.Logs, lc)
	}
	if l, err := lists.Stored(s.Path()); err == nil { // else it is the next daemon's to say
		c.listed(l)
	}
	return c, ledger(ctx, s, c)
}
