package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// Stdout writes messages to a stream: as text, or as JSON lines. A message is taken when the whole of it was written;
// what cannot be written (a closed pipe, a full disk) is sent again later.
//
// The process must ignore SIGPIPE, or the kernel ends it on the first write into a closed pipe.
type Stdout struct {
	name  string
	wants func(string) bool
	json  bool
	w     io.Writer

	// stuck is a write that outlived its Send; the next Send of the same message takes over its result.
	stuck *writing
	// torn is set when a write stopped in the middle of a line. Owned by the one write that is under way.
	torn bool
}

type writing struct {
	id   string
	done chan struct{}
	err  error
}

// StdoutOptions of [NewStdout]. The zero value writes text of every level under the name "stdout".
type StdoutOptions struct {
	Name string
	JSON bool
	// Wants is [Receiver.Wants]; nil means every level.
	Wants func(level string) bool
}

// NewStdout returns a receiver that writes to w, in one Write per message.
func NewStdout(w io.Writer, o *StdoutOptions) *Stdout {
	var opts StdoutOptions
	if o != nil {
		opts = *o
	}
	if opts.Name == "" {
		opts.Name = "stdout"
	}
	if opts.Wants == nil {
		opts.Wants = func(string) bool { return true }
	}
	return &Stdout{name: opts.Name, wants: opts.Wants, json: opts.JSON, w: w}
}

// Name implements [Receiver].
func (s *Stdout) Name() string { return s.name }

// Wants implements [Receiver].
func (s *Stdout) Wants(level string) bool { return s.wants(level) }

// Stream implements [Receiver]: each issuance by itself.
func (s *Stdout) Stream() bool { return true }

// Send implements [Receiver]. A write into a pipe that nobody reads cannot be broken off: it goes on when ctx ends,
// and the next Send waits for it.
func (s *Stdout) Send(ctx context.Context, n Notice) error {
	if s.stuck != nil {
		select {
		case <-s.stuck.done:
			same, err := s.stuck.id == n.ID, s.stuck.err
			s.stuck = nil
			if same && err == nil {
				return nil // it was written after all
			}
		case <-ctx.Done():
			return fmt.Errorf("writing to %s: %w", s.name, ctx.Err())
		}
	}
	line, err := s.line(n)
	if err != nil {
		return err
	}
	w := &writing{id: n.ID, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = s.write(line)
	}()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		s.stuck = w
		return fmt.Errorf("writing to %s: %w", s.name, ctx.Err())
	}
}

func (s *Stdout) write(line []byte) error {
	if s.torn {
		// End the broken line, so that this one can be read.
		line = append([]byte{'\n'}, line...)
	}
	n, err := s.w.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.torn = n > 0 && line[n-1] != '\n' || n == 0 && s.torn
		return fmt.Errorf("writing to %s: %w", s.name, err)
	}
	s.torn = false
	return nil
}

func (s *Stdout) line(n Notice) ([]byte, error) {
	if !s.json {
		return append([]byte(n.Text), '\n'), nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, n.Payload); err != nil {
		return nil, fmt.Errorf("message %s: %w", n.ID, err)
	}
	return append(escapeJSON(b.Bytes()), '\n'), nil
}

// escapeJSON writes as \uNNNN what would disturb a terminal: such characters stand inside strings only, where the
// escape means the same.
func escapeJSON(b []byte) []byte {
	ok := true
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			ok = false
			break
		}
	}
	if ok {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r < 0x80 && r >= 0x20 && r != 0x7f, unicode.IsPrint(r) && r != utf8.RuneError:
			out = append(out, b[:n]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}
