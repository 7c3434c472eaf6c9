package proposal

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
)

// inlineItems is how many items stand in the configuration itself; more go into a bulk list.
const inlineItems = 4

// ListFolder is where bulk lists stand, beside the configuration.
const ListFolder = "tocsin.d"

// validities are what certificates are made for, with room for a renewal that runs a little over.
var validities = []int{8, 12, 50, 100, 200, 400}

// render writes the proposal down.
func (s *study) render(groups []*group, how layout) *Proposal {
	p := &Proposal{Watches: []Watch{}, Doubts: []Doubt{}}
	var b strings.Builder
	b.WriteString("watch:\n")
	if len(s.e.Kept) == 0 {
		for _, line := range s.head() {
			b.WriteString("  # " + line + "\n")
		}
	}
	names, files := map[string]bool{}, map[string]bool{}
	for _, k := range s.e.Kept {
		names[k.Name] = true
	}
	for _, name := range s.e.Lists {
		files[strings.TrimSuffix(strings.TrimSuffix(name, ".names"), ".networks")] = true
	}
	s.notes(how.doubts, p)
	for _, g := range groups {
		w := Watch{Name: unique(g.title(), names), Owner: g.owner(), Issuers: g.issuers}
		for _, t := range g.targets {
			w.Items = append(w.Items, t.item.Text)
		}
		certs := s.certs(g)
		kind := "names"
		if !g.names() {
			kind = "networks"
		}
		items := kind + ": [" + quoteAll(w.Items) + "]"
		if len(w.Items) > inlineItems {
			l := List{Path: ListFolder + "/" + unique(slug(w.Name), files) + "." + kind, Text: strings.Join(w.Items, "\n") + "\n", Items: len(w.Items)}
			p.Lists = append(p.Lists, l)
			items = kind + "_file: " + quote(l.Path)
		}
		if len(g.issuers) > 0 {
			for _, path := range g.keys {
				w.Keys = append(w.Keys, "file:"+path)
			}
			w.MaxDays = s.days(certs)
			no := false
			if len(certs) > 0 && !s.wildcards(certs) {
				w.AllowWildcard = &no
			}
			if len(certs) > 0 && !s.foreign(g, certs) {
				w.AllowForeignNames = &no
			}
		} else if g.names() {
			w.Surprise = "digest"
		}
		keys := []string{"name: " + quote(w.Name)}
		if w.Owner != "" {
			keys = append(keys, "owner: "+quote(w.Owner))
		}
		keys = append(keys, items)
		if w.Surprise != "" {
			keys = append(keys, "surprise: "+w.Surprise)
		}
		fmt.Fprintf(&b, "  # %s\n", s.why(g, certs))
		open, between, end := "  - ", "\n    ", ""
		if how.compact {
			open, between, end = "  - {", ", ", "}"
		}
		b.WriteString(open + strings.Join(keys, between))
		if len(g.issuers) > 0 && how.compact {
			b.WriteString(",")
		}
		if len(g.issuers) == 0 {
			b.WriteString(end)
			end = ""
		}
		b.WriteString("\n")
		s.expect(&b, g, &w, how.doubts, end, p)
		p.Watches = append(p.Watches, w)
	}
	p.Section = b.String()
	return p
}

// expect writes what is expected of a watch, and what is not without a person's word. end closes the watch.
func (s *study) expect(b *strings.Builder, g *group, w *Watch, doubts int, end string, p *Proposal) {
	all := s.doubts(g)
	for _, d := range all {
		p.Doubts = append(p.Doubts, Doubt{Watch: w.Name, Issuer: d.issuer, Text: s.doubtText(d), IDs: s.ids(d.certs, len(d.certs))})
	}
	var shown []string // lines without the mark of a comment
	for i, d := range all {
		if i == doubts {
			shown = append(shown, "and "+count(len(all)-i, "more doubt")+": tocsin init --json tells them")
			break
		}
		text := plain(s.doubtText(d), 160)
		if ids := s.ids(d.certs, 2); len(ids) > 0 {
			text += " (" + strings.Join(ids, ", ") + ")"
		}
		if d.issuer != "" {
			text = quote(d.issuer) + ",   # " + text
		}
		shown = append(shown, text)
	}
	if len(w.Issuers) == 0 {
		for _, line := range shown {
			if strings.HasPrefix(line, `"`) {
				at := strings.Index(line, ",   # ")
				line = "expect: {issuers: [" + line[:at] + "]}" + strings.TrimPrefix(line[at:], ",")
			}
			fmt.Fprintf(b, "    # %s\n", line)
		}
		return
	}
	var parts []string
	if len(w.Keys) > 0 {
		parts = append(parts, "keys: ["+quoteAll(w.Keys)+"]")
	}
	if w.MaxDays > 0 {
		parts = append(parts, fmt.Sprintf("max_validity: %dd", w.MaxDays))
	}
	if w.AllowWildcard != nil {
		parts = append(parts, "allow_wildcard: false")
	}
	if w.AllowForeignNames != nil {
		parts = append(parts, "allow_foreign_names: false")
	}
	lead := strings.Join(append(parts, "issuers: ["), ", ")
	if len(shown) == 0 {
		fmt.Fprintf(b, "    expect: {%s%s]}%s\n", lead, quoteAll(w.Issuers), end)
		return
	}
	fmt.Fprintf(b, "    expect: {%s\n      %s,\n", lead, quoteAll(w.Issuers))
	for _, line := range shown {
		fmt.Fprintf(b, "      # %s\n", line)
	}
	b.WriteString("    ]}" + end + "\n")
}

