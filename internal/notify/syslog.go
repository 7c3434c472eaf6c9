package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Syslog writes a line of RFC 5424 for each message: over UDP, a unix socket, TCP or TLS, on the last two with the
// counted octets of RFC 6587. A message that was written has been taken, which over UDP is all that can be known. On a
// stream each message has its own connection, which is ended and awaited: one that was lost on the way is then noticed.
type Syslog struct {
	name string
	opts SyslogOptions
	at   *url.URL
	tls  *tls.Config
	host string
}

// SyslogOptions of [NewSyslog].
type SyslogOptions struct {
	// Wants is [Receiver.Wants]; nil means everything that is filed, too.
	Wants func(level string) bool
	// Address is udp://host:port, tcp://host:port, tls://host:port or unix:///path.
	Address string
	// Facility is a name of [Facilities]; "" means daemon.
	Facility string
	// JSON makes the message the document instead of a line for people.
	JSON bool
	// Roots and Timeout are as in [WebhookOptions].
	Roots   string
	Timeout time.Duration
}

// Facilities are the names of facilities, in the order of their numbers.
var Facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// NewSyslog returns a receiver that writes to a collector of logs.
func NewSyslog(name string, o SyslogOptions) (*Syslog, error) {
	u, err := url.Parse(o.Address)
	if err != nil {
		return nil, fmt.Errorf("%q is no address of a syslog collector", o.Address)
	}
	s := &Syslog{name: name, at: u}
	switch u.Scheme {
	case "udp", "tcp", "tls":
		if u.Port() == "" || u.Hostname() == "" {
			return nil, fmt.Errorf("%q has no host and port", o.Address)
		}
	case "unix":
		if u.Path == "" || u.Host != "" {
			return nil, fmt.Errorf("%q has no path: unix:///dev/log", o.Address)
		}
	default:
		return nil, fmt.Errorf("%q is not udp://, tcp://, tls:// or unix://", o.Address)
	}
	if s.tls, err = tlsConfig(o.Roots); err != nil {
		return nil, err
	}
	s.tls.ServerName = u.Hostname()
	if o.Wants == nil {
		o.Wants = AtLeast("expected")
	}
	if o.Facility == "" {
		o.Facility = "daemon"
	}
	if facility(o.Facility) < 0 {
		return nil, fmt.Errorf("%q is no facility", o.Facility)
	}
	o.Timeout = orTimeout(o.Timeout)
	s.opts = o
	if s.host, err = os.Hostname(); err != nil || s.host == "" {
		s.host = "-"
	}
	return s, nil
}

func facility(name string) int {
	for i, f := range Facilities {
		if f == name {
			return i
		}
	}
	return -1
}

// Name implements [Receiver].
func (s *Syslog) Name() string { return s.name }

// Wants implements [Receiver].
func (s *Syslog) Wants(level string) bool { return s.opts.Wants(level) }

// Stream implements [Receiver]: it is told of each issuance.
func (s *Syslog) Stream() bool { return true }

// Bounds of a line in bytes. RFC 5426 asks that every collector takes 480 over UDP and most 2,048.
const (
	maxDatagram   = 2000
	maxSyslogLine = 256 << 10
	maxParam      = 400
)

// severityOf is the number of RFC 5424.
func severityOf(s *story) int {
	switch {
	case s.Test, s.Over:
		return 5 // notice
	case s.level() == "page":
		return 1 // alert
	case s.level() == "alarm":
		return 2 // critical
	case s.Kind == "fault", s.Kind == "trouble":
		return 4 // warning
	case s.level() == "digest":
		return 5
	}
	return 6 // informational
}

// printable is a header field of RFC 5424: printable ASCII without space.
func printable(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		if r > ' ' && r < 0x7f && b.Len() < limit {
			b.WriteRune(r)
		}
	}
	if b.Len() == 0 {
		return "-"
	}
	return b.String()
}

// paramValue escapes what RFC 5424 reserves; control characters are gone with [Safe].
func paramValue(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(Safe(text, maxParam))
}

