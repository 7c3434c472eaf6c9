package sequence

import (
	"testing"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

func newLog(t *testing.T) *Log {
	t.Helper()
	key, err := ca.NewKey(ca.P256, "log")
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(key, &Options{Merge: 1, Refresh: 1})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func add(t *testing.T, l *Log, cert string) *entry.Entry {
	t.Helper()
	e, err := entry.Raw([]byte(cert), nil)
	if err != nil {
		t.Fatal(err)
	}
	return l.Add(e)
}

func TestEntriesAreReadableOnlyOnceAHeadCoversThem(t *testing.T) {
	l := newLog(t)
	add(t, l, "one")
	if _, err := l.Entries(0, 1); err == nil {
		t.Error("an entry without a head")
	}
	if n := l.View().Nodes(0, 0, 1); len(n) != 0 {
		t.Error("a node without a head")
	}
	if _, err := l.View().Consistency(1, 1); err == nil {
		t.Error("a proof without a head")
	}
	l.Publish()
	if e, err := l.Entries(0, 9); err != nil || len(e) != 1 {
		t.Errorf("%d entries, %v", len(e), err)
	}
}

func TestTheSameCertificateIsOneEntry(t *testing.T) {
	l := newLog(t)
	a, b, c := add(t, l, "one"), add(t, l, "two"), add(t, l, "one")
	if a.Index != 0 || b.Index != 1 || c.Index != 0 || l.Size() != 2 {
		t.Errorf("indexes %d %d %d, size %d", a.Index, b.Index, c.Index, l.Size())
	}
}

func TestNoHeadIsOlderThanItsEntriesOrItsForerunner(t *testing.T) {
	l := newLog(t)
	for n := range 50 {
		before := l.Head()
		e := add(t, l, string(rune('a'+n)))
		l.Publish()
		if h := l.Head(); h.Timestamp <= before.Timestamp || h.Timestamp < e.Timestamp {
			t.Fatalf("head at %d after head at %d and entry at %d", h.Timestamp, before.Timestamp, e.Timestamp)
		}
	}
}

func TestFrozenHeadsStayWhileEntriesComeIn(t *testing.T) {
	l := newLog(t)
	l.Faults.Set(fault.Faults{Freeze: true})
	add(t, l, "one")
	if l.due() {
		t.Error("a frozen log wants a new head")
	}
	l.Faults.Set(fault.Faults{})
	if !l.due() {
		t.Error("a repaired log does not")
	}
}
