package loglist

import (
	"fmt"
	"slices"
)

// Named is a list with the name under which people know it.
type Named struct {
	Name string
	List *List
}

// inclusion orders states by how much they make a monitor read.
var inclusion = []State{Usable, Qualified, ReadOnly, Pending, Retired, Rejected, None}

func include(s State) int {
	if i := slices.Index(inclusion, s); i >= 0 {
		return i
	}
	return len(inclusion)
}

// Join makes one list of several. A log stands in it once, by its log id, with the most inclusive of its states: what any
// publisher's clients accept is read. All else is as in the first list that has the log, or where that says nothing as in
// the next. Where lists contradict each other about a log, that is among the reports.
func Join(lists ...Named) *List {
	out := &List{}
	at := map[[32]byte]int{}
	from := map[[32]byte]string{}
	for _, n := range lists {
		for _, r := range n.List.Reports {
			if len(lists) > 1 {
				r.Where = n.Name + ": " + r.Where
			}
			out.note(r)
		}
		for _, g := range n.List.Logs {
			i, known := at[g.ID]
			if !known {
				at[g.ID], from[g.ID] = len(out.Logs), n.Name
				out.Logs = append(out.Logs, g)
				continue
			}
			for _, text := range out.Logs[i].join(&g, from[g.ID], n.Name) {
				out.note(Report{Where: fmt.Sprintf("log %q", out.Logs[i].Name()), Text: clean(text)})
			}
		}
	}
	if len(lists) == 1 {
		out.Version, out.Timestamp = lists[0].List.Version, lists[0].List.Timestamp
	}
	return out
}

func (l *List) note(r Report) {
	if len(l.Reports) < maxReports {
		l.Reports = append(l.Reports, r)
	}
}

// join takes over what another list says about the same log, and says where the two differ.
func (l *Log) join(o *Log, mine, other string) (differ []string) {
	say := func(what string, a, b any, taken string) {
		differ = append(differ, fmt.Sprintf("%s is %v in %s and %v in %s: taken as %s", what, a, mine, b, other, taken))
	}
	if l.Kind != o.Kind {
		say("the protocol", l.Kind, o.Kind, "in "+mine)
	} else if l.URL != o.URL || l.MonitoringURL != o.MonitoringURL {
		say("the address", l.MonitoringURL, o.MonitoringURL, "in "+mine)
	}
	if l.MMD != 0 && o.MMD != 0 && l.MMD != o.MMD {
		say("the maximum merge delay", l.MMD, o.MMD, "in "+mine)
	}
	if l.Final != nil && o.Final != nil && *l.Final != *o.Final {
		say("the final head", l.Final.Size, o.Final.Size, "in "+mine)
	}
	if l.State != o.State {
		least := l.State
		if include(o.State) < include(l.State) {
			least = o.State
		}
		say("the state", l.State, o.State, least.String())
		if least != l.State {
			l.State, l.StateSince = o.State, o.StateSince
		}
	}
	if l.MMD == 0 {
		l.MMD = o.MMD
	}
	if l.Final == nil {
		l.Final = o.Final
	}
	if l.Interval == nil {
		l.Interval = o.Interval
	}
	if l.Description == "" {
		l.Description = o.Description
	}
	return differ
}
