package bench

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
)

// subject is what one certificate is made from.
type subject struct {
	*kind
	by        *issuer
	names     []string
	addresses int
	cn        bool
	bits      int
	from      time.Time
	pad       int // bytes of an extension that nobody knows
}

const consonants, vowels = "bcdfghjklmnprstvwz", "aeiou"

// word is a pronounceable label.
func (g *Generator) word() string {
	var b strings.Builder
	for range 2 + g.rnd.IntN(3) {
		b.WriteByte(consonants[g.rnd.IntN(len(consonants))])
		b.WriteByte(vowels[g.rnd.IntN(len(vowels))])
	}
	if g.chance(10, 1) {
		fmt.Fprintf(&b, "-%d", g.rnd.IntN(1000))
	}
	return b.String()
}

var hosts = []string{"www", "www", "www", "mail", "api", "dev", "staging", "shop", "cdn", "autodiscover", "cpanel", "app"}

// names makes n names of one owner, or for many of them, of many owners.
func (g *Generator) names(n, wildcard int) []string {
	domain := g.word() + g.word() + ".example"
	var list []string
	switch {
	case g.chance(100, wildcard):
		list = append(list, "*."+domain, domain)
	case g.chance(2, 1):
		list = append(list, domain, hosts[g.rnd.IntN(len(hosts))]+"."+domain)
	default:
		list = append(list, hosts[g.rnd.IntN(len(hosts))]+"."+g.word()+"."+domain, domain)
	}
	for len(list) < n {
		if g.chance(3, 1) {
			domain = g.word() + g.word() + ".example"
		}
		list = append(list, hosts[g.rnd.IntN(len(hosts))]+"."+domain)
	}
	return list[:n]
}

// entry fills in certificate, chain and what depends on them.
func (g *Generator) entry(e *ctlog.Entry, c *subject) {
	chain := []*issuer{c.by, &g.issuers[c.by.parents[0]]}
	if g.chance(10_000, threeChain) {
		chain = append(chain, &g.issuers[12+(c.by.parents[0]-12+1)%3])
	}
	for _, ca := range chain {
		e.Fingerprints = append(e.Fingerprints, ca.hash)
	}
	g.w.b = make([]byte, 0, 4<<10)
	rsa := c.caRSA == 1
	before, shared, between := g.tbs(c)
	if !e.Precert {
		g.w.b = make([]byte, 0, len(shared)+1<<10)
		g.w.sequence(func() {
			g.w.sequence(func() {
				g.w.b = append(g.w.b, before...)
				g.extensions(shared, between, func() { g.scts() })
			})
			g.signature(rsa)
		})
		e.Cert = g.w.b
		e.Extra = appendChain(nil, chain)
		return
	}
	e.IssuerKeyHash = c.by.keyHash
	g.w.b = make([]byte, 0, len(before)+len(shared)+64)
	g.w.sequence(func() {
		g.w.b = append(g.w.b, before...)
		g.extensions(shared, between, func() {})
	})
	e.Cert = g.w.b
	g.w.b = make([]byte, 0, len(e.Cert)+1<<10)
	g.w.sequence(func() {
		g.w.sequence(func() {
			g.w.b = append(g.w.b, before...)
			g.extensions(shared, between, func() { g.w.extensionOID(oidPoison, true, func() { g.w.put(5) }) })
		})
		g.signature(rsa)
	})
	e.PreCert = g.w.b
	e.Extra = appendChain(append(appendUint24(nil, len(e.PreCert)), e.PreCert...), chain)
}

