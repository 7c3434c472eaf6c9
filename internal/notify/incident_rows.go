package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Bounds of the document of an incident.
const (
	maxIncidentAlarms = 10
	maxIncidentLists  = 50
)

// AlarmDocument is an alarm as it is kept with an incident, bounded and safe: [ParseAlarm] reads it for a message. a is
// not changed.
func AlarmDocument(a Alarm, issuance [32]byte) (json.RawMessage, error) {
	a.Issuance, a.Kind = fmt.Sprintf("%x", issuance), KindOf(a.Level)
	a.ID = "" // it is of a message
	return encode(a.bounded())
}

// ParseAlarm reads what [AlarmDocument] wrote.
func ParseAlarm(doc json.RawMessage) (a Alarm, err error) {
	if err := json.Unmarshal(doc, &a); err != nil {
		return a, fmt.Errorf("the alarm kept with an incident: %w", err)
	}
	return a, nil
}

// NewIncident makes the document of a message out of an incident, as it is after the step, and of what is to be told.
// alarms are those of the notification's issuances, in their order.
func NewIncident(s *incident.State, n *incident.Notification, alarms []Alarm) Incident {
	i := Incident{
		Kind: KindIncident, Incident: s.ID, Sequence: n.Sequence, Change: string(n.Change), Reason: n.Reason, State: string(s.Status), Level: n.Level.String(),
		Title: s.Title, Owner: s.Owner, Group: s.Group, Parent: s.Parent, Watches: slices.Clone(s.Subject.Watches), Opened: s.Opened, Updated: s.Updated,
		CertificatesTotal: s.Certificates, Suppressed: map[string]int{}, Alarms: alarms, AlarmsTotal: n.Total, LiveDrill: s.Drill,
	}
	for why, count := range s.Suppressed {
		i.Suppressed[string(why)] += count
		i.SuppressedTotal += count
	}
	if n.Change == incident.Acked || n.Change == incident.Ended {
		i.By, i.Comment = s.By, s.Comment
	}
	i.Next = []string{"tocsin incidents show " + s.ID}
	switch {
	case s.Status == incident.Resolved:
	case s.Status == incident.Explained:
		i.Next = append(i.Next, "tocsin resolve "+s.ID)
	case s.Status == incident.Acknowledged || s.Status == incident.Archived:
		i.Next = append(i.Next, "tocsin resolve "+s.ID)
	default:
		i.Next = append(i.Next, "tocsin ack "+s.ID)
	}
	return i
}

// Matter is what the routes are asked about a message.
func Matter(s *incident.State, n *incident.Notification) route.Matter {
	owners := s.Subject.Owners
	if s.Owner != "" && !slices.Contains(owners, s.Owner) {
		owners = append(slices.Clone(owners), s.Owner)
	}
	return route.Matter{Level: max(n.Level, policy.Alarm), Owners: owners, Watches: s.Subject.Watches, Escalate: n.Escalate}
}

// IncidentID is the stable id of a message about an incident: of the incident, the receiver, and the number of the
// message.
func IncidentID(incident, receiver string, sequence int) string {
	return store.AlarmID([32]byte{}, receiver, fmt.Sprintf("%s %d:%s %d", KindIncident, len(incident), incident, sequence))
}

// IncidentRows makes the outbox rows of a message about an incident: one for each inbox to which the walk leads. Streams
// are left out, since they are told of each issuance. Where the walk leads to inboxes none of which wants the level, all
// are told that want it. i is not changed.
func IncidentRows(i Incident, walk route.Result, receivers []Receiver) ([]store.OutboxRow, error) {
	i = i.bounded()
	by := make(map[string]Receiver, len(receivers))
	for _, r := range receivers {
		by[r.Name()] = r
	}
	var to []route.Delivery
	streams := 0
	for _, d := range walk.To {
		switch r := by[d.Receiver]; {
		case r == nil:
		case r.Stream():
			streams++
		case r.Wants(i.Level):
			to = append(to, d)
		}
	}
	if len(to) == 0 && streams == 0 {
		for _, r := range receivers {
			if !r.Stream() && r.Wants(i.Level) {
				to = append(to, route.Delivery{Receiver: r.Name(), Why: "nobody on the routes wants " + i.Level + ": all are told that do"})
			}
		}
	}
	var out []store.OutboxRow
	for _, d := range to {
		i.ID, i.Route = IncidentID(i.Incident, d.Receiver, i.Sequence), Safe(d.Why, maxText)
		payload, err := encode(i)
		if err != nil {
			return nil, fmt.Errorf("writing message %s: %w", i.ID, err)
		}
		out = append(out, store.OutboxRow{ID: i.ID, Receiver: d.Receiver, Kind: KindIncident, Payload: payload, Text: i.Text(), NextAttempt: d.At})
	}
	return out, nil
}

