package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrIncidentChanged: an incident was changed since it was read, or another one with its key was opened. Read it again
// and decide anew.
var ErrIncidentChanged = errors.New("the incident was changed meanwhile")

// TopicIncidents: incidents have changed, and with them when the next one is due.
const TopicIncidents Topic = 16

// Incident is one incident as it was kept. Lists leave out Key, NextDue, Revision and Body.
type Incident struct {
	ID, Key, Kind, Owner, Group string
	// Parent is the incident beneath which it is grouped, "" for none.
	Parent string
	Level  string
	// Rank orders the levels.
	Rank   int
	Status string
	// Closed: a further certificate begins another one.
	Closed                   bool
	Title                    string
	Certificates, Suppressed int
	Drill                    bool
	Opened, Updated          time.Time
	// NextDue is when it needs to be looked at; zero for never.
	NextDue time.Time
	// Revision grows with each change; 0 is an incident that is not there yet.
	Revision int64
	// Body is the JSON of package incident.
	Body json.RawMessage
}

// IncidentRow is a change of an incident, with all that changes at the same time.
type IncidentRow struct {
	// Incident is as it shall be, but for Revision, which is that at which it was read.
	Incident
	// Members are certificates that were added to it, or that changed.
	Members    []IncidentMember
	Suppressed []Suppression
	Outbox     []OutboxRow
	Trail      []TrailEntry
}

// IncidentMember is a certificate of an incident.
type IncidentMember struct {
	Issuance    [32]byte
	Fingerprint string
	// Issuer is the issuing key when nobody expects it, by which a CA is found that touches many; else "".
	Issuer string
	At     time.Time
	// State is the JSON of package incident, Alarm what receivers are told of the certificate.
	State, Alarm json.RawMessage
	// Incident is set by the store.
	Incident string
}

// Suppression is something that did not ring.
type Suppression struct {
	At time.Time // zero: now
	// Why is the reason in one word; Silence the id of the silence, if that was it.
	Why, Silence string
	// Rules are those that had fired.
	Rules   []string
	Address bool
}

// ChangeIncidents keeps what became of incidents without a verdict, as time passed or somebody acknowledged: the
// incidents and what they make ring, in one transaction.
func (s *Store) ChangeIncidents(ctx context.Context, changes ...IncidentRow) (queued int, err error) {
	now := time.Now()
	err = s.write(ctx, "changing incidents", func(tx *sql.Tx) error {
		queued, err = changeIncidents(ctx, tx, changes, now)
		return err
	})
	if err != nil {
		return 0, err
	}
	s.announce(TopicIncidents)
	if queued > 0 {
		s.announce(TopicOutbox)
	}
	return queued, nil
}

func changeIncidents(ctx context.Context, tx *sql.Tx, changes []IncidentRow, now time.Time) (queued int, err error) {
	for i := range changes {
		c := &changes[i]
		if c.ID == "" || c.Key == "" || c.Status == "" || c.Opened.IsZero() {
			return 0, errors.New("an incident without id, key, status or time")
		}
		if err := putIncident(ctx, tx, &c.Incident); err != nil {
			return 0, fmt.Errorf("incident %s: %w", c.ID, err)
		}
		for _, m := range c.Members {
			if _, err := tx.ExecContext(ctx, `INSERT INTO incident_members (incident, issuance, fingerprint, issuer, at, state, alarm) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
				ON CONFLICT (incident, issuance) DO UPDATE SET fingerprint = ?3, issuer = ?4, at = ?5, state = ?6, alarm = ?7`,
				c.ID, m.Issuance[:], m.Fingerprint, m.Issuer, millis(m.At), orEmpty(m.State, "{}"), orEmpty(m.Alarm, "{}")); err != nil {
				return 0, fmt.Errorf("incident %s: %w", c.ID, err)
			}
		}
		for _, sup := range c.Suppressed {
			if err := suppress(ctx, tx, &sup, now); err != nil {
				return 0, err
			}
		}
		for _, row := range c.Outbox {
			n, err := queue(ctx, tx, &row, now)
			if err != nil {
				return 0, err
			}
			queued += n
		}
		if err := addTrail(ctx, tx, now, c.Trail...); err != nil {
			return 0, err
		}
	}
	return queued, nil
}

