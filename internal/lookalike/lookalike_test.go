package lookalike

import (
	"strings"
	"testing"
)

func TestWhatIsTakenForOurs(t *testing.T) {
	x := New([]string{"example.com", "bank.example", "login.example.org", "www.co.uk"})
	for _, row := range []struct{ name, ours, how string }{
		{"example.com", "", ""},
		{"www.example.com", "", ""},
		{"*.example.com", "", ""},
		{"example.net", "example.com", "the same word"},
		{"www.example.co.uk", "example.com", "the same word"},
		{"examp1e.com", "example.com", "look alike"},
		{"exarnple.com", "example.com", "look alike"},
		{"ex-ample.com", "example.com", "look alike"},
		{"xn--xample-2of.com", "example.com", "look alike"}, // with a Cyrillic е
		{"exmaple.com", "example.com", "one letter differs"},
		{"exanple.com", "example.com", "one letter differs"},
		{"examples.com", "example.com", "one letter"},
		{"exmple.com", "example.com", "one letter"},
		{"example-login.com", "example.com", "with others"},
		{"www.example.com.evil.net", "example.com", "beneath another domain"},
		{"bank.evil.net", "", ""},
		{"something-else.com", "", ""},
		{"ample.com", "", ""},
		{"com", "", ""},
		{"", "", ""},
		{strings.Repeat("example.com.", 100) + "net", "", ""},
	} {
		ours, how := x.Of(row.name)
		if ours != row.ours || !strings.Contains(how, row.how) || (ours == "") != (how == "") {
			t.Errorf("%s resembles %q (%s), want %q (%s)", row.name, ours, how, row.ours, row.how)
		}
	}
	if ours, _ := (*Index)(nil).Of("example.net"); ours != "" {
		t.Error("no index resembles", ours)
	}
}

func FuzzOf(f *testing.F) {
	x := New([]string{"example.com", "xn--bcher-kva.example"})
	for _, s := range []string{"examp1e.com", "xn--.com", "*.", "\xff.com", "a..b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ours, how := x.Of(name)
		if (ours == "") != (how == "") || ours != "" && !x.zones[ours] {
			t.Fatalf("%q: %q, %q", name, ours, how)
		}
		if ours, _ := x.Of("www." + "example.com"); ours != "" {
			t.Fatal("our own name resembles", ours)
		}
	})
}
