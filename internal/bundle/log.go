package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/tocsin-ct/tocsin/ctlog"
)

// splitPage yields the entries of a get-entries answer (RFC 6962 section 4.6), or of an array of such entries, which
// may carry their index as "cert_index" or "leaf_index". What stands behind a mistake of syntax is searched for
// further leaves; what is no page at all is yielded as it stands.
func splitPage(b []byte, emit func(Item) error) error {
	n := 0
	at, err := pageEntries(json.NewDecoder(bytes.NewReader(b)), func(element []byte) error {
		it := pageEntry(element, n)
		n++
		return emit(it)
	})
	var stop *yieldError
	switch {
	case asYield(err, &stop):
		return stop.err
	case err == nil && n > 0:
		return nil
	case err == nil:
		return emit(Item{DER: b, Problem: "JSON without entries of a log"})
	}
	found, err2 := salvage(b[min(at, int64(len(b))):], n, fmt.Sprintf("in a page with a mistake: %v", err), emit)
	if err2 != nil || n+found > 0 {
		return err2
	}
	return emit(Item{DER: b, Problem: fmt.Sprintf("not a get-entries page: %v", err)})
}

// yieldError tells an error of the caller from a mistake in the page.
type yieldError struct{ err error }

func (e *yieldError) Error() string { return e.err.Error() }

func asYield(err error, into **yieldError) bool {
	y, ok := err.(*yieldError)
	*into = y
	return ok
}

// pageEntries gives each element of each array of entries to visit, as it is read. at is how far it came.
func pageEntries(dec *json.Decoder, visit func([]byte) error) (at int64, err error) {
	elements := func() error {
		for dec.More() {
			var element json.RawMessage
			if err := dec.Decode(&element); err != nil {
				return err
			}
			at = dec.InputOffset()
			if err := visit(element); err != nil {
				return &yieldError{err}
			}
		}
		_, err := dec.Token() // ]
		return err
	}
	open, err := dec.Token()
	if err != nil {
		return 0, err
	}
	if open == json.Delim('[') {
		return at, ended(elements(), dec)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return at, err
		}
		var value json.RawMessage
		if name, ok := key.(string); !ok || !strings.EqualFold(name, "entries") {
			if err := dec.Decode(&value); err != nil {
				return at, err
			}
			continue
		}
		if open, err := dec.Token(); err != nil || open != json.Delim('[') {
			return at, ended(err, dec)
		}
		if err := elements(); err != nil {
			return at, err
		}
	}
	_, err = dec.Token() // }
	return at, ended(err, dec)
}

// ended makes an error of bytes behind the page.
func ended(err error, dec *json.Decoder) error {
	if err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("something stands behind the page, at byte %d", dec.InputOffset())
	}
	return nil
}

// pageEntry reads one entry of a page. One that cannot be read is an item all the same.
func pageEntry(element []byte, n int) Item {
	var e struct {
		LeafInput json.RawMessage `json:"leaf_input"`
		ExtraData json.RawMessage `json:"extra_data"`
		CertIndex json.RawMessage `json:"cert_index"`
		LeafIndex json.RawMessage `json:"leaf_index"`
	}
	if err := json.Unmarshal(element, &e); err != nil {
		return Item{DER: element, Problem: "an entry that is no object"}
	}
	if len(e.LeafInput) == 0 {
		return Item{DER: element, Problem: "an entry without leaf_input"}
	}
	leaf, problem := lenient(e.LeafInput)
	it := entryItem(leaf, uint64(n), problem)
	extra, extraProblem := lenient(e.ExtraData)
	if it.Entry.Extra = extra; it.Problem == "" && extraProblem != "" {
		it.Problem = "extra_data: " + extraProblem
	}
	for _, index := range []json.RawMessage{e.LeafIndex, e.CertIndex} {
		var i uint64
		if len(index) > 0 && json.Unmarshal(index, &i) == nil {
			it.Entry.Index = i
		}
	}
	return it
}

func entryItem(leaf []byte, index uint64, problem string) Item {
	e := &ctlog.Entry{Index: index}
	ctlog.ReadMerkleTreeLeaf(e, leaf)
	if problem == "" {
		problem = e.Problem
	}
	return Item{Entry: e, Problem: problem}
}

// lenient decodes a JSON string of base64, as far as it can be decoded.
func lenient(text json.RawMessage) (b []byte, problem string) {
	if len(text) == 0 || string(text) == "null" {
		return nil, ""
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return text, "not a string of base64"
	}
	b, whole := decode(s)
	if !whole {
		problem = "damaged base64: the readable part was used"
	}
	return b, problem
}

// decode decodes base64 up to the first mistake.
func decode(s string) (b []byte, whole bool) {
	s = strings.NewReplacer("\r", "", "\n", "").Replace(s)
	b, err := base64.StdEncoding.DecodeString(s)
	if err == nil {
		return b, true
	}
	if at, ok := err.(base64.CorruptInputError); ok {
		s = s[:min(int(at), len(s))]
	}
	s = strings.TrimRight(s, "=")
	b, _ = base64.RawStdEncoding.DecodeString(s[:len(s)/4*4])
	return b, false
}

var leafKey = []byte(`"leaf_input"`)

// salvage yields what can still be decoded behind each "leaf_input" of a damaged page.
func salvage(b []byte, n int, problem string, emit func(Item) error) (found int, err error) {
	for {
		at := bytes.Index(b, leafKey)
		if at < 0 {
			return found, nil
		}
		b = bytes.TrimLeft(b[at+len(leafKey):], " \t\r\n:")
		if len(b) == 0 || b[0] != '"' {
			continue
		}
		text := b[1:]
		if end := bytes.IndexByte(text, '"'); end >= 0 {
			text = text[:end]
		}
		leaf, _ := decode(strings.ReplaceAll(string(text), `\/`, "/"))
		if len(leaf) == 0 {
			continue
		}
		if err := emit(entryItem(leaf, uint64(n+found), problem)); err != nil {
			return found, err
		}
		found++
	}
}

// splitTile yields the entries of a data tile of static-ct-api, full or partial, and gives what stands behind the last
// one that could be read. No entries: the bytes are no tile.
func splitTile(b []byte, emit func(Item) error) (n int, rest []byte, err error) {
	if len(b) < 2 || b[0] != 0 || b[1] != 0 { // timestamps in milliseconds, until the year 10889
		return 0, b, nil
	}
	for len(b) > 0 {
		e := &ctlog.Entry{Index: uint64(n)}
		next, err := ctlog.ReadTileLeaf(e, b)
		if err != nil || n == 0 && len(e.Cert) == 0 {
			break
		}
		b = next
		n++
		if err := emit(Item{Entry: e}); err != nil {
			return n, b, err
		}
	}
	return n, b, nil
}
