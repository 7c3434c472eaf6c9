package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const mailWith = `watch: [{names: [example.com]}]
receivers:
  - name: mail
    email: {to: [a@example.com], from: b@example.com, smtp: "mail.example.com:587", user: b, %s}
`

func TestSecretsAreReadWhereTheyAreAndShownNowhere(t *testing.T) {
	path := write(t, fmt.Sprintf(mailWith, "password_file: secret"), map[string]string{"secret": "hunter2 hunter2\r\n"})
	c, err := Load(path)
	if err != nil {
		t.Fatal(printed(err))
	}
	s := c.Receivers[0].Email.Password
	if got, err := s.Value(); got != "hunter2 hunter2" || err != nil {
		t.Errorf("Value() = %q, %v", got, err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("receiver", "r", c.Receivers[0], "password", s)
	shown := log.String() + fmt.Sprintf("%v %+v %#v %s %q", c, *c.Receivers[0].Email, c.Receivers[0].Email, s, s)
	if doc, err := json.Marshal(c.Receivers); err == nil {
		shown += string(doc)
	}
	if strings.Contains(shown, "hunter2") {
		t.Error("the password is shown:", shown)
	}
	// A new password needs no restart.
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "secret"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Value(); got != "new" || err != nil {
		t.Errorf("Value() after a change = %q, %v", got, err)
	}
	for name, content := range map[string]string{"empty": "\n", "two lines": "one\ntwo\n", "too large": strings.Repeat("x", maxSecret+1)} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "secret"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Value(); err == nil || strings.Contains(err.Error(), "one") || strings.Contains(err.Error(), "xx") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestASecretMayComeFromTheEnvironment(t *testing.T) {
	c, err := Load(write(t, fmt.Sprintf(mailWith, `password: "${env:TOCSIN_TEST_PASSWORD}"`), nil))
	if err != nil {
		t.Fatal(printed(err))
	}
	s := c.Receivers[0].Email.Password
	if _, err := s.Value(); err == nil || !strings.Contains(err.Error(), "TOCSIN_TEST_PASSWORD") {
		t.Errorf("a variable that is not set: %v", err)
	}
	t.Setenv("TOCSIN_TEST_PASSWORD", "from the environment")
	if got, err := s.Value(); got != "from the environment" || err != nil {
		t.Errorf("Value() = %q, %v", got, err)
	}
}

func TestALineWithASecretIsShownWithoutIt(t *testing.T) {
	for line, want := range map[string]string{
		`password: hunter2`:                           `password: *******`,
		`{user: b, pasword: "hunter2", to: [x]}`:      `{user: b, pasword: *********, to: [x]}`,
		`  api-token: abc def`:                        `  api-token: *******`,
		`password_file: secrets/mail`:                 `password_file: secrets/mail`,
		`{secret: "${env:HOOK}", url: "https://a/"}`:  `{secret: "${env:HOOK}", url: "https://a/"}`,
		`keys: ["file:keys/"], key: MFkwEwYHKoZIzj0C`: `keys: ["file:keys/"], key: MFkwEwYHKoZIzj0C`,
	} {
		if got := masked(line); got != want {
			t.Errorf("masked(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestEveryKindOfReceiverIsInTheConfig(t *testing.T) {
	path := write(t, `watch: [{names: [example.com]}]
receivers:
  - {name: hook, exec: {command: [hook], environment: certspotter}}
  - {name: mail, email: {to: [a@example.com, B <b@example.com>], from: c@example.com, smtp: "[::1]:25", tls: none, user: u, password_file: key, ca_file: ca, timeout: 5s}}
  - {name: far mail, email: {to: [a@example.com], from: c@example.com, smtp: "mail.example.com:25", tls: none, allow_plaintext: true}}
  - {name: web, webhook: {url: "http://127.0.0.1:8080/x", secret_file: key}}
  - {name: slack, slack: {url_file: key}}
  - {name: mattermost, slack: {token_file: key, channel: abc, server: "https://mm.example.com"}}
  - {name: pager, pagerduty: {key_file: key, url: "https://events.example.com", source: here}}
  - {name: siem, syslog: {address: "unix:///dev/log", facility: authpriv, json: true}}
  - {name: phone, shoutrrr: {url_file: key}}
`, map[string]string{"key": "k", "ca": "-----BEGIN CERTIFICATE-----\n"})
	c, err := Load(path)
	if err != nil {
		t.Fatal(printed(err))
	}
	var kinds []string
	for _, r := range c.Receivers {
		kind, to := r.Kind()
		kinds = append(kinds, kind+": "+strings.ReplaceAll(to, filepath.Dir(path), ""))
	}
	want := []string{"exec: hook", "email: a@example.com, B <b@example.com> through [::1]:25", "email: a@example.com through mail.example.com:25", "webhook: http://127.0.0.1:8080",
		"slack: an incoming webhook", "slack: channel abc of https://mm.example.com", "pagerduty: https://events.example.com", "syslog: unix:///dev/log", "shoutrrr: a service of shoutrrr"}
	if strings.Join(kinds, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(kinds, "\n"))
	}
	if r := c.Receivers; !r[0].Exec.CertSpotter || r[1].Email.TLS != "none" || r[1].Email.Timeout == 0 || r[5].Slack.Server == "" || r[6].PagerDuty.Source != "here" || !r[7].Syslog.JSON {
		t.Errorf("%+v", r)
	}
}
