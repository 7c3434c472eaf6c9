package config

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

// checker turns the file as written into a Config.
type checker struct {
	*decoder
	dir string
	c   *Config
}

func (k *checker) place(at mark) watch.Place { return watch.Place{File: k.path, Line: at.line} }

// abs resolves a path against the directory of the configuration.
func (k *checker) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(k.dir, path)
}

func (k *checker) file(f *file) {
	if len(f.Watch) == 0 {
		k.refuse(f.Written["watch"], "no watch: nothing would match", nothingHint)
	}
	names := make(map[string]mark)
	for i := range f.Watch {
		k.watch(&f.Watch[i], names)
	}
	if f.has("receivers") && len(f.Receivers) == 0 {
		k.refuse(f.Written["receivers"], "receivers is an empty list: nobody would be told", "remove the key to print to standard output, or name a receiver")
	}
	names = make(map[string]mark)
	for i := range f.Receivers {
		k.receiver(&f.Receivers[i], names)
	}
	if f.Logs != nil {
		k.logs(f.Logs)
	}
	if f.Coverage != nil {
		k.coverage(f.Coverage)
	}
	if f.Journal != nil {
		k.journal(f.Journal)
	}
	if f.API != nil {
		k.api(f.API)
	}
	k.routes(f)
	if f.Incidents != nil {
		k.incidents(f.Incidents)
	}
	if f.CAA != nil {
		k.caa(f.CAA)
	}
	if f.Digest != nil {
		k.digestTime(f.Digest)
	}
	if f.Heartbeat != nil {
		k.heartbeat(f.Heartbeat)
	}
	k.contact(f.Contact)
	if f.State.Value != "" {
		k.c.State = k.abs(f.State.Value)
	}
	k.c.Poll = k.duration(f.Poll, "poll", minPoll, maxPoll)
	k.witnesses(f)
	k.rules(f)
}

// Limits of durations; docs/config.md says why.
const (
	minPoll, maxPoll         = 100 * time.Millisecond, time.Hour
	minTimeout, maxTimeout   = time.Second, 10 * time.Minute
	minValidity, maxValidity = time.Hour, 100 * 365 * day
	minRefresh, maxRefresh   = 100 * time.Millisecond, 24 * time.Hour
)

func (k *checker) duration(t text, key string, least, most time.Duration) time.Duration {
	if t.Value == "" {
		return 0
	}
	d, err := ParseDuration(t.Value)
	switch {
	case err != nil:
		k.refuse(t.At, fmt.Sprintf("%s: %v", key, err), "write a number with a unit: 30s, 5m, 12h, 200d")
	case d < least:
		k.refuse(t.At, fmt.Sprintf("%s is less than %v", key, least), "see docs/config.md for what too small does")
	case d > most:
		k.refuse(t.At, fmt.Sprintf("%s is more than %v", key, most), "see docs/config.md for what too large does")
	}
	return d
}

// unique refuses a second entry of the same name.
func (k *checker) unique(what, name string, at mark, seen map[string]mark) {
	if first, dup := seen[name]; dup {
		k.refuse(at, fmt.Sprintf("a second %s named %q (the first is at line %d)", what, name, first.line), "give each its own name")
		return
	}
	seen[name] = at
}

func (k *checker) watch(e *watchEntry, names map[string]mark) {
	w := Watch{Place: k.place(e.At), Surprise: e.Surprise.Value}
	w.Name, w.Owner = e.Name.Value, e.Owner.Value
	k.items(&w, e.Names, e.Written["names"], "names", watch.ParseName)
	k.items(&w, e.Networks, e.Written["networks"], "networks", watch.ParseNetwork)
	n := len(k.c.Watches)
	k.list(n, e.NamesFile, "names_file", watch.ParseName)
	k.list(n, e.NetworksFile, "networks_file", watch.ParseNetwork)
	if !e.has("names") && !e.has("networks") && !e.has("names_file") && !e.has("networks_file") {
		k.refuse(e.At, "this watch has no items: it would match nothing", "give it names, networks, names_file or networks_file")
	}
	k.surprise(e)
	w.Lookalike = e.Lookalike.Value != nil && *e.Lookalike.Value
	if e.Expect != nil {
		w.Expect = k.expect(e.Expect)
		w.Expect.Settle = k.settle(e)
	}
	w.Items = append(w.Items, w.inline...)
	for _, l := range k.c.lists {
		if l.watch == n {
			w.Items = append(w.Items, l.items...)
		}
	}
	if w.Name == "" && len(w.Items) > 0 {
		w.Name = w.Items[0].Text
	}
	at := e.Name.At
	if at == (mark{}) {
		at = e.At
	}
	if w.Name != "" {
		k.unique("watch", w.Name, at, names)
	}
	k.c.Watches = append(k.c.Watches, w)
}

