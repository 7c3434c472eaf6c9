package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

func TestJournalAndAPIAreRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.yaml")
	if err := os.WriteFile(path, []byte(`watch:
  - names: [example.com]
    networks: [192.0.2.0/24]
    expect: {issuers: [ca.example], settle: 0s}
  - names: [example.org]
    expect: {issuers: [ca.example]}
journal:
  directories:
    - {path: /etc/letsencrypt, layout: certbot}
    - {path: certs}
  endpoints: [www.example.com, "[2001:db8::1]:8443"]
  probe: 1d
api:
  listen: "[::1]:8631"
  cert_file: api.pem
  key_file: /etc/api.key
`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	at := func(line int) watch.Place { return watch.Place{File: path, Line: line} }
	want := Journal{Given: true, PositiveControl: true, Probe: 24 * time.Hour, Endpoints: []string{"www.example.com:443", "[2001:db8::1]:8443"}, Directories: []JournalDirectory{
		{Path: "/etc/letsencrypt", Layout: "certbot", Place: at(9)}, {Path: filepath.Join(dir, "certs"), Layout: "auto", Place: at(10)}}}
	if diff := cmp.Diff(want, c.Journal); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(API{Listen: "[::1]:8631", Cert: filepath.Join(dir, "api.pem"), Key: "/etc/api.key"}, c.API); diff != "" {
		t.Errorf("api (-want +got):\n%s", diff)
	}
	if s := c.Watches[0].Expect.Settle; s == nil || *s != 0 || c.Watches[1].Expect.Settle != nil {
		t.Errorf("settle %v and %v", s, c.Watches[1].Expect.Settle)
	}
}

func TestTheLayoutsAreThoseOfTheJournal(t *testing.T) {
	if diff := cmp.Diff(journal.Layouts(), Layouts); diff != "" {
		t.Error(diff)
	}
}
