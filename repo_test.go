// Package tocsin holds the laws of this repository, as tests. It has no code of its own.
package tocsin

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/config"
)

const module = "github.com/tocsin-ct/tocsin/"

// mayImport is the way of the data: what each package may import of this module. A package that is not named may
// import nothing. Tests may import more, but never the command.
var mayImport = map[string][]string{
	"cert":                     {},
	"loglist":                  {},
	"ctlog":                    {"loglist"},
	"internal/lists":           {"loglist"},
	"sct":                      {"loglist"},
	"internal/watch":           {"cert"},
	"internal/config":          {"cert", "internal/mistake", "internal/policy", "internal/route", "internal/watch", "loglist"},
	"internal/facts":           {"cert"},
	"internal/facts/journal":   {"cert", "internal/facts"},
	"internal/facts/caa":       {"internal/facts"},
	"internal/expectation":     {"cert", "internal/facts", "internal/watch"},
	"internal/api":             {"internal/expectation"},
	"internal/facts/gen":       {"internal/facts"},
	"internal/policy":          {"cert", "internal/facts", "internal/lookalike", "internal/policy/rule", "internal/watch"},
	"internal/policy/rule":     {"internal/mistake"},
	"internal/incident":        {"internal/policy"},
	"internal/route":           {"internal/policy"},
	"internal/audit":           {"sct"},
	"internal/store":           {},
	"internal/notify":          {"internal/incident", "internal/policy", "internal/route", "internal/store"},
	"internal/coverage":        {},
	"internal/health":          {},
	"internal/process":         {},
	"internal/systemd":         {},
	"internal/bundle":          {"ctlog"},
	"internal/egress":          {},
	"internal/proposal":        {"cert", "internal/facts", "internal/watch"},
	"internal/proposal/source": {"cert", "ctlog", "internal/bundle", "internal/facts", "internal/facts/journal", "internal/proposal", "internal/store"},
	"internal/app":             {"internal/egress", "internal/facts/caa", "internal/api", "internal/incident", "internal/route", "internal/expectation", "internal/facts/journal", "cert", "ctlog", "internal/audit", "internal/coverage", "internal/facts", "internal/lists", "internal/health", "internal/notify", "internal/policy", "internal/process", "internal/store", "internal/watch", "loglist", "sct"},
	"internal/lab":             {"internal/lab/"},
	"internal/lab/":            {"internal/lab/"},
	"internal/siege":           {"cert", "ctlog", "internal/app", "internal/lab/", "internal/lists", "internal/notify", "internal/policy", "internal/store", "internal/watch", "loglist"},
	"internal/replay":          {"cert", "internal/app", "internal/expectation", "internal/facts/journal", "internal/incident", "internal/notify", "internal/policy", "internal/policy/rule", "internal/store"},
	"internal/year":            {"cert", "internal/app", "internal/expectation", "internal/facts", "internal/facts/journal", "internal/incident", "internal/lab/", "internal/notify", "internal/policy", "internal/proposal", "internal/proposal/source", "internal/replay", "internal/watch"},
	"internal/drill":           {"cert", "internal/lab", "internal/lab/"},
	"internal/bench":           {"ctlog", "internal/app", "internal/bench/limit", "internal/lab", "internal/lab/", "internal/watch", "loglist"},
	"cmd/tocsin": {"internal/replay", "internal/year", "internal/egress", "internal/proposal", "internal/proposal/source", "internal/facts/caa", "internal/api", "internal/incident", "internal/route", "internal/expectation", "internal/facts/journal", "cert", "ctlog", "internal/app", "internal/bench", "internal/bundle", "internal/config", "internal/coverage", "internal/process", "internal/systemd", "internal/drill", "internal/facts", "internal/lab",
		"internal/lists", "internal/mistake", "internal/notify", "internal/policy", "internal/policy/rule", "internal/store", "internal/watch", "loglist"},
}

// sources are the Go files of the main module by directory, without those of nested modules and of testdata.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if path != "." && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			dir := filepath.ToSlash(filepath.Dir(path))
			out[dir] = append(out[dir], path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 10 {
		t.Fatalf("only %d packages found", len(out))
	}
	return out
}

func allowed(dir, imported string) bool {
	for law, imports := range mayImport {
		if law != dir && !(strings.HasSuffix(law, "/") && strings.HasPrefix(dir, law)) {
			continue
		}
		for _, i := range imports {
			if i == imported || strings.HasSuffix(i, "/") && strings.HasPrefix(imported, i) {
				return true
			}
		}
	}
	return false
}

func TestImportsGoOneWay(t *testing.T) {
	for dir, files := range sources(t) {
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				imported, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
				if ours && !allowed(dir, imported) {
					t.Errorf("%s imports %s, against the way of the data: see mayImport", file, imported)
				}
			}
		}
	}
}

func TestThePublicReadersStayLight(t *testing.T) {
	// For each package, what it may import beyond the standard library and this module.
	light := map[string][]string{
		"cert":    {"golang.org/x/net/idna", "golang.org/x/crypto/cryptobyte", "golang.org/x/crypto/cryptobyte/asn1"},
		"loglist": {},
		"sct":     {"golang.org/x/crypto/cryptobyte", "golang.org/x/crypto/cryptobyte/asn1"},
	}
	for dir, files := range sources(t) {
		may, ok := light[dir]
		if !ok {
			continue
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range f.Imports {
				path := strings.Trim(spec.Path.Value, `"`)
				host, _, _ := strings.Cut(path, "/")
				if strings.Contains(host, ".") && !strings.HasPrefix(path, module) && !slices.Contains(may, path) {
					t.Errorf("%s imports %s: package %s is for others to use and stays light", file, path, dir)
				}
			}
		}
	}
}

