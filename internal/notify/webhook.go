package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Webhook posts each message as JSON to an HTTPS URL. The body is the same each time that the message is sent; its
// signature is not, since it covers the time of sending. docs/output.md describes both.
type Webhook struct {
	name string
	opts WebhookOptions
	to   *poster
}

// WebhookOptions of [NewWebhook].
type WebhookOptions struct {
	// Wants is [Receiver.Wants]; nil means digest and above.
	Wants func(level string) bool
	// URL is where to; https, or http on this machine.
	URL string
	// Secret signs each message; nil means that nobody can know who sent it.
	Secret Secret
	// Roots is a file of certificates to trust instead of those of the system, "" for these.
	Roots string
	// Timeout bounds one attempt; 0 means 15 s.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// NewWebhook returns a receiver that posts to a URL.
func NewWebhook(name string, o WebhookOptions) (*Webhook, error) {
	p, err := newPoster(o.Roots)
	if err != nil {
		return nil, err
	}
	o.Wants, o.Timeout = orDigest(o.Wants), orTimeout(o.Timeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Webhook{name: name, opts: o, to: p}, nil
}

const defaultTimeout = 15 * time.Second

func orTimeout(d time.Duration) time.Duration {
	if d <= 0 {
		return defaultTimeout
	}
	return d
}

func orDigest(wants func(string) bool) func(string) bool {
	if wants == nil {
		return AtLeast("digest")
	}
	return wants
}

// Name implements [Receiver].
func (w *Webhook) Name() string { return w.name }

// Wants implements [Receiver].
func (w *Webhook) Wants(level string) bool { return w.opts.Wants(level) }

// Stream implements [Receiver]: it is told of incidents.
func (w *Webhook) Stream() bool { return false }

// Envelope is the body of a webhook.
type Envelope struct {
	Version  int       `json:"version"`
	ID       string    `json:"id"`
	Receiver string    `json:"receiver"`
	Kind     string    `json:"kind"`
	Level    string    `json:"level"`
	At       time.Time `json:"at"`
	Title    string    `json:"title"`
	Text     string    `json:"text"`
	// Test is set for the message of tocsin receivers test.
	Test bool `json:"test"`
	// Document is what exec gets on its standard input for the same message.
	Document json.RawMessage `json:"document"`
}

// Headers of a webhook.
const (
	HeaderTimestamp = "Tocsin-Timestamp"
	HeaderSignature = "Tocsin-Signature"
	HeaderAttempt   = "Tocsin-Attempt"
	HeaderIdem      = "Idempotency-Key"
)

// Sign is the signature of a body that is sent at a time: the HMAC-SHA256 over the Unix time in seconds, a dot, and the
// body.
func Sign(secret string, timestamp int64, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.", timestamp)
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// Send implements [Receiver].
func (w *Webhook) Send(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, w.opts.Timeout)
	defer cancel()
	s := tell(n)
	doc := n.Payload
	if !json.Valid(doc) {
		doc = json.RawMessage("null")
	}
	body, err := encode(Envelope{Version: 1, ID: n.ID, Receiver: w.name, Kind: n.Kind, Level: s.level(), At: jsonTime(n.At), Title: s.subject(), Text: n.Text, Test: s.Test, Document: doc})
	if err != nil {
		return permanent("writing message %s: %w", n.ID, err)
	}
	h := http.Header{}
	h.Set(HeaderIdem, n.ID)
	h.Set(HeaderAttempt, strconv.Itoa(n.Attempt))
	now := w.opts.Now().Unix()
	h.Set(HeaderTimestamp, strconv.FormatInt(now, 10))
	if w.opts.Secret != nil {
		secret, err := w.opts.Secret()
		if err != nil {
			return fmt.Errorf("signing: %w", err)
		}
		h.Set(HeaderSignature, Sign(secret, now, body))
	}
	_, err = w.to.post(ctx, http.MethodPost, w.opts.URL, h, body)
	return err
}
