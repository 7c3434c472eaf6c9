package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// queue inserts a row unless it is there or held back, and returns how many rows were inserted.
func queue(ctx context.Context, tx *sql.Tx, row *OutboxRow, now time.Time) (int, error) {
	if row.ID == "" || row.Receiver == "" || row.Kind == "" {
		return 0, errors.New("message without id, receiver or kind")
	}
	var issuance []byte
	if row.Issuance != [32]byte{} {
		issuance = row.Issuance[:]
	}
	next := row.NextAttempt
	if next.IsZero() {
		next = now
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO outbox (id, issuance, receiver, kind, rank, payload, text, state, next_attempt, created)
		SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', ?8, ?9
		WHERE ?5 = 0 OR ?2 IS NULL OR NOT EXISTS (SELECT 1 FROM outbox WHERE issuance = ?2 AND receiver = ?3 AND rank >= ?5)
		ON CONFLICT (id) DO NOTHING`,
		row.ID, issuance, row.Receiver, row.Kind, row.Rank, orEmpty(row.Payload, "{}"), row.Text, millis(next), millis(now))
	if err != nil {
		return 0, fmt.Errorf("message %s: %w", row.ID, err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// Enqueue queues messages that concern no issuance, as a fault or a daily notice. Each needs an ID; one that is there
// already is left out.
func (s *Store) Enqueue(ctx context.Context, rows ...OutboxRow) (queued int, err error) {
	now := time.Now()
	err = s.write(ctx, "queueing messages", func(tx *sql.Tx) error {
		for _, row := range rows {
			n, err := queue(ctx, tx, &row, now)
			if err != nil {
				return err
			}
			queued += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if queued > 0 {
		s.announce(TopicOutbox)
	}
	return queued, nil
}

const outboxColumns = `seq, id, issuance, receiver, kind, rank, payload, text, state, attempts, next_attempt, last_error, created, delivered_at`

func (s *Store) outbox(ctx context.Context, query string, args ...any) ([]OutboxRow, error) {
	rows, err := s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []OutboxRow
	for rows.Next() {
		var r OutboxRow
		var issuance []byte
		var payload string
		var next, created, delivered int64
		if err := rows.Scan(&r.order, &r.ID, &issuance, &r.Receiver, &r.Kind, &r.Rank, &payload, &r.Text, &r.State, &r.Attempts,
			&next, &r.LastError, &created, &delivered); err != nil {
			return nil, err
		}
		copy(r.Issuance[:], issuance)
		r.Payload = json.RawMessage(payload)
		r.NextAttempt, r.Created, r.DeliveredAt = fromMillis(next), fromMillis(created), fromMillis(delivered)
		out = append(out, r)
	}
	return out, rows.Err()
}

// Due returns the pending messages of a receiver whose time has come, oldest first, at most limit. It marks nothing:
// each receiver has one loop.
func (s *Store) Due(ctx context.Context, receiver string, now time.Time, limit int) ([]OutboxRow, error) {
	out, err := s.outbox(ctx, `SELECT `+outboxColumns+` FROM outbox INDEXED BY outbox_pending
		WHERE receiver = ? AND state = 'pending' AND next_attempt <= ? ORDER BY seq LIMIT ?`, receiver, millis(now), limit)
	return out, s.wrap("reading the outbox", err)
}

// NextDue is the earliest time at which a message of the receiver is due, also when that is past; ok is false when
// nothing is pending.
func (s *Store) NextDue(ctx context.Context, receiver string) (at time.Time, ok bool, err error) {
	var ms sql.NullInt64
	err = s.r.QueryRowContext(ctx, `SELECT min(next_attempt) FROM outbox INDEXED BY outbox_next
		WHERE receiver = ? AND state = 'pending'`, receiver).Scan(&ms)
	return fromMillis(ms.Int64), ms.Valid, s.wrap("reading the outbox", err)
}

// Delivered marks a message as delivered. Repeated calls change nothing.
func (s *Store) Delivered(ctx context.Context, id string) error {
	now := millis(time.Now())
	return s.write(ctx, "marking a message as delivered", func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE outbox SET
			attempts = attempts + (state <> 'delivered'),
			delivered_at = CASE state WHEN 'delivered' THEN delivered_at ELSE ? END,
			state = 'delivered', last_error = '' WHERE id = ?`, now, id))
	})
}

// Failed counts a failed attempt and sets the time of the next one. The error is kept as text of at most 500 bytes.
func (s *Store) Failed(ctx context.Context, id string, cause error, next time.Time) error {
	text := "unknown"
	if cause != nil {
		text = bounded(cause.Error())
	}
	return s.write(ctx, "marking a message as failed", func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE outbox SET attempts = attempts + 1, last_error = ?, next_attempt = ?
			WHERE id = ? AND state = 'pending'`, text, millis(next), id))
	})
}

// Drop gives a pending message up, for a policy that somebody wrote down. It is counted, see [Counts].
func (s *Store) Drop(ctx context.Context, id string, why string) error {
	return s.write(ctx, "dropping a message", func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE outbox SET state = 'dropped', last_error = ? WHERE id = ? AND state = 'pending'`,
			bounded(why), id))
	})
}

// Wake makes all pending messages of a receiver due at once that it did not take: it has come back, and nothing need wait
// out its delay. What was put off and not tried yet keeps its time.
func (s *Store) Wake(ctx context.Context, receiver string, now time.Time) error {
	return s.write(ctx, "waking a receiver", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE outbox SET next_attempt = ?1 WHERE receiver = ?2 AND state = 'pending' AND next_attempt > ?1 AND attempts > 0`,
			millis(now), receiver)
		return err
	})
}

// Outbox returns all messages about an issuance, oldest first.
func (s *Store) Outbox(ctx context.Context, issuance [32]byte) ([]OutboxRow, error) {
	out, err := s.outbox(ctx, `SELECT `+outboxColumns+` FROM outbox WHERE issuance = ? ORDER BY seq`, issuance[:])
	return out, s.wrap("reading the outbox", err)
}