func TestEveryPackageBeginsWithWhatItIs(t *testing.T) {
	for dir, files := range sources(t) {
		text, name := "", ""
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(f.Name.Name, "_test") {
				continue
			}
			name = f.Name.Name
			text += f.Doc.Text()
		}
		switch {
		case text == "":
			t.Errorf("package %s has no doc", dir)
		case name == "main" && !strings.HasPrefix(text, "Command "):
			t.Errorf("the doc of %s does not begin with Command", dir)
		case name != "main" && !strings.HasPrefix(text, "Package "+name+" "):
			t.Errorf("the doc of %s does not begin with Package %s", dir, name)
		case len(strings.Fields(text)) < 12:
			t.Errorf("the doc of %s says nearly nothing: %q", dir, text)
		}
	}
}

func TestEveryExportedNameOfPublicPackagesIsDocumented(t *testing.T) {
	all := sources(t)
	for _, dir := range []string{"cert", "loglist", "ctlog"} {
		fset := token.NewFileSet()
		var files []*ast.File
		for _, file := range all[dir] {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		p, err := doc.NewFromFiles(fset, files, module+dir)
		if err != nil {
			t.Fatal(err)
		}
		missing := func(name, text string) {
			if ast.IsExported(name) && strings.TrimSpace(text) == "" {
				t.Errorf("%s.%s has no doc", dir, name)
			}
		}
		for _, f := range p.Funcs {
			missing(f.Name, f.Doc)
		}
		for _, ty := range p.Types {
			missing(ty.Name, ty.Doc)
			for _, f := range append(ty.Funcs, ty.Methods...) {
				if f.Name != "String" && f.Name != "Error" && f.Name != "Unwrap" {
					missing(f.Name, f.Doc)
				}
			}
		}
	}
}

func TestEveryConfigKeyIsDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := config.Keys()
	if len(keys) < 20 {
		t.Fatalf("only %d keys", len(keys))
	}
	for _, key := range keys {
		last := key[strings.LastIndexByte(key, '.')+1:]
		if !strings.Contains(string(text), "`"+key+"`") && !strings.Contains(string(text), "`"+last+"`") {
			t.Errorf("docs/config.md does not name %s", key)
		}
	}
}

// commandFlags reads the commands and their flags out of the structs of cmd/tocsin: the command line cannot be
// imported, and its source says it all.
func commandFlags(t *testing.T) (commands, flags []string) {
	t.Helper()
	for _, file := range sources(t)["cmd/tocsin"] {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil || len(field.Names) == 0 {
				return true
			}
			tag := reflect.StructTag(strings.Trim(field.Tag.Value, "`"))
			name := kebab(field.Names[0].Name)
			if n := tag.Get("name"); n != "" {
				name = n
			}
			_, isCommand := tag.Lookup("cmd")
			_, isArg := tag.Lookup("arg")
			_, hasHelp := tag.Lookup("help")
			switch {
			case isCommand && tag.Get("default") != "": // what its parent does without a word
			case isCommand:
				commands = append(commands, name)
			case hasHelp && !isArg:
				flags = append(flags, "--"+name)
			}
			return true
		})
	}
	return commands, flags
}

var upper = regexp.MustCompile(`([a-z0-9])([A-Z])`)

func kebab(s string) string { return strings.ToLower(upper.ReplaceAllString(s, "$1-$2")) }

func TestEveryCommandAndFlagIsDocumented(t *testing.T) {
	b, err := os.ReadFile("docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	commands, flags := commandFlags(t)
	if len(commands) < 8 || len(flags) < 12 {
		t.Fatalf("found %v and %v", commands, flags)
	}
	for _, c := range commands {
		if !regexp.MustCompile("(?m)^#+ .*`?tocsin (\\w+ )?" + c + "\\b").MatchString(text) {
			t.Errorf("docs/commands.md has no heading for %q", c)
		}
	}
	for _, f := range flags {
		if !strings.Contains(text, "`"+f) {
			t.Errorf("docs/commands.md does not name %s", f)
		}
	}
}

func TestTheDocumentsLinkToWhatIsThere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	docs, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(docs, "README.md", "CHANGELOG.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			}
		}
	}
}

func TestTheArchitectureNamesEveryPackage(t *testing.T) {
	b, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for dir := range sources(t) {
		if dir == "." || strings.Count(dir, "/") > 1 {
			continue
		}
		if !strings.Contains(string(b), fmt.Sprintf("`%s`", dir)) {
			t.Errorf("docs/architecture.md does not name %s", dir)
		}
	}
}

func TestFilesStayInTheirRooms(t *testing.T) {
	const ceiling = 500 // lines
	for _, files := range sources(t) {
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(b), "\n"); n > ceiling {
				t.Errorf("%s has %d lines, more than %d: a room to divide", file, n, ceiling)
			}
		}
	}
}
