package sequence

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/tree"
)

// View is what one request sees of a log: one tree, one head, and the faults of that moment. It does not change.
type View struct {
	log     *Log
	faults  fault.Faults
	head    Head
	entries []*entry.Entry
	tree    *tree.Tree
}

// second is the other tree of a fork: it differs from the log's in the entries from at on.
type second struct {
	n, at   uint64 // n as in the faults
	entries []*entry.Entry
	tree    tree.Tree
}

// rollback is the size at which an old copy of the log stopped.
type rollback struct{ n, size uint64 }

// View is the log as the next request sees it.
func (l *Log) View() *View {
	f := l.Faults.Get()
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &View{log: l, faults: f, head: l.head, entries: l.entries, tree: l.tree.Snapshot()}
	if f.Fork != 0 {
		v.entries, v.tree = l.forked(f.Fork)
	} else {
		l.fork = nil
	}
	if l.turn++; f.Skew > 0 && l.turn%uint64(f.Skew) == 0 {
		v.head = l.past
	}
	if f.Rollback != l.older.n {
		l.older = rollback{f.Rollback, l.head.Size - min(f.Rollback, l.head.Size)}
	}
	if f.Rollback > 0 {
		v.head.Size = min(v.head.Size, l.older.size)
	}
	v.head.Root, _ = v.tree.Root(v.head.Size) // no head is larger than its tree
	if f.EarlyHead > 0 && v.head.Size > 0 {
		v.head.Timestamp = newest(v.entries[:v.head.Size]) - uint64(f.EarlyHead.Milliseconds())
	}
	if f.WrongRoot {
		v.head.Root[0] ^= 0xff
	}
	return v
}

// newest is the latest timestamp of the entries.
func newest(entries []*entry.Entry) (ts uint64) {
	for _, e := range entries[max(0, len(entries)-1000):] { // entries come in order
		ts = max(ts, e.Timestamp)
	}
	return ts
}

// forked is the other tree, grown to the size of the log's. Its entries have other timestamps.
func (l *Log) forked(n uint64) ([]*entry.Entry, *tree.Tree) {
	if l.fork == nil || l.fork.n != n {
		l.fork = &second{n: n, at: l.head.Size - min(n, l.head.Size)}
	}
	s := l.fork
	for i := uint64(len(s.entries)); i < uint64(len(l.entries)); i++ {
		e := l.entries[i]
		if i >= s.at {
			other := *e
			other.Timestamp++
			e = &other
		}
		h := tree.LeafHash(e.MerkleTreeLeaf())
		s.tree.Append(h)
		s.entries = append(s.entries, e)
		l.byHash[h] = i
	}
	return s.entries, s.tree.Snapshot()
}

// Faults are those of the moment.
func (v *View) Faults() *fault.Faults { return &v.faults }

// Head is the head that is shown.
func (v *View) Head() Head { return v.head }

// Key is the key that signs: another one than that of the log when the faults say so.
func (v *View) Key() (*Key, error) {
	if !v.faults.OtherKey {
		return v.log.Key, nil
	}
	signer, err := ca.NewKey(ca.P256, "another key than "+hex.EncodeToString(v.log.Key.ID[:]))
	if err != nil {
		return nil, err
	}
	return NewKey(signer)
}

// Sign gives the DigitallySigned of the head, spoilt when the faults say so.
func (v *View) Sign() ([]byte, error) {
	key, err := v.Key()
	if err != nil {
		return nil, err
	}
	root := v.head.Root
	if v.faults.BadSignature {
		root[31] ^= 0xff // a well-formed signature over something else
	}
	return key.SignHead(v.head.Timestamp, v.head.Size, root)
}

// Entries gives the entries from start up to but not including end, as served: with AlterEntry one of them is not what
// was hashed.
func (v *View) Entries(start, end uint64) ([]*entry.Entry, error) {
	if start >= end || start >= v.head.Size {
		return nil, fmt.Errorf("no entries %d to %d: the log has %d", start, end, v.head.Size)
	}
	out := v.entries[start:min(end, v.head.Size)]
	if at := v.faults.AlterEntry; at != nil && *at >= start && *at < start+uint64(len(out)) {
		out = append([]*entry.Entry(nil), out...)
		c := *out[*at-start]
		c.Cert = append([]byte(nil), c.Cert...)
		c.Cert[len(c.Cert)-1] ^= 1
		out[*at-start] = &c
	}
	return out, nil
}

// Index finds an entry by its leaf hash.
func (v *View) Index(leaf [32]byte) (uint64, bool) {
	v.log.mu.RLock()
	i, ok := v.log.byHash[leaf]
	v.log.mu.RUnlock()
	if !ok || i >= v.head.Size {
		return 0, false
	}
	h, ok := v.tree.Node(0, i)
	return i, ok && h == leaf
}

// Inclusion proves that the entry at index is in the tree of the given size.
func (v *View) Inclusion(index, size uint64) ([]tree.Hash, error) {
	if size > v.head.Size {
		return nil, fmt.Errorf("no proof for size %d: the log has %d", size, v.head.Size)
	}
	return v.tree.Inclusion(index, size)
}

// Consistency proves that the tree of size first is a prefix of that of size second.
func (v *View) Consistency(first, second uint64) ([]tree.Hash, error) {
	if second > v.head.Size {
		return nil, fmt.Errorf("no proof for size %d: the log has %d", second, v.head.Size)
	}
	return v.tree.Consistency(first, second)
}

// Nodes gives n nodes of a level from position start on, all within the tree; fewer when there are fewer.
func (v *View) Nodes(level int, start, n uint64) []tree.Hash {
	var out []tree.Hash
	for i := start; i < start+n && (i+1)<<level <= v.head.Size; i++ {
		h, ok := v.tree.Node(level, i)
		if !ok {
			break
		}
		out = append(out, h)
	}
	return out
}

// Issuer finds a chain certificate by its SHA-256, or gives another one when the faults say so.
func (v *View) Issuer(fp [32]byte) ([]byte, error) {
	v.log.mu.RLock()
	defer v.log.mu.RUnlock()
	c, ok := v.log.issuers[fp]
	if !ok {
		return nil, errors.New("no such issuer")
	}
	if v.faults.WrongIssuer {
		c = append([]byte(nil), c...)
		c[len(c)-1] ^= 1
	}
	return c, nil
}

// Head is the head of [Log.View].
func (l *Log) Head() Head { return l.View().Head() }

// Entries are those of [Log.View].
func (l *Log) Entries(start, end uint64) ([]*entry.Entry, error) { return l.View().Entries(start, end) }
