package interop_test

import (
	"crypto/x509"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// startTesseraCT starts a static log, stopped at the end of the test.
func startTesseraCT(t testing.TB, root *ca, opts *reallogs.Options) *reallogs.Log {
	t.Helper()
	return started(t)(reallogs.StartTesseraCT(t.Context(), []*x509.Certificate{root.cert}, opts))
}

func startCTFE(t testing.TB, root *ca, opts *reallogs.Options) *reallogs.Log {
	t.Helper()
	return started(t)(reallogs.StartCTFE(t.Context(), []*x509.Certificate{root.cert}, opts))
}

func started(t testing.TB) func(*reallogs.Log, error) *reallogs.Log {
	return func(l *reallogs.Log, err error) *reallogs.Log {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Errorf("stopping %s: %v", l.Name, err)
			}
		})
		return l
	}
}

// twins are two instances of one log that show different trees: both sign with the same key under the same name.
type twins struct {
	a, b *reallogs.Log
	// common is up to where both trees are the same.
	common uint64
}

// splitStatic is the recipe of a real accident or crime: the folder of a log is copied, and both go on.
func splitStatic(t testing.TB, root, issuer *ca) twins {
	t.Helper()
	first := startTesseraCT(t, root, nil)
	fill(t, first, issuer, 5)
	folder := filepath.Join(t.TempDir(), "copy")
	if err := first.Copy(folder); err != nil {
		t.Fatal(err)
	}
	return twins{first, startTesseraCT(t, root, &reallogs.Options{Key: first.Key, From: folder}), 5}
}

// splitCTFE is two logs in memory with one key: they differ from the first entry on.
func splitCTFE(t testing.TB, root, _ *ca) twins {
	t.Helper()
	a := startCTFE(t, root, nil)
	return twins{a, startCTFE(t, root, &reallogs.Options{Key: a.Key}), 0}
}

var splits = []struct {
	name  string
	split func(t testing.TB, root, issuer *ca) twins
}{{"static-ct-api", splitStatic}, {"rfc6962", splitCTFE}}

// read runs the tailer once, and again where it was told of a fault: its error then is what it should be.
func (r *reader) readAgain() error {
	r.t.Helper()
	return ctlog.NewTailer(r.client, r.cursor, r.options(ctlog.Start{Zero: true}, true)).Run(soon(r.t))
}

func TestTailerSwitchedToTheOtherViewTellsTheForkWithBothHeads(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	for _, kind := range splits {
		for _, row := range []struct {
			name string
			a, b int // submissions to each after the split
		}{
			{"both trees have one size", 4, 4},
			{"the other tree is larger", 3, 6},
			{"the other tree is smaller", 6, 3},
		} {
			t.Run(kind.name+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				w := kind.split(t, root, issuer)
				fill(t, w.a, issuer, row.a)
				fill(t, w.b, issuer, row.b)
				va, vb := look(t, w.a), look(t, w.b)
				p := proxied(t, w.a, 1)
				r := newReaderVia(t, w.a, p.Addr, nil)
				r.attempts = 2
				if err := r.readAgain(); err != nil {
					t.Fatal(err)
				}
				r.check(va, 0)

				live := r.live(ctlog.Start{Zero: true})
				defer live.end()
				p.To(w.b.Addr)
				// What the other tree shows may be what we watch for: it is read as well, whatever its size.
				until(t, "all entries of the other tree have been seen", func() bool { return r.sawAll(vb) })
				if r.verified() != va.size || r.cursor.Verified.Root != va.root {
					t.Errorf("verified is now %d, %s: not what was verified before", r.verified(), r.cursor.Verified.Root)
				}
				if vb.size >= va.size {
					until(t, "the fork is told", func() bool { return len(r.accused()) > 0 })
				}
				// Back at the first tree it goes on as if nothing had been. A smaller head that could not be held against
				// ours, since its own side does not know our tree, is told now.
				p.To(w.a.Addr)
				fill(t, w.a, issuer, 2)
				grown := look(t, w.a)
				until(t, "the first tree is verified to its end", func() bool { return r.verified() == grown.size })
				until(t, "the fork is told", func() bool { return len(r.accused()) > 0 })
				live.end()
				if told := r.accused(); !slices.Equal(told, []ctlog.FaultKind{ctlog.Forked}) {
					t.Fatalf("told %v, want the fork alone", told)
				}
				older, newer := convicts(t, w.a, r.faults[0].Evidence)
				ours, theirs := signedHead{va.size, va.root}, signedHead{vb.size, vb.root}
				switch {
				case va.size > vb.size: // it was held against a head of ours, of before or after it grew
					if older != theirs || newer.size < va.size || newer.size > grown.size {
						t.Errorf("the evidence holds heads of sizes %d and %d, want %d and one of our own up to %d", older.size, newer.size, vb.size, grown.size)
					}
				case older == ours && newer == theirs, va.size == vb.size && older == theirs && newer == ours:
				default:
					t.Errorf("the evidence holds heads of sizes %d and %d, want those of both trees: %d and %d", older.size, newer.size, va.size, vb.size)
				}
				r.faults = nil
				r.check(grown, 0)
			})
		}
	}
}

