// Package siege besieges the daemon: it runs the whole app, with its real store, tailers and outbox, against logs of
// the lab that misbehave by schedules which follow from a seed, and then judges whether anything was lost or anybody
// was accused falsely.
//
// There is no network and no clock: it is made for a bubble of testing/synctest, in which hours pass in the time that
// their work takes. Only the state is on a real disk. It trusts the lab and nothing of the app: what was delivered is
// counted by its receivers, and what is true is known from the lab.
package siege

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/wire"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/loglist"
)

// Options of a siege. Seed and Dir are needed.
type Options struct {
	// Seed makes the schedules, the submissions and the restarts.
	Seed uint64
	// Dir takes the state file.
	Dir string
	// Stock are the certificates. They are not changed, so that sieges can share them.
	Stock *Stock
	// Logs is how many logs there are, of both kinds in turn; 8 by default.
	Logs int
	// Span is how long certificates are submitted and faults come; 3 h by default. Patience is how long the app has
	// after that to make everything good; 6 h by default.
	Span, Patience time.Duration
	// Schedules replaces the random ones, a schedule for each log.
	Schedules []fault.Schedule
	// Restarts is how often the app is ended and started again at most; 2 by default, none below 0.
	Restarts int
	// Logger gets what the app says; nil drops it.
	Logger *slog.Logger
}

// Report is what a siege found: facts, for [Report.Judge].
type Report struct {
	Logs []*Log
	// Ringing are the ids of the issuances that had to ring.
	Ringing [][32]byte
	// Told is how often each receiver took each message about a certificate, by id. Accused are the faults that were
	// told of, as the receivers got them.
	Told    map[string]map[string]int
	Accused []ctlog.Fault
	// Healed is how long after the end of all faults everything was read, decided and told; negative when it never was.
	Healed time.Duration
	// Coverage is what the app said in the end, Counts what its ledger holds.
	Coverage []app.LogCoverage
	Counts   store.Counts
	// Placed is how many entries that ring were put into logs. False are statements of the app that were not true when
	// it made them.
	Placed int
	False  []string
}

// siege is one run.
type siege struct {
	Options
	rnd      *rand.Rand
	logs     []*Log
	stations *app.Stations
	told     [2]*receiver
	report   *Report
}

// Run besieges the app. The error is one of the siege itself, or one that the app ended with. Run must be called in a
// bubble: it sleeps for hours.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Logs <= 0 {
		o.Logs = 8
	}
	if o.Span <= 0 {
		o.Span = 3 * time.Hour
	}
	if o.Patience <= 0 {
		o.Patience = 6 * time.Hour
	}
	if o.Restarts == 0 {
		o.Restarts = 2
	}
	s := &siege{Options: o, rnd: newRand(o.Seed), report: &Report{}}
	var err error
	if s.stations, err = guard(); err != nil {
		return nil, err
	}
	s.told = [2]*receiver{newReceiver("steady", nil), newReceiver("moody", rand.New(rand.NewPCG(o.Seed, 1)))}

	ctx, stop := context.WithCancel(ctx)
	var side sync.WaitGroup
	defer side.Wait()
	defer stop()
	for n := range o.Logs {
		l, err := newLog(n, s.Stock, s.rnd)
		if err != nil {
			return nil, err
		}
		l.Schedule = schedule(s.rnd, l.Listed.Kind.String(), o.Span)
		if o.Schedules != nil {
			l.Schedule = o.Schedules[n]
		}
		s.logs = append(s.logs, l)
		side.Go(func() { l.seq.Run(ctx) })
		side.Go(func() { l.Schedule.Run(ctx, &l.seq.Faults, nil) })
	}
	if o.Schedules == nil {
		s.operate(ctx, &side)
	}
	side.Go(func() { s.submit(ctx) })
	s.report.Logs = s.logs
	if err := s.watch(ctx); err != nil {
		return nil, err
	}
	s.report.Told = map[string]map[string]int{}
	for _, r := range s.told {
		s.report.Told[r.name] = r.took
	}
	s.report.Accused = s.told[0].faults
	return s.report, nil
}

