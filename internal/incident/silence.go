package incident

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/policy"
)

// Silence mutes what is known, for a time. It mutes a certificate only when all of it is covered: a certificate that also
// touches something else rings.
type Silence struct {
	ID string `json:"id"`
	// Start and End are its time, By and Reason who made it and why. All but Start must be given.
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Match  Matchers  `json:"match"`
	// Ended is when somebody ended it early.
	Ended time.Time `json:"ended,omitzero"`
}

// Matchers say what a silence covers: each list that is not empty must cover all that a certificate has of the kind.
type Matchers struct {
	Owners  []string `json:"owners,omitempty"`
	Watches []string `json:"watches,omitempty"`
	// Names are a name and all beneath it, one name with = before it, an address or a network.
	Names []string `json:"names,omitempty"`
	// Issuers are owners of issuing keys, as far as these are proven, or "spki:" and a SHA-256 in hex; Keys are the latter.
	Issuers []string `json:"issuers,omitempty"`
	Keys    []string `json:"keys,omitempty"`
	Rules   []string `json:"rules,omitempty"`
	// AtMost is the highest level that it covers; below alarm it means alarm. Page must be said.
	AtMost policy.Level `json:"at_most"`
}

// MaxSilence is the longest time of a silence.
const MaxSilence = 90 * 24 * time.Hour

// Check says what is wrong with a silence that is about to be made.
func (s *Silence) Check(now time.Time) error {
	m := &s.Match
	switch {
	case strings.TrimSpace(s.Reason) == "":
		return errors.New("a silence without a reason")
	case strings.TrimSpace(s.By) == "":
		return errors.New("a silence without an author")
	case s.End.IsZero():
		return errors.New("a silence without an end")
	case !s.End.After(now) || !s.End.After(s.Start):
		return errors.New("a silence that is over before it begins")
	case s.End.Sub(later(s.Start, now)) > MaxSilence:
		return fmt.Errorf("a silence of more than %d days", int(MaxSilence.Hours()/24))
	case len(m.Owners)+len(m.Watches)+len(m.Names)+len(m.Issuers)+len(m.Keys)+len(m.Rules) == 0:
		return errors.New("a silence that covers everything: name an owner, a watch, a name, an issuer, a key or a rule")
	case m.AtMost > policy.Page:
		return errors.New("no such level")
	}
	for _, n := range m.Names {
		if strings.Trim(n, "=.* ") == "" {
			return fmt.Errorf("a silence of the name %q", n)
		}
	}
	for _, list := range [][]string{m.Owners, m.Watches, m.Names, m.Issuers, m.Keys, m.Rules} {
		if slices.Contains(list, "") {
			return errors.New("a silence of nothing: an empty text among what it covers")
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Active reports whether it is in force.
func (s *Silence) Active(now time.Time) bool {
	return !now.Before(s.Start) && now.Before(s.End) && s.Ended.IsZero()
}

// Covers reports whether all of a subject is covered.
func (s *Silence) Covers(sub *Subject) bool {
	m := &s.Match
	if sub.Level > max(m.AtMost, policy.Alarm) {
		return false
	}
	for _, c := range []struct {
		what       string
		want, have []string
		covers     func(want, have string) bool
	}{
		{"owners", m.Owners, sub.Owners, equal},
		{"watches", m.Watches, sub.Watches, equal},
		{"names", m.Names, sub.Names, coversName},
		{"issuers", m.Issuers, sub.Issuers, coversIssuer},
		{"keys", m.Keys, sub.Keys, coversKey},
		{"rules", m.Rules, sub.Rules, equal},
	} {
		if len(c.want) == 0 {
			continue
		}
		if len(c.have) == 0 || slices.Contains(sub.Over, c.what) {
			return false
		}
		for _, have := range c.have {
			if !slices.ContainsFunc(c.want, func(want string) bool { return c.covers(want, have) }) {
				return false
			}
		}
	}
	return true
}

func equal(want, have string) bool { return want == have }

func coversIssuer(want, have string) bool {
	key, owner, _ := strings.Cut(have, " ")
	if strings.HasPrefix(want, "spki:") {
		return key != "spki:" && strings.EqualFold(want, key)
	}
	return owner != "" && strings.EqualFold(want, owner)
}

func coversKey(want, have string) bool {
	return have != "" && strings.EqualFold(strings.TrimPrefix(want, "spki:"), have)
}

func coversName(want, have string) bool {
	if p, ok := prefix(want); ok {
		h, ok := prefix(have)
		return ok && h.Bits() >= p.Bits() && p.Contains(h.Addr())
	}
	want, have = strings.ToLower(strings.TrimSuffix(want, ".")), strings.ToLower(strings.TrimSuffix(have, "."))
	if exact, ok := strings.CutPrefix(want, "="); ok {
		return have == exact
	}
	return have == want || strings.HasSuffix(have, "."+want)
}

func prefix(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// muted returns the silence in force that covers a subject for longest, or nil.
func muted(silences []Silence, sub *Subject, now time.Time) *Silence {
	var best *Silence
	for i := range silences {
		s := &silences[i]
		if s.Active(now) && s.Covers(sub) && (best == nil || s.End.After(best.End)) {
			best = s
		}
	}
	return best
}

// Past is a verdict of the past, for [Preview].
type Past struct {
	At      time.Time
	Verdict Verdict
}

// WouldMute is what a silence would have muted.
type WouldMute struct {
	// Issuances are those certificates, the newest first; of Seen that many rang.
	Issuances []string `json:"issuances"`
	Seen      int      `json:"seen"`
	// Addresses counts those that touch an address; Rules counts by rule.
	Addresses int            `json:"addresses"`
	Rules     map[string]int `json:"rules"`
	// Spared counts those of which only a part is covered, so that they would ring.
	Spared int `json:"spared"`
}

// Preview says what a silence would have muted, had it been in force all along.
func Preview(s *Silence, past []Past) WouldMute {
	w := WouldMute{Rules: map[string]int{}}
	past = slices.Clone(past)
	slices.SortStableFunc(past, func(a, b Past) int { return b.At.Compare(a.At) })
	for i := range past {
		groups := Groups(&past[i].Verdict)
		if len(groups) == 0 {
			continue
		}
		w.Seen++
		covered, address := 0, false
		for j := range groups {
			if s.Covers(&groups[j].Subject) {
				covered++
				address = address || groups[j].Subject.Address
			}
		}
		switch {
		case covered == len(groups):
			w.Issuances = append(w.Issuances, past[i].Verdict.Issuance)
			if address {
				w.Addresses++
			}
			for _, r := range past[i].Verdict.Rules {
				w.Rules[r]++
			}
		case covered > 0:
			w.Spared++
		}
	}
	return w
}

// Text is the preview in one line.
func (w *WouldMute) Text() string {
	text := fmt.Sprintf("would have muted %d of %d", len(w.Issuances), w.Seen)
	if w.Addresses > 0 {
		text += fmt.Sprintf(", %d of them for addresses", w.Addresses)
	}
	if w.Spared > 0 {
		text += fmt.Sprintf("; %d more would ring for another owner", w.Spared)
	}
	return text
}
