package ctlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tocsin-ct/tocsin/loglist"
)

// unsettled is what the cursor keeps of signed heads that are not settled: each head is evidence, also after a restart.
func (t *Tailer) unsettled() (undecided []Head, aside *Aside) {
	for _, h := range slices.Concat(t.aside.owing, t.later) {
		undecided = append(undecided, t.lean(h))
	}
	a := &t.aside
	if a.todo.Size > 0 || a.done.Size > 0 {
		aside = &Aside{Head: t.lean(a.todo), Part: a.part, Done: t.lean(a.done)}
		if a.tree != nil {
			aside.Next, aside.Hashes = a.tree.End(), rangeHashes(a.tree)
		}
	}
	return undecided, aside
}

// recallUnsettled takes over what the cursor holds of the time before a restart.
func (t *Tailer) recallUnsettled() error {
	c, a := &t.cur, &t.aside
	for _, h := range c.Undecided[:min(len(c.Undecided), 2*maxLater)] {
		if h.Size <= c.Verified.Size {
			a.owing = append(a.owing, h)
		} else {
			t.later = append(t.later, h)
		}
	}
	if c.Aside == nil {
		return nil
	}
	a.todo, a.part, a.done = c.Aside.Head, c.Aside.Part, c.Aside.Done
	a.wait = backoff{first: firstWait, most: mostAsideWait}
	if c.Aside.Hashes == nil {
		return nil
	}
	var err error
	if a.tree, err = newRange(c.Aside.Next, c.Aside.Hashes); err != nil {
		return fmt.Errorf("the stored cursor does not add up: %w", err)
	}
	return nil
}

// storeUnsettled stores the heads that are not settled where they are not those that the cursor holds.
func (t *Tailer) storeUnsettled(ctx context.Context) error {
	undecided, aside := t.unsettled()
	same := func(a, b Head) bool { return a.Size == b.Size && a.Root == b.Root && a.Timestamp == b.Timestamp }
	was := t.cur.Aside
	unchanged := was == aside || was != nil && aside != nil && same(was.Head, aside.Head) && same(was.Done, aside.Done) && was.Next == aside.Next
	if !t.cur.Begun || ctx.Err() != nil || unchanged && slices.EqualFunc(undecided, t.cur.Undecided, same) {
		return nil
	}
	return t.deliver(ctx, nil, t.cur, t.cur.Target)
}

// maxLean is the size of a head as its log sent it that is stored as it is.
const maxLean = 1 << 10

// lean leaves out what the log's signature does not need where a head is long, such as the cosignatures of a checkpoint:
// the cursor is stored often.
func (t *Tailer) lean(h Head) Head {
	if len(h.Raw) <= maxLean {
		return h
	}
	key := leanKey{h.Size, h.Timestamp, h.Root}
	if raw, ok := t.leaned[key]; ok {
		h.Raw = raw
		return h
	}
	raw := leanSTH(h.Raw)
	if t.g.Kind == loglist.Static {
		raw = leanCheckpoint(h.Raw, t.g.Origin())
	}
	if again, err := VerifyHead(*t.g, raw); err == nil && again.Size == h.Size && again.Root == h.Root && again.Timestamp == h.Timestamp {
		h.Raw = raw
	}
	if len(t.leaned) >= 4*maxLater {
		clear(t.leaned)
	}
	t.leaned[key] = h.Raw
	return h
}

type leanKey struct {
	size, timestamp uint64
	root            Hash
}

func leanSTH(raw []byte) []byte {
	var j struct {
		Size      uint64 `json:"tree_size"`
		Timestamp uint64 `json:"timestamp"`
		Root      []byte `json:"sha256_root_hash"`
		Signature []byte `json:"tree_head_signature"`
	}
	if json.Unmarshal(raw, &j) != nil {
		return nil
	}
	raw, _ = json.Marshal(j)
	return raw
}

func leanCheckpoint(raw []byte, origin string) []byte {
	text, signatures, _ := bytes.Cut(raw, []byte("\n\n"))
	lines := bytes.SplitN(text, []byte("\n"), 4)
	out := append(bytes.Join(lines[:min(len(lines), 3)], []byte("\n")), "\n\n"...)
	for line := range bytes.Lines(signatures) {
		if bytes.HasPrefix(line, []byte("\u2014 "+origin+" ")) {
			out = append(out, line...)
		}
	}
	return out
}
