package app

import (
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// OnRecord is what our own records hold that concerns one issuance.
type OnRecord struct {
	// Journal are the entries for its key and its content.
	Journal []journal.Entry
	// Announced are the expectations that are open for it.
	Announced []expectation.Expectation
	// Observed is when an endpoint of ours was last seen with its key; zero for never.
	Observed time.Time
	// Past is what was seen before it, one for each of [Stations.Issued].
	Past []store.Past
}

// Judgement is what the slow half makes of a reading: all of it follows from the reading, the record and the time.
type Judgement struct {
	Verdict policy.Verdict
	// Settles is set when the verdict is not to be written before: what our own records may still say could heal it.
	Settles time.Time
	// Uses are the announcements that are used up by it, Missed those that come near and why they do not count.
	Uses   []string
	Missed []expectation.Miss
}

// Issued says for whom a certificate was issued, by whom.
func (s *Stations) Issued(r *Reading) []store.Issued { return s.issued(r) }

// Judge decides about a reading with what is on record. It fills in the facts of the reading, and has no other effect.
func (s *Stations) Judge(r *Reading, id cert.ID, firstSeen, now time.Time, rec OnRecord) (j Judgement) {
	tbs := journal.Bare(r.Cert.RawTBS)
	if len(r.Cert.RawTBS) == 0 {
		tbs = journal.Bare(r.Bytes)
	}
	r.Facts.Journal = journal.Facts(rec.Journal, r.Cert.SPKI, id, tbs)
	r.Facts.Announced, j.Missed = expectation.Match(rec.Announced, expectation.Subject{ID: id, Cert: r.Cert, Issuer: r.Facts.Issuer, Logged: r.Logged})
	r.Facts.Key.Observed, r.Facts.Key.ObservedAt = !rec.Observed.IsZero(), rec.Observed
	r.Facts.Past = pastFacts(rec.Past, firstSeen)
	j.Verdict = s.Decide(r, now)
	if until := firstSeen.Add(j.Verdict.Wait); j.Verdict.Wait > 0 && now.Before(until) {
		j.Settles = until
	}
	if len(r.Facts.Announced) > 0 {
		j.Uses = []string{r.Facts.Announced[0].ID}
	}
	for _, needed := range j.Verdict.Uses {
		if !slices.Contains(j.Uses, needed) {
			j.Uses = append(j.Uses, needed)
		}
	}
	return j
}

// pastFacts turns what was seen before into what it means: the owner to whom the issuer is new counts.
func pastFacts(all []store.Past, firstSeen time.Time) (out facts.Past) {
	for i, p := range all {
		f := facts.Past{Known: !p.Since.IsZero() && firstSeen.Sub(p.Since) >= pastReach, Seen: p.Seen, Since: p.First}
		f.FirstUse = f.Known && p.Seen == 0
		if i == 0 || f.FirstUse && !out.FirstUse {
			out = f
		}
	}
	return out
}
