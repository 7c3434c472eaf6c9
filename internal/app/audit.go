package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/audit"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

// Bounds of the audit of SCTs.
const (
	auditBatch    = 64               // promises in memory per log
	auditParallel = 4                // logs asked at the same time
	auditTime     = 30 * time.Second // for one question
	auditPause    = time.Hour        // at most, for a log that gives no answer
	auditKeep     = 90 * 24 * time.Hour
	verifierAge   = time.Minute
)

// auditor sees to it that logs keep the promises in the SCTs that were met: see package audit for the rules. Its state
// is in the store.
type auditor struct {
	store  *store.Store
	rules  audit.Rules
	logger *slog.Logger
	// logs are those that are followed.
	logs func() []audited
	// listed are the logs that lists name, followed or not: for their keys. May be nil.
	listed func() []loglist.Log
	// messages tell the receivers of a fault, or that it is over.
	messages func(kind string, f ctlog.Fault) []store.OutboxRow

	mu      sync.Mutex
	asked   map[[32]byte][]time.Time // questions of the last hour
	pauses  map[[32]byte]pause       // of logs that give no answer
	cleaned time.Time

	verifier *sct.Verifier
	made     time.Time
}

// pause is how long a log that gives no answer is left alone: until then, after so many questions.
type pause struct {
	until    time.Time
	failures int
}

// audited is what the auditor needs of a followed log.
type audited struct {
	log    *loglist.Log
	client ctlog.Client
	// newest is the newest head that the log has signed, verified or not; may be zero.
	newest func() ctlog.Head
}

// newAuditor is the auditor of the app.
func (a *App) newAuditor() *auditor {
	rules := a.opts.Audit
	if rules == (audit.Rules{}) {
		rules = audit.For(a.opts.PromisePatience)
	}
	w := newAuditor(a.store, rules, a.logger)
	w.logs, w.messages = a.audited, a.faultMessages
	if a.opts.Lists != nil {
		w.listed = func() []loglist.Log { return a.opts.Lists.Joined().Logs }
	}
	return w
}

func newAuditor(s *store.Store, rules audit.Rules, logger *slog.Logger) *auditor {
	return &auditor{store: s, rules: rules.WithDefaults(), logger: logger, asked: map[[32]byte][]time.Time{}, pauses: map[[32]byte]pause{}}
}

