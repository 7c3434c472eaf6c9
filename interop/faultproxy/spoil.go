package faultproxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Kind names what is done to an answer.
type Kind string

// The kinds of faults. What is done to no answer of a log's protocol is done to none.
const (
	// Of any answer.
	HangUp         Kind = "hang-up"           // the connection is closed in place of an answer
	Cut            Kind = "cut"               // the body breaks off in the middle
	Drip           Kind = "drip"              // the body comes in small pieces
	TooMany        Kind = "429"               // without Retry-After
	TooManySeconds Kind = "429-retry-seconds" // Retry-After: 1
	TooManyDate    Kind = "429-retry-date"    // Retry-After with a date in one to two seconds
	ServerError    Kind = "5xx"               // 500, 502, 503 or 504
	HTML           Kind = "html"              // status 200 with a page for people
	BadGzip        Kind = "bad-gzip"          // a compressed body with a damaged byte, to who accepts compression
	// Of heads.
	Stale Kind = "stale-head" // one of the heads that the log gave before
	// Of entries.
	Short       Kind = "short-answer"      // get-entries gives fewer entries
	PartialGone Kind = "partial-tile-gone" // 404 for a partial tile
	Missing     Kind = "missing"           // 404 for a full tile, or for get-entries
	ShortTile   Kind = "short-full-tile"   // a full tile ends after some of its entries, at the end of one
	Flip        Kind = "bit-flip"          // one bit of the leaf of the entry at Index
	// Of what stands beside the leaves.
	WrongIssuer Kind = "wrong-issuer" // an issuer file with other bytes; for get-entries, other bytes in extra_data
)

// Fault is one fault of the proxy.
type Fault struct {
	Kind Kind
	// Share is the part of the answers concerned that are spoiled; 0 means all.
	Share float64
	// Times bounds how often the answer to one address is spoiled; 0 means no bound.
	Times int
	// Index is the entry that [Flip] damages.
	Index uint64
}

// place is what a request asks for.
type place int

const (
	elsewhere place = iota
	head
	pages // get-entries
	hashTile
	dataTile
	issuerFile
)

func placeOf(path string) place {
	switch {
	case strings.HasSuffix(path, "/ct/v1/get-sth"), strings.HasSuffix(path, "/checkpoint"):
		return head
	case strings.HasSuffix(path, "/ct/v1/get-entries"):
		return pages
	case strings.Contains(path, "/tile/data/"):
		return dataTile
	case strings.Contains(path, "/tile/"):
		return hashTile
	case strings.Contains(path, "/issuer/"):
		return issuerFile
	}
	return elsewhere
}

// spoil applies the first of the faults that concerns the answer and whose turn it is.
func (p *Proxy) spoil(r *http.Request, a answer) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	address := r.Host + r.URL.RequestURI()
	n := p.asked[address]
	p.asked[address]++
	at := placeOf(r.URL.Path)
	old := p.heads[r.Host]
	if at == head && a.status == http.StatusOK {
		p.keepHead(r.Host, a)
	}
	for i := range p.faults {
		f := &p.faults[i]
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %s %d", f.Kind, address, n)
		draw := rand.New(rand.NewPCG(p.seed, h.Sum64()))
		if f.Share > 0 && draw.Float64() >= f.Share {
			continue
		}
		if p.each[f.Kind] == nil {
			p.each[f.Kind] = map[string]int{}
		}
		if f.Times > 0 && p.each[f.Kind][address] >= f.Times {
			continue
		}
		b := answer{status: a.status, header: a.header.Clone(), body: slices.Clone(a.body), send: a.send}
		if f.apply(&b, r, at, draw, old) {
			p.each[f.Kind][address]++
			p.spoiled[f.Kind]++
			return b
		}
	}
	return a
}

// apply changes the answer and says whether there was something to change.
func (f *Fault) apply(a *answer, r *http.Request, at place, draw *rand.Rand, old []answer) bool {
	switch f.Kind {
	case HangUp:
		a.send = hangingUp
		return true
	case TooMany, TooManySeconds, TooManyDate:
		a.refuse(http.StatusTooManyRequests)
		switch f.Kind {
		case TooManySeconds:
			a.header.Set("Retry-After", "1")
		case TooManyDate:
			a.header.Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
		}
		return true
	case ServerError:
		a.refuse([]int{500, 502, 503, 504}[draw.IntN(4)])
		return true
	case HTML:
		a.refuse(http.StatusOK)
		a.body = []byte("<!DOCTYPE html>\n<html><head><title>Just a moment</title></head><body>Checking your browser.</body></html>\n")
		a.header.Set("Content-Type", "text/html")
		return true
	}
	if a.status != http.StatusOK {
		return false
	}
	full := (at == dataTile || at == hashTile) && !strings.Contains(r.URL.Path, ".p/")
	switch f.Kind {
	case Cut:
		a.send = []sending{cutMeasured, cutChunked}[draw.IntN(2)]
		return true
	case Drip:
		a.send = dripping
		return true
	case BadGzip:
		return a.damageGzip(r, draw)
	case Stale:
		if at != head || len(old) == 0 {
			return false
		}
		*a = old[draw.IntN(len(old))]
		return true
	case Short:
		return at == pages && a.eachEntry(func(entries []entry) ([]entry, bool) {
			n := len(entries)
			return entries[:1+draw.IntN(max(1, n-1))], n > 1
		})
	case PartialGone:
		if (at != dataTile && at != hashTile) || full {
			return false
		}
		a.refuse(http.StatusNotFound)
		return true
	case Missing:
		if at != pages && !full {
			return false
		}
		a.refuse(http.StatusNotFound)
		return true
	case ShortTile:
		return full && a.shorten(at, 1+draw.IntN(255))
	case Flip:
		return f.flip(a, r, at, draw)
	case WrongIssuer:
		if at == issuerFile {
			a.body[draw.IntN(len(a.body))] ^= 1 << draw.IntN(8)
			return true
		}
		return at == pages && a.eachEntry(func(entries []entry) ([]entry, bool) {
			for _, e := range entries {
				if len(e.Extra) > 0 {
					e.Extra[len(e.Extra)/2] ^= 1
				}
			}
			return entries, true
		})
	}
	return false
}

