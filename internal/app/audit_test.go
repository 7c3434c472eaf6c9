package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/audit"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

// met is when the SCTs of these tests were signed, by a log with an MMD of one hour.
var met = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// oracle is a log that answers what it is told to.
type oracle struct {
	ctlog.Client
	log    loglist.Log
	key    *sequence.Key
	answer func(leaf ctlog.Hash) (uint64, error)
	newest ctlog.Head

	mu         sync.Mutex
	asked      int
	consistent error
}

func (o *oracle) Inclusion(_ context.Context, leaf ctlog.Hash, _ *uint64, head ctlog.Head) (uint64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	i, err := o.answer(leaf)
	var absent *ctlog.AbsentError
	if errors.As(err, &absent) {
		absent.Head, absent.Leaf = head, leaf
	}
	return i, err
}

func (o *oracle) Consistent(context.Context, ctlog.Head, ctlog.Head) error { return o.consistent }

func denies(ctlog.Hash) (uint64, error) { return 0, &ctlog.AbsentError{Answer: "status 404"} }
func isDown(ctlog.Hash) (uint64, error) { return 0, errors.New("status 503") }
func hasIt(ctlog.Hash) (uint64, error)  { return 7, nil }

// hearing is an auditor over a store of its own, with one log.
type hearing struct {
	*auditor
	t      *testing.T
	oracle *oracle
	now    time.Time
	leaves int
}

