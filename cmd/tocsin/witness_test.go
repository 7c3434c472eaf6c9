package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/app"
)

func TestAWitnessWithAKeyThatIsNotItsOwnIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	text := "watch:\n  - names: [example.com]\nwitnesses:\n  - witness.example.com+00000000+BCaOqP2bc+HHTO8OnM9ufMPGANssqR9mpY9i8Crp363B\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := inProcess(t, exitUsage, "watch", "--config", path, "--state", filepath.Join(t.TempDir(), "state.db"))
	if !strings.Contains(out, "tocsin.yaml:4: ") || !strings.Contains(out, "hint: copy the verifier key") {
		t.Error(out)
	}
}

func TestLogsShowConditionsAndCosignatures(t *testing.T) {
	t.Parallel()
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	v := app.LogView{
		Conditions: []ctlog.Condition{{Kind: ctlog.RateLimited, Since: at, Text: "the log refuses\x1b requests"}},
		Cosigned:   ctlog.Cosigned{By: []ctlog.Cosignature{{Name: "witness.example.com", Time: at}}, Bad: []string{"other.example"}, Unknown: 2},
	}
	var b bytes.Buffer
	viewText(&b, &v)
	want := `    rate-limited since 2027-01-02T03:04:05Z: the log refuses\x1b requests
    cosignatures on the head: 1 of known witnesses (witness.example.com), 2 of unknown ones; the cosignature of other.example does not verify
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
	b.Reset()
	if viewText(&b, &app.LogView{}); b.Len() != 0 {
		t.Errorf("nothing is said with %q", &b)
	}
}
