package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"golang.org/x/net/publicsuffix"

	"github.com/tocsin-ct/tocsin/internal/mistake"
)

// Bounds of a condition and of the work for it. They are counted, not timed, so that the same input has the same answer.
const (
	maxCondition = 4096    // bytes
	maxNodes     = 500     // of its tree
	maxSteps     = 200_000 // rounds of all its loops
	maxMemory    = 100_000 // elements of lists that it makes
)

// program is a condition, or the expression of a template, that was checked.
type program struct {
	text string
	vm   *vm.Program
	tree ast.Node // as written; for the lints
	read []string // the fields that it reads
}

var errSteps = errors.New("its loops make too many rounds")

// run evaluates the program. It never panics. The error says why there is no answer.
func (p *program) run(env *Env) (out any, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("%v", r)
		}
	}()
	left := maxSteps
	env.Step = func() bool {
		if left--; left < 0 {
			panic(errSteps)
		}
		return true
	}
	machine := vm.VM{MemoryBudget: maxMemory}
	return machine.Run(p.vm, env)
}

// holds evaluates a condition. unsure says why there is no answer, or is "".
func (p *program) holds(env *Env, cut []string) (held bool, unsure string) {
	for _, field := range cut {
		if p.uses(field) {
			return false, fmt.Sprintf("%s has more than %d elements", field, maxList)
		}
	}
	out, err := p.run(env)
	if err != nil {
		var e *file.Error
		if errors.As(err, &e) {
			return false, clean(e.Message)
		}
		return false, clean(err.Error())
	}
	held, ok := out.(bool)
	if !ok {
		return false, fmt.Sprintf("it is %s, neither true nor false", shown(out))
	}
	return held, ""
}

func (p *program) uses(field string) bool {
	return p != nil && slices.ContainsFunc(p.read, func(f string) bool { return f == field || strings.HasPrefix(f, field+".") })
}

// fault is what is wrong in an expression, at an offset of characters into its text (-1: nowhere in particular).
type fault struct {
	at            int
	problem, hint string
}

// builtins are the functions of Expr that are of use here. The others would add ways to spend memory or time, or to ask
// the clock.
var builtins = []string{"all", "any", "none", "one", "filter", "map", "count", "len", "lower", "upper", "trim", "abs", "int", "float", "string", "max", "min", "duration", "date"}

// functions are ours.
var functions = []struct {
	name, doc string
	fn        func(...any) (any, error)
	types     []any
}{
	{"under", "`under(name, zone)`, `under(list, zone)`: the name, or every name of the list (which has one), is zone or lies beneath it", under,
		[]any{new(func(string, string) bool), new(func([]string, string) bool)}},
	{"touches", "`touches(list, zone)`: any name of the list is zone or lies beneath it", touches,
		[]any{new(func(string, string) bool), new(func([]string, string) bool)}},
	{"within", "`within(address, network)`, `within(list, network)`: the address, or every address of the list (which has one), lies in the network", within,
		[]any{new(func(string, string) bool), new(func([]string, string) bool)}},
	{"first", "`first(list)`: its first element, \"\" when there is none", first, []any{new(func([]string) string)}},
	{"registrable", "`registrable(name)`: one label below the public suffix", func(p ...any) (any, error) { return Registrable(p[0].(string)), nil },
		[]any{new(func(string) string)}},
	{"days", "`days(90)`: a duration", func(p ...any) (any, error) { return time.Duration(p[0].(int)) * 24 * time.Hour, nil }, []any{new(func(int) time.Duration)}},
	{"hours", "`hours(6)`: a duration", func(p ...any) (any, error) { return time.Duration(p[0].(int)) * time.Hour, nil }, []any{new(func(int) time.Duration)}},
	{"list", "`list(cert.names)`: the first few and how many more, for `say`", func(p ...any) (any, error) { return shown(p[0]), nil }, []any{new(func([]string) string)}},
}

// Functions describes the functions, for the documentation.
func Functions() []string {
	var out []string
	for _, f := range functions {
		out = append(out, f.doc)
	}
	return out
}

