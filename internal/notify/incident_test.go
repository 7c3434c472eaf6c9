package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
)

// inbox is a receiver that is told of incidents.
type inbox struct {
	fake
	least string
}

func (i *inbox) Stream() bool            { return false }
func (i *inbox) Wants(level string) bool { return AtLeast(i.least)(level) }

func anInbox(name, least string) *inbox {
	i := &inbox{least: least}
	i.name = name
	return i
}

var opened = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func anIncident() (*incident.State, *incident.Notification, []Alarm) {
	s := &incident.State{
		ID: "ab12cd34ef56", Kind: incident.OfOwner, Owner: "dns-team", Group: "1.1.1.0/24", Status: incident.Notified, Level: policy.Page, Title: "1.1.1.1 is named in a certificate by Fina",
		Opened: opened, Updated: opened.Add(time.Minute), Certificates: 3, Suppressed: map[incident.Why]int{incident.Sighting: 4, incident.Muted: 1},
		Subject: incident.Subject{Owners: []string{"dns-team"}, Watches: []string{"public resolver"}},
	}
	n := &incident.Notification{Sequence: 2, Change: incident.Grew, Level: policy.Page, Reason: "a further certificate", Issuances: []string{"0123456789abcdef"}, Total: 1}
	a := Alarm{
		Issuance: "0123456789abcdef", Level: "page", Precert: true, Matched: []Match{{Watch: "public resolver", Item: "1.1.1.0/24", Where: "san:ip", Value: "1.1.1.1"}},
		Issuer: Issuer{Name: "Fina RDC 2020", Owner: "Financijska agencija", Proven: true}, Certificate: Certificate{NotAfter: opened.Add(24 * time.Hour)},
		Reasons: []Reason{{Rule: "issuer", Text: "the issuer is none of those wanted"}, {Rule: "proven", Held: true, Text: "it is proven"}},
	}
	return s, n, []Alarm{a}
}

