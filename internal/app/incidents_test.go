package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
	"github.com/tocsin-ct/tocsin/loglist"
)

// inbox is a receiver for people; stream one for programs.
type inbox struct {
	name   string
	stream bool

	mu   sync.Mutex
	took []notify.Notice
}

func (i *inbox) Name() string      { return i.name }
func (i *inbox) Wants(string) bool { return true }
func (i *inbox) Stream() bool      { return i.stream }
func (i *inbox) Send(_ context.Context, n notify.Notice) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.took = append(i.took, n)
	return nil
}

// told is what the inbox got about incidents: change, level and number of certificates.
func (i *inbox) told(t *testing.T) (out []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.took {
		if n.Kind != notify.KindIncident {
			continue
		}
		var doc notify.Incident
		if err := json.Unmarshal(n.Payload, &doc); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %d", doc.Change, doc.Level, doc.AlarmsTotal))
	}
	return out
}

// bureau runs what decides and tells, over a real store, in synthetic time.
type bureau struct {
	t       *testing.T
	state   string
	watches []policy.Watch
	telling Telling
	mail    *inbox
	program *inbox

	app    *App
	end    func()
	issuer *ca.Authority
	n      uint64
}

func newBureau(t *testing.T, dir string, watches ...policy.Watch) *bureau {
	t.Helper()
	root, err := ca.NewRoot("Careless Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &bureau{t: t, state: filepath.Join(dir, "state.db"), watches: watches, mail: &inbox{name: "mail"}, program: &inbox{name: "program", stream: true}}
	if b.issuer, err = root.NewIntermediate("Careless CA 1", nil); err != nil {
		t.Fatal(err)
	}
	b.start()
	return b
}

func guard(t *testing.T, name, owner string, surprise policy.Level, items ...string) policy.Watch {
	t.Helper()
	w := policy.Watch{Name: name, Owner: owner, Surprise: surprise}
	for _, text := range items {
		it, err := watch.ParseItem(text, watch.Place{Line: 1})
		if err != nil {
			t.Fatal(err)
		}
		w.Items = append(w.Items, it)
	}
	return w
}

func (b *bureau) start() {
	b.t.Helper()
	st := guarding(b.t, "", "unused.example")
	st.Watches = nil
	for _, w := range b.watches {
		st.Watches = append(st.Watches, watch.Watch{Name: w.Name, Owner: w.Owner, Items: w.Items})
	}
	rules, err := policy.Compile(b.watches, st.Owners)
	if err != nil {
		b.t.Fatal(err)
	}
	st.Rules, st.Matcher = rules, watch.New(st.Watches)
	l := loglist.Log{Kind: loglist.RFC6962, Key: testKey(b.t), Operator: "O", Description: "L", URL: "https://ct.example.org/", MonitoringURL: "https://ct.example.org/"}
	l.ID = keyID(l.Key)
	a, err := New(b.t.Context(), Options{
		State: b.state, Logs: []loglist.Log{l}, Stations: st, Receivers: []notify.Receiver{b.mail, b.program}, Telling: b.telling,
		Seams: Seams{NoSocket: true, Tailer: func(ctlog.Client, ctlog.Cursor, *ctlog.TailOptions) Tailer { return &stillTailer{time.Now()} }},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	var loops sync.WaitGroup
	for _, f := range []func(context.Context) error{a.decide, a.deliver, a.pass} {
		loops.Go(func() { _ = f(ctx) })
	}
	b.app = a
	b.end = func() {
		cancel()
		loops.Wait()
		a.side.Wait()
		if err := a.Close(); err != nil {
			b.t.Error(err)
		}
	}
}

// issue files a certificate by the careless CA for the names, as a log shows it, and returns its id.
func (b *bureau) issue(names ...string) [32]byte {
	b.t.Helper()
	l := ca.Leaf{From: time.Now().Add(-time.Minute), For: 60 * 24 * time.Hour}
	for _, n := range names {
		if a, err := netip.ParseAddr(n); err == nil {
			l.IPs = append(l.IPs, a)
		} else {
			l.DNS = append(l.DNS, n)
		}
	}
	i, err := b.issuer.Issue(l)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := i.Finish(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.n++
	st := b.app.stations.Load()
	r := st.Read(Subject{Bytes: der, Chain: b.issuer.Chain()})
	if len(r.Matches) == 0 {
		b.t.Fatal("it touches nothing")
	}
	b.file(r)
	return r.ID
}

func (b *bureau) file(r *Reading) {
	b.t.Helper()
	err := b.app.store.Commit(b.t.Context(), store.Commit{LogID: b.app.followed()[0].log.ID, LogName: "L", Filings: []store.Filing{{
		Issuance: store.Issuance{ID: r.ID, FirstSeen: time.Now(), Cert: r.Bytes, Chain: r.Chain, Matches: mustJSON(b.app.stations.Load().Matches(r))},
		Sighting: &store.Sighting{Index: b.n, Timestamp: uint64(time.Now().UnixMilli()), Leaf: []byte(fmt.Sprint("leaf ", b.n))},
	}}})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bureau) wants(what string, want ...string) {
	b.t.Helper()
	synctest.Wait()
	if d := cmp.Diff(want, b.mail.told(b.t)); d != "" {
		b.t.Fatalf("%s (-want +told):\n%s", what, d)
	}
}

// open is the id of the only open incident.
func (b *bureau) open() string {
	b.t.Helper()
	all, err := Incidents(b.t.Context(), b.app.store, IncidentQuery{})
	if err != nil || len(all) != 1 {
		b.t.Fatal(all, err)
	}
	return all[0].ID
}

func TestCertificatesThatBelongTogetherAreOneIncident(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t, dir, guard(t, "shop", "web", policy.Alarm, "example.com", "example.net"))
		defer func() { b.end() }()
		b.issue("www.example.com")
		b.issue("mail.example.com")
		time.Sleep(5 * time.Second)
		b.wants("an alarm waits for others like it")
		if n := len(b.program.took); n != 2 {
			t.Errorf("a program is told of each at once: %d", n)
		}
		time.Sleep(6 * time.Second)
		b.wants("both in one message", "opened alarm 2")
		b.issue("api.example.com")
		time.Sleep(time.Minute)
		b.wants("the next waits for its time", "opened alarm 2")
		b.end()
		b.start() // and does so across a restart
		time.Sleep(5 * time.Minute)
		b.wants("a different certificate for the same domain rings", "opened alarm 2", "grew alarm 1")
		id := b.open()
		if _, err := b.app.Ack(t.Context(), id[:6], Word{By: "ana", Comment: "calling them"}); err != nil {
			t.Fatal(err)
		}
		b.wants("people hear that somebody has it", "opened alarm 2", "grew alarm 1", "acknowledged alarm 0")
		time.Sleep(48 * time.Hour)
		b.wants("and nothing is repeated", "opened alarm 2", "grew alarm 1", "acknowledged alarm 0")
		b.issue("www.example.net")
		time.Sleep(time.Minute)
		all, err := Incidents(t.Context(), b.app.store, IncidentQuery{})
		if err != nil || len(all) != 2 {
			t.Fatalf("another domain is another incident: %v, %v", all, err)
		}
		if _, err := b.app.Resolve(t.Context(), id, Word{By: "ana", Comment: "revoked"}); err != nil {
			t.Fatal(err)
		}
		x, err := ShowIncident(t.Context(), b.app.store, id)
		if err != nil || x.Status != "resolved" || len(x.Members) != 3 || len(x.Trail) != 2 || x.Trail[1].Text != "revoked" {
			t.Errorf("%+v, %v", x, err)
		}
	})
}

func TestALaterSightingNeverRingsAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t, dir, guard(t, "shop", "web", policy.Alarm, "example.com"))
		defer func() { b.end() }()
		id := b.issue("www.example.com")
		time.Sleep(time.Minute)
		rec, err := b.app.store.Record(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			b.n++
			b.file(b.app.stations.Load().Read(Subject{Bytes: rec.Issuance.Cert, Chain: rec.Issuance.Chain}))
			time.Sleep(time.Hour)
			if err := b.app.store.Reconsider(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		b.wants("once", "opened alarm 1")
		if x, err := ShowIncident(t.Context(), b.app.store, b.open()); err != nil || x.Suppressed != 3 || x.Certificates != 1 {
			t.Errorf("and counted: %d, %v", x.Suppressed, err)
		}
	})
}

