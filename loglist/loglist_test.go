package loglist

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shared finds the folder of shared data beside the repository, or skips.
func shared(t testing.TB) string {
	if dir := os.Getenv("TOCSIN_SHARED"); dir != "" {
		return dir
	}
	dir, _ := os.Getwd()
	for ; ; dir = filepath.Dir(dir) {
		if s := filepath.Join(dir, "shared"); isDir(filepath.Join(s, "data")) {
			return s
		}
		if dir == filepath.Dir(dir) {
			t.Skip("the shared data folder is not beside this repository; real lists are not tested here")
		}
	}
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func TestRealListsLoadWithoutLoss(t *testing.T) {
	dir := filepath.Join(shared(t), "data", "loglists")
	for _, tc := range []struct {
		file, version string
		want          map[string]int
		followed      int
	}{
		{"google-all_logs_list-2026-08-21.json", "", map[string]int{
			"static none": 32, "rfc6962 usable": 21, "static usable": 16, "static pending": 16, "rfc6962 rejected": 9, "rfc6962 none": 7,
			"static qualified": 6, "static rejected": 5, "rfc6962 retired": 3, "rfc6962 readonly": 2}, 45},
		{"google-log_list-85.108-2026-06-14.json", "85.108", map[string]int{
			"rfc6962 usable": 27, "static usable": 21, "rfc6962 readonly": 4, "rfc6962 retired": 4}, 52},
		{"apple-current_log_list-v511-2026-04-01.json", "511", map[string]int{
			"rfc6962 rejected": 102, "rfc6962 usable": 27, "rfc6962 readonly": 6, "static usable": 24, "static rejected": 6, "static pending": 1}, 57},
		{"signed-2025-05-23/log_list.json", "54.12", map[string]int{
			"rfc6962 usable": 33, "rfc6962 qualified": 5, "rfc6962 retired": 3, "rfc6962 readonly": 1}, 39},
	} {
		t.Run(tc.file, func(t *testing.T) {
			l, err := Load(context.Background(), filepath.Join(dir, tc.file), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, g := range l.Logs {
				got[fmt.Sprintf("%s %s", g.Kind, g.State)]++
				if g.State == ReadOnly && (g.Final == nil || g.Final.Size == 0) {
					t.Errorf("%s: read-only without its final head", g.Name())
				}
				if g.MMD == 0 || g.Operator == "" || g.Description == "" {
					t.Errorf("%s: MMD %v, operator %q, description %q", g.Origin(), g.MMD, g.Operator, g.Description)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("logs by kind and state (-want +got):\n%s", d)
			}
			if l.Version != tc.version {
				t.Errorf("version %q, want %q", l.Version, tc.version)
			}
			for _, r := range l.Reports {
				t.Errorf("a list without faults gave a report: %s", r)
			}
			if n := len(l.Followed()); n != tc.followed {
				t.Errorf("%d logs followed, want %d", n, tc.followed)
			}
			if n := len(l.Followed()) + len(l.Skipped()); n != len(l.Logs) {
				t.Errorf("%d logs followed or skipped of %d", n, len(l.Logs))
			}
			for _, s := range l.Skipped() {
				if s.Reason == "" {
					t.Errorf("%s skipped without a reason", s.Log.Name())
				}
			}
			again, err := Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Parse(again)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(l.Logs, back.Logs); d != "" {
				t.Errorf("written and read again (-want +got):\n%s", d)
			}
		})
	}
}

func newKey(t testing.TB) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func identity(t testing.TB) string {
	key := newKey(t)
	id := sha256.Sum256(key)
	return fmt.Sprintf(`"log_id":%q,"key":%q`, base64.StdEncoding.EncodeToString(id[:]), base64.StdEncoding.EncodeToString(key))
}

func TestOneBadLogLosesNoOther(t *testing.T) {
	good := func() string {
		return `{` + identity(t) + `,"url":"https://good.example.com/log/","state":{"usable":{}}}`
	}
	twice := identity(t)
	for name, tc := range map[string]struct{ log, want string }{
		"log_id of another key": {`{"log_id":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",` + identity(t)[strings.Index(identity(t), `"key"`):] +
			`,"url":"https://a.example.com/"}`, "not the SHA-256 of the key"},
		"no key":              {`{"url":"https://a.example.com/"}`, "no key"},
		"key that is no key":  {`{"key":"AAAA","url":"https://a.example.com/"}`, "no public key"},
		"key not base64":      {`{"key":"!","url":"https://a.example.com/"}`, "not base64"},
		"key is a number":     {`{"key":7,"url":"https://a.example.com/"}`, "key is not text"},
		"no URL":              {`{` + identity(t) + `}`, "submission URL: none given"},
		"URL of another kind": {`{` + identity(t) + `,"url":"ftp://a.example.com/"}`, "neither https nor http"},
		"URL with a user":     {`{` + identity(t) + `,"url":"https://u:p@a.example.com/"}`, "has a user"},
		"dial with a path":    {`{` + identity(t) + `,"url":"https://a.example.com/","tocsin_dial":"http://192.0.2.1:80/x"}`, "neither host:port"},
		"a string":            {`"log"`, "not an object"},
		"null":                {`null`, "not an object"},
		"twice": {`{` + twice + `,"url":"https://a.example.com/","state":{"retired":{}}},{` + twice +
			`,"url":"https://b.example.com/"}`, "same log_id"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Parse([]byte(`{"operators":[{"name":"Example","logs":[` + good() + `,` + tc.log + `,` + good() + `]}]}`))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(l.Followed()); n != 2 {
				t.Errorf("%d good logs, want 2", n)
			}
			refused := 0
			for _, r := range l.Reports {
				if r.Refused {
					refused++
					if !strings.Contains(r.Text, tc.want) || !strings.Contains(r.Where, "logs[") {
						t.Errorf("report %q does not say %q", r, tc.want)
					}
				}
			}
			if refused != 1 {
				t.Errorf("%d logs refused, want 1: %v", refused, l.Reports)
			}
		})
	}
}

// D11: empty `logs` beside entries in `tiled_logs`, a retired placeholder, an unknown state, an unknown field.
func TestOddListsAreReadAndReported(t *testing.T) {
	list := `{"version":93,"shiny":true,"operators":[
	 {"name":"Tiles only","logs":[],"tiled_logs":[{` + identity(t) + `,"submission_url":"https://log.example.com/2027","monitoring_url":"https://mon.example.com/2027","mmd":60,
	   "state":{"usable":{"timestamp":"2026-01-02T03:04:05Z"}},"temporal_interval":{"start_inclusive":"2027-01-01T00:00:00Z","end_exclusive":"2028-01-01T00:00:00Z"},"novel":1,"tocsin_dial":"127.0.0.1:8080"}]},
	 {"name":"Placeholder","logs":[{` + identity(t) + `,"url":"https://ct.example.com/bogus/","state":{"retired":{}}}],"tiled_logs":null},
	 {"name":"New state","logs":[{` + identity(t) + `,"url":"https://c.example.com/","state":{"frozen":{}}}]},
	 {"name":"Broken details","logs":[{` + identity(t) + `,"url":"https://d.example.com/","mmd":"day","state":{"usable":{"timestamp":"soon"}},"temporal_interval":[]}]},
	 {"name":"Two states","logs":[{` + identity(t) + `,"url":"https://e.example.com/","state":{"retired":{},"usable":{}}}]},
	 {"name":"No logs at all"}, {"name":"Wrong type","logs":{}}, 7]}`
	l, err := Parse([]byte(list))
	if err != nil {
		t.Fatal(err)
	}
	if l.Version != "93" || len(l.Logs) != 5 {
		t.Fatalf("version %q, %d logs", l.Version, len(l.Logs))
	}
	got := l.Logs[0]
	got.Key, got.ID = nil, [32]byte{}
	want := Log{Kind: Static, Operator: "Tiles only", URL: "https://log.example.com/2027/", MonitoringURL: "https://mon.example.com/2027/", MMD: time.Minute,
		State: Usable, StateSince: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Dial: "127.0.0.1:8080",
		Interval: &Interval{time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("static log (-want +got):\n%s", d)
	}
	if o := got.Origin(); o != "log.example.com/2027" {
		t.Errorf("origin %q", o)
	}
	var reports []string
	for _, r := range l.Reports {
		reports = append(reports, r.String())
	}
	all := strings.Join(reports, "\n")
	for _, want := range []string{`unknown state "frozen"`, `field "novel" of a log, once`, `field "shiny" of the list`, "mmd is not", "state timestamp is not a time",
		"temporal_interval is not", "2 states at once; taken as usable", "logs is not an array", "operators[7]: refused: not an object"} {
		if !strings.Contains(all, want) {
			t.Errorf("no report says %q:\n%s", want, all)
		}
	}
	var skipped []string
	for _, s := range l.Skipped() {
		skipped = append(skipped, s.Log.Operator+": "+s.Reason)
	}
	if d := cmp.Diff([]string{"Placeholder: state retired: a placeholder, not a log", "New state: state frozen: unknown state"}, skipped); d != "" {
		t.Errorf("skipped (-want +got):\n%s", d)
	}
}

func TestHostileTextsAreDisarmed(t *testing.T) {
	l, err := Parse([]byte(`{"operators":[{"name":"a\u001b[31m\u202eb` + strings.Repeat("x", 1000) + `","logs":[{` + identity(t) + `,"url":"https://a.example.com/"}]}]}`))
	if err != nil || len(l.Logs) != 1 {
		t.Fatal(err, l)
	}
	if op := l.Logs[0].Operator; len(op) > maxText || strings.ContainsAny(op, "\x1b\u202e") {
		t.Errorf("operator %q", op)
	}
}

func TestLoadIsBounded(t *testing.T) {
	served := strings.Repeat(" ", maxList+1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			http.Error(w, "gone", http.StatusGone)
		case "/big":
			_, _ = w.Write([]byte(served))
		default:
			_, _ = w.Write([]byte(`{"operators":[]}`))
		}
	}))
	defer srv.Close()
	for path, want := range map[string]string{"/gone": "410 Gone", "/big": "larger than 16 MiB", "/list.json": ""} {
		_, err := Load(context.Background(), srv.URL+path, srv.Client())
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := Load(context.Background(), filepath.Join(t.TempDir(), "none.json"), nil); err == nil {
		t.Error("a file that does not exist was loaded")
	}
}

func TestSingleLogsByHand(t *testing.T) {
	der := newKey(t)
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, key := range map[string][]byte{"DER": der, "base64": []byte(base64.StdEncoding.EncodeToString(der) + "\n"), "PEM": pemKey} {
		g, err := FromKey(Static, "https://log.example.com/x", "", key, "http://127.0.0.1:6962")
		if err != nil || !bytes.Equal(g.Key, der) || g.ID != sha256.Sum256(der) || g.MonitoringURL != "https://log.example.com/x/" || g.State != Usable {
			t.Errorf("key as %s: %+v, %v", name, g, err)
		}
	}
	for _, dial := range []string{"127.0.0.1", "127.0.0.1:0", "127.0.0.1:http", ":80", "http://a/b:80", "ssh://a:22", "a b:80"} {
		if _, err := FromKey(RFC6962, "https://log.example.com/", "", der, dial); err == nil {
			t.Errorf("dial address %q accepted", dial)
		}
	}
	for _, dial := range []string{"127.0.0.1:80", "[::1]:80", "http://127.0.0.1", "https://[2001:db8::1]:8443/", "lab.example.com:80"} {
		if _, err := FromKey(RFC6962, "https://log.example.com/", "", der, dial); err != nil {
			t.Errorf("dial address %q: %v", dial, err)
		}
	}
}

func FuzzListParse(f *testing.F) {
	f.Add([]byte(`{"version":1,"operators":[{"name":"x","logs":[{` + identity(f) + `,"url":"https://a.example.com/","state":{"readonly":{"final_tree_head":{"tree_size":1,"sha256_root_hash":"AA=="}}}}],"tiled_logs":null}]}`))
	f.Add([]byte(`{"operators":[{"tiled_logs":[{` + identity(f) + `,"submission_url":"http://a","mmd":-1,"state":{"a":1,"b":2},"temporal_interval":{"start_inclusive":"0000-01-01T00:00:00Z"}}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		out, err := Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(l.Logs, again.Logs); d != "" {
			t.Errorf("written and read again (-want +got):\n%s", d)
		}
	})
}
