package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Book is what a docket reads of the incidents that there are. [store.Store] is the one.
type Book interface {
	Incident(ctx context.Context, id string) (store.Incident, error)
	OpenIncident(ctx context.Context, key string) (store.Incident, bool, error)
	IncidentsBeneath(ctx context.Context, parent string) ([]store.Incident, error)
	IncidentsOf(ctx context.Context, issuance [32]byte) ([]store.IncidentMember, error)
	IncidentMember(ctx context.Context, incident string, issuance [32]byte) (store.IncidentMember, bool, error)
	FingerprintKnown(ctx context.Context, incident, fingerprint string, but [32]byte) (bool, error)
	IncidentsByIssuer(ctx context.Context, issuer string, since time.Time) ([]store.TouchedBy, error)
}

// Telling says whom incidents are told, and how patiently.
type Telling struct {
	Incidents incident.Config
	Routes    []route.Route
}

// Docket is what one verdict, one passing of time or one word of a person makes of incidents: it reads what there is,
// takes the steps, and ends in rows for one transaction. It is used once, by one goroutine.
type Docket struct {
	book    Book
	env     incident.Env
	telling Telling
	// receivers are all, of which inboxes are told of incidents; names are theirs.
	receivers []notify.Receiver
	names     []string

	changes []*change
	alarms  map[string]json.RawMessage // of the certificates at hand, by issuance
}

// change is what becomes of one incident.
type change struct {
	state incident.State
	row   store.IncidentRow
	told  bool // something of it is told, or will be
}

// NewDocket begins one. silences are those that are in force or will be.
func NewDocket(book Book, receivers []notify.Receiver, t Telling, silences []incident.Silence, now time.Time) *Docket {
	d := &Docket{book: book, env: incident.Env{Now: now, Config: t.Incidents, Silences: silences}, telling: t, receivers: receivers, alarms: map[string]json.RawMessage{}}
	for _, r := range receivers {
		d.names = append(d.names, r.Name())
	}
	return d
}

// Surprise is a verdict as incidents see it.
func (s *Stations) Surprise(r *Reading, v *policy.Verdict, issuance [32]byte, firstSeen time.Time) incident.Verdict {
	out := incident.Verdict{Issuance: hex.EncodeToString(issuance[:]), Key: hexOrNone(r.Cert.SPKI), FirstSeen: firstSeen, Wait: v.Wait}
	levels := map[string]policy.Level{}
	for _, o := range v.Watches {
		levels[o.Watch] = o.Level
	}
	for _, m := range r.Matches {
		if m.Watch >= len(s.Watches) {
			continue
		}
		w := &s.Watches[m.Watch]
		t := incident.Touch{Watch: w.Name, Owner: w.Owner, Value: m.Normal, Level: levels[w.Name]}
		if m.Item < len(w.Items) {
			item := &w.Items[m.Item]
			t.Item, t.Name = item.Text, item.Name
			if item.Prefix.IsValid() {
				t.Network = item.Prefix.String()
			}
		}
		out.Touches = append(out.Touches, t)
	}
	if i := &r.Facts.Issuer; i.Proven {
		out.IssuerKey, out.Issuer = hexOrNone(i.SPKI), strings.Join(i.Owners, ", ")
		out.Unlisted = !slices.ContainsFunc(v.Reasons, func(c policy.Reason) bool { return c.Rule == policy.RuleIssuer && c.Held })
	}
	for i := range r.Cert.Idents {
		if text := identified(&r.Cert.Idents[i]); text != "" {
			out.Names = append(out.Names, text)
		}
	}
	var loudest *policy.Fired
	for i := range v.Fired {
		f := &v.Fired[i]
		if f.Level < policy.Alarm {
			continue
		}
		out.Rules = append(out.Rules, f.Rule)
		if loudest == nil || f.Level > loudest.Level {
			loudest = f
		}
	}
	out.Title = title(r, out.Touches, loudest)
	return out
}

func identified(id *cert.Ident) string {
	if id.Prefix.IsValid() {
		return prefixText(id.Prefix.Masked())
	}
	return string(id.Name)
}