func (k *checker) items(w *Watch, list []text, at mark, key string, parse func(string, watch.Place) (watch.Item, error)) {
	if at != (mark{}) && len(list) == 0 {
		k.refuse(at, key+" is an empty list: it would match nothing", "remove the key, or name what to watch")
	}
	for _, t := range list {
		item, err := parse(t.Value, k.place(t.At))
		var bad *watch.ItemError
		if errors.As(err, &bad) {
			k.refuse(t.At, fmt.Sprintf("%s: %q: %s", key, bad.Text, bad.Problem), bad.HintText)
			continue
		}
		w.inline = append(w.inline, item)
	}
}

func (k *checker) surprise(e *watchEntry) {
	switch s := e.Surprise; s.Value {
	case "", "alarm", "page":
	case "digest":
		if e.has("networks") || e.has("networks_file") {
			k.refuse(s.At, "surprise: digest on a watch with networks: addresses are never set lower than alarm", "write alarm or page, or watch the names apart from the networks")
		}
	default:
		hint := "digest is one mail a day, alarm rings, page rings until acknowledged"
		if m := closest(s.Value, []string{"digest", "alarm", "page"}); m != "" {
			hint = fmt.Sprintf("did you mean %q?", m)
		}
		k.refuse(s.At, fmt.Sprintf("surprise is digest, alarm or page, not %q", s.Value), hint)
	}
}

func (k *checker) expect(e *expectEntry) *Expect {
	if len(e.Written) == 0 {
		k.refuse(e.At, "expect without a condition: every certificate would be expected", "give it issuers, keys or max_validity, or remove it")
	}
	x := &Expect{
		Place:             k.place(e.At),
		Places:            make(map[string]watch.Place),
		MaxValidity:       k.duration(e.MaxValidity, "max_validity", minValidity, maxValidity),
		AllowWildcard:     e.AllowWildcard.Value,
		AllowForeignNames: e.AllowForeignNames.Value,
	}
	for key, at := range e.Written {
		x.Places[key] = k.place(at)
	}
	nobody := func(key string, list []text) {
		if e.has(key) && len(list) == 0 {
			k.refuse(e.Written[key], key+" is an empty list: nothing could fulfil it", "remove the key, or say what is expected")
		}
	}
	nobody("issuers", e.Issuers)
	nobody("keys", e.Keys)
	for _, t := range e.Issuers {
		if pin, ok := strings.CutPrefix(t.Value, "spki:"); ok {
			k.pin(t.At, pin)
		}
		x.Issuers = append(x.Issuers, t.Value)
	}
	for _, t := range e.Keys {
		x.Keys = append(x.Keys, k.key(t))
	}
	return x
}

// key checks one of the own keys and resolves its path.
func (k *checker) key(t text) string {
	if t.Value == "journal" { // whatever the journal holds
		return t.Value
	}
	if pin, ok := strings.CutPrefix(t.Value, "spki:"); ok {
		k.pin(t.At, pin)
		return t.Value
	}
	path, ok := strings.CutPrefix(t.Value, "file:")
	if ok && path != "" {
		return "file:" + k.abs(path)
	}
	hint := "write file: and a path, or spki: and the SHA-256 of the public key in hexadecimal"
	if isPin(t.Value) {
		hint = "did you mean spki:" + t.Value + "?"
	} else if strings.ContainsAny(t.Value, "/.") {
		hint = fmt.Sprintf("did you mean %q?", "file:"+t.Value)
	}
	k.refuse(t.At, fmt.Sprintf("keys: %q is neither spki:… nor file:…", t.Value), hint)
	return t.Value
}

