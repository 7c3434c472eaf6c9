package sequence

import (
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/tree"
)

// grown is a log with so many entries and a head over them.
func grown(t *testing.T, n int) *Log {
	t.Helper()
	key, err := ca.NewKey(ca.P256, "views")
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	grow(t, l, n)
	return l
}

func grow(t *testing.T, l *Log, n int) {
	t.Helper()
	for range n {
		e, err := entry.Raw([]byte{1, byte(l.Size() >> 8), byte(l.Size())}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.Add(e)
	}
	l.Publish()
}

func set(t *testing.T, l *Log, spec string) {
	t.Helper()
	f, err := fault.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	l.Faults.Set(f)
}

// rootOf hashes what a view serves.
func rootOf(t *testing.T, v *View, size uint64) [32]byte {
	t.Helper()
	var tr tree.Tree
	es, err := v.Entries(0, size)
	if err != nil || uint64(len(es)) != size {
		t.Fatalf("%d entries, want %d: %v", len(es), size, err)
	}
	for _, e := range es {
		tr.Append(tree.LeafHash(e.MerkleTreeLeaf()))
	}
	root, err := tr.Root(size)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// D03: two trees under one key.
func TestAForkIsConsistentInItselfAndSharesTheBeginning(t *testing.T) {
	l := grown(t, 100)
	honest := l.View()
	set(t, l, "fork=10")
	for _, size := range []uint64{100, 120} {
		fork := l.View()
		h := fork.Head()
		if h.Size != size || h.Root != rootOf(t, fork, size) {
			t.Fatalf("the fork's head of size %d does not fit its entries", h.Size)
		}
		if rootOf(t, fork, 90) != rootOf(t, honest, 90) || rootOf(t, fork, 91) == rootOf(t, honest, 91) {
			t.Error("the trees do not part after 90 entries")
		}
		leaf := tree.LeafHash(fork.entries[95].MerkleTreeLeaf())
		if i, ok := fork.Index(leaf); !ok || i != 95 {
			t.Error("the fork does not know its own leaf")
		}
		if _, ok := honest.Index(leaf); ok {
			t.Error("the log knows a leaf of the fork")
		}
		grow(t, l, 20)
	}
	set(t, l, "fork=10+rollback=5")
	if h := l.View().Head(); h.Size != 135 || h.Root == rootOf(t, honest, 100) {
		t.Errorf("a smaller forked head has size %d, want 135", h.Size)
	}
	l.Faults.Set(fault.Faults{})
	if v := l.View(); v.Head().Root != rootOf(t, v, 140) || rootOf(t, v, 100) != honest.Head().Root {
		t.Error("the log did not go back to its first tree")
	}
}

func TestARollbackIsAnOlderTreeUnderANewDate(t *testing.T) {
	l := grown(t, 100)
	old := l.View().Head()
	grow(t, l, 50)
	newest := l.View().Head()
	set(t, l, "rollback=50")
	l.View()       // the fault begins with the first request
	grow(t, l, 10) // the copy does not know of these
	for range 2 {
		v := l.View()
		if h := v.Head(); h.Size != 100 || h.Root != old.Root || h.Timestamp <= newest.Timestamp {
			t.Errorf("%+v, want size 100 after %d", h, newest.Timestamp)
		}
		if _, err := v.Entries(100, 101); err == nil {
			t.Error("it serves what it lost")
		}
		if _, err := v.Consistency(100, 150); err == nil {
			t.Error("it proves what it lost")
		}
	}
	set(t, l, "rollback=1000")
	if h := l.View().Head(); h.Size != 0 {
		t.Errorf("size %d, want 0", h.Size)
	}
}

// D02: one front end of three still has the tree before the last growth.
func TestOneOfSoManyFrontEndsLags(t *testing.T) {
	l := grown(t, 100)
	old := l.View().Head()
	grow(t, l, 1)
	set(t, l, "skew=3")
	lagging := 0
	for range 9 {
		v := l.View()
		_, err := v.Entries(100, 101)
		if h := v.Head(); h == old {
			lagging++
			if err == nil {
				t.Error("it serves an entry beyond its head")
			}
		} else if h.Size != 101 || err != nil {
			t.Errorf("%+v, %v", h, err)
		}
	}
	if lagging != 3 {
		t.Errorf("%d of 9 requests met the one that lags", lagging)
	}
}

func TestHeadsThatAreNotRight(t *testing.T) {
	l := grown(t, 10)
	good, err := l.View().Sign()
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{"bad-signature", "other-key", "wrong-root"} {
		set(t, l, spec)
		v := l.View()
		sig, err := v.Sign()
		if err != nil || string(sig) == string(good) {
			t.Errorf("%s: signed as before: %v", spec, err)
		}
		if k, err := v.Key(); err != nil || (k.ID != l.Key.ID) != (spec == "other-key") {
			t.Errorf("%s: by key %x, %v", spec, k.ID, err)
		}
		if (v.Head().Root != rootOf(t, v, 10)) != (spec == "wrong-root") {
			t.Errorf("%s: root %x", spec, v.Head().Root)
		}
	}
	set(t, l, "early-head=161ms") // D05
	v := l.View()
	if last := v.entries[9].Timestamp; v.Head().Timestamp != last-161 {
		t.Errorf("the head is %d ms before its newest entry, want 161", last-v.Head().Timestamp)
	}
	set(t, l, "freeze")
	if l.head.Timestamp -= uint64(time.Hour.Milliseconds()); l.due() {
		t.Error("a frozen log makes a new head")
	}
}

// D06 and a log that is closed.
func TestSubmissionsThatDoNotGetIn(t *testing.T) {
	root, err := ca.NewRoot("Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	i, err := root.Issue(ca.Leaf{DNS: []string{"a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	l := grown(t, 10)
	set(t, l, "never-merge")
	e, err := l.Submit(append([][]byte{i.Precert}, i.Chain...), true)
	if err != nil || e.Timestamp == 0 || l.Size() != 10 {
		t.Fatalf("%+v, %v; the log has %d entries", e, err, l.Size())
	}
	if sct, err := l.Key.SCT(e); err != nil || len(sct) < 100 {
		t.Errorf("no SCT: %v", err)
	}
	set(t, l, "closed")
	if _, err := l.Submit(append([][]byte{i.Precert}, i.Chain...), true); err == nil || l.Size() != 10 {
		t.Errorf("it was taken")
	}
	l.Faults.Set(fault.Faults{})
	if _, err := l.Submit(append([][]byte{i.Precert}, i.Chain...), true); err != nil || l.Size() != 11 {
		t.Errorf("it was not taken: %v", err)
	}
}

// D07: an empty tree has the hash of the empty string, and no proof begins at it.
func TestALogThatBeginsEmpty(t *testing.T) {
	l := grown(t, 0)
	empty := [32]byte{0xe3, 0xb0, 0xc4, 0x42}
	if h := l.Head(); h.Size != 0 || [4]byte(h.Root[:4]) != [4]byte(empty[:4]) {
		t.Errorf("%+v", h)
	}
	grow(t, l, 3)
	if _, err := l.View().Consistency(0, 3); err == nil {
		t.Error("a proof from size 0")
	}
}
