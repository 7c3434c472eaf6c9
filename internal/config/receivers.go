package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Receiver is one of those who are told. Exactly one of its kinds is set.
type Receiver struct {
	Name      string
	Place     watch.Place
	Stdout    *Stdout
	Exec      *Exec
	Email     *Email
	Webhook   *Webhook
	Slack     *Slack
	PagerDuty *PagerDuty
	Syslog    *Syslog
	Shoutrrr  *Shoutrrr
}

// Stdout prints to standard output: text, or a JSON object per line.
type Stdout struct{ JSON bool }

// Exec runs a program without a shell, with a JSON object on its standard input.
type Exec struct {
	Command []string
	// Timeout ends the program; 0 when not given.
	Timeout time.Duration
	// CertSpotter adds the environment that hooks of Cert Spotter read.
	CertSpotter bool
}

// Email sends mail through a server.
type Email struct {
	From string
	To   []string
	// Server is host:port. TLS is "starttls", "tls" or "none".
	Server, TLS string
	User        string
	Password    Secret
	// Roots is a file of certificates to trust instead of the system's, "" when not given; so are all of that name.
	Roots   string
	Timeout time.Duration
}

// Webhook posts signed JSON to a URL.
type Webhook struct {
	URL     string
	Secret  Secret
	Roots   string
	Timeout time.Duration
}

// Slack tells a channel: through an incoming webhook, or with a token.
type Slack struct {
	URL, Token Secret
	Channel    string
	// Server is of Mattermost, API the base of Slack's API; "" when not given.
	Server, API string
	Roots       string
	Timeout     time.Duration
}

// PagerDuty raises alerts through the Events API v2.
type PagerDuty struct {
	Key         Secret
	URL, Source string
	Roots       string
	Timeout     time.Duration
}

// Syslog writes lines of RFC 5424.
type Syslog struct {
	Address, Facility string
	JSON              bool
	Roots             string
	Timeout           time.Duration
}

// Shoutrrr tells a service of shoutrrr.
type Shoutrrr struct {
	URL     Secret
	Timeout time.Duration
}

type receiverEntry struct {
	node
	Name      text            `yaml:"name"`
	Stdout    *stdoutEntry    `yaml:"stdout"`
	Exec      *execEntry      `yaml:"exec"`
	Email     *emailEntry     `yaml:"email"`
	Webhook   *webhookEntry   `yaml:"webhook"`
	Slack     *slackEntry     `yaml:"slack"`
	PagerDuty *pagerDutyEntry `yaml:"pagerduty"`
	Syslog    *syslogEntry    `yaml:"syslog"`
	Shoutrrr  *shoutrrrEntry  `yaml:"shoutrrr"`
}

type stdoutEntry struct {
	node
	JSON truth `yaml:"json"`
}

type execEntry struct {
	node
	Command     []text `yaml:"command"`
	Timeout     text   `yaml:"timeout"`
	Environment text   `yaml:"environment"`
}

type emailEntry struct {
	node
	To             []text `yaml:"to"`
	From           text   `yaml:"from"`
	SMTP           text   `yaml:"smtp"`
	TLS            text   `yaml:"tls"`
	AllowPlaintext truth  `yaml:"allow_plaintext"`
	User           text   `yaml:"user"`
	Password       text   `yaml:"password"`
	PasswordFile   text   `yaml:"password_file"`
	CAFile         text   `yaml:"ca_file"`
	Timeout        text   `yaml:"timeout"`
}

type webhookEntry struct {
	node
	URL        text `yaml:"url"`
	Secret     text `yaml:"secret"`
	SecretFile text `yaml:"secret_file"`
	CAFile     text `yaml:"ca_file"`
	Timeout    text `yaml:"timeout"`
}

type slackEntry struct {
	node
	URL       text `yaml:"url"`
	URLFile   text `yaml:"url_file"`
	Token     text `yaml:"token"`
	TokenFile text `yaml:"token_file"`
	Channel   text `yaml:"channel"`
	Server    text `yaml:"server"`
	API       text `yaml:"api"`
	CAFile    text `yaml:"ca_file"`
	Timeout   text `yaml:"timeout"`
}

type pagerDutyEntry struct {
	node
	Key     text `yaml:"key"`
	KeyFile text `yaml:"key_file"`
	URL     text `yaml:"url"`
	Source  text `yaml:"source"`
	CAFile  text `yaml:"ca_file"`
	Timeout text `yaml:"timeout"`
}

