package year

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/incident"
	lab "github.com/tocsin-ct/tocsin/internal/lab/year"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/replay"
)

// MostFalse is how often it may ring for what was ordered.
const MostFalse = 2

// Report is what became of a year.
type Report struct {
	Kind string `json:"kind"` // "year"
	Seed uint64 `json:"seed"`
	OK   bool   `json:"ok"`
	// Certificates counts the issuances that were filed, Renewals those of them that were ordered, Entries the entries of
	// logs that were read.
	Certificates int `json:"certificates"`
	Renewals     int `json:"renewals"`
	Entries      int `json:"entries"`
	// RogueRung is how many of Rogues rang.
	RogueRung  int         `json:"rogue_rung"`
	FalseRings int         `json:"false_rings"`
	Rogues     []Rogue     `json:"rogues"`
	False      []FalseRing `json:"false"`
	// Silent counts what did not ring, by why; Digest what was shown once a day, by rule.
	Silent map[string]int `json:"silent"`
	Digest map[string]int `json:"digest"`
	// Suppressed counts what incidents did not tell, by why.
	Suppressed map[string]int `json:"suppressed"`
	// Problems are why it is not OK.
	Problems []string `json:"problems"`
	// Took is how long it took to play, in milliseconds.
	Took int64 `json:"took_ms"`
}

// Rogue is one of the twelve, and what became of it.
type Rogue struct {
	Kind     string `json:"kind"`
	Like     string `json:"like"`
	Why      string `json:"why"`
	OwnCA    bool   `json:"own_ca"`
	InSettle bool   `json:"in_settle"`
	Page     bool   `json:"page"`
	Rang     bool   `json:"rang"`
	// Logged is when it was logged, Seen when it was first seen, At when the first message was made.
	Logged time.Time `json:"logged"`
	Seen   time.Time `json:"seen"`
	At     time.Time `json:"at"`
	// Latency is from Seen to At, in milliseconds; Waited says how much of it the journal was waited for.
	Latency int64    `json:"latency_ms"`
	Waited  int64    `json:"waited_ms"`
	Level   string   `json:"level"`
	Rules   []string `json:"rules"`
	To      string   `json:"to"`
	Title   string   `json:"title"`

	id cert.ID
}

// FalseRing is a ring for what was ordered.
type FalseRing struct {
	At     time.Time `json:"at"`
	Title  string    `json:"title"`
	Change string    `json:"change"`
	What   string    `json:"what"`
	Rules  []string  `json:"rules"`
}

// Times of the person who is told.
const (
	acks     = 30 * time.Minute
	resolves = 24 * time.Hour
)

// run is one year that is being played.
type run struct {
	f     *Frozen
	o     Options
	w     *replay.World
	out   *Report
	truth map[cert.ID]*lab.Certificate
	rogue map[string]int // by issuance in hexadecimal: its place in the report
	told  map[string]bool
	rang  map[string]bool // issuances for which somebody was rung
	todo  []word
	mixed map[string]bool // incidents with a rogue in them
}

// word is what a person will say of an incident.
type word struct {
	at    time.Time
	id    string
	event incident.Event
}

// Options of a run.
type Options struct {
	// Every plays the renewals of only one in so many services: see [lab.Organisation.Year].
	Every int
	// Deaf hears nothing of hooks and announcements. A year must fail so.
	Deaf bool
}

// Run plays the year of a seed.
func (f *Frozen) Run(ctx context.Context, seed uint64, o Options) (*Report, error) {
	began := time.Now()
	y, err := f.Organisation.Year(seed, o.Every)
	if err != nil {
		return nil, fmt.Errorf("drawing the year %d: %w", seed, err)
	}
	r := &run{
		f: f, o: o, truth: map[cert.ID]*lab.Certificate{}, rogue: map[string]int{}, told: map[string]bool{}, rang: map[string]bool{}, mixed: map[string]bool{},
		out: &Report{Kind: "year", Seed: seed, Rogues: []Rogue{}, False: []FalseRing{}, Silent: map[string]int{}, Digest: map[string]int{}, Problems: []string{}},
	}
	r.w = replay.New(replay.Options{Stations: f.Stations, Receivers: f.receivers, Telling: f.Telling, Told: r.message})
	last := lab.Begin
	for e, err := range y.Events() {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.event(ctx, &e); err != nil {
			return nil, fmt.Errorf("the year %d at %s: %w", seed, e.At.Format(time.DateTime), err)
		}
		last = e.At
	}
	if err := r.until(ctx, last.Add(7*24*time.Hour)); err != nil {
		return nil, err
	}
	r.judge()
	r.out.Took = time.Since(began).Milliseconds()
	return r.out, nil
}

// until lets people speak whose time has come before that.
func (r *run) until(ctx context.Context, at time.Time) error {
	for {
		if err := r.w.Advance(ctx, r.next(at)); err != nil {
			return err
		}
		i := slices.IndexFunc(r.todo, func(w word) bool { return !w.at.After(r.w.Now()) })
		if i < 0 {
			if !r.w.Now().Before(at) {
				return nil
			}
			continue
		}
		w := r.todo[i]
		r.todo = slices.Delete(r.todo, i, i+1)
		if err := r.w.Say(ctx, w.at, w.id, w.event); err != nil {
			return err
		}
	}
}

