package app

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
)

// Sieve finds the entries of a log that touch a watch: what every entry of every log goes through. It is the receiver's
// half of [ctlog.TailOptions].Sift and safe for concurrent use.
type Sieve struct {
	stations func() *Stations
	logger   *slog.Logger
	scans    sync.Pool // *cert.Scan
}

// NewSieve returns a sieve for one log; the logger is told about defects of ours.
func NewSieve(stations func() *Stations, logger *slog.Logger) *Sieve {
	return &Sieve{stations: stations, logger: logger}
}

// Sift appends the places in entries of those that touch a watch, and returns the stations that it asked as the mark:
// see [ctlog.Sifted].
func (s *Sieve) Sift(entries []ctlog.Entry, hits []int) ([]int, any) {
	st := s.stations()
	return s.sift(st, entries, hits), st
}

// Sifted returns the stations of the moment and the places of the entries that touch a watch of theirs. A delivery that
// was sifted by others, or not at all, is sifted again.
func (s *Sieve) Sifted(d *ctlog.Delivery) (*Stations, []int) {
	st := s.stations()
	if d.Mark == any(st) {
		return st, d.Hits
	}
	return st, s.sift(st, d.Entries, nil)
}

func (s *Sieve) sift(st *Stations, entries []ctlog.Entry, hits []int) []int {
	scan, _ := s.scans.Get().(*cert.Scan)
	if scan == nil {
		scan = new(cert.Scan)
	}
	for i := range entries {
		if s.touches(st, scan, &entries[i]) {
			hits = append(hits, i)
		}
	}
	s.scans.Put(scan)
	return hits
}

// touches reports whether an entry touches a watch. A defect of the reader must not end the daemon again and again on
// one hostile certificate: the entry is then searched byte by byte, and the defect is logged.
func (s *Sieve) touches(st *Stations, scan *cert.Scan, e *ctlog.Entry) (hit bool) {
	defer func() {
		if p := recover(); p != nil {
			s.logger.Error("a defect of ours in reading an entry; its bytes were searched", "index", e.Index,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			*scan = cert.Scan{}
			hit = st.Matcher.TouchesRaw(e.Cert)
		}
	}()
	return st.Touches(scan, e.Cert, e.Precert)
}
