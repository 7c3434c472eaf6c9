package app

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/audit"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

// auditRules let minutes pass as milliseconds.
var auditRules = audit.Rules{Slack: time.Millisecond, Again: 10 * time.Millisecond, Retry: 5 * time.Millisecond, Denials: 3,
	Patience: 30 * time.Millisecond, Recheck: 20 * time.Millisecond, Tick: 5 * time.Millisecond, PerHour: 100000}

// stage is a CA and two logs, and a daemon that can be started more than once.
type stage struct {
	t      *testing.T
	lab    *lab.Lab
	logs   []loglist.Log
	issuer *ca.Authority
	state  string
	ear    *ear
}

// ear is a receiver that hears everything.
type ear struct {
	mu    sync.Mutex
	heard []notify.Notice
}

func (e *ear) Name() string      { return "ear" }
func (e *ear) Wants(string) bool { return true }
func (*ear) Stream() bool        { return true }
func (e *ear) Send(_ context.Context, n notify.Notice) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, n)
	return nil
}

// of are the notices of a kind that were heard, each id once.
func (e *ear) of(kind string) (out []notify.Notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.heard {
		if n.Kind == kind && !slices.ContainsFunc(out, func(o notify.Notice) bool { return o.ID == n.ID }) {
			out = append(out, n)
		}
	}
	return out
}

