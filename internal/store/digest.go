package store

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// FiledRow is an issuance as a digest counts it.
type FiledRow struct {
	ID        [32]byte
	FirstSeen time.Time
	Matches   json.RawMessage
	// Level is that of the latest verdict, "" while there is none.
	Level string
	// Issuer is who issued, as far as it is proven, else "": see [Issued].
	Issuer string
	// Cert and Precert are set by [Store.EachLive] alone.
	Cert    []byte
	Precert bool
}

// EachFiled calls f for each issuance that was first seen from one time to another (not included), the oldest first,
// until f returns an error.
func (s *Store) EachFiled(ctx context.Context, from, to time.Time, f func(*FiledRow) error) error {
	return s.eachFiled(ctx, f, `SELECT i.id, i.first_seen, i.matches, coalesce(v.level, ''), coalesce((SELECT issuer FROM issued WHERE issuance = i.id LIMIT 1), ''), x'', 0
		FROM issuances AS i LEFT JOIN verdicts AS v ON v.issuance = i.id AND v.latest = 1
		WHERE i.first_seen >= ? AND i.first_seen < ? ORDER BY i.first_seen, i.seq`, millis(from), millis(to))
}

// EachLive calls f for each issuance that was first seen since the given time and rang nobody, with its certificate.
func (s *Store) EachLive(ctx context.Context, since time.Time, f func(*FiledRow) error) error {
	return s.eachFiled(ctx, f, `SELECT i.id, i.first_seen, i.matches, v.level, '', i.cert, i.precert
		FROM issuances AS i JOIN verdicts AS v ON v.issuance = i.id AND v.latest = 1
		WHERE i.first_seen >= ? AND v.level IN ('expected', 'digest') ORDER BY i.first_seen, i.seq`, millis(since))
}

func (s *Store) eachFiled(ctx context.Context, f func(*FiledRow) error, query string, args ...any) error {
	rows, err := s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return s.wrap("reading what was filed", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r FiledRow
		var id []byte
		var first int64
		var matches string
		if err := rows.Scan(&id, &first, &matches, &r.Level, &r.Issuer, &r.Cert, &r.Precert); err != nil {
			return s.wrap("reading what was filed", err)
		}
		copy(r.ID[:], id)
		r.FirstSeen, r.Matches = fromMillis(first), json.RawMessage(matches)
		if err := f(&r); err != nil {
			return err
		}
	}
	return s.wrap("reading what was filed", rows.Err())
}

// TokenUse is what a token was granted in a span of time.
type TokenUse struct {
	ID, Name string
	// Times is how often, Count how many issuances.
	Times, Count int
}

// TokensUsed returns what tokens were granted from one time to another (not included).
func (s *Store) TokensUsed(ctx context.Context, from, to time.Time) ([]TokenUse, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT g.token, t.name, count(*), sum(g.count) FROM grants AS g JOIN tokens AS t ON t.id = g.token
		WHERE g.at >= ? AND g.at < ? GROUP BY g.token ORDER BY sum(g.count) DESC, g.token`, millis(from), millis(to))
	if err != nil {
		return nil, s.wrap("reading what tokens were granted", err)
	}
	defer rows.Close()
	var out []TokenUse
	for rows.Next() {
		var u TokenUse
		if err := rows.Scan(&u.ID, &u.Name, &u.Times, &u.Count); err != nil {
			return nil, s.wrap("reading what tokens were granted", err)
		}
		out = append(out, u)
	}
	return out, s.wrap("reading what tokens were granted", rows.Err())
}

// TrailCounts counts the entries of the trail from one time to another (not included), by kind.
func (s *Store) TrailCounts(ctx context.Context, from, to time.Time) (map[string]int, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT kind, count(*) FROM trail WHERE at >= ? AND at < ? GROUP BY kind`, millis(from), millis(to))
	if err != nil {
		return nil, s.wrap("counting the trail", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var kind string
		var n int
		if err := rows.Scan(&kind, &n); err != nil {
			return nil, s.wrap("counting the trail", err)
		}
		out[kind] = n
	}
	return out, s.wrap("counting the trail", rows.Err())
}

// TrailOfKinds is [Store.Trail] for some kinds.
func (s *Store) TrailOfKinds(ctx context.Context, from, to time.Time, limit int, kinds ...string) ([]TrailEntry, error) {
	args := []any{millis(from), millis(to)}
	for _, k := range kinds {
		args = append(args, k)
	}
	rows, err := s.r.QueryContext(ctx, `SELECT seq, at, kind, actor, subject, text FROM trail WHERE at >= ? AND at < ?
		AND kind IN (''`+strings.Repeat(", ?", len(kinds))+`) ORDER BY at, seq LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, s.wrap("reading the trail", err)
	}
	defer rows.Close()
	var out []TrailEntry
	for rows.Next() {
		var e TrailEntry
		var at int64
		if err := rows.Scan(&e.Seq, &at, &e.Kind, &e.Actor, &e.Subject, &e.Text); err != nil {
			return nil, s.wrap("reading the trail", err)
		}
		e.At = fromMillis(at)
		out = append(out, e)
	}
	return out, s.wrap("reading the trail", rows.Err())
}

// OfTheDigest is under what name the daemon remembers when its last digest was made: no receiver may have it.
const OfTheDigest = "\x00digest"

// DigestedUntil is until when digests have told, zero when there was none.
func (s *Store) DigestedUntil(ctx context.Context) (time.Time, error) {
	text, ok, err := s.Remembered(ctx, OfTheDigest, "until")
	if err != nil || !ok {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, s.wrap("reading when the last digest was made", errors.New("it is no time"))
	}
	return at, nil
}

// SetDigestedUntil keeps until when digests have told.
func (s *Store) SetDigestedUntil(ctx context.Context, at time.Time) error {
	return s.Remember(ctx, OfTheDigest, "until", at.UTC().Format(time.RFC3339Nano))
}
