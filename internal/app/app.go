// Package app is the wiring: it joins the packages that read, match, file, decide and tell into one daemon.
//
// [New] checks everything that can be wrong with a setup before anything runs; [App.Run] runs until its context ends,
// or once to the current heads. The fast half (a follower per log) waits for nothing but logs and disk; the slow half
// (deciding, telling) starts from the ledger, so that a crash at any point is made good by what the ledger still holds.
//
// It holds no rules of its own and trusts nobody more than the packages it joins do. The socket beside the state file
// answers its owner only.
package app

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/audit"
	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
	"github.com/tocsin-ct/tocsin/loglist"
)

// The points at which [Seams].Hook is called. A process that dies there loses nothing: tests show it.
const (
	BeforeFiling     = "before-filing"      // matches were found, nothing is stored
	FiledNotDecided  = "filed-not-decided"  // in the ledger, without a verdict
	BeforeSend       = "before-send"        // in the outbox, not sent
	SentNotCommitted = "sent-not-committed" // sent, and still in the outbox: the only point that can repeat a delivery
)

// Tailer is what the app needs of a [ctlog.Tailer].
type Tailer interface {
	Run(context.Context) error
	Status() ctlog.Status
}

// Seams replaces parts of the daemon so that tests can show that the drill notices a missing one. The zero value
// replaces nothing.
type Seams struct {
	Matcher func(Toucher) Toucher
	Tailer  func(ctlog.Client, ctlog.Cursor, *ctlog.TailOptions) Tailer
	Deliver func(context.Context, notify.Outbox, []notify.Receiver, *notify.Options) error
	Hook    func(point string)
	// Transport replaces the network of a log; nil leaves it.
	Transport func(loglist.Log) http.RoundTripper
	// NoSocket answers no other commands: a goroutine that waits for them would hold up synthetic time.
	NoSocket bool
}

// Options of an [App].
type Options struct {
	// State is the path of the state file. Required.
	State string
	// Logs are the logs to follow; at least one, unless there are Lists.
	Logs []loglist.Log
	// Lists say which logs to follow, in place of Logs, and are refreshed about every Refresh (0 for 45 minutes).
	Lists   *lists.Set
	Refresh time.Duration
	// Stations decide what matters. Required. Reload, when set, is called now and then and returns stations made anew,
	// or nil while nothing has changed.
	Stations *Stations
	Reload   func() (*Stations, error)
	// Pending, when set, is asked every few seconds whether the configuration differs from what is in force: a sentence, or "".
	Pending func() string
	// Receivers are told. At least one.
	Receivers []notify.Receiver
	// Control, when set, says who is asked about the addresses of a log: see [ctlog.Options].
	Control func(loglist.Log) func(network, address string, c syscall.RawConn) error
	// From is where to begin with a log that was never read.
	From ctlog.Start
	// Poll is the time between looks at the head of a log; 0 for the default of [ctlog.TailOptions].
	Poll time.Duration
	// Audit are the times of the audit of SCTs; the zero value is that they follow from PromisePatience, how long a log is
	// asked for what it promised before it is accused; 0 for the default.
	Audit           audit.Rules
	PromisePatience time.Duration
	// Quiet says how tocsin shows that it lives while nothing rings.
	Quiet Quiet
	// CAA says how CAA records are looked at.
	CAA CAA
	// Once ends Run when every log was read to the head that was current at the start.
	Once bool
	// MinOperators is how few operators may be seen before that is blindness; 0 for the default of [coverage.Whole].
	MinOperators int
	// Patience is how long a log may show nothing new before it is blind; 0 for [coverage.PatienceFor].
	Patience time.Duration
	// Reloading, when set, is told when changed files are being taken over (true), and when that is done (false).
	Reloading func(bool)
	// Witnesses are those whose cosignatures on checkpoints are verified.
	Witnesses []ctlog.Witness
	// Ours is what is known and heard of our own issuance.
	Ours Ours
	// Telling says whom incidents are told, and how patiently.
	Telling Telling
	// Contact and Version go into the User-Agent.
	Contact, Version string
	Logger           *slog.Logger // nil discards
	Seams            Seams
}

// App is the daemon. Its exported methods may be called from several goroutines.
type App struct {
	opts      Options
	logger    *slog.Logger
	store     *store.Store
	stations  atomic.Pointer[Stations]
	receivers []notify.Receiver
	relist    chan struct{} // asks for a look at the lists
	auditor   *auditor
	ready     chan struct{} // closed when every log has a start that is stored

	budgets  budgets
	caa      *caaStation // nil when nobody is asked
	desk     sync.Mutex  // held while incidents are read, stepped and written
	keeper   keeper
	side     sync.WaitGroup // what is said beside the outbox
	reloaded chan struct{}  // asks for a look at changed files

	rang atomic.Int64 // alarms and pages since the start: newly decided, or left over and delivered

	mu     sync.Mutex
	logs   []*station    // changes while running: see Follow and settle
	unkept []ctlog.Fault // while the state file cannot be written
	blind  []string      // in Once mode: why something was not seen
	tails  sync.WaitGroup
}

