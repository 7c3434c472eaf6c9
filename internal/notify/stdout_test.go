package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestStdoutWritesTextOrOneLineOfJSON(t *testing.T) {
	n := Notice{ID: "1", Text: "ALARM  x\nnext: y", Payload: json.RawMessage("{\n  \"id\": \"1\"\n}")}
	for _, row := range []struct {
		name string
		json bool
		want string
	}{
		{"text", false, "ALARM  x\nnext: y\n"},
		{"json", true, "{\"id\":\"1\"}\n"},
	} {
		var b bytes.Buffer
		if err := NewStdout(&b, &StdoutOptions{JSON: row.json}).Send(t.Context(), n); err != nil || b.String() != row.want {
			t.Errorf("%s: %q, %v", row.name, b.String(), err)
		}
	}
	var b bytes.Buffer
	if err := NewStdout(&b, &StdoutOptions{JSON: true}).Send(t.Context(), Notice{Payload: json.RawMessage("{")}); err == nil || b.Len() > 0 {
		t.Errorf("a broken document was written: %q", b.String())
	}
}

// pipe fails, stops short or blocks on demand.
type pipe struct {
	mu    sync.Mutex
	b     bytes.Buffer
	fail  error
	short int // bytes taken before fail
	block chan struct{}
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.block != nil {
		<-p.block
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		p.b.Write(b[:p.short])
		return p.short, p.fail
	}
	return p.b.Write(b)
}

func TestStdoutThatCannotBeWrittenHasTakenNothing(t *testing.T) {
	p := &pipe{fail: syscall.EPIPE}
	s := NewStdout(p, nil)
	if err := s.Send(t.Context(), Notice{Text: "one"}); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("Send = %v", err)
	}
	p.short = 2
	if err := s.Send(t.Context(), Notice{Text: "one"}); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("Send = %v", err)
	}
	p.short = 0
	s.Send(t.Context(), Notice{Text: "one"})
	p.fail = nil
	for _, text := range []string{"one", "two"} {
		if err := s.Send(t.Context(), Notice{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff("on\none\ntwo\n", p.b.String()); d != "" {
		t.Error("a line that was torn must not spoil the next one:", d)
	}
	if err := NewStdout(shortWriter{}, nil).Send(t.Context(), Notice{Text: "x"}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("short write: %v", err)
	}
}

type shortWriter struct{}

func (shortWriter) Write(b []byte) (int, error) { return len(b) - 1, nil }

func TestStdoutThatNobodyReadsIsLeftAndDoesNotRepeat(t *testing.T) {
	p := &pipe{block: make(chan struct{})}
	s := NewStdout(p, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := s.Send(ctx, Notice{ID: "1", Text: "one"}); !errors.Is(err, context.Canceled) {
			t.Fatalf("Send = %v", err)
		}
	}
	close(p.block) // somebody reads again
	if err := s.Send(t.Context(), Notice{ID: "1", Text: "one"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t.Context(), Notice{ID: "2", Text: "two"}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("one\ntwo\n", p.b.String()); d != "" {
		t.Error(d)
	}
}

func FuzzEscapeJSON(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31m", "\u202egnp.exe", "\u009b31m", "\U000e0041 \U0001f512", "\x7f\xfe\\\"", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		in, err := encode(map[string]string{"v": s})
		if err != nil {
			t.Fatal(err)
		}
		out := escapeJSON(in)
		for _, r := range string(out) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q is left in %q", r, out)
			}
		}
		var a, b map[string]string
		if err := json.Unmarshal(out, &b); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if err := json.Unmarshal(in, &a); err != nil || a["v"] != b["v"] {
			t.Fatalf("%q became %q", a["v"], b["v"])
		}
	})
}

func TestJSONLinesHoldNothingThatMovesATerminal(t *testing.T) {
	var b bytes.Buffer
	payload := json.RawMessage("{\"v\":\"a\u202eb\u009bc\x7fd\u2066\xff\U000e0041ü\"}")
	if err := NewStdout(&b, &StdoutOptions{JSON: true}).Send(t.Context(), Notice{Payload: payload}); err != nil {
		t.Fatal(err)
	}
	want := `{"v":"a\u202eb\u009bc\u007fd\u2066\ufffd\udb40\udc41ü"}` + "\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Error("left")
	}
}
