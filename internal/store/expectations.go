package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrUsedUp: a decision would use an announced issuance that has been used up or cancelled since it was read. Decide
// again.
var ErrUsedUp = errors.New("the announced issuance was used up or cancelled meanwhile")

// Expectation is an issuance that was announced.
type Expectation struct {
	ID   string
	Body json.RawMessage // JSON of package expectation
	// Token made it, "" for the operator.
	Token          string
	Count          int
	Created, Until time.Time

	// Set by the store. Uses are the issuances that used it.
	Used      int
	Cancelled time.Time
	Closed    time.Time
	Uses      [][32]byte
}

// Charge makes a token pay for what is done with it, within the transaction that does it.
type Charge struct {
	Token string
	// Count is how many issuances are granted, What says for what.
	Count int
	What  string
	// Check is called with the token as it is now and with all that it was granted, and may refuse.
	Check func(Token, []Grant) error
}

// Grant is what a token was given.
type Grant struct {
	At    time.Time
	Count int
	What  string
}

func (c *Charge) take(ctx context.Context, tx *sql.Tx, now time.Time) error {
	if c == nil {
		return nil
	}
	t, err := readToken(ctx, tx, c.Token)
	if err != nil {
		return err
	}
	history, err := readGrants(ctx, tx, c.Token)
	if err != nil {
		return err
	}
	if err := c.Check(t, history); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE tokens SET last_used = ? WHERE id = ?`, millis(now), c.Token); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO grants (token, at, count, what) VALUES (?, ?, ?, ?)`, c.Token, millis(now), c.Count, c.What)
	return err
}

// recent bounds the issuances that an announcement makes undecided.
const recent = 5000

