package watch

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/tocsin-ct/tocsin/cert"
)

// ItemError says why one item of a watch list was refused. HintText is what to write instead, or "".
type ItemError struct {
	Place             Place
	Text              string
	Problem, HintText string
}

// Error is one line without the hint: place, item, problem.
func (e *ItemError) Error() string {
	at := e.Place.String()
	if at != "" {
		at += ": "
	}
	return fmt.Sprintf("%s%s: %s", at, quote(e.Text), e.Problem)
}

// Hint is for a command to print under the error.
func (e *ItemError) Hint() string { return e.HintText }

// quote bounds and escapes a text for a terminal.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q and %d bytes more", s[:most], len(s)-most)
	}
	return fmt.Sprintf("%q", s)
}

// ParseItem reads one item: "example.com" (the name and all beneath it), "=www.example.com" (this name only), an
// address, or a network in CIDR notation. What is neither a valid name nor a network is refused with an *ItemError.
//
// A public suffix ("com", "co.uk") or a single label as a zone is nearly always a slip that would file half the Web,
// so it is refused unless it is written with the dot of a fully qualified name: "com." watches all of com.
func ParseItem(text string, at Place) (Item, error) {
	t := strings.TrimSpace(text)
	if !strings.HasPrefix(t, "=") && looksLikeNetwork(t) {
		return ParseNetwork(text, at)
	}
	return ParseName(text, at)
}

// ParseName reads one item of a list of names: as [ParseItem], but an address or network is refused.
func ParseName(text string, at Place) (Item, error) {
	t := strings.TrimSpace(text)
	refuse := func(problem, hint string) (Item, error) {
		return Item{}, &ItemError{Place: at, Text: t, Problem: problem, HintText: hint}
	}
	bare, exact := strings.CutPrefix(t, "=")
	bare = strings.TrimSpace(bare)
	switch {
	case t == "":
		return refuse("empty item", "write a name such as example.com, or remove the item")
	case bare == "":
		return refuse("no name after =", "=www.example.com watches this name only")
	case looksLikeNetwork(bare):
		return refuse("an address or network among names", "move it to networks")
	}
	normal, err := cert.Name(bare)
	if err != nil {
		return refuse("not a valid name: "+err.Error(), nameHint(bare))
	}
	if isReverse(normal) {
		hint := "certificates are matched by the address that such a name stands for: write the network"
		if p, _, ok := cert.ParseAddress(bare); ok {
			hint += " " + prefixText(unmap(p).Masked())
		}
		return refuse("the reverse name of an address", hint)
	}
	if !exact && isSuffix(normal) && !strings.HasSuffix(bare, ".") {
		problem := "a public suffix: it would match every certificate below it"
		if !strings.Contains(normal, ".") {
			problem = "a single label: it would match every certificate of that top-level domain"
		}
		return refuse(problem, fmt.Sprintf("name your own domain (example.%s); to watch all of it write %q with the dot at its end", normal, normal+"."))
	}
	if normal == bare {
		normal = bare // one copy in memory of a long list
	}
	return Item{Text: t, Name: normal, Exact: exact, Place: at}, nil
}

// ParseNetwork reads one item of a list of networks: an address, or a network in CIDR notation without host bits.
// IPv4-mapped IPv6 becomes IPv4. A name is refused.
func ParseNetwork(text string, at Place) (Item, error) {
	t := strings.TrimSpace(text)
	refuse := func(problem, hint string) (Item, error) {
		return Item{}, &ItemError{Place: at, Text: t, Problem: problem, HintText: hint}
	}
	if t == "" {
		return refuse("empty item", "write an address or network such as 192.0.2.0/24, or remove the item")
	}
	if bare, ok := strings.CutPrefix(t, "="); ok && looksLikeNetwork(bare) {
		return refuse("= is for names", "an address stands for itself: "+bare)
	}
	if strings.Contains(t, "%") {
		return refuse("not an address or network: a zone (after %) is local to one machine", "write the address without it")
	}
	p, ok := strictPrefix(t)
	if !ok {
		if loose, notation, ok := cert.ParseAddress(t); ok {
			problem := "an address in an ambiguous notation"
			if notation != "" {
				problem += " (" + notation + ")"
			}
			return refuse(problem, "write "+prefixText(unmap(loose).Masked()))
		}
		if _, err := cert.Name(strings.TrimPrefix(t, "=")); err == nil {
			return refuse("a name among networks", "move it to names")
		}
		return refuse("neither a valid name nor an address or network", networkHint(t))
	}
	p = unmap(p)
	if masked := p.Masked(); masked != p {
		return refuse("bits are set beyond the prefix length", fmt.Sprintf("write %s for the network, or %s for the address", masked, p.Addr()))
	}
	return Item{Text: t, Prefix: p, Place: at}, nil
}

