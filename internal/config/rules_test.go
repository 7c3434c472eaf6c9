package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFilesOfRulesAreFoundInOrderAndOnce(t *testing.T) {
	path := write(t, "watch: [{names: [example.com], lookalike: true}]\nrules: [b.yaml, '*.yaml']\n", map[string]string{"b.yaml": "", "a.yaml": ""})
	c, err := Load(path)
	if err != nil {
		t.Fatal(printed(err))
	}
	dir := filepath.Dir(path)
	want := []string{filepath.Join(dir, "b.yaml"), filepath.Join(dir, "a.yaml"), filepath.Join(dir, "tocsin.yaml")}
	if diff := cmp.Diff(want, c.RulePaths()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !c.Watches[0].Lookalike || c.Rules[0].Place.Line != 2 {
		t.Errorf("%+v", c)
	}
}

func TestRulesThatAreNotThere(t *testing.T) {
	for text, want := range map[string]string{
		"[nowhere.yaml]":   "tocsin.yaml:2:9: rules: there is no file nowhere.yaml",
		"['no/*.yaml']":    `tocsin.yaml:2:9: rules: no file is like "no/*.yaml"`,
		"['a[']":           "is not closed",
		"[]":               "rules is an empty list",
		"[folder]":         "is a directory",
		"nowhere.yaml":     "rules is a list",
		"[a.yaml, b: c]":   "a text is expected",
		"[nowhere.yaml, ]": "there is no file",
	} {
		path := write(t, "watch: [{names: [example.com]}]\nrules: "+text+"\n", nil)
		if err := os.Mkdir(filepath.Join(filepath.Dir(path), "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(printed(err), "hint: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRulesAreFoundInAConfigThatIsBrokenElsewhere(t *testing.T) {
	path := write(t, "watch: [{nmaes: [example.com]}]\nrules: [a.yaml]\n", map[string]string{"a.yaml": ""})
	if got := Partial(path).RulePaths(); len(got) != 1 || filepath.Base(got[0]) != "a.yaml" {
		t.Errorf("%q", got)
	}
	if got := Partial(filepath.Join(t.TempDir(), "none")).RulePaths(); got != nil {
		t.Errorf("%q", got)
	}
}

func TestAChangedFileOfRulesIsAChangeOnce(t *testing.T) {
	path := write(t, "watch: [{names: [example.com]}]\nrules: [a.yaml]\n", map[string]string{"a.yaml": "rules: []"})
	c, err := Load(path)
	if err != nil {
		t.Fatal(printed(err))
	}
	rules := c.RulePaths()[0]
	look := func(wantChanged []string, want bool) {
		t.Helper()
		if got := c.Changed(); !slices.Equal(got, wantChanged) {
			t.Errorf("changed: %q, want %q", got, wantChanged)
		}
		next, changed, err := c.Reload()
		if changed != want || err != nil {
			t.Errorf("changed %v, %v; want %v", changed, err, want)
		}
		if len(next.Watches) != 1 || len(next.Watches[0].Items) != 1 {
			t.Errorf("the watches are lost: %+v", next.Watches)
		}
		c = next
	}
	look(nil, false)
	if err := os.WriteFile(rules, []byte("rules: [{id: unlisted-issuer, severity: page}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	look([]string{rules}, true)
	look(nil, false)
	if err := os.Remove(rules); err != nil {
		t.Fatal(err)
	}
	look([]string{rules}, true)
	look(nil, false)
}
