package source_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/proposal/source"
	"github.com/tocsin-ct/tocsin/internal/store"
)

func owners(t testing.TB) *facts.Owners {
	t.Helper()
	o, err := facts.LoadOwners()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func write(t testing.TB, path string, b []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pemOf(ders ...[]byte) (out []byte) {
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// authority is an issuing CA below a root, and how to get certificates of it.
func authority(t testing.TB) *ca.Authority {
	t.Helper()
	root, err := ca.NewRoot("Root", &ca.Options{Seed: "source root"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := root.NewIntermediate("Issuing", &ca.Options{Seed: "source issuing"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t testing.TB, a *ca.Authority, names ...string) (*ca.Issued, []byte) {
	t.Helper()
	i, err := a.Issue(ca.Leaf{CN: names[0], DNS: names, From: time.Now().Add(-24 * time.Hour), For: 90 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.Finish(i, nil)
	if err != nil {
		t.Fatal(err)
	}
	return i, der
}

const zoneText = "$TTL 300\n@ IN SOA ns1 hostmaster 1 2 3 4 5\n@ CAA 0 issue \"letsencrypt.org\"\nwww A 192.0.2.1\n"

func TestZoneFilesAndFoldersOfThem(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "db.example.com"), []byte(zoneText))
	write(t, filepath.Join(dir, "more", "example.org.zone"), []byte(zoneText))
	write(t, filepath.Join(dir, "more", "2.0.192.in-addr.arpa"), []byte(zoneText))
	write(t, filepath.Join(dir, ".git", "x"), []byte("no zone"))
	write(t, filepath.Join(dir, "example.org.zone.jnl"), []byte("\x00"))
	write(t, filepath.Join(dir, "broken.example"), []byte(zoneText+"mail A nowhere\n"))
	zones, err := source.Zones([]string{dir, filepath.Join(dir, "missing")}, owners(t))
	var got []string
	for _, z := range zones {
		name := z.Name
		if name == "" {
			name = z.Network.String()
		}
		got = append(got, name)
	}
	if want := []string{"broken.example", "example.com", "192.0.2.0/24", "example.org"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if err == nil || !strings.Contains(err.Error(), "broken.example: dns: bad A") || !strings.Contains(err.Error(), "missing") || strings.Contains(err.Error(), "jnl") {
		t.Errorf("error %v", err)
	}
}

func TestOneIssuanceIsOneWhereverItIsSeen(t *testing.T) {
	a := authority(t)
	i, der := issue(t, a, "www.example.com", "example.com")
	dir := t.TempDir()
	into := source.NewIssuances(owners(t))

	// The ledger has its precertificate.
	state := filepath.Join(dir, "state.db")
	s, err := store.Open(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := cert.Identity(i.TBS, a.KeyHash())
	first := time.Now().Add(-5 * time.Hour).Truncate(time.Millisecond)
	if err := s.Commit(t.Context(), store.Commit{Filings: []store.Filing{{Issuance: store.Issuance{
		ID: id, Cert: i.TBS, Precert: true, IssuerKeyHash: a.KeyHash(), Chain: append([][]byte{i.Precert}, i.Chain...), FirstSeen: first,
	}}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := source.Ledger(t.Context(), state, into); err != nil {
		t.Fatal(err)
	}
	if len(into.List()) != 1 || !into.List()[0].Issuer.Proven || into.List()[0].ID != fmt.Sprintf("%x", id[:6]) || !into.List()[0].Seen.Equal(first) {
		t.Fatalf("the ledger has %+v", into.List())
	}

	// Files have its certificate in one place and the chain in another, and the precertificate, too.
	write(t, filepath.Join(dir, "certs", "a.pem"), pemOf(der))
	write(t, filepath.Join(dir, "certs", "b.pem"), pemOf(i.Chain...))
	write(t, filepath.Join(dir, "certs", "pre.der"), i.Precert)
	if err := source.Certificates([]string{filepath.Join(dir, "certs")}, into); err != nil {
		t.Fatal(err)
	}
	// A directory of keys has it as well.
	live := filepath.Join(dir, "live")
	write(t, filepath.Join(live, "fullchain.pem"), pemOf(append([][]byte{der}, i.FinalChain...)...))
	dirs, err := source.Directories([]source.Place{{Path: live, As: "keys"}}, into)
	if err != nil {
		t.Fatal(err)
	}
	if len(into.List()) != 1 {
		t.Errorf("%d issuances: %+v", len(into.List()), into.List())
	}
	if is := into.List()[0]; len(dirs) != 1 || dirs[0].Path != "keys" || !dirs[0].Keys[is.Key] || !slices.Equal(dirs[0].Names, []string{"example.com", "www.example.com"}) {
		t.Errorf("directories %+v", dirs)
	}
	// Another certificate for the same names is another.
	_, other := issue(t, a, "www.example.com", "example.com")
	if err := source.Certificates([]string{write(t, filepath.Join(dir, "other.pem"), pemOf(other))}, into); err != nil {
		t.Fatal(err)
	}
	if len(into.List()) != 2 || !into.List()[1].Issuer.Proven {
		t.Errorf("%+v", into.List())
	}
}

func TestWhatCannotBeReadIsTold(t *testing.T) {
	dir := t.TempDir()
	into := source.NewIssuances(owners(t))
	bad := write(t, filepath.Join(dir, "bad.pem"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	if err := source.Certificates([]string{bad}, into); err == nil || !strings.Contains(err.Error(), "bad.pem #0 is no certificate") {
		t.Errorf("error %v", err)
	}
	if err := source.Certificates([]string{filepath.Join(dir, "missing")}, into); err == nil {
		t.Error("a missing file was not told")
	}
	if _, err := source.Directories([]source.Place{{Path: filepath.Join(dir, "missing"), As: "x"}}, into); err == nil {
		t.Error("a missing directory was not told")
	}
	if err := source.Ledger(t.Context(), filepath.Join(dir, "none.db"), into); err == nil {
		t.Error("a missing state file was not told")
	}
	if len(into.List()) != 0 {
		t.Errorf("%+v", into.List())
	}
}

func TestWhatAnEndpointServesIsObserved(t *testing.T) {
	a := authority(t)
	i, der := issue(t, a, "localhost")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: append([][]byte{der}, i.FinalChain...), PrivateKey: i.Key}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).HandshakeContext(context.Background())
			c.Close()
		}
	}()
	into := source.NewIssuances(owners(t))
	ep, err := source.Probe(t.Context(), l.Addr().String(), into)
	if err != nil {
		t.Fatal(err)
	}
	if list := into.List(); len(list) != 1 || list[0].Key != ep.Key || list[0].Observed != l.Addr().String() || !list[0].Issuer.Proven || !ep.Addr.IsLoopback() {
		t.Errorf("%+v from %+v", list, ep)
	}
	for address, want := range map[string]string{"no-port": "host:port", "bad name!:443": "bad name"} {
		if _, err := source.Probe(t.Context(), address, into); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", address, err)
		}
	}
}

// nameServer answers transfers on loopback with answer.
func nameServer(t *testing.T, secret map[string]string, answer func(w dns.ResponseWriter, q *dns.Msg)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	srv := &dns.Server{Listener: l, TsigSecret: secret, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(answer),
		MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
	go func() { _ = srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = srv.Shutdown() })
	return l.Addr().String()
}

func records(t *testing.T) (rrs []dns.RR) {
	t.Helper()
	p := dns.NewZoneParser(strings.NewReader(zoneText+strings.Repeat("big TXT \""+strings.Repeat("x", 200)+"\"\n", 400)), "example.com.", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		rrs = append(rrs, rr)
	}
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	return append(rrs, rrs[0])
}

func TestZoneTransfers(t *testing.T) {
	const name = "transfer.example."
	secret := base64.StdEncoding.EncodeToString([]byte("not so secret as it should be..."))
	send := func(w dns.ResponseWriter, q *dns.Msg, rrs []dns.RR, sign bool) {
		if sign && w.TsigStatus() != nil || sign && q.IsTsig() == nil {
			m := new(dns.Msg)
			_ = w.WriteMsg(m.SetRcode(q, dns.RcodeNotAuth))
			return
		}
		ch := make(chan *dns.Envelope)
		done := make(chan struct{})
		go func() {
			defer close(done)
			tr := new(dns.Transfer)
			if sign {
				tr.TsigSecret = map[string]string{name: secret}
			} else {
				q.Extra = nil
			}
			_ = tr.Out(w, q, ch)
		}()
		for at := 0; at < len(rrs); at += 100 {
			select {
			case ch <- &dns.Envelope{RR: rrs[at:min(at+100, len(rrs))]}:
			case <-done: // it is not taken any more
				return
			}
		}
		close(ch)
		<-done
	}
	key := &source.Key{Name: name, Algorithm: dns.HmacSHA256, Secret: secret}
	all := records(t)
	for title, row := range map[string]struct {
		key    *source.Key
		answer func(w dns.ResponseWriter, q *dns.Msg)
		err    string
	}{
		"without a key": {nil, func(w dns.ResponseWriter, q *dns.Msg) { send(w, q, all, false) }, ""},
		"with a key":    {key, func(w dns.ResponseWriter, q *dns.Msg) { send(w, q, all, true) }, ""},
		"a server that wants a key and gets none": {nil, func(w dns.ResponseWriter, q *dns.Msg) { send(w, q, all, true) }, "NOTAUTH"},
		"answers that nobody signed":              {key, func(w dns.ResponseWriter, q *dns.Msg) { send(w, q, all, false) }, "the key did not sign"},
		"another key": {&source.Key{Name: name, Algorithm: dns.HmacSHA256, Secret: base64.StdEncoding.EncodeToString([]byte("another"))},
			func(w dns.ResponseWriter, q *dns.Msg) { send(w, q, all, true) }, "NOTAUTH"},
		"a server that refuses": {nil, func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeRefused)) }, "REFUSED"},
		"no SOA at the start":   {nil, func(w dns.ResponseWriter, q *dns.Msg) { send(w, q, all[1:], false) }, "SOA"},
		"a transfer that breaks off": {nil, func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Answer = all[:50]
			_ = w.WriteMsg(m)
			w.Close()
		}, "EOF"},
		"an answer to another question": {nil, func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Id++
			_ = w.WriteMsg(m)
		}, "another question"},
		"a server that says nothing": {nil, func(w dns.ResponseWriter, q *dns.Msg) { w.Close() }, "EOF"},
	} {
		t.Run(title, func(t *testing.T) {
			server := nameServer(t, map[string]string{name: secret}, row.answer)
			z, err := source.Transfer(t.Context(), server, "example.com", row.key, owners(t))
			if row.err == "" && err != nil || row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err)) {
				t.Fatalf("error %v, want one that says %q", err, row.err)
			}
			if err != nil && (z.Name != "" || !strings.Contains(err.Error(), "example.com")) {
				t.Errorf("%+v beside error %v", z, err)
			}
			if err == nil && (z.Name != "example.com" || z.Owner != "hostmaster@example.com" || !slices.Equal(z.CAA, []string{"letsencrypt.org"}) || len(z.Addresses) != 1) {
				t.Errorf("zone %+v", z)
			}
		})
	}
}

func TestKeysForTransfers(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good"), []byte("# tsig-keygen\nkey \"Transfer.example\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0\";\n};\n"))
	k, err := source.ReadKey(good)
	if err != nil || *k != (source.Key{Name: "transfer.example.", Algorithm: "hmac-sha256.", Secret: "c2VjcmV0"}) {
		t.Errorf("%+v, %v", k, err)
	}
	for _, text := range []string{"", "key x { algorithm hmac-sha256; };", "key x { algorithm hmac-sha256; secret \"SECRET=\"; };"} {
		if _, err := source.ReadKey(write(t, filepath.Join(dir, "bad"), []byte(text))); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