func newHearing(t *testing.T) *hearing {
	t.Helper()
	signer, err := ca.NewKey(ca.P256, "")
	if err != nil {
		t.Fatal(err)
	}
	o := &oracle{answer: denies}
	if o.key, err = sequence.NewKey(signer); err != nil {
		t.Fatal(err)
	}
	if o.log, err = loglist.FromKey(loglist.RFC6962, "https://log.example.com/2026", "", o.key.SPKI, ""); err != nil {
		t.Fatal(err)
	}
	o.log.MMD = time.Hour
	st, err := store.Open(filepath.Join(t.TempDir(), "state.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	h := &hearing{t: t, oracle: o, now: met}
	h.start(st)
	return h
}

// start is a (further) start of the daemon.
func (h *hearing) start(st *store.Store) {
	h.auditor = newAuditor(st, audit.Rules{}, slog.New(slog.DiscardHandler))
	h.logs = func() []audited {
		return []audited{{log: &h.oracle.log, client: h.oracle, newest: func() ctlog.Head { return h.oracle.newest }}}
	}
	h.messages = (&App{receivers: []notify.Receiver{&ear{}}}).faultMessages
}

// promises queues SCTs that the log has signed, as they are met at the time now.
func (h *hearing) promises(n int) {
	h.t.Helper()
	v := h.verify(h.now)
	for range n {
		h.leaves++
		e := &entry.Entry{Timestamp: uint64(met.UnixMilli()), Cert: fmt.Appendf(nil, "certificate %d", h.leaves)}
		raw, err := h.oracle.key.SCT(e)
		if err != nil {
			h.t.Fatal(err)
		}
		s, err := sct.Parse(raw)
		if err != nil {
			h.t.Fatal(err)
		}
		p, err := h.rules.Promise(v, s, sct.X509Entry(e.Cert), h.now)
		if err != nil {
			h.t.Fatal(err)
		}
		if err := h.store.QueueSCTs(h.t.Context(), row(&p)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// verified says that the tailer has verified a head of the time.
func (h *hearing) verified(at time.Time) {
	h.t.Helper()
	h.verifiedAs(ctlog.Head{Size: 100, Timestamp: uint64(at.UnixMilli()), Raw: []byte(at.String())})
}

func (h *hearing) verifiedAs(head ctlog.Head) {
	h.t.Helper()
	cur := ctlog.Cursor{Begun: true, Size: 100, Verified: head}
	if err := h.store.Commit(h.t.Context(), store.Commit{LogID: h.oracle.log.ID, LogName: "log", Cursor: mustJSON(cur), Size: 100}); err != nil {
		h.t.Fatal(err)
	}
}

// pass lets time pass, with a look at the queue each minute, over days each ten minutes. The log signs heads as often.
func (h *hearing) pass(d time.Duration) {
	h.t.Helper()
	step := time.Minute
	if d >= 24*time.Hour {
		step *= 10
	}
	for end := h.now.Add(d); h.now.Before(end); {
		h.now = h.now.Add(step)
		if h.oracle.newest.Raw == nil {
			h.verified(h.now)
		}
		if err := h.round(h.t.Context(), h.now); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *hearing) counts() SCTCoverage {
	h.t.Helper()
	c, err := sctCoverage(h.t.Context(), h.store)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// told are the messages in the outbox, in order.
func (h *hearing) told() (kinds []string, texts string) {
	h.t.Helper()
	rows, err := h.store.Due(h.t.Context(), "ear", time.Now().Add(time.Hour), 100)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range rows {
		kinds, texts = append(kinds, r.Kind), texts+r.Text+"\n"
	}
	return kinds, texts
}

func (h *hearing) want(counts SCTCoverage, kinds ...string) {
	h.t.Helper()
	if got := h.counts(); got != counts {
		h.t.Errorf("at %s: %+v, want %+v", h.now.Sub(met), got, counts)
	}
	if got, texts := h.told(); strings.Join(got, " ") != strings.Join(kinds, " ") {
		h.t.Errorf("at %s: told %q, want %q\n%s", h.now.Sub(met), got, kinds, texts)
	}
}

func TestD06NoVerdictBeforeTheDelayHasPassed(t *testing.T) {
	h := newHearing(t)
	h.promises(3)
	h.pass(time.Hour + 9*time.Minute)
	if h.oracle.asked != 0 {
		t.Errorf("asked %d times within the delay", h.oracle.asked)
	}
	h.want(SCTCoverage{Queued: 3})
	h.oracle.answer = hasIt
	h.pass(2 * time.Minute)
	h.want(SCTCoverage{Proven: 3})
}

func TestD06TheLogIsAskedAgainBeforeItIsAccused(t *testing.T) {
	h := newHearing(t)
	h.promises(1)
	h.pass(3 * time.Hour)
	h.want(SCTCoverage{Overdue: 1})
	if h.oracle.asked < 3 {
		t.Errorf("asked %d times", h.oracle.asked)
	}
	h.oracle.answer = hasIt
	h.pass(time.Hour)
	h.want(SCTCoverage{Proven: 1})
}

func TestD06ARestartForgetsNothingAndTheLateMergeIsTold(t *testing.T) {
	h := newHearing(t)
	h.promises(1)
	for range 20 { // a restart every ten minutes
		h.pass(10 * time.Minute)
		h.start(h.store)
	}
	h.want(SCTCoverage{Reported: 1}, "fault")
	h.pass(72 * time.Hour)
	h.want(SCTCoverage{Reported: 1}, "fault")
	if h.oracle.asked > 12 {
		t.Errorf("asked %d times in three days about one SCT", h.oracle.asked)
	}
	faults, err := h.store.Faults(t.Context(), 10)
	if err != nil || len(faults) != 1 || faults[0].Kind != ctlog.NotMerged || faults[0].Count != 1 {
		t.Fatalf("faults %+v, %v", faults, err)
	}
	var ev ctlog.Evidence
	if err := json.Unmarshal(faults[0].Evidence, &ev); err != nil || ev.Denials < 4 || len(ev.Heads) != 1 || ev.Answer == "" || len(ev.SCT) == 0 || len(ev.Entry) == 0 {
		t.Errorf("evidence %s, %v", faults[0].Evidence, err)
	}
	h.oracle.answer = hasIt
	h.pass(25 * time.Hour)
	h.want(SCTCoverage{Proven: 1}, "fault", "resolved")
	if _, texts := h.told(); !strings.Contains(texts, "RESOLVED") {
		t.Error(texts)
	}
}

func TestALogThatDoesNotAnswerIsNotAccusedAndLeftAlone(t *testing.T) {
	h := newHearing(t)
	h.oracle.answer = isDown
	h.promises(500)
	h.pass(73 * time.Hour)
	if c := h.counts(); c.Queued+c.Overdue != 500 || c.Overdue == 0 {
		t.Errorf("%+v", c)
	}
	h.want(h.counts())
	if h.oracle.asked > 80 {
		t.Errorf("asked %d times in three days while it was down", h.oracle.asked)
	}
	// It comes back with a head of then and answers.
	h.oracle.answer = hasIt
	h.pass(20 * time.Hour)
	h.want(SCTCoverage{Proven: 500})
}

func TestTheLogIsAskedPolitely(t *testing.T) {
	h := newHearing(t)
	h.oracle.answer = hasIt
	h.promises(500)
	h.pass(time.Hour + 9*time.Minute) // nothing is due yet
	for hour := 1; hour <= 10; hour++ {
		before := h.oracle.asked
		h.pass(time.Hour)
		if n := h.oracle.asked - before; n > 61 {
			t.Errorf("hour %d: asked %d times", hour, n)
		}
	}
	h.want(SCTCoverage{Proven: 500})
}

func TestWhatWeHaveSeenOurselvesCostsNoQuestion(t *testing.T) {
	h := newHearing(t)
	h.promises(1)
	c, err := h.store.DueSCTs(t.Context(), h.oracle.log.ID, met.Add(1000*time.Hour), 10)
	if err != nil || len(c) != 1 {
		t.Fatalf("%d SCTs, %v", len(c), err)
	}
	h.verified(met)
	for i, index := range []uint64{100, 99} { // beyond what is verified, and within
		if err := h.store.Commit(t.Context(), store.Commit{LogID: h.oracle.log.ID, Filings: []store.Filing{{Issuance: store.Issuance{ID: [32]byte{1}, Cert: []byte("c")},
			Sighting: &store.Sighting{Index: index, Leaf: c[0].Leaf}}}}); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Hour)
		if (h.oracle.asked > 0) != (i == 0) {
			t.Errorf("sighting at %d of 100 verified entries: asked %d times", index, h.oracle.asked)
		}
		h.oracle.asked = 0
	}
	h.want(SCTCoverage{Proven: 1})
}

func TestTheNewestHeadServesWhereReadingLagsBehind(t *testing.T) {
	h := newHearing(t)
	h.promises(1)
	h.verified(met) // reading has come no further
	h.oracle.newest = ctlog.Head{Size: 5000, Timestamp: uint64(met.Add(30 * time.Minute).UnixMilli()), Raw: []byte("x")}
	h.pass(5 * time.Hour)
	h.want(SCTCoverage{Overdue: 1})
	if h.oracle.asked != 0 {
		t.Error("asked under a head from before the delay had passed")
	}
	h.oracle.newest.Timestamp = uint64(met.Add(5 * time.Hour).UnixMilli())
	h.oracle.consistent = errors.New("no proof")
	h.pass(5 * time.Hour)
	h.want(SCTCoverage{Overdue: 1})
	if h.oracle.asked != 0 {
		t.Error("asked under a head that is not proven to extend the verified one")
	}
	h.oracle.consistent, h.oracle.answer = nil, hasIt
	h.pass(time.Hour)
	h.want(SCTCoverage{Proven: 1})
}

// A log that stands still keeps answering with a head from before the promise was due: nobody can show that the leaf is
// absent from a later one, and yet the promise is not kept.
func TestD06ALogThatStandsStillIsReportedWithTheHeadThatItStillGives(t *testing.T) {
	for _, tt := range []struct {
		name     string
		of       time.Time // the head
		answers  bool
		asked    bool
		reported bool
	}{
		{"with a head from within the delay", met.Add(30 * time.Minute), true, true, true},
		{"with a head from before the SCT", met.Add(-time.Minute), true, false, true},
		{"and that does not answer any more is not reported", met.Add(30 * time.Minute), false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHearing(t)
			h.promises(1)
			sig, err := h.oracle.key.SignHead(uint64(tt.of.UnixMilli()), 100, [32]byte{1})
			if err != nil {
				t.Fatal(err)
			}
			raw := fmt.Appendf(nil, `{"tree_size":100,"timestamp":%d,"sha256_root_hash":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","tree_head_signature":"%s"}`,
				tt.of.UnixMilli(), base64.StdEncoding.EncodeToString(sig))
			if h.oracle.newest, err = ctlog.VerifyHead(h.oracle.log, raw); err != nil {
				t.Fatal(err)
			}
			h.oracle.newest.Received = tt.of
			h.verifiedAs(h.oracle.newest)
			for range 6 * 5 { // five hours, while the tailer asks for the head
				if tt.answers {
					h.oracle.newest.Received = h.now
				}
				h.pass(10 * time.Minute)
			}
			if !tt.reported {
				h.want(SCTCoverage{Overdue: 1})
				return
			}
			h.want(SCTCoverage{Reported: 1}, "fault")
			if tt.asked != (h.oracle.asked > 0) {
				t.Errorf("asked for the leaf %d times", h.oracle.asked)
			}
			faults, err := h.store.Faults(t.Context(), 10)
			if err != nil || len(faults) != 1 || !strings.Contains(faults[0].Text, "has shown no head that could hold it: its newest is of "+tt.of.Format(time.RFC3339)) {
				t.Fatalf("%+v, %v", faults, err)
			}
			ev, err := ctlog.ReadEvidence(faults[0].Evidence)
			if err != nil {
				t.Fatal(err)
			}
			f, err := ev.Verify(h.oracle.log)
			if err != nil || f.Verdict != ctlog.Shown || !strings.Contains(f.Text, "ask the log for its head") {
				t.Errorf("the evidence: %+v, %v", f, err)
			}
			// It goes on, and has merged it meanwhile.
			h.oracle.newest, h.oracle.answer = ctlog.Head{}, hasIt
			h.pass(25 * time.Hour)
			h.want(SCTCoverage{Proven: 1}, "fault", "resolved")
		})
	}
}

func TestWhatAnUnknownLogIsSaidToHaveSignedIsCheckedOnceItIsFollowed(t *testing.T) {
	h := newHearing(t)
	logs := h.logs
	h.logs = func() []audited { return nil }
	h.promises(2)
	h.want(SCTCoverage{Unaudited: 2})
	c, err := h.store.DueSCTs(t.Context(), h.oracle.log.ID, met.Add(1000*time.Hour), 1)
	if err != nil || len(c) != 1 {
		t.Fatalf("%d SCTs, %v", len(c), err)
	}
	h.pass(48 * time.Hour)
	h.want(SCTCoverage{Unaudited: 2})

	// A third one, forged.
	forged := c[0]
	forged.LeafHash[0] ^= 1
	forged.Raw[len(forged.Raw)-1] ^= 1
	if err := h.store.QueueSCTs(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	h.logs = logs
	h.pass(48 * time.Hour)
	h.want(SCTCoverage{Reported: 2, Invalid: 1}, "fault", "fault")
}

// That SCTs cannot be read, or that we fail at it, must not delay the verdict.
func TestADefectInReadingSCTsCostsNoVerdict(t *testing.T) {
	h := newHearing(t)
	h.logs = func() []audited { panic("defect") }
	if got := h.met(&store.Issuance{ID: [32]byte{1}, Cert: []byte("c")}, met); got != nil {
		t.Errorf("%+v", got)
	}
	h.logs = func() []audited { return nil }
	for _, junk := range [][]byte{nil, {0x30, 0x80}, []byte("no certificate")} {
		if got := h.met(&store.Issuance{ID: [32]byte{1}, Cert: junk}, met); got != nil {
			t.Errorf("%+v", got)
		}
	}
}

func TestTheStatesAreThoseOfTheStore(t *testing.T) {
	h := newHearing(t)
	for i, state := range audit.States {
		if err := h.store.QueueSCTs(t.Context(), store.SCT{LogID: [32]byte{1}, LeafHash: [32]byte{byte(i), 1}, State: string(state)}); err != nil {
			t.Errorf("%s: %v", state, err)
		}
	}
	h.want(SCTCoverage{Queued: 1, Overdue: 1, Reported: 1, Proven: 1, Unaudited: 1, Invalid: 1})
}