type syslogEntry struct {
	node
	Address  text  `yaml:"address"`
	Facility text  `yaml:"facility"`
	JSON     truth `yaml:"json"`
	CAFile   text  `yaml:"ca_file"`
	Timeout  text  `yaml:"timeout"`
}

type shoutrrrEntry struct {
	node
	URL     text `yaml:"url"`
	URLFile text `yaml:"url_file"`
	Timeout text `yaml:"timeout"`
}

// Kind is the key under which the receiver is described, and To where it goes, without anything secret.
func (r Receiver) Kind() (kind, to string) {
	switch {
	case r.Stdout != nil:
		return "stdout", "standard output"
	case r.Exec != nil:
		return "exec", strings.Join(r.Exec.Command, " ")
	case r.Email != nil:
		return "email", strings.Join(r.Email.To, ", ") + " through " + r.Email.Server
	case r.Webhook != nil:
		return "webhook", hostOf(r.Webhook.URL)
	case r.Slack != nil && r.Slack.Token.Given():
		server := r.Slack.Server
		if server == "" {
			server = "Slack"
		}
		return "slack", "channel " + r.Slack.Channel + " of " + server
	case r.Slack != nil:
		return "slack", "an incoming webhook"
	case r.PagerDuty != nil:
		if r.PagerDuty.URL != "" {
			return "pagerduty", hostOf(r.PagerDuty.URL)
		}
		return "pagerduty", "PagerDuty"
	case r.Syslog != nil:
		return "syslog", r.Syslog.Address
	case r.Shoutrrr != nil:
		return "shoutrrr", "a service of shoutrrr"
	}
	return "", ""
}

// hostOf is a URL without its path, which often holds a token.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

const kindsHint = "name one: stdout, exec, email, webhook, slack, pagerduty, syslog or shoutrrr; make two receivers of two"

func (k *checker) receiver(e *receiverEntry, names map[string]mark) {
	r := Receiver{Name: e.Name.Value, Place: k.place(e.At)}
	if r.Name == "" {
		k.refuse(e.At, "a receiver without a name", "give it a name: it is how deliveries are remembered across restarts")
	} else {
		k.unique("receiver", r.Name, e.Name.At, names)
	}
	kinds := 0
	for _, given := range []bool{e.Stdout != nil, e.Exec != nil, e.Email != nil, e.Webhook != nil, e.Slack != nil, e.PagerDuty != nil, e.Syslog != nil, e.Shoutrrr != nil} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		k.refuse(e.At, fmt.Sprintf("a receiver has exactly one kind, not %d", kinds), kindsHint)
	}
	switch {
	case e.Stdout != nil:
		r.Stdout = &Stdout{JSON: yes(e.Stdout.JSON)}
	case e.Exec != nil:
		r.Exec = k.exec(e.Exec)
	case e.Email != nil:
		r.Email = k.email(e.Email)
	case e.Webhook != nil:
		r.Webhook = &Webhook{URL: k.target(e.Webhook.URL, e.Webhook.At, "webhook"), Secret: k.secret(e.Webhook.Secret, e.Webhook.SecretFile, "secret"),
			Roots: k.roots(e.Webhook.CAFile), Timeout: k.timeout(e.Webhook.Timeout)}
	case e.Slack != nil:
		r.Slack = k.slack(e.Slack)
	case e.PagerDuty != nil:
		r.PagerDuty = k.pagerDuty(e.PagerDuty)
	case e.Syslog != nil:
		r.Syslog = k.syslog(e.Syslog)
	case e.Shoutrrr != nil:
		r.Shoutrrr = &Shoutrrr{URL: k.secret(e.Shoutrrr.URL, e.Shoutrrr.URLFile, "url"), Timeout: k.timeout(e.Shoutrrr.Timeout)}
		if !e.Shoutrrr.has("url") && !e.Shoutrrr.has("url_file") {
			k.refuse(e.Shoutrrr.At, "shoutrrr without url_file", "the URL of the service, such as ntfy://host/topic, holds its secrets: write it into a file")
		}
	}
	k.c.Receivers = append(k.c.Receivers, r)
}

func yes(t truth) bool { return t.Value != nil && *t.Value }

func (k *checker) timeout(t text) time.Duration {
	return k.duration(t, "timeout", minTimeout, maxTimeout)
}

