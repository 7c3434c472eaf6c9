package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Candidate is an issuance that a prefix might mean.
type Candidate struct {
	ID        [32]byte
	FirstSeen time.Time
}

// Record is all that is known of one issuance.
type Record struct {
	Issuance  Issuance
	Sightings []Sighting // oldest first, with raw bytes
	Verdicts  []Verdict  // oldest first; the last one is the latest
	Outbox    []OutboxRow
}

// maxCandidates bounds what an [AmbiguousError] lists.
const maxCandidates = 10

// Find returns the issuance that a prefix of at least 4 hex digits names: of its id, of the SHA-256 of one of its
// certificates, or of the id of an alarm about it. Upper case, colons and a leading "sha256:" are allowed. Errors:
// *[PrefixError], *[AmbiguousError], [ErrNotFound].
func (s *Store) Find(ctx context.Context, prefix string) (*Record, error) {
	low, high, digits, err := hexRange(prefix)
	if err != nil {
		return nil, err
	}
	rows, err := s.r.QueryContext(ctx, `SELECT id, first_seen FROM issuances WHERE
		id IN (SELECT id FROM issuances WHERE id BETWEEN ?1 AND ?2 LIMIT ?4)
		OR id IN (SELECT DISTINCT issuance FROM fingerprints WHERE sha256 BETWEEN ?1 AND ?2 LIMIT ?4)
		OR id IN (SELECT DISTINCT issuance FROM outbox WHERE id >= ?3 AND id < ?3 || 'g' LIMIT ?4)
		ORDER BY seq LIMIT ?4`, low[:], high[:], digits, maxCandidates+1)
	if err != nil {
		return nil, s.wrap("searching", err)
	}
	defer rows.Close()
	var found []Candidate
	for rows.Next() {
		var c Candidate
		var id []byte
		var first int64
		if err := rows.Scan(&id, &first); err != nil {
			return nil, s.wrap("searching", err)
		}
		copy(c.ID[:], id)
		c.FirstSeen = fromMillis(first)
		found = append(found, c)
	}
	if err := rows.Err(); err != nil {
		return nil, s.wrap("searching", err)
	}
	rows.Close()
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("nothing is filed under %s: %w", digits, ErrNotFound)
	case len(found) > maxCandidates:
		return nil, &AmbiguousError{Prefix: digits, Candidates: found[:maxCandidates], More: true}
	case len(found) > 1:
		return nil, &AmbiguousError{Prefix: digits, Candidates: found}
	}
	return s.Record(ctx, found[0].ID)
}

// hexRange turns a prefix into the least and greatest 32 bytes that begin with it.
func hexRange(text string) (low, high [32]byte, digits string, err error) {
	digits = strings.ToLower(strings.TrimSpace(text))
	digits = strings.TrimPrefix(digits, "sha256:")
	digits = strings.ReplaceAll(digits, ":", "")
	switch {
	case strings.Trim(digits, "0123456789abcdef") != "":
		return low, high, "", &PrefixError{Text: short(text), Problem: "it has other characters than hex digits"}
	case len(digits) < 4:
		return low, high, "", &PrefixError{Text: short(text), Problem: "it is too short"}
	case len(digits) > 64:
		return low, high, "", &PrefixError{Text: short(text), Problem: "it is too long"}
	}
	// Both are valid hex of 64 digits.
	hex.Decode(low[:], []byte(digits+strings.Repeat("0", 64-len(digits))))
	hex.Decode(high[:], []byte(digits+strings.Repeat("f", 64-len(digits))))
	return low, high, digits, nil
}

func short(text string) string {
	if len(text) > 80 {
		return text[:80] + "…"
	}
	return text
}

