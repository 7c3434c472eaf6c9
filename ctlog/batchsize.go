package ctlog

import "sync"

// Bounds of what one request for entries asks for. More than 512 entries make megabytes of JSON.
const (
	minAsk   = 32
	firstAsk = 256
	maxAsk   = 512
)

// batchSize learns how many entries a log gives at a time. It asks for twice the most that came lately, since a log
// cuts an answer as it likes and asking for more costs nothing; after failures it asks for less. The zero value is
// ready.
type batchSize struct {
	mu     sync.Mutex
	recent [8]int // entries received lately
	page   int    // at how many the log cut the last answer
	even   int    // how often in a row it did so
	at     int
	shrunk int // asked for instead, after failures; 0 when the last request went well
}

func (s *batchSize) ask() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locked()
}

func (s *batchSize) locked() int {
	if s.shrunk > 0 {
		return s.shrunk
	}
	most := 0
	for _, n := range s.recent {
		most = max(most, n)
	}
	if most == 0 {
		return firstAsk
	}
	return min(max(2*most, minAsk), maxAsk)
}

// stableAfter is how many answers of one size in a row make that the size of the log's pages.
const stableAfter = 4

// stable is the size of the log's pages, or 0 when they differ, or lately failed.
func (s *batchSize) stable() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.even < stableAfter || s.shrunk > 0 {
		return 0
	}
	return uint64(s.page)
}

// got notes what came of a request for so many entries.
func (s *batchSize) got(asked, entries int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil || entries == 0:
		s.even = 0
	case entries == s.page && asked >= s.page:
		s.even++
	case entries == asked && asked < maxAsk: // says nothing about what the log would give
	default:
		s.page, s.even = entries, 1
	}
	if err != nil { // perhaps it was too much at once
		s.shrunk = max(s.locked()/2, 1)
		return
	}
	s.shrunk = 0
	if entries > 0 {
		s.recent[s.at] = entries
		s.at = (s.at + 1) % len(s.recent)
	}
}

// alignEnd is the end of a request of about n entries from start: on a multiple of n where that leaves at least half,
// so that many readers ask for the same ranges and a log's caches serve them.
func alignEnd(start uint64, n int) uint64 {
	end := start + uint64(n)
	if aligned := end - end%uint64(n); aligned >= start+uint64(n+1)/2 {
		return aligned
	}
	return end
}
