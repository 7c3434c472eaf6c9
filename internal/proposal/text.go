package proposal

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// title is what a watch is called: by owner and issuers.
func (g *group) title() string {
	what := "addresses"
	if g.names() {
		what = "names"
	}
	switch n := len(g.issuers); {
	case n == 0 && g.names():
		what = "names of unknown issuers"
	case n == 0:
	case n <= 2:
		var each []string
		for _, issuer := range g.issuers {
			each = append(each, short(issuer))
		}
		what += " by " + strings.Join(each, " and ")
	default:
		what += fmt.Sprintf(" by %s and %d others", short(g.issuers[0]), n-1)
	}
	if owner := g.owner(); owner != "" {
		what = plain(owner, 60) + ": " + what
	}
	return what
}

// unique makes a text that was not used before.
func unique(text string, used map[string]bool) string {
	for n := 1; ; n++ {
		try := text
		if n > 1 {
			try = fmt.Sprintf("%s %d", text, n)
			if strings.IndexByte(text, ' ') < 0 {
				try = fmt.Sprintf("%s-%d", text, n)
			}
		}
		if !used[try] {
			used[try] = true
			return try
		}
	}
}

// slug makes a name for a file that no file system minds.
func slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.' && b.Len() > 0:
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 60 {
			break
		}
	}
	if s := strings.Trim(b.String(), "-."); s != "" {
		return s
	}
	return "watch"
}

// quote writes a text as a double-quoted scalar of YAML 1.2 that no reader takes for anything else, in ASCII on one line.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteAll(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = quote(s)
	}
	return strings.Join(out, ", ")
}

// Clean makes a text from outside fit to stand in a configuration: valid, printable, on one line, without space at its
// ends, and short.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	runes := []rune(s)
	return strings.TrimSpace(string(runes[:min(len(runes), 100)]))
}

// plain makes a text fit for a comment: ASCII that is printed, on one line, at most so many characters.
func plain(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case b.Len() >= most:
			b.WriteString("...")
			return b.String()
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// short is an issuer as people read it.
func short(issuer string) string {
	if hash, ok := strings.CutPrefix(issuer, "spki:"); ok && len(hash) > 12 {
		return "spki:" + hash[:12]
	}
	return plain(issuer, 60)
}

// number writes thousands apart.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func count(n int, what string) string {
	plural := what + "s"
	if strings.HasSuffix(what, "s") {
		plural = what + "es"
	}
	return counted(n, what, plural)
}

func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + more
}

func list(parts []string) string {
	switch n := len(parts); n {
	case 0:
		return "nothing"
	case 1:
		return parts[0]
	default:
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
}
