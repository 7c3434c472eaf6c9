package loglist

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the embedded list anew")

// The facts of the embedded list, and their date: see README.md.
const embeddedFrom = "google-all_logs_list-2026-08-21.json"

var embeddedDate = time.Date(2026, 8, 21, 0, 0, 0, 0, time.UTC)

func TestTheEmbeddedListHoldsWhatItsSourceFollowed(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(shared(t), "data", "loglists", embeddedFrom))
	if err != nil {
		t.Fatal(err)
	}
	source, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	want := &List{Timestamp: embeddedDate, Logs: source.Followed()}
	out, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, '\n')
	if *update {
		if err := os.WriteFile("embedded.json", out, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(out, embeddedJSON) {
		t.Error("embedded.json is not what the source makes: go test ./loglist -run Embedded -update")
	}
	if d := cmp.Diff(want.Logs, Embedded().Logs); d != "" {
		t.Errorf("(-source +embedded)\n%s", d)
	}
}

func TestTheEmbeddedListIsOfUse(t *testing.T) {
	l := Embedded()
	kinds := map[Kind]int{}
	operators := map[string]bool{}
	for _, g := range l.Logs {
		if ok, why := g.Follow(); !ok {
			t.Errorf("%s: %s", g.Name(), why)
		}
		kinds[g.Kind]++
		operators[g.Operator] = true
		if g.MMD == 0 || g.State == ReadOnly && g.Final == nil {
			t.Errorf("%s lacks what a tailer needs", g.Name())
		}
	}
	if kinds[RFC6962] < 20 || kinds[Static] < 20 || len(operators) < 6 || l.Timestamp.IsZero() || len(l.Reports) > 0 {
		t.Errorf("%v of %d operators, of %v, reports %v", kinds, len(operators), l.Timestamp, l.Reports)
	}
	if len(embeddedJSON) > 64<<10 {
		t.Errorf("%d bytes are no longer compact", len(embeddedJSON))
	}
}
