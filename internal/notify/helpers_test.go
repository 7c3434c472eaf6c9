package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// given is a secret.
func given(s string) Secret { return func() (string, error) { return s, nil } }

// exampleIncident is a document of an incident with one certificate.
func exampleIncident(change string, sequence int) Incident {
	a := example()
	a.Kind, a.ID = KindAlarm, ""
	at := a.At
	state := map[string]string{"acknowledged": "acknowledged", "resolved": "resolved"}[change]
	if state == "" {
		state = "notified"
	}
	return Incident{
		ID: fmt.Sprintf("%032x", sequence), Kind: KindIncident, Incident: "inc-4be1", Sequence: sequence, Change: change, Reason: "a certificate for 192.0.2.1 was not expected",
		State: state, Level: "page", Title: "192.0.2.1 is named in a precertificate by Drill", Owner: "dns-team", Group: "192.0.2.0/24",
		Watches: []string{"public resolver"}, Opened: at, Updated: at.Add(time.Minute), CertificatesTotal: sequence, SuppressedTotal: 2,
		Suppressed: map[string]int{"expected: a renewal": 2}, Alarms: []Alarm{a.bounded()}, AlarmsTotal: 1, Route: "routes[0]: at_least page", Next: []string{"tocsin ack inc-4be1"},
	}
}

// incidentNotice is the message of an incident.
func incidentNotice(t *testing.T, i Incident, m Memory) Notice {
	t.Helper()
	doc, err := encode(i)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ToUpper(i.Level) + "  " + i.Title
	for _, a := range i.Alarms {
		text += "\n" + a.Text()
	}
	return Notice{ID: i.ID, Kind: KindIncident, At: i.Updated, Payload: doc, Text: text, Attempt: 1, Memory: m}
}

// memory is a [Memory] without a store.
type memory struct {
	mu sync.Mutex
	is map[string]string
	// fail is returned by every call.
	fail error
}

func (m *memory) Remembered(_ context.Context, receiver, key string) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.is[receiver+"/"+key]
	return v, ok, m.fail
}

func (m *memory) Remember(_ context.Context, receiver, key, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.is == nil {
		m.is = make(map[string]string)
	}
	if m.is[receiver+"/"+key] = value; value == "" {
		delete(m.is, receiver+"/"+key)
	}
	return nil
}

// request is what a server was sent.
type request struct {
	Method, Path string
	Header       http.Header
	Body         []byte
}

func (r request) document(t *testing.T) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal(r.Body, &doc); err != nil {
		t.Fatalf("%v in %q", err, r.Body)
	}
	return doc
}

// web is a server with a certificate of its own that keeps what it is sent.
type web struct {
	*httptest.Server
	roots string

	mu  sync.Mutex
	got []request
}

// newWeb answers with f, whose n counts requests from 0; nil answers 200.
func newWeb(t *testing.T, f func(w http.ResponseWriter, r *http.Request, n int)) *web {
	t.Helper()
	s := &web{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		n := len(s.got)
		s.got = append(s.got, request{r.Method, r.URL.Path, r.Header.Clone(), body})
		s.mu.Unlock()
		if f != nil {
			f(w, r, n)
		}
	}))
	t.Cleanup(s.Close)
	s.roots = rootsOf(t, s.Server)
	return s
}

func rootsOf(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *web) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.got...)
}

// need fails the test on an error.
func need[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func isPermanent(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Permanent
}

// post office: a mail server for tests. It speaks as much SMTP as a client needs.
type office struct {
	net.Listener
	tls   *tls.Config
	roots string
	// login is user and password, "" for none; mandatory TLS before it is the client's affair.
	login string
	// refuse answers a recipient with a line such as "550 no such user".
	refuse map[string]string

	mu    sync.Mutex
	mails []delivery
	lines []string
}

// delivery is one mail as it arrived.
type delivery struct {
	From, To, Data string
	TLS            bool
	User           string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	source := httptest.NewTLSServer(nil)
	t.Cleanup(source.Close)
	o := &office{tls: &tls.Config{Certificates: source.TLS.Certificates}, roots: rootsOf(t, source), refuse: map[string]string{}}
	o.Listener = need(net.Listen("tcp", "127.0.0.1:0"))(t)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := o.Accept()
			if err != nil {
				return
			}
			open.Go(func() { o.serve(c) })
		}
	})
	t.Cleanup(func() { o.Close(); open.Wait() })
	return o
}

func (o *office) taken() []delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]delivery(nil), o.mails...)
}

func (o *office) refuses(to, answer string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if answer == "" {
		delete(o.refuse, to)
	} else {
		o.refuse[to] = answer
	}
}

func (o *office) serve(c net.Conn) {
	defer func() { c.Close() }()
	c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	say := func(format string, args ...any) { fmt.Fprintf(c, format+"\r\n", args...) }
	var d delivery
	say("220 office.example ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		o.mu.Lock()
		o.lines = append(o.lines, line)
		o.mu.Unlock()
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-office.example")
			if !d.TLS {
				say("250-STARTTLS")
			}
			if o.login != "" {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			secure := tls.Server(c, o.tls)
			if secure.Handshake() != nil {
				return
			}
			c, r, d.TLS = secure, bufio.NewReader(secure), true
		case "AUTH":
			_, b64, _ := strings.Cut(rest, " ")
			b, _ := base64.StdEncoding.DecodeString(b64)
			if string(b) != "\x00"+strings.Replace(o.login, ":", "\x00", 1) {
				say("535 5.7.8 wrong")
				continue
			}
			d.User, _, _ = strings.Cut(o.login, ":")
			say("235 hello")
		case "MAIL":
			d.From = strings.Trim(rest[strings.Index(rest, "<"):], "<>")
			if i := strings.Index(d.From, ">"); i >= 0 {
				d.From = d.From[:i]
			}
			say("250 ok")
		case "RCPT":
			d.To = strings.Trim(rest[strings.Index(rest, "<"):], "<>")
			o.mu.Lock()
			answer := o.refuse[d.To]
			o.mu.Unlock()
			if answer == "" {
				answer = "250 ok"
			}
			say("%s", answer)
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(l, "."))
			}
			d.Data = b.String()
			o.mu.Lock()
			o.mails = append(o.mails, d)
			o.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
