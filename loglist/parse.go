package loglist

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxText bounds texts of a list that are kept; maxReports bounds how much a hostile list can make us say.
const (
	maxText    = 200
	maxReports = 1000
)

type fields = map[string]json.RawMessage

// Parse reads a list. It fails only when the bytes are no list at all; what is wrong with single logs is in Reports.
func Parse(b []byte) (*List, error) {
	var top fields
	if err := json.Unmarshal(b, &top); err != nil {
		return nil, fmt.Errorf("reading log list: %w", err)
	}
	var operators []json.RawMessage
	if raw, ok := top["operators"]; !ok {
		return nil, errors.New("reading log list: no field \"operators\"")
	} else if err := json.Unmarshal(raw, &operators); err != nil {
		return nil, fmt.Errorf("reading log list: operators: %w", err)
	}
	p := parser{list: new(List), unknown: map[string]int{}, seen: map[[32]byte]string{}}
	p.unknownFields("the list", top, "operators", "version", "log_list_timestamp", "is_all_logs", "$schema", "assetVersion", "assetVersionV2")
	p.list.Version = p.version(top["version"])
	if raw, ok := present(top, "log_list_timestamp"); ok {
		p.list.Timestamp = p.time("the list", "log_list_timestamp", raw)
	}
	for i, raw := range operators {
		p.operator(i, raw)
	}
	for _, what := range slices.Sorted(maps.Keys(p.unknown)) {
		p.report(Report{Where: "the list", Text: fmt.Sprintf("%s, %s, not understood and ignored", what, times(p.unknown[what]))})
	}
	return p.list, nil
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

type parser struct {
	list    *List
	unknown map[string]int      // what was not understood, and how often
	seen    map[[32]byte]string // log ids and where they stand
}

func (p *parser) report(r Report) {
	if len(p.list.Reports) < maxReports {
		p.list.Reports = append(p.list.Reports, r)
	}
}

func (p *parser) note(where, format string, args ...any) {
	p.report(Report{Where: where, Text: clean(fmt.Sprintf(format, args...))})
}

func (p *parser) refuse(where, format string, args ...any) {
	p.report(Report{Where: where, Text: clean("refused: " + fmt.Sprintf(format, args...)), Refused: true})
}

func (p *parser) unknownFields(of string, f fields, known ...string) {
	for name := range f {
		if !slices.Contains(known, name) && len(p.unknown) < maxReports {
			p.unknown[fmt.Sprintf("field %q of %s", clean(name), of)]++
		}
	}
}

// version takes a string or a number.
func (p *parser) version(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return clean(s)
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return clean(n.String())
	}
	p.note("the list", "version is neither text nor a number")
	return ""
}

func (p *parser) operator(i int, raw json.RawMessage) {
	where := fmt.Sprintf("operators[%d]", i)
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil || f == nil {
		p.refuse(where, "not an object")
		return
	}
	name := p.text(where, f, "name")
	if name != "" {
		where = fmt.Sprintf("operator %q", name)
	}
	p.unknownFields("an operator", f, "name", "email", "logs", "tiled_logs")
	for _, part := range []struct {
		field string
		kind  Kind
	}{{"logs", RFC6962}, {"tiled_logs", Static}} {
		raw, ok := present(f, part.field)
		if !ok {
			continue
		}
		var logs []json.RawMessage
		if err := json.Unmarshal(raw, &logs); err != nil {
			p.refuse(where, "%s is not an array", part.field)
			continue
		}
		for i, raw := range logs {
			p.log(fmt.Sprintf("%s, %s[%d]", where, part.field, i), name, part.kind, raw)
		}
	}
}

