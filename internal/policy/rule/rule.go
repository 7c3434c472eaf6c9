// Package rule holds rules: conditions in files of their own that say how loud a certificate is.
//
// A rule has an id, a condition in one line (Expr) over what is known of the certificate, a severity, exceptions that
// end, and tests beside it. The built-in rules are such files as well, embedded, and can be overridden by id. This
// package reads the files, refuses what is wrong in them all at once, each with place and hint, and evaluates them; what
// the answers mean for a verdict is for package policy, which also sets the floors that no rule can lower.
//
// What it promises: evaluating never panics and its work is bounded, whatever a certificate holds; a condition that
// cannot be evaluated counts as true, and that of an exception as false; the same input has the same answer. The files
// are the operator's and trusted, as far as the floors go. What a certificate puts into a condition or a text is
// hostile.
//
// docs/rules.md describes the language, and the environment field by field.
package rule

import (
	"strings"
	"time"
)

// Severity is what a rule asks for.
type Severity string

// The severities.
const (
	Expected Severity = "expected" // no more than to be filed
	Digest   Severity = "digest"   // told once a day
	Alarm    Severity = "alarm"    // rings
	Page     Severity = "page"     // rings until acknowledged
	Surprise Severity = "surprise" // the surprise of the watch
	Simulate Severity = "simulate" // counted, and nothing else
)

var severities = []string{string(Expected), string(Digest), string(Alarm), string(Page), string(Surprise), string(Simulate)}

// What a rule looks at.
const (
	OnCertificate = "certificate" // each certificate that touches a watch, once for each watch
	OnName        = "name"        // each name and address of such a certificate
)

// Rule is one rule. It does not change.
type Rule struct {
	ID, Title string
	// Help says what it is about and how to tune it.
	Help     string
	On       string
	Severity Severity
	When     string
	Except   []Exception
	// Say is the template of the sentence, Next what to do.
	Say, Next string
	Tests     []Test
	// File and Line are where the rule stands; of an override, where the override does.
	File string
	Line int
	// Builtin is set for a rule of the program, also where it was overridden in part: then Overridden is set.
	Builtin, Overridden bool

	when   *program
	say    []piece
	source string // the YAML, as it was written
}

// Place is "file:line".
func (r *Rule) Place() string { return place(r.File, r.Line) }

// Source is the rule as it was written.
func (r *Rule) Source() string { return r.source }

// Uses reports whether the condition reads a field of the environment, or one beneath it: "broken", "cert.issuer.owner".
func (r *Rule) Uses(field string) bool { return r.when.uses(field) }

// Exception is a named case in which a rule does not count, until a day.
type Exception struct {
	Name, When, Reason string
	// Until is the first moment at which it does not count any more.
	Until time.Time
	Line  int

	when *program
	file string
}

// Place is "file:line".
func (e *Exception) Place() string { return place(e.file, e.Line) }

// String names the exception, when it ends, and why it is made.
func (e *Exception) String() string {
	return Safe(e.Name) + " until " + e.Until.UTC().Add(-time.Nanosecond).Format(time.DateOnly) + ": " + Safe(e.Reason)
}

// Test is a case in the file of a rule: what the environment holds, and what the rule then asks for.
type Test struct {
	Name string
	// Want is a severity, or "none" where the rule does not fire.
	Want string
	Line int

	env  Env
	file string
}

// Place is "file:line".
func (t *Test) Place() string { return place(t.file, t.Line) }

// Set is the rules in force, in order: the built-in ones, then those of files. It does not change and is safe for
// concurrent use.
type Set struct {
	Rules []*Rule
	// Warnings are what is likely not meant.
	Warnings []Warning

	// shipped are the built-in rules as they are, for their tests.
	shipped []*Rule
}

// Warning is something in a file that is allowed, and likely not meant.
type Warning struct {
	File   string
	Line   int
	Column int
	Text   string
	Hint   string
}

// String is one line.
func (w Warning) String() string {
	s := place(w.File, w.Line) + ": " + w.Text
	if w.Hint != "" {
		s += ": " + w.Hint
	}
	return s
}

// Rule returns the rule of an id, or nil.
func (s *Set) Rule(id string) *Rule {
	for _, r := range s.Rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// IDs are the ids of all rules, in order.
func (s *Set) IDs() []string {
	var out []string
	for _, r := range s.Rules {
		out = append(out, r.ID)
	}
	return out
}

// ids is [Set.IDs] of a set that may be nil.
func (s *Set) ids() []string {
	if s == nil {
		return nil
	}
	return s.IDs()
}

func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return file + ":" + itoa(line)
}

// clean is a text of a file on one line.
func clean(s string) string { return strings.Join(strings.Fields(s), " ") }
