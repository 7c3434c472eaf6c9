package watch

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"
	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/cert"
)

// The oracle says in the plainest way what a name of a certificate concerns: it goes through all items, and compares
// labels from the right.
func oracle(item Item, name string) bool {
	if item.Name == "" || name == "" {
		return false
	}
	want, have := labels(item.Name), labels(name)
	for i := 0; ; i++ {
		switch {
		case i == len(want) && !item.Exact:
			return true // at or beneath the zone
		case i == len(want) && i == len(have):
			return true
		case i == len(want) || i == len(have):
			return false
		case !strings.Contains(have[i], "*"):
			if have[i] != want[i] {
				return false
			}
		case !oracleGlob(have[i], want[i]):
			return false
		default:
			// A wildcard with nothing but wildcards before it, and a public suffix behind it.
			stars := !slices.ContainsFunc(have[i:], func(l string) bool { return !strings.Contains(l, "*") })
			if stars && oracleBroad(want[:i]) {
				return true
			}
		}
	}
}

// labels splits from the right.
func labels(name string) []string {
	l := strings.Split(name, ".")
	slices.Reverse(l)
	return l
}

func oracleBroad(reversed []string) bool {
	l := slices.Clone(reversed)
	slices.Reverse(l)
	suffix := strings.Join(l, ".")
	if len(l) <= 1 {
		return true
	}
	for _, name := range []string{suffix, "x." + suffix} {
		if s, icann := publicsuffix.PublicSuffix(name); icann && s == name {
			return true
		}
	}
	return false
}

func oracleGlob(pattern, label string) bool {
	if pattern == "" {
		return label == ""
	}
	if pattern[0] == '*' {
		return oracleGlob(pattern[1:], label) || label != "" && oracleGlob(pattern, label[1:])
	}
	return label != "" && pattern[0] == label[0] && oracleGlob(pattern[1:], label[1:])
}

func TestMatcherAgreesWithTheOracleOnNames(t *testing.T) {
	tails := rapid.SampledFrom([]string{"com", "co.uk", "uk", "example.com", "a.com", "kawasaki.jp", "jp", "github.io", "a.b.example", "ck"})
	plain := rapid.SampledFrom([]string{"a", "b", "ab", "aba", "com", "a-b"})
	odd := rapid.SampledFrom([]string{"*", "*", "*", "a*", "*b", "a*a", "**", "a", "b", "ab", ""})
	join := func(g *rapid.Generator[string], most int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			return strings.Join(append(rapid.SliceOfN(g, 0, most).Draw(t, "labels"), tails.Draw(t, "tail")), ".")
		})
	}
	bare := rapid.SampledFrom([]string{"*", "*.*", "a*", "*.a.*.com", "*.*.*.uk"})
	names := rapid.OneOf(join(plain, 3), join(odd, 4), join(odd, 4), bare)
	rapid.Check(t, func(t *rapid.T) {
		var watches []Watch
		for range rapid.IntRange(1, 3).Draw(t, "watches") {
			var w Watch
			for range rapid.IntRange(0, 5).Draw(t, "items") {
				w.Items = append(w.Items, Item{Name: join(plain, 3).Draw(t, "item"), Exact: rapid.Bool().Draw(t, "exact")})
			}
			watches = append(watches, w)
		}
		m := New(watches)
		name := names.Draw(t, "name")
		var want []Match
		for w := range watches {
			for i, item := range watches[w].Items {
				if oracle(item, name) {
					want = append(want, Match{Watch: w, Item: i, Where: cert.InDNS, Value: name, Normal: name})
				}
			}
		}
		ids := []cert.Ident{{Where: cert.InDNS, Raw: []byte(name), Name: []byte(name)}}
		if got := m.Match(ids); !slices.Equal(got, want) {
			t.Fatalf("Match(%q)\n got %v\nwant %v", name, got, want)
		}
		if got := m.Touches(ids); got != (len(want) > 0) {
			t.Fatalf("Touches(%q) = %v, want %v", name, got, want)
		}
	})
}

func TestMatcherAgreesWithTheOracleOnNetworks(t *testing.T) {
	// Few distinct bits, so that prefixes meet.
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		if rapid.Bool().Draw(t, "v6") {
			a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, rapid.Byte().Draw(t, "x") & 0xc0, 15: rapid.Byte().Draw(t, "y") & 3})
			return netip.PrefixFrom(a, rapid.SampledFrom([]int{0, 32, 33, 34, 40, 120, 126, 127, 128, 128}).Draw(t, "bits")).Masked()
		}
		a := netip.AddrFrom4([4]byte{192, 0, rapid.Byte().Draw(t, "x") & 3, rapid.Byte().Draw(t, "y") & 0xc0})
		return netip.PrefixFrom(a, rapid.SampledFrom([]int{0, 8, 16, 22, 23, 24, 25, 26, 32, 32}).Draw(t, "bits")).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		w := Watch{}
		for range rapid.IntRange(0, 8).Draw(t, "items") {
			w.Items = append(w.Items, Item{Prefix: prefix.Draw(t, "item")})
		}
		m := New([]Watch{w})
		p := prefix.Draw(t, "value")
		var want []Match
		for i, item := range w.Items {
			if item.Prefix.Overlaps(p) {
				want = append(want, Match{Item: i, Where: cert.InIP, Normal: prefixText(p)})
			}
		}
		ids := []cert.Ident{{Where: cert.InIP, Prefix: p}}
		if got := m.Match(ids); !slices.Equal(got, want) {
			t.Fatalf("Match(%v)\n got %v\nwant %v", p, got, want)
		}
		if got := m.Touches(ids); got != (len(want) > 0) {
			t.Fatalf("Touches(%v) = %v, want %v", p, got, want)
		}
	})
}