func TestAPageWaitsForNothingAndGoesOnUntilSomebodyHasIt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t, dir, guard(t, "resolver", "dns", policy.Page, "192.0.2.0/24"))
		defer func() { b.end() }()
		b.issue("192.0.2.1")
		b.wants("at once", "opened page 1")
		b.issue("192.0.2.2")
		b.wants("each", "opened page 1", "grew page 1")
		time.Sleep(16 * time.Minute)
		b.wants("again", "opened page 1", "grew page 1", "escalated page 0")
		if _, err := b.app.Ack(t.Context(), b.open(), Word{By: "bo"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		b.wants("until acknowledged", "opened page 1", "grew page 1", "escalated page 0", "acknowledged page 0")
	})
}

func TestASilenceMutesWhatItCoversAndItsEndTellsIt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t, dir, guard(t, "shop", "web", policy.Alarm, "example.com"), guard(t, "resolver", "dns", policy.Page, "192.0.2.0/24"))
		defer func() { b.end() }()
		b.issue("old.example.com")
		time.Sleep(time.Minute)
		if _, err := b.app.Resolve(t.Context(), b.open(), Word{By: "ana"}); err != nil {
			t.Fatal(err)
		}
		before := []string{"opened alarm 1", "resolved alarm 0"}
		s := incident.Silence{End: time.Now().Add(2 * time.Hour), By: "ana", Reason: "migration", Match: incident.Matchers{Owners: []string{"web"}}}
		out, err := b.app.Silence(t.Context(), s, true)
		if err != nil || out.Made || len(out.Preview.Issuances) != 1 {
			t.Fatalf("the preview: %+v, %v", out, err)
		}
		if out, err = b.app.Silence(t.Context(), s, false); err != nil || !out.Made {
			t.Fatal(out, err)
		}
		b.issue("www.example.com")
		b.issue("192.0.2.1")
		time.Sleep(time.Hour)
		if _, err := b.app.Ack(t.Context(), pageOf(t, b), Word{By: "bo"}); err != nil {
			t.Fatal(err)
		}
		if told := b.mail.told(t); !slices.Contains(told, "opened page 1") || len(told) < len(before)+3 {
			t.Errorf("a page of another owner is not muted: %q", told)
		}
		if slices.ContainsFunc(b.mail.told(t)[2:], func(s string) bool { return strings.Contains(s, "alarm") }) {
			t.Errorf("muted, and told: %q", b.mail.told(t))
		}
		list, err := Silences(t.Context(), b.app.store)
		if err != nil || len(list) != 1 || list[0].Hid != 1 {
			t.Errorf("what it hid is counted: %+v, %v", list, err)
		}
		n := len(b.mail.told(t))
		time.Sleep(2 * time.Hour)
		if rest := b.mail.told(t)[n:]; !slices.Contains(rest, "opened alarm 1") {
			t.Errorf("when it is over, what it hid is told: %q", rest)
		}
		if err := b.app.EndSilence(t.Context(), "nonesuch", "ana"); err == nil {
			t.Error("ended what is not there")
		}
		if _, err := b.app.Silence(t.Context(), incident.Silence{End: time.Now().Add(time.Hour), By: "ana", Match: s.Match}, false); err == nil {
			t.Error("made without a reason")
		}
	})
}