// bounded returns a copy that is small and without bytes that JSON cannot carry.
func (i Incident) bounded() Incident {
	i.Kind = KindIncident
	i.Alarms, i.AlarmsTotal = cut(i.Alarms, i.AlarmsTotal, maxIncidentAlarms)
	for n := range i.Alarms {
		i.Alarms[n] = i.Alarms[n].bounded()
	}
	i.Watches, _ = cut(i.Watches, 0, maxIncidentLists)
	i.Next, _ = cut(i.Next, 0, maxIncidentLists)
	for n := range i.Watches {
		each(&i.Watches[n])
	}
	for n := range i.Next {
		each(&i.Next[n])
	}
	each(&i.Incident, &i.Change, &i.Reason, &i.State, &i.Level, &i.Title, &i.Owner, &i.Group, &i.Parent, &i.By, &i.Comment)
	i.Opened, i.Updated = jsonTime(i.Opened), jsonTime(i.Updated)
	if i.Suppressed == nil {
		i.Suppressed = map[string]int{}
	}
	return i
}

// changeWords are what stands first in the text of a message that is not about a level.
var changeWords = map[string]string{
	string(incident.Acked): "ACKNOWLEDGED", string(incident.Ended): "RESOLVED", string(incident.Note): "NOTE",
}

// Text is the message for people. Safe for a terminal, without a line break at the end.
func (i Incident) Text() string {
	s := func(text string) string { return Safe(text, textWidth) }
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-8s %s\n", label, fmt.Sprintf(format, args...))
	}
	word, ok := changeWords[i.Change]
	if !ok {
		word = strings.ToUpper(s(i.Level))
	}
	if i.LiveDrill {
		word = "DRILL " + word
	}
	title := s(i.Title)
	if n := i.CertificatesTotal - 1; n > 0 {
		title += fmt.Sprintf(" (and %s more)", countOf(n, "certificate"))
	}
	fmt.Fprintf(&b, "%s  %s\n", word, title)
	line("why now", "%s: %s", s(i.Change), s(i.Reason))
	standing := fmt.Sprintf("%s, %s, since %s", s(i.Incident), s(i.State), day(i.Opened))
	if i.Parent != "" {
		standing += ", beneath " + s(i.Parent)
	}
	line("incident", "%s", standing)
	if i.Owner != "" {
		line("owner", "%s", s(i.Owner))
	}
	line("group", "%s", s(i.Group))
	if len(i.Watches) > 0 {
		line("watches", "%s", s(strings.Join(i.Watches, ", ")))
	}
	if i.Comment != "" {
		line("comment", "%s", s(i.Comment))
	}
	for _, a := range i.Alarms {
		id := a.Issuance[:min(12, len(a.Issuance))]
		what := "certificate"
		if a.Precert {
			what = "precertificate"
		}
		line(s(a.Level), "%s: %s by %s, valid to %s  (tocsin explain %s)", what, a.headline(), a.signer(), day(a.Certificate.NotAfter), s(id))
		for _, r := range a.Reasons {
			if !r.Held {
				line("", "%s: %s", s(r.Rule), s(r.Text))
			}
		}
	}
	if n := i.AlarmsTotal - len(i.Alarms); n > 0 && len(i.Alarms) > 0 {
		line("", "and %d more", n)
	}
	if i.SuppressedTotal > 0 {
		var counts []string
		for why, n := range i.Suppressed {
			counts = append(counts, fmt.Sprintf("%d %s", n, s(why)))
		}
		slices.Sort(counts)
		line("silent", "%d did not ring: %s", i.SuppressedTotal, s(strings.Join(counts, ", ")))
	}
	if i.Route != "" {
		line("told you", "%s", s(i.Route))
	}
	var next []string
	for _, n := range i.Next {
		next = append(next, s(n))
	}
	fmt.Fprintf(&b, "next: %s", strings.Join(next, "; "))
	return b.String()
}
