package app

import (
	"cmp"
	"encoding/hex"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// lives finds, for each watched name, the certificate that lasts longest. Only what rang nobody counts: a rogue
// certificate is no successor.
type lives struct {
	names  map[string]life
	beyond int // sightings of names for which there was no room
}

// life is the certificate of a name that lasts longest.
type life struct {
	issuance [32]byte
	ends     time.Time
	span     time.Duration
}

// A certificate is told of when it ends within expirySoon, or, of one that lives shorter, in the last third of its life.
// No certificate is valid for longer than longestLife, and what was seen before that need not be looked at.
const (
	expirySoon  = 14 * 24 * time.Hour
	longestLife = 400 * 24 * time.Hour
	maxLives    = 500_000 // names
)

// add takes one in.
func (l *lives) add(r *store.FiledRow) error {
	_, names, err := touched(r.Matches)
	if err != nil {
		return err
	}
	c := cert.Parse
	if r.Precert {
		c = cert.ParseTBS
	}
	read := c(r.Cert)
	if read.NotAfter.IsZero() {
		return nil // it cannot be read, and was told of for that
	}
	if l.names == nil {
		l.names = map[string]life{}
	}
	for _, n := range names {
		was, ok := l.names[n]
		if !ok && len(l.names) >= maxLives {
			l.beyond++
			continue
		}
		if !ok || read.NotAfter.After(was.ends) {
			l.names[n] = life{r.ID, read.NotAfter, read.NotAfter.Sub(read.NotBefore)}
		}
	}
	return nil
}

// ending are those that end soon after to or have ended since from, the first to end first.
func (l *lives) ending(from, to time.Time) []ExpiringCertificate {
	by := map[[32]byte]*ExpiringCertificate{}
	for name, one := range l.names {
		if !one.ends.After(from) || one.ends.Sub(to) > min(expirySoon, one.span/3) {
			continue
		}
		e := by[one.issuance]
		if e == nil {
			e = &ExpiringCertificate{Issuance: hex.EncodeToString(one.issuance[:]), Ends: one.ends.UTC()}
			by[one.issuance] = e
		}
		e.Names = append(e.Names, name)
	}
	out := make([]ExpiringCertificate, 0, len(by))
	for _, e := range by {
		slices.Sort(e.Names)
		e.Total = len(e.Names)
		e.Names = e.Names[:min(len(e.Names), maxDigestNames)]
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b ExpiringCertificate) int {
		return cmp.Or(a.Ends.Compare(b.Ends), cmp.Compare(a.Issuance, b.Issuance))
	})
	return out
}