// audit runs until ctx is done.
func (a *App) audit(ctx context.Context) error {
	for {
		if err := a.auditor.round(ctx, time.Now()); err != nil && ctx.Err() == nil {
			a.logger.Error("the promises of logs cannot be audited; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(a.auditor.rules.Tick):
		}
	}
}

func (a *App) audited() []audited {
	var out []audited
	for _, s := range a.followed() {
		out = append(out, audited{log: &s.log, client: s.client, newest: func() ctlog.Head { return s.tailer.Status().Head }})
	}
	return out
}

// met finds the promises in a certificate, for the queue. What it cannot read costs no verdict.
func (a *auditor) met(is *store.Issuance, now time.Time) (out []store.SCT) {
	if is.Precert {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			a.logger.Error("a defect of ours in reading SCTs", "issuance", fmt.Sprintf("%x", is.ID), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			out = nil
		}
	}()
	promises, err := a.rules.Promises(a.verify(now), is.Cert, is.Chain, is.IssuerKeyHash, now)
	if err != nil {
		a.logger.Debug("SCTs that cannot be read", "issuance", fmt.Sprintf("%x", is.ID), "err", err)
	}
	for i := range promises {
		row := row(&promises[i])
		row.Issuance = is.ID
		out = append(out, row)
	}
	return out
}

func row(p *audit.Promise) store.SCT {
	return store.SCT{
		LogID: p.SCT.LogID, LeafHash: p.LeafHash, Timestamp: p.SCT.Timestamp, Raw: bytes.Clone(p.SCT.Raw), Leaf: p.Leaf,
		Due: p.Due, Next: p.Progress.Next, State: string(p.Progress.State), Progress: mustJSON(p.Progress),
	}
}

// verify knows the keys of the logs that are followed, and of those that some list names, be it the embedded one.
func (a *auditor) verify(now time.Time) *sct.Verifier {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.verifier == nil || now.Sub(a.made) >= verifierAge || now.Before(a.made) {
		var logs []loglist.Log
		for _, l := range a.logs() {
			logs = append(logs, *l.log)
		}
		if a.listed != nil {
			logs = append(logs, a.listed()...)
		}
		a.verifier, a.made = sct.NewVerifier(append(logs, loglist.Embedded().Logs...), nil), now
	}
	return a.verifier
}

// round looks at every promise whose time has come, as far as politeness allows.
func (a *auditor) round(ctx context.Context, now time.Time) error {
	if now.Sub(a.cleaned) > time.Hour {
		a.cleaned = now
		if err := a.store.ForgetSCTs(ctx, now.Add(-auditKeep), string(audit.Proven), string(audit.Unaudited), string(audit.Invalid)); err != nil {
			return err
		}
	}
	ids, err := a.store.SCTLogs(ctx, now)
	if err != nil {
		return err
	}
	logs := a.logs()
	var work sync.WaitGroup
	slots := make(chan struct{}, auditParallel)
	errs := make([]error, len(ids))
	for i, id := range ids {
		if a.isPaused(id, now) {
			continue
		}
		var of *audited
		if n := slices.IndexFunc(logs, func(l audited) bool { return l.log.ID == id }); n >= 0 {
			of = &logs[n]
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			errs[i] = a.visit(ctx, id, of, now)
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

func (a *auditor) isPaused(id [32]byte, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Before(a.pauses[id].until)
}

// mayAsk takes one question out of the budget of the log.
func (a *auditor) mayAsk(id [32]byte, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	recent := slices.DeleteFunc(a.asked[id], func(t time.Time) bool { return now.Sub(t) >= time.Hour || t.After(now) })
	ok := len(recent) < a.rules.PerHour
	if ok {
		recent = append(recent, now)
	}
	a.asked[id] = recent
	return ok
}

// answered notes whether a log gave an answer, and leaves it alone for a while when it did not, longer each time.
func (a *auditor) answered(id [32]byte, ok bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ok {
		delete(a.pauses, id)
		return
	}
	p := a.pauses[id]
	p.until = now.Add(min(a.rules.Retry<<min(p.failures, 20), auditPause))
	p.failures++
	a.pauses[id] = p
}

// faultMessages tell the receivers that a log did something wrong (kind "fault"), or that it made it good ("resolved").
func (a *App) faultMessages(kind string, f ctlog.Fault) []store.OutboxRow {
	doc := struct {
		Kind  string      `json:"kind"`
		Fault ctlog.Fault `json:"fault"`
	}{kind, f}
	word := "FAULT"
	if kind != "fault" {
		word = "RESOLVED fault"
	}
	text := fmt.Sprintf("%s %s of %s: %s\n      next: tocsin logs", word, f.Kind, notify.Safe(f.LogName, 200), notify.Safe(f.Text, 1000))
	key := f.Kind + "\x00" + f.Log.String() + "\x00" + f.Text
	return notify.Messages(kind, key, "digest", text, mustJSON(doc), a.receivers)
}

// SCTCoverage counts the promises of logs that were met, by how they stand.
type SCTCoverage struct {
	// Queued are within the maximum merge delay; Overdue are past it and not proven yet.
	Queued  int64 `json:"queued"`
	Overdue int64 `json:"overdue"`
	// Reported are those for which the log was accused.
	Reported int64 `json:"reported"`
	Proven   int64 `json:"proven"`
	// Unaudited are those of logs that are not followed; Invalid are SCTs that their log has not signed.
	Unaudited int64 `json:"unaudited"`
	Invalid   int64 `json:"invalid"`
}

func sctCoverage(ctx context.Context, s *store.Store) (SCTCoverage, error) {
	n, err := s.SCTCounts(ctx)
	of := func(state audit.State) int64 { return n[string(state)] }
	return SCTCoverage{Queued: of(audit.Waiting), Overdue: of(audit.Overdue), Reported: of(audit.Reported), Proven: of(audit.Proven),
		Unaudited: of(audit.Unaudited), Invalid: of(audit.Invalid)}, err
}
