package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// daemon is a tocsin watch of its own process.
type daemon struct {
	cmd   *exec.Cmd
	state string
	ready chan struct{}
	done  chan struct{}

	mu    sync.Mutex
	rings map[string]time.Time // by what matched: when the line of the alarm was read
}

// watch starts a daemon that follows the logs from their beginning.
func (o *Options) watch(ctx context.Context, dir string, logs []loglist.Log, poll time.Duration, items ...string) (*daemon, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	list, err := loglist.Marshal(&loglist.List{Version: "1.0", Timestamp: time.Now().UTC(), Logs: logs})
	if err != nil {
		return nil, err
	}
	at := filepath.Join(dir, "loglist.json")
	if err := os.WriteFile(at, list, 0o600); err != nil {
		return nil, err
	}
	d := &daemon{ready: make(chan struct{}), done: make(chan struct{}), rings: map[string]time.Time{}, state: filepath.Join(dir, "state.db")}
	args := append(o.Program[1:], "watch", "--json", "--from", "start", "--poll", poll.String(), "--logs", at, "--state", d.state)
	d.cmd = exec.CommandContext(ctx, o.Program[0], append(args, items...)...)
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(os.Interrupt) }
	d.cmd.WaitDelay = 10 * time.Second
	d.cmd.Dir = dir // no config of the user
	var complaints strings.Builder
	d.cmd.Stderr = &complaints
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting tocsin watch: %w", err)
	}
	go d.read(out)
	select {
	case <-d.ready:
		return d, nil
	case <-d.done:
	case <-time.After(time.Minute):
	}
	return nil, errors.Join(fmt.Errorf("tocsin watch does not get ready: %s", strings.TrimSpace(complaints.String())), d.stop())
}

// read takes the lines of the daemon until it ends.
func (d *daemon) read(out io.Reader) {
	defer close(d.done)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		now := time.Now()
		var l struct {
			Kind    string
			Matched []struct{ Value string }
		}
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		if l.Kind == "ready" {
			close(d.ready)
		}
		d.mu.Lock()
		for _, m := range l.Matched {
			if _, rang := d.rings[m.Value]; !rang {
				d.rings[m.Value] = now
			}
		}
		d.mu.Unlock()
	}
}

func (d *daemon) rang(value string) (at time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok = d.rings[value]
	return at, ok
}

// stop ends the daemon as a person would. That it rang is no error.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		_ = d.cmd.Process.Kill()
	}
	<-d.done
	err := d.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == 1 || exit.ExitCode() == 3) {
		return nil
	}
	return err
}

// cpu is what the daemon used; after stop.
func (d *daemon) cpu() time.Duration {
	return d.cmd.ProcessState.UserTime() + d.cmd.ProcessState.SystemTime()
}

// resident is the resident memory of the daemon in MB, 0 where the system does not tell.
func (d *daemon) resident() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kb * 1024 / 1e6
		}
	}
	return 0
}

// sleep waits, or ends early with the context.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
