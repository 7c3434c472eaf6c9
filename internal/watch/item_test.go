package watch

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	gocmp "github.com/google/go-cmp/cmp/cmpopts"
)

func TestItemsAreRead(t *testing.T) {
	for _, row := range []struct {
		it, text string
		want     Item
	}{
		{"a zone", "example.com", Item{Name: "example.com"}},
		{"a zone in any case", "Example.COM", Item{Name: "example.com"}},
		{"a zone with the dot of a full name", "example.com.", Item{Name: "example.com"}},
		{"an exact name", "=www.example.com", Item{Name: "www.example.com", Exact: true}},
		{"an exact name may be a public suffix, it matches that name only", "=co.uk", Item{Name: "co.uk", Exact: true}},
		{"a top-level domain with its dot", "com.", Item{Name: "com"}},
		{"a public suffix with its dot", "co.uk.", Item{Name: "co.uk"}},
		{"a private suffix", "github.io", Item{Name: "github.io"}},
		{"an underscore", "_acme-challenge.example.com", Item{Name: "_acme-challenge.example.com"}},
		{"space around", " example.com\t", Item{Text: "example.com", Name: "example.com"}},
		{"an address", "192.0.2.1", Item{Prefix: netip.MustParsePrefix("192.0.2.1/32")}},
		{"a network", "192.0.2.0/24", Item{Prefix: netip.MustParsePrefix("192.0.2.0/24")}},
		{"all of IPv4", "0.0.0.0/0", Item{Prefix: netip.MustParsePrefix("0.0.0.0/0")}},
		{"an IPv6 address", "2001:DB8::0077", Item{Prefix: netip.MustParsePrefix("2001:db8::77/128")}},
		{"an IPv6 network", "2001:db8::/32", Item{Prefix: netip.MustParsePrefix("2001:db8::/32")}},
		{"a v4-mapped address is IPv4", "::ffff:192.0.2.1", Item{Prefix: netip.MustParsePrefix("192.0.2.1/32")}},
		{"a v4-mapped network is IPv4", "::ffff:192.0.2.0/120", Item{Prefix: netip.MustParsePrefix("192.0.2.0/24")}},
	} {
		t.Run(row.it, func(t *testing.T) {
			at := Place{File: "list.txt", Line: 7}
			row.want.Place = at
			if row.want.Text == "" {
				row.want.Text = row.text
			}
			got, err := ParseItem(row.text, at)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got, gocmp.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestItemsAreRefusedWithPlaceAndHint(t *testing.T) {
	for _, row := range []struct {
		it, text, problem, hint string
		parse                   func(string, Place) (Item, error)
	}{
		{"nothing", "", "empty item", "remove the item", ParseItem},
		{"an equals sign alone", "=", "no name after =", "=www.example.com", ParseItem},
		{"a wildcard", "*.example.com", "not a valid name", "example.com watches the name and all beneath it", ParseItem},
		{"a wildcard elsewhere", "www.*.example.com", "not a valid name", "wildcards are not written here", ParseItem},
		{"a top-level domain", "com", "single label", `write "com." with the dot`, ParseItem},
		{"a public suffix", "co.uk", "public suffix", `write "co.uk." with the dot`, ParseItem},
		{"host bits", "192.0.2.77/24", "beyond the prefix length", "write 192.0.2.0/24 for the network, or 192.0.2.77 for the address", ParseItem},
		{"host bits of IPv6", "2001:db8::1/32", "beyond the prefix length", "write 2001:db8::/32", ParseItem},
		{"host bits of a mapped network", "::ffff:192.0.2.77/120", "beyond the prefix length", "write 192.0.2.0/24", ParseItem},
		{"a prefix length out of range", "192.0.2.0/33", "neither", "from 0 to 32", ParseItem},
		{"a zone", "fe80::1%eth0", "local to one machine", "without it", ParseItem},
		{"a number out of range", "192.0.2.256", "not a valid name", "four numbers", ParseItem},
		{"a URL", "https://www.example.com/x", "not a valid name", "write the name only: www.example.com", ParseItem},
		{"a mail address", "hostmaster@example.com", "not a valid name", "write the domain only: example.com", ParseItem},
		{"two items in one", "example.com,example.org", "not a valid name", "one item each", ParseItem},
		{"a port", "example.com:443", "not a valid name", "without the port: example.com", ParseItem},
		{"a file name", "./list.txt", "not a valid name", "without a path", ParseItem},
		{"an equals sign before an address", "=192.0.2.1", "an address or network among names", "networks", ParseItem},
		{"a reverse name", "2.0.192.in-addr.arpa", "reverse name of an address", "write the network", ParseItem},
		{"an address among names", "192.0.2.1", "an address or network among names", "move it to networks", ParseName},
		{"a network among names", "2001:db8::/32", "an address or network among names", "move it to networks", ParseName},
		{"a name among networks", "example.com", "a name among networks", "move it to names", ParseNetwork},
		{"an exact name among networks", "=example.com", "a name among networks", "move it to names", ParseNetwork},
		{"an equals sign among networks", "=192.0.2.1", "= is for names", "192.0.2.1", ParseNetwork},
		{"nothing among networks", " ", "empty item", "192.0.2.0/24", ParseNetwork},
		{"a word among networks", "not/a/network", "neither", "192.0.2.0/24", ParseNetwork},
		{"an ambiguous address", "192.0.2.077", "ambiguous", "write 192.0.2.", ParseItem},
		{"a decimal address", "3221225985", "ambiguous", "write 192.0.2.1", ParseItem},
		{"an address in brackets", "[2001:db8::1]", "ambiguous", "write 2001:db8::1", ParseItem},
	} {
		t.Run(row.it, func(t *testing.T) {
			_, err := row.parse(row.text, Place{Line: 2})
			var e *ItemError
			if !errors.As(err, &e) {
				t.Fatalf("ParseItem(%q): %v, want an ItemError", row.text, err)
			}
			if e.Place.String() != "argument 2" || !strings.HasPrefix(e.Error(), "argument 2: ") {
				t.Errorf("the error does not begin with its place: %v", e)
			}
			if !strings.Contains(e.Problem, row.problem) || !strings.Contains(e.HintText, row.hint) {
				t.Errorf("problem %q, hint %q; want %q, %q", e.Problem, e.HintText, row.problem, row.hint)
			}
		})
	}
}

func TestListsAreReadLineByLine(t *testing.T) {
	const file = "\ufeff# our names\r\nexample.com # the shop\n\n  =www.example.org\r\nxn--bcher-kva.example"
	got, err := ReadItems(strings.NewReader(file), "names.txt", ParseName)
	if err != nil {
		t.Fatal(err)
	}
	want := []Item{
		{Text: "example.com", Name: "example.com", Place: Place{"names.txt", 2}},
		{Text: "=www.example.org", Name: "www.example.org", Exact: true, Place: Place{"names.txt", 4}},
		{Text: "xn--bcher-kva.example", Name: "xn--bcher-kva.example", Place: Place{"names.txt", 5}},
	}
	if diff := cmp.Diff(want, got, gocmp.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEveryErrorOfAListHasItsLine(t *testing.T) {
	file := "example.com\n192.0.2.1\n" + strings.Repeat("x", 10_000) + "\n*.example.com\nexample.org\n"
	got, err := ReadItems(strings.NewReader(file), "names.txt", ParseName)
	if len(got) != 2 {
		t.Errorf("%d items, want the 2 good ones", len(got))
	}
	for _, want := range []string{"names.txt:2: ", "names.txt:3: ", "names.txt:4: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no error at %s in: %v", want, err)
		}
	}
}

func TestAListOfErrorsIsCounted(t *testing.T) {
	_, err := ReadItems(strings.NewReader(strings.Repeat("*\n", 1000)), "names.txt", ParseName)
	if err == nil || !strings.Contains(err.Error(), "names.txt: 980 more items are refused") || strings.Count(err.Error(), "\n") > 30 {
		t.Errorf("got %v", err)
	}
}
