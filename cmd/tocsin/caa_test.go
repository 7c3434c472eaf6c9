package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/facts/caa"
)

func TestTheDocumentedCAAChangeIsWhatReceiversGet(t *testing.T) {
	text := string(need(os.ReadFile(filepath.Join("..", "..", "docs", "caa.md")))(t))
	_, doc, ok := strings.Cut(text, "<!-- caa-change -->\n```json\n")
	doc, _, ok2 := strings.Cut(doc, "\n```")
	if !ok || !ok2 {
		t.Fatal("docs/caa.md has no example")
	}
	var m app.CAAMessage
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	var said, printed any
	if err := json.Unmarshal([]byte(doc), &said); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(need(json.Marshal(m))(t), &printed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printed, said); diff != "" {
		t.Errorf("(-printed +documented)\n%s", diff)
	}
}

func TestTheHistoryOfCAAIsShownWithoutWhatATerminalWouldObey(t *testing.T) {
	at := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	hostile := "\x1b[2J\u202eevil"
	all := []app.CAAHistory{{Name: "example.com" + hostile, Spans: []app.CAASpan{
		{First: at, Last: at.Add(time.Hour), Known: true, Records: []caa.Record{{Tag: "issue", Value: "ca.example; accounturi=https://ca.example/7"}}, DNSSEC: caa.Secure, Claimed: true},
		{First: at.Add(2 * time.Hour), Last: at.Add(3 * time.Hour), Why: "127.0.0.1:53: no answer in time" + hostile},
		{First: at.Add(4 * time.Hour), Last: at.Add(5 * time.Hour), Known: true, Via: []string{"caa.example.net" + hostile}, DNSSEC: caa.Insecure, Changed: []string{"all CAA records are gone" + hostile}},
		{First: at.Add(5 * time.Hour), Last: at.Add(6 * time.Hour), Known: true, Records: []caa.Record{{Flags: 128, Tag: "tbs" + hostile, Value: hostile}}, DNSSEC: caa.Unknown},
	}}}
	var b bytes.Buffer
	caaText(&b, all)
	got := b.String()
	if strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("%q", got)
	}
	for _, want := range []string{
		"2026-11-28T08:00:00Z to 2026-11-28T09:00:00Z  0 issue \"ca.example; accounturi=https://ca.example/7\"", "secure, as a resolver on the network claims",
		"unknown: 127.0.0.1:53: no answer in time", "no records", "by the aliases caa.example.net", "DNSSEC: insecure", "changed: all CAA records are gone",
		"DNSSEC: unknown: the resolver is not known to validate", "not verifiable from CT", "addresses have no CAA records", "next: tocsin explain",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}
