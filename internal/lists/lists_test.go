package lists

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/loglist"
)

// want fails unless got is as wanted, in any order.
func want(t *testing.T, what string, got []string, wanted ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(wanted)
	if d := cmp.Diff(wanted, got); d != "" && len(got)+len(wanted) > 0 {
		t.Errorf("%s (-want +got)\n%s", what, d)
	}
}

// D10: the log list changes while running: a shard appears, one becomes read-only, one is retired, one disappears, and
// one log is not in the list at all.
func TestD10TheListChangesWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"), a("A/2"), a("B/1"), a("B/2"), a("C/1"), a("D/1"))
		local := a("local/1")
		s := open(t, p, Source{}, Options{Add: []loglist.Log{local}, Memory: memoryFile(t)})
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "at the start", names(s), "A/1", "A/2", "B/1", "B/2", "C/1", "D/1", "local/1")
		want(t, "the first list is no news", told(t, s))

		p.publish(list(a("A/1"), a("A/2", final(50)), a("B/1", in(loglist.Retired)), a("B/2"), a("D/1"), a("E/2027")))
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "after the change", names(s), "A/1", "A/2", "-B/1", "B/2", "-C/1", "D/1", "+E/2027", "local/1")
		want(t, "told", told(t, s), "appeared E/2027", "changed A/2", "leaving B/1", "leaving C/1")
		for range 3 {
			time.Sleep(time.Hour)
			if err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want(t, "told again", told(t, s))

		// The read-only one: a word when its final head is reached, and it stays under watch.
		if s.Progressed(a("A/2").ID, Progress{Head: 50, Verified: 50, Position: 50, Final: true}) {
			t.Error("a read-only log is no longer looked at")
		}
		// The retired one is read to its last head, and closed with a word after the grace.
		b1 := a("B/1").ID
		if s.Progressed(b1, Progress{Head: 90, Verified: 80, Position: 85}) {
			t.Error("closed while it is owed")
		}
		time.Sleep(defaultGrace)
		if s.Progressed(b1, Progress{Head: 90, Verified: 88, Position: 88}) {
			t.Error("closed although reading gets on")
		}
		if !s.Progressed(b1, Progress{Head: 90, Verified: 90, Position: 90}) || !s.Progressed(b1, Progress{}) {
			t.Error("not closed although it was read to its end after the grace")
		}
		// The one that disappeared does not answer any more.
		c1 := a("C/1").ID
		if s.Progressed(c1, Progress{Head: 70, Verified: 60, Position: 60, Down: true, Tried: true}) {
			t.Error("closed although it gave something since")
		}
		time.Sleep(defaultGrace)
		if !s.Progressed(c1, Progress{Head: 70, Verified: 60, Position: 60, Down: true, Tried: true}) {
			t.Error("not closed although nothing came for the grace")
		}
		events := s.Events()
		want(t, "told at the end", told(t, s), "final A/2", "closed B/1", "closed C/1")
		for _, e := range events {
			if e.Kind == "closed" && e.Logs[0] == "C/1" && !strings.Contains(e.Text, "10 of 70 entries") {
				t.Errorf("what is missing is not said: %q", e.Text)
			}
		}
		want(t, "what is read at the end", names(s), "A/1", "A/2", "B/2", "D/1", "+E/2027", "local/1")
		if d := s.Departing(); len(d) != 2 || d[0].Closed.IsZero() || !strings.Contains(d[0].Text, "retired") {
			t.Errorf("%+v", d)
		}

		p.publish(list(a("A/1"), a("A/2", final(50)), a("B/1"), a("B/2"), a("D/1"), a("E/2027")))
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "one that comes back is read again", names(s), "A/1", "A/2", "B/1", "B/2", "D/1", "+E/2027", "local/1")
		want(t, "and told", told(t, s), "returned B/1")
	})
}

