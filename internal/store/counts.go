package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Counts is the ledger in numbers.
type Counts struct {
	Issuances, Undecided, Sightings int64
	// Levels counts the latest verdicts.
	Levels map[string]int64
	// Outbox is by receiver.
	Outbox map[string]OutboxCounts
	// Faults counts every occurrence.
	Faults int64
}

// OutboxCounts is the outbox of one receiver in numbers.
type OutboxCounts struct {
	Pending, Delivered, Dropped int64
	// Failing counts pending messages that failed at least once.
	Failing int64
	// Oldest is when the oldest pending message was queued; zero when none is pending.
	Oldest time.Time
}

// Counts counts. It reads whole indexes, so it is for status lines, not for loops.
func (s *Store) Counts(ctx context.Context) (Counts, error) {
	out := Counts{Levels: map[string]int64{}, Outbox: map[string]OutboxCounts{}}
	tx, err := s.r.BeginTx(ctx, nil) // one snapshot, so that the numbers belong together
	if err != nil {
		return out, s.wrap("counting", err)
	}
	defer tx.Rollback()
	err = tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM issuances), (SELECT count(*) FROM issuances WHERE state = 'undecided'),
		(SELECT count(*) FROM sightings), (SELECT coalesce(sum(count), 0) FROM faults)`).Scan(&out.Issuances, &out.Undecided, &out.Sightings, &out.Faults)
	if err != nil {
		return out, s.wrap("counting", err)
	}
	levels, err := tx.QueryContext(ctx, `SELECT level, count(*) FROM verdicts WHERE latest = 1 GROUP BY level`)
	if err != nil {
		return out, s.wrap("counting", err)
	}
	defer levels.Close()
	for levels.Next() {
		var level string
		var n int64
		if err := levels.Scan(&level, &n); err != nil {
			return out, s.wrap("counting", err)
		}
		out.Levels[level] = n
	}
	if err := levels.Err(); err != nil {
		return out, s.wrap("counting", err)
	}
	levels.Close()
	rows, err := tx.QueryContext(ctx, `SELECT receiver, sum(state = 'pending'), sum(state = 'delivered'), sum(state = 'dropped'),
		sum(state = 'pending' AND attempts > 0), coalesce(min(CASE state WHEN 'pending' THEN created END), 0) FROM outbox GROUP BY receiver`)
	if err != nil {
		return out, s.wrap("counting", err)
	}
	defer rows.Close()
	for rows.Next() {
		var receiver string
		var c OutboxCounts
		var oldest int64
		if err := rows.Scan(&receiver, &c.Pending, &c.Delivered, &c.Dropped, &c.Failing, &oldest); err != nil {
			return out, s.wrap("counting", err)
		}
		c.Oldest = fromMillis(oldest)
		out.Outbox[receiver] = c
	}
	return out, s.wrap("counting", rows.Err())
}

// Summary is an issuance in a list.
type Summary struct {
	ID        [32]byte
	FirstSeen time.Time
	Precert   bool
	Matches   json.RawMessage
	Sightings int
	// Level and DecidedAt are of the latest verdict, zero when there is none.
	Level     string
	DecidedAt time.Time
	Decided   bool
}

// Recent returns the issuances filed last, newest first, at most limit; only those of the given levels when any are
// given.
func (s *Store) Recent(ctx context.Context, limit int, levels ...string) ([]Summary, error) {
	query := `SELECT i.id, i.first_seen, i.precert, i.matches, (SELECT count(*) FROM sightings WHERE issuance = i.id),
		coalesce(v.level, ''), coalesce(v.decided_at, 0), i.state = 'decided'
		FROM issuances AS i LEFT JOIN verdicts AS v ON v.issuance = i.id AND v.latest = 1`
	var args []any
	if len(levels) > 0 {
		query += ` WHERE v.level IN (?` + strings.Repeat(", ?", len(levels)-1) + `)`
		for _, l := range levels {
			args = append(args, l)
		}
	}
	rows, err := s.r.QueryContext(ctx, query+` ORDER BY i.seq DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, s.wrap("listing issuances", err)
	}
	defer rows.Close()
	var out []Summary
	for rows.Next() {
		var r Summary
		var id []byte
		var matches string
		var first, at int64
		if err := rows.Scan(&id, &first, &r.Precert, &matches, &r.Sightings, &r.Level, &at, &r.Decided); err != nil {
			return nil, s.wrap("listing issuances", err)
		}
		copy(r.ID[:], id)
		r.FirstSeen, r.DecidedAt, r.Matches = fromMillis(first), fromMillis(at), json.RawMessage(matches)
		out = append(out, r)
	}
	return out, s.wrap("listing issuances", rows.Err())
}
