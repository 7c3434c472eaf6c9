package rule

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/tocsin-ct/tocsin/internal/mistake"
)

// reader reads one file of rules and collects all mistakes in it.
type reader struct {
	path  string
	lines []string
	errs  []error
	// builtin are the rules that a file may override; nil while they are read themselves.
	builtin *Set
}

// maxErrors bounds what is told about one file.
const maxErrors = 20

// mark is a place in the file; the zero mark is none.
type mark struct{ line, column int }

func (d *reader) refuse(at mark, problem, hint string) {
	if at.line < 1 {
		at = mark{1, 1}
	}
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, &mistake.Error{File: d.path, Line: at.line, Column: at.column, Problem: problem, HintText: hint,
			Excerpt: mistake.Excerpt(d.lines, at.line, at.column)})
	}
}

func markOf(t *token.Token) mark {
	if t == nil || t.Position == nil {
		return mark{}
	}
	return mark{t.Position.Line, t.Position.Column}
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

const emptyHint = "begin with: rules: [{id: …}]"

// document returns the one document of the file, or nil.
func (d *reader) document(text []byte) (body ast.Node) {
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		d.syntax(err)
		return nil
	}
	for _, doc := range tree.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.CommentType:
		case body != nil:
			d.refuse(startOf(doc.Body), "a second document", "join both into one, without --- between")
			return nil
		default:
			body = doc.Body
		}
	}
	if body == nil {
		d.refuse(mark{1, 1}, "the file is empty", emptyHint)
	}
	return body
}

// syntax turns an error of the parser into one of ours.
func (d *reader) syntax(err error) {
	at := mark{1, 1}
	problem := err.Error()
	var y yaml.Error
	if errors.As(err, &y) {
		problem = y.GetMessage()
		if m := markOf(y.GetToken()); m != (mark{}) {
			at = m
		}
	}
	hint := "indent with spaces, and put single quotes around a condition: when: '…'"
	switch {
	case strings.Contains(problem, "already defined"):
		hint = "join the two into one"
	case strings.Contains(problem, `\t`), strings.Contains(problem, "tab character"):
		problem, hint = "a tab where YAML allows only spaces", "indent with spaces"
	}
	d.refuse(at, clean(problem), hint)
}

// entries are the keys of a mapping that are known, each with its value. Mistakes are told, and lead to no entry.
func (d *reader) entries(n ast.Node, what string, known []string) (map[string]*ast.MappingValueNode, bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		if d.plain(n, what) {
			d.refuse(startOf(n), what+" is a mapping", fmt.Sprintf("write keys with values, such as %s: …", known[0]))
		}
		return nil, false
	}
	out := map[string]*ast.MappingValueNode{}
	for _, kv := range values {
		at, key := markOf(kv.Key.GetToken()), kv.Key.GetToken().Value
		switch {
		case kv.Key.IsMergeKey():
			d.refuse(at, "merging (<<) is not used here", "write the keys where they are needed")
		case !has(known, key):
			d.refuse(at, fmt.Sprintf("unknown key %q in %s", Clip(key), what), didYouMean(key, known))
		default:
			out[key] = kv
		}
	}
	return out, true
}

// meantKeys are keys that people write for another.
var meantKeys = map[string]string{"name": "id", "level": "severity", "condition": "when", "expr": "when", "if": "when", "description": "help", "message": "say",
	"exceptions": "except", "expires": "until", "why": "reason", "test": "tests", "runbook": "next", "level_is": "severity", "want": "expect", "output": "say"}

func didYouMean(key string, known []string) string {
	if m := meantKeys[strings.ToLower(key)]; has(known, m) {
		return fmt.Sprintf("did you mean %q?", m)
	}
	return meant(key, known)
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s && s != "" {
			return true
		}
	}
	return false
}