func pageOf(t *testing.T, b *bureau) string {
	t.Helper()
	all, err := Incidents(t.Context(), b.app.store, IncidentQuery{AtLeast: "page"})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0].ID
}

func TestACAThatTouchesManyIsOneIncidentOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var watches []policy.Watch
		for i := range 6 {
			w := guard(t, fmt.Sprint("w", i), fmt.Sprint("owner ", i), policy.Alarm, fmt.Sprintf("example%d.com", i))
			w.Expect = &policy.Expect{Issuers: []string{"spki:" + strings.Repeat("11", 32)}}
			watches = append(watches, w)
		}
		b := newBureau(t, dir, watches...)
		defer func() { b.end() }()
		for i := range 6 {
			b.issue(fmt.Sprintf("www.example%d.com", i))
			time.Sleep(time.Minute)
		}
		all, err := Incidents(t.Context(), b.app.store, IncidentQuery{})
		if err != nil || len(all) != 7 {
			t.Fatalf("%d incidents, %v", len(all), err)
		}
		ofCA, beneath := "", 0
		for _, i := range all {
			if i.Kind == "ca" {
				ofCA = i.ID
			} else if i.Parent != "" {
				beneath++
			}
		}
		if beneath != 6 {
			t.Errorf("%d beneath it", beneath)
		}
		told := b.mail.told(t)
		if n := len(slices.DeleteFunc(told, func(s string) bool { return !strings.HasPrefix(s, "opened") })); n != 7 {
			t.Errorf("each watch that is newly touched is told, and the CA: %d", n)
		}
		if _, err := b.app.Resolve(t.Context(), ofCA, Word{By: "ana"}); err != nil {
			t.Fatal(err)
		}
		if all, err := Incidents(t.Context(), b.app.store, IncidentQuery{}); err != nil || len(all) != 0 {
			t.Errorf("who resolves the whole resolves its parts: %v, %v", all, err)
		}
	})
}

