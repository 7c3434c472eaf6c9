package year

import (
	"crypto"
	"fmt"
	"net/netip"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// Organisation is whose year it is. It does not change once it is made, and is safe for concurrent use.
type Organisation struct {
	Zones    []Zone
	Networks []netip.Prefix
	Services []*Service
	// CAs are by the word that this package has for them.
	CAs map[string]*CA
	// Keys are those that are kept, as files of a directory would hold them: by the name of the file.
	Keys map[string]crypto.Signer
}

// Zone is one of its zones.
type Zone struct {
	Name, Owner string
	Use         Use
}

// Use is what a zone is used for, which says how its certificates come.
type Use uint8

// The uses.
const (
	Own      Use = iota // served by its own machines: ACME, mostly with a new key each time
	CDN                 // served by a CDN, which orders and holds the keys
	Ordered             // certificates are ordered by people, with keys that are kept
	Parked              // no certificates at all
	Resolver            // the public resolver, which must not be impersonated for a minute
)

// CA is an authority with what is known of it.
type CA struct {
	// Owner is as the CCADB has it, Domain its CAA name; both are "" where no owner is known.
	Owner, Domain string
	Root          *ca.Authority
	// Issuing are its issuing certificates. Known says how many of them were there when the year began; the others come
	// during the year.
	Issuing []*ca.Authority
	Known   int
}

// Custody is who holds the keys of a service, and how the organisation knows of them.
type Custody uint8

// The kinds of custody.
const (
	Rotated Custody = iota // a new key each time; the hook pushes the certificate
	Kept                   // one key, in a file
	Foreign                // somebody else holds them
)

// Service is one certificate that is renewed again and again.
type Service struct {
	Name      string
	Zone      *Zone // nil for addresses
	DNS       []string
	IPs       []netip.Addr
	CA        string
	Custody   Custody
	Resolver  bool
	Announces bool // it may move to another CA, which is announced
	key       crypto.Signer
}

// Owners of zones.
var owners = []string{"web-team", "shop-team", "mail-team", "brand-team"}

// The CAs of an organisation and of others, by the word that this package has for them.
const (
	letsEncrypt = "letsencrypt"
	google      = "google"
	digicert    = "digicert"
	sslcom      = "sslcom"
	staging     = "staging"
	fina        = "fina"
	sectigo     = "sectigo"
	careless    = "careless"
)

// How many of each there are. With the intervals of [Service.every] they make [Renewals].
const (
	ownZones, cdnZones, orderedZones, parkedZones, resolverZones = 112, 56, 16, 12, 4
	servedNetworks, quietNetworks                                = 40, 10
	perOwnZone, perCDNZone, perOrderedZone                       = 21, 16, 4
)

// NewOrganisation makes the organisation.
func NewOrganisation() (*Organisation, error) {
	o := &Organisation{CAs: map[string]*CA{}, Keys: map[string]crypto.Signer{}}
	for _, c := range []struct {
		word, owner, domain, root string
		issuing                   []string
		known                     int
	}{
		{letsEncrypt, "Internet Security Research Group", "letsencrypt.org", "ISRG Root X1", []string{"E7", "E8", "E9", "YE1", "YE2"}, 2},
		{google, "Google Trust Services LLC", "pki.goog", "GTS Root R4", []string{"WE1", "WE2", "WE5"}, 2},
		{digicert, "DigiCert", "digicert.com", "DigiCert Global Root G3", []string{"DigiCert Global G3 TLS ECC CA1", "DigiCert Global G3 TLS ECC CA2"}, 1},
		{sslcom, "SSL.com", "ssl.com", "SSL.com TLS ECC Root CA 2022", []string{"SSL.com TLS Issuing ECC CA R1"}, 1},
		{sectigo, "Sectigo", "sectigo.com", "Sectigo Public Server Authentication Root E46", []string{"Sectigo Public Server Authentication CA DV E36"}, 1},
		{fina, "Financijska agencija (Fina)", "fina.hr", "Fina Root CA", []string{"Fina RDC 2020"}, 1},
		{staging, "", "", "(STAGING) Pretend Pear X1", []string{"(STAGING) Puzzling Parsnip E7"}, 1},
		{careless, "", "", "Careless Root CA", []string{"Careless TLS CA 1"}, 1},
	} {
		made, err := newCA(c.owner, c.domain, c.root, c.issuing, c.known)
		if err != nil {
			return nil, err
		}
		o.CAs[c.word] = made
	}
	o.zones()
	o.networks()
	for i := range o.Zones {
		if err := o.zoneServices(&o.Zones[i]); err != nil {
			return nil, err
		}
	}
	return o, o.addressServices()
}

func newCA(owner, domain, root string, issuing []string, known int) (*CA, error) {
	from := Begin.Add(-3 * 365 * 24 * time.Hour)
	options := func(seed string) *ca.Options {
		return &ca.Options{Seed: "year/" + root + "/" + seed, Org: owner, Country: "ZZ", From: from, For: 20 * 365 * 24 * time.Hour}
	}
	r, err := ca.NewRoot(root, options("root"))
	if err != nil {
		return nil, err
	}
	c := &CA{Owner: owner, Domain: domain, Root: r, Known: known}
	for _, name := range issuing {
		i, err := r.NewIntermediate(name, options(name))
		if err != nil {
			return nil, err
		}
		c.Issuing = append(c.Issuing, i)
	}
	return c, nil
}

func (o *Organisation) zones() {
	for _, z := range []struct {
		use  Use
		word string
		n    int
	}{{Own, "brand", ownZones}, {CDN, "shop", cdnZones}, {Ordered, "bank", orderedZones}, {Parked, "parked", parkedZones}, {Resolver, "resolver", resolverZones}} {
		for i := range z.n {
			zone := Zone{Name: fmt.Sprintf("%s%03d.example", z.word, i+1), Owner: owners[i%len(owners)], Use: z.use}
			if z.use == Resolver {
				zone.Owner = "dns-team"
			}
			o.Zones = append(o.Zones, zone)
		}
	}
}

// networks are apart from each other, so that none can be joined with another.
func (o *Organisation) networks() {
	for i := range servedNetworks + quietNetworks - 2 {
		o.Networks = append(o.Networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(4 * i), 0}), 24))
	}
	o.Networks = append(o.Networks, netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:53::/48"))
}

