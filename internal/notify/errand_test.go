package notify

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"time"
)

// errand is what the tests of interop have this binary do, since they cannot carry the modules of the whole program:
// send these messages through this receiver, with a memory for all of them. It prints the errors as a list of texts.
type errand struct {
	Email *struct {
		From, Server, User, Password, Roots string
		To                                  []string
	}
	Webhook  *struct{ URL, Secret, Roots string }
	Messages []struct {
		Kind string
		// Incident is a document, made into a message as the daemon does; else Text is a notice.
		Incident *Incident
		ID, Text string
	}
}

func runErrand() int {
	var e errand
	in, err := io.ReadAll(os.Stdin)
	if err != nil || json.Unmarshal(in, &e) != nil {
		return 8
	}
	var to Receiver
	switch {
	case e.Email != nil:
		o := EmailOptions{From: e.Email.From, To: e.Email.To, Server: e.Email.Server, User: e.Email.User, Roots: e.Email.Roots, Timeout: 2 * time.Minute}
		o.Password = given(e.Email.Password)
		to, err = NewEmail("mail", o)
	case e.Webhook != nil:
		to, err = NewWebhook("hook", WebhookOptions{URL: e.Webhook.URL, Secret: given(e.Webhook.Secret), Roots: e.Webhook.Roots, Timeout: 2 * time.Minute})
	}
	if err != nil || to == nil {
		return 7
	}
	said := []string{}
	m := &memory{}
	for _, a := range e.Messages {
		n := Notice{ID: a.ID, Kind: a.Kind, At: time.Now(), Payload: json.RawMessage("{}"), Text: a.Text, Attempt: 1, Memory: m}
		switch {
		case a.Kind == KindTest:
			n = Test(a.ID, time.Now())
		case a.Incident != nil:
			for i := range a.Incident.Alarms {
				n.Text = a.Incident.Alarms[i].Text()
				a.Incident.Alarms[i] = a.Incident.Alarms[i].bounded()
			}
			a.Incident.Title = Safe(a.Incident.Title, maxText)
			n.ID, n.At = a.Incident.ID, a.Incident.Updated
			if n.Payload, err = encode(a.Incident); err != nil {
				return 6
			}
		}
		text := ""
		if err := to.Send(context.Background(), n); err != nil {
			text = err.Error()
		}
		said = append(said, text)
	}
	if json.NewEncoder(os.Stdout).Encode(said) != nil {
		return 5
	}
	return 0
}