func (a *answer) refuse(status int) {
	*a = answer{status: status, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte(http.StatusText(status) + "\n")}
}

// damageGzip compresses the body where the log did not, and changes a byte behind the gzip header.
func (a *answer) damageGzip(r *http.Request, draw *rand.Rand) bool {
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || len(a.body) == 0 {
		return false
	}
	if a.header.Get("Content-Encoding") == "" {
		a.body = pack(a.body)
		a.header.Set("Content-Encoding", "gzip")
	}
	const gzipHeader, gzipSums = 10, 8
	// Part of the time only the checksum at the end is wrong: everything before it has been decompressed by then.
	at := len(a.body) - gzipSums + draw.IntN(4)
	if draw.IntN(2) == 0 {
		at = gzipHeader + draw.IntN(len(a.body)-gzipHeader-gzipSums)
	}
	a.body[at] ^= 1 << draw.IntN(8)
	return true
}

func pack(b []byte) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(b) // a bytes.Buffer takes all
	_ = z.Close()
	return packed.Bytes()
}

// plainly runs change over the body without its compression.
func (a *answer) plainly(change func(plain []byte) ([]byte, bool)) bool {
	plain, packed := a.body, a.header.Get("Content-Encoding") == "gzip"
	if packed {
		z, err := gzip.NewReader(bytes.NewReader(a.body))
		if err != nil {
			return false
		}
		if plain, err = io.ReadAll(z); err != nil {
			return false
		}
	}
	changed, ok := change(plain)
	if !ok {
		return false
	}
	if a.body = changed; packed {
		a.body = pack(changed)
	}
	return true
}

// entry is one of get-entries.
type entry struct {
	Leaf  []byte `json:"leaf_input"`
	Extra []byte `json:"extra_data"`
}

// eachEntry runs change over the entries of an answer to get-entries; change says whether it changed any.
func (a *answer) eachEntry(change func([]entry) ([]entry, bool)) bool {
	return a.plainly(func(plain []byte) ([]byte, bool) {
		var page struct {
			Entries []entry `json:"entries"`
		}
		if json.Unmarshal(plain, &page) != nil || len(page.Entries) == 0 {
			return nil, false
		}
		var ok bool
		if page.Entries, ok = change(page.Entries); !ok {
			return nil, false
		}
		changed, err := json.Marshal(page)
		return changed, err == nil
	})
}

// flip damages one bit in the certificate of the leaf, if the answer holds it.
func (f *Fault) flip(a *answer, r *http.Request, at place, draw *rand.Rand) bool {
	damage := func(leaf []byte) { leaf[len(leaf)/2] ^= 1 << draw.IntN(8) }
	switch at {
	case pages:
		start, err := strconv.ParseUint(r.URL.Query().Get("start"), 10, 64)
		if err != nil || f.Index < start {
			return false
		}
		return a.eachEntry(func(entries []entry) ([]entry, bool) {
			i := f.Index - start
			if i >= uint64(len(entries)) {
				return nil, false
			}
			damage(entries[i].Leaf)
			return entries, true
		})
	case dataTile:
		n, ok := tileIndex(r.URL.Path)
		if !ok || f.Index/256 != n {
			return false
		}
		return a.plainly(func(plain []byte) ([]byte, bool) {
			leaves, ok := frame(plain)
			if i := f.Index % 256; ok && i < uint64(len(leaves)) {
				damage(leaves[i].certificate)
				return plain, true
			}
			return nil, false
		})
	}
	return false
}

// shorten leaves the first n entries of a full tile.
func (a *answer) shorten(at place, n int) bool {
	return a.plainly(func(plain []byte) ([]byte, bool) {
		if at == hashTile {
			return plain[:min(len(plain), 32*n)], len(plain) > 32*n
		}
		leaves, ok := frame(plain)
		if !ok || len(leaves) <= n {
			return nil, false
		}
		return plain[:leaves[n-1].end], true
	})
}

// tileIndex reads the index of a data tile: groups of three digits, all but the last after an "x".
func tileIndex(path string) (uint64, bool) {
	_, name, _ := strings.Cut(path, "/tile/data/")
	name, _, _ = strings.Cut(name, ".p/")
	n, err := strconv.ParseUint(strings.NewReplacer("x", "", "/", "").Replace(name), 10, 64)
	return n, err == nil
}

// framed is one entry of a data tile: the certificate or TBSCertificate of its leaf, and where the entry ends.
type framed struct {
	certificate []byte
	end         int
}

// frame finds the entries of a data tile (static-ct-api, Log Entries).
func frame(tile []byte) (leaves []framed, ok bool) {
	s := cryptobyte.String(tile)
	for len(s) > 0 {
		var kind uint16
		var certificate, rest cryptobyte.String
		if !s.Skip(8) || !s.ReadUint16(&kind) || kind == 1 && !s.Skip(32) || !s.ReadUint24LengthPrefixed(&certificate) ||
			!s.ReadUint16LengthPrefixed(&rest) || kind == 1 && !s.ReadUint24LengthPrefixed(&rest) || !s.ReadUint16LengthPrefixed(&rest) {
			return nil, false
		}
		leaves = append(leaves, framed{certificate, len(tile) - len(s)})
	}
	return leaves, true
}
