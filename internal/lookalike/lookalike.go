// Package lookalike finds names that people take for another: letters that look alike, one letter more, less, other or
// swapped, the same word under another top-level domain, ours as part of theirs.
//
// It promises bounded work for each name, whatever it holds, and that a name which is ours, or beneath ours, resembles
// nothing. It is a heuristic for people who ask for it: it finds what phishing commonly uses, and no more. Names are
// hostile.
package lookalike

import (
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Index knows names that are ours. It does not change and is safe for concurrent use.
type Index struct {
	zones     map[string]bool
	labels    map[string]string // what stands before the public suffix, as it looks → zone
	words     map[string]string // of those, the ones as they are written → zone
	deletions map[string][]string
}

// Words shorter than these are too common to say anything.
const (
	minWord = 4 // letters of a word that looks the same
	minNear = 6 // of a word with one letter changed, or with others beside it
)

// New makes an index of names in normal form (lower-case A-labels). Each stands for itself and what is beneath it.
func New(names []string) *Index {
	x := &Index{zones: map[string]bool{}, labels: map[string]string{}, words: map[string]string{}, deletions: map[string][]string{}}
	for _, name := range names {
		x.zones[name] = true
		word, ok := word(name)
		if !ok || len(word) < minWord {
			continue
		}
		look := skeleton(word)
		if _, known := x.labels[look]; known {
			continue
		}
		x.labels[look], x.words[word] = name, name
		if len(look) >= minNear {
			for _, d := range deletions(look) {
				x.deletions[d] = append(x.deletions[d], look)
			}
		}
	}
	return x
}

// maxName bounds the work: no DNS name is longer (RFC 1035 section 2.3.4).
const maxName = 255

// Of returns the name of ours that a name resembles, and how; or nothing.
func (x *Index) Of(name string) (ours, how string) {
	name = strings.TrimPrefix(name, "*.")
	if x == nil || len(name) > maxName || x.own(name) {
		return "", ""
	}
	if zone := x.inside(name); zone != "" {
		return zone, "our name stands in it, beneath another domain"
	}
	word, ok := word(name)
	if !ok {
		return "", ""
	}
	if zone := x.words[word]; zone != "" {
		return zone, "the same word beneath another top-level domain"
	}
	look := skeleton(word)
	if zone := x.labels[look]; zone != "" {
		return zone, "letters that look alike"
	}
	if len(look) >= minNear-1 {
		for _, d := range append(deletions(look), look) {
			for _, near := range x.deletions[d] {
				if oneApart(look, near) {
					return x.labels[near], "one letter differs"
				}
			}
			if zone := x.labels[d]; zone != "" && len(d) >= minNear {
				return zone, "one letter more"
			}
		}
	}
	for part := range strings.SplitSeq(word, "-") {
		if zone := x.labels[skeleton(part)]; zone != "" && len(part) >= minNear && part != word {
			return zone, "our word with others beside it"
		}
	}
	return "", ""
}

// own reports whether a name is ours or beneath ours.
func (x *Index) own(name string) bool {
	for {
		if x.zones[name] {
			return true
		}
		_, parent, more := strings.Cut(name, ".")
		if !more {
			return false
		}
		name = parent
	}
}

// inside returns the zone whose labels stand in the name, not at its end.
func (x *Index) inside(name string) string {
	labels := strings.Split(name, ".")
	for i := range labels {
		for j := i + 2; j < len(labels); j++ { // a single label would be any word
			if zone := strings.Join(labels[i:j], "."); x.zones[zone] {
				return zone
			}
			if j-i > 6 {
				break
			}
		}
	}
	return ""
}

// word is the label before the public suffix, in Unicode.
func word(name string) (string, bool) {
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return "", false
	}
	label, _, _ := strings.Cut(domain, ".")
	if u, err := idna.ToUnicode(label); err == nil {
		label = u
	}
	return strings.ToLower(label), true
}

// alike are letters that look like another one, in fonts that browsers use.
var alike = strings.NewReplacer(
	"rn", "m", "vv", "w", "-", "", "0", "o", "1", "l", "i", "l", "|", "l", "5", "s", "3", "e", "8", "b",
	"а", "a", "в", "b", "е", "e", "ѕ", "s", "і", "l", "ї", "l", "ј", "j", "к", "k", "м", "m", "н", "h", "о", "o", "р", "p", "с", "c", "т", "t", "у", "y", "х", "x", "ԁ", "d", "ԛ", "q", "ԝ", "w", "һ", "h", "ӏ", "l", "ɡ", "g", "ν", "v", "ο", "o", "α", "a", "ι", "l", "κ", "k", "ρ", "p", "τ", "t", "υ", "u", "χ", "x",
	"à", "a", "á", "a", "â", "a", "ã", "a", "ä", "a", "å", "a", "ā", "a", "ą", "a", "ç", "c", "ć", "c", "č", "c", "ď", "d", "đ", "d", "è", "e", "é", "e", "ê", "e", "ë", "e", "ē", "e", "ė", "e", "ę", "e", "ğ", "g", "ì", "l", "í", "l", "î", "l", "ï", "l", "ī", "l", "ı", "l", "ł", "l", "ñ", "n", "ń", "n", "ň", "n", "ò", "o", "ó", "o", "ô", "o", "õ", "o", "ö", "o", "ø", "o", "ō", "o", "ŕ", "r", "ř", "r", "ś", "s", "š", "s", "ş", "s", "ť", "t", "ù", "u", "ú", "u", "û", "u", "ü", "u", "ū", "u", "ů", "u", "ý", "y", "ÿ", "y", "ź", "z", "ż", "z", "ž", "z",
)

// skeleton is what a word looks like.
func skeleton(word string) string { return alike.Replace(word) }

// deletions are a word with each of its letters left out.
func deletions(word string) []string {
	runes := []rune(word)
	out := make([]string, 0, len(runes))
	for i := range runes {
		out = append(out, string(runes[:i])+string(runes[i+1:]))
	}
	return out
}

// oneApart reports whether two words differ by one letter more, less, other, or swapped with its neighbour.
func oneApart(a, b string) bool {
	x, y := []rune(a), []rune(b)
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	switch {
	case len(x) == 2 && len(y) == 2:
		return x[0] == y[1] && x[1] == y[0]
	case len(x) > 1 || len(y) > 1:
		return false
	}
	return len(x)+len(y) > 0
}
