package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func request(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://log.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnAnswerComesAsItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		resp, err := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Before", "yes")
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("X-After", "no")
			for range 3 {
				time.Sleep(time.Hour)
				_, _ = io.WriteString(w, "a")
			}
		})).RoundTrip(request(t, t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != "aaa" || time.Since(start) != 3*time.Hour || resp.StatusCode != http.StatusTeapot {
			t.Errorf("%d %q after %v, %v", resp.StatusCode, b, time.Since(start), err)
		}
		if resp.Header.Get("X-Before") != "yes" || resp.Header.Get("X-After") != "" {
			t.Errorf("header %v", resp.Header)
		}
	})
}

func TestAHandlerThatGivesUpIsAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).RoundTrip(request(t, t.Context()))
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("before the answer: %v", err)
		}
		resp, err := New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		})).RoundTrip(request(t, t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("within the body: %q, %v", b, err)
		}
	})
}

func TestAClientThatLeavesEndsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int32
		rt := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("late") {
				_, _ = io.WriteString(w, "begun")
			}
			<-r.Context().Done()
			ended.Add(1)
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := rt.RoundTrip(request(t, ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without an answer: %v", err)
		}
		r := request(t, t.Context())
		r.URL.RawQuery = "late"
		resp, err := rt.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		synctest.Wait()
		if n := ended.Load(); n != 2 {
			t.Errorf("%d of 2 handlers ended", n)
		}
	})
}
