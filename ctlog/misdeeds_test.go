package ctlog

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// misdeed is a row of the table: what the log does, and what must come of it.
type misdeed struct {
	name string
	only loglist.Kind // zero for both kinds of logs
	mmd  time.Duration
	// lie makes the log of 600 entries, read to its end, misbehave. It may return what repairs it beyond the reset that
	// all rows have.
	lie func(f *fakeLog)
	// want is the kind that is told, not before and not later than these times after the lie began.
	want         FaultKind
	from, before time.Duration
	// holds is what stands in the evidence of a fault: see contents.
	holds string
	// verdict is what the evidence of a fault is worth, under the offline verifier.
	verdict Verdict
	// also are kinds that may be told beside it.
	also []FaultKind
}

func entriesAnswer(code int, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if isEntries(r) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			http.Error(w, "no", code)
			return true
		}
		return false
	}
}

func all(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		http.Error(w, "no", code)
		return true
	}
}

// misdeeds is the table: fault, kind of log, what is told, after how long, with which evidence. Entries that are lost
// fail each row.
var misdeeds = []misdeed{
	{name: "a front end lags by one entry (D02)", mmd: 24 * time.Hour, want: Skew, from: 15 * time.Minute, before: 25 * time.Minute,
		lie: func(f *fakeLog) {
			f.grow(601)
			f.fault = entriesAnswer(http.StatusBadRequest)
		}},
	{name: "a front end gives an old head that is consistent (D03)", mmd: 24 * time.Hour, want: Skew, from: 15 * time.Minute, before: 25 * time.Minute,
		lie: func(f *fakeLog) {
			f.size = 500
			f.fault = alsoServe(f, 600)
		}},
	{name: "the log is down", want: Unreachable, from: 15 * time.Minute, before: 30 * time.Minute,
		lie: func(f *fakeLog) { f.fault = all(http.StatusInternalServerError) }},
	{name: "the log answers with pages for people", want: Unreachable, from: 15 * time.Minute, before: 30 * time.Minute,
		lie: func(f *fakeLog) {
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				fmt.Fprint(w, "<html>maintenance</html>")
				return true
			}
		}},
	{name: "the log limits the rate (D08)", mmd: time.Minute, want: RateLimited, from: time.Hour, before: 90 * time.Minute,
		lie: func(f *fakeLog) {
			f.grow(601)
			f.fault = entriesAnswer(http.StatusTooManyRequests)
		}},
	{name: "the log limits the rate with 503 and Retry-After", mmd: time.Minute, want: RateLimited, from: time.Hour, before: 2 * time.Hour,
		lie: func(f *fakeLog) {
			f.grow(601)
			f.fault = entriesAnswer(http.StatusServiceUnavailable, "Retry-After", "30")
		}},
	{name: "no new head within the maximum merge delay", mmd: 24 * time.Hour, want: Stale, from: 25 * time.Hour, before: 25*time.Hour + 15*time.Minute,
		lie: func(f *fakeLog) {
			now := uint64(time.Now().UnixMilli())
			f.sign = func(h *Head) { h.Timestamp = now }
		}},
	{name: "no new head within a short maximum merge delay", mmd: time.Minute, want: Stale, from: time.Hour, before: 75 * time.Minute,
		lie: func(f *fakeLog) {
			now := uint64(time.Now().UnixMilli())
			f.sign = func(h *Head) { h.Timestamp = now }
		}},
	{name: "a tile is missing for ever (D15)", only: loglist.Static, mmd: time.Minute, want: Withheld, from: time.Hour, before: 75 * time.Minute, verdict: Nothing,
		holds: "head, range, path of the tile, last answer, since when",
		also:  []FaultKind{Skew}, lie: func(f *fakeLog) {
			f.grow(2000)
			f.gone = func(path string) bool { return path == "tile/data/003" }
		}},
	{name: "a range is missing for ever (D15)", only: loglist.RFC6962, mmd: 2 * time.Hour, want: Withheld, from: 2 * time.Hour, before: 130 * time.Minute, verdict: Nothing,
		holds: "head, range, last answer, since when",
		also:  []FaultKind{Skew}, lie: func(f *fakeLog) {
			f.grow(2000)
			f.fault = missing(f, 700, 900)
		}},
	{name: "a full tile stays short (D16)", only: loglist.Static, mmd: time.Minute, want: BadTile, from: 10 * time.Minute, before: 20 * time.Minute, verdict: Shown,
		holds: "head, tile, last answer, since when",
		also:  []FaultKind{Skew, Withheld}, lie: func(f *fakeLog) {
			f.grow(2000)
			n := 0
			shorten(f, "tile/data/003", func() bool { return true }, &n)
		}},
	{name: "a head is older than its entries (D05)", want: FalseTime, before: 2 * time.Minute, verdict: Proven,
		holds: "head, entry, signed leaf hash, audit path",
		lie: func(f *fakeLog) {
			f.grow(700)
			f.sign = func(h *Head) { h.Timestamp = baseTime + 699_000 - 161 }
		}},
	{name: "an entry is not the one that was hashed (D04)", want: WrongRoot, before: 2 * time.Minute, verdict: Shown,
		holds: "head, range, both roots, entry, signed leaf hash, audit path",
		lie: func(f *fakeLog) {
			f.grow(700)
			e := &f.entries[650]
			e.Cert = []byte("certificate 65O ")
			e.Leaf, _ = AppendMerkleTreeLeaf(nil, e)
		}},
	{name: "the root is not that of any tree", want: WrongRoot, before: 2 * time.Minute, verdict: Nothing,
		holds: "head, range, both roots", also: []FaultKind{Inconsistent},
		lie: func(f *fakeLog) {
			f.grow(700)
			f.sign = func(h *Head) { h.Root[0] ^= 1 }
		}},
	{name: "two roots for one size", want: Forked, before: 2 * time.Minute, verdict: Proven,
		holds: "both heads, both roots",
		lie:   func(f *fakeLog) { f.sign = func(h *Head) { h.Root[0] ^= 1 } }},
	{name: "an old head with another root (D03)", want: Forked, before: 2 * time.Minute, verdict: Proven,
		holds: "both heads, both roots, consistency proof", also: []FaultKind{Skew},
		lie: func(f *fakeLog) {
			f.size = 512
			f.fault = alsoServe(f, 600)
			f.sign = func(h *Head) {
				if h.Size == 512 {
					h.Root[0] ^= 1
				}
			}
		}},
	{name: "the log goes on with another tree", want: Forked, before: 2 * time.Minute, verdict: Proven,
		holds: "both heads, both roots, consistency proof",
		lie: func(f *fakeLog) {
			g := f.fork(550)
			g.growSalted(700, "of another tree")
			f.fault = func(w http.ResponseWriter, r *http.Request) bool { g.ServeHTTP(w, r); return true }
		}},
	{name: "only useless proofs for an old head", only: loglist.RFC6962, mmd: 24 * time.Hour, want: Inconsistent, from: time.Hour, before: 75 * time.Minute, verdict: Shown,
		holds: "both heads, consistency proof, since when",
		also:  []FaultKind{Skew}, lie: func(f *fakeLog) {
			f.size = 500
			f.fault = useless(f)
		}},
	{name: "the log was restored from an old copy", mmd: time.Hour, want: Rollback, from: time.Hour, before: 75 * time.Minute, verdict: Proven,
		holds: "both heads, last answer, since when",
		also:  []FaultKind{Skew}, lie: func(f *fakeLog) {
			f.size = 500
			f.sign = func(h *Head) {
				if h.Size == 500 {
					h.Timestamp = baseTime + 700_000
				}
			}
		}},
	{name: "the log gives its old head for ever", mmd: 3 * time.Hour, want: Rollback, from: 3 * time.Hour, before: 200 * time.Minute, verdict: Nothing,
		holds: "both heads, last answer, since when",
		also:  []FaultKind{Skew}, lie: func(f *fakeLog) { f.size = 500 }},
	{name: "a head is not signed by the log", want: BadSignature, before: 2 * time.Minute, verdict: Nothing,
		holds: "head", also: []FaultKind{KeyChange},
		lie: func(f *fakeLog) { f.fault = foreign(f) }},
	{name: "all heads are signed by another key", want: KeyChange, from: time.Hour, before: 75 * time.Minute, verdict: Nothing,
		holds: "head, since when", also: []FaultKind{BadSignature},
		lie: func(f *fakeLog) { f.fault = foreign(f) }},
	{name: "all heads are signed by a key that a list names for another log", want: KeyChange, before: 2 * time.Minute, verdict: Nothing,
		holds: "head, the key that signed it, since when",
		lie: func(f *fakeLog) {
			neighbour := f.fork(len(f.entries))
			neighbour.key = newKey()
			f.fault, f.known = headsOf(f, neighbour), knownAs("a neighbour", neighbour.key)
		}},
	{name: "the list's final head is not the log's", want: FalseFinal, before: 2 * time.Minute, verdict: Shown,
		holds: "head, both roots, consistency proof",
		lie:   func(f *fakeLog) { f.grow(700) }},
}

