package coverage

import "time"

// Pace notices that a log grows faster than it may be read. It looks at whole windows of time, and it changes its mind
// only for a clear reason: a log that takes a burst, or is read in steps, does not outgrow us. The zero value is ready.
type Pace struct {
	samples  []paceSample
	outgrows bool
}

type paceSample struct {
	at             time.Time
	head, position uint64
}

// What a verdict needs.
const (
	paceWindow = 6 * time.Hour // bursts and outages of an hour even out
	paceStep   = 15 * time.Minute
	paceFactor = 1.1         // one rate must beat the other by this much
	paceOwed   = time.Minute // of growth: less than that is no backlog
)

// Add notes how far the log has grown and was read, and returns whether it outgrows the reading. Samples closer than
// a quarter of an hour are not needed.
func (p *Pace) Add(at time.Time, head, position uint64) bool {
	if k := len(p.samples); k > 0 {
		last := p.samples[k-1]
		if head < last.head || position < last.position { // another front end, or a range is read again
			p.samples = nil
		} else if at.Sub(last.at) < paceStep {
			return p.outgrows
		}
	}
	p.samples = append(p.samples, paceSample{at, head, position})
	for len(p.samples) > 1 && at.Sub(p.samples[1].at) >= paceWindow {
		p.samples = p.samples[1:]
	}
	first := p.samples[0]
	span := at.Sub(first.at)
	if span < paceWindow {
		return p.outgrows
	}
	grown, read := float64(head-first.head), float64(position-first.position)
	owed := float64(head) - float64(position)
	switch {
	case owed <= grown*float64(paceOwed)/float64(span):
		p.outgrows = false
	case grown > read*paceFactor:
		p.outgrows = true
	case read > grown*paceFactor:
		p.outgrows = false
	}
	return p.outgrows
}

// Rates are the entries per second of the window: read, and by which the log grew. ok is false before a window is full.
func (p *Pace) Rates() (rate, growth float64, ok bool) {
	if len(p.samples) < 2 {
		return 0, 0, false
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	s := last.at.Sub(first.at).Seconds()
	return float64(last.position-first.position) / s, float64(last.head-first.head) / s, last.at.Sub(first.at) >= paceWindow
}
