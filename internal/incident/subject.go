package incident

import (
	"slices"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// maxSet bounds each list of a [Subject], maxValue each text in it in bytes: a certificate may hold anything as a name.
const (
	maxSet   = 128
	maxValue = 256
)

// Subject is what a certificate, or all certificates of an incident, touch and break: what silences are held against.
// Lists are sorted and bounded; Over names those that were cut.
type Subject struct {
	Owners  []string `json:"owners,omitempty"`
	Watches []string `json:"watches,omitempty"`
	Items   []string `json:"items,omitempty"`
	Names   []string `json:"names,omitempty"`
	// Issuers are "spki:", the issuing key, a space, and its proven owner; either may be missing.
	Issuers []string     `json:"issuers,omitempty"`
	Keys    []string     `json:"keys,omitempty"`
	Rules   []string     `json:"rules,omitempty"`
	Level   policy.Level `json:"level"`
	// Address: an address or network is touched.
	Address bool     `json:"address,omitempty"`
	Over    []string `json:"over,omitempty"`
}

func newSubject(v *Verdict) Subject {
	var s Subject
	s.add("issuers", &s.Issuers, "spki:"+v.IssuerKey+" "+v.Issuer)
	s.add("keys", &s.Keys, v.Key)
	for _, r := range v.Rules {
		s.add("rules", &s.Rules, r)
	}
	return s
}

func (s *Subject) touch(t Touch) {
	s.add("owners", &s.Owners, t.Owner)
	s.add("watches", &s.Watches, t.Watch)
	s.add("items", &s.Items, t.Watch+" "+t.Item)
	s.add("names", &s.Names, t.Value)
	s.Address = s.Address || t.Network != ""
}

func (s *Subject) add(what string, list *[]string, value string) {
	at, there := slices.BinarySearch(*list, value)
	switch {
	case there:
	case len(*list) >= maxSet || len(value) > maxValue:
		if !slices.Contains(s.Over, what) {
			s.Over = append(s.Over, what)
		}
	default:
		*list = slices.Insert(*list, at, value)
	}
}

// lists pairs the lists of two subjects.
func (s *Subject) lists(o *Subject) []pair {
	return []pair{
		{"owners", &s.Owners, o.Owners}, {"watches", &s.Watches, o.Watches}, {"items", &s.Items, o.Items}, {"names", &s.Names, o.Names},
		{"issuers", &s.Issuers, o.Issuers}, {"keys", &s.Keys, o.Keys}, {"rules", &s.Rules, o.Rules},
	}
}

type pair struct {
	what string
	into *[]string
	from []string
}

// join adds what another subject has.
func (s *Subject) join(o *Subject) {
	for _, p := range s.lists(o) {
		for _, v := range p.from {
			s.add(p.what, p.into, v)
		}
	}
	for _, what := range o.Over {
		if !slices.Contains(s.Over, what) {
			s.Over = append(s.Over, what)
		}
	}
	s.Level = max(s.Level, o.Level)
	s.Address = s.Address || o.Address
}

// touchesNew reports whether the other one touches an item that this one does not have. An item that may have been cut
// counts as new: better told once more.
func (s *Subject) touchesNew(o *Subject) bool {
	for _, item := range o.Items {
		if _, there := slices.BinarySearch(s.Items, item); !there {
			return true
		}
	}
	return slices.Contains(o.Over, "items")
}

func (s *Subject) clone() Subject {
	c := *s
	for _, p := range c.lists(s) {
		*p.into = slices.Clone(p.from)
	}
	c.Over = slices.Clone(s.Over)
	return c
}
