package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/drill"
	"github.com/tocsin-ct/tocsin/internal/lab"
)

// drillRun is one run of tocsin drill as a process of its own, which starts the watch as another one.
type drillRun struct {
	done           chan struct{}
	code           int
	stdout, stderr string
	err            error
}

// startDrill starts one. A drill mostly waits, so that many run at a time. env reaches the watch as well.
func startDrill(t *testing.T, env []string, args ...string) *drillRun {
	t.Helper()
	path, environ := program(t, env...)
	cmd := exec.CommandContext(t.Context(), path, append([]string{"drill"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = environ, &out, &errs
	r := &drillRun{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		if err := cmd.Run(); cmd.ProcessState == nil {
			r.err = err
			return
		}
		r.code, r.stdout, r.stderr = cmd.ProcessState.ExitCode(), out.String(), errs.String()
	}()
	return r
}

func (r *drillRun) wait(t *testing.T) *drillRun {
	t.Helper()
	<-r.done
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r
}

func TestTheDrillPassesEachScenarioAndFailsWithAPartMissing(t *testing.T) {
	t.Parallel()
	stubs := map[string][]string{
		"matcher":      {"not everything that touches a watch was told", "ICP-Brasil did not ring"},
		"outbox":       {"not everything that touches a watch was told", "ICP-Brasil did not ring"},
		"verification": {"the wrong root of log A was not noticed"},
	}
	runs := map[string]*drillRun{}
	for stub := range stubs {
		runs[stub] = startDrill(t, []string{stubEnv + "=" + stub}, "--scenario", "icp-brasil-2024")
		runs[stub+", as JSON"] = startDrill(t, []string{stubEnv + "=" + stub}, "--scenario", "icp-brasil-2024", "--json", "--patience", "5s")
	}
	for _, s := range lab.Scenarios() {
		runs[s.Name] = startDrill(t, nil, "--scenario", s.Name, "--json", "--patience", "60s")
	}
	// What the stubbed drills are compared with: as patient, and nothing missing.
	runs["complete"] = startDrill(t, []string{stubEnv + "=none"}, "--scenario", "icp-brasil-2024")

	t.Run("complete", func(t *testing.T) {
		r := runs["complete"].wait(t)
		if r.code != exitQuiet || r.stderr != "" {
			t.Errorf("exit status %d, standard error %q", r.code, r.stderr)
		}
		for _, text := range []string{"drill    icp-brasil-2024: ", "lab      one log of each kind on 127.0.0.1; nothing leaves this machine", "logged   ICP-Brasil",
			"seen     watch \"main site\": ", "PAGE     issuer: ", "told     standard output, ", "caught   the wrong root", "what decided:", "it rings. 1 alarm, ",
			"next: tocsin watch YOUR-DOMAIN YOUR-NETWORK"} {
			if !strings.Contains(r.stdout, text) {
				t.Errorf("it does not say %q", text)
			}
		}
		if t.Failed() {
			t.Log(r.stdout)
		}
	})
	for stub, want := range stubs {
		t.Run("without "+stub, func(t *testing.T) {
			r := runs[stub].wait(t)
			if r.code != exitSurprise {
				t.Errorf("exit status %d", r.code)
			}
			for _, text := range append(want, "FAILED: wanted ring") {
				if !strings.Contains(r.stdout, text) {
					t.Errorf("it does not say %q", text)
				}
			}
			if !strings.Contains(r.stderr, "tocsin: error: 1 scenario did not end as it should") || !strings.Contains(r.stderr, "tocsin: hint: ") {
				t.Errorf("standard error says %q", r.stderr)
			}
			if t.Failed() {
				t.Log(r.stdout)
			}
			var o drill.Outcome
			r = runs[stub+", as JSON"].wait(t)
			if err := json.Unmarshal([]byte(r.stdout), &o); err != nil || o.OK || len(o.Problems) == 0 || r.code != exitSurprise {
				t.Errorf("%v; exit status %d; as JSON: %s", err, r.code, r.stdout)
			}
		})
	}
	for _, name := range []string{"fina-2025", "icp-brasil-2024", "diginotar-2011", "same-ca-other-key", "cctld-2017", "ip-as-text", "reverse-zone",
		"malformed-san", "renewals-only"} {
		t.Run(name, func(t *testing.T) {
			if runs[name] == nil {
				t.Fatal("there is no such scenario")
			}
			scenarioLine(t, name, runs[name].wait(t))
		})
	}
}

// scenarioLine checks the one line that drill --json prints for a scenario that ended well.
func scenarioLine(t *testing.T, name string, r *drillRun) {
	t.Helper()
	if r.code != exitQuiet || r.stderr != "" {
		t.Errorf("exit status %d, standard error %q", r.code, r.stderr)
	}
	line, rest, _ := strings.Cut(r.stdout, "\n")
	if rest != "" {
		t.Fatalf("more than one line: %s", r.stdout)
	}
	var o struct {
		Scenario *string `json:"scenario"`
		Want     *string `json:"want"`
		Rang     *bool   `json:"rang"`
		OK       *bool   `json:"ok"`
		Latency  *int64  `json:"latency_ms"`
	}
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		t.Fatal(err)
	}
	if o.Scenario == nil || o.Want == nil || o.Rang == nil || o.OK == nil || o.Latency == nil {
		t.Fatalf("a field is missing: %s", line)
	}
	want := "ring"
	if name == "renewals-only" {
		want = "silence"
	}
	if *o.Scenario != name || *o.Want != want || *o.Rang != (want == "ring") || !*o.OK || *o.Latency <= 0 {
		t.Errorf("%s", line)
	}
}

func TestTheDrillRefusesAScenarioThatIsNotThere(t *testing.T) {
	code, stdout, stderr := command(t, "drill", "--scenario", "nope")
	if code != exitUsage || stdout != "" || !strings.Contains(stderr, "fina-2025") || !strings.Contains(stderr, "hint") {
		t.Errorf("exit status %d\n%s%s", code, stdout, stderr)
	}
}
