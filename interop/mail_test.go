package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// debian finds a program that Debian has, or skips the test; with CI=true it must be there.
func debian(t testing.TB, what, pkg string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing := fmt.Sprintf("%s is not installed (Debian: apt-get install %s)", names[0], pkg)
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip("needs " + what + ": " + missing)
	return ""
}

// exim is a real mail server that takes mail over TLS from those who log in, and puts it into a folder.
type exim struct {
	addr, mail, roots string
}

const eximConfig = `
primary_hostname = mail.example.com
spool_directory = DIR/spool
log_file_path = DIR/log/%%slog
pid_file_path = DIR/pid
daemon_smtp_ports = PORT
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = DIR/server.pem
tls_privatekey = DIR/server.key
domainlist local_domains = example.com
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
keep_environment =
deliver_drop_privilege
begin acl
rcpt:
  deny !encrypted = *
  deny !authenticated = *
  deny local_parts = gone
       message = no such user
  accept domains = +local_domains
  deny
begin routers
box:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = DIR/mail
  maildir_format
  envelope_to_add
  user = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{tocsin}}{eq{$auth3}{hunter2}}}}
  server_set_id = $auth2
  server_advertise_condition = ${if def:tls_in_cipher}
`

func startExim(t *testing.T) *exim {
	t.Helper()
	binary := debian(t, "a real mail server", "exim4-daemon-light", "exim4", "/usr/sbin/exim4")
	owner, err := user.Lookup("Debian-exim")
	if err != nil || os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("exim delivers as its own user, which takes root to start")
		}
		t.Skip("needs a real mail server, which takes root to start: exim delivers as its own user")
	}
	// Not in the folder of the test, which nobody else may enter.
	dir, err := os.MkdirTemp("", "exim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := freePort(t)
	e := &exim{addr: net.JoinHostPort("localhost", strconv.Itoa(port)), mail: filepath.Join(dir, "mail"), roots: filepath.Join(buildFolder, "authority.pem")}
	writeServer(t, filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"), []string{"localhost"})
	conf := strings.NewReplacer("DIR", dir, "PORT", strconv.Itoa(port), "%%", "%").Replace(eximConfig)
	writeFile(t, filepath.Join(dir, "exim.conf"), []byte(conf))
	if err := os.Chmod(filepath.Join(dir, "exim.conf"), 0o644); err != nil { // it is read again as that user
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	for _, sub := range []string{"spool", "log", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, sub), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"server.pem", "server.key"} {
		if err := os.Chown(filepath.Join(dir, name), uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-C", filepath.Join(dir, "exim.conf"), "-bdf")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log", "mainlog"))
			t.Logf("exim said:\n%s%s", said.Bytes(), log)
		}
	}))
	listens(t, e.addr)
	return e
}

// listens waits until somebody accepts connections at an address.
func listens(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody listens at %s: %v", addr, err)
		}
	}
}

// mailed is a mail as it lies in the folder.
type mailed struct {
	mail.Header
	text, html string
}

// await waits until so many mails were delivered, and returns them by subject.
func (e *exim) await(t *testing.T, n int) map[string]mailed {
	t.Helper()
	var files []string
	for end := time.Now().Add(2 * time.Minute); len(files) < n; time.Sleep(50 * time.Millisecond) {
		files, _ = filepath.Glob(filepath.Join(e.mail, "new", "*"))
		if time.Now().After(end) {
			t.Fatalf("%d of %d mails arrived", len(files), n)
		}
	}
	out := map[string]mailed{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil {
			t.Fatal(err)
		}
		_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		got := mailed{Header: m.Header}
		for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
			p, err := parts.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(quotedprintable.NewReader(p))
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
				got.html = string(body)
			} else {
				got.text = string(body)
			}
		}
		out[subject] = got
	}
	return out
}

// errands is the test binary of package notify, which sends what it is told to through a receiver: this module cannot
// carry what the whole program imports.
var errands = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildFolder, "errands")
	build := exec.Command("go", "test", "-c", "-o", binary, "./internal/notify")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building errands: %w\n%s", err, out)
	}
	return binary, nil
})

// send has messages sent through a receiver, described as errand_test.go of package notify says, and returns what went
// wrong with each.
func send(t *testing.T, receiver string, options map[string]any, messages ...map[string]any) []string {
	t.Helper()
	binary, err := errands()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(map[string]any{receiver: options, "messages": messages})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), "NOTIFY_TEST_PROGRAM=errand")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(doc), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sending: %v", err)
	}
	var said []string
	if err := json.Unmarshal(out, &said); err != nil || len(said) != len(messages) {
		t.Fatalf("sending: %v, %s", err, out)
	}
	return said
}

// taken fails the test unless all was taken.
func taken(t *testing.T, said []string) {
	t.Helper()
	for i, s := range said {
		if s != "" {
			t.Fatalf("message %d: %s", i, s)
		}
	}
}

