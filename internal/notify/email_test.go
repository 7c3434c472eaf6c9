package notify

import (
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected pages anew")

// letterOf reads a mail as a mail program does.
type letterOf struct {
	mail.Header
	Subject, Text, HTML string
}

func readLetter(t *testing.T, data string) letterOf {
	t.Helper()
	m := need(mail.ReadMessage(strings.NewReader(data)))(t)
	l := letterOf{Header: m.Header}
	l.Subject = need(new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")))(t)
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q, %v", m.Header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return l
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Fatalf("a part %v", p.Header)
		}
		body := string(need(io.ReadAll(quotedprintable.NewReader(p)))(t))
		switch kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); kind {
		case "text/plain":
			l.Text = body
		case "text/html":
			l.HTML = body
		default:
			t.Fatalf("a part of %s", kind)
		}
	}
}

func anEmail(t *testing.T, o *office, opts EmailOptions) *Email {
	t.Helper()
	opts.Server, opts.Roots, opts.From = o.Addr().String(), o.roots, "tocsin <tocsin@example.com>"
	if opts.To == nil {
		opts.To = []string{"oncall@example.com"}
	}
	return need(NewEmail("mail", opts))(t)
}

func TestMailsOfAnIncidentAreAThread(t *testing.T) {
	o := newOffice(t)
	e := anEmail(t, o, EmailOptions{})
	m := &memory{}
	changes := []string{"opened", "grew", "resolved"}
	for i, change := range changes {
		n := incidentNotice(t, exampleIncident(change, i+1), m)
		if err := e.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	// A repeat has the same id, and does not answer itself.
	if err := e.Send(t.Context(), incidentNotice(t, exampleIncident("opened", 1), m)); err != nil {
		t.Fatal(err)
	}
	got := o.taken()
	if len(got) != 4 {
		t.Fatalf("%d mails", len(got))
	}
	first := fmt.Sprintf("<%032x@example.com>", 1)
	for i, d := range got {
		if !d.TLS || d.From != "tocsin@example.com" || d.To != "oncall@example.com" {
			t.Errorf("from %s to %s, TLS %v", d.From, d.To, d.TLS)
		}
		l := readLetter(t, d.Data)
		id, answers := fmt.Sprintf("<%032x@example.com>", i+1), first
		if i == 3 {
			id = first
		}
		if i == 0 || i == 3 {
			answers = ""
		}
		if l.Get("Message-Id") != id || l.Get("In-Reply-To") != answers || l.Get("References") != answers {
			t.Errorf("mail %d has id %s, answers %q, refers to %q", i, l.Get("Message-Id"), l.Get("In-Reply-To"), l.Get("References"))
		}
		if l.Get("Auto-Submitted") != "auto-generated" || l.Get("Date") != "Fri, 16 May 2025 20:42:07 +0000" {
			t.Errorf("%v", l.Header)
		}
	}
	l := readLetter(t, got[0].Data)
	if l.Subject != "PAGE: 192.0.2.1 is named in a precertificate by Drill" || l.Get("Importance") != "high" {
		t.Errorf("subject %q, importance %q", l.Subject, l.Get("Importance"))
	}
	if text := strings.ReplaceAll(l.Text, "\r\n", "\n"); !strings.Contains(text, "\n  serial   0badcafe\n") || !strings.Contains(text, "bücher.example.com") {
		t.Errorf("the text is\n%s", text)
	}
	if !strings.Contains(l.HTML, "0badcafe") || !strings.Contains(l.HTML, "bücher.example.com") {
		t.Errorf("the page is\n%s", l.HTML)
	}
	if l := readLetter(t, got[2].Data); !strings.HasPrefix(l.Subject, "RESOLVED: 192.0.2.1") || l.Get("Importance") != "" {
		t.Errorf("subject %q, importance %q", l.Subject, l.Get("Importance"))
	}
}

func TestOneRecipientThatIsRefusedKeepsAMailFromNobody(t *testing.T) {
	o := newOffice(t)
	e := anEmail(t, o, EmailOptions{To: []string{"a@example.com", "b@example.com", "c@example.com"}})
	o.refuses("b@example.com", "550 5.1.1 no such user")
	m := &memory{}
	n := incidentNotice(t, exampleIncident("opened", 1), m)
	err := e.Send(t.Context(), n)
	if !isPermanent(err) || !strings.Contains(err.Error(), "b@example.com") {
		t.Fatalf("Send = %v", err)
	}
	to := func() (list []string) {
		for _, d := range o.taken() {
			list = append(list, d.To)
		}
		return list
	}
	if d := cmp.Diff([]string{"a@example.com", "c@example.com"}, to()); d != "" {
		t.Error(d)
	}
	o.refuses("b@example.com", "451 later")
	n.Attempt = 2
	if err := e.Send(t.Context(), n); err == nil || isPermanent(err) {
		t.Fatalf("Send = %v", err)
	}
	o.refuses("b@example.com", "")
	n.Attempt = 3
	if err := e.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a@example.com", "c@example.com", "b@example.com"}, to()); d != "" {
		t.Error("who has it already got it again:", d)
	}
	for key := range m.is {
		if strings.Contains(key, "taken") {
			t.Error("it is remembered for ever:", key)
		}
	}
}