// tbs writes the fields before the extensions, and the extensions, with the place where SCTs or poison stand.
func (g *Generator) tbs(c *subject) (before, extensions []byte, place int) {
	g.w.b = nil
	g.head(c.caRSA == 1)
	g.w.b = append(g.w.b, c.by.name...)
	g.validity(c.from, c.days)
	g.w.sequence(func() {
		if c.cn && len(c.names[0]) <= 64 {
			g.w.attribute(3, tagUTF8, c.names[0])
		}
	})
	g.key(c.bits)
	before = g.w.b
	g.w.b = nil
	w := &g.w
	w.extension(15, true, func() { w.put(tagBits, 7, 0x80) })
	w.extension(37, false, func() {
		w.sequence(func() { w.put(tagOID, 0x2b, 6, 1, 5, 5, 7, 3, 1); w.put(tagOID, 0x2b, 6, 1, 5, 5, 7, 3, 2) })
	})
	w.extension(19, true, func() { w.put(tagSequence) })
	w.extension(14, false, func() { w.in(tagOctets, func() { g.random(20) }) })
	w.extension(35, false, func() { w.sequence(func() { w.put(0x80, c.by.keyID[:]...) }) })
	w.extensionOID(oidAIA, false, func() {
		w.sequence(func() {
			for i, what := range []string{"http://ocsp.%s.example", "http://i.%s.example/"} {
				w.sequence(func() {
					w.put(tagOID, 0x2b, 6, 1, 5, 5, 7, 0x30, byte(i+1))
					w.text(0x86, fmt.Sprintf(what, strings.ToLower(strings.ReplaceAll(c.by.org, " ", "-"))))
				})
			}
		})
	})
	g.alternativeNames(c)
	w.extension(32, false, func() {
		w.sequence(func() {
			for i := range c.policies {
				w.sequence(func() { w.put(tagOID, append(policyDV, make([]byte, i)...)...) })
			}
		})
	})
	if c.crl > 0 {
		w.extension(31, false, func() {
			w.sequence(func() {
				w.sequence(func() {
					w.in(0xa0, func() {
						w.in(0xa0, func() { w.text(0x86, fmt.Sprintf("http://c.trust.example/%d.crl", g.rnd.IntN(128))) })
					})
				})
			})
		})
	}
	if c.pad > 0 {
		w.extensionOID([]byte{0x2b, 6, 1, 4, 1, 0x82, 0xff, 0x7f, 1}, false, func() { w.in(tagOctets, func() { g.random(c.pad) }) })
	}
	return before, w.b, len(w.b)
}

func (g *Generator) alternativeNames(c *subject) {
	g.w.extension(17, !c.cn, func() {
		g.w.sequence(func() {
			for _, name := range c.names {
				g.w.text(0x82, name)
			}
			for range c.addresses {
				if g.chance(2, 1) {
					g.w.put(0x87, 192, 0, 2, byte(g.rnd.IntN(256)))
				} else {
					g.w.in(0x87, func() { g.w.b = append(g.w.b, 0x20, 1, 0x0d, 0xb8); g.random(12) })
				}
			}
		})
	})
}

// extensions writes the extensions, with one more at the place.
func (g *Generator) extensions(shared []byte, place int, more func()) {
	g.w.in(0xa3, func() {
		g.w.sequence(func() {
			g.w.b = append(g.w.b, shared[:place]...)
			more()
			g.w.b = append(g.w.b, shared[place:]...)
		})
	})
}

// scts writes a list of two or three SCTs.
func (g *Generator) scts() {
	n := 2
	if g.chance(100, 64) {
		n = 3
	}
	g.w.extensionOID(oidSCTs, false, func() {
		g.w.in(tagOctets, func() {
			g.w.b = append(g.w.b, byte(n*121>>8), byte(n*121&0xff))
			for i := range n {
				g.w.b = append(g.w.b, 0, 119, 0)
				g.w.b = append(g.w.b, bytes.Repeat([]byte{byte(17 * i)}, 32)...) // few logs: compresses
				g.random(8)                                                      // timestamp
				g.w.b = append(g.w.b, 0, 0, 4, 3, 0, 72)                         // no extensions, ECDSA with SHA-256
				g.random(72)
			}
		})
	})
}

func appendUint24(b []byte, n int) []byte { return append(b, byte(n>>16), byte(n>>8), byte(n)) }

func appendChain(b []byte, chain []*issuer) []byte {
	n := 0
	for _, c := range chain {
		n += 3 + len(c.der)
	}
	b = appendUint24(b, n)
	for _, c := range chain {
		b = append(appendUint24(b, len(c.der)), c.der...)
	}
	return b
}