// options are those with which mail is sent to this server.
func (e *exim) options(to, password string) map[string]any {
	return map[string]any{"from": "tocsin <tocsin@example.com>", "to": []string{to}, "server": e.addr, "user": "tocsin", "password": password, "roots": e.roots}
}

// evil is text as a certificate may hold it.
const evil = "</style><script>document.title='owned'</script><img src=\"http://127.0.0.1:9/x.png\" onerror=\"document.title='owned'\">\r\nBcc: gone@example.com\x1b[31m\u202e"

// incidentOf is a message of an incident with a certificate that names these.
func incidentOf(change, title string, sequence int, names ...string) map[string]any {
	at := time.Now().UTC().Truncate(time.Second)
	var matched []map[string]any
	for _, n := range names {
		matched = append(matched, map[string]any{"watch": "public resolver", "owner": "dns-team", "item": "example.com", "where": "san:dns", "value": n})
	}
	alarm := map[string]any{"kind": "page", "level": "page", "issuance": strings.Repeat("4be1", 16), "at": at, "matched": matched,
		"certificate": map[string]any{"serial": "0badcafe", "subject": "CN=" + names[0], "issuer": "CN=Careless CA", "not_before": at, "not_after": at.AddDate(0, 3, 0), "dns_names": names},
		"issuer":      map[string]any{"name": "CN=Careless CA", "owner": "Careless Trust", "spki": strings.Repeat("ab", 32), "proven": true, "why": "the signature verifies"},
		"key":         map[string]any{"algorithm": "ECDSA P-256", "spki": strings.Repeat("cd", 32)},
		"reasons": []map[string]any{{"rule": "issuers", "text": "\"Careless Trust\" is not among the issuers", "observed": "Careless Trust", "wanted": "digicert.com", "config": "tocsin.yaml:7"},
			{"rule": "max_validity", "text": "valid for 90 days", "held": true}},
		"sightings": []map[string]any{{"log": "Lab log A", "index": 17, "time": at, "precert": true}},
	}
	state := map[string]string{"resolved": "resolved", "acknowledged": "acknowledged"}[change]
	if state == "" {
		state = "notified"
	}
	return map[string]any{"kind": "incident", "incident": map[string]any{"id": fmt.Sprintf("%032x", sequence), "kind": "incident", "incident": "inc-4be1", "sequence": sequence,
		"change": change, "state": state, "level": "page", "title": title, "owner": "dns-team", "group": "example.com", "watches": []string{"public resolver"},
		"opened": at, "updated": at, "certificates_total": 1, "alarms": []any{alarm}, "alarms_total": 1, "next": []string{"tocsin ack inc-4be1"}}}
}

func TestMailGoesThroughARealServerAsAThread(t *testing.T) {
	e := startExim(t)
	taken(t, send(t, "email", e.options("oncall@example.com", "hunter2"),
		incidentOf("opened", "opened: bücher.example.com", 1, "bücher.example.com"), incidentOf("grew", "grew: bücher.example.com", 2, "bücher.example.com"),
		incidentOf("resolved", "resolved: bücher.example.com", 3, "bücher.example.com")))
	taken(t, send(t, "email", e.options("oncall@example.com", "hunter2"), incidentOf("opened", "hostile "+evil, 9, evil)))
	got := e.await(t, 4)
	first := got["PAGE: opened: bücher.example.com"]
	for subject, sequence := range map[string]int{"PAGE: opened: bücher.example.com": 1, "PAGE: grew: bücher.example.com": 2, "RESOLVED: resolved: bücher.example.com": 3} {
		l, ok := got[subject]
		if !ok {
			t.Fatalf("no mail of the subject %q", subject)
		}
		want := first.Get("Message-Id")
		if sequence == 1 {
			want = ""
		}
		if l.Get("Message-Id") != fmt.Sprintf("<%032x@example.com>", sequence) || l.Get("In-Reply-To") != want || l.Get("References") != want {
			t.Errorf("%s: id %s answers %q", subject, l.Get("Message-Id"), l.Get("In-Reply-To"))
		}
		if l.Get("Envelope-To") != "oncall@example.com" || !strings.Contains(l.text, "bücher.example.com") || !strings.Contains(l.html, "bücher.example.com") {
			t.Errorf("%s: to %s\n%s", subject, l.Get("Envelope-To"), l.text)
		}
	}
	for subject, l := range got {
		if len(l.Header["Bcc"]) > 0 || strings.ContainsAny(subject, "\r\n\x1b") {
			t.Errorf("a certificate wrote a header: %q", subject)
		}
	}

	// What a real server refuses is told apart, too.
	test := map[string]any{"kind": "test", "id": "a1"}
	if said := send(t, "email", e.options("gone@example.com", "hunter2"), test)[0]; !strings.Contains(said, "refused until something is changed") || !strings.Contains(said, "no such user") {
		t.Errorf("a recipient that is gone: %q", said)
	}
	if said := send(t, "email", e.options("oncall@example.com", "wrong-wrong"), test)[0]; !strings.Contains(said, "refused until something is changed") || strings.Contains(said, "wrong-wrong") {
		t.Errorf("a wrong password: %q", said)
	}
}
