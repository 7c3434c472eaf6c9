package proposal

import (
	"fmt"
	"slices"
	"strings"
)

// notes are about the watches in force: certificates that they do not expect, issuers that no certificate shows any more,
// and what could be expected where nothing is.
func (s *study) notes(most int, p *Proposal) {
	for k := range s.e.Kept {
		kept := &s.e.Kept[k]
		g := &group{}
		for _, t := range s.targets {
			if t.kept == kept {
				g.targets = append(g.targets, t)
				g.issuers = append(g.issuers, t.issuers...)
			}
		}
		if len(g.targets) == 0 {
			continue
		}
		slices.Sort(g.issuers)
		g.issuers = slices.Compact(g.issuers)
		g.seal()
		certs := s.certs(g)
		say := func(format string, args ...any) {
			p.Notes = append(p.Notes, "watch "+quote(Clean(kept.Name))+" "+plain(fmt.Sprintf(format, args...), 300))
		}
		if len(kept.Issuers) == 0 && len(certs) > 0 {
			say("expects no issuer; it could, from %s", s.issuers(g, certs))
		}
		for _, issuer := range kept.Issuers {
			if len(certs) > 0 && !slices.ContainsFunc(certs, func(n int) bool { return s.among(&s.e.Issuances[n].Issuer, []string{issuer}) }) {
				say("expects %s, of which no certificate was seen", short(issuer))
			}
		}
		all := s.doubts(g)
		for i, d := range all {
			doubt := Doubt{Watch: kept.Name, Issuer: d.issuer, Text: s.doubtText(d), IDs: s.ids(d.certs, len(d.certs))}
			p.Doubts = append(p.Doubts, doubt)
			switch {
			case i == most:
				say("and %s: tocsin init --json tells them", count(len(all)-i, "more doubt"))
			case i < most:
				what := "needs a look"
				if d.issuer != "" {
					what = "does not expect " + quote(d.issuer)
				}
				if ids := s.ids(d.certs, 2); len(ids) > 0 {
					doubt.Text += " (" + strings.Join(ids, ", ") + ")"
				}
				say("%s: %s", what, doubt.Text)
			}
		}
	}
}
