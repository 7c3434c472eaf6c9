// Command tocsin rings when a certificate authority issues a certificate for your names or addresses without your
// permission.
//
// One file holds one command. Results go to standard output, progress and errors to standard error. The exit status
// is 0 when quiet, 1 when there was a surprise, 2 for a mistake in the call or the config, and 3 when something could
// not be seen; 1 wins over 3.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // windows of routes and times of the digest, also where the system has no zones

	"github.com/alecthomas/kong"

	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/notify"
)

// Exit statuses, as docs/commands.md names them.
const (
	exitQuiet    = 0
	exitSurprise = 1
	exitUsage    = 2
	exitBlind    = 3
)

type cli struct {
	Init      initCmd        `cmd:"" help:"Propose a config from zones, key directories, endpoints and what the logs have shown."`
	Watch     watchCmd       `cmd:"" help:"Follow the logs and ring. With no config, ITEMs are names, addresses and networks."`
	Drill     drillCmd       `cmd:"" help:"Ring on purpose: replay an incident through real logs on this machine."`
	Lab       labCmd         `cmd:"" help:"A certificate authority and two logs on loopback, for experiments."`
	Match     matchCmd       `cmd:"" help:"Say what tocsin would make of certificates in files."`
	Expect    expectGroup    `cmd:"" help:"Announce an issuance, so that it does not ring: narrow, counted, expiring."`
	Journal   journalGroup   `cmd:"" help:"Show what is known to be ours, and push a certificate, CSR or key."`
	Token     tokenGroup     `cmd:"" help:"Make, list and revoke the tokens with which programs announce issuances."`
	Report    reportCmd      `cmd:"" help:"Take in a warning from outside: owner, verdict and incident of a certificate."`
	Explain   explainCmd     `cmd:"" help:"Show the decision for one issuance, clause by clause."`
	Incidents incidentsGroup `cmd:"" help:"List what rings, grouped by what belongs together, and show one."`
	Ack       ackCmd         `cmd:"" help:"Say that somebody has seen an incident: it is told no more until there is more of it."`
	Resolve   resolveCmd     `cmd:"" help:"End an incident."`
	Silence   silenceGroup   `cmd:"" help:"Mute what is known, for a time and with a reason."`
	Routes    routesGroup    `cmd:"" help:"Walk through the routes: who would be told, and why."`
	Policy    policyGroup    `cmd:"" help:"Check and test the config and the rules."`
	CAA       caaCmd         `cmd:"" name:"caa" help:"Show what the CAA records of your names said, and when."`
	Logs      logsGroup      `cmd:"" help:"Show what is seen of each log, and what is not; verify evidence; compare views."`
	Lists     listsCmd       `cmd:"" help:"Show the log lists that are in force, and accept an update that was refused."`
	Receivers receiversCmd   `cmd:"" help:"Show who is told, and send a test message."`
	Bench     benchCmd       `cmd:"" help:"Measure what tocsin costs on this machine."`
	Version   versionCmd     `cmd:"" help:"Print the version."`
}

// process is what a command may use of the world around it.
type process struct {
	ctx            context.Context
	stdout, stderr io.Writer
	// seams replaces parts of the daemon: empty outside of tests.
	seams app.Seams
}

func main() {
	os.Exit(run(os.Args[1:], app.Seams{}))
}

// run is main without os.Exit, so that tests can run it as a command of their own binary.
func run(args []string, seams app.Seams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return (&process{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, seams: seams}).run(args)
}

func (p *process) run(args []string) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("tocsin"),
		kong.Description("Rings when a certificate for your names or addresses is issued without your permission."),
		kong.UsageOnError(),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.Bind(p),
		kong.Vars{"scenarios": scenarioNames()},
	)
	if err != nil {
		return p.fail(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		return p.fail(&hintError{err: err, hint: "see: tocsin --help", code: exitUsage})
	}
	return p.fail(k.Run(p))
}

// hintError is an error for the person at the terminal: what is wrong, what to do, and with which status to end.
type hintError struct {
	err  error
	hint string
	code int
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }
func (e *hintError) Hint() string  { return e.hint }

// exitError ends the command with a status and no further word: everything was said on the way.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// fail prints err as every command does and returns the exit status that goes with it.
func (p *process) fail(err error) int {
	if err == nil {
		return exitQuiet
	}
	var exit exitError
	if errors.As(err, &exit) {
		return int(exit)
	}
	if p.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(p.stderr, "tocsin: error: interrupted: not everything was looked at")
		return exitBlind
	}
	p.say(err)
	code := exitUsage
	var withCode *hintError
	if errors.As(err, &withCode) && withCode.code != 0 {
		code = withCode.code
	}
	return code
}

// say prints an error with its hint, and each part of a joined one by itself, so that every hint stands below its error.
func (p *process) say(err error) {
	for _, part := range parts(err) {
		for line := range strings.Lines(part.text) {
			prefix := "tocsin: error: "
			if line[0] == ' ' { // of an excerpt
				prefix = ""
			}
			fmt.Fprintf(p.stderr, "%s%s\n", prefix, notify.Safe(strings.TrimRight(line, "\n"), 2000))
		}
		if part.hint != "" {
			fmt.Fprintf(p.stderr, "tocsin: hint: %s\n", notify.Safe(part.hint, 2000))
		}
	}
}

// part is one of several errors that came together.
type part struct{ text, hint string }

// parts takes joined errors apart, also below others that say what was being done.
func parts(err error) []part {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		if list := e.Unwrap(); len(list) > 0 && err.Error() == errors.Join(list...).Error() {
			var out []part
			for _, inner := range list {
				out = append(out, parts(inner)...)
			}
			return out
		}
	case interface{ Unwrap() error }:
		inner := e.Unwrap()
		if inner == nil {
			break
		}
		out := parts(inner)
		before, ok := strings.CutSuffix(err.Error(), inner.Error())
		if len(out) < 2 || !ok {
			break
		}
		for i := range out {
			out[i].text = before + out[i].text
		}
		if h, ok := err.(*hintError); ok {
			out[len(out)-1].hint = h.hint
		}
		return out
	}
	return []part{{err.Error(), hintOf(err)}}
}

// hintOf finds what an error says there is to do.
func hintOf(err error) string {
	var a interface{ Hint() string }
	if errors.As(err, &a) {
		return a.Hint()
	}
	var b interface{ HintText() string }
	if errors.As(err, &b) {
		return b.HintText()
	}
	return ""
}
