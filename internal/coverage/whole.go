package coverage

import (
	"fmt"
	"slices"
	"strings"
)

// DefaultMinOperators is how many operators must make progress where the config does not say. A certificate that
// browsers accept is in the logs of two operators at least.
const DefaultMinOperators = 2

// Graded is a log with its grade, as far as [Whole] needs it.
type Graded struct {
	Operator string
	Grade    Grade
}

// Sight is what is seen on the whole.
type Sight struct {
	// Blind is set when fewer operators make progress than Wanted.
	Blind bool
	// Why is one sentence for people.
	Why string
	// Wanted is how many operators must make progress. Seeing and Unseen are the operators with at least one log that
	// makes progress, and those without, by name. An operator whose logs have all ended is in neither.
	Wanted         int
	Seeing, Unseen []string
}

// Whole judges what is seen on the whole. Min is the config's coverage.min_operators; 0 when not given: then
// [DefaultMinOperators], or fewer when fewer are followed at all, since whoever follows one log on purpose knows it.
func Whole(logs []Graded, min int) Sight {
	s := Sight{Wanted: min}
	sees := map[string]bool{}
	for _, l := range logs {
		if l.Grade != Closed {
			sees[l.Operator] = sees[l.Operator] || l.Grade != Blind
		}
	}
	for name, ok := range sees {
		if ok {
			s.Seeing = append(s.Seeing, name)
		} else {
			s.Unseen = append(s.Unseen, name)
		}
	}
	slices.Sort(s.Seeing)
	slices.Sort(s.Unseen)
	if s.Wanted == 0 {
		s.Wanted = DefaultMinOperators
		if len(sees) < s.Wanted {
			s.Wanted = len(sees)
		}
	}
	switch {
	case len(s.Seeing) < s.Wanted && len(s.Unseen) == 0:
		s.Blind, s.Why = true, fmt.Sprintf("only %s followed, fewer than coverage.min_operators (%d)", operators(len(s.Seeing)), s.Wanted)
	case len(s.Seeing) < s.Wanted:
		s.Blind, s.Why = true, fmt.Sprintf("only %s seen, and %d must be; nothing new is seen of %s", operators(len(s.Seeing)), s.Wanted, strings.Join(s.Unseen, ", "))
	case len(s.Unseen) > 1:
		s.Why = fmt.Sprintf("what is logged only with %s is not seen", strings.Join(s.Unseen, " and "))
	case len(s.Unseen) == 1:
		s.Why = fmt.Sprintf("nothing new is seen of %s; what browsers accept is in the logs of another operator, too", s.Unseen[0])
	default:
		s.Why = fmt.Sprintf("%s seen", operators(len(s.Seeing)))
	}
	return s
}

func operators(n int) string {
	if n == 1 {
		return "1 operator is"
	}
	return fmt.Sprintf("%d operators are", n)
}
