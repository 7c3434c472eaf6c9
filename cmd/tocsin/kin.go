package main

import (
	"bytes"
	"errors"
	"os"
	"slices"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/bundle"
)

// Bounds of the search for issuers among the files of one call.
const (
	maxKin      = 100_000 // certificates of CAs that are kept
	maxSame     = 64      // of one name
	maxDepth    = 8       // of a chain
	maxVerified = 16      // signatures tried for one certificate
	maxSPKI     = 3 << 10 // bytes of a key, as for the facts
)

// kin are the CA certificates among the files of one call of match. In a file, position says nothing: a server sends
// leaf, root, intermediate, and people keep chains in files of their own. The issuer is the one whose key made the
// signature (D23).
type kin struct {
	n         int
	bySubject map[string][]*cert.Certificate
	above     map[*cert.Certificate][][]byte // chains found so far
}

var errEnough = errors.New("enough")

// findKin looks through the files for CA certificates. Files that can be read only once (pipes) are left for match.
func findKin(files []string) *kin {
	k := &kin{bySubject: map[string][]*cert.Certificate{}, above: map[*cert.Certificate][][]byte{}}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() && !info.IsDir() {
			continue
		}
		_ = bundle.Read(file, func(it bundle.Item) error { // match reads it again, and says what is wrong
			if it.Entry != nil {
				return nil
			}
			if c := parse(it.DER); c.CA && len(c.RawSPKI) > 0 && len(c.RawSPKI) <= maxSPKI && len(k.bySubject[string(c.RawSubject)]) < maxSame {
				c = parse(bytes.Clone(it.DER)) // lets the file go
				k.bySubject[string(c.RawSubject)] = append(k.bySubject[string(c.RawSubject)], c)
				if k.n++; k.n == maxKin {
					return errEnough
				}
			}
			return nil
		})
	}
	return k
}

// chain is the chain above c, as far as signatures lead: its issuer first.
func (k *kin) chain(c *cert.Certificate) [][]byte { return k.climb(c, maxDepth) }

func (k *kin) climb(c *cert.Certificate, depth int) [][]byte {
	same := k.bySubject[string(c.RawIssuer)]
	if depth == 0 || len(same) == 0 || bytes.Equal(c.RawIssuer, c.RawSubject) {
		return nil
	}
	same = slices.Clone(same)
	slices.SortStableFunc(same, func(a, b *cert.Certificate) int { return hint(c, a) - hint(c, b) })
	for _, by := range same[:min(len(same), maxVerified)] {
		if c.VerifiedBy(by.RawSPKI) != nil {
			continue
		}
		above, known := k.above[by]
		if !known {
			above = k.climb(by, depth-1)
			k.above[by] = above
		}
		return append([][]byte{by.Raw}, above...)
	}
	return nil
}

// parse reads a certificate. Where the reader itself fails the certificate is no CA to us: the stations say so.
func parse(der []byte) (c *cert.Certificate) {
	defer func() {
		if recover() != nil {
			c = &cert.Certificate{}
		}
	}()
	return cert.Parse(der)
}

// hint is 0 when the key identifiers say that a issued c.
func hint(c, a *cert.Certificate) int {
	if len(c.AuthorityKeyID) > 0 && bytes.Equal(c.AuthorityKeyID, a.SubjectKeyID) {
		return 0
	}
	return 1
}