// Record returns all that is known of one issuance, or [ErrNotFound].
func (s *Store) Record(ctx context.Context, id [32]byte) (*Record, error) {
	list, err := s.issuances(ctx, `SELECT `+issuanceColumns+` FROM issuances AS i WHERE i.id = ?`, id[:])
	if err != nil {
		return nil, s.wrap("reading an issuance", err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("issuance %x: %w", id[:8], ErrNotFound)
	}
	rec := &Record{Issuance: list[0]}
	if rec.Issuance.Fingerprints, err = s.fingerprints(ctx, id); err != nil {
		return nil, err
	}
	if rec.Sightings, err = s.Sightings(ctx, id, true); err != nil {
		return nil, err
	}
	if rec.Verdicts, err = s.Verdicts(ctx, id); err != nil {
		return nil, err
	}
	rec.Outbox, err = s.Outbox(ctx, id)
	return rec, err
}

func (s *Store) fingerprints(ctx context.Context, id [32]byte) ([][32]byte, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT sha256 FROM fingerprints WHERE issuance = ? ORDER BY sha256`, id[:])
	if err != nil {
		return nil, s.wrap("reading an issuance", err)
	}
	defer rows.Close()
	var out [][32]byte
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return nil, s.wrap("reading an issuance", err)
		}
		out = append(out, [32]byte(b))
	}
	return out, s.wrap("reading an issuance", rows.Err())
}

// Sightings returns the entries in which an issuance was seen, oldest first; Leaf, Extra and PrecertDER only when raw
// is set.
func (s *Store) Sightings(ctx context.Context, id [32]byte, raw bool) ([]Sighting, error) {
	bytes := "NULL, NULL, NULL"
	if raw {
		bytes = "s.leaf, s.extra, s.precert_der"
	}
	rows, err := s.r.QueryContext(ctx, `SELECT s.log, l.name, s.idx, s.timestamp, s.precert, s.seen, s.leaf_hash, `+bytes+`
		FROM sightings AS s JOIN logs AS l ON l.id = s.log WHERE s.issuance = ? ORDER BY s.seq`, id[:])
	if err != nil {
		return nil, s.wrap("reading sightings", err)
	}
	defer rows.Close()
	var out []Sighting
	for rows.Next() {
		var si Sighting
		var log, hash []byte
		var index, timestamp, seen int64
		if err := rows.Scan(&log, &si.LogName, &index, &timestamp, &si.Precert, &seen, &hash, &si.Leaf, &si.Extra, &si.PrecertDER); err != nil {
			return nil, s.wrap("reading sightings", err)
		}
		copy(si.LogID[:], log)
		copy(si.LeafHash[:], hash)
		si.Index, si.Timestamp, si.Seen = uint64(index), uint64(timestamp), fromMillis(seen)
		out = append(out, si)
	}
	return out, s.wrap("reading sightings", rows.Err())
}

// Verdicts returns all verdicts on an issuance, oldest first.
func (s *Store) Verdicts(ctx context.Context, id [32]byte) ([]Verdict, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT revision, version, level, reasons, facts, decided_at, latest FROM verdicts
		WHERE issuance = ? ORDER BY seq`, id[:])
	if err != nil {
		return nil, s.wrap("reading verdicts", err)
	}
	defer rows.Close()
	var out []Verdict
	for rows.Next() {
		var v Verdict
		var reasons, facts string
		var at int64
		if err := rows.Scan(&v.Revision, &v.Version, &v.Level, &reasons, &facts, &at, &v.Latest); err != nil {
			return nil, s.wrap("reading verdicts", err)
		}
		v.Reasons, v.Facts, v.At = []byte(reasons), []byte(facts), fromMillis(at)
		out = append(out, v)
	}
	return out, s.wrap("reading verdicts", rows.Err())
}

const logColumns = `SELECT id, name, cursor, size, updated FROM logs`

func scanLog(row interface{ Scan(...any) error }) (Log, error) {
	var l Log
	var id []byte
	var size, updated int64
	err := row.Scan(&id, &l.Name, &l.Cursor, &size, &updated)
	copy(l.ID[:], id)
	l.Size, l.Updated = uint64(size), fromMillis(updated)
	return l, err
}

// LoadLog returns how far a log was read; ok is false when nothing was committed for it.
func (s *Store) LoadLog(ctx context.Context, id [32]byte) (l Log, ok bool, err error) {
	l, err = scanLog(s.r.QueryRowContext(ctx, logColumns+` WHERE id = ?`, id[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return Log{}, false, nil
	}
	return l, err == nil, s.wrap("reading a cursor", err)
}

// Logs returns all logs of which something was committed, by name.
func (s *Store) Logs(ctx context.Context) ([]Log, error) {
	rows, err := s.r.QueryContext(ctx, logColumns+` ORDER BY name, id`)
	if err != nil {
		return nil, s.wrap("reading the cursors", err)
	}
	defer rows.Close()
	var out []Log
	for rows.Next() {
		l, err := scanLog(rows)
		if err != nil {
			return nil, s.wrap("reading the cursors", err)
		}
		out = append(out, l)
	}
	return out, s.wrap("reading the cursors", rows.Err())
}

// Heads returns the latest heads of a log, newest first, at most limit.
func (s *Store) Heads(ctx context.Context, log [32]byte, limit int) ([]Head, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT size, root, timestamp, raw, received FROM heads WHERE log = ? ORDER BY seq DESC LIMIT ?`,
		log[:], limit)
	if err != nil {
		return nil, s.wrap("reading heads", err)
	}
	defer rows.Close()
	var out []Head
	for rows.Next() {
		var h Head
		var root []byte
		var size, timestamp, received int64
		if err := rows.Scan(&size, &root, &timestamp, &h.Raw, &received); err != nil {
			return nil, s.wrap("reading heads", err)
		}
		copy(h.Root[:], root)
		h.Size, h.Timestamp, h.Received = uint64(size), uint64(timestamp), fromMillis(received)
		out = append(out, h)
	}
	return out, s.wrap("reading heads", rows.Err())
}