func allowed() []string {
	out := slices.Clone(builtins)
	for _, f := range functions {
		out = append(out, f.name)
	}
	return out
}

var options = func() []expr.Option {
	o := []expr.Option{expr.Env(&Env{}), expr.DisableAllBuiltins(), expr.Optimize(false), expr.MaxNodes(maxNodes), expr.Timezone("UTC")}
	for _, b := range builtins {
		o = append(o, expr.EnableBuiltin(b))
	}
	for _, f := range functions {
		o = append(o, expr.Function(f.name, f.fn, f.types...))
	}
	return o
}()

// compile checks an expression. With condition it must be true or false.
func compile(text string, condition, ident bool) (p *program, bad *fault) {
	defer func() {
		if r := recover(); r != nil {
			p, bad = nil, &fault{-1, fmt.Sprintf("cannot be understood: %v", r), "see docs/rules.md for the language"}
		}
	}()
	if len(text) > maxCondition {
		return nil, &fault{-1, fmt.Sprintf("longer than %d bytes", maxCondition), "divide it into several rules"}
	}
	in := &inspector{ident: ident}
	o := append(slices.Clone(options), expr.Patch(in))
	if condition {
		o = append(o, expr.AsBool())
	}
	program_, err := expr.Compile(text, o...)
	if in.bad != nil && (err == nil || in.worse(err)) {
		return nil, in.bad
	}
	if err != nil {
		return nil, explain(text, err)
	}
	slices.Sort(in.read)
	return &program{text: text, vm: program_, tree: in.tree(text), read: slices.Compact(in.read)}, nil
}

// inspector refuses what Expr allows and we do not, notes what is read, and makes each round of a loop count.
type inspector struct {
	ident bool
	bad   *fault
	read  []string
}

// worse reports whether what the inspector found says more than the error of Expr.
func (i *inspector) worse(err error) bool { return !strings.Contains(err.Error(), "unexpected") }

func (i *inspector) refuse(n ast.Node, problem, hint string) {
	if i.bad == nil {
		i.bad = &fault{n.Location().From, problem, hint}
	}
}

// Visit is called by Expr for each node, children first.
func (i *inspector) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "__") || strings.HasPrefix(n.Value, "$") {
			i.refuse(n, fmt.Sprintf("unknown field %q", n.Value), "the fields are listed in docs/rules.md")
		}
		if n.Value == "ident" && !i.ident {
			i.refuse(n, "ident is one name or address, and this rule looks at certificates", "write on: name, or use cert.names and cert.addresses")
		}
		i.read = append(i.read, n.Value)
	case *ast.MemberNode:
		if p := path(n); p != "" {
			i.read = append(i.read, p)
		}
	case *ast.BinaryNode:
		i.compared(n)
		if n.Operator == "matches" {
			if _, constant := n.Right.(*ast.StringNode); !constant {
				i.refuse(n.Right, "the pattern of matches is not written out", `write it as a text in quotes: matches "^www[0-9]+\\."`)
			}
		}
	case *ast.PredicateNode:
		n.Node = &ast.SequenceNode{Nodes: []ast.Node{&ast.CallNode{Callee: &ast.IdentifierNode{Value: "__step"}}, n.Node}}
	}
}

// tree is the expression as it was written.
func (i *inspector) tree(text string) ast.Node {
	t, err := parse(text)
	if err != nil {
		return nil
	}
	return t
}

// path is a field as it is written: cert.issuer.owner. It is "" for other members.
func path(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value
	case *ast.ChainNode:
		return path(n.Node)
	case *ast.MemberNode:
		if p, ok := n.Property.(*ast.StringNode); ok {
			if before := path(n.Node); before != "" {
				return before + "." + p.Value
			}
		}
	}
	return ""
}

