package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// IncidentFilter says which incidents are listed; what is not given does not matter.
type IncidentFilter struct {
	// Closed lists those that are at their end in place of the open ones.
	Closed bool
	// AtLeast is the least rank of the level.
	AtLeast             int
	Owner, Status, Kind string
	// After is the last one of the page before.
	After *Incident
	// Limit is how many at most; 0 means 10,000.
	Limit int
}

// Incidents lists incidents: the highest level first, then the latest.
func (s *Store) Incidents(ctx context.Context, f IncidentFilter) ([]Incident, error) {
	where, args := []string{"closed = ?"}, []any{f.Closed}
	add := func(clause string, values ...any) {
		where, args = append(where, clause), append(args, values...)
	}
	if f.AtLeast > 0 {
		add("rank >= ?", f.AtLeast)
	}
	if f.Owner != "" {
		add("owner = ?", f.Owner)
	}
	if f.Status != "" {
		add("status = ?", f.Status)
	}
	if f.Kind != "" {
		add("kind = ?", f.Kind)
	}
	if a := f.After; a != nil {
		add("(-rank, -opened, id) > (?, ?, ?)", -a.Rank, -millis(a.Opened), a.ID)
	}
	if f.Limit <= 0 {
		f.Limit = 10_000
	}
	return s.incidents(ctx, false, "WHERE "+strings.Join(where, " AND ")+" ORDER BY rank DESC, opened DESC, id LIMIT ?", append(args, f.Limit)...)
}

// IncidentCount is how many incidents there are of a status and level.
type IncidentCount struct {
	Status, Level string
	Count         int
}

// CountIncidents counts the open ones.
func (s *Store) CountIncidents(ctx context.Context) ([]IncidentCount, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT status, level, count(*) FROM incidents WHERE closed = 0 GROUP BY status, level ORDER BY status, level`)
	if err != nil {
		return nil, s.wrap("counting incidents", err)
	}
	defer rows.Close()
	var out []IncidentCount
	for rows.Next() {
		var c IncidentCount
		if err := rows.Scan(&c.Status, &c.Level, &c.Count); err != nil {
			return nil, s.wrap("counting incidents", err)
		}
		out = append(out, c)
	}
	return out, s.wrap("counting incidents", rows.Err())
}

const memberColumns = `m.incident, m.issuance, m.fingerprint, m.issuer, m.at, m.state, m.alarm`

func (s *Store) members(ctx context.Context, query string, args ...any) ([]IncidentMember, error) {
	rows, err := s.r.QueryContext(ctx, "SELECT "+memberColumns+" FROM incident_members AS m "+query, args...)
	if err != nil {
		return nil, s.wrap("reading the certificates of incidents", err)
	}
	defer rows.Close()
	var out []IncidentMember
	for rows.Next() {
		var m IncidentMember
		var issuance []byte
		var at int64
		var state, alarm string
		if err := rows.Scan(&m.Incident, &issuance, &m.Fingerprint, &m.Issuer, &at, &state, &alarm); err != nil {
			return nil, s.wrap("reading the certificates of incidents", err)
		}
		copy(m.Issuance[:], issuance)
		m.At, m.State, m.Alarm = fromMillis(at), json.RawMessage(state), json.RawMessage(alarm)
		out = append(out, m)
	}
	return out, s.wrap("reading the certificates of incidents", rows.Err())
}

// IncidentMembers returns the certificates of an incident, the newest first, at most limit.
func (s *Store) IncidentMembers(ctx context.Context, incident string, limit int) ([]IncidentMember, error) {
	return s.members(ctx, `WHERE m.incident = ? ORDER BY m.at DESC, m.issuance LIMIT ?`, incident, limit)
}

// IncidentMember returns one certificate of an incident; ok is false when it is none.
func (s *Store) IncidentMember(ctx context.Context, incident string, issuance [32]byte) (m IncidentMember, ok bool, err error) {
	all, err := s.members(ctx, `WHERE m.incident = ? AND m.issuance = ?`, incident, issuance[:])
	if err != nil || len(all) == 0 {
		return m, false, err
	}
	return all[0], true, nil
}

// IncidentsOf returns what incidents have of a certificate, the newest incident first.
func (s *Store) IncidentsOf(ctx context.Context, issuance [32]byte) ([]IncidentMember, error) {
	return s.members(ctx, `JOIN incidents AS i ON i.id = m.incident WHERE m.issuance = ? ORDER BY i.opened DESC, i.id`, issuance[:])
}

// FingerprintKnown reports whether another certificate of an incident has the fingerprint.
func (s *Store) FingerprintKnown(ctx context.Context, incident, fingerprint string, but [32]byte) (bool, error) {
	var one int
	err := s.r.QueryRowContext(ctx, `SELECT 1 FROM incident_members WHERE incident = ? AND fingerprint = ? AND issuance <> ? LIMIT 1`, incident, fingerprint, but[:]).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, s.wrap("reading the certificates of incidents", err)
}

// TouchedBy is an open incident with certificates by an issuing key that nobody expects.
type TouchedBy struct {
	Incident, Key string
	Last          time.Time
}

// IncidentsByIssuer returns the open incidents that an issuing key has touched since then.
func (s *Store) IncidentsByIssuer(ctx context.Context, issuer string, since time.Time) ([]TouchedBy, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT i.id, i.key, max(m.at) FROM incident_members AS m JOIN incidents AS i ON i.id = m.incident
		WHERE m.issuer = ? AND m.issuer <> '' AND m.at >= ? AND i.closed = 0 GROUP BY i.id ORDER BY i.id`, issuer, millis(since))
	if err != nil {
		return nil, s.wrap("reading incidents", err)
	}
	defer rows.Close()
	var out []TouchedBy
	for rows.Next() {
		var t TouchedBy
		var at int64
		if err := rows.Scan(&t.Incident, &t.Key, &at); err != nil {
			return nil, s.wrap("reading incidents", err)
		}
		t.Last = fromMillis(at)
		out = append(out, t)
	}
	return out, s.wrap("reading incidents", rows.Err())
}

// TrailOf returns what was done to one thing, the oldest first.
func (s *Store) TrailOf(ctx context.Context, subject string) ([]TrailEntry, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT seq, at, kind, actor, subject, text FROM trail WHERE subject = ? ORDER BY seq`, subject)
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
