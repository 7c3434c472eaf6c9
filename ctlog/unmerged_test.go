package ctlog

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tocsin-ct/tocsin/loglist"
)

// brokenPromise is the evidence that a log has promised a leaf at the index 7 and has another one there, in a head from
// an hour later.
func brokenPromise(t testing.TB, kind loglist.Kind) (*fakeLog, Evidence) {
	t.Helper()
	f := newFakeLog(t, kind, 300)
	f.log.MMD = time.Hour
	var at uint64 = baseTime + 1000
	e := Entry{Timestamp: at, Cert: []byte("promised")}
	if kind == loglist.Static {
		e.Extensions = AppendLeafIndex(nil, 7)
	}
	leaf, err := AppendMerkleTreeLeaf(nil, &e)
	if err != nil {
		t.Fatal(err)
	}
	f.sign = func(h *Head) { h.Timestamp = at + 3600_000 }
	found := Hash(f.entries[7].Hash())
	path, err := tlog.ProveRecord(300, 7, f)
	if err != nil {
		t.Fatal(err)
	}
	ev := Evidence{Version: 1, Kind: NotMerged, Key: f.log.Key, Heads: []string{string(f.rawHead(300))}, Entry: leaf, SCT: f.promise(t, &e, leaf)}
	ev.Log = EvidenceLog{Kind: kind.String(), Name: "a log", URL: f.log.URL, MMD: 3600}
	if kind == loglist.Static {
		ev.EntryIndex, ev.EntryHash, ev.EntryPath = 7, &found, textHashes(path)
	}
	return f, ev
}

// promise is an SCT over the leaf.
func (f *fakeLog) promise(t testing.TB, e *Entry, leaf []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(leaf)
	sig, err := f.key.Sign(rand.Reader, digest[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	b := append([]byte{0}, f.log.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Timestamp)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(e.Extensions))), e.Extensions...)
	return append(append(b, 4, 3, byte(len(sig)>>8), byte(len(sig))), sig...)
}

func TestABrokenPromiseConvictsAStaticLogAndIsShownOfTheOther(t *testing.T) {
	for _, kind := range bothKinds {
		f, ev := brokenPromise(t, kind)
		got, err := ev.Verify(f.log)
		want := Shown
		if kind == loglist.Static {
			want = Proven
		}
		if err != nil || got.Verdict != want || got.Text == "" {
			t.Errorf("%s: %+v, %v; want %s", kind, got, err, want)
		}
	}
	// A promised index that the tree does not reach needs no proof.
	f, ev := brokenPromise(t, loglist.Static)
	ev.EntryHash, ev.EntryPath, ev.Heads = nil, nil, []string{string(f.rawHead(5))}
	if got, err := ev.Verify(f.log); err != nil || got.Verdict != Proven || !strings.Contains(got.Text, "does not reach") {
		t.Errorf("beyond the tree: %+v, %v", got, err)
	}
}

