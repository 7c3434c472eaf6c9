package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	_ "embed" // of the template
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Email sends mail with a part in text and one in HTML. The mails of one incident are a thread: each answers the first
// that this receiver sent of it. Each recipient gets a mail of his own, so that one that is refused keeps it from nobody.
type Email struct {
	name   string
	opts   EmailOptions
	host   string
	port   int
	domain string // of the sender, for message ids
	tls    *tls.Config
}

// EmailOptions of [NewEmail].
type EmailOptions struct {
	// Wants is [Receiver.Wants]; nil means digest and above.
	Wants func(level string) bool
	// From and To are addresses, as "tocsin <tocsin@example.com>".
	From string
	To   []string
	// Server is host:port of the mail server.
	Server string
	// TLS is "starttls" (also when empty), "tls" from the first byte, or "none".
	TLS string
	// User logs in with Password; "" does not log in.
	User     string
	Password Secret
	// Roots and Timeout are as in [WebhookOptions].
	Roots   string
	Timeout time.Duration
}

// NewEmail returns a receiver that sends mail.
func NewEmail(name string, o EmailOptions) (*Email, error) {
	e := &Email{name: name}
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	_, e.domain, _ = strings.Cut(from.Address, "@")
	if len(o.To) == 0 {
		return nil, errors.New("mail to nobody")
	}
	for _, to := range o.To {
		if _, err := mail.ParseAddress(to); err != nil {
			return nil, fmt.Errorf("to: %w", err)
		}
	}
	host, port, err := net.SplitHostPort(o.Server)
	if err == nil {
		e.host = host
		e.port, err = strconv.Atoi(port)
	}
	if err != nil || e.host == "" {
		return nil, fmt.Errorf("%q is not host:port of a mail server", o.Server)
	}
	if !slices.Contains([]string{"", "starttls", "tls", "none"}, o.TLS) {
		return nil, fmt.Errorf("tls is starttls, tls or none, not %q", o.TLS)
	}
	if (o.User == "") != (o.Password == nil) {
		return nil, errors.New("a user and a password go together")
	}
	if e.tls, err = tlsConfig(o.Roots); err != nil {
		return nil, err
	}
	e.tls.ServerName = e.host
	o.Wants = orDigest(o.Wants)
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	e.opts = o
	return e, nil
}

// Name implements [Receiver].
func (e *Email) Name() string { return e.name }

// Wants implements [Receiver].
func (e *Email) Wants(level string) bool { return e.opts.Wants(level) }

// Stream implements [Receiver]: it is told of incidents.
func (e *Email) Stream() bool { return false }

// messageID is the Message-ID of a message of ours, without brackets: the same each time that it is sent.
func (e *Email) messageID(id string) string { return printable(id, 200) + "@" + e.domain }

// thread returns the Message-ID which the mail answers, "" for the first of a matter.
func (e *Email) thread(ctx context.Context, s *story) (string, error) {
	if s.Matter == "" || s.Memory == nil {
		return "", nil
	}
	key := "thread " + s.Matter
	first, ok, err := s.Memory.Remembered(ctx, e.name, key)
	switch {
	case err != nil:
		return "", err
	case ok && first != s.ID:
		return e.messageID(first), nil
	case ok:
		return "", nil
	}
	// Before it is sent: it will be, and under this id.
	return "", s.Memory.Remember(ctx, e.name, key, s.ID)
}

// letter makes the mail for one recipient.
func (e *Email) letter(s *story, to, answers string) (*gomail.Msg, error) {
	m := gomail.NewMsg()
	m.SetUserAgent("tocsin")
	if err := m.From(e.opts.From); err != nil {
		return nil, err
	}
	if err := m.To(to); err != nil {
		return nil, err
	}
	// What looks like an encoded word would be decoded by who shows it.
	m.Subject(cutBytes(strings.ReplaceAll(s.subject(), "=?", "= ?"), 200))
	m.SetMessageIDWithValue(e.messageID(s.ID))
	m.SetDateWithValue(jsonTime(s.At))
	// RFC 3834: so that no absence notice comes back.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Auto-Response-Suppress", "All")
	m.SetGenHeader("X-Tocsin-Id", printable(s.ID, 200))
	m.SetGenHeader("X-Tocsin-Kind", printable(s.Kind, 40))
	m.SetGenHeader("X-Tocsin-Level", printable(s.level(), 40))
	if answers != "" {
		m.SetGenHeader(gomail.HeaderInReplyTo, "<"+answers+">")
		m.SetGenHeader(gomail.HeaderReferences, "<"+answers+">")
	}
	if s.level() == "page" && s.rings() {
		m.SetImportance(gomail.ImportanceHigh)
	}
	html, err := page(s)
	if err != nil {
		return nil, err
	}
	m.SetBodyString(gomail.TypeTextPlain, s.Text+"\n\n-- \ntocsin, message "+Safe(s.ID, 100)+"\n")
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	return m, nil
}

