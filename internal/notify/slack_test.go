package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// slackServer answers as Slack does; say may override an answer.
func slackServer(t *testing.T, say func(method string, n int) string) *web {
	return newWeb(t, func(w http.ResponseWriter, r *http.Request, n int) {
		answer := fmt.Sprintf(`{"ok":true,"ts":"1000.%d"}`, n)
		if say != nil {
			if other := say(strings.TrimPrefix(r.URL.Path, "/api/"), n); other != "" {
				answer = other
			}
		}
		fmt.Fprint(w, answer)
	})
}

func aSlack(t *testing.T, s *web, o SlackOptions) *Slack {
	t.Helper()
	o.Roots = s.roots
	if o.Token != nil {
		o.Channel = "C012"
	}
	return need(NewSlack("channel", o))(t)
}

// calls are the requests in a word each: what was called, on which message, in which thread.
func calls(t *testing.T, s *web) (out []string) {
	t.Helper()
	for _, r := range s.requests() {
		doc := r.document(t)
		call := r.Method + " " + r.Path
		for _, key := range []string{"ts", "thread_ts", "root_id"} {
			if v, ok := doc[key].(string); ok && v != "" {
				call += " " + key + "=" + v
			}
		}
		out = append(out, call)
	}
	return out
}

func TestSlackShowsAnIncidentInOneMessageWithAThread(t *testing.T) {
	s := slackServer(t, nil)
	c := aSlack(t, s, SlackOptions{Token: given("xoxb-1"), API: s.URL + "/api/"})
	m := &memory{}
	for i, change := range []string{"opened", "grew", "resolved"} {
		if err := c.Send(t.Context(), incidentNotice(t, exampleIncident(change, i+1), m)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"POST /api/chat.postMessage", "POST /api/chat.postMessage thread_ts=1000.0",
		"POST /api/chat.update ts=1000.0", "POST /api/chat.postMessage thread_ts=1000.0",
		"POST /api/chat.update ts=1000.0", "POST /api/chat.postMessage thread_ts=1000.0",
	}
	if d := cmp.Diff(want, calls(t, s)); d != "" {
		t.Error(d)
	}
	got := s.requests()
	if h := got[0].Header.Get("Authorization"); h != "Bearer xoxb-1" {
		t.Errorf("authorization %q", h)
	}
	first, last := got[0].document(t), got[4].document(t)
	wantFirst := "🔴 *PAGE* `192.0.2.1 is named in a precertificate by Drill`\n`notified, 1 certificate, owner dns-team, 192.0.2.0/24, since 2025-05-16 20:41Z`\n`tocsin ack inc-4be1`"
	if d := cmp.Diff(wantFirst, first["text"]); d != "" {
		t.Error("the message:", d)
	}
	if text := last["text"].(string); !strings.HasPrefix(text, "✅ *RESOLVED* `192.0.2.1") || !strings.Contains(text, "3 certificates") {
		t.Errorf("at the end it says %s", text)
	}
	if first["channel"] != "C012" || first["link_names"] != false || first["unfurl_links"] != false {
		t.Errorf("%v", first)
	}
	if d := cmp.Diff(map[string]any{"event_type": "tocsin", "event_payload": map[string]any{"id": exampleIncident("opened", 1).ID}}, first["metadata"]); d != "" {
		t.Error("the id of the message:", d)
	}
	if details := got[1].document(t)["text"].(string); !strings.Contains(details, "```\nPAGE  192.0.2.1") || !strings.Contains(details, "serial   0badcafe") {
		t.Errorf("the thread says %s", details)
	}
}

func TestSlackThatStoppedHalfwayGoesOnWhereItWas(t *testing.T) {
	failing := true
	s := slackServer(t, func(method string, n int) string {
		if failing && n == 1 {
			return `{"ok":false,"error":"internal_error"}`
		}
		return ""
	})
	c := aSlack(t, s, SlackOptions{Token: given("xoxb-1"), API: s.URL + "/api/"})
	m := &memory{}
	n := incidentNotice(t, exampleIncident("opened", 1), m)
	if err := c.Send(t.Context(), n); err == nil || isPermanent(err) {
		t.Fatalf("Send = %v", err)
	}
	failing = false
	for range 2 { // the second time it is there already
		if err := c.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"POST /api/chat.postMessage", "POST /api/chat.postMessage thread_ts=1000.0",
		"POST /api/chat.update ts=1000.0", "POST /api/chat.postMessage thread_ts=1000.0",
	}
	if d := cmp.Diff(want, calls(t, s)); d != "" {
		t.Error(d)
	}
}

func TestSlackBeginsAnewWhenSomebodyDeletedTheMessage(t *testing.T) {
	s := slackServer(t, func(method string, _ int) string {
		if method == "chat.update" {
			return `{"ok":false,"error":"message_not_found"}`
		}
		return ""
	})
	c := aSlack(t, s, SlackOptions{Token: given("xoxb-1"), API: s.URL + "/api/"})
	m := &memory{}
	for i, change := range []string{"opened", "grew"} {
		if err := c.Send(t.Context(), incidentNotice(t, exampleIncident(change, i+1), m)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"POST /api/chat.postMessage", "POST /api/chat.postMessage thread_ts=1000.0",
		"POST /api/chat.update ts=1000.0", "POST /api/chat.postMessage", "POST /api/chat.postMessage thread_ts=1000.3",
	}
	if d := cmp.Diff(want, calls(t, s)); d != "" {
		t.Error(d)
	}
}

func TestSlackTellsWhatHealsFromWhatDoesNot(t *testing.T) {
	for answer, isForGood := range map[string]bool{
		`{"ok":false,"error":"channel_not_found"}`: true, `{"ok":false,"error":"invalid_auth"}`: true,
		`{"ok":false,"error":"ratelimited"}`: false, `{"ok":false,"error":"service_unavailable"}`: false,
		`<html>`: false, `{"ok":true}`: false,
	} {
		s := slackServer(t, func(string, int) string { return answer })
		c := aSlack(t, s, SlackOptions{Token: given("xoxb-secret"), API: s.URL + "/api/"})
		if err := c.Send(t.Context(), Test("1", time.Now())); err == nil || isPermanent(err) != isForGood || strings.Contains(err.Error(), "xoxb-secret") {
			t.Errorf("%s: %v", answer, err)
		}
	}
	s := slackServer(t, nil)
	c := aSlack(t, s, SlackOptions{Token: given("xoxb-1"), API: s.URL + "/api/"})
	if err := c.Send(t.Context(), incidentNotice(t, exampleIncident("opened", 1), &memory{fail: errors.New("disk full")})); err == nil || len(s.requests()) > 0 {
		t.Errorf("without a memory that works it posted: %v", err)
	}
}

func TestSlackWebhookPostsEachMessage(t *testing.T) {
	s := newWeb(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 2 {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, "no_service at ", r.URL.Path)
		}
	})
	c := aSlack(t, s, SlackOptions{Webhook: given(s.URL + "/services/T012/B345/verysecret")})
	m := &memory{}
	for i, change := range []string{"opened", "grew"} {
		if err := c.Send(t.Context(), incidentNotice(t, exampleIncident(change, i+1), m)); err != nil {
			t.Fatal(err)
		}
	}
	var text struct{ Text string }
	if err := json.Unmarshal(s.requests()[1].Body, &text); err != nil || !strings.HasPrefix(text.Text, "🔴 *PAGE* `192.0.2.1") || !strings.Contains(text.Text, "serial   0badcafe") {
		t.Errorf("%v, %s", err, text.Text)
	}
	if err := c.Send(t.Context(), Test("1", time.Now())); !isPermanent(err) || strings.Contains(err.Error(), "verysecret") {
		t.Errorf("a webhook that was removed: %v", err)
	}
}

