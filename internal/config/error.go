package config

import "github.com/tocsin-ct/tocsin/internal/mistake"

// Error is one mistake in the configuration file.
type Error = mistake.Error

// excerpt shows one line of the source with a mark under the column (in characters, from 1), and no secret.
func excerpt(lines []string, line, column int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	return mistake.Mark(masked(lines[line-1]), line, column)
}

// closest returns the word that was most likely meant, or "".
func closest(word string, among []string) string { return mistake.Closest(word, among) }
