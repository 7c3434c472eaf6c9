package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// began is the start that a cursor chose: what is before it has no timestamp from Since on. At a head that is so by the
// head's own time, or by our clock when the log's is behind; for a date the tailer looked for such a place.
func (f *follower) began(cur *ctlog.Cursor) *store.Start {
	s := &store.Start{Index: cur.Start, Since: f.from.Since, At: time.Now(), MMD: f.log.MMD, Operator: f.log.Operator}
	if v := cur.Verified; s.Since.IsZero() && v.Raw != nil && v.Size == cur.Start {
		s.Since = coverage.NewMark(v.Size, v.Time(), v.Received).Late.Add(time.Millisecond)
	}
	return s
}

// recall takes over what is kept of a log, and brings up to date what the list says of it.
func (f *follower) recall(ctx context.Context, cur *ctlog.Cursor, from ctlog.Start) error {
	f.from = from
	f.started.Store(cur.Begun)
	if v := cur.Verified; v.Raw != nil {
		f.proven.Store(&v)
	}
	if !cur.Begun {
		return nil
	}
	starts, err := f.store.Starts(ctx)
	if err != nil {
		return err
	}
	if s, ok := starts[f.log.ID]; ok {
		f.start.Store(&s)
	}
	return f.store.SetTerms(ctx, f.log.ID, f.log.MMD, f.log.Operator)
}

// look is what is known of the log now.
func (s *station) look() logLook {
	st := s.tailer.Status()
	g := logLook{Log: coverage.Log{
		Name: s.log.Name(), ID: s.log.IDText(), Operator: s.log.Operator, MMD: s.log.MMD, Patience: s.patience, Begun: s.started.Load(), Start: st.Start,
		Head: st.Head.Size, HeadAt: st.Head.Received, Position: st.Position, Verified: st.Verified,
		Rate: st.Rate, Growth: st.Growth, CatchUp: st.CatchUp, Faulty: st.State == "faulty", Closed: st.State == "closed", Trouble: st.LastError,
	}}
	g.leaving = s.leaving.Load()
	if st.Head.Raw != nil {
		g.HeadTime = st.Head.Time()
	}
	if b := s.start.Load(); b != nil {
		g.Since = b.Since
	}
	proven := s.proven.Load()
	if proven != nil && proven.Size == st.Verified {
		g.VerifiedAs = coverage.NewMark(proven.Size, proven.Time(), proven.Received)
		// A log at rest signs its tree anew, and that is no new verified head.
		if h := &st.Head; h.Size == proven.Size && h.Root == proven.Root && h.Timestamp > proven.Timestamp && !g.Faulty {
			g.VerifiedAs = coverage.NewMark(h.Size, h.Time(), h.Received)
		}
	}
	for _, r := range st.Gaps {
		g.Gaps = append(g.Gaps, gap(r))
	}
	g.conditions = st.Conditions
	g.unreachable = st.State == "unreachable"
	g.beat = fmt.Sprint(st.State, st.Head.Received.UnixNano(), st.Position, st.LastErrorAt.UnixNano())
	return g
}

func gap(r ctlog.Range) coverage.Range {
	return coverage.Range{From: r.From, To: r.To, Why: "the log has not served it since " + r.Since.UTC().Format(time.RFC3339)}
}

// Statement says what was seen of the entries with timestamps from one time to another: see [coverage.State].
func (a *App) Statement(ctx context.Context, from, to time.Time) (*coverage.Statement, error) {
	var logs []coverage.Log
	for _, s := range a.followed() {
		g := s.look().Log
		marks, err := marks(ctx, a.store, s.log.ID)
		if err != nil {
			return nil, err
		}
		g.Marks = marks
		logs = append(logs, g)
	}
	closed, err := a.closed(ctx)
	if err != nil {
		return nil, err
	}
	return state(append(logs, closed...), from, to)
}

