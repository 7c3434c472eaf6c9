package lab

import (
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// careless sets the stage of the scenarios about odd certificates: one owner with renewals, and a careless CA.
func careless(w *World) (*stage, *ca.Authority) {
	s := newStage(w)
	chosen := s.authority("Chosen Root CA", "Chosen TLS CA 1", "Chosen Trust", "US", ca.P256)
	other := s.authority("Careless Root CA", "Careless CA 7", "Careless Trust", "ZZ", ca.P256)
	keys := s.ownKeys(3)
	s.watch(guard{
		name: "edge", owner: "net-team", networks: []string{"192.0.2.0/24", "2001:db8:77::/48"}, names: []string{"example.org"},
		issuer: chosen, keys: keys, surprise: "alarm",
	})
	s.renewals(12, chosen, keys, func(_ int, l *ca.Leaf) {
		l.CN = "www.example.org"
		l.DNS = []string{"www.example.org"}
	})
	return s, other
}

const carelessCA = "Careless CA 7"

// ipAsText: an address is an address also where a CA writes it as text.
func ipAsText(w *World) (*Plan, error) {
	s, a := careless(w)
	s.rings("text in dNSName", RuleIssuer, carelessCA, a, ca.Leaf{CN: "text.example", DNS: []string{"192.0.2.77"}})
	s.rings("text in the common name", RuleIssuer, carelessCA, a, ca.Leaf{CN: "192.0.2.78"})
	s.rings("IPv6 text in dNSName", RuleIssuer, carelessCA, a, ca.Leaf{CN: "text.example", DNS: []string{"2001:DB8:77::9"}})
	s.rings("text in a URI", RuleIssuer, carelessCA, a, ca.Leaf{CN: "text.example", RawSAN: [][]byte{ca.URI("https://192.0.2.79/")}})
	s.rings("hexadecimal notation", RuleIssuer, carelessCA, a, ca.Leaf{CN: "text.example", DNS: []string{"0xc0000250"}})
	return s.done()
}

// reverseZone: a name in a reverse zone is validated by whoever holds the address, and some clients and validation
// methods take it for the address.
func reverseZone(w *World) (*Plan, error) {
	s, a := careless(w)
	s.rings("one address", RuleIssuer, carelessCA, a, ca.Leaf{CN: "text.example", DNS: []string{"77.2.0.192.in-addr.arpa"}})
	s.rings("a wildcard over a network", RuleIssuer, carelessCA, a, ca.Leaf{CN: "text.example", DNS: []string{"*.2.0.192.in-addr.arpa"}})
	s.rings("an IPv6 address", RuleIssuer, carelessCA, a, ca.Leaf{CN: "text.example", DNS: []string{
		"9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.7.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	}})
	return s.done()
}

// malformedSAN: each certificate is one that crypto/x509 refuses, or reads without the name that matters.
func malformedSAN(w *World) (*Plan, error) {
	s, a := careless(w)
	for _, c := range OddLeaves() {
		s.rings(c.Label, RuleIssuer, carelessCA, a, c.Leaf)
	}
	return s.done()
}

// OddLeaf is a leaf that strict parsers refuse or misread. Each names www.example.org or 192.0.2.77.
type OddLeaf struct {
	Label string
	Leaf  ca.Leaf
}

// OddLeaves are the malformed certificates of the scenario, for tests of other packages as well.
func OddLeaves() []OddLeaf {
	const cn = "odd.example"
	watched := ca.DNSName("www.example.org")
	raw := func(names ...[]byte) ca.Leaf { return ca.Leaf{CN: cn, RawSAN: names} }
	with := func(l ca.Leaf, mutate func(*ca.TBS)) ca.Leaf {
		l.Mutate = mutate
		return l
	}
	return []OddLeaf{
		{"an iPAddress of 3 bytes before the name", raw(ca.IPAddress(192, 0, 2), watched)},
		{"an iPAddress of address and mask", raw(ca.IPAddress(192, 0, 2, 77, 255, 255, 255, 0))},
		{"an iPAddress of 32 bytes before a good one", raw(ca.IPAddress(make([]byte, 32)...), ca.IPAddress(192, 0, 2, 77))},
		{"an iPAddress with a constructed tag", raw(ca.GeneralName(0xa7, []byte{192, 0, 2, 77}))},
		{"a name in UTF-8", raw(ca.DNSName("bücher.example.org"))},
		{"a name in Latin-1", raw(ca.DNSName("b\xfccher.example.org"))},
		{"a name followed by NUL", raw(ca.DNSName("www.example.org\x00.evil.example"))},
		{"a name with a trailing dot and spaces", raw(ca.DNSName(" WWW.Example.ORG. "))},
		{"an empty name before the name", raw(ca.DNSName(""), watched)},
		{"two SAN extensions", ca.Leaf{CN: cn, DNS: []string{cn}, SANs: [][]byte{ca.SAN(watched)}}},
		{"version 1 with extensions", with(raw(watched), func(t *ca.TBS) { t.Version = nil })},
		{"an unknown field before the extensions", with(raw(watched), func(t *ca.TBS) {
			t.Fields = append(t.Fields, ca.TLV(0x85, []byte("unknown")))
		})},
		{"a negative serial", ca.Leaf{CN: cn, RawSAN: [][]byte{watched}, Serial: []byte{0x80, 1}}},
		{"a time that is none", with(raw(watched), func(t *ca.TBS) {
			t.Validity = ca.TLV(ca.TagSequence, ca.TLV(ca.TagUTCTime, []byte("261399000000Z")), ca.TLV(ca.TagUTCTime, []byte("soon")))
		})},
	}
}
