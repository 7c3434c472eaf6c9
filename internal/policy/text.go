package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/policy/rule"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// shown bounds what a reason lists of names: a certificate may hold many thousand.
const shown = 3

// list shows the first few of many strings from a certificate, and how many more there are. Its zero value is ready.
type list struct {
	n     int
	first []string
	seen  map[string]bool
}

// add counts s, once.
func (l *list) add(s string) {
	if l.seen[s] {
		return
	}
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	l.seen[s] = true
	if l.n++; len(l.first) < shown {
		l.first = append(l.first, show(s))
	}
}

func (l *list) String() string {
	switch {
	case l.n == 0:
		return "none"
	case l.n > len(l.first):
		return fmt.Sprintf("%s and %d more", strings.Join(l.first, ", "), l.n-len(l.first))
	}
	return join(l.first, " and ")
}

// values lists what the certificate says that touches the watch.
func (c *clauses) values() string {
	var l list
	for _, m := range c.matches {
		if m.Normal != "" {
			l.add(m.Normal)
		} else {
			l.add(m.Value)
		}
	}
	return l.String()
}

// items lists the items of the watch that matches touch.
func (c *clauses) items(matches []watch.Match) string {
	var l list
	seen := map[int]bool{}
	for _, m := range matches {
		if item, known := c.rule.item(m.Item); known && !seen[m.Item] {
			seen[m.Item] = true
			l.add(item.Text)
		}
	}
	if l.n == 0 {
		return c.rule.Name
	}
	return l.String()
}

// join writes strings as people do: a, b or c.
func join(s []string, last string) string {
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	return strings.Join(s[:len(s)-1], ", ") + last + s[len(s)-1]
}

// show makes a string from outside safe to print and not too long: what is no graphic character is escaped.
func show(s string) string { return rule.Safe(s) }

func clip(s string) string { return rule.Clip(s) }

// days writes a duration as configurations do: whole days, else as Go writes it.
func days(d time.Duration) string { return rule.Days(d) }

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// hostname tells a name that a client could ask for from other text in a common name.
func hostname(name []byte) bool {
	for _, b := range name {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '.', b == '_', b == '*':
		default:
			return false
		}
	}
	return len(name) > 0
}
