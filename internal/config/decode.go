package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder fills the types of schema.go from a YAML tree and collects all mistakes.
type decoder struct {
	path  string
	lines []string
	errs  []error
}

func newDecoder(path string, text []byte) *decoder {
	return &decoder{path: path, lines: strings.Split(string(text), "\n")}
}

// maxErrors bounds what is told about one file.
const maxErrors = 20

func (d *decoder) refuse(at mark, problem, hint string) {
	if at == (mark{}) { // the file as a whole
		at = mark{1, 1}
	}
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, &Error{File: d.path, Line: at.line, Column: at.column, Problem: problem, HintText: hint, Excerpt: excerpt(d.lines, at.line, at.column)})
	}
}

func markOf(t *token.Token) mark {
	if t == nil || t.Position == nil {
		return mark{}
	}
	return mark{t.Position.Line, t.Position.Column}
}

// document reads the whole file.
func (d *decoder) document(text []byte, into *file) {
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		d.syntax(err)
		return
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType:
		case body != nil:
			d.refuse(startOf(doc.Body), "a second document", "join both into one, without --- between")
			return
		default:
			body = doc.Body
		}
	}
	if body == nil {
		d.refuse(mark{}, "the file is empty: nothing would be watched", nothingHint)
		return
	}
	d.value(body, reflect.ValueOf(into).Elem(), "")
}

const nothingHint = "begin with: watch: [{names: [example.com]}]"

// syntax turns an error of the parser into one of ours.
func (d *decoder) syntax(err error) {
	var at mark
	problem := err.Error()
	var y yaml.Error
	if errors.As(err, &y) {
		problem, at = y.GetMessage(), markOf(y.GetToken())
	}
	hint := "indent with spaces, and put quotes around what is not plain text"
	switch {
	case strings.Contains(problem, "already defined"):
		hint = "join the two into one"
	case strings.Contains(problem, `'\t'`), strings.Contains(problem, "'\t'"):
		problem, hint = "a tab where YAML allows only spaces", "indent with spaces"
	case strings.Contains(problem, "mapping value is not allowed"):
		hint = `put quotes around a text with a colon: "2001:db8::/32"`
	}
	d.refuse(at, strings.TrimSpace(problem), hint)
}

// value reads a node into v, which is text, truth, a struct, or a pointer to or slice of these. key is for messages.
func (d *decoder) value(n ast.Node, v reflect.Value, key string) {
	switch n := n.(type) {
	case *ast.AliasNode:
		d.alias(n, key)
		return
	case *ast.AnchorNode:
		d.refuse(markOf(n.GetToken()), "anchors (&) are not used here", "write the value where it is needed, or put quotes around it")
		return
	case *ast.TagNode:
		d.refuse(markOf(n.GetToken()), "tags (!) are not used here", "put quotes around a text that begins with !")
		return
	case *ast.NullNode:
		at := markOf(n.GetToken())
		if key == "" {
			d.refuse(at, "the file is empty: nothing would be watched", nothingHint)
			return
		}
		d.refuse(at, fmt.Sprintf("%s has no value", key), "give it one, or remove the key")
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), key)
	case reflect.Slice:
		d.list(n, v, key)
	default:
		switch into := v.Addr().Interface().(type) {
		case *text:
			d.text(n, into, key)
		case *truth:
			d.truth(n, into, key)
		case *digestEntry:
			d.digest(n, into, key)
		default:
			d.mapping(n, v, key)
		}
	}
}

func (d *decoder) alias(n *ast.AliasNode, key string) {
	at := markOf(n.GetToken())
	name := ""
	if n.Value != nil {
		name = n.Value.String()
	}
	if strings.HasPrefix(name, ".") {
		d.refuse(at, "* begins an alias in YAML, and wildcards are not written here", strings.TrimPrefix(name, ".")+" watches the name and all beneath it")
		return
	}
	d.refuse(at, "aliases (*) are not used here", fmt.Sprintf("write the value of %s here, or put quotes around it", key))
}

