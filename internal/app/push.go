package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Push takes something of ours into the journal. A token may push a certificate, which is one issuance; a key would be
// one for all names and for ever, so only the operator may.
func (c *Control) Push(ctx context.Context, by api.Caller, p api.Push) (api.Pushed, error) {
	wrong := func(field, problem, hint string) (api.Pushed, error) {
		return api.Pushed{}, &expectation.RequestError{Field: field, Problem: problem, HintText: hint}
	}
	given := 0
	for _, s := range []string{p.Certificate, p.CSR, p.Key} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return wrong("certificate", "exactly one of certificate, csr and key is needed", "ACME clients give the path of the certificate to their hooks: see docs/journal.md")
	}
	if len(p.Source) > 200 || !expectation.Printable(p.Source) {
		return wrong("source", "it is longer than 200 characters, or holds what cannot be printed", "say in a few words where it comes from")
	}
	if !by.Operator && p.Certificate == "" {
		return api.Pushed{}, &expectation.RefusedError{Why: "a token may journal certificates only: announce a key or CSR as an expectation"}
	}
	source := p.Source
	if source == "" {
		source = "pushed by " + by.Name
	}
	entry := store.JournalEntry{Kind: store.JournalKey, Origin: store.FromPush, Source: source, Actor: by.Name}
	var out api.Pushed
	var entries []store.JournalEntry
	var charge *store.Charge
	switch {
	case p.Certificate != "":
		is, err := pushedCertificate(p.Certificate)
		if err != nil {
			return wrong("certificate", err.Error(), "give the certificate in PEM, with its chain after it where there is one")
		}
		if p.End {
			return wrong("end", "a certificate cannot be taken back: it was issued", "take its key back, with its hash")
		}
		if !by.Operator {
			entry.Origin = store.FromToken
			if old, err := c.known(ctx, is); err != nil || old {
				return api.Pushed{Key: hex.EncodeToString(is.SPKI[:]), Issuance: text(is.ID), Names: is.Names}, err
			}
			now := time.Now()
			charge = c.charge(by, expectation.Demand{Names: is.Names, Count: 1, Keyed: true}, fmt.Sprintf("certificate %x", is.SHA256), now)
		}
		e := certificateEntry(is, source, time.Now())
		e.Origin, e.Actor = entry.Origin, by.Name
		entries = append(entries, e)
		if by.Operator {
			entry.SPKI, entry.Names = is.SPKI, mustJSON(is.Names)
			entries = append(entries, entry)
		}
		out = api.Pushed{Key: hex.EncodeToString(is.SPKI[:]), Issuance: text(is.ID), Names: is.Names}
	case p.CSR != "":
		names, key, err := expectation.ReadCSR(p.CSR)
		if err != nil {
			return api.Pushed{}, err
		}
		if entry.SPKI, err = journal.Key(key); err != nil {
			return wrong("csr", err.Error(), "")
		}
		entry.Names = mustJSON(append([]string{}, names...))
		entries, out = append(entries, entry), api.Pushed{Key: key, Names: append([]string{}, names...)}
	default:
		spki, err := journal.Key(p.Key)
		if err != nil {
			return wrong("key", err.Error(), "write the SHA-256 of the SubjectPublicKeyInfo in hexadecimal")
		}
		entry.SPKI = spki
		entries, out = append(entries, entry), api.Pushed{Key: hex.EncodeToString(spki[:]), Names: []string{}}
	}
	if p.End {
		done, err := c.store.EndJournalKey(ctx, entry.SPKI, store.TrailEntry{Kind: trailEnded, Actor: by.Name, Subject: out.Key, Text: "the key is no longer ours"})
		if errors.Is(err, store.ErrNotFound) {
			return api.Pushed{}, notFound("pushed key", out.Key)
		}
		out.Reconsidered = len(done.Reconsidered)
		return out, err
	}
	what := "key " + out.Key
	if p.Certificate != "" {
		what = "a certificate for " + strings.Join(out.Names, ", ") + " with " + what
	}
	done, err := c.store.AddJournal(ctx, charge, []store.TrailEntry{{Kind: trailPushed, Actor: by.Name, Subject: out.Key, Text: what + " was journalled (" + source + ")"}}, entries...)
	out.New, out.Reconsidered = done.Added > 0, len(done.Reconsidered)
	return out, err
}

func text(id cert.ID) string {
	if id == (cert.ID{}) {
		return ""
	}
	return id.String()
}

// known says whether the journal holds a certificate already: then a token pays nothing for it again.
func (c *Control) known(ctx context.Context, is journal.Issuance) (bool, error) {
	entries, _, err := c.store.JournalOf(ctx, [32]byte{}, is.TBS)
	return slices.ContainsFunc(entries, func(e store.JournalEntry) bool { return e.SHA256 == is.SHA256 }), err
}

// pushedCertificate reads PEM: the end entity among what it holds, with the rest as its chain.
func pushedCertificate(text string) (journal.Issuance, error) {
	found := facts.Own([]byte(text))
	if block, _ := pem.Decode([]byte(text)); block == nil {
		return journal.Issuance{}, errors.New("it is not PEM")
	}
	switch len(found.Certificates) {
	case 0:
		return journal.Issuance{}, errors.New("it holds no certificate of a server")
	case 1:
	default:
		return journal.Issuance{}, errors.New("it holds several certificates of servers")
	}
	return journal.Read(found.Certificates[0], found.Authorities)
}

// certificateEntry is an issuance of ours, to be journalled. It comes under positive control.
func certificateEntry(is journal.Issuance, source string, now time.Time) store.JournalEntry {
	return store.JournalEntry{Kind: store.JournalCertificate, Origin: store.FromDirectory, SPKI: is.SPKI, Issuance: is.ID, TBS: is.TBS, SHA256: is.SHA256, DER: is.DER,
		Names: mustJSON(is.Names), Source: source, At: now, Control: string(journal.Waiting), Due: now}
}

// Journal returns the newest entries.
func (c *Control) Journal(ctx context.Context, control string, limit int) (api.Entries, error) {
	out := api.Entries{Entries: []api.Entry{}, Observed: []api.Observed{}}
	rows, err := c.store.Journal(ctx, control, limit)
	if err != nil {
		return out, err
	}
	for i := range rows {
		r := &rows[i]
		e := api.Entry{Kind: r.Kind, Origin: r.Origin, Key: hex.EncodeToString(r.SPKI[:]), Issuance: text(r.Issuance), Names: []string{}, Source: r.Source, By: r.Actor, At: r.At,
			Control: r.Control, Note: r.Note}
		var late overdue
		if json.Unmarshal([]byte(r.Note), &late) == nil {
			e.Note = late.Why
		}
		if r.Kind == store.JournalCertificate {
			e.SHA256 = hex.EncodeToString(r.SHA256[:])
		}
		if !r.Ended.IsZero() {
			e.Ended = &r.Ended
		}
		if err := json.Unmarshal(r.Names, &e.Names); err != nil {
			return out, fmt.Errorf("reading the journal: %w", err)
		}
		out.Entries = append(out.Entries, e)
	}
	seen, err := c.store.ObservedKeys(ctx, [32]byte{})
	for _, o := range seen {
		out.Observed = append(out.Observed, api.Observed{Key: hex.EncodeToString(o.SPKI[:]), Endpoint: o.Endpoint, First: o.First, Last: o.Last})
	}
	return out, err
}
