package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Times and bounds of the loop that lets time pass for incidents.
const (
	incidentBatch = 64
	incidentRetry = 5 * time.Second
	incidentLook  = time.Minute // at least so often, should the clock have been set
)

// docket begins one with the silences of the moment.
func (a *App) docket(ctx context.Context, now time.Time) (*Docket, error) {
	silences, err := silencesFrom(ctx, a.store, now)
	if err != nil {
		return nil, err
	}
	t := a.opts.Telling
	if a.opts.Once {
		t.Incidents.Wait = 0 // nobody is there later
	}
	return NewDocket(a.store, a.receivers, t, silences, now), nil
}

func silencesFrom(ctx context.Context, s *store.Store, now time.Time) ([]incident.Silence, error) {
	rows, err := s.Silences(ctx, now, 1000)
	if err != nil {
		return nil, err
	}
	out := make([]incident.Silence, 0, len(rows))
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

// pass lets time pass for incidents until ctx is done.
func (a *App) pass(ctx context.Context) error {
	news, cancel := a.store.Subscribe(store.TopicIncidents)
	defer cancel()
	for {
		more, err := a.passDue(ctx)
		if ctx.Err() != nil {
			return nil
		}
		wait := incidentLook
		if err != nil {
			a.logger.Error("incidents cannot be told now; trying again", "err", err)
			wait = incidentRetry
		} else if more {
			continue
		} else if at, ok, err := a.store.NextIncidentDue(ctx); err == nil && ok {
			wait = max(0, min(wait, time.Until(at)))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-news:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// passDue takes the incidents whose time has come, and says whether there may be more.
func (a *App) passDue(ctx context.Context) (more bool, err error) {
	now := time.Now()
	due, err := a.store.IncidentsDue(ctx, now, incidentBatch)
	if err != nil {
		return false, err
	}
	var errs []error
	for i := range due {
		if err := a.passOne(ctx, due[i].ID, now); err != nil && !errors.Is(err, store.ErrIncidentChanged) {
			errs = append(errs, err)
		}
	}
	return len(due) == incidentBatch, errors.Join(errs...)
}

func (a *App) passOne(ctx context.Context, id string, now time.Time) error {
	a.desk.Lock()
	defer a.desk.Unlock()
	i, err := a.store.Incident(ctx, id) // as it is now that nobody else changes it
	if err != nil {
		return err
	}
	d, err := a.docket(ctx, now)
	if err != nil {
		return err
	}
	if err := d.Pass(ctx, i); err != nil {
		return err
	}
	return a.write(ctx, d, nil)
}

func (a *App) write(ctx context.Context, d *Docket, said incident.Event) error {
	rows, err := d.Rows(ctx, said)
	if err == nil {
		_, err = a.store.ChangeIncidents(ctx, rows...)
	}
	return err
}

// IncidentSummary is one incident in a list.
type IncidentSummary struct {
	ID           string    `json:"id"`
	Kind         string    `json:"kind"` // owner or ca
	Status       string    `json:"status"`
	Level        string    `json:"level"`
	Title        string    `json:"title"`
	Owner        string    `json:"owner,omitempty"`
	Group        string    `json:"group"`
	Parent       string    `json:"parent,omitempty"`
	Opened       time.Time `json:"opened"`
	Updated      time.Time `json:"updated"`
	Certificates int       `json:"certificates"`
	Suppressed   int       `json:"suppressed"`
	Drill        bool      `json:"drill,omitempty"`
}

// IncidentDetail is all that is known of one incident.
type IncidentDetail struct {
	IncidentSummary
	State    incident.State        `json:"state"`
	Members  []IncidentCertificate `json:"members"` // the newest first, at most 100
	Children []IncidentSummary     `json:"children"`
	Trail    []TrailLine           `json:"trail"`
}

// IncidentCertificate is one certificate of an incident.
type IncidentCertificate struct {
	Issuance string          `json:"issuance"`
	Level    string          `json:"level"`
	Since    time.Time       `json:"since"`
	Why      string          `json:"not_told,omitempty"` // why it was not told when it came
	Alarm    json.RawMessage `json:"alarm"`
}

// TrailLine is something that was done, and by whom.
type TrailLine struct {
	At    time.Time `json:"at"`
	Kind  string    `json:"kind"`
	Actor string    `json:"actor"`
	Text  string    `json:"text"`
}

func summary(i *store.Incident) IncidentSummary {
	return IncidentSummary{ID: i.ID, Kind: i.Kind, Status: i.Status, Level: i.Level, Title: notify.Safe(i.Title, 300), Owner: i.Owner, Group: notify.Safe(i.Group, 300),
		Parent: i.Parent, Opened: i.Opened.UTC(), Updated: i.Updated.UTC(), Certificates: i.Certificates, Suppressed: i.Suppressed, Drill: i.Drill}
}

// IncidentQuery says which incidents are asked for.
type IncidentQuery struct {
	Closed                 bool
	Owner, Status, AtLeast string
	Limit                  int
}

func (q *IncidentQuery) filter() store.IncidentFilter {
	f := store.IncidentFilter{Closed: q.Closed, Owner: q.Owner, Status: q.Status, Limit: q.Limit}
	if q.AtLeast != "" {
		f.AtLeast = notify.Rank(q.AtLeast)
	}
	return f
}

// Incidents lists incidents of a store.
func Incidents(ctx context.Context, s *store.Store, q IncidentQuery) ([]IncidentSummary, error) {
	all, err := s.Incidents(ctx, q.filter())
	if err != nil {
		return nil, err
	}
	out := make([]IncidentSummary, len(all))
	for i := range all {
		out[i] = summary(&all[i])
	}
	return out, nil
}

// findIncident is the incident whose id begins with prefix.
func findIncident(ctx context.Context, s *store.Store, prefix string) (store.Incident, error) {
	i, err := s.Incident(ctx, prefix)
	if !errors.Is(err, store.ErrNotFound) || len(prefix) < 4 {
		return i, noIncident(err, prefix)
	}
	found := ""
	for _, closed := range []bool{false, true} {
		all, err := s.Incidents(ctx, store.IncidentFilter{Closed: closed})
		if err != nil {
			return i, err
		}
		for k := range all {
			if !strings.HasPrefix(all[k].ID, prefix) {
				continue
			}
			if found != "" {
				return i, &AskError{Text: "several incidents begin with " + notify.Safe(prefix, 60), HintText: "write more of the id"}
			}
			found = all[k].ID
		}
	}
	if found == "" {
		return i, noIncident(store.ErrNotFound, prefix)
	}
	return s.Incident(ctx, found)
}

func noIncident(err error, prefix string) error {
	if errors.Is(err, store.ErrNotFound) {
		return &missing{"there is no incident " + notify.Safe(prefix, 60)}
	}
	return err
}

// missing is a [store.ErrNotFound] about incidents in words for people.
type missing struct{ text string }

func (e *missing) Error() string { return e.text }
func (e *missing) Unwrap() error { return store.ErrNotFound }

// Hint says what to do.
func (e *missing) Hint() string { return "tocsin incidents list names those there are" }

// maxMembersShown bounds the certificates of an [IncidentDetail].
const maxMembersShown = 100

// ShowIncident tells all of one incident.
func ShowIncident(ctx context.Context, s *store.Store, prefix string) (*IncidentDetail, error) {
	i, err := findIncident(ctx, s, prefix)
	if err != nil {
		return nil, err
	}
	out := &IncidentDetail{IncidentSummary: summary(&i), Members: []IncidentCertificate{}, Children: []IncidentSummary{}, Trail: []TrailLine{}}
	if err := json.Unmarshal(i.Body, &out.State); err != nil {
		return nil, fmt.Errorf("reading incident %s: %w", i.ID, err)
	}
	members, err := s.IncidentMembers(ctx, i.ID, maxMembersShown)
	if err != nil {
		return nil, err
	}
	for k := range members {
		var m incident.Member
		if err := json.Unmarshal(members[k].State, &m); err != nil {
			return nil, fmt.Errorf("reading a certificate of incident %s: %w", i.ID, err)
		}
		out.Members = append(out.Members, IncidentCertificate{Issuance: hex.EncodeToString(members[k].Issuance[:]), Level: m.Level.String(), Since: m.At.UTC(), Why: string(m.Why), Alarm: members[k].Alarm})
	}
	beneath, err := s.IncidentsBeneath(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	for k := range beneath {
		out.Children = append(out.Children, summary(&beneath[k]))
	}
	trail, err := s.TrailOf(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	for _, t := range trail {
		out.Trail = append(out.Trail, TrailLine{t.At.UTC(), t.Kind, notify.Safe(t.Actor, 100), notify.Safe(t.Text, 500)})
	}
	return out, nil
}

// Word is what a person says of an incident.
type Word struct {
	By             string `json:"by"`
	Comment        string `json:"comment"`
	UntilDifferent bool   `json:"until_different,omitempty"`
}

// Kinds of entries of the trail about incidents.
const (
	trailAcked    = "incident-acknowledged"
	trailResolved = "incident-resolved"
	trailSilence  = "silence-created"
	trailUnsilent = "silence-ended"
)

// Ack notes that somebody has seen an incident; Resolve that somebody ends it.
func (a *App) Ack(ctx context.Context, prefix string, w Word) (IncidentSummary, error) {
	text := w.Comment
	if w.UntilDifferent {
		text = strings.TrimSpace("until different " + text)
	}
	return a.said(ctx, prefix, incident.Ack{By: w.By, Comment: w.Comment, UntilDifferent: w.UntilDifferent}, store.TrailEntry{Kind: trailAcked, Actor: w.By, Text: text})
}

// Resolve ends an incident.
func (a *App) Resolve(ctx context.Context, prefix string, w Word) (IncidentSummary, error) {
	return a.said(ctx, prefix, incident.Resolve{By: w.By, Comment: w.Comment}, store.TrailEntry{Kind: trailResolved, Actor: w.By, Text: w.Comment})
}

func (a *App) said(ctx context.Context, prefix string, e incident.Event, trail store.TrailEntry) (IncidentSummary, error) {
	if strings.TrimSpace(trail.Actor) == "" {
		return IncidentSummary{}, &AskError{Text: "who says so is missing", HintText: "--by NAME"}
	}
	a.desk.Lock()
	defer a.desk.Unlock()
	i, err := findIncident(ctx, a.store, prefix)
	if err != nil {
		return IncidentSummary{}, err
	}
	d, err := a.docket(ctx, time.Now())
	if err != nil {
		return IncidentSummary{}, err
	}
	trail.Subject = i.ID
	if err := d.Say(ctx, i, e, trail); err != nil {
		return IncidentSummary{}, err
	}
	if err := a.write(ctx, d, e); err != nil {
		return IncidentSummary{}, err
	}
	i, err = a.store.Incident(ctx, i.ID)
	return summary(&i), err
}

// SilenceState is a silence, and what it did.
type SilenceState struct {
	incident.Silence
	Active       bool `json:"active"`
	Hid          int  `json:"hid"`
	HidAddresses int  `json:"hid_addresses"`
}

// Silences lists the silences that are not over.
func Silences(ctx context.Context, s *store.Store) ([]SilenceState, error) {
	now := time.Now()
	rows, err := s.Silences(ctx, now, 1000)
	if err != nil {
		return nil, err
	}
	out := []SilenceState{}
	for i := range rows {
		one := SilenceState{Hid: rows[i].Hid, HidAddresses: rows[i].HidAddresses}
		if err := json.Unmarshal(rows[i].Body, &one.Silence); err != nil {
			return nil, fmt.Errorf("reading silence %s: %w", rows[i].ID, err)
		}
		one.Ended = rows[i].Ended
		one.Active = one.Silence.Active(now)
		out = append(out, one)
	}
	return out, nil
}

// Silencing is the answer to a silence that is wanted: what it would have muted of the last days, and whether it was made.
type Silencing struct {
	Silence incident.Silence   `json:"silence"`
	Made    bool               `json:"made"`
	Preview incident.WouldMute `json:"preview"`
	Days    int                `json:"days"`
	Text    string             `json:"text"`
}

// Bounds of a preview.
const (
	previewDays = 30
	previewMost = 1000
)

// Silence makes a silence, or only says what it would have muted.
func (a *App) Silence(ctx context.Context, s incident.Silence, dry bool) (*Silencing, error) {
	now := time.Now()
	if s.Start.IsZero() {
		s.Start = now.UTC()
	}
	if err := s.Check(now); err != nil {
		return nil, &AskError{Text: err.Error(), HintText: "tocsin silence add --help"}
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	s.ID = hex.EncodeToString(b[:])
	past, err := a.past(ctx, now)
	if err != nil {
		return nil, err
	}
	out := &Silencing{Silence: s, Days: previewDays, Preview: incident.Preview(&s, past)}
	out.Text = fmt.Sprintf("in the last %d days it %s", previewDays, out.Preview.Text())
	if dry {
		return out, nil
	}
	row := store.SilenceRow{ID: s.ID, Body: mustJSON(s), Start: s.Start, Until: s.End, Created: now}
	out.Made = true
	return out, a.store.AddSilence(ctx, row, store.TrailEntry{Kind: trailSilence, Actor: s.By, Subject: s.ID, Text: s.Reason})
}

// past are the surprises of the last days, as incidents see them.
func (a *App) past(ctx context.Context, now time.Time) (out []incident.Past, err error) {
	rang, err := a.store.Recent(ctx, previewMost, policy.Alarm.String(), policy.Page.String())
	if err != nil {
		return nil, err
	}
	st := a.stations.Load()
	for _, r := range rang {
		if now.Sub(r.FirstSeen) > previewDays*24*time.Hour {
			continue
		}
		rec, err := a.store.Record(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		is := &rec.Issuance
		read := st.Read(Subject{Bytes: is.Cert, Precert: is.Precert, IssuerKeyHash: is.IssuerKeyHash, Chain: is.Chain})
		v := st.Decide(read, now)
		out = append(out, incident.Past{At: is.FirstSeen, Verdict: st.Surprise(read, &v, is.ID, is.FirstSeen)})
	}
	return out, nil
}

// EndSilence ends a silence early.
func (a *App) EndSilence(ctx context.Context, id, by string) error {
	err := a.store.EndSilence(ctx, id, store.TrailEntry{Kind: trailUnsilent, Actor: by, Subject: id})
	if errors.Is(err, store.ErrNotFound) {
		return &AskError{Text: "there is no silence " + notify.Safe(id, 60) + " in force", HintText: "tocsin silence list names those there are"}
	}
	return err
}

// incidentsOf are the incidents to which an issuance belongs, the newest first.
func incidentsOf(ctx context.Context, s *store.Store, issuance [32]byte) ([]ExplainedIncident, error) {
	members, err := s.IncidentsOf(ctx, issuance)
	if err != nil {
		return nil, err
	}
	out := []ExplainedIncident{}
	for i := range members {
		one, err := s.Incident(ctx, members[i].Incident)
		if err != nil {
			return nil, err
		}
		var m incident.Member
		if err := json.Unmarshal(members[i].State, &m); err != nil {
			return nil, fmt.Errorf("reading a certificate of incident %s: %w", one.ID, err)
		}
		out = append(out, ExplainedIncident{ID: one.ID, Status: one.Status, Title: notify.Safe(one.Title, 300), NotTold: string(m.Why)})
	}
	return out, nil
}
