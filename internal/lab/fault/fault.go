// Package fault lets the logs of the lab misbehave, each fault by one option, alone or on a [Schedule], and changeable
// while the log runs.
//
// The zero value is a log without fault. Which fault accuses a log and which is only weather is for others to judge:
// here is only what the log does.
package fault

import (
	"context"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Faults are the ways in which a log is wrong. They add up. Each has a name for specifications: see [Options].
type Faults struct {
	// Of every request.

	// Delay passes before each answer, or until the client leaves.
	Delay time.Duration
	// Down answers 503 to everything.
	Down bool
	// Refuse resets each connection, new and old, without an answer.
	Refuse bool
	// TooMany answers 429 to everything, with RetryAfter (rounded up to seconds) when above zero.
	TooMany    bool
	RetryAfter time.Duration
	// RetryDate writes Retry-After as a date.
	RetryDate bool
	// Rate answers 429 above so many requests per second. RateErrors counts the refused requests, too, so that who
	// hammers never gets in; RateReused is the limit of requests on a connection that was used before.
	Rate       float64
	RateErrors bool
	RateReused float64

	// Of single answers to get-entries and for tiles.

	// Every lets them meet only each so manieth of these requests; 0 and 1 mean all.
	Every int
	// Status is answered instead: 500, 408.
	Status int
	// HTML is a page of a proxy, with status 200.
	HTML bool
	// Empty is an answer without entries: {"entries":[]}, or a tile of no bytes.
	Empty bool
	// Cut breaks the connection after so many bytes of the body, as a GOAWAY or a reset does. Short ends the body
	// there as if it were whole.
	Cut, Short int
	// Drip sends the body byte by byte with this pause.
	Drip time.Duration
	// BadGzip announces gzip and sends none.
	BadGzip bool
	// Endless makes bodies of so many bytes of garbage, sent without a length.
	Endless int64
	// Bomb makes a gzip body that unpacks to so many bytes.
	Bomb int64

	// Of heads.

	// EndlessHead makes get-sth and checkpoint bodies of so many bytes of garbage.
	EndlessHead int64
	// WrongRoot signs heads whose root does not fit the entries.
	WrongRoot bool
	// BadSignature gives heads whose signature does not verify.
	BadSignature bool
	// OtherKey signs heads with another key than the list has.
	OtherKey bool
	// Freeze keeps the head as it is, with its old timestamp; entries are still accepted.
	Freeze bool
	// EarlyHead gives heads a timestamp so much before that of their newest entry.
	EarlyHead time.Duration
	// Skew is a number of front ends, of which one still has the tree before the last growth: it shows the head of
	// then and answers 400 or 404 for what came after. Requests go to them in turn.
	Skew int
	// Rollback shows the tree as it was so many entries before the fault began, under a new date: an old copy of the
	// log's storage put back.
	Rollback uint64
	// Fork shows a second tree under the same key, in which the last so many entries before the fault began, and all
	// later ones, are others. It is consistent in itself. With a larger Rollback it shows nothing wrong, with a smaller
	// one a smaller head that is forked.
	Fork uint64

	// Of entries.

	// MaxBatch cuts the entries of get-entries, below the log's own limit. Batches are such limits that change per
	// call, in turn; Aligned cuts so that the last index is just before a multiple of 256. Static logs have none of
	// these.
	MaxBatch int
	Batches  []int
	Aligned  bool
	// AlterEntry serves another entry than the hashed one at this index; the tree and all proofs stay consistent
	// (the case of a log that does not furnish the entries of its head).
	AlterEntry *uint64
	// NeverMerge gives SCTs for submissions that never get into the tree.
	NeverMerge bool
	// Closed takes no submissions.
	Closed bool
	// WrongIssuer gives another certificate in the place of an issuer file.
	WrongIssuer bool

	// Of tiles.

	// MissingTile is a path below the log ("tile/data/000") that answers 404 although the head covers it.
	MissingTile string
	// PartialsGone answers 404 for partial tiles, as logs may once the full tile exists. It applies only where the
	// full tile exists.
	PartialsGone bool
	// ShortTile gives only so many entries for a full tile, also before it is full; ShortCached does so only to who
	// does not ask past caches.
	ShortTile, ShortCached int

	// Of log lists.

	// Listed is what the list says of the log: "usable" by default, "readonly", "retired", "absent".
	Listed string
}

// Join is a with all that b sets.
func Join(a, b Faults) Faults {
	to, from := reflect.ValueOf(&a).Elem(), reflect.ValueOf(b)
	for i := range from.NumField() {
		if f := from.Field(i); !f.IsZero() {
			to.Field(i).Set(f)
		}
	}
	return a
}

// Switch holds the faults of one log. The zero value is without fault; it is safe for concurrent use.
type Switch struct {
	p      atomic.Pointer[Faults]
	ranges atomic.Int64 // requests for entries and tiles

	mu    sync.Mutex
	limit [2]bucket // of fresh and of reused connections
}

// Set replaces all faults; the zero Faults repairs the log.
func (s *Switch) Set(f Faults) { s.p.Store(&f) }

// Get is the current set.
func (s *Switch) Get() Faults {
	if f := s.p.Load(); f != nil {
		return *f
	}
	return Faults{}
}

// Wrap puts the faults that concern every request, and those of single answers, before next.
func (s *Switch) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.Get()
		if f.Refuse {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		if f.Delay > 0 && !sleep(r.Context(), f.Delay) {
			return
		}
		switch {
		case f.TooMany, s.above(&f, reused(r.Context())):
			if f.RetryAfter > 0 {
				w.Header().Set("Retry-After", retryAfter(&f))
			}
			http.Error(w, "too many requests", http.StatusTooManyRequests)
		case f.Down:
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
		case isRange(r) && s.hit(&f):
			f.spoil(w, r, next)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func retryAfter(f *Faults) string {
	if f.RetryDate {
		return time.Now().Add(f.RetryAfter + time.Second).UTC().Format(http.TimeFormat)
	}
	return strconv.Itoa(int((f.RetryAfter + time.Second - 1) / time.Second))
}

func isRange(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/get-entries") || strings.Contains(r.URL.Path, "/tile/")
}

func (s *Switch) hit(f *Faults) bool { return s.ranges.Add(1)%int64(max(f.Every, 1)) == 0 }

// sleep waits and says whether the client is still there.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
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
