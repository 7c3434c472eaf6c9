package interop_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// endpoint is a receiver of webhooks that shares no code with ours: it verifies as docs/output.md says, refuses what it
// cannot verify, and prints what it made of each request.
const endpoint = `
import hashlib, hmac, http.server, json, ssl, sys, time
secret = b"the secret of interop"
seen = set()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        at, signature, key = self.headers["Tocsin-Timestamp"], self.headers["Tocsin-Signature"], self.headers["Idempotency-Key"]
        want = "v1=" + hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        ok = hmac.compare_digest(want, signature or "") and abs(time.time() - int(at)) < 300
        doc = json.loads(body)
        repeat = key in seen
        seen.add(key)
        self.send_response(204 if ok else 401)
        self.end_headers()
        print(json.dumps({"ok": ok, "repeat": repeat, "id": doc["id"], "key": key, "kind": doc["kind"], "test": doc["test"], "title": doc["title"]}), flush=True)
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
`

// received is what the endpoint made of a request.
type received struct {
	OK, Repeat, Test     bool
	ID, Key, Kind, Title string
}

// startEndpoint returns the URL of the endpoint and a function that reads the next request.
func startEndpoint(t *testing.T) (url string, next func() received) {
	t.Helper()
	python := debian(t, "another implementation of HMAC", "python3", "python3")
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	writeServer(t, certificate, key, []string{"localhost"})
	cmd := exec.Command(python, "-c", endpoint, certificate, key)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(out)
	line := func() string {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the endpoint ended: %v", lines.Err())
		}
		return lines.Text()
	}
	url = "https://localhost:" + line() + "/tocsin"
	return url, func() (r received) {
		t.Helper()
		if err := json.Unmarshal([]byte(line()), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func TestWebhookIsVerifiedByAnotherProgram(t *testing.T) {
	url, next := startEndpoint(t)
	options := map[string]any{"url": url, "secret": "the secret of interop", "roots": filepath.Join(buildFolder, "authority.pem")}
	n := incidentOf("opened", "hostile "+evil, 1, evil)
	taken(t, send(t, "webhook", options, n, n))
	id := fmt.Sprintf("%032x", 1)
	for _, repeat := range []bool{false, true} {
		if got := next(); !got.OK || got.Repeat != repeat || got.ID != id || got.Key != id || got.Kind != "incident" || strings.ContainsAny(got.Title, "\r\n\x1b") {
			t.Errorf("%+v", got)
		}
	}
	options["secret"] = "another secret"
	if said := send(t, "webhook", options, n)[0]; !strings.Contains(said, "401") {
		t.Errorf("a wrong signature: %q", said)
	}
	if got := next(); got.OK {
		t.Error("the endpoint took a wrong signature")
	}
}

func TestReceiversTestGoesToRealServers(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program itself: left out in short mode")
	}
	url, next := startEndpoint(t)
	e := startExim(t)
	binary := buildTocsin(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "hook"), []byte("the secret of interop\n"))
	writeFile(t, filepath.Join(dir, "password"), []byte("hunter2\n"))
	writeFile(t, filepath.Join(dir, "tocsin.yaml"), fmt.Appendf(nil, `watch: [{names: [example.com]}]
receivers:
  - {name: hook, webhook: {url: %q, secret_file: hook, ca_file: %q}}
  - {name: mail, email: {to: [oncall@example.com], from: tocsin@example.com, smtp: %q, user: tocsin, password_file: password, ca_file: %q}}
`, url, e.roots, e.addr, e.roots))
	for _, name := range []string{"hook", "mail"} {
		cmd := exec.Command(binary, "receivers", "test", name, "--config", filepath.Join(dir, "tocsin.yaml"))
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), name+" took the test message") {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	if got := next(); !got.OK || !got.Test || got.Kind != "test" {
		t.Errorf("%+v", got)
	}
	for subject := range e.await(t, 1) {
		if subject != "TEST: tocsin was asked to try this receiver; nothing has happened" {
			t.Errorf("subject %q", subject)
		}
	}
}
