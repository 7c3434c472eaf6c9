package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Explanation is all that is known of one issuance: what it says, where it was seen, what was decided and why, and who
// was told.
type Explanation struct {
	ID          string             `json:"id"`
	Level       string             `json:"level"` // "undecided" while there is no verdict
	FirstSeen   time.Time          `json:"first_seen"`
	Precert     bool               `json:"precert"`
	SHA256      []string           `json:"sha256"` // of its certificates
	Certificate notify.Certificate `json:"certificate"`
	Matched     json.RawMessage    `json:"matched"`
	Verdicts    []Decided          `json:"verdicts"` // oldest first
	Sightings   []notify.Sighting  `json:"sightings"`
	SCTs        []Promised         `json:"scts"`
	Oddities    json.RawMessage    `json:"oddities"`
	Messages    []Message          `json:"messages"`
	// Incidents are those to which it belongs.
	Incidents []ExplainedIncident `json:"incidents"`
}

// ExplainedIncident is an incident of an issuance. NotTold is why it was not told of this certificate, "" when it was.
type ExplainedIncident struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Title   string `json:"title"`
	NotTold string `json:"not_told,omitempty"`
}

// Decided is one verdict.
type Decided struct {
	At      time.Time       `json:"at"`
	Level   string          `json:"level"`
	Policy  int             `json:"policy"`
	Reasons []notify.Reason `json:"reasons"`
	Facts   json.RawMessage `json:"facts"`
}

// Message is one message to a receiver.
type Message struct {
	ID        string     `json:"id"`
	Receiver  string     `json:"receiver"`
	Kind      string     `json:"kind"`
	State     string     `json:"state"` // pending, delivered, dropped
	Attempts  int        `json:"attempts"`
	Error     string     `json:"error,omitempty"`
	Queued    time.Time  `json:"queued"`
	Delivered *time.Time `json:"delivered,omitempty"`
}

// Explain finds the issuance with an id, or certificate hash, or alarm id, that begins with prefix. For the errors see
// [store.Store.Find].
func Explain(ctx context.Context, s *store.Store, prefix string) (*Explanation, error) {
	rec, err := s.Find(ctx, prefix)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &unknownError{prefix}
	}
	if err != nil {
		return nil, err
	}
	is := rec.Issuance
	c := cert.Parse(is.Cert)
	if is.Precert && is.IssuerKeyHash != ([32]byte{}) {
		c = cert.ParseTBS(is.Cert)
	}
	x := &Explanation{
		ID: hex.EncodeToString(is.ID[:]), Level: "undecided", FirstSeen: is.FirstSeen, Precert: is.Precert,
		Certificate: certificate(c), Matched: orList(is.Matches), Oddities: orList(is.Oddities),
		Verdicts: []Decided{}, Messages: []Message{}, SHA256: []string{},
	}
	for _, f := range is.Fingerprints {
		x.SHA256 = append(x.SHA256, hex.EncodeToString(f[:]))
	}
	x.Sightings = sightings(rec.Sightings)
	if x.SCTs, err = promised(ctx, s, is.ID); err != nil {
		return nil, err
	}
	for _, v := range rec.Verdicts {
		d := Decided{At: v.At, Level: v.Level, Policy: v.Version, Facts: v.Facts, Reasons: []notify.Reason{}}
		if err := json.Unmarshal(v.Reasons, &d.Reasons); err != nil {
			return nil, err
		}
		x.Verdicts = append(x.Verdicts, d)
		x.Level = v.Level
	}
	if x.Incidents, err = incidentsOf(ctx, s, is.ID); err != nil {
		return nil, err
	}
	for _, m := range rec.Outbox {
		out := Message{ID: m.ID, Receiver: m.Receiver, Kind: m.Kind, State: m.State, Attempts: m.Attempts, Error: m.LastError, Queued: m.Created}
		if !m.DeliveredAt.IsZero() {
			out.Delivered = &m.DeliveredAt
		}
		x.Messages = append(x.Messages, out)
	}
	return x, nil
}

// unknownError is a [store.ErrNotFound] in words for people.
type unknownError struct{ prefix string }

func (e *unknownError) Error() string { return "nothing is filed under " + e.prefix }
func (e *unknownError) Unwrap() error { return store.ErrNotFound }

// Hint says what to do.
func (e *unknownError) Hint() string {
	return "only what touches a watch is filed; each line that watch prints names its id"
}

func orList(b json.RawMessage) json.RawMessage {
	if len(b) == 0 {
		return json.RawMessage("[]")
	}
	return b
}
