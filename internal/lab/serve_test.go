package lab

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/loglist"
)

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// logged are the bytes of all entries of log A in order: a certificate, or a precertificate marked with "pre:".
func logged(t *testing.T, l *Lab) (out []string) {
	t.Helper()
	a, err := l.RFC6962.Entries(0, l.RFC6962.Size())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Static.Entries(0, l.Static.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != len(b) {
		t.Fatalf("log A has %d entries, log B %d", len(a), len(b))
	}
	for i, e := range a {
		if !bytes.Equal(e.Cert, b[i].Cert) {
			t.Errorf("entry %d differs", i)
		}
		if e.Precert {
			out = append(out, "pre:"+string(e.PreCert))
		} else {
			out = append(out, string(e.Cert))
		}
	}
	return out
}

func TestServeLogsAllThatADirectoryHoldsAndWatchesIt(t *testing.T) {
	root, err := ca.NewRoot("Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ca.NewRoot("Stranger", nil)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(a *ca.Authority, cn string) *ca.Issued {
		i, err := a.Issue(ca.Leaf{CN: cn})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Finish(nil); err != nil {
			t.Fatal(err)
		}
		return i
	}
	one, two, lost, late := issue(root, "one.example"), issue(root, "two.example"), issue(stranger, "lost.example"), issue(root, "late.example")
	dir := t.TempDir()
	strange := []byte("strange bytes")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(append(block("CERTIFICATE", one.Precert), block("CERTIFICATE", strange)...))
	_ = z.Close()
	write(t, filepath.Join(dir, "deep", "er", "bundle.pem.gz"), zipped.Bytes())
	write(t, filepath.Join(dir, "root.pem"), append([]byte("a remark\n"), block("CERTIFICATE", root.Cert)...))
	write(t, filepath.Join(dir, "two.der"), two.Final)
	write(t, filepath.Join(dir, "lost.pem"), block("TRUSTED CERTIFICATE", lost.Precert))
	write(t, filepath.Join(dir, "again.pem"), block("CERTIFICATE", two.Final))
	key, err := x509.MarshalPKCS8PrivateKey(root.Key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "key.pem"), block("PRIVATE KEY", key))
	write(t, filepath.Join(dir, "index.tsv"), []byte("sha256\tsize\n"))
	write(t, filepath.Join(dir, "broken.gz"), []byte("not gzip"))
	write(t, filepath.Join(dir, ".hidden.pem"), block("CERTIFICATE", late.Final))

	out := t.TempDir()
	keyFile, list := filepath.Join(out, "key.pem"), filepath.Join(out, "logs.json")
	write(t, keyFile, block("PRIVATE KEY", key))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := make(chan *Lab, 1)
	done := make(chan error, 1)
	var said bytes.Buffer
	go func() {
		done <- Serve(ctx, dir, &ServeOptions{
			KeyFile: keyFile, ListPath: list, Poll: time.Millisecond, Merge: time.Millisecond, Out: &said,
			Ready: func(l *Lab) { ready <- l },
		})
	}()
	var l *Lab
	select {
	case l = <-ready:
	case err := <-done:
		t.Fatalf("Serve ended: %v", err)
	}
	got := map[string]bool{}
	for _, e := range logged(t, l) {
		got[e] = true
	}
	for name, want := range map[string]string{
		"a precertificate with its issuer at hand":              "pre:" + string(one.Precert),
		"strange bytes in a PEM block":                          string(strange),
		"a CA certificate":                                      string(root.Cert),
		"a certificate in DER":                                  string(two.Final),
		"a precertificate of a stranger, as it is: certificate": string(lost.Precert),
	} {
		if !got[want] {
			t.Errorf("not logged: %s", name)
		}
	}
	if len(got) != 5 || l.RFC6962.Head().Size != 5 || l.Static.Head().Size != 5 {
		t.Errorf("%d entries, heads of %d and %d; want 5", len(got), l.RFC6962.Head().Size, l.Static.Head().Size)
	}
	spki, err := ca.SPKI(root.Key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(l.RFC6962.Key.SPKI, spki) {
		t.Error("log A does not have the key of the file")
	}
	b, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if ll, err := loglist.Parse(b); err != nil || len(ll.Logs) != 2 || ll.Logs[0].ID != l.RFC6962.Key.ID {
		t.Errorf("list: %v", err)
	}
	for _, want := range []string{l.RFC6962.Key.Base64(), l.Static.Key.Base64(), l.RFC6962Addr, l.StaticAddr, list, "logged 5 certificates"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q was not said:\n%s", want, said.String())
		}
	}
	write(t, filepath.Join(dir, "late.pem"), block("CERTIFICATE", late.Precert))
	for l.Static.Head().Size != 6 {
		select {
		case <-time.After(time.Millisecond):
		case err := <-done:
			t.Fatalf("Serve ended: %v", err)
		}
	}
	if e := logged(t, l); e[5] != "pre:"+string(late.Precert) {
		t.Error("the late precertificate was not logged as one")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServeSaysWhyItCannot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, []byte("no key"))
	rsa, err := ca.NewKey(ca.Ed25519, "")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(rsa)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.pem")
	write(t, other, block("PRIVATE KEY", der))
	for name, row := range map[string]struct {
		dir, key, want string
	}{
		"no directory":          {filepath.Join(dir, "none"), "", "none"},
		"a file":                {file, "", "not a directory"},
		"a key file without":    {dir, file, "no private key"},
		"no key file":           {dir, filepath.Join(dir, "none"), "none"},
		"a key of another kind": {dir, other, "ECDSA P-256"},
	} {
		if err := Serve(t.Context(), row.dir, &ServeOptions{KeyFile: row.key}); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTwoKeysOfAFileAreOneForEachLogAndASecondFollowsFromOne(t *testing.T) {
	var blocks []byte
	for _, seed := range []string{"a", "b"} {
		k, err := ca.NewKey(ca.P256, seed)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, block("PRIVATE KEY", der)...)
	}
	path := filepath.Join(t.TempDir(), "keys.pem")
	hashes := func(data []byte) (out [2][32]byte) {
		write(t, path, data)
		a, b, err := readKeys(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range []crypto.Signer{a, b} {
			h, err := ca.KeyHash(k)
			if err != nil {
				t.Fatal(err)
			}
			out[i] = h
		}
		return out
	}
	both := hashes(blocks)
	_, rest := pem.Decode(blocks)
	first := blocks[:len(blocks)-len(rest)]
	alone, again := hashes(first), hashes(first)
	if both[0] != alone[0] || both[1] == alone[1] || alone != again || alone[0] == alone[1] {
		t.Error("keys do not follow from the file as they should")
	}
}

func TestServeMisbehavesOnScheduleAndTheListFollows(t *testing.T) {
	list := filepath.Join(t.TempDir(), "logs.json")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready, done := make(chan *Lab, 1), make(chan error, 1)
	var said bytes.Buffer
	go func() {
		done <- Serve(ctx, t.TempDir(), &ServeOptions{
			ListPath: list, Out: &said, Ready: func(l *Lab) { ready <- l }, Seed: 5,
			Faults: []string{"log-a:down+batch=7@0s", "log-b:listed=readonly@0s-1ms", "log-b:listed=absent@1ms", "log-b:random@1h-2h"},
		})
	}()
	var l *Lab
	select {
	case l = <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	for {
		b, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		ll, err := loglist.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if f := l.RFC6962.Faults.Get(); len(ll.Logs) == 1 && f.Down && f.MaxBatch == 7 {
			break
		}
		select {
		case <-time.After(time.Millisecond):
		case err := <-done:
			t.Fatalf("Serve ended: %v", err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, want := range []string{"faults log-a:down+batch=7@0s\n", "faults log-b:listed=absent@1ms\n"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q was not said:\n%s", want, said.String())
		}
	}
	if strings.Count(said.String(), "faults log-b:") < 3 {
		t.Errorf("the random schedule was not said:\n%s", said.String())
	}
	for _, bad := range []string{"down", "log-c:down", "log-a:nothing", "log-a:random@5s", "log-a:down@5s-1s"} {
		if _, _, err := schedules([]string{bad}, 0); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestALogListSaysWhatTheFaultsSay(t *testing.T) {
	l, err := Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for name, want := range map[string]loglist.State{"": loglist.Usable, "usable": loglist.Usable, "readonly": loglist.ReadOnly, "retired": loglist.Retired} {
		l.Static.Faults.Set(fault.Faults{Listed: name})
		b, err := l.LogList()
		if err != nil {
			t.Fatal(err)
		}
		ll, err := loglist.Parse(b)
		if err != nil || len(ll.Logs) != 2 || ll.Logs[1].State != want || (ll.Logs[1].Final != nil) != (want == loglist.ReadOnly) {
			t.Errorf("%q: %+v, %v", name, ll, err)
		}
	}
}
