package watch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a list in a file: a longer line is an error, and after maxListErrors the rest are only counted.
const (
	maxLine       = 4096
	maxListErrors = 20
)

// ReadItems reads a list with one item per line. Empty lines are skipped; # begins a comment at the start of a line or
// after a space. parse is [ParseItem], [ParseName] or [ParseNetwork]. The items that could be read are returned
// together with all errors joined, each with file and line; a caller that must not guard less than was written uses
// the items only when err is nil.
func ReadItems(r io.Reader, file string, parse func(string, Place) (Item, error)) ([]Item, error) {
	var (
		items []Item
		errs  []error
		more  int
		br    = bufio.NewReaderSize(r, maxLine)
	)
	refuse := func(err error) {
		if len(errs) < maxListErrors {
			errs = append(errs, err)
		} else {
			more++
		}
	}
	for n := 1; ; n++ {
		raw, err := br.ReadSlice('\n')
		at := Place{File: file, Line: n}
		if errors.Is(err, bufio.ErrBufferFull) {
			refuse(&ItemError{Place: at, Text: string(raw[:40]), Problem: fmt.Sprintf("line longer than %d bytes", maxLine), HintText: "one item per line"})
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = br.ReadSlice('\n')
			}
			raw = nil
		}
		if n == 1 {
			raw = []byte(strings.TrimPrefix(string(raw), "\ufeff"))
		}
		if text := strip(raw); text != "" {
			if item, err := parse(text, at); err != nil {
				refuse(err)
			} else {
				items = append(items, item)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return items, errors.Join(append(errs, fmt.Errorf("reading %s: %w", file, err))...)
		}
	}
	if more > 0 {
		errs = append(errs, fmt.Errorf("%s: %d more items are refused", file, more))
	}
	return items, errors.Join(errs...)
}

// strip removes the comment and surrounding space of one line.
func strip(raw []byte) string {
	text := string(raw)
	for i := 0; i < len(text); i++ {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			text = text[:i]
			break
		}
	}
	return strings.TrimSpace(text)
}
