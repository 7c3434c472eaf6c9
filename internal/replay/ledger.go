package replay

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/policy/rule"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Ledger is what is replayed of a state file. [store.Store] is the one.
type Ledger interface {
	Page(ctx context.Context, behind int64, limit int) ([]store.Issuance, int64, error)
	Sightings(ctx context.Context, id [32]byte, raw bool) ([]store.Sighting, error)
	JournalOf(ctx context.Context, spki, tbs [32]byte) ([]store.JournalEntry, int64, error)
	Expectations(ctx context.Context, limit int) ([]store.Expectation, error)
	Silences(ctx context.Context, endAfter time.Time, limit int) ([]store.SilenceRow, error)
}

// Outcome is what would have rung.
type Outcome struct {
	// Since and Until bound what was counted; Certificates is how many came in that time.
	Since        time.Time `json:"since"`
	Until        time.Time `json:"until"`
	Certificates int       `json:"certificates"`
	// Levels counts their verdicts.
	Levels map[string]int `json:"levels"`
	// Messages is how many messages would have rung somebody, Rings how many certificates were in them.
	Messages int `json:"messages"`
	Rings    int `json:"rings"`
	// Suppressed counts what incidents did not tell, by why.
	Suppressed map[string]int `json:"suppressed"`
	Rules      []Rule         `json:"rules"`
	// Examples are certificates that would have rung, the newest first, at most 10.
	Examples []Example `json:"examples"`
}

// Rule is what one rule would have done.
type Rule struct {
	Rule     string `json:"rule"`
	Title    string `json:"title"`
	Severity string `json:"severity"`
	// Fired counts the certificates for which it fired; Rang those for which it would have rung somebody, Excepted those
	// to which an exception applied, Silenced those that a silence muted.
	Fired    int `json:"fired"`
	Rang     int `json:"rang"`
	Excepted int `json:"excepted"`
	Silenced int `json:"silenced"`
	Digest   int `json:"digest"`
	// PerWeek is how many it would have rung in a week.
	PerWeek float64 `json:"rang_per_week"`
}

// Example is a certificate that would have rung.
type Example struct {
	Issuance string    `json:"issuance"`
	At       time.Time `json:"at"`
	Level    string    `json:"level"`
	Title    string    `json:"title"`
	Rules    []string  `json:"rules"`
}

// Bounds of a replay.
const (
	ledgerPage   = 500
	mostRecords  = 100_000
	mostExamples = 10
)

// happening is one thing that the ledger says.
type happening struct {
	at    time.Time
	order int // at one time: what was known before what was seen
	do    func(context.Context, *World) error
}

// Since replays a ledger: all of it is read, so that the past is what it was, and what came from since on is counted.
// Nobody acknowledges anything in it.
func Since(ctx context.Context, l Ledger, o Options, since, until time.Time) (*Outcome, error) {
	out := &Outcome{Since: since, Until: until, Levels: map[string]int{}, Suppressed: map[string]int{}, Examples: []Example{}}
	rang := map[string]Example{}
	o.Told = func(m Message) error {
		var doc notify.Incident
		if err := json.Unmarshal(m.Payload, &doc); err != nil {
			return fmt.Errorf("reading a message: %w", err)
		}
		if !incident.Change(doc.Change).Rings() || m.At.Before(since) || len(doc.Alarms) == 0 {
			return nil
		}
		out.Messages++
		for _, a := range doc.Alarms {
			if _, known := rang[a.Issuance]; !known {
				rang[a.Issuance] = Example{Issuance: a.Issuance, At: m.At, Level: a.Level, Title: doc.Title, Rules: []string{}}
			}
		}
		return nil
	}
	silences, err := silences(ctx, l)
	if err != nil {
		return nil, err
	}
	o.Silences = silences
	w := New(o)
	w.book.since = since
	all, err := happenings(ctx, l, o.Stations, until)
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := w.Advance(ctx, h.at); err != nil {
			return nil, err
		}
		if err := h.do(ctx, w); err != nil {
			return nil, err
		}
	}
	if err := w.Advance(ctx, until); err != nil {
		return nil, err
	}
	out.count(w, o.Stations.Rules.Set(), rang)
	return out, nil
}

func silences(ctx context.Context, l Ledger) (out []incident.Silence, err error) {
	rows, err := l.Silences(ctx, time.Time{}, mostRecords)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		var one incident.Silence
		if err := json.Unmarshal(rows[i].Body, &one); err != nil {
			return nil, fmt.Errorf("reading silence %s: %w", rows[i].ID, err)
		}
		one.Ended = rows[i].Ended
		out = append(out, one)
	}
	return out, nil
}

