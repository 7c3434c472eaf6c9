package incident

import (
	"fmt"
	"strings"
)

// None is the status of an incident that is not there yet.
const None Status = ""

// Edge is a change of status that may happen, and what brings it about.
type Edge struct {
	From, To Status
	By       string
}

// Life is the whole life cycle. A [Step] makes no other move; the tests see to that.
var Life = []Edge{
	{None, New, "a surprise"},
	{None, Silenced, "a surprise under a silence"},
	{New, Notified, "told"},
	{New, Grouped, "told, beneath a CA's incident"},
	{New, Acknowledged, "ack"},
	{New, Archived, "ack until different"},
	{New, Silenced, "a silence over all of it"},
	{New, Explained, "a late fact explains all"},
	{New, Resolved, "resolve"},
	{Notified, Grouped, "its CA's incident opens"},
	{Notified, Acknowledged, "ack"},
	{Notified, Archived, "ack until different"},
	{Notified, Explained, "a late fact explains all"},
	{Notified, Resolved, "resolve"},
	{Grouped, Notified, "its CA's incident is over"},
	{Grouped, Acknowledged, "ack"},
	{Grouped, Archived, "ack until different"},
	{Grouped, Explained, "a late fact explains all"},
	{Grouped, Resolved, "resolve"},
	{Acknowledged, New, "a further certificate, or one gets worse"},
	{Acknowledged, Archived, "ack until different"},
	{Acknowledged, Explained, "a late fact explains all"},
	{Acknowledged, Resolved, "resolve"},
	{Archived, New, "a different certificate, or one gets worse"},
	{Archived, Acknowledged, "ack"},
	{Archived, Explained, "a late fact explains all"},
	{Archived, Resolved, "resolve"},
	{Silenced, New, "the silence ends, or does not cover a certificate"},
	{Silenced, Acknowledged, "ack"},
	{Silenced, Archived, "ack until different"},
	{Silenced, Explained, "a late fact explains all"},
	{Silenced, Resolved, "resolve"},
	{Explained, New, "a certificate of it gets worse"},
	{Explained, Silenced, "one gets worse, under a silence"},
	{Explained, Resolved, "resolve"},
	{Resolved, New, "a certificate of it gets worse"},
	{Resolved, Silenced, "one gets worse, under a silence"},
}

// Mermaid draws the life cycle, for the documents.
func Mermaid() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, e := range Life {
		from := string(e.From)
		if e.From == None {
			from = "[*]"
		}
		fmt.Fprintf(&b, "    %s --> %s: %s\n", from, e.To, e.By)
	}
	return b.String()
}
