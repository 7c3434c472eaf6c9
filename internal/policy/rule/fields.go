package rule

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Field is one field of the environment, for people.
type Field struct {
	// Name is written as in a condition: cert.issuer.owner.
	Name, Type, Doc string
	// Is lists the values that a text can have, or is empty.
	Is []string
}

// Fields are all fields of the environment, in order.
func Fields() []Field { return fieldsOf(reflect.TypeFor[Env](), "") }

func fieldsOf(t reflect.Type, prefix string) []Field {
	var out []Field
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("expr")
		if strings.HasPrefix(tag, "__") {
			continue
		}
		field := Field{Name: prefix + tag, Type: typeText(f.Type), Doc: f.Tag.Get("doc"), Is: strings.Fields(f.Tag.Get("is"))}
		out = append(out, field)
		if group(f.Type) {
			out = append(out, fieldsOf(f.Type, prefix+tag+".")...)
		}
	}
	return out
}

// group reports whether a field has fields of its own.
func group(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

func typeText(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Int:
		return "number"
	case t.Kind() == reflect.Slice:
		return "list of texts"
	}
	return "fields"
}

// groups are the types with fields, by their name in messages of Expr.
var groups = func() map[string]string {
	out := map[string]string{"rule.Env": ""}
	var walk func(t reflect.Type, prefix string)
	walk = func(t reflect.Type, prefix string) {
		for i := range t.NumField() {
			if f := t.Field(i); group(f.Type) && f.Tag.Get("expr") != "" {
				name := prefix + f.Tag.Get("expr")
				out[f.Type.String()] = name
				walk(f.Type, name+".")
			}
		}
	}
	walk(reflect.TypeFor[Env](), "")
	return out
}()

// names are the fields of a group, without those beneath them.
func names(group string) []string {
	if group != "" {
		group += "."
	}
	var out []string
	for _, f := range Fields() {
		if rest, ok := strings.CutPrefix(f.Name, group); ok && !strings.Contains(rest, ".") {
			out = append(out, rest)
		}
	}
	return out
}

// values are what a field can be, or nil.
func values(field string) []string {
	for _, f := range Fields() {
		if f.Name == field {
			return f.Is
		}
	}
	return nil
}

// byTag returns the field of a struct with a tag.
func byTag(v reflect.Value, tag string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("expr") == tag && !strings.HasPrefix(tag, "__") {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// Documentation is the table of the environment in Markdown, as docs/rules.md has it.
func Documentation() string {
	var b strings.Builder
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	for _, f := range Fields() {
		kind := f.Type
		if len(f.Is) > 0 {
			kind = "`" + strings.Join(f.Is, "`, `") + "`"
		}
		if f.Type == "fields" {
			fmt.Fprintf(&b, "| **`%s`** | | %s |\n", f.Name, f.Doc)
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, kind, f.Doc)
	}
	return b.String()
}