// D11: the whole list is never refused for a part that is not understood.
func TestD11AnUnderstoodPartIsTakenAndTheLastGoodListIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"))
		s := open(t, p, Source{}, Options{})
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		odd := string(list(a("A/1"), a("B/bogus", in(loglist.Retired)), a("B/1")))
		odd = strings.Replace(odd, `"operators": [`, `"unheard_of": {"x": 1}, "operators": [{"name": 7, "logs": [], "tiled_logs": [{"description": "no key"}]},
			{"name": "S", "logs": [], "tiled_logs": [{"description": "S/1", "log_id": "`+idText("S/1")+`", "key": "`+keyText("S/1")+`",
			"submission_url": "https://s.example.com/1", "monitoring_url": "https://mon.s.example.com/1", "state": {"usable": {}}},
			{"description": "S/2", "key": "`+keyText("S/2")+`", "submission_url": "https://s.example.com/2", "state": {"sleeping": {}}}]}, `, 1)
		p.publish([]byte(odd))
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "followed", names(s), "A/1", "+B/1", "+S/1")
		if len(s.Joined().Reports) < 3 {
			t.Errorf("reports: %v", s.Joined().Reports)
		}
		for _, w := range s.Wanted() {
			if kind := w.Log.Kind; (kind == loglist.Static) != (w.Log.Name() == "S/1") {
				t.Errorf("%s is %v", w.Log.Name(), kind)
			}
		}
		for what, b := range map[string][]byte{
			"an empty answer": {}, "a page": []byte("<html>503 try later</html>"), "half a list": []byte(odd[:len(odd)/2]),
			"a list of nothing": []byte(`{"operators":[]}`), "an array": []byte(`[]`), "another thing": []byte(`{"operators": 7}`),
		} {
			p.publish(b)
			if err := s.Refresh(t.Context()); err == nil {
				t.Errorf("%s is taken", what)
			}
			want(t, "after "+what, names(s), "A/1", "+B/1", "+S/1")
		}
	})
}

func TestAnOutageIsToldOnceAfterThePatienceAndResolvedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"))
		s := open(t, p, Source{}, Options{Memory: memoryFile(t)})
		refresh := func() {
			time.Sleep(time.Hour)
			_ = s.Refresh(t.Context())
		}
		refresh()
		p.set(func() { p.down = errDown })
		for range 23 {
			refresh()
		}
		want(t, "within the patience", told(t, s))
		if st := s.Status()[0]; len(st.Troubles) != 1 || st.From != FromSource || st.Age < 22*3600 {
			t.Errorf("but the status says it: %+v", st)
		}
		p.set(func() { p.down, p.status = nil, 500 }) // the same trouble with another face
		for range 24 {
			refresh()
		}
		want(t, "after the patience", told(t, s), Unreachable)
		p.set(func() { p.status = 0 })
		refresh()
		refresh()
		want(t, "when it is over", told(t, s), "resolved")
		if st := s.Status()[0]; len(st.Troubles) != 0 || st.Age != 0 {
			t.Errorf("%+v", st)
		}
		want(t, "all the time", names(s), "A/1")
		p.set(func() { p.down = errDown })
		refresh()
		p.set(func() { p.down = nil })
		refresh()
		want(t, "a short one", told(t, s))
	})
}

func TestAPublisherIsAskedConditionally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"))
		memory := memoryFile(t)
		for range 2 { // also after a restart
			s := open(t, p, Source{}, Options{Memory: memory})
			for range 5 {
				if err := s.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if st := s.Status()[0]; st.From != FromSource || st.Followed != 1 {
				t.Errorf("%+v", st)
			}
		}
		if p.asked != 10 || p.full != 1 {
			t.Errorf("asked %d times, sent %d times", p.asked, p.full)
		}
	})
}

func TestASignatureIsCheckedAndABadOneRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := keyOf("publisher").Public()
		b := list(a("A/1"))
		p := newPublisher()
		p.publish(b)
		p.files["/log_list.sig"] = sign(b, "publisher")
		memory := memoryFile(t)
		s := open(t, p, Source{Key: key}, Options{Memory: memory})
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := s.Status()[0]; st.Signature != "verified" {
			t.Errorf("%+v", st)
		}
		next := list(a("A/1"), a("B/1"))
		for _, row := range []struct {
			name string
			sig  []byte
		}{
			{"the signature of the list before", sign(b, "publisher")},
			{"that of somebody else", sign(next, "thief")},
			{"a flipped bit", func() []byte { s := sign(next, "publisher"); s[len(s)-1] ^= 1; return s }()},
			{"none", nil},
		} {
			p.set(func() {
				p.files["/log_list.json"], p.files["/log_list.sig"] = next, row.sig
				if row.sig == nil {
					delete(p.files, "/log_list.sig")
				}
			})
			if err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), map[bool]string{true: "not signed", false: "signature"}[row.sig == nil]) {
				t.Errorf("%s: %v", row.name, err)
			}
			want(t, row.name, names(s), "A/1")
			if st := s.Status()[0]; len(st.Troubles) != 1 || st.Troubles[0].Kind != Refused || st.Acceptable {
				t.Errorf("%s: %+v", row.name, st)
			}
		}
		want(t, "told at once, and once", told(t, s), Refused)
		if _, err := s.Accept(place); err == nil {
			t.Error("a bad signature can be accepted")
		}
		p.set(func() { p.files["/log_list.sig"] = sign(next, "publisher") })
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "with the right one", names(s), "A/1", "+B/1")
		want(t, "told", told(t, s), "resolved", "appeared B/1")

		// A kept copy is checked in the same way, and under the key that is configured now.
		if s := open(t, p, Source{Key: key}, Options{Memory: memory}); len(s.Wanted()) != 2 || s.Status()[0].From != FromMemory {
			t.Errorf("%+v", s.Status())
		}
		other, err := Open([]Source{{Name: place, Key: keyOf("other").Public()}}, &Options{Memory: memory})
		if err != nil || other.Problem() == nil || other.Status()[0].From != "nothing" {
			t.Errorf("%v, %v, %+v", err, other.Problem(), other.Status())
		}
		// And a list that is not at hand at all lets none of its logs go.
		other.opts.Client = clientOf(p)
		p.set(func() { p.down = errDown })
		if err := other.Refresh(t.Context()); err == nil {
			t.Error("no word of it")
		}
		want(t, "with no list at hand", names(other), "A/1", "+B/1")
	})
}

func TestListAndSignatureThatAreReplacedOneAfterTheOtherAreNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := list(a("A/1"))
		p := newPublisher()
		p.publish(b)
		p.files["/log_list.sig"] = []byte("of the list before")
		s := open(t, p, Source{Key: keyOf("publisher").Public()}, Options{})
		go func() {
			time.Sleep(signAgain / 2)
			p.set(func() { p.files["/log_list.sig"] = sign(b, "publisher") })
		}()
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "told", told(t, s))
	})
}

func TestASuddenLossIsRefusedUntilItIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := []loglist.Log{a("A/1"), a("A/2"), a("B/1"), a("B/2"), a("C/1")}
		p := newPublisher(all...)
		memory := memoryFile(t)
		s := open(t, p, Source{}, Options{Memory: memory})
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.publish(list(all[2:]...))
		for range 3 {
			if err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "all 2 logs of A") {
				t.Fatal(err)
			}
		}
		want(t, "all are read on", names(s), "A/1", "A/2", "B/1", "B/2", "C/1")
		want(t, "told once", told(t, s), Refused)

		s = open(t, p, Source{}, Options{Memory: memory}) // the daemon is started anew
		if err := s.Refresh(t.Context()); err == nil {
			t.Error("taken after a restart")
		}
		want(t, "told again after a restart", told(t, s))
		want(t, "acceptable", s.Waiting(), place)
		if text, err := s.Accept(place); err != nil || !strings.Contains(text, "A/1, A/2") {
			t.Fatalf("%q, %v", text, err)
		}
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "after it was accepted", names(s), "-A/1", "-A/2", "B/1", "B/2", "C/1")
		want(t, "told", told(t, s), "resolved", "leaving A/1,A/2")
		p.publish(list(all[4]))
		if err := s.Refresh(t.Context()); err == nil {
			t.Error("what was accepted once counts for the next loss")
		}
		// The loss is undone by itself.
		p.publish(list(all...))
		if err := s.Refresh(t.Context()); err != nil || len(s.Waiting()) != 0 {
			t.Errorf("%v, %v", err, s.Waiting())
		}
		want(t, "back again", told(t, s), Refused, "resolved", "returned A/1,A/2")
	})
}

func TestTheLastGoodCopyServesAStartWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"), a("B/1"))
		memory := memoryFile(t)
		s := open(t, p, Source{}, Options{Memory: memory})
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(memory); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the memory has mode %v, %v", info.Mode(), err)
		}
		time.Sleep(10 * time.Hour)
		p.set(func() { p.down = errDown })
		s = open(t, p, Source{Floor: loglist.Embedded()}, Options{Memory: memory})
		if err := s.Refresh(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("the start does not know why: %v", err)
		}
		want(t, "with the copy, not the floor", names(s), "A/1", "B/1")
		if st := s.Status()[0]; st.From != FromMemory || st.Age != 36000 {
			t.Errorf("%+v", st)
		}
		// A log that appeared while the daemon was down is new, too.
		p.set(func() { p.down = nil })
		p.publish(list(a("A/1"), a("B/1"), a("C/1")))
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "when the network is back", names(s), "A/1", "B/1", "+C/1")
	})
}

func TestTheEmbeddedListIsAFloorAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		day := time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC) // before the bubble's clock
		floor := &loglist.List{Timestamp: day, Logs: []loglist.Log{a("A/1"), a("F/1"), a("F/2"), a("F/3")}}
		p := newPublisher()
		p.down = errDown
		memory := memoryFile(t)
		s := open(t, p, Source{Floor: floor}, Options{Memory: memory})
		_ = s.Refresh(t.Context())
		want(t, "without network and copy", names(s), "A/1", "F/1", "F/2", "F/3")
		if st := s.Status()[0]; st.From != FromEmbedded || st.Signature != "none needed" || st.Age != time.Since(day).Seconds() {
			t.Errorf("%+v", st)
		}
		// The past is refused from the first answer on.
		p.set(func() { p.down = nil })
		p.publish(dated(day.Add(-time.Hour), a("A/1"), a("F/1")))
		if err := s.Refresh(t.Context()); err == nil || s.Status()[0].From != FromEmbedded {
			t.Errorf("%v, %+v", err, s.Status())
		}
		// The publisher's list takes its place whatever it lacks: the floor may be as old as the program.
		began := time.Now()
		time.Sleep(time.Hour)
		p.publish(dated(day.Add(time.Hour), a("A/1"), a("N/1")))
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "when the list comes", names(s), "A/1", "-F/1", "-F/2", "-F/3", "N/1")
		for _, w := range s.Wanted() {
			if w.Log.Name() == "N/1" && !w.Since.Equal(began) {
				t.Errorf("a log of the first list begins at %v, want the start of the program, %v", w.Since, began)
			}
		}
		// A newer program brings a newer floor than the copy.
		p.set(func() { p.down = errDown })
		newer := &loglist.List{Timestamp: day.Add(2 * time.Hour), Logs: []loglist.Log{a("A/1"), a("N/1"), a("N/2")}}
		s = open(t, p, Source{Floor: newer}, Options{Memory: memory})
		_ = s.Refresh(t.Context())
		want(t, "with a newer floor", names(s), "A/1", "-F/1", "-F/2", "-F/3", "N/1", "+N/2")
		p.set(func() { p.down = nil })
		if err := s.Refresh(t.Context()); err == nil {
			t.Error("the copy of before is in force again")
		}
		p.publish(dated(day.Add(3*time.Hour), a("A/1"), a("N/1"), a("N/2")))
		if err := s.Refresh(t.Context()); err != nil || s.Status()[0].From != FromSource {
			t.Errorf("%v, %+v", err, s.Status())
		}
	})
}

func TestChangedParametersAreTakenOverAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"))
		s := open(t, p, Source{}, Options{})
		_ = s.Refresh(t.Context())
		for _, row := range []struct {
			name   string
			change func(*loglist.Log)
			told   string // in the text; "" when it is no news
		}{
			{"another address", func(g *loglist.Log) { g.URL, g.MonitoringURL = "https://new.example.com/", "https://new.example.com/" }, "submission URL from https://A.1.example.com/ to https://new.example.com/"},
			{"another merge delay", func(g *loglist.Log) { g.MMD = time.Hour }, "maximum merge delay from 24h0m0s to 1h0m0s"},
			{"another address to dial", func(g *loglist.Log) { g.Dial = "192.0.2.1:443" }, "address to dial from none to 192.0.2.1:443"},
			{"qualified", in(loglist.Qualified), ""},
			{"read-only with a final head", final(7), "state qualified to readonly"},
			{"another final head", final(8), "final head from 7 entries"},
		} {
			before := s.Wanted()[0].Log
			row.change(&before)
			p.publish(list(before))
			if err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			after := s.Wanted()[0].Log
			if d := cmp.Diff(before, after); d != "" {
				t.Errorf("%s (-list +followed)\n%s", row.name, d)
			}
			events := s.Events()
			_ = s.Told(events...)
			switch {
			case row.told == "" && len(events) != 0, row.told != "" && len(events) != 1:
				t.Errorf("%s: told %v", row.name, events)
			case row.told != "" && row.name != "read-only with a final head" && !strings.Contains(events[0].Text, row.told):
				t.Errorf("%s: told %q", row.name, events[0].Text)
			}
		}
	})
}

