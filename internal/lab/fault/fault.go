// Package fault lets the logs of the lab misbehave, each fault by one option and changeable while the log runs.
//
// The zero value is a log without fault.
package fault

import (
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Faults are the ways in which a log is wrong. They add up.
type Faults struct {
	// Delay passes before each answer, or until the client leaves.
	Delay time.Duration
	// Down answers 503 to everything.
	Down bool
	// Refuse resets each connection, new and old, without an answer.
	Refuse bool
	// TooMany answers 429 to everything, with RetryAfter (rounded up to seconds) when above zero.
	TooMany    bool
	RetryAfter time.Duration
	// Endless makes get-entries and data tiles bodies of so many bytes of garbage, sent without a length.
	Endless int64
	// EndlessHead does the same for get-sth and checkpoint.
	EndlessHead int64
	// Bomb makes get-entries and data tiles a gzip body that unpacks to so many bytes.
	Bomb int64
	// WrongRoot signs heads whose root does not fit the entries.
	WrongRoot bool
	// BadSignature gives heads whose signature does not verify.
	BadSignature bool
	// MaxBatch cuts the entries of get-entries, below the log's own limit. Static logs have no such limit.
	MaxBatch int
	// AlterEntry serves another entry than the hashed one at this index; the tree and all proofs stay consistent
	// (the case of a log that does not furnish the entries of its head).
	AlterEntry *uint64
	// MissingTile is a path below the log ("tile/data/000") that answers 404 although the head covers it.
	MissingTile string
	// PartialsGone answers 404 for partial tiles, as logs may once the full tile exists. It applies only where the
	// full tile exists.
	PartialsGone bool
	// Freeze keeps the head as it is; entries are still accepted.
	Freeze bool
}

// Switch holds the faults of one log. The zero value is without fault; it is safe for concurrent use.
type Switch struct{ p atomic.Pointer[Faults] }

// Set replaces all faults; the zero Faults repairs the log.
func (s *Switch) Set(f Faults) { s.p.Store(&f) }

// Get is the current set.
func (s *Switch) Get() Faults {
	if f := s.p.Load(); f != nil {
		return *f
	}
	return Faults{}
}

// Wrap puts the faults that concern every request before next.
func (s *Switch) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.Get()
		if f.Refuse {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		if f.Delay > 0 {
			t := time.NewTimer(f.Delay)
			defer t.Stop()
			select {
			case <-t.C:
			case <-r.Context().Done():
				return
			}
		}
		if f.TooMany {
			if f.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
			}
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		if f.Down {
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Listener gives l back with refusal of new connections while Refuse is set.
func (s *Switch) Listener(l net.Listener) net.Listener { return &listener{Listener: l, s: s} }

type listener struct {
	net.Listener
	s *Switch
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || !l.s.Get().Refuse {
			return c, err
		}
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // the client then sees a reset, not an orderly end
		}
		_ = c.Close()
	}
}
