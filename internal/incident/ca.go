package incident

import (
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// Recent is an incident that an unlisted issuing key has touched lately.
type Recent struct {
	Incident string
	Key      string
	// Last is when a certificate by that issuing key came to it.
	Last time.Time
}

// Wide decides whether a CA is an incident of its own: so many groups were touched by its key within the window. recent
// are the open incidents with certificates by the issuing key, that of the verdict at hand among them. It returns those
// that belong beneath it, or nil. While the incident of the CA is open it is not asked.
func Wide(v *Verdict, recent []Recent, c Config, now time.Time) []string {
	if !v.Unlisted || v.IssuerKey == "" || c.CAGroups <= 0 {
		return nil
	}
	groups := map[string]bool{}
	var children []string
	for _, r := range recent {
		if now.Sub(r.Last) > c.CAWindow {
			continue
		}
		groups[r.Key] = true
		children = append(children, r.Incident)
	}
	if len(groups) < c.CAGroups {
		return nil
	}
	slices.Sort(children)
	return slices.Compact(children)
}

// StartCA is the incident of a CA; its first event is the verdict that made it one.
func StartCA(v *Verdict, now time.Time) State {
	key := CAKey(v.IssuerKey)
	return State{ID: ID(key, v.Issuance), Kind: OfCA, Key: key, Group: "spki:" + v.IssuerKey, Opened: now}
}

// SeeCA is the event of a verdict for the incident of its CA: all that it touches, whoever owns it.
func SeeCA(v *Verdict, was *Member, known bool) (Seen, bool) {
	groups := Groups(v)
	if len(groups) == 0 {
		return Seen{}, false
	}
	all := groups[0]
	all.Subject = all.Subject.clone()
	for i := range groups[1:] {
		g := &groups[i+1]
		all.Subject.join(&g.Subject)
		all.Level = max(all.Level, g.Level)
	}
	s := See(v, &all, was, known)
	who := v.Issuer
	if who == "" {
		who = "an unknown CA"
	}
	s.Title = "a CA that nobody expects issues for many: " + who
	return s, true
}

// Family is what an event of a CA's incident means for those beneath it: who has seen the whole has seen its parts.
func Family(e Event) (Event, bool) {
	switch e := e.(type) {
	case Ack, Resolve:
		return e, true
	}
	return nil, false
}

// rings reports whether a level is for incidents at all.
func rings(l policy.Level) bool { return l >= policy.Alarm }
