package notify

import (
	"fmt"
	"strings"
	"time"
)

// textWidth bounds values in texts, in runes: a line should be read, the rest is in the document.
const textWidth = 120

// Text is the alarm for people: what, who, when, why, and what to do next. One line for what was only filed. Safe for a
// terminal, without a line break at the end.
func (a Alarm) Text() string {
	a = a.short()
	s := func(text string) string { return Safe(text, textWidth) }
	id := a.Issuance
	if len(id) > 12 {
		id = id[:12]
	}
	if KindOf(a.Level) == KindFiled {
		return fmt.Sprintf("filed  %s: %s, by %s, valid to %s  (tocsin explain %s)", s(a.Level), a.headline(), a.signer(),
			day(a.Certificate.NotAfter), s(id))
	}

	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s %s\n", label, fmt.Sprintf(format, args...))
	}
	what := "a certificate"
	if a.Precert {
		what = "a precertificate"
	}
	fmt.Fprintf(&b, "%s  %s is named in %s by %s\n", strings.ToUpper(s(a.Level)), a.headline(), what, a.signer())
	for _, m := range a.Matched {
		text := fmt.Sprintf("%s (%s)", s(m.Value), s(m.Where))
		if m.Odd != "" {
			text += ", odd: " + s(m.Odd)
		}
		text += fmt.Sprintf("; watch %q", s(m.Watch))
		if m.Item != m.Watch {
			text += ", item " + s(m.Item)
		}
		if m.Owner != "" {
			text += ", owner " + s(m.Owner)
		}
		line("named", "%s", text)
	}
	more(line, len(a.Matched), a.MatchedTotal)
	owner := "owner unknown"
	if a.Issuer.Owner != "" {
		owner = "owner " + s(a.Issuer.Owner)
	}
	proof := "NOT proven"
	if a.Issuer.Proven {
		proof = "proven"
	}
	if a.Issuer.Why != "" {
		proof += ": " + s(a.Issuer.Why)
	}
	line("issuer", "%s; %s; %s", s(a.Certificate.Issuer), owner, proof)
	key := "not one of ours"
	if a.Key.Owned {
		key = "ours, " + s(a.Key.Source)
	}
	line("key", "%s, spki:%s; %s", s(a.Key.Algorithm), s(a.Key.SPKI), key)
	line("valid", "%s to %s (%s)", day(a.Certificate.NotBefore), day(a.Certificate.NotAfter), days(a.Certificate.NotBefore, a.Certificate.NotAfter))
	if n := a.Certificate.DNSNamesTotal + a.Certificate.IPsTotal; n > 0 {
		line("names", "%s", a.names())
	}
	line("serial", "%s", s(a.Certificate.Serial))
	if a.Certificate.SHA256 != "" {
		line("sha256", "%s", s(a.Certificate.SHA256))
	}
	for _, si := range a.Sightings {
		kind := ""
		if si.Precert {
			kind = ", precertificate"
		}
		line("seen", "%s #%d, %s%s", s(si.Log), si.Index, second(si.Time), kind)
	}
	more(line, len(a.Sightings), a.SightingsTotal)
	for _, r := range a.Reasons {
		label := "why"
		if r.Held {
			label = "held"
		}
		text := s(r.Text)
		if text == "" {
			text = "see the rule"
		}
		if r.Observed != "" || r.Wanted != "" {
			text += fmt.Sprintf("; observed %s, wanted %s", orNone(s(r.Observed)), orNone(s(r.Wanted)))
		}
		if r.Config != "" {
			text += "  (" + s(r.Config) + ")"
		}
		line(label, "%s: %s", s(r.Rule), text)
	}
	more(line, len(a.Reasons), a.ReasonsTotal)
	for _, o := range a.Oddities {
		line("odd", "%s: %s", s(o.Code), s(o.Text))
	}
	more(line, len(a.Oddities), a.OdditiesTotal)
	fmt.Fprintf(&b, "next: tocsin explain %s", s(id))
	return b.String()
}

// headline is what was named: the first match, and how many there are.
func (a Alarm) headline() string {
	if len(a.Matched) == 0 {
		return "nothing watched"
	}
	text := Safe(a.Matched[0].Value, 60)
	if n := a.MatchedTotal - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// signer is who signed: the owner when that is known, else the name in quotes, since anybody may write any name.
func (a Alarm) signer() string {
	if a.Issuer.Owner != "" && a.Issuer.Proven {
		return Safe(a.Issuer.Owner, 60)
	}
	name := a.Issuer.Name
	if name == "" {
		name = a.Certificate.Issuer
	}
	text := fmt.Sprintf("%q", Safe(name, 60))
	if !a.Issuer.Proven {
		text += " (not proven)"
	}
	return text
}

func (a Alarm) names() string {
	const shown = 5
	var list []string
	for _, n := range append(append([]string(nil), a.Certificate.DNSNames...), a.Certificate.IPs...) {
		if len(list) == shown {
			break
		}
		list = append(list, Safe(n, 60))
	}
	text := strings.Join(list, ", ")
	if n := a.Certificate.DNSNamesTotal + a.Certificate.IPsTotal - len(list); n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

func more(line func(string, string, ...any), shown, total int) {
	if n := total - shown; n > 0 {
		line("", "and %d more", n)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func day(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

func second(t time.Time) string {
	if t.IsZero() {
		return "time unknown"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func days(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return "length unknown"
	}
	// In seconds: a Duration cannot hold more than 292 years, and certificates do.
	d := (to.Unix() - from.Unix() + 86399) / 86400
	if d == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", d)
}
