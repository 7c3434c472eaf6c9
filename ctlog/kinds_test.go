package ctlog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

func TestEveryMisdeedOfALogIsToldInItsTimeWithItsEvidence(t *testing.T) {
	seen := map[FaultKind]bool{}
	for _, row := range misdeeds {
		t.Run(row.name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, kind loglist.Kind) {
				if row.only != 0 && row.only != kind {
					t.Skip("another kind of log")
				}
				tryMisdeed(t, kind, &row)
			})
		})
		seen[row.want] = true
	}
	for _, k := range Kinds() {
		if !seen[k.Name] {
			t.Errorf("the kind %s stands in no row", k.Name)
		}
	}
}

func tryMisdeed(t *testing.T, kind loglist.Kind, row *misdeed) {
	f := newFakeLog(t, kind, 600)
	f.log.MMD = row.mmd
	if row.want == FalseFinal {
		f.log.State = loglist.ReadOnly
		f.log.Final = &loglist.TreeHead{Size: 650, Root: [32]byte{1}}
	}
	// The heads of the fake log are of a far future: never stale.
	r := newReceiver(t, nil)
	tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}, Poll: time.Minute, Keys: f.keys})
	defer stop()
	pass(time.Minute)
	r.exactly(0, 600)
	if row.want == Stale { // the clock of this test
		f.set(func() { f.sign = func(h *Head) { h.Timestamp = uint64(time.Now().UnixMilli()) } })
		tail.mu.Lock()
		tail.newest = 0
		tail.mu.Unlock()
	}
	row.lie(f)
	f.set(func() {}) // what the row did is seen by all
	began := time.Now()
	known, _ := KindOf(row.want)
	told := time.Duration(-1)
	for limit := row.before + time.Hour; told < 0 && time.Since(began) < limit; pass(time.Minute) {
		if r.has(row.want) {
			told = time.Since(began)
		}
	}
	switch {
	case told < 0:
		t.Fatalf("not told; instead %v, %v; status %+v", r.kinds(), r.said, tail.Status())
	case told < row.from || told > row.before:
		t.Errorf("told after %v, want from %v to %v", told, row.from, row.before)
	}
	if row.from > 0 && known.Patience(row.mmd) > row.from+row.mmd {
		t.Errorf("the table says %v", known.Patience(row.mmd))
	}
	pass(3 * time.Hour) // nothing is told twice
	counts := map[FaultKind]int{}
	for _, fault := range r.faults {
		counts[fault.Kind]++
		if fault.Kind != row.want && !contains(row.also, fault.Kind) {
			t.Errorf("also accused: %s: %s", fault.Kind, fault.Text)
		}
	}
	for _, c := range r.said {
		if !c.Resolved {
			counts[c.Kind]++
		}
		if c.Kind != row.want && !contains(row.also, c.Kind) {
			t.Errorf("also told: %s: %s", c.Kind, c.Text)
		}
	}
	for k, n := range counts {
		if n > 1 {
			t.Errorf("%s told %d times", k, n)
		}
	}
	if known.Accuses {
		checkWorth(t, f, r.of(row.want), row)
	} else if cond := tail.Status().Conditions; len(cond) == 0 {
		t.Error("the status does not show the condition")
	}

	// Repaired, the log loses nothing.
	f.set(func() {
		f.fault, f.gone, f.sign = nil, nil, nil
		f.max = func(_, n uint64) uint64 { return min(n, 256) }
		for i := range f.entries { // the altered entry
			e := &f.entries[i]
			if want := fmt.Sprintf("certificate %d ", i); string(e.Cert) != want {
				e.Cert = []byte(want)
				e.Leaf, _ = AppendMerkleTreeLeaf(nil, e)
			}
		}
	})
	f.grow(2100)
	pass(8 * time.Hour)
	for i := range uint64(2100) {
		if r.times[i] == 0 {
			t.Fatalf("entry %d was lost", i)
		}
	}
	s := tail.Status()
	if s.Verified != 2100 || len(s.Gaps) != 0 || len(s.Conditions) != 0 {
		t.Errorf("afterwards: verified %d, gaps %v, conditions %v", s.Verified, s.Gaps, s.Conditions)
	}
	if want := map[bool]string{true: "faulty", false: "live"}[row.want == FalseFinal]; s.State != want {
		t.Errorf("afterwards %s, want %s: %s", s.State, want, s.LastError)
	}
	open := map[FaultKind]int{}
	for _, c := range r.said {
		if open[c.Kind]++; c.Resolved {
			open[c.Kind] -= 2
		}
	}
	for k, n := range open {
		if n != 0 {
			t.Errorf("the condition %s was not resolved", k)
		}
	}
}

