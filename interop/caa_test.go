package interop_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/facts/caa"
)

// zones are a root and what is beneath it, all served by one bind9.
type zones struct {
	t    *testing.T
	dir  string
	port int
	// anchor is the key of the root.
	anchor string
	named  *server
}

// server is a program that runs until it is stopped.
type server struct {
	stop func()
	out  *safeText
}

// safeText collects what a program says.
type safeText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func startServer(t *testing.T, binary string, args ...string) *server {
	t.Helper()
	s := &server{out: &safeText{}}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Errorf("%s does not end:\n%s", binary, s.out)
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	t.Cleanup(s.stop)
	return s
}

const soa = `$TTL 60
@ IN SOA ns.signed.test. admin.signed.test. %d 3600 600 86400 1
@ IN NS ns.signed.test.
`

// sign signs a zone with a key of its own, and returns its DS record.
func (z *zones) sign(name, text string) (ds string) {
	z.t.Helper()
	keygen := debian(z.t, "keys for zones", "bind9-utils", "dnssec-keygen")
	signzone := debian(z.t, "signed zones", "bind9-utils", "dnssec-signzone")
	dir := filepath.Join(z.dir, "of-"+name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		z.t.Fatal(err)
	}
	run := func(binary string, args ...string) string {
		cmd := exec.Command(binary, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			z.t.Fatalf("%s: %v\n%s", binary, err, out)
		}
		return string(out)
	}
	keys, err := filepath.Glob(filepath.Join(dir, "K*.key"))
	if err != nil {
		z.t.Fatal(err)
	}
	if len(keys) == 0 {
		run(keygen, "-K", dir, "-a", "ECDSAP256SHA256", "-f", "KSK", name)
		if keys, err = filepath.Glob(filepath.Join(dir, "K*.key")); err != nil || len(keys) != 1 {
			z.t.Fatalf("%v, %v", keys, err)
		}
	}
	key, err := os.ReadFile(keys[0])
	if err != nil {
		z.t.Fatal(err)
	}
	writeFile(z.t, filepath.Join(dir, "zone"), []byte(text+string(key)))
	run(signzone, "-z", "-K", dir, "-o", name, "-f", filepath.Join(z.dir, "zone-"+name), "-N", "keep", filepath.Join(dir, "zone"))
	if name == "." {
		z.anchor = string(key)
		return ""
	}
	set, err := os.ReadFile(filepath.Join(dir, "dsset-"+name))
	if err != nil {
		z.t.Fatal(err)
	}
	return string(set)
}

func (z *zones) write(name, text string) {
	writeFile(z.t, filepath.Join(z.dir, "zone-"+name), []byte(text))
}

// signedZone is signed.test with the given record of its own.
func signedZone(serial int, record string) string {
	return fmt.Sprintf(soa, serial) + record + `
ns IN A 127.0.0.1
www IN A 192.0.2.1
alias IN CNAME caa.plain.test.
inner IN CNAME www
wild IN CAA 0 issue "ca1.example.net"
wild IN CAA 0 issuewild "ca2.example.org"
nobody IN CAA 0 issue ";"
critical IN CAA 128 tbs "Unknown"
`
}

const ourCAA = `@ IN CAA 0 issue "ca1.example.net; accounturi=https://ca1.example.net/acct/7; validationmethods=dns-01"
@ IN CAA 0 iodef "mailto:security@signed.test"`

