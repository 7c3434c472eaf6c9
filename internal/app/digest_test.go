package app

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tocsin-ct/tocsin/internal/incident"
	"github.com/tocsin-ct/tocsin/internal/notify"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/route"
	"github.com/tocsin-ct/tocsin/internal/store"
)

func filedRow(n byte, at time.Time, level, issuer string, matches ...notify.Match) *store.FiledRow {
	return &store.FiledRow{ID: [32]byte{n}, FirstSeen: at, Level: level, Issuer: issuer, Matches: mustJSON(matches)}
}

// aDay is a day on which everything happened that a digest tells of, and some of it hostile.
func aDay(t *testing.T) *digestRows {
	t.Helper()
	to := time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC)
	from := to.Add(-24 * time.Hour)
	web := func(name string) notify.Match { return notify.Match{Watch: "web", Owner: "web-team", Value: name} }
	r := &digestRows{day: "2026-11-28", from: from, to: to, filed: &filedTally{}, days: endedDays(from, to), lives: &lives{names: map[string]life{
		"www.example.com":   {[32]byte{9}, to.Add(5 * 24 * time.Hour), 90 * 24 * time.Hour},
		"api.example.com":   {[32]byte{9}, to.Add(5 * 24 * time.Hour), 90 * 24 * time.Hour},
		"mail.example.com":  {[32]byte{8}, to.Add(15 * 24 * time.Hour), 90 * 24 * time.Hour}, // not yet
		"short.example.com": {[32]byte{7}, to.Add(3 * 24 * time.Hour), 6 * 24 * time.Hour},   // in the middle of a short life
		"gone.example.com":  {[32]byte{6}, from.Add(time.Hour), 90 * 24 * time.Hour},         // ended in this span
		"long.example.com":  {[32]byte{5}, from.Add(-time.Hour), 90 * 24 * time.Hour},        // was told of before
	}}}
	for _, row := range []*store.FiledRow{
		filedRow(1, from, "expected", "Example Trust", web("www.example.com"), web("API.example.com"), notify.Match{Watch: "mail", Value: "mail.example.com"}),
		filedRow(2, from.Add(time.Hour), "expected", "Example Trust", web("www.example.com")),
		filedRow(3, from.Add(2*time.Hour), "digest", "Other \x1b[31mTrust", web("a.example.com"), web("b.example.com"), web("c.example.com"), web("d.example.com"), web("e.example.com"), web("f.example.com")),
		filedRow(4, from.Add(3*time.Hour), "", "", web("new.example.com")),
	} {
		if err := r.filed.add(row); err != nil {
			t.Fatal(err)
		}
	}
	r.suppressed = []store.SuppressedCount{
		{Why: "grouped", Count: 2}, {Why: "grouped", Rule: "unknown-key", Count: 2},
		{Why: "silenced", Silence: "5113ce", Count: 3, Addresses: 1},
	}
	r.counts = map[string]int{trailAnnounced: 2, store.TrailUsed: 1, trailRefused: 1, "something-else": 7}
	r.trail = []store.TrailEntry{
		{At: from.Add(time.Minute), Kind: trailAnnounced, Actor: "ci", Text: "www.example.com\nSubject: evil \x1b[2J"},
		{At: from.Add(2 * time.Minute), Kind: trailAnnounced, Actor: "ci", Text: "api.example.com"},
		{At: from.Add(3 * time.Minute), Kind: store.TrailUsed, Actor: "tocsin", Text: "was used"},
		{At: from, Kind: trailRefused, Actor: "ci", Text: "beyond its scope"},
	}
	r.tokens = []store.TokenUse{{ID: "t1", Name: "ci", Times: 2, Count: 3}}
	r.open = []store.IncidentCount{{Status: "notified", Level: "alarm", Count: 2}, {Status: "acknowledged", Level: "page", Count: 1}}
	for i, left := range []time.Duration{time.Hour, 72 * time.Hour} {
		r.silences = append(r.silences, SilenceState{Silence: incident.Silence{ID: fmt.Sprint("s", i), End: to.Add(left), By: "alice", Reason: "migration"}, Active: true, Hid: 3})
	}
	return r
}

func TestADigestTellsWhatDidNotRing(t *testing.T) {
	d := newDigest(aDay(t))
	text := d.Text()
	golden := filepath.Join("testdata", "digest.txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text+"\n"); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	doc := string(mustJSON(d))
	if strings.ContainsAny(text+doc, "\x1b") {
		t.Error("hostile text passes")
	}
	if d.FiledTotal != 4 || d.CertificatesTotal != 1 || d.ExpiringTotal != 2 || d.Incidents.Open != 3 || len(d.Silences) != 1 || d.Announced.Total != 4 {
		t.Errorf("%s", doc)
	}
}

func TestADigestIsBounded(t *testing.T) {
	r := aDay(t)
	for n := range 300 {
		if err := r.filed.add(filedRow(0, r.from, "digest", "", notify.Match{Watch: fmt.Sprint("w", n), Value: strings.Repeat("x", 10_000)})); err != nil {
			t.Fatal(err)
		}
		r.lives.names[fmt.Sprint(n)] = life{[32]byte{1, byte(n), byte(n >> 8)}, r.to.Add(time.Hour), 90 * 24 * time.Hour}
	}
	d := newDigest(r)
	if len(d.Certificates) != maxDigestRows || d.CertificatesTotal != 301 || len(d.Expiring) != maxDigestRows || d.ExpiringTotal != 302 {
		t.Errorf("%d of %d certificates, %d of %d that end", len(d.Certificates), d.CertificatesTotal, len(d.Expiring), d.ExpiringTotal)
	}
	if text := d.Text(); len(text) > 64<<10 || !strings.Contains(text, "and 261 more") {
		t.Errorf("%d bytes: %.2000s", len(text), text)
	}
}

func TestEachDayOfUTCIsInOneDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := time.Unix(rapid.Int64Range(0, 2e9).Draw(t, "from"), 0)
		at := from
		var got []time.Time
		for _, step := range rapid.SliceOfN(rapid.Int64Range(1, 4*86400), 1, 20).Draw(t, "steps") {
			next := at.Add(time.Duration(step) * time.Second)
			got = append(got, endedDays(at, next)...)
			at = next
		}
		for i, day := range got {
			if day.Unix()%86400 != 0 || i > 0 && day.Sub(got[i-1]) != 24*time.Hour {
				t.Fatalf("%v", got)
			}
		}
		if first, last := from.Unix()/86400, at.Unix()/86400; int64(len(got)) != last-first {
			t.Fatalf("%d days from %s to %s", len(got), from.UTC(), at.UTC())
		}
	})
}