func (p *parser) log(where, operator string, kind Kind, raw json.RawMessage) {
	var f fields
	if err := json.Unmarshal(raw, &f); err != nil || f == nil {
		p.refuse(where, "not an object")
		return
	}
	g := Log{Kind: kind, Operator: operator, Description: p.text(where, f, "description")}
	if g.Description != "" {
		where += fmt.Sprintf(" %q", g.Description)
	}
	p.unknownFields("a log", f, "description", "log_id", "key", "url", "submission_url", "monitoring_url", "mmd", "state",
		"temporal_interval", "log_type", "tls_only", "dns", "previous_operators", "tocsin_dial")

	// What identifies the log, verifies it and says where it is must be right.
	if err := g.identity(f); err != nil {
		p.refuse(where, "%v", err)
		return
	}
	if _, ok := present(f, "log_id"); !ok {
		p.note(where, "no log_id; taken from the key")
	}
	if first, dup := p.seen[g.ID]; dup {
		p.refuse(where, "same log_id as %s", first)
		return
	}
	p.seen[g.ID] = where

	// The rest is reported when wrong, and the log is kept.
	g.Type = p.text(where, f, "log_type")
	if raw, ok := present(f, "mmd"); ok {
		var seconds uint32
		if err := json.Unmarshal(raw, &seconds); err != nil {
			p.note(where, "mmd is not a number of seconds")
		}
		g.MMD = time.Duration(seconds) * time.Second
	}
	p.state(where, &g, f["state"])
	if raw, ok := present(f, "temporal_interval"); ok {
		var iv struct {
			Start json.RawMessage `json:"start_inclusive"`
			End   json.RawMessage `json:"end_exclusive"`
		}
		if err := json.Unmarshal(raw, &iv); err != nil {
			p.note(where, "temporal_interval is not an object")
		} else {
			g.Interval = &Interval{p.time(where, "start_inclusive", iv.Start), p.time(where, "end_exclusive", iv.End)}
		}
	}
	p.list.Logs = append(p.list.Logs, g)
}

// identity reads key, log_id and addresses.
func (g *Log) identity(f fields) (err error) {
	str := func(name string) (s string) {
		if raw, ok := present(f, name); ok && err == nil {
			if json.Unmarshal(raw, &s) != nil {
				err = fmt.Errorf("%s is not text", name)
			}
		}
		return s
	}
	key, id, dial := str("key"), str("log_id"), str("tocsin_dial")
	submission, monitoring := str("url"), ""
	if g.Kind == Static {
		submission, monitoring = str("submission_url"), str("monitoring_url")
	}
	if err != nil {
		return err
	}
	if key == "" {
		return errors.New("no key")
	}
	der, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return errors.New("key is not base64")
	}
	if err := g.complete(submission, monitoring, der, dial); err != nil {
		return err
	}
	if id != "" && id != g.IDText() {
		return fmt.Errorf("log_id %q is not the SHA-256 of the key, %s", clean(id), g.IDText())
	}
	return nil
}

// complete checks and sets what every log must have.
func (g *Log) complete(submission, monitoring string, der []byte, dial string) (err error) {
	if _, err := x509.ParsePKIXPublicKey(der); err != nil {
		return errors.New("key is no public key")
	}
	g.Key, g.ID = der, sha256.Sum256(der)
	if g.URL, err = checkURL(submission); err != nil {
		return fmt.Errorf("submission URL: %w", err)
	}
	g.MonitoringURL = g.URL
	if g.Kind == Static && monitoring != "" {
		if g.MonitoringURL, err = checkURL(monitoring); err != nil {
			return fmt.Errorf("monitoring URL: %w", err)
		}
	}
	if g.Dial, err = checkDial(dial); err != nil {
		return fmt.Errorf("address to dial: %w", err)
	}
	return nil
}

