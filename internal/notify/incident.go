package notify

import "time"

// KindIncident is the kind of a message about an incident: what inboxes get. Its payload is an [Incident].
const KindIncident = "incident"

// Incident is the document about one change of an incident that inboxes get. Its JSON is described in docs/output.md;
// keys are only ever added. Lists are cut (see the Total fields), and texts, too.
type Incident struct {
	// ID is of this message, and the same each time that it is sent; Kind is [KindIncident]. Both are set by
	// [IncidentRows].
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Incident is the id of the incident: what its messages share. Sequence counts them from 1.
	Incident string `json:"incident"`
	Sequence int    `json:"sequence"`
	// Change is why it is told now: opened, grew, raised, reminder, escalated, acknowledged, resolved, reopened or note.
	Change string `json:"change"`
	// Reason is the same in words.
	Reason string `json:"reason"`
	// State is that after the change: notified, acknowledged, archived, silenced, grouped, explained or resolved.
	State string `json:"state"`
	Level string `json:"level"`
	Title string `json:"title"`
	Owner string `json:"owner,omitempty"`
	// Group is what holds it together: a registrable domain, a network, or an issuing key.
	Group string `json:"group"`
	// Parent is the incident of the CA beneath which it is grouped.
	Parent  string    `json:"parent,omitempty"`
	Watches []string  `json:"watches"`
	Opened  time.Time `json:"opened"`
	Updated time.Time `json:"updated"`
	// CertificatesTotal counts the certificates, SuppressedTotal what did not ring though it touched the incident, and
	// Suppressed says why not, in words.
	CertificatesTotal int            `json:"certificates_total"`
	SuppressedTotal   int            `json:"suppressed_total"`
	Suppressed        map[string]int `json:"suppressed"`
	// Alarms are the certificates that this message is about, the newest first, at most 10; AlarmsTotal counts them.
	Alarms      []Alarm `json:"alarms"`
	AlarmsTotal int     `json:"alarms_total"`
	// By is who acknowledged or resolved it, Comment what he wrote.
	By      string `json:"by,omitempty"`
	Comment string `json:"comment,omitempty"`
	// Route says why this receiver is told.
	Route string `json:"route"`
	// Next are the commands that are likely to be run now.
	Next []string `json:"next"`
	// LiveDrill is set when tocsin made it ring to try itself.
	LiveDrill bool `json:"live_drill"`
}
