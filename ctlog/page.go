package ctlog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxPage bounds the entries of one page. No log gives more than a few thousand.
const maxPage = 1 << 16

// errEmpty is an answer without entries to a valid range: to be retried, never "done".
var errEmpty = errors.New("the log answers without entries")

// ReadEntriesPage reads an answer to get-entries (RFC 6962 section 4.6) that begins with the entry at index into the
// batch, which does not alias page. After an error the batch holds the whole entries that stood before it.
//
// The JSON is scanned, not reflected: unknown fields are skipped, fields may come in any order.
func ReadEntriesPage(page []byte, index uint64, into *Batch) error {
	need := len(page)/4*3 + 3
	if into.lazy { // all stays where it is
		need = 0
	}
	into.reset(need)
	s := pageScanner{b: page, index: index, into: into}
	if err := s.page(); err != nil {
		return fmt.Errorf("reading entries: %w", err)
	}
	if len(into.Entries) == 0 {
		return errEmpty
	}
	return nil
}

// reset empties the batch and makes room for so many bytes. Memory far beyond the need is let go.
func (b *Batch) reset(need int) {
	b.Entries, b.fingerprints = b.Entries[:0], b.fingerprints[:0]
	if cap(b.buf) < need || cap(b.buf) > 4<<20 && cap(b.buf)/4 > need {
		b.buf = make([]byte, 0, need)
	}
	b.buf = b.buf[:0]
}

type pageScanner struct {
	b     []byte // the rest of the page
	index uint64
	into  *Batch
	plain []byte // scratch for strings with escapes
}

var errCut = errors.New("the answer ends too early")

func (s *pageScanner) page() error {
	found := false
	err := s.object(func(key []byte) error {
		if string(key) != "entries" {
			return s.skip()
		}
		found = true
		return s.array(s.entry)
	})
	switch {
	case err != nil:
		return err
	case !found:
		return errors.New("the answer has no field \"entries\"")
	case s.peek() != 0:
		return errors.New("bytes after the answer")
	}
	return nil
}

