// Package replay runs the slow half of tocsin in time of its own: certificates come when they say that they came, the
// journal and announcements beside them, and what follows is what the daemon would have done then. It answers what would
// have rung.
//
// Nothing here decides. Readings and judgements are those of [app.Stations], incidents and messages those of
// [app.Docket]; this package keeps in memory what the daemon keeps in its store, and moves the clock: decisions that
// wait for the journal, and incidents that wait, are due when their time has come. The same events give the same result.
//
// It trusts whoever feeds it to do so in order of time. Certificates are as hostile here as in the daemon.
package replay

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// Options of a world.
type Options struct {
	Stations  *app.Stations
	Receivers []notify.Receiver
	Telling   app.Telling
	Silences  []incident.Silence
	// Told is called with each message at the time at which it is made.
	Told func(Message) error
}

// Inbox is a receiver that is told of incidents, by its name. Nothing is sent: what it would get is looked at.
type Inbox string

// Name is the name.
func (i Inbox) Name() string { return string(i) }

// Wants takes what rings.
func (i Inbox) Wants(level string) bool { return notify.AtLeast("alarm")(level) }

// Stream says that it is told of incidents.
func (i Inbox) Stream() bool { return false }

// Send is never called.
func (i Inbox) Send(context.Context, notify.Notice) error { return nil }

// Message is something that a receiver is told, or will be from NotBefore on.
type Message struct {
	At       time.Time
	Receiver string
	Payload  []byte
	Text     string
	// NotBefore is set when a route puts it off.
	NotBefore time.Time
}

// Filed is one issuance in the ledger of a world.
type Filed struct {
	ID        cert.ID
	FirstSeen time.Time
	// Logged is the earliest time that a log gave it.
	Logged time.Time
	// Entries counts how often it was seen.
	Entries int
	// Verdict is the last one that was written, Decided when; zero for not yet.
	Verdict policy.Verdict
	Decided time.Time
	// Waited is until when a decision was put off at first; zero when none was.
	Waited time.Time
	// Facts at the last decision.
	Journalled, Owned bool
	Announced         []string

	subject app.Subject
	reading *app.Reading // nil when it is to be read again
	spki    [32]byte
	tbs     cert.ID
	seq     int
	due     time.Time
	issued  []store.Issued
}

// World is a ledger in memory with a clock.
type World struct {
	o   Options
	now time.Time

	book   *book
	filed  map[cert.ID]*Filed
	same   map[[32]byte]*Filed // by what was read: a reading follows from it
	order  []*Filed
	bySPKI map[[32]byte][]*Filed
	byTBS  map[cert.ID][]*Filed

	keys         map[[32]byte][]journal.Entry
	certificates map[cert.ID][]journal.Entry
	expectations []expectation.Expectation
	past         past
	waiting      decisions
}

// New begins a world.
func New(o Options) *World {
	return &World{
		o: o, book: newBook(), filed: map[cert.ID]*Filed{}, same: map[[32]byte]*Filed{}, bySPKI: map[[32]byte][]*Filed{}, byTBS: map[cert.ID][]*Filed{},
		keys: map[[32]byte][]journal.Entry{}, certificates: map[cert.ID][]journal.Entry{}, past: newPast(),
	}
}

// Now is the time in the world.
func (w *World) Now() time.Time { return w.now }

// Filed are all issuances, in the order in which they came.
func (w *World) Filed() []*Filed { return w.order }

// Find returns the issuance with an identity, or nil.
func (w *World) Find(id cert.ID) *Filed { return w.filed[id] }

// See is an entry of a log: logged is its timestamp, zero where that is not known. It returns what was filed, nil when
// the certificate touches nothing.
func (w *World) See(ctx context.Context, at time.Time, sub app.Subject, logged time.Time) (*Filed, error) {
	if err := w.Advance(ctx, at); err != nil {
		return nil, err
	}
	sum := digest(&sub)
	if f := w.same[sum]; f != nil {
		f.seen(logged)
		return f, nil
	}
	r := w.o.Stations.Read(sub)
	if len(r.Matches) == 0 {
		return nil, nil
	}
	f, known := w.filed[r.ID]
	if !known {
		f = &Filed{ID: r.ID, FirstSeen: w.now, Logged: w.now, subject: sub, reading: r, seq: len(w.order)}
		f.spki, f.tbs = bare(r)
		w.filed[r.ID] = f
		w.order = append(w.order, f)
		w.bySPKI[f.spki] = append(w.bySPKI[f.spki], f)
		w.byTBS[f.tbs] = append(w.byTBS[f.tbs], f)
	}
	w.same[sum] = f
	f.seen(logged)
	switch {
	case !known:
	case f.subject.Precert && !sub.Precert: // the final certificate says all that the precertificate said, and more
		sub.IssuerKeyHash, sub.Chain = f.subject.IssuerKeyHash, union(sub.Chain, f.subject.Chain)
		f.subject, f.reading = sub, nil
	default:
		return f, nil
	}
	return f, w.decide(ctx, f)
}