// foreign answers with heads that another key signed.
func foreign(f *fakeLog) func(http.ResponseWriter, *http.Request) bool {
	other := f.fork(len(f.entries))
	other.key = newKey()
	return headsOf(f, other)
}

// headsOf answers with heads that the other log signed.
func headsOf(f, other *fakeLog) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "get-sth") && !strings.HasSuffix(r.URL.Path, "checkpoint") {
			return false
		}
		f.mu.Lock()
		raw := other.rawHead(f.size)
		f.mu.Unlock()
		_, _ = w.Write(raw)
		return true
	}
}

// knownAs is what a list knows: a log of that name with the key, after others that have nothing to do with it.
func knownAs(name string, key *ecdsa.PrivateKey) (known []loglist.Log) {
	for _, k := range []*ecdsa.PrivateKey{newKey(), newKey(), key} {
		spki, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			panic(err)
		}
		l, err := loglist.FromKey(loglist.RFC6962, "https://neighbour.example.com/", "", spki, "")
		if err != nil {
			panic(err)
		}
		l.Description = name
		known = append(known, l)
	}
	return known
}

// missing answers 404 for entries of a range, also where it is asked for together with others.
func missing(f *fakeLog, from, to uint64) func(http.ResponseWriter, *http.Request) bool {
	f.max = func(start, n uint64) uint64 {
		if start < from {
			return min(n, 256, from-start)
		}
		return min(n, 256)
	}
	return func(w http.ResponseWriter, r *http.Request) bool {
		var start uint64
		if _, err := fmt.Sscan(r.FormValue("start"), &start); err != nil {
			_, err = fmt.Sscan(r.FormValue("leaf_index"), &start)
			if err != nil {
				return false
			}
		}
		if strings.HasSuffix(r.URL.Path, "get-entries") || strings.HasSuffix(r.URL.Path, "get-entry-and-proof") {
			if from <= start && start < to {
				http.NotFound(w, r)
				return true
			}
		}
		return false
	}
}
