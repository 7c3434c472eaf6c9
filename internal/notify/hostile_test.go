package notify

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/mail"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"
)

// hostile are strings that a certificate may hold, each made to break out of something.
var hostile = map[string]string{
	"a mail header":                       "x\r\nBcc: victim@example.org\r\n\r\nbody",
	"a bare line feed":                    "x\nBcc: victim@example.org",
	"an encoded word":                     "=?utf-8?q?=0D=0ABcc:_victim@example.org?=",
	"a script":                            `<script>alert(1)</script><img src=x onerror=alert(2)>"'><svg/onload=alert(3)>`,
	"a template":                          `{{.Payload}}${7*7}#{7*7}<% 7*7 %>`,
	"the end of a style":                  `</style></title></pre></code><a href="javascript:alert(1)">x</a>`,
	"everybody in the channel":            "<!channel> <!here> <!everyone> @channel @here @all @everyone <@U012> <#C012>",
	"a link of Slack":                     "<https://evil.example/|www.example.com> `x` ``` *b* _i_ ~s~",
	"the end of the code":                 "```\n<!here>\n```",
	"a link of Markdown":                  "[click](https://evil.example) ![x](https://evil.example/x.png)",
	"an entity":                           "&lt;!here&gt; &amp;lt;",
	"colours and titles of a terminal":    "\x1b[31m\x1b]0;owned\x07\x9b31m",
	"a change of direction":               "\u202emoc.elpmaxe\u202c \u2066x\u2069",
	"what nobody sees":                    "a\u200bb\u00adc\ufeffd",
	"structured data of syslog":           `x"] <34>1 - - - - - [evil@1 a="b"] \`,
	"another frame of syslog":             "x\n12 <34>1 - - - -",
	"a NUL":                               "x\x00y",
	"another variable":                    "x\nPATH=/tmp/evil\nLD_PRELOAD=/tmp/evil.so",
	"a shell":                             "$(touch /tmp/x) `id` ; rm -rf / | cat && true > /dev/null",
	"a formula of a spreadsheet":          `=HYPERLINK("https://evil.example")`,
	"bytes that are no text":              "\xff\xfe\xc0\x80",
	"the end of a string of JSON":         `","level":"expected","x":"`,
	"a separator of lines of JavaScript":  "x\u2028y\u2029z",
	"a line that is the end of a mail":    "x\r\n.\r\nMAIL FROM:<a@b>",
	"piles of marks":                      "z" + strings.Repeat("\u0301", 300),
	"a text without end":                  strings.Repeat("A", 1<<17),
	"a word without end, of wide letters": strings.Repeat("界", 5000),
}

// everywhere is an alarm in which a text stands wherever a certificate or log can put it.
func everywhere(text string) Alarm {
	a := example()
	a.Matched = []Match{NewMatch("public resolver", "dns-team", "192.0.2.0/24", "san:dns", text, "", "name-"+text)}
	a.MatchedTotal = 1
	c := &a.Certificate
	c.Subject, c.Issuer, c.Serial, c.DNSNames, c.IPs = text, text, text, []string{text, text}, []string{text}
	a.Issuer = Issuer{Name: text, Owner: text, SPKI: text, Why: text, Proven: true}
	a.Key = Key{Algorithm: text, SPKI: text, Source: text, Owned: true}
	a.Sightings = []Sighting{{Log: text, LogID: text, Index: 1, Time: a.At}}
	for i := range a.Reasons {
		r := &a.Reasons[i]
		r.Text, r.Observed, r.Wanted = text, text, text
	}
	a.Oddities = []Oddity{{Code: "odd", Text: text}}
	return a
}

// hostileIncident is the same as the message of an incident.
func hostileIncident(t *testing.T, text string, m Memory) Notice {
	t.Helper()
	i := exampleIncident("opened", 1)
	a := everywhere(text)
	text = cutBytes(text, 4*maxText) // what makes the document bounds it
	i.Title, i.Owner, i.Group, i.Reason, i.By, i.Comment = text, text, text, text, text, text
	i.Watches, i.Suppressed = []string{text}, map[string]int{text: 1}
	body := a.Text()
	i.Alarms = []Alarm{a.bounded()}
	n := incidentNotice(t, i, m)
	n.Text = "PAGE  " + Safe(text, 200) + "\n" + body
	return n
}

// quiet reports whether a terminal would show the text as it is: of control characters only line breaks.
func quiet(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || unicode.Is(unicode.Cf, r) && r != '\ufeff' || r == '\u2028' || r == '\u2029')
	})
}

func TestHostileTextsBreakOutOfNoReceiver(t *testing.T) {
	o := newOffice(t)
	s := newWeb(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Write([]byte(`{"ok":true,"ts":"1.1","id":"1"}`))
	})
	to := map[string]Receiver{
		"webhook":    aWebhook(t, s, WebhookOptions{Secret: given("k")}),
		"slack":      aSlack(t, s, SlackOptions{Token: given("token"), API: s.URL}),
		"hook":       aSlack(t, s, SlackOptions{Webhook: given(s.URL)}),
		"mattermost": aSlack(t, s, SlackOptions{Token: given("token"), Server: s.URL}),
		"pagerduty":  need(NewPagerDuty("p", PagerDutyOptions{Key: given("key"), URL: s.URL, Roots: s.roots}))(t),
	}
	e := anEmail(t, o, EmailOptions{})
	udp := need(NewSyslog("u", SyslogOptions{Address: "udp://127.0.0.1:1"}))(t)
	stream := need(NewSyslog("t", SyslogOptions{Address: "tcp://127.0.0.1:1", JSON: true}))(t)
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			alarm := alarmNotice(t, everywhere(text))
			for kind, n := range map[string]Notice{"alarm": alarm, "incident": hostileIncident(t, text, &memory{})} {
				// JSON over HTTP.
				for receiver, r := range to {
					before := len(s.requests())
					if err := r.Send(t.Context(), n); err != nil {
						t.Fatalf("%s, %s: %v", receiver, kind, err)
					}
					for _, sent := range s.requests()[before:] {
						if !json.Valid(sent.Body) || bytes.ContainsAny(sent.Body, "\n\r\x00\x1b") || len(sent.Body) > 600_000 {
							t.Errorf("%s, %s: %d bytes: %.300q", receiver, kind, len(sent.Body), sent.Body)
						}
						doc := sent.document(t)
						for _, key := range []string{"text", "message"} {
							if said, ok := doc[key].(string); ok && receiver != "webhook" {
								expectMarkupWithoutPower(t, receiver, said)
							}
						}
						if receiver == "webhook" && (doc["level"] != map[string]any{"alarm": "alarm", "incident": "page"}[kind] || !quiet(doc["text"].(string)) || !quiet(doc["title"].(string))) {
							t.Errorf("the webhook says %.300v", doc)
						}
						for key, values := range sent.Header {
							if strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
								t.Errorf("header %s: %q", key, values)
							}
						}
					}
				}
				expectMailWithoutPower(t, o, e, n)
				expectFramedLines(t, n, udp, stream)
				expectVariablesWithoutPower(t, n)
				if got := plainMarkup(tell(n).subject() + n.Text); strings.ContainsAny(got, "<>@`&") || strings.Contains(got, "](") {
					t.Errorf("for shoutrrr: %.300q", got)
				}
			}
		})
	}
}

