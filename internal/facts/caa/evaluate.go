package caa

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

// Verdict is what a set of records says of one CA.
type Verdict struct {
	// Answer is one of [facts.CAAAllows], [facts.CAAForbids], [facts.CAANone] and [facts.CAAUnknown].
	Answer string
	// Wanted are the CAs that may issue, sorted.
	Wanted []string
	// Reason says why, in one sentence.
	Reason string
	// Unverifiable are the conditions of the record that allows it which cannot be seen in a certificate.
	Unverifiable []string
}

// Evaluate says whether a CA that recognises the given domains may issue for name by the relevant records (RFC 8659
// section 4): for a wildcard when wildcard is set. No domains means that the CA is not known. It is pure.
func Evaluate(records Set, name string, wildcard bool, domains []string) Verdict {
	if len(records) == 0 {
		return Verdict{Answer: facts.CAANone, Reason: "no CAA records: any CA may issue for " + name}
	}
	tag := tagIssue
	if wildcard && records.has(tagIssueWild) {
		tag = tagIssueWild // and issue records count for nothing
	}
	v := Verdict{}
	restricted, malformed := false, 0
	var ours []Grant
	for _, r := range records {
		if r.Tag != tag {
			continue
		}
		restricted = true
		g := ParseGrant(r.Value)
		switch {
		case g.Malformed:
			malformed++
		case g.Domain == "":
		default:
			v.Wanted = append(v.Wanted, g.Domain)
			if slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(strings.TrimSuffix(d, "."), g.Domain) }) {
				ours = append(ours, g)
			}
		}
	}
	slices.Sort(v.Wanted)
	v.Wanted = slices.Compact(v.Wanted)
	for _, r := range records {
		if r.Critical() && !slices.Contains(understood, r.Tag) {
			v.Answer = facts.CAAForbids
			v.Reason = fmt.Sprintf("the property %.50q is critical, and no CA is known to understand it: none may issue", r.Tag)
			return v
		}
	}
	what := name
	if wildcard {
		what = "*." + name
	}
	switch {
	case !restricted:
		v.Answer, v.Reason = facts.CAANone, fmt.Sprintf("there are CAA records, but none with %s: any CA may issue for %s", tag, what)
	case len(ours) > 0:
		v.Answer = facts.CAAAllows
		v.Reason = fmt.Sprintf("%s of CAA names %s for %s", tag, ours[0].Domain, what)
		v.Unverifiable = conditions(ours)
	case len(v.Wanted) == 0 && malformed > 0:
		v.Answer, v.Reason = facts.CAAForbids, fmt.Sprintf("%s of CAA cannot be read, which allows no CA to issue for %s", tag, what)
	case len(v.Wanted) == 0:
		v.Answer, v.Reason = facts.CAAForbids, fmt.Sprintf("%s of CAA allows no CA to issue for %s", tag, what)
	case len(domains) == 0:
		v.Answer = facts.CAAUnknown
		v.Reason = fmt.Sprintf("%s of CAA names %s for %s, and which names the CA recognises is not known", tag, names(v.Wanted), what)
	default:
		v.Answer = facts.CAAForbids
		v.Reason = fmt.Sprintf("%s of CAA names %s for %s, and not this CA", tag, names(v.Wanted), what)
	}
	return v
}

func (s Set) has(tag string) bool {
	return slices.ContainsFunc(s, func(r Record) bool { return r.Tag == tag })
}

// conditions are what the grants to one CA ask of it beyond its name. A grant without any allows it in any case.
func conditions(grants []Grant) (out []string) {
	for _, g := range grants {
		if len(g.Parameters) == 0 {
			return nil
		}
		for _, p := range g.Parameters {
			out = append(out, p.Tag+"="+p.Value)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// names lists some words, and how many more there are.
func names(list []string) string {
	const most = 8
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
