package ctlog

import (
	"crypto/sha256"
	"sync"

	"github.com/transparency-dev/merkle/compact"
)

// load is a batch on its way from the log, with what its worker made of it.
type load struct {
	Batch
	parts []part
	hits  []int // of all parts
	more  *load // what the log left out of this one
	err   error
	ready chan struct{} // closed when all else is set

	hashes [][32]byte // scratch
	hasher leafHasher
}

// part is what one delivery takes of a load. What can be known without the entries before is computed by the worker.
type part struct {
	from, to         int // in Entries
	hitsFrom, hitsTo int // in hits
	mark             any
	latest, latestAt uint64 // the latest timestamp, and where it stands
	begin            uint64
	roots            []byte // of the perfect subtrees, from left to right
}

// loads are kept between reads of all logs: their memory is what reading costs.
var loads sync.Pool

func newLoad(lazy bool) *load {
	l, _ := loads.Get().(*load)
	if l == nil {
		l = new(load)
	}
	l.lazy = lazy
	return l
}

// spare bounds how many loads all logs together may have beyond two for each: a backlog is read at full speed, but not
// sixty of them at once, since each load may be half a megabyte.
var spare = make(chan struct{}, 16)

// lend returns how many batches may be fetched ahead, and what to call when that is over.
func lend(want int) (ahead int, giveBack func()) {
	for ahead = 1; ahead < want; ahead++ {
		select {
		case spare <- struct{}{}:
			continue
		default:
		}
		break
	}
	n := ahead - 1
	return ahead, func() {
		for range n {
			<-spare
		}
	}
}

// easyLoad is the memory with which a load may be kept.
const easyLoad = 4 << 20

func (l *load) release() {
	if cap(l.buf) > easyLoad || cap(l.page) > easyLoad || cap(l.Entries) > 2*maxDelivery {
		return
	}
	for i := range l.parts {
		l.parts[i] = part{}
	}
	l.err, l.more, l.ready = nil, nil, nil
	loads.Put(l)
}

// digest divides a batch that begins with the entry at start, and hashes and sifts each part.
func (l *load) digest(start uint64, sift func([]Entry, []int) ([]int, any)) {
	l.parts, l.hits = l.parts[:0], l.hits[:0]
	for from := 0; from < len(l.Entries); {
		p := part{from: from, begin: start + uint64(from), hitsFrom: len(l.hits)}
		l.hashes = l.hashes[:0]
		to, bytes := from, 0
		for ; to < len(l.Entries) && to-from < maxDelivery; to++ {
			e := &l.Entries[to]
			bytes += len(e.Leaf) + len(e.Extra) + len(e.extra64) + len(e.PreCert)
			if bytes > maxDeliveryBytes && to > from {
				break
			}
			if e.Timestamp > p.latest && e.Problem == "" {
				p.latest, p.latestAt = e.Timestamp, e.Index
			}
			l.hashes = append(l.hashes, l.hasher.entry(e))
		}
		p.to = to
		p.roots = subtreeRoots(p.begin, l.hashes)
		if sift != nil {
			l.hits, p.mark = sift(l.Entries[from:to], l.hits)
		}
		p.hitsTo = len(l.hits)
		l.parts = append(l.parts, p)
		from = to
	}
}

// join adds the part to the tree, which ends where the part begins.
func (p *part) join(tree *compact.Range) error {
	nodes := make([][]byte, len(p.roots)/32)
	for i := range nodes {
		nodes[i] = p.roots[i*32 : i*32+32 : i*32+32]
	}
	r, err := ranges.NewRange(p.begin, p.begin+uint64(p.to-p.from), nodes)
	if err != nil {
		return err
	}
	return tree.AppendRange(r, nil)
}

// subtreeRoots returns the compact range over the leaf hashes of the entries from begin, which it overwrites: the
// roots of the perfect subtrees that cover them, one behind the other.
func subtreeRoots(begin uint64, hashes [][32]byte) []byte {
	roots := make([]byte, 0, 32*compact.RangeSize(begin, begin+uint64(len(hashes))))
	for len(hashes) > 0 {
		width := 1
		for begin%uint64(2*width) == 0 && 2*width <= len(hashes) {
			width *= 2
		}
		root := perfectRoot(hashes[:width])
		roots = append(roots, root[:]...)
		hashes, begin = hashes[width:], begin+uint64(width)
	}
	return roots
}

// perfectRoot is the root over leaf hashes whose number is a power of two. It overwrites them.
func perfectRoot(h [][32]byte) [32]byte {
	var node [65]byte
	node[0] = 1
	for ; len(h) > 1; h = h[:len(h)/2] {
		for i := range len(h) / 2 {
			copy(node[1:], h[2*i][:])
			copy(node[33:], h[2*i+1][:])
			h[i] = sha256.Sum256(node[:])
		}
	}
	return h[0]
}
