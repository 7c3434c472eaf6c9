package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// CAASpan is a time in which each look at the CAA records of a name found the same.
type CAASpan struct {
	Name        string
	Known       bool
	First, Last time.Time
	Joined      bool
	// Answer is JSON that only its owner reads.
	Answer json.RawMessage
	// Fresh says, on the way in, that it is a new one. Else the one with this Name, Known and First has grown to Last.
	Fresh bool
}

// RecordCAA keeps spans, and queues what is to be said about them, in one transaction. The history is never rewritten.
func (s *Store) RecordCAA(ctx context.Context, spans []CAASpan, say []OutboxRow) error {
	now := time.Now()
	queued := 0
	err := s.write(ctx, "keeping CAA records", func(tx *sql.Tx) error {
		queued = 0
		for i := range spans {
			if err := addCAA(ctx, tx, &spans[i]); err != nil {
				return fmt.Errorf("%q: %w", spans[i].Name, err)
			}
		}
		for i := range say {
			n, err := queue(ctx, tx, &say[i], now)
			if err != nil {
				return err
			}
			queued += n
		}
		return nil
	})
	if err == nil && queued > 0 {
		s.announce(TopicOutbox)
	}
	return err
}

func addCAA(ctx context.Context, tx *sql.Tx, c *CAASpan) error {
	if c.Fresh {
		// A second time is no second row: the first attempt may have been committed without our knowing.
		_, err := tx.ExecContext(ctx, `INSERT INTO caa (name, known, first, last, joined, answer) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (name, known, first) DO UPDATE SET last = max(last, excluded.last)`,
			c.Name, c.Known, millis(c.First), millis(c.Last), c.Joined, orEmpty(c.Answer, "{}"))
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE caa SET last = ?1 WHERE name = ?2 AND known = ?3 AND first = ?4 AND last < ?1`,
		millis(c.Last), c.Name, c.Known, millis(c.First))
	return err
}

// CAA returns the spans of a name that began before a time (zero for any), oldest first: the newest of them, at most
// limit.
func (s *Store) CAA(ctx context.Context, name string, before time.Time, limit int) ([]CAASpan, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT known, first, last, joined, answer FROM caa WHERE name = ?1 AND (?2 = 0 OR first < ?2)
		ORDER BY seq DESC LIMIT ?3`, name, millis(before), limit)
	if err != nil {
		return nil, s.wrap("reading CAA records", err)
	}
	defer rows.Close()
	var out []CAASpan
	for rows.Next() {
		c := CAASpan{Name: name}
		var first, last int64
		var answer string
		if err := rows.Scan(&c.Known, &first, &last, &c.Joined, &answer); err != nil {
			return nil, s.wrap("reading CAA records", err)
		}
		c.First, c.Last, c.Answer = fromMillis(first), fromMillis(last), json.RawMessage(answer)
		out = append(out, c)
	}
	slices.Reverse(out)
	return out, s.wrap("reading CAA records", rows.Err())
}

// CAANames returns the names with a history, sorted: all, or zone and those beneath it, at most limit, beginning after
// a name.
func (s *Store) CAANames(ctx context.Context, zone, after string, limit int) ([]string, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT DISTINCT name FROM caa WHERE name > ?2 AND
		(?1 = '' OR name = ?1 OR substr(name, -length(?1) - 1) = '.' || ?1) ORDER BY name LIMIT ?3`, zone, after, limit)
	if err != nil {
		return nil, s.wrap("reading CAA records", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, s.wrap("reading CAA records", err)
		}
		out = append(out, name)
	}
	return out, s.wrap("reading CAA records", rows.Err())
}

// MeetCAA keeps names that were met at a time in a certificate; of all that are kept, those met last, at most limit.
func (s *Store) MeetCAA(ctx context.Context, names []string, at time.Time, limit int) error {
	if len(names) == 0 {
		return nil
	}
	return s.write(ctx, "keeping names", func(tx *sql.Tx) error {
		for _, name := range names {
			if _, err := tx.ExecContext(ctx, `INSERT INTO caa_names (name, met) VALUES (?, ?)
				ON CONFLICT (name) DO UPDATE SET met = max(met, excluded.met)`, name, millis(at)); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM caa_names WHERE name IN (SELECT name FROM caa_names ORDER BY met DESC, name LIMIT -1 OFFSET ?)`, limit)
		return err
	})
}

// MetCAA returns the names that were met last, with when.
func (s *Store) MetCAA(ctx context.Context, limit int) (map[string]time.Time, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT name, met FROM caa_names ORDER BY met DESC, name LIMIT ?`, limit)
	if err != nil {
		return nil, s.wrap("reading names", err)
	}
	defer rows.Close()
	out := map[string]time.Time{}
	for rows.Next() {
		var name string
		var met int64
		if err := rows.Scan(&name, &met); err != nil {
			return nil, s.wrap("reading names", err)
		}
		out[name] = fromMillis(met)
	}
	return out, s.wrap("reading names", rows.Err())
}
