package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/coverage"
	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/process"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// keeper keeps an eye on everything: it takes a look from time to time and says what is wrong. It does nothing by
// itself; [App.care] is the loop around it.
type keeper struct {
	minOperators int
	receivers    []string // by name
	pulses       health.Pulses

	mu       sync.Mutex
	logs     map[string]*lookout
	open     []health.Trouble
	clock    *health.Reading // of the last look
	seen     view
	unbeaten error // why the last heartbeat was not taken
}

// lookout follows one log over time.
type lookout struct {
	vigil  coverage.Vigil
	pace   coverage.Pace
	since  time.Time // first look
	beat   string    // changes when the tailer shows life
	moment int       // of the last look that found it
	name   string
}

// look is what is found at one moment.
type look struct {
	now   time.Time
	clock health.Reading
	logs  []logLook
	// waiting are receivers that have failed, by name.
	waiting map[string]store.OutboxCounts
	usage   process.Usage
	// store is why the state file cannot be written, or nil.
	store error
	// more are observations of others.
	more []health.Observation
}

// logLook is one log at one moment.
type logLook struct {
	coverage.Log
	unreachable bool
	leaving     bool // it left the lists, and is read to its end only
	conditions  []ctlog.Condition
	// beat is any text that changes when the tailer shows a sign of life; "" for one that needs to show none.
	beat string
}

// view is what the last look made of everything.
type view struct {
	at    time.Time
	logs  []coverage.Log
	marks []coverage.Assessment
	sight coverage.Sight
	usage process.Usage
}

// Patience of the stations. A log may sit out a Retry-After of an hour, and one that has ended is asked once an hour.
const (
	decidePatience = 5 * time.Minute
	outboxPatience = 5 * time.Minute
	healthPatience = 5 * time.Minute
	tailPatience   = 3 * time.Hour
)

// Names of the stations in the watchdog, beside "log NAME" and "outbox of NAME".
const (
	decideStation = "the decider"
	healthStation = "the health loop"
)

func outboxStation(receiver string) string { return "the outbox of " + receiver }

// observe takes a look and returns the open troubles and what is to be told. They count only once [keeper.settle] is
// called with them.
func (k *keeper) observe(l look) (open []health.Trouble, events []health.Event) {
	k.pulses.Beat(healthStation, l.now, healthPatience)
	k.mu.Lock()
	defer k.mu.Unlock()
	v := view{at: l.now, usage: l.usage}
	seen := slices.Clone(l.more)
	see := func(code, subject, group string, args health.Args) {
		seen = append(seen, health.Observation{Code: code, Subject: subject, Group: group, Args: args})
	}
	seen = append(seen, k.clocks(l)...)
	seen = append(seen, k.followed(l, &v)...)

	deaf, mute := "", 0
	for _, s := range k.pulses.Stuck(l.now) {
		lasting := s.For.Round(time.Second).String()
		see(health.Stuck, s.Station, "", health.Args{"for": lasting})
		if s.Station == decideStation {
			deaf = "what is filed is not decided on: " + s.Station + " has shown no sign of life for " + lasting
		}
		if slices.ContainsFunc(k.receivers, func(r string) bool { return s.Station == outboxStation(r) }) {
			if mute++; mute == len(k.receivers) {
				deaf = "nobody is told: " + s.Station + " has shown no sign of life for " + lasting
			}
		}
	}
	switch {
	case v.sight.Blind:
		see(health.BlindWhole, "", "", health.Args{"why": v.sight.Why})
	case deaf != "": // wins over unknown, which stands before it
		see(health.BlindWhole, "", "", health.Args{"why": deaf})
	}
	if l.store != nil {
		code := health.StoreFailing
		switch {
		case damaged(l.store):
			code = health.StoreDamaged
		case atRisk(l.store):
			code = health.StoreRisk
		}
		see(code, "", "", health.Args{"why": explained(l.store)})
	}
	disk, memory, files := l.usage.Warnings()
	if disk {
		see(health.DiskLow, "", "", health.Args{"free": process.Size(l.usage.DiskFree), "size": process.Size(l.usage.DiskSize)})
	}
	if memory {
		see(health.MemoryHigh, "", "", health.Args{"used": process.Size(l.usage.RSS), "limit": process.Size(l.usage.MemoryLimit)})
	}
	if files {
		see(health.FilesHigh, "", "", health.Args{"used": fmt.Sprint(l.usage.Files), "limit": fmt.Sprint(l.usage.FilesLimit)})
	}
	if k.unbeaten != nil {
		see(health.BeatFailing, "", "", health.Args{"why": k.unbeaten.Error()})
	}
	for name, n := range l.waiting {
		if n.Failing > 0 {
			see(health.ReceiverDown, name, "", health.Args{"count": fmt.Sprint(n.Pending), "since": n.Oldest.UTC().Format(time.RFC3339)})
		}
	}
	k.seen = v
	return health.Step(k.open, seen, l.now)
}

