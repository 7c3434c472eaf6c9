package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// story is what a message says, as receivers for people need it: of an incident, of one issuance, or of what concerns
// no certificate. All its texts are safe for a terminal; no receiver may take them for safe in its own markup.
type story struct {
	Notice
	// Title is one line. Level is a level of the policy, or "" for a notice that has none.
	Title, Level string
	// Matter is what the messages of one matter share, "" for one that stands alone.
	Matter string
	// Over is set when the matter is at its end, Seen when somebody has acknowledged it.
	Over, Seen bool
	// Drill is set for what was made to ring on purpose, Test for the message of tocsin receivers test.
	Drill, Test bool
	Change      string
	Incident    *Incident
	Alarms      []Alarm
	Next        []string
}

// KindTest is the kind of the message that [Test] makes.
const KindTest = "test"

// Test is a message that says of itself that nothing has happened, for tocsin receivers test.
func Test(id string, now time.Time) Notice {
	text := "TEST  tocsin was asked to try this receiver; nothing has happened\n      next: nothing"
	doc, _ := encode(map[string]any{"kind": KindTest, "id": id, "at": jsonTime(now), "text": "tocsin was asked to try this receiver; nothing has happened"})
	return Notice{ID: id, Kind: KindTest, At: now, Payload: doc, Text: text, Attempt: 1}
}

// outline is what the documents of notices without a certificate have in common, as far as they have it.
type outline struct {
	Resolved bool   `json:"resolved"`
	Title    string `json:"title"`
	Health   *struct {
		Code    string `json:"code"`
		Subject string `json:"subject"`
	} `json:"health"`
}

// tell reads a message. A document that cannot be read is no reason to be silent: the text is told.
func tell(n Notice) *story {
	s := &story{Notice: n, Test: n.Kind == KindTest}
	switch n.Kind {
	case KindIncident:
		var i Incident
		if json.Unmarshal(n.Payload, &i) == nil {
			s.Incident, s.Alarms, s.Change, s.Drill = &i, i.Alarms, i.Change, i.LiveDrill
			s.Level, s.Matter, s.Title = i.Level, i.Incident, i.Title
			s.Over, s.Seen, s.Next = i.State == "resolved" || i.State == "explained", i.State == "acknowledged", i.Next
		}
	case KindAlarm, KindPage, KindFiled:
		var a Alarm
		if json.Unmarshal(n.Payload, &a) == nil {
			s.Alarms, s.Level, s.Matter = []Alarm{a}, a.Level, a.Issuance
			s.Title = fmt.Sprintf("%s is named in a certificate by %s", a.headline(), a.signer())
			if len(a.Issuance) >= 12 {
				s.Next = []string{"tocsin explain " + a.Issuance[:12]}
			}
		}
		if s.Level == "" {
			s.Level = map[string]string{KindAlarm: "alarm", KindPage: "page"}[n.Kind]
		}
	default:
		var p outline
		if json.Unmarshal(n.Payload, &p) == nil {
			s.Over = p.Resolved
			if p.Health != nil && p.Health.Code != "" {
				s.Matter = p.Health.Code + " " + p.Health.Subject
			}
		}
		s.Over = s.Over || n.Kind == "resolved"
		if n.Kind == "blind" && !s.Over {
			s.Level = "page"
		}
		if n.Kind == "caa" {
			s.Level = "alarm"
		}
	}
	s.Level = Safe(s.Level, 20)
	if s.Title == "" {
		s.Title = firstLine(n.Text)
	}
	if s.Title = Safe(strings.TrimSpace(s.Title), 200); s.Title == "" {
		s.Title = "a message of kind " + Safe(n.Kind, 40)
	}
	for i := range s.Next {
		s.Next[i] = Safe(s.Next[i], 200)
	}
	return s
}

// rings says whether it is for waking people.
func (s *story) rings() bool { return Rank(s.level()) >= Rank("alarm") && !s.Over && !s.Seen }

func (s *story) level() string {
	if s.Level == "" {
		return "digest"
	}
	return s.Level
}

// label is one word or two for what it is: what a reader sees first.
func (s *story) label() string {
	word := strings.ToUpper(Safe(s.Kind, 20))
	switch {
	case s.Test:
		word = "TEST"
	case s.Over:
		word = "RESOLVED"
	case s.Seen:
		word = "ACKNOWLEDGED"
	case s.Incident != nil || len(s.Alarms) > 0:
		word = strings.ToUpper(s.level())
	}
	if s.Drill {
		word = "DRILL " + word
	}
	return word
}

// subject is one line for lists of messages.
func (s *story) subject() string {
	title := s.Title
	// The texts of notices begin with the same word.
	if n := len(s.label()); s.Incident == nil && len(s.Alarms) == 0 && len(title) > n+1 && strings.EqualFold(title[:n], s.label()) && strings.ContainsRune(" :", rune(title[n])) {
		title = strings.TrimLeft(title[n:], " :")
	}
	return s.label() + ": " + title
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// cutBytes shortens a text to so many bytes, at the end of a character, and says so.
func cutBytes(text string, limit int) string {
	const tail = " … (cut)"
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:max(limit-len(tail), 0)], "") + tail
}

// compact is a document on one line, or an empty one when it cannot be read.
func compact(doc json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, doc) != nil {
		return []byte("{}")
	}
	return b.Bytes()
}