func (p *parser) state(where string, g *Log, raw json.RawMessage) {
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	var states map[string]json.RawMessage
	if err := json.Unmarshal(raw, &states); err != nil {
		p.note(where, "state is not an object")
		return
	}
	// One state is the rule. Of several the one that makes us read more counts.
	rank := []State{Usable, Qualified, ReadOnly, Pending, Retired, Rejected}
	names := slices.SortedFunc(maps.Keys(states), func(a, b string) int {
		i, j := slices.Index(rank, State(a)), slices.Index(rank, State(b))
		if (i < 0) != (j < 0) {
			return j - i
		}
		if i != j {
			return i - j
		}
		return strings.Compare(a, b)
	})
	if len(names) == 0 {
		return
	}
	if len(names) > 1 {
		p.note(where, "%d states at once; taken as %s", len(names), names[0])
	}
	g.State = State(clean(names[0]))
	if !g.State.known() {
		p.note(where, "unknown state %q", g.State)
	}
	var detail struct {
		Timestamp json.RawMessage `json:"timestamp"`
		Final     *struct {
			Size uint64 `json:"tree_size"`
			Root []byte `json:"sha256_root_hash"`
		} `json:"final_tree_head"`
	}
	if err := json.Unmarshal(states[names[0]], &detail); err != nil {
		p.note(where, "details of state %s not understood", g.State)
		return
	}
	g.StateSince = p.time(where, "state timestamp", detail.Timestamp)
	if detail.Final != nil {
		if len(detail.Final.Root) != 32 {
			p.note(where, "final_tree_head has a root of %d bytes", len(detail.Final.Root))
			return
		}
		g.Final = &TreeHead{Size: detail.Final.Size, Root: [32]byte(detail.Final.Root)}
	}
}

func (p *parser) text(where string, f fields, name string) (s string) {
	if raw, ok := present(f, name); ok && json.Unmarshal(raw, &s) != nil {
		p.note(where, "%s is not text", name)
	}
	return clean(s)
}

func (p *parser) time(where, name string, raw json.RawMessage) time.Time {
	if len(raw) == 0 || string(raw) == "null" {
		return time.Time{}
	}
	var t time.Time
	if err := json.Unmarshal(raw, &t); err != nil {
		p.note(where, "%s is not a time", name)
		return time.Time{}
	}
	return t.UTC()
}

func present(f fields, name string) (json.RawMessage, bool) {
	raw, ok := f[name]
	return raw, ok && string(raw) != "null"
}

// clean makes a text from outside fit for a terminal: one line, bounded, no control or direction characters.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '\uFFFD'
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText-3], "") + "…"
	}
	return s
}

func checkURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return "", errors.New("none given")
	case err != nil || len(s) > 2*maxText || clean(s) != s && len(s) <= maxText:
		return "", errors.New("not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("neither https nor http")
	case u.Hostname() == "":
		return "", errors.New("no host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("has a user, a query or a fragment")
	}
	return strings.TrimRight(s, "/") + "/", nil
}

func checkDial(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	hostport := s
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		hostport = strings.TrimSuffix(rest, "/")
		if scheme != "http" && scheme != "https" {
			return "", errors.New("neither https nor http")
		}
		if _, port, err := net.SplitHostPort(hostport); err != nil || port == "" {
			hostport = net.JoinHostPort(strings.Trim(hostport, "[]"), map[string]string{"http": "80", "https": "443"}[scheme])
		}
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil || host == "" || strings.ContainsAny(hostport, "/?#@ ") || clean(s) != s {
		return "", fmt.Errorf("%q is neither host:port nor a URL without a path", clean(s))
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("%q has no port from 1 to 65535", clean(s))
	}
	return s, nil
}

// FromKey returns a single log that no list has, in state usable. The key is the public key as DER, as base64 of
// that, or as PEM. The monitoring URL is only for static logs; "" means the same as url. Dial is as in [Log].
func FromKey(kind Kind, url, monitoringURL string, key []byte, dial string) (Log, error) {
	if kind != RFC6962 && kind != Static {
		return Log{}, errors.New("adding log: unknown kind of log")
	}
	der := key
	if block, _ := pem.Decode(key); block != nil {
		der = block.Bytes
	} else if d, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(key))); err == nil {
		der = d
	}
	g := Log{Kind: kind, State: Usable}
	if err := g.complete(url, monitoringURL, der, dial); err != nil {
		return Log{}, fmt.Errorf("adding log %s: %w", clean(url), err)
	}
	return g, nil
}
