package lists

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// wanted is a log that the lists in force, or the operator, want read.
type wanted struct {
	log     loglist.Log
	sources []string
}

// desired are the logs to be followed, by the lists in force and by hand. The entry of a list wins over one by hand.
func (s *Set) desired() []wanted {
	var named []loglist.Named
	has := map[[32]byte][]string{}
	for _, src := range s.sources {
		if in := s.inForce[src.Name]; in != nil {
			named = append(named, loglist.Named{Name: src.Name, List: in.list})
			for _, g := range in.list.Logs {
				has[g.ID] = append(has[g.ID], src.Name)
			}
		}
	}
	s.joined = loglist.Join(named...)
	var out []wanted
	seen := map[[32]byte]bool{}
	for _, g := range s.joined.Followed() {
		seen[g.ID] = true
		out = append(out, wanted{g, has[g.ID]})
	}
	for _, g := range s.opts.Add {
		if !seen[g.ID] {
			seen[g.ID] = true
			out = append(out, wanted{g, nil})
		}
	}
	return out
}

// compare brings the remembered logs in line with what is desired, and notes what people should be told of it.
func (s *Set) compare(now time.Time) {
	want := s.desired()
	ids := map[[32]byte]bool{}
	for _, w := range want {
		ids[w.log.ID] = true
	}
	var appeared, returned []string
	for _, w := range want {
		l := s.mem.find(w.log.ID)
		if l == nil {
			l = &remembered{Log: w.log, Sources: w.sources, Moved: now}
			l.Zero, l.Since = s.start(w.sources)
			s.keyChange(w.log, ids, now)
			s.mem.Logs = append(s.mem.Logs, l)
			if l.Zero {
				appeared = append(appeared, w.log.Name())
			}
			continue
		}
		if !l.Leaving.IsZero() || !l.Closed.IsZero() {
			l.Leaving, l.Closed, l.Why, l.Word, l.Final = time.Time{}, time.Time{}, "", "", false
			returned = append(returned, w.log.Name())
		} else if what := differences(&l.Log, &w.log); len(what) > 0 {
			s.event(Event{Kind: "changed", Logs: []string{w.log.Name()}, At: now,
				Text: fmt.Sprintf("the list has changed about %s: %s; it is read accordingly", w.log.Name(), strings.Join(what, "; "))})
		}
		l.Log, l.Sources, l.skip = w.log, w.sources, false
	}
	if len(appeared) > 0 {
		s.event(Event{Kind: "appeared", Logs: appeared, At: now,
			Text: fmt.Sprintf("%s new in the list, read from the first entry: %s", logs(len(appeared)), some(appeared))})
	}
	if len(returned) > 0 {
		s.event(Event{Kind: "returned", Logs: returned, At: now,
			Text: fmt.Sprintf("%s back in the list, read on from where reading ended: %s", logs(len(returned)), some(returned))})
	}
	s.leave(ids, now)
	for _, src := range s.sources {
		s.mem.source(src.Name).New = false
	}
	s.mem.Logs = slices.DeleteFunc(s.mem.Logs, func(l *remembered) bool { return !l.Closed.IsZero() && now.Sub(l.Closed) > keepClosed })
}

func logs(n int) string {
	if n == 1 {
		return "1 log is"
	}
	return fmt.Sprintf("%d logs are", n)
}

// start says where a log that was never read begins: that of a list which was known before with its first entry, for it
// is new; that of a list which is seen for the first time, or was added by hand, where the operator said at the start.
// A first copy that comes late counts from the start of the program.
func (s *Set) start(sources []string) (zero bool, since time.Time) {
	first := len(sources) == 0
	for _, name := range sources {
		m := s.mem.source(name)
		first = first || m.New || m.Fetched.IsZero()
	}
	switch {
	case !first:
		return true, time.Time{}
	case s.started:
		return false, s.began
	}
	return false, time.Time{}
}

// keyChange tells of a new log at the address of one that is no longer listed: another key, and so another log. Both are
// read, each under its own key.
func (s *Set) keyChange(g loglist.Log, listed map[[32]byte]bool, now time.Time) {
	for _, l := range s.mem.Logs {
		if l.Log.URL == g.URL && !listed[l.Log.ID] && l.Closed.IsZero() {
			s.event(Event{Kind: "key-changed", Logs: []string{g.Name()}, At: now,
				Text: fmt.Sprintf("the list has another key for the log at %s: log id %s in place of %s. A log cannot change its key: this is another log, read from its own first entry under the new key, and the old one is read on under the old key until it is closed",
					g.URL, g.IDText(), l.Log.IDText())})
			return
		}
	}
}

// leave notes which logs are no longer to be followed. A log of a list that is not at hand at all stays.
func (s *Set) leave(listed map[[32]byte]bool, now time.Time) {
	state := map[[32]byte]*loglist.Log{}
	for i := range s.joined.Logs {
		state[s.joined.Logs[i].ID] = &s.joined.Logs[i]
	}
	by := map[string][]string{}
	for _, l := range s.mem.Logs {
		if listed[l.Log.ID] || !l.Leaving.IsZero() || !l.Closed.IsZero() {
			continue
		}
		if slices.ContainsFunc(l.Sources, func(name string) bool { return s.inForce[name] == nil && s.configured(name) }) {
			continue
		}
		l.Leaving = now
		switch g := state[l.Log.ID]; {
		case g != nil:
			_, l.Why = g.Follow()
			final := l.Log.Final
			if l.Log = *g; l.Log.Final == nil {
				l.Log.Final = final
			}
		case len(l.Sources) == 0:
			l.Why = "no longer added by hand"
		default:
			l.Why = "no longer listed"
		}
		by[l.Why] = append(by[l.Why], l.Log.Name())
	}
	for _, why := range slices.Sorted(maps.Keys(by)) {
		s.event(Event{Kind: "leaving", Logs: by[why], At: now,
			Text: fmt.Sprintf("%s to be left (%s), after the last head was read: %s", logs(len(by[why])), why, some(by[why]))})
	}
}

func (s *Set) configured(name string) bool {
	return slices.ContainsFunc(s.sources, func(src Source) bool { return src.Name == name })
}

// differences names what changes how a log is read. That it was qualified and became usable does not.
func differences(a, b *loglist.Log) (out []string) {
	say := func(what string, from, to any) { out = append(out, fmt.Sprintf("%s from %v to %v", what, from, to)) }
	if a.Kind != b.Kind {
		say("protocol", a.Kind, b.Kind)
	}
	if a.URL != b.URL {
		say("submission URL", a.URL, b.URL)
	}
	if a.MonitoringURL != b.MonitoringURL && (a.MonitoringURL != a.URL || b.MonitoringURL != b.URL) {
		say("monitoring URL", a.MonitoringURL, b.MonitoringURL)
	}
	if a.Dial != b.Dial {
		say("address to dial", or(a.Dial, "none"), or(b.Dial, "none"))
	}
	if a.MMD != b.MMD {
		say("maximum merge delay", a.MMD, b.MMD)
	}
	if (a.State == loglist.ReadOnly) != (b.State == loglist.ReadOnly) {
		say("state", a.State, b.State)
	}
	if head(a) != head(b) {
		say("final head", head(a), head(b))
	}
	return out
}

func head(g *loglist.Log) string {
	if g.Final == nil {
		return "none"
	}
	return fmt.Sprintf("%d entries with root %x", g.Final.Size, g.Final.Root)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
