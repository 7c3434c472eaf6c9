package watch

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/cert"
)

// corpus finds the shared certificate corpus, or skips the test.
func corpus(t *testing.T) string {
	dir := os.Getenv("TOCSIN_SHARED")
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; wd != filepath.Dir(wd) && dir == ""; wd = filepath.Dir(wd) {
			if _, err := os.Stat(filepath.Join(wd, "go.mod")); err == nil {
				dir = filepath.Join(filepath.Dir(wd), "shared")
			}
		}
	}
	dir = filepath.Join(dir, "data", "corpus")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the certificate corpus is not beside the repository; set TOCSIN_SHARED to its place to run this test")
	}
	return dir
}

// row is one certificate of the corpus with the columns of its index.
type row struct {
	der    []byte
	column map[string]string
}

// bundle reads NAME.pem.gz and its index, which has one line for each block.
func bundle(t *testing.T, dir, name string) []row {
	t.Helper()
	open := func(paths ...string) io.Reader {
		for _, path := range paths {
			f, err := os.Open(path)
			if err != nil {
				continue
			}
			t.Cleanup(func() { f.Close() })
			if !strings.HasSuffix(path, ".gz") {
				return f
			}
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			return z
		}
		t.Fatalf("no file %v", paths)
		return nil
	}
	base := filepath.Join(dir, filepath.FromSlash(name))
	text, err := io.ReadAll(open(base + ".pem.gz"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(open(base+".tsv.gz", base+".tsv"))
	lines.Buffer(nil, 16<<20)
	lines.Scan()
	header := strings.Split(lines.Text(), "\t")
	var rows []row
	for lines.Scan() {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			t.Fatalf("%s: fewer blocks than lines", name)
		}
		r := row{der: block.Bytes, column: make(map[string]string)}
		for i, v := range strings.Split(lines.Text(), "\t") {
			r.column[header[i]] = v
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return rows
}

// report is what a monitor does with an entry: scan it, and search its bytes when the scan lost something.
func report(m *Matcher, s *cert.Scan, der []byte) []Match {
	s.Certificate(der)
	list := m.Match(s.Idents)
	if m.Touches(s.Idents) != (len(list) > 0) {
		panic("Touches and Match disagree")
	}
	if s.Incomplete {
		list = append(list, m.MatchRaw(der)...)
	}
	return list
}

// unreported are the cases that name the target in another notation or place and are not reported, each with the
// reason. docs/config.md tells users the same.
var unreported = map[string]string{
	"dns-ip/v4-nip":   "a name of nip.io that resolves to the address: the certificate serves that name, no client takes it for the address",
	"dns-ip/v4-sslip": "a name of sslip.io that resolves to the address: the certificate serves that name, no client takes it for the address",
}

// lacking are strict cases whose bytes, as the corpus holds them, name the target nowhere.
var lacking = map[string]string{
	"der/truncated-half": "cut in the public key, before the extensions",
	"der/pem-text":       "PEM text of an empty SEQUENCE",
}

func TestConstructedCorpus(t *testing.T) {
	dir := corpus(t)
	rng := rand.New(rand.NewPCG(4, 2))
	var random []Item
	for len(random) < 1000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(rng.IntN(224)), byte(rng.IntN(256)), byte(rng.IntN(256)), byte(rng.IntN(256))}), 8+rng.IntN(25)).Masked()
		random = append(random, Item{Prefix: p, Text: p.String()})
	}
	m := New([]Watch{
		{Name: "target", Items: items(t, "192.0.2.77 2001:db8::77 watched.example")},
		{Name: "random", Items: random},
	})
	count := make(map[string]int)
	seen := make(map[string]bool)
	var s cert.Scan
	for _, name := range []string{"hostile/hostile", "ip/ip"} {
		for _, r := range bundle(t, dir, name) {
			target, path := r.column["target"], r.column["path"]
			if r.column["kind"] != "constructed" || seen[r.column["sha256"]] {
				continue
			}
			seen[r.column["sha256"]] = true
			count[target]++
			reported := slices.ContainsFunc(report(m, &s, r.der), func(match Match) bool { return match.Watch == 0 })
			switch target {
			case "strict":
				if why, ok := lacking[path]; ok {
					if inner, _ := pem.Decode(r.der); inner != nil {
						r.der = inner.Bytes
					}
					if bytes.Contains(r.der, []byte{192, 0, 2, 77}) || bytes.Contains(r.der, []byte("192.0.2.77")) || bytes.Contains(r.der, []byte("watched")) {
						t.Errorf("%s names the target, although it should not: %s", path, why)
					}
				} else if !reported {
					t.Errorf("%s (%s) names the target and is not reported; read as %q", path, r.column["note"], s.Idents)
				}
			case "none":
				if reported {
					t.Errorf("%s (%s) does not name the target and is reported; read as %q", path, r.column["note"], s.Idents)
				}
			case "alt":
				if _, documented := unreported[path]; reported == documented {
					t.Errorf("%s (%s) reported: %v, documented as unreported: %v; read as %q", path, r.column["note"], reported, documented, s.Idents)
				}
			}
		}
	}
	if count["strict"] < 169 || count["alt"] < 83 || count["none"] < 43 {
		t.Errorf("the corpus holds %v, want at least 169 strict, 83 alt, 43 none", count)
	}
}

