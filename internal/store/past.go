package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Issued says that an issuer issued for an owner of watches.
type Issued struct{ Owner, Issuer string }

// Past is what was seen before an issuance.
type Past struct {
	// Since is when the first issuance of all was seen for the owner; zero when there was none before.
	Since time.Time
	// Seen is how many of them came from the issuer, First when the first of these was seen.
	Seen  int
	First time.Time
}

// PastOf says what was seen for an owner, of whatever issuer and of this one, before the given issuance was. It says the
// same whenever it is asked, as far as what came before was decided by then.
func (s *Store) PastOf(ctx context.Context, issuance [32]byte, of Issued) (p Past, err error) {
	var since, first sql.NullInt64
	err = s.r.QueryRowContext(ctx, `WITH this AS (SELECT seq FROM issuances WHERE id = ?1)
		SELECT (SELECT seen FROM issued WHERE owner = ?2 AND seq < (SELECT seq FROM this) ORDER BY seq LIMIT 1),
		       (SELECT count(*) FROM issued WHERE owner = ?2 AND issuer = ?3 AND seq < (SELECT seq FROM this)),
		       (SELECT seen FROM issued WHERE owner = ?2 AND issuer = ?3 AND seq < (SELECT seq FROM this) ORDER BY seq LIMIT 1)`,
		issuance[:], of.Owner, of.Issuer).Scan(&since, &p.Seen, &first)
	p.Since, p.First = fromMillis(since.Int64), fromMillis(first.Int64)
	return p, s.wrap("reading the past of an issuer", err)
}

// addIssued keeps for whom an issuance was issued, in place of what was kept of it before.
func addIssued(ctx context.Context, tx *sql.Tx, d *Decision) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM issued WHERE issuance = ?`, d.ID[:]); err != nil {
		return fmt.Errorf("who issued for whom: %w", err)
	}
	for _, i := range d.Issued {
		if _, err := tx.ExecContext(ctx, `INSERT INTO issued (owner, issuer, issuance, seq, seen)
			SELECT ?2, ?3, id, seq, first_seen FROM issuances WHERE id = ?1 ON CONFLICT DO NOTHING`, d.ID[:], i.Owner, i.Issuer); err != nil {
			return fmt.Errorf("who issued for whom: %w", err)
		}
	}
	return nil
}
