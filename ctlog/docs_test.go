package ctlog

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

// The table of what is told of what a log does is that of the test which tries each row.
func TestTheTableOfMisdeedsIsDocumentedAsItIsTried(t *testing.T) {
	b, err := os.ReadFile("../docs/output.md")
	if err != nil {
		t.Fatal(err)
	}
	_, got, ok := strings.Cut(string(b), "### What is told, and when\n")
	_, got, ok2 := strings.Cut(got, "|---|---|---|---|---|---|---|---|\n")
	got, _, ok3 := strings.Cut(got, "\n\n")
	if !ok || !ok2 || !ok3 {
		t.Fatal("docs/output.md has no table of what is told, and when")
	}
	lasts := func(d time.Duration, none string) string {
		switch {
		case d == 0:
			return none
		case d%time.Hour == 0:
			return fmt.Sprintf("%d h", d/time.Hour)
		}
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	var want []string
	for _, row := range misdeeds {
		logs := "both"
		if row.only != 0 {
			logs = map[loglist.Kind]string{loglist.RFC6962: "RFC 6962", loglist.Static: "static"}[row.only]
		}
		holds, worth := row.holds, string(row.verdict)
		if kind, _ := KindOf(row.want); !kind.Accuses {
			holds, worth = "condition", "–"
		}
		want = append(want, fmt.Sprintf("| %s | %s | `%s` | %s | %s | %s | %s | %s |",
			row.name, logs, row.want, lasts(row.mmd, "any"), lasts(row.from, "at once"), lasts(row.before, ""), holds, worth))
	}
	if d := cmp.Diff(want, strings.Split(got, "\n")); d != "" {
		t.Errorf("docs/output.md differs from what is tried (-tried +documented):\n%s\nthe table is\n%s", d, strings.Join(want, "\n"))
	}
}

func TestEachKindAndEachKeyOfEvidenceIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/output.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, k := range append(Kinds(), Kind{Name: NotMerged, Accuses: true, Proof: Proven}) {
		_, row, ok := strings.Cut(text, "\n| `"+k.Name+"` |")
		row, _, _ = strings.Cut(row, "\n")
		cells := strings.Split(row, "|")
		if !ok || len(cells) < 4 {
			t.Errorf("no row for %s", k.Name)
			continue
		}
		if strings.Contains(cells[2], "condition") == k.Accuses {
			t.Errorf("%s: %q", k.Name, cells[2])
		}
		if worth := strings.TrimSpace(cells[3]); k.Accuses && !strings.HasPrefix(worth, string(k.Proof)) {
			t.Errorf("%s is worth %q, want %s", k.Name, worth, k.Proof)
		}
		if k.patience == 0 && k.Accuses && k.Name != NotMerged && !strings.Contains(cells[1], "at once") {
			t.Errorf("%s is told after %q, want at once", k.Name, cells[1])
		}
		if k.mmd != strings.Contains(cells[1], "the MMD, at least 1 h") {
			t.Errorf("%s is told after %q", k.Name, cells[1])
		}
		if !k.mmd && k.patience > 0 {
			want := strings.ReplaceAll(strings.Replace(k.patience.String(), "h0m0s", " h", 1), "m0s", " min")
			if !strings.Contains(cells[1], want) {
				t.Errorf("%s is told after %q, want %q", k.Name, cells[1], want)
			}
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Evidence](), reflect.TypeFor[EvidenceLog]()} {
		for i := range typ.NumField() {
			key, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(text, "`"+key+"`") {
				t.Errorf("docs/output.md does not name %q of evidence", key)
			}
		}
	}
}
