package drill

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// process is the program under drill.
type process struct {
	cmd   *exec.Cmd
	lines chan line
	done  chan struct{}
	err   error

	mu     sync.Mutex
	stderr []byte

	stopping sync.Once
}

// line is one JSON line that the program printed, as far as the drill reads it.
type line struct {
	Kind     string `json:"kind"`
	Level    string `json:"level"`
	Issuance string `json:"issuance"`
	Matched  []struct {
		Watch, Item, Where, Value string
	} `json:"matched"`
	Issuer struct {
		Name   string
		Proven bool
	} `json:"issuer"`
	Reasons []struct {
		Rule, Observed, Wanted, Config, Text string
		Held                                 bool
	} `json:"reasons"`
	Fault struct {
		Kind    string `json:"kind"`
		LogName string `json:"log_name"`
	} `json:"fault"`

	read time.Time
	text string
}

func start(ctx context.Context, program string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, program, args...), lines: make(chan line, 1024), done: make(chan struct{})}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	p.cmd.WaitDelay = 10 * time.Second
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = writerFunc(p.complain)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the program under drill: %w", err)
	}
	go func() {
		defer close(p.done)
		p.read(out)
		p.err = p.cmd.Wait()
		close(p.lines)
	}()
	return p, nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// maxComplaints bounds what is kept of the standard error.
const maxComplaints = 2000

func (p *process) complain(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stderr = append(p.stderr, b...)
	if n := len(p.stderr) - maxComplaints; n > 0 {
		p.stderr = p.stderr[n:]
	}
	return len(b), nil
}

func (p *process) complaints() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.TrimSpace(string(p.stderr))
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		l := line{read: time.Now(), text: s.Text()}
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			l = line{Kind: "garbage", text: s.Text(), read: l.read}
		}
		p.lines <- l
	}
	_, _ = io.Copy(io.Discard, r) // a line beyond all bounds: let the process end
}

// stop ends the process as a person would, and says whether it ended well.
func (p *process) stop() error {
	p.stopping.Do(func() {
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			_ = p.cmd.Process.Kill() // where there is no such signal
		}
		kill := time.AfterFunc(15*time.Second, func() { _ = p.cmd.Process.Kill() })
		defer kill.Stop()
		for range p.lines { // it must not wait for its reader
		}
		<-p.done
	})
	<-p.done
	return p.err
}

func (l *line) rings() bool { return l.Kind == "alarm" || l.Kind == "page" }

func (l *line) loud() string { return strings.ToUpper(l.Kind) }

func (l *line) matched() string {
	if len(l.Matched) == 0 {
		return "nothing is named"
	}
	m := l.Matched[0]
	more := ""
	if n := len(l.Matched) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("watch %q: %s touches %s (%s)%s", m.Watch, m.Value, m.Item, m.Where, more)
}

// why is the first clause that did not hold.
func (l *line) why() string {
	for _, r := range l.Reasons {
		if !r.Held {
			return fmt.Sprintf("%s: %s; signed by %s", r.Rule, shorten(r.Text), l.Issuer.Name)
		}
	}
	return "no reason was given"
}

// longHash is a SHA-256 in hex: for a person its first digits are enough.
var longHash = regexp.MustCompile(`\b([0-9a-f]{12})[0-9a-f]{52}\b`)

func shorten(text string) string { return longHash.ReplaceAllString(text, "$1…") }

func (l *line) clauses() []string {
	var out []string
	for _, r := range l.Reasons {
		held := "no "
		if r.Held {
			held = "yes"
		}
		out = append(out, fmt.Sprintf("%s %s: %s", held, r.Rule, shorten(r.Text)))
	}
	return out
}

// lacks says what is missing in an alarm: the rule among the clauses that did not hold, and the text anywhere.
func (l *line) lacks(rule, text string) string {
	found := rule == ""
	for _, r := range l.Reasons {
		found = found || r.Rule == rule && !r.Held
	}
	switch {
	case !found:
		return fmt.Sprintf("%q is not among the clauses that did not hold", rule)
	case text != "" && !strings.Contains(l.text, text):
		return fmt.Sprintf("%q is not in the alarm", text)
	}
	return ""
}
