package app

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// sees is a matcher for which an entry touches a watch when its bytes are these.
type sees struct {
	Toucher
	raw string
}

func (s sees) TouchesRaw(b []byte) bool { return string(b) == s.raw }

func TestWhatWasSiftedBeforeAReloadIsSiftedAgain(t *testing.T) {
	stations := func(raw string) *Stations { return &Stations{Matcher: sees{watch.New(nil), raw}} }
	now := stations("a")
	s := NewSieve(func() *Stations { return now }, slog.New(slog.DiscardHandler))
	entries := []ctlog.Entry{{Cert: []byte("a")}, {Cert: []byte("b")}, {Cert: []byte("c")}, {Cert: []byte("b")}}
	d := &ctlog.Delivery{Entries: entries}
	d.Hits, d.Mark = s.Sift(entries, []int{7}) // of an entry of the delivery before
	d.Hits = d.Hits[1:]
	if st, hits := s.Sifted(d); st != now || !cmp.Equal(hits, []int{0}) {
		t.Errorf("hits %v", hits)
	}
	now = stations("b")
	if st, hits := s.Sifted(d); st != now || !cmp.Equal(hits, []int{1, 3}) {
		t.Errorf("after a reload: hits %v", hits)
	}
	if _, hits := s.Sifted(&ctlog.Delivery{Entries: entries}); !cmp.Equal(hits, []int{1, 3}) {
		t.Errorf("of a delivery that nobody sifted: hits %v", hits)
	}
}