// New opens the state and prepares everything. It is refused while another daemon owns the state: see
// [store.LockedError]. The caller must call Close.
func New(ctx context.Context, opts Options) (_ *App, err error) {
	a := &App{opts: opts, logger: opts.Logger, ready: make(chan struct{}), relist: make(chan struct{}, 1)}
	a.reloaded = make(chan struct{}, 1)
	a.keeper.minOperators = opts.MinOperators
	for _, r := range opts.Receivers {
		a.receivers = append(a.receivers, newOnly(counted{Receiver: r, since: time.Now(), rang: &a.rang}, func() {
			a.keeper.pulses.Beat(outboxStation(r.Name()), time.Now(), outboxPatience)
		}))
		a.keeper.receivers = append(a.keeper.receivers, r.Name())
	}
	if a.logger == nil {
		a.logger = slog.New(slog.DiscardHandler)
	}
	if a.opts.Telling.Incidents == (incident.Config{}) {
		a.opts.Telling.Incidents = incident.Defaults
	}
	switch {
	case opts.Stations == nil || len(opts.Stations.Watches) == 0:
		return nil, errors.New("nothing to watch")
	case len(opts.Logs) == 0 && (opts.Lists == nil || len(opts.Lists.Wanted()) == 0):
		return nil, errors.New("no log to follow")
	case len(opts.Receivers) == 0:
		return nil, errors.New("nobody to tell")
	}
	a.load(opts.Stations)
	if a.store, err = store.Open(opts.State, nil); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.store.Close()
		}
	}()
	for _, l := range opts.Logs {
		s, err := a.station(ctx, l, opts.From)
		if err != nil {
			return nil, err
		}
		a.logs = append(a.logs, s)
	}
	if err := a.listedAtStart(ctx); err != nil {
		return nil, err
	}
	a.auditor = a.newAuditor()
	if a.caa, err = a.openCAA(); err != nil {
		return nil, err
	}
	return a, nil
}

// Close releases the connections and the state file. Run must have returned.
func (a *App) Close() error {
	for _, s := range a.followed() {
		s.client.Close()
	}
	return a.store.Close()
}

func (a *App) load(st *Stations) {
	if wrap := a.opts.Seams.Matcher; wrap != nil {
		st.Matcher = wrap(st.Matcher)
	}
	a.stations.Store(st)
}

func (a *App) hook(point string) {
	if a.opts.Seams.Hook != nil {
		a.opts.Seams.Hook(point)
	}
}

// Result is how a run ended.
type Result struct {
	// Rang is the number of alarms and pages that were newly decided or, left over from before, delivered.
	Rang int64
	// Blind says, in Once mode, what could not be seen, and what could not be told.
	Blind []string
}

// Run follows all logs until ctx is done, or in Once mode until all were read. The error is one of our own side (the
// disk, the socket); faults of logs are no error.
func (a *App) Run(ctx context.Context) (Result, error) {
	slow, stopSlow := context.WithCancelCause(ctx)
	defer stopSlow(nil)
	var work sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	start := func(f func(context.Context) error) {
		work.Go(func() {
			if err := f(slow); err != nil && slow.Err() == nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				stopSlow(err)
			}
		})
	}
	start(a.decide)
	start(a.audit)
	start(a.deliver)
	start(a.pass)
	start(a.own)
	start(a.lookAtCAA)
	start(a.probe)
	start(a.listen)
	if !a.opts.Seams.NoSocket {
		start(a.serve)
	}
	start(a.reload)
	start(a.announceReady)
	start(a.care)
	start(a.tidy)
	start(a.digests)
	start(a.beat)

	for _, s := range a.followed() {
		a.tail(slow, s)
	}
	start(a.refresh)
	if a.opts.Once {
		a.tails.Wait()
		if slow.Err() == nil {
			a.seeOut(slow)
			a.drain(slow)
		}
	} else {
		<-slow.Done() // tailers that gave up do not end the daemon
	}
	stopSlow(nil)
	work.Wait() // from here on nobody follows a further log
	a.tails.Wait()
	a.side.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return Result{Rang: a.rang.Load(), Blind: a.blind}, errors.Join(errs...)
}

func (a *App) cannotSee(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blind = append(a.blind, why)
}

// decided counts what rings. A verdict that brings no news rang before.
func (a *App) decided(level policy.Level, news bool) {
	if level >= policy.Alarm && news {
		a.rang.Add(1)
	}
}

// counted counts what a receiver takes of the alarms that an earlier run has decided.
type counted struct {
	notify.Receiver
	since time.Time
	rang  *atomic.Int64
}

func (c counted) Send(ctx context.Context, n notify.Notice) error {
	err := c.Receiver.Send(ctx, n)
	if err == nil && n.At.Before(c.since) && (n.Kind == notify.KindAlarm || n.Kind == notify.KindPage) {
		c.rang.Add(1)
	}
	return err
}

