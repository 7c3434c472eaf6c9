// Package proposal proposes a configuration: what to watch and what to expect, from what is known of an organisation.
//
// A proposal is a pure function of its [Evidence]. It says of each choice why, with counts; its order is stable, so that
// two runs can be compared; and it stays short enough to be read ([MaxLines]), with long lists in files of their own.
// It accepts nothing by itself: an issuer that nothing but its own certificates speaks for stands commented out when it
// is rare, with its count and when it was seen, and what is unknown is left at digest.
//
// What speaks for an issuer is what outsiders cannot write: a certificate for a key of ours, a CAA record in our own zone
// file, the configuration that is in force. Observed keys (what an endpoint serves) are shown and never proposed.
// Certificates are hostile; zone files and the names of files are quoted as if they were.
package proposal

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// MaxLines is how long the proposed part of the configuration becomes at most, unless the organisation cannot be said
// in so few lines: see [Propose].
const MaxLines = 40

// Evidence is what is known of an organisation.
type Evidence struct {
	Now time.Time
	// Owners knows whom the texts of CAA records and of configurations stand for.
	Owners *facts.Owners
	// Items are what the operator named: zones, exact names, networks.
	Items []watch.Item
	// Zones come from zone files and zone transfers.
	Zones []Zone
	// Endpoints are what was served to us.
	Endpoints []Endpoint
	// Directories hold keys of ours.
	Directories []Directory
	// Issuances are what the logs show, or files, or endpoints; each once.
	Issuances []Issuance
	// Kept are the watches of the configuration that is in force, Lists the files in [ListFolder] that it may use.
	Kept  []Kept
	Lists []string
}

// Zone is what one zone says of itself.
type Zone struct {
	// Name in normal form; for a zone of reverse names it is "" and Network says what it stands for.
	Name    string
	Network netip.Prefix
	// Owner is the mailbox that the zone names as responsible, or "".
	Owner string
	// Names is how many names it has, Addresses where they lead.
	Names     int
	Addresses []netip.Addr
	// HasCAA says that it has CAA records for certificates. CAA are the issuers that they allow, UnknownCAA their values
	// that stand for no CA we know.
	HasCAA     bool
	CAA        []string
	UnknownCAA []string
}

// Endpoint is one that was asked for its certificate.
type Endpoint struct {
	Address string // host:port
	Name    string // host in normal form, "" for an address
	Addr    netip.Addr
	Key     [32]byte
}

// Directory is one that holds keys of ours.
type Directory struct {
	// Path as the configuration is to have it.
	Path string
	Keys map[[32]byte]bool
	// Names are those of the certificates in it, in normal form.
	Names []string
}

// Issuance is one certificate.
type Issuance struct {
	ID     string // first digits, for people
	Idents []cert.Ident
	Raw    []byte // to be searched, where Idents may lack some; else nil
	Key    [32]byte
	Issuer Issuer
	// Odd says why it can never be expected, or is "".
	Odd      string
	From, To time.Time
	Seen     time.Time
	Observed string // the endpoint that served it, or ""
}

// Issuer is who issued a certificate.
type Issuer struct {
	// Text is as a configuration names it: see [IssuerText]. Owners are who answers for it, empty when not known.
	Text   string
	Owners []string
	// Name is what it calls itself.
	Name   string
	Proven bool
}

// Kept is a watch of the configuration in force. It stays as it is: only what it does not hold is proposed.
type Kept struct {
	Name, Owner string
	Items       []watch.Item
	Issuers     []string // as [IssuerText] has them
}

// Proposal is a configuration to be looked at.
type Proposal struct {
	// Section is the part of the configuration that begins with "watch:", ending in a newline. Where watches are in force,
	// it holds only what comes to them: see [Proposal.Into].
	Section string
	// Notes are about the watches in force: lines without their mark.
	Notes []string
	// Lists are the files that it names.
	Lists []List
	// Watches are what Section and Lists say, without what is commented out.
	Watches []Watch
	// Doubts are what was commented out or left out, for a person to look at.
	Doubts []Doubt
}

// List is a bulk list.
type List struct {
	Path  string `json:"path"`
	Text  string `json:"text"`
	Items int    `json:"items"`
}