// startZones serves the zones by a real bind9 until the end of the test: signed.test, plain.test without signatures,
// bogus.test whose signatures lead nowhere.
func startZones(t *testing.T) *zones {
	t.Helper()
	binary := debian(t, "a real name server", "bind9", "named", "/usr/sbin/named")
	z := &zones{t: t, dir: t.TempDir(), port: freePort(t)}
	ds := z.sign("signed.test.", signedZone(1, ourCAA))
	bogus := z.sign("bogus.test.", fmt.Sprintf(soa, 1)+`@ IN CAA 0 issue "ca1.example.net"`+"\n")
	// The root names another key for it.
	fields := strings.Fields(strings.Split(bogus, "\n")[0])
	digest := strings.Repeat("AB", 32)
	bogus = strings.Join(append(fields[:len(fields)-2:len(fields)-2], digest), " ") + "\n"
	if !strings.Contains(bogus, "DS") || len(fields) < 7 {
		t.Fatalf("no DS record: %s", bogus)
	}
	var large strings.Builder
	for i := range 60 {
		fmt.Fprintf(&large, "large IN CAA 0 issue \"a-name-of-a-ca-that-is-long-%d.example.net\"\n", i)
	}
	z.write("plain.test.", fmt.Sprintf(soa, 1)+`caa IN CAA 0 issue "ca3.example"`+"\n@ IN CAA 0 issue \"ca1.example.net\"\n"+large.String())
	z.sign(".", fmt.Sprintf(soa, 1)+"signed.test. IN NS ns.signed.test.\nns.signed.test. IN A 127.0.0.1\nplain.test. IN NS ns.signed.test.\nbogus.test. IN NS ns.signed.test.\n"+ds+bogus)
	var conf strings.Builder
	fmt.Fprintf(&conf, `options { directory "%[1]s"; listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; notify no; dnssec-validation no;
	pid-file "%[1]s/named.pid"; session-keyfile none; };
controls { };
`, z.dir, z.port)
	for _, name := range []string{".", "signed.test.", "plain.test.", "bogus.test."} {
		fmt.Fprintf(&conf, "zone \"%s\" { type primary; file \"%s/zone-%s\"; };\n", name, z.dir, name)
	}
	writeFile(t, filepath.Join(z.dir, "named.conf"), []byte(conf.String()))
	z.named = startServer(t, binary, "-g", "-n", "1", "-c", filepath.Join(z.dir, "named.conf"))
	return z
}

func (z *zones) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(z.port)) }

