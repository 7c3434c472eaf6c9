package rule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func builtin(t testing.TB) *Set {
	t.Helper()
	s, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheBuiltInRulesPassTheirTests(t *testing.T) {
	s := builtin(t)
	if len(s.Rules) < 15 {
		t.Fatalf("only %d rules: %v", len(s.Rules), s.IDs())
	}
	tested := map[string]bool{}
	for _, o := range s.Test() {
		tested[o.Rule] = true
		for _, f := range o.Failures {
			t.Errorf("%s: %s: %s, want %s", f.Place, f.Test, f.Got, f.Want)
		}
	}
	files, err := os.ReadDir("builtin")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if id := strings.TrimSuffix(f.Name(), ".yaml"); s.Rule(id) == nil {
			t.Errorf("%s holds no rule of that id", filepath.Join("builtin", f.Name()))
		}
	}
	for _, r := range s.Rules {
		if !tested[r.ID] {
			t.Errorf("%s has no tests", r.ID)
		}
		if r.Next == "" || r.Say == r.Title {
			t.Errorf("%s does not say what to do, or what was seen", r.ID)
		}
		for _, w := range r.lint() {
			t.Errorf("%s", w)
		}
	}
}