// Watch is one proposed watch.
type Watch struct {
	Name              string   `json:"name"`
	Owner             string   `json:"owner,omitempty"`
	Items             []string `json:"items"`
	Issuers           []string `json:"issuers,omitempty"`
	Keys              []string `json:"keys,omitempty"`
	MaxDays           int      `json:"max_validity_days,omitempty"`
	AllowWildcard     *bool    `json:"allow_wildcard,omitempty"`
	AllowForeignNames *bool    `json:"allow_foreign_names,omitempty"`
	Surprise          string   `json:"surprise,omitempty"`
}

// Doubt is something that only a person can decide.
type Doubt struct {
	Watch string `json:"watch"`
	// Issuer as the configuration would name it, or "" when the doubt is not about an issuer.
	Issuer string   `json:"issuer,omitempty"`
	Text   string   `json:"text"`
	IDs    []string `json:"issuances"`
}

// Lines is how long the proposal is.
func (p *Proposal) Lines() int { return strings.Count(p.Section, "\n") + len(p.Notes) }

// Propose makes a proposal. It first draws the watches as fine as the evidence allows: one for each owner, set of issuers
// and kind of keys. Watches in force are left alone: of these only doubts are told. While that takes more than [MaxLines] lines, it writes them closer, draws them coarser, and at last
// joins the smallest.
func Propose(e Evidence) *Proposal {
	s := survey(&e)
	for _, how := range []struct {
		fine    fineness
		compact bool
	}{{finest, false}, {byOwner, false}, {byOwner, true}, {byIssuers, true}} {
		groups := s.groups(how.fine)
		for doubts := mostDoubts; doubts > 0; doubts-- {
			if p := s.render(groups, layout{how.compact, doubts}); p.Lines() <= MaxLines {
				return p
			}
		}
	}
	groups := s.groups(byIssuers)
	for {
		p := s.render(groups, layout{true, 1})
		if p.Lines() <= MaxLines {
			return p
		}
		joined, ok := join(groups)
		if !ok {
			return s.render(groups, layout{true, 0})
		}
		groups = joined
	}
}

// mostDoubts is how many doubts of one watch are shown where there is room.
const mostDoubts = 4

// layout is how a proposal is written: compact takes two lines less for each watch.
type layout struct {
	compact bool
	doubts  int
}

// target is one thing to watch with all that is known of it.
type target struct {
	item     watch.Item
	owner    string
	kept     *Kept
	caa      []string
	hasCAA   bool
	unknown  []string // values of CAA records that name no CA we know
	certs    []int    // of the evidence
	issuers  []string // accepted, sorted
	accepted []int    // of certs: by these issuers
	doubts   []doubt
	held     map[string]bool // directories that hold keys of its certificates
	ours     int             // current certificates with keys of ours,
	current  int             // of so many
	strange  []int           // current certificates with other keys, where most are ours
	wildcard bool
}

func (t *target) name() bool { return t.item.Name != "" }

// doubt is one issuer, or kind of oddity, of one target.
type doubt struct {
	issuer string
	name   string // what the issuer calls itself
	why    string
	certs  []int
}

// study is the evidence, sorted.
type study struct {
	e       *Evidence
	targets []*target
	// stands remembers whether a text stands for an issuer, by its own text.
	stands map[[2]string]bool
	left   []netip.Addr // addresses that names lead to and that nobody called ours
}

// survey does not depend on the order in which the evidence came.
func survey(given *Evidence) *study {
	e := *given
	e.Issuances = slices.Clone(e.Issuances)
	slices.SortStableFunc(e.Issuances, func(a, b Issuance) int {
		if c := a.Seen.Compare(b.Seen); c != 0 {
			return c
		}
		return cmp.Compare(a.ID, b.ID)
	})
	e.Zones = slices.Clone(e.Zones)
	slices.SortStableFunc(e.Zones, func(a, b Zone) int {
		if c := cmp.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return cmp.Compare(a.Network.String(), b.Network.String())
	})
	e.Directories = slices.Clone(e.Directories)
	slices.SortStableFunc(e.Directories, func(a, b Directory) int { return cmp.Compare(a.Path, b.Path) })
	e.Endpoints = slices.Clone(e.Endpoints)
	slices.SortStableFunc(e.Endpoints, func(a, b Endpoint) int { return cmp.Compare(a.Address, b.Address) })
	s := &study{e: &e, stands: map[[2]string]bool{}}
	s.names()
	s.networks()
	slices.SortStableFunc(s.targets, func(a, b *target) int { return compare(a.item, b.item) })
	s.attribute()
	s.judge()
	return s
}

