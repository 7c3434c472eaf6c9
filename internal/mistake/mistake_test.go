package mistake

import (
	"strings"
	"testing"
)

func TestTheWordThatWasMeant(t *testing.T) {
	words := []string{"issuers", "keys", "max_validity"}
	for word, want := range map[string]string{"isuers": "issuers", "Keys": "keys", "kyes": "keys", "maxvalidity": "max_validity", "colour": "", "": "",
		strings.Repeat("x", 1000): ""} {
		if got := Closest(word, words); got != want {
			t.Errorf("Closest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestAnExcerptMarksTheColumnAndDisturbsNoTerminal(t *testing.T) {
	lines := []string{"a:\tb\x1b[2J", strings.Repeat("x", 300) + "!"}
	if got, want := Excerpt(lines, 1, 4), "   1 | a: b [2J\n     |    ^"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	shown, mark, _ := strings.Cut(Excerpt(lines, 2, 301), "\n")
	if i := strings.IndexByte(mark, '^'); shown[i] != '!' {
		t.Errorf("the mark stands under %q:\n%s\n%s", shown[i], shown, mark)
	}
	for _, line := range []int{0, 3, -1} {
		if got := Excerpt(lines, line, 1); got != "" {
			t.Errorf("line %d: %q", line, got)
		}
	}
}

func TestTheErrorBeginsWithThePlace(t *testing.T) {
	e := &Error{File: "a.yaml", Line: 2, Column: 5, Problem: "no", HintText: "yes"}
	if e.Error() != "a.yaml:2:5: no" || e.Hint() != "yes" {
		t.Errorf("%q, %q", e.Error(), e.Hint())
	}
	if e := (&Error{File: "a.yaml", Problem: "empty"}); e.Error() != "a.yaml: empty" {
		t.Errorf("%q", e.Error())
	}
}
