package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func aWebhook(t *testing.T, s *web, o WebhookOptions) *Webhook {
	t.Helper()
	if o.URL == "" {
		o.URL = s.URL + "/hook"
	}
	o.Roots = s.roots
	return need(NewWebhook("hook", o))(t)
}

func TestWebhookIsSignedAndItsBodyStaysTheSame(t *testing.T) {
	s := newWeb(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		if n == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	clock := time.Unix(1_800_000_000, 0)
	w := aWebhook(t, s, WebhookOptions{Secret: given("key of the hook"), Now: func() time.Time { clock = clock.Add(time.Second); return clock }})
	n := incidentNotice(t, exampleIncident("opened", 1), nil)
	if err := w.Send(t.Context(), n); err == nil || isPermanent(err) {
		t.Fatalf("an answer of 503: %v", err)
	}
	n.Attempt = 2
	if err := w.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	got := s.requests()
	if len(got) != 2 || !bytes.Equal(got[0].Body, got[1].Body) {
		t.Fatalf("%d bodies, which differ", len(got))
	}
	for i, r := range got {
		h := r.Header
		if h.Get("Idempotency-Key") != n.ID || h.Get("Tocsin-Attempt") != strconv.Itoa(i+1) || h.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("headers %v", h)
		}
		if h.Get("Tocsin-Timestamp") != strconv.FormatInt(1_800_000_001+int64(i), 10) {
			t.Errorf("timestamp %q", h.Get("Tocsin-Timestamp"))
		}
		if i > 0 && h.Get("Tocsin-Signature") == got[0].Header.Get("Tocsin-Signature") {
			t.Error("a signature that outlives its time")
		}
		// Another program checks it.
		openssl, err := exec.LookPath("openssl")
		if err != nil {
			t.Log("openssl is not installed: the signature is checked in interop only")
			continue
		}
		cmd := exec.Command(openssl, "dgst", "-sha256", "-hmac", "key of the hook", "-hex")
		cmd.Stdin = strings.NewReader(h.Get("Tocsin-Timestamp") + "." + string(r.Body))
		out := string(need(cmd.Output())(t))
		if _, hex, _ := strings.Cut(strings.TrimSpace(out), "= "); h.Get("Tocsin-Signature") != "v1="+hex {
			t.Errorf("signed %s, openssl says %s", h.Get("Tocsin-Signature"), hex)
		}
	}
	var e Envelope
	if err := json.Unmarshal(got[0].Body, &e); err != nil {
		t.Fatal(err)
	}
	if e.Version != 1 || e.ID != n.ID || e.Receiver != "hook" || e.Kind != "incident" || e.Level != "page" || e.Test || e.Text != n.Text {
		t.Errorf("%+v", e)
	}
	var i Incident
	if err := json.Unmarshal(e.Document, &i); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(exampleIncident("opened", 1), i); d != "" {
		t.Error("the document:", d)
	}
}

func TestWebhookTrustsOnlyWhomItIsTold(t *testing.T) {
	s := newWeb(t, nil)
	w := need(NewWebhook("hook", WebhookOptions{URL: s.URL}))(t)
	if err := w.Send(t.Context(), Test("1", time.Now())); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
	if got := s.requests(); len(got) != 0 {
		t.Error("it was told all the same")
	}
	if _, err := NewWebhook("hook", WebhookOptions{URL: s.URL, Roots: "webhook_test.go"}); err == nil {
		t.Error("a file without certificates was taken")
	}
	far := need(NewWebhook("hook", WebhookOptions{URL: "http://hooks.example.com/secret-path"}))(t)
	if err := far.Send(t.Context(), Test("1", time.Now())); !isPermanent(err) || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("plain http to another machine: %v", err)
	}
}

func TestWebhookFollowsNoRedirectThatLosesTheMessage(t *testing.T) {
	elsewhere := newWeb(t, nil)
	for _, row := range []struct {
		name   string
		status int
		to     func(*web) string
		taken  bool
	}{
		{"to another host", 307, func(*web) string { return elsewhere.URL + "/hook" }, false},
		{"to http", 308, func(s *web) string { return strings.Replace(s.URL, "https:", "http:", 1) }, false},
		{"one that turns POST into GET", 302, func(s *web) string { return s.URL + "/new" }, false},
		{"one that does so by definition", 303, func(s *web) string { return s.URL + "/new" }, false},
		{"to another path of the same host, with the body", 308, func(s *web) string { return s.URL + "/new" }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var s *web
			s = newWeb(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				if r.URL.Path == "/hook" {
					http.Redirect(w, r, row.to(s), row.status)
				}
			})
			err := aWebhook(t, s, WebhookOptions{}).Send(t.Context(), Test("1", time.Now()))
			if (err == nil) != row.taken || err != nil && !isPermanent(err) {
				t.Errorf("Send = %v", err)
			}
			got := s.requests()
			if last := got[len(got)-1]; row.taken && (last.Path != "/new" || len(last.Body) == 0) {
				t.Errorf("%s %s with %d bytes", last.Method, last.Path, len(last.Body))
			}
		})
	}
	if got := elsewhere.requests(); len(got) != 0 {
		t.Error("another host was told")
	}
}

func TestWebhookBoundsWhatItIsAnsweredAndHowLong(t *testing.T) {
	endless := newWeb(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.WriteHeader(http.StatusBadRequest)
		for chunk := bytes.Repeat([]byte("x"), 1<<16); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	if err := aWebhook(t, endless, WebhookOptions{}).Send(t.Context(), Test("1", time.Now())); !isPermanent(err) || len(err.Error()) > 600 {
		t.Errorf("an answer without end: %.700v", err)
	}
	slow := newWeb(t, func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() })
	err := aWebhook(t, slow, WebhookOptions{Timeout: 50 * time.Millisecond}).Send(t.Context(), Test("1", time.Now()))
	if err == nil || isPermanent(err) {
		t.Errorf("no answer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := aWebhook(t, slow, WebhookOptions{}).Send(ctx, Test("1", time.Now())); err == nil {
		t.Error("sent though it was called off")
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if err := need(NewWebhook("hook", WebhookOptions{URL: gone.URL + "/secret-path"}))(t).Send(t.Context(), Test("1", time.Now())); err == nil || isPermanent(err) || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestTheDocumentedWebhookIsTheOneThatIsSent(t *testing.T) {
	text := string(need(os.ReadFile("../../docs/output.md"))(t))
	_, doc, ok := strings.Cut(text, "<!-- webhook -->\n```json\n")
	doc, _, _ = strings.Cut(doc, "\n```")
	var said, sent map[string]any
	if err := json.Unmarshal([]byte(doc), &said); !ok || err != nil {
		t.Fatal(err)
	}
	s := newWeb(t, nil)
	if err := aWebhook(t, s, WebhookOptions{}).Send(t.Context(), incidentNotice(t, exampleIncident("opened", 1), nil)); err != nil {
		t.Fatal(err)
	}
	sent = s.requests()[0].document(t)
	for key := range sent {
		if _, ok := said[key]; !ok || !strings.Contains(text, "`"+key+"`") {
			t.Errorf("docs/output.md does not say %s", key)
		}
	}
	for key := range said {
		if _, ok := sent[key]; !ok {
			t.Errorf("docs/output.md says %s, which is not sent", key)
		}
	}
	for _, name := range []string{HeaderTimestamp, HeaderSignature, HeaderAttempt, HeaderIdem} {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/output.md does not say %s", name)
		}
	}
}
