package ctlog

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Bounds of the pace at which one log is asked.
const (
	minPause      = 100 * time.Millisecond // the first pause after a refusal, where no limit is known
	maxPause      = 2 * time.Minute
	maxRetryAfter = time.Hour // nobody can send us to sleep for longer
)

// pacer finds the rate that a log bears and stays near it. It doubles the pause between requests when the log refuses,
// and shortens it while the log answers: fast, until near to where the log refused last, and there bit by bit, so that a
// limit is touched seldom; then faster again, since a limit may have been raised. The zero value asks without pause.
type pacer struct {
	mu    sync.Mutex
	pause time.Duration
	next  time.Time // no request before
	// limit is the pause at which the log refused after it had answered; 0 when it is not known, or was no limit but an
	// outage.
	limit    time.Duration
	answers  int       // since the last refusal
	underway time.Time // a refusal before is of a request that was under way at the last one
}

// wait returns when the next request may go.
func (p *pacer) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	at := now
	if p.next.After(at) {
		at = p.next
	}
	p.next = at.Add(p.pause)
	p.mu.Unlock()
	return sleep(ctx, at.Sub(now))
}

// refused notes an answer 429 or 5xx; after is what the log asks for in Retry-After, or 0.
func (p *pacer) refused(after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !now.Before(p.underway) {
		if p.limit = 0; p.answers > 0 {
			p.limit = p.pause
		}
		if p.pause *= 2; p.limit == 0 {
			p.pause = max(p.pause, minPause)
		}
		p.pause = min(p.pause, maxPause)
		p.underway, p.answers = now.Add(p.pause), 0
	}
	if next := now.Add(max(p.pause, min(after, maxRetryAfter))); next.After(p.next) {
		p.next = next
	}
}

// answered notes an answer without complaint.
func (p *pacer) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers++
	near := p.limit + p.limit/4
	switch {
	case p.pause > near:
		p.pause = max(p.pause/8*7, near)
	case p.answers <= 48:
		p.pause -= p.pause / 64
	default:
		p.pause -= p.pause / 16
	}
	if p.pause < time.Millisecond {
		p.pause = 0
	}
}

// retryAfter reads the header in both its forms (RFC 9110 section 10.2.3); 0 when absent or not understood.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// backoff makes waits that double from first to most, with jitter so that readers do not come back in step.
type backoff struct {
	first, most time.Duration
	n           int
}

func (b *backoff) next() time.Duration {
	d := b.most
	if b.n < 20 {
		d = min(b.first<<b.n, b.most)
	}
	b.n++
	return d/2 + rand.N(d/2+1)
}

func (b *backoff) reset() { b.n = 0 }
