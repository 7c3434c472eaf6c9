package ctlog

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

// receiver stores what a tailer delivers, as the program does: entries and cursor together. It checks on the way that
// no entry is skipped and that every entry is the log's.
type receiver struct {
	t    testing.TB
	want *fakeLog // whose entries they must be; nil to accept any

	mu     sync.Mutex
	cursor Cursor
	times  map[uint64]int // how often each index came
	faults []Fault
	aside  [][]byte // leaves that came aside
	said   []Condition
	moved  chan struct{} // gets a token with each delivery when there is room
}

func newReceiver(t testing.TB, want *fakeLog) *receiver {
	return &receiver{t: t, want: want, times: map[uint64]int{}, moved: make(chan struct{}, 1)}
}

func (r *receiver) deliver(_ context.Context, d *Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d.Aside {
		for i := range d.Entries {
			r.aside = append(r.aside, bytes.Clone(d.Entries[i].Leaf))
		}
		r.store(&d.Cursor)
		return nil
	}
	next := r.cursor.Size
	late := len(d.Entries) > 0 && d.Entries[0].Index < next
	if late { // of a gap: it must have been owed, and the position stays
		first, last := d.Entries[0].Index, d.Entries[len(d.Entries)-1].Index
		if !slices.ContainsFunc(r.cursor.Gaps, func(g Range) bool { return g.From <= first && last < g.To }) || d.Cursor.Size != next {
			r.t.Errorf("entries %d to %d delivered late, owed are %v", first, last, r.cursor.Gaps)
		}
		next = first
	}
	if from := r.cursor.Size; len(d.Entries) == 0 && d.Cursor.Size > from && r.cursor.Begun {
		if n := len(d.Cursor.Gaps); n == 0 || d.Cursor.Gaps[n-1].To != d.Cursor.Size {
			r.t.Errorf("moved from %d to %d without entries and without a gap", from, d.Cursor.Size)
		}
	}
	for i := range d.Entries {
		e := &d.Entries[i]
		if e.Index != next {
			r.t.Errorf("entry %d delivered where %d was next", e.Index, next)
		}
		next = e.Index + 1
		r.times[e.Index]++
		if r.want != nil {
			w := &r.want.entries[e.Index]
			same := e.Timestamp == w.Timestamp && e.Precert == w.Precert && e.IssuerKeyHash == w.IssuerKeyHash && e.Problem == "" &&
				bytes.Equal(e.Leaf, w.Leaf) && bytes.Equal(e.Cert, w.Cert) && bytes.Equal(e.Extensions, w.Extensions)
			if r.want.log.Kind == loglist.Static {
				same = same && bytes.Equal(e.PreCert, w.PreCert) && slices.Equal(e.Fingerprints, w.Fingerprints)
			} else {
				same = same && bytes.Equal(e.Extra, w.Extra)
			}
			if !same {
				r.t.Errorf("entry %d is %+v, want %+v", e.Index, e, w)
			}
		}
	}
	if len(d.Entries) > 0 && d.Cursor.Size != next && !late {
		r.t.Errorf("cursor at %d after entry %d", d.Cursor.Size, next-1)
	}
	r.store(&d.Cursor)
	select {
	case r.moved <- struct{}{}:
	default:
	}
	return nil
}

// store keeps the cursor as the program does, in JSON.
func (r *receiver) store(c *Cursor) {
	raw, err := json.Marshal(*c)
	if err != nil {
		r.t.Error(err)
	}
	var back Cursor
	if err := json.Unmarshal(raw, &back); err != nil {
		r.t.Error(err)
	}
	if d := cmp.Diff(*c, back); d != "" {
		r.t.Errorf("stored cursor (-want +got):\n%s", d)
	}
	r.cursor = back
}

func (r *receiver) fault(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, f)
}

func (r *receiver) condition(c Condition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, c)
}

func (r *receiver) kinds() (kinds []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		kinds = append(kinds, f.Kind)
	}
	return kinds
}

// exactly checks that exactly the entries of the range came, each once.
func (r *receiver) exactly(from, to uint64) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := from; i < to; i++ {
		if r.times[i] != 1 {
			r.t.Fatalf("entry %d came %d times, want once", i, r.times[i])
		}
	}
	if uint64(len(r.times)) != to-from {
		r.t.Errorf("%d entries came, want those from %d to %d", len(r.times), from, to)
	}
}

func (r *receiver) tailer(c Client, opts TailOptions) *Tailer {
	opts.Deliver, opts.Fault, opts.Condition = r.deliver, r.fault, r.condition
	return NewTailer(c, r.cursor, &opts)
}

// once reads the log to its head.
func (r *receiver) once(c Client, opts TailOptions) error {
	opts.Once = true
	return r.tailer(c, opts).Run(context.Background())
}
