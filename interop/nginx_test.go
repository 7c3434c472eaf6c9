package interop_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// tlsAuthority signs the certificates of the servers in these tests. Every verification in this process, and in the
// programs that it starts, trusts it: Go reads SSL_CERT_FILE.
var tlsAuthority *ca

// buildFolder is removed when all tests have run.
var buildFolder string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "interop-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		buildFolder = dir
		tlsAuthority = newRoot(fatal{}, "Root of the servers")
		file := filepath.Join(dir, "authority.pem")
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tlsAuthority.cert.Raw})
		if err := os.WriteFile(file, text, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		os.Setenv("SSL_CERT_FILE", file)
		// Tests that run side by side mostly wait, for logs to publish and for tailers to try again.
		flag.Parse()
		if err := flag.Set("test.parallel", "8"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// fatal is for what is made before any test runs.
type fatal struct{ testing.TB }

func (fatal) Helper() {}
func (fatal) Fatal(args ...any) {
	panic(fmt.Sprint(args...))
}
func (fatal) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// nginx is a real nginx before real logs, with all its files in a folder of its own.
type nginx struct {
	t    testing.TB
	dir  string
	port int
	tls  bool

	binary string
	// stop ends the server that runs; it may be called again.
	stop func()
}

// nginxBinary finds nginx, or skips the test; with CI=true it must be there.
func nginxBinary(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "nginx is not installed (Debian: apt-get install nginx-light)"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip("needs a real nginx before the logs: " + missing)
	return ""
}

// front is how nginx is set up before the logs.
type front struct {
	// http goes into the http block, server into the server block, location into the location block of all that
	// monitors read.
	http, server, location string
	// tls serves HTTP/2 over TLS in place of HTTP/1.1.
	tls bool
}

// startNginx puts nginx before the logs, which it tells apart by their hosts, until the end of the test.
func startNginx(t testing.TB, f front, logs ...*reallogs.Log) *nginx {
	t.Helper()
	binary := nginxBinary(t)
	n := &nginx{t: t, dir: t.TempDir(), port: freePort(t), tls: f.tls, binary: binary}
	user := ""
	if os.Getuid() == 0 {
		user = "user root root;" // it would serve as somebody who cannot read this folder
	}
	var backends, hosts []string
	for _, l := range logs {
		host := readHost(l)
		hosts = append(hosts, host)
		backends = append(backends, fmt.Sprintf("%s %s;", host, l.Addr))
	}
	listen := fmt.Sprintf("listen 127.0.0.1:%d;", n.port)
	if f.tls {
		certificate, key := filepath.Join(n.dir, "server.pem"), filepath.Join(n.dir, "server.key")
		writeServer(t, certificate, key, hosts)
		listen = fmt.Sprintf("listen 127.0.0.1:%d ssl http2; ssl_certificate %s; ssl_certificate_key %s;", n.port, certificate, key)
	}
	config := fmt.Sprintf(`%s
daemon off;
worker_processes 1;
pid %[2]s/nginx.pid;
error_log %[2]s/error.log info;
events { worker_connections 256; }
http {
	log_format counted '$msec $status $server_protocol $connection $http_host $request_uri $upstream_cache_status $sent_http_content_encoding "$http_user_agent"';
	access_log %[2]s/access.log counted;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	proxy_cache_path %[2]s/cache keys_zone=answers:1m;
	map $http_host $log { %[3]s }
	%[4]s
	server {
		%[5]s
		%[7]s
		location / {
			proxy_pass http://$log;
			proxy_set_header Host $http_host;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			%[6]s
		}
	}
}
`, user, n.dir, strings.Join(backends, " "), f.http, listen, f.location, f.server)
	writeFile(t, filepath.Join(n.dir, "nginx.conf"), []byte(config))
	n.start()
	t.Cleanup(func() { n.stop() })
	return n
}

// readHost is the host at which monitors read the log.
func readHost(l *reallogs.Log) string {
	url := l.URL
	if l.Kind == reallogs.Static {
		url = l.MonitoringURL
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return host
}

// dial is what stands in the list of logs for those behind this nginx.
func (n *nginx) dial() string {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port))
	if n.tls {
		return "https://" + addr
	}
	return addr
}

// start returns when nginx listens.
func (n *nginx) start() {
	n.t.Helper()
	cmd := exec.Command(n.binary, "-e", filepath.Join(n.dir, "error.log"), "-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"))
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		n.t.Fatalf("starting nginx: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	n.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // the master ends its workers; an error says that it is gone
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			n.t.Errorf("nginx does not end:\n%s", n.errors())
			_ = cmd.Process.Kill()
		}
	})
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)))
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case err := <-ended:
			n.stop = func() {}
			n.t.Fatalf("nginx ended at once: %v\n%s\n%s", err, said.String(), n.errors())
		case <-ctx.Done():
			n.t.Fatalf("nginx does not listen: %v\n%s", err, n.errors())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// errors is the error log of nginx.
func (n *nginx) errors() string {
	text, err := os.ReadFile(filepath.Join(n.dir, "error.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// hit is one request as nginx logged it.
type hit struct {
	agent                      string
	at                         time.Time
	status                     int
	protocol, connection, host string
	path, cached, encoding     string
}

// hits are all requests so far, in order. Nginx logs a request when it has answered it.
func (n *nginx) hits() []hit {
	n.t.Helper()
	f, err := os.Open(filepath.Join(n.dir, "access.log"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	var hits []hit
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var h hit
		var at float64
		if _, err := fmt.Sscan(lines.Text(), &at, &h.status, &h.protocol, &h.connection, &h.host, &h.path, &h.cached, &h.encoding); err != nil {
			continue // of the connection that asked whether it listens
		}
		_, h.agent, _ = strings.Cut(lines.Text(), `"`)
		h.at = time.UnixMicro(int64(at * 1e6))
		hits = append(hits, h)
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return a.at.Compare(b.at) })
	return hits
}

// refused is how many of the requests were not answered with what was asked for.
func refused(hits []hit) (n int) {
	for _, h := range hits {
		if h.status == 429 || h.status >= 500 {
			n++
		}
	}
	return n
}

// of are the requests to the log.
func of(l *reallogs.Log, hits []hit) []hit {
	return slices.DeleteFunc(slices.Clone(hits), func(h hit) bool { return h.host != readHost(l) })
}

// busiest is the largest number of requests in any second.
func busiest(hits []hit) (most int) {
	from := 0
	for i := range hits {
		for hits[i].at.Sub(hits[from].at) >= time.Second {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// writeServer writes a certificate of tlsAuthority for the hosts, and its key.
func writeServer(t testing.TB, certificate, key string, hosts []string) {
	t.Helper()
	private := ecdsaKey(t)
	der := tlsAuthority.issue(t, leafFor(t, hosts), private.Public())
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}
