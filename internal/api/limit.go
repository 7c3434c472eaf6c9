package api

import (
	"sync"
	"time"
)

// rate lets burst requests pass at once, and one more each every.
type rate struct {
	burst int
	every time.Duration
}

// How often may be asked: with one token, and from one address without a valid one. The second is about guessing, not
// about load: a token has 256 bits.
var (
	holders   = rate{burst: 30, every: 2 * time.Second}
	strangers = rate{burst: 10, every: 30 * time.Second}
)

// limits counts requests by who makes them, within bounded memory.
type limits struct {
	now func() time.Time
	mu  sync.Mutex
	// full is when each will have its whole burst again; one that has is forgotten.
	full map[string]time.Time
}

// maxCallers bounds the memory: beyond it, the addresses that waited longest are forgotten.
const maxCallers = 10_000

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, full: map[string]time.Time{}}
}

// take counts a request, unless there are too many: then it says how long to wait.
func (l *limits) take(who string, r rate) time.Duration { return l.ask(who, r, true) }

// peek says how long a request would have to wait, and counts nothing.
func (l *limits) peek(who string, r rate) time.Duration { return l.ask(who, r, false) }

func (l *limits) ask(who string, r rate, count bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	full := l.full[who]
	if full.Before(now) {
		full = now
	}
	// Each request moves the time at which all is paid back; it may lie no further ahead than the burst.
	next := full.Add(r.every)
	if wait := next.Sub(now) - time.Duration(r.burst)*r.every; wait > 0 {
		return wait
	}
	if !count {
		return 0
	}
	if len(l.full) >= maxCallers {
		l.forget(now)
	}
	l.full[who] = next
	return 0
}

// forget drops those that have paid back, or else the one that has paid most.
func (l *limits) forget(now time.Time) {
	var oldest string
	for who, full := range l.full {
		if !full.After(now) {
			delete(l.full, who)
		} else if oldest == "" || full.Before(l.full[oldest]) {
			oldest = who
		}
	}
	if len(l.full) >= maxCallers {
		delete(l.full, oldest)
	}
}
