package rule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds what is shown of one text from outside.
const maxShown = 256

// Safe makes a text from outside safe to print and not too long: what is no graphic character is escaped.
func Safe(s string) string {
	cut := Clip(s)
	plain := utf8.ValidString(cut)
	for _, r := range cut {
		plain = plain && unicode.IsGraphic(r)
	}
	if plain {
		return cut
	}
	quoted := strconv.QuoteToGraphic(cut)
	return quoted[1 : len(quoted)-1]
}

// Clip cuts a text that is too long to be shown, between characters.
func Clip(s string) string {
	if len(s) <= maxShown {
		return s
	}
	end := maxShown
	for end > maxShown-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// Days writes a duration as configurations do: whole days, else as Go writes it.
func Days(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	if d >= day {
		return fmt.Sprintf("%dd%s", d/day, d%day)
	}
	return d.String()
}

// shownItems is how many elements of a list a text shows.
const shownItems = 3

// shown writes the value of an expression for people.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		return Safe(v)
	case []string:
		var parts []string
		for _, s := range v[:min(len(v), shownItems)] {
			parts = append(parts, Safe(s))
		}
		switch {
		case len(v) == 0:
			return "none"
		case len(v) > shownItems:
			return strings.Join(parts, ", ") + " and " + strconv.Itoa(len(v)-shownItems) + " more"
		case len(v) == 1:
			return parts[0]
		}
		return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
	case []any:
		var texts []string
		for _, e := range v {
			texts = append(texts, fmt.Sprint(e))
		}
		return shown(texts)
	case time.Time:
		if v.IsZero() {
			return "an unknown time"
		}
		return v.UTC().Format("2006-01-02 15:04:05 UTC")
	case time.Duration:
		return Days(v.Round(time.Second))
	case nil:
		return "nothing"
	}
	return Safe(fmt.Sprint(v))
}

// piece is part of a template: a text as it stands, or an expression.
type piece struct {
	text string
	expr *program
}

// maxSay bounds a whole sentence.
const maxSay = 1000

// render fills a template. An expression that cannot be evaluated is shown as "?".
func render(pieces []piece, env *Env) string {
	var b strings.Builder
	for _, p := range pieces {
		if b.Len() > maxSay {
			b.WriteString("…")
			break
		}
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := p.expr.run(env)
		if err != nil {
			b.WriteString("?")
			continue
		}
		b.WriteString(shown(v))
	}
	return clean(b.String())
}

func itoa(n int) string { return strconv.Itoa(n) }
