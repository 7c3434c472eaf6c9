package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// program is what the test runs as a receiver: this test binary itself.
func program(what string) {
	switch what {
	case "record":
		in, _ := io.ReadAll(os.Stdin)
		env := os.Environ()
		slices.Sort(env)
		out, _ := json.Marshal(map[string]any{"stdin": string(in), "args": os.Args[1:], "env": env})
		if err := os.WriteFile(os.Getenv("OUT"), out, 0o600); err != nil {
			os.Exit(9)
		}
	case "fail":
		fmt.Println("the gateway said \x1b[31mno\x1b[0m")
		os.Exit(3)
	case "talk":
		for range 1000 {
			fmt.Println(strings.Repeat("x", 1000))
		}
		os.Exit(4)
	case "hook": // reads what Cert Spotter gives its hooks
		text, err1 := os.ReadFile(os.Getenv("TEXT_FILENAME"))
		doc, err2 := os.ReadFile(os.Getenv("JSON_FILENAME"))
		out, err3 := json.Marshal(map[string]any{"text": string(text), "json": json.RawMessage(doc), "env": os.Environ()})
		if errors.Join(err1, err2, err3, os.WriteFile(os.Getenv("OUT"), out, 0o600)) != nil {
			os.Exit(9)
		}
	case "errand":
		os.Exit(runErrand())
	case "gate": // waits until a file is there
		for {
			if _, err := os.Stat(os.Getenv("GATE")); err == nil {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		f, err := os.OpenFile(os.Getenv("OUT"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			os.Exit(9)
		}
		f.Write([]byte("."))
		f.Close()
	case "deaf": // reads nothing
	case "hang":
		// A child that would outlive it.
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "NOTIFY_TEST_PROGRAM=sleep")
		c.Stdout = os.Stdout
		if err := c.Start(); err != nil {
			os.Exit(9)
		}
		os.WriteFile(os.Getenv("OUT"), fmt.Append(nil, c.Process.Pid), 0o600)
		time.Sleep(time.Hour)
	case "leave": // ends well, but leaves a child behind that holds its output
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "NOTIFY_TEST_PROGRAM=sleep")
		c.Stdout = os.Stdout
		if err := c.Start(); err != nil {
			os.Exit(9)
		}
		os.WriteFile(os.Getenv("OUT"), fmt.Append(nil, c.Process.Pid), 0o600)
	case "sleep":
		time.Sleep(time.Hour)
	}
}

func run(t *testing.T, what string, timeout time.Duration, n Notice, args ...string) (out string, err error) {
	t.Helper()
	out = filepath.Join(t.TempDir(), "out")
	e, err := NewExec("prog", append([]string{os.Args[0]}, args...), &ExecOptions{Timeout: timeout, Env: []string{"NOTIFY_TEST_PROGRAM=" + what, "OUT=" + out}})
	if err != nil {
		t.Fatal(err)
	}
	return out, e.Send(t.Context(), n)
}

func TestExecGivesTheMessageOnStdinAndNothingElse(t *testing.T) {
	t.Setenv("SECRET_OF_THE_DAEMON", "hidden")
	hostile := "$(touch /tmp/x); `id` && * \"quoted\" %PATH%"
	out, err := run(t, "record", time.Minute, Notice{ID: "4be1", Kind: "alarm", Payload: json.RawMessage(`{"id":"4be1"}`)}, hostile, "")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Stdin     string
		Args, Env []string
	}
	b, _ := os.ReadFile(out)
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Stdin != "{\"id\":\"4be1\"}\n" {
		t.Errorf("stdin is %q", got.Stdin)
	}
	if d := cmp.Diff([]string{hostile, ""}, got.Args); d != "" {
		t.Error("arguments went through a shell:", d)
	}
	var keys []string
	for _, e := range got.Env {
		key, value, _ := strings.Cut(e, "=")
		keys = append(keys, key)
		if key == "TOCSIN_ALARM_ID" && value != "4be1" || key == "TOCSIN_KIND" && value != "alarm" {
			t.Error(e)
		}
	}
	if runtime.GOOS != "windows" {
		want := []string{"HOME", "NOTIFY_TEST_PROGRAM", "OUT", "PATH", "TOCSIN_ALARM_ID", "TOCSIN_KIND"}
		if os.Getenv("HOME") == "" {
			want = want[1:]
		}
		if d := cmp.Diff(want, keys); d != "" {
			t.Error("environment:", d)
		}
	}
}

func TestExecFailsWhenTheProgramDoes(t *testing.T) {
	for _, row := range []struct{ name, what, want string }{
		{"another exit code than 0, with what it said made safe", "fail", `exit status 3; it said: the gateway said \x1b[31mno\x1b[0m`},
		{"a megabyte of output is bounded", "talk", "exit status 4; it said: xxxx"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := run(t, row.what, time.Minute, Notice{ID: "1", Payload: json.RawMessage("{}")})
			if err == nil || !strings.Contains(err.Error(), row.want) || len(err.Error()) > 600 {
				t.Errorf("Send = %v", err)
			}
		})
	}
	t.Run("a program that is not there", func(t *testing.T) {
		e, err := NewExec("prog", []string{filepath.Join(t.TempDir(), "nothing")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Send(t.Context(), Notice{}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Send = %v", err)
		}
	})
	t.Run("a program that reads nothing has taken it all the same", func(t *testing.T) {
		if _, err := run(t, "deaf", time.Minute, Notice{Payload: json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)}); err != nil {
			t.Error(err)
		}
	})
	for _, argv := range [][]string{nil, {""}} {
		if _, err := NewExec("prog", argv, nil); err == nil {
			t.Errorf("argv %q was accepted", argv)
		}
	}
}

func TestExecKillsTheProgramAndAllItStartedWhenItsTimeIsOver(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process groups on windows")
	}
	out, err := run(t, "hang", 2*time.Second, Notice{ID: "1"})
	if err == nil || !strings.Contains(err.Error(), "killed after 2s") {
		t.Fatalf("Send = %v", err)
	}
	expectDead(t, out)
}

func TestExecIsDoneWhenTheProgramIsThoughAChildHoldsItsOutput(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process groups on windows")
	}
	out, err := run(t, "leave", time.Minute, Notice{ID: "1"})
	if err != nil {
		t.Errorf("Send = %v", err)
	}
	var pid int
	b, _ := os.ReadFile(out)
	fmt.Sscan(string(b), &pid)
	if p, err := os.FindProcess(pid); err == nil && pid > 0 {
		p.Kill()
	}
}

func expectDead(t *testing.T, out string) {
	t.Helper()
	var pid int
	b, _ := os.ReadFile(out)
	if _, err := fmt.Sscan(string(b), &pid); err != nil || pid <= 0 {
		t.Fatalf("the program did not start its child: %q", b)
	}
	for range 200 {
		p, err := os.FindProcess(pid)
		if err != nil || p.Signal(syscall.Signal(0)) != nil || zombie(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("child %d lives on", pid)
}

// zombie reports whether a process has ended and only awaits its parent.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(after, "Z")
}
