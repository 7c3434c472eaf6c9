package proposal

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Of an issuer for which nothing of ours speaks: how many certificates make it more than an accident, and which share of
// all (one in so many) for the organisation and for one zone.
const (
	fewest     = 3
	shareOfAll = 100
	shareOfOne = 10
)

// attribute says for each issuance which targets it touches, by the matcher that will watch them.
func (s *study) attribute() {
	watches := make([]watch.Watch, len(s.targets))
	for i, t := range s.targets {
		watches[i].Items = []watch.Item{t.item}
	}
	m := watch.New(watches)
	for n := range s.e.Issuances {
		is := &s.e.Issuances[n]
		found := m.Match(is.Idents)
		if is.Raw != nil {
			found = append(found, m.MatchRaw(is.Raw)...)
		}
		for _, hit := range found {
			t := s.targets[hit.Watch]
			if k := len(t.certs); k == 0 || t.certs[k-1] != n {
				t.certs = append(t.certs, n)
			}
		}
	}
}

// tally counts the certificates of one issuer.
type tally struct {
	certs []int
	ours  int // with keys of ours
}

func (s *study) tally(certs []int) map[string]*tally {
	out := map[string]*tally{}
	for _, n := range certs {
		is := &s.e.Issuances[n]
		if is.Odd != "" || !is.Issuer.Proven {
			continue
		}
		t := out[is.Issuer.Text]
		if t == nil {
			t = &tally{}
			out[is.Issuer.Text] = t
		}
		t.certs = append(t.certs, n)
		if s.ours(n) {
			t.ours++
		}
	}
	return out
}

// ours reports whether a directory of ours holds the key of an issuance.
func (s *study) ours(n int) bool {
	return slices.ContainsFunc(s.e.Directories, func(d Directory) bool { return d.Keys[s.e.Issuances[n].Key] })
}

// judge decides for each target which issuers are proposed and which are doubtful, and why.
func (s *study) judge() {
	touching := map[int]bool{}
	known := map[string]bool{} // to the organisation: something of ours speaks for it somewhere
	for _, t := range s.targets {
		for _, n := range t.certs {
			touching[n] = true
		}
		for _, issuer := range t.caa {
			known[issuer] = true
		}
		if t.kept != nil {
			for _, issuer := range t.kept.Issuers {
				known[issuer] = true
			}
		}
	}
	all := s.tally(sorted(touching))
	total := 0
	for _, a := range all {
		total += len(a.certs)
	}
	for issuer, a := range all {
		by := &s.e.Issuances[a.certs[0]].Issuer
		if a.ours > 0 || s.among(by, sorted(known)) || len(a.certs) >= fewest && len(a.certs)*shareOfAll >= total && s.forNames(a.certs) {
			known[issuer] = true
		}
	}
	for _, t := range s.targets {
		if t.kept != nil {
			t.issuers = slices.Clone(t.kept.Issuers)
		}
		s.judgeOne(t, known)
		s.keys(t)
	}
}

// forNames reports whether most of these certificates name no address. Certificates for addresses are rare, and the ones
// that were never asked for are what tocsin was made for: their number alone speaks for nobody.
func (s *study) forNames(certs []int) bool {
	plain := 0
	for _, n := range certs {
		if !slices.ContainsFunc(s.e.Issuances[n].Idents, func(id cert.Ident) bool { return id.Prefix.IsValid() }) {
			plain++
		}
	}
	return 2*plain > len(certs)
}