// plain refuses what YAML can do and is not used here.
func (d *reader) plain(n ast.Node, key string) bool {
	at := markOf(n.GetToken())
	switch n := n.(type) {
	case *ast.AliasNode:
		name := ""
		if n.Value != nil {
			name = n.Value.String()
		}
		if strings.HasPrefix(name, ".") {
			d.refuse(at, "* begins an alias in YAML, and the text is lost", fmt.Sprintf(`touches(cert.names, %q) stands for the name and all beneath it; a text with * needs quotes`, strings.TrimPrefix(name, ".")))
		} else {
			d.refuse(at, "aliases (*) are not used here", fmt.Sprintf("write the value of %s here, or put quotes around it", key))
		}
		return false
	case *ast.AnchorNode:
		d.refuse(at, "anchors (&) are not used here", "write the value where it is needed, or put quotes around it")
		return false
	case *ast.TagNode:
		d.refuse(at, "tags (!) are not used here", "put quotes around a text that begins with !")
		return false
	case *ast.NullNode:
		d.refuse(at, key+" has no value", "give it one, or remove the key")
		return false
	}
	return true
}

// scalar is a text of the file, with where its characters stand.
type scalar struct {
	value string
	key   mark
	at    mark
	// whole is set when the characters of value stand one after another from at on.
	whole bool
}

func (s scalar) given() bool { return s.at != mark{} }

// text reads a scalar. cut tells to refuse a text that a comment cuts off: YAML does so silently.
func (d *reader) text(kv *ast.MappingValueNode, key string, cut bool) scalar {
	if kv == nil {
		return scalar{}
	}
	s := scalar{key: markOf(kv.Key.GetToken())}
	n := kv.Value
	if !d.plain(n, key) {
		return s
	}
	at := markOf(n.GetToken())
	switch n := n.(type) {
	case *ast.StringNode:
		s.value, s.at = n.Value, at
		switch n.GetToken().Type {
		case token.SingleQuoteType, token.DoubleQuoteType:
			s.at.column++
			s.whole = d.stands(s.at, s.value)
		default:
			s.whole = d.stands(at, s.value)
			if cut {
				d.comment(key, at, s.value)
			}
		}
	case *ast.LiteralNode:
		s.value = strings.TrimRight(n.Value.Value, "\n")
		s.at = mark{at.line + 1, 1}
		if s.at.line <= len(d.lines) {
			l := d.lines[s.at.line-1]
			s.at.column += len(l) - len(strings.TrimLeft(l, " "))
		}
		s.whole = d.stands(s.at, s.value)
		if !s.whole && s.at.line <= len(d.lines) {
			first, _, _ := strings.Cut(s.value, "\n")
			s.whole = d.stands(s.at, first)
		}
	case ast.ScalarNode:
		s.value, s.at = n.GetToken().Value, at
	default:
		d.refuse(startOf(n), fmt.Sprintf("%s: a text is expected, not a %s", key, strings.ToLower(n.Type().String())), "put quotes around a text that begins with { or [")
		return s
	}
	if strings.TrimSpace(s.value) == "" {
		d.refuse(s.at, key+" is empty", "give it a value, or remove it")
	}
	return s
}

// stands reports whether a text stands in the file at a place, character by character.
func (d *reader) stands(at mark, s string) bool {
	if at.line < 1 || at.line > len(d.lines) {
		return false
	}
	runes := []rune(d.lines[at.line-1])
	return at.column >= 1 && at.column-1 <= len(runes) && strings.HasPrefix(string(runes[at.column-1:]), s)
}

// comment refuses a plain text that is followed by a comment: in a condition that is most likely the rest of it.
func (d *reader) comment(key string, at mark, value string) {
	if at.line > len(d.lines) {
		return
	}
	runes := []rune(d.lines[at.line-1])
	rest := string(runes[min(at.column-1, len(runes)):])
	rest = strings.TrimPrefix(rest, value)
	before, _, found := strings.Cut(rest, " #")
	if !found || strings.TrimSpace(before) != "" && strings.ContainsAny(strings.TrimSpace(before)[:1], "},]") {
		return
	}
	column := at.column + len([]rune(string(runes[min(at.column-1, len(runes)):]))) - len([]rune(rest)) + len([]rune(before)) + 1
	d.refuse(mark{at.line, column}, fmt.Sprintf("# begins a comment here and cuts %s off: what is left is %q", key, Clip(value)),
		fmt.Sprintf("put single quotes around the whole: %s: '…'; a comment goes on a line of its own", key))
}