// value is one token of the names column.
type value struct{ kind, text string }

func values(column string) []value {
	var out []value
	for token := range strings.FieldsSeq(column) {
		kind, text, _ := strings.Cut(token, ":")
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
		out = append(out, value{kind, text})
	}
	return out
}

// said is what the index says that a certificate names: addresses, and names in lower case.
func said(column string) (addrs []netip.Addr, names []string) {
	add := func(text string) {
		text = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(text), "."))
		if a, err := netip.ParseAddr(text); err == nil {
			addrs = append(addrs, a.Unmap())
		} else if text != "" {
			names = append(names, text)
		}
	}
	for _, v := range values(column) {
		switch v.kind {
		case "ip", "dns", "cn":
			add(v.text)
		case "uri":
			if u, err := url.Parse(v.text); err == nil {
				add(u.Hostname())
			}
		case "email":
			add(v.text[strings.LastIndexByte(v.text, '@')+1:])
		}
	}
	return addrs, names
}

var realBundles = []string{"public-leaf", "public-other", "public-precert", "staging-precert", "wire-other", "ca", "ct-accepted-root"}

func TestRealCorpusReportsExactlyWhatItsIndexSays(t *testing.T) {
	dir := corpus(t)
	rng := rand.New(rand.NewPCG(1, 1))
	type certificate struct {
		row
		addrs []netip.Addr
		names []string
	}
	var all []certificate
	var addrs []netip.Addr
	var names []string
	for _, name := range realBundles {
		for _, r := range bundle(t, dir, "real/"+name) {
			c := certificate{row: r}
			c.addrs, c.names = said(r.column["names"])
			all = append(all, c)
			addrs = append(addrs, c.addrs...)
			for _, n := range c.names {
				if _, err := cert.Name(n); err == nil {
					names = append(names, n)
				}
			}
		}
	}
	// 1.1.1.0/24; 200 networks around addresses of the index; 200 of its names, as zone, exact, or zone above.
	list := items(t, "1.1.1.0/24")
	for range 200 {
		a := addrs[rng.IntN(len(addrs))]
		p := netip.PrefixFrom(a, a.BitLen()-rng.IntN(a.BitLen()*3/4)).Masked()
		list = append(list, Item{Text: p.String(), Prefix: p})
	}
	for len(list) < 401 {
		n := names[rng.IntN(len(names))]
		if _, above, ok := strings.Cut(n, "."); ok && strings.Contains(above, ".") && rng.IntN(3) == 0 {
			n = above
		}
		if rng.IntN(3) == 0 {
			n = "=" + n
		}
		if item, err := ParseItem(n, Place{}); err == nil {
			list = append(list, item)
		}
	}
	m := New([]Watch{{Items: list}})
	var s cert.Scan
	hits, wrong := make([]int, len(list)), 0
	for _, c := range all {
		got := make(map[int]bool)
		for _, match := range report(m, &s, c.der) {
			got[match.Item] = true
		}
		_, indexed := c.column["names"]
		for i, item := range list {
			want := slices.ContainsFunc(c.names, func(n string) bool {
				if !strings.Contains(n, "*") { // the oracle at large takes its time
					return item.Name != "" && (n == item.Name || !item.Exact && strings.HasSuffix(n, "."+item.Name))
				}
				return oracle(item, n)
			}) ||
				item.Prefix.IsValid() && slices.ContainsFunc(c.addrs, item.Prefix.Contains)
			if !indexed && item.Name != "" {
				continue // the index of CA certificates lists no names
			}
			if got[i] != want {
				if wrong++; wrong > 20 {
					t.Fatal("and more")
				}
				t.Errorf("%s %s: item %q reported: %v, want %v; index %.200q, flags %.200q, read as %s", c.column["class"], c.column["sha256"], item.Text, got[i], want, c.column["names"], c.column["flags"], show(s.Idents))
			}
			if want {
				hits[i]++
			}
		}
	}
	if hits[0] == 0 || slices.Contains(hits, 0) {
		t.Errorf("an item was drawn that the index never names: %v", hits)
	}
}

func show(ids []cert.Ident) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, " %v:%q", id.Where, id.Raw)
		if b.Len() > 500 {
			return b.String() + " …"
		}
	}
	return b.String()
}
