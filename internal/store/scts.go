package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// SCT is a promise of a log, to be audited.
type SCT struct {
	// LogID and LeafHash name it: a log that promises the same leaf twice has promised it once.
	LogID, LeafHash [32]byte
	// Timestamp is in milliseconds, as the log says.
	Timestamp uint64
	// Raw is the SCT, Leaf the MerkleTreeLeaf that it promises. Both are kept byte for byte.
	Raw, Leaf []byte
	// Issuance is the one in which it was met; zero for none.
	Issuance [32]byte
	// Due is when the promise must be kept; Next when the SCT is to be looked at, zero for never.
	Due, Next time.Time
	// State is one of package audit, Progress its JSON; nil is "{}".
	State    string
	Progress json.RawMessage

	// Set by the store.
	Met, Updated time.Time
}

// States of an SCT that the store itself knows, as package audit names them: what nobody could be asked about, and what
// was no promise at all.
const (
	sctUnaudited = "unaudited"
	sctInvalid   = "invalid"
)

func weakSCT(state string) bool { return state == sctUnaudited || state == sctInvalid }

// QueueSCTs queues SCTs. One that is there already stays as it is, unless it was unaudited or invalid and the new one is
// neither: a forged SCT must not keep the true one out.
func (s *Store) QueueSCTs(ctx context.Context, scts ...SCT) error {
	if len(scts) == 0 {
		return nil
	}
	return s.write(ctx, "queueing SCTs", func(tx *sql.Tx) error { return addSCTs(ctx, tx, scts, time.Now()) })
}

func addSCTs(ctx context.Context, tx *sql.Tx, scts []SCT, now time.Time) error {
	for i := range scts {
		c := &scts[i]
		if c.State == "" || c.LogID == [32]byte{} || c.LeafHash == [32]byte{} {
			return errors.New("SCT without log, leaf or state")
		}
		var issuance []byte
		if c.Issuance != [32]byte{} {
			issuance = c.Issuance[:]
		}
		var old string
		err := tx.QueryRowContext(ctx, `SELECT state FROM scts WHERE log = ? AND leaf_hash = ?`, c.LogID[:], c.LeafHash[:]).Scan(&old)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err = tx.ExecContext(ctx, `INSERT INTO scts (log, leaf_hash, timestamp, raw, leaf, issuance, due, next, state, progress, met, updated)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, c.LogID[:], c.LeafHash[:], int64(c.Timestamp), blob(c.Raw), blob(c.Leaf), issuance,
				millis(c.Due), millis(c.Next), c.State, orEmpty(c.Progress, "{}"), millis(now), millis(now))
		case err == nil && weakSCT(old) && !weakSCT(c.State):
			_, err = tx.ExecContext(ctx, `UPDATE scts SET raw = ?, due = ?, next = ?, state = ?, progress = ?, updated = ? WHERE log = ? AND leaf_hash = ?`,
				blob(c.Raw), millis(c.Due), millis(c.Next), c.State, orEmpty(c.Progress, "{}"), millis(now), c.LogID[:], c.LeafHash[:])
		}
		if err != nil {
			return fmt.Errorf("SCT %x: %w", c.LeafHash[:8], err)
		}
	}
	return nil
}

// SCTLogs returns the logs of which an SCT is to be looked at.
func (s *Store) SCTLogs(ctx context.Context, now time.Time) ([][32]byte, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT DISTINCT log FROM scts WHERE next > 0 AND next <= ?`, millis(now))
	if err != nil {
		return nil, s.wrap("reading the queue of SCTs", err)
	}
	defer rows.Close()
	var out [][32]byte
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, s.wrap("reading the queue of SCTs", err)
		}
		out = append(out, [32]byte(id))
	}
	return out, s.wrap("reading the queue of SCTs", rows.Err())
}

const sctColumns = `log, leaf_hash, timestamp, raw, leaf, issuance, due, next, state, progress, met, updated`

// DueSCTs returns the SCTs of a log that are to be looked at, those that wait longest first, at most limit.
func (s *Store) DueSCTs(ctx context.Context, log [32]byte, now time.Time, limit int) ([]SCT, error) {
	return s.scts(ctx, `SELECT `+sctColumns+` FROM scts WHERE log = ? AND next > 0 AND next <= ? ORDER BY next LIMIT ?`, log[:], millis(now), limit)
}

