package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// SilenceRow is a silence as it was kept.
type SilenceRow struct {
	ID   string
	Body json.RawMessage // JSON of package incident
	// Start and Until are its time; Ended is when somebody ended it early.
	Start, Until, Ended time.Time
	Created             time.Time
	// Hid counts what it kept from ringing, HidAddresses that of it which touches an address. Set by [Store.Silences].
	Hid, HidAddresses int
}

// AddSilence keeps a silence. All open incidents become due, since it may cover them.
func (s *Store) AddSilence(ctx context.Context, r SilenceRow, trail ...TrailEntry) error {
	return s.silence(ctx, "adding a silence", trail, func(tx *sql.Tx) error {
		if r.ID == "" || r.Until.IsZero() || !r.Until.After(r.Start) || r.Created.IsZero() {
			return errors.New("a silence without id or end")
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO silences (id, body, start, until, created) VALUES (?, ?, ?, ?, ?)`,
			r.ID, orEmpty(r.Body, "{}"), millis(r.Start), millis(r.Until), millis(r.Created))
		return err
	})
}

// EndSilence ends a silence early. What it muted becomes due.
func (s *Store) EndSilence(ctx context.Context, id string, trail ...TrailEntry) error {
	return s.silence(ctx, "ending a silence", trail, func(tx *sql.Tx) error {
		now := millis(time.Now())
		if err := one(tx.ExecContext(ctx, `UPDATE silences SET ended = ?1 WHERE id = ?2 AND ended = 0 AND until > ?1`, now, id)); err != nil {
			return fmt.Errorf("silence %s: %w", id, err)
		}
		return nil
	})
}

func (s *Store) silence(ctx context.Context, op string, trail []TrailEntry, change func(*sql.Tx) error) error {
	now := time.Now()
	err := s.write(ctx, op, func(tx *sql.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE incidents SET next_due = ?1 WHERE closed = 0 AND (next_due = 0 OR next_due > ?1)`, millis(now)); err != nil {
			return err
		}
		return addTrail(ctx, tx, now, trail...)
	})
	if err == nil {
		s.announce(TopicIncidents)
	}
	return err
}

// Silences returns those that end after the given time and were not ended, the first to end first; with the zero time
// all that there ever were, the latest first. At most limit.
func (s *Store) Silences(ctx context.Context, endAfter time.Time, limit int) ([]SilenceRow, error) {
	where := `WHERE s.until > ? AND s.ended = 0 ORDER BY s.until, s.id`
	if endAfter.IsZero() {
		where = `WHERE s.until > ? ORDER BY s.created DESC, s.id`
	}
	rows, err := s.r.QueryContext(ctx, `SELECT s.id, s.body, s.start, s.until, s.ended, s.created,
		(SELECT coalesce(sum(count), 0) FROM suppressed WHERE silence = s.id AND silence <> '' AND rule = ''),
		(SELECT coalesce(sum(addresses), 0) FROM suppressed WHERE silence = s.id AND silence <> '' AND rule = '')
		FROM silences AS s `+where+` LIMIT ?`, millis(endAfter), limit)
	if err != nil {
		return nil, s.wrap("reading silences", err)
	}
	defer rows.Close()
	var out []SilenceRow
	for rows.Next() {
		var r SilenceRow
		var body string
		var start, until, ended, created int64
		if err := rows.Scan(&r.ID, &body, &start, &until, &ended, &created, &r.Hid, &r.HidAddresses); err != nil {
			return nil, s.wrap("reading silences", err)
		}
		r.Body = json.RawMessage(body)
		r.Start, r.Until, r.Ended, r.Created = fromMillis(start), fromMillis(until), fromMillis(ended), fromMillis(created)
		out = append(out, r)
	}
	return out, s.wrap("reading silences", rows.Err())
}

const msPerDay = 24 * 60 * 60 * 1000

func suppress(ctx context.Context, tx *sql.Tx, s *Suppression, now time.Time) error {
	if s.Why == "" {
		return errors.New("something does not ring, and nobody says why")
	}
	at := s.At
	if at.IsZero() {
		at = now
	}
	for i, rule := range append([]string{""}, s.Rules...) {
		if i > 0 && rule == "" {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO suppressed (day, why, silence, rule, count, addresses) VALUES (?1, ?2, ?3, ?4, 1, ?5)
			ON CONFLICT (day, why, silence, rule) DO UPDATE SET count = count + 1, addresses = addresses + ?5`,
			millis(at)/msPerDay, s.Why, s.Silence, rule, s.Address); err != nil {
			return err
		}
	}
	return nil
}

// SuppressedCount is how often something did not ring for a reason.
type SuppressedCount struct {
	Why, Silence string
	// Rule is one that had fired; "" in the row that counts each thing once.
	Rule             string
	Count, Addresses int
}

// SuppressedBetween counts what did not ring from the day of one time to that of another, both included, in UTC.
func (s *Store) SuppressedBetween(ctx context.Context, from, to time.Time) ([]SuppressedCount, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT why, silence, rule, sum(count), sum(addresses) FROM suppressed WHERE day BETWEEN ? AND ?
		GROUP BY why, silence, rule ORDER BY why, silence, rule`, millis(from)/msPerDay, millis(to)/msPerDay)
	if err != nil {
		return nil, s.wrap("counting what did not ring", err)
	}
	defer rows.Close()
	var out []SuppressedCount
	for rows.Next() {
		var c SuppressedCount
		if err := rows.Scan(&c.Why, &c.Silence, &c.Rule, &c.Count, &c.Addresses); err != nil {
			return nil, s.wrap("counting what did not ring", err)
		}
		out = append(out, c)
	}
	return out, s.wrap("counting what did not ring", rows.Err())
}