// Announce keeps an expectation, and makes issuances that were first seen since the given time undecided, in one
// transaction: it may have come late. charge may be nil.
func (s *Store) Announce(ctx context.Context, e Expectation, since time.Time, charge *Charge, trail ...TrailEntry) error {
	now, late := time.Now(), 0
	err := s.write(ctx, "announcing an issuance", func(tx *sql.Tx) error {
		late = 0
		if e.ID == "" || e.Count < 1 || e.Until.IsZero() || e.Created.IsZero() {
			return errors.New("an expectation without id, count or time")
		}
		if err := charge.take(ctx, tx, now); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO expectations (id, body, token, count, created, until) VALUES (?, ?, ?, ?, ?, ?)`,
			e.ID, orEmpty(e.Body, "{}"), e.Token, e.Count, millis(e.Created), millis(e.Until)); err != nil {
			return err
		}
		ids, err := hashes(ctx, tx, `SELECT id FROM issuances WHERE seq > (SELECT coalesce(max(seq), 0) - ? FROM issuances) AND first_seen >= ?`, recent, millis(since))
		if err != nil {
			return err
		}
		late = len(ids)
		if err := hasten(ctx, tx); err != nil {
			return err
		}
		for _, id := range ids {
			if err := reconsider(ctx, tx, id); err != nil {
				return err
			}
		}
		return addTrail(ctx, tx, now, trail...)
	})
	if err == nil && late > 0 {
		s.announce(TopicFiled)
	}
	return err
}

// CancelExpectation ends an expectation for what has not used it yet.
func (s *Store) CancelExpectation(ctx context.Context, id string, trail ...TrailEntry) error {
	now := time.Now()
	return s.write(ctx, "cancelling an expectation", func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, `UPDATE expectations SET cancelled = ?, closed = ? WHERE id = ? AND closed = 0`, millis(now), millis(now), id)); err != nil {
			return err
		}
		return addTrail(ctx, tx, now, trail...)
	})
}

// CloseExpectation notes that an expectation is over, with what is to be said of it, in one transaction.
func (s *Store) CloseExpectation(ctx context.Context, id string, trail []TrailEntry, messages ...OutboxRow) error {
	now, queued := time.Now(), 0
	err := s.write(ctx, "closing an expectation", func(tx *sql.Tx) error {
		queued = 0
		if err := one(tx.ExecContext(ctx, `UPDATE expectations SET closed = ? WHERE id = ? AND closed = 0`, millis(now), id)); err != nil {
			return err
		}
		for i := range messages {
			n, err := queue(ctx, tx, &messages[i], now)
			if err != nil {
				return err
			}
			queued += n
		}
		return addTrail(ctx, tx, now, trail...)
	})
	if err == nil && queued > 0 {
		s.announce(TopicOutbox)
	}
	return err
}

const expectationColumns = `id, body, token, count, used, created, until, cancelled, closed`

// OpenExpectations returns those that may still be used by what was logged at the given time or later, and those that the
// given issuance has used, the oldest first. issuance may be zero.
func (s *Store) OpenExpectations(ctx context.Context, issuance [32]byte, logged time.Time) ([]Expectation, error) {
	return s.expectations(ctx, `SELECT `+expectationColumns+` FROM expectations WHERE until >= ? AND cancelled = 0 AND used < count
		OR id IN (SELECT expectation FROM expectation_uses WHERE issuance = ?) ORDER BY created, id`, millis(logged), issuance[:])
}

// ExpiredExpectations returns those that are over and not closed.
func (s *Store) ExpiredExpectations(ctx context.Context, now time.Time) ([]Expectation, error) {
	return s.expectations(ctx, `SELECT `+expectationColumns+` FROM expectations WHERE closed = 0 AND until <= ? ORDER BY until, id`, millis(now))
}

// Expectations returns all, the newest first, at most limit.
func (s *Store) Expectations(ctx context.Context, limit int) ([]Expectation, error) {
	return s.expectations(ctx, `SELECT `+expectationColumns+` FROM expectations ORDER BY created DESC, id LIMIT ?`, limit)
}

// Expectation returns one.
func (s *Store) Expectation(ctx context.Context, id string) (Expectation, error) {
	all, err := s.expectations(ctx, `SELECT `+expectationColumns+` FROM expectations WHERE id = ?`, id)
	if err == nil && len(all) == 0 {
		return Expectation{}, fmt.Errorf("expectation %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Expectation{}, err
	}
	return all[0], nil
}

func (s *Store) expectations(ctx context.Context, query string, args ...any) ([]Expectation, error) {
	rows, err := s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.wrap("reading expectations", err)
	}
	defer rows.Close()
	var out []Expectation
	for rows.Next() {
		var e Expectation
		var body string
		var created, until, cancelled, closed int64
		if err := rows.Scan(&e.ID, &body, &e.Token, &e.Count, &e.Used, &created, &until, &cancelled, &closed); err != nil {
			return nil, s.wrap("reading expectations", err)
		}
		e.Body = json.RawMessage(body)
		e.Created, e.Until, e.Cancelled, e.Closed = fromMillis(created), fromMillis(until), fromMillis(cancelled), fromMillis(closed)
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap("reading expectations", err)
	}
	rows.Close()
	for i := range out {
		if out[i].Used == 0 {
			continue
		}
		if out[i].Uses, err = s.usesOf(ctx, out[i].ID); err != nil {
			return nil, s.wrap("reading expectations", err)
		}
	}
	return out, nil
}

func (s *Store) usesOf(ctx context.Context, id string) (out [][32]byte, err error) {
	rows, err := s.r.QueryContext(ctx, `SELECT issuance FROM expectation_uses WHERE expectation = ? ORDER BY at, issuance`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		out = append(out, [32]byte(b))
	}
	return out, rows.Err()
}

// useExpectations records the uses of a decision. The same issuance uses an expectation once.
func useExpectations(ctx context.Context, tx *sql.Tx, d *Decision, now time.Time) error {
	for _, id := range d.Uses {
		res, err := tx.ExecContext(ctx, `INSERT INTO expectation_uses (expectation, issuance, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, id, d.ID[:], millis(now))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return err
			}
			continue
		}
		err = one(tx.ExecContext(ctx, `UPDATE expectations SET used = used + 1 WHERE id = ? AND used < count AND cancelled = 0`, id))
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("expectation %s: %w", id, ErrUsedUp)
		}
		if err != nil {
			return err
		}
		if err := addTrail(ctx, tx, now, TrailEntry{Kind: TrailUsed, Actor: "tocsin", Subject: id,
			Text: fmt.Sprintf("the announced issuance %s was used by issuance %x", id, d.ID)}); err != nil {
			return err
		}
	}
	return nil
}

// TrailUsed is the kind of entries of the trail that the store itself makes: an expectation was used.
const TrailUsed = "expectation-used"
