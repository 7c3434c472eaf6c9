package ctlog

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Budget is what the logs of one operator are asked together: see [Options]. Each log has a pace of its own; where
// refusals show that several logs stand behind one limit, the budget learns that limit, too, and shares it out. The
// zero value is ready and knows no limit. Safe for concurrent use.
//
// One log that is refused says nothing about its siblings: a broken shard must not starve them. Two that are refused
// within ten seconds do. While the budget is tight, turns go to the log that was served longest ago, and what tells of
// news (heads, proofs) goes before what reads a backlog, but only every other time, so that neither starves.
type Budget struct {
	mu      sync.Mutex
	pace    pace
	waiting []*turn
	armed   bool                   // a grant is under way
	served  map[*fetcher]time.Time // when each log had its last turn
	refusal map[*fetcher]time.Time // when each log was refused last
	urgent  bool                   // the last turn was for something urgent
	since   time.Time              // when the pause began; zero without one
}

// shared is how near to each other the refusals of two logs are that speak of one limit.
const shared = 10 * time.Second

// turn is one request that waits for its time.
type turn struct {
	of     *fetcher
	urgent bool
	ready  chan struct{}
}

// wait returns when the next request of a log may go.
func (b *Budget) wait(ctx context.Context, of *fetcher, urgent bool) error {
	b.mu.Lock()
	now := time.Now()
	if len(b.waiting) == 0 && !now.Before(b.pace.next) {
		b.serve(of, urgent, now)
		b.mu.Unlock()
		return ctx.Err()
	}
	t := &turn{of, urgent, make(chan struct{})}
	b.waiting = append(b.waiting, t)
	b.arm(now)
	b.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		b.waiting = slices.DeleteFunc(b.waiting, func(o *turn) bool { return o == t })
		return ctx.Err()
	}
}

func (b *Budget) serve(of *fetcher, urgent bool, now time.Time) {
	if b.served == nil {
		b.served = map[*fetcher]time.Time{}
	}
	b.served[of], b.urgent = now, urgent
	b.pace.next = now.Add(b.pace.pause)
}

func (b *Budget) arm(now time.Time) {
	if !b.armed && len(b.waiting) > 0 {
		b.armed = true
		time.AfterFunc(b.pace.next.Sub(now), b.grant)
	}
}

// grant gives a turn to those whose time has come.
func (b *Budget) grant() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed = false
	for now := time.Now(); len(b.waiting) > 0 && !now.Before(b.pace.next); {
		i := b.first()
		t := b.waiting[i]
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.serve(t.of, t.urgent, now)
		close(t.ready)
	}
	b.arm(time.Now())
}

// first is the place of the turn that comes next.
func (b *Budget) first() int {
	best := 0
	for i, t := range b.waiting[1:] {
		o := b.waiting[best]
		if t.urgent != o.urgent {
			if t.urgent != b.urgent {
				best = i + 1
			}
			continue
		}
		if b.served[t.of].Before(b.served[o.of]) {
			best = i + 1
		}
	}
	return best
}

// refused notes that a request was refused.
func (b *Budget) refused(sent time.Time, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.pace.refused(sent, now, after)
	b.hold(now)
}

// speaksOfAll notes that a log was refused, and reports whether that speaks of a limit for all: another was refused near to it, or
// there is such a limit and the log, which answers otherwise, has run into it.
func (b *Budget) speaksOfAll(of *fetcher, answers bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusal == nil {
		b.refusal = map[*fetcher]time.Time{}
	}
	now := time.Now()
	b.refusal[of] = now
	if answers && b.pace.pause > 0 {
		return true
	}
	for other, at := range b.refusal {
		if other != of && now.Sub(at) < shared {
			return true
		}
	}
	return false
}

func (b *Budget) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace.answered()
	b.hold(time.Now())
}

func (b *Budget) hold(now time.Time) {
	switch {
	case b.pace.pause == 0:
		b.since = time.Time{}
	case b.since.IsZero():
		b.since = now
	}
}

// forget lets go of a log that is no longer asked.
func (b *Budget) forget(of *fetcher) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.served, of)
	delete(b.refusal, of)
}

// Pace is how fast requests may follow one another.
type Pace struct {
	// Pause is the time between two requests; 0 when no limit is known.
	Pause time.Duration
	// Since is when the present pause began to be kept, in whatever length; zero when none is.
	Since time.Time
	// Next is when the next request may go; it is in the past when one may go now.
	Next time.Time
}

// Pace is what the budget has learned, as far as the logs share a limit.
func (b *Budget) Pace() Pace {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Pace{b.pace.pause, b.since, b.pace.next}
}

// wait returns when the next request may go: when the log bears it, and when its operator does.
func (f *fetcher) wait(ctx context.Context, urgent bool) error {
	if err := f.own.wait(ctx, f, urgent); err != nil || f.budget == nil {
		return err
	}
	return f.budget.wait(ctx, f, urgent)
}

// refused notes an answer 429 or 5xx to a request that was sent at the given time. Those of a broken server speak of the
// log alone. Where the limit is the operator's, its budget alone pays for it, unless the log refuses again and again.
func (f *fetcher) refused(code int, sent time.Time, after time.Duration) {
	answers, again := f.own.standing(sent)
	if f.budget != nil && (code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable || after > 0) &&
		f.budget.speaksOfAll(f, answers) {
		f.budget.refused(sent, after)
		if !again {
			f.own.note()
			return
		}
	}
	f.own.refused(sent, after)
}

// standing reports whether there was an answer since the last refusal, and whether a request that was sent then and is refused
// now was sent after that refusal and nothing was answered in between.
func (b *Budget) standing(sent time.Time) (answers, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	answers = b.pace.answers > 0
	return answers, !answers && sent.After(b.pace.last)
}

// note counts answers anew without another pause.
func (b *Budget) note() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace.last, b.pace.answers = time.Now(), 0
}

// answered notes an answer without complaint.
func (f *fetcher) answered() {
	f.own.answered()
	if f.budget != nil {
		f.budget.answered()
	}
}

// Pace is how fast the log is asked now.
func (f *fetcher) Pace() Pace { return f.own.Pace() }

func (f *fetcher) close() {
	f.client.CloseIdleConnections()
	if f.budget != nil {
		f.budget.forget(f)
	}
}
