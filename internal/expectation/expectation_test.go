package expectation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func need[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newKey(t testing.TB) crypto.Signer {
	return need(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

// certificate signs one for these names and addresses by itself: who issued it is said apart.
func certificate(t testing.TB, key crypto.Signer, change func(*x509.Certificate), names ...string) *cert.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: noon, NotAfter: noon.AddDate(0, 3, 0)}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	if change != nil {
		change(tmpl)
	}
	return cert.Parse(need(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))(t))
}

func csr(t testing.TB, key crypto.Signer, cn string, names ...string) string {
	t.Helper()
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: need(x509.CreateCertificateRequest(rand.Reader, tmpl, key))(t)}))
}

func TestWhatAnExpectationAnnounces(t *testing.T) {
	key, other := newKey(t), newKey(t)
	ours := facts.Issuer{Proven: true, SPKI: [32]byte{1}, Owners: []string{"Example Trust"}, Domains: []string{"ca.example"}}
	id := cert.ID{9}
	base := Expectation{ID: "e1", Names: []string{"*.example.com", "www.example.com"}, Keys: []string{keyHash(key)}, Count: 1, Created: noon, Until: noon.Add(2 * time.Hour), Reason: "renewal", By: "ops"}
	with := func(change func(*Expectation)) Expectation {
		e := base
		change(&e)
		return e
	}
	alone := with(func(e *Expectation) { e.Keys, e.Issuers = nil, []string{"Example Trust"} })
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	for _, row := range []struct {
		name   string
		e      Expectation
		c      *cert.Certificate
		by     facts.Issuer
		logged time.Time
		why    string // "" when announced
	}{
		{"all its names and the key are announced", base, certificate(t, key, nil, "www.example.com", "*.example.com"), ours, at(time.Minute), ""},
		{"fewer names than announced", base, certificate(t, key, nil, "www.example.com"), ours, at(time.Minute), ""},
		{"not one more name", base, certificate(t, key, nil, "www.example.com", "mail.example.com"), ours, at(time.Minute), "mail.example.com, which was not announced"},
		{"not a name beneath", base, certificate(t, key, nil, "www.example.com", "a.www.example.com"), ours, at(time.Minute), "a.www.example.com"},
		{"not an address beside", base, certificate(t, key, nil, "www.example.com", "192.0.2.7"), ours, at(time.Minute), "192.0.2.7"},
		{"not a common name beside", base, certificate(t, key, func(c *x509.Certificate) { c.Subject.CommonName = "evil.example.net" }, "www.example.com"), ours, at(time.Minute), "evil.example.net"},
		{"the name of a firm as common name is no name", base, certificate(t, key, func(c *x509.Certificate) { c.Subject.CommonName = "Example Web Shop" }, "www.example.com"), ours, at(time.Minute), ""},
		{"not a mail address beside", base, certificate(t, key, func(c *x509.Certificate) { c.EmailAddresses = []string{"ops@example.com"} }, "www.example.com"), ours, at(time.Minute), "example.com"},
		{"not another key", base, certificate(t, other, nil, "www.example.com"), ours, at(time.Minute), "key is not the one"},
		{"not a CA certificate", base, certificate(t, key, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, "www.example.com"), ours, at(time.Minute), "CA certificate"},
		{"the issuer by owner", alone, certificate(t, other, nil, "www.example.com"), ours, at(time.Minute), ""},
		{"the issuer by CAA domain", with(func(e *Expectation) { e.Issuers = []string{"CA.example"} }), certificate(t, key, nil, "www.example.com"), ours, at(time.Minute), ""},
		{"the issuer by its key", with(func(e *Expectation) { e.Issuers = []string{"spki:01" + strings.Repeat("00", 31)} }), certificate(t, key, nil, "www.example.com"), ours, at(time.Minute), ""},
		{"not another issuer", alone, certificate(t, key, nil, "www.example.com"), facts.Issuer{Proven: true, Owners: []string{"Careless Trust"}}, at(time.Minute), "not issued by Example Trust"},
		{"not an issuer that only says so", alone, certificate(t, key, nil, "www.example.com"), facts.Issuer{Name: "Example Trust", Owners: []string{"Example Trust"}}, at(time.Minute), "not proven"},
		{"an address by issuer alone is never announced", with(func(e *Expectation) {
			e.Keys, e.Issuers, e.Names = nil, []string{"Example Trust"}, []string{"192.0.2.7"}
		}), certificate(t, key, nil, "192.0.2.7"), ours, at(time.Minute), "only with a key"},
		{"an address with the key", with(func(e *Expectation) { e.Names = []string{"192.0.2.7"} }), certificate(t, key, nil, "192.0.2.7"), ours, at(time.Minute), ""},
		{"to the last moment", base, certificate(t, key, nil, "www.example.com"), ours, at(2 * time.Hour), ""},
		{"not beyond it", base, certificate(t, key, nil, "www.example.com"), ours, at(2*time.Hour + time.Millisecond), "ended before it was logged"},
		{"a log that was quicker than the pipeline", base, certificate(t, key, nil, "www.example.com"), ours, at(-Late), ""},
		{"not what was there long before", base, certificate(t, key, nil, "www.example.com"), ours, at(-Late - time.Millisecond), "too long before it was announced"},
		{"not once it is used up by another", with(func(e *Expectation) { e.Used, e.UsedBy = 1, []cert.ID{{1}} }), certificate(t, key, nil, "www.example.com"), ours, at(time.Minute), "used up"},
		{"again what has used it, also when it is over", with(func(e *Expectation) { e.Used, e.UsedBy, e.Cancelled = 1, []cert.ID{id}, noon }), certificate(t, key, nil, "www.example.com"), ours, at(9 * time.Hour), ""},
		{"not when it was cancelled", with(func(e *Expectation) { e.Cancelled = noon.Add(time.Second) }), certificate(t, key, nil, "www.example.com"), ours, at(time.Minute), "cancelled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			by, missed := Match([]Expectation{row.e}, Subject{ID: id, Cert: row.c, Issuer: row.by, Logged: row.logged})
			switch {
			case row.why == "" && (len(by) != 1 || len(missed) != 0 || by[0].IssuerAlone != (len(row.e.Keys) == 0) || by[0].Reason != "renewal" || by[0].By != "ops"):
				t.Errorf("announced by %+v; not by %+v", by, missed)
			case row.why != "" && (len(by) != 0 || len(missed) != 1 || !strings.Contains(missed[0].Why, row.why)):
				t.Errorf("announced by %+v; not by %+v; want %q", by, missed, row.why)
			}
		})
	}
}