// SCTsOf returns the SCTs that were met in an issuance, in the order in which they were met.
func (s *Store) SCTsOf(ctx context.Context, issuance [32]byte) ([]SCT, error) {
	return s.scts(ctx, `SELECT `+sctColumns+` FROM scts WHERE issuance = ? ORDER BY seq`, issuance[:])
}

func (s *Store) scts(ctx context.Context, query string, args ...any) ([]SCT, error) {
	rows, err := s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.wrap("reading SCTs", err)
	}
	defer rows.Close()
	var out []SCT
	for rows.Next() {
		var c SCT
		var log, leaf, issuance []byte
		var timestamp, due, next, met, updated int64
		var progress string
		if err := rows.Scan(&log, &leaf, &timestamp, &c.Raw, &c.Leaf, &issuance, &due, &next, &c.State, &progress, &met, &updated); err != nil {
			return nil, s.wrap("reading SCTs", err)
		}
		copy(c.LogID[:], log)
		copy(c.LeafHash[:], leaf)
		copy(c.Issuance[:], issuance)
		c.Timestamp, c.Progress = uint64(timestamp), json.RawMessage(progress)
		c.Due, c.Next, c.Met, c.Updated = fromMillis(due), fromMillis(next), fromMillis(met), fromMillis(updated)
		out = append(out, c)
	}
	return out, s.wrap("reading SCTs", rows.Err())
}

// UpdateSCT keeps what became of an SCT (State, Due, Next and Progress), together with the fault that is to be kept and the
// messages that are to be sent because of it, in one transaction. fault may be nil.
func (s *Store) UpdateSCT(ctx context.Context, c SCT, fault *Fault, messages ...OutboxRow) error {
	now, queued := time.Now(), 0
	err := s.write(ctx, "keeping the state of an SCT", func(tx *sql.Tx) error {
		err := one(tx.ExecContext(ctx, `UPDATE scts SET state = ?, due = ?, next = ?, progress = ?, updated = ? WHERE log = ? AND leaf_hash = ?`,
			c.State, millis(c.Due), millis(c.Next), orEmpty(c.Progress, "{}"), millis(now), c.LogID[:], c.LeafHash[:]))
		if err != nil {
			return err
		}
		if fault != nil {
			if err := addFault(ctx, tx, fault, now); err != nil {
				return err
			}
		}
		for i := range messages {
			n, err := queue(ctx, tx, &messages[i], now)
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

// SightingsOfLeaf returns the indexes at which a log has shown a leaf, the smallest first; at most a few.
func (s *Store) SightingsOfLeaf(ctx context.Context, log, leafHash [32]byte) ([]uint64, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT idx FROM sightings WHERE leaf_hash = ? AND log = ? ORDER BY idx LIMIT 8`, leafHash[:], log[:])
	if err != nil {
		return nil, s.wrap("looking for a leaf", err)
	}
	defer rows.Close()
	var out []uint64
	for rows.Next() {
		var index int64
		if err := rows.Scan(&index); err != nil {
			return nil, s.wrap("looking for a leaf", err)
		}
		out = append(out, uint64(index))
	}
	return out, s.wrap("looking for a leaf", rows.Err())
}

// SCTCounts counts SCTs by state.
func (s *Store) SCTCounts(ctx context.Context) (map[string]int64, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT state, count(*) FROM scts GROUP BY state`)
	if err != nil {
		return nil, s.wrap("counting SCTs", err)
	}
	defer rows.Close()
	out := map[string]int64{}
	for rows.Next() {
		var state string
		var n int64
		if err := rows.Scan(&state, &n); err != nil {
			return nil, s.wrap("counting SCTs", err)
		}
		out[state] = n
	}
	return out, s.wrap("counting SCTs", rows.Err())
}

// ForgetSCTs deletes those of the given states that have not changed since before.
func (s *Store) ForgetSCTs(ctx context.Context, before time.Time, states ...string) error {
	return s.write(ctx, "forgetting SCTs", func(tx *sql.Tx) error {
		for _, state := range states {
			if _, err := tx.ExecContext(ctx, `DELETE FROM scts WHERE state = ? AND updated < ?`, state, millis(before)); err != nil {
				return err
			}
		}
		return nil
	})
}
