package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"
)

// Start is where reading of a log began.
type Start struct {
	Index uint64
	// Since is such that no entry before Index has this timestamp or a later one; zero when not known.
	Since time.Time
	// At is when the start was chosen. Set by the store when zero.
	At time.Time
	// MMD and Operator are as the list gave them last.
	MMD      time.Duration
	Operator string
}

// addStart keeps the start of a log. The first one stays.
func addStart(ctx context.Context, tx *sql.Tx, log [32]byte, s *Start, now time.Time) error {
	if s == nil {
		return nil
	}
	at := s.At
	if at.IsZero() {
		at = now
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO starts (log, idx, since, at, mmd, operator) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (log) DO UPDATE SET mmd = excluded.mmd, operator = excluded.operator`,
		log[:], int64(s.Index), millis(s.Since), millis(at), s.MMD.Milliseconds(), s.Operator)
	return err
}

// addMark keeps a verified head unless the hour has one.
func addMark(ctx context.Context, tx *sql.Tx, log [32]byte, h *Head, now time.Time) error {
	if h == nil {
		return nil
	}
	received := h.Received
	if received.IsZero() {
		received = now
	}
	// The hour is ours: a log that writes nonsense as timestamps fills no more than others.
	hour := received.Unix() / 3600
	_, err := tx.ExecContext(ctx, `INSERT INTO marks (log, hour, size, timestamp, received) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		log[:], hour, int64(h.Size), int64(h.Timestamp), millis(received))
	return err
}

// SetTerms writes down what the list says of a log now. Nothing is written for a log without a start.
func (s *Store) SetTerms(ctx context.Context, log [32]byte, mmd time.Duration, operator string) error {
	return s.write(ctx, "keeping the terms of a log", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE starts SET mmd = ?2, operator = ?3 WHERE log = ?1 AND (mmd <> ?2 OR operator <> ?3)`, log[:], mmd.Milliseconds(), operator)
		return err
	})
}

// Starts returns where each log began, by id.
func (s *Store) Starts(ctx context.Context) (map[[32]byte]Start, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT log, idx, since, at, mmd, operator FROM starts`)
	if err != nil {
		return nil, s.wrap("reading starts", err)
	}
	defer rows.Close()
	out := map[[32]byte]Start{}
	for rows.Next() {
		var st Start
		var id []byte
		var index, since, at, mmd int64
		if err := rows.Scan(&id, &index, &since, &at, &mmd, &st.Operator); err != nil {
			return nil, s.wrap("reading starts", err)
		}
		st.Index, st.Since, st.At, st.MMD = uint64(index), fromMillis(since), fromMillis(at), time.Duration(mmd)*time.Millisecond
		out[[32]byte(id)] = st
	}
	return out, s.wrap("reading starts", rows.Err())
}

// Marks returns verified heads of a log, one per hour, oldest first, without Root and Raw.
func (s *Store) Marks(ctx context.Context, log [32]byte) ([]Head, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT size, timestamp, received FROM marks WHERE log = ? ORDER BY hour`, log[:])
	if err != nil {
		return nil, s.wrap("reading marks", err)
	}
	defer rows.Close()
	var out []Head
	for rows.Next() {
		var size, timestamp, received int64
		if err := rows.Scan(&size, &timestamp, &received); err != nil {
			return nil, s.wrap("reading marks", err)
		}
		out = append(out, Head{Size: uint64(size), Timestamp: uint64(timestamp), Received: fromMillis(received)})
	}
	return out, s.wrap("reading marks", rows.Err())
}

// Trouble is one that is open, in a form that only its owner reads.
type Trouble struct {
	Code, Subject string
	State         json.RawMessage
}

// Troubles returns the open troubles as they were kept last.
func (s *Store) Troubles(ctx context.Context) ([]Trouble, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT code, subject, state FROM troubles ORDER BY code, subject`)
	if err != nil {
		return nil, s.wrap("reading troubles", err)
	}
	defer rows.Close()
	var out []Trouble
	for rows.Next() {
		var t Trouble
		var state string
		if err := rows.Scan(&t.Code, &t.Subject, &state); err != nil {
			return nil, s.wrap("reading troubles", err)
		}
		t.State = json.RawMessage(state)
		out = append(out, t)
	}
	return out, s.wrap("reading troubles", rows.Err())
}

// SetTroubles keeps the open troubles in place of those kept before, and queues what is to be said about them, in one
// transaction: a trouble that counts as told is told.
func (s *Store) SetTroubles(ctx context.Context, open []Trouble, say []OutboxRow) error {
	now := time.Now()
	queued := 0
	err := s.write(ctx, "keeping troubles", func(tx *sql.Tx) error {
		queued = 0
		if _, err := tx.ExecContext(ctx, `DELETE FROM troubles`); err != nil {
			return err
		}
		for _, t := range open {
			if _, err := tx.ExecContext(ctx, `INSERT INTO troubles (code, subject, state) VALUES (?, ?, ?)`, t.Code, t.Subject, orEmpty(t.State, "{}")); err != nil {
				return err
			}
		}
		for _, row := range say {
			n, err := queue(ctx, tx, &row, now)
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

// LastAlive is the last sign of life; zero for none.
func (s *Store) LastAlive(ctx context.Context) (time.Time, error) {
	var at sql.NullInt64
	err := s.r.QueryRowContext(ctx, `SELECT max(at) FROM alive`).Scan(&at)
	return fromMillis(at.Int64), s.wrap("reading the last sign of life", err)
}

// Waiting counts what is pending, by receiver; the other numbers of [OutboxCounts] stay zero. It reads what is pending
// and nothing else.
func (s *Store) Waiting(ctx context.Context) (map[string]OutboxCounts, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT receiver, count(*), sum(attempts > 0), min(created) FROM outbox INDEXED BY outbox_pending
		WHERE state = 'pending' GROUP BY receiver`)
	if err != nil {
		return nil, s.wrap("reading the outbox", err)
	}
	defer rows.Close()
	out := map[string]OutboxCounts{}
	for rows.Next() {
		var receiver string
		var c OutboxCounts
		var oldest int64
		if err := rows.Scan(&receiver, &c.Pending, &c.Failing, &oldest); err != nil {
			return nil, s.wrap("reading the outbox", err)
		}
		c.Oldest = fromMillis(oldest)
		out[receiver] = c
	}
	return out, s.wrap("reading the outbox", rows.Err())
}

// Thaw makes due whatever waits for a time further than longest away: no delay is that long, so it was computed while
// the clock was wrong.
func (s *Store) Thaw(ctx context.Context, now time.Time, longest time.Duration) error {
	woken := int64(0)
	err := s.write(ctx, "waking what waits", func(tx *sql.Tx) error {
		woken = 0
		for _, q := range []string{
			`UPDATE outbox SET next_attempt = ?1 WHERE state = 'pending' AND next_attempt > ?2`,
			`UPDATE issuances SET decide_after = 0 WHERE state = 'undecided' AND ?1 > 0 AND decide_after > ?2`,
		} {
			res, err := tx.ExecContext(ctx, q, millis(now), millis(now.Add(longest)))
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			woken += n
		}
		return nil
	})
	if err == nil && woken > 0 {
		s.announce(TopicOutbox)
		s.announce(TopicFiled)
	}
	return err
}
