package proposal

import (
	"errors"
	"regexp"
	"strings"
)

// ErrOneLine says that a section cannot be added to.
var ErrOneLine = errors.New("the watches are written in one line, to which nothing can be added: write them as a list, one \"- name: …\" each")

// Into is the configuration file old with the proposal in it. What a person wrote stays byte for byte: new watches come
// behind those in force, and the notes at the head of the section, which begin with "#? ", replace those of the last
// run. An empty old is a new file.
func (p *Proposal) Into(old string) (string, error) {
	if strings.TrimSpace(old) == "" {
		return p.Section, nil
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
		return strings.Join(lines, "") + p.Section, nil
	}
	to := len(lines)
	for i := from + 1; i < len(lines); i++ {
		if c := lines[i][0]; c != ' ' && c != '#' && c != '-' && c != '\n' && c != '\r' && c != ']' && c != '}' {
			to = i
			break
		}
	}
	// Comments and empty lines above the next key belong to it.
	for to > from+1 && (lines[to-1][0] == '#' || strings.TrimSpace(lines[to-1]) == "") {
		to--
	}
	indent := ""
	for _, line := range lines[from+1 : to] {
		if m := listItem.FindStringSubmatch(line); m != nil {
			indent = m[1] + "-"
			break
		}
	}
	if indent == "" {
		return "", ErrOneLine
	}
	indent = strings.TrimSuffix(indent, "-")
	var b strings.Builder
	for i, line := range lines[:to] {
		if i > from && strings.HasPrefix(strings.TrimLeft(line, " "), note) {
			continue
		}
		b.WriteString(line)
		for n := 0; i == from && n < len(p.Notes); n++ {
			b.WriteString(indent + note + p.Notes[n] + "\n")
		}
	}
	_, more, _ := strings.Cut(p.Section, "\n")
	for line := range strings.Lines(more) {
		b.WriteString(indent + strings.TrimPrefix(line, "  "))
	}
	return b.String() + strings.Join(lines[to:], ""), nil
}

// note begins a line about what is in force.
const note = "#? "

var (
	watchKey = regexp.MustCompile(`^(watch|"watch"|'watch')\s*:`)
	listItem = regexp.MustCompile(`^( *)-( |$)`)
)

// Same reports whether two configurations say the same but for numbers in comments: counts and days grow with each run.
func Same(a, b string) bool {
	return numbers(a) == numbers(b)
}

var digits = regexp.MustCompile(`\d[\d,-]*`)

func numbers(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if at := strings.Index(line, "#"); at >= 0 {
			line = line[:at] + digits.ReplaceAllString(line[at:], "0")
		}
		b.WriteString(line)
	}
	return b.String()
}