// ResolverItems are what the public resolver is: the operator writes its watch himself.
func (o *Organisation) ResolverItems() (names []string, networks []netip.Prefix) {
	for i := range o.Zones {
		if o.Zones[i].Use == Resolver {
			names = append(names, o.Zones[i].Name)
		}
	}
	return names, o.Networks[len(o.Networks)-2:]
}

func (o *Organisation) keep(s *Service) (err error) {
	if s.Custody == Kept {
		s.key, err = ca.NewKey(ca.P256, "year/kept/"+s.Name)
		o.Keys[s.Name+".pem"] = s.key
	}
	o.Services = append(o.Services, s)
	return err
}

func (o *Organisation) zoneServices(z *Zone) error {
	add := func(n int, s Service) error {
		s.Zone, s.Name = z, fmt.Sprintf("%s-%02d", z.Name, n)
		return o.keep(&s)
	}
	host := func(n int) string { return fmt.Sprintf("h%02d.%s", n, z.Name) }
	switch z.Use {
	case Own:
		for n := range perOwnZone {
			s := Service{DNS: []string{host(n)}, CA: letsEncrypt, Announces: n == 1}
			switch {
			case n == 0:
				s.DNS = []string{z.Name, "www." + z.Name}
			case n == 2:
				s.DNS = []string{z.Name, "*." + z.Name}
			case n%4 == 3: // a fourth of them keeps its key
				s.Custody = Kept
			case n%8 == 4:
				s.CA = google
			}
			if err := add(n, s); err != nil {
				return err
			}
		}
	case CDN: // two certificates for each name, as for clients of two kinds
		for n := range perCDNZone {
			s := Service{DNS: []string{host(n / 2), fmt.Sprintf("img%02d.%s", n/2, z.Name)}, CA: google, Custody: Foreign}
			if n%2 == 1 {
				s.CA = letsEncrypt
			}
			if err := add(n, s); err != nil {
				return err
			}
		}
	case Ordered:
		for n := range perOrderedZone {
			if err := add(n, Service{DNS: []string{host(n), fmt.Sprintf("pay%02d.%s", n, z.Name)}, CA: digicert, Custody: Kept}); err != nil {
				return err
			}
		}
	case Resolver:
		_, nets := o.ResolverItems()
		s := Service{DNS: []string{z.Name, "*." + z.Name}, CA: digicert, Custody: Kept, Resolver: true}
		for _, n := range nets {
			s.IPs = append(s.IPs, n.Addr().Next())
		}
		return add(0, s)
	}
	return nil
}

// addressServices are the short-lived certificates for addresses (RFC 8738): their keys are kept, since a surprise that
// touches an address waits for no journal.
func (o *Organisation) addressServices() error {
	for i := range servedNetworks - 2 {
		first := o.Networks[i].Addr().Next()
		for n, ips := range [][]netip.Addr{{first}, {first.Next(), first.Next().Next()}} {
			if n == 1 && i%4 != 0 {
				continue
			}
			if err := o.keep(&Service{Name: fmt.Sprintf("edge-%02d-%d", i, n), IPs: ips, CA: letsEncrypt, Custody: Kept}); err != nil {
				return err
			}
		}
	}
	return nil
}
