package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kinds and origins of a [JournalEntry].
const (
	JournalKey         = "key"
	JournalCertificate = "certificate"

	FromDirectory = "directory" // a file holds it
	FromPush      = "push"      // the operator, over the socket
	FromToken     = "token"     // over the API
)

// JournalEntry is a key of ours, which counts until it ends, or a certificate of ours: one issuance, for ever.
type JournalEntry struct {
	Kind, Origin string
	SPKI         [32]byte
	// Issuance is the identity of a certificate, zero where its issuer is not known; TBS is the same without the issuer.
	Issuance, TBS [32]byte
	SHA256        [32]byte
	DER           []byte
	Names         json.RawMessage // JSON array
	// Source is the file, or what the pusher called it; Actor is who pushed it.
	Source, Actor string
	At            time.Time // zero: now
	// Control is how it stands with the positive control, Due when to look at it again (zero for never), Note why.
	Control string
	Due     time.Time
	Note    string

	// Set by the store.
	Seq   int64
	Ended time.Time
}

func (e *JournalEntry) check() error {
	switch {
	case e.Kind == JournalKey && e.SPKI != [32]byte{}:
	case e.Kind == JournalCertificate && e.SHA256 != [32]byte{} && e.TBS != [32]byte{} && len(e.DER) > 0:
	default:
		return errors.New("a journal entry is a key with its hash, or a certificate with its bytes")
	}
	return nil
}

// Journalled is what a change of the journal did.
type Journalled struct {
	Added, Ended int
	// Reconsidered are the issuances that are decided again because of it.
	Reconsidered [][32]byte

	seen map[[32]byte]bool
}

// AddJournal adds entries, and makes the issuances that they concern undecided, in one transaction. Those that are there
// already change nothing. charge, when not nil, is run within the transaction and may refuse it all.
func (s *Store) AddJournal(ctx context.Context, charge *Charge, trail []TrailEntry, entries ...JournalEntry) (done Journalled, err error) {
	now := time.Now()
	err = s.write(ctx, "journalling", func(tx *sql.Tx) error {
		done = Journalled{}
		if err := charge.take(ctx, tx, now); err != nil {
			return err
		}
		change, err := nextChange(ctx, tx)
		if err != nil {
			return err
		}
		for i := range entries {
			if err := addJournal(ctx, tx, &entries[i], change, now, &done); err != nil {
				return err
			}
		}
		if done.Added > 0 { // what waits for the journal, or was put off, is looked at again now
			if err := hasten(ctx, tx); err != nil {
				return err
			}
		}
		return addTrail(ctx, tx, now, trail...)
	})
	if err == nil && done.Added > 0 {
		s.announce(TopicFiled)
	}
	return done, err
}

// syncBatch is how many keys are added in one transaction: others want to write as well.
const syncBatch = 500

