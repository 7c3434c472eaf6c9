package journal_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

func need[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func issuing(t testing.TB, name string) *ca.Authority {
	t.Helper()
	root := need(ca.NewRoot(name+" Root", &ca.Options{Seed: name + " root", From: began.AddDate(-1, 0, 0)}))(t)
	return need(root.NewIntermediate(name+" CA", &ca.Options{Seed: name + " issuing", From: began.AddDate(-1, 0, 0)}))(t)
}

// sct is as a certificate carries it; nobody verifies it here.
func sct(log byte, at time.Time) []byte {
	b := append([]byte{0}, slices.Repeat([]byte{log}, 32)...)
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli()))
	return append(b, 0, 0, 4, 3, 0, 1, 0)
}

func issue(t testing.TB, by *ca.Authority, seed string, names ...string) (*ca.Issued, []byte) {
	t.Helper()
	leaf := ca.Leaf{CN: names[0], KeySeed: seed, From: began, For: 90 * 24 * time.Hour}
	for _, n := range names {
		if a, err := netip.ParseAddr(n); err == nil {
			leaf.IPs = append(leaf.IPs, a)
		} else {
			leaf.DNS = append(leaf.DNS, n)
		}
	}
	i := need(by.Issue(leaf))(t)
	return i, need(i.Finish([][]byte{sct('a', began), sct('b', began.Add(time.Second))}))(t)
}

func inPEM(kind string, ders ...[]byte) (out []byte) {
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	return out
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, to, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(at)
	if err := os.Symlink(to, at); err != nil {
		t.Skip("no links here:", err)
	}
}

func privatePEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	return inPEM("PRIVATE KEY", need(x509.MarshalPKCS8PrivateKey(key))(t))
}

