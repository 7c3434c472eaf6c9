package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"time"
)

// maxFaults bounds the different pieces of evidence kept per kind and log: a log that signs nonsense every minute must
// not fill the disk. Later ones are counted on the newest that is kept.
const maxFaults = 100

// RecordFault keeps a fault with its evidence. The same fault of a log, in the same words, is counted, and its first
// evidence kept: a restart finds again what lasts, with evidence of another time.
func (s *Store) RecordFault(ctx context.Context, f Fault) error {
	return s.write(ctx, "keeping a fault", func(tx *sql.Tx) error { return addFault(ctx, tx, &f, time.Now()) })
}

func addFault(ctx context.Context, tx *sql.Tx, f *Fault, now time.Time) error {
	at := f.At
	if at.IsZero() {
		at = now
	}
	digest := sha256.Sum256([]byte(f.Text))
	res, err := tx.ExecContext(ctx, `UPDATE faults SET count = count + 1, last = max(last, ?1)
		WHERE seq = (SELECT seq FROM faults WHERE kind = ?2 AND log = ?3 AND digest = ?4)`, millis(at), f.Kind, f.LogID[:], digest[:])
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	res, err = tx.ExecContext(ctx, `INSERT INTO faults (kind, log, log_name, digest, text, evidence, first, last, count)
		SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1 WHERE (SELECT count(*) FROM faults WHERE kind = ?1 AND log = ?2) < ?8`,
		f.Kind, f.LogID[:], f.LogName, digest[:], f.Text, blob(f.Evidence), millis(at), maxFaults)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE faults SET count = count + 1, last = max(last, ?1)
		WHERE seq = (SELECT max(seq) FROM faults WHERE kind = ?2 AND log = ?3)`, millis(at), f.Kind, f.LogID[:])
	return err
}

// Faults returns the latest faults, newest first, at most limit.
func (s *Store) Faults(ctx context.Context, limit int) ([]Fault, error) {
	kept, err := s.faults(ctx, `ORDER BY last DESC, seq DESC LIMIT ?`, limit)
	var out []Fault
	for _, k := range kept {
		out = append(out, k.Fault)
	}
	return out, err
}

// KeptFault is a fault with its number, by which faults are kept in the order in which they were first seen.
type KeptFault struct {
	Seq int64
	Fault
}

// FaultsBefore returns faults from the last to the first: at most limit of those before the one with the number, or of
// all for 0.
func (s *Store) FaultsBefore(ctx context.Context, seq int64, limit int) ([]KeptFault, error) {
	return s.faults(ctx, `WHERE ?1 = 0 OR seq < ?1 ORDER BY seq DESC LIMIT ?2`, seq, limit)
}

func (s *Store) faults(ctx context.Context, which string, args ...any) ([]KeptFault, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT seq, kind, log, log_name, text, evidence, first, last, count FROM faults `+which, args...)
	if err != nil {
		return nil, s.wrap("reading the faults", err)
	}
	defer rows.Close()
	var out []KeptFault
	for rows.Next() {
		var f KeptFault
		var log []byte
		var first, last int64
		if err := rows.Scan(&f.Seq, &f.Kind, &log, &f.LogName, &f.Text, &f.Evidence, &first, &last, &f.Count); err != nil {
			return nil, s.wrap("reading the faults", err)
		}
		copy(f.LogID[:], log)
		f.First, f.Last = fromMillis(first), fromMillis(last)
		f.At = f.Last
		out = append(out, f)
	}
	return out, s.wrap("reading the faults", rows.Err())
}
