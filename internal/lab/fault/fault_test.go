package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/wire"
)

// log is a handler that is well: 3000 bytes for entries, a word for heads.
func log(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "get-sth") {
		_, _ = io.WriteString(w, "head")
		return
	}
	_, _ = io.WriteString(w, strings.Repeat("entries ", 375))
}

// answer is what came of a request: status, how many bytes, the error.
type answer struct {
	Status, Bytes int
	Err           string
	Header        http.Header
}

func get(t *testing.T, rt http.RoundTripper, path string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://log.example.com/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return answer{Err: word(err)}
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return answer{Status: resp.StatusCode, Bytes: len(b), Err: word(err), Header: resp.Header}
}

func word(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cut"
	case errors.Is(err, context.DeadlineExceeded):
		return "late"
	}
	return err.Error()
}

func TestEachFaultOfAnswersByItsName(t *testing.T) {
	const entries, head = "ct/v1/get-entries", "ct/v1/get-sth"
	for spec, want := range map[string]struct{ entries, head answer }{
		"slow=2s":                {answer{Status: 200, Bytes: 3000}, answer{Status: 200, Bytes: 4}},
		"slow=2m":                {answer{Err: "late"}, answer{Err: "late"}},
		"down":                   {answer{Status: 503, Bytes: 21}, answer{Status: 503, Bytes: 21}},
		"refuse":                 {answer{Err: "reset"}, answer{Err: "reset"}},
		"too-many":               {answer{Status: 429, Bytes: 18}, answer{Status: 429, Bytes: 18}},
		"status=408":             {answer{Status: 408, Bytes: 24}, answer{Status: 200, Bytes: 4}},
		"status=500":             {answer{Status: 500, Bytes: 24}, answer{Status: 200, Bytes: 4}},
		"html":                   {answer{Status: 200, Bytes: 87}, answer{Status: 200, Bytes: 4}},
		"empty":                  {answer{Status: 200, Bytes: 14}, answer{Status: 200, Bytes: 4}},
		"cut=700":                {answer{Status: 200, Bytes: 700, Err: "cut"}, answer{Status: 200, Bytes: 4}},
		"short=700":              {answer{Status: 200, Bytes: 700}, answer{Status: 200, Bytes: 4}},
		"drip=7s":                {answer{Status: 200, Bytes: 8, Err: "late"}, answer{Status: 200, Bytes: 4}},
		"bad-gzip":               {answer{Status: 200, Bytes: 42}, answer{Status: 200, Bytes: 4}},
		"endless=100000":         {answer{Status: 200, Bytes: 100027}, answer{Status: 200, Bytes: 4}},
		"status=500+every=3":     {answer{Status: 200, Bytes: 3000}, answer{Status: 200, Bytes: 4}}, // the first of three
		"wrong-root+freeze+down": {answer{Status: 503, Bytes: 21}, answer{Status: 503, Bytes: 21}},
	} {
		t.Run(spec, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, err := fault.Parse(spec)
				if err != nil {
					t.Fatal(err)
				}
				var s fault.Switch
				s.Set(f)
				rt := wire.New(s.Wrap(http.HandlerFunc(log)))
				for path, want := range map[string]answer{entries: want.entries, head: want.head} {
					got := get(t, rt, path)
					got.Header = nil
					if d := cmp.Diff(want, got); d != "" {
						t.Errorf("%s: %s", path, d)
					}
				}
				s.Set(fault.Faults{})
				if got := get(t, rt, entries); got.Status != 200 || got.Bytes != 3000 {
					t.Errorf("repaired: %+v", got)
				}
			})
		})
	}
}

func TestFaultsOfSingleAnswersMeetEachNth(t *testing.T) {
	var s fault.Switch
	f, err := fault.Parse("status=500+every=3")
	if err != nil {
		t.Fatal(err)
	}
	s.Set(f)
	rt := wire.New(s.Wrap(http.HandlerFunc(log)))
	got := ""
	for range 7 {
		got += fmt.Sprintf("%d ", get(t, rt, "tile/data/000").Status)
	}
	if want := "200 200 500 200 200 500 200 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// D08: a limit without a word, one that counts refusals, one that is lower on a connection that was used before.
func TestRates(t *testing.T) {
	at := func(t *testing.T, spec string, waits ...time.Duration) (out string) {
		f, err := fault.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		var s fault.Switch
		s.Set(f)
		rt := wire.New(s.Wrap(http.HandlerFunc(log)))
		for _, w := range waits {
			time.Sleep(w)
			a := get(t, rt, "ct/v1/get-sth")
			if a.Status == 429 && a.Header.Get("Retry-After") != "" {
				t.Error("a Retry-After that nobody asked for")
			}
			out += fmt.Sprintf("%d ", a.Status)
		}
		return out
	}
	const s = time.Second
	for _, row := range []struct {
		spec  string
		waits []time.Duration
		want  string
	}{
		{"rate=0.2", []time.Duration{0, s, 3 * s, s, s}, "200 429 429 200 429 "},
		{"rate=0.2+rate-errors", []time.Duration{0, s, 3 * s, s, 16 * s}, "200 429 429 429 200 "},
		{"rate=10+rate-reused=0.2", []time.Duration{0, 0, 0, s, 4 * s}, "200 200 429 429 200 "},
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := at(t, row.spec, row.waits...); got != row.want {
				t.Errorf("%s: %s, want %s", row.spec, got, row.want)
			}
		})
	}
}

func TestRetryAfterInBothForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for spec, want := range map[string]string{
			"too-many+retry-after=90s":            "90",
			"too-many+retry-after=90s+retry-date": time.Now().Add(91 * time.Second).UTC().Format(http.TimeFormat),
		} {
			f, err := fault.Parse(spec)
			if err != nil {
				t.Fatal(err)
			}
			var s fault.Switch
			s.Set(f)
			if got := get(t, wire.New(s.Wrap(http.HandlerFunc(log))), "x").Header.Get("Retry-After"); got != want {
				t.Errorf("%s: %q, want %q", spec, got, want)
			}
		}
	})
}

func TestEveryOptionCanBeWrittenAndSetsSomething(t *testing.T) {
	values := map[string]string{"SPAN": "3s", "NUMBER": "0.5", "N": "7", "CODE": "500", "BYTES": "9", "N/N/…": "3/2", "INDEX": "0", "PATH": "tile/0/000", "STATE": "retired"}
	for _, o := range fault.Options {
		text := o.Name
		if o.Value != "" {
			text += "=" + values[o.Value]
		}
		f, err := fault.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if cmp.Equal(f, fault.Faults{}) || o.Help == "" {
			t.Errorf("%s sets nothing, or is not explained", text)
		}
	}
	for _, bad := range []string{"", "wrongroot", "down=1", "slow", "slow=x", "slow=-1s", "rate=0", "rate=NaN", "batches=3/0", "every=-1", "listed=gone", "down+", "alter-entry=x"} {
		if _, err := fault.Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"down@", "down@5", "down@5s-", "down@5s-5s", "down@-5s", "down@1s-2s-3s"} {
		if _, err := fault.ParseStep(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestAScheduleIsAppliedStepByStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s fault.Schedule
		for _, text := range []string{"down@10s-30s", "slow=2s+html@20s-40s", "slow=5s@25s-26s", "closed@1m0s"} {
			step, err := fault.ParseStep(text)
			if err != nil {
				t.Fatal(err)
			}
			if step.String() != text {
				t.Errorf("%s is written as %s", text, step)
			}
			s = append(s, step)
		}
		var sw fault.Switch
		start := time.Now()
		var got []string
		s.Run(t.Context(), &sw, func() {
			f := sw.Get()
			got = append(got, fmt.Sprint(time.Since(start), f.Down, f.Delay, f.HTML, f.Closed))
		})
		want := []string{
			"10s true 0s false false", "20s true 2s true false", "25s true 5s true false", "26s true 2s true false",
			"30s false 2s true false", "40s false 0s false false", "1m0s false 0s false true",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if s.End() != time.Minute {
			t.Errorf("ends at %v", s.End())
		}
	})
}

func TestRandomSchedulesFollowFromTheirSeedAndEnd(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(500) {
		for _, kind := range []string{"rfc6962", "static"} {
			make := func() fault.Schedule {
				return fault.Random(rand.New(rand.NewPCG(seed, 1)), kind, time.Minute, time.Hour)
			}
			s := make()
			if d := cmp.Diff(s, make()); d != "" {
				t.Fatal(d)
			}
			for _, step := range s {
				again, err := fault.ParseStep(step.String())
				if err != nil || !cmp.Equal(again, step) {
					t.Errorf("%s is read as %s: %v", step, again, err)
				}
				if step.At < time.Minute || step.Until > time.Hour || step.Until <= step.At {
					t.Errorf("%s is out of bounds", step)
				}
				for name := range strings.SplitSeq(step.Text, "+") {
					name, _, _ = strings.Cut(name, "=")
					seen[kind+" "+name] = true
				}
			}
		}
	}
	if seen["static aligned"] || seen["rfc6962 missing-tile"] || !seen["static missing-tile"] || !seen["rfc6962 aligned"] || len(seen) < 50 {
		t.Errorf("drawn: %v", seen)
	}
}

func TestEveryFaultIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range fault.Options {
		if row := fmt.Sprintf("| `%s` | %s", (&o).String(), o.Help); !strings.Contains(string(b), row) {
			t.Errorf("docs/commands.md lacks the row %s", row)
		}
	}
}
