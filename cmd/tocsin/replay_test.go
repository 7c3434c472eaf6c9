package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// printed runs a command in this process and returns what it printed.
func printed(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := (&process{ctx: t.Context(), stdout: &out, stderr: &errs}).run(args); code != want {
		t.Fatalf("tocsin %s: status %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func TestPolicyReplaySaysWhatWouldHaveRung(t *testing.T) {
	dir := t.TempDir()
	config, state := filepath.Join(dir, "tocsin.yaml"), filepath.Join(dir, "state.db")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte("state: "+state+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("watch: [{name: web, owner: web-team, names: [example.com]}]\n")
	cfg, err := loadConfig(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	st, _, err := stations(cfg)
	if err != nil {
		t.Fatal(err)
	}
	root := need(ca.NewRoot("Careless Root CA", nil))(t)
	s := need(store.Open(state, nil))(t)
	for n, age := range []time.Duration{40 * 24 * time.Hour, 2 * time.Hour} {
		i := need(root.Issue(ca.Leaf{DNS: []string{string(rune('a'+n)) + ".example.com"}, From: time.Now().Add(-age)}))(t)
		sub := app.Subject{Bytes: i.TBS, Precert: true, IssuerKeyHash: i.IssuerKeyHash(), Chain: append([][]byte{i.Precert}, i.Chain...)}
		if err := s.Commit(t.Context(), store.Commit{LogID: [32]byte{1}, LogName: "log", Cursor: []byte("{}"), Filings: []store.Filing{{Issuance: store.Issuance{
			ID: st.Read(sub).ID, FirstSeen: time.Now().Add(-age), Cert: sub.Bytes, Precert: true, IssuerKeyHash: sub.IssuerKeyHash, Chain: sub.Chain,
		}}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	replayed := func(args ...string) policyReplayed {
		t.Helper()
		var out policyReplayed
		text, _ := printed(t, exitQuiet, append([]string{"policy", "replay", "--json", "--config", config}, args...)...)
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := replayed(); out.Certificates != 1 || out.Levels["digest"] != 1 || out.Rings != 0 {
		t.Errorf("a watch that expects nothing: %+v", out.Outcome)
	}
	write("watch: [{name: web, owner: web-team, names: [example.com], surprise: alarm}]\n")
	if out := replayed(); out.Certificates != 1 || out.Rings != 1 || out.Messages != 1 {
		t.Errorf("a louder one: %+v", out.Outcome)
	}
	if out := replayed("--since", "50d"); out.Certificates != 2 || out.Rings != 2 {
		t.Errorf("of a longer time: %+v", out.Outcome)
	}
	text, _ := printed(t, exitQuiet, "policy", "replay", "--config", config)
	for _, want := range []string{"1 certificate would have rung in 1 message", "nothing-expected-name", "next: tocsin explain "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	for _, since := range []string{"tomorrow", "2999-01-01", "-3d"} {
		if _, said := printed(t, exitUsage, "policy", "replay", "--config", config, "--since="+since); !strings.Contains(said, "--since") {
			t.Errorf("--since %s: %s", since, said)
		}
	}
}

func TestADrillOfAYearPrintsWhatItFound(t *testing.T) {
	text, _ := printed(t, exitQuiet, "drill", "--scenario", aYear, "--every", "60", "--seed", "5", "--json")
	var out yearOutcome
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	if !out.OK || out.RogueRung != 12 || out.Rogues != 12 || out.FalseRings > 2 || out.Seeds != 1 || len(out.Years) != 1 || out.Years[0].Seed != 5 {
		t.Errorf("%s", text)
	}
}
