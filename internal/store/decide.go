package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// AlarmID is the stable id of a message about an issuance: 32 hex digits. It depends on nothing else, so that a
// decision that is taken again, also after a restart, names the same message.
func AlarmID(issuance [32]byte, receiver, kind string) string {
	h := sha256.New()
	fmt.Fprintf(h, "tocsin alarm 1\x00%s%d:%s%d:%s", issuance[:], len(receiver), receiver, len(kind), kind)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

const issuanceColumns = `i.seq, i.id, i.first_seen, i.cert, i.precert, i.issuer_key_hash, i.matches, i.oddities, i.state, i.revision`

func scanIssuance(rows interface{ Scan(...any) error }) (seq int64, is Issuance, err error) {
	var id, key, cert []byte
	var first int64
	var matches, oddities, state string
	err = rows.Scan(&seq, &id, &first, &cert, &is.Precert, &key, &matches, &oddities, &state, &is.Revision)
	copy(is.ID[:], id)
	copy(is.IssuerKeyHash[:], key)
	is.FirstSeen, is.Cert, is.Decided = fromMillis(first), cert, state == "decided"
	is.Matches, is.Oddities = json.RawMessage(matches), json.RawMessage(oddities)
	return seq, is, err
}

// Undecided returns the oldest issuances that await a decision, at most limit, without those that [Store.Postpone]
// has put off. Sightings are read with [Store.Sightings].
func (s *Store) Undecided(ctx context.Context, limit int) ([]Issuance, error) {
	out, err := s.issuances(ctx, `SELECT `+issuanceColumns+` FROM issuances AS i WHERE i.state = 'undecided' AND i.decide_after <= ?
		ORDER BY i.seq LIMIT ?`, millis(time.Now()), limit)
	return out, s.wrap("reading the undecided", err)
}

// issuances runs a query that yields issuanceColumns, and adds the chains.
func (s *Store) issuances(ctx context.Context, query string, args ...any) ([]Issuance, error) {
	rows, err := s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Issuance
	for rows.Next() {
		_, is, err := scanIssuance(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, is)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows.Close()
	for i := range out {
		if out[i].Chain, err = s.chain(ctx, out[i].ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Store) chain(ctx context.Context, id [32]byte) ([][]byte, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT c.der FROM chains JOIN certificates AS c USING (sha256) WHERE chains.issuance = ?
		ORDER BY chains.position`, id[:])
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var der []byte
		if err := rows.Scan(&der); err != nil {
			return nil, err
		}
		out = append(out, der)
	}
	return out, rows.Err()
}

// Postpone puts a decision off: it could not be taken, and must not stand in the way of others. A commit that changes
// the issuance ends the delay.
func (s *Store) Postpone(ctx context.Context, id [32]byte, until time.Time, why error) error {
	text := ""
	if why != nil {
		text = bounded(why.Error())
	}
	return s.write(ctx, "putting a decision off", func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE issuances SET decide_after = ?, decide_error = ? WHERE id = ?`, millis(until), text, id[:]))
	})
}

// Reconsider marks issuances as to be decided again: a fact came late, or the policy has changed. Without ids it means
// all. What rang already does not ring again unless its level rises.
func (s *Store) Reconsider(ctx context.Context, ids ...[32]byte) error {
	err := s.write(ctx, "reconsidering", func(tx *sql.Tx) error {
		const set = `UPDATE issuances SET revision = revision + 1, state = 'undecided', decide_after = 0`
		if len(ids) == 0 {
			_, err := tx.ExecContext(ctx, set)
			return err
		}
		for _, id := range ids {
			if err := one(tx.ExecContext(ctx, set+` WHERE id = ?`, id[:])); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.announce(TopicFiled)
	}
	return err
}

// Decide keeps a verdict and queues what it makes ring, in one transaction. Rows whose ID is there already, or that
// [OutboxRow.Rank] holds back, are left out; queued says how many were not.
func (s *Store) Decide(ctx context.Context, d Decision) (queued int, err error) {
	now := time.Now()
	at := d.At
	if at.IsZero() {
		at = now
	}
	err = s.write(ctx, "deciding", func(tx *sql.Tx) error {
		var revision int64
		err := tx.QueryRowContext(ctx, `SELECT revision FROM issuances WHERE id = ?`, d.ID[:]).Scan(&revision)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("issuance %x: %w", d.ID[:8], ErrNotFound)
		}
		if err != nil {
			return err
		}
		decided := d.Revision
		if decided == 0 {
			decided = revision
		}
		if _, err := tx.ExecContext(ctx, `UPDATE verdicts SET latest = 0 WHERE issuance = ? AND latest = 1`, d.ID[:]); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO verdicts (issuance, revision, version, level, reasons, facts, decided_at, latest)
			VALUES (?, ?, ?, ?, ?, ?, ?, 1)`, d.ID[:], decided, d.Version, d.Level, orEmpty(d.Reasons, "[]"), orEmpty(d.Facts, "{}"),
			millis(at)); err != nil {
			return err
		}
		if decided == revision {
			if _, err := tx.ExecContext(ctx, `UPDATE issuances SET state = 'decided', decide_after = 0, decide_error = ''
				WHERE id = ?`, d.ID[:]); err != nil {
				return err
			}
		}
		if err := addSCTs(ctx, tx, d.SCTs, now); err != nil {
			return err
		}
		if err := useExpectations(ctx, tx, &d, now); err != nil {
			return err
		}
		if err := decideSubject(ctx, tx, &d); err != nil {
			return err
		}
		if err := addIssued(ctx, tx, &d); err != nil {
			return err
		}
		for _, row := range d.Outbox {
			row.Issuance = d.ID
			if row.ID == "" {
				row.ID = AlarmID(d.ID, row.Receiver, row.Kind)
			}
			n, err := queue(ctx, tx, &row, now)
			if err != nil {
				return err
			}
			queued += n
		}
		n, err := changeIncidents(ctx, tx, d.Incidents, now)
		queued += n
		return err
	})
	if err != nil {
		return 0, err
	}
	if len(d.Incidents) > 0 {
		s.announce(TopicIncidents)
	}
	if queued > 0 {
		s.announce(TopicOutbox)
	}
	return queued, nil
}

// one makes ErrNotFound of a statement that changed nothing.
func one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return ErrNotFound
	}
	return nil
}

func orEmpty(j json.RawMessage, empty string) string {
	if len(j) == 0 {
		return empty
	}
	return string(j)
}

// maxError bounds the errors kept with a row, in bytes.
const maxError = 500

func bounded(text string) string {
	if len(text) <= maxError {
		return text
	}
	end := maxError - len("…")
	for end > maxError-8 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
