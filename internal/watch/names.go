package watch

import (
	"bytes"
	"hash/maphash"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// names is a tree of labels from the right, with one hash table for all edges. Every node but the root has an item at
// or beneath it, so a walk that leaves the tree is done.
type names struct {
	seed  maphash.Seed
	nodes []node   // nodes[0] is the root
	table []uint64 // open addressing: hash in the upper half, index of the node in the lower; 0 is empty
	maybe []uint64 // a bit for each hash in the table: small enough for the caches, and nearly every label ends here
	refs  []ref
}

// ref is one item; refs of one node or prefix form a list through next (an index, 0 ends it).
type ref struct {
	watch, item uint32
	next        uint32
	exact       bool
}

type node struct {
	label             string
	parent, kid, next uint32 // kid is the first child, next the next sibling
	refs              uint32
	flags             uint8
}

const (
	hasZone  = 1 << iota // some item is a zone
	hasExact             // some item is exact
	kidItems             // some direct child has an item
	broad                // the root, a top-level domain or a public suffix: a wildcard beneath concerns everybody
)

// maybePer is how many slots of the table share a word of 64 bits: 8 bits for each slot, and more for each label.
const maybePer = 8

// maxLabel bounds a label of a valid name (RFC 1035 section 2.3.4).
const maxLabel = 63

func newNames() *names {
	return &names{
		seed:  maphash.MakeSeed(),
		nodes: []node{{flags: broad}},
		table: make([]uint64, 16),
		maybe: make([]uint64, 16/maybePer),
		refs:  make([]ref, 1),
	}
}

func (t *names) empty() bool { return len(t.nodes) == 1 }

// add files an item under its name. It must not run beside readers.
func (t *names) add(name string, r ref) {
	n := uint32(0)
	end := len(name)
	for end >= 0 {
		dot := strings.LastIndexByte(name[:end], '.')
		label := name[dot+1 : end]
		c := t.childString(n, label)
		if c == 0 {
			if t.nodes[n].kid == 0 && n != 0 && isBroad(strings.TrimPrefix(name[end:], ".")) {
				t.nodes[n].flags |= broad
			}
			c = uint32(len(t.nodes))
			t.nodes = append(t.nodes, node{label: label, parent: n, next: t.nodes[n].kid})
			t.nodes[n].kid = c
			t.insert(c)
		}
		n, end = c, dot
	}
	r.next = t.nodes[n].refs
	t.nodes[n].refs = uint32(len(t.refs))
	t.refs = append(t.refs, r)
	if r.exact {
		t.nodes[n].flags |= hasExact
	} else {
		t.nodes[n].flags |= hasZone
	}
	t.nodes[t.nodes[n].parent].flags |= kidItems
}

// isBroad tells suffixes under which strangers register: a wildcard directly beneath is nobody's own.
func isBroad(suffix string) bool {
	if isSuffix(suffix) {
		return true
	}
	if strings.Count(suffix, ".") > 4 { // no rule of the list is that long
		return false
	}
	// The parent of a wildcard rule ("*.kawasaki.jp") is not a suffix itself, but all names in it are.
	beneath := "tocsin-nobody." + suffix
	s, icann := publicsuffix.PublicSuffix(beneath)
	return icann && s == beneath
}

func (t *names) insert(c uint32) {
	if len(t.nodes)*4 > len(t.table)*3 {
		t.table = make([]uint64, len(t.table)*2)
		t.maybe = make([]uint64, len(t.table)/maybePer)
		for i := 1; i < len(t.nodes)-1; i++ {
			t.place(uint32(i))
		}
	}
	t.place(c)
}

func (t *names) place(c uint32) {
	h := mix(maphash.String(t.seed, t.nodes[c].label), t.nodes[c].parent)
	t.maybe[h>>32&uint64(len(t.maybe)-1)] |= 1 << (h >> 26 & 63)
	mask := uint64(len(t.table) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		if t.table[i] == 0 {
			t.table[i] = h&^0xffffffff | uint64(c)
			return
		}
	}
}

func mix(h uint64, parent uint32) uint64 {
	h ^= uint64(parent) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}

// child returns the node of label beneath n, or 0.
func (t *names) child(n uint32, label []byte) uint32 {
	if len(label) > maxLabel {
		return 0
	}
	h := mix(maphash.Bytes(t.seed, label), n)
	if t.maybe[h>>32&uint64(len(t.maybe)-1)]>>(h>>26&63)&1 == 0 {
		return 0
	}
	mask := uint64(len(t.table) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		e := t.table[i]
		if e == 0 {
			return 0
		}
		if (e^h)>>32 == 0 {
			c := uint32(e)
			if d := &t.nodes[c]; d.parent == n && d.label == string(label) {
				return c
			}
		}
	}
}

func (t *names) childString(n uint32, label string) uint32 {
	var buf [maxLabel]byte
	return t.child(n, append(buf[:0], label...))
}

// touches reports whether a name in normal form concerns any item. v has touch set. It does not allocate.
func (t *names) touches(name []byte, v *visit) bool {
	n, rest := uint32(0), name
	stars := bytes.IndexByte(name, '*') >= 0
	for {
		dot := bytes.LastIndexByte(rest, '.')
		label := rest[dot+1:]
		if stars && bytes.IndexByte(label, '*') >= 0 {
			v.walk(n, rest)
			return v.hit
		}
		if n = t.child(n, label); n == 0 {
			return false
		}
		flags := t.nodes[n].flags
		if flags&hasZone != 0 {
			return true
		}
		if dot < 0 {
			return flags&hasExact != 0
		}
		rest = rest[:dot]
	}
}

// visit walks the tree along a name that may hold wildcards. All work is counted in steps, which the caller shares
// between the names of one certificate; when they are used up the walk stops and the caller must assume a match.
type visit struct {
	t     *names
	touch bool // stop at the first hit instead of collecting
	hit   bool
	steps int
	out   []uint32 // indexes into t.refs
}

func (v *visit) done() bool { return v.touch && v.hit || v.steps <= 0 }

// walk goes on from node n, whose own items are dealt with, along the labels of rest, last one first.
func (v *visit) walk(n uint32, rest []byte) {
	dot := bytes.LastIndexByte(rest, '.')
	label := rest[dot+1:]
	last := dot < 0
	if !last {
		rest = rest[:dot]
	}
	d := &v.t.nodes[n]
	if bytes.IndexByte(label, '*') < 0 {
		if c := v.t.child(n, label); c != 0 {
			v.enter(c, last, rest)
		}
		return
	}
	// A pattern longer than two labels can only be made to waste time: it counts as a plain wildcard.
	whole := len(label) == 1 || len(label) > 2*maxLabel
	// *.com concerns everybody beneath com, at any depth; www.*.com is matched label by label.
	all := d.flags&broad != 0 && (last || onlyStars(rest))
	if v.touch && whole && (all || last) {
		v.hit = v.hit || all && d.kid != 0 || d.flags&kidItems != 0
		return
	}
	for c := d.kid; c != 0 && !v.done(); c = v.t.nodes[c].next {
		v.steps--
		switch {
		case !whole && !glob(label, v.t.nodes[c].label, &v.steps):
		case all:
			v.beneath(c)
		default:
			v.enter(c, last, rest)
		}
	}
}

// enter deals with the items of a node on the way of the name, and goes on.
func (v *visit) enter(c uint32, last bool, rest []byte) {
	flags := v.t.nodes[c].flags
	v.hit = v.hit || flags&hasZone != 0 || last && flags&hasExact != 0
	if !v.touch {
		for i := v.t.nodes[c].refs; i != 0; i = v.t.refs[i].next {
			if last || !v.t.refs[i].exact {
				v.out = append(v.out, i)
			}
		}
	}
	if !last && !v.done() {
		v.walk(c, rest)
	}
}

// beneath takes all items at and under a node. Each node exists because of one.
func (v *visit) beneath(n uint32) {
	v.hit = true
	if v.done() {
		return
	}
	v.steps--
	for i := v.t.nodes[n].refs; i != 0; i = v.t.refs[i].next {
		v.out = append(v.out, i)
	}
	for c := v.t.nodes[n].kid; c != 0; c = v.t.nodes[c].next {
		v.beneath(c)
	}
}

// onlyStars reports whether every label of the name holds a wildcard.
func onlyStars(name []byte) bool {
	for {
		dot := bytes.LastIndexByte(name, '.')
		if bytes.IndexByte(name[dot+1:], '*') < 0 {
			return false
		}
		if dot < 0 {
			return true
		}
		name = name[:dot]
	}
}

// glob matches one label against a pattern in which * stands for any bytes, also none (RFC 6125 section 6.4.3 knows
// f*o; clients that take it disagree on the details, so the widest reading is taken).
func glob(pattern []byte, label string, steps *int) bool {
	p, s, star, mark := 0, 0, -1, 0
	for s < len(label) {
		*steps--
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, s
			p++
		case p < len(pattern) && pattern[p] == label[s]:
			p++
			s++
		case star >= 0:
			mark++
			p, s = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
