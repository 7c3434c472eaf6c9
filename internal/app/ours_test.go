package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/api"
	"github.com/tocsin-ct/tocsin/internal/expectation"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/health"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/store"
	"github.com/tocsin-ct/tocsin/internal/watch"
	"github.com/tocsin-ct/tocsin/loglist"
)

// recorded is an app that does nothing by itself, over a state of its own.
func recorded(t *testing.T) *App {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "state.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	item, err := watch.ParseItem("example.com", watch.Place{})
	if err != nil {
		t.Fatal(err)
	}
	watches := []watch.Watch{{Name: "main site", Items: []watch.Item{item}}}
	a := &App{store: s, logger: slog.New(slog.DiscardHandler), opts: Options{Ours: Ours{Control: true}}}
	a.stations.Store(&Stations{Watches: watches, Matcher: watch.New(watches)})
	return a
}

// ourCertificate carries an SCT of each of these logs.
func ourCertificate(t *testing.T, at time.Time, name string, logs ...byte) (*ca.Issued, journal.Issuance) {
	t.Helper()
	root, err := ca.NewRoot("Careful Root", &ca.Options{Seed: "careful", From: at.AddDate(-1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	i, err := root.Issue(ca.Leaf{CN: name, DNS: []string{name}, KeySeed: name, From: at, For: 90 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var scts [][]byte
	for _, log := range logs {
		b := append([]byte{0}, slices.Repeat([]byte{log}, 32)...)
		b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli()))
		scts = append(scts, append(b, 0, 0, 4, 3, 0, 1, 0))
	}
	final, err := i.Finish(scts)
	if err != nil {
		t.Fatal(err)
	}
	is, err := journal.Read(final, i.FinalChain)
	if err != nil {
		t.Fatal(err)
	}
	return i, is
}

func TestAnIssuanceOfOursThatCTDoesNotShowIsASignOfBlindness(t *testing.T) {
	a := recorded(t)
	ctx := t.Context()
	now := time.Now().UTC()
	issued := now.Add(-30 * time.Hour)
	id := [32]byte(slices.Repeat([]byte{'a'}, 32))
	a.logs = []*station{{follower: follower{log: loglist.Log{ID: id, Description: "Quiet log"}}}}
	commit := func(c store.Commit) {
		t.Helper()
		c.LogID, c.Cursor = id, []byte("{}")
		if err := a.store.Commit(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	commit(store.Commit{Start: &store.Start{Since: issued.Add(-time.Hour), At: issued, MMD: 24 * time.Hour}})
	i, seen := ourCertificate(t, issued, "www.example.com", 'a')
	_, elsewhere := ourCertificate(t, issued, "www.example.org", 'a')
	_, private := ourCertificate(t, issued, "intern.example.com")
	_, young := ourCertificate(t, now, "new.example.com", 'a')
	journalledAt := map[cert.ID]time.Time{seen.ID: issued, elsewhere.ID: issued, private.ID: issued, young.ID: now}
	for _, is := range []journal.Issuance{seen, elsewhere, private, young} {
		e := certificateEntry(is, is.Names[0]+".pem", journalledAt[is.ID])
		if _, err := a.store.AddJournal(ctx, nil, nil, e); err != nil {
			t.Fatal(err)
		}
	}
	states := func() map[string]string {
		t.Helper()
		all, err := NewControl(a.store, nil, nil, nil).Journal(ctx, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, e := range all.Entries {
			out[e.Names[0]] = e.Control
		}
		return out
	}
	a.controlDue(ctx, now)
	if diff := cmp.Diff(map[string]string{"www.example.com": "overdue", "www.example.org": "unwatched", "intern.example.com": "unpromised", "new.example.com": "waiting"}, states()); diff != "" {
		t.Errorf("positive control (-want +got):\n%s", diff)
	}
	troubles := a.unseen(ctx, now)
	if len(troubles) != 1 || troubles[0].Code != health.Unseen || troubles[0].Subject != "Quiet log" || troubles[0].Args["count"] != "1 issuance" ||
		!strings.Contains(troubles[0].Args["why"], "www.example.com") {
		t.Fatalf("troubles %+v", troubles)
	}
	open, events := health.Step(nil, troubles, now)
	if len(events) != 1 || events[0].Level != health.Alarm || !strings.HasPrefix(open[0].Text(), "I may be blind in Quiet log: 1 issuance of ours") {
		t.Errorf("it does not ring: %+v", events)
	}
	// The log shows the precertificate after all.
	commit(store.Commit{Size: 1, Filings: []store.Filing{{Issuance: store.Issuance{ID: cert.Identity(i.TBS, i.IssuerKeyHash()), Cert: i.TBS, Precert: true, IssuerKeyHash: i.IssuerKeyHash()},
		Sighting: &store.Sighting{Leaf: []byte("leaf")}}}})
	a.controlDue(ctx, now.Add(2*time.Hour))
	if got := states()["www.example.com"]; got != "seen" || len(a.unseen(ctx, now)) != 0 {
		t.Errorf("it stands %s, and is told as %+v", got, a.unseen(ctx, now))
	}
	t.Run("turned off, nothing is due and nothing told", func(t *testing.T) {
		a.opts.Ours.Control = false
		a.controlDue(ctx, now.Add(100*time.Hour))
		if got := states()["new.example.com"]; got != "" || a.unseen(ctx, now) != nil {
			t.Errorf("it stands %q", got)
		}
	})
}

// listener is a receiver that wants everything.
type listener struct{ notify.Receiver }

func (listener) Name() string                              { return "team" }
func (listener) Wants(string) bool                         { return true }
func (listener) Stream() bool                              { return true }
func (listener) Send(context.Context, notify.Notice) error { return nil }

func TestAnAnnouncementThatNothingUsedIsToldWhereItWasAskedFor(t *testing.T) {
	a := recorded(t)
	a.receivers = []notify.Receiver{listener{}}
	ctx, now := t.Context(), time.Now()
	for id, missing := range map[string]bool{"asked": true, "not asked": false} {
		e := expectation.Expectation{ID: id, Names: []string{"www.example.com"}, Keys: []string{"0a"}, Count: 1, Created: now.Add(-2 * time.Hour), Until: now.Add(-time.Minute),
			Reason: "renewal", By: "operator", NotifyMissing: missing}
		row := store.Expectation{ID: id, Body: mustJSON(e), Count: 1, Created: e.Created, Until: e.Until}
		if err := a.store.Announce(ctx, row, now, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		a.closeExpired(ctx, now)
	}
	rows, err := a.store.Due(ctx, "team", now.Add(time.Minute), 10)
	if err != nil || len(rows) != 1 || rows[0].Kind != "expectation-missing" || !strings.Contains(rows[0].Text, "www.example.com") {
		t.Errorf("told %+v, %v", rows, err)
	}
	trail, err := a.store.Trail(ctx, now.Add(-time.Hour), now.Add(time.Hour), 10)
	var kinds []string
	for _, e := range trail {
		kinds = append(kinds, e.Kind+" "+e.Subject)
	}
	slices.Sort(kinds)
	if diff := cmp.Diff([]string{"expectation-missing asked", "expectation-missing not asked"}, kinds); diff != "" || err != nil {
		t.Errorf("%v, trail (-want +got):\n%s", err, diff)
	}
}

func TestAThiefOfATokenGetsNoMoreByAskingManyTimesAtOnce(t *testing.T) {
	a := recorded(t)
	c := a.newControl()
	ctx := t.Context()
	operator := api.Caller{Operator: true, Name: "operator"}
	scope := expectation.Scope{Watches: []string{"main site"}, MaxCount: 3, MaxFor: expectation.Duration(time.Hour), Expires: time.Now().Add(24 * time.Hour)}
	token, err := c.AddToken(ctx, operator, api.TokenRequest{Name: "ci", Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	// Each goroutine has a daemon's API of its own, so that no rate limit of one helps.
	ask := func(body string) int {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/expectations", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+token.Secret)
		w := httptest.NewRecorder()
		api.Handler(c, api.Options{}).ServeHTTP(w, r)
		return w.Code
	}
	key := strings.Repeat("0a", 32)
	var mu sync.Mutex
	codes := map[int]int{}
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() {
			code := ask(fmt.Sprintf(`{"names":["n%d.example.com"],"keys":["%s"],"for":"30m","reason":"trust me"}`, i, key))
			mu.Lock()
			codes[code]++
			mu.Unlock()
		})
	}
	work.Wait()
	if diff := cmp.Diff(map[int]int{201: 3, 403: 17}, codes); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	open, err := a.store.OpenExpectations(ctx, [32]byte{}, time.Now())
	if err != nil || len(open) != 3 {
		t.Errorf("%d are open, %v", len(open), err)
	}
	// All of it is on the trail, the refusals once.
	trail, err := a.store.Trail(ctx, time.Time{}, time.Now().Add(time.Hour), 100)
	kinds := map[string]int{}
	for _, e := range trail {
		kinds[e.Kind]++
		if strings.Contains(e.Text, token.Secret) {
			t.Error("the trail holds the secret")
		}
	}
	if diff := cmp.Diff(map[string]int{trailToken: 1, trailAnnounced: 3, trailRefused: 1}, kinds); diff != "" || err != nil {
		t.Errorf("%v, trail (-want +got):\n%s", err, diff)
	}
	if _, err := c.RevokeToken(ctx, operator, token.ID); err != nil {
		t.Fatal(err)
	}
	if open, _ := a.store.OpenExpectations(ctx, [32]byte{}, time.Now()); len(open) != 0 {
		t.Errorf("%d outlived the token", len(open))
	}
	if code := ask(`{}`); code != http.StatusUnauthorized {
		t.Errorf("a revoked token is answered %d", code)
	}
	b, err := json.Marshal(need(c.Tokens(ctx))(t))
	if err != nil || bytes.Contains(b, []byte(token.Secret)) {
		t.Errorf("the list of tokens holds the secret, or %v", err)
	}
}

func need[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestWhatATokenPushesIsOneIssuanceAndNoKey(t *testing.T) {
	a := recorded(t)
	c := a.newControl()
	ctx, now := t.Context(), time.Now()
	scope := expectation.Scope{Watches: []string{"main site"}, MaxCount: 1, MaxFor: expectation.Duration(time.Hour), Expires: now.Add(24 * time.Hour)}
	token := need(c.AddToken(ctx, api.Caller{Operator: true}, api.TokenRequest{Name: "ci", Scope: scope}))(t)
	by := need(c.Authenticate(ctx, token.Secret))(t)
	i, is := ourCertificate(t, now, "www.example.com", 'a')
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: is.DER}))
	for _, der := range i.FinalChain {
		text += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	knows := func() (by []string) {
		entries, _, err := a.store.JournalOf(ctx, is.SPKI, is.TBS)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			by = append(by, e.Kind)
		}
		return by
	}
	if done := need(c.Push(ctx, by, api.Push{Certificate: text}))(t); !done.New || done.Issuance != is.ID.String() {
		t.Errorf("%+v", done)
	}
	if got := knows(); !slices.Equal(got, []string{"certificate"}) {
		t.Errorf("the journal holds %v", got)
	}
	if done := need(c.Push(ctx, by, api.Push{Certificate: text}))(t); done.New {
		t.Error("the same certificate again is new")
	}
	key := need(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	request := need(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"www.example.com"}}, key))(t)
	for name, push := range map[string]api.Push{
		"a key":                       {Key: strings.Repeat("0a", 32)},
		"a CSR":                       {CSR: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))},
		"the end of a key":            {Key: strings.Repeat("0a", 32), End: true},
		"a second certificate":        {Certificate: otherPEM(t, now, "mail.example.com")},
		"a certificate of a stranger": {Certificate: otherPEM(t, now, "www.example.org")},
	} {
		if _, err := c.Push(ctx, by, push); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if done := need(c.Push(ctx, api.Caller{Operator: true, Name: "operator"}, api.Push{Certificate: text}))(t); !done.New {
		t.Errorf("the operator's push brought nothing: %+v", done)
	}
	if got := knows(); !slices.Equal(got, []string{"certificate", "key"}) {
		t.Errorf("after the operator's push the journal holds %v", got)
	}
}

func otherPEM(t *testing.T, at time.Time, name string) string {
	_, is := ourCertificate(t, at, name, 'a')
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: is.DER}))
}
