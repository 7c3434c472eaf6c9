package ctlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// follow runs a tailer until the end of the test's bubble, or until stop is called.
func follow(t *testing.T, r *receiver, c Client, opts TailOptions) (tail *Tailer, stop func()) {
	tail = r.tailer(c, opts)
	return tail, running(t, tail)
}

// running runs a tailer until stop is called.
func running(t *testing.T, tail *Tailer) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tail.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the tailer ended with %v", err)
		}
	}
}

func (f *fakeLog) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// pass lets time go by, and all that was due in it happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func isEntries(r *http.Request) bool {
	return strings.Contains(r.URL.Path, "get-entries") || strings.Contains(r.URL.Path, "tile/data")
}

// checkEvidence verifies what a fault carries without the log.
func checkEvidence(t *testing.T, f *fakeLog, got Fault, heads int) (ev Evidence, verified []Head) {
	t.Helper()
	if err := json.Unmarshal(got.Evidence, &ev); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ev.Key, f.log.Key) || len(ev.Heads) != heads || got.Log != Hash(f.log.ID) || got.LogName != f.log.Name() {
		t.Errorf("evidence with %d heads, want %d: %+v", len(ev.Heads), heads, got)
	}
	for _, raw := range ev.Heads {
		h, err := VerifyHead(f.log, []byte(raw))
		if err != nil {
			t.Errorf("a head in evidence does not verify: %v", err)
		}
		verified = append(verified, h)
	}
	return ev, verified
}

// D01: fewer entries than asked for, by a count that changes, sometimes cut at a multiple of 256; and none at all.
func TestD01ShortAnswersLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 5000)
		calls := 0
		f.max = func(start, n uint64) uint64 {
			calls++
			n = min(n, []uint64{256, 32, 7, 1, 1000}[calls%5])
			if end := (start + n) / 256 * 256; calls%3 == 0 && end > start {
				n = end - start
			}
			return n
		}
		empty := 0
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if isEntries(r) && calls%17 == 5 && empty < calls {
				empty = calls
				fmt.Fprint(w, `{"entries":[]}`)
				return true
			}
			return false
		}
		r := newReceiver(t, f)
		if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
			t.Fatal(err)
		}
		r.exactly(0, 5000)
		if empty == 0 {
			t.Error("no answer was empty")
		}
	})
}

func TestTheBatchSizeFollowsTheLog(t *testing.T) {
	var s batchSize
	for _, step := range []struct {
		got  int
		err  error
		want int
	}{
		{0, nil, 256}, {256, nil, 512}, {512, nil, 512}, {32, nil, 512}, {0, io.ErrUnexpectedEOF, 256}, {0, io.ErrUnexpectedEOF, 128}, {100, nil, 512},
		{64, nil, 512}, {64, nil, 512}, {64, nil, 512}, {64, nil, 512}, {64, nil, 512}, {64, nil, 200}, {64, nil, 200}, {64, nil, 128}, {7, nil, 128},
	} {
		s.got(s.ask(), step.got, step.err)
		if got := s.ask(); got != step.want {
			t.Fatalf("after %d entries, error %v: asks for %d, want %d (%v)", step.got, step.err, got, step.want, s.recent)
		}
	}
	for _, tc := range []struct {
		start uint64
		n     int
		want  uint64
	}{{0, 256, 256}, {1, 256, 256}, {128, 256, 256}, {129, 256, 385}, {300, 1, 301}} {
		if got := alignEnd(tc.start, tc.n); got != tc.want {
			t.Errorf("end of %d entries from %d is %d, want %d", tc.n, tc.start, got, tc.want)
		}
	}
}

// D02: one front end lags behind the head that another signed.
func TestD02SkewBetweenFrontEndsIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 100)
		r := newReceiver(t, f)
		if err := r.once(f.client(t), TailOptions{}); err != nil {
			t.Fatal(err)
		}
		skewed := time.Now().Add(10 * time.Minute)
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if isEntries(r) && time.Now().Before(skewed) {
				http.Error(w, "need tree size: 101 to get leaves but only got: 100", http.StatusBadRequest)
				return true
			}
			return false
		}
		f.grow(101)
		tail, stop := follow(t, r, f.client(t), TailOptions{})
		defer stop()
		pass(9 * time.Minute)
		if s := tail.Status(); r.cursor.Size != 100 || s.Faults != 0 || s.State != "unreachable" || !strings.Contains(s.LastError, "only got: 100") {
			t.Errorf("while skewed: %+v", s)
		}
		if n := f.count("ct/v1/get-entries"); n > 100 {
			t.Errorf("%d requests in nine minutes", n)
		}
		pass(10 * time.Minute)
		r.exactly(100, 101)
		if s := tail.Status(); s.Faults != 0 || s.State != "live" || s.LastError != "" {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

// D08: above a rate that it does not tell, the log answers 429.
func TestD08TheRateOfALogIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeLog(t, loglist.RFC6962, 5*512)
		var last time.Time
		refused, answered := 0, 0
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if !last.IsZero() && time.Since(last) < 5*time.Second {
				refused++
				http.Error(w, "slow down", http.StatusTooManyRequests)
				return true
			}
			last = time.Now()
			answered++
			return false
		}
		r := newReceiver(t, f)
		_, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(20 * time.Minute)
		r.exactly(0, 5*512)
		if refused > answered {
			t.Errorf("%d requests refused, %d answered", refused, answered)
		}
	})
}