// startUnbound puts a real validating resolver before the zones. It keeps nothing, so that changes are seen at once.
func startUnbound(t *testing.T, z *zones) (addr string) {
	t.Helper()
	binary := debian(t, "a real resolver", "unbound", "unbound", "/usr/sbin/unbound")
	port := freePort(t)
	writeFile(t, filepath.Join(z.dir, "root.key"), []byte(z.anchor))
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
	interface: 127.0.0.1
	port: %[1]d
	do-ip6: no
	chroot: ""
	username: ""
	directory: "%[2]s"
	pidfile: "%[2]s/unbound.pid"
	use-syslog: no
	logfile: ""
	do-daemonize: no
	num-threads: 1
	do-not-query-localhost: no
	local-zone: "test." nodefault
	module-config: "validator iterator"
	trust-anchor-file: "%[2]s/root.key"
	cache-max-ttl: 0
	cache-max-negative-ttl: 0
remote-control:
	control-enable: no
`, port, z.dir)
	for _, name := range []string{".", "signed.test.", "plain.test.", "bogus.test."} {
		fmt.Fprintf(&conf, "stub-zone:\n\tname: \"%s\"\n\tstub-addr: 127.0.0.1@%d\n\tstub-no-cache: yes\n", name, z.port)
	}
	path := filepath.Join(z.dir, "unbound.conf")
	writeFile(t, path, []byte(conf.String()))
	s := startServer(t, binary, "-d", "-c", path)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("unbound:\n%s\nnamed:\n%s", s.out, z.named.out)
		}
	})
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// asker asks until the servers are up.
func asker(t *testing.T, addr, probe string) *caa.Resolver {
	t.Helper()
	r, err := caa.NewResolver([]string{addr}, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		a := r.Ask(ctx, probe)
		if a.Known {
			return r
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not answer: %s", addr, a.Why)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestARealResolverSaysWhatRealZonesHold(t *testing.T) {
	t.Parallel()
	z := startZones(t)
	addr := startUnbound(t, z)
	r := asker(t, addr, "signed.test")
	for _, c := range []struct{ name, set, via, status, why string }{
		{"signed.test", `0 iodef "mailto:security@signed.test"; 0 issue "ca1.example.net; accounturi=https://ca1.example.net/acct/7; validationmethods=dns-01"`, "", caa.Secure, ""},
		{"www.signed.test", "no records", "", caa.Secure, ""},
		{"missing.signed.test", "no records", "", caa.Secure, ""},
		{"wild.signed.test", `0 issue "ca1.example.net"; 0 issuewild "ca2.example.org"`, "", caa.Secure, ""},
		{"critical.signed.test", `128 tbs "Unknown"`, "", caa.Secure, ""},
		{"inner.signed.test", "no records", "www.signed.test", caa.Secure, ""},
		{"alias.signed.test", `0 issue "ca3.example"`, "caa.plain.test", caa.Insecure, ""},
		{"plain.test", `0 issue "ca1.example.net"`, "", caa.Insecure, ""},
		{"bogus.test", "", "", caa.Bogus, "bogus"},
		{"test", "no records", "", caa.Secure, ""},
	} {
		a := r.Ask(t.Context(), c.name)
		set := ""
		if a.Known {
			set = a.Set.String()
		}
		if set != c.set || strings.Join(a.Via, " ") != c.via || a.DNSSEC != c.status || !strings.Contains(a.Why, c.why) || a.Claimed {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
	// It does not fit into a datagram.
	if a := r.Ask(t.Context(), "large.plain.test"); !a.Known || len(a.Set) != 60 {
		t.Errorf("%+v", a)
	}
	// The server of the zones answers for them, asks nobody else, and validates nothing.
	direct := asker(t, z.addr(), "signed.test")
	if a := direct.Ask(t.Context(), "wild.signed.test"); !a.Known || len(a.Set) != 2 || a.DNSSEC != caa.Unknown {
		t.Errorf("directly: %+v", a)
	}
	// Nobody is there any more: it is unknown, and not none.
	z.named.stop()
	hurried, err := caa.NewResolver([]string{addr}, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if a := hurried.Ask(t.Context(), "wild.signed.test"); a.Known || a.DNSSEC == caa.Secure || a.Why == "" {
		t.Errorf("without the server of the zone: %+v", a)
	}
}

// notes is a keeper in memory.
type notes struct {
	mu      sync.Mutex
	hs      caa.Histories
	changes []caa.Change
}

func (n *notes) Load(context.Context, []string) (caa.Histories, error) { return nil, nil }

func (n *notes) Save(_ context.Context, found []caa.Found) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range found {
		if f.Fresh {
			n.hs[f.Name] = append(n.hs[f.Name], f.Span)
		}
		for i := range n.hs[f.Name] {
			if h := &n.hs[f.Name][i]; h.Known == f.Span.Known && h.First.Equal(f.Span.First) {
				h.Last = f.Span.Last
			}
		}
		if f.Change != nil {
			n.changes = append(n.changes, *f.Change)
		}
	}
	return nil
}

func (n *notes) Meet(context.Context, []string, time.Time) error        { return nil }
func (n *notes) Met(context.Context, int) (map[string]time.Time, error) { return nil, nil }

func (n *notes) facts(name, ca string, grace time.Duration) facts.CAA {
	n.mu.Lock()
	defer n.mu.Unlock()
	return caa.Facts([]string{name}, time.Now(), []string{ca}, n.hs, grace)[0]
}

func TestAChangeOfARealZoneIsSeenAndSaid(t *testing.T) {
	t.Parallel()
	z := startZones(t)
	r := asker(t, startUnbound(t, z), "signed.test")
	n := &notes{hs: caa.Histories{}}
	p := caa.NewPoller(caa.Options{Ask: r.Ask, Keeper: n, Every: time.Second, Pause: 10 * time.Millisecond})
	if left := p.Watch([]string{"www.signed.test", "signed.test"}); len(left) != 0 {
		t.Fatalf("left: %v", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	await := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s\n%+v", what, n.hs)
			}
		}
	}
	const grace = 5 * time.Minute
	await("the CA is allowed", func() bool {
		f := n.facts("www.signed.test", "ca1.example.net", grace)
		return f.Answer == facts.CAAAllows && f.Zone == "signed.test" && f.DNSSEC == caa.Secure && strings.Contains(f.Note, "not verifiable from CT")
	})
	if f := n.facts("www.signed.test", "evil.example", grace); f.Answer != facts.CAAForbids || f.Wanted[0] != "ca1.example.net" {
		t.Errorf("%+v", f)
	}
	z.sign("signed.test.", signedZone(2, `@ IN CAA 0 issue "evil.example"`))
	z.named.stop()
	z.named = startServer(t, debian(t, "a real name server", "bind9", "named", "/usr/sbin/named"), "-g", "-n", "1", "-c", filepath.Join(z.dir, "named.conf"))
	await("the change is said", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.changes) > 0
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.changes[0]; len(n.changes) != 1 || c.Name != "signed.test" || c.Level != caa.LevelAlarm || !strings.Contains(strings.Join(c.What, "; "), "evil.example") {
		t.Errorf("%+v", n.changes)
	}
}
