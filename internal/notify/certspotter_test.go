package notify

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func variables(env []string) map[string]string {
	out := map[string]string{}
	for _, e := range env {
		key, value, _ := strings.Cut(e, "=")
		out[key] = value
	}
	return out
}

func TestHooksOfCertSpotterFindWhatTheyRead(t *testing.T) {
	a := example()
	a.Precert, a.Certificate.SHA256 = false, strings.Repeat("7c", 32)
	n := alarmNotice(t, a)
	got := variables(certSpotter(n, "/tmp/t", "/tmp/j"))
	want := map[string]string{
		"EVENT": "discovered_cert", "SUMMARY": "ALARM: 192.0.2.1 (and 1 more) is named in a certificate by Drill", "WATCH_ITEM": "192.0.2.0/24",
		"LOG_URI": "Lab A", "ENTRY_INDEX": "17", "TBS_SHA256": strings.Repeat("4be1", 16), "CERT_SHA256": strings.Repeat("7c", 32), "FINGERPRINT": strings.Repeat("7c", 32),
		"PUBKEY_SHA256": "bb", "PUBKEY_HASH": "bb", "CERT_TYPE": "cert", "CERT_PARSEABLE": "yes", "TEXT_FILENAME": "/tmp/t", "JSON_FILENAME": "/tmp/j",
		"DNS_NAMES": "bücher.example.com,a.example.org", "IP_ADDRESSES": "192.0.2.1", "SUBJECT_DN": "CN=test", "ISSUER_DN": "CN=Drill CA 2", "SERIAL": "0badcafe",
		"NOT_BEFORE": "2025-05-16 20:41:07 +0000 UTC", "NOT_BEFORE_UNIXTIME": "1747428067", "NOT_BEFORE_RFC3339": "2025-05-16T20:41:07Z",
		"NOT_AFTER": "2026-05-16 20:41:07 +0000 UTC", "NOT_AFTER_UNIXTIME": "1778964067", "NOT_AFTER_RFC3339": "2026-05-16T20:41:07Z",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, row := range map[string]struct {
		n     Notice
		event string
	}{
		"blindness is an error":            {Notice{ID: "1", Kind: "blind", Payload: []byte(`{"health":{"code":"blind"}}`), Text: "BLIND"}, "error"},
		"a fault of a log is an error":     {Notice{ID: "1", Kind: "fault", Payload: []byte(`{}`), Text: "fault"}, "error"},
		"a daily notice is no event of it": {Notice{ID: "1", Kind: "coverage", Payload: []byte(`{}`), Text: "covered"}, "tocsin_coverage"},
		"nor is a test":                    {Test("1", time.Now()), "tocsin_test"},
	} {
		if got := variables(certSpotter(row.n, "", ""))["EVENT"]; got != row.event {
			t.Errorf("%s: EVENT is %q", name, got)
		}
	}
}

func TestAHookOfCertSpotterRunsUnchanged(t *testing.T) {
	out := t.TempDir() + "/out"
	e := need(NewExec("hook", []string{os.Args[0]}, &ExecOptions{CertSpotter: true, Env: []string{"NOTIFY_TEST_PROGRAM=hook", "OUT=" + out}}))(t)
	if err := e.Send(t.Context(), alarmNotice(t, example())); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Text string
		JSON map[string]any
		Env  []string
	}
	if err := json.Unmarshal(need(os.ReadFile(out))(t), &got); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.Text, "ALARM  192.0.2.1") {
		t.Errorf("TEXT_FILENAME has %q", got.Text)
	}
	wantJSON := map[string]any{"tbs_sha256": strings.Repeat("4be1", 16), "cert_sha256": nil, "pubkey_sha256": "bb", "issuer_der": nil, "subject_der": nil,
		"dns_names": []any{"bücher.example.com", "a.example.org"}, "ip_addresses": []any{"192.0.2.1"}, "not_before": "2025-05-16T20:41:07Z",
		"not_after": "2026-05-16T20:41:07Z", "serial_number": "0badcafe"}
	if d := cmp.Diff(wantJSON, got.JSON); d != "" {
		t.Error("JSON_FILENAME:", d)
	}
	env := variables(got.Env)
	if !slices.Contains(got.Env, "CERT_TYPE=precert") || !slices.Contains(got.Env, "CERT_SHA256=") {
		t.Errorf("%v", got.Env)
	}
	for _, file := range []string{env["TEXT_FILENAME"], env["JSON_FILENAME"]} {
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", file, err)
		}
	}
}
