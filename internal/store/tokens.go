package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Token lets somebody announce issuances, within its scope. The secret itself is not kept.
type Token struct {
	ID string
	// Hash is the SHA-256 of the secret.
	Hash  [32]byte
	Name  string
	Scope json.RawMessage // JSON of package expectation
	// Expires ends it.
	Expires time.Time

	// Set by the store.
	Created, Revoked, LastUsed time.Time
	Granted                    int
}

// AddToken keeps a new token.
func (s *Store) AddToken(ctx context.Context, t Token, trail ...TrailEntry) error {
	now := time.Now()
	return s.write(ctx, "keeping a token", func(tx *sql.Tx) error {
		if t.ID == "" || t.Hash == [32]byte{} || t.Expires.IsZero() {
			return errors.New("a token without id, secret or end")
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO tokens (id, hash, name, scope, created, expires) VALUES (?, ?, ?, ?, ?, ?)`,
			t.ID, t.Hash[:], t.Name, orEmpty(t.Scope, "{}"), millis(now), millis(t.Expires)); err != nil {
			return err
		}
		return addTrail(ctx, tx, now, trail...)
	})
}

// RevokeToken ends a token now, and cancels what it announced and nothing has used.
func (s *Store) RevokeToken(ctx context.Context, id string, trail ...TrailEntry) (cancelled int, err error) {
	now := time.Now()
	err = s.write(ctx, "revoking a token", func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, `UPDATE tokens SET revoked = ? WHERE id = ? AND revoked = 0`, millis(now), id)); err != nil {
			return fmt.Errorf("token %s: %w", id, err)
		}
		res, err := tx.ExecContext(ctx, `UPDATE expectations SET cancelled = ?1, closed = ?1 WHERE token = ?2 AND closed = 0`, millis(now), id)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		cancelled = int(n)
		return addTrail(ctx, tx, now, trail...)
	})
	return cancelled, err
}

const tokenColumns = `id, hash, name, scope, created, expires, revoked, last_used`

func scanToken(row interface{ Scan(...any) error }) (t Token, err error) {
	var hash []byte
	var scope string
	var created, expires, revoked, used int64
	err = row.Scan(&t.ID, &hash, &t.Name, &scope, &created, &expires, &revoked, &used)
	copy(t.Hash[:], hash)
	t.Scope = json.RawMessage(scope)
	t.Created, t.Expires, t.Revoked, t.LastUsed = fromMillis(created), fromMillis(expires), fromMillis(revoked), fromMillis(used)
	return t, err
}

func readToken(ctx context.Context, tx *sql.Tx, id string) (Token, error) {
	t, err := scanToken(tx.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("token %s: %w", id, ErrNotFound)
	}
	return t, err
}

func readGrants(ctx context.Context, tx *sql.Tx, id string) (out []Grant, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT at, count, what FROM grants WHERE token = ? ORDER BY seq`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var g Grant
		var at int64
		if err := rows.Scan(&at, &g.Count, &g.What); err != nil {
			return nil, err
		}
		g.At = fromMillis(at)
		out = append(out, g)
	}
	return out, rows.Err()
}

// Token returns one; an error that wraps [ErrNotFound] when there is none.
func (s *Store) Token(ctx context.Context, id string) (Token, error) {
	t, err := scanToken(s.r.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("token %s: %w", id, ErrNotFound)
	}
	return t, s.wrap("reading a token", err)
}

// Tokens returns all tokens, the newest first.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT `+tokenColumns+` FROM tokens ORDER BY created DESC, id`)
	if err != nil {
		return nil, s.wrap("reading tokens", err)
	}
	defer rows.Close()
	var out []Token
	for rows.Next() {
		t, err := scanToken(rows)
		if err != nil {
			return nil, s.wrap("reading tokens", err)
		}
		out = append(out, t)
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap("reading tokens", err)
	}
	rows.Close()
	for i := range out {
		if err := s.r.QueryRowContext(ctx, `SELECT coalesce(sum(count), 0) FROM grants WHERE token = ?`, out[i].ID).Scan(&out[i].Granted); err != nil {
			return nil, s.wrap("reading tokens", err)
		}
	}
	return out, nil
}