// clocks says what happened to the clocks since the last look, and what the heads of the logs say of them.
func (k *keeper) clocks(l look) (seen []health.Observation) {
	if k.clock != nil {
		set, slept := health.Compare(*k.clock, l.clock)
		if set != "" {
			seen = append(seen, health.Observation{Code: health.ClockSet, Args: health.Args{"why": set}})
		}
		if slept != "" {
			seen = append(seen, health.Observation{Code: health.Slept, Args: health.Args{"why": slept}})
		}
	}
	clock := l.clock
	k.clock = &clock
	var heads []health.HeadTime
	for _, g := range l.logs {
		heads = append(heads, health.HeadTime{Log: g.Name, Operator: g.Operator, Time: g.HeadTime, Received: g.HeadAt})
	}
	behind, ahead, future := health.Skew(heads, l.now.Add(-time.Minute))
	if behind != "" {
		seen = append(seen, health.Observation{Code: health.ClockBehind, Args: health.Args{"why": behind}})
	}
	if ahead != "" {
		seen = append(seen, health.Observation{Code: health.ClockAhead, Args: health.Args{"why": ahead}})
	}
	for _, h := range future {
		seen = append(seen, health.Observation{Code: health.LogClock, Subject: h.Log, Group: h.Operator,
			Args: health.Args{"why": "its newest head is dated " + h.Time.UTC().Format(time.RFC3339) + ", " + h.Time.Sub(h.Received).Round(time.Second).String() + " after it came"}})
	}
	return seen
}

