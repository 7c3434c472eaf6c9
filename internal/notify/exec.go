package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Exec tells a program: it is started for each message, with the JSON of the message on its standard input. It has
// taken the message when it ends with 0; anything else is a failure, and the message is sent again later.
//
// No shell is between: the arguments are passed as they are, and nothing of a message is among them. The environment
// holds PATH, HOME, what the options add, TOCSIN_ALARM_ID (the stable id, so that the program can know a repeat) and
// TOCSIN_KIND.
type Exec struct {
	name string
	argv []string
	opts ExecOptions
}

// ExecOptions of [NewExec]. The zero value is right.
type ExecOptions struct {
	// Wants is [Receiver.Wants]; nil means alarm and above.
	Wants func(level string) bool
	// Timeout is how long the program may take; then it is killed, on unix with all that it started. 0 means 30 s.
	Timeout time.Duration
	// Dir is its working directory; empty means ours.
	Dir string
	// Env is added to its environment, each as KEY=value.
	Env []string
	// CertSpotter adds the environment that hooks of Cert Spotter read.
	CertSpotter bool
}

// NewExec returns a receiver that runs argv. It does not look for the program: that may be installed later.
func NewExec(name string, argv []string, o *ExecOptions) (*Exec, error) {
	if name == "" || len(argv) == 0 || argv[0] == "" {
		return nil, errors.New("exec receiver needs a name and a program")
	}
	e := &Exec{name: name, argv: argv}
	if o != nil {
		e.opts = *o
	}
	if e.opts.Wants == nil {
		e.opts.Wants = AtLeast("alarm")
	}
	if e.opts.Timeout <= 0 {
		e.opts.Timeout = 30 * time.Second
	}
	return e, nil
}

// Name implements [Receiver].
func (e *Exec) Name() string { return e.name }

// Wants implements [Receiver].
func (e *Exec) Wants(level string) bool { return e.opts.Wants(level) }

// Stream implements [Receiver]: each issuance by itself.
func (e *Exec) Stream() bool { return true }

// maxOutput is how much of what the program prints is kept for the error text, in bytes. The rest is read and dropped.
const maxOutput = 300

// Send implements [Receiver].
func (e *Exec) Send(ctx context.Context, n Notice) error {
	limited, cancel := context.WithTimeout(ctx, e.opts.Timeout)
	defer cancel()
	cmd := exec.CommandContext(limited, e.argv[0], e.argv[1:]...)
	cmd.Dir = e.opts.Dir
	cmd.Env = []string{}
	for _, key := range []string{"PATH", "HOME"} {
		if v, ok := os.LookupEnv(key); ok {
			cmd.Env = append(cmd.Env, key+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, e.opts.Env...)
	if e.opts.CertSpotter {
		env, files, err := certSpotterHook(n)
		if err != nil {
			return err
		}
		defer files.remove()
		cmd.Env = append(cmd.Env, env...)
	}
	cmd.Env = append(cmd.Env, "TOCSIN_ALARM_ID="+Safe(n.ID, 100), "TOCSIN_KIND="+Safe(n.Kind, 100))
	cmd.Stdin = bytes.NewReader(append(append([]byte(nil), n.Payload...), '\n'))
	var out firstBytes
	cmd.Stdout, cmd.Stderr = &out, &out
	ownGroup(cmd)
	// After the kill, or when a grandchild keeps our pipes open behind a program that has ended.
	cmd.WaitDelay = 2 * time.Second

	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState != nil && cmd.ProcessState.Success() && limited.Err() == nil {
		err = nil
	}
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("killed after %s", e.opts.Timeout)
	}
	said := Safe(strings.TrimSpace(string(out.b)), maxOutput)
	if said == "" {
		return fmt.Errorf("running %s: %w", e.argv[0], err)
	}
	return fmt.Errorf("running %s: %w; it said: %s", e.argv[0], err, said)
}

// firstBytes keeps the first bytes written to it.
type firstBytes struct{ b []byte }

func (f *firstBytes) Write(p []byte) (int, error) {
	f.b = append(f.b, p[:min(len(p), maxOutput-len(f.b))]...)
	return len(p), nil
}
