package app

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Digest is the daily digest: what happened that did not ring, and what will soon. Its JSON is described in
// docs/commands.md.
type Digest struct {
	Kind string `json:"kind"` // "digest"
	Day  string `json:"day"`  // where the time of the digest is that of the clock
	// From and To are the span that it tells of: from the end of the digest before.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Filed counts what was filed by owner and issuer, the most first; FiledTotal counts each certificate once.
	Filed      []FiledBy `json:"filed"`
	FiledTotal int       `json:"filed_total"`
	// Certificates are those of level digest, the oldest first.
	Certificates      []FiledCertificate `json:"certificates"`
	CertificatesTotal int                `json:"certificates_total"`
	// Suppressed counts what did not ring in whole days of UTC: those that have ended since the digest before.
	SuppressedDays []string       `json:"suppressed_days"`
	Suppressed     []SuppressedBy `json:"suppressed"`
	// Announced are announced issuances and tokens.
	Announced AnnouncedDay `json:"announced"`
	// Expiring are certificates without a successor that end soon, or have ended since the digest before.
	Expiring      []ExpiringCertificate `json:"expiring"`
	ExpiringTotal int                   `json:"expiring_total"`
	// NamesNotLookedAt are names beyond what a digest can hold.
	NamesNotLookedAt int `json:"names_not_looked_at"`
	// Incidents counts the open ones by level.
	Incidents OpenIncidents `json:"incidents"`
	// Silences are those that end soon.
	Silences []SilenceEnding `json:"silences"`
}

// FiledBy is what one issuer issued for one owner.
type FiledBy struct {
	Owner  string         `json:"owner"`
	Issuer string         `json:"issuer,omitempty"` // empty: not proven, or not decided on yet
	Count  int            `json:"count"`
	Levels map[string]int `json:"levels"`
}

// FiledCertificate is a certificate in a [Digest].
type FiledCertificate struct {
	Issuance string    `json:"issuance"`
	Seen     time.Time `json:"seen"`
	Owner    string    `json:"owner"`
	Issuer   string    `json:"issuer,omitempty"`
	Names    []string  `json:"names"` // those that are watched
	Total    int       `json:"names_total"`
}

// SuppressedBy counts what did not ring for one reason.
type SuppressedBy struct {
	Why       string `json:"why"`
	Silence   string `json:"silence,omitempty"`
	Count     int    `json:"count"`
	Addresses int    `json:"addresses"`
}

// AnnouncedDay is what became of announced issuances.
type AnnouncedDay struct {
	Created   int `json:"created"`
	Used      int `json:"used"`
	Expired   int `json:"expired"` // at least one of it was used
	Missing   int `json:"missing"` // none was
	Cancelled int `json:"cancelled"`
	Refused   int `json:"refused"` // what tokens asked for beyond their scope
	// Entries are those of the trail, the oldest first; Tokens say who was granted how much.
	Entries []TrailLine  `json:"entries"`
	Total   int          `json:"entries_total"`
	Tokens  []TokenGrant `json:"tokens"`
}

// TokenGrant is what one token was granted.
type TokenGrant struct {
	Token string `json:"token"`
	Name  string `json:"name"`
	Times int    `json:"times"`
	Count int    `json:"count"` // issuances
}

// ExpiringCertificate is one whose names have no certificate that lasts longer.
type ExpiringCertificate struct {
	Issuance string    `json:"issuance"`
	Ends     time.Time `json:"ends"`
	Names    []string  `json:"names"`
	Total    int       `json:"names_total"`
}

// OpenIncidents counts open incidents.
type OpenIncidents struct {
	Open   int            `json:"open"`
	Levels map[string]int `json:"levels"`
}

