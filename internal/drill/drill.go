// Package drill rings on purpose: it replays an incident against the real program.
//
// The lab issues the certificates and runs the logs on loopback; the program under drill is `tocsin watch` as a process
// of its own that reads these logs over TCP. The drill sees nothing of it but what it prints. It promises that a
// scenario passes only when every certificate that must ring rang once and for the right reason, every other one was
// seen and stayed silent, and a log that then signs a root which its entries do not have was caught: a matcher, an
// outbox or a verification that does nothing makes it fail. Nothing leaves this machine, and all files are removed.
package drill

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
)

// Options of [Run]. Program is required.
type Options struct {
	// Program is the tocsin to drill.
	Program string
	// Patience bounds each wait; default 30 s.
	Patience time.Duration
	// Poll is how often the program looks at the logs; default 100 ms.
	Poll time.Duration
	// Renewals is the number of legitimate certificates; 0 means the number of the scenario.
	Renewals int
	// Progress gets the time line as it happens; nil discards it.
	Progress io.Writer
}

// Outcome is how one scenario ended. Its JSON is one line of `tocsin drill --json`.
type Outcome struct {
	Scenario string   `json:"scenario"`
	Want     lab.Want `json:"want"`
	// Rang says whether anything rang.
	Rang bool `json:"rang"`
	OK   bool `json:"ok"`
	// Latency is the longest time from the submission of a certificate that must ring to its alarm; where nothing
	// must ring, to the line that says that it was filed. In milliseconds.
	Latency int64 `json:"latency_ms"`
	// Rings counts the certificates that rang, Filed those that were seen and stayed silent.
	Rings int `json:"rings"`
	Filed int `json:"filed"`
	// Problems says why OK is false.
	Problems []string `json:"problems,omitempty"`
	// Decided are the reasons of the first ring, for people.
	Decided []string `json:"decided,omitempty"`
}

// Run plays one scenario. An error means that it could not be played; how it ended stands in the outcome.
func Run(ctx context.Context, sc lab.Scenario, opts Options) (*Outcome, error) {
	if opts.Patience <= 0 {
		opts.Patience = 30 * time.Second
	}
	if opts.Poll <= 0 {
		opts.Poll = 100 * time.Millisecond
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	dir, err := os.MkdirTemp("", "tocsin-drill-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	plan, err := sc.Build(&lab.World{Dir: dir, Renewals: opts.Renewals})
	if err != nil {
		return nil, fmt.Errorf("building scenario %s: %w", sc.Name, err)
	}
	for name, b := range plan.Files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			return nil, err
		}
	}
	l, err := lab.Start(ctx, &lab.Options{Roots: plan.Roots})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	config, list := filepath.Join(dir, "tocsin.yaml"), filepath.Join(dir, "loglist.json")
	if err := errors.Join(os.WriteFile(config, []byte(plan.Config), 0o600), l.WriteLogList(list)); err != nil {
		return nil, err
	}
	d := &drill{opts: opts, lab: l, out: &Outcome{Scenario: sc.Name, Want: sc.Want}, subs: map[string]*submitted{}, begin: time.Now()}
	d.watch, err = start(ctx, opts.Program, "watch", "--json", "--config", config, "--logs", list,
		"--state", filepath.Join(dir, "tocsin.db"), "--poll", opts.Poll.String())
	if err != nil {
		return nil, err
	}
	defer d.watch.stop()
	d.say("drill", "%s: %s", sc.Name, sc.About)
	d.say("lab", "one log of each kind on 127.0.0.1; nothing leaves this machine")
	if err := d.play(ctx, plan); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		d.problem("%v", err)
	} else {
		d.verified(ctx)
	}
	if err := d.watch.stop(); err != nil {
		d.problem("the watch process ended badly: %v", err)
	}
	if len(d.out.Problems) > 0 {
		if tail := d.watch.complaints(); tail != "" {
			d.problem("it said: %s", tail)
		}
	}
	d.judge()
	return d.out, nil
}

// submitted is one issuance on its way.
type submitted struct {
	lab.Submission
	at    time.Time
	lines []line // what was printed of it
	after time.Duration
}

type drill struct {
	opts    Options
	lab     *lab.Lab
	watch   *process
	out     *Outcome
	begin   time.Time
	subs    map[string]*submitted // by identity of the issuance
	order   []*submitted
	unknown int // lines about issuances that nobody submitted
	faults  []string
}

func (d *drill) say(what, format string, args ...any) {
	fmt.Fprintf(d.opts.Progress, "%7.2fs  %-8s %s\n", time.Since(d.begin).Seconds(), what, fmt.Sprintf(format, args...))
}

func (d *drill) problem(format string, args ...any) {
	p := fmt.Sprintf(format, args...)
	d.out.Problems = append(d.out.Problems, p)
	d.say("PROBLEM", "%s", p)
}

// play submits everything and waits until all that touches a watch was printed.
func (d *drill) play(ctx context.Context, plan *lab.Plan) error {
	if err := d.await(ctx, "the watch did not become ready", func(l line) bool { return l.Kind == "ready" }, nil); err != nil {
		return err
	}
	d.say("watching", "tocsin watch runs as process %d, reading both logs", d.watch.pid())
	for _, s := range plan.Submissions {
		sub := &submitted{Submission: s}
		if err := d.submit(ctx, sub); err != nil {
			return err
		}
	}
	quiet, rogue := 0, 0
	for _, s := range d.order {
		if s.Rings {
			rogue++
		} else {
			quiet++
		}
	}
	d.say("logged", "%d certificates that were promised or are no concern, %d that were not", quiet, rogue)
	return d.await(ctx, "not everything that touches a watch was told", nil, d.complete)
}