// head says what the proposal is made from.
func (s *study) head() []string {
	zones, networks := 0, 0
	for _, t := range s.targets {
		if t.name() {
			zones++
		} else {
			networks++
		}
	}
	keys := map[[32]byte]bool{}
	for _, d := range s.e.Directories {
		for k := range d.Keys {
			keys[k] = true
		}
	}
	from := []string{count(zones, "name"), count(networks, "network")}
	if n := len(s.e.Directories); n > 0 {
		from = append(from, fmt.Sprintf("%s in %s", count(len(keys), "key"), counted(n, "directory", "directories")))
	}
	if n := len(s.e.Endpoints); n > 0 {
		from = append(from, count(n, "endpoint"))
	}
	seen := count(len(s.e.Issuances), "certificate")
	if first, last := s.span(); !first.IsZero() {
		seen += " seen from " + first.Format(time.DateOnly) + " to " + last.Format(time.DateOnly)
	}
	out := []string{"Proposed by tocsin init, from " + list(append(from, seen)) + ".",
		"Keep what is true, remove what is not: nothing is accepted until you do. How it was made: docs/init.md"}
	if n := len(s.left); n > 0 {
		out = append(out, fmt.Sprintf("Left out: %s that names lead to outside of these networks, as %s", count(n, "address"), s.left[0]))
	}
	for _, ep := range s.e.Endpoints {
		if slices.ContainsFunc(s.e.Directories, func(d Directory) bool { return d.Keys[ep.Key] }) || ep.Key == [32]byte{} {
			continue
		}
		out = append(out, fmt.Sprintf("Observed, not proposed: %s served a key that no directory of yours holds: %q", plain(ep.Address, 60), fmt.Sprintf("spki:%x", ep.Key)))
		if len(out) == 5 {
			break
		}
	}
	return out
}