// SilenceEnding is a silence that ends soon.
type SilenceEnding struct {
	ID     string    `json:"id"`
	Ends   time.Time `json:"ends"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Hid    int       `json:"hid"`
}

// Bounds of a digest. What goes beyond is counted.
const (
	maxDigestRows  = 40
	maxDigestNames = 5
)

// digestRows are what a digest is made of: what the state file had of a span of time.
type digestRows struct {
	day        string
	from, to   time.Time
	filed      *filedTally
	days       []time.Time // of UTC
	suppressed []store.SuppressedCount
	trail      []store.TrailEntry // as it is shown, the entries that hush first
	counts     map[string]int
	tokens     []store.TokenUse
	lives      *lives
	open       []store.IncidentCount
	silences   []SilenceState
}

// filedTally counts issuances as they are read.
type filedTally struct {
	total, digests int
	by             map[[2]string]*FiledBy
	shown          []FiledCertificate
}

// add takes one in. matches are those that were filed with it.
func (f *filedTally) add(r *store.FiledRow) error {
	owners, names, err := touched(r.Matches)
	if err != nil {
		return err
	}
	if f.by == nil {
		f.by = map[[2]string]*FiledBy{}
	}
	f.total++
	level := r.Level
	if level == "" {
		level = "undecided"
	}
	for _, o := range owners {
		k := [2]string{o, r.Issuer}
		if f.by[k] == nil {
			f.by[k] = &FiledBy{Owner: o, Issuer: notify.Safe(r.Issuer, 200), Levels: map[string]int{}}
		}
		f.by[k].Count++
		f.by[k].Levels[level]++
	}
	if r.Level != policy.Digest.String() {
		return nil
	}
	if f.digests++; len(f.shown) < maxDigestRows {
		f.shown = append(f.shown, FiledCertificate{Issuance: hex.EncodeToString(r.ID[:]), Seen: r.FirstSeen.UTC(), Owner: strings.Join(owners, ", "),
			Issuer: notify.Safe(r.Issuer, 200), Names: names[:min(len(names), maxDigestNames)], Total: len(names)})
	}
	return nil
}

// touched is whose a certificate is, by the matches that were filed with it, and what of it is watched: each once.
func touched(filed json.RawMessage) (owners, names []string, err error) {
	var matches []notify.Match
	if err := json.Unmarshal(filed, &matches); err != nil {
		return nil, nil, fmt.Errorf("reading the matches of an issuance: %w", err)
	}
	for _, m := range matches {
		owner := m.Owner
		if owner == "" {
			owner = m.Watch
		}
		owners = append(owners, owner)
		names = append(names, strings.ToLower(notify.Safe(m.Value, 200)))
	}
	slices.Sort(owners)
	slices.Sort(names)
	return slices.Compact(owners), slices.Compact(names), nil
}

// newDigest makes the digest of what was read.
func newDigest(r *digestRows) *Digest {
	d := &Digest{
		Kind: "digest", Day: r.day, From: r.from.UTC(), To: r.to.UTC(), FiledTotal: r.filed.total, Filed: []FiledBy{},
		Certificates: append([]FiledCertificate{}, r.filed.shown...), CertificatesTotal: r.filed.digests,
		SuppressedDays: []string{}, Suppressed: []SuppressedBy{}, Expiring: []ExpiringCertificate{},
		Incidents: OpenIncidents{Levels: map[string]int{}}, Silences: []SilenceEnding{},
	}
	for _, f := range r.filed.by {
		d.Filed = append(d.Filed, *f)
	}
	slices.SortFunc(d.Filed, func(a, b FiledBy) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Issuer, b.Issuer))
	})
	for _, day := range r.days {
		d.SuppressedDays = append(d.SuppressedDays, day.UTC().Format(time.DateOnly))
	}
	for _, s := range r.suppressed {
		if s.Rule == "" { // the others count the same things once more, by rule
			d.Suppressed = append(d.Suppressed, SuppressedBy{s.Why, s.Silence, s.Count, s.Addresses})
		}
	}
	c := r.counts
	d.Announced = AnnouncedDay{Created: c[trailAnnounced], Used: c[store.TrailUsed], Expired: c[trailExpired], Missing: c[trailMissing], Cancelled: c[trailCancelled],
		Refused: c[trailRefused], Entries: []TrailLine{}, Tokens: []TokenGrant{}}
	for _, kind := range announcedKinds {
		d.Announced.Total += c[kind]
	}
	for _, e := range r.trail[:min(len(r.trail), maxDigestRows)] {
		d.Announced.Entries = append(d.Announced.Entries, TrailLine{e.At.UTC(), e.Kind, notify.Safe(e.Actor, 100), notify.Safe(e.Text, 300)})
	}
	for _, u := range r.tokens {
		d.Announced.Tokens = append(d.Announced.Tokens, TokenGrant{u.ID, notify.Safe(u.Name, 100), u.Times, u.Count})
	}
	ends := r.lives.ending(r.from, r.to)
	d.Expiring, d.ExpiringTotal = append(d.Expiring, ends[:min(len(ends), maxDigestRows)]...), len(ends)
	d.NamesNotLookedAt = r.lives.beyond
	for _, n := range r.open {
		d.Incidents.Open += n.Count
		d.Incidents.Levels[n.Level] += n.Count
	}
	for _, s := range r.silences {
		if s.Active && s.End.Sub(r.to) <= silenceSoon && len(d.Silences) < maxDigestRows {
			d.Silences = append(d.Silences, SilenceEnding{s.ID, s.End.UTC(), notify.Safe(s.By, 100), notify.Safe(s.Reason, 200), s.Hid})
		}
	}
	return d
}

// The entries of the trail that a digest shows: all that may keep something from ringing. What hushes comes first, so
// that nobody can crowd it out of the digest.
var (
	hushingKinds   = []string{trailAnnounced, store.TrailUsed, trailToken, trailSilence}
	announcedKinds = append([]string{trailExpired, trailMissing, trailCancelled, trailRevoked, trailRefused, trailPushed, trailEnded, trailUnsilent}, hushingKinds...)
)

// silenceSoon is how long before its end a silence is told of: twice.
const silenceSoon = 48 * time.Hour

// Text is the digest for people.
func (d *Digest) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "DIGEST %s: %s filed, %d of them of level digest; %s open", d.Day, count(d.FiledTotal, "certificate"), d.CertificatesTotal, count(d.Incidents.Open, "incident"))
	if n := d.Incidents.Levels[policy.Page.String()]; n > 0 {
		fmt.Fprintf(&b, ", of which %d page", n)
	}
	section := func(title string, lines []string, total int) {
		if total == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%s", title)
		for _, l := range lines[:min(len(lines), maxDigestRows)] {
			fmt.Fprintf(&b, "\n  %s", l)
		}
		if more := total - min(len(lines), maxDigestRows); more > 0 {
			fmt.Fprintf(&b, "\n  and %d more", more)
		}
	}
	section("filed:", lines(d.Filed, FiledBy.line), len(d.Filed))
	section("certificates of level digest:", lines(d.Certificates, func(c FiledCertificate) string {
		return fmt.Sprintf("%s by %s, for %s (tocsin explain %.12s)", some(c.Names, c.Total), issuerName(c.Issuer), notify.Safe(c.Owner, 100), c.Issuance)
	}), d.CertificatesTotal)
	section("not rung for on "+strings.Join(d.SuppressedDays, ", ")+":", lines(d.Suppressed, SuppressedBy.line), len(d.Suppressed))
	a := &d.Announced
	section(fmt.Sprintf("announced: %d new, %d used, %d over, %d never came, %d cancelled, %d refused", a.Created, a.Used, a.Expired, a.Missing, a.Cancelled, a.Refused),
		lines(a.Entries, func(e TrailLine) string {
			return fmt.Sprintf("%s %s by %s: %s", e.At.Format("15:04Z"), e.Kind, e.Actor, e.Text)
		}), a.Total)
	section("tokens that were used:", lines(a.Tokens, func(t TokenGrant) string {
		return fmt.Sprintf("%s (%s): %s, for %s", t.Name, notify.Safe(t.Token, 60), count(t.Times, "time"), count(t.Count, "issuance"))
	}), len(a.Tokens))
	section("without a successor:", lines(d.Expiring, func(e ExpiringCertificate) string {
		return fmt.Sprintf("%s until %s (tocsin explain %.12s)", some(e.Names, e.Total), e.Ends.Format(time.RFC3339), e.Issuance)
	}), d.ExpiringTotal)
	if d.NamesNotLookedAt > 0 {
		fmt.Fprintf(&b, "\n%s beyond the bounds of a digest: whether they have a successor was not looked at", count(d.NamesNotLookedAt, "name"))
	}
	section("silences that end soon:", lines(d.Silences, func(s SilenceEnding) string {
		return fmt.Sprintf("%s until %s, by %s: %s (muted %d)", notify.Safe(s.ID, 60), s.Ends.Format(time.RFC3339), s.By, s.Reason, s.Hid)
	}), len(d.Silences))
	b.WriteString("\nnext: tocsin incidents list")
	return b.String()
}

func lines[T any](list []T, f func(T) string) (out []string) {
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}

func (f FiledBy) line() string {
	var levels []string
	for _, l := range slices.Sorted(maps.Keys(f.Levels)) {
		levels = append(levels, fmt.Sprintf("%d %s", f.Levels[l], l))
	}
	return fmt.Sprintf("%s by %s: %d (%s)", notify.Safe(f.Owner, 100), issuerName(f.Issuer), f.Count, strings.Join(levels, ", "))
}

func (s SuppressedBy) line() string {
	text := fmt.Sprintf("%s: %d", notify.Safe(s.Why, 60), s.Count)
	if s.Silence != "" {
		text = fmt.Sprintf("%s by %s: %d", notify.Safe(s.Why, 60), notify.Safe(s.Silence, 60), s.Count)
	}
	if s.Addresses > 0 {
		text += fmt.Sprintf(", of which %d with addresses", s.Addresses)
	}
	return text
}

func issuerName(issuer string) string {
	if issuer == "" {
		return "an issuer that is not proven"
	}
	return notify.Safe(issuer, 100)
}

// some names a few of many.
func some(names []string, total int) string {
	text := strings.Join(names, ", ")
	if more := total - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