func TestAnotherKeyAtTheSameAddressIsToldAndNeverMixedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"), a("B/1"))
		s := open(t, p, Source{}, Options{})
		_ = s.Refresh(t.Context())
		other := a("A/other", func(g *loglist.Log) { g.URL, g.MonitoringURL = a("A/1").URL, a("A/1").URL })
		p.publish(list(other, a("B/1")))
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "told", told(t, s), "key-changed A/other", "appeared A/other", "leaving A/1")
		want(t, "both are read, each under its key", names(s), "-A/1", "+A/other", "B/1")
	})
}

func TestListsOfSeveralPublishersAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"), a("B/1", in(loglist.Retired)))
		p.files["/other.json"] = list(a("B/1"), a("C/1"))
		const other = "https://lists.example.com/other.json"
		s, err := Open([]Source{{Name: place}, {Name: other}}, &Options{Client: clientOf(p)})
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Refresh(t.Context())
		want(t, "a log usable for any program is followed", names(s), "A/1", "B/1", "C/1")
		if r := s.Joined().Reports; len(r) != 1 || !strings.Contains(r[0].Text, "taken as usable") {
			t.Errorf("%v", r)
		}
		p.set(func() { p.files["/other.json"] = list(a("C/1")) })
		_ = s.Refresh(t.Context())
		want(t, "when the other one no longer has it", names(s), "A/1", "-B/1", "C/1")
		// One list that is not to be had leaves the logs of the other, and its own.
		p.set(func() { delete(p.files, "/other.json") })
		if err := s.Refresh(t.Context()); err == nil {
			t.Error("no word about a list that is gone")
		}
		want(t, "when one list is gone", names(s), "A/1", "-B/1", "C/1")
		if _, err := Open([]Source{{Name: place}, {Name: place}}, nil); err == nil {
			t.Error("a list is joined with itself")
		}
	})
}

func TestTheMemoryOutlivesTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(a("A/1"), a("B/1"), a("C/1"))
		memory := memoryFile(t)
		s := open(t, p, Source{}, Options{Memory: memory})
		_ = s.Refresh(t.Context())
		p.publish(list(a("A/1"), a("N/1")))
		_ = s.Refresh(t.Context())
		untold := s.Events()
		if len(untold) != 2 {
			t.Fatalf("%v", untold)
		}
		s = open(t, p, Source{}, Options{Memory: memory})
		if d := cmp.Diff(untold, s.Events()); d != "" {
			t.Errorf("what was not told is forgotten (-before +after)\n%s", d)
		}
		_ = s.Refresh(t.Context())
		want(t, "a log that left, also over a restart", names(s), "A/1", "-B/1", "-C/1", "+N/1")
		time.Sleep(defaultGrace)
		s = open(t, p, Source{}, Options{Memory: memory})
		_ = s.Refresh(t.Context())
		if !s.Progressed(a("B/1").ID, Progress{Head: 5, Verified: 5, Position: 5}) {
			t.Error("the grace begins anew with each start")
		}
		s = open(t, p, Source{}, Options{Memory: memory})
		_ = s.Refresh(t.Context())
		want(t, "what is closed stays closed", names(s), "A/1", "-C/1", "+N/1")
		time.Sleep(keepClosed + time.Hour)
		_ = s.Refresh(t.Context())
		if d := s.Departing(); len(d) != 1 || d[0].Log.Name() != "C/1" {
			t.Errorf("kept for ever: %+v", d)
		}
		// Another list is configured: the operator has chosen.
		p.files["/mine.json"] = list(a("M/1"))
		s = open(t, p, Source{Name: "https://lists.example.com/mine.json"}, Options{Memory: memory})
		want(t, "no longer read", s.Dropped(), "A/1", "C/1", "N/1")
		_ = s.Refresh(t.Context())
		want(t, "with another list", names(s), "M/1")
	})
}

