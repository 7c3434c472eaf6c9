package cert

import (
	"errors"
	"strings"
	"unicode"
)

// toASCII maps the U-labels of a name to A-labels (RFC 5891 section 4.4): lower case, then Punycode (RFC 3492). Wide
// characters were folded before. It takes quadratic time in the length of a label: callers bound it.
func toASCII(t string) (string, error) {
	labels := strings.Split(t, ".")
	for i, label := range labels {
		if ascii(label) {
			labels[i] = strings.ToLower(label)
			continue
		}
		l, err := punycode(compose(strings.Map(unicode.ToLower, label)))
		if err != nil {
			return "", err
		}
		labels[i] = "xn--" + l
	}
	return strings.Join(labels, "."), nil
}

// composed are the letters of the Latin alphabets that are also written as a letter and a combining mark.
var composed = func() map[[2]rune]rune {
	m := map[[2]rune]rune{}
	for mark, letters := range map[rune]string{
		0x300: "aàeèiìoòuùnǹ",
		0x301: "aáeéiíoóuúyýcćlĺnńrŕsśzźgǵ",
		0x302: "aâeêiîoôuûcĉgĝhĥjĵsŝwŵyŷ",
		0x303: "aãnñoõiĩuũ",
		0x304: "aāeēiīoōuū",
		0x306: "aăeĕgğiĭoŏuŭ",
		0x307: "cċeėgġzż",
		0x308: "aäeëiïoöuüyÿ",
		0x30a: "aåuů",
		0x30b: "oőuű",
		0x30c: "cčdďeěnňrřsštťzžaǎiǐoǒuǔ",
		0x327: "cçgģkķlļnņrŗsştţ",
		0x328: "aąeęiįuų",
	} {
		r := []rune(letters)
		for i := 0; i+1 < len(r); i += 2 {
			m[[2]rune{r[i], mark}] = r[i+1]
		}
	}
	return m
}()

// compose joins letters and combining marks (NFC, for Latin letters).
func compose(t string) string {
	out := make([]rune, 0, len(t))
	for _, c := range t {
		if n := len(out); n > 0 {
			if whole, ok := composed[[2]rune{out[n-1], c}]; ok {
				out[n-1] = whole
				continue
			}
		}
		out = append(out, c)
	}
	return string(out)
}

var errNoLabel = errors.New("a label holds a character that no host name has")

// punycode encodes one label (RFC 3492 section 6.3).
func punycode(label string) (string, error) {
	const base, tmin, tmax, skew, damp = 36, 1, 26, 38, 700
	var out []byte
	runes := []rune(label)
	for _, c := range runes {
		switch {
		case c < 0x80:
			out = append(out, byte(c))
		case !unicode.In(c, unicode.L, unicode.M, unicode.N, unicode.S, unicode.P):
			return "", errNoLabel
		}
	}
	basic := len(out)
	done := basic
	if basic > 0 {
		out = append(out, '-')
	}
	n, delta, bias := rune(0x80), 0, 72
	for done < len(runes) {
		m := rune(unicode.MaxRune + 1)
		for _, c := range runes {
			if c >= n && c < m {
				m = c
			}
		}
		delta += int(m-n) * (done + 1)
		n = m
		for _, c := range runes {
			if c < n {
				delta++
			}
			if c != n {
				continue
			}
			q := delta
			for k := base; ; k += base {
				threshold := min(max(k-bias, tmin), tmax)
				if q < threshold {
					break
				}
				out = append(out, digit(threshold+(q-threshold)%(base-threshold)))
				q = (q - threshold) / (base - threshold)
			}
			out = append(out, digit(q))
			if done == basic {
				delta /= damp
			} else {
				delta /= 2
			}
			delta += delta / (done + 1)
			k := 0
			for delta > ((base-tmin)*tmax)/2 {
				delta /= base - tmin
				k += base
			}
			bias = k + (base-tmin+1)*delta/(delta+skew)
			delta = 0
			done++
		}
		delta++
		n++
	}
	return string(out), nil
}

func digit(d int) byte {
	if d < 26 {
		return byte('a' + d)
	}
	return byte('0' + d - 26)
}