// compare orders names by their labels from the right, exact ones after zones, and networks behind all names.
func compare(a, b watch.Item) int {
	switch {
	case a.Name != "" && b.Name != "":
		x, y := strings.Split(a.Name, "."), strings.Split(b.Name, ".")
		slices.Reverse(x)
		slices.Reverse(y)
		if c := slices.Compare(x, y); c != 0 {
			return c
		}
		return cmp.Compare(a.Text, b.Text)
	case a.Name != "":
		return -1
	case b.Name != "":
		return 1
	}
	if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
		return c
	}
	return cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits())
}

// names makes the targets that are names: those of the configuration, those that were named, those of zones, and the
// registrable domains of what is ours without being any of these.
func (s *study) names() {
	byText := map[string]*target{}
	add := func(it watch.Item) *target {
		text := it.Name
		if it.Exact {
			text = "=" + text
		} else if strings.HasSuffix(it.Text, ".") {
			text += "."
		}
		t := byText[text]
		if t == nil {
			it.Text = text
			t = &target{item: it, held: map[string]bool{}}
			byText[text] = t
			s.targets = append(s.targets, t)
		}
		return t
	}
	for k := range s.e.Kept {
		kept := &s.e.Kept[k]
		for _, it := range kept.Items {
			if it.Name == "" {
				continue
			}
			if t := add(it); t.kept == nil {
				t.kept = kept
			}
		}
	}
	for _, it := range s.e.Items {
		if it.Name != "" {
			add(it)
		}
	}
	for i := range s.e.Zones {
		z := &s.e.Zones[i]
		it, err := watch.ParseName(z.Name, watch.Place{})
		if z.Name == "" || err != nil {
			continue // what reads zones tells of it
		}
		t := add(it)
		if t.owner == "" {
			t.owner = z.Owner
		}
		t.hasCAA = t.hasCAA || z.HasCAA
		t.caa = append(t.caa, z.CAA...)
		t.unknown = append(t.unknown, z.UnknownCAA...)
	}
	own := func(name string) {
		name = strings.TrimPrefix(name, "*.")
		if s.covered(name) {
			return
		}
		if it, err := watch.ParseName(registrable(name), watch.Place{}); err == nil {
			add(it)
		}
	}
	for _, ep := range s.e.Endpoints {
		if ep.Name != "" {
			own(ep.Name)
		}
	}
	for _, d := range s.e.Directories {
		for _, name := range slices.Sorted(slices.Values(d.Names)) {
			own(name)
		}
	}
	for _, t := range s.targets {
		slices.Sort(t.caa)
		t.caa = slices.Compact(t.caa)
	}
	s.fold()
}

// covered reports whether a name lies within a target.
func (s *study) covered(name string) bool {
	return slices.ContainsFunc(s.targets, func(t *target) bool { return within(name, t.item) })
}

func within(name string, it watch.Item) bool {
	if it.Name == "" {
		return false
	}
	return name == it.Name || !it.Exact && strings.HasSuffix(name, "."+it.Name)
}

// fold drops zones beneath a watch in force, or beneath another target of the same owner that say nothing of their own: the
// upper one watches them.
func (s *study) fold() {
	byName := map[string]*target{}
	for _, t := range s.targets {
		if t.item.Name != "" && !t.item.Exact {
			byName[t.item.Name] = t
		}
	}
	s.targets = slices.DeleteFunc(s.targets, func(t *target) bool {
		if t.kept != nil || t.item.Exact {
			return false
		}
		for rest := t.item.Name; ; {
			_, above, ok := strings.Cut(rest, ".")
			if !ok {
				return false
			}
			if up := byName[above]; up != nil {
				return up.kept != nil || up.owner == t.owner && (!t.hasCAA || slices.Equal(t.caa, up.caa))
			}
			rest = above
		}
	})
}
