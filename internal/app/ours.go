package app

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Ours is what the daemon knows and hears of our own issuance. The zero value knows nothing and listens nowhere.
type Ours struct {
	// Journal are the directories; nil for none. Control is whether its certificates must be seen in CT.
	Journal *journal.Journal
	Control bool
	// Endpoints are probed about every ProbeEvery (0 for an hour).
	Endpoints  []string
	ProbeEvery time.Duration
	// Listen is the address of the API beside the socket, "" for none; with a certificate when TLS is set.
	Listen string
	TLS    *tls.Config
}

// Times of the loops.
const (
	journalBatch   = 64
	controlEvery   = 15 * time.Second
	controlLook    = 5 * time.Minute // at most, between two looks at what waits
	controlTold    = 8 * 24 * time.Hour
	probeEndpoints = time.Hour
)

// control makes the backend of the API for this daemon.
func (a *App) newControl() *Control {
	return NewControl(a.store, a.Watches, a.stations.Load().Owners, a.logger)
}

// own follows what is ours until ctx is done: directories, positive control, the end of expectations.
func (a *App) own(ctx context.Context) error {
	synced := a.syncKeys(ctx)
	var reload <-chan time.Time
	if a.opts.Ours.Journal != nil {
		tick := time.NewTicker(reloadEvery)
		defer tick.Stop()
		reload = tick.C
	}
	look := time.NewTicker(controlEvery)
	defer look.Stop()
	for {
		a.journalFound(ctx)
		a.controlDue(ctx, time.Now())
		a.closeExpired(ctx, time.Now())
	wait:
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-look.C:
				synced = synced || a.syncKeys(ctx)
				break wait
			case <-reload:
				changed, err := a.opts.Ours.Journal.Reload()
				if err != nil {
					a.logger.Debug("directories of the journal", "err", err)
				}
				if changed {
					synced = a.syncKeys(ctx)
				}
				a.journalFound(ctx)
			}
		}
	}
}

// failed logs what a loop could not do. It is tried again.
func (a *App) failed(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		a.logger.Error(what+"; trying again", "err", err)
	}
}

// syncKeys makes the journal hold the keys that the directories hold now, and says whether it does.
func (a *App) syncKeys(ctx context.Context) bool {
	var keys []store.JournalEntry
	spkis, places := a.opts.Ours.Journal.Keys().All()
	for _, spki := range spkis {
		for _, at := range places[spki] {
			keys = append(keys, store.JournalEntry{SPKI: spki, Source: at.File})
		}
	}
	done, err := a.store.SyncJournalKeys(ctx, keys)
	a.failed(ctx, "keys cannot be journalled", err)
	if done.Added+done.Ended > 0 {
		a.logger.Info("keys of ours have changed", "new", done.Added, "gone", done.Ended, "decided again", len(done.Reconsidered))
	}
	return err == nil
}

// journalFound journals the certificates that directories have brought.
func (a *App) journalFound(ctx context.Context) {
	for ctx.Err() == nil {
		found := a.opts.Ours.Journal.Take(journalBatch)
		if len(found) == 0 {
			return
		}
		entries := make([]store.JournalEntry, 0, len(found))
		for _, f := range found {
			entries = append(entries, certificateEntry(f.Issuance, f.Source, time.Now()))
		}
		for {
			_, err := a.store.AddJournal(ctx, nil, nil, entries...)
			if err == nil || ctx.Err() != nil {
				break
			}
			a.failed(ctx, "certificates of ours cannot be journalled", err)
			select {
			case <-ctx.Done():
			case <-time.After(retryDecide):
			}
		}
	}
}

// readLogs are the logs that are followed, as the positive control wants them.
func (a *App) readLogs(ctx context.Context) (map[[32]byte]journal.Log, error) {
	starts, err := a.store.Starts(ctx)
	if err != nil {
		return nil, err
	}
	out := map[[32]byte]journal.Log{}
	for _, s := range a.followed() {
		st, ok := starts[s.log.ID]
		if !ok {
			continue // nothing of it was read
		}
		since := st.Since
		if since.IsZero() && st.Index > 0 {
			since = st.At
		}
		out[s.log.ID] = journal.Log{Name: s.log.Name(), MMD: st.MMD, Since: since}
	}
	return out, nil
}

func (a *App) logName(id [32]byte) string {
	for _, l := range a.keys() {
		if l.ID == id {
			return l.Name()
		}
	}
	return base64.StdEncoding.EncodeToString(id[:])
}

// controlDue looks at what should have been seen in CT by now.
func (a *App) controlDue(ctx context.Context, now time.Time) {
	due, err := a.store.ControlDue(ctx, now, 1000)
	if err != nil || len(due) == 0 {
		a.failed(ctx, "the positive control cannot be read", err)
		return
	}
	logs, err := a.readLogs(ctx)
	if err != nil {
		a.failed(ctx, "the positive control cannot be taken", err)
		return
	}
	for i := range due {
		a.failed(ctx, "the positive control cannot be taken", a.controlOne(ctx, &due[i], logs, now))
	}
}

