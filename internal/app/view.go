package app

import (
	"context"
	"fmt"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// viewedHeads is how many verified heads of each log stand in a [Coverage]: enough that two instances, each looking in
// its own rhythm, have some of the same size.
const viewedHeads = 32

// LogView is what others need to compare our view of a log with theirs, and what the log itself shows of its health.
type LogView struct {
	// Key is the log's public key (DER), absent when no daemon follows it. MonitoringURL is where it is read.
	Key           []byte `json:"key,omitempty"`
	MonitoringURL string `json:"monitoring_url,omitempty"`
	// Heads are the newest verified heads, newest first, as the log signed them.
	Heads []ctlog.Head `json:"heads,omitempty"`
	// Conditions are those that are visible now, Gaps ranges that the log does not serve.
	Conditions []ctlog.Condition `json:"conditions,omitempty"`
	Gaps       []ctlog.Range     `json:"gaps,omitempty"`
	// Cosigned says which witnesses cosigned the newest head.
	Cosigned ctlog.Cosigned `json:"cosigned,omitzero"`
}

// viewed fills in the views of the logs that are followed.
func (a *App) viewed(ctx context.Context, c *Coverage) error {
	stations := map[string]*station{}
	for _, s := range a.followed() {
		stations[s.log.IDText()] = s
	}
	for i := range c.Logs {
		l := &c.Logs[i]
		s := stations[l.ID]
		if s == nil { // left meanwhile
			continue
		}
		st := s.tailer.Status()
		l.Key, l.MonitoringURL = s.log.Key, s.log.MonitoringURL
		l.Conditions, l.Gaps, l.Cosigned = st.Conditions, st.Gaps, st.Cosigned
		var err error
		if l.Heads, err = storedHeads(ctx, a.store, s.log.ID); err != nil {
			return err
		}
	}
	return nil
}

// storedHeads are the newest heads of a log that were verified.
func storedHeads(ctx context.Context, s *store.Store, id [32]byte) (out []ctlog.Head, err error) {
	heads, err := s.Heads(ctx, id, viewedHeads)
	if err != nil {
		return nil, fmt.Errorf("reading heads: %w", err)
	}
	for _, h := range heads {
		out = append(out, ctlog.Head{Size: h.Size, Root: h.Root, Timestamp: h.Timestamp, Raw: h.Raw, Received: h.Received.UTC()})
	}
	return out, nil
}

// outlines are gaps without their hashes.
func outlines(gaps []ctlog.Range) (out []ctlog.Range) {
	for _, g := range gaps {
		out = append(out, ctlog.Range{From: g.From, To: g.To, Since: g.Since, Unhashed: g.Unhashed})
	}
	return out
}