// A log that stands still gives no head from after the delay: its own signatures convict it of nothing, and anybody can
// ask it.
func TestAPromiseOfALogThatStandsStillIsShown(t *testing.T) {
	const due = baseTime + 1000 + 3600_000
	for _, kind := range bothKinds {
		f, ev := brokenPromise(t, kind)
		f.sign = func(h *Head) { h.Timestamp = due - 1 }
		ev.Heads = []string{string(f.rawHead(300))}
		ev.EntryHash, ev.EntryPath = nil, nil
		ev.Received = []time.Time{time.UnixMilli(due + 1000)}
		if got, err := ev.Verify(f.log); err != nil || got.Verdict != Shown || !strings.Contains(got.Text, "ask the log for its head") {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
		ev.Received = []time.Time{time.UnixMilli(due - 1)}
		if got, err := ev.Verify(f.log); err == nil {
			t.Errorf("%s, given before the delay had passed: %+v", kind, got)
		}
	}
	// Another leaf at the promised index stays there.
	f, ev := brokenPromise(t, loglist.Static)
	f.sign = func(h *Head) { h.Timestamp = due - 1 }
	ev.Heads, ev.Received = []string{string(f.rawHead(300))}, []time.Time{time.UnixMilli(due + 1000)}
	if got, err := ev.Verify(f.log); err != nil || got.Verdict != Proven {
		t.Errorf("another leaf: %+v, %v", got, err)
	}
}

func TestABrokenPromiseHoldsOnlyAsItStands(t *testing.T) {
	other := newFakeLog(t, loglist.Static, 3)
	tests := []struct {
		name string
		edit func(f *fakeLog, ev *Evidence)
	}{
		{"another log's key", func(_ *fakeLog, ev *Evidence) { ev.Key = other.log.Key }},
		{"a damaged signature", func(_ *fakeLog, ev *Evidence) { ev.SCT[len(ev.SCT)-1] ^= 1 }},
		{"bytes after the signature", func(_ *fakeLog, ev *Evidence) { ev.SCT = append(ev.SCT, 0) }},
		{"another log's id", func(_ *fakeLog, ev *Evidence) { ev.SCT[1] ^= 1 }},
		{"another time in the SCT", func(_ *fakeLog, ev *Evidence) { ev.SCT[40] ^= 1 }},
		{"another leaf", func(_ *fakeLog, ev *Evidence) { ev.Entry[20] ^= 1 }},
		{"no SCT", func(_ *fakeLog, ev *Evidence) { ev.SCT = nil }},
		{"a cut SCT", func(_ *fakeLog, ev *Evidence) { ev.SCT = ev.SCT[:20] }},
		{"no head", func(_ *fakeLog, ev *Evidence) { ev.Heads = nil }},
		{"a head from within the delay", func(f *fakeLog, ev *Evidence) {
			f.sign = func(h *Head) { h.Timestamp = baseTime + 1000 + 3600_000 - 1 }
			ev.Heads = []string{string(f.rawHead(300))}
		}},
		{"no delay", func(_ *fakeLog, ev *Evidence) { ev.Log.MMD = 0 }},
		{"the leaf that was promised", func(_ *fakeLog, ev *Evidence) {
			h := Hash((&Entry{Leaf: ev.Entry}).Hash())
			ev.EntryHash = &h
		}},
		{"a leaf without a path", func(_ *fakeLog, ev *Evidence) { ev.EntryPath = nil }},
		{"another index", func(_ *fakeLog, ev *Evidence) { ev.EntryIndex = 8 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, ev := brokenPromise(t, loglist.Static)
			ev.SCT, ev.Entry = bytes.Clone(ev.SCT), bytes.Clone(ev.Entry)
			tt.edit(f, &ev)
			if got, err := ev.Verify(f.log); err == nil {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A promise that was kept cannot be made to look broken: the tree holds the promised leaf where it was promised.
func TestNoEvidenceAgainstAKeptPromiseHolds(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 300)
	e := f.entries[7]
	f.sign = func(h *Head) { h.Timestamp = e.Timestamp + 3600_000 }
	for _, index := range []uint64{7, 8} {
		leaf := Hash(f.entries[index].Hash())
		path, err := tlog.ProveRecord(300, int64(index), f)
		if err != nil {
			t.Fatal(err)
		}
		ev := Evidence{Version: 1, Kind: NotMerged, Key: f.log.Key, Heads: []string{string(f.rawHead(300))}, Entry: e.Leaf, SCT: f.promise(t, &e, e.Leaf),
			Log:        EvidenceLog{Kind: "static", Name: "a log", URL: f.log.URL, MMD: 3600},
			EntryIndex: index, EntryHash: &leaf, EntryPath: textHashes(path)}
		if got, err := ev.Verify(f.log); err == nil {
			t.Errorf("with entry %d: %+v", index, got)
		}
	}
}
