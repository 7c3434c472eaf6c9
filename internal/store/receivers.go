package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// rememberedFor is how long what a receiver remembers is kept after it was last written. An incident that is touched
// again later begins a new message.
const rememberedFor = 400 * 24 * time.Hour

// Remembered returns what a receiver remembers under a key; ok is false when that is nothing.
func (s *Store) Remembered(ctx context.Context, receiver, key string) (value string, ok bool, err error) {
	err = s.r.QueryRowContext(ctx, `SELECT value FROM receiver_state WHERE receiver = ? AND key = ?`, receiver, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return value, err == nil, s.wrap("reading what a receiver remembers", err)
}

// maxRemembered bounds a value in bytes: it is an id or a few, never a message.
const maxRemembered = 64 << 10

// Remember writes down what a receiver has to know at its next message; an empty value forgets it. What was not written
// for long is forgotten on the way.
func (s *Store) Remember(ctx context.Context, receiver, key, value string) error {
	if receiver == "" || key == "" || len(value) > maxRemembered {
		return fmt.Errorf("remembering %d bytes of %q for %q: a receiver and key are needed, and at most %d bytes", len(value), key, receiver, maxRemembered)
	}
	now := time.Now()
	return s.write(ctx, "writing what a receiver remembers", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM receiver_state WHERE updated < ?`, millis(now.Add(-rememberedFor))); err != nil {
			return err
		}
		if value == "" {
			_, err := tx.ExecContext(ctx, `DELETE FROM receiver_state WHERE receiver = ? AND key = ?`, receiver, key)
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO receiver_state (receiver, key, value, updated) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (receiver, key) DO UPDATE SET value = ?3, updated = ?4`, receiver, key, value, millis(now))
		return err
	})
}