// followed grades the logs and the whole, and fills the view with them.
func (k *keeper) followed(l look, v *view) (seen []health.Observation) {
	if k.logs == nil {
		k.logs = map[string]*lookout{}
	}
	var graded []coverage.Graded
	unreachable, why := 0, ""
	for _, g := range l.logs {
		o := k.logs[g.ID]
		if o == nil {
			o = &lookout{since: l.now}
			k.logs[g.ID] = o
		}
		o.moment++
		o.name = g.Name
		station := "log " + g.Name
		switch {
		case g.beat == "":
			k.pulses.Ended(station)
		case g.beat != o.beat:
			k.pulses.Beat(station, l.now, tailPatience)
		}
		o.beat = g.beat
		g.Watched = o.since
		g.Progress = o.vigil.Note(&g.Log, l.now)
		if g.Begun {
			g.Outgrows = o.pace.Add(l.now, g.Head, g.Position)
			if rate, growth, ok := o.pace.Rates(); ok && g.Outgrows {
				g.Rate, g.Growth = rate, growth // of the window: those of the moment jump
			}
		}
		a := coverage.Assess(&g.Log, l.now)
		whole := a.Grade
		if g.leaving && a.Grade == coverage.Blind && g.Begun && g.Verified >= g.Head { // the lists tell how it ends
			a.Grade, a.Why, whole = coverage.Lagging, "it has left the lists, and no newer head of it is to be had: "+a.Why, coverage.Closed
		}
		v.logs, v.marks = append(v.logs, g.Log), append(v.marks, a)
		graded = append(graded, coverage.Graded{Operator: g.Operator, Grade: whole})
		if g.unreachable {
			unreachable++
			why = g.Trouble
		}
		seen = append(seen, logTrouble(&g.Log, &a)...)
		for _, c := range g.conditions { // each has had its patience in package ctlog
			seen = append(seen, health.Observation{Code: health.LogCondition + c.Kind, Subject: g.Name, Group: g.Operator, Args: health.Args{"why": c.Text}})
		}
	}
	for id, o := range k.logs { // no longer followed
		if !slices.ContainsFunc(v.logs, func(g coverage.Log) bool { return g.ID == id }) && o.moment > 0 {
			k.pulses.Ended("log " + o.name)
			delete(k.logs, id)
		}
	}
	v.sight = coverage.Whole(graded, k.minOperators)
	// What was wrong before a restart stays wrong until something is seen to be right.
	lively, early := map[string]bool{}, map[string]bool{}
	for i := range v.logs {
		g := &v.logs[i]
		early[g.Operator] = true
		lively[g.Operator] = lively[g.Operator] || g.Progress.After(g.Watched)
	}
	for name, ok := range lively {
		if ok {
			delete(early, name)
		} else if !slices.Contains(v.sight.Unseen, name) {
			seen = append(seen, health.Observation{Code: health.OperatorDark, Subject: name, Unknown: true})
		}
	}
	if !v.sight.Blind && len(lively)-len(early) < v.sight.Wanted {
		seen = append(seen, health.Observation{Code: health.BlindWhole, Unknown: true})
	}
	switch n := len(l.logs); {
	case n > 0 && unreachable == n:
		seen = append(seen, health.Observation{Code: health.Offline, Args: health.Args{"count": fmt.Sprint(n), "why": why}})
	case len(lively) == len(early):
		seen = append(seen, health.Observation{Code: health.Offline, Unknown: true})
	}
	for _, operator := range v.sight.Unseen {
		why := ""
		for i := range v.logs {
			if v.logs[i].Operator == operator && v.marks[i].Grade == coverage.Blind {
				why = v.logs[i].Name + ": " + v.marks[i].Why
			}
		}
		seen = append(seen, health.Observation{Code: health.OperatorDark, Subject: operator, Args: health.Args{"why": why}})
	}
	return seen
}

// logTrouble is what the grade of a log makes wrong. While it cannot be known, what was wrong before stays.
func logTrouble(g *coverage.Log, a *coverage.Assessment) (seen []health.Observation) {
	add := func(code string, unknown bool) {
		seen = append(seen, health.Observation{Code: code, Subject: g.Name, Group: g.Operator, Args: health.Args{"why": a.Why}, Unknown: unknown})
	}
	early := !g.Progress.After(g.Watched) && !g.Closed // nothing new was seen since we look
	switch a.Grade {
	case coverage.Blind:
		add(health.LogDark, false)
		return seen
	case coverage.Uncovered:
		if len(g.Gaps) > 0 {
			add(health.LogUncovered, false)
		} else {
			add(health.LogOutgrown, false)
		}
	case coverage.Lagging:
		add(health.LogLagging, false)
	}
	if early {
		add(health.LogDark, true)
	}
	return seen
}

// beaten notes how the last heartbeat ended.
func (k *keeper) beaten(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unbeaten = err
}

// settle makes troubles count that observe returned.
func (k *keeper) settle(open []health.Trouble) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = open
}

// now is what the last look found, with the troubles that people see.
func (k *keeper) now() (view, []health.Trouble) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var shown []health.Trouble
	for _, t := range k.open {
		if t.Shown() && t.Good.IsZero() || t.Kind().Momentary || t.Code == health.Slept {
			shown = append(shown, t)
		}
	}
	return k.seen, shown
}

// rows writes troubles for the store; recall reads them.
func rows(open []health.Trouble) (out []store.Trouble) {
	for _, t := range open {
		out = append(out, store.Trouble{Code: t.Code, Subject: t.Subject, State: mustJSON(t)})
	}
	return out
}

func (k *keeper) recall(kept []store.Trouble) error {
	var open []health.Trouble
	for _, row := range kept {
		var t health.Trouble
		if err := json.Unmarshal(row.State, &t); err != nil {
			return fmt.Errorf("reading a trouble that was kept: %w", err)
		}
		open = append(open, t)
	}
	k.settle(open)
	return nil
}