// expectMarkupWithoutPower looks at a message of a channel: what is not ours stands in code, and cannot leave it.
func expectMarkupWithoutPower(t *testing.T, receiver, said string) {
	t.Helper()
	if !quiet(said) || len(said) > 12000 {
		t.Errorf("%s says %d bytes: %.300q", receiver, len(said), said)
	}
	if strings.Contains(said, "@") || receiver != "mattermost" && strings.ContainsAny(said, "<>") {
		t.Errorf("%s could mention or link: %.300q", receiver, said)
	}
	outside := regexp.MustCompile("(?s)```\n.*?\n```|`[^`\n]+`").ReplaceAllString(said, "")
	if !regexp.MustCompile(`^[🔵✅👀🔴🟠] \*[A-Z]+\* \n*$`).MatchString(outside) {
		t.Errorf("%s: beside code it says %.300q", receiver, outside)
	}
}

func expectMailWithoutPower(t *testing.T, o *office, e *Email, n Notice) {
	t.Helper()
	before := len(o.taken())
	if err := e.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	got := o.taken()[before:]
	if len(got) != 1 || got[0].To != "oncall@example.com" {
		t.Fatalf("%d mails came of one: %v", len(got), got)
	}
	for line := range strings.Lines(got[0].Data) {
		if len(strings.TrimRight(line, "\r\n")) > 998 || !strings.HasSuffix(line, "\r\n") || strings.ContainsAny(line[:len(line)-2], "\r\n\x00\x1b") {
			t.Errorf("a line of %d bytes: %.100q", len(line), line)
		}
	}
	m := need(mail.ReadMessage(strings.NewReader(got[0].Data)))(t)
	var keys []string
	for key := range m.Header {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !slices.Contains([]string{"Auto-Submitted", "Content-Type", "Date", "From", "Importance", "Message-Id", "Mime-Version", "Priority", "Subject", "To", "User-Agent", "X-Auto-Response-Suppress",
			"X-Mailer", "X-Msmail-Priority", "X-Priority", "X-Tocsin-Id", "X-Tocsin-Kind", "X-Tocsin-Level"}, key) {
			t.Errorf("a header %s: %q", key, m.Header.Get(key))
		}
	}
	l := readLetter(t, got[0].Data)
	if text := strings.ReplaceAll(l.Text, "\r\n", "\n"); !quiet(l.Subject) || len(l.Subject) > 300 || !quiet(text) {
		t.Errorf("subject %.300q", l.Subject)
	}
	expectHarmlessPage(t, l.HTML)
}