// happenings are all that the ledger says, in order of time.
func happenings(ctx context.Context, l Ledger, st *app.Stations, until time.Time) (all []happening, err error) {
	entered := map[int64]bool{}
	for at := int64(0); ; {
		list, next, err := l.Page(ctx, at, ledgerPage)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			break
		}
		for i := range list {
			is := &list[i]
			if is.FirstSeen.After(until) {
				continue
			}
			seen, err := l.Sightings(ctx, is.ID, false)
			if err != nil {
				return nil, err
			}
			logged := is.FirstSeen
			for k := range seen {
				if t := time.UnixMilli(int64(seen[k].Timestamp)); seen[k].Timestamp > 0 && t.Before(logged) {
					logged = t
				}
			}
			sub := app.Subject{Bytes: is.Cert, Precert: is.Precert, IssuerKeyHash: is.IssuerKeyHash, Chain: is.Chain}
			all = append(all, happening{is.FirstSeen, 1, func(ctx context.Context, w *World) error {
				_, err := w.See(ctx, is.FirstSeen, sub, logged)
				return err
			}})
			spki, tbs := bare(st.Read(sub))
			entries, _, err := l.JournalOf(ctx, spki, tbs)
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if entered[e.Seq] || e.At.After(until) {
					continue
				}
				entered[e.Seq] = true
				entry := journal.Entry{Certificate: e.Kind == store.JournalCertificate, ID: e.Issuance, TBS: e.TBS, SPKI: e.SPKI, Source: e.Source}
				all = append(all, happening{e.At, 0, func(ctx context.Context, w *World) error { return w.Journal(ctx, e.At, entry) }})
			}
		}
		at = next
	}
	rows, err := l.Expectations(ctx, mostRecords)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		var e expectation.Expectation
		if err := json.Unmarshal(rows[i].Body, &e); err != nil {
			return nil, fmt.Errorf("reading expectation %s: %w", rows[i].ID, err)
		}
		// Its uses are those of the replay.
		e.ID, e.Count, e.Used, e.UsedBy, e.Created = rows[i].ID, rows[i].Count, 0, nil, rows[i].Created
		if !rows[i].Cancelled.IsZero() && rows[i].Cancelled.Before(e.Until) {
			e.Until = rows[i].Cancelled // it counted until then
		}
		e.Cancelled = time.Time{}
		if !e.Created.After(until) {
			all = append(all, happening{e.Created, 0, func(ctx context.Context, w *World) error { return w.Announce(ctx, e.Created, e) }})
		}
	}
	slices.SortStableFunc(all, func(a, b happening) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order)) })
	return all, nil
}

func (o *Outcome) count(w *World, set *rule.Set, rang map[string]Example) {
	rules := map[string]*Rule{}
	for _, r := range set.Rules {
		o.Rules = append(o.Rules, Rule{Rule: r.ID, Title: notify.Safe(r.Title, 200), Severity: string(r.Severity)})
	}
	for i := range o.Rules {
		rules[o.Rules[i].Rule] = &o.Rules[i]
	}
	for _, f := range w.order {
		if f.FirstSeen.Before(o.Since) {
			continue
		}
		o.Certificates++
		o.Levels[f.Verdict.Level.String()]++
		id := hex.EncodeToString(f.ID[:])
		example, rings := rang[id]
		what := map[string]policy.Fired{}
		for _, x := range f.Verdict.Fired {
			if have, known := what[x.Rule]; !known || x.Level > have.Level {
				what[x.Rule] = x
			}
		}
		for name, x := range what {
			r := rules[name]
			if r == nil {
				continue
			}
			r.Fired++
			switch {
			case x.Excepted != "":
				r.Excepted++
			case x.Level == policy.Digest:
				r.Digest++
			case x.Level >= policy.Alarm && rings:
				r.Rang++
				example.Rules = append(example.Rules, name)
			}
		}
		if rings {
			o.Rings++
			slices.Sort(example.Rules)
			o.Examples = append(o.Examples, example)
		}
	}
	weeks := max(o.Until.Sub(o.Since).Hours()/(7*24), 1.0/7)
	for i := range o.Rules {
		r := &o.Rules[i]
		r.Silenced = w.book.silenced[r.Rule]
		r.PerWeek = float64(int(float64(r.Rang)/weeks*100+0.5)) / 100
	}
	for why, n := range w.book.suppressed {
		o.Suppressed[why] = n
	}
	slices.SortFunc(o.Examples, func(a, b Example) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Issuance, b.Issuance)) })
	o.Examples = o.Examples[:min(mostExamples, len(o.Examples))]
}
