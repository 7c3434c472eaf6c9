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
	minPause      = 100 * time.Millisecond // the first pause after a refusal
	maxPause      = 2 * time.Minute
	maxRetryAfter = time.Hour // nobody can send us to sleep for longer
)

// pacer finds the rate that a log bears: it doubles the pause between requests whenever the log refuses, and shortens
// it bit by bit while the log answers. The zero value asks without pause.
type pacer struct {
	mu    sync.Mutex
	pause time.Duration
	next  time.Time // no request before
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
	p.pause = min(max(2*p.pause, minPause), maxPause)
	if next := time.Now().Add(max(p.pause, min(after, maxRetryAfter))); next.After(p.next) {
		p.next = next
	}
}

// answered notes an answer without complaint.
func (p *pacer) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause = p.pause / 8 * 7; p.pause < minPause/4 {
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
