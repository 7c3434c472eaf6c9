package health

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Pulses are the signs of life of the stations: each loop beats now and then, and one that does not within its patience
// is stuck. The zero value is ready; it is safe for concurrent use.
type Pulses struct {
	mu sync.Mutex
	m  map[string]*pulse
}

type pulse struct {
	last     time.Time
	patience time.Duration
}

// Beat is a sign of life of a station. The patience is how long it may be until the next.
func (p *Pulses) Beat(station string, now time.Time, patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil {
		p.m = map[string]*pulse{}
	}
	p.m[station] = &pulse{now, patience}
}

// Ended says that a station has ended as it should: nothing more is expected of it.
func (p *Pulses) Ended(station string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.m, station)
}

// Silence is a station that is stuck.
type Silence struct {
	Station string
	For     time.Duration
}

// Stuck returns the stations that have been silent for longer than their patience, by name. Times are compared on the
// monotonic clock where they have one: neither a clock that is set nor a machine that sleeps makes a station stuck.
func (p *Pulses) Stuck(now time.Time) (out []Silence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, q := range p.m {
		if d := now.Sub(q.last); d > q.patience {
			out = append(out, Silence{name, d})
		}
	}
	slices.SortFunc(out, func(a, b Silence) int { return strings.Compare(a.Station, b.Station) })
	return out
}
