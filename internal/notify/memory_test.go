package notify

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/store"
)

func TestAnIncidentIsOneMessageAndOneThreadAcrossRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := slackServer(t, nil)
	o := newOffice(t)
	to := []Receiver{aSlack(t, s, SlackOptions{Token: given("xoxb-1"), API: s.URL + "/api/"}), anEmail(t, o, EmailOptions{})}
	for i, change := range []string{"opened", "grew", "resolved"} {
		box := need(store.Open(path, nil))(t) // a new run each time
		n := incidentNotice(t, exampleIncident(change, i+1), nil)
		for _, r := range to {
			row := store.OutboxRow{ID: n.ID + r.Name(), Receiver: r.Name(), Kind: n.Kind, Payload: n.Payload, Text: n.Text}
			if _, err := box.Enqueue(t.Context(), row); err != nil {
				t.Fatal(err)
			}
		}
		if err := Run(t.Context(), box, to, &Options{Once: true, Timeout: time.Minute}); err != nil {
			t.Fatal(err)
		}
		if err := box.Close(); err != nil {
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
	first := fmt.Sprintf("<%032xmail@example.com>", 1)
	mails := o.taken()
	if len(mails) != 3 {
		t.Fatalf("%d mails", len(mails))
	}
	for i, d := range mails {
		if l := readLetter(t, d.Data); i > 0 && l.Get("In-Reply-To") != first || i == 0 && l.Get("Message-Id") != first {
			t.Errorf("mail %d: id %s answers %q", i, l.Get("Message-Id"), l.Get("In-Reply-To"))
		}
	}
}