func TestMailLogsInOverTLSAlone(t *testing.T) {
	o := newOffice(t)
	o.login = "tocsin:hunter2-hunter2"
	if err := anEmail(t, o, EmailOptions{User: "tocsin", Password: given("hunter2-hunter2")}).Send(t.Context(), Test("1", time.Now())); err != nil {
		t.Fatal(err)
	}
	if d := o.taken(); len(d) != 1 || d[0].User != "tocsin" || !d[0].TLS {
		t.Errorf("%+v", d)
	}
	err := anEmail(t, o, EmailOptions{User: "tocsin", Password: given("wrong-wrong")}).Send(t.Context(), Test("1", time.Now()))
	if !isPermanent(err) || strings.Contains(err.Error(), "wrong-wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	start := slices.Index(o.lines, "STARTTLS")
	for i, l := range o.lines {
		if strings.HasPrefix(l, "AUTH") && i < start {
			t.Error("it logged in before TLS")
		}
	}
	o.roots = ""
	err = anEmail(t, o, EmailOptions{}).Send(t.Context(), Test("1", time.Now()))
	if err == nil || len(o.taken()) != 1 {
		t.Errorf("a server that nobody vouches for was trusted: %v", err)
	}
	if err := anEmail(t, o, EmailOptions{TLS: "none"}).Send(t.Context(), Test("2", time.Now())); err != nil || o.taken()[1].TLS {
		t.Errorf("without TLS: %v", err)
	}
}

func TestMailOptionsAreChecked(t *testing.T) {
	good := EmailOptions{From: "a@example.com", To: []string{"b@example.com"}, Server: "127.0.0.1:25"}
	for name, spoil := range map[string]func(*EmailOptions){
		"a sender that is none":           func(o *EmailOptions) { o.From = "a@example.com\r\nBcc: c@example.com" },
		"a recipient that is none":        func(o *EmailOptions) { o.To = []string{"nobody"} },
		"nobody":                          func(o *EmailOptions) { o.To = nil },
		"a server without port":           func(o *EmailOptions) { o.Server = "mail.example.com" },
		"a kind of TLS that there is not": func(o *EmailOptions) { o.TLS = "maybe" },
		"a user without password":         func(o *EmailOptions) { o.User = "x" },
	} {
		o := good
		if spoil(&o); func() bool { _, err := NewEmail("mail", o); return err == nil }() {
			t.Errorf("%s was taken", name)
		}
	}
}

// harmful is what a mail's page must not have.
var harmful = regexp.MustCompile(`(?i)<script|<img|<iframe|<object|<embed|<form|<link|<base|<svg|javascript:|\bon[a-z]+\s*=\s*["']|url\(|@import|https?://|//[a-z]|<!--`)

func TestPagesAreAsTheyWereLookedAt(t *testing.T) {
	plain := Notice{ID: "5a5a", Kind: "coverage", At: example().At, Payload: []byte(`{"kind":"coverage"}`), Text: "coverage 2025-05-16: all of 12 logs were read and verified\n  not covered: nothing"}
	filed := example()
	filed.Level = "digest"
	for name, n := range map[string]Notice{
		"incident": incidentNotice(t, exampleIncident("opened", 1), nil), "resolved": incidentNotice(t, exampleIncident("resolved", 3), nil),
		"alarm": alarmNotice(t, example()), "notice": plain, "test": Test("0fb3", example().At),
	} {
		t.Run(name, func(t *testing.T) {
			got := need(page(tell(n)))(t)
			path := filepath.Join("testdata", "mail-"+name+".html")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(strings.ReplaceAll(string(need(os.ReadFile(path))(t)), "\r\n", "\n"), got); d != "" {
				t.Error(d)
			}
			if bad := harmful.FindString(got); bad != "" {
				t.Errorf("the page has %q", bad)
			}
		})
	}
}
