package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Serve serves the log in a directory on a free port of 127.0.0.1, whose address it prints, until ctx is done or in
// ends. It is the other process of measurements over HTTP: its CPU time is not ours.
func Serve(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	l, err := Open(dir)
	if err != nil {
		return err
	}
	s, err := listen(l)
	if err != nil {
		return err
	}
	defer s.close()
	if _, err := fmt.Fprintln(out, s.dial); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in) // until who asked for us is gone
	}()
	<-ctx.Done()
	return nil
}

// local is a log that this process serves.
type local struct {
	dial string
	srv  *http.Server
}

func listen(h http.Handler) (*local, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a log: %w", err)
	}
	s := &local{dial: "http://" + ln.Addr().String(), srv: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}}
	go func() { _ = s.srv.Serve(ln) }() // until close
	return s, nil
}

func (s *local) close() { _ = s.srv.Close() }

// server is a log that another process serves.
type server struct {
	dial  string
	cmd   *exec.Cmd
	stdin io.Closer
}

func (o *Options) serve(ctx context.Context, l *Log) (*server, error) {
	cmd := exec.CommandContext(ctx, o.Program[0], append(o.Program[1:], "bench", "serve", l.Dir)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a process that serves a log: %w", err)
	}
	s := &server{cmd: cmd, stdin: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if s.dial = strings.TrimSpace(line); err != nil || s.dial == "" {
		return nil, errors.Join(fmt.Errorf("the process that serves a log said %q", line), err, s.stop())
	}
	return s, nil
}

func (s *server) stop() error {
	_ = s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("serving a log: %w", err)
	}
	return nil
}
