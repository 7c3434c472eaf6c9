package cert

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Name is the normal form of a DNS name as people write it in a watch list: lower-case A-labels without a trailing
// dot. It takes U-labels and one trailing dot, and refuses what is no name: wildcards, addresses, URLs, space. The
// error says what is wrong with the text.
func Name(text string) (normal string, err error) {
	t := text
	switch {
	case t == "":
		return "", errors.New("the name is empty")
	case !utf8.ValidString(t):
		return "", errors.New("the name is not valid UTF-8")
	case strings.ContainsAny(t, " \t\r\n\u00a0\u3000"):
		return "", errors.New("the name has space in it")
	case strings.Contains(t, "*"):
		return "", errors.New("a wildcard is not needed: a name stands for itself and all beneath it")
	case strings.Contains(t, "://"):
		return "", errors.New("this is a URL; write only its host")
	case strings.Contains(t, "@"):
		return "", errors.New("this is an e-mail address; write only its domain")
	case len(t) > maxNameText:
		return "", errors.New("the name is longer than DNS allows")
	}
	if _, _, ok := ParseAddress(t); ok && !strings.HasSuffix(strings.ToLower(strings.TrimSuffix(t, ".")), ".arpa") {
		return "", errors.New("this is an address, not a name")
	}
	if strings.ContainsAny(t, ":/") {
		return "", errors.New("the name has a port or a path")
	}
	a := strings.ToLower(t)
	if !ascii(t) || strings.Contains(a, "xn--") {
		if a, err = toASCII(t); err != nil {
			return "", fmt.Errorf("the name cannot be written in A-labels: %w", err)
		}
	}
	a = strings.TrimSuffix(a, ".")
	if a == "" {
		return "", errors.New("the name is the root of DNS")
	}
	if len(a) > 253 {
		return "", errors.New("the name is longer than DNS allows")
	}
	label := ""
	for label = range strings.SplitSeq(a, ".") {
		switch {
		case label == "":
			return "", errors.New("the name has an empty label")
		case len(label) > 63:
			return "", fmt.Errorf("the label %q is longer than DNS allows", label)
		case label[0] == '-' || label[len(label)-1] == '-':
			return "", fmt.Errorf("the label %q begins or ends with a hyphen", label)
		}
		for _, c := range []byte(label) {
			if kinds[c] != 0 {
				return "", fmt.Errorf("the label %q holds a character that no host name has", label)
			}
		}
	}
	if digits(label) {
		return "", errors.New("a name does not end with a number; is it an address?")
	}
	return a, nil
}

// maxNameText is how long a text may be to be mapped to A-labels, whose coding takes quadratic time.
const maxNameText = 1024

// normal is the normal form of a name as certificates hold it. It never refuses: what cannot be mapped stays as it is,
// in lower case. "" means that nothing is left.
func normal(t string, why odd) (string, odd) {
	if !ascii(t) {
		a, err := "", error(nil)
		if mappable(t) {
			a, err = toASCII(t)
		}
		if a != "" && err == nil && ascii(a) {
			t, why = a, why.or(oddUTF8Name)
		} else {
			t, why = strings.ToLower(t), why.or(oddBadCharacter)
		}
	} else {
		t = strings.ToLower(t)
	}
	if strings.HasPrefix(t, ".") {
		t, why = strings.TrimLeft(t, "."), why.or(oddLeadingDot)
	}
	if n := len(t); strings.HasSuffix(t, ".") {
		t = strings.TrimRight(t, ".")
		if n-len(t) == 1 {
			why = why.or(oddTrailingDot)
		} else {
			why = why.or(oddEmptyLabel)
		}
	}
	if strings.Contains(t, "..") {
		t, why = strings.Join(strings.FieldsFunc(t, func(c rune) bool { return c == '.' }), "."), why.or(oddEmptyLabel)
	}
	if why == oddNone {
		if long(t) {
			why = oddLabelLong
		} else if !plainName(t) {
			why = oddBadCharacter
		} else if strings.Contains(t, "*") && !plainWildcard([]byte(t)) {
			why = oddWildcard
		}
	}
	return t, why
}

func mappable(t string) bool {
	if len(t) > maxNameText {
		return false
	}
	for label := range strings.SplitSeq(t, ".") {
		if len(label) > 255 {
			return false
		}
	}
	return true
}

func long(t string) bool {
	if len(t) > 253 {
		return true
	}
	for label := range strings.SplitSeq(t, ".") {
		if len(label) > 63 {
			return true
		}
	}
	return false
}

func plainName(t string) bool {
	for i := range len(t) {
		if kinds[t[i]]&^(kindDot|kindStar) != 0 {
			return false
		}
	}
	return true
}

// fold replaces fullwidth characters and dots and wide spaces by their ASCII form and drops invisible characters.
func fold(t string) (string, odd) {
	if ascii(t) {
		return t, oddNone
	}
	why := oddNone
	out := strings.Map(func(c rune) rune {
		switch {
		case c < 0xa0:
			return c
		case c >= 0xff01 && c <= 0xff5e:
			why = why.or(oddWide)
			return c - 0xfee0
		case c == 0x3002, c == 0xff61:
			why = why.or(oddWide)
			return '.'
		case c == 0xa0, c >= 0x2000 && c <= 0x200a, c == 0x202f, c == 0x205f, c == 0x3000, c == 0x2028, c == 0x2029:
			why = why.or(oddWide)
			return ' '
		case c == 0xad, c >= 0x200b && c <= 0x200f, c >= 0x202a && c <= 0x202e, c >= 0x2060 && c <= 0x2069, c == 0xfeff,
			c == 0x180e, c == 0x034f, c == 0x061c, c >= 0xfe00 && c <= 0xfe0f:
			why = why.or(oddInvisible)
			return -1
		}
		return c
	}, t)
	return out, why
}
