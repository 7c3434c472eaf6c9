package bench

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
)

// Shape says what the entries of a log are like. The zero value is the mixture of public logs in 2025 and 2026, with
// the tail of long certificates that such logs have.
type Shape struct {
	// Seed makes other entries of the same shape.
	Seed uint64
	// NoTail leaves out the entries of 10,000 names and of 1 MB, of which there is one each in every 32,768 entries.
	NoTail bool
}

// How often, out of 10,000 entries, something is so.
const (
	withAddress = 100  // one address or more
	manyNames   = 30   // dozens to hundreds of names, as the shared certificates of hosters
	threeChain  = 1700 // three certificates above, not two
	precerts    = 5000
	every       = 32768 // entries hold one of each giant
	giantNames  = 10_000
	giantBytes  = 1 << 20
)

// kind is one of the populations that the volume of a log consists of.
type kind struct {
	share                      int // of 100
	issuers                    [2]int
	p256, rsa2048, p384        int // of 100; the rest is RSA-4096
	noCN, wildcard, twoNames   int // of 100
	moreNames                  int // of 100: 3 to 24 names
	policies, crl, caRSA, days int
}

var kinds = []kind{
	// Short automatic certificates of a CA with an ECDSA issuer.
	{share: 45, issuers: [2]int{0, 4}, p256: 80, rsa2048: 18, p384: 1, noCN: 27, wildcard: 6, twoNames: 30, moreNames: 3, policies: 1, crl: 1, days: 90},
	// A cloud that issues for its own load balancers.
	{share: 25, issuers: [2]int{4, 8}, p256: 2, rsa2048: 98, wildcard: 70, twoNames: 55, moreNames: 12, policies: 1, crl: 1, caRSA: 1, days: 395},
	// The others, seen live.
	{share: 30, issuers: [2]int{8, 12}, p256: 48, rsa2048: 42, p384: 8, wildcard: 22, twoNames: 50, moreNames: 5, policies: 3, crl: 1, caRSA: 1, days: 199},
}

// issuer is a CA certificate that entries hang on.
type issuer struct {
	name     []byte // DER
	org      string
	der      []byte
	keyHash  [32]byte
	keyID    [20]byte
	hash     [32]byte
	parents  []int // up to the root
	isParent bool
}

// Generator makes entries that look like those of public logs: sizes, names, keys, extensions and chains, but
// signatures and keys are random bytes. All names lie under "example", all addresses in networks for documentation.
// The same shape gives the same entries.
type Generator struct {
	shape   Shape
	rnd     *rand.Rand
	fill    *rand.ChaCha8
	issuers []issuer
	w       builder
	n       uint64
	last    string // a name of the last entry
}

// NewGenerator returns a generator of entries from index 0.
func NewGenerator(shape Shape) *Generator {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], shape.Seed)
	g := &Generator{shape: shape, rnd: rand.New(rand.NewPCG(shape.Seed, 1)), fill: rand.NewChaCha8(seed)}
	for i := range 15 {
		g.issuers = append(g.issuers, g.issuer(i))
	}
	return g
}

func (g *Generator) chance(of, n int) bool { return g.rnd.IntN(of) < n }

func (g *Generator) random(n int) {
	at := len(g.w.b)
	g.w.b = append(g.w.b, make([]byte, n)...)
	_, _ = g.fill.Read(g.w.b[at:])
}

// issuer makes CA number i: 0 to 11 issue, 12 to 14 are roots and cross-certificates above them.
func (g *Generator) issuer(i int) (c issuer) {
	c.org = fmt.Sprintf("Example Trust Services %d", i/4+1)
	c.isParent = i >= 12
	g.w.b = nil
	g.name(c.org, fmt.Sprintf("Issuing CA E%d", i+1))
	c.name = g.w.b
	g.w.b = nil
	rsa := i >= 4
	g.w.sequence(func() {
		g.w.sequence(func() {
			g.head(rsa)
			g.name(fmt.Sprintf("Example Trust Services %d", i/4+1), "Root X1")
			g.validity(ctStart, 365*5)
			g.w.b = append(g.w.b, c.name...)
			key := len(g.w.b)
			g.key(map[bool]int{false: 384, true: 2048}[rsa])
			c.keyHash = sha256.Sum256(g.w.b[key:])
			c.keyID = [20]byte(c.keyHash[:20])
			g.w.in(0xa3, func() {
				g.w.sequence(func() {
					g.w.extension(15, true, func() { g.w.put(tagBits, 1, 6) })
					g.w.extension(19, true, func() { g.w.sequence(func() { g.w.put(tagBool, 0xff) }) })
					g.w.extension(14, false, func() { g.w.put(tagOctets, c.keyID[:]...) })
				})
			})
		})
		g.signature(rsa)
	})
	c.der = g.w.b
	c.hash = sha256.Sum256(c.der)
	c.parents = []int{12 + i%3}
	return c
}

