package notify

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestShoutrrrTellsAServiceAndKeepsItsSecrets(t *testing.T) {
	var mu sync.Mutex
	var got []string
	status := http.StatusOK
	var hold chan struct{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, string(b))
		code, wait := status, hold
		mu.Unlock()
		if wait != nil {
			<-wait
		}
		w.WriteHeader(code)
	}))
	defer s.Close()
	to := "generic://" + strings.TrimPrefix(s.URL, "http://") + "/verysecretpath?disabletls=yes"
	r := need(NewShoutrrr("phone", ShoutrrrOptions{URL: given(to), Timeout: 10 * time.Second}))(t)
	if err := r.Send(t.Context(), incidentNotice(t, exampleIncident("opened", 1), nil)); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !strings.HasPrefix(got[0], "PAGE: 192.0.2.1 is named in a precertificate by Drill\n") || !strings.Contains(got[0], "serial   0badcafe") {
		t.Errorf("%q", got)
	}
	mu.Lock()
	status = http.StatusForbidden
	mu.Unlock()
	if err := r.Send(t.Context(), Test("1", time.Now())); err == nil || strings.Contains(err.Error(), "verysecretpath") {
		t.Errorf("Send = %v", err)
	}
	// A service that does not answer: the next send awaits the first, and does not repeat it when it went well.
	mu.Lock()
	status, hold = http.StatusOK, make(chan struct{})
	mu.Unlock()
	r.opts.Timeout = 50 * time.Millisecond
	n := Test("2", time.Now())
	for range 2 {
		if err := r.Send(t.Context(), n); err == nil {
			t.Error("taken without an answer")
		}
	}
	close(hold)
	r.opts.Timeout = 10 * time.Second
	if err := r.Send(t.Context(), n); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 3 {
		t.Errorf("the service was told %d times: %q", len(got), got)
	}
	s.CloseClientConnections()
	http.DefaultClient.CloseIdleConnections()
}

func TestShoutrrrRefusesWhatNamesNoService(t *testing.T) {
	for _, to := range []string{"nonsense://verysecret@host/", "https//x", ""} {
		if _, err := NewShoutrrr("phone", ShoutrrrOptions{URL: given(to)}); err == nil || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%q: %v", to, err)
		}
	}
	for _, to := range []string{"ntfy://ntfy.example.com/topic", "matrix://user:pw@matrix.example.com/?rooms=!a", "telegram://123:abc@telegram?chats=@x", "gotify://gotify.example.com/Aaa.bbb.ccc.ddd"} {
		if _, err := NewShoutrrr("phone", ShoutrrrOptions{URL: given(to)}); err != nil {
			t.Errorf("%q: %v", to, err)
		}
	}
	if _, err := NewShoutrrr("phone", ShoutrrrOptions{URL: func() (string, error) { return "", fmt.Errorf("no file") }}); err == nil {
		t.Error("a URL that cannot be read was taken")
	}
}
