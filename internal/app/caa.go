package app

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/facts/caa"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// CAA says how CAA records are looked at. Without resolvers they are not, and what they said is unknown.
type CAA struct {
	// Resolvers are recursive DNS servers, as address:port.
	Resolvers []string
	// Every is the time between two looks at a name, Deadline the time for one question; 0 for the defaults.
	Every, Deadline time.Duration
	// Zones are looked at in place of the names of all watches; nil for these.
	Zones []string
}

// caaStation looks at CAA records, and knows what they said.
type caaStation struct {
	poller   *caa.Poller
	keeper   caaKeeper
	every    time.Duration
	deadline time.Duration
}

// Bounds of what is read of the history: the newest spans of a name, and the names that one answer holds.
const (
	caaSpans = 200
	caaNames = 1000
)

// openCAA makes the station; nil when nobody is to be asked.
func (a *App) openCAA() (*caaStation, error) {
	o := a.opts.CAA
	if len(o.Resolvers) == 0 {
		return nil, nil
	}
	r, err := caa.NewResolver(o.Resolvers, o.Deadline)
	if err != nil {
		return nil, err
	}
	keeper := caaKeeper{store: a.store, receivers: func() []notify.Receiver { return a.receivers }}
	return &caaStation{
		poller: caa.NewPoller(caa.Options{Ask: r.Ask, Keeper: keeper, Every: o.Every, Logger: a.logger}),
		keeper: keeper, every: cmp.Or(o.Every, caa.DefaultEvery), deadline: r.Deadline(),
	}, nil
}

// lookAtCAA looks at the CAA records of what is watched until ctx is done.
func (a *App) lookAtCAA(ctx context.Context) error {
	if a.caa == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- a.caa.poller.Run(ctx) }()
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	var of *Stations
	for {
		if st := a.stations.Load(); st != of {
			of = st
			if left := a.caa.poller.Watch(a.zones(st)); len(left) > 0 {
				a.logger.Warn("there is no room for the CAA records of some zones: what they say is unknown; name the most important ones in caa.zones",
					"zones", len(left), "first", left[0])
			}
		}
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
	}
}

// zones are the names whose records are always looked at.
func (a *App) zones(st *Stations) (zones []string) {
	if len(a.opts.CAA.Zones) > 0 {
		return a.opts.CAA.Zones
	}
	for _, w := range st.Watches {
		for _, i := range w.Items {
			if i.Name != "" {
				zones = append(zones, i.Name)
			}
		}
	}
	return zones
}

// caaSaid fills in what CAA said of a certificate when it was issued. For names without a history it asks, but never
// so that the verdict comes later than the deadline after the certificate was filed: however many wait behind each other,
// none waits longer for a server that does not answer. What rings loudest already waits for nothing.
func (a *App) caaSaid(ctx context.Context, st *Stations, r *Reading, filed, now time.Time) error {
	names := caaSubjects(st, r)
	if a.caa == nil || len(names) == 0 {
		return nil
	}
	at := r.Logged
	if at.IsZero() || at.After(filed) {
		at = filed
	}
	said := func() (out []facts.CAA, unknown []string, err error) {
		hs, err := a.caa.keeper.Load(ctx, ways(names))
		if err != nil {
			return nil, nil, err
		}
		out = caa.Facts(names, at, r.Facts.Issuer.Domains, hs, caa.Gap(a.caa.every))
		for _, c := range out {
			if c.Answer == facts.CAAUnknown {
				unknown = append(unknown, c.Name)
			}
		}
		return out, unknown, nil
	}
	a.caa.poller.Meet(ctx, names, at)
	out, unknown, err := said()
	if err != nil {
		return err
	}
	r.Facts.CAA = out
	until := filed.Add(a.caa.deadline)
	if len(unknown) == 0 || !now.Before(until) || now.Sub(at) > caa.Near || st.Decide(r, now).Level >= policy.Page {
		return nil
	}
	asking, cancel := context.WithDeadline(ctx, until)
	a.caa.poller.Look(asking, unknown)
	cancel()
	if out, _, err = said(); err != nil {
		return err
	}
	r.Facts.CAA = out
	return nil
}

// caaSubjects are the DNS names of a certificate that are watched. Addresses have no CAA.
func caaSubjects(st *Stations, r *Reading) (names []string) {
	for _, m := range r.Matches {
		if (m.Where != cert.InDNS && m.Where != cert.InCN) || m.Watch >= len(st.Watches) {
			continue
		}
		if w := st.Watches[m.Watch]; m.Item < len(w.Items) && w.Items[m.Item].Name != "" {
			names = append(names, m.Normal)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), caaNames)]
}