func (d *drill) submit(ctx context.Context, s *submitted) error {
	d.drainLines()
	s.at = time.Now()
	id := cert.Identity(s.Issued.TBS, s.Issued.IssuerKeyHash())
	d.subs[id.String()] = s
	d.order = append(d.order, s)
	if _, err := d.lab.Play(ctx, s.Submission); err != nil {
		return err
	}
	if s.Rings {
		d.say("logged", "%s", s.Label)
	}
	return nil
}

// complete says whether everything was told. What concerns no watch is never told, so that a neighbour is known to be
// silent only when everything else was told and the logs were read to their ends, which the last check waits for.
func (d *drill) complete() bool {
	for _, s := range d.order {
		if len(s.lines) == 0 && !s.Neighbour {
			return false
		}
	}
	return true
}

// verified makes the RFC 6962 log lie and waits until the watch says so. The lie comes with one more entry, so that
// nothing submitted before is still unread when it is caught.
func (d *drill) verified(ctx context.Context) {
	d.lab.RFC6962.Faults.Set(fault.Faults{WrongRoot: true})
	d.say("lie", "log A signs a root that its entries do not have")
	root, err := ca.NewRoot("Lying Root", nil)
	if err == nil {
		var bait *ca.Issued
		if bait, err = root.Issue(ca.Leaf{CN: "bait.example", DNS: []string{"bait.example"}}); err == nil {
			d.lab.AddRoot(root.Cert)
			_, err = d.lab.AddPreChain(ctx, lab.ToRFC6962, bait.Precert, bait.Chain)
		}
	}
	if err != nil {
		d.problem("the lie could not be told: %v", err)
		return
	}
	at := time.Now()
	err = d.await(ctx, "the wrong root of log A was not noticed", func(l line) bool {
		return l.Kind == "fault" && l.Fault.Kind == "wrong-root" && l.Fault.LogName == "Lab log A"
	}, nil)
	if err != nil {
		d.problem("%v", err)
		return
	}
	d.say("caught", "the wrong root was noticed after %.2fs, with evidence", time.Since(at).Seconds())
}

// await reads lines until one is wanted or done says so.
func (d *drill) await(ctx context.Context, otherwise string, wanted func(line) bool, done func() bool) error {
	late := time.NewTimer(d.opts.Patience)
	defer late.Stop()
	for {
		if done != nil && done() {
			return nil
		}
		select {
		case l, ok := <-d.watch.lines:
			if !ok {
				return fmt.Errorf("%s: the watch process ended", otherwise)
			}
			d.take(l)
			if wanted != nil && wanted(l) {
				return nil
			}
		case <-late.C:
			return fmt.Errorf("%s within %s", otherwise, d.opts.Patience)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drainLines takes what was printed so far.
func (d *drill) drainLines() {
	for {
		select {
		case l, ok := <-d.watch.lines:
			if !ok {
				return
			}
			d.take(l)
		default:
			return
		}
	}
}

func (d *drill) take(l line) {
	if l.Issuance == "" {
		if l.Kind == "fault" {
			d.faults = append(d.faults, l.Fault.Kind+" of "+l.Fault.LogName)
		}
		return
	}
	s := d.subs[l.Issuance]
	if s == nil {
		d.unknown++
		d.problem("a line about issuance %s, which nobody submitted", short(l.Issuance))
		return
	}
	s.lines = append(s.lines, l)
	if len(s.lines) == 1 {
		s.after = l.read.Sub(s.at)
	}
	if l.rings() {
		d.say("seen", "%s", l.matched())
		d.say(l.loud(), "%s", l.why())
		d.say("told", "standard output, %.2fs after it was submitted", s.after.Seconds())
		if d.out.Decided == nil {
			d.out.Decided = l.clauses()
		}
	}
}

// judge compares what was printed with what should have been.
func (d *drill) judge() {
	var slowest, slowestQuiet time.Duration
	for _, s := range d.order {
		rings := 0
		for _, l := range s.lines {
			if l.rings() {
				rings++
			}
		}
		if rings > 0 {
			d.out.Rings++
			d.out.Rang = true
		} else if len(s.lines) > 0 {
			d.out.Filed++
			slowestQuiet = max(slowestQuiet, s.after)
		}
		switch {
		case s.Rings && rings == 0:
			d.problem("%s did not ring", s.Label)
		case s.Rings && rings > 1:
			d.problem("%s rang %d times", s.Label, rings)
		case !s.Rings && rings > 0:
			d.problem("%s rang and should not have", s.Label)
		case s.Rings:
			slowest = max(slowest, s.after)
			if why := s.lines[0].lacks(s.Rule, s.Reason); why != "" {
				d.problem("%s rang for another reason: %s", s.Label, why)
			}
		}
		if s.Neighbour && len(s.lines) > 0 {
			d.problem("%s was filed and should touch nothing", s.Label)
		}
	}
	if !d.out.Rang {
		slowest = slowestQuiet
	}
	d.out.Latency = slowest.Milliseconds()
	d.out.OK = len(d.out.Problems) == 0 && d.out.Rang == (d.out.Want == lab.Ring)
}

func short(id string) string {
	if b, err := hex.DecodeString(id); err == nil && len(b) > 6 {
		return id[:12]
	}
	return "?"
}
