package proposal

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

// IssuerText is how a configuration names an issuer: by the CAA domain that stands for exactly these owners and looks
// most like them, else by a name that does, else by the issuing key. The same owners always get the same text.
func IssuerText(o *facts.Owners, owners []string, spki [32]byte) string {
	owners = slices.Sorted(slices.Values(owners))
	exactly := func(text string) bool {
		return slices.Equal(slices.Sorted(slices.Values(o.Resolve(text))), owners)
	}
	var domains []string
	for _, d := range o.Domains(owners) {
		if exactly(d) {
			domains = append(domains, d)
		}
	}
	if len(domains) > 0 {
		word := ""
		if len(owners) > 0 {
			word, _, _ = strings.Cut(strings.ToLower(owners[0]), " ")
		}
		return slices.MinFunc(domains, func(a, b string) int {
			if c := unlike(a, word) - unlike(b, word); c != 0 {
				return c
			}
			if c := len(a) - len(b); c != 0 {
				return c
			}
			return cmp.Compare(a, b)
		})
	}
	for _, name := range owners {
		if exactly(name) {
			return name
		}
	}
	if spki == [32]byte{} {
		if len(owners) > 0 {
			return owners[0]
		}
		return ""
	}
	return "spki:" + hex.EncodeToString(spki[:])
}

func unlike(domain, word string) int {
	if len(word) > 2 && strings.HasPrefix(domain, word) {
		return 0
	}
	return 1
}

// KeptIssuers are issuers of a configuration as [IssuerText] has them.
func KeptIssuers(o *facts.Owners, texts []string) []string {
	out := make([]string, 0, len(texts))
	for _, t := range texts {
		if strings.HasPrefix(t, "spki:") {
			out = append(out, strings.ToLower(t))
		} else if by := o.Resolve(t); len(by) > 0 {
			out = append(out, IssuerText(o, by, [32]byte{}))
		} else {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