// SyncJournalKeys makes the keys of origin directory exactly these: what is missing is added, and then what no file holds
// any more is ended, so that a key which has moved is ours all the time. Issuances that either concerns are decided
// again. It may be repeated after an error.
func (s *Store) SyncJournalKeys(ctx context.Context, keys []JournalEntry) (done Journalled, err error) {
	type place struct {
		spki   [32]byte
		source string
	}
	open := map[place]bool{}
	rows, err := s.r.QueryContext(ctx, `SELECT spki, source FROM journal WHERE kind = 'key' AND origin = 'directory' AND ended = 0`)
	if err != nil {
		return done, s.wrap("reading the journal", err)
	}
	for rows.Next() {
		var spki []byte
		var source string
		if err := rows.Scan(&spki, &source); err != nil {
			rows.Close()
			return done, s.wrap("reading the journal", err)
		}
		open[place{[32]byte(spki), source}] = true
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return done, s.wrap("reading the journal", err)
	}
	var missing []JournalEntry
	for _, k := range keys {
		at := place{k.SPKI, k.Source}
		if open[at] {
			delete(open, at)
			continue
		}
		k.Kind, k.Origin = JournalKey, FromDirectory
		missing = append(missing, k)
	}
	for batch := range slices.Chunk(missing, syncBatch) {
		some, err := s.AddJournal(ctx, nil, nil, batch...)
		done.Added += some.Added
		done.Reconsidered = append(done.Reconsidered, some.Reconsidered...)
		if err != nil {
			return done, err
		}
	}
	if len(open) == 0 {
		return done, nil
	}
	now := time.Now()
	err = s.write(ctx, "ending keys", func(tx *sql.Tx) error {
		change, err := nextChange(ctx, tx)
		if err != nil {
			return err
		}
		for at := range open {
			if _, err := tx.ExecContext(ctx, `UPDATE journal SET ended = ?, changed = ? WHERE kind = 'key' AND origin = 'directory' AND ended = 0
				AND spki = ? AND source = ?`, millis(now), change, at.spki[:], at.source); err != nil {
				return err
			}
			done.Ended++
			if err := concerned(ctx, tx, &JournalEntry{Kind: JournalKey, SPKI: at.spki}, &done); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.announce(TopicFiled)
	}
	return done, err
}

// EndJournalKey ends all pushed entries of a key: it is not ours any more. Issuances with it are decided again.
func (s *Store) EndJournalKey(ctx context.Context, spki [32]byte, trail ...TrailEntry) (done Journalled, err error) {
	now := time.Now()
	err = s.write(ctx, "ending a key", func(tx *sql.Tx) error {
		done = Journalled{}
		change, err := nextChange(ctx, tx)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE journal SET ended = ?, changed = ? WHERE kind = 'key' AND origin <> 'directory' AND ended = 0 AND spki = ?`,
			millis(now), change, spki[:])
		if err := one(res, err); err != nil {
			return err
		}
		n, _ := res.RowsAffected()
		done.Ended = int(n)
		if err := concerned(ctx, tx, &JournalEntry{Kind: JournalKey, SPKI: spki}, &done); err != nil {
			return err
		}
		return addTrail(ctx, tx, now, trail...)
	})
	if err == nil && len(done.Reconsidered) > 0 {
		s.announce(TopicFiled)
	}
	return done, err
}

func addJournal(ctx context.Context, tx *sql.Tx, e *JournalEntry, change int64, now time.Time, done *Journalled) error {
	if err := e.check(); err != nil {
		return err
	}
	at := e.At
	if at.IsZero() {
		at = now
	}
	insert := func() (sql.Result, error) {
		return tx.ExecContext(ctx, `INSERT INTO journal (kind, origin, spki, issuance, tbs, sha256, der, names, source, actor, at, control, due, note, changed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			e.Kind, e.Origin, e.SPKI[:], e.Issuance[:], e.TBS[:], e.SHA256[:], blob(e.DER), orEmpty(e.Names, "[]"), e.Source, e.Actor,
			millis(at), e.Control, millis(e.Due), e.Note, change)
	}
	var res sql.Result
	var err error
	if e.Kind == JournalKey { // one that had ended counts again
		res, err = tx.ExecContext(ctx, `UPDATE journal SET ended = 0, at = ?, actor = ?, changed = ? WHERE kind = 'key' AND spki = ? AND origin = ? AND source = ? AND ended > 0`,
			millis(at), e.Actor, change, e.SPKI[:], e.Origin, e.Source)
	} else { // one whose issuer was not known is completed
		res, err = tx.ExecContext(ctx, `UPDATE journal SET issuance = ?2, changed = ?3 WHERE kind = 'certificate' AND sha256 = ?1 AND issuance = zeroblob(32) AND ?2 <> zeroblob(32)`,
			e.SHA256[:], e.Issuance[:], change)
	}
	if err == nil {
		res, err = either(res, insert)
	}
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	done.Added++
	return concerned(ctx, tx, e, done)
}

// hasten ends the delay of what is undecided: see [Store.Postpone].
func hasten(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE issuances SET decide_after = 0 WHERE state = 'undecided' AND decide_after > 0`)
	return err
}

// either runs next where a statement has changed nothing.
func either(res sql.Result, next func() (sql.Result, error)) (sql.Result, error) {
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return res, err
	}
	return next()
}

func nextChange(ctx context.Context, tx *sql.Tx) (change int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT coalesce(max(changed), 0) + 1 FROM journal`).Scan(&change)
	return change, err
}

// concerned makes the issuances undecided that an entry concerns: by key, or by identity.
func concerned(ctx context.Context, tx *sql.Tx, e *JournalEntry, done *Journalled) error {
	query, key := `SELECT issuance FROM subjects WHERE spki = ?`, e.SPKI[:]
	if e.Kind == JournalCertificate {
		query, key = `SELECT issuance FROM subjects WHERE tbs = ?`, e.TBS[:]
	}
	ids, err := hashes(ctx, tx, query, key)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if done.seen[id] {
			continue
		}
		if done.seen == nil {
			done.seen = map[[32]byte]bool{}
		}
		done.seen[id] = true
		if err := reconsider(ctx, tx, id); err != nil {
			return err
		}
		done.Reconsidered = append(done.Reconsidered, id)
	}
	return nil
}

func reconsider(ctx context.Context, tx *sql.Tx, id [32]byte) error {
	return one(tx.ExecContext(ctx, `UPDATE issuances SET revision = revision + 1, state = 'undecided', decide_after = 0 WHERE id = ?`, id[:]))
}

func hashes(ctx context.Context, tx *sql.Tx, query string, args ...any) (out [][32]byte, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, [32]byte(id))
	}
	return out, rows.Err()
}

