package siege

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/loglist"
)

// Event is something that happens on a [Day].
type Event struct {
	At   time.Duration
	What string
	do   func(*day)
}

// Message is what a receiver took that is not about a certificate.
type Message struct {
	At         time.Duration
	Kind, Text string
}

// day is a siege whose logs come from a list.
type day struct {
	*siege
	publisher publisher
}

// publisher answers for the list without a network.
type publisher struct {
	mu   sync.Mutex
	list []byte
	down bool
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(p.list)), Request: r}, nil
}

// publish makes the list of all logs that are not absent.
func (d *day) publish() error {
	list := &loglist.List{}
	for _, l := range d.logs {
		if l.Listed.State != loglist.None {
			list.Logs = append(list.Logs, l.Listed)
		}
	}
	b, err := loglist.Marshal(list)
	d.publisher.mu.Lock()
	d.publisher.list = b
	d.publisher.mu.Unlock()
	return err
}

// listed changes what the list says of a log; None takes it off. A log that is read-only or retired gets nothing more.
func (d *day) listed(n int, state loglist.State) {
	l := d.logs[n]
	l.Listed.State, l.Listed.Final = state, nil
	l.closed.Store(state == loglist.ReadOnly || state == loglist.Retired)
	if state == loglist.ReadOnly {
		l.seq.Publish()
		h := l.seq.Head()
		l.Listed.Final = &loglist.TreeHead{Size: h.Size, Root: h.Root}
	}
	_ = d.publish() // what was listed before can be listed again
}

// Day runs the app over the span, with logs of a list, while the schedules run and the events happen. An event at 0
// comes before the start. Besides the report it returns what the receiver was told that lives all the time.
func Day(ctx context.Context, o Options, events []Event) (*Report, []Message, error) {
	s := &siege{Options: o, rnd: newRand(o.Seed), report: &Report{}}
	d := &day{siege: s}
	var err error
	if s.stations, err = guard(); err != nil {
		return nil, nil, err
	}
	s.told = [2]*receiver{newReceiver("steady", nil), newReceiver("mortal", nil)}
	ctx, stop := context.WithCancel(ctx)
	var side sync.WaitGroup
	defer side.Wait()
	defer stop()
	for n := range o.Logs {
		l, err := newLog(n, s.Stock, s.rnd)
		if err != nil {
			return nil, nil, err
		}
		l.Listed.Operator = fmt.Sprintf("Operator %d", n/2)
		s.logs = append(s.logs, l)
		if o.Schedules != nil {
			l.Schedule = o.Schedules[n]
		}
		side.Go(func() { l.seq.Run(ctx) })
		side.Go(func() { l.Schedule.Run(ctx, &l.seq.Faults, nil) })
	}
	s.report.Logs = s.logs
	if len(events) > 0 && events[0].At == 0 { // before the start
		events[0].do(d)
	}
	if err := d.publish(); err != nil {
		return nil, nil, err
	}
	set, err := lists.Open([]lists.Source{{Name: "https://lists.example.com/list.json"}}, &lists.Options{
		Memory: lists.MemoryPath(filepath.Join(s.Dir, "state.db")), Client: &http.Client{Transport: &d.publisher},
		Patience: 3 * time.Hour, Grace: 6 * time.Hour, Logger: s.Logger,
	})
	if err != nil {
		return nil, nil, err
	}
	if err := set.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	side.Go(func() { s.submit(ctx) })
	start := time.Now()
	side.Go(func() {
		for _, e := range events {
			select {
			case <-ctx.Done():
				return
			case <-time.After(e.At - time.Since(start)):
				if e.At > 0 {
					e.do(d)
				}
			}
		}
	})
	o2 := app.Options{Lists: set, From: ctlog.Start{Zero: true}}
	err = s.sessionOf(ctx, o2, func(ctx context.Context, a *app.App) {
		time.Sleep(s.Span)
		if c, err := a.Coverage(ctx); err == nil {
			s.report.Coverage = c.Logs // also of those that were left
			s.report.Counts.Issuances, s.report.Counts.Sightings = c.Ledger.Issuances, c.Ledger.Sightings
		}
	})
	s.report.Told = map[string]map[string]int{}
	for _, r := range s.told {
		s.report.Told[r.name] = r.took
	}
	s.report.Accused = s.told[0].faults
	return s.report, s.told[0].other, err
}

// dies lets a receiver take nothing, or take messages again.
func (r *receiver) dies(dead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = dead
}

// goes lets the list be out of reach, or within.
func (p *publisher) goes(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}
