package notify

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Alarm is the document about one issuance that receivers get. Its JSON is described in docs/output.md; keys are only
// ever added. Lists are cut (see the Total fields) and texts, too: a certificate may name thousands.
type Alarm struct {
	// ID, Issuance and Kind are set by [Rows].
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Issuance string `json:"issuance"`

	At    time.Time `json:"at"` // when it was decided
	Level string    `json:"level"`
	// Watches says what each watch that was touched made of it.
	Watches        []Outcome   `json:"watches"`
	Matched        []Match     `json:"matched"`
	MatchedTotal   int         `json:"matched_total"`
	Certificate    Certificate `json:"certificate"`
	Issuer         Issuer      `json:"issuer"`
	Key            Key         `json:"key"`
	Sightings      []Sighting  `json:"sightings"`
	SightingsTotal int         `json:"sightings_total"`
	Reasons        []Reason    `json:"reasons"`
	ReasonsTotal   int         `json:"reasons_total"`
	Oddities       []Oddity    `json:"oddities"`
	OdditiesTotal  int         `json:"oddities_total"`
	// Precert is set while no final certificate was seen. It may never be logged.
	Precert bool `json:"precert"`
	// Policy is the version of the policy that decided.
	Policy int `json:"policy"`
}

// Outcome is the level for one watch; that of the alarm is the highest.
type Outcome struct {
	Watch string `json:"watch"`
	Owner string `json:"owner,omitempty"`
	Level string `json:"level"`
}

// Match says what was named: one item of one watch at one place of the certificate.
type Match struct {
	Watch string `json:"watch"`
	Owner string `json:"owner,omitempty"`
	Item  string `json:"item"`
	Where string `json:"where"`
	// Value is what stands in the certificate; an iPAddress is written out. ValueHex has its bytes where Value cannot
	// show them exactly.
	Value    string `json:"value"`
	ValueHex string `json:"value_hex,omitempty"`
	// Odd is the code of the oddity under which it had to be read.
	Odd string `json:"odd,omitempty"`
}

// NewMatch makes a Match of the bytes in the certificate and their normal form.
func NewMatch(watch, owner, item, where, raw, normal, odd string) Match {
	m := Match{Watch: watch, Owner: owner, Item: item, Where: where, Value: raw, Odd: odd}
	if where == "san:ip" && normal != "" {
		m.Value = normal
		if len(raw) != 4 && len(raw) != 16 {
			m.ValueHex = hex.EncodeToString([]byte(raw))
		}
		return m
	}
	if m.Value = Safe(raw, len(raw)); m.Value != raw {
		m.ValueHex = hex.EncodeToString([]byte(raw))
	}
	return m
}

// Certificate is what the certificate says of itself.
type Certificate struct {
	// SHA256 is of the final certificate; empty while only a precertificate is known.
	SHA256        string    `json:"sha256,omitempty"`
	Serial        string    `json:"serial"` // hex
	Subject       string    `json:"subject"`
	Issuer        string    `json:"issuer"`
	NotBefore     time.Time `json:"not_before"`
	NotAfter      time.Time `json:"not_after"`
	DNSNames      []string  `json:"dns_names"`
	DNSNamesTotal int       `json:"dns_names_total"`
	IPs           []string  `json:"ips"`
	IPsTotal      int       `json:"ips_total"`
}

// Issuer is whose key signed, as far as it is proven.
type Issuer struct {
	Name  string `json:"name"`
	Owner string `json:"owner"` // empty: unknown; several joined by ", "
	SPKI  string `json:"spki"`  // SHA-256 in hex, empty: unknown
	// Proven is set when the signature proves the key; Why says why, or why not.
	Proven bool   `json:"proven"`
	Why    string `json:"why"`
}

// Key is the certificate's own key.
type Key struct {
	Algorithm string `json:"algorithm"`
	SPKI      string `json:"spki"`
	Owned     bool   `json:"owned"`
	Source    string `json:"source,omitempty"` // the file that holds it, when owned
}

// Sighting is an entry of a log.
type Sighting struct {
	Log     string    `json:"log"`
	LogID   string    `json:"log_id"` // hex
	Index   uint64    `json:"index"`
	Time    time.Time `json:"time"` // the log's timestamp
	Precert bool      `json:"precert"`
}

// Reason is one clause of the verdict; its keys are those of the policy.
type Reason struct {
	Rule     string `json:"rule"`
	Watch    string `json:"watch"`
	Item     string `json:"item"`
	Observed string `json:"observed"`
	Wanted   string `json:"wanted"`
	Config   string `json:"config"`
	// Held is set when the clause was as wanted. The others are why it rings.
	Held bool   `json:"held"`
	Text string `json:"text"`
}

