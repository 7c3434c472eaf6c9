package store

import (
	"context"
	"encoding/json"
	"time"
)

// RungRow is a certificate of an incident, as the noise of rules is counted.
type RungRow struct {
	Incident string
	Issuance [32]byte
	At       time.Time
	// State is JSON of package incident, Facts what was known at the latest decision that rang; nil when there was none.
	State, Facts json.RawMessage
	// Acted: somebody acknowledged or resolved the incident, or that of the CA above it, after the certificate came.
	Acted bool
}

// EachRung calls f for each certificate that incidents got since the given time, those of drills left out; acts are the
// kinds of entries of the trail by which people act. A certificate is there once for each incident of an owner. The time
// returned is when the ledger begins, zero when it is empty.
func (s *Store) EachRung(ctx context.Context, since time.Time, acts [2]string, f func(*RungRow) error) (begin time.Time, err error) {
	var first int64
	if err := s.r.QueryRowContext(ctx, `SELECT coalesce(min(first_seen), 0) FROM issuances`).Scan(&first); err != nil {
		return begin, s.wrap("reading what rang", err)
	}
	rows, err := s.r.QueryContext(ctx, `SELECT m.incident, m.issuance, m.at, m.state,
		(SELECT facts FROM verdicts WHERE issuance = m.issuance AND level IN ('alarm', 'page') ORDER BY seq DESC LIMIT 1),
		EXISTS (SELECT 1 FROM trail WHERE (subject = m.incident OR subject = i.parent AND i.parent <> '') AND kind IN (?, ?) AND at >= m.at)
		FROM incident_members AS m JOIN incidents AS i ON i.id = m.incident
		WHERE i.kind <> 'ca' AND i.drill = 0 AND m.at >= ? ORDER BY m.at, m.incident, m.issuance`, acts[0], acts[1], millis(since))
	if err != nil {
		return begin, s.wrap("reading what rang", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r RungRow
		var issuance []byte
		var at int64
		var state string
		var facts *string
		if err := rows.Scan(&r.Incident, &issuance, &at, &state, &facts, &r.Acted); err != nil {
			return begin, s.wrap("reading what rang", err)
		}
		copy(r.Issuance[:], issuance)
		r.At, r.State = fromMillis(at), json.RawMessage(state)
		if facts != nil {
			r.Facts = json.RawMessage(*facts)
		}
		if err := f(&r); err != nil {
			return begin, err
		}
	}
	return fromMillis(first), s.wrap("reading what rang", rows.Err())
}
