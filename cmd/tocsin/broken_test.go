package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateBroken = flag.Bool("update-broken", false, "write the expected complaints about broken configs anew")

// said runs a command in this process and returns what it prints and its status.
func said(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{ctx: t.Context(), stdout: &out, stderr: &errs}
	status = p.run(args)
	return out.String(), strings.ReplaceAll(filepath.ToSlash(errs.String()), "\r\n", "\n"), status
}

// Each file under testdata/broken holds one mistake, or several, and is named by it. Those that begin with rules- are
// files of rules.
func TestEachMistakeIsToldWithItsPlaceAndWhatToWriteInstead(t *testing.T) {
	t.Chdir(filepath.Join("testdata", "broken"))
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	placed := regexp.MustCompile(`^tocsin: error: [a-z-]+\.(yaml|txt):[1-9][0-9]*:[1-9][0-9]*: .+`)
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			args := []string{"policy", "check", "--config", file}
			if strings.HasPrefix(file, "rules-") {
				args = []string{"policy", "check", file}
			}
			stdout, got, status := said(t, args...)
			if status != exitUsage || stdout != "" {
				t.Errorf("status %d, said %q", status, stdout)
			}
			if dir, err := os.Getwd(); err == nil { // --config is made absolute
				got = strings.ReplaceAll(got, filepath.ToSlash(dir)+"/", "")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *updateBroken {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want := string(need(os.ReadFile(golden))(t))
			if diff := cmp.Diff(strings.ReplaceAll(want, "\r\n", "\n"), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			errors, hints := 0, 0
			for line := range strings.Lines(got) {
				switch {
				case strings.HasPrefix(line, "tocsin: error: "):
					if errors++; !placed.MatchString(line) {
						t.Errorf("without file, line and column: %s", line)
					}
				case strings.HasPrefix(line, "tocsin: hint: "):
					hints++
				}
			}
			if errors == 0 || hints != errors {
				t.Errorf("%d mistakes with %d hints", errors, hints)
			}
		})
	}
}