func (a *App) controlOne(ctx context.Context, e *store.JournalEntry, logs map[[32]byte]journal.Log, now time.Time) error {
	if !a.opts.Ours.Control {
		return a.store.SetControl(ctx, e.Seq, "", time.Time{}, "")
	}
	is, err := journal.Read(e.DER, nil)
	if err != nil {
		return a.store.SetControl(ctx, e.Seq, string(journal.Unpromised), time.Time{}, err.Error())
	}
	seen, err := a.store.SeenIssuance(ctx, e.Issuance, e.TBS)
	if err != nil {
		return err
	}
	var scan cert.Scan
	if st := a.stations.Load(); !seen && !st.Touches(&scan, e.DER, false) {
		return a.store.SetControl(ctx, e.Seq, string(journal.Unwatched), time.Time{}, "none of its names is watched, so it is not filed when it is seen")
	}
	o := journal.Control(is, e.At, seen, logs, a.logName, now)
	if o.State == journal.Waiting && o.Due.After(now.Add(controlLook)) {
		o.Due = now.Add(controlLook)
	}
	if o.State == journal.Overdue && now.Sub(e.At) > controlTold {
		o.Due = time.Time{}
	}
	note := o.Why
	if o.State == journal.Overdue {
		note = mustText(overdue{Why: o.Why, Logs: o.Logs})
	}
	return a.store.SetControl(ctx, e.Seq, string(o.State), o.Due, note)
}

// overdue is the note of an entry whose control is overdue.
type overdue struct {
	Why  string   `json:"why"`
	Logs []string `json:"logs"`
}

func mustText(v any) string { return string(mustJSON(v)) }

// unseen are the troubles of the positive control: one for each log that has promised issuances of ours and has shown
// none of them to us.
func (a *App) unseen(ctx context.Context, now time.Time) (seen []health.Observation) {
	if !a.opts.Ours.Control {
		return nil
	}
	rows, err := a.store.Journal(ctx, string(journal.Overdue), 1000)
	if err != nil {
		a.failed(ctx, "the positive control cannot be read", err)
		return nil
	}
	type doubt struct {
		n     int
		first string
	}
	doubts := map[string]*doubt{}
	var order []string
	for i := range rows {
		r := &rows[i]
		var o overdue
		if now.Sub(r.At) > controlTold || json.Unmarshal([]byte(r.Note), &o) != nil {
			continue
		}
		for _, l := range o.Logs {
			if doubts[l] == nil {
				doubts[l] = &doubt{}
				order = append(order, l)
			}
			doubts[l].n++
			var names []string
			_ = json.Unmarshal(r.Names, &names) // what cannot be read is named by its hash alone
			doubts[l].first = fmt.Sprintf("the certificate for %s, sha256 %x, journalled %s", strings.Join(names[:min(3, len(names))], ", "), r.SHA256, r.At.UTC().Format(time.RFC3339))
		}
	}
	for _, l := range order {
		seen = append(seen, health.Observation{Code: health.Unseen, Subject: l, Args: health.Args{"count": count(doubts[l].n, "issuance"), "why": notify.Safe(doubts[l].first, 400)}})
	}
	return seen
}

// closeExpired puts the end of expectations on the trail, and tells of those that nothing has used where that was asked
// for.
func (a *App) closeExpired(ctx context.Context, now time.Time) {
	over, err := a.store.ExpiredExpectations(ctx, now)
	a.failed(ctx, "what was announced cannot be read", err)
	for i := range over {
		e, err := expected(&over[i])
		if err != nil {
			a.failed(ctx, "an expectation cannot be read", err)
			continue
		}
		what := strings.Join(e.Names, ", ")
		trail := store.TrailEntry{Kind: trailExpired, Actor: "tocsin", Subject: e.ID, Text: fmt.Sprintf("the announcement of %s is over: %d of %d were used", what, e.Used, e.Count)}
		var rows []store.OutboxRow
		if e.Used == 0 {
			trail.Kind, trail.Text = trailMissing, fmt.Sprintf("what was announced by %s for %s never came: %s", e.By, what, e.Reason)
			if e.NotifyMissing {
				text := "MISSING announced issuance " + notify.Safe(trail.Text, 1000) + "\n      next: tocsin expect list"
				doc := struct {
					Kind        string          `json:"kind"`
					Expectation api.Expectation `json:"expectation"`
				}{"expectation-missing", announced(e, now)}
				rows = notify.Messages("expectation-missing", e.ID, "digest", text, mustJSON(doc), a.receivers)
			}
		}
		a.failed(ctx, "the end of an expectation cannot be kept", a.store.CloseExpectation(ctx, e.ID, []store.TrailEntry{trail}, rows...))
	}
}