// operate gives the logs to operators, four to each, whose front ends limit all of them together for a while.
func (s *siege) operate(ctx context.Context, side *sync.WaitGroup) {
	rnd := rand.New(rand.NewPCG(s.Seed, 0xf4047))
	for n := 0; n < len(s.logs); n += 4 {
		front := new(fault.Front)
		for i, l := range s.logs[n:min(n+4, len(s.logs))] {
			l.front, l.Listed.Operator = front, fmt.Sprintf("operator %d", (n+i)/4)
		}
		from := time.Duration(rnd.Int64N(int64(s.Span)))
		rate := []float64{0, 0.2, 1, 5}[rnd.IntN(4)]
		side.Go(func() {
			for _, step := range []struct {
				at   time.Duration
				rate float64
			}{{from, rate}, {s.Span - from, 0}} {
				select {
				case <-time.After(step.at):
				case <-ctx.Done():
					return
				}
				front.Limit(step.rate)
			}
		})
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x51e9e)) }

// schedule is a random one; one in six shows a second tree under the log's key for a while as well.
func schedule(rnd *rand.Rand, kind string, span time.Duration) fault.Schedule {
	s := fault.Random(rnd, kind, time.Minute, span)
	if rnd.IntN(6) > 0 {
		return s
	}
	step := fault.Step{Text: fmt.Sprintf("fork=%d", 1+rnd.IntN(40))}
	if rnd.IntN(2) == 0 {
		step.Text += fmt.Sprintf("+rollback=%d", 1+rnd.IntN(20))
	}
	step.Faults, _ = fault.Parse(step.Text) // well formed
	step.At = time.Minute + time.Duration(rnd.Int64N(int64(span/2))).Round(time.Second)
	step.Until = step.At + time.Minute + time.Duration(rnd.Int64N(int64(span/3))).Round(time.Second)
	return append(s, step)
}

// watch runs the app over the span, with restarts, until all is made good.
func (s *siege) watch(ctx context.Context) error {
	start := time.Now()
	for range s.rnd.IntN(max(s.Restarts, 0) + 1) {
		at := time.Duration(s.rnd.Float64() * float64(s.Span-time.Since(start)))
		if err := s.session(ctx, func(context.Context, *app.App) { time.Sleep(at) }); err != nil {
			return err
		}
	}
	return s.session(ctx, func(ctx context.Context, a *app.App) {
		for time.Since(start) < s.Span {
			time.Sleep(min(7*time.Minute, s.Span-time.Since(start)))
			s.hold(a)
		}
		time.Sleep(time.Minute) // heads of what came last
		s.report.Healed = -1
		for healed := time.Now(); time.Since(healed) < s.Patience && ctx.Err() == nil; time.Sleep(time.Minute) {
			if s.whole(ctx, a) {
				s.report.Healed = time.Since(healed)
				break
			}
		}
		s.report.Coverage = a.Progress()
	})
}

// session runs the app until f returns.
func (s *siege) session(ctx context.Context, f func(context.Context, *app.App)) error {
	var logs []loglist.Log
	for _, l := range s.logs {
		logs = append(logs, l.Listed)
	}
	return s.sessionOf(ctx, app.Options{Logs: logs, From: ctlog.Start{Zero: true}}, f)
}

// sessionOf is session with options that say what to follow.
func (s *siege) sessionOf(ctx context.Context, o app.Options, f func(context.Context, *app.App)) (err error) {
	o.State, o.Stations, o.Receivers = filepath.Join(s.Dir, "state.db"), s.stations, []notify.Receiver{s.told[0], s.told[1]}
	o.Poll, o.Logger, o.Seams = time.Minute, s.Logger, app.Seams{NoSocket: true, Transport: s.transport}
	a, err := app.New(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := a.Run(ctx)
		done <- err
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(ctx, a)
	}()
	select {
	case <-ended:
		stop()
		return <-done
	case err := <-done: // it should not have
		stop()
		<-ended
		return errors.Join(errors.New("the app ended by itself"), err)
	}
}

func (s *siege) transport(g loglist.Log) http.RoundTripper {
	for _, l := range s.logs {
		if l.Listed.ID == g.ID {
			if l.front == nil {
				return wire.New(l.handler)
			}
			return wire.New(l.front.Before(l.handler))
		}
	}
	return nil
}

