package health

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Reading is the clocks of the machine at one instant.
type Reading struct {
	// Wall is the time of day, without regard to its monotonic part.
	Wall time.Time
	// Mono runs while the machine does; Boot also while it sleeps, and is negative where there is no such clock.
	Mono, Boot time.Duration
}

// Bounds of what clocks may do unnoticed.
const (
	maxStep  = time.Minute      // of the wall clock against the others
	maxPause = 5 * time.Minute  // between two readings that were to be a few seconds apart
	maxAhead = 2 * time.Minute  // of a head's timestamp before our clock
	maxOld   = 90 * time.Minute // of the newest head of all logs
)

// Compare says what happened to the clocks between two readings: the clock was set, or we did not run. Texts are empty
// for what did not happen.
func Compare(before, after Reading) (set, slept string) {
	wall := after.Wall.Round(0).Sub(before.Wall.Round(0))
	mono := after.Mono - before.Mono
	asleep, known := time.Duration(0), before.Boot >= 0 && after.Boot >= 0
	if known {
		asleep = after.Boot - before.Boot - mono
	}
	step := wall - mono - asleep
	span := fmt.Sprintf("from %s to %s", stamp(before.Wall), stamp(after.Wall))
	switch {
	case !known && step > maxStep: // one or the other
		set = fmt.Sprintf("forward by %s, or it slept, %s", step.Round(time.Second), span)
	case step > maxStep:
		set = fmt.Sprintf("forward by %s at %s", step.Round(time.Second), stamp(after.Wall))
	case step < -maxStep:
		set = fmt.Sprintf("back by %s at %s", (-step).Round(time.Second), stamp(after.Wall))
	}
	switch {
	case asleep > maxStep:
		slept = fmt.Sprintf("for %s, since the machine slept, until %s", asleep.Round(time.Second), stamp(after.Wall))
	case mono > maxPause:
		slept = fmt.Sprintf("for %s, since it was stopped or got no processor, until %s", mono.Round(time.Second), stamp(after.Wall))
	}
	return set, slept
}

// HeadTime is the newest head of a log: its timestamp, and when we received it.
type HeadTime struct {
	Log, Operator  string
	Time, Received time.Time
}

// Skew holds our clock against the heads of logs. One log may date its heads as it likes: future lists those that are
// ahead of our clock. When logs of two operators are, behind says by how much our clock is wrong. When the newest head
// of any log is old although it was just received, ahead says so. Heads received before since are left out.
func Skew(heads []HeadTime, since time.Time) (behind, ahead string, future []HeadTime) {
	var least, youngest time.Duration
	early, all := map[string]bool{}, map[string]bool{}
	for _, h := range heads {
		if h.Time.IsZero() || h.Received.Before(since) {
			continue
		}
		age := h.Received.Round(0).Sub(h.Time)
		if len(all) == 0 || age < youngest {
			youngest = age
		}
		all[h.Operator] = true
		if -age > maxAhead {
			if len(future) == 0 || -age < least {
				least = -age
			}
			future = append(future, h)
			early[h.Operator] = true
		}
	}
	switch {
	case len(early) > 1:
		var names []string
		for o := range early {
			names = append(names, o)
		}
		slices.Sort(names)
		behind = fmt.Sprintf("logs of %s are ahead of it by %s and more", strings.Join(names, " and "), least.Round(time.Second))
	case len(all) > 1 && youngest > maxOld:
		ahead = fmt.Sprintf("the newest head of any log is %s old", youngest.Round(time.Second))
	}
	return behind, ahead, future
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
