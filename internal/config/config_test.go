package config

import (
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

var update = flag.Bool("update", false, "write the expected texts anew")

// printed is what a command says about an error, each mistake with its hint.
func printed(err error) string {
	var b strings.Builder
	var walk func(error)
	walk = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				walk(e)
			}
			return
		}
		b.WriteString(err.Error() + "\n")
		var hinted interface{ Hint() string }
		if errors.As(err, &hinted) && hinted.Hint() != "" {
			b.WriteString("hint: " + hinted.Hint() + "\n")
		}
	}
	walk(err)
	return filepath.ToSlash(b.String())
}

func TestMistakesAreRefusedWithPlaceAndHint(t *testing.T) {
	t.Chdir("testdata")
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			golden := strings.TrimSuffix(name, ".yaml") + ".txt"
			c, err := Load(name)
			if err == nil {
				t.Fatalf("loads: %+v", c)
			}
			got := printed(err)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !strings.Contains(got, "hint: ") {
				t.Error("no hint")
			}
			if strings.ContainsRune(got, '\x1b') {
				t.Error("an escape sequence is printed")
			}
		})
	}
}

// write makes a configuration, with other files beside it, and returns its path.
func write(t *testing.T, text string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "tocsin.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const testKey = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="

func TestEverythingGivenIsInTheConfig(t *testing.T) {
	path := write(t, `# comment
watch:
  - name: public resolver   # comment
    owner: dns-team
    networks: [192.0.2.1, 198.51.100.0/24, "2001:db8::/32"]

    # comment between
    names:
      - example.com
      - =www.example.org
    names_file: names.txt
    networks_file: networks.txt
    expect:
      issuers: [ca.example, "spki:`+strings.Repeat("9f", 32)+`"]
      keys: ["file:keys/", "file:/etc/keys", "spki:`+strings.Repeat("AB", 32)+`"]
      # comment
      max_validity: 200d12h
      allow_wildcard: false
      allow_foreign_names: true
    surprise: page
  - names: [example.net]
receivers:
  - {name: out, stdout: {json: true}}
  - {name: text, stdout: {}}
  - {name: page, exec: {command: [./page, "a b"], timeout: 20s}}
logs:
  lists:
    - {source: lists/all.json, signature_key: "file:publisher.pem"}
    - source: https://lists.example.com/log_list.json
      signature_key: `+testKey+`
    - {source: "https://lists.example.org/current.json"}
  refresh: 1h
  add:
    - {name: ours, kind: static, url: "https://ct.example.com/2026h1/", monitoring_url: "https://mon.example.com/2026h1/", key: `+testKey+`, dial: "127.0.0.1:8080"}
    - {kind: rfc6962, url: "http://ct.example.org/log", key: `+testKey+`, dial: "http://127.0.0.1:8081"}
contact: ct@example.com
state: state.db
poll: 500ms
`, map[string]string{"publisher.pem": "-----BEGIN PUBLIC KEY-----\n" + testKey + "\n-----END PUBLIC KEY-----\n", "names.txt": "# ours\nexample.edu\n", "networks.txt": "203.0.113.0/24 # new\n"})
	got, err := Load(path)
	if err != nil {
		t.Fatal(printed(err))
	}
	dir := filepath.Dir(path)
	at := func(line int) watch.Place { return watch.Place{File: path, Line: line} }
	var items []string
	for _, item := range got.Watches[0].Items {
		items = append(items, item.Text+" "+strings.TrimPrefix(item.Place.String(), dir+string(filepath.Separator)))
	}
	wantItems := []string{
		"example.com tocsin.yaml:9", "=www.example.org tocsin.yaml:10",
		"192.0.2.1 tocsin.yaml:5", "198.51.100.0/24 tocsin.yaml:5", "2001:db8::/32 tocsin.yaml:5",
		"example.edu names.txt:2", "203.0.113.0/24 networks.txt:1",
	}
	if diff := cmp.Diff(wantItems, items); diff != "" {
		t.Errorf("items (-want +got)\n%s", diff)
	}
	no, yes := false, true
	der, _ := base64.StdEncoding.DecodeString(testKey)
	wantExpect := &Expect{
		Issuers:           []string{"ca.example", "spki:" + strings.Repeat("9f", 32)},
		Keys:              []string{"file:" + filepath.Join(dir, "keys"), "file:/etc/keys", "spki:" + strings.Repeat("AB", 32)},
		MaxValidity:       200*24*time.Hour + 12*time.Hour,
		AllowWildcard:     &no,
		AllowForeignNames: &yes,
		Place:             at(14),
		Places: map[string]watch.Place{
			"issuers": at(14), "keys": at(15), "max_validity": at(17), "allow_wildcard": at(18), "allow_foreign_names": at(19),
		},
	}
	w := got.Watches[0]
	if diff := cmp.Diff(wantExpect, w.Expect); diff != "" {
		t.Errorf("expect (-want +got)\n%s", diff)
	}
	if w.Name != "public resolver" || w.Owner != "dns-team" || w.Surprise != "page" || w.Place != at(3) {
		t.Errorf("watch %q of %q, surprise %q, at %v", w.Name, w.Owner, w.Surprise, w.Place)
	}
	if w := got.Watches[1]; w.Name != "example.net" || w.Surprise != "" || w.Expect != nil {
		t.Errorf("a watch with nothing but names: %+v", w)
	}
	wantReceivers := []Receiver{
		{Name: "out", Place: at(23), Stdout: &Stdout{JSON: true}},
		{Name: "text", Place: at(24), Stdout: &Stdout{}},
		{Name: "page", Place: at(25), Exec: &Exec{Command: []string{filepath.Join(dir, "page"), "a b"}, Timeout: 20 * time.Second}},
	}
	if diff := cmp.Diff(wantReceivers, got.Receivers); diff != "" {
		t.Errorf("receivers (-want +got)\n%s", diff)
	}
	wantLogs := Logs{Refresh: time.Hour, Lists: []List{
		{Source: filepath.Join(dir, "lists", "all.json"), SignatureKey: der, Place: at(28)},
		{Source: "https://lists.example.com/log_list.json", SignatureKey: der, Place: at(29)},
		{Source: "https://lists.example.org/current.json", Place: at(31)},
	}, Add: []Log{
		{Name: "ours", Kind: "static", URL: "https://ct.example.com/2026h1/", MonitoringURL: "https://mon.example.com/2026h1/", Key: der, Dial: "127.0.0.1:8080", Place: at(34)},
		{Kind: "rfc6962", URL: "http://ct.example.org/log", Key: der, Dial: "http://127.0.0.1:8081", Place: at(35)},
	}}
	if diff := cmp.Diff(wantLogs, got.Logs); diff != "" {
		t.Errorf("logs (-want +got)\n%s", diff)
	}
	if got.Contact != "ct@example.com" || got.State != filepath.Join(dir, "state.db") || got.Poll != 500*time.Millisecond {
		t.Errorf("contact %q, state %q, poll %v", got.Contact, got.State, got.Poll)
	}
}

func TestOneListIsWrittenShort(t *testing.T) {
	for text, want := range map[string]Logs{
		"logs: {list: none, add: [{kind: rfc6962, url: \"https://ct.example.org/log\", key: " + testKey + "}]}": {None: true},
		"logs: {list: \"https://lists.example.com/l.json\"}":                                                    {Lists: []List{{Source: "https://lists.example.com/l.json"}}},
		"logs: {list: \"https://lists.example.com/l.json\", signature_key: " + testKey + "}":                    {Lists: []List{{Source: "https://lists.example.com/l.json", SignatureKey: []byte("given")}}},
		"logs: {refresh: 2h}": {Refresh: 2 * time.Hour},
	} {
		c, err := Load(write(t, "watch: [{names: [example.com]}]\n"+text+"\n", nil))
		if err != nil {
			t.Errorf("%s: %s", text, printed(err))
			continue
		}
		got := c.Logs
		got.Add = nil
		for i := range got.Lists {
			if got.Lists[i].Place = (watch.Place{}); got.Lists[i].SignatureKey != nil {
				got.Lists[i].SignatureKey = []byte("given")
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", text, diff)
		}
	}
}

func TestTheExampleLoadsAndUsesEveryKey(t *testing.T) {
	path := filepath.Join("..", "..", "examples", "tocsin.yaml")
	c, err := Load(path)
	if err != nil {
		t.Fatal(printed(err))
	}
	if len(c.Watches) == 0 || len(c.Receivers) == 0 || len(c.Logs.Add) == 0 {
		t.Errorf("the example is not complete: %+v", c)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range Keys() {
		if last := key[strings.LastIndexByte(key, '.')+1:] + ":"; !strings.Contains(string(text), last) {
			t.Errorf("the example does not show %s", key)
		}
	}
}

func TestKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "config.md"))
	if err != nil {
		t.Fatal(err)
	}
	keys := Keys()
	if len(keys) < 30 || keys[0] != "watch" {
		t.Fatalf("Keys() = %q", keys)
	}
	for _, key := range keys {
		if !strings.Contains(string(text), "`"+key+"`") {
			t.Errorf("docs/config.md does not name `%s`", key)
		}
	}
}

func TestDurationsHaveDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"200d": 200 * day, "1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "500ms": 500 * time.Millisecond} {
		if got, err := ParseDuration(text); got != want || err != nil {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "200", "-1d", "1d-1h", "0s", "0d", "1e9d", "1dd", "9999999999d", "NaNd", "infd", "1 d", "200days"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range append(files, "../../examples/tocsin.yaml") {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(string(text))
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		// No file of the machine is read: names of bulk lists lead nowhere.
		if strings.Contains(text, "_file") {
			t.Skip()
		}
		c, err := parse(filepath.Join(dir, "tocsin.yaml"), []byte(text))
		if err == nil && len(c.Watches) == 0 {
			t.Fatal("a configuration that would match nothing was taken")
		}
	})
}
