package ctlog

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/loglist"
)

func TestInclusionIsProvenUnderAHead(t *testing.T) {
	for _, kind := range bothKinds {
		t.Run(kind.String(), func(t *testing.T) {
			f := newFakeLog(t, kind, 700)
			c := f.client(t)
			head, err := c.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []uint64{0, 1, 255, 256, 511, 512, 699} {
				leaf := Hash(f.entries[i].Hash())
				if got, err := c.Inclusion(t.Context(), leaf, &i, head); err != nil || got != i {
					t.Errorf("entry %d: index %d, %v", i, got, err)
				}
			}
		})
	}
}

func TestALeafThatIsNotInTheTreeIsAbsent(t *testing.T) {
	for _, kind := range bothKinds {
		t.Run(kind.String(), func(t *testing.T) {
			f := newFakeLog(t, kind, 300)
			c := f.client(t)
			head, err := c.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			index := uint64(7)
			_, err = c.Inclusion(t.Context(), Hash{1}, &index, head)
			var absent *AbsentError
			if !errors.As(err, &absent) || absent.Head.Size != 300 || absent.Leaf != (Hash{1}) {
				t.Fatalf("a leaf that was never logged: %v", err)
			}
			if kind == loglist.RFC6962 {
				if absent.Index != nil || !strings.Contains(absent.Answer, "404") {
					t.Errorf("the answer of the log is not kept: %+v", absent)
				}
			} else {
				if absent.Found != Hash(f.entries[7].Hash()) {
					t.Errorf("found %s, want the leaf at index 7", absent.Found)
				}
				if err := VerifyInclusion(absent.Found, index, absent.Proof, head); err != nil {
					t.Errorf("what stands there instead is not proven: %v", err)
				}
			}

			// A leaf that came after the head is absent from its tree.
			f.grow(320)
			later := uint64(310)
			_, err = c.Inclusion(t.Context(), Hash(f.entries[later].Hash()), &later, head)
			if absent = nil; !errors.As(err, &absent) {
				t.Errorf("a leaf beyond the head: %v", err)
			}
			// Nothing is in the empty tree, and nobody needs to be asked.
			_, err = c.Inclusion(t.Context(), Hash{1}, &index, Head{Root: emptyRoot})
			if absent = nil; !errors.As(err, &absent) {
				t.Errorf("the empty tree: %v", err)
			}
		})
	}
}

func TestInclusionTellsBrokenProofsFromNoAnswer(t *testing.T) {
	for _, kind := range bothKinds {
		t.Run(kind.String(), func(t *testing.T) {
			f := newFakeLog(t, kind, 300)
			c := f.client(t)
			head, err := c.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			index := uint64(7)
			leaf := Hash(f.entries[index].Hash())
			for name, tt := range map[string]struct {
				fault    func(w http.ResponseWriter, r *http.Request) bool
				unproven bool
			}{
				"overloaded":   {fault: status(http.StatusServiceUnavailable)},
				"rate limited": {fault: status(http.StatusTooManyRequests)},
				"another tree": {fault: func(w http.ResponseWriter, r *http.Request) bool {
					g := f.fork(0)
					g.growSalted(300, "other")
					if kind == loglist.RFC6962 {
						_, _ = w.Write([]byte(`{"leaf_index":7,"audit_path":[]}`))
						return true
					}
					g.ServeHTTP(w, r)
					return true
				}, unproven: true},
				"junk": {fault: func(w http.ResponseWriter, _ *http.Request) bool {
					_, _ = w.Write([]byte("<html>"))
					return true
				}, unproven: true},
				"an index beyond the tree": {fault: func(w http.ResponseWriter, _ *http.Request) bool {
					_, _ = w.Write([]byte(`{"leaf_index":300,"audit_path":[]}`))
					return true
				}, unproven: true},
			} {
				f.fault = tt.fault
				_, err := c.Inclusion(t.Context(), leaf, &index, head)
				var unproven *UnprovenError
				var absent *AbsentError
				if err == nil || errors.As(err, &absent) || errors.As(err, &unproven) != tt.unproven {
					t.Errorf("%s: %v (%T), unproven wanted: %v", name, err, err, tt.unproven)
				}
			}
		})
	}
}

func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(code)
		return true
	}
}

func TestAStaticLogIsNotAskedWithoutAnIndex(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 3)
	c := f.client(t)
	head, err := c.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Inclusion(t.Context(), Hash{1}, nil, head); !errors.Is(err, ErrNoIndex) {
		t.Errorf("%v, want ErrNoIndex", err)
	}
}