// oneOf refuses another word than those.
func (k *checker) oneOf(t text, key string, words ...string) {
	if t.Value == "" || slices.Contains(words, t.Value) {
		return
	}
	hint := "one of: " + strings.Join(words, ", ")
	if m := closest(t.Value, words); m != "" {
		hint = fmt.Sprintf("did you mean %q?", m)
	}
	k.refuse(t.At, fmt.Sprintf("%s is not %q", key, t.Value), hint)
}

// roots resolves the path of certificates to trust.
func (k *checker) roots(t text) string {
	if t.Value == "" {
		return ""
	}
	path := k.abs(t.Value)
	if b, err := os.ReadFile(path); err != nil {
		k.refuse(t.At, fmt.Sprintf("ca_file: %v", err), "name a file with the certificates of the authority, in PEM")
	} else if !strings.Contains(string(b), "-----BEGIN CERTIFICATE-----") {
		k.refuse(t.At, "ca_file has no certificate in PEM", "it begins with -----BEGIN CERTIFICATE-----")
	}
	return path
}

func (k *checker) exec(e *execEntry) *Exec {
	x := &Exec{Timeout: k.timeout(e.Timeout), CertSpotter: e.Environment.Value == "certspotter"}
	k.oneOf(e.Environment, "environment", "certspotter")
	if len(e.Command) == 0 {
		k.refuse(e.At, "exec without a command", "write command: [/path/to/program, argument]")
	}
	for i, t := range e.Command {
		arg := t.Value
		if i == 0 && strings.ContainsRune(arg, '/') {
			arg = k.abs(arg)
		}
		x.Command = append(x.Command, arg)
	}
	if c := e.Command; len(c) == 1 && strings.ContainsAny(c[0].Value, " \t") {
		k.refuse(c[0].At, "the command is one word with space in it: no shell splits it", "write each argument as its own item: ["+strings.Join(strings.Fields(c[0].Value), ", ")+"]")
	}
	return x
}

func (k *checker) email(e *emailEntry) *Email {
	x := &Email{From: e.From.Value, Server: e.SMTP.Value, TLS: e.TLS.Value, User: e.User.Value, Password: k.secret(e.Password, e.PasswordFile, "password"),
		Roots: k.roots(e.CAFile), Timeout: k.timeout(e.Timeout)}
	address := func(t text, key string) string {
		a, err := mail.ParseAddress(t.Value)
		if err != nil || strings.ContainsAny(t.Value, "\r\n") {
			k.refuse(t.At, fmt.Sprintf("%s: %q is no e-mail address", key, t.Value), "such as ct@example.com, or: tocsin <ct@example.com>")
			return t.Value
		}
		return a.Address
	}
	if e.From.Value == "" {
		k.refuse(e.At, "email without from", "write the address of the sender: from: tocsin@example.com")
	} else {
		address(e.From, "from")
	}
	if len(e.To) == 0 {
		k.refuse(e.At, "email to nobody", "write to: [oncall@example.com]")
	}
	seen := make(map[string]bool)
	for _, t := range e.To {
		a := address(t, "to")
		if seen[a] {
			k.refuse(t.At, fmt.Sprintf("the recipient %s again", a), "name each once")
		}
		seen[a] = true
		x.To = append(x.To, t.Value)
	}
	k.oneOf(e.TLS, "tls", "starttls", "tls", "none")
	host := ""
	switch h, port, err := net.SplitHostPort(e.SMTP.Value); {
	case e.SMTP.Value == "":
		k.refuse(e.At, "email without smtp", "write the mail server: smtp: mail.example.com:587")
	case err != nil || h == "" || !isPort(port):
		k.refuse(e.SMTP.At, "smtp is host:port", "such as mail.example.com:587, or 465 with tls: tls")
	default:
		host = h
	}
	if x.TLS == "none" && host != "" && !thisMachine(host) && !yes(e.AllowPlaintext) {
		k.refuse(e.TLS.At, fmt.Sprintf("tls: none, and %s is not this machine: anybody on the way could read, change and swallow alarms", host),
			"remove it, or write allow_plaintext: true if that is meant")
	}
	if x.User != "" && !x.Password.Given() && !e.has("password") {
		k.refuse(e.User.At, "a user without a password", "write password_file: and the path of a file that holds it")
	}
	if x.User == "" && x.Password.Given() {
		k.refuse(e.At, "a password without a user", "write user: and the name to log in with")
	}
	return x
}

func isPort(s string) bool {
	n, err := net.LookupPort("tcp", s)
	return err == nil && n > 0
}

