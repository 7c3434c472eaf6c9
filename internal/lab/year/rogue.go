package year

import (
	"crypto"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// Rogues is how many certificates of a year nobody ordered.
const Rogues = 12

// deed is one way in which somebody gets a certificate. always are those that each year has; of the others it draws.
type deed struct {
	Rogue
	always bool
	// do fills in the leaf and says who signs it.
	do func(*crime) (by string)
}

// crime is one that is being committed.
type crime struct {
	*rand.Rand
	y    *Year
	at   time.Time
	c    *Certificate
	leaf ca.Leaf
}

// deeds are like incidents that happened. What gives each away is in Why: most have several signs.
var deeds = []deed{
	{Rogue{Kind: "address-of-the-resolver", Like: "Fina 2024", Why: "a CA that nobody uses, for an address of the resolver beside invented names", Page: true}, true, func(k *crime) string {
		_, nets := k.y.org.ResolverItems()
		k.leaf.DNS = []string{"test1.invalid-name.example", "ssltest5"}
		k.leaf.IPs = []netip.Addr{address(k.Rand, nets[k.IntN(len(nets))])}
		return fina
	}},
	{Rogue{Kind: "resolver-by-own-ca", Like: "jabber.ru 2023", Why: "the CA of the resolver, with the key of somebody else", OwnCA: true, Page: true}, true, func(k *crime) string {
		s := k.service(func(s *Service) bool { return s.Resolver })
		k.leaf.DNS = s.DNS
		return s.CA
	}},
	{Rogue{Kind: "own-ca-beside-a-renewal", Like: "jabber.ru 2023", Why: "the same CA and names as a renewal a moment before, with the key of somebody else", OwnCA: true, InSettle: true}, true, func(k *crime) string {
		s := k.beside(func(s *Service) bool { return len(s.DNS) == 1 })
		k.leaf.DNS = s.DNS
		return s.CA
	}},
	{Rogue{Kind: "own-ca-wildcard-beside-a-renewal", Like: "Google ccTLD names 2017", Why: "the same CA as a renewal a moment before, for all names of the zone", OwnCA: true, InSettle: true}, true, func(k *crime) string {
		s := k.beside(func(s *Service) bool { return len(s.DNS) == 2 })
		k.leaf.DNS = []string{s.Zone.Name, "*." + s.Zone.Name}
		return s.CA
	}},
	{Rogue{Kind: "own-ca-other-account", Like: "live.fi 2015", Why: "the CA of the ordered certificates, with the key of somebody else", OwnCA: true}, true, func(k *crime) string {
		s := k.service(func(s *Service) bool { return s.Zone != nil && s.Zone.Use == Ordered })
		k.leaf.DNS = []string{s.Zone.Name, "mail." + s.Zone.Name}
		return s.CA
	}},
	{Rogue{Kind: "address-by-own-ca", Like: "Fina 2024, through the CA in use", Why: "a short-lived certificate for one of our addresses, with the key of somebody else", OwnCA: true}, true, func(k *crime) string {
		s := k.service(func(s *Service) bool { return s.Zone == nil })
		k.leaf.IPs, k.leaf.For = s.IPs, addressLife
		return s.CA
	}},
	{Rogue{Kind: "address-of-a-quiet-network", Like: "Fina 2024", Why: "an address of a network for which nothing is expected"}, false, func(k *crime) string {
		k.leaf.IPs, k.leaf.For = []netip.Addr{address(k.Rand, k.y.org.Networks[servedNetworks-2+k.IntN(quietNetworks)])}, addressLife
		return letsEncrypt
	}},
	{Rogue{Kind: "mixed-owner", Like: "Fina 2024", Why: "names of ours beside those of strangers, by a CA that nobody uses"}, false, func(k *crime) string {
		k.leaf.DNS = []string{"login." + k.zone(Own).Name, fmt.Sprintf("a%d.stranger.example", k.IntN(1000))}
		return sectigo
	}},
	{Rogue{Kind: "wildcard-of-an-unlisted-ca", Like: "ICP-Brasil 2024", Why: "a CA of unknown owner, for all names of a zone"}, false, func(k *crime) string {
		k.leaf.DNS = []string{"*." + k.zone(Own).Name}
		return careless
	}},
	{Rogue{Kind: "leaf-that-can-issue", Like: "TURKTRUST 2011", Why: "a CA in use made it a CA certificate", OwnCA: true}, false, func(k *crime) string {
		z := k.zone(Ordered)
		k.leaf.DNS = []string{z.Name}
		k.leaf.Mutate = func(t *ca.TBS) {
			for i, e := range t.Extensions {
				if e.ID == ca.OIDBasic {
					t.Extensions[i].Value = ca.TLV(ca.TagSequence, ca.TLV(ca.TagBoolean, []byte{0xff}))
				}
			}
		}
		return digicert
	}},
	{Rogue{Kind: "reverse-zone", Like: "BR 3.2.2.5", Why: "an address of ours by the name of its reverse zone"}, false, func(k *crime) string {
		a := address(k.Rand, k.y.org.Networks[k.IntN(servedNetworks-2)]).As4()
		k.leaf.DNS = []string{fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", a[3], a[2], a[1], a[0])}
		return sslcom
	}},
	{Rogue{Kind: "malformed", Like: "Fina ssltest5", Why: "an address in a form that no standard knows, a negative serial number, by a CA that nobody uses"}, false, func(k *crime) string {
		a := address(k.Rand, k.y.org.Networks[k.IntN(servedNetworks-2)]).As4()
		k.leaf.DNS, k.leaf.RawSAN = []string{"ssltest5"}, [][]byte{ca.IPAddressConstructed(a[:]...)}
		k.leaf.Serial = []byte{0x80, byte(k.IntN(256)), byte(k.IntN(256))}
		return fina
	}},
	{Rogue{Kind: "validity-over-limit", Like: "CNNIC/MCS 2015", Why: "a CA in use signed an old request of ours again, for longer than anybody of ours orders", OwnCA: true}, false, func(k *crime) string {
		s := k.service(func(s *Service) bool { return s.Zone != nil && s.Zone.Use == Own && s.Custody == Kept })
		k.leaf.DNS, k.leaf.Key, k.leaf.For = s.DNS, s.key, 397*day
		return s.CA
	}},
	{Rogue{Kind: "parked-zone", Like: "github.com by WoSign 2015", Why: "a zone that has no certificates at all"}, false, func(k *crime) string {
		z := k.zone(Parked)
		k.leaf.DNS = []string{z.Name, "www." + z.Name}
		return letsEncrypt
	}},
	{Rogue{Kind: "cdn-zone-unlisted-ca", Like: "KLAYswap 2022", Why: "a zone of the CDN, by a CA that it does not use"}, false, func(k *crime) string {
		k.leaf.DNS = []string{"developers." + k.zone(CDN).Name}
		return sectigo
	}},
	{Rogue{Kind: "name-in-the-common-name", Like: "DigiNotar 2011", Why: "the name stands in the common name alone, and only the final certificate is ever logged"}, false, func(k *crime) string {
		k.leaf.CN, k.leaf.RawSAN = "*."+k.zone(Own).Name, [][]byte{ca.Email("admin@registrar.example")}
		k.c.FinalOnly = true
		return careless
	}},
	{Rogue{Kind: "backdated", Like: "WoSign 2015", Why: "valid from long before it was logged, by a CA that nobody uses"}, false, func(k *crime) string {
		k.leaf.DNS = []string{k.zone(Ordered).Name}
		k.leaf.From = k.at.Add(-time.Duration(200+k.IntN(150)) * day)
		k.leaf.For = 397 * day
		return careless
	}},
	{Rogue{Kind: "test-precertificate", Like: "thawte 2015", Why: "a precertificate for a day, as a test of a CA that nobody uses"}, false, func(k *crime) string {
		k.leaf.DNS, k.leaf.For = []string{k.zone(Own).Name, "www." + k.zone(Own).Name}, day
		return sectigo
	}},
}

// Deeds are all kinds of rogues that a year may have.
func Deeds() (all []Rogue) {
	for i := range deeds {
		all = append(all, deeds[i].Rogue)
	}
	return all
}

func address(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-1] = byte(20 + r.IntN(200))
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (k *crime) zone(u Use) *Zone {
	var of []*Zone
	for i := range k.y.org.Zones {
		if z := &k.y.org.Zones[i]; z.Use == u {
			of = append(of, z)
		}
	}
	return of[k.IntN(len(of))]
}

func (k *crime) service(like func(*Service) bool) *Service {
	var of []*Service
	for _, s := range k.y.org.Services {
		if like(s) {
			of = append(of, s)
		}
	}
	return of[k.IntN(len(of))]
}

// beside moves the deed to a moment after a renewal, of which the hook has not told yet.
func (k *crime) beside(like func(*Service) bool) *Service {
	var of []renewal
	for _, n := range k.y.renewed {
		if n.s.Custody == Rotated && n.s.CA == letsEncrypt && k.y.moved[n.s] == "" && k.y.slow[n.id()] == 0 && like(n.s) {
			of = append(of, n)
		}
	}
	n := of[k.IntN(len(of))]
	k.y.slow[n.id()] = time.Duration(5+k.IntN(9)) * time.Minute
	k.at = n.at.Add(time.Duration(20+k.IntN(100)) * time.Second)
	return n.s
}

// rogues plans the twelve.
func (y *Year) rogues() error {
	r := y.rand("rogues")
	var chosen, may []*deed
	for i := range deeds {
		if deeds[i].always {
			chosen = append(chosen, &deeds[i])
		} else {
			may = append(may, &deeds[i])
		}
	}
	for _, n := range r.Perm(len(may))[:Rogues-len(chosen)] {
		chosen = append(chosen, may[n])
	}
	for n, d := range chosen {
		k := &crime{Rand: y.rand("rogue/" + d.Kind), y: y, at: Begin.Add(7*day + time.Duration(r.Int64N(int64(Length-14*day))))}
		rogue := d.Rogue
		k.c = &Certificate{What: "nobody ordered it: " + d.Why, Rogue: &rogue}
		word := d.do(k)
		if k.leaf.Key == nil {
			key, err := attacker(y.Seed, n)
			if err != nil {
				return err
			}
			k.leaf.Key = key
		}
		at := k.at
		if k.leaf.From.IsZero() {
			k.leaf.From = at.Add(-time.Hour)
		}
		k.leaf.From = k.leaf.From.Truncate(time.Second)
		if k.leaf.For == 0 {
			k.leaf.For, _ = (&Service{Zone: &Zone{}}).life(at)
		}
		k.leaf.For -= time.Second
		y.plan(at, func(y *Year) (events []Event, err error) {
			if k.c.Issued, err = issue(y.issuing(word, at, k.Rand), k.leaf, k.Rand); err != nil {
				return nil, err
			}
			return y.logged(k.c, at, k.Rand), nil
		})
	}
	return nil
}

func attacker(seed uint64, n int) (crypto.Signer, error) {
	return ca.NewKey(ca.P256, fmt.Sprintf("year/%d/attacker/%d", seed, n))
}

// issue gives a certificate a serial number of chance, so that it does not depend on what was issued before.
func issue(by *ca.Authority, l ca.Leaf, r *rand.Rand) (*ca.Issued, error) {
	if l.Serial == nil {
		serial := []byte{0x40}
		for range 15 {
			serial = append(serial, byte(r.Uint32()))
		}
		l.Serial = serial
	}
	l.DNS, l.IPs = slices.Clone(l.DNS), slices.Clone(l.IPs)
	return by.Issue(l)
}