const journalColumns = `seq, kind, origin, spki, issuance, tbs, sha256, der, names, source, actor, at, ended, control, due, note`

func (s *Store) journal(ctx context.Context, query string, args ...any) ([]JournalEntry, error) {
	rows, err := s.r.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.wrap("reading the journal", err)
	}
	defer rows.Close()
	var out []JournalEntry
	for rows.Next() {
		var e JournalEntry
		var spki, issuance, tbs, sum []byte
		var names string
		var at, ended, due int64
		if err := rows.Scan(&e.Seq, &e.Kind, &e.Origin, &spki, &issuance, &tbs, &sum, &e.DER, &names, &e.Source, &e.Actor, &at, &ended,
			&e.Control, &due, &e.Note); err != nil {
			return nil, s.wrap("reading the journal", err)
		}
		copy(e.SPKI[:], spki)
		copy(e.Issuance[:], issuance)
		copy(e.TBS[:], tbs)
		copy(e.SHA256[:], sum)
		e.Names = json.RawMessage(names)
		e.At, e.Ended, e.Due = fromMillis(at), fromMillis(ended), fromMillis(due)
		out = append(out, e)
	}
	return out, s.wrap("reading the journal", rows.Err())
}

// JournalOf returns the entries that concern a certificate: keys that have not ended, and certificates with this identity
// without issuer; the oldest first, at most a few. upTo is how far the journal went then: see [Decision.Journal].
func (s *Store) JournalOf(ctx context.Context, spki, tbs [32]byte) (entries []JournalEntry, upTo int64, err error) {
	if upTo, err = s.journalChange(ctx); err != nil { // first: what comes meanwhile is read, or noticed when deciding
		return nil, 0, err
	}
	entries, err = s.journal(ctx, `SELECT `+journalColumns+` FROM journal WHERE kind = 'certificate' AND tbs = ?1
		UNION ALL SELECT * FROM (SELECT `+journalColumns+` FROM journal WHERE kind = 'key' AND ended = 0 AND spki = ?2 ORDER BY seq LIMIT 8) ORDER BY seq`, tbs[:], spki[:])
	return entries, upTo, err
}

func (s *Store) journalChange(ctx context.Context) (change int64, err error) {
	err = s.r.QueryRowContext(ctx, `SELECT coalesce(max(changed), 0) FROM journal`).Scan(&change)
	return change, s.wrap("reading the journal", err)
}

// Journal returns entries, the newest first, at most limit; only those with the given control unless it is "".
func (s *Store) Journal(ctx context.Context, control string, limit int) ([]JournalEntry, error) {
	if control != "" {
		return s.journal(ctx, `SELECT `+journalColumns+` FROM journal WHERE control = ? ORDER BY seq DESC LIMIT ?`, control, limit)
	}
	return s.journal(ctx, `SELECT `+journalColumns+` FROM journal ORDER BY seq DESC LIMIT ?`, limit)
}

// ControlDue returns certificates whose positive control is due, those that wait longest first.
func (s *Store) ControlDue(ctx context.Context, now time.Time, limit int) ([]JournalEntry, error) {
	return s.journal(ctx, `SELECT `+journalColumns+` FROM journal WHERE due > 0 AND due <= ? ORDER BY due LIMIT ?`, millis(now), limit)
}

// SetControl keeps how it stands with the positive control of an entry.
func (s *Store) SetControl(ctx context.Context, seq int64, control string, due time.Time, note string) error {
	return s.write(ctx, "keeping the positive control", func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE journal SET control = ?, due = ?, note = ? WHERE seq = ?`, control, millis(due), bounded(note), seq))
	})
}

// SeenIssuance says whether an issuance with this identity, or with this identity without issuer, is in the ledger.
func (s *Store) SeenIssuance(ctx context.Context, issuance, tbs [32]byte) (seen bool, err error) {
	err = s.r.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sightings WHERE issuance = ?1)
		OR EXISTS (SELECT 1 FROM subjects JOIN sightings USING (issuance) WHERE tbs = ?2)`, issuance[:], tbs[:]).Scan(&seen)
	return seen, s.wrap("looking for an issuance", err)
}