// compared refuses the comparison of a field with a value that it never has.
func (i *inspector) compared(n *ast.BinaryNode) {
	check := func(field string, v ast.Node) {
		s, ok := v.(*ast.StringNode)
		is := values(field)
		if !ok || len(is) == 0 || slices.Contains(is, s.Value) {
			return
		}
		hint := field + " is one of " + strings.Join(is, ", ")
		if m := mistake.Closest(s.Value, is); m != "" {
			hint = fmt.Sprintf("did you mean %q?", m)
		}
		i.refuse(s, fmt.Sprintf("%s is never %q", field, Clip(s.Value)), hint)
	}
	switch n.Operator {
	case "==", "!=":
		check(path(n.Left), n.Right)
		check(path(n.Right), n.Left)
	case "in":
		if list, ok := n.Right.(*ast.ArrayNode); ok {
			for _, e := range list.Nodes {
				check(path(n.Left), e)
			}
		}
	}
}

var (
	noField = regexp.MustCompile(`^type \*?([\w.]+) has no (?:field|method) (\w+)`)
	noName  = regexp.MustCompile(`^unknown name (\w+)`)
)

// explain turns an error of Expr into one of ours.
func explain(text string, err error) *fault {
	var e *file.Error
	if !errors.As(err, &e) {
		return &fault{-1, clean(err.Error()), "a condition is true or false: compare with ==, in, endsWith, matches or a function of docs/rules.md"}
	}
	message, _, _ := strings.Cut(e.Message, "\n")
	if m := noField.FindStringSubmatch(message); m != nil {
		group, ok := groups[m[1]]
		if !ok {
			return &fault{e.From, fmt.Sprintf("a %s has no field %q", m[1], m[2]), "the fields are listed in docs/rules.md"}
		}
		return &fault{e.From, fmt.Sprintf("unknown field %q of %s", m[2], group), meant(m[2], names(group))}
	}
	if m := noName.FindStringSubmatch(message); m != nil {
		known := append(names(""), allowed()...)
		hint := meant(m[1], known)
		for _, f := range Fields() {
			if strings.HasSuffix(f.Name, "."+m[1]) && !strings.HasPrefix(hint, "did") {
				hint = "did you mean " + f.Name + "?"
			}
		}
		return &fault{e.From, fmt.Sprintf("unknown name %q", m[1]), hint}
	}
	hint := "see docs/rules.md for the language and for the type of each field"
	switch {
	case strings.Contains(message, "mismatched types"):
		hint = "see docs/rules.md for the type of each field; texts stand in quotes"
	case strings.Contains(message, "unexpected token EOF"):
		hint = "the end is missing: a bracket, a quote, or what a # behind a space cut off"
	case strings.Contains(message, `unexpected token Operator("=")`):
		hint = "compare with =="
	}
	return &fault{e.From, clean(message), hint}
}

func meant(word string, among []string) string {
	if m := mistake.Closest(word, among); m != "" {
		return fmt.Sprintf("did you mean %q?", m)
	}
	return "known here: " + strings.Join(among, ", ")
}

func each(v any, ok func(string) bool, every bool) bool {
	list, isList := v.([]string)
	if !isList {
		return ok(v.(string))
	}
	if every {
		return len(list) > 0 && !slices.ContainsFunc(list, func(s string) bool { return !ok(s) })
	}
	return slices.ContainsFunc(list, ok)
}

func beneath(zone string) func(string) bool {
	zone = strings.ToLower(strings.Trim(zone, "."))
	return func(name string) bool { return zone != "" && (name == zone || strings.HasSuffix(name, "."+zone)) }
}

func under(p ...any) (any, error)   { return each(p[0], beneath(p[1].(string)), true), nil }
func touches(p ...any) (any, error) { return each(p[0], beneath(p[1].(string)), false), nil }

func within(p ...any) (any, error) {
	network, err := parsePrefix(p[1].(string))
	if err != nil {
		return nil, err
	}
	return each(p[0], func(s string) bool {
		a, err := parsePrefix(s)
		return err == nil && a.Bits() >= network.Bits() && network.Contains(a.Addr())
	}, true), nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network", Clip(s))
	}
	return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
}

func first(p ...any) (any, error) {
	if list := p[0].([]string); len(list) > 0 {
		return list[0], nil
	}
	return "", nil
}

// Registrable is the name one label below the public suffix; a name that has none as it is.
func Registrable(name string) string {
	name = strings.TrimLeft(name, "*.")
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}
