package siege

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

// Each fault of the lab, alone and for more than two hours, by a log of each kind: what the log is then accused of, and
// that no alarm is lost and everything is made good afterwards. Weather accuses nobody.
func TestEachFaultByEachKindOfLogIsToldAsWhatItIs(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("some thirty sieges: not in a short run, nor under the race detector")
	}
	stock, err := NewStock(12, 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ spec, rfc6962, static string }{
		{"slow=90s", "", ""},
		{"down", "", ""},
		{"refuse", "", ""},
		{"too-many", "", ""},
		{"too-many+retry-after=10m", "", ""},
		{"too-many+retry-after=10m+retry-date", "", ""},
		{"rate=0.2", "", ""},
		{"rate=0.2+rate-errors", "", ""},
		{"rate=1+rate-reused=0.1", "", ""},
		{"status=500", "", ""},
		{"status=408", "", ""},
		{"status=404", "withheld", "withheld"},
		{"html", "", "bad-tile withheld"},
		{"empty", "withheld", "bad-tile withheld"},
		{"empty+every=3", "", ""},
		{"cut=700", "", ""},
		{"drip=1s", "", ""},
		{"bad-gzip", "", ""},
		{"endless-head=100000", "", ""},
		{"wrong-root", "forked inconsistent wrong-root", "forked wrong-root"},
		{"bad-signature", "bad-signature key-change", "bad-signature key-change"},
		{"other-key", "bad-signature key-change", "bad-signature key-change"},
		{"freeze", "", ""},
		{"early-head=161ms", "false-time", "false-time"},
		{"skew=3", "", ""},
		{"skew=1", "", ""},
		{"rollback=50", "rollback", "rollback"},
		{"fork=3", "forked", "forked"},
		{"fork=30+rollback=10", "forked rollback", "forked rollback"},
		{"batches=256/32/7+aligned", "", ""},
		{"batch=1", "", ""},
		{"wrong-issuer", "", ""},
		{"partials-gone", "", ""},
		{"short-tile=24", "", "bad-tile withheld"},
		{"short-cached=24", "", ""},
	} {
		t.Run(row.spec, func(t *testing.T) {
			t.Parallel()
			o := Options{Seed: 1, Stock: stock, Logs: 2, Restarts: -1, Schedules: make([]fault.Schedule, 2)}
			step, err := fault.ParseStep(row.spec + "@30m-2h45m")
			if err != nil {
				t.Fatal(err)
			}
			o.Schedules[0], o.Schedules[1] = fault.Schedule{step}, fault.Schedule{step}
			r := besiege(t, o)
			for n, want := range []string{row.rfc6962, row.static} {
				got := []string{}
				for _, f := range r.Accused {
					if f.LogName == fmt.Sprint("log ", n) && slices.Contains(accusing, f.Kind) && !slices.Contains(got, f.Kind) {
						got = append(got, f.Kind)
					}
				}
				if slices.Sort(got); strings.Join(got, " ") != want {
					t.Errorf("the %s log was accused of %q, want %q", r.Logs[n].Listed.Kind, strings.Join(got, " "), want)
				}
			}
		})
	}
}
