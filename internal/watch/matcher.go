package watch

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/tocsin-ct/tocsin/cert"
)

// Bounds of the list that [Matcher.Match] returns, for certificates of many thousand names or wildcards over long
// lists. Beyond MaxMatches only the first match of each item is added, beyond maxItems only the first of each watch:
// no watch is ever lost.
const (
	MaxMatches = 4096
	maxItems   = 16 * MaxMatches
)

// maxSteps bounds the work on the wildcards and networks of one certificate: a full walk over a tree of two million
// items, some tens of milliseconds. Only a certificate made for the purpose needs more; it is then taken to touch
// every watch.
const maxSteps = 4 << 20

// Matcher finds which items a certificate touches. It is immutable and safe for concurrent use.
type Matcher struct {
	watches []Watch
	names   *names
	addrs   bart.Table[uint32] // prefix to the first of its refs
	nets    []ref
}

// New builds a Matcher. It keeps the items, which must not change afterwards.
func New(watches []Watch) *Matcher {
	m := &Matcher{watches: slices.Clone(watches), names: newNames(), nets: make([]ref, 1)}
	for w := range m.watches {
		watch := &m.watches[w]
		if watch.Name == "" && len(watch.Items) > 0 {
			watch.Name = watch.Items[0].Text
		}
		for i := range watch.Items {
			item := &watch.Items[i]
			r := ref{watch: uint32(w), item: uint32(i), exact: item.Exact}
			switch {
			case item.Name != "":
				m.names.add(item.Name, r)
			case item.Prefix.IsValid():
				p := unmap(item.Prefix).Masked()
				r.next, _ = m.addrs.Get(p)
				m.addrs.Insert(p, uint32(len(m.nets)))
				m.nets = append(m.nets, r)
			}
		}
	}
	return m
}

// Watches returns what the Matcher was built from, with names filled in. The caller must not change it.
func (m *Matcher) Watches() []Watch { return m.watches }

// Touches reports whether any of the identities concerns any item. It does not allocate.
func (m *Matcher) Touches(ids []cert.Ident) bool {
	v := visit{t: m.names, touch: true, steps: maxSteps}
	for i := range ids {
		if i > 0 && v.steps == maxSteps && len(ids[i].Name) > 0 && string(ids[i].Name) == string(ids[i-1].Name) {
			continue // the first name is the common name, too; what cost steps costs them again
		}
		if m.touches(ids[i].Name, ids[i].Prefix, &v) {
			return true
		}
	}
	return false
}

func (m *Matcher) touches(name []byte, p netip.Prefix, v *visit) bool {
	if len(name) > 0 {
		return !m.names.empty() && (m.names.touches(name, v) || v.steps <= 0)
	}
	if !p.IsValid() || len(m.nets) == 1 {
		return false
	}
	if p = unmap(p); p.IsSingleIP() {
		return m.addrs.Contains(p.Addr())
	}
	return m.addrs.OverlapsPrefix(p.Masked())
}

// Match lists every (watch, item, where, normal form) that the identities concern, once, in the order of the
// certificate; within one identity in the order of watches and items. The list is bounded: see [MaxMatches].
func (m *Matcher) Match(ids []cert.Ident) []Match {
	f := found{m: m, v: visit{t: m.names, steps: maxSteps}}
	for i := range ids {
		f.ident(ids[i].Where, ids[i].Raw, ids[i].Name, ids[i].Prefix, ids[i].Odd)
	}
	return f.list
}

type key struct {
	watch, item uint32
	where       cert.Where
	normal      string
}

// found gathers the matches of one certificate.
type found struct {
	m     *Matcher
	v     visit
	refs  []ref // of the identity at hand
	list  []Match
	seen  map[key]struct{}
	items map[[2]uint32]bool // that have a match
	rung  map[uint32]bool    // watches that have a match
	last  bool               // the work is used up: everybody was told
}

func (f *found) ident(where cert.Where, raw, name []byte, p netip.Prefix, odd string) {
	if f.last {
		return
	}
	f.refs = f.refs[:0]
	if len(name) > 0 {
		f.v.out = f.v.out[:0]
		f.v.walk(0, name)
		for _, i := range f.v.out {
			f.refs = append(f.refs, f.m.names.refs[i])
		}
	} else if p.IsValid() {
		p = unmap(p).Masked()
		f.prefix(p)
	}
	if len(f.refs) == 0 && f.v.steps > 0 {
		return
	}
	slices.SortFunc(f.refs, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.watch, b.watch), cmp.Compare(a.item, b.item))
	})
	normal := string(name)
	if len(name) == 0 {
		normal = prefixText(p)
	}
	value := string(raw)
	for _, r := range f.refs {
		f.add(r, where, value, normal, odd)
	}
	if f.v.steps <= 0 {
		f.last = true
		for w := range f.m.watches {
			if len(f.m.watches[w].Items) > 0 && !f.rung[uint32(w)] {
				f.add(ref{watch: uint32(w)}, where, value, normal, odd)
			}
		}
	}
}

// prefix gathers the items that contain the prefix, and those that it contains.
func (f *found) prefix(p netip.Prefix) {
	take := func(head uint32) {
		for i := head; i != 0; i = f.m.nets[i].next {
			f.v.steps--
			f.refs = append(f.refs, f.m.nets[i])
		}
	}
	for _, head := range f.m.addrs.Supernets(p) {
		take(head)
	}
	if p.IsSingleIP() {
		return
	}
	for q, head := range f.m.addrs.Subnets(p) {
		if q != p { // Supernets has it
			take(head)
		}
		if f.v.steps <= 0 {
			return
		}
	}
}

func (f *found) add(r ref, where cert.Where, value, normal, odd string) {
	item := [2]uint32{r.watch, r.item}
	if len(f.list) >= MaxMatches && f.items[item] || len(f.list) >= maxItems && f.rung[r.watch] {
		return
	}
	k := key{r.watch, r.item, where, normal}
	if _, dup := f.seen[k]; dup {
		return
	}
	if f.seen == nil {
		f.seen, f.items, f.rung = make(map[key]struct{}), make(map[[2]uint32]bool), make(map[uint32]bool)
	}
	f.seen[k] = struct{}{}
	f.items[item], f.rung[r.watch] = true, true
	f.list = append(f.list, Match{Watch: int(r.watch), Item: int(r.item), Where: where, Value: value, Normal: normal, Odd: odd})
}
