package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
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

// verify knows the keys of the logs that are followed, and of those that the embedded list names.
func (a *auditor) verify(now time.Time) *sct.Verifier {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.verifier == nil || now.Sub(a.made) >= verifierAge || now.Before(a.made) {
		var logs []loglist.Log
		for _, l := range a.logs() {
			logs = append(logs, *l.log)
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

// visit is the look at the due promises of one log. of is nil when it is not followed.
type visit struct {
	*auditor
	id  [32]byte
	of  *audited
	now time.Time

	verified ctlog.Head // of the tailer
	newest   *ctlog.Head
}

func (a *auditor) visit(ctx context.Context, id [32]byte, of *audited, now time.Time) error {
	v := &visit{auditor: a, id: id, of: of, now: now}
	if l, ok, err := a.store.LoadLog(ctx, id); err != nil {
		return err
	} else if ok && len(l.Cursor) > 0 {
		var cur ctlog.Cursor
		if err := json.Unmarshal(l.Cursor, &cur); err != nil {
			return fmt.Errorf("reading the stored cursor of %s: %w", l.Name, err)
		}
		v.verified = cur.Verified
	}
	for ctx.Err() == nil {
		due, err := a.store.DueSCTs(ctx, id, now, auditBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		for i := range due {
			more, err := v.look(ctx, &due[i])
			if err != nil || !more || ctx.Err() != nil {
				return err
			}
		}
	}
	return nil
}

// look settles one promise as far as it can be. more is false when the log is not to be asked again in this round.
func (v *visit) look(ctx context.Context, c *store.SCT) (more bool, err error) {
	var p audit.Progress
	if err := json.Unmarshal(c.Progress, &p); err != nil {
		return false, fmt.Errorf("reading the progress of SCT %x: %w", c.LeafHash, err)
	}
	if p.State == audit.Unaudited && v.of != nil {
		// The log is followed by now. Before, nobody could tell whether it has signed this, nor by when it was due.
		if p, err = v.recognize(c); err != nil {
			return false, err
		}
		if p.State == audit.Invalid {
			c.State, c.Next, c.Progress = string(p.State), p.Next, mustJSON(p)
			return true, v.store.UpdateSCT(ctx, *c, nil)
		}
	}
	answer, proof, err := v.answer(ctx, c)
	if err != nil || answer.Kind == 0 || ctx.Err() != nil {
		return false, err
	}
	next, event := v.rules.Step(p, c.Due, answer, v.now)
	c.State, c.Next, c.Progress = string(next.State), next.Next, mustJSON(next)
	var fault *store.Fault
	var messages []store.OutboxRow
	if event != audit.Nothing {
		f := v.fault(c, &next, proof)
		if event == audit.Accuse {
			fault = &store.Fault{Kind: f.Kind, LogID: f.Log, LogName: f.LogName, Text: f.Text, Evidence: f.Evidence, At: f.At}
			messages = v.messages("fault", f)
			v.logger.Warn("fault of a log", "log", f.LogName, "kind", f.Kind, "text", f.Text)
		} else {
			f.Evidence = nil
			messages = v.messages("resolved", f)
			v.logger.Info("a log has kept a promise late", "log", f.LogName, "kind", f.Kind, "text", f.Text)
		}
	}
	if err := v.store.UpdateSCT(ctx, *c, fault, messages...); err != nil {
		return false, err
	}
	return answer.Kind != audit.NoAnswer, nil
}

// recognize begins anew with a promise of a log that was not known before.
func (v *visit) recognize(c *store.SCT) (audit.Progress, error) {
	s, err := sct.Parse(c.Raw)
	if err != nil {
		return audit.Progress{}, fmt.Errorf("reading a stored SCT: %w", err)
	}
	var e ctlog.Entry
	if ctlog.ReadMerkleTreeLeaf(&e, c.Leaf); e.Problem != "" {
		return audit.Progress{}, fmt.Errorf("reading the leaf of a stored SCT: %s", e.Problem)
	}
	known := sct.NewVerifier([]loglist.Log{*v.of.log}, nil)
	p, err := v.rules.Promise(known, s, sct.Entry{Precert: e.Precert, IssuerKeyHash: e.IssuerKeyHash, Cert: e.Cert}, v.now)
	if err != nil {
		return audit.Progress{}, err
	}
	c.Due = p.Due
	return p.Progress, nil
}

// exhibit is what a denial is about.
type exhibit struct {
	head ctlog.Head
	err  error
}

// answer looks for the leaf: among our own sightings, else at the log. No answer at all means that the log may not be
// asked now.
func (v *visit) answer(ctx context.Context, c *store.SCT) (audit.Answer, *exhibit, error) {
	seen, err := v.store.SightingsOfLeaf(ctx, v.id, c.LeafHash)
	if err != nil {
		return audit.Answer{}, nil, err
	}
	if len(seen) > 0 && seen[0] < v.verified.Size {
		return audit.Answer{Kind: audit.Included, Index: seen[0]}, nil, nil
	}
	if v.of == nil {
		name := base64.StdEncoding.EncodeToString(v.id[:])
		if l := v.verify(v.now).Log(v.id); l != nil {
			name = l.Name()
		}
		return audit.Answer{Kind: audit.NotFollowed, Text: "the log is not followed: " + name}, nil, nil
	}
	s, err := sct.Parse(c.Raw)
	if err != nil {
		return audit.Answer{}, nil, fmt.Errorf("reading a stored SCT: %w", err)
	}
	var index *uint64
	if i, ok := s.LeafIndex(); ok {
		index = &i
	} else if v.of.log.Kind == loglist.Static {
		return audit.Answer{Kind: audit.NoIndex, Text: "the SCT of a static log names no index to look at"}, nil, nil
	}
	head, ok := v.head(ctx, c.Due)
	if !ok {
		return audit.Answer{Kind: audit.NoHead}, nil, nil
	}
	if !v.mayAsk(v.id, v.now) {
		return audit.Answer{}, nil, nil
	}
	actx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	at, err := v.of.client.Inclusion(actx, c.LeafHash, index, head)
	var absent *ctlog.AbsentError
	var unproven *ctlog.UnprovenError
	answered := err == nil || errors.As(err, &absent) || errors.As(err, &unproven)
	v.answered(v.id, answered, v.now)
	switch {
	case err == nil:
		return audit.Answer{Kind: audit.Included, Index: at}, nil, nil
	case errors.As(err, &absent):
		return audit.Answer{Kind: audit.Absent, HeadTime: head.Time(), Text: err.Error()}, &exhibit{head, err}, nil
	case errors.As(err, &unproven):
		return audit.Answer{Kind: audit.Unproven, HeadTime: head.Time(), Text: err.Error()}, &exhibit{head, err}, nil
	}
	return audit.Answer{Kind: audit.NoAnswer, Text: err.Error()}, nil, nil
}

// head is a head from after the promise was due: the one that the tailer has verified last, or else the newest one,
// when that is proven to be an extension of it.
func (v *visit) head(ctx context.Context, due time.Time) (ctlog.Head, bool) {
	late := func(h *ctlog.Head) bool { return h.Raw != nil && !h.Time().Before(due) }
	if late(&v.verified) {
		return v.verified, true
	}
	if v.newest == nil {
		v.newest = new(ctlog.Head)
		if h := v.of.newest(); h.Raw != nil && h.Size >= v.verified.Size && v.mayAsk(v.id, v.now) {
			cctx, cancel := context.WithTimeout(ctx, auditTime)
			defer cancel()
			if err := v.of.client.Consistent(cctx, v.verified, h); err == nil {
				*v.newest = h
			}
		}
	}
	return *v.newest, late(v.newest)
}

// SCTNotMerged is the kind of fault of a log that has not kept the promise of an SCT.
const SCTNotMerged = "sct-not-merged"

// fault is the accusation. Its text is the same each time it is made, so that it is told once.
func (v *visit) fault(c *store.SCT, p *audit.Progress, ex *exhibit) ctlog.Fault {
	g := loglist.Log{ID: v.id}
	if v.of != nil {
		g = *v.of.log
	}
	signed := time.UnixMilli(int64(c.Timestamp)).UTC()
	f := ctlog.Fault{Kind: SCTNotMerged, Log: v.id, LogName: g.Name(), At: time.Now().UTC(),
		Text: fmt.Sprintf("an SCT of %s promises the leaf %s in the log by %s, and it is not there", signed.Format(time.RFC3339),
			base64.StdEncoding.EncodeToString(c.LeafHash[:]), c.Due.UTC().Format(time.RFC3339))}
	if ex != nil {
		f.Evidence = mustJSON(evidence(&f, &g, c, p, ex))
	}
	return f
}

// sctEvidence is what a third party needs to judge a promise that was not kept: the SCT with what it signs, and a head
// that the log signed after the promise was due. Its fields are named as those in the evidence of other faults.
type sctEvidence struct {
	Version int         `json:"version"`
	Kind    string      `json:"kind"`
	Text    string      `json:"text"`
	At      time.Time   `json:"at"`
	Log     evidenceLog `json:"log"`
	Key     []byte      `json:"key"`
	// Heads holds the head in which the leaf was looked for, as the log signed it.
	Heads    []string    `json:"heads"`
	Received []time.Time `json:"received"`
	// SCT is the SerializedSCT, Entry the MerkleTreeLeaf that it promises; the same bytes are what it signs.
	SCT   []byte `json:"sct"`
	Entry []byte `json:"entry"`
	// EntryIndex is where a static log promised the leaf, EntryHash the leaf hash that its tree has there, and EntryPath
	// the audit path of that.
	EntryIndex *uint64      `json:"entry_index,omitempty"`
	EntryHash  *ctlog.Hash  `json:"entry_hash,omitempty"`
	EntryPath  []ctlog.Hash `json:"entry_path,omitempty"`
	// Since is when the log first denied the leaf, Denials how often it did, and Answer what it last said.
	Since   time.Time `json:"since"`
	Denials int       `json:"denials"`
	Answer  string    `json:"answer"`
}

type evidenceLog struct {
	Kind          string  `json:"kind"`
	Name          string  `json:"name"`
	URL           string  `json:"url"`
	MonitoringURL string  `json:"monitoring_url,omitempty"`
	MMD           float64 `json:"mmd"`
}

func evidence(f *ctlog.Fault, g *loglist.Log, c *store.SCT, p *audit.Progress, ex *exhibit) *sctEvidence {
	ev := &sctEvidence{
		Version: 1, Kind: f.Kind, Text: f.Text, At: f.At, Key: g.Key,
		Log: evidenceLog{Kind: g.Kind.String(), Name: g.Name(), URL: g.URL, MonitoringURL: g.MonitoringURL,
			MMD: c.Due.Sub(time.UnixMilli(int64(c.Timestamp))).Seconds()},
		Heads: []string{string(ex.head.Raw)}, Received: []time.Time{ex.head.Received.UTC()}, SCT: c.Raw, Entry: c.Leaf,
		Since: p.Since.UTC(), Denials: p.Denials, Answer: ex.err.Error(),
	}
	var absent *ctlog.AbsentError
	if errors.As(ex.err, &absent) && absent.Index != nil {
		ev.EntryIndex = absent.Index
		if absent.Proof != nil || ex.head.Size == 1 {
			ev.EntryHash, ev.EntryPath = &absent.Found, absent.Proof
		}
	}
	return ev
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
