package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// The scripts under testdata/script run tocsin as people do, each command in a process of its own. Beside the commands
// of testscript they have:
//
//	issue FILE NAME|ADDRESS…      writes a certificate of the CA "Careless CA", and its chain to ca.pem
//	issue -pre FILE NAME|ADDRESS… the same as a precertificate
//	request FILE NAME|ADDRESS…    writes a certification request for the key that issue gives the first of these
//	join FILE FROM…               writes one file of several
//	revoke FILE                   revokes the token in a file, by tocsin.yaml
//	port FILE                     writes a free port in place of PORT into a file, and into the environment
//	status N COMMAND…             runs a command that must end with this status
//	until TEXT COMMAND…           runs a command again and again until it prints this text
//	await FILE TEXT               waits until a file holds a text
//	damage FILE                   overwrites all of a file but its first page
//	plain FILE TO                 writes FILE with all that changes from run to run replaced
//	endpoint STATUS FILE CONFIG…  starts an https server that writes what it is sent into FILE
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(30 * time.Minute), // a command that does not end is killed; scripts wait for their turn, too
		Setup: func(e *testscript.Env) error {
			for _, v := range []string{"HOME", "XDG_STATE_HOME"} {
				e.Setenv(v, filepath.Join(e.WorkDir, "home"))
			}
			hooks, err := filepath.Abs(filepath.Join("..", "..", "examples", "hooks"))
			if err != nil {
				return err
			}
			e.Setenv("HOOKS", hooks)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"request": requestCmd, "join": joinCmd, "port": portCmd, "revoke": revokeCmd,
			"issue": issueCmd, "status": statusCmd, "until": untilCmd, "await": awaitCmd, "plain": plainCmd,
			"damage": damageCmd, "endpoint": endpointCmd,
		},
	})
}

// issueCmd makes certificates whose content follows from their names, but for the signature.
func issueCmd(ts *testscript.TestScript, _ bool, args []string) {
	pre := len(args) > 0 && args[0] == "-pre"
	if pre {
		args = args[1:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: issue [-pre] FILE NAME...")
	}
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	root, err := ca.NewRoot("Careless Root", &ca.Options{Seed: "script root", Org: "Careless Trust", From: from})
	ts.Check(err)
	issuing, err := root.NewIntermediate("Careless CA", &ca.Options{Seed: "script issuing", Org: "Careless Trust", From: from})
	ts.Check(err)
	serial := sha256.Sum256([]byte(strings.Join(args, " ")))
	serial[0] = 0x40
	leaf := ca.Leaf{CN: args[1], KeySeed: "script " + args[1], From: from, For: 90*24*time.Hour - time.Second, Serial: serial[:16]}
	for _, name := range args[1:] {
		if a, err := netip.ParseAddr(name); err == nil {
			leaf.IPs = append(leaf.IPs, a)
		} else {
			leaf.DNS = append(leaf.DNS, name)
		}
	}
	i, err := issuing.Issue(leaf)
	ts.Check(err)
	der := i.Precert
	if !pre {
		der, err = i.Finish(nil)
		ts.Check(err)
	}
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	ts.Check(os.WriteFile(path, pemOf(der), 0o600))
	ts.Check(os.WriteFile(filepath.Join(filepath.Dir(path), "ca.pem"), pemOf(i.Chain...), 0o600))
}

func statusCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if want := args[0]; strconv.Itoa(got) != want {
		ts.Fatalf("exit status %d, want %s", got, want)
	}
}

func untilCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until TEXT COMMAND...")
	}
	for range 1200 {
		if ts.Exec(args[1], args[2:]...) == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("%s did not come to print %q", args[1], args[0])
}

func awaitCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: await FILE TEXT")
	}
	for range 2400 {
		if b, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(b), args[1]) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s did not come to hold %q", args[0], args[1])
}

// What changes from run to run, and what stands for it.
var changing = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "HASH"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "ID"},
	{regexp.MustCompile(`tocsin explain [0-9a-f]{12}\b`), "tocsin explain ID"},
	{regexp.MustCompile(`\bLab log [AB] #`), "LOG #"}, // either may be read first
	{regexp.MustCompile(`20(2[7-9]|[3-9]\d)-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`logged 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC: [0-9dhms]+ apart`), "logged TIME: LONG apart"},
	{regexp.MustCompile(`\bincident [0-9a-f]{12}\b`), "incident ID"},
	{regexp.MustCompile(`\b2026-(0[4-9]|1[0-2])-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
}

func plainCmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: plain FILE TO")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK"), "WORK")
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.by)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
	fmt.Fprint(ts.Stdout(), text)
}

func damageCmd(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	for i := 4096; i < len(b); i++ {
		b[i] ^= 0x5a
	}
	ts.Check(os.WriteFile(path, b, 0o600))
}
