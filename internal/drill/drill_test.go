package drill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tocsin-ct/tocsin/internal/lab"
)

// The test binary is also a program that pretends to be tocsin, in the way that this variable names.
const pretend = "TOCSIN_TEST_PRETEND"

func TestMain(m *testing.M) {
	switch os.Getenv(pretend) {
	case "":
		goleak.VerifyTestMain(m)
		return
	case "ends at once":
		fmt.Fprintln(os.Stderr, "no such command")
		os.Exit(2)
	case "says nothing":
		fmt.Fprintln(os.Stderr, "thinking")
	case "prints garbage":
		fmt.Println("\x00{]")
		fmt.Println(`{"kind":"alarm","issuance":"0000000000000000"}`)
	case "is ready and deaf":
		fmt.Println(`{"kind":"ready"}`)
	case "prints without end":
		for {
			if _, err := fmt.Println(`{"kind":"noise","text":"` + strings.Repeat("x", 1000) + `"}`); err != nil {
				os.Exit(1)
			}
		}
	}
	time.Sleep(time.Minute) // or until the drill ends it
}

func TestAProgramThatIsNotTocsinDoesNotPass(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sc, err := lab.FindScenario("icp-brasil-2024")
	if err != nil {
		t.Fatal(err)
	}
	for how, want := range map[string]string{
		"ends at once":       "the watch process ended",
		"says nothing":       "did not become ready",
		"prints garbage":     "did not become ready",
		"is ready and deaf":  "not everything that touches a watch was told",
		"prints without end": "did not become ready",
	} {
		t.Run(how, func(t *testing.T) {
			t.Setenv(pretend, how)
			var progress bytes.Buffer
			out, err := Run(t.Context(), sc, Options{Program: self, Patience: 2 * time.Second, Renewals: 2, Progress: &progress})
			if err != nil {
				t.Fatal(err)
			}
			if out.OK || !strings.Contains(strings.Join(out.Problems, "\n"), want) {
				t.Errorf("outcome %+v", out)
			}
			if how == "ends at once" && !strings.Contains(strings.Join(out.Problems, "\n"), "no such command") {
				t.Errorf("what it said is lost: %v", out.Problems)
			}
			if !strings.Contains(progress.String(), "PROBLEM") {
				t.Errorf("the time line does not show it: %s", progress.String())
			}
		})
	}
	t.Run("is not there", func(t *testing.T) {
		if out, err := Run(t.Context(), sc, Options{Program: "/nowhere/tocsin", Renewals: 2}); err == nil {
			t.Errorf("outcome %+v", out)
		}
	})
	t.Run("is ended with the drill", func(t *testing.T) {
		t.Setenv(pretend, "says nothing")
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if out, err := Run(ctx, sc, Options{Program: self, Renewals: 2}); ctx.Err() == nil || err == nil {
			t.Errorf("outcome %+v, error %v", out, err)
		}
	})
}

// printed is what a program could say of an issuance, by hand.
func printed(kind, label string, at time.Time) line {
	l := line{Kind: kind, Level: kind, Issuance: idOf(label), read: at, text: "{}"}
	l.Reasons = append(l.Reasons, struct {
		Rule, Observed, Wanted, Config, Text string
		Held                                 bool
	}{Rule: "issuer", Text: "nobody chose it"})
	return l
}

func idOf(label string) string {
	h := sha256.Sum256([]byte(label))
	return hex.EncodeToString(h[:])
}

func TestAnOutcomeIsJudgedByWhatWasPrinted(t *testing.T) {
	type says struct{ kind, of string }
	good := []says{{"alarm", "rogue"}, {"filed", "renewal"}}
	for name, row := range map[string]struct {
		printed []says
		rule    string
		want    lab.Want
		problem string // "" when all is well
	}{
		"all as it should be":                         {printed: good},
		"for the right reason":                        {printed: good, rule: "issuer"},
		"it rings for another reason":                 {printed: good, rule: "key", problem: "rogue rang for another reason"},
		"it does not ring":                            {printed: []says{{"filed", "rogue"}, {"filed", "renewal"}}, problem: "rogue did not ring"},
		"it rings twice":                              {printed: append(good, says{"page", "rogue"}), problem: "rogue rang 2 times"},
		"it rings for a renewal":                      {printed: append(good, says{"alarm", "renewal"}), problem: "renewal rang and should not have"},
		"it rings for a neighbour":                    {printed: append(good, says{"alarm", "neighbour"}), problem: "neighbour rang and should not have"},
		"it files a neighbour":                        {printed: append(good, says{"filed", "neighbour"}), problem: "neighbour was filed and should touch nothing"},
		"it tells of what nobody submitted":           {printed: append(good, says{"filed", "stranger"}), problem: "which nobody submitted"},
		"it rings where silence was wanted":           {printed: good, want: lab.Silence, problem: "-"},
		"it is silent because nothing came to be":     {printed: nil, problem: "rogue did not ring"},
		"a fault of a log is no word on a submission": {printed: append(good, says{"fault", ""})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := row.want
				if want == "" {
					want = lab.Ring
				}
				d := &drill{opts: Options{Progress: &bytes.Buffer{}}, out: &Outcome{Want: want}, subs: map[string]*submitted{}, begin: time.Now()}
				for _, s := range []lab.Submission{{Label: "rogue", Rings: true, Rule: row.rule}, {Label: "renewal"}, {Label: "neighbour", Neighbour: true}} {
					sub := &submitted{Submission: s, at: time.Now()}
					d.subs[idOf(s.Label)] = sub
					d.order = append(d.order, sub)
				}
				for i, s := range row.printed {
					time.Sleep(time.Second)
					l := printed(s.kind, s.of, time.Now())
					if s.of == "" {
						l.Issuance = ""
					}
					d.take(l)
					if complete := i >= 1; row.problem == "" && d.complete() != complete {
						t.Errorf("complete: %v after %d lines", d.complete(), i+1)
					}
				}
				d.judge()
				if d.out.OK != (row.problem == "") {
					t.Errorf("outcome %+v", d.out)
				}
				if all := strings.Join(d.out.Problems, "\n"); row.problem != "-" && !strings.Contains(all, row.problem) {
					t.Errorf("problems %q do not say %q", all, row.problem)
				}
				if row.problem == "" && (d.out.Latency != 1000 || d.out.Rings != 1 || d.out.Filed != 1 || !d.out.Rang || len(d.out.Decided) != 1) {
					t.Errorf("outcome %+v", d.out)
				}
			})
		})
	}
}
