package notify

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Refusal is an error of [Receiver.Send] that says what would help. Any other error counts as temporary.
type Refusal struct {
	Err error
	// Permanent says that the same message will be refused until somebody changes something: a wrong token, an unknown
	// recipient, an answer of 400. It is kept and tried again all the same, but seldom.
	Permanent bool
	// After is how long the receiver asked to be left alone; 0 when it did not.
	After time.Duration

	status int // of HTTP, 0 when there was none
}

// Error implements error.
func (r *Refusal) Error() string {
	switch {
	case r.Permanent:
		return "refused until something is changed: " + r.Err.Error()
	case r.After > 0:
		return fmt.Sprintf("%v; asked to wait for %v", r.Err, r.After)
	}
	return r.Err.Error()
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// permanent is an error that waiting does not heal.
func permanent(format string, args ...any) error {
	return &Refusal{Err: fmt.Errorf(format, args...), Permanent: true}
}

// maxAfter bounds what a receiver may ask for: one that asks for a year would be silenced by its own answer.
const maxAfter = time.Hour

// delays says when a message that failed is tried again, and how long nothing at all is sent to the receiver.
func delays(err error, failures int, o *Options) (message, receiver time.Duration) {
	message = backoff(failures, o.MinBackoff, o.MaxBackoff)
	var r *Refusal
	if !errors.As(err, &r) {
		return message, 0
	}
	if r.Permanent {
		message = max(message, backoff(32, o.MinBackoff, o.MaxBackoff))
	}
	if r.After > 0 {
		receiver = min(r.After, maxAfter)
		message = max(message, receiver)
	}
	return message, receiver
}

// answered makes an error of an answer that is not 2xx. What the server said is bounded and made safe.
func answered(status int, header http.Header, body []byte, now time.Time) error {
	err := fmt.Errorf("answered with %d %s", status, http.StatusText(status))
	if said := Safe(strings.TrimSpace(string(body)), maxOutput); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	r := &Refusal{Err: err, status: status, After: retryAfter(header.Get("Retry-After"), now)}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusConflict, http.StatusLocked:
	default:
		r.Permanent = status >= 300 && status < 500
	}
	return r
}

// statusOf is the HTTP status with which a receiver refused, 0 when it did not.
func statusOf(err error) int {
	var r *Refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// retryAfter reads the header of that name: seconds, or a date. 0 is anything else.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}