// strictPrefix reads the unambiguous notations only.
func strictPrefix(t string) (netip.Prefix, bool) {
	addr, bits, cidr := strings.Cut(t, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	if !cidr {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	n := 0
	if bits == "" || len(bits) > 3 || len(bits) > 1 && bits[0] == '0' {
		return netip.Prefix{}, false
	}
	for _, c := range bits {
		if c < '0' || c > '9' {
			return netip.Prefix{}, false
		}
		n = n*10 + int(c-'0')
	}
	p := netip.PrefixFrom(a, n)
	return p, p.IsValid()
}

// unmap turns an IPv4-mapped IPv6 prefix into the IPv4 prefix that it means.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// looksLikeNetwork decides in which way an item is meant, before it is known to be valid.
func looksLikeNetwork(t string) bool {
	if _, ok := strictPrefix(t); ok {
		return true
	}
	if _, err := cert.Name(t); err == nil {
		return false
	}
	if addr, _, ok := strings.Cut(t, "/"); ok {
		if _, ok := strictPrefix(addr); ok {
			return true
		}
	}
	if a, err := netip.ParseAddr(t); err == nil && a.Zone() != "" {
		return true
	}
	if strings.ContainsAny(t, "@*, ") || strings.Contains(t, "://") {
		return false
	}
	_, _, ok := cert.ParseAddress(t)
	return ok
}

// nameHint guesses what was meant by something that is no name.
func nameHint(t string) string {
	if rest, ok := strings.CutPrefix(t, "*."); ok {
		if n, err := cert.Name(rest); err == nil {
			return n + " watches the name and all beneath it"
		}
	}
	switch {
	case strings.Contains(t, "*"):
		return "wildcards are not written here: example.com watches the name and all beneath it"
	case strings.Contains(t, "://"):
		_, host, _ := strings.Cut(t, "://")
		host, _, _ = strings.Cut(host, "/")
		if n, err := cert.Name(host); err == nil {
			return "write the name only: " + n
		}
		return "write the name only, without https:// and path"
	case strings.Contains(t, "@"):
		if n, err := cert.Name(t[strings.LastIndexByte(t, '@')+1:]); err == nil {
			return "write the domain only: " + n
		}
	case strings.ContainsAny(t, ",; \t"):
		return "one item each: example.com, example.org are two"
	case endsInNumber(t):
		return "an address has four numbers from 0 to 255, or is IPv6: 192.0.2.1, 2001:db8::1"
	case strings.Contains(t, "/"):
		return "write the name only, without a path"
	case strings.Contains(t, ":"):
		if n, err := cert.Name(t[:strings.LastIndexByte(t, ':')]); err == nil {
			return "write the name without the port: " + n
		}
	}
	return "a name is labels of letters, digits and hyphens joined by dots, such as www.example.com; a network is such as 192.0.2.0/24"
}

func networkHint(t string) string {
	if addr, bits, ok := strings.Cut(t, "/"); ok {
		if p, ok := strictPrefix(addr); ok {
			return fmt.Sprintf("the prefix length of %s is a number from 0 to %d, not %s", p.Addr(), p.Bits(), quote(bits))
		}
	}
	return "an address or network is such as 192.0.2.1, 192.0.2.0/24, 2001:db8::/32"
}

// prefixText is the address alone for a full-length prefix.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// isReverse tells names that certificates use for addresses (RFC 1035 section 3.5, RFC 3596 section 2.5).
func isReverse(normal string) bool {
	for _, zone := range [...]string{"in-addr.arpa", "ip6.arpa"} {
		if normal == zone || strings.HasSuffix(normal, "."+zone) {
			return true
		}
	}
	return false
}

// endsInNumber tells texts that no client takes for a name: the last label is decimal or 0x hexadecimal (WHATWG URL,
// "ends in a number").
func endsInNumber(name string) bool {
	name = strings.TrimSuffix(name, ".")
	label := name[strings.LastIndexByte(name, '.')+1:]
	if label == "" {
		return false
	}
	if hex, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// isSuffix tells a public suffix of the ICANN part of the list, or any single label.
func isSuffix(normal string) bool {
	if !strings.Contains(normal, ".") {
		return true
	}
	suffix, icann := publicsuffix.PublicSuffix(normal)
	return icann && suffix == normal
}
