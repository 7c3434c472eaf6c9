package rule

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

func parse(text string) (ast.Node, error) {
	t, err := parser.Parse(text)
	if err != nil {
		return nil, err
	}
	return t.Node, nil
}

// maxAtoms bounds the truth table of a condition: 2^12 rows.
const maxAtoms = 12

// always tells whether a condition has the same answer whatever is true of its parts: a contradiction, or what cannot
// fail. Parts that only differ in writing count as the same, and one field is never equal to two texts. It finds less
// than there is, never more.
func (p *program) always() (answer, constant bool) {
	t := &table{}
	f := t.formula(p.tree)
	if f == nil || len(t.atoms) > maxAtoms {
		return false, false
	}
	seen := [2]bool{}
	for row := range 1 << len(t.atoms) {
		if !t.possible(row) {
			continue
		}
		if f(row) {
			seen[1] = true
		} else {
			seen[0] = true
		}
	}
	return seen[1], seen[0] != seen[1]
}

// table is the truth table of a condition.
type table struct {
	atoms []atom
}

// atom is a part that is true or false. left and right are set for the comparison of a field with a text.
type atom struct{ text, left, right string }

// possible reports whether the atoms of a row can be true together.
func (t *table) possible(row int) bool {
	for i, a := range t.atoms {
		for j, b := range t.atoms[:i] {
			if row>>i&1 == 1 && row>>j&1 == 1 && a.left != "" && a.left == b.left && a.right != b.right {
				return false
			}
		}
	}
	return true
}

func (t *table) atom(a atom) func(int) bool {
	i := slices.IndexFunc(t.atoms, func(b atom) bool { return a.text == b.text })
	if i < 0 {
		i = len(t.atoms)
		t.atoms = append(t.atoms, a)
	}
	return func(row int) bool { return row>>i&1 == 1 }
}

// formula returns the condition as a function of the row; nil when it cannot.
func (t *table) formula(n ast.Node) func(int) bool {
	if len(t.atoms) > maxAtoms || n == nil {
		return nil
	}
	switch n := n.(type) {
	case *ast.BoolNode:
		return func(int) bool { return n.Value }
	case *ast.UnaryNode:
		if f := t.formula(n.Node); f != nil && (n.Operator == "not" || n.Operator == "!") {
			return func(row int) bool { return !f(row) }
		}
		return nil
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&", "or", "||":
			a, b := t.formula(n.Left), t.formula(n.Right)
			if a == nil || b == nil {
				return nil
			}
			if n.Operator == "and" || n.Operator == "&&" {
				return func(row int) bool { return a(row) && b(row) }
			}
			return func(row int) bool { return a(row) || b(row) }
		case "!=":
			f := t.equal(n)
			return func(row int) bool { return !f(row) }
		case "==":
			return t.equal(n)
		}
	case *ast.VariableDeclaratorNode, *ast.ConditionalNode, *ast.SequenceNode:
		return nil
	}
	if v, ok := fixed(n); ok {
		return func(int) bool { return v }
	}
	return t.atom(atom{text: n.String()})
}

func (t *table) equal(n *ast.BinaryNode) func(int) bool {
	if v, ok := fixed(&ast.BinaryNode{Operator: "==", Left: n.Left, Right: n.Right}); ok {
		return func(int) bool { return v }
	}
	l, r := n.Left.String(), n.Right.String()
	a := atom{text: l + " == " + r}
	if _, text := n.Right.(*ast.StringNode); text && path(n.Left) != "" {
		a.left, a.right = l, r
	}
	return t.atom(a)
}

// fixed evaluates a part that reads nothing.
func fixed(n ast.Node) (value, ok bool) {
	r := &reads{}
	ast.Walk(&n, r)
	if r.any {
		return false, false
	}
	defer func() {
		if recover() != nil {
			value, ok = false, false
		}
	}()
	out, err := expr.Eval(n.String(), nil)
	value, ok = out.(bool)
	return value, ok && err == nil
}

type reads struct{ any bool }

func (r *reads) Visit(n *ast.Node) {
	switch (*n).(type) {
	case *ast.IdentifierNode, *ast.PointerNode, *ast.CallNode, *ast.BuiltinNode, *ast.VariableDeclaratorNode:
		r.any = true
	}
}

// lint finds what is likely not meant in a rule.
func (r *Rule) lint() (out []Warning) {
	warn := func(line int, format, hint string, args ...any) {
		out = append(out, Warning{File: r.File, Line: line, Text: fmt.Sprintf("rule %s: ", r.ID) + fmt.Sprintf(format, args...), Hint: hint})
	}
	if answer, constant := r.when.always(); constant && answer {
		warn(r.Line, "its condition is always true", "it fires for every certificate that touches a watch; say what it is about")
	} else if constant {
		warn(r.Line, "its condition can never be true", "it never fires; look at its parts, or remove it")
	}
	for i := range r.Except {
		e := &r.Except[i]
		if answer, constant := e.when.always(); constant && answer {
			warn(e.Line, "the exception %q holds for everything", "until it ends the rule does not count at all; say in which case, or give the rule another severity", e.Name)
		} else if constant {
			warn(e.Line, "the exception %q can never hold", "look at the parts of its condition, or remove it", e.Name)
		}
	}
	fires, silent := false, false
	for i := range r.Tests {
		fires = fires || r.Tests[i].Want != none
		silent = silent || r.Tests[i].Want == none
	}
	switch {
	case r.Overridden:
	case len(r.Tests) == 0:
		warn(r.Line, "it has no tests", "add one in which it fires and one in which it does not")
	case !fires:
		warn(r.Line, "no test shows it firing", "add one")
	case !silent:
		warn(r.Line, "no test shows it silent", "add one with expect: none")
	}
	return out
}
