package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/bundle"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/policy"
)

// command runs tocsin within the test.
func command(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	p := &process{ctx: t.Context(), stdout: &out, stderr: &err}
	code = p.run(args)
	return code, out.String(), err.String()
}

// result is what match --json says, read by the documented names.
type result struct {
	Index   int    `json:"index"`
	File    string `json:"file"`
	At      int    `json:"file_index"`
	SHA256  string `json:"sha256"`
	ID      string `json:"id"`
	Matched []struct {
		Watch, Item, Where, Value, Odd string
	} `json:"matched"`
	Verdict  string          `json:"verdict"`
	Reasons  []policy.Reason `json:"reasons"`
	Oddities []struct{ Code, Text string }
}

// touches says whether one of the items was touched.
func (r *result) touches(items ...string) bool {
	for _, m := range r.Matched {
		if slices.Contains(items, m.Item) {
			return true
		}
	}
	return false
}

func (r *result) odd(code string) bool {
	for _, o := range r.Oddities {
		if o.Code == code {
			return true
		}
	}
	return false
}

func (r *result) failed() (rules []string) {
	for _, x := range r.Reasons {
		if !x.Held {
			rules = append(rules, x.Rule)
		}
	}
	return rules
}

// match runs match --json. The lines must count up from 0 and the last one must add up.
func match(t testing.TB, args ...string) (code int, results []result) {
	t.Helper()
	code, stdout, stderr := command(t, append([]string{"match", "--json"}, args...)...)
	dec := json.NewDecoder(strings.NewReader(stdout))
	var total matchTotal
	matched, odd, rings := 0, 0, 0
	for {
		var line json.RawMessage
		if err := dec.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v; stderr %s", err, stderr)
		}
		if total.Kind != "" {
			t.Fatalf("a line behind the total: %.200s", line)
		}
		var kind struct{ Kind string }
		var r result
		if err := json.Unmarshal(line, &kind); err != nil {
			t.Fatal(err)
		}
		if kind.Kind == "total" {
			if err := json.Unmarshal(line, &total); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Index != len(results) || (len(r.Matched) == 0) != (r.Verdict == "none") || r.Reasons == nil || r.Oddities == nil || r.Matched == nil {
			t.Fatalf("line %d: %.300s", len(results), line)
		}
		if len(r.Matched) > 0 {
			matched++
		}
		if len(r.Oddities) > 0 {
			odd++
		}
		if r.Verdict == "alarm" || r.Verdict == "page" {
			rings++
		}
		results = append(results, r)
	}
	want := matchTotal{Kind: "total", Certificates: len(results), Matched: matched, Surprises: rings, Odd: odd}
	if d := cmp.Diff(want, total); d != "" {
		t.Fatalf("the total does not add up: %s; exit status %d, stderr %s", d, code, stderr)
	}
	return code, results
}