func newStage(t *testing.T) *stage {
	t.Helper()
	l, err := lab.Start(t.Context(), &lab.Options{Merge: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &stage{t: t, lab: l, state: filepath.Join(t.TempDir(), "state.db"), ear: &ear{}}
	b, err := l.LogList()
	if err != nil {
		t.Fatal(err)
	}
	list, err := loglist.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	s.logs = list.Logs
	for i := range s.logs {
		s.logs[i].MMD = time.Millisecond
	}
	root, err := ca.NewRoot("Example Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.issuer, err = root.NewIntermediate("Example CA 1", nil); err != nil {
		t.Fatal(err)
	}
	return s
}

var fromZero = ctlog.Start{Zero: true}

// run runs the daemon over the given logs, all when none are given, until the function that it returns is called.
func (s *stage) run(from ctlog.Start, logs ...loglist.Log) (stop func()) {
	s.t.Helper()
	if len(logs) == 0 {
		logs = s.logs
	}
	item, err := watch.ParseItem("example.org", watch.Place{Line: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	watches := []watch.Watch{{Name: "w", Items: []watch.Item{item}}}
	rules, err := policy.Compile([]policy.Watch{{Name: "w", Items: watches[0].Items}}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	owners, err := facts.LoadOwners()
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := facts.OpenKeys(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	a, err := New(s.t.Context(), Options{
		State: s.state, Logs: logs, Poll: 5 * time.Millisecond, Audit: auditRules, From: from,
		Stations:  &Stations{Watches: watches, Matcher: watch.New(watches), Rules: rules, Owners: owners, Keys: keys},
		Receivers: []notify.Receiver{s.ear},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := a.Run(ctx)
		done <- err
	}()
	<-a.Ready()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
		if err := a.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

// counts are the promises in the state file, by how they stand.
func (s *stage) counts() (c SCTCoverage) {
	s.t.Helper()
	st, err := store.OpenReadOnly(s.state, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer st.Close()
	if c, err = sctCoverage(s.t.Context(), st); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func openBeside(t *testing.T, state string) *store.Store {
	t.Helper()
	st, err := store.OpenReadOnly(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// until waits for something that happens in the daemon.
func (s *stage) until(what string, f func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not within 20 s; %+v", what, s.counts())
		}
	}
}

func (s *stage) issue() *ca.Issued {
	s.t.Helper()
	i, err := s.issuer.Issue(ca.Leaf{CN: "www.example.org", DNS: []string{"www.example.org"}})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.lab.Submit(s.t.Context(), i); err != nil {
		s.t.Fatal(err)
	}
	return i
}

func (s *stage) submitFinal(to lab.Logs, i *ca.Issued) {
	s.t.Helper()
	if _, err := s.lab.SubmitFinal(s.t.Context(), to, i); err != nil {
		s.t.Fatal(err)
	}
}

func TestPromisesThatLogsKeepAreProven(t *testing.T) {
	s := newStage(t)
	stop := s.run(fromZero)
	defer stop()
	s.submitFinal(lab.ToBoth, s.issue())
	s.issue() // so that there is a head from after the delay
	s.until("both SCTs proven", func() bool { return s.counts() == SCTCoverage{Proven: 2} })
	if n := s.ear.of("fault"); len(n) != 0 {
		t.Errorf("told of faults: %s", n[0].Text)
	}
}

// Where the leaf is not among our own sightings, the log is asked: here the precertificate came before the daemon began
// to read.
func TestInclusionIsAskedForWhatWeHaveNotSeen(t *testing.T) {
	s := newStage(t)
	i := s.issue()
	s.until("merged", func() bool { return s.lab.RFC6962.Head().Size == 1 && s.lab.Static.Head().Size == 1 })
	defer s.run(ctlog.Start{})()
	s.submitFinal(lab.ToRFC6962, i)
	s.until("both SCTs proven", func() bool { s.issue(); c := s.counts(); return c.Proven >= 2 && c.Overdue == 0 })
	st := openBeside(t, s.state)
	id := cert.Identity(i.TBS, i.IssuerKeyHash())
	x, err := Explain(t.Context(), st, id.String())
	if err != nil || len(x.SCTs) != 2 {
		t.Fatalf("explained: %+v, %v", x, err)
	}
	for n, p := range x.SCTs {
		if p.Log != s.logs[n].Name() || p.State != "proven" || p.Index == nil || *p.Index != 0 || !p.Due.After(p.Time) {
			t.Errorf("explained: %+v", p)
		}
	}
	for _, l := range s.logs {
		scts, err := st.SCTsOf(t.Context(), id)
		if err != nil || len(scts) != 2 {
			t.Fatalf("%d SCTs, %v", len(scts), err)
		}
		for _, c := range scts {
			if seen, err := st.SightingsOfLeaf(t.Context(), l.ID, c.LeafHash); err != nil || len(seen) != 0 {
				t.Errorf("the leaf was seen, so that nobody had to be asked: %v, %v", seen, err)
			}
		}
	}
}

func TestALogThatIsNotFollowedIsSaidAndNotAccused(t *testing.T) {
	s := newStage(t)
	stop := s.run(fromZero, s.logs[0])
	s.submitFinal(lab.ToRFC6962, s.issue())
	s.issue()
	s.until("one proven, one unaudited", func() bool { return s.counts() == SCTCoverage{Proven: 1, Unaudited: 1} })
	stop()
	if n := s.ear.of("fault"); len(n) != 0 {
		t.Errorf("told of faults: %s", n[0].Text)
	}
	// Once it is followed, its promise is looked into.
	defer s.run(fromZero)()
	s.until("both proven", func() bool { return s.counts() == SCTCoverage{Proven: 2} })
}

func TestD06APromiseThatIsNotKeptIsReportedOnceWithEvidence(t *testing.T) {
	for _, kind := range []loglist.Kind{loglist.RFC6962, loglist.Static} {
		t.Run(kind.String(), func(t *testing.T) {
			s := newStage(t)
			liar, honest, other := s.lab.RFC6962.Log, lab.ToStatic, 0
			if kind == loglist.Static {
				liar, honest, other = s.lab.Static.Log, lab.ToRFC6962, 1
			}
			stop := s.run(fromZero)
			defer func() { stop() }()
			liar.Faults.Set(fault.Faults{NeverMerge: true})
			i := s.issue()
			liar.Faults.Set(fault.Faults{})
			s.submitFinal(honest, i)
			// The log goes on: its tree grows and it signs heads from after the delay.
			s.issue()
			s.until("one proven and one reported", func() bool { c := s.counts(); return c.Reported == 1 && c.Proven >= 1 })
			stop()

			// A restart, and many more questions: it is not told again.
			stop = s.run(fromZero)
			s.issue()
			time.Sleep(200 * time.Millisecond)
			told := s.ear.of("fault")
			if len(told) != 1 {
				t.Fatalf("told %d times", len(told))
			}
			if c := s.counts(); c.Reported != 1 || c.Overdue != 0 {
				t.Errorf("%+v", c)
			}
			var doc struct {
				Fault struct {
					Kind     string          `json:"kind"`
					LogName  string          `json:"log_name"`
					Evidence json.RawMessage `json:"evidence"`
				} `json:"fault"`
			}
			if err := json.Unmarshal(told[0].Payload, &doc); err != nil || doc.Fault.Kind != ctlog.NotMerged || doc.Fault.LogName != s.logs[other].Name() {
				t.Fatalf("%+v, %v", doc, err)
			}
			checkEvidence(t, doc.Fault.Evidence, s.logs[other], i)
		})
	}
}

func TestD06ALogThatStandsStillIsReportedWhenItOwesAnSCT(t *testing.T) {
	s := newStage(t)
	s.issue()
	stop := s.run(fromZero)
	defer func() { stop() }()
	s.lab.Static.Log.Faults.Set(fault.Faults{Freeze: true})
	s.submitFinal(lab.ToRFC6962, s.issue()) // its precertificate stays out of the frozen head
	s.until("one proven and one reported", func() bool {
		s.issue()
		c := s.counts()
		return c.Reported == 1 && c.Proven >= 1 && len(s.ear.of("fault")) > 0
	})
	told := s.ear.of("fault")
	if len(told) != 1 || !strings.Contains(told[0].Text, "has shown no head that could hold it") {
		t.Fatalf("told %d times: %+v", len(told), told)
	}
	s.lab.Static.Log.Faults.Set(fault.Faults{})
	s.until("it goes on and keeps what it promised", func() bool { s.issue(); c := s.counts(); return c.Reported == 0 && len(s.ear.of("resolved")) == 1 })
}

// checkEvidence does what a third party would do, with the log's key from elsewhere: by the program's own means, and by
// others.
func checkEvidence(t *testing.T, raw []byte, log loglist.Log, i *ca.Issued) {
	t.Helper()
	ev, err := ctlog.ReadEvidence(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := ctlog.Shown
	if log.Kind == loglist.Static {
		want = ctlog.Proven
	}
	if f, err := ev.Verify(log); err != nil || f.Verdict != want {
		t.Errorf("the evidence: %+v, %v; want %s", f, err, want)
	}
	promise, err := sct.Parse(ev.SCT)
	if err != nil {
		t.Fatal(err)
	}
	var e ctlog.Entry
	ctlog.ReadMerkleTreeLeaf(&e, ev.Entry)
	entry := sct.Entry{Precert: e.Precert, IssuerKeyHash: e.IssuerKeyHash, Cert: e.Cert}
	if err := sct.NewVerifier([]loglist.Log{log}, nil).Verify(&promise, entry, time.Now()); err != nil {
		t.Errorf("the SCT in the evidence: %v", err)
	}
	if want := cert.Parse(i.Final); e.Problem != "" || cert.Identity(e.Cert, e.IssuerKeyHash) != cert.Identity(want.RawTBS, i.IssuerKeyHash()) {
		t.Error("the evidence is about another certificate")
	}
	if ev.Denials < auditRules.Denials || ev.Since.IsZero() || ev.Answer == "" {
		t.Errorf("the evidence does not say how often the log was asked: %+v", ev)
	}
}
