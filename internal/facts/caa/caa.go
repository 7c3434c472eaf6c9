// Package caa knows what the CAA records of our names said, and when (RFC 8659): which CAs the owner allows to issue.
//
// It keeps a history, because a certificate must be judged by the records that were in force when it was issued. Each
// name is asked from time to time by a [Poller]; equal answers grow into one [Span], a changed one begins the next.
// [At] and [Relevant] say what was in force at a time; [Facts] says what that means for one certificate; [Changed] says
// in words what is different between two sets.
//
// It promises: what nobody could see is unknown, and never "none": a failure, a timeout, a refusal, an answer that
// cannot be read, a time before the first look, a time between two looks that saw different records. Nothing waits
// longer than the deadline that it was given. No record of the past is rewritten.
//
// Whom it trusts: the resolvers that are configured. One on this machine is believed when it says that it validated
// an answer (DNSSEC); of one elsewhere that is only a claim, since anybody between may write it. What stands in the
// records is written by others and hostile to whoever shows it: here it is plain ASCII, escaped as in zone files, and
// bounded. CAA says nothing of addresses. What a CA did with accounturi and validationmethods (RFC 8657) cannot be seen
// in a certificate: they are kept, and said to be not verifiable.
package caa

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Addresses is why there is no answer for an address.
const Addresses = "addresses have no CAA records: none could have forbidden it"

// Bounds of one answer. What exceeds them is unknown.
const (
	maxRecords = 128
	maxBytes   = 16 << 10 // of all values and tags
)

// Tags of properties.
const (
	tagIssue     = "issue"
	tagIssueWild = "issuewild"
	tagIssueMail = "issuemail"
	tagIodef     = "iodef"
)

// understood are the properties of the registry of IANA. A critical one that is not among them forbids every issuance.
var understood = []string{tagIssue, tagIssueWild, tagIssueMail, tagIodef, "issuevmc", "contactemail", "contactphone"}

// critical is the flag of a property that a CA must understand (RFC 8659 section 4.1).
const critical = 128

// Record is one CAA record.
type Record struct {
	Flags uint8 `json:"flags"`
	// Tag is in lower case; Value is escaped as in zone files (\" \\ \DDD), so that it is plain ASCII.
	Tag   string `json:"tag"`
	Value string `json:"value"`
}

// String is the record as zone files write it.
func (r Record) String() string { return fmt.Sprintf(`%d %s "%s"`, r.Flags, r.Tag, r.Value) }

// Critical says that a CA which does not understand the property must not issue.
func (r Record) Critical() bool { return r.Flags&critical != 0 }

// Set is the CAA records of one name, sorted and each once: order and TTL are no part of it. The empty set says nothing.
type Set []Record

// NewSet makes a set of records in any order.
func NewSet(records ...Record) Set {
	s := Set{}
	for _, r := range records {
		r.Tag = strings.ToLower(r.Tag)
		s = append(s, r)
	}
	slices.SortFunc(s, func(a, b Record) int {
		return cmp.Or(strings.Compare(a.Tag, b.Tag), strings.Compare(a.Value, b.Value), cmp.Compare(a.Flags, b.Flags))
	})
	return slices.Compact(s)
}

// Equal compares two sets.
func (s Set) Equal(t Set) bool { return slices.Equal(s, t) }

// Digest names the set in a few letters: equal sets have the same.
func (s Set) Digest() string {
	h := sha256.New()
	for _, r := range s {
		fmt.Fprintf(h, "%s\n", r)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// String is the records on one line, for people.
func (s Set) String() string {
	if len(s) == 0 {
		return "no records"
	}
	out := make([]string, len(s))
	for i, r := range s {
		out[i] = r.String()
	}
	return strings.Join(out, "; ")
}

// Grant is the value of an issue, issuewild or issuemail property (RFC 8659 section 4.2).
type Grant struct {
	// Domain is the CA that may issue, in lower case; "" for none.
	Domain string
	// Parameters are all of them in order; AccountURI and ValidationMethods are those of RFC 8657.
	Parameters        []Parameter
	AccountURI        string
	ValidationMethods []string
	// Malformed says that the value could not be read. It then grants nothing, as the RFC wants it.
	Malformed bool
}

// Parameter is one tag=value of a grant.
type Parameter struct{ Tag, Value string }

// ParseGrant reads the value of a record, escaped as in [Record].
func ParseGrant(value string) Grant {
	g, ok := parseGrant(unescape(value))
	if !ok {
		return Grant{Malformed: true}
	}
	return g
}

func parseGrant(raw string) (g Grant, ok bool) {
	domain, rest, more := strings.Cut(raw, ";")
	domain = trim(domain)
	if domain != "" && !isDomain(domain) {
		return g, false
	}
	g.Domain = strings.ToLower(domain)
	if !more || trim(rest) == "" {
		return g, true
	}
	for part := range strings.SplitSeq(rest, ";") {
		tag, value, found := strings.Cut(trim(part), "=")
		tag, value = trim(tag), trim(value)
		// A value may be empty, and holds visible ASCII but ";" (which separates) and space.
		if !found || !isLabel(tag) || strings.ContainsFunc(value, func(r rune) bool { return r < '!' || r > '~' }) {
			return g, false
		}
		p := Parameter{Tag: strings.ToLower(tag), Value: value}
		g.Parameters = append(g.Parameters, p)
		switch p.Tag {
		case "accounturi":
			g.AccountURI = p.Value
		case "validationmethods":
			g.ValidationMethods = strings.Split(p.Value, ",")
		}
	}
	return g, true
}

func trim(s string) string { return strings.Trim(s, " \t") }

// isDomain reports whether s is labels of letters, digits and inner hyphens, with dots between them.
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

func isLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
	})
}

// escape makes plain ASCII of any bytes, as zone files do.
func escape(raw string) string {
	var b strings.Builder
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unescape is the inverse of escape. A backslash that stands for nothing is one.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		var n int
		if i+3 < len(s) && digits(s[i+1:i+4]) {
			n = int(s[i+1]-'0')*100 + int(s[i+2]-'0')*10 + int(s[i+3]-'0')
		}
		if n > 0 && n < 256 || i+3 < len(s) && s[i+1:i+4] == "000" {
			b.WriteByte(byte(n))
			i += 3
			continue
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