func TestD08RetryAfterIsHonouredInBothForms(t *testing.T) {
	for name, form := range map[string]func(time.Duration) string{
		"seconds": func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) },
		"date":    func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			forBoth(t, func(t *testing.T, kind loglist.Kind) {
				f := newFakeLog(t, kind, 300)
				var until time.Time
				var mu sync.Mutex // tiles are asked for at the same time
				f.fault = func(w http.ResponseWriter, r *http.Request) bool {
					mu.Lock()
					defer mu.Unlock()
					if until.IsZero() && isEntries(r) {
						until = time.Now().Add(7 * time.Minute)
						w.Header().Set("Retry-After", form(7*time.Minute))
						w.WriteHeader(http.StatusTooManyRequests)
						return true
					}
					// A static log's tiles are asked for at once; what was on its way is no fault.
					if d := time.Until(until); d > 0 && d < 7*time.Minute-time.Second {
						t.Errorf("asked %v too early", d)
					}
					return false
				}
				r := newReceiver(t, f)
				if err := r.once(f.client(t), TailOptions{From: Start{Zero: true}}); err != nil {
					t.Fatal(err)
				}
				r.exactly(0, 300)
				if time.Now().Before(until) {
					t.Error("ended before the time that the log asked for")
				}
			})
		})
	}
}

// D09: every way in which one range may fail; it stays owed until it is complete.
func TestD09ARangeStaysOwedUntilItIsComplete(t *testing.T) {
	forBoth(t, func(t *testing.T, kind loglist.Kind) {
		f := newFakeLog(t, kind, 600)
		honest := f.fork(600)
		faults := []func(w *pipeWriter, r *http.Request){
			func(w *pipeWriter, _ *http.Request) { http.Error(w, "oops\x1b[31m", http.StatusInternalServerError) },
			func(w *pipeWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestTimeout) },
			func(w *pipeWriter, _ *http.Request) { fmt.Fprint(w, "<html><body>Bad Gateway</body></html>") },
			func(w *pipeWriter, r *http.Request) { // the body breaks off, as by GOAWAY
				honest.ServeHTTP(&cutWriter{pipeWriter: w, left: 10_000}, r)
				w.err = errors.New("http2: server sent GOAWAY")
			},
			func(w *pipeWriter, r *http.Request) { // a cut that looks like the end
				honest.ServeHTTP(&cutWriter{pipeWriter: w, left: 7_777}, r)
			},
			func(w *pipeWriter, r *http.Request) { // drips past the time limit
				for {
					if _, err := w.Write([]byte(" ")); err != nil {
						return
					}
					time.Sleep(10 * time.Second)
				}
			},
			func(w *pipeWriter, r *http.Request) { // 1 GB
				chunk := bytes.Repeat([]byte(" "), 1<<16)
				for range 1 << 14 {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			},
			func(w *pipeWriter, r *http.Request) { // never answers
				<-r.Context().Done()
			},
			func(w *pipeWriter, r *http.Request) { // gzip that is none
				w.Header().Set("Content-Encoding", "gzip")
				fmt.Fprint(w, "not gzip")
			},
			func(w *pipeWriter, r *http.Request) { // gzip that ends early
				w.Header().Set("Content-Encoding", "gzip")
				var b bytes.Buffer
				writeGzip(&b, bytes.Repeat([]byte("x"), 1000))
				_, _ = w.Write(b.Bytes()[:20])
			},
		}
		at := 0
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			f.mu.Lock()
			i := at
			if isEntries(r) {
				at++
			}
			f.mu.Unlock()
			if !isEntries(r) || i >= len(faults) {
				return false
			}
			faults[i](w.(*pipeWriter), r)
			return true
		}
		r := newReceiver(t, f)
		tail, stop := follow(t, r, f.client(t), TailOptions{From: Start{Zero: true}})
		defer stop()
		pass(time.Second)
		if s := tail.Status(); len(s.LastError) > 400 || strings.Contains(s.LastError, "\x1b") {
			t.Errorf("last error %q", s.LastError)
		}
		pass(30 * time.Minute)
		r.exactly(0, 600)
		if s := tail.Status(); s.State != "live" || s.Faults != 0 {
			t.Errorf("status %+v, faults %v", s, r.kinds())
		}
		if at < len(faults) {
			t.Errorf("%d of %d faults met", at, len(faults))
		}
	})
}

// cutWriter passes on so many bytes and drops the rest.
type cutWriter struct {
	*pipeWriter
	left int
}

func (w *cutWriter) Write(b []byte) (int, error) {
	n := min(len(b), w.left)
	w.left -= n
	if n > 0 {
		if _, err := w.pipeWriter.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func TestWholeEntriesBeforeACutAreKept(t *testing.T) {
	f := newFakeLog(t, loglist.RFC6962, 256)
	cut := false
	honest := f.fork(256)
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if !isEntries(r) || cut {
			return false
		}
		cut = true
		honest.ServeHTTP(&cutWriter{pipeWriter: w.(*pipeWriter), left: 50_000}, r)
		return true
	}
	var b Batch
	if err := f.client(t).Entries(context.Background(), 0, 256, &b); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Entries); n < 10 || n >= 256 || !bytes.Equal(b.Entries[n-1].Leaf, f.entries[n-1].Leaf) {
		t.Errorf("%d entries kept", n)
	}
}