// Oddity is something that a strict reader would have refused.
type Oddity struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Bounds of an alarm. What is beyond them stands in the ledger.
const (
	maxList = 20   // names, addresses, sightings, oddities
	maxRows = 50   // matches and reasons
	maxText = 1000 // runes of any one text
)

// short returns a copy with short lists. Totals that were not set are counted.
func (a Alarm) short() Alarm {
	a.Matched, a.MatchedTotal = cut(a.Matched, a.MatchedTotal, maxRows)
	a.Watches, _ = cut(a.Watches, 0, maxRows)
	a.Reasons, a.ReasonsTotal = cut(a.Reasons, a.ReasonsTotal, maxRows)
	a.Sightings, a.SightingsTotal = cut(a.Sightings, a.SightingsTotal, maxList)
	a.Oddities, a.OdditiesTotal = cut(a.Oddities, a.OdditiesTotal, maxList)
	c := &a.Certificate
	c.DNSNames, c.DNSNamesTotal = cut(c.DNSNames, c.DNSNamesTotal, maxList)
	c.IPs, c.IPsTotal = cut(c.IPs, c.IPsTotal, maxList)
	return a
}

// bounded returns a copy that is small and without bytes that JSON cannot carry.
func (a Alarm) bounded() Alarm {
	a = a.short()
	for i := range a.Matched {
		m := &a.Matched[i]
		each(&m.Watch, &m.Owner, &m.Item, &m.Where, &m.Value, &m.Odd)
		m.ValueHex = m.ValueHex[:min(len(m.ValueHex), 2*maxText)]
	}
	for i := range a.Watches {
		w := &a.Watches[i]
		each(&w.Watch, &w.Owner, &w.Level)
	}
	for i := range a.Reasons {
		r := &a.Reasons[i]
		each(&r.Rule, &r.Watch, &r.Item, &r.Observed, &r.Wanted, &r.Config, &r.Text)
	}
	for i := range a.Sightings {
		s := &a.Sightings[i]
		each(&s.Log, &s.LogID)
		s.Time = jsonTime(s.Time)
	}
	for i := range a.Oddities {
		each(&a.Oddities[i].Code, &a.Oddities[i].Text)
	}
	c := &a.Certificate
	for _, list := range [][]string{c.DNSNames, c.IPs} {
		for i := range list {
			each(&list[i])
		}
	}
	each(&c.SHA256, &c.Serial, &c.Subject, &c.Issuer)
	each(&a.Issuer.Name, &a.Issuer.Owner, &a.Issuer.SPKI, &a.Issuer.Why)
	each(&a.Key.Algorithm, &a.Key.SPKI, &a.Key.Source, &a.Level)
	for _, t := range []*time.Time{&a.At, &c.NotBefore, &c.NotAfter} {
		*t = jsonTime(*t)
	}
	return a
}

// jsonTime is t in UTC; a year that RFC 3339 cannot write (a log may claim any timestamp) becomes the nearest that it can.
func jsonTime(t time.Time) time.Time {
	t = t.UTC()
	switch y := t.Year(); {
	case y > 9999:
		return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	case y < 1:
		return time.Time{}
	}
	return t
}

// cut copies at most limit elements; the result is never nil, which JSON would write as null.
func cut[T any](list []T, total, limit int) ([]T, int) {
	out := make([]T, min(len(list), limit))
	copy(out, list)
	return out, max(total, len(list))
}

func each(texts ...*string) {
	for _, t := range texts {
		*t = Safe(*t, maxText)
	}
}

// Safe makes a text from outside fit for a terminal, a log line and JSON: control characters, what changes the
// direction of writing, invisible characters and piles of combining marks are written as \xNN or \u{NNNN}, as are bytes
// that are not UTF-8. Text beyond limit runes is cut, and the number of bytes that are missing is said.
func Safe(text string, limit int) string {
	if plain(text) && len(text) <= limit {
		return text
	}
	var b []byte
	runes, marks := 0, 0
	for i := 0; i < len(text); {
		if runes == limit {
			return string(b) + "… (" + strconv.Itoa(len(text)-i) + " more bytes)"
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		if r >= 0x300 && unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && n == 1, r < 0x80 && !unicode.IsPrint(r):
			b = fmt.Appendf(b, `\x%02x`, text[i])
		case !unicode.IsPrint(r), marks > 2:
			b = fmt.Appendf(b, `\u{%04x}`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
		i += n
		runes++
	}
	return string(b)
}

func plain(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return true
}

// encode writes JSON in one line, without the escapes that are for HTML alone.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