// thisMachine reports whether a host is loopback, without asking anybody.
func thisMachine(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// target checks the URL to which messages are posted.
func (k *checker) target(t text, at mark, kind string) string {
	if t.Value == "" {
		k.refuse(at, kind+" without url", "write the https URL to which messages are posted")
		return ""
	}
	u, err := url.Parse(t.Value)
	switch {
	case err != nil || u.Hostname() == "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		k.refuse(t.At, "url is an https URL without user and fragment", "such as https://hooks.example.com/tocsin")
	case u.Scheme == "http" && !thisMachine(u.Hostname()):
		k.refuse(t.At, fmt.Sprintf("url is http, and %s is not this machine: anybody on the way could read and swallow alarms", u.Hostname()), "write https://")
	}
	return t.Value
}

func (k *checker) slack(e *slackEntry) *Slack {
	x := &Slack{URL: k.secret(e.URL, e.URLFile, "url"), Token: k.secret(e.Token, e.TokenFile, "token"), Channel: e.Channel.Value,
		Roots: k.roots(e.CAFile), Timeout: k.timeout(e.Timeout)}
	hook, token := e.has("url") || e.has("url_file"), e.has("token") || e.has("token_file")
	switch {
	case hook == token:
		k.refuse(e.At, "slack needs either url_file or token_file with channel", "an incoming webhook posts a message each time; with a token, one message per incident is changed")
	case token && e.Channel.Value == "":
		k.refuse(e.At, "slack with a token and without channel", "write the id of the channel: it stands in its details, as C0123456789")
	case hook && (e.Channel.Value != "" || e.Server.Value != "" || e.API.Value != ""):
		k.refuse(e.At, "channel, server and api belong to a token: a webhook has its own channel", "remove them, or give token_file in place of url_file")
	}
	if e.Server.Value != "" {
		x.Server = k.target(e.Server, e.At, "slack")
		if e.API.Value != "" {
			k.refuse(e.API.At, "both server and api", "server is of Mattermost, api of Slack")
		}
	}
	if e.API.Value != "" {
		x.API = k.target(e.API, e.At, "slack")
	}
	return x
}

func (k *checker) pagerDuty(e *pagerDutyEntry) *PagerDuty {
	x := &PagerDuty{Key: k.secret(e.Key, e.KeyFile, "key"), Source: e.Source.Value, Roots: k.roots(e.CAFile), Timeout: k.timeout(e.Timeout)}
	if !e.has("key") && !e.has("key_file") {
		k.refuse(e.At, "pagerduty without key_file", "write the integration key of an Events API v2 integration into a file, and its path here")
	}
	if e.URL.Value != "" {
		x.URL = k.target(e.URL, e.At, "pagerduty")
	}
	return x
}

// facilities are those that a daemon may write to, as syslog.conf names them.
var facilities = []string{"user", "daemon", "auth", "authpriv", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

func (k *checker) syslog(e *syslogEntry) *Syslog {
	x := &Syslog{Address: e.Address.Value, Facility: e.Facility.Value, JSON: yes(e.JSON), Roots: k.roots(e.CAFile), Timeout: k.timeout(e.Timeout)}
	const hint = "udp://host:514, tcp://host:601, tls://host:6514 or unix:///dev/log"
	k.oneOf(e.Facility, "facility", facilities...)
	if e.Address.Value == "" {
		k.refuse(e.At, "syslog without address", hint)
		return x
	}
	u, err := url.Parse(e.Address.Value)
	ok := err == nil && u.User == nil && u.RawQuery == "" && u.Fragment == ""
	switch {
	case !ok:
	case u.Scheme == "unix":
		ok = u.Host == "" && strings.HasPrefix(u.Path, "/")
	case u.Scheme == "udp", u.Scheme == "tcp", u.Scheme == "tls":
		ok = u.Hostname() != "" && isPort(u.Port()) && strings.Trim(u.Path, "/") == ""
	default:
		ok = false
	}
	if !ok {
		k.refuse(e.Address.At, fmt.Sprintf("%q is no address of a syslog collector", e.Address.Value), hint)
	}
	if u != nil && u.Scheme == "udp" && x.JSON {
		k.refuse(e.JSON.At, "json over udp: a datagram is too small for most documents, and one that is cut is no JSON", "use tcp, tls or unix")
	}
	if e.has("ca_file") && (u == nil || u.Scheme != "tls") {
		k.refuse(e.CAFile.At, "ca_file without tls", "write address: tls://host:6514")
	}
	return x
}