// line is the whole message of RFC 5424, without framing.
func (s *Syslog) line(n Notice) string {
	st := tell(n)
	var sd strings.Builder
	// The number is the one that is set apart for examples: the software has none of its own.
	sd.WriteString("[tocsin@32473")
	param := func(name, value string) {
		text := fmt.Sprintf(` %s="%s"`, name, paramValue(value))
		if value == "" || s.at.Scheme == "udp" && sd.Len()+len(text) > maxDatagram*3/5 {
			return // in a datagram the first ones count most: ids
		}
		sd.WriteString(text)
	}
	param("id", n.ID)
	param("kind", n.Kind)
	param("level", st.Level)
	if i := st.Incident; i != nil {
		param("incident", i.Incident)
		param("change", i.Change)
		param("owner", i.Owner)
	} else if len(st.Alarms) == 1 {
		a := st.Alarms[0]
		param("issuance", a.Issuance)
		param("value", matched(a, func(m Match) string { return m.Value }))
		param("watch", matched(a, func(m Match) string { return m.Watch }))
		param("owner", matched(a, func(m Match) string { return m.Owner }))
		param("issuer", a.signer())
		param("serial", a.Certificate.Serial)
		param("sha256", a.Certificate.SHA256)
	}
	sd.WriteString("]")

	limit := maxSyslogLine
	if s.at.Scheme == "udp" {
		limit = maxDatagram
	}
	at := jsonTime(n.At).Format("2006-01-02T15:04:05.000Z")
	head := fmt.Sprintf("<%d>1 %s %s tocsin %d %s %s ", facility(s.opts.Facility)*8+severityOf(st), at, printable(s.host, 255), os.Getpid(), printable(n.Kind, 32), sd.String())
	text := Safe(st.subject(), 1000)
	if s.opts.JSON {
		if doc := string(escapeJSON(compact(n.Payload))); len(head)+len(doc)+len(bom) <= limit {
			text = doc
		} // one that is cut is no JSON: then the line is for people
	}
	return head + bom + cutBytes(text, max(limit-len(head)-len(bom), 0))
}

// bom says that the message is UTF-8.
const bom = "\ufeff"

// matched is a value of the first matches, each once.
func matched(a Alarm, of func(Match) string) string {
	var list []string
	seen := map[string]bool{}
	for _, m := range a.Matched {
		if v := of(m); v != "" && !seen[v] && len(list) < 5 {
			list, seen[v] = append(list, v), true
		}
	}
	return strings.Join(list, ", ")
}

// Send implements [Receiver].
func (s *Syslog) Send(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	line := s.line(n)
	c, stream, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("reaching %s: %w", s.opts.Address, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if stream {
		line = strconv.Itoa(len(line)) + " " + line
	}
	if _, err := io.WriteString(c, line); err != nil {
		return fmt.Errorf("writing to %s: %w", s.opts.Address, err)
	}
	if !stream {
		return nil
	}
	return s.awaitEnd(c)
}

// endTime is how long the end of a connection is awaited: a collector that keeps it open has read the message, too, as
// far as can be known.
const endTime = 2 * time.Second

// awaitEnd says that no more comes, and waits until the other side has read up to there.
func (s *Syslog) awaitEnd(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return fmt.Errorf("ending the message to %s: %w", s.opts.Address, err)
	}
	c.SetReadDeadline(time.Now().Add(endTime))
	_, err := io.Copy(io.Discard, io.LimitReader(c, maxAnswer))
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("%s broke off: %w", s.opts.Address, err)
}

func (s *Syslog) dial(ctx context.Context) (c net.Conn, stream bool, err error) {
	var d net.Dialer
	switch s.at.Scheme {
	case "udp":
		c, err = d.DialContext(ctx, "udp", s.at.Host)
		return c, false, err
	case "unix":
		if c, err = d.DialContext(ctx, "unixgram", s.at.Path); err == nil {
			return c, false, nil
		}
		c, err = d.DialContext(ctx, "unix", s.at.Path)
		return c, true, err
	case "tls":
		c, err = (&tls.Dialer{NetDialer: &d, Config: s.tls}).DialContext(ctx, "tcp", s.at.Host)
		return c, true, err
	}
	c, err = d.DialContext(ctx, "tcp", s.at.Host)
	return c, true, err
}