func (d *decoder) list(n ast.Node, v reflect.Value, key string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		hint := "write one item per line, each after a hyphen"
		if v.Type().Elem() == reflect.TypeFor[text]() && isScalar(n) {
			hint = fmt.Sprintf("write %s: [%s]", key, n.GetToken().Value)
		}
		d.refuse(startOf(n), fmt.Sprintf("%s is a list", key), hint)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, item := range s.Values {
		d.value(item, v.Index(i), key)
	}
}

func isScalar(n ast.Node) bool {
	_, ok := n.(ast.ScalarNode)
	return ok
}

// startOf is the first character of a node; the token of a mapping is its first colon.
func startOf(n ast.Node) mark {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && n.GetToken().Value != "{" {
			return startOf(n.Values[0])
		}
	case *ast.MappingValueNode:
		return markOf(n.Key.GetToken())
	}
	return markOf(n.GetToken())
}

func (d *decoder) text(n ast.Node, into *text, key string) {
	into.At = markOf(n.GetToken())
	switch n := n.(type) {
	case *ast.StringNode:
		into.Value = n.Value
	case *ast.LiteralNode:
		into.Value = strings.TrimSpace(n.Value.Value)
	case ast.ScalarNode:
		into.Value = n.GetToken().Value
	default:
		into.At = startOf(n)
		hint := fmt.Sprintf("%s takes one value", key)
		if strings.HasSuffix(strings.TrimSpace(strings.Split(n.String(), "\n")[0]), ":") || strings.Contains(n.String(), "::") {
			hint = `put quotes around an IPv6 address: "2001:db8::"`
		}
		d.refuse(into.At, fmt.Sprintf("%s: a text is expected, not a %s", key, strings.ToLower(n.Type().String())), hint)
		return
	}
	if strings.TrimSpace(into.Value) == "" {
		d.refuse(into.At, fmt.Sprintf("%s is empty", key), "give it a value, or remove it")
	}
}

func (d *decoder) truth(n ast.Node, into *truth, key string) {
	into.At = startOf(n)
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.refuse(into.At, fmt.Sprintf("%s is true or false", key), "write true or false, without quotes")
		return
	}
	into.Value = &b.Value
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, key string) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		what := key
		if what == "" {
			what = "the file"
		}
		keys := keysOf(v.Type(), "")
		d.refuse(startOf(n), fmt.Sprintf("%s is a mapping", what), fmt.Sprintf("write keys with values, such as %s: …", keys[0]))
		return
	}
	at := v.Addr().Interface().(interface{ self() *node }).self()
	at.At, at.Written = startOf(n), make(map[string]mark, len(values))
	known := make(map[string]reflect.Value)
	var names []string
	for f := range fields(v.Type()) {
		known[tag(f)] = v.FieldByIndex(f.Index)
		names = append(names, tag(f))
	}
	for _, kv := range values {
		k := markOf(kv.Key.GetToken())
		name := kv.Key.GetToken().Value
		if kv.Key.IsMergeKey() {
			d.refuse(k, "merging (<<) is not used here", "write the keys where they are needed")
			continue
		}
		field, ok := known[name]
		if !ok {
			d.refuse(k, unknown(name, key), didYouMean(name, names))
			continue
		}
		at.Written[name] = k
		d.value(kv.Value, field, name)
	}
}

func unknown(name, in string) string {
	if in == "" {
		return fmt.Sprintf("unknown key %q", name)
	}
	return fmt.Sprintf("unknown key %q in %s", name, in)
}

func didYouMean(name string, names []string) string {
	if m := meant[strings.ToLower(name)]; m != "" {
		for _, n := range names {
			if n == m {
				return fmt.Sprintf("did you mean %q?", m)
			}
		}
	}
	if m := closest(name, names); m != "" {
		return fmt.Sprintf("did you mean %q?", m)
	}
	if h := home(name); h != "" {
		return fmt.Sprintf("%s belongs into %s", name, h)
	}
	return "known here: " + strings.Join(names, ", ")
}