// Send implements [Receiver].
func (e *Email) Send(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	s := tell(n)
	answers, err := e.thread(ctx, s)
	if err != nil {
		return err
	}
	done, err := e.done(ctx, s)
	if err != nil {
		return err
	}
	var letters []*gomail.Msg
	var to []string
	for _, r := range e.opts.To {
		if slices.Contains(done, r) {
			continue
		}
		m, err := e.letter(s, r, answers)
		if err != nil {
			return permanent("writing the mail: %w", err)
		}
		letters, to = append(letters, m), append(to, r)
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	err = refusedMail(c.DialAndSendWithContext(ctx, letters...))
	refused := false
	for i, m := range letters {
		if m.IsDelivered() {
			done = append(done, to[i])
		} else {
			refused = true
		}
	}
	if !refused {
		err = nil // what failed after the last mail was taken concerns nobody
	} else if err == nil {
		err = errors.New("the mail server took no mail")
	}
	if err == nil || len(done) == 0 {
		if len(letters) < len(e.opts.To) && err == nil {
			return e.note(ctx, s, nil)
		}
		return err
	}
	return errors.Join(err, e.note(ctx, s, done))
}

// done are the recipients who have the mail from an earlier attempt.
func (e *Email) done(ctx context.Context, s *story) (list []string, err error) {
	if s.Memory == nil || s.Attempt < 2 || len(e.opts.To) < 2 {
		return nil, nil
	}
	text, ok, err := s.Memory.Remembered(ctx, e.name, "taken "+s.ID)
	if ok && json.Unmarshal([]byte(text), &list) != nil {
		list = nil
	}
	return list, err
}

// note writes down who has the mail, or that it need not be known any more.
func (e *Email) note(ctx context.Context, s *story, done []string) error {
	if s.Memory == nil || len(e.opts.To) < 2 {
		return nil
	}
	text := ""
	if len(done) > 0 {
		doc, err := encode(done)
		if err != nil {
			return err
		}
		text = string(doc)
	}
	return s.Memory.Remember(context.WithoutCancel(ctx), e.name, "taken "+s.ID, text)
}

func (e *Email) client() (*gomail.Client, error) {
	options := []gomail.Option{gomail.WithTimeout(e.opts.Timeout), gomail.WithTLSConfig(e.tls.Clone()), gomail.WithTLSPolicy(gomail.TLSMandatory)}
	switch e.opts.TLS {
	case "tls":
		options = append(options, gomail.WithSSL())
	case "none":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	options = append(options, gomail.WithPort(e.port))
	if e.opts.User != "" {
		password, err := e.opts.Password()
		if err != nil {
			return nil, fmt.Errorf("reading the password: %w", err)
		}
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(e.opts.User), gomail.WithPassword(password))
	}
	c, err := gomail.NewClient(e.host, options...)
	if err != nil {
		return nil, permanent("preparing the mail: %w", err)
	}
	return c, nil
}

// refusedMail says of an error whether waiting would heal it: a status of 5yz does not (RFC 5321).
func refusedMail(err error) error {
	if err == nil {
		return nil
	}
	code := 0
	var sending *gomail.SendError
	var answer *textproto.Error
	if errors.As(err, &sending) {
		code = sending.ErrorCode()
	} else if errors.As(err, &answer) {
		code = answer.Code
	}
	text := Safe(strings.ReplaceAll(err.Error(), "\n", "; "), 2*maxOutput)
	return &Refusal{Err: &hidden{err, text}, Permanent: code >= 500 && code < 600}
}

//go:embed email.html.tmpl
var pageSource string

var pageTemplate = template.Must(template.New("email").Funcs(template.FuncMap{
	"safe": func(s string) string { return Safe(s, maxText) }, "day": day, "second": second, "days": days, "upper": strings.ToUpper,
	"left": func(shown, total int) int { return max(total-shown, 0) },
}).Parse(pageSource))

// page is the mail as HTML: without images, scripts or anything from elsewhere, for light and dark screens.
func page(s *story) (string, error) {
	tone := "calm"
	switch {
	case s.Over, s.Test:
	case s.level() == "page":
		tone = "page"
	case s.level() == "alarm":
		tone = "alarm"
	}
	type view struct {
		*story
		Tone, Label, Title, Body string
		Alarms                   []Alarm
		Total                    int
	}
	v := view{story: s, Tone: tone, Label: s.label(), Title: strings.TrimPrefix(s.subject(), s.label()+": ")}
	for _, a := range s.Alarms {
		v.Alarms = append(v.Alarms, a.short())
	}
	if v.Total = len(v.Alarms); s.Incident != nil {
		v.Total = max(v.Total, s.Incident.AlarmsTotal)
	}
	if len(v.Alarms) == 0 {
		v.Body = s.Text
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		return "", err
	}
	return b.String(), nil
}
