// Package sequence is what both kinds of log in the lab have in common: the entries in order, the tree over them, the
// key, the accepted roots, and the head, which covers new entries at each merge.
//
// Everything is in memory. A log is correct unless its faults say otherwise.
package sequence

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/tree"
)

// Options of a log. The zero value makes a log that merges every 50 ms.
type Options struct {
	// Merge is the time between two heads while entries come in.
	Merge time.Duration
	// Refresh is the time after which an unchanged head is signed anew; 10 s by default.
	Refresh time.Duration
	// LeafIndex puts the index into SCTs and leaves, as static-ct-api demands.
	LeafIndex bool
}

// Head is a tree head before signature.
type Head struct {
	Size      uint64
	Root      [32]byte
	Timestamp uint64 // milliseconds
}

// Log is a sequence of entries. It is safe for concurrent use.
type Log struct {
	Key    *Key
	Roots  entry.Roots
	Faults fault.Switch
	opts   Options

	mu      sync.RWMutex
	entries []*entry.Entry
	tree    tree.Tree
	byHash  map[[32]byte]uint64 // leaf hash to index, of all trees
	seen    map[[32]byte]uint64 // submitted certificate to index
	issuers map[[32]byte][]byte
	head    Head
	past    Head     // the one before the last growth
	fork    *second  // the other tree of a fork
	older   rollback // while there is one
	turn    uint64   // requests, for front ends in turn
}

// New makes an empty log with a head of size 0.
func New(key crypto.Signer, opts *Options) (*Log, error) {
	k, err := NewKey(key)
	if err != nil {
		return nil, err
	}
	l := &Log{Key: k, byHash: map[[32]byte]uint64{}, seen: map[[32]byte]uint64{}, issuers: map[[32]byte][]byte{}}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.Merge <= 0 {
		l.opts.Merge = 50 * time.Millisecond
	}
	if l.opts.Refresh <= 0 {
		l.opts.Refresh = 10 * time.Second
	}
	l.Publish()
	l.past = l.head
	return l, nil
}

// Run publishes a head every Merge until ctx is done.
func (l *Log) Run(ctx context.Context) {
	t := time.NewTicker(l.opts.Merge)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if l.due() {
				l.Publish()
			}
		}
	}
}

func (l *Log) due() bool {
	if l.Faults.Get().Freeze {
		return false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	age := time.Now().UnixMilli() - int64(l.head.Timestamp)
	return l.tree.Size() > l.head.Size || age >= l.opts.Refresh.Milliseconds()
}

// Publish makes a head over all entries at once. Its timestamp is later than that of the head before and not earlier
// than any entry.
func (l *Log) Publish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := l.tree.Size()
	root, err := l.tree.Root(size)
	if err != nil {
		return // size is the size of the tree
	}
	if size > l.head.Size {
		l.past = l.head
	}
	l.head = Head{Size: size, Root: root, Timestamp: max(uint64(time.Now().UnixMilli()), l.head.Timestamp+1, newest(l.entries))}
}

// Submit checks a chain (first the certificate or precertificate) and adds it. The same certificate again gives the
// entry of the first time. With NeverMerge the entry is one that the log forgets.
func (l *Log) Submit(chain [][]byte, precert bool) (*entry.Entry, error) {
	chain, err := l.Roots.Complete(chain)
	if err != nil {
		return nil, err
	}
	if got := entry.IsPrecert(chain[0]); got != precert {
		if got {
			return nil, errors.New("a precertificate belongs to add-pre-chain")
		}
		return nil, errors.New("no poison: a certificate belongs to add-chain")
	}
	var e *entry.Entry
	if precert {
		e, err = entry.Precertificate(chain[0], chain[1:])
	} else {
		e, err = entry.Raw(chain[0], chain[1:])
	}
	if err != nil {
		return nil, err
	}
	switch f := l.Faults.Get(); {
	case f.Closed:
		return nil, errors.New("the log takes no submissions")
	case f.NeverMerge:
		forgotten := *e
		forgotten.Index, forgotten.Timestamp = l.Size(), uint64(time.Now().UnixMilli())
		if l.opts.LeafIndex {
			forgotten.Extensions = entry.LeafIndex(forgotten.Index)
		}
		return &forgotten, nil
	}
	return l.Add(e), nil
}

// Add appends an entry as it is, giving it index, timestamp and, for static logs, the leaf_index extension. The same
// certificate again gives the entry of the first time.
func (l *Log) Add(e *entry.Entry) *entry.Entry {
	sum := sha256.Sum256(e.Cert)
	if e.Precert {
		sum = sha256.Sum256(e.PreCert)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, ok := l.seen[sum]; ok {
		return l.entries[i]
	}
	c := *e
	c.Index = uint64(len(l.entries))
	c.Timestamp = uint64(time.Now().UnixMilli())
	if l.opts.LeafIndex {
		c.Extensions = entry.LeafIndex(c.Index)
	}
	h := tree.LeafHash(c.MerkleTreeLeaf())
	l.tree.Append(h)
	l.entries = append(l.entries, &c)
	l.byHash[h] = c.Index
	l.seen[sum] = c.Index
	for _, i := range c.Chain {
		l.issuers[sha256.Sum256(i)] = i
	}
	return &c
}

// Size is the number of entries, published or not.
func (l *Log) Size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.tree.Size()
}
