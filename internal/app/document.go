package app

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Matches are the matches of a reading as documents.
func (s *Stations) Matches(r *Reading) []notify.Match {
	out := make([]notify.Match, 0, len(r.Matches))
	for _, m := range r.Matches {
		w, item := s.item(m)
		out = append(out, notify.NewMatch(w.Name, w.Owner, item, m.Where.String(), m.Value, m.Normal, m.Odd))
	}
	return out
}

func (s *Stations) item(m watch.Match) (watch.Watch, string) {
	if m.Watch >= len(s.Watches) {
		return watch.Watch{}, ""
	}
	w := s.Watches[m.Watch]
	if m.Item >= len(w.Items) {
		return w, ""
	}
	return w, w.Items[m.Item].Text
}

// Document is what receivers are told of a reading and its verdict.
func (s *Stations) Document(r *Reading, v *policy.Verdict, at time.Time) notify.Alarm {
	c, f := r.Cert, r.Facts
	doc := notify.Alarm{
		At: at, Level: v.Level.String(), Matched: s.Matches(r), Policy: v.Version,
		Precert:     r.Precert || c.Poison,
		Certificate: certificate(c),
		Issuer: notify.Issuer{
			Name: f.Issuer.Name, Owner: strings.Join(f.Issuer.Owners, ", "), SPKI: hexOrNone(f.Issuer.SPKI), Proven: f.Issuer.Proven,
			Why: strings.TrimPrefix(strings.TrimPrefix(f.Issuer.Why, "not "), "proven: "), // Proven says that already
		},
		Key: notify.Key{Algorithm: c.KeyAlgorithm, SPKI: hexOrNone(c.SPKI), Owned: f.Key.Owned, Source: f.Key.Source},
	}
	if !doc.Precert {
		doc.Certificate.SHA256 = hex.EncodeToString(r.Fingerprint[:])
	}
	for _, o := range v.Watches {
		doc.Watches = append(doc.Watches, notify.Outcome{Watch: o.Watch, Owner: o.Owner, Level: o.Level.String()})
	}
	for _, reason := range v.Reasons {
		doc.Reasons = append(doc.Reasons, notify.Reason(reason))
	}
	addOddities(&doc, c.Oddities)
	return doc
}

func addOddities(doc *notify.Alarm, oddities []cert.Oddity) {
	for _, o := range oddities {
		n := notify.Oddity(o)
		known := false
		for _, have := range doc.Oddities {
			known = known || have == n
		}
		if !known {
			doc.Oddities = append(doc.Oddities, n)
		}
	}
}

func sightings(list []store.Sighting) []notify.Sighting {
	out := make([]notify.Sighting, 0, len(list))
	for _, s := range list {
		out = append(out, notify.Sighting{
			Log: s.LogName, LogID: hex.EncodeToString(s.LogID[:]), Index: s.Index, Time: time.UnixMilli(int64(s.Timestamp)).UTC(), Precert: s.Precert,
		})
	}
	return out
}

func certificate(c *cert.Certificate) notify.Certificate {
	return notify.Certificate{
		Serial: hex.EncodeToString(c.Serial), Subject: c.Subject, Issuer: c.Issuer,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, DNSNames: c.DNSNames, IPs: addresses(c.IPs),
	}
}

func addresses(raw [][]byte) []string {
	out := make([]string, len(raw))
	for i, b := range raw {
		if a, ok := netip.AddrFromSlice(b); ok {
			out[i] = a.Unmap().String()
		} else {
			out[i] = fmt.Sprintf("hex:%x", b[:min(len(b), 64)])
		}
	}
	return out
}

func hexOrNone(h [32]byte) string {
	if h == ([32]byte{}) {
		return ""
	}
	return hex.EncodeToString(h[:])
}
