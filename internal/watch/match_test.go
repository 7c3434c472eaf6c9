package watch

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
)

// items parses a space-separated list, each item its own place in one watch.
func items(t testing.TB, list string) []Item {
	t.Helper()
	var out []Item
	for i, text := range strings.Fields(list) {
		item, err := ParseItem(text, Place{Line: i + 1})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, item)
	}
	return out
}

// ident is what package cert makes of a value in normal form: an address, a network, or a name.
func ident(value string) cert.Ident {
	id := cert.Ident{Where: cert.InDNS, Raw: []byte(value)}
	if a, err := netip.ParseAddr(value); err == nil {
		id.Prefix = netip.PrefixFrom(a, a.BitLen())
	} else if p, err := netip.ParsePrefix(value); err == nil {
		id.Prefix = p
	} else {
		id.Name = []byte(value)
	}
	return id
}

// touched lists the texts of the items that values touch, and checks that Touches and Match agree.
func touched(t testing.TB, m *Matcher, values ...string) string {
	t.Helper()
	var ids []cert.Ident
	for _, v := range values {
		ids = append(ids, ident(v))
	}
	var texts []string
	for _, match := range m.Match(ids) {
		texts = append(texts, m.Watches()[match.Watch].Items[match.Item].Text)
	}
	if got := m.Touches(ids); got != (len(texts) > 0) {
		t.Errorf("Touches(%q) = %v, Match finds %q", values, got, texts)
	}
	return strings.Join(texts, " ")
}