// ways are all names at which records for the names may stand.
func ways(names []string) (all []string) {
	for _, n := range names {
		way, _, _ := caa.Climb(n)
		all = append(all, way...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// caaKeeper keeps the history in the store.
type caaKeeper struct {
	store     *store.Store
	receivers func() []notify.Receiver
}

// foundCAA is an answer in the store.
type foundCAA struct {
	Records caa.Set  `json:"records,omitempty"`
	Via     []string `json:"via,omitempty"`
	DNSSEC  string   `json:"dnssec,omitempty"`
	Claimed bool     `json:"claimed,omitempty"`
	Why     string   `json:"why,omitempty"`
}

func (k caaKeeper) Load(ctx context.Context, names []string) (caa.Histories, error) {
	hs := caa.Histories{}
	for _, name := range names {
		h, err := caaHistory(ctx, k.store, name)
		if err != nil {
			return nil, err
		}
		hs[name] = h
	}
	return hs, nil
}

func caaHistory(ctx context.Context, s *store.Store, name string) (caa.History, error) {
	rows, err := s.CAA(ctx, name, time.Time{}, caaSpans)
	if err != nil {
		return nil, err
	}
	var h caa.History
	for _, row := range rows {
		var f foundCAA
		if err := json.Unmarshal(row.Answer, &f); err != nil {
			return nil, fmt.Errorf("the CAA history of %s: %w", name, err)
		}
		a := caa.Answer{Known: row.Known, Via: f.Via, DNSSEC: f.DNSSEC, Claimed: f.Claimed, Why: f.Why}
		if row.Known {
			a.Set = caa.NewSet(f.Records...)
		}
		h = append(h, caa.Span{First: row.First, Last: row.Last, Joined: row.Joined, Answer: a})
	}
	return h, nil
}

func (k caaKeeper) Save(ctx context.Context, found []caa.Found) error {
	spans := make([]store.CAASpan, 0, len(found))
	var say []store.OutboxRow
	for _, f := range found {
		a := f.Span.Answer
		spans = append(spans, store.CAASpan{
			Name: f.Name, Known: a.Known, First: f.Span.First, Last: f.Span.Last, Joined: f.Span.Joined, Fresh: f.Fresh,
			Answer: mustJSON(foundCAA{a.Set, a.Via, a.DNSSEC, a.Claimed, notify.Safe(a.Why, 500)}),
		})
		if f.Change != nil {
			c := newCAAChange(f.Change)
			say = append(say, notify.Messages(kindCAA, c.Key(), c.Change.Level, c.Text(), mustJSON(c), k.receivers())...)
		}
	}
	return k.store.RecordCAA(ctx, spans, say)
}

// maxMet bounds the names that are kept of those met in certificates.
const maxMet = 20_000

func (k caaKeeper) Meet(ctx context.Context, names []string, at time.Time) error {
	return k.store.MeetCAA(ctx, names, at, maxMet)
}

func (k caaKeeper) Met(ctx context.Context, most int) (map[string]time.Time, error) {
	return k.store.MetCAA(ctx, min(most, maxMet))
}

// kindCAA is the kind of messages about changes of CAA records.
const kindCAA = "caa"

// CAAMessage is what receivers get when CAA records have changed. Its JSON is described in docs/caa.md.
type CAAMessage struct {
	Kind   string    `json:"kind"` // "caa"
	Change CAAChange `json:"change"`
}

// CAAChange is a change of the CAA records of a name. It happened between After (they were seen as before) and At.
type CAAChange struct {
	Name    string       `json:"name"`
	Level   string       `json:"level"`
	After   time.Time    `json:"after"`
	At      time.Time    `json:"at"`
	What    []string     `json:"what"` // in words
	Before  []caa.Record `json:"before"`
	Records []caa.Record `json:"records"` // as they are now
	DNSSEC  string       `json:"dnssec"`
	Claimed bool         `json:"claimed"` // by a resolver on the network
}

func newCAAChange(c *caa.Change) *CAAMessage {
	m := &CAAMessage{Kind: kindCAA, Change: CAAChange{
		Name: notify.Safe(c.Name, 260), Level: c.Level, After: c.Before.Last, At: c.After.First, What: []string{},
		Before: append([]caa.Record{}, c.Before.Set...), Records: append([]caa.Record{}, c.After.Set...), DNSSEC: c.After.DNSSEC, Claimed: c.After.Claimed,
	}}
	for _, w := range c.What {
		m.Change.What = append(m.Change.What, notify.Safe(w, 1000))
	}
	return m
}

// Key names the change: told again it is the same message.
func (m *CAAMessage) Key() string {
	c := &m.Change
	return fmt.Sprintf("caa %s %s %s %d", c.Name, caa.NewSet(c.Before...).Digest(), caa.NewSet(c.Records...).Digest(), c.At.UnixMilli())
}

// Text is the message for people.
func (m *CAAMessage) Text() string {
	const most = 8
	what := m.Change.What
	if more := len(what) - most; more > 0 {
		what = append(slices.Clone(what[:most]), fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("CAA   the records of %s have changed since %s: %s\n      next: tocsin caa %s; it rings because whoever changes them opens the way to other CAs",
		m.Change.Name, m.Change.After.UTC().Format(time.RFC3339), strings.Join(what, "; "), m.Change.Name)
}

// CAAHistory is what the CAA records of one name said. Its JSON is described in docs/commands.md.
type CAAHistory struct {
	Name string `json:"name"`
	// Spans are the newest, oldest first.
	Spans []CAASpan `json:"spans"`
}

// CAASpan is a time in which each look found the same.
type CAASpan struct {
	First   time.Time    `json:"first"`
	Last    time.Time    `json:"last"`
	Known   bool         `json:"known"`
	Joined  bool         `json:"joined"` // nobody missed anything between it and the one before
	Records []caa.Record `json:"records"`
	Via     []string     `json:"via"`
	DNSSEC  string       `json:"dnssec"`
	Claimed bool         `json:"claimed"`
	Why     string       `json:"why"`     // when it is not known
	Changed []string     `json:"changed"` // against the records that were known before, in words
}

// AskCAA returns the CAA history of a zone and of the names beneath it, and of the names above it; "" is for all.
func AskCAA(ctx context.Context, state, zone string) ([]CAAHistory, error) {
	return ask(ctx, state, "/v1/caa?zone="+url.QueryEscape(zone), func(s *store.Store) ([]CAAHistory, error) {
		return storedCAA(ctx, s, zone)
	})
}

func (a *App) answerCAA(w http.ResponseWriter, r *http.Request) {
	out, err := storedCAA(r.Context(), a.store, r.FormValue("zone"))
	reply(w, out, err)
}

func storedCAA(ctx context.Context, s *store.Store, zone string) ([]CAAHistory, error) {
	var above []string
	if zone != "" {
		way, _, ok := caa.Climb(zone)
		if !ok {
			return nil, &AskError{Text: notify.Safe(zone, 300) + " is no name that DNS could hold", HintText: "tocsin caa example.com; addresses have no CAA"}
		}
		zone, above = way[0], way[1:]
	}
	names, err := s.CAANames(ctx, zone, "", caaNames)
	if err != nil {
		return nil, err
	}
	out := []CAAHistory{}
	for _, name := range append(names, above...) {
		h, err := caaHistory(ctx, s, name)
		if err != nil {
			return nil, err
		}
		if len(h) > 0 {
			out = append(out, shownCAA(name, h))
		}
	}
	return out, nil
}

func shownCAA(name string, h caa.History) CAAHistory {
	out := CAAHistory{Name: name}
	var before *caa.Span
	for i := range h {
		s := &h[i]
		one := CAASpan{
			First: s.First, Last: s.Last, Known: s.Known, Joined: s.Joined, Records: append([]caa.Record{}, s.Set...), Via: append([]string{}, s.Via...),
			DNSSEC: s.DNSSEC, Claimed: s.Claimed, Why: s.Why, Changed: []string{},
		}
		if s.Known {
			if before != nil {
				what, _ := caa.Changed(before.Set, s.Set)
				one.Changed = append(one.Changed, what...)
			}
			before = s
		}
		out.Spans = append(out.Spans, one)
	}
	return out
}

// caaOn says what CAA said at a decision, for explain.
func caaOn(list []facts.CAA) (out []CAASaid) {
	for _, c := range list[:min(len(list), 100)] {
		one := CAASaid{Name: notify.Safe(c.Name, 260), Zone: c.Zone, Answer: c.Answer, Wanted: c.Wanted, DNSSEC: c.DNSSEC, Note: notify.Safe(c.Note, 1000)}
		if !c.Since.IsZero() {
			one.Since = &c.Since
		}
		out = append(out, one)
	}
	return out
}

// CAASaid is what the CAA records said of a name at a decision.
type CAASaid struct {
	Name   string     `json:"name"`
	Zone   string     `json:"zone,omitempty"`
	Answer string     `json:"answer"`
	Wanted []string   `json:"wanted,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	DNSSEC string     `json:"dnssec,omitempty"`
	Note   string     `json:"note,omitempty"`
}
