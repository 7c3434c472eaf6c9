package replay

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/store"
)

// book keeps incidents in memory as the store keeps them, for [app.Docket].
type book struct {
	incidents map[string]store.Incident
	members   map[string]map[[32]byte]store.IncidentMember
	// of are the incidents of an issuance.
	of map[[32]byte][]string
	// suppressed counts what was not told, by why, and silenced what silences muted, by rule; from since on.
	suppressed, silenced map[string]int
	since                time.Time
}

func newBook() *book {
	return &book{incidents: map[string]store.Incident{}, members: map[string]map[[32]byte]store.IncidentMember{}, of: map[[32]byte][]string{}, suppressed: map[string]int{}, silenced: map[string]int{}}
}

// put keeps a change, as store.ChangeIncidents does.
func (b *book) put(c *store.IncidentRow) error {
	if old, ok := b.incidents[c.ID]; ok && old.Revision != c.Revision {
		return store.ErrIncidentChanged
	}
	i := c.Incident
	i.Revision++
	b.incidents[i.ID] = i
	for _, m := range c.Members {
		if b.members[i.ID] == nil {
			b.members[i.ID] = map[[32]byte]store.IncidentMember{}
		}
		if _, known := b.members[i.ID][m.Issuance]; !known {
			b.of[m.Issuance] = append(b.of[m.Issuance], i.ID)
		}
		m.Incident = i.ID
		b.members[i.ID][m.Issuance] = m
	}
	for _, s := range c.Suppressed {
		if s.At.Before(b.since) {
			continue
		}
		b.suppressed[s.Why]++
		for _, rule := range s.Rules {
			if s.Silence != "" {
				b.silenced[rule]++
			}
		}
	}
	return nil
}

// nextDue is the incident whose time comes first; "" when none waits.
func (b *book) nextDue() (id string, at time.Time) {
	for _, i := range b.incidents {
		if d := i.NextDue; !d.IsZero() && (id == "" || d.Before(at) || d.Equal(at) && i.ID < id) {
			id, at = i.ID, d
		}
	}
	return id, at
}

func (b *book) Incident(_ context.Context, id string) (store.Incident, error) {
	i, ok := b.incidents[id]
	if !ok {
		return i, store.ErrNotFound
	}
	return i, nil
}

func (b *book) OpenIncident(_ context.Context, key string) (found store.Incident, ok bool, err error) {
	for _, i := range b.incidents {
		if i.Key == key && !i.Closed {
			return i, true, nil
		}
	}
	return found, false, nil
}

func (b *book) sorted(keep func(*store.Incident) bool) (out []store.Incident) {
	for _, id := range slices.Sorted(maps.Keys(b.incidents)) {
		if i := b.incidents[id]; keep(&i) {
			out = append(out, i)
		}
	}
	return out
}

func (b *book) IncidentsBeneath(_ context.Context, parent string) ([]store.Incident, error) {
	return b.sorted(func(i *store.Incident) bool { return i.Parent == parent }), nil
}

func (b *book) IncidentsOf(_ context.Context, issuance [32]byte) (out []store.IncidentMember, err error) {
	for _, id := range b.of[issuance] {
		out = append(out, b.members[id][issuance])
	}
	slices.SortFunc(out, func(x, y store.IncidentMember) int { // the newest incident first
		a, c := b.incidents[x.Incident], b.incidents[y.Incident]
		return cmp.Or(c.Opened.Compare(a.Opened), cmp.Compare(x.Incident, y.Incident))
	})
	return out, nil
}

func (b *book) IncidentMember(_ context.Context, incident string, issuance [32]byte) (store.IncidentMember, bool, error) {
	m, ok := b.members[incident][issuance]
	return m, ok, nil
}

func (b *book) FingerprintKnown(_ context.Context, incident, fingerprint string, but [32]byte) (bool, error) {
	for id, m := range b.members[incident] {
		if id != but && m.Fingerprint == fingerprint {
			return true, nil
		}
	}
	return false, nil
}

func (b *book) IncidentsByIssuer(_ context.Context, issuer string, since time.Time) (out []store.TouchedBy, err error) {
	for _, i := range b.sorted(func(i *store.Incident) bool { return !i.Closed }) {
		last := time.Time{}
		for _, m := range b.members[i.ID] {
			if issuer != "" && m.Issuer == issuer && !m.At.Before(since) && m.At.After(last) {
				last = m.At
			}
		}
		if !last.IsZero() {
			out = append(out, store.TouchedBy{Incident: i.ID, Key: i.Key, Last: last})
		}
	}
	return out, nil
}

// past is who issued for whom, as store.PastOf tells it.
type past struct {
	owners map[string][]issuedAt
	pairs  map[store.Issued][]issuedAt
}

type issuedAt struct {
	seq  int
	seen time.Time
}

func newPast() past {
	return past{map[string][]issuedAt{}, map[store.Issued][]issuedAt{}}
}

func (p past) of(seq int, of store.Issued) (out store.Past) {
	before := func(list []issuedAt) (n int, first time.Time) {
		n, _ = slices.BinarySearchFunc(list, seq, func(i issuedAt, seq int) int { return cmp.Compare(i.seq, seq) })
		if n > 0 {
			first = list[0].seen
		}
		return n, first
	}
	_, out.Since = before(p.owners[of.Owner])
	out.Seen, out.First = before(p.pairs[of])
	return out
}

// add keeps that an issuance was issued. Who issued it, and whom it touches, is the same each time it is decided.
func (p past) add(seq int, seen time.Time, issued []store.Issued) {
	insert := func(list []issuedAt) []issuedAt {
		at, known := slices.BinarySearchFunc(list, seq, func(i issuedAt, seq int) int { return cmp.Compare(i.seq, seq) })
		if known {
			return list
		}
		return slices.Insert(list, at, issuedAt{seq, seen})
	}
	for _, one := range issued {
		p.owners[one.Owner] = insert(p.owners[one.Owner])
		p.pairs[one] = insert(p.pairs[one])
	}
}