// TestRollbackAccusesNobodyUntilTheLogGrowsDifferently restarts a static log on an older copy of its folder.
func TestRollbackAccusesNobodyUntilTheLogGrowsDifferently(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	issuer := root.sub(t, "Issuing CA", p384Key(t), nil)
	before := startTesseraCT(t, root, nil)
	fill(t, before, issuer, 7)
	old := look(t, before)
	folder := filepath.Join(t.TempDir(), "copy")
	if err := before.Copy(folder); err != nil {
		t.Fatal(err)
	}
	fill(t, before, issuer, 5)
	lost := look(t, before)
	p := proxied(t, before, 1)
	r := newReaderVia(t, before, p.Addr, nil)
	r.attempts = 2
	if err := r.readAgain(); err != nil {
		t.Fatal(err)
	}
	r.check(lost, 0)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}

	after := startTesseraCT(t, root, &reallogs.Options{Key: before.Key, From: folder})
	p.To(after.Addr)
	if v := look(t, after); v.size != old.size || v.root != old.root {
		t.Fatalf("the log came back with %d entries, want the %d of the copy", v.size, old.size)
	}
	live := r.live(ctlog.Start{Zero: true})
	defer live.end()
	asked := p.Asked()
	until(t, "the smaller head was looked at many times", func() bool { return p.Asked() > asked+20 })
	if told := r.accused(); len(told) > 0 {
		t.Fatalf("told %v about a smaller head that is consistent with the larger one", told)
	}
	if r.verified() != lost.size {
		t.Errorf("verified is now %d, want still %d", r.verified(), lost.size)
	}

	// It grows again, with other entries where those were that it lost. Nobody but us knows those, so that the two heads
	// contradict each other cannot be shown yet; the entries are read.
	fill(t, after, issuer, 2)
	regrown := look(t, after)
	until(t, "the entries in place of the lost ones have been seen", func() bool { return r.sawAll(regrown) })
	if told := r.accused(); len(told) > 0 {
		t.Errorf("told %v about heads of %d and %d entries, of which the log gives no proof", told, regrown.size, lost.size)
	}
	fill(t, after, issuer, 6)
	until(t, "the fork is told", func() bool { return len(r.accused()) > 0 })
	grown := look(t, after)
	until(t, "all entries of the log as it is now have been seen", func() bool { return r.sawAll(grown) })
	live.end()
	if told := r.accused(); !slices.Equal(told, []ctlog.FaultKind{ctlog.Forked}) {
		t.Fatalf("told %v, want the fork alone", told)
	}
	older, newer := convicts(t, before, r.faults[0].Evidence)
	if older != (signedHead{lost.size, lost.root}) || newer.size <= lost.size {
		t.Errorf("the evidence holds heads of %d and %d entries, want the %d of the lost tree and more", older.size, newer.size, lost.size)
	}
	if r.verified() != lost.size {
		t.Errorf("verified is now %d, want still the %d of the first tree", r.verified(), lost.size)
	}
}