func (s *study) span() (first, last time.Time) {
	for i := range s.e.Issuances {
		at := s.e.Issuances[i].Seen.UTC()
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return first, last
}

// certs are the accepted certificates of a group, each once.
func (s *study) certs(g *group) (all []int) {
	for _, t := range g.targets {
		all = append(all, t.accepted...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// why is the comment above a watch: each choice with its counts.
func (s *study) why(g *group, certs []int) string {
	kind := "name"
	if !g.names() {
		kind = "network"
	}
	say := []string{count(len(g.targets), kind)}
	if owner := g.owner(); owner == "" && slices.ContainsFunc(g.targets, func(t *target) bool { return t.owner != "" }) {
		say = append(say, "of several owners")
	}
	switch {
	case len(certs) > 0:
		say = append(say, s.issuers(g, certs))
		longest := 0
		for _, n := range certs {
			longest = max(longest, s.validity(n))
		}
		say = append(say, "the longest for "+count(longest, "day"))
		if s.wildcards(certs) {
			say = append(say, "with wildcards")
		} else {
			say = append(say, "no wildcard")
		}
		if s.foreign(g, certs) {
			say = append(say, "some name others beside these")
		} else {
			say = append(say, "none names others")
		}
		say = append(say, s.keysText(g))
	case len(g.issuers) > 0:
		say = append(say, "no certificate seen; the issuers are those of CAA records or of the configuration")
	case g.names():
		say = append(say, "no issuer is known: filed and shown once a day")
	default:
		say = append(say, "no certificate is expected: each one rings")
	}
	if g.joined {
		say = append(say, "joined from smaller watches to stay short")
	}
	return plain(strings.Join(say, "; "), 400)
}

// issuers counts the certificates of each issuer.
func (s *study) issuers(g *group, certs []int) string {
	n := map[string]int{}
	for _, c := range certs {
		for _, issuer := range g.issuers {
			if s.among(&s.e.Issuances[c].Issuer, []string{issuer}) {
				n[issuer]++
			}
		}
	}
	if len(g.issuers) == 1 {
		return count(len(certs), "certificate") + ", all of " + short(g.issuers[0])
	}
	var each []string
	for _, issuer := range g.issuers {
		each = append(each, number(n[issuer])+" of "+short(issuer))
	}
	return count(len(certs), "certificate") + ", " + list(each)
}

func (s *study) keysText(g *group) string {
	ours, current := 0, 0
	for _, t := range g.targets {
		ours, current = ours+t.ours, current+t.current
	}
	switch {
	case len(s.e.Directories) == 0:
		return "no keys given, so that an attack through the same CA passes"
	case len(g.keys) > 0:
		return fmt.Sprintf("keys of yours in %s of %s current ones", number(ours), number(current))
	case ours > 0:
		return fmt.Sprintf("keys not proposed, yours are in only %s of %s current ones: an attack through the same CA passes", number(ours), number(current))
	}
	return "no key is yours, so that an attack through the same CA passes"
}

// doubts of all targets of a group, those of one issuer and reason together, most certificates last: what was seen once
// is what needs to be looked at.
func (s *study) doubts(g *group) []doubt {
	byKey := map[string]*doubt{}
	add := func(d doubt) {
		key := d.issuer + "\x00" + d.why
		have := byKey[key]
		if have == nil {
			have = &doubt{issuer: d.issuer, name: d.name, why: d.why}
			byKey[key] = have
		}
		have.certs = append(have.certs, d.certs...)
	}
	for _, t := range g.targets {
		for _, d := range t.doubts {
			add(d)
		}
		if len(t.strange) > 0 && len(g.keys) > 0 {
			add(doubt{why: "with keys that are none of yours", certs: t.strange})
		}
		if len(t.unknown) > 0 {
			add(doubt{why: "CAA records name " + short(t.unknown[0]) + ", which is no CA that is known here"})
		}
	}
	var out []doubt
	for _, key := range sorted(byKey) {
		d := byKey[key]
		slices.Sort(d.certs)
		d.certs = slices.Compact(d.certs)
		out = append(out, *d)
	}
	slices.SortStableFunc(out, func(a, b doubt) int { return len(a.certs) - len(b.certs) })
	return out
}

// doubtText is a doubt in words: how often and when it was seen, and what to do.
func (s *study) doubtText(d doubt) string {
	if len(d.certs) == 0 {
		return d.why + ": check"
	}
	last := time.Time{}
	for _, n := range d.certs {
		if at := s.e.Issuances[n].Seen; at.After(last) {
			last = at
		}
	}
	ago := ""
	switch days := int(s.e.Now.Sub(last) / (24 * time.Hour)); {
	case days <= 0:
		ago = "today"
	default:
		ago = count(days, "day") + " ago"
	}
	text := "seen once, " + ago
	if n := len(d.certs); n > 1 {
		text = "seen " + number(n) + " times, last " + ago
	}
	if d.name != "" && strings.HasPrefix(d.issuer, "spki:") {
		text += ", calls itself " + fmt.Sprintf("%q", plain(d.name, 60))
	}
	return text + ": check; " + d.why
}

func (s *study) ids(certs []int, most int) (out []string) {
	for _, n := range certs[max(0, len(certs)-most):] {
		out = append(out, s.e.Issuances[n].ID)
	}
	return out
}

// validity is in days, rounded up.
func (s *study) validity(n int) int {
	is := &s.e.Issuances[n]
	return int((is.To.Sub(is.From) + 24*time.Hour - 1) / (24 * time.Hour))
}

// days is what max_validity should be: 0 where nothing was seen, or too much to be written.
func (s *study) days(certs []int) int {
	longest := 0
	for _, n := range certs {
		longest = max(longest, s.validity(n))
	}
	if longest == 0 || longest > 36000 {
		return 0
	}
	for _, v := range validities {
		if longest <= v {
			return v
		}
	}
	return (longest + 99) / 100 * 100
}

func (s *study) wildcards(certs []int) bool {
	return slices.ContainsFunc(certs, func(n int) bool {
		return slices.ContainsFunc(s.e.Issuances[n].Idents, func(id cert.Ident) bool { return bytes.ContainsRune(id.Name, '*') })
	})
}

// foreign reports whether one of the certificates names something outside the group, as policy would see it or stricter:
// what is in doubt counts as foreign, since then nothing is forbidden.
func (s *study) foreign(g *group, certs []int) bool {
	names, exact := map[string]bool{}, map[string]bool{}
	for _, t := range g.targets {
		if t.item.Exact {
			exact[t.item.Name] = true
		} else if t.name() {
			names[t.item.Name] = true
		}
	}
	holds := func(id *cert.Ident) bool {
		if id.Prefix.IsValid() {
			return slices.ContainsFunc(g.targets, func(t *target) bool {
				p := t.item.Prefix
				return p.IsValid() && p.Bits() <= id.Prefix.Bits() && p.Contains(id.Prefix.Addr())
			})
		}
		name := string(id.Name)
		if exact[name] {
			return true
		}
		for {
			if names[name] {
				return true
			}
			_, above, ok := strings.Cut(name, ".")
			if !ok {
				return false
			}
			name = above
		}
	}
	return slices.ContainsFunc(certs, func(n int) bool {
		return slices.ContainsFunc(s.e.Issuances[n].Idents, func(id cert.Ident) bool { return !holds(&id) })
	})
}
