package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// Touch is one watch item that a certificate touches and by which it is a surprise.
type Touch struct {
	Watch, Owner string
	// Item is as the configuration has it; Name or Network is the same in normal form, one of them set.
	Item, Name, Network string
	// Value is what the certificate names there, in normal form where it has one.
	Value string
	Level policy.Level
}

// Verdict is a decision about a certificate, as far as incidents depend on it.
type Verdict struct {
	Issuance string // hex
	// Touches are those of watches for which it is a surprise (alarm or page).
	Touches []Touch
	// IssuerKey and Key are SHA-256 of SubjectPublicKeyInfo in hex, "" where unknown; Issuer is the owner of the former. Of
	// an issuer, only what is proven stands here: anybody may write any name. Unlisted: it is not the issuer that a watch
	// expects.
	IssuerKey, Key, Issuer string
	Unlisted               bool
	// Names are all names and addresses of the certificate, in normal form.
	Names []string
	// Rules are those that fired.
	Rules []string
	// FirstSeen and Wait say until when it must not ring: see policy.Verdict.
	FirstSeen time.Time
	Wait      time.Duration
	Title     string
	Drill     bool
}

// Fingerprint is the same for certificates by the same issuing key, with the same key and the same names. A renewal by
// the same means has it again; it does not depend on the order of names, nor on serial and dates.
func Fingerprint(v *Verdict) string {
	names := slices.Clone(v.Names)
	slices.Sort(names)
	names = slices.Compact(names)
	h := sha256.New()
	for _, part := range append([]string{"tocsin fingerprint", v.IssuerKey, v.Key}, names...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return "v1:" + hex.EncodeToString(h.Sum(nil)[:16])
}

// Group is what certificates have in common that make one incident.
type Group struct {
	// Key is stable: it names the group for ever.
	Key string
	// Owner is whose it is, Name is the registrable domain, network or issuing key.
	Owner, Name string
	// Subject and Level are of what the certificate touches for this owner.
	Subject Subject
	Level   policy.Level
	// Others are the keys of further groups of the owner that the certificate touches as well. When one of them has an
	// open incident and Key has none, it belongs there.
	Others []string
}

// Groups says to which incidents a verdict belongs: one for each owner that it touches. Addresses come first, then the
// names in their order, so that a certificate for fifty domains of an owner is one incident and not fifty.
func Groups(v *Verdict) []Group {
	by := map[string][]Touch{}
	for _, t := range v.Touches {
		if rings(t.Level) {
			by[t.Owner] = append(by[t.Owner], t)
		}
	}
	var out []Group
	for owner, touches := range by {
		g := Group{Owner: owner, Subject: newSubject(v)}
		type named struct {
			name    string
			address bool
		}
		var names []named
		for _, t := range touches {
			names = append(names, named{groupName(t), t.Network != ""})
			g.Level = max(g.Level, t.Level)
			g.Subject.touch(t)
		}
		g.Subject.Level = g.Level
		slices.SortFunc(names, func(a, b named) int {
			if a.address != b.address {
				return cmp.Compare(btoi(b.address), btoi(a.address))
			}
			return cmp.Compare(a.name, b.name)
		})
		for i, n := range slices.Compact(names) {
			key := groupKey(owner, n.name)
			if i == 0 {
				g.Key, g.Name = key, n.name
			} else if len(g.Others) < maxSet {
				g.Others = append(g.Others, key)
			}
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b Group) int { return cmp.Compare(a.Owner, b.Owner) })
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// groupName is the network of an address, else the registrable domain of the item: not of the certificate's name, which
// somebody else chose.
func groupName(t Touch) string {
	if t.Network != "" {
		if p, err := netip.ParsePrefix(t.Network); err == nil {
			return p.Masked().String()
		}
		return t.Network
	}
	name := strings.TrimSuffix(t.Name, ".")
	if name == "" {
		return t.Item
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name // a suffix as a whole
}

func groupKey(owner, name string) string {
	return fmt.Sprintf("owner:%d:%s:%s", len(owner), owner, name)
}

// CAKey is the key of the incident of a CA.
func CAKey(issuerKey string) string { return "ca:" + issuerKey }

// ID names an incident: by its group and by the certificate with which it began, so that a decision that is taken again
// after a crash names the same one.
func ID(key, issuance string) string {
	h := sha256.New()
	fmt.Fprintf(h, "tocsin incident 1\x00%d:%s%s", len(key), key, issuance)
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// See is the event of a verdict for one of its groups. was and known are what the store has of the certificate and of
// its fingerprint in that incident.
func See(v *Verdict, g *Group, was *Member, known bool) Seen {
	s := Seen{
		Issuance: v.Issuance, Level: g.Level, Fingerprint: Fingerprint(v), Known: known, Was: was, Subject: g.Subject,
		Title: v.Title, Drill: v.Drill,
	}
	if v.Wait > 0 && g.Level < policy.Page && !g.Subject.Address {
		s.Hold = v.FirstSeen.Add(v.Wait)
	}
	return s
}

// Start is the incident that a verdict opens; its first event is that verdict.
func Start(v *Verdict, g *Group, now time.Time) State {
	return State{ID: ID(g.Key, v.Issuance), Kind: OfOwner, Key: g.Key, Owner: g.Owner, Group: g.Name, Opened: now}
}