// probe looks at endpoints until ctx is done.
func (a *App) probe(ctx context.Context) error {
	if len(a.opts.Ours.Endpoints) == 0 || a.opts.Once {
		return nil
	}
	every := a.opts.Ours.ProbeEvery
	if every <= 0 {
		every = probeEndpoints
	}
	var p journal.Prober
	for {
		var work sync.WaitGroup
		slots := make(chan struct{}, 4)
		for _, at := range a.opts.Ours.Endpoints {
			slots <- struct{}{}
			work.Go(func() {
				defer func() { <-slots }()
				spki, err := p.Probe(ctx, at)
				if err == nil {
					err = a.store.SawKey(ctx, spki, at, time.Now())
				}
				if err != nil && ctx.Err() == nil {
					a.logger.Warn("an endpoint of ours", "endpoint", at, "err", err)
				}
			})
		}
		work.Wait()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// listen answers the API on its address until ctx is done.
func (a *App) listen(ctx context.Context) error {
	if a.opts.Ours.Listen == "" {
		return nil
	}
	l, err := net.Listen("tcp", a.opts.Ours.Listen)
	if err != nil {
		return fmt.Errorf("listening for the API: %w", err)
	}
	if a.opts.Ours.TLS != nil {
		l = tls.NewListener(l, a.opts.Ours.TLS)
	}
	srv := &http.Server{
		Handler:           api.Handler(a.newControl(), api.Options{Logger: a.logger}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	context.AfterFunc(ctx, func() { srv.Close() })
	a.logger.Info("the API answers", "address", l.Addr().String())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answering the API: %w", err)
	}
	return nil
}

// known is what our own records say of an issuance, with what the store must be told of it in the decision.
type known struct {
	upTo   int64
	tbs    cert.ID
	missed []expectation.Miss
	uses   []string
}

// used are the expectations that are used: those without which it would ring, and the one that announces it most
// narrowly even where it would be quiet anyway. It has come; what comes next with that announcement is another.
func (k *known) used(needed []string) []string {
	out := slices.Clone(k.uses)
	for _, id := range needed {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// records fills in what the journal, the announcements and the probes say of a reading.
func (a *App) records(ctx context.Context, r *Reading, id cert.ID, logged time.Time) (k known, err error) {
	k.tbs = journal.Bare(r.Cert.RawTBS)
	if len(r.Cert.RawTBS) == 0 {
		k.tbs = journal.Bare(r.Bytes)
	}
	entries, upTo, err := a.store.JournalOf(ctx, r.Cert.SPKI, k.tbs)
	if err != nil {
		return k, err
	}
	k.upTo = upTo
	have := make([]journal.Entry, len(entries))
	for i, e := range entries {
		have[i] = journal.Entry{Certificate: e.Kind == store.JournalCertificate, ID: e.Issuance, TBS: e.TBS, SPKI: e.SPKI, Source: e.Source, At: e.At}
	}
	r.Facts.Journal = journal.Facts(have, r.Cert.SPKI, id, k.tbs)
	open, err := a.store.OpenExpectations(ctx, id, logged)
	if err != nil {
		return k, err
	}
	all := make([]expectation.Expectation, 0, len(open))
	for i := range open {
		e, err := expected(&open[i])
		if err != nil {
			a.failed(ctx, "an expectation cannot be read", err)
			continue
		}
		all = append(all, e)
	}
	r.Facts.Announced, k.missed = expectation.Match(all, expectation.Subject{ID: id, Cert: r.Cert, Issuer: r.Facts.Issuer, Logged: logged})
	if len(r.Facts.Announced) > 0 {
		k.uses = []string{r.Facts.Announced[0].ID}
	}
	if r.Cert.SPKI != ([32]byte{}) {
		seen, err := a.store.ObservedKeys(ctx, r.Cert.SPKI)
		if err != nil {
			return k, err
		}
		if len(seen) > 0 {
			r.Facts.Key.Observed, r.Facts.Key.ObservedAt = true, seen[0].Last
		}
	}
	return k, nil
}

// firstLogged is when an issuance was first logged, or first seen where no log says so.
func firstLogged(is *store.Issuance, seen []store.Sighting) time.Time {
	at := is.FirstSeen
	for i := range seen {
		if t := time.UnixMilli(int64(seen[i].Timestamp)); t.Before(at) && seen[i].Timestamp > 0 {
			at = t
		}
	}
	return at
}

// Records is what our own records said of an issuance at a decision, for explain.
type Records struct {
	Journal   *Journalled `json:"journal,omitempty"`
	Announced []Announced `json:"announced,omitempty"`
}

// Journalled is what the journal knew. Certificate says that it was this very issuance, and not only its key.
type Journalled struct {
	Certificate bool      `json:"certificate"`
	Source      string    `json:"source"`
	At          time.Time `json:"at"`
}

// Announced is an expectation that announced it.
type Announced struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	By     string `json:"by"`
	// Label warns of what the announcement lets pass.
	Label string `json:"label,omitempty"`
}

// records are nil where nothing is on record.
func (r *Reading) records() *Records {
	var out Records
	if j := r.Facts.Journal; j.Known {
		out.Journal = &Journalled{j.Certificate, j.Source, j.At}
	}
	for _, by := range r.Facts.Announced {
		x := Announced{ID: by.ID, Reason: by.Reason, By: by.By}
		if by.IssuerAlone {
			x.Label = expectation.SameCA
		}
		out.Announced = append(out.Announced, x)
	}
	if out.Journal == nil && len(out.Announced) == 0 {
		return nil
	}
	return &out
}
