package caa

import (
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

// Times within which a certificate is judged.
const (
	// Reuse is for how long before it issues a CA may have looked at the records (Baseline Requirements section
	// 4.2.2.1: their TTL or 8 hours, whichever is more).
	Reuse = 8 * time.Hour
	// Near is how soon after it a first look at a name still says something of an issuance: longer ago it does not.
	Near = time.Hour
)

// maxNames bounds the answers for one certificate.
const maxNames = 1000

// Facts says for each name what the records in force at a time said of a CA that recognises the given domains. Where
// they forbid it, records that were in force in the hours before and that the CA may still have relied on count as well.
// It is pure. The names are those of a certificate, which may hold wildcards; more than a thousand are cut, and a name
// without an answer is unknown.
func Facts(names []string, at time.Time, domains []string, hs Histories, grace time.Duration) []facts.CAA {
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	var out []facts.CAA
	for _, name := range names[:min(len(names), maxNames)] {
		out = append(out, one(name, at, domains, hs, grace))
	}
	return out
}

func one(name string, at time.Time, domains []string, hs Histories, grace time.Duration) facts.CAA {
	way, wildcard, ok := Climb(name)
	if !ok {
		return facts.CAA{Name: name, Answer: facts.CAAUnknown, Note: "it is no name that DNS could hold"}
	}
	base := way[0]
	zone, f := Relevant(hs, base, at, grace)
	var notes []string
	if !f.Known {
		if z, first, ok := firstLook(hs, base, at); ok {
			zone, f = z, first
			notes = append(notes, "first looked at "+f.Seen.Sub(at).Round(time.Second).String()+" after it was issued")
		}
	}
	if !f.Known {
		note := "what CAA said when it was issued is unknown: " + f.Why
		c := facts.CAA{Name: name, Answer: facts.CAAUnknown, Note: note}
		if f.DNSSEC == Bogus {
			c.DNSSEC = Bogus
		}
		return c
	}
	v := Evaluate(f.Set, base, wildcard, domains)
	if v.Answer == facts.CAAForbids {
		if z, before, ok := relied(hs, base, wildcard, at, domains, grace); ok {
			notes = append(notes, "the records changed at most 8 hours before it was issued, and the CA may have relied on the former ones")
			zone, f = z, before
			v = Evaluate(f.Set, base, wildcard, domains)
		}
	}
	notes = append([]string{v.Reason}, notes...)
	if len(v.Unverifiable) > 0 {
		notes = append(notes, "whether the CA kept to "+clip(strings.Join(v.Unverifiable, ", "), 300)+" is not verifiable from CT")
	}
	c := facts.CAA{Name: name, Zone: zone, Answer: v.Answer, Wanted: v.Wanted, Since: f.Since}
	switch {
	case f.Claimed && f.DNSSEC == Secure:
		notes = append(notes, "that DNSSEC secures the answer is only claimed: the resolver is not on this machine")
	case f.DNSSEC == Secure || f.DNSSEC == Insecure && !f.Claimed:
		c.DNSSEC = f.DNSSEC
	}
	c.Note = strings.Join(notes, "; ")
	return c
}

// firstLook answers for a time before anybody looked, from a first look shortly after it.
func firstLook(hs Histories, name string, at time.Time) (zone string, f Force, ok bool) {
	zone, f = climb(name, func(n string) Force {
		known := hs[n].known()
		if len(known) == 0 {
			return At(hs[n], n, at, 0)
		}
		if first := known[0].First; first.After(at) && first.Sub(at) <= Near {
			return At(hs[n], n, first, 0)
		}
		return At(hs[n], n, at, Near)
	})
	return zone, f, f.Known
}

// relied finds records that do not forbid it and were in force within [Reuse] before the time.
func relied(hs Histories, name string, wildcard bool, at time.Time, domains []string, grace time.Duration) (zone string, f Force, ok bool) {
	way, _, _ := Climb(name)
	var moments []time.Time // at which something ended that may have been relied on
	for _, n := range way {
		for _, s := range hs[n].known() {
			if s.Last.Before(at) && at.Sub(s.Last) <= Reuse {
				moments = append(moments, s.Last)
			}
		}
	}
	slices.SortFunc(moments, func(a, b time.Time) int { return b.Compare(a) }) // the latest first
	const most = 64
	for _, t := range moments[:min(len(moments), most)] {
		zone, f = Relevant(hs, name, t, grace)
		if !f.Known {
			continue
		}
		if answer := Evaluate(f.Set, name, wildcard, domains).Answer; answer == facts.CAAAllows || answer == facts.CAANone {
			return zone, f, true
		}
	}
	return "", Force{}, false
}