func TestCertificateTouchesItem(t *testing.T) {
	for _, row := range []struct {
		it    string
		items string
		value string
		want  string
	}{
		{"a zone watches its own name", "example.com", "example.com", "example.com"},
		{"a zone watches names beneath it", "example.com", "a.b.example.com", "example.com"},
		{"a zone does not watch a name that ends alike", "example.com", "notexample.com", ""},
		{"a zone does not watch a longer name that begins alike", "example.com", "example.com.evil.test", ""},
		{"a zone does not watch the name above", "www.example.com", "example.com", ""},
		{"an exact name watches itself", "=www.example.com", "www.example.com", "=www.example.com"},
		{"an exact name does not watch names beneath it", "=www.example.com", "a.www.example.com", ""},
		{"an exact name does not watch its sibling", "=www.example.com", "ww.example.com", ""},
		{"an exact name beside its zone: both are told", "example.com =www.example.com", "www.example.com", "example.com =www.example.com"},
		{"nested zones are all told", "example.com b.example.com", "a.b.example.com", "example.com b.example.com"},
		{"the same item twice is told twice", "example.com example.com", "example.com", "example.com example.com"},
		{"a name with an empty label is beneath the zone", "example.com", "a..example.com", "example.com"},
		{"a leading dot is beneath the zone", "example.com", ".example.com", "example.com"},
		{"an empty name touches nothing", "example.com com.", "", ""},
		{"dots alone touch nothing", "example.com com.", "...", ""},
		{"an explicit top-level domain watches all of it", "com.", "example.com", "com."},

		{"a wildcard of the zone touches the zone", "example.com", "*.example.com", "example.com"},
		{"a wildcard serves one label: an exact name there", "=www.example.com", "*.example.com", "=www.example.com"},
		{"a wildcard serves one label: a zone there", "www.example.com", "*.example.com", "www.example.com"},
		{"a wildcard does not serve its own parent", "=example.com", "*.example.com", ""},
		{"a wildcard does not serve two labels: an exact name", "=a.b.example.com", "*.example.com", ""},
		{"a wildcard does not serve two labels: a zone", "a.b.example.com", "*.example.com", ""},
		{"a wildcard deep inside the zone touches the zone", "example.com", "*.a.b.example.com", "example.com"},
		{"a wildcard of the zone beneath does not touch the exact name above", "=b.example.com", "*.b.example.com", ""},

		{"a wildcard of a top-level domain concerns an exact name at any depth", "=a.b.example.com", "*.com", "=a.b.example.com"},
		{"a wildcard of a top-level domain concerns a zone at any depth", "a.b.example.com example.org", "*.com", "a.b.example.com"},
		{"a wildcard of a public suffix concerns everybody below", "a.b.example.co.uk", "*.co.uk", "a.b.example.co.uk"},
		{"a wildcard above a public suffix concerns everybody below", "a.example.co.uk", "*.uk", "a.example.co.uk"},
		{"a wildcard above a wildcard suffix concerns everybody below", "a.b.city.kawasaki.jp", "*.kawasaki.jp", "a.b.city.kawasaki.jp"},
		{"a wildcard of a private suffix is an ordinary one", "=a.b.github.io c.github.io", "*.github.io", "c.github.io"},
		{"a bare wildcard concerns every name", "example.com =www.example.org", "*", "example.com =www.example.org"},
		{"wildcards of wildcards concern everybody", "example.com =www.example.org", "*.*", "example.com =www.example.org"},
		{"a double wildcard of a top-level domain concerns everybody below", "a.example.com a.example.org", "*.*.com", "a.example.com"},
		{"a wildcard between a name and a top-level domain goes label by label", "=www.example.com =mail.example.com", "www.*.com", "=www.example.com"},
		{"a wildcard never concerns an address", "192.0.2.0/24 2001:db8::/32", "*", ""},
		{"a wildcard that looks like a network concerns no address", "192.0.2.0/24", "*.0.2.77", ""},

		{"a partial wildcard in the zone", "example.com", "f*o.example.com", "example.com"},
		{"a partial wildcard that fits an exact name", "=foo.example.com", "f*o.example.com", "=foo.example.com"},
		{"a partial wildcard that fits with nothing", "=fo.example.com", "f*o.example.com", "=fo.example.com"},
		{"a partial wildcard that does not fit", "=bar.example.com f.example.com", "f*o.example.com", ""},
		{"a glued wildcard fits the zone", "example.com", "*example.com", "example.com"},
		{"a glued wildcard fits a longer label", "myexample.com", "*example.com", "myexample.com"},
		{"a glued wildcard beneath a top-level domain concerns all below what fits", "=a.myexample.com", "*example.com", "=a.myexample.com"},
		{"a glued wildcard does not fit another label", "examples.com", "*example.com", ""},
		{"a double wildcard of the zone", "example.com", "*.*.example.com", "example.com"},
		{"a double wildcard serves two labels", "=a.b.example.com", "*.*.example.com", "=a.b.example.com"},
		{"a double wildcard touches a zone one label beneath", "b.example.com", "*.*.example.com", "b.example.com"},
		{"a double wildcard does not serve one label", "=b.example.com", "*.*.example.com", ""},
		{"a double wildcard does not serve three labels", "a.b.c.example.com", "*.*.example.com", ""},
		{"a wildcard in the middle", "=a.x.example.com =b.x.example.com", "a.*.example.com", "=a.x.example.com"},
		{"two stars in one label", "=ab-cd.example.com =abcd.example.com", "a*-*d.example.com", "=ab-cd.example.com"},
		{"a label of stars longer than any label is a wildcard", "=www.example.com", strings.Repeat("*", 300) + ".example.com", "=www.example.com"},

		{"an address is inside the network", "192.0.2.0/24", "192.0.2.77", "192.0.2.0/24"},
		{"an address outside", "192.0.2.0/24", "192.0.3.1", ""},
		{"the address itself", "192.0.2.77", "192.0.2.77", "192.0.2.77"},
		{"nested networks are all told", "192.0.2.0/24 192.0.0.0/16 192.0.2.77", "192.0.2.77", "192.0.2.0/24 192.0.0.0/16 192.0.2.77"},
		{"IPv6", "2001:db8::/32", "2001:db8::77", "2001:db8::/32"},
		{"IPv6 outside", "2001:db8::/32", "2001:db9::77", ""},
		{"a v4-mapped item is IPv4", "::ffff:192.0.2.0/120", "192.0.2.77", "::ffff:192.0.2.0/120"},
		{"a v4-mapped value is IPv4", "192.0.2.0/24", "::ffff:192.0.2.77", "192.0.2.0/24"},
		{"all of IPv6 does not hold IPv4", "::/0", "192.0.2.77", ""},
		{"a network of the certificate inside the item", "192.0.0.0/16", "192.0.2.0/24", "192.0.0.0/16"},
		{"a network of the certificate around the item", "192.0.2.77", "192.0.2.0/24", "192.0.2.77"},
		{"the same network", "192.0.2.0/24", "192.0.2.0/24", "192.0.2.0/24"},
		{"a network of the certificate beside the item", "192.0.2.0/25", "192.0.2.128/25", ""},
		{"a network of the certificate around several items and inside one", "192.0.2.1 192.0.0.0/16 192.0.2.2 198.51.100.1", "192.0.2.0/24", "192.0.2.1 192.0.0.0/16 192.0.2.2"},
	} {
		t.Run(row.it, func(t *testing.T) {
			m := New([]Watch{{Items: items(t, row.items)}})
			if got := touched(t, m, row.value); got != row.want {
				t.Errorf("%q against %q touches %q, want %q", row.value, row.items, got, row.want)
			}
		})
	}
}

