package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAChangedFileSaysWhichKeysNeedARestart(t *testing.T) {
	const base = "watch:\n  - names: [example.com]\nlogs:\n  refresh: 45m\npoll: 15s\nreceivers:\n  - {name: screen, stdout: {}}\n"
	for _, tc := range []struct{ name, from, to, says string }{
		{"nothing changes", "", "", ""},
		{"a comment and an empty line change nothing", "logs:", "# for us\n\nlogs:", ""},
		{"a key in a mapping", "45m", "30m", "was changed in logs.refresh; restart tocsin to take it over"},
		{"a key that is new", "poll:", "coverage: {min_operators: 2}\npoll:", "was changed in coverage.min_operators; restart"},
		{"a key that is gone", "poll: 15s\n", "", "was changed in poll; restart"},
		{"what is watched", "example.com", "example.com, example.org", "was changed in watch; restart"},
		{"several keys", "poll: 15s\nreceivers:\n  - {name: screen", "poll: 20s\nreceivers:\n  - {name: tty", "was changed in poll, receivers; restart"},
		{"a mistake", "poll: 15s", "pol: 15s", "has mistakes, so that the next start would be refused: "},
		{"a file that is gone", base, "", "is gone: the next start would be refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tocsin.yaml")
			put := func(text string) {
				t.Helper()
				if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil { // another file: its stamp differs
					t.Fatal(err)
				}
				if err := os.Rename(path+".new", path); err != nil {
					t.Fatal(err)
				}
			}
			put(base)
			c, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			pending := c.PendingNow()
			if says := pending(); says != "" {
				t.Fatalf("before: %s", says)
			}
			if tc.from == base {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else {
				put(strings.Replace(base, tc.from, tc.to, 1))
			}
			if says := pending(); (says == "") != (tc.says == "") || !strings.Contains(says, tc.says) {
				t.Errorf("it says %q, want %q", says, tc.says)
			}
			put(base)
			if says := pending(); says != "" {
				t.Errorf("when it is as before it says %q", says)
			}
		})
	}
}
