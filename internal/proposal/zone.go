package proposal

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Bounds of one zone.
const (
	maxRecords   = 5_000_000
	maxAddresses = 100_000
	maxCAA       = 200
)

// ReadZone reads a zone file (RFC 1035 section 5). origin is used until the file says its own; file is for messages.
// What stands in it before an error is returned with the error. $INCLUDE is not followed.
func ReadZone(r io.Reader, origin, file string, owners *facts.Owners) (Zone, error) {
	p := dns.NewZoneParser(r, dns.Fqdn(origin), file)
	p.SetIncludeAllowed(false)
	p.SetDefaultTTL(3600) // many files give none; it does not matter here
	c := NewCollector(owners)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if err := c.Add(rr); err != nil {
			return c.unfinished(origin), fmt.Errorf("%s: %w", file, err)
		}
	}
	if err := p.Err(); err != nil {
		return c.unfinished(origin), errors.New(Clean(strings.TrimPrefix(err.Error(), "dns: ")))
	}
	z, err := c.Zone(origin)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return z, err
}

// Collector takes what matters out of the records of one zone, wherever they come from.
type Collector struct {
	owners          *facts.Owners
	apex            string
	responsible, rp string
	n               int
	names           map[string]bool
	addresses       map[netip.Addr]bool
	caa             map[string]bool
}

// NewCollector begins a zone. owners knows which CAs the values of CAA records stand for.
func NewCollector(owners *facts.Owners) *Collector {
	return &Collector{owners: owners, names: map[string]bool{}, addresses: map[netip.Addr]bool{}, caa: map[string]bool{}}
}

// Add takes one record. An error says that the zone is too large.
func (c *Collector) Add(rr dns.RR) error {
	if c.n++; c.n > maxRecords {
		return fmt.Errorf("more than %d records", maxRecords)
	}
	h := rr.Header()
	if h.Class != dns.ClassINET {
		return nil
	}
	if len(c.names) < maxAddresses {
		c.names[strings.ToLower(h.Name)] = true
	}
	switch rr := rr.(type) {
	case *dns.SOA:
		if c.apex == "" {
			c.apex, c.responsible = strings.ToLower(h.Name), mailbox(rr.Mbox)
		}
	case *dns.RP:
		if c.rp == "" && (c.apex == "" || strings.EqualFold(h.Name, c.apex)) {
			c.rp = mailbox(rr.Mbox)
		}
	case *dns.A:
		c.address(netip.AddrFromSlice(rr.A))
	case *dns.AAAA:
		c.address(netip.AddrFromSlice(rr.AAAA))
	case *dns.CAA:
		if tag := strings.ToLower(rr.Tag); (tag == "issue" || tag == "issuewild") && len(c.caa) < maxCAA {
			domain, _, _ := strings.Cut(rr.Value, ";") // RFC 8659 section 4.2: parameters follow
			c.caa[strings.ToLower(strings.TrimSpace(domain))] = true
		}
	}
	return nil
}

func (c *Collector) address(a netip.Addr, ok bool) {
	if ok && len(c.addresses) < maxAddresses {
		c.addresses[a.Unmap()] = true
	}
}

// Zone is what was taken; an error says that it is no zone that can be watched. origin is used where no SOA was seen.
func (c *Collector) Zone(origin string) (Zone, error) {
	if c.n == 0 {
		return Zone{}, errors.New("it holds no record")
	}
	z := c.unfinished(origin)
	if z.Name == "" && !z.Network.IsValid() {
		name := c.apex
		if name == "" {
			name = origin
		}
		_, err := watch.ParseName(Clean(strings.TrimSuffix(name, ".")), watch.Place{})
		if err == nil {
			err = errors.New("no name")
		}
		return z, fmt.Errorf("which zone it is cannot be told: %w", err)
	}
	return z, nil
}

func (c *Collector) unfinished(origin string) Zone {
	name := c.apex
	if name == "" {
		name = strings.ToLower(origin)
	}
	name = strings.TrimSuffix(name, ".")
	z := Zone{Owner: c.responsible, Names: len(c.names), HasCAA: len(c.caa) > 0, Addresses: slices.SortedFunc(keysOf(c.addresses), netip.Addr.Compare)}
	if c.rp != "" {
		z.Owner = c.rp
	}
	if isReverse(name) {
		if p, _, ok := cert.ParseAddress(name); ok {
			z.Network = p.Masked()
		}
	} else if it, err := watch.ParseName(name, watch.Place{}); err == nil {
		z.Name = it.Name
	}
	for _, domain := range sorted(c.caa) {
		if domain == "" { // nobody may issue
			continue
		}
		if by := c.owners.CAA(domain); len(by) > 0 {
			z.CAA = append(z.CAA, IssuerText(c.owners, by, [32]byte{}))
		} else {
			z.UnknownCAA = append(z.UnknownCAA, Clean(domain))
		}
	}
	slices.Sort(z.CAA)
	z.CAA = slices.Compact(z.CAA)
	return z
}

func keysOf[K comparable](m map[K]bool) func(yield func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func isReverse(name string) bool {
	return strings.HasSuffix(name, ".in-addr.arpa") || strings.HasSuffix(name, ".ip6.arpa")
}

// mailbox turns the name of a mailbox (RFC 1035 section 3.3.13) into an address: its first label, in which dots and
// other characters are escaped (section 5.1), stands before the @.
func mailbox(name string) string {
	name = strings.TrimSuffix(name, ".")
	var local []byte
	for i := 0; i < len(name); i++ {
		switch c := name[i]; c {
		case '\\':
			if i+3 < len(name) && isDigit(name[i+1]) && isDigit(name[i+2]) && isDigit(name[i+3]) {
				n := 100*int(name[i+1]-'0') + 10*int(name[i+2]-'0') + int(name[i+3]-'0')
				local = append(local, byte(n))
				i += 3
			} else if i+1 < len(name) {
				i++
				local = append(local, name[i])
			}
		case '.':
			return Clean(string(local) + "@" + strings.ToLower(name[i+1:]))
		default:
			local = append(local, c)
		}
	}
	return ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// OriginOf guesses the zone from the name of its file: db.example.com, example.com.zone, example.com. "" where the name
// says nothing.
func OriginOf(base string) string {
	base = strings.TrimPrefix(base, "db.")
	for _, end := range []string{".signed", ".zone", ".db", ".txt", ".hosts"} {
		base = strings.TrimSuffix(base, end)
	}
	if _, err := cert.Name(base); err != nil {
		return ""
	}
	return base
}