func putIncident(ctx context.Context, tx *sql.Tx, i *Incident) error {
	args := []any{i.ID, i.Key, i.Kind, i.Owner, i.Group, i.Parent, i.Level, i.Rank, i.Status, i.Closed, i.Title, i.Certificates, i.Suppressed, i.Drill,
		millis(i.Opened), millis(i.Updated), millis(i.NextDue), i.Revision}
	if i.Revision > 0 {
		err := one(tx.ExecContext(ctx, `UPDATE incidents SET key = ?2, kind = ?3, owner = ?4, grp = ?5, parent = ?6, level = ?7, rank = ?8, status = ?9, closed = ?10, title = ?11,
			certificates = ?12, suppressed = ?13, drill = ?14, opened = ?15, updated = ?16, next_due = ?17, revision = revision + 1
			WHERE id = ?1 AND revision = ?18`, args...))
		if errors.Is(err, ErrNotFound) {
			return ErrIncidentChanged
		}
		if err != nil {
			return err
		}
		return putBody(ctx, tx, i)
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO incidents (id, key, kind, owner, grp, parent, level, rank, status, closed, title, certificates, suppressed, drill, opened, updated, next_due, revision)
		SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18 + 1
		WHERE ?10 = 1 OR NOT EXISTS (SELECT 1 FROM incidents WHERE key = ?2 AND closed = 0)
		ON CONFLICT (id) DO NOTHING`, args...)
	if err = one(res, err); errors.Is(err, ErrNotFound) {
		return ErrIncidentChanged
	}
	if err != nil {
		return err
	}
	return putBody(ctx, tx, i)
}

func putBody(ctx context.Context, tx *sql.Tx, i *Incident) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO incident_bodies (incident, body) VALUES (?1, ?2) ON CONFLICT (incident) DO UPDATE SET body = ?2`, i.ID, orEmpty(i.Body, "{}"))
	return err
}

// incidentColumns are those of a list, wholeColumns those beside them.
const (
	incidentColumns = `id, kind, owner, grp, parent, level, rank, status, closed, title, certificates, suppressed, drill, opened, updated`
	wholeColumns    = `, key, next_due, revision, (SELECT body FROM incident_bodies WHERE incident = id)`
)

func (s *Store) incidents(ctx context.Context, whole bool, query string, args ...any) ([]Incident, error) {
	columns := incidentColumns
	if whole {
		columns += wholeColumns
	}
	rows, err := s.r.QueryContext(ctx, "SELECT "+columns+" FROM incidents "+query, args...)
	if err != nil {
		return nil, s.wrap("reading incidents", err)
	}
	defer rows.Close()
	var out []Incident
	var i Incident
	var opened, updated, due int64
	var body string
	into := []any{&i.ID, &i.Kind, &i.Owner, &i.Group, &i.Parent, &i.Level, &i.Rank, &i.Status, &i.Closed, &i.Title, &i.Certificates, &i.Suppressed, &i.Drill, &opened, &updated}
	if whole {
		into = append(into, &i.Key, &due, &i.Revision, &body)
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, s.wrap("reading incidents", err)
		}
		i.Opened, i.Updated, i.NextDue = fromMillis(opened), fromMillis(updated), fromMillis(due)
		if whole {
			i.Body = json.RawMessage(body)
		}
		out = append(out, i)
	}
	return out, s.wrap("reading incidents", rows.Err())
}

// Incident returns one, with its body.
func (s *Store) Incident(ctx context.Context, id string) (Incident, error) {
	all, err := s.incidents(ctx, true, `WHERE id = ?`, id)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("incident %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Incident{}, err
	}
	return all[0], nil
}

// OpenIncident returns the open incident of a key, with its body; ok is false when there is none. Of several, where one
// was opened again, it is the one that began last.
func (s *Store) OpenIncident(ctx context.Context, key string) (i Incident, ok bool, err error) {
	all, err := s.incidents(ctx, true, `WHERE key = ? AND closed = 0 ORDER BY opened DESC, id LIMIT 1`, key)
	if err != nil || len(all) == 0 {
		return Incident{}, false, err
	}
	return all[0], true, nil
}

// IncidentsDue returns those whose time has come, the earliest first, with their bodies, at most limit.
func (s *Store) IncidentsDue(ctx context.Context, now time.Time, limit int) ([]Incident, error) {
	return s.incidents(ctx, true, `WHERE next_due > 0 AND next_due <= ? ORDER BY next_due LIMIT ?`, millis(now), limit)
}

// NextIncidentDue is when the next one is due, also when that is past; ok is false when none is.
func (s *Store) NextIncidentDue(ctx context.Context) (at time.Time, ok bool, err error) {
	var ms sql.NullInt64
	err = s.r.QueryRowContext(ctx, `SELECT min(next_due) FROM incidents WHERE next_due > 0`).Scan(&ms)
	return fromMillis(ms.Int64), ms.Valid, s.wrap("reading incidents", err)
}

// IncidentsBeneath returns the open incidents grouped beneath one, with their bodies.
func (s *Store) IncidentsBeneath(ctx context.Context, parent string) ([]Incident, error) {
	return s.incidents(ctx, true, `WHERE parent = ? AND parent <> '' AND closed = 0 ORDER BY opened, id`, parent)
}