// closed are the logs that were seen out: what was read of them counts on, and nothing is said of what they merged later.
func (a *App) closed(ctx context.Context) (logs []coverage.Log, err error) {
	if a.opts.Lists == nil {
		return nil, nil
	}
	var starts map[[32]byte]store.Start
	for _, d := range a.opts.Lists.Departing() {
		if d.Closed.IsZero() || a.find(d.Log.ID) != nil {
			continue
		}
		if starts == nil {
			if starts, err = a.store.Starts(ctx); err != nil {
				return nil, err
			}
		}
		l, ok, err := a.store.LoadLog(ctx, d.Log.ID)
		if err != nil {
			return nil, err
		}
		if !ok || len(l.Cursor) == 0 {
			continue
		}
		g, err := storedLog(ctx, a.store, &l, starts[l.ID])
		if err != nil {
			return nil, err
		}
		g.Trouble = d.Text
		logs = append(logs, g)
	}
	return logs, nil
}

func marks(ctx context.Context, s *store.Store, id [32]byte) (out []coverage.Mark, err error) {
	heads, err := s.Marks(ctx, id)
	for _, h := range heads {
		out = append(out, coverage.NewMark(h.Size, time.UnixMilli(int64(h.Timestamp)), h.Received))
	}
	return out, err
}

func state(logs []coverage.Log, from, to time.Time) (*coverage.Statement, error) {
	s, err := coverage.State(logs, from, to, time.Now())
	if err != nil {
		return nil, &AskError{Text: err.Error(), HintText: "--from and --to are dates or times, as 2026-11-01 or 2026-11-01T12:00:00Z; nothing is said of the future"}
	}
	return &s, nil
}

// StoredStatement is the statement as far as the last daemon came.
func StoredStatement(ctx context.Context, s *store.Store, from, to time.Time) (*coverage.Statement, error) {
	all, err := s.Logs(ctx)
	if err != nil {
		return nil, err
	}
	starts, err := s.Starts(ctx)
	if err != nil {
		return nil, err
	}
	var logs []coverage.Log
	for _, l := range all {
		g, err := storedLog(ctx, s, &l, starts[l.ID])
		if err != nil {
			return nil, err
		}
		logs = append(logs, g)
	}
	return state(logs, from, to)
}

// storedLog is a log as it was left, with its marks.
func storedLog(ctx context.Context, s *store.Store, l *store.Log, start store.Start) (g coverage.Log, err error) {
	var cur ctlog.Cursor
	if len(l.Cursor) > 0 {
		if err := json.Unmarshal(l.Cursor, &cur); err != nil {
			return g, fmt.Errorf("reading the stored cursor of %s: %w", l.Name, err)
		}
	}
	g = stored(l, &cur, start)
	g.Marks, err = marks(ctx, s, l.ID)
	return g, err
}

// stored is a log as the last daemon left it. Nobody looks for newer heads.
func stored(l *store.Log, cur *ctlog.Cursor, start store.Start) coverage.Log {
	g := coverage.Log{
		Name: l.Name, ID: base64.StdEncoding.EncodeToString(l.ID[:]), Operator: start.Operator, MMD: start.MMD, Begun: cur.Begun, Start: cur.Start, Since: start.Since,
		Head: max(cur.Target.Size, cur.Verified.Size), HeadTime: cur.Verified.Time(), Position: cur.Size, Verified: cur.Verified.Size, Trouble: "no daemon runs",
	}
	for _, r := range cur.Gaps {
		g.Gaps = append(g.Gaps, gap(r))
	}
	if cur.Verified.Raw != nil {
		g.VerifiedAs = coverage.NewMark(cur.Verified.Size, cur.Verified.Time(), cur.Verified.Received)
	}
	return g
}

// damaged reports whether an error says that the state file is damaged.
func damaged(err error) bool {
	var c *store.CorruptError
	return errors.As(err, &c)
}

// atRisk reports whether an error says that the state file can be written and is not the one that the next start finds.
func atRisk(err error) bool {
	var r *store.RiskError
	return errors.As(err, &r)
}

// explained is an error with its hint.
func explained(err error) string {
	text := err.Error()
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		text += "; " + h.Hint()
	}
	return text
}
