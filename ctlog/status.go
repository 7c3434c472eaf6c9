package ctlog

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Bounds and windows of what a status is computed from.
const (
	rateWindow   = 30 * time.Second
	growthWindow = 10 * time.Minute
	maxFaults    = 256       // remembered so that each is told once
	forksApart   = time.Hour // a log that forks does so with many heads: the evidence of one convicts it
	failuresDown = 3         // failed requests in a row that make a log unreachable
)

// tailerStatus is the part of a tailer that others may look at while it runs.
type tailerStatus struct {
	log *loglist.Log

	mu       sync.Mutex
	s        Status
	failures int
	faulty   bool // the last round ended at a fault
	done     bool // read-only and read to the final head
	total    uint64
	read     window
	growth   window
	faults   map[string]bool

	conditions map[FaultKind]*lasting
	newest     uint64    // the latest timestamp of a head
	forkedAt   time.Time // when a fork was told
	badAt      time.Time // when a head was not signed by the log's key
	witnesses  []Witness
}

func (t *tailerStatus) init(log *loglist.Log, c *Cursor, witnesses []Witness) {
	t.log, t.witnesses, t.faults = log, witnesses, map[string]bool{}
	t.newest = max(c.Verified.Timestamp, c.Target.Timestamp)
	t.s = Status{Start: c.Start, Position: c.Size, Verified: c.Verified.Size, Gaps: outlines(c.Gaps)}
	t.read.span, t.growth.span = rateWindow, growthWindow
}

// Status may be called at any time from any goroutine.
func (t *tailerStatus) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.s
	now := time.Now()
	s.Conditions = t.holding(now)
	if len(t.witnesses) > 0 || s.Head.Raw != nil && t.log.Kind == loglist.Static {
		s.Cosigned = Cosignatures(s.Head.Raw, t.witnesses)
	}
	s.Rate, s.Growth = t.read.rate(now, t.total), t.growth.rate(s.Head.Received, s.Head.Size)
	backlog := uint64(0)
	if s.Head.Size > s.Position {
		backlog = s.Head.Size - s.Position
	}
	if backlog > 0 {
		s.CatchUp = -1
		if net := s.Rate - s.Growth; net > 0 {
			if d := float64(backlog) / net; d < 1e9 {
				s.CatchUp = time.Duration(d * float64(time.Second))
			}
		}
	}
	switch {
	case t.faulty:
		s.State = "faulty"
	case t.failures >= failuresDown:
		s.State = "unreachable"
	case t.done:
		s.State = "closed"
	case s.Head.Raw == nil:
		s.State = "starting"
	case s.Verified < s.Head.Size:
		s.State = "behind"
	default:
		s.State = "live"
	}
	return s
}

func (t *tailerStatus) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures++
	t.s.LastError, t.s.LastErrorAt = disarm(err.Error()), time.Now()
	t.classify(err)
}

// failedHead notes a log that does not know its head.
func (t *tailerStatus) failedHead(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.occurs(Unreachable, time.Time{}, err.Error())
}

func (t *tailerStatus) succeeded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = 0
	t.over(Unreachable)
	t.s.LastError = ""
}

func (t *tailerStatus) ended(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var fault *faultError
	t.faulty = errors.As(err, &fault)
	if err != nil {
		t.s.LastError, t.s.LastErrorAt = disarm(err.Error()), time.Now()
	}
}

func (t *tailerStatus) sawHead(h Head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.badAt) > time.Hour { // the next one is a new one; good and bad ones in turn are told once
		delete(t.faults, fmt.Sprint(BadSignature, 0))
		delete(t.faults, fmt.Sprint(KeyChange, 0))
	}
	if h.Size >= t.s.Head.Size {
		t.s.Head = h
		t.growth.add(h.Received, h.Size)
	}
}

func (t *tailerStatus) moved(c *Cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.Verified.Size != t.s.Verified || t.s.VerifiedAt.IsZero() {
		t.s.VerifiedAt = time.Now()
	}
	t.s.Start, t.s.Position, t.s.Verified, t.s.Gaps = c.Start, c.Size, c.Verified.Size, outlines(c.Gaps)
}

// outlines are the gaps without their hashes.
func outlines(gaps []Range) (out []Range) {
	for _, g := range gaps {
		g.Before, g.Root = nil, Hash{}
		out = append(out, g)
	}
	return out
}

func (t *tailerStatus) count(entries int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += uint64(entries)
	t.read.add(time.Now(), t.total)
}

func (t *tailerStatus) setNote(note string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.s.Note = note
}

func (t *tailerStatus) setClosed(closed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = closed
}

func (t *tailerStatus) closed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}

// newFault counts a fault and says whether it was not told before: a broken log makes new evidence of the same fault
// with every head.
func (t *tailerStatus) newFault(kind FaultKind, ev *Evidence) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := fmt.Sprint(kind, ev.From)
	switch kind {
	case Forked:
		key = fmt.Sprint(kind, ev.From, ev.Want)
	case Rollback: // that goes on
		key = fmt.Sprint(kind, ev.To)
	case Inconsistent:
		key = fmt.Sprint(kind)
	}
	if t.faults[key] || kind == Forked && time.Since(t.forkedAt) < forksApart {
		return false
	}
	if kind == Forked {
		t.forkedAt = time.Now()
	}
	if len(t.faults) >= maxFaults {
		clear(t.faults)
	}
	t.faults[key] = true
	t.s.Faults++
	return true
}

// window computes how fast a counter grew lately.
type window struct {
	span    time.Duration
	samples []sample
}

type sample struct {
	at time.Time
	n  uint64
}

// add notes the counter; a window has at most 32 samples.
func (w *window) add(at time.Time, n uint64) {
	if k := len(w.samples); k > 0 && at.Sub(w.samples[k-1].at) < w.span/32 {
		return
	}
	if len(w.samples) == 32 {
		w.samples = append(w.samples[:0], w.samples[1:]...)
	}
	w.samples = append(w.samples, sample{at, n})
}

// rate is per second, from the oldest sample in the window until now; 0 when unknown.
func (w *window) rate(now time.Time, n uint64) float64 {
	for _, s := range w.samples {
		if age := now.Sub(s.at); age <= w.span && age > 0 && n >= s.n {
			return float64(n-s.n) / age.Seconds()
		}
	}
	return 0
}