// checkWorth gives the evidence of a fault to the offline verifier, whole and damaged.
func checkWorth(t *testing.T, f *fakeLog, fault Fault, row *misdeed) {
	t.Helper()
	ev, err := ReadEvidence(fault.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	log := f.log
	finding, err := ev.Verify(log)
	if err != nil || finding.Verdict != row.verdict || finding.Kind != row.want || finding.Text == "" {
		t.Errorf("verified: %+v, %v; want %s\n%.2000s", finding, err, row.verdict, fault.Evidence)
	}
	kind, _ := KindOf(row.want)
	if rank(row.verdict) > rank(kind.Proof) {
		t.Errorf("the table says that such evidence is worth %s at most", kind.Proof)
	}
	if got := contents(ev); got != row.holds {
		t.Errorf("the evidence holds %q, want %q", got, row.holds)
	}
	if ev.At.IsZero() || len(ev.Received) != len(ev.Heads) || ev.Log.URL == "" || ev.Text == "" {
		t.Errorf("times or names are missing: %.500s", fault.Evidence)
	}
	other := newFakeLog(t, f.log.Kind, 0).log
	if f, err := ev.Verify(other); err == nil {
		t.Errorf("verified under the key of another log: %+v", f)
	}
	forged := *ev
	forged.Key = other.Key
	if _, err := forged.Verify(log); err == nil {
		t.Error("verified with another key in it")
	}
	if rank(row.verdict) == 0 {
		return
	}
	for name, damage := range damages {
		var bad Evidence
		if err := json.Unmarshal(fault.Evidence, &bad); err != nil {
			t.Fatal(err)
		}
		if !damage(&bad) {
			continue
		}
		if f, err := bad.Verify(log); err == nil && rank(f.Verdict) > 0 {
			t.Errorf("%s: still %s: %s", name, f.Verdict, f.Text)
		}
	}
}

// contents are the parts of a piece of evidence, in the words of docs/output.md.
func contents(ev *Evidence) string {
	parts := []string{map[int]string{1: "head", 2: "both heads"}[len(ev.Heads)]}
	for _, part := range []struct {
		name string
		has  bool
	}{
		{"the key that signed it", ev.OtherKey != nil},
		{"range", ev.Kind == Withheld || ev.Kind == WrongRoot && ev.To > ev.From},
		{"both roots", ev.Want != nil && ev.Got != nil},
		{"consistency proof", len(ev.Proof) > 0},
		{"entry, signed leaf hash, audit path", ev.Entry != nil && ev.EntryHash != nil && len(ev.EntryPath) > 0},
		{"tile", len(ev.TileBytes) > 0},
		{"path of the tile", ev.Tile != "" && len(ev.TileBytes) == 0},
		{"last answer", ev.Answer != ""},
		{"since when", !ev.Since.IsZero()},
	} {
		if part.has {
			parts = append(parts, part.name)
		}
	}
	return strings.Join(parts, ", ")
}

func rank(v Verdict) int { return map[Verdict]int{Shown: 1, Proven: 2}[v] }

// damages are ways to tamper with evidence. Each must be refused; false says that there is nothing to tamper with.
var damages = map[string]func(ev *Evidence) bool{
	"a bit of the first head": func(ev *Evidence) bool {
		b := []byte(ev.Heads[0])
		b[len(b)/2] ^= 1
		ev.Heads[0] = string(b)
		return true
	},
	"the heads swapped": func(ev *Evidence) bool {
		if len(ev.Heads) < 2 || ev.From == ev.To || ev.Kind == Inconsistent {
			return false
		}
		ev.Heads[0], ev.Heads[1] = ev.Heads[1], ev.Heads[0]
		return true
	},
	"the same head twice": func(ev *Evidence) bool {
		if len(ev.Heads) < 2 || ev.Kind == Inconsistent {
			return false
		}
		ev.Heads[1] = ev.Heads[0]
		return true
	},
	"no head": func(ev *Evidence) bool { ev.Heads = nil; return true },
	"a bit of the computed root": func(ev *Evidence) bool {
		if ev.Got == nil || ev.From == ev.To || ev.Kind == WrongRoot {
			return false
		}
		ev.Got[0] ^= 1
		return true
	},
	"a bit of the proof": func(ev *Evidence) bool {
		if len(ev.Proof) == 0 || ev.Kind == Inconsistent {
			return false
		}
		ev.Proof[0][0] ^= 1
		return true
	},
	"a bit of the audit path": func(ev *Evidence) bool {
		if len(ev.EntryPath) == 0 {
			return false
		}
		ev.EntryPath[0][0] ^= 1
		return true
	},
	"a bit of the hash that was signed": func(ev *Evidence) bool {
		if ev.EntryHash == nil || ev.Kind == FalseTime {
			return false
		}
		ev.EntryHash[0] ^= 1
		return true
	},
	"another index": func(ev *Evidence) bool {
		if ev.Entry == nil {
			return false
		}
		ev.EntryIndex ^= 1
		return true
	},
	"a later time in the entry": func(ev *Evidence) bool {
		if ev.Kind != FalseTime {
			return false
		}
		ev.Entry[2] ^= 1
		return true
	},
	"a whole tile instead of the short one": func(ev *Evidence) bool {
		if ev.Kind != BadTile {
			return false
		}
		var b Batch
		if err := ReadDataTile(append([]byte(nil), ev.TileBytes...), 0, &b); err != nil {
			return false
		}
		for ev.TileBytes = nil; len(b.Entries) < TileWidth; {
			b.Entries = append(b.Entries, b.Entries...)
		}
		for i := range TileWidth {
			ev.TileBytes, _ = AppendTileLeaf(ev.TileBytes, &b.Entries[i])
		}
		ev.TileSize = len(ev.TileBytes)
		return true
	},
}

func contains(kinds []FaultKind, k FaultKind) bool {
	for _, x := range kinds {
		if x == k {
			return true
		}
	}
	return false
}

func (r *receiver) has(kind FaultKind) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.said {
		if c.Kind == kind && !c.Resolved {
			return true
		}
	}
	for _, f := range r.faults {
		if f.Kind == kind {
			return true
		}
	}
	return false
}

func (r *receiver) of(kind FaultKind) (f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		if f.Kind == kind {
			return f
		}
	}
	return f
}