// digesting runs the digest beside a bureau until end is called.
func digesting(b *bureau, at string) (end func()) {
	b.t.Helper()
	if at != "" {
		d, err := route.ParseDaily(at)
		if err != nil {
			b.t.Fatal(err)
		}
		b.app.opts.Quiet.Digest = d
	}
	done := b.beside(b.app.digests)
	return func() { done(); b.end() }
}

// digests are those that a receiver got.
func (i *inbox) digests(t *testing.T) (out []Digest) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.took {
		if n.Kind != "digest" {
			continue
		}
		var d Digest
		if err := json.Unmarshal(n.Payload, &d); err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

func TestOneDigestADayWhateverRestartsThereAre(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // begins at midnight UTC
		b := newBureau(t, dir, guard(t, "web", "web-team", policy.Digest, "example.com"))
		end := digesting(b, "08:00 Europe/Berlin")
		time.Sleep(time.Hour)
		id := b.issue("www.example.com")
		time.Sleep(5 * time.Hour)
		if got := b.mail.digests(t); len(got) != 0 {
			t.Fatalf("before its time: %+v", got)
		}
		time.Sleep(2 * time.Hour)
		for range 3 {
			end()
			b.start()
			end = digesting(b, "08:00 Europe/Berlin")
			time.Sleep(time.Hour)
		}
		got := b.mail.digests(t)
		if len(got) != 1 {
			t.Fatalf("%d digests", len(got))
		}
		d := got[0]
		if d.Day != "2000-01-01" || d.FiledTotal != 1 || len(d.Certificates) != 1 || d.Certificates[0].Issuance != hex.EncodeToString(id[:]) || d.Certificates[0].Owner != "web-team" || len(d.SuppressedDays) != 0 {
			t.Errorf("%+v", d)
		}
		b.issue("next.example.com")
		end()
		time.Sleep(3 * 24 * time.Hour)
		b.start()
		end = digesting(b, "08:00 Europe/Berlin")
		time.Sleep(2 * time.Minute)
		end()
		got = b.mail.digests(t)
		if len(got) != 2 {
			t.Fatalf("%d digests", len(got))
		}
		if d = got[1]; d.Day != "2000-01-04" || !d.From.Equal(got[0].To) || d.FiledTotal != 1 || len(d.SuppressedDays) != 3 {
			t.Errorf("what happened while nobody ran is not told: %+v", d)
		}
	})
}

func TestWhoGetsADigest(t *testing.T) {
	tests := []struct {
		name   string
		inbox  bool
		at     string
		off    bool
		digest string
	}{
		{"somebody with an inbox gets one though nothing was asked for", true, "", false, "08:00 UTC"},
		{"a stream gets none unless asked for", false, "", false, ""},
		{"a stream gets one when asked for", false, "10:00 UTC", false, "10:00 UTC"},
		{"nobody gets one when it is off", true, "", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &App{receivers: []notify.Receiver{&inbox{stream: true}}}
			if tt.inbox {
				a.receivers = append(a.receivers, &inbox{})
			}
			if a.opts.Quiet.NoDigest = tt.off; tt.at != "" {
				d, err := route.ParseDaily(tt.at)
				if err != nil {
					t.Fatal(err)
				}
				a.opts.Quiet.Digest = d
			}
			got := ""
			if d := a.digestTime(); d != nil {
				got = d.String()
			}
			if got != tt.digest {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestACertificateThatRangIsNoSuccessor(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBureau(t, dir, guard(t, "web", "web-team", policy.Digest, "example.com"), guard(t, "bank", "bank-team", policy.Alarm, "example.net"))
		b.issue("www.example.com", "gone.example.com") // for 60 days
		b.issue("www.example.net")
		later := func(days int) { // nobody runs meanwhile
			synctest.Wait()
			b.end()
			time.Sleep(time.Duration(days) * 24 * time.Hour)
			b.start()
		}
		later(30)
		b.issue("www.example.com")
		later(20)
		now := time.Now()
		rows, err := readDigest(t.Context(), b.app.store, now.Add(-24*time.Hour), now)
		if err != nil {
			t.Fatal(err)
		}
		d := newDigest(rows)
		b.end()
		var names []string
		for _, e := range d.Expiring {
			names = append(names, e.Names...)
		}
		if diff := cmp.Diff([]string{"gone.example.com"}, names); diff != "" {
			t.Error(diff)
		}
	})
}
