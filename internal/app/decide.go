package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// decideBatch is how many issuances are read from the ledger at a time.
const decideBatch = 64

// decide is the slow half: it takes what is filed and not decided, and writes the verdict together with what is to be
// said about it. It returns when ctx is done.
func (a *App) decide(ctx context.Context) error {
	news, cancel := a.store.Subscribe(store.TopicFiled)
	defer cancel()
	for {
		a.decides()
		n, err := a.decideDue(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			a.logger.Error("the ledger cannot be decided on; trying again", "err", err)
		}
		if n > 0 && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		case <-time.After(retryDecide): // what was postponed, or failed
		}
	}
}

// decides is the pulse of the decider.
func (a *App) decides() { a.keeper.pulses.Beat(decideStation, time.Now(), decidePatience) }

// retryDecide is how often the ledger is looked at without being asked to, and postpone how long a decision that
// failed waits.
const (
	retryDecide = 5 * time.Second
	postpone    = time.Minute
)

// decideDue decides one batch and says how many there were.
func (a *App) decideDue(ctx context.Context) (int, error) {
	due, err := a.store.Undecided(ctx, decideBatch)
	if err != nil {
		return 0, err
	}
	for i := range due {
		a.decides()
		a.hook(FiledNotDecided)
		err := a.decideOne(ctx, &due[i])
		if err == nil || ctx.Err() != nil || errors.Is(err, errAgain) {
			continue
		}
		// One that cannot be decided must not stand in the way of the others.
		a.logger.Error("deciding", "issuance", hex.EncodeToString(due[i].ID[:]), "err", err)
		if err := a.store.Postpone(ctx, due[i].ID, time.Now().Add(postpone), err); err != nil {
			return i, err
		}
	}
	return len(due), nil
}

func (a *App) decideOne(ctx context.Context, is *store.Issuance) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a defect of ours: %v\n%s", p, debug.Stack())
		}
	}()
	st := a.stations.Load()
	r := st.Read(Subject{Bytes: is.Cert, Precert: is.Precert, IssuerKeyHash: is.IssuerKeyHash, Chain: is.Chain})
	now := time.Now()
	seen, err := a.store.Sightings(ctx, is.ID, false)
	if err != nil {
		return err
	}
	r.Logged = firstLogged(is, seen)
	own, err := a.records(ctx, r, is.ID, r.Logged)
	if err != nil {
		return err
	}
	issued := st.issued(r)
	if err := a.history(ctx, r, is.ID, issued, is.FirstSeen); err != nil {
		return err
	}
	if err := a.caaSaid(ctx, st, r, is.FirstSeen, now); err != nil {
		return err
	}
	now = time.Now()
	v := st.Decide(r, now)
	if until := is.FirstSeen.Add(v.Wait); v.Wait > 0 && now.Before(until) && !a.opts.Once {
		return a.store.Postpone(ctx, is.ID, until, errSettling)
	}
	doc := st.Document(r, &v, now)
	doc.Sightings = sightings(seen)
	var filed []cert.Oddity
	if json.Unmarshal(is.Oddities, &filed) == nil {
		addOddities(&doc, filed)
	}
	rows, err := notify.Rows(doc, is.ID, a.streams(&v, now))
	if err != nil {
		return err
	}
	a.desk.Lock()
	defer a.desk.Unlock()
	d, err := a.docket(ctx, now)
	if err != nil {
		return err
	}
	surprise := st.Surprise(r, &v, is.ID, is.FirstSeen)
	if err := d.Decided(ctx, &surprise, v.Level, doc); err != nil {
		return err
	}
	incidents, err := d.Rows(ctx, nil)
	if err != nil {
		return err
	}
	queued, err := a.store.Decide(ctx, store.Decision{
		ID: is.ID, Revision: is.Revision, Version: v.Version, Level: v.Level.String(), Reasons: mustJSON(v.Reasons), Facts: mustJSON(decidedOn{doc.Issuer, doc.Key, r.records(), own.missed, caaOn(r.Facts.CAA), v.Fired}), At: now, Outbox: rows,
		SCTs: a.auditor.met(is, now), Uses: own.used(v.Uses), SPKI: r.Cert.SPKI, TBS: own.tbs, Journal: own.upTo,
		Issued: issued, Incidents: incidents,
	})
	if errors.Is(err, store.ErrUsedUp) { // between reading and writing: it is decided again at once
		return errAgain
	}
	if err != nil {
		return err
	}
	a.decided(v.Level, queued > 0 || d.Told())
	return nil
}

// errSettling is why a decision waits: see policy.Verdict.Wait. errAgain ends one that has to be taken again at once.
var (
	errSettling = errors.New("waiting for what our own records may still say (settle)")
	errAgain    = errors.New("what it rests on has changed meanwhile")
)

// streams are the receivers that are told of each certificate: of one that rings, those to which the routes lead.
func (a *App) streams(v *policy.Verdict, now time.Time) (out []notify.Receiver) {
	m := route.Matter{Level: v.Level}
	for _, w := range v.Watches {
		if w.Level >= policy.Alarm {
			m.Owners, m.Watches = append(m.Owners, w.Owner), append(m.Watches, w.Watch)
		}
	}
	var names []string
	for _, r := range a.receivers {
		names = append(names, r.Name())
	}
	walk := route.Walk(a.opts.Telling.Routes, names, m, now)
	for _, r := range a.receivers {
		if r.Stream() && (v.Level < policy.Alarm || slices.ContainsFunc(walk.To, func(d route.Delivery) bool { return d.Receiver == r.Name() })) {
			out = append(out, r)
		}
	}
	return out
}

// decidedOn is what was known at a decision, for explain.
type decidedOn struct {
	Issuer notify.Issuer `json:"issuer"`
	Key    notify.Key    `json:"key"`
	*Records
	Missed []expectation.Miss `json:"not_announced_by,omitempty"`
	CAA    []CAASaid          `json:"caa,omitempty"`
	// Fired are the rules that had something to say.
	Fired []policy.Fired `json:"fired,omitempty"`
}