func TestMatchesAreListedOnceInTheOrderOfTheCertificate(t *testing.T) {
	m := New([]Watch{
		{Name: "web", Owner: "web-team", Items: items(t, "example.com 192.0.2.0/24")},
		{Items: items(t, "=www.example.com")},
	})
	if got := m.Watches()[1].Name; got != "=www.example.com" {
		t.Errorf("a watch without a name is called %q, want the text of its item", got)
	}
	addr := cert.Ident{Where: cert.InIP, Raw: []byte{192, 0, 2, 77}, Prefix: netip.MustParsePrefix("192.0.2.77/32")}
	ids := []cert.Ident{
		{Where: cert.InCN, Raw: []byte("WWW.Example.com"), Name: []byte("www.example.com"), Odd: "upper"},
		addr,
		{Where: cert.InDNS, Raw: []byte("www.example.com"), Name: []byte("www.example.com")},
	}
	for range 500 {
		ids = append(ids, addr)
	}
	want := []Match{
		{Watch: 0, Item: 0, Where: cert.InCN, Value: "WWW.Example.com", Normal: "www.example.com", Odd: "upper"},
		{Watch: 1, Item: 0, Where: cert.InCN, Value: "WWW.Example.com", Normal: "www.example.com", Odd: "upper"},
		{Watch: 0, Item: 1, Where: cert.InIP, Value: "\xc0\x00\x02\x4d", Normal: "192.0.2.77"},
		{Watch: 0, Item: 0, Where: cert.InDNS, Value: "www.example.com", Normal: "www.example.com"},
		{Watch: 1, Item: 0, Where: cert.InDNS, Value: "www.example.com", Normal: "www.example.com"},
	}
	if diff := cmp.Diff(want, m.Match(ids)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNoWatchIsLostAmongManyMatches(t *testing.T) {
	watches := []Watch{{Name: "bulk"}, {Name: "late", Items: items(t, "late.example")}, {Name: "network", Items: items(t, "192.0.2.1")}}
	for i := range maxItems + 10 {
		watches[0].Items = append(watches[0].Items, Item{Name: label(i) + ".example.com"})
	}
	m := New(watches)
	got := m.Match([]cert.Ident{ident("*.com"), ident("late.example"), ident("*.example.com"), ident("192.0.2.1")})
	if len(got) != maxItems+2 {
		t.Errorf("%d matches, want the first %d and one each of the two watches that have none", len(got), maxItems)
	}
	if last := got[len(got)-1]; last.Watch != 2 {
		t.Errorf("the last match is of watch %d, want 2", last.Watch)
	}
}

func TestNoItemIsLostAmongManyMatches(t *testing.T) {
	m := New([]Watch{{Items: items(t, "example.com =z.example.com late.example")}})
	var ids []cert.Ident
	for i := range 10_000 {
		ids = append(ids, ident(label(i)+".example.com"))
	}
	got := m.Match(append(ids, ident("late.example")))
	if len(got) != MaxMatches+1 {
		t.Errorf("%d matches, want the first %d and one of the item that has none", len(got), MaxMatches)
	}
	if last := got[len(got)-1]; last.Item != 2 {
		t.Errorf("the last match is of item %d, want 2", last.Item)
	}
}

func TestD20ACertificateMadeToWasteTimeTouchesEverybodyInBoundedTime(t *testing.T) {
	var list []Item
	for i := range 50_000 {
		list = append(list, Item{Name: strings.Repeat("a", 40) + label(i) + ".example.com", Exact: true})
	}
	m := New([]Watch{{Name: "bulk", Items: list}, {Name: "other", Items: items(t, "other.example")}})
	var ids []cert.Ident
	for range 10_000 {
		ids = append(ids, ident(strings.Repeat("*a", 30)+"*0.example.com"))
	}
	if !m.Touches(ids) {
		t.Error("Touches gave up and said no")
	}
	got := m.Match(ids)
	if len(got) != 2 || got[0].Watch != 0 || got[1].Watch != 1 {
		t.Errorf("%d matches, want one for each watch", len(got))
	}
}

// label is a distinct host name label for each number.
func label(i int) string {
	var b []byte
	for ; i >= 0; i = i/26 - 1 {
		b = append(b, byte('a'+i%26))
	}
	return string(b)
}

func TestTouchesDoesNotAllocate(t *testing.T) {
	m := New([]Watch{{Items: items(t, "example.com =www.example.org a.b.example.net 192.0.2.0/24 2001:db8::/32")}})
	ids := []cert.Ident{ident("www.other.com"), ident("*.other.net"), ident("*.org.uk"), ident("f*o.example.net"), ident("198.51.100.7"), ident("2001:db9::1"), ident("198.51.100.0/24")}
	if m.Touches(ids) {
		t.Fatal("touches")
	}
	if n := testing.AllocsPerRun(100, func() { m.Touches(ids) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
