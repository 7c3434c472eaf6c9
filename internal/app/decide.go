package app

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/notify"
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
		n, err := a.decideDue(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			a.logger.Error("deciding; trying again", "err", err)
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

// retryDecide is how long a decision that could not be written waits.
const retryDecide = 5 * time.Second

// decideDue decides one batch and says how many there were.
func (a *App) decideDue(ctx context.Context) (int, error) {
	due, err := a.store.Undecided(ctx, decideBatch)
	if err != nil {
		return 0, err
	}
	for i := range due {
		a.hook(FiledNotDecided)
		if err := a.decideOne(ctx, &due[i]); err != nil {
			return i, err
		}
	}
	return len(due), nil
}

func (a *App) decideOne(ctx context.Context, is *store.Issuance) error {
	st := a.stations.Load()
	r := st.Read(Subject{Bytes: is.Cert, Precert: is.Precert, IssuerKeyHash: is.IssuerKeyHash, Chain: is.Chain})
	now := time.Now()
	v := st.Decide(r, now)
	seen, err := a.store.Sightings(ctx, is.ID, false)
	if err != nil {
		return err
	}
	doc := st.Document(r, &v, now)
	doc.Sightings = sightings(seen)
	var filed []cert.Oddity
	if json.Unmarshal(is.Oddities, &filed) == nil {
		addOddities(&doc, filed)
	}
	rows, err := notify.Rows(doc, is.ID, a.receivers)
	if err != nil {
		return err
	}
	queued, err := a.store.Decide(ctx, store.Decision{
		ID: is.ID, Revision: is.Revision, Version: v.Version, Level: v.Level.String(), Reasons: mustJSON(v.Reasons), Facts: mustJSON(decidedOn{doc.Issuer, doc.Key}), At: now, Outbox: rows,
	})
	if err != nil {
		return err
	}
	a.decided(v.Level, queued)
	return nil
}

// decidedOn is what was known at a decision, for explain.
type decidedOn struct {
	Issuer notify.Issuer `json:"issuer"`
	Key    notify.Key    `json:"key"`
}
