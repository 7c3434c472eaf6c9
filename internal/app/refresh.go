package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/loglist"
)

// Times of the loop over the lists.
const (
	defaultRefresh = 45 * time.Minute
	settleEvery    = time.Minute // how often logs that leave are looked at
)

// fairChance is how long a log that leaves is asked, after a start, before it can count as gone.
const fairChance = time.Hour

// listedAtStart prepares the stations of what the lists want. A log that cannot be followed costs no other one.
func (a *App) listedAtStart(ctx context.Context) error {
	if a.opts.Lists == nil {
		return nil
	}
	var errs []error
	for _, w := range a.opts.Lists.Wanted() {
		s, err := a.station(ctx, w.Log, a.from(w))
		if err != nil {
			errs = append(errs, err)
			a.cannotSee(err.Error())
			a.unusable(w, err)
			continue
		}
		s.leaving.Store(w.Leaving)
		a.logs = append(a.logs, s)
	}
	if len(a.logs) == 0 {
		return errors.Join(errs...)
	}
	if err := a.opts.Lists.Own(); err != nil {
		a.logger.Error("what is known of the lists does not outlive this run", "err", err)
	}
	return nil
}

func (a *App) unusable(w lists.Want, err error) {
	a.logger.Error("a log of the lists cannot be followed", "log", w.Log.Name(), "err", err)
	a.opts.Lists.Unusable(w.Log.ID, err)
}

// refresh keeps the lists up to date, follows what they say, and tells of it.
func (a *App) refresh(ctx context.Context) error {
	if a.opts.Lists == nil || a.opts.Once {
		return nil
	}
	every := a.opts.Refresh
	if every <= 0 {
		every = defaultRefresh
	}
	next := time.Now().Add(spread(every))
	for {
		a.settle(ctx)
		a.seeOut(ctx)
		wait := time.NewTimer(min(settleEvery, time.Until(next)))
		select {
		case <-ctx.Done():
		case <-a.relist:
			next = time.Now()
		case <-wait.C:
		}
		wait.Stop()
		if ctx.Err() != nil {
			return nil
		}
		if !time.Now().Before(next) {
			_ = a.opts.Lists.Refresh(ctx) // kept there, and told from there
			next = time.Now().Add(spread(every))
		}
	}
}

// spread is d give or take a third: many instances must not ask at the same moment.
func spread(d time.Duration) time.Duration {
	return d - d/3 + rand.N(2*d/3+1)
}

// settle makes the stations those that the lists want: new ones begin, changed ones begin anew from where they are.
func (a *App) settle(ctx context.Context) {
	for _, w := range a.opts.Lists.Wanted() {
		s := a.find(w.Log.ID)
		if s != nil && same(&s.log, &w.Log) {
			s.leaving.Store(w.Leaving)
			continue
		}
		if s != nil {
			a.drop(s)
		}
		if err := a.Follow(ctx, w.Log, a.from(w)); err != nil && ctx.Err() == nil {
			a.unusable(w, err)
		} else if s := a.find(w.Log.ID); s != nil {
			s.leaving.Store(w.Leaving)
		}
	}
}

// seeOut ends the stations of logs that are done with, and tells what there is to be told of the lists.
func (a *App) seeOut(ctx context.Context) {
	if a.opts.Lists == nil {
		return
	}
	for _, s := range a.followed() {
		if ctx.Err() != nil {
			return
		}
		t := s.tailer.Status()
		if a.opts.Lists.Progressed(s.log.ID, lists.Progress{Head: t.Head.Size, Verified: t.Verified, Position: t.Position, Final: t.State == "closed",
			Down: t.State == "unreachable" || t.State == "starting", Tried: a.opts.Once || time.Since(s.began) >= fairChance}) {
			a.drop(s)
		}
	}
	a.tellLists(ctx)
}

// same says whether two entries of a list about a log are followed in the same way.
func same(a, b *loglist.Log) bool {
	final := a.Final == b.Final || a.Final != nil && b.Final != nil && *a.Final == *b.Final
	return final && a.Kind == b.Kind && a.URL == b.URL && a.MonitoringURL == b.MonitoringURL && a.Dial == b.Dial && a.MMD == b.MMD &&
		a.State == b.State && a.Name() == b.Name() && a.Operator == b.Operator
}

// from is where a log of the lists begins when it was never read.
func (a *App) from(w lists.Want) ctlog.Start {
	switch from := a.opts.From; {
	case w.Zero:
		return ctlog.Start{Zero: true}
	case !w.Since.IsZero() && from == ctlog.Start{}: // "now" was then
		return ctlog.Start{Since: w.Since}
	default:
		return from
	}
}

func (a *App) find(id [32]byte) *station {
	for _, s := range a.followed() {
		if s.log.ID == id {
			return s
		}
	}
	return nil
}

// ListMessage is what receivers get about a log list.
type ListMessage struct {
	Kind  string      `json:"kind"` // "list"
	Event lists.Event `json:"event"`
}

// tellLists queues what people should know of the lists. What could not be queued is queued at the next turn.
func (a *App) tellLists(ctx context.Context) {
	for _, e := range a.opts.Lists.Events() {
		e.List, e.Text = notify.Safe(e.List, 1000), notify.Safe(e.Text, 2000)
		doc := ListMessage{Kind: "list", Event: e}
		text := fmt.Sprintf("LIST  %s: %s\n      next: tocsin lists", e.Kind, e.Text)
		_, err := a.store.Enqueue(ctx, notify.Messages("list", e.Key, "digest", text, mustJSON(doc), a.receivers)...)
		if err == nil {
			err = a.opts.Lists.Told(e)
		}
		if err != nil {
			if ctx.Err() == nil {
				a.logger.Error("people were not told about the log lists", "event", e.Kind, "err", err)
			}
			return
		}
	}
}

// AcceptList takes over the update of a list that was refused for what it loses; "" is the only one that waits. The
// text says what is lost.
func (a *App) AcceptList(source string) (string, error) {
	if a.opts.Lists == nil {
		return "", errors.New("no log list is followed")
	}
	text, err := lists.AcceptOne(a.opts.Lists, source)
	if err == nil {
		select {
		case a.relist <- struct{}{}:
		default: // it looks soon anyway
		}
	}
	return text, err
}

// maxReports bounds the reports in a [Coverage].
const maxReports = 200

// listed adds what the lists say to the coverage.
func (c *Coverage) listed(l *lists.Set) {
	if l == nil {
		return
	}
	c.Lists = l.Status()
	for i, r := range l.Joined().Reports {
		if i == maxReports {
			break
		}
		c.ListReports = append(c.ListReports, notify.Safe(r.String(), 500))
	}
	for _, d := range l.Departing() {
		id := base64.StdEncoding.EncodeToString(d.Log.ID[:])
		known := false
		for i := range c.Logs {
			if c.Logs[i].ID == id {
				c.Logs[i].Note, known = join(c.Logs[i].Note, d.Text), true
			}
		}
		if !known && !d.Closed.IsZero() {
			c.Logs = append(c.Logs, LogCoverage{Name: d.Log.Name(), ID: id, Kind: d.Log.Kind.String(), Operator: d.Log.Operator, URL: d.Log.URL, State: "closed", Note: d.Text})
		}
	}
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