// expectHarmlessPage reads the page as a browser does: only elements and attributes of the template are in it.
func expectHarmlessPage(t *testing.T, page string) {
	t.Helper()
	tree := need(html.Parse(strings.NewReader(page)))(t)
	elements := strings.Fields("html head meta title style body main header div h1 h2 section table tbody tr th td b br code ul li span pre")
	attributes := strings.Fields("lang charset name content class role")
	for n := range tree.Descendants() {
		if n.Type == html.CommentNode || n.Type == html.ElementNode && !slices.Contains(elements, n.Data) {
			t.Errorf("the page has a %s", n.Data)
		}
		for _, a := range n.Attr {
			if !slices.Contains(attributes, a.Key) {
				t.Errorf("an element %s has %s=%q", n.Data, a.Key, a.Val)
			}
		}
		if n.Type == html.TextNode && !quiet(strings.ReplaceAll(n.Data, "\r\n", "\n")) {
			t.Errorf("a text %.100q", n.Data)
		}
	}
	if len(page) > 300_000 {
		t.Errorf("a page of %d bytes", len(page))
	}
}

func expectFramedLines(t *testing.T, n Notice, to ...*Syslog) {
	t.Helper()
	for _, s := range to {
		line := s.line(n)
		if !regexp.MustCompile(`^<\d+>1 \S+ \S+ tocsin \d+ [a-z]+ \[tocsin@32473( [a-z0-9]+="([^"\\\]]|\\["\\\]])*")+\] \x{feff}[^\x00-\x1f\x7f]*$`).MatchString(line) || !quiet(line) {
			t.Errorf("%.400q", line)
		}
		if s.at.Scheme == "udp" && len(line) > maxDatagram {
			t.Errorf("a datagram of %d bytes", len(line))
		}
	}
}

func expectVariablesWithoutPower(t *testing.T, n Notice) {
	t.Helper()
	env := certSpotter(n, "/tmp/t", "/tmp/j")
	total := 0
	seen := map[string]bool{}
	for _, v := range env {
		key, value, _ := strings.Cut(v, "=")
		if seen[key] || !regexp.MustCompile(`^[A-Z0-9_]+$`).MatchString(key) || !quiet(value) || strings.ContainsAny(value, "\n\x00") {
			t.Errorf("%.200q", v)
		}
		seen[key] = true
		total += len(v)
	}
	if seen["PATH"] || seen["LD_PRELOAD"] || total > 100_000 {
		t.Errorf("an environment of %d bytes: %.200q", total, env)
	}
}

func TestHostileTextsReachAProgramAsTheyAre(t *testing.T) {
	for name, text := range hostile {
		out := t.TempDir() + "/out"
		e := need(NewExec("hook", []string{os.Args[0]}, &ExecOptions{CertSpotter: true, Env: []string{"NOTIFY_TEST_PROGRAM=record", "GORACE=atexit_sleep_ms=0", "OUT=" + out}, Timeout: time.Minute}))(t)
		if err := e.Send(t.Context(), alarmNotice(t, everywhere(text))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got struct {
			Stdin string
			Env   []string
		}
		if err := json.Unmarshal(need(os.ReadFile(out))(t), &got); err != nil {
			t.Fatal(err)
		}
		env := variables(got.Env)
		if env["PATH"] != os.Getenv("PATH") || env["LD_PRELOAD"] != "" || env["EVENT"] != "discovered_cert" || strings.Count(got.Stdin, "\n") != 1 || !json.Valid([]byte(got.Stdin)) {
			t.Errorf("%s: %.300q", name, got.Env)
		}
	}
}
