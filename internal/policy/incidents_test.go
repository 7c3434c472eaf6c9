package policy_test

import (
	"compress/gzip"
	"encoding/pem"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// shared returns the folder of real data that stands beside the repository. Tests of it run only where it is.
func shared(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("TOCSIN_SHARED"); dir != "" {
		return filepath.Join(dir, "data")
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		data := filepath.Join(dir, "shared", "data")
		if _, err := os.Stat(data); err == nil {
			return data
		}
		if dir == filepath.Dir(dir) {
			t.Skip("the incident certificates are not here: no folder shared/data beside the repository, TOCSIN_SHARED not set")
		}
	}
}

// authorities returns all real CA certificates at hand, by subject: logs send the chain, files do not.
func authorities(t testing.TB) map[string][]*cert.Certificate {
	t.Helper()
	in, err := os.Open(filepath.Join(shared(t), "corpus", "real", "ca.pem.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]*cert.Certificate{}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		c := cert.Parse(block.Bytes)
		all[string(c.RawSubject)] = append(all[string(c.RawSubject)], c)
	}
}

func TestRealIncidents(t *testing.T) {
	o := owners(t)
	world := authorities(t)
	for _, row := range []struct {
		name    string
		files   string // below the folder of incidents
		watch   string
		issuers []string
		level   policy.Level
		broken  string // a rule that did not hold
	}{
		{"the genuine certificates for 1.1.1.1 are expected from their CA", "benign-cloudflare-1111/cloudflare-dns-*.pem", "1.1.1.1",
			[]string{"digicert.com"}, policy.Expected, ""},
		{"the genuine certificates for 1.1.1.1 are a surprise where another CA is promised", "benign-cloudflare-1111/cloudflare-dns-*.pem", "1.1.1.1",
			[]string{"ssl.com"}, policy.Alarm, "issuer"},
		{"the genuine certificates for 1.1.1.1 ring where nothing is promised", "benign-cloudflare-1111/cloudflare-dns-*.pem", "1.1.1.1",
			nil, policy.Alarm, "no-expect-address"},
		{"a genuine certificate of 2021 is expected from its CA", "benign-google/google-wildcard-2021-gts-ca-1c3.pem", "google.com",
			[]string{"pki.goog"}, policy.Expected, ""},
		{"DigiNotar 2011: the name stands in the common name only", "diginotar-2011/rogue-google-wildcard.pem", "google.com",
			[]string{"pki.goog"}, policy.Alarm, "issuer"},
		{"Comodo 2011: Google", "comodo-2011/rogue-*-google-com.pem", "google.com", []string{"pki.goog"}, policy.Alarm, "issuer"},
		{"Comodo 2011: Yahoo", "comodo-2011/rogue-login-yahoo-com-*.pem", "yahoo.com", []string{"digicert.com"}, policy.Alarm, "issuer"},
		{"Comodo 2011: Mozilla", "comodo-2011/rogue-addons-mozilla-org.pem", "mozilla.org", []string{"digicert.com"}, policy.Alarm, "issuer"},
		{"Symantec 2015: a precertificate", "symantec-2015/rogue-precert-*.pem", "google.com", []string{"pki.goog"}, policy.Alarm, "issuer"},
		{"WoSign 2015", "wosign-2015/rogue-github-com.pem", "github.com", []string{"digicert.com"}, policy.Alarm, "issuer"},
		{"country domains of Google, 2017 to 2021", "cctld-google-2017-2021/rogue-google-*.pem", "google.tg google.com.bd google.lk",
			[]string{"pki.goog"}, policy.Alarm, "issuer"},
		{"a mailbox of 2015 that anybody could have", "admin-mailbox-2015/rogue-live-fi.pem", "live.fi",
			[]string{"digicert.com", "microsoft.com"}, policy.Alarm, "issuer"},
		{"TURKTRUST 2011: a CA where none belongs", "turktrust-2012/rogue-ca-*.pem", "ego.gov.tr kktcmerkezbankasi.org",
			[]string{"Kamu SM"}, policy.Alarm, "ca-certificate"},
	} {
		t.Run(row.name, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(shared(t), "incidents", filepath.FromSlash(row.files)))
			if err != nil || len(files) == 0 {
				t.Fatal("no such files", err)
			}
			w := policy.Watch{Name: row.watch, Config: "tocsin.yaml:1"}
			for _, text := range strings.Fields(row.watch) {
				if a, err := netip.ParseAddr(text); err == nil {
					w.Items = append(w.Items, watch.Item{Text: text, Prefix: netip.PrefixFrom(a, a.BitLen())})
				} else {
					w.Items = append(w.Items, watch.Item{Text: text, Name: text})
				}
			}
			if row.issuers != nil {
				w.Expect = &policy.Expect{Issuers: row.issuers}
			}
			rules := compile(t, w)
			matcher := watch.New([]watch.Watch{{Name: w.Name, Items: w.Items}})
			for _, file := range files {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				c := cert.Parse(data)
				var chain [][]byte
				for _, above := range world[string(c.RawIssuer)] {
					chain = append(chain, above.Raw)
				}
				v := policy.Decide(policy.Input{Matches: matcher.Match(c.Idents), Cert: c,
					Facts: facts.Gather(c, [32]byte{}, chain, o, nil), Rules: rules, Now: start})
				if v.Level != row.level || row.broken != "" && !strings.Contains(strings.Join(broken(v), " "), row.broken) {
					t.Errorf("%s: %s, want %s with %s: %+v", filepath.Base(file), v.Level, row.level, row.broken, v.Reasons)
				}
				for _, r := range v.Reasons {
					t.Logf("%s: %s", filepath.Base(file), r.Text)
				}
			}
		})
	}
}
