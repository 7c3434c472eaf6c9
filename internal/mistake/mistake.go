// Package mistake says what is wrong in a file that a person wrote: the place, the line itself with a mark under the
// column, and what to write instead. The readers of such files share it, so that all of them complain alike.
//
// It promises that what it prints of a file disturbs no terminal. It trusts nobody: a file may hold anything.
package mistake

import (
	"fmt"
	"strings"
)

// Error is one mistake in a file. Line and Column count from 1 and are 0 when the file as a whole is meant. Excerpt is
// the line with a mark under the column.
type Error struct {
	File              string
	Line, Column      int
	Problem, HintText string
	Excerpt           string
}

// Error begins with one line "file:line:column: problem", followed by the excerpt.
func (e *Error) Error() string {
	at := e.File
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", e.File, e.Line, e.Column)
	}
	s := at + ": " + e.Problem
	if e.Excerpt != "" {
		s += "\n" + e.Excerpt
	}
	return s
}

// Hint is for a command to print under the error.
func (e *Error) Hint() string { return e.HintText }

// Excerpt shows one line of the source with a mark under the column (in characters, from 1).
func Excerpt(lines []string, line, column int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	return Mark(lines[line-1], line, column)
}

// Mark is [Excerpt] of a line that the caller has at hand.
func Mark(text string, line, column int) string {
	runes := []rune(strings.TrimRight(text, "\r"))
	const before, most = 40, 100
	from := 0
	if column > before+most/2 {
		from = min(column-before, len(runes))
	}
	shown := runes[from:min(len(runes), from+most)]
	for i, r := range shown {
		if r < ' ' || r == 0x7f {
			shown[i] = ' ' // tabs and worse would move the mark
		}
	}
	number := fmt.Sprintf("%4d | ", line)
	mark := max(column-1-from, 0)
	return number + string(shown) + "\n" + strings.Repeat(" ", len(number)-2) + "| " + strings.Repeat(" ", mark) + "^"
}

// Closest returns the word that was most likely meant, or "".
func Closest(word string, among []string) string {
	if len(word) > 40 {
		return ""
	}
	best, least := "", max(2, len(word)/3)+1
	for _, w := range among {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, change or swap with their neighbour (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			d[i][j] = min(change, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
