package proposal

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// fineness is what tells two watches apart.
type fineness struct{ owner, wildcard bool }

// From fine to coarse. Names and networks, the set of issuers, and whether keys of ours are held stay apart in all of
// them.
var (
	finest    = fineness{owner: true, wildcard: true}
	byOwner   = fineness{owner: true}
	byIssuers = fineness{}
)

// group is what becomes one watch.
type group struct {
	targets []*target
	issuers []string
	keys    []string // directories
	joined  bool     // of several sets of issuers
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// groups parts the targets that no watch in force holds. The order follows from what is in a group, never from the evidence's: largest first.
func (s *study) groups(how fineness) []*group {
	byKey := map[string]*group{}
	for _, t := range s.targets {
		if t.kept != nil {
			continue
		}
		key := []string{"names", strings.Join(t.issuers, "\x01"), "other keys", "", ""}
		if !t.name() {
			key[0] = "networks"
		}
		if len(t.held) > 0 {
			key[2] = "own keys"
		}
		if how.owner {
			key[3] = t.owner
		}
		if how.wildcard && t.wildcard {
			key[4] = "wildcards"
		}
		k := strings.Join(key, "\x00")
		g := byKey[k]
		if g == nil {
			g = &group{issuers: t.issuers}
			byKey[k] = g
		}
		g.targets = append(g.targets, t)
	}
	var out []*group
	for _, k := range sorted(byKey) {
		g := byKey[k]
		g.seal()
		out = append(out, g)
	}
	slices.SortStableFunc(out, larger)
	return out
}

// seal gathers the directories of the group.
func (g *group) seal() {
	held := map[string]bool{}
	for _, t := range g.targets {
		maps.Copy(held, t.held)
	}
	g.keys = sorted(held)
}

func (g *group) names() bool { return g.targets[0].name() }

// larger orders groups: names before networks, those with an expectation first, then by size.
func larger(a, b *group) int {
	rank := func(g *group) int {
		r := 0
		if !g.names() {
			r += 2
		}
		if len(g.issuers) == 0 {
			r++
		}
		return r
	}
	if c := rank(a) - rank(b); c != 0 {
		return c
	}
	return len(b.targets) - len(a.targets)
}

// join makes the smallest group part of that with most issuers in common, among those of its kind. ok is false when no
// two may be joined: names and networks never are, nor what is unknown with what is known.
func join(groups []*group) (_ []*group, ok bool) {
	alike := func(a, b *group) bool {
		return a.names() == b.names() && (len(a.issuers) == 0) == (len(b.issuers) == 0)
	}
	for i := len(groups) - 1; i > 0; i-- { // the smallest of each kind stand last
		small := groups[i]
		best, most := -1, -1
		for j, g := range groups {
			if j == i || !alike(g, small) {
				continue
			}
			common := 0
			for _, issuer := range small.issuers {
				if slices.Contains(g.issuers, issuer) {
					common += 2
				}
			}
			if (len(g.keys) > 0) == (len(small.keys) > 0) {
				common++
			}
			if common > most {
				best, most = j, common
			}
		}
		if best < 0 {
			continue
		}
		into := groups[best]
		whole := &group{targets: slices.Concat(into.targets, small.targets), issuers: slices.Concat(into.issuers, small.issuers), joined: true}
		slices.Sort(whole.issuers)
		whole.issuers = slices.Compact(whole.issuers)
		slices.SortStableFunc(whole.targets, func(a, b *target) int { return compare(a.item, b.item) })
		whole.seal()
		if len(into.keys) == 0 || len(small.keys) == 0 {
			whole.keys = nil // for part of it other keys are the rule
		}
		out := slices.Clone(groups)
		out[best] = whole
		out = slices.Delete(out, i, i+1)
		slices.SortStableFunc(out, larger)
		return out, true
	}
	return groups, false
}

// owner is that of all targets, or "" where they differ.
func (g *group) owner() string {
	owner := g.targets[0].owner
	for _, t := range g.targets {
		if t.owner != owner {
			return ""
		}
	}
	return owner
}