func (s *pageScanner) entry() error {
	if len(s.into.Entries) >= maxPage {
		return fmt.Errorf("more than %d entries", maxPage)
	}
	mark := len(s.into.buf)
	var leaf, extra, hashed, extra64 []byte
	err := s.object(func(key []byte) (err error) {
		switch string(key) {
		case "leaf_input":
			if s.into.lazy {
				hashed, err = s.inPlace()
				if err == nil {
					leaf = hashed[1:len(hashed):len(hashed)]
				}
				break
			}
			at := len(s.into.buf)
			s.into.buf = append(s.into.buf, 0) // begins what is hashed
			leaf, err = s.base64()
			hashed = s.into.buf[at:]
		case "extra_data":
			if s.into.lazy {
				extra64, err = s.str()
			} else {
				extra, err = s.base64()
			}
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil && leaf == nil {
		err = errors.New("an entry has no leaf_input")
	}
	if err != nil {
		s.into.buf = s.into.buf[:mark]
		return err
	}
	s.into.Entries = append(s.into.Entries, Entry{Index: s.index, Extra: extra, hashed: hashed, extra64: extra64})
	ReadMerkleTreeLeaf(&s.into.Entries[len(s.into.Entries)-1], leaf)
	s.index++
	return nil
}

// peek returns the next byte that is not white space, without taking it; 0 at the end.
func (s *pageScanner) peek() byte {
	for len(s.b) > 0 {
		switch c := s.b[0]; c {
		case ' ', '\t', '\r', '\n':
			s.b = s.b[1:]
		default:
			return c
		}
	}
	return 0
}

func (s *pageScanner) expect(c byte) error {
	switch got := s.peek(); got {
	case c:
		s.b = s.b[1:]
		return nil
	case 0:
		return errCut
	default:
		return fmt.Errorf("%q where %q should stand", got, c)
	}
}

// members reads what stands between open and the closing byte, separated by commas.
func (s *pageScanner) members(open, closing byte, each func() error) error {
	if err := s.expect(open); err != nil {
		return err
	}
	if s.peek() == closing {
		s.b = s.b[1:]
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if s.peek() == closing {
			s.b = s.b[1:]
			return nil
		}
		if err := s.expect(','); err != nil {
			return err
		}
	}
}

func (s *pageScanner) array(each func() error) error { return s.members('[', ']', each) }

func (s *pageScanner) object(field func(key []byte) error) error {
	return s.members('{', '}', func() error {
		raw, err := s.str()
		if err != nil {
			return err
		}
		if bytes.IndexByte(raw, '\\') >= 0 {
			if raw, err = s.unescape(raw); err != nil {
				return err
			}
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return field(raw)
	})
}

// str reads a string and returns what stands between its quotes. Escapes are left in it.
func (s *pageScanner) str() (raw []byte, err error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	for from := 0; ; {
		i := bytes.IndexByte(s.b[from:], '"')
		if i < 0 {
			return nil, errCut
		}
		end := from + i
		back := end // behind the backslashes before the quote, which escape it when their number is odd
		for back > 0 && s.b[back-1] == '\\' {
			back--
		}
		if (end-back)%2 == 0 {
			raw, s.b = s.b[:end], s.b[end+1:]
			return raw, nil
		}
		from = end + 1
	}
}

// base64 reads a string and decodes it to the end of the batch's buffer.
func (s *pageScanner) base64() ([]byte, error) {
	raw, err := s.str()
	if err != nil {
		return nil, err
	}
	mark := len(s.into.buf)
	for {
		s.into.buf = slices.Grow(s.into.buf, base64.StdEncoding.DecodedLen(len(raw)))
		n, err := decodeBase64(s.into.buf[mark:cap(s.into.buf)], raw)
		if err == nil {
			s.into.buf = s.into.buf[:mark+n]
			return s.into.buf[mark : mark+n : mark+n], nil
		}
		if bytes.IndexByte(raw, '\\') < 0 {
			return nil, fmt.Errorf("decoding base64: %w", err)
		}
		if raw, err = s.unescape(raw); err != nil {
			return nil, err
		}
	}
}

// inPlace reads a string and decodes it where it stands, behind a byte 0 in place of its opening quote.
func (s *pageScanner) inPlace() ([]byte, error) {
	if s.peek() == 0 {
		return nil, errCut
	}
	page := s.b
	raw, err := s.str()
	if err != nil {
		return nil, err
	}
	out := page[:len(raw)+1]
	out[0] = 0
	at, n := fastBase64(raw, raw) // what is written lies behind what was read
	rest := raw[at:]
	if bytes.IndexByte(rest, '\\') >= 0 {
		if rest, err = s.unescape(rest); err != nil {
			return nil, err
		}
	} else {
		s.plain = append(s.plain[:0], rest...)
		rest = s.plain
	}
	k, err := base64.StdEncoding.Decode(raw[n:], rest)
	if err != nil {
		return nil, fmt.Errorf("decoding base64: %w", err)
	}
	return out[: 1+n+k : 1+n+k], nil
}

// decodeString is pageScanner.base64 for what was left in the page.
func decodeString(raw []byte) ([]byte, error) {
	s := pageScanner{b: append(append([]byte{'"'}, raw...), '"'), into: &Batch{}}
	return s.base64()
}

// unescape resolves the escapes of a JSON string (RFC 8259 section 7): some servers write "\/" or "\u003d" in base64.
// The result is valid until the next call.
func (s *pageScanner) unescape(raw []byte) ([]byte, error) {
	out := s.plain[:0]
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		if i == len(raw) {
			return nil, errCut
		}
		switch c := raw[i]; c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b', 'f', 'n', 'r', 't':
			out = append(out, map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[c])
		case 'u':
			if i+4 >= len(raw) {
				return nil, errors.New("bad escape in a string")
			}
			r, err := strconv.ParseUint(string(raw[i+1:i+5]), 16, 16)
			if err != nil {
				return nil, errors.New("bad escape in a string")
			}
			out = utf8.AppendRune(out, rune(r))
			i += 4
		default:
			return nil, errors.New("bad escape in a string")
		}
	}
	s.plain = out
	return out, nil
}

// skip passes over one value of any kind. Nesting costs no memory.
func (s *pageScanner) skip() error {
	for depth := 0; ; {
		switch s.peek() {
		case 0:
			return errCut
		case '"':
			if _, err := s.str(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			s.b = s.b[1:]
			continue
		case '}', ']':
			depth--
			if depth < 0 {
				return errors.New("a closing bracket where a value should stand")
			}
			s.b = s.b[1:]
		case ',', ':':
			if depth == 0 {
				return errors.New("a value is missing")
			}
			s.b = s.b[1:]
			continue
		default: // a number, true, false or null
			n := bytes.IndexAny(s.b, ",:]}[{\" \t\r\n")
			if n < 0 {
				return errCut
			}
			s.b = s.b[n:]
		}
		if depth == 0 {
			return nil
		}
	}
}
