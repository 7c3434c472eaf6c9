package proposal

import (
	"net/netip"
	"slices"

	"golang.org/x/net/publicsuffix"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

// registrable is the domain that somebody registered to have the name.
func registrable(name string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}

// networks makes the targets that are networks. Addresses to which names lead count only while nobody said which networks
// are ours: they may be a provider's, whose certificates are no concern of ours.
func (s *study) networks() {
	var have []netip.Prefix
	add := func(p netip.Prefix, owner string, kept *Kept) {
		t := &target{item: watch.Item{Text: text(p), Prefix: p}, owner: owner, kept: kept, held: map[string]bool{}}
		s.targets = append(s.targets, t)
		have = append(have, p)
	}
	for k := range s.e.Kept {
		kept := &s.e.Kept[k]
		for _, it := range kept.Items {
			if it.Prefix.IsValid() && !slices.Contains(have, it.Prefix) {
				add(it.Prefix, kept.Owner, kept)
			}
		}
	}
	byOwner := map[string][]netip.Prefix{}
	for _, it := range s.e.Items {
		if it.Prefix.IsValid() {
			byOwner[""] = append(byOwner[""], it.Prefix)
		}
	}
	for i := range s.e.Zones {
		if z := &s.e.Zones[i]; z.Network.IsValid() {
			byOwner[z.Owner] = append(byOwner[z.Owner], z.Network)
		}
	}
	for _, owner := range sorted(byOwner) {
		for _, p := range Aggregate(byOwner[owner]) {
			if !inside(p, have) {
				add(p, owner, nil)
			}
		}
	}
	var alone []netip.Prefix
	for i := range s.e.Zones {
		for _, a := range s.e.Zones[i].Addresses {
			if a = a.Unmap(); public(a) {
				alone = append(alone, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	var named []netip.Prefix // by the operator, as endpoints
	for _, ep := range s.e.Endpoints {
		if ep.Addr.IsValid() && public(ep.Addr) {
			named = append(named, netip.PrefixFrom(ep.Addr, ep.Addr.BitLen()))
		}
	}
	for _, p := range Aggregate(named) {
		if !inside(p, have) {
			add(p, "", nil)
		}
	}
	if len(have) > 0 {
		alone = slices.DeleteFunc(alone, func(p netip.Prefix) bool { return inside(p, have) })
		for _, p := range alone {
			s.left = append(s.left, p.Addr())
		}
		slices.SortFunc(s.left, netip.Addr.Compare)
		s.left = slices.Compact(s.left)
		return
	}
	for _, p := range Aggregate(alone) {
		add(p, "", nil)
	}
}

// public leaves out addresses that many have at once.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == ""
}

func inside(p netip.Prefix, list []netip.Prefix) bool {
	return slices.ContainsFunc(list, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
}

// Aggregate says the same set of addresses in the fewest prefixes, sorted: what another contains is left out, and two
// halves become a whole. It never covers an address that no prefix did.
func Aggregate(list []netip.Prefix) []netip.Prefix {
	sortedList := slices.Clone(list)
	for i, p := range sortedList {
		sortedList[i] = p.Masked()
	}
	slices.SortFunc(sortedList, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var out []netip.Prefix // as a stack: what comes later lies behind
	for _, p := range sortedList {
		if n := len(out); n > 0 && out[n-1].Bits() <= p.Bits() && out[n-1].Contains(p.Addr()) {
			continue
		}
		out = append(out, p)
		for n := len(out); n > 1; n = len(out) {
			a, b := out[n-2], out[n-1]
			if a.Bits() != b.Bits() || a.Bits() == 0 || a.Addr().BitLen() != b.Addr().BitLen() {
				break
			}
			whole := netip.PrefixFrom(a.Addr(), a.Bits()-1)
			if whole.Masked() != whole || !whole.Contains(b.Addr()) {
				break
			}
			out = append(out[:n-2], whole)
		}
	}
	return out
}

// text is the address alone for a full-length prefix.
func text(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
