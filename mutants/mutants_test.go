// Package mutants holds defects of our own, as patches, and proves that each of them is found: see README.md.
package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mutant is one patch.
type mutant struct {
	pkg, run string // the test that must fail
	hunks    []hunk
}

// hunk replaces one piece of a file by another.
type hunk struct{ file, old, new string }

// readMutant reads a patch in the unified format, below a line "kills: PACKAGE TEST".
func readMutant(text string) (m mutant, err error) {
	head, body, ok := strings.Cut(text, "\n--- ")
	first, why, _ := strings.Cut(head, "\n")
	kills := strings.Fields(first)
	if !ok || len(kills) != 3 || kills[0] != "kills:" || len(strings.Fields(why)) < 5 {
		return m, fmt.Errorf("it does not begin with the test that kills it, and with what it does")
	}
	m.pkg, m.run = kills[1], kills[2]
	file := ""
	for line := range strings.Lines("--- " + body) {
		var h *hunk
		if n := len(m.hunks); n > 0 {
			h = &m.hunks[n-1]
		}
		switch rest := line[1:]; {
		case strings.HasPrefix(line, "--- a/"):
			file = strings.TrimSpace(strings.TrimPrefix(line, "--- a/"))
		case strings.HasPrefix(line, "+++ b/"):
		case strings.HasPrefix(line, "@@ "):
			m.hunks = append(m.hunks, hunk{file: file})
		case h == nil:
			return m, fmt.Errorf("a line outside of a hunk: %q", line)
		case line[0] == ' ':
			h.old, h.new = h.old+rest, h.new+rest
		case line[0] == '-':
			h.old += rest
		case line[0] == '+':
			h.new += rest
		default:
			return m, fmt.Errorf("not a line of a patch: %q", line)
		}
	}
	return m, nil
}

// overlay writes the changed files beside the module, and the file that tells the go command to build with them.
func (m *mutant) overlay(root, dir string) (string, error) {
	files := map[string]string{}
	for _, h := range m.hunks {
		path := filepath.Join(root, filepath.FromSlash(h.file))
		text, ok := files[path]
		if !ok {
			b, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, h.old); n != 1 {
			return "", fmt.Errorf("what it changes stands %d times in %s: make the patch anew\n%s", n, h.file, h.old)
		}
		files[path] = strings.Replace(text, h.old, h.new, 1)
	}
	replace := map[string]string{}
	for path, text := range files {
		to := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}

// failed reports whether the test that a pattern of -run names has failed, or panicked, by what go test printed.
func failed(run, out string) bool {
	top, _, _ := strings.Cut(run, "/")
	return regexp.MustCompile(`(?m)^\s*--- FAIL: `+regexp.QuoteMeta(run)+`\b`).MatchString(out) ||
		regexp.MustCompile(`(?s)\bpanic: .*\.`+regexp.QuoteMeta(top)+`\b`).MatchString(out)
}

func TestEachMutantIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("mutants are built and run one by one, which takes a minute or two: not in a short run")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	patches, err := filepath.Glob("*.patch")
	if err != nil || len(patches) < 12 {
		t.Fatalf("only %d mutants: %v", len(patches), err)
	}
	for _, file := range patches {
		t.Run(strings.TrimSuffix(file, ".patch"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := readMutant(string(text))
			if err != nil {
				t.Fatal(err)
			}
			with, err := m.overlay(root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			parts := strings.Split(m.run, "/")
			for i := range parts {
				parts[i] = "^" + regexp.QuoteMeta(parts[i]) + "$"
			}
			// Not with the race detector: nothing here is about races.
			cmd := exec.CommandContext(ctx, "go", "test", "-overlay", with, "-vet=off", "-count=1", "-timeout=2m", "-run", strings.Join(parts, "/"), m.pkg)
			cmd.Dir = root
			cmd.WaitDelay = 10 * time.Second
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			switch err := cmd.Run(); {
			case err == nil:
				t.Errorf("it lives: %s passes in spite of it\n%s", m.run, out.String())
			case strings.Contains(out.String(), "[build failed]"), strings.Contains(out.String(), "[setup failed]"):
				t.Errorf("it does not build:\n%s", out.String())
			case !failed(m.run, out.String()):
				t.Errorf("%s did not fail, but: %v\n%.3000s", m.run, err, out.String())
			}
		})
	}
}
