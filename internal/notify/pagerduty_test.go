package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPagerDutyHasOneAlertPerIncident(t *testing.T) {
	s := newWeb(t, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(http.StatusAccepted) })
	p := need(NewPagerDuty("pager", PagerDutyOptions{Key: given("R0KEY"), URL: s.URL + "/", Roots: s.roots}))(t)
	trouble := func(resolved bool) Notice {
		doc := need(json.Marshal(map[string]any{"kind": "blind", "health": map[string]any{"code": "blind", "subject": ""}, "title": "nothing is seen", "resolved": resolved}))(t)
		return Notice{ID: fmt.Sprint("trouble ", resolved), Kind: "blind", Payload: doc, Text: "BLIND nothing is seen"}
	}
	resolvedNote := exampleIncident("note", 9)
	resolvedNote.State = "resolved"
	for _, n := range []Notice{
		incidentNotice(t, exampleIncident("opened", 1), nil), incidentNotice(t, exampleIncident("grew", 2), nil), incidentNotice(t, exampleIncident("acknowledged", 3), nil),
		incidentNotice(t, exampleIncident("resolved", 4), nil), incidentNotice(t, resolvedNote, nil),
		trouble(false), trouble(true), Test("test-1", time.Now()),
	} {
		if err := p.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range s.requests() {
		doc := r.document(t)
		line := fmt.Sprint(r.Path, " ", doc["routing_key"], " ", doc["event_action"], " ", doc["dedup_key"])
		if payload, ok := doc["payload"].(map[string]any); ok {
			line += fmt.Sprint(" ", payload["severity"])
		}
		got = append(got, line)
	}
	want := []string{
		"/v2/enqueue R0KEY trigger inc-4be1 critical",
		"/v2/enqueue R0KEY trigger inc-4be1 critical",
		"/v2/enqueue R0KEY acknowledge inc-4be1",
		"/v2/enqueue R0KEY resolve inc-4be1", // and nothing for a note on what is over
		"/v2/enqueue R0KEY trigger blind  critical",
		"/v2/enqueue R0KEY resolve blind ",
		"/v2/enqueue R0KEY trigger test-1 info",
		"/v2/enqueue R0KEY resolve test-1", // a test leaves nobody paged
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	payload := s.requests()[0].document(t)["payload"].(map[string]any)
	details := payload["custom_details"].(map[string]any)
	if payload["summary"] != "PAGE: 192.0.2.1 is named in a precertificate by Drill" || payload["source"] != "tocsin" || payload["timestamp"] != "2025-05-16T20:42:07Z" ||
		details["incident"] != "inc-4be1" || details["id"] != exampleIncident("opened", 1).ID || !strings.Contains(details["text"].(string), "serial   0badcafe") {
		t.Errorf("%v", payload)
	}
}

func TestPagerDutyThatRefusesKeepsItsKeySecret(t *testing.T) {
	status := http.StatusBadRequest
	s := newWeb(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.WriteHeader(status)
		fmt.Fprint(w, "the key R0KEY is not known")
	})
	p := need(NewPagerDuty("pager", PagerDutyOptions{Key: given("R0KEY"), URL: s.URL, Roots: s.roots}))(t)
	if err := p.Send(t.Context(), Test("1", time.Now())); !isPermanent(err) || strings.Contains(err.Error(), "R0KEY") || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("Send = %v", err)
	}
	status = http.StatusInternalServerError
	if err := p.Send(t.Context(), Test("1", time.Now())); err == nil || isPermanent(err) {
		t.Errorf("Send = %v", err)
	}
}
