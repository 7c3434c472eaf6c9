package proposal

import (
	"regexp"
	"strings"
)

// Into is the configuration file old with its section "watch" replaced by that of the proposal. All else, receivers and
// routes before all, is the person's and stays byte for byte. An empty old is a new file.
func (p *Proposal) Into(old string) string {
	if strings.TrimSpace(old) == "" {
		return p.Section
	}
	lines := strings.SplitAfter(old, "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	} else {
		lines[last] += "\n"
	}
	from := -1
	for i, line := range lines {
		if watchKey.MatchString(line) {
			from = i
			break
		}
	}
	if from < 0 {
		return strings.Join(lines, "") + p.Section
	}
	to := len(lines)
	for i := from + 1; i < len(lines); i++ {
		if c := lines[i][0]; c != ' ' && c != '#' && c != '-' && c != '\n' && c != '\r' && c != ']' && c != '}' {
			to = i
			break
		}
	}
	// Comments and empty lines above the next key belong to it.
	for to < len(lines) && to > from+1 && (lines[to-1][0] == '#' || strings.TrimSpace(lines[to-1]) == "") {
		to--
	}
	return strings.Join(lines[:from], "") + p.Section + strings.Join(lines[to:], "")
}

var watchKey = regexp.MustCompile(`^(watch|"watch"|'watch')\s*:`)

// Same reports whether two configurations say the same but for numbers in comments: counts and days grow with each run.
func Same(a, b string) bool {
	return numbers(a) == numbers(b)
}

var digits = regexp.MustCompile(`\d[\d,-]*`)

func numbers(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if at := strings.Index(line, "# "); at >= 0 {
			line = line[:at] + digits.ReplaceAllString(line[at:], "0")
		}
		b.WriteString(line)
	}
	return b.String()
}
