package ctlog

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Bounds of the pace at which a log, and all logs of an operator, are asked.
const (
	minPause      = 100 * time.Millisecond // the first pause after a refusal, where no limit is known
	maxPause      = 2 * time.Minute
	outage        = 3         // refusals without an answer between them that are no limit any more
	maxRetryAfter = time.Hour // nobody can send us to sleep for longer
)

// pace finds the rate that is borne and stays near it. It doubles the pause between requests at a refusal, and shortens
// it while there are answers: fast, until near to where the last refusal was, and there bit by bit, so that a limit is
// touched seldom; then faster again, since a limit may have been raised. The zero value asks without pause.
type pace struct {
	pause time.Duration
	next  time.Time // no request before
	// limit is the pause at which a refusal came after there were answers; 0 when it is not known, or was no limit but
	// an outage.
	limit   time.Duration
	streak  int       // refusals since, of which none came after an answer
	answers int       // since the last refusal that counted
	last    time.Time // when that was; what was sent before tells nothing new
}

// refused notes an answer 429 or 5xx to a request that was sent at the given time; after is what Retry-After asks for, or
// 0. Of several that are under way together the first counts.
func (p *pace) refused(sent, now time.Time, after time.Duration) {
	if p.last.IsZero() || sent.After(p.last) {
		switch {
		case p.answers > 0:
			p.limit, p.streak = p.pause, 0
		case p.limit > 0 && p.streak < outage:
			p.limit = p.pause // what was kept since is too short as well
			p.streak++
		default:
			p.limit = 0
		}
		if p.pause *= 2; p.limit == 0 {
			p.pause = max(p.pause, minPause)
		}
		p.pause = min(p.pause, maxPause)
		p.last, p.answers = now, 0
	}
	if next := now.Add(max(p.pause, min(after, maxRetryAfter))); next.After(p.next) {
		p.next = next
	}
}

// answered notes an answer without complaint.
func (p *pace) answered() {
	p.answers++
	near := p.limit + p.limit/4
	switch {
	case p.pause > near:
		p.pause = max(p.pause/8*7, near)
	case p.answers <= 96:
		p.pause -= p.pause / 128
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
