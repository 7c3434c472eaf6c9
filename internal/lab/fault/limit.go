package fault

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// bucket counts requests against a rate. The zero value is full.
type bucket struct {
	last time.Time
	have float64
}

// take reports whether one more request is within rate per second. A refused one costs nothing unless all count.
func (b *bucket) take(rate float64, all bool, now time.Time) bool {
	most := max(1, rate)
	if b.last.IsZero() {
		b.have = most
	} else {
		b.have = min(most, b.have+rate*now.Sub(b.last).Seconds())
	}
	b.last = now
	if b.have >= 1 {
		b.have--
		return true
	}
	if all { // who does not wait digs himself in, up to five requests deep
		b.have = max(b.have-1, -5)
	}
	return false
}

// above reports whether the request is beyond the rate that the faults allow.
func (s *Switch) above(f *Faults, reused bool) bool {
	rate, at := f.Rate, 0
	if reused && f.RateReused > 0 {
		rate, at = f.RateReused, 1
	}
	if rate <= 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.limit[at].take(rate, f.RateErrors, time.Now())
}

// Front is what stands before all logs of an operator: one limit for their requests together. The zero value has none.
type Front struct {
	mu     sync.Mutex
	rate   float64
	bucket bucket
}

// Limit allows so many requests per second from now on; 0 allows all.
func (f *Front) Limit(rate float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = rate
}

// Before puts the front end before a log.
func (f *Front) Before(log http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		pass := f.rate <= 0 || f.bucket.take(f.rate, false, time.Now())
		f.mu.Unlock()
		if !pass {
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		log.ServeHTTP(w, r)
	})
}

type connKey struct{}

// Conn is one connection of a client. With it RateReused tells its first request from the others.
type Conn struct{ requests atomic.Int64 }

// Context is a context for requests on the connection: see [http.Server.ConnContext].
func (c *Conn) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func reused(ctx context.Context) bool {
	c, ok := ctx.Value(connKey{}).(*Conn)
	return ok && c.requests.Add(1) > 1
}
