package notify

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// PagerDuty tells the Events API v2 of PagerDuty, or of who speaks like it: one alert per incident (dedup_key), which
// is triggered, acknowledged and resolved.
type PagerDuty struct {
	name string
	opts PagerDutyOptions
	to   *poster
}

// PagerDutyOptions of [NewPagerDuty].
type PagerDutyOptions struct {
	// Wants is [Receiver.Wants]; nil means alarm and above: it wakes people.
	Wants func(level string) bool
	// Key is the integration key ("routing key").
	Key Secret
	// URL is the base of the API; "" is PagerDuty's.
	URL string
	// Source is what is told as the source of the events, "" means "tocsin".
	Source string
	// Roots and Timeout are as in [WebhookOptions].
	Roots   string
	Timeout time.Duration
}

// NewPagerDuty returns a receiver that speaks the Events API v2.
func NewPagerDuty(name string, o PagerDutyOptions) (*PagerDuty, error) {
	p, err := newPoster(o.Roots)
	if err != nil {
		return nil, err
	}
	if o.Wants == nil {
		o.Wants = AtLeast("alarm")
	}
	if o.URL == "" {
		o.URL = "https://events.pagerduty.com"
	}
	if o.Source == "" {
		o.Source = "tocsin"
	}
	o.Timeout = orTimeout(o.Timeout)
	return &PagerDuty{name: name, opts: o, to: p}, nil
}

// Name implements [Receiver].
func (p *PagerDuty) Name() string { return p.name }

// Wants implements [Receiver].
func (p *PagerDuty) Wants(level string) bool { return p.opts.Wants(level) }

// Stream implements [Receiver]: it is told of incidents.
func (p *PagerDuty) Stream() bool { return false }

// event is the body of the Events API v2.
type event struct {
	RoutingKey string        `json:"routing_key"`
	Action     string        `json:"event_action"`
	DedupKey   string        `json:"dedup_key"`
	Client     string        `json:"client,omitempty"`
	Payload    *eventPayload `json:"payload,omitempty"`
}

type eventPayload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Timestamp time.Time      `json:"timestamp"`
	Component string         `json:"component,omitempty"`
	Group     string         `json:"group,omitempty"`
	Class     string         `json:"class,omitempty"`
	Details   map[string]any `json:"custom_details"`
}

// Bounds of the API: a summary has at most 1,024 characters, an event 512 KB.
const (
	maxSummary = 1000
	maxDetails = 32 << 10
)

// events are what a message becomes: none for a note on what is over, two for a test, which must leave nobody paged.
func (p *PagerDuty) events(s *story) []event {
	key := s.Matter
	if key == "" {
		key = s.ID
	}
	e := event{Action: "trigger", DedupKey: cutBytes(key, 255), Client: "tocsin"}
	switch {
	case s.Over && s.Change == "note":
		return nil
	case s.Over:
		e.Action = "resolve"
		return []event{e}
	case s.Change == "acknowledged":
		e.Action = "acknowledge"
		return []event{e}
	}
	severity := map[string]string{"page": "critical", "alarm": "error"}[s.level()]
	if severity == "" {
		severity = "info"
	}
	if s.Test {
		severity = "info"
	}
	e.Payload = &eventPayload{
		Summary: cutBytes(s.subject(), maxSummary), Source: p.opts.Source, Severity: severity, Timestamp: jsonTime(s.At), Class: Safe(s.Kind, 40),
		Details: map[string]any{"id": s.ID, "text": cutBytes(s.Text, maxDetails), "next": s.Next},
	}
	if i := s.Incident; i != nil {
		e.Payload.Component, e.Payload.Group = Safe(i.Owner, 100), Safe(i.Group, 200)
		e.Payload.Details["incident"], e.Payload.Details["change"], e.Payload.Details["certificates"] = i.Incident, i.Change, i.CertificatesTotal
		e.Payload.Details["watches"] = i.Watches
	}
	if s.Test {
		return []event{e, {Action: "resolve", DedupKey: e.DedupKey, Client: "tocsin"}}
	}
	return []event{e}
}

// Send implements [Receiver].
func (p *PagerDuty) Send(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, p.opts.Timeout)
	defer cancel()
	key, err := p.opts.Key()
	if err != nil {
		return fmt.Errorf("reading the integration key: %w", err)
	}
	for _, e := range p.events(tell(n)) {
		e.RoutingKey = key
		body, err := encode(e)
		if err != nil {
			return permanent("writing message %s: %w", n.ID, err)
		}
		if _, err := p.to.post(ctx, http.MethodPost, strings.TrimSuffix(p.opts.URL, "/")+"/v2/enqueue", nil, body); err != nil {
			return hide(err, key)
		}
	}
	return nil
}
