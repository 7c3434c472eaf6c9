package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// reportWorld is a config with a state, and certificates for a watched and another name.
type reportWorld struct {
	dir, config, state string
	issuing            *ca.Authority
	watched, other     []byte
	issued             *ca.Issued
	stations           *app.Stations
}

func newReportWorld(t *testing.T) *reportWorld {
	t.Helper()
	w := &reportWorld{dir: t.TempDir()}
	root := need(ca.NewRoot("Report Root", &ca.Options{Seed: "report root"}))(t)
	w.issuing = need(root.NewIntermediate("Report CA", &ca.Options{Seed: "report issuing"}))(t)
	w.issued = need(w.issuing.Issue(ca.Leaf{CN: "www.example.com", DNS: []string{"www.example.com"}}))(t)
	w.watched = need(w.issuing.Finish(w.issued, nil))(t)
	other := need(w.issuing.Issue(ca.Leaf{CN: "www.example.org", DNS: []string{"www.example.org"}}))(t)
	w.other = need(w.issuing.Finish(other, nil))(t)
	w.config, w.state = filepath.Join(w.dir, "tocsin.yaml"), filepath.Join(w.dir, "s.db")
	if err := os.WriteFile(w.config, []byte("watch:\n  - {name: site, owner: web, names: [example.com], surprise: page, expect: {issuers: [digicert.com]}}\nstate: s.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := need(loadConfig(w.config, nil))(t)
	var err error
	if w.stations, _, err = stations(cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

// ledger makes the state.
func (w *reportWorld) ledger(t *testing.T) {
	t.Helper()
	s := need(store.Open(w.state, nil))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func reportLines(t *testing.T, out string) (lines []reportLine) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(out))
	for dec.More() {
		var l reportLine
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestAReportFromAURL(t *testing.T) {
	w := newReportWorld(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chain.pem":
			_, _ = rw.Write(pemOf(append([][]byte{w.watched}, w.issued.FinalChain...)...))
		case "/cert.der":
			_, _ = rw.Write(w.watched)
		case "/page":
			_, _ = rw.Write([]byte("<html><body>\x1b[2J this is not a certificate</body></html>"))
		default:
			http.NotFound(rw, r)
		}
	}))
	defer srv.Close()

	code, out, errs := command(t, "report", "-c", w.config, "--json", "--allow-private", srv.URL+"/chain.pem")
	lines := reportLines(t, out)
	if code != exitSurprise || errs != "" || len(lines) != 1 {
		t.Fatalf("status %d: %s%s", code, out, errs)
	}
	if l := lines[0]; l.Source != srv.URL+"/chain.pem" || l.Verdict != "page" || len(l.Owners) != 1 || l.Owners[0] != "web" || l.Ledger != nil || l.Filed || l.Issuance != cert.Identity(w.issued.TBS, w.issuing.KeyHash()).String() {
		t.Errorf("%+v", l)
	}
	if code, out, errs := command(t, "report", "-c", w.config, "--allow-private", srv.URL+"/cert.der"); code != exitSurprise || !strings.Contains(out, "  owner    web\n") {
		t.Errorf("status %d: %s%s", code, out, errs)
	}
	for _, row := range []struct{ args, want string }{
		{srv.URL + "/chain.pem", "an address of this machine"},
		{"--allow-private " + srv.URL + "/gone", "status 404"},
		{"--allow-private " + srv.URL + "/page", "no certificate was found"},
		{"ftp://example.com/x", "only http and https"},
	} {
		code, out, errs := command(t, append([]string{"report", "-c", w.config}, strings.Fields(row.args)...)...)
		if code != exitBlind || out != "" || !strings.Contains(errs, row.want) || !strings.Contains(errs, "tocsin: error: ") || strings.Contains(errs, "\x1b") {
			t.Errorf("%s: status %d: %s%s", row.args, code, out, errs)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAReportIsFiledOnceAndFoundByItsHash(t *testing.T) {
	w := newReportWorld(t)
	w.ledger(t)
	path := filepath.Join(w.dir, "given.pem")
	if err := os.WriteFile(path, pemOf(append([][]byte{w.watched}, w.issued.FinalChain...)...), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := command(t, "report", "-c", w.config, "--json", "--file", "--by", "a \x1b[1mfriend", path)
	lines := reportLines(t, out)
	if code != exitSurprise || errs != "" || len(lines) != 1 || !lines[0].Filed {
		t.Fatalf("status %d: %s%s", code, out, errs)
	}
	// By its hash, in the notations that people send.
	hash := lines[0].SHA256
	spaced := strings.ToUpper(hash[:2])
	for i := 2; i < len(hash); i += 2 {
		spaced += ":" + strings.ToUpper(hash[i:i+2])
	}
	for _, arg := range []string{hash, spaced, "SHA256:" + hash} {
		code, out, errs := command(t, "report", "-c", w.config, "--json", arg)
		l := reportLines(t, out)
		if code != exitQuiet || len(l) != 1 || l[0].Ledger == nil || l[0].Verdict != "undecided" || l[0].Issuance != lines[0].Issuance || len(l[0].Ledger.Sightings) != 0 || len(l[0].Owners) != 1 {
			t.Errorf("%s: status %d: %s%s", arg, code, out, errs)
		}
		if len(l) == 1 && (strings.Contains(string(l[0].Ledger.Oddities), "\x1b") || !strings.Contains(string(l[0].Ledger.Oddities), `"reported"`)) {
			t.Errorf("oddities %s", l[0].Ledger.Oddities)
		}
	}
	// Again, it is known.
	_, out, _ = command(t, "report", "-c", w.config, "--json", "--file", path)
	if l := reportLines(t, out); len(l) != 1 || l[0].Filed || l[0].Ledger == nil {
		t.Errorf("filed again: %s", out)
	}
	s := need(store.OpenReadOnly(w.state, nil))(t)
	defer s.Close()
	if list, _, err := s.Page(t.Context(), 0, 10); err != nil || len(list) != 1 {
		t.Errorf("the ledger has %d issuances, %v", len(list), err)
	}
}

func TestWhatIsReportedIsTheSameIssuanceInEveryForm(t *testing.T) {
	w := newReportWorld(t)
	want := cert.Identity(w.issued.TBS, w.issuing.KeyHash())
	for name, der := range map[string][]byte{"the certificate": w.watched, "the precertificate": w.issued.Precert} {
		t.Run(name, func(t *testing.T) {
			s := need(store.Open(filepath.Join(t.TempDir(), "s.db"), nil))(t)
			defer s.Close()
			now := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
			id, err := app.FileReport(t.Context(), s, w.stations, &app.Report{Certificate: der, Chain: w.issued.Chain, By: "x", Note: "y"}, now)
			if err != nil || id != want.String() {
				t.Fatalf("filed as %s, want %s: %v", id, want, err)
			}
			rec := need(s.Record(t.Context(), want))(t)
			if rec.Issuance.Decided || len(rec.Sightings) != 0 || !strings.Contains(string(rec.Issuance.Oddities), "reported from outside on 2026-11-28 by x: y") {
				t.Errorf("%+v", rec.Issuance)
			}
			// The daemon reads it from there as the same.
			r := w.stations.Read(app.Subject{Bytes: rec.Issuance.Cert, Precert: rec.Issuance.Precert, IssuerKeyHash: rec.Issuance.IssuerKeyHash, Chain: rec.Issuance.Chain})
			if r.ID != want || !r.Facts.Issuer.Proven {
				t.Errorf("read back as %s, proven %v", r.ID, r.Facts.Issuer.Proven)
			}
		})
	}
	s := need(store.Open(filepath.Join(t.TempDir(), "s.db"), nil))(t)
	defer s.Close()
	if _, err := app.FileReport(context.Background(), s, w.stations, &app.Report{Certificate: w.other}, time.Now()); err == nil || !strings.Contains(err.Error(), "touches no watch") {
		t.Errorf("filed what touches nothing: %v", err)
	}
}

func TestHashesAreToldFromFiles(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for arg, want := range map[string]bool{
		hash: true, strings.ToUpper(hash): true, "sha256:" + hash: true, hash[:62]: false, hash + "ab": false, "cert.pem": false, "": false,
		"https://example.com/" + hash: false,
	} {
		got, ok := hashOf(arg)
		if ok != want || ok && got != hash {
			t.Errorf("%q: %q, %v", arg, got, ok)
		}
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile(hash, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := hashOf(hash); ok {
		t.Error("a file with such a name was taken for a hash")
	}
}