func TestADamagedMemoryIsSetAsideAndSaid(t *testing.T) {
	for what, b := range map[string]string{
		"half": `{"sources": {"x"`, "nothing": "", "a log without a list": `{"logs": [{}]}`, "no log": `{"logs": [null]}`, "two logs in one": `{"logs": [{"log": {"operators": []}}]}`,
	} {
		memory := memoryFile(t)
		if err := os.WriteFile(memory, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		p := newPublisher(a("A/1"))
		s, err := Open([]Source{{Name: place}}, &Options{Client: clientOf(p), Memory: memory})
		if err != nil || s.Problem() == nil {
			t.Errorf("%s: %v, %v", what, err, s.Problem())
			continue
		}
		if err := s.Refresh(t.Context()); err != nil || len(s.Wanted()) != 1 {
			t.Errorf("%s: %v", what, err)
		}
		if kept, err := os.ReadFile(memory + ".bad"); err != nil || !bytes.Equal(kept, []byte(b)) {
			t.Errorf("%s: not set aside: %v", what, err)
		}
	}
}

func TestAMemoryThatCannotBeWrittenStopsNothing(t *testing.T) {
	p := newPublisher(a("A/1"))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open([]Source{{Name: place}}, &Options{Client: clientOf(p), Memory: filepath.Join(dir, "file", "lists")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Own(); err == nil {
		t.Error("no word about a memory that cannot be written")
	}
	if err := s.Refresh(t.Context()); err == nil || len(s.Wanted()) != 1 {
		t.Errorf("%v, %v", err, names(s))
	}
}

func TestNothingIsWrittenBeforeTheStateIsOurs(t *testing.T) {
	p := newPublisher(a("A/1"))
	memory := memoryFile(t)
	s, err := Open([]Source{{Name: place}}, &Options{Client: clientOf(p), Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(memory); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the memory of another daemon is written: %v", err)
	}
	if err := s.Own(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(memory); err != nil {
		t.Error(err)
	}
}

func TestARefreshThatIsInterruptedChangesNothing(t *testing.T) {
	p := newPublisher(a("A/1"))
	s := open(t, p, Source{}, Options{})
	_ = s.Refresh(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.publish(list(a("B/1")))
	if err := s.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	want(t, "followed", names(s), "A/1")
	if st := s.Status()[0]; len(st.Troubles) > 0 {
		t.Errorf("%+v", st)
	}
}

func TestAFileIsReadLikeAURL(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list.json")
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := list(a("A/1"))
	write("list.json", b)
	write("list.sig", sign(b, "publisher"))
	s, err := Open([]Source{{Name: path, Key: keyOf("publisher").Public()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	write("list.json", list(a("A/1"), a("B/1")))
	if err := os.Remove(filepath.Join(dir, "list.sig")); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(t.Context()); err == nil {
		t.Error("an unsigned file is taken")
	}
	want(t, "followed", names(s), "A/1")
}

// shared finds the folder of shared data beside the repository, or skips.
func shared(t testing.TB) string {
	if dir := os.Getenv("TOCSIN_SHARED"); dir != "" {
		return dir
	}
	dir, _ := os.Getwd()
	for ; ; dir = filepath.Dir(dir) {
		if st, err := os.Stat(filepath.Join(dir, "shared", "data")); err == nil && st.IsDir() {
			return filepath.Join(dir, "shared")
		}
		if dir == filepath.Dir(dir) {
			t.Skip("the shared data folder is not beside this repository; real lists are not tested here")
		}
	}
}

func TestRealListsSignedByGoogleAndJoinedWithApples(t *testing.T) {
	dir := filepath.Join(shared(t), "data", "loglists")
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	synctest.Test(t, func(t *testing.T) {
		signed, sig := read("signed-2025-05-23/log_list.json"), read("signed-2025-05-23/log_list.sig")
		p := newPublisher()
		p.files["/log_list.json"], p.files["/log_list.sig"] = signed, sig
		p.files["/apple.json"] = read("apple-current_log_list-v511-2026-04-01.json")
		const apple = "https://lists.example.com/apple.json"
		s, err := Open([]Source{{Name: place, Key: loglist.DefaultKey()}, {Name: apple}}, &Options{Client: clientOf(p)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		st := s.Status()
		if st[0].Signature != "verified" || st[0].Version != "54.12" || st[0].Followed != 39 || st[1].Signature != "no key" || st[1].Version != "511" || st[1].Followed != 57 {
			t.Errorf("%+v", st)
		}
		both := len(s.Wanted())
		if both < 57 || both > 57+39 {
			t.Errorf("%d logs followed", both)
		}
		for _, row := range []struct {
			name string
			list []byte
			sig  []byte
		}{
			{"one flipped byte in the list", func() []byte { b := bytes.Clone(signed); b[len(b)/2] ^= 1; return b }(), sig},
			{"one flipped byte in the signature", append(bytes.Clone(signed), '\n'), func() []byte { b := bytes.Clone(sig); b[100] ^= 1; return b }()},
			{"a newer list under the old signature", read("google-log_list-85.108-2026-06-14.json"), sig},
			{"no signature", read("google-log_list-85.108-2026-06-14.json"), nil},
		} {
			p.set(func() {
				p.files["/log_list.json"], p.files["/log_list.sig"] = row.list, row.sig
				if row.sig == nil {
					delete(p.files, "/log_list.sig")
				}
			})
			if err := s.Refresh(t.Context()); err == nil || len(s.Wanted()) != both || s.Status()[0].Version != "54.12" {
				t.Errorf("%s: %v, %d logs followed", row.name, err, len(s.Wanted()))
			}
		}
		want(t, "told", told(t, s), Refused)
	})
}

// What happened to the real list between two days that are a year apart is more than may happen at once; what happened
// between two months is not.
func TestRealListsOfDifferentDays(t *testing.T) {
	dir := filepath.Join(shared(t), "data", "loglists")
	parse := func(name string) *loglist.List {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		l, err := loglist.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	may2025, june2026, august2026 := parse("signed-2025-05-23/log_list.json"), parse("google-log_list-85.108-2026-06-14.json"), parse("google-all_logs_list-2026-08-21.json")
	if no := Judge(may2025, june2026, nil, may2025.Timestamp.AddDate(0, 0, 1)); no == nil {
		t.Error("a year of changes in one day is believed")
	}
	if no := Judge(june2026, august2026, nil, time.Date(2026, 8, 21, 0, 0, 0, 0, time.UTC)); no != nil {
		t.Errorf("the summer of 2026, with its shards of the first half retired, is refused: %s", no.Text)
	}
	if no := Judge(june2026, may2025, nil, june2026.Timestamp); no == nil || !no.Older {
		t.Errorf("the past is believed: %+v", no)
	}
}

func TestWhatIsRememberedCanBeLookedAtWithoutADaemon(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.db")
	if s, err := Stored(state); err != nil || len(s.Status()) != 0 {
		t.Errorf("of a state that never was: %v", err)
	}
	p := newPublisher(a("A/1"), a("A/2"), a("B/1"))
	s := open(t, p, Source{}, Options{Memory: MemoryPath(state)})
	_ = s.Refresh(t.Context())
	p.publish(list(a("B/1")))
	_ = s.Refresh(t.Context())
	stored, err := Stored(state)
	if err != nil {
		t.Fatal(err)
	}
	st := stored.Status()
	if len(st) != 1 || st[0].From != FromMemory || st[0].Followed != 3 || !st[0].Acceptable || len(st[0].Troubles) != 1 || len(stored.Joined().Logs) != 3 {
		t.Errorf("%+v", st)
	}
	if _, err := AcceptOne(stored, "https://lists.example.com/none.json"); err == nil {
		t.Error("an unknown list was accepted")
	}
	if _, err := AcceptOne(stored, ""); err != nil {
		t.Error(err)
	}
	if _, err := AcceptOne(stored, ""); err == nil {
		t.Error("accepted twice")
	}
	next := open(t, p, Source{}, Options{Memory: MemoryPath(state)})
	if err := next.Refresh(t.Context()); err != nil {
		t.Errorf("the next daemon does not heed it: %v", err)
	}
	if err := os.WriteFile(MemoryPath(state), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Stored(state); err == nil {
		t.Error("a damaged memory is no error")
	}
	if _, err := os.Stat(MemoryPath(state)); err != nil {
		t.Errorf("looking at it moved it: %v", err)
	}
}