// decideSubject notes by what an issuance can be found, and makes it undecided again where the journal has learned of it
// since the decision read it.
func decideSubject(ctx context.Context, tx *sql.Tx, d *Decision) error {
	if d.TBS == [32]byte{} && d.SPKI == [32]byte{} {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO subjects (issuance, spki, tbs) VALUES (?1, ?2, ?3)
		ON CONFLICT (issuance) DO UPDATE SET spki = excluded.spki, tbs = excluded.tbs`, d.ID[:], d.SPKI[:], d.TBS[:]); err != nil {
		return err
	}
	var late bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM journal WHERE changed > ?1
		AND (kind = 'key' AND spki = ?2 OR kind = 'certificate' AND tbs = ?3))`, d.Journal, d.SPKI[:], d.TBS[:]).Scan(&late); err != nil {
		return err
	}
	if !late {
		return nil
	}
	return reconsider(ctx, tx, d.ID)
}

// SawKey keeps that a probe saw a key on an endpoint of ours.
func (s *Store) SawKey(ctx context.Context, spki [32]byte, endpoint string, at time.Time) error {
	return s.write(ctx, "keeping an observed key", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO observed_keys (spki, endpoint, first, last) VALUES (?1, ?2, ?3, ?3)
			ON CONFLICT (spki, endpoint) DO UPDATE SET last = max(last, excluded.last)`, spki[:], endpoint, millis(at))
		return err
	})
}

// Observed is one endpoint on which a probe saw a key.
type Observed struct {
	SPKI        [32]byte
	Endpoint    string
	First, Last time.Time
}

// ObservedKeys returns where probes saw a key, the newest first; all keys when spki is zero.
func (s *Store) ObservedKeys(ctx context.Context, spki [32]byte) ([]Observed, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT spki, endpoint, first, last FROM observed_keys WHERE spki = ?1 OR ?2 ORDER BY last DESC, endpoint LIMIT 1000`,
		spki[:], bytes.Equal(spki[:], make([]byte, 32)))
	if err != nil {
		return nil, s.wrap("reading observed keys", err)
	}
	defer rows.Close()
	var out []Observed
	for rows.Next() {
		var o Observed
		var spki []byte
		var first, last int64
		if err := rows.Scan(&spki, &o.Endpoint, &first, &last); err != nil {
			return nil, s.wrap("reading observed keys", err)
		}
		o.SPKI, o.First, o.Last = [32]byte(spki), fromMillis(first), fromMillis(last)
		out = append(out, o)
	}
	return out, s.wrap("reading observed keys", rows.Err())
}

// TrailEntry is one thing that somebody did, or that happened to what somebody did.
type TrailEntry struct {
	// Kind is one of a few words, as "expectation-created"; Subject is the id of what it was done to.
	Kind, Actor, Subject, Text string
	// Set by the store.
	Seq int64
	At  time.Time
}

func addTrail(ctx context.Context, tx *sql.Tx, now time.Time, entries ...TrailEntry) error {
	for _, e := range entries {
		if e.Kind == "" {
			return errors.New("an entry of the trail without a kind")
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO trail (at, kind, actor, subject, text) VALUES (?, ?, ?, ?, ?)`,
			millis(now), e.Kind, e.Actor, e.Subject, bounded(e.Text)); err != nil {
			return fmt.Errorf("trail: %w", err)
		}
	}
	return nil
}

// AddTrail adds to the trail what changed nothing else.
func (s *Store) AddTrail(ctx context.Context, entries ...TrailEntry) error {
	return s.write(ctx, "keeping the trail", func(tx *sql.Tx) error { return addTrail(ctx, tx, time.Now(), entries...) })
}

// Trail returns what happened from one time to another (not included), the oldest first, at most limit.
func (s *Store) Trail(ctx context.Context, from, to time.Time, limit int) ([]TrailEntry, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT seq, at, kind, actor, subject, text FROM trail WHERE at >= ? AND at < ? ORDER BY at, seq LIMIT ?`,
		millis(from), millis(to), limit)
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
