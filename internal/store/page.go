package store

import "context"

// Page returns at most limit issuances of the ledger that were filed behind a place, in the order in which they were
// filed, and the place to go on from. The first place is 0; no issuances means the end.
func (s *Store) Page(ctx context.Context, behind int64, limit int) (list []Issuance, next int64, err error) {
	rows, err := s.r.QueryContext(ctx, `SELECT `+issuanceColumns+` FROM issuances AS i WHERE i.seq > ? ORDER BY i.seq LIMIT ?`, behind, limit)
	if err != nil {
		return nil, behind, s.wrap("reading the ledger", err)
	}
	defer rows.Close()
	next = behind
	for rows.Next() {
		seq, is, err := scanIssuance(rows)
		if err != nil {
			return nil, behind, s.wrap("reading the ledger", err)
		}
		next = seq
		list = append(list, is)
	}
	if err := rows.Err(); err != nil {
		return nil, behind, s.wrap("reading the ledger", err)
	}
	rows.Close()
	for i := range list {
		if list[i].Chain, err = s.chain(ctx, list[i].ID); err != nil {
			return nil, behind, s.wrap("reading the ledger", err)
		}
	}
	return list, next, nil
}
