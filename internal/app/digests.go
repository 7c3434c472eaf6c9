package app

import (
	"context"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/route"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Quiet says how tocsin shows that it lives while nothing rings.
type Quiet struct {
	// Digest is the time of the daily digest; nil for 08:00 UTC where a receiver is an inbox. NoDigest: never.
	Digest   *route.Daily
	NoDigest bool
	// Heartbeat is who gets signs of life; see [Heartbeat].
	Heartbeat Heartbeat
}

// digestLook is how often the clock is looked at, and longestDigest the longest span of one digest: what was missed
// before while the daemon was down stands in the ledger.
const (
	digestLook    = time.Minute
	longestDigest = 31 * 24 * time.Hour
)

// digestTime is when a digest is due each day, nil for never.
func (a *App) digestTime() *route.Daily {
	q := &a.opts.Quiet
	switch {
	case q.NoDigest || a.opts.Once:
		return nil
	case q.Digest != nil:
		return q.Digest
	case !slices.ContainsFunc(a.receivers, func(r notify.Receiver) bool { return !r.Stream() }):
		return nil
	}
	at, err := route.ParseDaily("08:00 UTC")
	if err != nil {
		panic(err) // a defect of ours
	}
	return at
}

// digests sends the daily digest until ctx is done.
func (a *App) digests(ctx context.Context) error {
	at := a.digestTime()
	if at == nil {
		return nil
	}
	tick := time.NewTicker(digestLook)
	defer tick.Stop()
	for {
		a.failed(ctx, "the daily digest cannot be made", a.digestDue(ctx, at, time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// digestDue queues a digest when its time has come. It tells of all since the one before, also over days on which
// nobody ran; its id follows from its time, so that it is queued once, whatever crashes there are.
func (a *App) digestDue(ctx context.Context, at *route.Daily, now time.Time) error {
	from, err := a.store.DigestedUntil(ctx)
	if err != nil {
		return err
	}
	if from.IsZero() || from.After(now.Add(time.Hour)) { // the first time, or the clock was wrong: there is nothing to say of before
		return a.store.SetDigestedUntil(ctx, now)
	}
	to := at.Last(now)
	if !to.After(from) {
		return nil
	}
	if to.Sub(from) > longestDigest {
		from = to.Add(-longestDigest)
	}
	rows, err := readDigest(ctx, a.store, from, to)
	if err != nil {
		return err
	}
	rows.day = at.Date(to)
	d := newDigest(rows)
	if _, err := a.store.Enqueue(ctx, notify.Messages(d.Kind, to.UTC().Format(time.RFC3339), string(health.Digest), d.Text(), mustJSON(d), a.receivers)...); err != nil {
		return err
	}
	return a.store.SetDigestedUntil(ctx, to)
}

// readDigest reads what a digest is made of.
func readDigest(ctx context.Context, s *store.Store, from, to time.Time) (*digestRows, error) {
	r := &digestRows{from: from, to: to, filed: &filedTally{}, lives: &lives{}, days: endedDays(from, to)}
	err := s.EachFiled(ctx, from, to, r.filed.add)
	if err == nil {
		err = s.EachLive(ctx, to.Add(-longestLife), r.lives.add)
	}
	if err == nil && len(r.days) > 0 {
		r.suppressed, err = s.SuppressedBetween(ctx, r.days[0], r.days[len(r.days)-1])
	}
	if err == nil {
		r.counts, err = s.TrailCounts(ctx, from, to)
	}
	if err == nil {
		r.trail, err = s.TrailOfKinds(ctx, from, to, maxDigestRows, hushingKinds...)
	}
	if err == nil {
		var more []store.TrailEntry
		more, err = s.TrailOfKinds(ctx, from, to, maxDigestRows, announcedKinds...)
		r.trail = append(r.trail, slices.DeleteFunc(more, func(e store.TrailEntry) bool { return slices.Contains(hushingKinds, e.Kind) })...)
	}
	if err == nil {
		r.tokens, err = s.TokensUsed(ctx, from, to)
	}
	if err == nil {
		r.open, err = s.CountIncidents(ctx)
	}
	if err == nil {
		r.silences, err = Silences(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// endedDays are the days of UTC that ended after from and not after to: each is in one digest.
func endedDays(from, to time.Time) (out []time.Time) {
	const day = 24 * time.Hour
	for end := from.UTC().Truncate(day).Add(day); !end.After(to); end = end.Add(day) {
		out = append(out, end.Add(-day))
	}
	return out
}
