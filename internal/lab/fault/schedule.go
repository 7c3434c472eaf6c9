package fault

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A Step is faults for a while: from At on, until before Until, counted from the start of the schedule. Until 0 is for
// ever.
type Step struct {
	At, Until time.Duration
	Faults    Faults
	// Text is how the faults are written: see [Parse].
	Text string
}

// String is the step as [ParseStep] reads it.
func (s Step) String() string {
	if s.Until == 0 {
		return fmt.Sprintf("%s@%v", s.Text, s.At)
	}
	return fmt.Sprintf("%s@%v-%v", s.Text, s.At, s.Until)
}

func (s Step) at(d time.Duration) bool { return d >= s.At && (s.Until == 0 || d < s.Until) }

// A Schedule is what a log does wrong over time. Steps may overlap: their faults add up.
type Schedule []Step

// At is the set of faults at that time after the start.
func (s Schedule) At(d time.Duration) (f Faults) {
	for _, step := range s {
		if step.at(d) {
			f = Join(f, step.Faults)
		}
	}
	return f
}

// End is when the last step ends that does.
func (s Schedule) End() (end time.Duration) {
	for _, step := range s {
		end = max(end, step.At, step.Until)
	}
	return end
}

// Run applies the schedule to a log, step by step, and returns when no more changes are due, or ctx is done. What the
// last step set stays. changed, when not nil, is called after each change.
func (s Schedule) Run(ctx context.Context, sw *Switch, changed func()) {
	var times []time.Duration
	for _, step := range s {
		times = append(times, step.At)
		if step.Until > 0 {
			times = append(times, step.Until)
		}
	}
	slices.Sort(times)
	start := time.Now()
	for _, at := range slices.Compact(times) {
		if d := at - time.Since(start); d > 0 && !sleep(ctx, d) || ctx.Err() != nil {
			return
		}
		sw.Set(s.At(at))
		if changed != nil {
			changed()
		}
	}
}

// String is the schedule as [ParseStep] would read it.
func (s Schedule) String() string {
	texts := make([]string, len(s))
	for i, step := range s {
		texts[i] = step.String()
	}
	return strings.Join(texts, ",")
}

// ParseStep reads "OPTION[=VALUE][+OPTION…][@FROM[-UNTIL]]" with times as 90s, 5m or 2h; without @ it is always.
func ParseStep(text string) (s Step, err error) {
	var when string
	var timed bool
	s.Text, when, timed = strings.Cut(text, "@")
	if s.Faults, err = Parse(s.Text); err != nil || !timed {
		return s, err
	}
	from, until, ends := strings.Cut(when, "-")
	if s.At, err = time.ParseDuration(from); err != nil || s.At < 0 {
		return s, fmt.Errorf("fault %q: %q is no time as 90s or 5m", text, from)
	}
	if !ends {
		return s, nil
	}
	if s.Until, err = time.ParseDuration(until); err != nil || s.Until <= s.At {
		return s, fmt.Errorf("fault %q: %q is no time after %v", text, until, s.At)
	}
	return s, nil
}

// Random makes a schedule that follows from r: a few steps between from and until, each of one fault or two that fit a
// log of the kind ("rfc6962" or "static"), of all lengths down to a thousandth of the span. All of them end.
func Random(r *rand.Rand, kind string, from, until time.Duration) Schedule {
	var s Schedule
	span := float64(until - from)
	for range 1 + r.IntN(4) {
		long := span * math.Pow(1000, -r.Float64())
		at := from + time.Duration(r.Float64()*(span-long))
		texts := []string{draw(r, kind)}
		if r.IntN(3) == 0 {
			texts = append(texts, draw(r, kind))
		}
		if r.IntN(3) == 0 {
			texts = append(texts, fmt.Sprint("every=", 2+r.IntN(4)))
		}
		step := Step{At: at.Round(time.Millisecond), Text: strings.Join(texts, "+")}
		step.Until = max(step.At+time.Millisecond, (at + time.Duration(long)).Round(time.Millisecond))
		step.Faults, _ = Parse(step.Text) // what draw makes is well formed: a test shows it
		s = append(s, step)
	}
	return s
}

func draw(r *rand.Rand, kind string) string {
	for {
		o := &Options[r.IntN(len(Options))]
		if o.draw == nil || o.Kind != "" && o.Kind != kind {
			continue
		}
		if o.Value == "" {
			return o.Name
		}
		return o.Name + "=" + o.draw(r)
	}
}
