package app

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/store"
)

func TestTheNoiseOfRules(t *testing.T) {
	until := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	row := func(n byte, why incident.Why, acted bool, fired ...policy.Fired) *store.RungRow {
		return &store.RungRow{Incident: "i", Issuance: [32]byte{n}, State: mustJSON(incident.Member{Why: why}), Acted: acted, Facts: mustJSON(map[string]any{"fired": fired})}
	}
	key := policy.Fired{Rule: "unknown-key", Title: "the key is not ours", Level: policy.Alarm}
	issuer := policy.Fired{Rule: "unlisted-issuer", Title: "an issuer \x1b[31m", Level: policy.Page}
	var n noiseTally
	for _, r := range []*store.RungRow{
		row(1, "", true, key, issuer),
		row(1, "", false, key, issuer), // of another incident: once all the same
		row(2, "", false, key),
		row(3, "", false, key, policy.Fired{Rule: "quiet", Level: policy.Digest}),
		row(4, incident.Muted, false, key), // rang nobody
		row(5, "", true),
		{Incident: "i", Issuance: [32]byte{6}, State: mustJSON(incident.Member{})}, // never decided to ring
	} {
		if err := n.add(r); err != nil {
			t.Fatal(err)
		}
	}
	want := &Noise{Kind: "noise", Since: until.Add(-14 * 24 * time.Hour), Until: until, Alarms: 4, Acted: 2, Rules: []RuleNoise{
		{"unknown-key", "the key is not ours", 3, 1.5, 1, 1.0 / 3},
		{"", "not recorded", 1, 0.5, 1, 1},
		{"unlisted-issuer", `an issuer \x1b[31m`, 1, 0.5, 1, 1},
	}}
	if diff := cmp.Diff(want, n.noise(until.Add(-14*24*time.Hour), until)); diff != "" {
		t.Error(diff)
	}
	if got := n.noise(until.Add(-time.Hour), until).Rules[0].PerWeek; got != 3 {
		t.Errorf("three within an hour are %v a week", got)
	}
}

func TestNoiseIsActedUponByPeople(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t, dir, guard(t, "web", "web-team", policy.Alarm, "example.com"), guard(t, "bank", "bank-team", policy.Alarm, "example.net"))
		begin := time.Now()
		b.issue("www.example.com")
		synctest.Wait()
		time.Sleep(time.Minute)
		if _, err := b.app.Ack(t.Context(), b.open(), Word{By: "alice"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.issue("www.example.net")
		synctest.Wait()
		time.Sleep(time.Minute)
		n, err := CountNoise(t.Context(), b.app.store, begin.Add(-time.Hour), time.Now())
		b.end()
		if err != nil || n.Alarms != 2 || n.Acted != 1 || len(n.Rules) == 0 || n.Since.Before(begin) {
			t.Errorf("%+v, %v", n, err)
		}
		for _, r := range n.Rules {
			if r.Rule == "" || r.Alarms == 0 {
				t.Errorf("%+v", r)
			}
		}
	})
}
