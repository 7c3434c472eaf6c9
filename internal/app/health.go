package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/process"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// How often a look is taken, how long the daemon must be up before it makes a daily notice (its logs have been asked by
// then), and how long it may take to say something directly.
const (
	lookEvery   = 15 * time.Second
	probeEvery  = time.Minute
	noticeUp    = 10 * time.Minute
	directTime  = time.Minute
	longestWait = 15 * time.Minute // no message waits longer for its next attempt; see package notify
)

// care looks after the daemon itself until ctx is done.
func (a *App) care(ctx context.Context) error {
	if a.opts.Once {
		return nil
	}
	c := carer{App: a, began: time.Now()}
	if kept, err := a.store.Troubles(ctx); err != nil {
		a.logger.Error("what was wrong before cannot be read", "err", err)
	} else if err := a.keeper.recall(kept); err != nil {
		a.logger.Error("what was wrong before cannot be read", "err", err)
	}
	c.thaw(ctx)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		c.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// carer is the state of the loop.
type carer struct {
	*App
	began   time.Time
	probed  time.Time
	broken  error  // of the last write
	kept    []byte // the open troubles as they were written last
	noticed string // the day whose notice is queued

	mu     sync.Mutex
	unsaid []store.OutboxRow // what could not be queued
}

// round takes a look and tells what is to be told.
func (c *carer) round(ctx context.Context) {
	now := time.Now()
	l := c.look(ctx, now)
	open, events := c.keeper.observe(l)
	for _, e := range events {
		if e.Code == health.ClockSet || e.Code == health.Slept {
			c.thaw(ctx)
		}
		c.log(&e)
	}
	c.keeper.settle(open)
	c.keep(ctx, open, events)
	if c.broken == nil || atRisk(c.broken) {
		c.keepFaults(ctx)
	}
	c.notice(ctx, now)
}

func each(list []store.Trouble) (out [][]byte) {
	for _, t := range list {
		out = append(out, []byte(t.Code), []byte(t.Subject), t.State)
	}
	return out
}

// look gathers what a look needs.
func (c *carer) look(ctx context.Context, now time.Time) look {
	mono, boot := process.Clocks()
	l := look{now: now, clock: health.Reading{Wall: now, Mono: mono, Boot: boot}, usage: process.Measure(c.store.Path())}
	for _, s := range c.followed() {
		l.logs = append(l.logs, s.look())
	}
	if c.opts.Lists != nil {
		l.more = listTroubles(c.opts.Lists.Status())
	}
	l.more = append(l.more, c.unseen(ctx, now)...)
	l.more = append(l.more, pending(c.opts.Pending)...)
	if now.Sub(c.probed) >= probeEvery || c.broken != nil || c.store.Moved() {
		c.probed = now
		c.broken = c.store.Alive(ctx, now)
		if ctx.Err() != nil {
			c.broken = nil
		}
	}
	l.store = c.broken
	if waiting, err := c.store.Waiting(ctx); err == nil {
		l.waiting = waiting
	} else if ctx.Err() == nil {
		l.store = err
	}
	return l
}

// pending is what a changed configuration makes wrong.
func pending(ask func() string) []health.Observation {
	if ask == nil {
		return nil
	}
	why := ask()
	if why == "" {
		return nil
	}
	return []health.Observation{{Code: health.ConfigWaits, Args: health.Args{"why": why}}}
}

// listTroubles is what is wrong with log lists. Package lists tells it by itself; here it stands in the daily notice.
func listTroubles(all []lists.Status) (seen []health.Observation) {
	for _, st := range all {
		if len(st.Troubles) > 0 {
			seen = append(seen, health.Observation{Code: health.ListStale, Subject: st.List, Args: health.Args{"why": st.Troubles[0].Text}})
		}
	}
	return seen
}

// keep writes the open troubles down together with what is said of them. What cannot be written waits in memory; what
// cannot wait is said directly.
func (c *carer) keep(ctx context.Context, open []health.Trouble, events []health.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range events {
		level, text, doc := c.message(&events[i])
		c.unsaid = append(c.unsaid, notify.Messages(kindOf(level), events[i].Key(), level, text, doc, c.receivers)...)
	}
	state := bytes.Join(each(rows(open)), nil)
	if len(c.unsaid) == 0 && bytes.Equal(state, c.kept) {
		return
	}
	err := c.store.SetTroubles(ctx, rows(open), c.unsaid)
	switch {
	case err == nil:
		c.kept, c.unsaid = state, nil
		return
	case ctx.Err() != nil:
		return
	}
	if c.broken == nil {
		c.logger.Error("what is wrong cannot be written down", "err", err)
	}
	c.broken = err
	c.unsaid = c.unsaid[max(0, len(c.unsaid)-maxUnkept):]
	for i := range events {
		if e := &events[i]; !e.Resolved && (e.Code == health.BlindWhole || e.Code == health.StoreFailing || e.Code == health.StoreDamaged || e.Code == health.StoreRisk) {
			c.direct(ctx, e)
		}
	}
}

// The kinds of messages about health. Those that ring have a kind of their own: alarms are about certificates.
const (
	kindTrouble = "trouble"
	kindBlind   = "blind"
)

func kindOf(level string) string {
	if level == string(health.Alarm) {
		return kindBlind
	}
	return kindTrouble
}

// TroubleMessage is the document of a message about health. Its JSON is described in docs/output.md.
type TroubleMessage struct {
	Kind     string    `json:"kind"`
	Health   Trouble   `json:"health"`
	Title    string    `json:"title"`
	Resolved bool      `json:"resolved"`
	At       time.Time `json:"at"`
}

// message is what is said of an event. Only blindness rings; that it is over does not.
func (c *carer) message(e *health.Event) (level, text string, doc []byte) {
	level = string(health.Digest)
	if e.Level == health.Alarm && !e.Resolved {
		level = string(health.Alarm)
	}
	one := shown([]health.Trouble{e.Trouble})[0]
	word := "TROUBLE"
	switch {
	case e.Resolved:
		word = "RESOLVED"
	case level == string(health.Alarm):
		word = "BLIND"
	}
	text = fmt.Sprintf("%s %s: %s (since %s)\n      next: tocsin logs", word, e.Code, one.Text, one.Since.Format(time.RFC3339))
	return level, text, mustJSON(TroubleMessage{Kind: kindOf(level), Health: one, Title: e.Kind().Title, Resolved: e.Resolved, At: time.Now().UTC()})
}

func (c *carer) log(e *health.Event) {
	switch {
	case e.Resolved:
		c.logger.Info("trouble is over", "code", e.Code, "subject", e.Subject, "text", e.Text(), "since", e.Since)
	case e.Level == health.Alarm:
		c.logger.Error("trouble", "code", e.Code, "text", e.Text())
	default:
		c.logger.Warn("trouble", "code", e.Code, "subject", e.Subject, "text", e.Text())
	}
}

// direct says what makes us blind to the receivers themselves: the outbox is in the file that cannot be written. A
// receiver that does not take it gets it from the outbox later, under the same id.
func (c *carer) direct(ctx context.Context, e *health.Event) {
	level, text, doc := c.message(e)
	for _, row := range notify.Messages(kindOf(level), e.Key(), level, text, doc, c.receivers) {
		i := slices.IndexFunc(c.receivers, func(r notify.Receiver) bool { return r.Name() == row.Receiver })
		c.side.Go(func() {
			sending, cancel := context.WithTimeout(ctx, directTime)
			defer cancel()
			n := notify.Notice{ID: row.ID, Kind: row.Kind, At: time.Now(), Payload: row.Payload, Text: row.Text, Attempt: 1}
			if err := c.receivers[i].Send(sending, n); err != nil {
				c.logger.Error("saying directly what is wrong", "receiver", row.Receiver, "err", err)
				return
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.unsaid = slices.DeleteFunc(c.unsaid, func(o store.OutboxRow) bool { return o.ID == row.ID })
		})
	}
}

// thaw makes due what waits for a time that a clock gave which was wrong.
func (c *carer) thaw(ctx context.Context) {
	if err := c.store.Thaw(ctx, time.Now(), longestWait); err != nil && ctx.Err() == nil {
		c.logger.Error("waking what waits", "err", err)
	}
}

// notice queues the notice of yesterday when its time has come. Its id follows from the day: it is told once, whatever
// restarts there are.
func (c *carer) notice(ctx context.Context, now time.Time) {
	day := now.UTC().Add(-noticeAfter).Truncate(24 * time.Hour).Add(-24 * time.Hour)
	name := day.Format(time.DateOnly)
	if name == c.noticed || now.Sub(c.began) < noticeUp || !c.begunBefore(day.Add(24*time.Hour)) {
		return
	}
	v, open := c.keeper.now()
	n, err := newNotice(day, now, v, open)
	if err == nil {
		_, err = c.store.Enqueue(ctx, notify.Messages(n.Kind, name, string(health.Digest), n.Text(), mustJSON(n), c.receivers)...)
	}
	if err != nil {
		if ctx.Err() == nil {
			c.logger.Error("the daily notice cannot be queued", "err", err)
		}
		return
	}
	c.noticed = name
}

// begunBefore reports whether any log was followed by then: there is nothing to say of the days before.
func (a *App) begunBefore(t time.Time) bool {
	for _, s := range a.followed() {
		if start := s.start.Load(); s.started.Load() && (start == nil || start.At.Before(t)) {
			return true
		}
	}
	return false
}

// Stuck says which stations show no sign of life; nil when all do. It is for a watchdog outside.
func (a *App) Stuck() error {
	var names []string
	for _, s := range a.keeper.pulses.Stuck(time.Now()) {
		names = append(names, s.Station)
	}
	if names == nil {
		return nil
	}
	return errors.New("no sign of life from " + strings.Join(names, ", "))
}

// Line is the state in one line.
func (a *App) Line() string {
	v, open := a.keeper.now()
	grades := map[coverage.Grade]int{}
	var owed uint64
	for _, m := range v.marks {
		grades[m.Grade]++
		owed += m.Owed
	}
	var parts []string
	for _, g := range []coverage.Grade{coverage.Live, coverage.Lagging, coverage.Uncovered, coverage.Blind, coverage.Closed} {
		if grades[g] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", grades[g], g))
		}
	}
	line := fmt.Sprintf("%d logs: %s; %d entries owed", len(v.marks), strings.Join(parts, ", "), owed)
	if v.sight.Blind {
		line = "BLIND: " + v.sight.Why + "; " + line
	} else if len(open) > 0 {
		line += "; " + open[0].Text()
	}
	return notify.Safe(line, 400)
}

// beating is the outbox with the pulse of the loops that use it.
type beating struct {
	*store.Store
	pulses *health.Pulses
}

func (b beating) Due(ctx context.Context, receiver string, now time.Time, limit int) ([]store.OutboxRow, error) {
	b.pulses.Beat(outboxStation(receiver), time.Now(), outboxPatience)
	return b.Store.Due(ctx, receiver, now, limit)
}

// only is a receiver that takes one message at a time, also of those who do not come through the outbox.
type only struct {
	notify.Receiver
	free  chan struct{} // has one value while nobody sends
	alive func()
}

func newOnly(r notify.Receiver, alive func()) only {
	o := only{r, make(chan struct{}, 1), alive}
	o.free <- struct{}{}
	return o
}

func (o only) Send(ctx context.Context, n notify.Notice) error {
	select {
	case <-o.free:
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", o.Name(), context.Cause(ctx))
	}
	defer func() { o.free <- struct{}{} }()
	o.alive()
	defer o.alive()
	return o.Receiver.Send(ctx, n)
}

// free is the memory and the disk, for a daemon that does not run.
func usageOf(path string) *process.Usage {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	u := process.Measure(path)
	return &u
}
