package ctlog

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

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