func (s *study) judgeOne(t *target, known map[string]bool) {
	here := s.tally(t.certs)
	total, most := 0, 0
	for _, a := range here {
		total += len(a.certs)
		most = max(most, len(a.certs))
	}
	for _, issuer := range sorted(here) {
		a := here[issuer]
		n := len(a.certs)
		by := &s.e.Issuances[a.certs[0]].Issuer
		why := ""
		switch {
		case t.kept != nil && s.among(by, t.kept.Issuers):
			continue
		case t.kept != nil && len(t.kept.Issuers) > 0 && (a.ours > 0 || known[issuer]):
			why = "the watch does not expect it"
		case a.ours > 0, s.among(by, t.caa):
		case t.hasCAA:
			why = "the zone's CAA records do not allow it"
		case !known[issuer]:
			why = "nothing of yours speaks for it"
		case !t.name() && n < fewest:
			why = "no certificate here has a key of yours"
		case n < fewest && most >= fewest && n*shareOfOne < total:
			why = "all others here are of other issuers"
		}
		if why == "" {
			t.issuers = append(t.issuers, issuer)
		} else {
			t.doubts = append(t.doubts, doubt{issuer: issuer, name: by.Name, why: why, certs: a.certs})
		}
	}
	if total == 0 { // nothing but the zone says who may issue
		t.issuers = append(t.issuers, t.caa...)
	}
	slices.Sort(t.issuers)
	t.issuers = slices.Compact(t.issuers)
	odd := map[string][]int{}
	for _, n := range t.certs {
		is := &s.e.Issuances[n]
		switch {
		case is.Odd != "":
			odd[is.Odd] = append(odd[is.Odd], n)
		case !is.Issuer.Proven:
			odd[notProven] = append(odd[notProven], n)
		}
	}
	for _, why := range sorted(odd) {
		t.doubts = append(t.doubts, doubt{why: why, certs: odd[why]})
	}
}

// among reports whether one of the texts stands for an issuer.
func (s *study) among(by *Issuer, texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		if text == by.Text {
			return true
		}
		pair := [2]string{text, by.Text} // the same text always stands for the same owners
		yes, known := s.stands[pair]
		if !known {
			yes = slices.ContainsFunc(s.e.Owners.Resolve(text), func(owner string) bool { return slices.Contains(by.Owners, owner) })
			s.stands[pair] = yes
		}
		return yes
	})
}

// accepted reports whether an issuance is what is expected of a target.
func (s *study) accepted(t *target, n int) bool {
	is := &s.e.Issuances[n]
	return is.Odd == "" && is.Issuer.Proven && s.among(&is.Issuer, t.issuers)
}

// notProven is told of certificates whose issuer is not at hand.
const notProven = "who issued it is not proven"

// keys sees whose keys the current certificates of a target have: of each set of names the newest one.
func (s *study) keys(t *target) {
	newest := map[string]int{}
	for _, n := range t.certs {
		is := &s.e.Issuances[n]
		if !s.accepted(t, n) {
			continue
		}
		t.accepted = append(t.accepted, n)
		t.wildcard = t.wildcard || slices.ContainsFunc(is.Idents, func(id cert.Ident) bool { return bytes.ContainsRune(id.Name, '*') })
		set := nameSet(is)
		if old, ok := newest[set]; !ok || s.e.Issuances[old].From.Before(is.From) || s.e.Issuances[old].From.Equal(is.From) && s.e.Issuances[old].ID < is.ID {
			newest[set] = n
		}
	}
	for _, set := range sorted(newest) {
		n := newest[set]
		t.current++
		found := false
		for i := range s.e.Directories {
			if d := &s.e.Directories[i]; d.Keys[s.e.Issuances[n].Key] {
				t.held[d.Path], found = true, true
			}
		}
		if found {
			t.ours++
		} else {
			t.strange = append(t.strange, n)
		}
	}
	if 2*t.ours < t.current || t.ours == 0 { // other keys are the rule here: a provider holds them
		t.strange, t.held = nil, nil
	}
	slices.Sort(t.strange)
}

func nameSet(is *Issuance) string {
	var names []string
	for i := range is.Idents {
		id := &is.Idents[i]
		if id.Prefix.IsValid() {
			names = append(names, id.Prefix.String())
		} else {
			names = append(names, string(id.Name))
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), "\x00")
}