// next is when somebody speaks next, at the latest at.
func (r *run) next(at time.Time) time.Time {
	for _, w := range r.todo {
		if w.at.Before(at) {
			at = w.at
		}
	}
	return at
}

func (r *run) event(ctx context.Context, e *lab.Event) error {
	if err := r.until(ctx, e.At); err != nil {
		return err
	}
	switch {
	case e.Kind != lab.Logged && r.o.Deaf:
		return nil
	case e.Kind == lab.Announced:
		a := e.Announcement
		return r.w.Announce(ctx, e.At, expectation.Expectation{
			ID: fmt.Sprintf("announced-%d", e.At.UnixMilli()), Names: a.Names, Issuers: []string{a.Issuer}, Keys: []string{hex.EncodeToString(a.Key[:])},
			Count: a.Count, Created: e.At, Until: e.At.Add(a.For), Reason: a.Reason, By: "web-team",
		})
	case e.Kind == lab.Pushed:
		entry, err := pushed(e)
		if err != nil {
			return err
		}
		return r.w.Journal(ctx, e.At, entry)
	}
	r.out.Entries++
	c := e.Certificate
	i := c.Issued
	sub := app.Subject{Bytes: i.TBS, Precert: true, IssuerKeyHash: i.IssuerKeyHash(), Chain: append([][]byte{i.Precert}, i.Chain...)}
	if e.Final {
		der, err := c.Final()
		if err != nil {
			return err
		}
		sub = app.Subject{Bytes: der, Chain: i.FinalChain}
	}
	id := cert.Identity(i.TBS, i.IssuerKeyHash())
	if r.truth[id] == nil {
		r.truth[id] = c
		if c.Rogue != nil { // before it is seen, since a page is told at once
			r.rogue[hex.EncodeToString(id[:])] = len(r.out.Rogues)
			r.out.Rogues = append(r.out.Rogues, Rogue{Kind: c.Rogue.Kind, Like: c.Rogue.Like, Why: c.Rogue.Why, OwnCA: c.Rogue.OwnCA, InSettle: c.Rogue.InSettle, Page: c.Rogue.Page,
				Logged: c.Logged, Seen: e.At, Rules: []string{}, id: id})
		}
	}
	filed, err := r.w.See(ctx, e.At, sub, c.Logged)
	if err != nil {
		return err
	}
	switch {
	case filed == nil:
		r.problem("%s: touches nothing of ours", c.What)
	case filed.ID != id:
		r.problem("%s: filed as another issuance than it is", c.What)
	}
	return nil
}

// pushed is the entry that a hook makes.
func pushed(e *lab.Event) (journal.Entry, error) {
	i := e.Certificate.Issued
	c := cert.ParseTBS(i.TBS)
	if e.KeyOnly {
		return journal.Entry{SPKI: c.SPKI, Source: "hook"}, nil
	}
	der, err := e.Certificate.Final()
	if err != nil {
		return journal.Entry{}, err
	}
	is, err := journal.Read(der, i.FinalChain)
	return journal.Entry{Certificate: true, ID: is.ID, TBS: is.TBS, SPKI: is.SPKI, Source: "hook"}, err
}

func (r *run) problem(format string, args ...any) {
	r.out.Problems = append(r.out.Problems, fmt.Sprintf(format, args...))
}

// message is what a receiver would get.
func (r *run) message(m replay.Message) error {
	var doc notify.Incident
	if err := json.Unmarshal(m.Payload, &doc); err != nil {
		return fmt.Errorf("reading a message: %w", err)
	}
	if !incident.Change(doc.Change).Rings() {
		return nil
	}
	first := !r.told[doc.Incident]
	for _, a := range doc.Alarms {
		r.rang[a.Issuance] = true
		n, rogue := r.rogue[a.Issuance]
		r.mixed[doc.Incident] = r.mixed[doc.Incident] || rogue
		if !rogue || r.out.Rogues[n].Rang {
			continue
		}
		x := &r.out.Rogues[n]
		at := m.At
		if m.NotBefore.After(at) {
			at = m.NotBefore
		}
		x.Rang, x.At, x.Latency, x.Level, x.To, x.Title = true, at, at.Sub(x.Seen).Milliseconds(), a.Level, m.Receiver, doc.Title
	}
	key := doc.Incident + "/" + strconv.Itoa(doc.Sequence)
	if !r.told[key] {
		r.told[key], r.told[doc.Incident] = true, true
		ours := len(doc.Alarms) == 0 && r.mixed[doc.Incident] // a reminder of a rogue is none
		for _, a := range doc.Alarms {
			_, rogue := r.rogue[a.Issuance]
			ours = ours || rogue
		}
		if !ours {
			r.falseRing(&m, &doc)
		}
	}
	if first {
		r.todo = append(r.todo, word{m.At.Add(acks), doc.Incident, incident.Ack{By: "on call"}}, word{m.At.Add(resolves), doc.Incident, incident.Resolve{By: "on call"}})
	}
	return nil
}