func TestMattermostShowsAnIncidentInOnePostWithAThread(t *testing.T) {
	gone := false
	s := newWeb(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if gone && r.Method == http.MethodPut {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"id":"post%d"}`, n)
	})
	c := aSlack(t, s, SlackOptions{Token: given("token"), Server: s.URL + "/"})
	m := &memory{}
	for i, change := range []string{"opened", "acknowledged", "resolved"} {
		gone = i == 2
		if err := c.Send(t.Context(), incidentNotice(t, exampleIncident(change, i+1), m)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"POST /api/v4/posts", "POST /api/v4/posts root_id=post0",
		"PUT /api/v4/posts/post0/patch", "POST /api/v4/posts root_id=post0",
		"PUT /api/v4/posts/post0/patch", "POST /api/v4/posts", "POST /api/v4/posts root_id=post5",
	}
	if d := cmp.Diff(want, calls(t, s)); d != "" {
		t.Error(d)
	}
	if doc := s.requests()[2].document(t); !strings.HasPrefix(doc["message"].(string), "👀 *ACKNOWLEDGED*") {
		t.Errorf("%v", doc)
	}
}

func TestSlackNeedsOneWayToTell(t *testing.T) {
	for _, o := range []SlackOptions{{}, {Webhook: given("x"), Token: given("y"), Channel: "C"}, {Token: given("y")}} {
		if _, err := NewSlack("channel", o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
