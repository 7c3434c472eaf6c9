package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// maxChain bounds the certificates kept with one issuance; a lying log could send new ones for ever. What came beyond
// it is still in the Extra of its sighting.
const maxChain = 64

const setCursorSQL = `
INSERT INTO logs (id, name, cursor, size, updated) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (id) DO UPDATE SET
    name = CASE WHEN excluded.name = '' THEN name ELSE excluded.name END,
    cursor = excluded.cursor, size = excluded.size, updated = excluded.updated
WHERE excluded.size >= size OR ?6`

// Commit files what a batch brought and moves the cursor of its log, in one transaction: both happen or neither.
//
// It may be repeated: the same entry (log, index, leaf) is filed once. An issuance that is known already gets the
// sighting added; when the sighting brings something that was missing (the final certificate, a certificate of the
// chain, the issuer's key hash, a match) that is stored, too, and the issuance is to be decided again. It is safe to
// commit the same issuance from many logs at once.
func (s *Store) Commit(ctx context.Context, c Commit) error {
	op := "filing"
	if c.LogName != "" {
		op += " entries of " + c.LogName
	}
	if c.Size > math.MaxInt64 {
		return s.wrap(op, fmt.Errorf("cursor of %d entries is out of range", c.Size))
	}
	now := time.Now()
	undecided := false
	err := s.write(ctx, op, func(tx *sql.Tx) error {
		if c.LogID != [32]byte{} {
			if err := s.moveCursor(ctx, tx, &c, now); err != nil {
				return err
			}
			if err := s.addHeads(ctx, tx, c.LogID, c.Heads, now); err != nil {
				return err
			}
			if err := addStart(ctx, tx, c.LogID, c.Start, now); err != nil {
				return err
			}
			if err := addMark(ctx, tx, c.LogID, c.Mark, now); err != nil {
				return err
			}
		} else if c.Cursor != nil || len(c.Heads) > 0 || c.Start != nil || c.Mark != nil {
			return errors.New("cursor or heads without a log")
		}
		for i := range c.Filings {
			changed, err := file(ctx, tx, &c, &c.Filings[i], now)
			if err != nil {
				return err
			}
			undecided = undecided || changed
		}
		for i := range c.Faults {
			if err := addFault(ctx, tx, &c.Faults[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && undecided {
		s.announce(TopicFiled)
	}
	return err
}

func (s *Store) moveCursor(ctx context.Context, tx *sql.Tx, c *Commit, now time.Time) error {
	if c.Cursor == nil {
		_, err := tx.ExecContext(ctx, `INSERT INTO logs (id, name, cursor, size, updated) VALUES (?, ?, x'', 0, ?)
			ON CONFLICT (id) DO NOTHING`, c.LogID[:], c.LogName, millis(now))
		return err
	}
	res, err := tx.StmtContext(ctx, s.setCursor).ExecContext(ctx, c.LogID[:], c.LogName, c.Cursor, int64(c.Size), millis(now), c.Rewind)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return ErrCursorBack
	}
	return nil
}

func (s *Store) addHeads(ctx context.Context, tx *sql.Tx, log [32]byte, heads []Head, now time.Time) error {
	for _, h := range heads {
		received := h.Received
		if received.IsZero() {
			received = now
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO heads (log, size, root, timestamp, raw, received) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, log[:], int64(h.Size), h.Root[:], int64(h.Timestamp), blob(h.Raw), millis(received))
		if err != nil {
			return err
		}
	}
	if len(heads) == 0 {
		return nil
	}
	// A log signs a head a minute for years. Those that contradict each other stay.
	_, err := tx.ExecContext(ctx, `DELETE FROM heads WHERE log = ?1
		AND seq <= (SELECT seq FROM heads WHERE log = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)
		AND NOT EXISTS (SELECT 1 FROM heads AS o WHERE o.log = heads.log AND o.size = heads.size AND o.root <> heads.root)`,
		log[:], s.opts.KeepHeads)
	return err
}

// file inserts or merges one filing and reports whether the issuance is now to be decided.
func file(ctx context.Context, tx *sql.Tx, c *Commit, f *Filing, now time.Time) (changed bool, err error) {
	is := &f.Issuance
	if is.ID == [32]byte{} {
		return false, errors.New("issuance without an id")
	}
	known, changed, err := fileIssuance(ctx, tx, is, now)
	if err != nil {
		return false, fmt.Errorf("issuance %x: %w", is.ID[:8], err)
	}
	more, err := fileChain(ctx, tx, is)
	if err != nil {
		return false, fmt.Errorf("chain of issuance %x: %w", is.ID[:8], err)
	}
	changed = changed || more
	if err := fileFingerprints(ctx, tx, f); err != nil {
		return false, fmt.Errorf("issuance %x: %w", is.ID[:8], err)
	}
	if f.Sighting != nil {
		if err := fileSighting(ctx, tx, c, f, now); err != nil {
			return false, fmt.Errorf("entry %d: %w", f.Sighting.Index, err)
		}
	}
	if known && changed {
		_, err = tx.ExecContext(ctx, `UPDATE issuances SET revision = revision + 1, state = 'undecided', decide_after = 0,
			decide_error = '' WHERE id = ?`, is.ID[:])
	}
	return changed, err
}

func fileIssuance(ctx context.Context, tx *sql.Tx, is *Issuance, now time.Time) (known, changed bool, err error) {
	firstSeen := is.FirstSeen
	if firstSeen.IsZero() {
		firstSeen = now
	}
	var old struct {
		firstSeen         int64
		precert           bool
		keyHash           []byte
		matches, oddities string
	}
	err = tx.QueryRowContext(ctx, `SELECT first_seen, precert, issuer_key_hash, matches, oddities FROM issuances WHERE id = ?`,
		is.ID[:]).Scan(&old.firstSeen, &old.precert, &old.keyHash, &old.matches, &old.oddities)
	if errors.Is(err, sql.ErrNoRows) {
		matches, _, err := mergeJSON("[]", is.Matches)
		if err != nil {
			return false, false, fmt.Errorf("matches: %w", err)
		}
		oddities, _, err := mergeJSON("[]", is.Oddities)
		if err != nil {
			return false, false, fmt.Errorf("oddities: %w", err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO issuances (id, first_seen, cert, precert, issuer_key_hash, matches, oddities,
			state, revision) VALUES (?, ?, ?, ?, ?, ?, ?, 'undecided', 1)`,
			is.ID[:], millis(firstSeen), blob(is.Cert), is.Precert, is.IssuerKeyHash[:], matches, oddities)
		return false, true, err
	}
	if err != nil {
		return false, false, err
	}

	matches, newMatch, err := mergeJSON(old.matches, is.Matches)
	if err != nil {
		return true, false, fmt.Errorf("matches: %w", err)
	}
	oddities, newOddity, err := mergeJSON(old.oddities, is.Oddities)
	if err != nil {
		return true, false, fmt.Errorf("oddities: %w", err)
	}
	newCert := old.precert && !is.Precert
	newKey := is.IssuerKeyHash != [32]byte{} && bytes.Equal(old.keyHash, make([]byte, 32))
	if newCert {
		if _, err := tx.ExecContext(ctx, `UPDATE issuances SET cert = ?, precert = 0 WHERE id = ?`, blob(is.Cert), is.ID[:]); err != nil {
			return true, false, err
		}
	}
	if newKey {
		if _, err := tx.ExecContext(ctx, `UPDATE issuances SET issuer_key_hash = ? WHERE id = ?`, is.IssuerKeyHash[:], is.ID[:]); err != nil {
			return true, false, err
		}
	}
	if ms := millis(firstSeen); newMatch || newOddity || ms < old.firstSeen {
		_, err := tx.ExecContext(ctx, `UPDATE issuances SET matches = ?, oddities = ?, first_seen = min(first_seen, ?) WHERE id = ?`,
			matches, oddities, ms, is.ID[:])
		if err != nil {
			return true, false, err
		}
	}
	return true, newCert || newKey || newMatch, nil
}

func fileChain(ctx context.Context, tx *sql.Tx, is *Issuance) (changed bool, err error) {
	for _, der := range is.Chain {
		if len(der) == 0 {
			continue
		}
		sum := sha256.Sum256(der)
		if _, err := tx.ExecContext(ctx, `INSERT INTO certificates (sha256, der) VALUES (?, ?) ON CONFLICT DO NOTHING`, sum[:], der); err != nil {
			return false, err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO chains (issuance, position, sha256)
			SELECT ?1, n, ?2 FROM (SELECT count(*) AS n FROM chains WHERE issuance = ?1) WHERE n < ?3
			ON CONFLICT DO NOTHING`, is.ID[:], sum[:], maxChain)
		if err != nil {
			return false, err
		}
		if n, err := res.RowsAffected(); err == nil && n > 0 {
			changed = true
		}
	}
	return changed, nil
}

func fileFingerprints(ctx context.Context, tx *sql.Tx, f *Filing) error {
	sums := f.Fingerprints
	if len(sums) > 16 {
		sums = sums[:16]
	}
	sums = sums[:len(sums):len(sums)]
	if !f.Issuance.Precert && len(f.Issuance.Cert) > 0 {
		sums = append(sums, sha256.Sum256(f.Issuance.Cert))
	}
	if f.Sighting != nil && len(f.Sighting.PrecertDER) > 0 {
		sums = append(sums, sha256.Sum256(f.Sighting.PrecertDER))
	}
	for _, sum := range sums {
		if _, err := tx.ExecContext(ctx, `INSERT INTO fingerprints (sha256, issuance) VALUES (?, ?) ON CONFLICT DO NOTHING`,
			sum[:], f.Issuance.ID[:]); err != nil {
			return err
		}
	}
	return nil
}

func fileSighting(ctx context.Context, tx *sql.Tx, c *Commit, f *Filing, now time.Time) error {
	si := f.Sighting
	if si.LogID != [32]byte{} && si.LogID != c.LogID || c.LogID == [32]byte{} {
		return errors.New("sighting of another log than the commit's")
	}
	hash := leafHash(si.Leaf)
	_, err := tx.ExecContext(ctx, `INSERT INTO sightings (issuance, log, idx, leaf_hash, timestamp, seen, precert, leaf, extra,
		precert_der) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (log, idx, leaf_hash) DO NOTHING`,
		f.Issuance.ID[:], c.LogID[:], int64(si.Index), hash[:], int64(si.Timestamp), millis(now), si.Precert,
		blob(si.Leaf), blob(si.Extra), blob(si.PrecertDER))
	return err
}

// leafHash is the hash of a leaf of a Merkle tree, RFC 6962 section 2.1.
func leafHash(leaf []byte) (out [32]byte) {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	h.Sum(out[:0])
	return out
}

// blob is b, or an empty blob where b is nil, which would be NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// mergeJSON adds those elements of the array add to the array old that are not in it, compared as compact text.
func mergeJSON(old string, add json.RawMessage) (merged string, grown bool, err error) {
	if len(add) == 0 {
		return old, false, nil
	}
	var have, more []json.RawMessage
	if err := json.Unmarshal([]byte(old), &have); err != nil {
		return "", false, err
	}
	if err := json.Unmarshal(add, &more); err != nil {
		return "", false, err
	}
	seen := make(map[string]bool, len(have)+len(more))
	for _, e := range have {
		seen[string(e)] = true
	}
	for _, e := range more {
		var b bytes.Buffer
		if err := json.Compact(&b, e); err != nil {
			return "", false, err
		}
		if seen[b.String()] {
			continue
		}
		seen[b.String()] = true
		have = append(have, b.Bytes())
		grown = true
	}
	if !grown {
		return old, false, nil
	}
	// Not json.Marshal: it would replace bytes that are not UTF-8.
	var b bytes.Buffer
	b.WriteByte('[')
	for i, e := range have {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(e)
	}
	b.WriteByte(']')
	return b.String(), true, nil
}