// prefixText writes a single address without its length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// title is one line about a certificate.
func title(r *Reading, touches []incident.Touch, f *policy.Fired) string {
	what := "a certificate"
	for i := range touches {
		if touches[i].Level >= policy.Alarm {
			what = notify.Safe(touches[i].Value, 100)
			break
		}
	}
	who := notify.Safe(r.Facts.Issuer.Name, 100)
	if i := &r.Facts.Issuer; i.Proven && len(i.Owners) > 0 {
		who = notify.Safe(i.Owners[0], 100)
	}
	text := what + " by " + who
	if f != nil && f.Title != "" {
		text += ": " + f.Title
	}
	return notify.Safe(text, 300)
}

// at returns the change of an incident, read at most once.
func (d *Docket) at(i store.Incident) (*change, error) {
	if c := d.find(i.ID); c != nil {
		return c, nil
	}
	c := &change{row: store.IncidentRow{Incident: i}}
	if err := json.Unmarshal(i.Body, &c.state); err != nil {
		return nil, fmt.Errorf("reading incident %s: %w", i.ID, err)
	}
	d.changes = append(d.changes, c)
	return c, nil
}

func (d *Docket) find(id string) *change {
	for _, c := range d.changes {
		if c.row.ID == id {
			return c
		}
	}
	return nil
}

func (d *Docket) begin(s incident.State) *change {
	if c := d.find(s.ID); c != nil {
		return c
	}
	c := &change{state: s, row: store.IncidentRow{Incident: store.Incident{ID: s.ID}}}
	d.changes = append(d.changes, c)
	return c
}

// step takes one step of an incident and queues what is told of it.
func (d *Docket) step(ctx context.Context, c *change, e incident.Event) (incident.Effect, error) {
	next, effect := incident.Step(c.state, e, d.env)
	c.state = next
	if s := effect.Suppressed; s != nil {
		c.row.Suppressed = append(c.row.Suppressed, store.Suppression{At: d.env.Now, Why: string(s.Why), Silence: s.Silence, Rules: s.Rules, Address: s.Address})
	}
	if effect.Notify != nil {
		rows, err := d.messages(ctx, c, effect.Notify)
		if err != nil {
			return effect, err
		}
		c.row.Outbox = append(c.row.Outbox, rows...)
	}
	c.told = c.told || effect.Notify != nil || effect.Member != nil && effect.Member.Why == "" && effect.Suppressed == nil
	return effect, nil
}

// Decided takes a verdict in. level is that of the certificate as a whole, alarm what receivers are told of it.
func (d *Docket) Decided(ctx context.Context, v *incident.Verdict, level policy.Level, alarm notify.Alarm) error {
	issuance, err := issuanceID(v.Issuance)
	if err != nil {
		return err
	}
	members, err := d.book.IncidentsOf(ctx, issuance)
	groups := incident.Groups(v)
	if err != nil || len(members) == 0 && len(groups) == 0 {
		return err
	}
	doc, err := notify.AlarmDocument(alarm, issuance)
	if err != nil {
		return err
	}
	d.alarms[v.Issuance] = doc
	was := map[string]*incident.Member{}
	for i := range members {
		var m incident.Member
		if err := json.Unmarshal(members[i].State, &m); err != nil {
			return fmt.Errorf("reading a certificate of incident %s: %w", members[i].Incident, err)
		}
		was[members[i].Incident] = &m
	}
	var mine []*change
	for i := range groups {
		c, err := d.target(ctx, v, &groups[i], members)
		if err != nil {
			return err
		}
		if err := d.see(ctx, c, v, issuance, func(known bool) incident.Seen { return incident.See(v, &groups[i], was[c.state.ID], known) }); err != nil {
			return err
		}
		mine = append(mine, c)
	}
	ca, err := d.authority(ctx, v, issuance, was, mine)
	if err != nil {
		return err
	}
	for _, m := range members { // those for whom it is no surprise any more
		i, err := d.book.Incident(ctx, m.Incident)
		if err != nil {
			return err
		}
		c, err := d.at(i)
		if err != nil {
			return err
		}
		if c == ca || slices.Contains(mine, c) {
			continue
		}
		low := min(level, policy.Digest)
		if err := d.see(ctx, c, v, issuance, func(known bool) incident.Seen {
			return incident.Seen{Issuance: v.Issuance, Level: low, Fingerprint: incident.Fingerprint(v), Known: known, Was: was[m.Incident], Title: v.Title}
		}); err != nil {
			return err
		}
	}
	return nil
}