// need returns v of a call that must not fail.
func need[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func file(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pemOf(ders ...[]byte) (b []byte) {
	for _, der := range ders {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return b
}

func TestD17ABundleOfTwentyRootsShowsAllTwentyAndTheNegativeSerialAsOdd(t *testing.T) {
	var roots [][]byte
	for i := range 20 {
		root := need(ca.NewRoot(fmt.Sprintf("Root %d of watched.example", i), nil))(t)
		der := root.Cert
		if i == 7 {
			leaf := ca.Leaf{CN: root.CN, Key: root.Key, Serial: []byte{0x80, 1}, Extensions: []ca.Extension{
				{ID: ca.OIDBasic, Critical: true, Value: ca.TLV(ca.TagSequence, ca.TLV(ca.TagBoolean, []byte{0xff}))}}}
			der = need(need(root.Issue(leaf))(t).Finish(nil))(t)
		}
		roots = append(roots, der)
	}
	_, results := match(t, "watched.example", file(t, "roots.pem", pemOf(roots...)))
	if len(results) != 20 {
		t.Fatalf("%d certificates, want 20", len(results))
	}
	for i, r := range results {
		if r.odd("serial-negative") != (i == 7) || r.At != i {
			t.Errorf("certificate %d (at %d of the file): oddities %v", i, r.At, r.Oddities)
		}
	}
}

func TestD18OneBadFieldHidesNothing(t *testing.T) {
	root := need(ca.NewRoot("Root", nil))(t)
	issue := func(l ca.Leaf) []byte { return need(need(root.Issue(l))(t).Finish(nil))(t) }
	path := file(t, "bad.pem", pemOf(
		issue(ca.Leaf{RawSAN: [][]byte{ca.DNSName("watched.example.org"), ca.IPAddress(192, 0, 2)}}),
		issue(ca.Leaf{RawSAN: [][]byte{ca.IPAddress(192, 0, 2), ca.DNSName("watched.example.org")}}),
		issue(ca.Leaf{RawSAN: [][]byte{ca.IPAddress(192, 0, 2, 77, 255, 255, 255, 255)}}),
	))
	code, results := match(t, "watched.example.org", "192.0.2.77", path)
	if code != exitSurprise || len(results) != 3 {
		t.Fatalf("exit status %d, %d results", code, len(results))
	}
	for i, item := range []string{"watched.example.org", "watched.example.org", "192.0.2.77"} {
		if r := results[i]; !r.touches(item) || len(r.Oddities) == 0 {
			t.Errorf("certificate %d: matched %v, oddities %v", i, r.Matched, r.Oddities)
		}
	}
}

func TestD19EverySpellingOfANameIsTheSameName(t *testing.T) {
	root := need(ca.NewRoot("Root", nil))(t)
	for _, row := range []struct {
		item, value string
		odd         bool
	}{
		{"xn--bcher-kva.example.org", "bücher.example.org", true},
		{"bücher.example.org", "b\xfccher.example.org", true},
		{"bücher.example.org", "xn--bcher-kva.example.org", false},
		{"=a.example.org", "A.Example.ORG", false},
		{"=a.example.org", "a.example.org.", true},
		{"=a.example.org", "a.example.org ", true},
	} {
		t.Run(fmt.Sprintf("%s written %q", row.item, row.value), func(t *testing.T) {
			der := need(need(root.Issue(ca.Leaf{RawSAN: [][]byte{ca.DNSName(row.value)}}))(t).Finish(nil))(t)
			_, results := match(t, row.item, file(t, "c.der", der))
			if len(results) != 1 || !results[0].touches(row.item) {
				t.Fatalf("not reported: %+v", results)
			}
			if odd := results[0].Matched[0].Odd != ""; odd != row.odd {
				t.Errorf("odd: %v, want %v; %+v", odd, row.odd, results[0].Matched)
			}
		})
	}
}

func TestD21AnAddressIsFoundWhereverItStandsAndTheReportSaysWhere(t *testing.T) {
	root := need(ca.NewRoot("Root", nil))(t)
	for where, leaf := range map[string]ca.Leaf{
		"san:ip":     {RawSAN: [][]byte{ca.IPAddress(192, 0, 2, 1)}},
		"san:dns":    {DNS: []string{"192.0.2.1"}},
		"subject:cn": {CN: "192.0.2.1"},
	} {
		der := need(need(root.Issue(leaf))(t).Finish(nil))(t)
		for _, item := range []string{"192.0.2.1", "192.0.2.0/24"} {
			code, results := match(t, item, file(t, "c.der", der))
			if code != exitSurprise || len(results) != 1 || !results[0].touches(item) || results[0].Matched[0].Where != where {
				t.Errorf("%s in %s: exit status %d, %+v", item, where, code, results)
			}
		}
	}
}

// pageFile is an answer to get-entries.
func pageFile(t testing.TB, entries ...*entry.Entry) string {
	t.Helper()
	type one struct {
		LeafInput []byte `json:"leaf_input"`
		ExtraData []byte `json:"extra_data"`
	}
	var page struct {
		Entries []one `json:"entries"`
	}
	for _, e := range entries {
		page.Entries = append(page.Entries, one{e.MerkleTreeLeaf(), e.ExtraData()})
	}
	return file(t, "page.json", need(json.Marshal(page))(t))
}

func TestD22APrecertificateByASigningCertificateAndItsCertificateAreOneIssuance(t *testing.T) {
	root := need(ca.NewRoot("Root", nil))(t)
	issuing := need(root.NewIntermediate("Issuing", nil))(t)
	signer := need(issuing.NewPrecertSigner("Precert Signing", nil))(t)
	i := need(signer.Issue(ca.Leaf{CN: "watched.example", DNS: []string{"watched.example"}}))(t)
	final := need(i.Finish([][]byte{bytes.Repeat([]byte{7}, 40)}))(t)
	sameNames := need(signer.Issue(ca.Leaf{CN: "watched.example", DNS: []string{"watched.example"}}))(t)

	page := pageFile(t,
		need(entry.Precertificate(i.Precert, i.Chain))(t), need(entry.Raw(final, i.FinalChain))(t), need(entry.Precertificate(sameNames.Precert, sameNames.Chain))(t))
	files := file(t, "all.pem", pemOf(append([][]byte{i.Precert, final, sameNames.Precert}, i.Chain...)...))
	for name, path := range map[string]string{"entries of a log": page, "a file with the chain": files} {
		_, results := match(t, "watched.example", path)
		if len(results) < 3 || results[0].ID != results[1].ID || results[0].ID == results[2].ID {
			t.Errorf("%s: %+v", name, results)
		}
		for _, r := range results[:3] {
			if slices.Contains(r.failed(), "proven") {
				t.Errorf("%s: the issuer of %d is not proven: %+v", name, r.Index, r.Reasons)
			}
		}
	}
	if _, results := match(t, "watched.example", page); results[0].SHA256 == results[1].SHA256 {
		t.Error("precertificate and certificate have one hash")
	}
}

func TestD23TheIssuerIsFoundByItsKeyAndNotByPosition(t *testing.T) {
	root := need(ca.NewRoot("Root", nil))(t)
	issuing := need(root.NewIntermediate("Issuing", nil))(t)
	// Strangers under the same name, as an attacker or a CA that changed its key would have them.
	stranger := need(need(ca.NewRoot("Root", nil))(t).NewIntermediate("Issuing", nil))(t)
	leaf := need(need(issuing.Issue(ca.Leaf{CN: "watched.example", DNS: []string{"watched.example"}}))(t).Finish(nil))(t)
	wants := issuing.KeyHash()
	config := func(spki [32]byte) string {
		return file(t, "tocsin.yaml", []byte(fmt.Sprintf("watch:\n  - names: [watched.example]\n    expect:\n      issuers: [\"spki:%x\"]\n", spki)))
	}
	for name, chain := range map[string][][]byte{
		"leaf, root, intermediate":             {leaf, root.Cert, issuing.Cert},
		"leaf, intermediate, root":             {leaf, issuing.Cert, root.Cert},
		"root, intermediate, leaf":             {root.Cert, issuing.Cert, leaf},
		"strangers of the same names between":  {leaf, stranger.Cert, stranger.Parent.Cert, root.Cert, issuing.Cert},
		"the intermediate twice, root missing": {leaf, issuing.Cert, issuing.Cert},
	} {
		t.Run(name, func(t *testing.T) {
			at := slices.IndexFunc(chain, func(b []byte) bool { return bytes.Equal(b, leaf) })
			code, results := match(t, "--config", config(wants), file(t, "chain.pem", pemOf(chain...)))
			if r := results[at]; code != exitQuiet || r.Verdict != "expected" {
				t.Errorf("exit status %d, verdict %s: %+v", code, r.Verdict, r.Reasons)
			}
			code, results = match(t, "--config", config(stranger.KeyHash()), file(t, "chain.pem", pemOf(chain...)))
			if r := results[at]; code != exitSurprise || r.Verdict != "alarm" {
				t.Errorf("with the stranger's key expected: exit status %d, verdict %s", code, r.Verdict)
			}
		})
	}
	t.Run("in files of their own", func(t *testing.T) {
		if code, _ := match(t, "--config", config(wants), file(t, "leaf.der", leaf), file(t, "ca.der", issuing.Cert)); code != exitQuiet {
			t.Errorf("exit status %d", code)
		}
	})
	t.Run("without the issuer it is not proven, and never expected", func(t *testing.T) {
		code, results := match(t, "--config", config(wants), file(t, "leaf.pem", pemOf(leaf, stranger.Cert, root.Cert)))
		if code != exitSurprise || !slices.Contains(results[0].failed(), "proven") {
			t.Errorf("exit status %d, %+v", code, results[0].Reasons)
		}
	})
	t.Run("in the chain of a log entry", func(t *testing.T) {
		e := need(entry.Raw(leaf, [][]byte{root.Cert, stranger.Cert, issuing.Cert}))(t)
		if code, results := match(t, "--config", config(wants), pageFile(t, e)); code != exitQuiet || results[0].Verdict != "expected" {
			t.Errorf("exit status %d, %+v", code, results)
		}
	})
}

func TestCertificatesOfAllFilesAreCountedAndEachSaysItsFile(t *testing.T) {
	root := need(ca.NewRoot("Root", nil))(t)
	dir := t.TempDir()
	for i, name := range []string{"a.pem", "b/c.der"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		b := need(need(root.Issue(ca.Leaf{DNS: []string{"watched.example"}}))(t).Finish(nil))(t)
		if i == 0 {
			b = append(pemOf(b, b), pemOf(root.Cert)...)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, results := match(t, "watched.example", dir, filepath.Join(dir, "a.pem"))
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprintf("%d %s %d", r.Index, filepath.ToSlash(strings.TrimPrefix(r.File, dir)), r.At))
	}
	want := []string{"0 /a.pem 0", "1 /a.pem 1", "2 /a.pem 2", "3 /b/c.der 0", "4 /a.pem 0", "5 /a.pem 1", "6 /a.pem 2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNoFileMakesMatchPanicHangOrSkip(t *testing.T) {
	root := need(ca.NewRoot("Root", nil))(t)
	rng := rand.New(rand.NewPCG(5, 3))
	var forms [][]byte
	var entries []*entry.Entry
	var ders [][]byte
	var tile []byte
	for range 5 {
		i := need(root.Issue(ca.Leaf{DNS: []string{"watched.example"}}))(t)
		der := need(i.Finish(nil))(t)
		ders = append(ders, der)
		entries = append(entries, need(entry.Raw(der, i.FinalChain))(t))
		var err error
		if tile, err = ctlog.AppendTileLeaf(tile, &ctlog.Entry{Timestamp: 1_790_000_000_000, Cert: der}); err != nil {
			t.Fatal(err)
		}
	}
	page := need(os.ReadFile(pageFile(t, entries...)))(t)
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	if _, err := zw.Write(pemOf(ders...)); err != nil || zw.Close() != nil {
		t.Fatal(err)
	}
	forms = append(forms, ders[0], pemOf(ders...), page, tile, zipped.Bytes())
	for n, form := range forms {
		for range 12 {
			b := bytes.Clone(form)
			cut := rng.IntN(len(b))
			whole := b[:cut]
			if code, results := match(t, "watched.example", file(t, "cut", whole)); cut > 0 && (code > exitSurprise || len(results) == 0) {
				t.Errorf("form %d cut at %d: exit status %d, %d results", n, cut, code, len(results))
			} else if n == 2 || n == 3 { // nothing that is there is lost
				want := bytes.Count(whole, []byte("watched.example"))
				if n == 2 {
					want = bytes.Count(whole, []byte("},{"))
				}
				found := 0
				for _, r := range results {
					if r.touches("watched.example") {
						found++
					}
				}
				if found < want {
					t.Errorf("form %d cut at %d: %d of %d found", n, cut, found, want)
				}
			}
			for range 1 + rng.IntN(8) {
				b[rng.IntN(len(b))] = byte(rng.Uint32())
			}
			if code, results := match(t, "watched.example", file(t, "flipped", b)); code > exitSurprise || len(results) == 0 {
				t.Errorf("form %d with wrong bytes: exit status %d, %d results", n, code, len(results))
			}
		}
	}
	for range 60 {
		b := make([]byte, 1+rng.IntN(4000))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		copy(b, [][]byte{nil, {0x30, 0x82}, {0, 0, 1, 0x9e}, {0x1f, 0x8b, 8, 0}, []byte(`{"entries":[`), []byte("-----BEGIN CERTIFICATE-----\n")}[rng.IntN(6)])
		copy(b[len(b)/2:], "\x82\x0fwatched.example\x00")
		code, results := match(t, "watched.example", file(t, "garbage", b))
		if code > exitSurprise || len(results) == 0 {
			t.Errorf("garbage %x: exit status %d, %d results", b[:min(len(b), 16)], code, len(results))
		}
	}
}

func TestAFileThatCannotBeReadHidesNoOtherAndIsBlindness(t *testing.T) {
	root := need(ca.NewRoot("Root", nil))(t)
	der := need(need(root.Issue(ca.Leaf{DNS: []string{"other.example"}}))(t).Finish(nil))(t)
	good := file(t, "good.der", der)
	missing := filepath.Join(t.TempDir(), "missing.der")
	code, stdout, stderr := command(t, "match", "watched.example", good, missing, good)
	if code != exitBlind || !strings.Contains(stdout, "2 certificates, 0 touch a watch") || !strings.Contains(stderr, "missing.der") {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}
	if code, _, _ := command(t, "match", "other.example", "192.0.2.0/24", good, missing); code != exitBlind {
		t.Errorf("a digest beside a file that cannot be read: exit status %d", code)
	}
	addr := need(need(root.Issue(ca.Leaf{RawSAN: [][]byte{ca.IPAddress(192, 0, 2, 1)}}))(t).Finish(nil))(t)
	if code, _, _ := command(t, "match", "192.0.2.0/24", file(t, "a.der", addr), missing); code != exitSurprise {
		t.Errorf("a surprise wins over blindness: exit status %d", code)
	}
}

func TestAnInterruptIsNoQuietEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	p := &process{ctx: ctx, stdout: &out, stderr: &errs}
	root := need(ca.NewRoot("Root", nil))(t)
	if code := p.run([]string{"match", "watched.example", file(t, "c.der", root.Cert)}); code != exitBlind || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit status %d, %s", code, errs.String())
	}
}

// FuzzMatch: whatever a file holds, match ends, and says something of it.
func FuzzMatch(f *testing.F) {
	root := need(ca.NewRoot("Root", &ca.Options{Seed: "fuzz"}))(f)
	i := need(root.Issue(ca.Leaf{DNS: []string{"watched.example"}, KeySeed: "leaf"}))(f)
	f.Add(i.Precert)
	f.Add(pemOf(i.Precert, root.Cert))
	f.Add([]byte(`{"entries":[{"leaf_input":"` + base64.StdEncoding.EncodeToString(need(entry.Raw(i.Precert, i.Chain))(f).MerkleTreeLeaf()) + `"}]}`))
	cfg := need(inlineConfig([]string{"watched.example", "192.0.2.77"}))(f)
	st, _, err := stations(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := file(t, "input", b)
		m := matching{p: &process{ctx: t.Context(), stdout: io.Discard}, st: st, kin: findKin([]string{path}), json: true, enc: json.NewEncoder(io.Discard)}
		if err := bundle.Read(path, m.item); err != nil {
			t.Fatal(err)
		}
	})
}

var _ app.Toucher = deafMatcher{}
