package egress

import (
	"net/netip"
	"net/url"
	"strings"
)

// reserved are blocks that no host on the Internet has (the registries of special addresses, RFC 6890), beside those
// that package netip knows.
var reserved = []struct {
	block netip.Prefix
	why   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this network"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a shared address of a provider"},
	{netip.MustParsePrefix("192.0.0.0/24"), "an address for protocols"},
	{netip.MustParsePrefix("198.18.0.0/15"), "an address for benchmarks"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a local translated address"},
	{netip.MustParsePrefix("100::/64"), "an address that discards"},
	{netip.MustParsePrefix("fec0::/10"), "a site-local address"},
	{netip.MustParsePrefix("5f00::/16"), "an address for segment routing"},
}

// Blocks of IPv6 that hold an IPv4 address, to which a gateway on the way would deliver.
var (
	translated = netip.MustParsePrefix("64:ff9b::/96")
	compatible = netip.MustParsePrefix("::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
)

// Private says what an address is that nothing from outside may send us to, as "a private address"; "" for a public one.
func Private(a netip.Addr) string {
	a = a.WithZone("").Unmap()
	switch {
	case !a.IsValid():
		return "no address"
	case a.IsUnspecified():
		return "no address of any host"
	case a.IsLoopback():
		return "an address of this machine"
	case a.IsPrivate():
		return "a private address"
	case a.IsLinkLocalUnicast():
		return "an address of this link"
	case a.IsMulticast():
		return "an address of a group"
	}
	for _, r := range reserved {
		if r.block.Contains(a) {
			return r.why
		}
	}
	if inner, ok := embedded(a); ok {
		if why := Private(inner); why != "" {
			return why + " (" + inner.String() + ") within an IPv6 address"
		}
	}
	return ""
}

// embedded is the IPv4 address within an IPv6 address.
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case a.Is4():
	case translated.Contains(a), compatible.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:])), true
	case teredo.Contains(a): // RFC 4380 section 4: the client's address has its bits inverted
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	return netip.Addr{}, false
}

// Named reports whether a URL names an address itself that is not public, or this machine by its usual name: whoever
// wrote such a URL into his own configuration means it.
func Named(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && Private(a) != ""
}
