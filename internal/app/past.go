package app

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// pastReach is how far the ledger must reach back for an owner before it is worth saying that an issuer is new to him.
const pastReach = 7 * 24 * time.Hour

// issued says for whom a certificate was issued, by whom: one line for each owner of the watches that it touches. Nothing
// is kept of an issuer that is not proven.
func (s *Stations) issued(r *Reading) (out []store.Issued) {
	i := &r.Facts.Issuer
	if !i.Proven {
		return nil
	}
	who := "spki:" + hex.EncodeToString(i.SPKI[:])
	if len(i.Owners) > 0 {
		who = i.Owners[0]
	}
	for _, m := range r.Matches {
		if m.Watch >= len(s.Watches) {
			continue
		}
		w := &s.Watches[m.Watch]
		one := store.Issued{Owner: w.Owner, Issuer: who}
		if one.Owner == "" {
			one.Owner = w.Name
		}
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// history fills in how often the issuer issued for these owners before. The owner to whom it is new counts.
func (a *App) history(ctx context.Context, r *Reading, issuance [32]byte, issued []store.Issued, firstSeen time.Time) error {
	for i, one := range issued {
		p, err := a.store.PastOf(ctx, issuance, one)
		if err != nil {
			return err
		}
		f := facts.Past{Known: !p.Since.IsZero() && firstSeen.Sub(p.Since) >= pastReach, Seen: p.Seen, Since: p.First}
		f.FirstUse = f.Known && p.Seen == 0
		if i == 0 || f.FirstUse && !r.Facts.Past.FirstUse {
			r.Facts.Past = f
		}
	}
	return nil
}