// bare is by what the journal knows a certificate.
func bare(r *app.Reading) (spki [32]byte, tbs cert.ID) {
	if len(r.Cert.RawTBS) == 0 {
		return r.Cert.SPKI, journal.Bare(r.Bytes)
	}
	return r.Cert.SPKI, journal.Bare(r.Cert.RawTBS)
}

func (f *Filed) seen(logged time.Time) {
	f.Entries++
	if !logged.IsZero() && logged.Before(f.Logged) {
		f.Logged = logged
	}
}

func digest(sub *app.Subject) (sum [32]byte) {
	h := sha256.New()
	fmt.Fprintf(h, "%t %x ", sub.Precert, sub.IssuerKeyHash)
	for _, der := range append([][]byte{sub.Bytes}, sub.Chain...) {
		fmt.Fprintf(h, "%d:", len(der))
		h.Write(der)
	}
	h.Sum(sum[:0])
	return sum
}

func union(a, b [][]byte) [][]byte {
	out := slices.Clone(a)
	for _, der := range b {
		if !slices.ContainsFunc(out, func(have []byte) bool { return string(have) == string(der) }) {
			out = append(out, der)
		}
	}
	return out
}

// Journal adds entries to the journal, and has what they concern decided again.
func (w *World) Journal(ctx context.Context, at time.Time, entries ...journal.Entry) error {
	if err := w.Advance(ctx, at); err != nil {
		return err
	}
	for _, e := range entries {
		e.At = w.now
		concerned := w.bySPKI[e.SPKI]
		if e.Certificate {
			w.certificates[e.TBS] = append(w.certificates[e.TBS], e)
			concerned = w.byTBS[e.TBS]
		} else {
			w.keys[e.SPKI] = append(w.keys[e.SPKI], e)
		}
		for _, f := range concerned {
			if err := w.decide(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// Announce adds an expectation, and has what was logged lately decided again.
func (w *World) Announce(ctx context.Context, at time.Time, e expectation.Expectation) error {
	if err := w.Advance(ctx, at); err != nil {
		return err
	}
	w.expectations = append(w.expectations, e)
	for i := len(w.order) - 1; i >= 0 && w.now.Sub(w.order[i].FirstSeen) < expectation.Late; i-- {
		if f := w.order[i]; f.Verdict.Level >= policy.Digest || f.Decided.IsZero() {
			if err := w.decide(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// Say is the word of a person about an incident.
func (w *World) Say(ctx context.Context, at time.Time, id string, e incident.Event) error {
	if err := w.Advance(ctx, at); err != nil {
		return err
	}
	i, err := w.book.Incident(ctx, id)
	if err != nil {
		return err
	}
	d := app.NewDocket(w.book, w.o.Receivers, w.o.Telling, w.o.Silences, w.now)
	if err := d.Say(ctx, i, e, store.TrailEntry{}); err != nil {
		return err
	}
	return w.write(ctx, d, e)
}

// Advance lets time pass up to at, doing what becomes due on the way, each at its time.
func (w *World) Advance(ctx context.Context, at time.Time) error {
	for {
		var f *Filed
		next := at
		if len(w.waiting) > 0 && !w.waiting[0].at.After(next) {
			next, f = w.waiting[0].at, w.waiting[0].of
		}
		id, due := w.book.nextDue()
		if id != "" && due.Before(next) || f == nil && id != "" && !due.After(next) {
			next, f = due, nil
		} else if f == nil {
			break
		} else {
			id = ""
		}
		if next.After(w.now) {
			w.now = next
		}
		switch {
		case f != nil:
			heap.Pop(&w.waiting)
			if f.due.IsZero() || f.due.After(w.now) {
				continue // decided since
			}
			if err := w.decide(ctx, f); err != nil {
				return err
			}
		default:
			if err := w.pass(ctx, id); err != nil {
				return err
			}
		}
	}
	if at.After(w.now) {
		w.now = at
	}
	return nil
}

// errStuck ends a world whose incidents are due again and again.
var errStuck = errors.New("an incident is due although its time has just passed")

func (w *World) pass(ctx context.Context, id string) error {
	i, err := w.book.Incident(ctx, id)
	if err != nil {
		return err
	}
	before := i.NextDue
	d := app.NewDocket(w.book, w.o.Receivers, w.o.Telling, w.o.Silences, w.now)
	if err := d.Pass(ctx, i); err != nil {
		return err
	}
	if err := w.write(ctx, d, nil); err != nil {
		return err
	}
	if i, err = w.book.Incident(ctx, id); err == nil && i.NextDue.Equal(before) {
		return fmt.Errorf("incident %s: %w", id, errStuck)
	}
	return err
}

// decide judges an issuance, as the daemon does when it is undecided.
func (w *World) decide(ctx context.Context, f *Filed) error {
	st := w.o.Stations
	r := f.reading
	if r == nil {
		r = st.Read(f.subject)
	}
	r.Logged = f.Logged
	f.issued = st.Issued(r)
	rec := app.OnRecord{Journal: slices.Concat(w.keys[f.spki], w.certificates[f.tbs]), Announced: w.open(f)}
	for _, one := range f.issued {
		rec.Past = append(rec.Past, w.past.of(f.seq, one))
	}
	j := st.Judge(r, f.ID, f.FirstSeen, w.now, rec)
	f.due = j.Settles
	if !j.Settles.IsZero() {
		if f.Waited.IsZero() {
			f.Waited = j.Settles
		}
		f.reading = r // it is decided again soon
		heap.Push(&w.waiting, decision{j.Settles, f})
		return nil
	}
	v := &j.Verdict
	surprise := st.Surprise(r, v, f.ID, f.FirstSeen)
	d := app.NewDocket(w.book, w.o.Receivers, w.o.Telling, w.o.Silences, w.now)
	if err := d.Decided(ctx, &surprise, v.Level, st.Document(r, v, w.now)); err != nil {
		return fmt.Errorf("issuance %s: %w", hex.EncodeToString(f.ID[:8]), err)
	}
	f.Verdict, f.Decided, f.reading = *v, w.now, nil
	f.Journalled, f.Owned, f.Announced = r.Facts.Journal.Known, r.Facts.Key.Owned, j.Uses
	w.past.add(f.seq, f.FirstSeen, f.issued)
	w.use(f, j.Uses)
	return w.write(ctx, d, nil)
}

// open are the expectations that may announce an issuance: those that it has used, and those that are open.
func (w *World) open(f *Filed) (out []expectation.Expectation) {
	for _, e := range w.expectations {
		if slices.Contains(e.UsedBy, f.ID) || e.Cancelled.IsZero() && e.Used < e.Count && !f.Logged.After(e.Until) && !f.Logged.Add(expectation.Late).Before(e.Created) {
			out = append(out, e)
		}
	}
	return out
}

func (w *World) use(f *Filed, ids []string) {
	for i := range w.expectations {
		if e := &w.expectations[i]; slices.Contains(ids, e.ID) && !slices.Contains(e.UsedBy, f.ID) {
			e.UsedBy = append(e.UsedBy, f.ID)
			e.Used++
		}
	}
}

// write keeps what became of incidents, and tells what is to be told.
func (w *World) write(ctx context.Context, d *app.Docket, said incident.Event) error {
	rows, err := d.Rows(ctx, said)
	if err != nil {
		return err
	}
	for i := range rows {
		if err := w.book.put(&rows[i]); err != nil {
			return err
		}
		for _, o := range rows[i].Outbox {
			if w.o.Told == nil {
				continue
			}
			if err := w.o.Told(Message{At: w.now, Receiver: o.Receiver, Payload: o.Payload, Text: o.Text, NotBefore: o.NextAttempt}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Suppressed is how often something did not ring, by why.
func (w *World) Suppressed() map[string]int { return w.book.suppressed }

// decision is one that waits.
type decision struct {
	at time.Time
	of *Filed
}

type decisions []decision

func (d decisions) Len() int { return len(d) }
func (d decisions) Less(i, j int) bool {
	if !d[i].at.Equal(d[j].at) {
		return d[i].at.Before(d[j].at)
	}
	return d[i].of.seq < d[j].of.seq
}
func (d decisions) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *decisions) Push(x any)   { *d = append(*d, x.(decision)) }
func (d *decisions) Pop() any {
	old := *d
	x := old[len(old)-1]
	*d = old[:len(old)-1]
	return x
}