// see takes the event of a certificate, and keeps what the incident has of it.
func (d *Docket) see(ctx context.Context, c *change, v *incident.Verdict, issuance [32]byte, event func(known bool) incident.Seen) error {
	fingerprint := incident.Fingerprint(v)
	known, err := d.book.FingerprintKnown(ctx, c.state.ID, fingerprint, issuance)
	if err != nil {
		return err
	}
	effect, err := d.step(ctx, c, event(known))
	if err != nil || effect.Member == nil {
		return err
	}
	m := store.IncidentMember{Issuance: issuance, Fingerprint: fingerprint, At: d.env.Now, State: mustJSON(effect.Member), Alarm: d.alarms[v.Issuance]}
	if v.Unlisted && c.state.Kind == incident.OfOwner && effect.Member.Level >= policy.Alarm {
		m.Issuer = v.IssuerKey
	}
	c.row.Members = append(c.row.Members, m)
	return nil
}

// target is the incident to which a verdict belongs for one of its groups: where the certificate is already, else an open
// one of the group, else of its further groups, else a new one.
func (d *Docket) target(ctx context.Context, v *incident.Verdict, g *incident.Group, members []store.IncidentMember) (*change, error) {
	ours := append([]string{g.Key}, g.Others...)
	for _, m := range members {
		i, err := d.book.Incident(ctx, m.Incident)
		if err != nil {
			return nil, err
		}
		if slices.Contains(ours, i.Key) {
			return d.at(i)
		}
	}
	for _, key := range ours {
		i, ok, err := d.book.OpenIncident(ctx, key)
		if err != nil {
			return nil, err
		}
		if ok {
			return d.at(i)
		}
	}
	return d.begin(incident.Start(v, g, d.env.Now)), nil
}