func TestRoutesLeadToTheirReceiversAndNothingIsLost(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t, dir, guard(t, "shop", "web", policy.Alarm, "example.com"), guard(t, "other", "", policy.Alarm, "example.org"))
		b.end()
		b.telling = Telling{Incidents: incident.Defaults, Routes: []route.Route{
			{When: route.When{Owner: "web"}, To: []string{"program"}},
			{When: route.When{AtLeast: policy.Page}, To: []string{"mail"}},
		}}
		b.start()
		defer func() { b.end() }()
		b.issue("www.example.com")
		time.Sleep(time.Minute)
		b.wants("the route leads to a program alone")
		if n := len(b.program.took); n != 1 {
			t.Errorf("the program took %d", n)
		}
		b.issue("www.example.org")
		time.Sleep(time.Minute)
		b.wants("what no route takes goes to all", "opened alarm 1")
		if n := len(b.program.took); n != 2 {
			t.Errorf("the program took %d", n)
		}
	})
}

func TestAVerdictThatBecomesBetterIsToldAsANote(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := guard(t, "shop", "web", policy.Alarm, "example.com")
		b := newBureau(t, dir, w)
		defer func() { b.end() }()
		id := b.issue("www.example.com")
		time.Sleep(time.Minute)
		hash := hex.EncodeToString(func() []byte { h := b.issuer.KeyHash(); return h[:] }())
		b.end()
		b.watches[0].Expect = &policy.Expect{Issuers: []string{"spki:" + hash}} // what was meant was written down late
		b.start()
		if err := b.app.store.Reconsider(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.wants("a note", "opened alarm 1", "note alarm 1")
		all, err := Incidents(t.Context(), b.app.store, IncidentQuery{Closed: true})
		if err != nil || len(all) != 1 || all[0].Status != "explained" {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// The store keeps whole milliseconds. One that was looked at before its time would be due again at once, for ever in
// synthetic time.
func TestAnIncidentIsLookedAtWhenItsTimeHasComeAndNotBefore(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t, dir, guard(t, "shop", "web", policy.Alarm, "example.com"))
		defer func() { b.end() }()
		time.Sleep(1234567 * time.Nanosecond)
		b.issue("www.example.com")
		time.Sleep(time.Minute)
		b.wants("told", "opened alarm 1")
	})
}