func TestOnlyWhatSharesANameIsTold(t *testing.T) {
	by, missed := Match([]Expectation{{ID: "x", Names: []string{"www.example.org"}, Count: 1, Until: noon.Add(time.Hour)}}, Subject{Cert: certificate(t, newKey(t), nil, "www.example.com"), Logged: noon})
	if len(by) != 0 || len(missed) != 0 {
		t.Errorf("%v, %v", by, missed)
	}
	if by, _ := Match([]Expectation{{ID: "x", Names: []string{""}, Count: 1, Until: noon.Add(time.Hour)}}, Subject{Logged: noon}); len(by) != 0 {
		t.Error("nothing at all is announced")
	}
}

func TestTheNarrowestExpectationIsUsed(t *testing.T) {
	key := newKey(t)
	names := []string{"www.example.com"}
	e := func(id string, change func(*Expectation)) Expectation {
		x := Expectation{ID: id, Names: names, Keys: []string{keyHash(key)}, Count: 1, Created: noon, Until: noon.Add(time.Hour)}
		change(&x)
		return x
	}
	id := cert.ID{5}
	all := []Expectation{
		e("issuer alone", func(x *Expectation) { x.Keys, x.Issuers = nil, []string{"Example Trust"} }),
		e("wide", func(x *Expectation) { x.Names = []string{"a.example.com", "www.example.com"} }),
		e("long", func(x *Expectation) { x.Until = noon.Add(9 * time.Hour) }),
		e("short", func(*Expectation) {}),
		e("key and issuer", func(x *Expectation) { x.Issuers, x.Until = []string{"Example Trust"}, noon.Add(20*time.Hour) }),
		e("used before", func(x *Expectation) {
			x.Used, x.UsedBy, x.Names = 1, []cert.ID{id}, []string{"b.example.com", "c.example.com", "www.example.com"}
		}),
	}
	by, _ := Match(all, Subject{ID: id, Cert: certificate(t, key, nil, "www.example.com"), Logged: noon, Issuer: facts.Issuer{Proven: true, Owners: []string{"Example Trust"}}})
	var got []string
	for _, a := range by {
		got = append(got, a.ID)
	}
	if diff := cmp.Diff([]string{"used before", "key and issuer", "short", "long", "wide", "issuer alone"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestWhatMayBeAnnounced(t *testing.T) {
	key := newKey(t)
	hash := keyHash(key)
	owners := need(facts.LoadOwners())(t)
	full := func(change func(*Request)) Request {
		r := Request{Names: []string{"WWW.Example.com."}, Keys: []string{"spki:" + strings.ToUpper(hash)}, For: "2h", Reason: " renewal of the shop "}
		change(&r)
		return r
	}
	for _, row := range []struct {
		name  string
		r     Request
		field string // of the error
		hint  string
		want  func(e *Expectation) bool
	}{
		{"a name and a key", full(func(*Request) {}), "", "", func(e *Expectation) bool {
			return slices.Equal(e.Names, []string{"www.example.com"}) && slices.Equal(e.Keys, []string{hash}) && e.Count == 1 && e.Until.Equal(noon.Add(2*time.Hour)) && e.Reason == "renewal of the shop"
		}},
		{"names of every kind, each once", full(func(r *Request) {
			r.Names = []string{"*.example.com", "bücher.example", "192.0.2.7", "::ffff:192.0.2.7", "2001:DB8::1"}
		}), "", "", func(e *Expectation) bool {
			return slices.Equal(e.Names, []string{"*.example.com", "192.0.2.7", "2001:db8::1", "xn--bcher-kva.example"})
		}},
		{"days", full(func(r *Request) { r.For = "7d" }), "", "", func(e *Expectation) bool { return e.Until.Equal(noon.AddDate(0, 0, 7)) }},
		{"an issuer by domain becomes its owner", full(func(r *Request) { r.Keys, r.Issuers = nil, []string{"letsencrypt.org"} }), "", "", func(e *Expectation) bool {
			return e.IssuerAlone() && slices.Equal(e.Issuers, owners.Resolve("letsencrypt.org"))
		}},
		{"a CSR gives names and key", Request{CSR: csr(t, key, "www.example.com", "www.example.com", "192.0.2.7"), For: "1h", Reason: "x"}, "", "", func(e *Expectation) bool {
			return slices.Equal(e.Names, []string{"192.0.2.7", "www.example.com"}) && slices.Equal(e.Keys, []string{hash})
		}},
		{"a CSR of a firm", Request{CSR: csr(t, key, "Example Web Shop", "www.example.com"), For: "1h", Reason: "x"}, "", "", func(e *Expectation) bool { return slices.Equal(e.Names, []string{"www.example.com"}) }},
		{"nothing", Request{For: "1h", Reason: "x"}, "names", "name every name", nil},
		{"neither key nor issuer", full(func(r *Request) { r.Keys = nil }), "keys", "give the CSR", nil},
		{"an address by issuer alone", full(func(r *Request) { r.Names, r.Keys, r.Issuers = []string{"192.0.2.7"}, nil, []string{"letsencrypt.org"} }), "keys", "give the CSR", nil},
		{"no reason", full(func(r *Request) { r.Reason = "  " }), "reason", "digest", nil},
		{"a reason without end", full(func(r *Request) { r.Reason = strings.Repeat("x", 301) }), "reason", "", nil},
		{"a reason that writes over the screen", full(func(r *Request) { r.Reason = "fine\x1b[2Jfine" }), "reason", "digest", nil},
		{"a reason of two lines", full(func(r *Request) { r.Reason = "fine\nALARM" }), "reason", "digest", nil},
		{"a reason that runs backwards", full(func(r *Request) { r.Reason = "fine\u202eenif" }), "reason", "digest", nil},
		{"a reason in Greek", full(func(r *Request) { r.Reason = "ανανέωση" }), "", "", func(e *Expectation) bool { return e.Reason == "ανανέωση" }},
		{"no time", full(func(r *Request) { r.For = "" }), "for", "2h", nil},
		{"a time that is no time", full(func(r *Request) { r.For = "soon" }), "for", "2h", nil},
		{"a season", full(func(r *Request) { r.For = "91d" }), "for", "2h", nil},
		{"a negative time", full(func(r *Request) { r.For = "-2h" }), "for", "2h", nil},
		{"a negative count", full(func(r *Request) { r.Count = -1 }), "count", "how many", nil},
		{"a count without end", full(func(r *Request) { r.Count = 1001 }), "count", "how many", nil},
		{"a network", full(func(r *Request) { r.Names = []string{"192.0.2.0/24"} }), "names", "as it will stand", nil},
		{"what is no name", full(func(r *Request) { r.Names = []string{"a b"} }), "names", "as it will stand", nil},
		{"half a hash", full(func(r *Request) { r.Keys = []string{hash[:20]} }), "keys", "SHA-256", nil},
		{"the hash of nothing", full(func(r *Request) { r.Keys = []string{strings.Repeat("0", 64)} }), "keys", "SHA-256", nil},
		{"a CA that nobody knows", full(func(r *Request) { r.Issuers = []string{"letsencript.org"} }), "issuers", "did you mean", nil},
		{"a CSR and other names", Request{CSR: csr(t, key, "", "www.example.com"), Names: []string{"mail.example.com"}, For: "1h", Reason: "x"}, "names", "leave the names out", nil},
		{"a CSR and another key", Request{CSR: csr(t, key, "", "www.example.com"), Keys: []string{keyHash(newKey(t))}, For: "1h", Reason: "x"}, "keys", "leave the key out", nil},
		{"a CSR that is none", Request{CSR: "hello", For: "1h", Reason: "x"}, "csr", "PEM", nil},
		{"a CSR that somebody changed", Request{CSR: strings.Replace(csr(t, key, "", "www.example.com"), "\n", "\nA", 1), For: "1h", Reason: "x"}, "csr", "PEM", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			e, err := New(row.r, "ops", owners, noon)
			if row.field == "" {
				if err != nil || !row.want(&e) {
					t.Errorf("%+v, %v", e, err)
				}
				return
			}
			var bad *RequestError
			if !errors.As(err, &bad) || bad.Field != row.field || !strings.Contains(bad.Hint(), row.hint) {
				t.Errorf("%v; want one of %s with hint %q", err, row.field, row.hint)
			}
		})
	}
}

func FuzzANewExpectationIsNarrow(f *testing.F) {
	f.Add("www.example.com", "2h", "x", strings.Repeat("0a", 32))
	f.Add("*.com", "7d", "x", "")
	f.Fuzz(func(t *testing.T, name, d, reason, key string) {
		e, err := New(Request{Names: []string{name}, Keys: []string{key}, For: d, Reason: reason}, "ops", nil, noon)
		if err != nil {
			return
		}
		if len(e.Names) != 1 || len(e.Keys) != 1 || e.Until.Sub(noon) > MaxFor || !e.Until.After(noon) || e.Count != 1 {
			t.Fatalf("%+v", e)
		}
		if _, err := netip.ParseAddr(e.Names[0]); err != nil && bytes.ContainsAny([]byte(e.Names[0]), " /@:\x00\n\x1b") {
			t.Fatalf("a name that is none: %q", e.Names[0])
		}
	})
}

func keyHash(k crypto.Signer) string {
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