// deliver takes the outbox to the receivers.
func (a *App) deliver(ctx context.Context) error {
	run := notify.Run
	if a.opts.Seams.Deliver != nil {
		run = a.opts.Seams.Deliver
	}
	for _, r := range a.receivers {
		a.keeper.pulses.Beat(outboxStation(r.Name()), time.Now(), outboxPatience)
	}
	return run(ctx, beating{a.store, &a.keeper.pulses}, a.receivers, &notify.Options{Logger: a.logger, Hook: a.opts.Seams.Hook})
}

// drainTime is how long a single run waits for receivers that do not take their messages. They stay in the outbox.
const drainTime = time.Minute

// drain waits until all that was filed is decided and told.
func (a *App) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for {
		n, err := a.store.Counts(ctx)
		waiting := n.Undecided
		for _, r := range a.receivers {
			waiting += n.Outbox[r.Name()].Pending
		}
		switch {
		case ctx.Err() != nil:
			a.cannotSee("not everything that was filed could be decided and told in time; it stays in the state file")
			return
		case err == nil && waiting == 0:
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// fault keeps what a log did wrong, with its evidence, and tells of it for the record.
func (a *App) fault(f ctlog.Fault) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a.logger.Warn("fault of a log", "log", f.LogName, "kind", f.Kind, "text", f.Text)
	if err := a.keepFault(ctx, f); err != nil {
		a.logger.Error("a fault of a log cannot be kept now; trying again", "log", f.LogName, "kind", f.Kind, "err", err)
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.unkept) < maxUnkept {
			a.unkept = append(a.unkept, f)
		}
	}
}

// maxUnkept bounds the faults that wait in memory for a state file that can be written: a log tells each of its own once.
const maxUnkept = 1000

func (a *App) keepFault(ctx context.Context, f ctlog.Fault) error {
	err := a.store.RecordFault(ctx, store.Fault{Kind: f.Kind, LogID: f.Log, LogName: f.LogName, Text: f.Text, Evidence: f.Evidence, At: f.At})
	if err == nil {
		_, err = a.store.Enqueue(ctx, a.faultMessages("fault", f)...)
	}
	return err
}

// keepFaults keeps what could not be kept before.
func (a *App) keepFaults(ctx context.Context) {
	a.mu.Lock()
	waiting := a.unkept
	a.unkept = nil
	a.mu.Unlock()
	for i, f := range waiting {
		if err := a.keepFault(ctx, f); err != nil {
			a.mu.Lock()
			a.unkept = append(waiting[i:len(waiting):len(waiting)], a.unkept...)
			a.mu.Unlock()
			return
		}
	}
}

// Ready is closed when every log has a place from which it is read, so that what is issued from then on is seen.
func (a *App) Ready() <-chan struct{} { return a.ready }

func (a *App) announceReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ready := true
		for _, s := range a.followed() {
			ready = ready && s.started.Load()
		}
		if ready {
			close(a.ready)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// reloadEvery is how often files with keys and items are looked at.
const reloadEvery = 10 * time.Second

// Reload takes over files that have changed now, instead of within ten seconds.
func (a *App) Reload() {
	select {
	case a.reloaded <- struct{}{}:
	default: // one is asked for already
	}
}

func (a *App) reload(ctx context.Context) error {
	if a.opts.Reload == nil {
		return nil
	}
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-a.reloaded:
			asked = true
		}
		a.reloadNow(asked)
	}
}

// reloadNow takes over what has changed. It is announced when there is something, or when somebody asked.
func (a *App) reloadNow(asked bool) {
	tell := func(bool) {}
	if a.opts.Reloading != nil {
		tell = a.opts.Reloading
	}
	if asked {
		tell(true)
		defer tell(false)
	}
	st, err := a.opts.Reload()
	if err != nil {
		a.logger.Error("changed files were not taken over: what was read before stays in force", "err", err)
	}
	if st == nil {
		return
	}
	if !asked {
		tell(true)
		defer tell(false)
	}
	a.load(st)
	a.logger.Info("changed files were taken over")
}

// Coverage says what is seen of each log now.
func (a *App) Coverage(ctx context.Context) (*Coverage, error) {
	c := &Coverage{At: time.Now().UTC(), PID: os.Getpid(), Logs: a.Progress()}
	c.judged(a)
	c.listed(a.opts.Lists)
	if err := a.viewed(ctx, c); err != nil {
		return nil, err
	}
	return c, ledger(ctx, a.store, c)
}

// Watches are what is guarded at present.
func (a *App) Watches() []watch.Watch { return a.stations.Load().Watches }

// Progress says how far each log was read, without looking at the store.
func (a *App) Progress() []LogCoverage {
	out := []LogCoverage{}
	for _, s := range a.followed() {
		l := LogCoverage{Name: s.log.Name(), ID: base64.StdEncoding.EncodeToString(s.log.ID[:]), Kind: s.log.Kind.String(), Operator: s.log.Operator, URL: s.log.URL}
		covers(&l, s.tailer.Status())
		out = append(out, l)
	}
	return out
}