func TestAnIncidentReadsWell(t *testing.T) {
	i := NewIncident(anIncident())
	i.Route = "route 1: page and above"
	want := `PAGE  1.1.1.1 is named in a certificate by Fina (and 2 certificates more)
  why now  grew: a further certificate
  incident ab12cd34ef56, notified, since 2026-03-01 12:00Z
  owner    dns-team
  group    1.1.1.0/24
  watches  public resolver
  page     precertificate: 1.1.1.1 by Financijska agencija, valid to 2026-03-02 12:00Z  (tocsin explain 0123456789ab)
           issuer: the issuer is none of those wanted
  silent   5 did not ring: 1 silenced, 4 sighting
  told you route 1: page and above
next: tocsin incidents show ab12cd34ef56; tocsin ack ab12cd34ef56`
	if diff := cmp.Diff(want, i.Text()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for change, word := range map[incident.Change]string{incident.Acked: "ACKNOWLEDGED  ", incident.Ended: "RESOLVED  ", incident.Note: "NOTE  ", incident.Escalated: "PAGE  "} {
		i.Change = string(change)
		if !strings.HasPrefix(i.Text(), word) {
			t.Errorf("%s: %s", change, firstLine(i.Text()))
		}
	}
	i.LiveDrill = true
	if !strings.HasPrefix(i.Text(), "DRILL ") {
		t.Error(firstLine(i.Text()))
	}
}

func TestInboxesAreToldOfIncidentsUnderStableIDs(t *testing.T) {
	monday := opened.Add(20 * time.Hour)
	oncall, team, quiet := anInbox("oncall", "alarm"), anInbox("team", "digest"), anInbox("quiet", "page")
	stream := &fake{name: "program"}
	all := []Receiver{oncall, stream, team, quiet}
	for _, c := range []struct {
		name  string
		level policy.Level
		to    []route.Delivery
		want  []string
	}{
		{"those to whom the walk leads", policy.Page, []route.Delivery{{Receiver: "oncall"}, {Receiver: "team"}}, []string{"oncall", "team"}},
		{"streams have been told already", policy.Page, []route.Delivery{{Receiver: "program"}, {Receiver: "team"}}, []string{"team"}},
		{"a stream alone is somebody", policy.Page, []route.Delivery{{Receiver: "program"}}, nil},
		{"when nobody there wants it, all are told that do", policy.Alarm, []route.Delivery{{Receiver: "quiet"}}, []string{"oncall", "team"}},
	} {
		s, n, alarms := anIncident()
		n.Level = c.level
		rows, err := IncidentRows(NewIncident(s, n, alarms), route.Result{To: c.to}, all)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, r.Receiver)
			var doc Incident
			if err := json.Unmarshal(r.Payload, &doc); err != nil || doc.ID != r.ID || doc.Kind != KindIncident || r.Kind != KindIncident || doc.Route == "" && c.level == policy.Alarm {
				t.Errorf("%s: %+v, %v", c.name, doc, err)
			}
			if r.Rank != 0 || r.Issuance != [32]byte{} {
				t.Errorf("%s: the row could be held back by another: %+v", c.name, r)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
	s, n, alarms := anIncident()
	once, _ := IncidentRows(NewIncident(s, n, alarms), route.Result{To: []route.Delivery{{Receiver: "oncall"}, {Receiver: "team", At: monday}}}, all)
	again, _ := IncidentRows(NewIncident(s, n, nil), route.Result{To: []route.Delivery{{Receiver: "oncall"}, {Receiver: "team"}}}, all)
	if once[0].ID != again[0].ID || once[0].ID == once[1].ID {
		t.Errorf("ids %s, %s, then %s", once[0].ID, once[1].ID, again[0].ID)
	}
	if !once[1].NextAttempt.Equal(monday) || !once[0].NextAttempt.IsZero() {
		t.Errorf("what was put off: %v, %v", once[0].NextAttempt, once[1].NextAttempt)
	}
	n.Sequence++
	if later, _ := IncidentRows(NewIncident(s, n, alarms), route.Result{To: []route.Delivery{{Receiver: "oncall"}}}, all); later[0].ID == once[0].ID {
		t.Error("the next message has the same id")
	}
}

func TestAHugeHostileIncidentMakesASmallSafeMessage(t *testing.T) {
	bad := "\x1b[2J\u202e\r\nX-Injected: 1\x00" + strings.Repeat("A", 5000)
	s, n, alarms := anIncident()
	s.Title, s.Owner, s.Group, n.Reason, s.Comment = bad, bad, bad, bad, bad
	a := alarms[0]
	a.Certificate.Subject, a.Issuer.Name, a.Matched[0].Value = bad, bad, bad
	alarms = nil
	for range 500 {
		alarms = append(alarms, a)
		s.Subject.Watches = append(s.Subject.Watches, bad)
	}
	n.Total = 500
	before := cmp.Diff(nil, alarms[0])
	rows, err := IncidentRows(NewIncident(s, n, alarms), route.Result{To: []route.Delivery{{Receiver: "team", Why: bad}}}, []Receiver{anInbox("team", "digest")})
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	if before != cmp.Diff(nil, alarms[0]) {
		t.Error("the input was changed")
	}
	if len(rows[0].Payload) > 400<<10 || len(rows[0].Text) > 32<<10 {
		t.Errorf("%d bytes, text of %d", len(rows[0].Payload), len(rows[0].Text))
	}
	for _, c := range rows[0].Text {
		if c != '\n' && (c < ' ' || c == 0x202e || c == 0x7f) {
			t.Fatalf("the text has %U", c)
		}
	}
	if strings.Contains(rows[0].Text, "\nX-Injected") {
		t.Error("a line of the text is theirs")
	}
	var doc Incident
	if err := json.Unmarshal(rows[0].Payload, &doc); err != nil || len(doc.Alarms) != maxIncidentAlarms || doc.AlarmsTotal != 500 {
		t.Errorf("%d alarms of %d, %v", len(doc.Alarms), doc.AlarmsTotal, err)
	}
}

func TestTheAlarmKeptWithAnIncidentIsTheOneThatIsTold(t *testing.T) {
	_, _, alarms := anIncident()
	doc, err := AlarmDocument(alarms[0], [32]byte{0x01, 0x23})
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseAlarm(doc)
	if err != nil || !strings.HasPrefix(back.Issuance, "0123") || back.Kind != KindPage || back.headline() != alarms[0].headline() {
		t.Errorf("%+v, %v", back, err)
	}
	if _, err := ParseAlarm(json.RawMessage("{")); err == nil {
		t.Error("what cannot be read is read")
	}
}

func TestARouteIsAskedAboutAllThatIsConcerned(t *testing.T) {
	s, n, _ := anIncident()
	n.Escalate = true
	if diff := cmp.Diff(route.Matter{Level: policy.Page, Owners: []string{"dns-team"}, Watches: []string{"public resolver"}, Escalate: true}, Matter(s, n)); diff != "" {
		t.Error(diff)
	}
}