func (r *run) falseRing(m *replay.Message, doc *notify.Incident) {
	out := FalseRing{At: m.At, Title: doc.Title, Change: doc.Change, What: "nothing that is known", Rules: []string{}}
	for _, a := range doc.Alarms {
		var id cert.ID
		if _, err := hex.Decode(id[:], []byte(a.Issuance)); err == nil && r.truth[id] != nil {
			out.What = r.truth[id].What
			if s := r.truth[id].Service; s != nil {
				out.What += " of " + s.Name
			}
		}
		for _, reason := range a.Reasons {
			if !reason.Held && !slices.Contains(out.Rules, reason.Rule) {
				out.Rules = append(out.Rules, reason.Rule)
			}
		}
	}
	r.out.False = append(r.out.False, out)
}

// judge counts, and says what is not as it should be.
func (r *run) judge() {
	out := r.out
	for _, f := range r.w.Filed() {
		out.Certificates++
		c := r.truth[f.ID]
		if c != nil && c.Rogue == nil {
			out.Renewals++
		}
		out.Silent["further entries of the same issuance"] += f.Entries - 1
		if r.rang[hex.EncodeToString(f.ID[:])] {
			continue
		}
		why := silence(f)
		out.Silent[why]++
		if f.Verdict.Level == policy.Digest {
			for _, x := range f.Verdict.Fired {
				if x.Level == policy.Digest {
					out.Digest[x.Rule]++
				}
			}
		}
		if why == unexplained || c == nil {
			r.problem("a certificate stayed silent, and nothing explains it: %x, %s", f.ID[:8], f.Verdict.Level)
		}
	}
	for i := range out.Rogues {
		x := &out.Rogues[i]
		f := r.w.Find(x.id)
		if f != nil {
			x.Seen = f.FirstSeen
			for _, fired := range f.Verdict.Fired {
				if fired.Level >= policy.Alarm && !slices.Contains(x.Rules, fired.Rule) {
					x.Rules = append(x.Rules, fired.Rule)
				}
			}
			if !f.Waited.IsZero() {
				x.Waited = f.Waited.Sub(f.FirstSeen).Milliseconds()
			}
		}
		switch {
		case !x.Rang:
			r.problem("%s did not ring: %s", x.Kind, x.Why)
			continue
		case x.Page && (x.Latency != 0 || x.Waited != 0):
			r.problem("%s is to page, and waited for %s", x.Kind, time.Duration(x.Latency)*time.Millisecond)
		case x.Page && x.Level != policy.Page.String():
			r.problem("%s is to page, and rang as %s", x.Kind, x.Level)
		}
		out.RogueRung++
	}
	out.Suppressed = r.w.Suppressed()
	out.FalseRings = len(out.False)
	if len(out.Rogues) != lab.Rogues {
		r.problem("%d rogues were seen, and there are %d", len(out.Rogues), lab.Rogues)
	}
	if r.o.Every <= 1 && out.Renewals < lab.Renewals {
		r.problem("%d renewals are not a year: %d are", out.Renewals, lab.Renewals)
	}
	if out.FalseRings > MostFalse {
		r.problem("%d false rings, and %d are allowed", out.FalseRings, MostFalse)
	}
	out.OK = len(out.Problems) == 0 && out.RogueRung == lab.Rogues
}

// unexplained is a silence for which the verdict gives no reason.
const unexplained = "unexplained"

// silence says why a certificate did not ring, by the reasons of its verdict.
func silence(f *replay.Filed) string {
	if f.Decided.IsZero() {
		return unexplained
	}
	if f.Verdict.Level >= policy.Alarm { // by an incident, which counts why
		return "told by an incident in another message"
	}
	held := map[string]bool{}
	for _, r := range f.Verdict.Reasons {
		if r.Held {
			held[r.Rule] = true
		}
	}
	why := unexplained
	switch {
	case len(f.Verdict.Uses) > 0:
		why = "announced"
	case held[policy.RuleKey] && f.Owned:
		why = "expected: its key is in a file of ours"
	case held[policy.RuleKey] && f.Journalled && !f.Waited.IsZero():
		why = "expected: its key is in the journal, which was waited for"
	case held[policy.RuleKey] && f.Journalled:
		why = "expected: its key is in the journal"
	case held[policy.RuleIssuerAlone]:
		why = "expected: by the issuer alone, same-CA attacks pass"
	}
	if f.Verdict.Level == policy.Digest {
		var rules []string
		for _, x := range f.Verdict.Fired {
			if x.Level == policy.Digest && !slices.Contains(rules, x.Rule) {
				rules = append(rules, x.Rule)
			}
		}
		if len(rules) > 0 {
			why = "in the digest: " + strings.Join(rules, ", ")
		}
	}
	return why
}
