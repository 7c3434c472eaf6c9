package app

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/audit"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

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

// exhibit is what a denial is about: the head, when the log gave it last, and the denial.
type exhibit struct {
	head   ctlog.Head
	served time.Time
	err    error
}

// received is when the head came: where it is held against the log that it still gave it, the last time.
func (ex *exhibit) received(p *audit.Progress) time.Time {
	if p.Frozen {
		return ex.served
	}
	return ex.head.Received
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
	head, served, ok := v.head(ctx, c.Due)
	if !ok {
		return audit.Answer{Kind: audit.NoHead}, nil, nil
	}
	said := audit.Answer{HeadTime: head.Time(), Served: served, MMD: v.of.log.MMD}
	if head.Timestamp < c.Timestamp { // no entry is later than a head that covers it, so there is nothing to ask for
		err := errors.New("the log gives no head from after the SCT was signed")
		said.Kind, said.Text = audit.Absent, err.Error()
		return said, &exhibit{head, served, err}, nil
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
		said.Kind, said.Text = audit.Absent, err.Error()
		return said, &exhibit{head, served, err}, nil
	case errors.As(err, &unproven):
		said.Kind, said.Text = audit.Unproven, err.Error()
		return said, &exhibit{head, served, err}, nil
	}
	return audit.Answer{Kind: audit.NoAnswer, Text: err.Error()}, nil, nil
}

// head is a head from after the promise was due: the one that the tailer has verified last, or else the newest one,
// when that is proven to be an extension of it. Where there is none, it is the newest head there is, if the log gave it
// after the promise was due; served is when it did so last.
func (v *visit) head(ctx context.Context, due time.Time) (h ctlog.Head, served time.Time, ok bool) {
	late := func(h *ctlog.Head) bool { return h.Raw != nil && !h.Time().Before(due) }
	if late(&v.verified) {
		return v.verified, v.verified.Received, true
	}
	newest := v.of.newest()
	if v.newest == nil {
		v.newest = new(ctlog.Head)
		if newest.Raw != nil && newest.Size >= v.verified.Size && newest.Timestamp > v.verified.Timestamp && v.mayAsk(v.id, v.now) {
			cctx, cancel := context.WithTimeout(ctx, auditTime)
			defer cancel()
			if err := v.of.client.Consistent(cctx, v.verified, newest); err == nil {
				*v.newest = newest
			}
		}
	}
	h = *v.newest
	if h.Raw == nil || h.Timestamp < v.verified.Timestamp {
		h = v.verified
	}
	// A log that signs newer heads which prove nothing is another matter, and so is one whose lagging front end answers.
	frozen := h.Raw != nil && newest.Raw != nil && newest.Timestamp <= h.Timestamp && newest.Received.After(due)
	return h, newest.Received, late(&h) || frozen
}

// fault is the accusation. Its text is the same each time it is made, so that it is told once.
func (v *visit) fault(c *store.SCT, p *audit.Progress, ex *exhibit) ctlog.Fault {
	g := loglist.Log{ID: v.id}
	if v.of != nil {
		g = *v.of.log
	}
	signed := time.UnixMilli(int64(c.Timestamp)).UTC()
	broken := "and it is not there"
	if p.Frozen {
		broken = "and since then the log has shown no head that could hold it"
		if ex != nil {
			broken += ": its newest is of " + ex.head.Time().UTC().Format(time.RFC3339)
		}
	}
	f := ctlog.Fault{Kind: ctlog.NotMerged, Log: v.id, LogName: g.Name(), At: time.Now().UTC(),
		Text: fmt.Sprintf("an SCT of %s promises the leaf %s in the log by %s, %s", signed.Format(time.RFC3339),
			base64.StdEncoding.EncodeToString(c.LeafHash[:]), c.Due.UTC().Format(time.RFC3339), broken)}
	if ex != nil {
		f.Evidence = mustJSON(evidence(&f, &g, c, p, ex))
	}
	return f
}

func evidence(f *ctlog.Fault, g *loglist.Log, c *store.SCT, p *audit.Progress, ex *exhibit) *ctlog.Evidence {
	mmd := c.Due.Sub(time.UnixMilli(int64(c.Timestamp)))
	ev := &ctlog.Evidence{
		Version: 1, Kind: f.Kind, Text: f.Text, At: f.At, Key: g.Key,
		Log:   ctlog.EvidenceLog{Kind: g.Kind.String(), Name: g.Name(), URL: g.URL, MonitoringURL: g.MonitoringURL, MMD: mmd.Seconds()},
		Heads: []string{string(ex.head.Raw)}, Received: []time.Time{ex.received(p).UTC()},
		SCT: c.Raw, Entry: c.Leaf, Since: p.Since.UTC(), Denials: p.Denials, Answer: ex.err.Error(),
	}
	var absent *ctlog.AbsentError
	if errors.As(ex.err, &absent) && absent.Index != nil {
		ev.EntryIndex = *absent.Index
		if ev.EntryIndex < ex.head.Size {
			ev.EntryHash, ev.EntryPath = &absent.Found, absent.Proof
		}
	}
	return ev
}

// Promised is an SCT that was met in an issuance, and how it stands with it.
type Promised struct {
	Log   string    `json:"log"`
	LogID string    `json:"log_id"` // base64
	Time  time.Time `json:"time"`
	// Due is when the promise must be kept.
	Due time.Time `json:"due"`
	// State is one of package audit: "waiting", "overdue", "proven", "reported", "unaudited", "invalid".
	State string `json:"state"`
	// Index is where the leaf was proven to be.
	Index *uint64 `json:"index,omitempty"`
	Note  string  `json:"note,omitempty"`
}

func promised(ctx context.Context, s *store.Store, issuance [32]byte) ([]Promised, error) {
	scts, err := s.SCTsOf(ctx, issuance)
	if err != nil {
		return nil, err
	}
	names := map[[32]byte]string{}
	if len(scts) > 0 {
		logs, err := s.Logs(ctx)
		if err != nil {
			return nil, err
		}
		for _, l := range logs {
			names[l.ID] = l.Name
		}
	}
	out := []Promised{}
	for _, c := range scts {
		var p audit.Progress
		if err := json.Unmarshal(c.Progress, &p); err != nil {
			return nil, fmt.Errorf("reading the progress of SCT %x: %w", c.LeafHash, err)
		}
		id := base64.StdEncoding.EncodeToString(c.LogID[:])
		out = append(out, Promised{Log: cmp.Or(names[c.LogID], id), LogID: id, Time: time.UnixMilli(int64(c.Timestamp)).UTC(), Due: c.Due, State: c.State,
			Index: p.Index, Note: p.Note})
	}
	return out, nil
}