// hold compares what the app says with what is true.
func (s *siege) hold(a *app.App) {
	for n, c := range a.Progress() {
		l := s.logs[n]
		size := l.seq.Size()
		if c.Position > size || c.Verified > size || c.Verified > c.Position && !l.lies() {
			s.report.False = append(s.report.False, fmt.Sprintf("%s: read to %d and verified to %d, but it has %d entries", c.Name, c.Position, c.Verified, size))
		}
		if c.State == "live" && c.Owed > 0 {
			s.report.False = append(s.report.False, fmt.Sprintf("%s: live, and %d entries are owed", c.Name, c.Owed))
		}
	}
}

// whole reports whether everything is read, decided and told, and coverage says so.
func (s *siege) whole(ctx context.Context, a *app.App) bool {
	c, err := a.Coverage(ctx)
	if err != nil || c.Ledger.Undecided > 0 {
		return false
	}
	for _, n := range c.Ledger.Waiting {
		if n > 0 {
			return false
		}
	}
	for n, g := range c.Logs {
		size := s.logs[n].seq.Size()
		seen := g.Position == size && g.Owed == 0 && g.Verified == size && g.State == "live"
		// When a second tree was verified, the log contradicts it for ever: it is never whole, and must be called faulty.
		split := s.logs[n].forks() && g.Verified < size && g.State == "faulty"
		if g.Head != size || !seen && !split {
			return false
		}
	}
	if c.Ledger.Issuances < int64(len(s.report.Ringing)) || c.Ledger.Sightings < int64(s.report.Placed) {
		return false
	}
	s.report.Counts.Issuances, s.report.Counts.Sightings = c.Ledger.Issuances, c.Ledger.Sightings
	return true
}

// submit puts certificates into the logs at random times of the span: those that ring into one log to three, others in
// bulk.
func (s *siege) submit(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(s.Seed, 2))
	start := time.Now()
	for n := range s.Stock.Ringing {
		is := s.Stock.Ringing[n]
		s.report.Ringing = append(s.report.Ringing, is.id)
		to := rnd.Perm(len(s.logs))[:min(1+rnd.IntN(3), len(s.logs))]
		gap := s.Span / time.Duration(len(s.Stock.Ringing))
		at := time.Duration(n)*gap + time.Duration(rnd.Int64N(int64(gap)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(at - time.Since(start)):
		}
		placed := 0
		for _, i := range to {
			if l := s.logs[i]; !l.closed.Load() {
				l.seq.Add(is.entry)
				placed++
			}
		}
		if s.report.Placed += placed; placed == 0 { // to one that takes it
			s.logs[0].seq.Add(is.entry)
			s.report.Placed++
		}
		for _, l := range s.logs {
			if l.closed.Load() {
				continue
			}
			for range rnd.IntN(20) {
				l.fill(s.Stock)
			}
		}
	}
}

// receiver counts what it takes. A moody one does not take everything at first.
type receiver struct {
	name string
	mood *rand.Rand

	mu     sync.Mutex
	dead   bool
	born   time.Time
	took   map[string]int
	faults []ctlog.Fault
	other  []Message
}

func newReceiver(name string, mood *rand.Rand) *receiver {
	return &receiver{name: name, mood: mood, born: time.Now(), took: map[string]int{}}
}

func (r *receiver) Name() string      { return r.name }
func (r *receiver) Wants(string) bool { return true }
func (*receiver) Stream() bool        { return true }

func (r *receiver) Send(_ context.Context, n notify.Notice) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead || r.mood != nil && r.mood.IntN(3) == 0 {
		return errors.New("not in the mood")
	}
	var doc struct {
		Issuance string      `json:"issuance"` // empty for alarms about ourselves
		Fault    ctlog.Fault `json:"fault"`
	}
	if err := json.Unmarshal(n.Payload, &doc); err != nil {
		return err
	}
	if doc.Issuance != "" {
		r.took[n.ID]++
		return nil
	}
	if n.Kind == "fault" {
		r.faults = append(r.faults, doc.Fault)
	}
	r.other = append(r.other, Message{time.Since(r.born), n.Kind, n.Text})
	return nil
}