func isPin(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

func (k *checker) pin(at mark, s string) {
	if !isPin(s) {
		k.refuse(at, "spki: is followed by 64 hexadecimal digits", "openssl pkey -pubin -outform DER | sha256sum prints them")
	}
}

func (k *checker) contact(t text) {
	c := t.Value
	if c == "" {
		return
	}
	if len(c) > 200 || strings.ContainsFunc(c, func(r rune) bool { return r < ' ' || r > '~' }) {
		k.refuse(t.At, "contact is at most 200 ASCII characters on one line", "write an e-mail address or URL")
	} else if !strings.ContainsAny(c, "@/") {
		k.refuse(t.At, "contact is neither an e-mail address nor a URL", "log operators write to it when we are a burden: contact: ct@example.com")
	}
	k.c.Contact = c
}

func (k *checker) log(e *logEntry, urls map[string]mark) {
	g := Log{Name: e.Name.Value, Kind: e.Kind.Value, URL: e.URL.Value, MonitoringURL: e.MonitoringURL.Value, Dial: e.Dial.Value, Place: k.place(e.At)}
	switch g.Kind {
	case "static":
		if g.MonitoringURL == "" {
			k.refuse(e.At, "a static log without monitoring_url", "it is read there; url is the submission prefix, which is its origin in checkpoints")
		}
	case "rfc6962":
		if g.MonitoringURL != "" {
			k.refuse(e.MonitoringURL.At, "monitoring_url is for static logs", "an RFC 6962 log is read at its url")
		}
	case "":
		k.refuse(e.At, "a log without kind", "write kind: rfc6962 or kind: static")
	default:
		k.refuse(e.Kind.At, fmt.Sprintf("kind is rfc6962 or static, not %q", g.Kind), "static is the tiled kind of log (static-ct-api), as Sunlight and TesseraCT serve it")
	}
	if g.URL == "" {
		k.refuse(e.At, "a log without url", "write the submission prefix: https://ct.example.com/2026h1/")
	} else {
		k.url(e.URL, "url")
		k.unique("log", strings.TrimSuffix(g.URL, "/"), e.URL.At, urls)
	}
	if g.MonitoringURL != "" {
		k.url(e.MonitoringURL, "monitoring_url")
	}
	if e.Key.Value == "" {
		k.refuse(e.At, "a log without key", "nothing it says could be verified: key is its public key in base64, as in log lists")
	} else if der, err := publicKey(e.Key.Value); err != nil {
		k.refuse(e.Key.At, fmt.Sprintf("key: %v", err), "write the base64 of the DER SubjectPublicKeyInfo on one line, as in log lists")
	} else {
		g.Key = der
	}
	if g.Dial != "" {
		k.dial(e.Dial)
	}
	k.c.Logs.Add = append(k.c.Logs.Add, g)
}

func publicKey(s string) ([]byte, error) {
	var der []byte
	if block, _ := pem.Decode([]byte(s)); block != nil {
		der = block.Bytes
	} else {
		var err error
		if der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), "")); err != nil {
			return nil, errors.New("not base64")
		}
	}
	if _, err := x509.ParsePKIXPublicKey(der); err != nil {
		return nil, errors.New("not a public key (SubjectPublicKeyInfo)")
	}
	return der, nil
}

func (k *checker) url(t text, key string) {
	u, err := url.Parse(t.Value)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		k.refuse(t.At, fmt.Sprintf("%s is an http or https URL without user, query and fragment", key), "such as https://ct.example.com/2026h1/")
	}
}

func (k *checker) dial(t text) {
	hostport := t.Value
	if strings.Contains(hostport, "://") {
		u, err := url.Parse(hostport)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			k.refuse(t.At, "dial is host:port, or an http or https URL without a path", "such as 127.0.0.1:8080 or http://127.0.0.1:8080")
		}
		return
	}
	host, port, err := net.SplitHostPort(hostport)
	if _, bad := net.LookupPort("tcp", port); err != nil || bad != nil || host == "" {
		k.refuse(t.At, "dial is host:port, or an http or https URL without a path", "such as 127.0.0.1:8080 or [2001:db8::1]:443")
	}
}
