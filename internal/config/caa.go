package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

// CAA says how the CAA records of our names are looked at. Resolvers is empty when they are not.
type CAA struct {
	// Resolvers are recursive DNS servers, as address:port.
	Resolvers []string
	// Every is the time between two looks at a name, Deadline the time for one question; 0 when not given.
	Every, Deadline time.Duration
	// Zones are looked at in place of the names of all watches; empty when not given.
	Zones []watch.Item
}

type caaEntry struct {
	node
	Resolvers []text `yaml:"resolvers"`
	Every     text   `yaml:"every"`
	Deadline  text   `yaml:"deadline"`
	Zones     []text `yaml:"zones"`
}

// Limits of the times of CAA; docs/config.md says why.
const (
	minCAAEvery, maxCAAEvery       = 100 * time.Millisecond, 24 * time.Hour
	minCAADeadline, maxCAADeadline = 100 * time.Millisecond, time.Minute
)

const maxResolvers = 8

const resolverHint = "write the address of a recursive DNS server: 127.0.0.1:53, or one that validates DNSSEC on this machine"

func (k *checker) caa(e *caaEntry) {
	c := &k.c.CAA
	switch {
	case !e.has("resolvers"):
		k.refuse(e.At, "caa without resolvers: nobody could be asked", resolverHint)
	case len(e.Resolvers) == 0:
		k.refuse(e.Written["resolvers"], "resolvers is an empty list: nobody could be asked", resolverHint)
	case len(e.Resolvers) > maxResolvers:
		k.refuse(e.Written["resolvers"], fmt.Sprintf("more than %d resolvers", maxResolvers), "each has its share of the deadline: two are enough")
	}
	seen := map[string]mark{}
	for _, t := range e.Resolvers {
		addr, hint := resolver(t.Value)
		if hint != "" {
			k.refuse(t.At, fmt.Sprintf("resolvers: %.100q is no address with a port", t.Value), hint)
			continue
		}
		k.unique("resolver", addr, t.At, seen)
		c.Resolvers = append(c.Resolvers, addr)
	}
	c.Every = k.duration(e.Every, "every", minCAAEvery, maxCAAEvery)
	c.Deadline = k.duration(e.Deadline, "deadline", minCAADeadline, maxCAADeadline)
	if e.has("zones") && len(e.Zones) == 0 {
		k.refuse(e.Written["zones"], "zones is an empty list: nothing would be looked at", "remove the key to look at the names of all watches")
	}
	zones := Watch{}
	k.items(&zones, e.Zones, mark{}, "zones", watch.ParseName)
	c.Zones = zones.inline
}

// resolver is the address and port of a resolver, or what to write instead.
func resolver(s string) (addr, hint string) {
	if a, err := netip.ParseAddrPort(s); err == nil && a.Port() != 0 && a.Addr().IsValid() {
		return a.String(), ""
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", fmt.Sprintf("did you mean %q?", netip.AddrPortFrom(a, 53))
	}
	return "", resolverHint
}