// place is where the character at an offset of a text stands.
func (s scalar) place(offset int) mark {
	if offset < 0 || !s.whole {
		return s.at
	}
	at := s.at
	for i, r := range []rune(s.value) {
		if i == offset {
			break
		}
		if at.column++; r == '\n' {
			at.line, at.column = at.line+1, s.at.column
		}
	}
	return at
}

// list is the elements of a sequence.
func (d *reader) list(kv *ast.MappingValueNode, key string) []ast.Node {
	if kv == nil || !d.plain(kv.Value, key) {
		return nil
	}
	s, ok := kv.Value.(*ast.SequenceNode)
	if !ok {
		d.refuse(startOf(kv.Value), key+" is a list", "write one per line, each after a hyphen")
		return nil
	}
	if len(s.Values) == 0 {
		d.refuse(markOf(kv.Key.GetToken()), key+" is an empty list", "remove the key, or fill it")
	}
	return s.Values
}

// fill reads a value of a test into a field of the environment.
func (d *reader) fill(n ast.Node, v reflect.Value, name string) {
	if !d.plain(n, name) {
		return
	}
	at := startOf(n)
	wrong := func(want, hint string) { d.refuse(at, fmt.Sprintf("%s: %s is expected", name, want), hint) }
	word := func() (string, bool) {
		switch n := n.(type) {
		case *ast.StringNode:
			return n.Value, true
		case ast.ScalarNode:
			return n.GetToken().Value, true
		}
		return "", false
	}
	switch {
	case group(v.Type()):
		known := names(name)
		values, _ := d.entries(n, name, known)
		for _, key := range known {
			if kv := values[key]; kv != nil {
				field, _ := byTag(v, key)
				d.fill(kv.Value, field, name+"."+key)
			}
		}
	case v.Type() == reflect.TypeFor[time.Time]():
		s, ok := word()
		t, err := parseTime(s)
		if !ok || err != nil {
			wrong("a time", "such as 2026-12-15 or 2026-12-15T08:00:00Z")
		}
		v.Set(reflect.ValueOf(t))
	case v.Type() == reflect.TypeFor[time.Duration]():
		s, ok := word()
		t, err := parseDuration(s)
		if !ok || err != nil {
			wrong("a duration", "a number with a unit: 30s, 12h, 200d")
		}
		v.SetInt(int64(t))
	case v.Kind() == reflect.String:
		s, ok := word()
		if !ok {
			wrong("a text", "put quotes around it")
		}
		if is := values(name); len(is) > 0 && ok && !has(is, s) {
			d.refuse(at, fmt.Sprintf("%s is never %q", name, Clip(s)), meant(s, is))
		}
		v.SetString(s)
	case v.Kind() == reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			wrong("true or false", "write it without quotes")
			return
		}
		v.SetBool(b.Value)
	case v.Kind() == reflect.Int:
		s, _ := word()
		i, err := strconv.Atoi(s)
		if err != nil {
			wrong("a number", "write it without quotes")
		}
		v.SetInt(int64(i))
	default:
		s, ok := n.(*ast.SequenceNode)
		if !ok {
			wrong("a list", "write "+name[strings.LastIndexByte(name, '.')+1:]+": […]")
			return
		}
		list := make([]string, len(s.Values))
		for i, e := range s.Values {
			d.fill(e, reflect.ValueOf(&list[i]).Elem(), name)
		}
		v.Set(reflect.ValueOf(list))
	}
}

func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, s)
}

// parseDuration reads a Go duration that may begin with days: "200d", "1d12h".
func parseDuration(s string) (time.Duration, error) {
	var d time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 100*366 {
			return 0, errors.New("not a duration")
		}
		d, s = time.Duration(n)*24*time.Hour, rest
		if s == "" {
			return d, nil
		}
	}
	more, err := time.ParseDuration(s)
	return d + more, err
}