// authority deals with the incident of the CA: there is one, or this verdict makes one, or neither, and then it is nil.
func (d *Docket) authority(ctx context.Context, v *incident.Verdict, issuance [32]byte, was map[string]*incident.Member, mine []*change) (*change, error) {
	if v.IssuerKey == "" || !v.Unlisted || len(mine) == 0 {
		return nil, nil
	}
	open, ok, err := d.book.OpenIncident(ctx, incident.CAKey(v.IssuerKey))
	if err != nil {
		return nil, err
	}
	var c *change
	var children []string
	if ok {
		if c, err = d.at(open); err != nil {
			return nil, err
		}
	} else {
		touched, err := d.book.IncidentsByIssuer(ctx, v.IssuerKey, d.env.Now.Add(-d.env.Config.CAWindow))
		if err != nil {
			return nil, err
		}
		var recent []incident.Recent
		for _, t := range touched {
			recent = append(recent, incident.Recent(t))
		}
		for _, m := range mine {
			recent = append(recent, incident.Recent{Incident: m.state.ID, Key: m.state.Key, Last: d.env.Now})
		}
		if children = incident.Wide(v, recent, d.env.Config, d.env.Now); children == nil {
			return nil, nil
		}
		c = d.begin(incident.StartCA(v, d.env.Now))
	}
	elsewhere := slices.ContainsFunc(mine, func(m *change) bool { return m.told })
	if err := d.see(ctx, c, v, issuance, func(known bool) incident.Seen {
		s, _ := incident.SeeCA(v, was[c.state.ID], known)
		s.Elsewhere = elsewhere
		return s
	}); err != nil {
		return nil, err
	}
	beneath := slices.Clone(mine)
	for _, id := range children {
		child := d.find(id)
		if child == nil {
			i, err := d.book.Incident(ctx, id)
			if err != nil {
				return nil, err
			}
			if child, err = d.at(i); err != nil {
				return nil, err
			}
		}
		if !slices.Contains(beneath, child) {
			beneath = append(beneath, child)
		}
	}
	for _, child := range beneath {
		if _, err := d.step(ctx, child, incident.Join{Parent: c.state.ID}); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Told reports whether anything is told now, or will be.
func (d *Docket) Told() bool {
	return slices.ContainsFunc(d.changes, func(c *change) bool { return c.told })
}

// Pass lets time pass for an incident.
func (d *Docket) Pass(ctx context.Context, i store.Incident) error {
	c, err := d.at(i)
	if err == nil {
		_, err = d.step(ctx, c, incident.Tick{})
	}
	return err
}

// Say takes the word of a person about an incident; who speaks of the incident of a CA speaks of those beneath it.
func (d *Docket) Say(ctx context.Context, i store.Incident, e incident.Event, trail store.TrailEntry) error {
	c, err := d.at(i)
	if err != nil {
		return err
	}
	if _, err := d.step(ctx, c, e); err != nil {
		return err
	}
	c.row.Trail = append(c.row.Trail, trail)
	return nil
}

// Rows are what is to be written, in one transaction. The incident of a CA that is over lets those beneath it go, and
// what people say of it counts for them.
func (d *Docket) Rows(ctx context.Context, said incident.Event) ([]store.IncidentRow, error) {
	for _, c := range slices.Clone(d.changes) {
		if c.state.Kind != incident.OfCA {
			continue
		}
		e, speaks := said, false
		if said != nil {
			e, speaks = incident.Family(said)
		}
		if !speaks && !c.state.Status.Closed() {
			continue
		}
		if !speaks {
			e = incident.Leave{}
		}
		beneath, err := d.book.IncidentsBeneath(ctx, c.state.ID)
		if err != nil {
			return nil, err
		}
		for _, i := range beneath {
			child, err := d.at(i)
			if err != nil {
				return nil, err
			}
			if _, err := d.step(ctx, child, e); err != nil {
				return nil, err
			}
		}
	}
	var out []store.IncidentRow
	for _, c := range d.changes {
		if c.state.Status == incident.None {
			continue
		}
		s := &c.state
		r := c.row
		suppressed := 0
		for _, n := range s.Suppressed {
			suppressed += n
		}
		r.Incident = store.Incident{
			ID: s.ID, Key: s.Key, Kind: s.Kind, Owner: s.Owner, Group: s.Group, Parent: s.Parent, Level: s.Level.String(), Rank: int(s.Level),
			Status: string(s.Status), Closed: s.Status.Closed(), Title: s.Title, Certificates: s.Certificates, Suppressed: suppressed, Drill: s.Drill,
			Opened: s.Opened, Updated: s.Updated, NextDue: roundUp(s.Due), Revision: c.row.Revision, Body: mustJSON(s),
		}
		out = append(out, r)
	}
	return out, nil
}

// roundUp is t in whole milliseconds, as the store keeps it: an incident that is looked at before its time would be due at
// once again, and again.
func roundUp(t time.Time) time.Time {
	if r := t.Truncate(time.Millisecond); r.Before(t) {
		return r.Add(time.Millisecond)
	}
	return t
}

// messages are what inboxes are told.
func (d *Docket) messages(ctx context.Context, c *change, n *incident.Notification) ([]store.OutboxRow, error) {
	var alarms []notify.Alarm
	for _, hash := range n.Issuances {
		doc, err := d.alarm(ctx, c.state.ID, hash)
		if err != nil {
			return nil, err
		}
		if len(doc) == 0 {
			continue
		}
		a, err := notify.ParseAlarm(doc)
		if err != nil {
			return nil, err
		}
		alarms = append(alarms, a)
	}
	walk := route.Walk(d.telling.Routes, d.names, notify.Matter(&c.state, n), d.env.Now)
	return notify.IncidentRows(notify.NewIncident(&c.state, n, alarms), walk, d.receivers)
}

// alarm is what receivers are told of one certificate of an incident.
func (d *Docket) alarm(ctx context.Context, id, issuance string) (json.RawMessage, error) {
	if raw := d.alarms[issuance]; raw != nil {
		return raw, nil
	}
	hash, err := issuanceID(issuance)
	if err != nil {
		return nil, err
	}
	m, ok, err := d.book.IncidentMember(ctx, id, hash)
	if err != nil || !ok {
		return nil, err
	}
	d.alarms[issuance] = m.Alarm
	return m.Alarm, nil
}

func issuanceID(text string) (id [32]byte, err error) {
	if n, err := hex.Decode(id[:], []byte(text)); err != nil || n != len(id) {
		return id, errors.New("an issuance has 64 hex digits")
	}
	return id, nil
}