// ctStart is when the first entry was logged.
var ctStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// The algorithms and keys.
var (
	ecdsaSHA384 = []byte{0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3}
	rsaSHA256   = []byte{0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0}
	keyP256     = []byte{0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}
	keyP384     = []byte{0x30, 0x10, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x22}
	keyRSA      = []byte{0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0}
	oidAIA      = []byte{0x2b, 6, 1, 5, 5, 7, 1, 1}
	oidSCTs     = []byte{0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 2}
	oidPoison   = []byte{0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 3}
	policyDV    = []byte{0x67, 0x81, 0x0c, 1, 2, 1}
)

// head writes version, serial and signature algorithm.
func (g *Generator) head(rsa bool) {
	g.w.in(0xa0, func() { g.w.put(tagInteger, 2) })
	g.w.in(tagInteger, func() {
		at := len(g.w.b)
		g.random(16 + g.rnd.IntN(3))
		g.w.b[at] = g.w.b[at]&0x7f | 4
	})
	g.algorithm(rsa)
}

func (g *Generator) algorithm(rsa bool) {
	if rsa {
		g.w.b = append(g.w.b, rsaSHA256...)
	} else {
		g.w.b = append(g.w.b, ecdsaSHA384...)
	}
}

// signature writes an algorithm and random bytes of the size of a signature.
func (g *Generator) signature(rsa bool) {
	g.algorithm(rsa)
	g.w.in(tagBits, func() {
		g.w.b = append(g.w.b, 0)
		if rsa {
			g.random(256)
			return
		}
		g.w.sequence(func() { // (r, s) of P-384
			for range 2 {
				g.w.in(tagInteger, func() {
					at := len(g.w.b)
					g.random(48)
					g.w.b[at] = g.w.b[at]&0x7f | 1
				})
			}
		})
	})
}

func (g *Generator) name(org, cn string) {
	g.w.sequence(func() {
		g.w.attribute(6, tagPrintable, "US")
		g.w.attribute(10, tagUTF8, org)
		g.w.attribute(3, tagUTF8, cn)
	})
}

func (g *Generator) validity(from time.Time, days int) {
	g.w.sequence(func() {
		g.w.text(tagUTCTime, from.Format("060102150405Z"))
		g.w.text(tagUTCTime, from.AddDate(0, 0, days).Add(-time.Second).Format("060102150405Z"))
	})
}

// key writes a SubjectPublicKeyInfo; bits are 256 and 384 for ECDSA, else RSA.
func (g *Generator) key(bits int) {
	g.w.sequence(func() {
		switch bits {
		case 256, 384:
			g.w.b = append(g.w.b, map[int][]byte{256: keyP256, 384: keyP384}[bits]...)
			g.w.in(tagBits, func() {
				g.w.b = append(g.w.b, 0, 4)
				g.random(bits / 4)
			})
		default:
			g.w.b = append(g.w.b, keyRSA...)
			g.w.in(tagBits, func() {
				g.w.b = append(g.w.b, 0)
				g.w.sequence(func() {
					g.w.in(tagInteger, func() {
						g.w.b = append(g.w.b, 0, 0xc1)
						g.random(bits/8 - 1)
					})
					g.w.put(tagInteger, 1, 0, 1)
				})
			})
		}
	})
}

// Next makes the next entry. Its slices are its own, but for those of the chain. Extra holds what an RFC 6962 log
// would give, PreCert and Fingerprints what a static log would; Extensions and Leaf are left to the log.
func (g *Generator) Next() ctlog.Entry {
	e := ctlog.Entry{Index: g.n, Timestamp: uint64(ctStart.UnixMilli()) + g.n*7, Precert: g.chance(10_000, precerts)}
	k := &kinds[len(kinds)-1]
	for at, p := 0, g.rnd.IntN(100); at < len(kinds); at++ {
		if p -= kinds[at].share; p < 0 {
			k = &kinds[at]
			break
		}
	}
	c := &subject{kind: k, by: &g.issuers[k.issuers[0]+g.rnd.IntN(k.issuers[1]-k.issuers[0])]}
	switch at := g.n % every; {
	case at == every/3 && !g.shape.NoTail:
		c.names = g.names(giantNames, 0)
	case at == every/3*2 && !g.shape.NoTail:
		c.pad = giantBytes
		fallthrough
	default:
		c.names = g.names(g.count(k), k.wildcard)
		if g.chance(10_000, withAddress) {
			c.addresses = 1 + g.rnd.IntN(2)
		}
	}
	c.cn = !g.chance(100, k.noCN)
	c.bits = g.bits(k)
	c.from = e.Time().Add(-time.Hour)
	g.entry(&e, c)
	g.last = c.names[len(c.names)-1]
	g.n++
	return e
}

func (g *Generator) bits(k *kind) int {
	switch p := g.rnd.IntN(100); {
	case p < k.p256:
		return 256
	case p < k.p256+k.rsa2048:
		return 2048
	case p < k.p256+k.rsa2048+k.p384:
		return 384
	}
	return 4096
}

// count is how many names a certificate has.
func (g *Generator) count(k *kind) int {
	switch p := g.rnd.IntN(100); {
	case g.chance(10_000, manyNames):
		return 25 + int(g.rnd.ExpFloat64()*60)%400
	case p < k.moreNames:
		return 3 + int(g.rnd.ExpFloat64()*5)%22
	case p < k.moreNames+k.twoNames:
		return 2
	}
	return 1
}
