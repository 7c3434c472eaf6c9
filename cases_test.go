package tocsin

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each field case that the tailer must hold is the name of at least one test.
func TestEachFieldCaseHasATestWithItsNumber(t *testing.T) {
	number := regexp.MustCompile(`(?m)^func Test(D\d\d)[A-Z]`)
	tests := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range number.FindAllSubmatch(b, -1) {
			tests[string(m[1])] = append(tests[string(m[1])], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 20; n++ {
		if n > 16 && n != 20 {
			continue // not of the tailer
		}
		if id := fmt.Sprintf("D%02d", n); len(tests[id]) == 0 {
			t.Errorf("no test is named after case %s", id)
		}
	}
}
