package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// told is one message that a receiver got.
type told struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Issuance string `json:"issuance"`
	Fault    struct {
		Kind    string `json:"kind"`
		LogName string `json:"log_name"`
	} `json:"fault"`
	Event struct { // of a log list
		Kind string `json:"kind"`
		Text string `json:"text"`
	} `json:"event"`
	Certificate struct {
		DNSNames      []string `json:"dns_names"`
		DNSNamesTotal int      `json:"dns_names_total"`
	} `json:"certificate"`
	Matched []struct {
		Value string `json:"value"`
	} `json:"matched"`
	at   time.Time // when it was read
	last bool      // nothing about an issuance followed before the process ended
}

func (l *told) rings() bool { return l.Kind == "alarm" || l.Kind == "page" }

// daemon is a running `tocsin watch`.
type daemon struct {
	t      testing.TB
	cmd    *exec.Cmd
	stderr lockedBuffer
	done   chan struct{} // closed when it has ended and all output was read

	mu    sync.Mutex
	lines []told
	news  chan struct{} // closed and renewed with each line
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// command makes a call of the program.
func (w *world) command(env []string, args ...string) *exec.Cmd {
	path, environ := program(w.t, append([]string{"GORACE=atexit_sleep_ms=0"}, env...)...)
	all := append(append(slices.Clone(w.under), path), args...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Env, cmd.Dir = environ, w.dir
	return cmd
}

// watch starts the daemon. It is ended with the test at the latest.
func (w *world) watch(env []string, args ...string) *daemon {
	w.t.Helper()
	args = append([]string{"watch", "--config", w.path("tocsin.yaml"), "--state", w.path("state.db"), "--logs", w.path("list.json"),
		"--poll", w.poll.String(), "--json"}, args...)
	d := &daemon{t: w.t, cmd: w.command(env, args...), done: make(chan struct{}), news: make(chan struct{})}
	d.cmd.Stderr = &d.stderr
	out, err := d.cmd.StdoutPipe()
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(d.done)
		r := bufio.NewReader(out)
		for {
			b, err := r.ReadBytes('\n')
			if err != nil { // what is not a whole line was never said
				break
			}
			l := told{at: time.Now()}
			if err := json.Unmarshal(b, &l); err != nil {
				l.Kind = "garbage: " + string(b)
			}
			d.mu.Lock()
			d.lines = append(d.lines, l)
			close(d.news)
			d.news = make(chan struct{})
			d.mu.Unlock()
		}
		_ = d.cmd.Wait() // the status stands in ProcessState
	}()
	w.t.Cleanup(func() {
		d.kill()
		if strings.Contains(d.stderr.String(), "DATA RACE") { // a process that was killed cannot say it by its status
			w.t.Errorf("the watch process said: %s", d.stderr.String())
		}
	})
	return d
}

// told is all that was printed so far.
func (d *daemon) told() []told {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := slices.Clone(d.lines)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i].Issuance != "" {
			out[i].last = true
			break
		}
	}
	return out
}

// await returns the first line that is wanted, of those printed already or yet to come.
func (d *daemon) await(what string, wanted func(*told) bool) told {
	d.t.Helper()
	late := time.After(patience)
	for seen := 0; ; {
		d.mu.Lock()
		lines, news := d.lines, d.news
		d.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if wanted(&lines[seen]) {
				return lines[seen]
			}
		}
		select {
		case <-news:
		case <-d.done:
			d.mu.Lock()
			more := len(d.lines) > seen
			d.mu.Unlock()
			if !more {
				d.t.Fatalf("%s: the process ended (%v) and said: %s", what, d.cmd.ProcessState, d.stderr.String())
			}
		case <-late:
			d.t.Fatalf("%s: not within %v; it said: %s", what, patience, d.stderr.String())
		}
	}
}

func (d *daemon) ready() {
	d.t.Helper()
	d.await("ready", func(l *told) bool { return l.Kind == "ready" })
}

func (d *daemon) rings(i *ca.Issued) told {
	d.t.Helper()
	return d.await("the alarm", func(l *told) bool { return l.rings() && l.Issuance == idOf(i) })
}

// kill ends the process by SIGKILL, if it has not ended.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done
}

// wait waits for the end and returns the exit status.
func (d *daemon) wait() int {
	d.t.Helper()
	select {
	case <-d.done:
	case <-time.After(patience):
		d.t.Fatalf("the process does not end; it said: %s", d.stderr.String())
	}
	return d.cmd.ProcessState.ExitCode()
}

// stop ends the process as a person would.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Fatal(err)
	}
	if code := d.wait(); code != 0 {
		d.t.Fatalf("it ended with %d and said: %s", code, d.stderr.String())
	}
}
