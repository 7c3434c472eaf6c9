package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

func texts(c *Config, w int) []string {
	var out []string
	for _, item := range c.Watches[w].Items {
		out = append(out, item.Text)
	}
	return out
}

func TestBulkListsAreReloadedWhenTheyChange(t *testing.T) {
	path := write(t, "watch:\n  - {name: a, names: [example.com], names_file: names.txt}\n  - {name: b, networks_file: networks.txt}\n",
		map[string]string{"names.txt": "example.org\n", "networks.txt": "192.0.2.0/24\n"})
	names, networks := filepath.Join(filepath.Dir(path), "names.txt"), filepath.Join(filepath.Dir(path), "networks.txt")
	// put replaces a file as an editor does: the new one is another file, whatever the clock says.
	put := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(step string, wantChanged bool, wantErr string, wantA, wantB []string) {
		t.Helper()
		before := texts(c, 0)
		next, changed, err := c.Reload()
		if changed != wantChanged || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: changed %v, error %v; want %v, %q", step, changed, err, wantChanged, wantErr)
		}
		if diff := cmp.Diff(before, texts(c, 0)); diff != "" {
			t.Errorf("%s: the old configuration changed\n%s", step, diff)
		}
		c = next
		if diff := cmp.Diff([][]string{wantA, wantB}, [][]string{texts(c, 0), texts(c, 1)}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", step, diff)
		}
	}
	a, b := []string{"example.com", "example.org"}, []string{"192.0.2.0/24"}

	if got := c.Changed(); got != nil {
		t.Errorf("Changed() = %q right after loading", got)
	}
	expect("nothing changed", false, "", a, b)

	put(names, "example.net\nexample.edu\n")
	if diff := cmp.Diff([]string{names}, c.Changed()); diff != "" {
		t.Errorf("Changed\n%s", diff)
	}
	a = []string{"example.com", "example.net", "example.edu"}
	expect("a list changed", true, "", a, b)

	put(names, "example.net\n192.0.2.1\n")
	expect("a list with an error keeps the old items", false, "names.txt:2: ", a, b)
	expect("the error is told once", false, "", a, b)

	put(networks, "198.51.100.0/24\n")
	b = []string{"198.51.100.0/24"}
	expect("the other list is still reloaded", true, "", a, b)

	put(names, "# all gone\n")
	expect("an emptied list keeps the old items", false, "no items", a, b)

	if err := os.Remove(networks); err != nil {
		t.Fatal(err)
	}
	expect("a list that is gone keeps the old items", false, "keeping the 1 items", a, b)
	put(networks, "203.0.113.0/24\n")
	b = []string{"203.0.113.0/24"}
	expect("and is read when it is back", true, "", a, b)

	put(path, "watch: [{names: [example.com]}]\n")
	if diff := cmp.Diff([]string{path}, c.Changed()); diff != "" {
		t.Errorf("Changed\n%s", diff)
	}
}

func TestAnErrorInABulkListHasItsOwnPlace(t *testing.T) {
	path := write(t, "watch: [{name: a, names_file: names.txt}]\n", map[string]string{"names.txt": "example.com\n*.example.org\n"})
	_, err := Load(path)
	var item *watch.ItemError
	if !errors.As(err, &item) || item.Place.Line != 2 || filepath.Base(item.Place.File) != "names.txt" || item.Hint() == "" {
		t.Errorf("got %v", err)
	}
}