func account(t testing.TB) (crypto.Signer, []byte) {
	t.Helper()
	key := need(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	return key, privatePEM(t, key)
}

func hashOf(t testing.TB, key crypto.Signer) [32]byte {
	t.Helper()
	return sha256.Sum256(need(x509.MarshalPKIXPublicKey(key.Public()))(t))
}

// certbot lays out a lineage as certbot does.
func certbot(t testing.TB, root, name string, i *ca.Issued, final []byte, accountKey []byte) {
	archive := filepath.Join(root, "archive", name)
	write(t, filepath.Join(archive, "cert1.pem"), inPEM("CERTIFICATE", final))
	write(t, filepath.Join(archive, "chain1.pem"), inPEM("CERTIFICATE", i.FinalChain[0]))
	write(t, filepath.Join(archive, "fullchain1.pem"), inPEM("CERTIFICATE", final, i.FinalChain[0]))
	write(t, filepath.Join(archive, "privkey1.pem"), privatePEM(t, i.Key))
	for _, kind := range []string{"cert", "chain", "fullchain", "privkey"} {
		link(t, "../../archive/"+name+"/"+kind+"1.pem", filepath.Join(root, "live", name, kind+".pem"))
	}
	write(t, filepath.Join(root, "renewal", name+".conf"), []byte("version = 2.1.0\narchive_dir = "+archive+"\ncert = "+filepath.Join(root, "live", name, "cert.pem")+"\n\n[renewalparams]\nauthenticator = webroot\n"))
	write(t, filepath.Join(root, "accounts", "acme.example", "directory", "0a", "private_key.pem"), accountKey)
	write(t, filepath.Join(root, "live", "README"), []byte("This directory contains your keys and certificates."))
}

var layouts = map[journal.Layout]func(t testing.TB, root string, i *ca.Issued, final []byte, accountKey []byte){
	journal.Certbot: func(t testing.TB, root string, i *ca.Issued, final, accountKey []byte) {
		certbot(t, root, "www.example.com", i, final, accountKey)
	},
	journal.Lego: func(t testing.TB, root string, i *ca.Issued, final, accountKey []byte) {
		write(t, filepath.Join(root, "certificates", "www.example.com.crt"), inPEM("CERTIFICATE", final, i.FinalChain[0]))
		write(t, filepath.Join(root, "certificates", "www.example.com.issuer.crt"), inPEM("CERTIFICATE", i.FinalChain[0]))
		write(t, filepath.Join(root, "certificates", "www.example.com.key"), privatePEM(t, i.Key))
		write(t, filepath.Join(root, "certificates", "www.example.com.json"), []byte(`{"domain":"www.example.com"}`))
		write(t, filepath.Join(root, "accounts", "acme.example", "ops@example.com", "account.json"), []byte(`{}`))
		write(t, filepath.Join(root, "accounts", "acme.example", "ops@example.com", "keys", "ops@example.com.key"), accountKey)
	},
	journal.Caddy: func(t testing.TB, root string, i *ca.Issued, final, accountKey []byte) {
		at := filepath.Join(root, "certificates", "acme.example-directory", "www.example.com")
		write(t, filepath.Join(at, "www.example.com.crt"), inPEM("CERTIFICATE", final, i.FinalChain[0]))
		write(t, filepath.Join(at, "www.example.com.key"), privatePEM(t, i.Key))
		write(t, filepath.Join(at, "www.example.com.json"), []byte(`{"sans":["www.example.com"]}`))
		write(t, filepath.Join(root, "acme", "acme.example-directory", "users", "ops@example.com", "ops.key"), accountKey)
		write(t, filepath.Join(root, "pki", "authorities", "local", "root.key"), accountKey)
		write(t, filepath.Join(root, "instance.uuid"), []byte("0a"))
	},
	journal.ACMESh: func(t testing.TB, root string, i *ca.Issued, final, accountKey []byte) {
		at := filepath.Join(root, "www.example.com_ecc")
		write(t, filepath.Join(at, "www.example.com.cer"), inPEM("CERTIFICATE", final))
		write(t, filepath.Join(at, "ca.cer"), inPEM("CERTIFICATE", i.FinalChain[0]))
		write(t, filepath.Join(at, "www.example.com.key"), privatePEM(t, i.Key))
		write(t, filepath.Join(at, "www.example.com.conf"), []byte("Le_Domain='www.example.com'"))
		write(t, filepath.Join(root, "ca", "acme.example", "directory", "account.key"), accountKey)
		write(t, filepath.Join(root, "account.conf"), []byte("LOG_FILE=''"))
		write(t, filepath.Join(root, "acme.sh"), []byte("#!/bin/sh"))
	},
	journal.Kubernetes: func(t testing.TB, root string, i *ca.Issued, final, accountKey []byte) {
		at := filepath.Join(root, "..2026_11_01_12_00_00.1")
		write(t, filepath.Join(at, "tls.crt"), inPEM("CERTIFICATE", final, i.FinalChain[0]))
		write(t, filepath.Join(at, "tls.key"), privatePEM(t, i.Key))
		write(t, filepath.Join(at, "ca.crt"), inPEM("CERTIFICATE", i.FinalChain[0]))
		link(t, "..2026_11_01_12_00_00.1", filepath.Join(root, "..data"))
		for _, f := range []string{"tls.crt", "tls.key", "ca.crt"} {
			link(t, "..data/"+f, filepath.Join(root, f))
		}
	},
}

func TestEachLayoutGivesItsCertificatesAndNoKeyOfAnAccount(t *testing.T) {
	by := issuing(t, "Careful")
	i, final := issue(t, by, "www", "www.example.com", "192.0.2.7")
	for layout, lay := range layouts {
		for _, as := range []journal.Layout{layout, journal.Auto} {
			t.Run(string(layout)+" read as "+string(as), func(t *testing.T) {
				root := filepath.Join(t.TempDir(), "store")
				accountKey, accountPEM := account(t)
				lay(t, root, i, final, accountPEM)
				if got := journal.Detect(root); got != layout {
					t.Fatalf("told to be %s", got)
				}
				j := journal.Open([]journal.Directory{{Path: root, Layout: as}})
				if _, ok := j.Keys().Owned(hashOf(t, i.Key)); !ok {
					t.Error("the key of the certificate is not ours")
				}
				if at, ok := j.Keys().Owned(hashOf(t, accountKey)); ok {
					t.Errorf("the key of an account counts as ours: %s", at)
				}
				if p := j.Problems(); len(p) > 0 {
					t.Errorf("problems: %v", p)
				}
				found := j.Take(100)
				if len(found) == 0 {
					t.Fatal("no certificate was found")
				}
				for _, f := range found {
					want := cert.Identity(i.TBS, i.IssuerKeyHash())
					if f.ID != want || f.TBS != journal.Bare(i.TBS) || f.SHA256 != sha256.Sum256(final) {
						t.Errorf("%s: identity %s, want %s", f.Source, f.ID, want)
					}
					if diff := cmp.Diff([]string{"www.example.com", "192.0.2.7"}, f.Names); diff != "" {
						t.Errorf("names (-want +got):\n%s", diff)
					}
				}
				if again := j.Take(100); len(again) > 0 {
					t.Errorf("%d were given twice", len(again))
				}
			})
		}
	}
}

func TestARenewalIsFound(t *testing.T) {
	by := issuing(t, "Careful")
	first, one := issue(t, by, "first", "www.example.com")
	second, two := issue(t, by, "second", "www.example.com")
	t.Run("when Kubernetes swaps the mounted secret", func(t *testing.T) {
		root := t.TempDir()
		layouts[journal.Kubernetes](t, root, first, one, nil)
		j := journal.Open([]journal.Directory{{Path: root, Layout: journal.Kubernetes}})
		j.Take(10)
		next := filepath.Join(root, "..2026_11_02_12_00_00.2")
		write(t, filepath.Join(next, "tls.crt"), inPEM("CERTIFICATE", two, second.FinalChain[0]))
		write(t, filepath.Join(next, "tls.key"), privatePEM(t, second.Key))
		later := time.Now().Add(time.Hour)
		os.Chtimes(filepath.Join(next, "tls.crt"), later, later)
		os.Chtimes(filepath.Join(next, "tls.key"), later, later)
		link(t, filepath.Base(next), filepath.Join(root, "..data"))
		changed, err := j.Reload()
		found := j.Take(10)
		if !changed || len(found) != 1 || found[0].SHA256 != sha256.Sum256(two) {
			t.Errorf("changed %v, %v, found %d", changed, err, len(found))
		}
		if _, ok := j.Keys().Owned(hashOf(t, first.Key)); ok {
			t.Error("the key of the secret that is gone still counts")
		}
	})
	t.Run("in a directory that is told apart only now", func(t *testing.T) {
		root := t.TempDir()
		j := journal.Open([]journal.Directory{{Path: root, Layout: journal.Auto}})
		key, pem := account(t)
		layouts[journal.Lego](t, root, first, one, pem)
		j.Reload()
		if found := j.Take(10); len(found) != 1 {
			t.Errorf("found %d", len(found))
		}
		if _, ok := j.Keys().Owned(hashOf(t, key)); ok {
			t.Error("the key of an account counts as ours")
		}
	})
}

func TestALineageOutsideTheDirectoryIsTold(t *testing.T) {
	root := t.TempDir()
	i, final := issue(t, issuing(t, "Careful"), "www", "www.example.com")
	certbot(t, root, "www.example.com", i, final, nil)
	write(t, filepath.Join(root, "renewal", "far.example.com.conf"), []byte("archive_dir = /srv/far/archive\ncert = /srv/far/live/cert.pem\n[renewalparams]\nchain = /not/a/place.pem\n"))
	p := journal.Open([]journal.Directory{{Path: root, Layout: journal.Certbot}}).Problems()
	var told []string
	for _, x := range p {
		told = append(told, x.String())
	}
	text := strings.Join(told, "\n")
	if len(p) != 2 || !strings.Contains(text, "/srv/far/archive") || !strings.Contains(text, "/srv/far/live") {
		t.Errorf("problems:\n%s", text)
	}
}

func TestWhatIsNoCertificateOfOursIsRefused(t *testing.T) {
	by := issuing(t, "Careful")
	i, final := issue(t, by, "www", "www.example.com")
	for _, row := range []struct {
		name string
		der  []byte
		want string
	}{
		{"a precertificate", i.Precert, "precertificate"},
		{"a CA certificate", by.Cert, "CA certificate"},
		{"nothing", nil, "cannot be read"},
		{"half a certificate", final[:len(final)/2], "cannot be read"},
	} {
		if _, err := journal.Read(row.der, nil); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestAnIssuanceIsTheSameInTheJournalAndInCT(t *testing.T) {
	by := issuing(t, "Careful")
	i, final := issue(t, by, "www", "www.example.com")
	inCT := cert.Identity(i.TBS, i.IssuerKeyHash())
	whole := need(journal.Read(final, i.FinalChain))(t)
	if whole.ID != inCT {
		t.Error("with its chain, it is another issuance")
	}
	bare := need(journal.Read(final, nil))(t)
	if bare.ID != (cert.ID{}) || bare.TBS != journal.Bare(i.TBS) {
		t.Error("without its chain, it cannot be found")
	}
	stranger := need(journal.Read(final, issuing(t, "Careless").Chain()))(t)
	if stranger.ID != (cert.ID{}) {
		t.Error("a chain that did not issue it gave it an identity")
	}
	if len(whole.SCTs) != 2 || whole.SCTs[0].LogID[0] != 'a' || !whole.SCTs[0].Time.Equal(began) {
		t.Errorf("promises %v", whole.SCTs)
	}
}

func TestWhatTheJournalKnows(t *testing.T) {
	h := func(b byte) [32]byte { return [32]byte(slices.Repeat([]byte{b}, 32)) }
	key := journal.Entry{SPKI: h(1), Source: "key.pem", At: began}
	whole := journal.Entry{Certificate: true, SPKI: h(1), TBS: h(2), ID: h(3), Source: "cert.pem", At: began.Add(time.Hour)}
	bare := whole
	bare.ID, bare.Source = cert.ID{}, "bare.pem"
	for _, row := range []struct {
		name    string
		entries []journal.Entry
		spki    [32]byte
		id, tbs cert.ID
		want    facts.Journal
	}{
		{"nothing of what is not there", nil, h(1), h(3), h(2), facts.Journal{}},
		{"a key of ours", []journal.Entry{key}, h(1), h(9), h(8), facts.Journal{Known: true, Source: "key.pem", At: began}},
		{"not another key", []journal.Entry{key}, h(7), h(3), h(2), facts.Journal{}},
		{"not a key that could not be read", []journal.Entry{{Source: "x"}}, [32]byte{}, h(3), h(2), facts.Journal{}},
		{"this very issuance", []journal.Entry{whole}, h(1), h(3), h(2), facts.Journal{Known: true, Certificate: true, Source: "cert.pem", At: began.Add(time.Hour)}},
		{"this very issuance, where its issuer is not known to us", []journal.Entry{bare}, h(1), h(3), h(2), facts.Journal{Known: true, Certificate: true, Source: "bare.pem", At: began.Add(time.Hour)}},
		{"not the same content by another issuer", []journal.Entry{whole}, h(1), h(9), h(2), facts.Journal{}},
		{"a certificate is not its key: another one with it is not known", []journal.Entry{whole}, h(1), h(9), h(8), facts.Journal{}},
		{"the issuance rather than the key, whichever came first", []journal.Entry{key, whole}, h(1), h(3), h(2), facts.Journal{Known: true, Certificate: true, Source: "cert.pem", At: began.Add(time.Hour)}},
		{"and in the other order", []journal.Entry{whole, key}, h(1), h(3), h(2), facts.Journal{Known: true, Certificate: true, Source: "cert.pem", At: began.Add(time.Hour)}},
		{"the older of two", []journal.Entry{{SPKI: h(1), Source: "younger", At: began.Add(time.Minute)}, key}, h(1), h(3), h(2), facts.Journal{Known: true, Source: "key.pem", At: began}},
	} {
		if diff := cmp.Diff(row.want, journal.Facts(row.entries, row.spki, row.id, row.tbs)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}
