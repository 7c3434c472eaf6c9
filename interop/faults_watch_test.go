package interop_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/interop/faultproxy"
	"github.com/tocsin-ct/tocsin/interop/reallogs"
)

// badDays is what happens before honest logs, in turn.
var badDays = [][]faultproxy.Fault{
	faults(faultproxy.HangUp, 0.3, 1),
	faults(faultproxy.Stale, 0.5, 0),
	faults(faultproxy.Cut, 0.4, 1),
	faults(faultproxy.TooMany, 0.3, 1),
	slices.Concat(faults(faultproxy.Short, 0, 0), faults(faultproxy.PartialGone, 0.5, 1), faults(faultproxy.Drip, 0.5, 0)),
	faults(faultproxy.HTML, 0.3, 1),
	faults(faultproxy.BadGzip, 0.4, 1),
	faults(faultproxy.TooManySeconds, 0.2, 1),
	faults(faultproxy.ServerError, 0.3, 1),
	faults(faultproxy.WrongIssuer, 0.3, 1),
	nil,
}

// days puts one bad day after the other before the logs, in an order that follows from the seed, until ctx is done.
func days(ctx context.Context, seed uint64, proxies []*faultproxy.Proxy) {
	draw := rand.New(rand.NewPCG(seed, 0))
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, p := range proxies {
			p.Set(badDays[draw.IntN(len(badDays))]...)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// TestTocsinRingsThroughBadDaysOfRealLogs runs the program behind proxies that spoil answers, kills it in between, and
// wants every alarm and no accusation; then the answers lie, and it wants the accusation and every alarm.
func TestTocsinRingsThroughBadDaysOfRealLogs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the program itself: left out in short mode")
	}
	proxies := map[*reallogs.Log]*faultproxy.Proxy{}
	var inOrder []*faultproxy.Proxy
	w := newWorldVia(t, func(logs ...*reallogs.Log) func(*reallogs.Log) string {
		for i, l := range logs {
			proxies[l] = proxied(t, l, uint64(i))
			inOrder = append(inOrder, proxies[l])
		}
		return func(l *reallogs.Log) string { return proxies[l].Addr }
	})
	w.precertify(w.issue(w.other, "192.0.2.99")) // before tocsin first looked: not asked for
	life := w.tocsin.start(t)
	ctx, honest := context.WithCancel(t.Context())
	defer honest()
	var weather sync.WaitGroup
	weather.Go(func() { days(ctx, 5, inOrder) })

	const issuances = 18
	want := map[string]int{}
	var all []message
	for i := range issuances {
		bad := w.issue(w.other, fmt.Sprintf("192.0.2.%d", i+1))
		want[bad.address] = 1
		switch i % 3 { // each log must be read: some are in one of them alone
		case 0:
			w.precertify(bad)
		case 1:
			w.precertify(bad, w.logs[0])
		case 2:
			w.precertify(bad, w.logs[1])
		}
		if i == issuances/2 {
			life.kill()
			all = append(all, life.got...)
			life = w.tocsin.start(t)
		}
	}
	for address := range want {
		if !slices.ContainsFunc(slices.Concat(all, life.got), func(m message) bool { return rings(m) && m.about(address) }) {
			life.await("alarm", address)
		}
	}
	honest()
	weather.Wait()
	for _, p := range inOrder {
		p.Set()
	}
	until(t, "both logs are verified to their end", w.verified)
	c, _ := w.tocsin.coverage(t)
	for _, f := range c.Faults {
		t.Errorf("an honest log is accused: %s of %s: %s", f.Kind, f.Log, f.Text)
	}
	spoiled := 0
	for _, p := range inOrder {
		for _, day := range badDays {
			for _, f := range day {
				spoiled += p.Spoiled(f.Kind)
			}
		}
	}
	t.Logf("%d answers spoiled", spoiled)
	if spoiled < 10 {
		t.Errorf("%d answers were spoiled: these were no bad days", spoiled)
	}

	// Now the logs seem to lie: of an entry that is nobody's business, one bit is wrong.
	for _, l := range w.logs {
		size, err := l.Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		proxies[l].Set(faultproxy.Fault{Kind: faultproxy.Flip, Index: size})
	}
	fill(t, w.logs[0], w.own, 1)
	fill(t, w.logs[1], w.own, 1)
	behind := w.issue(w.other, "192.0.2.100")
	want[behind.address] = 1
	w.precertify(behind)
	life.await("alarm", behind.address)
	until(t, "both logs are accused of what they seem to have done", func() bool {
		c, _ := w.tocsin.coverage(t)
		return len(c.Faults) >= 2
	})
	c, _ = w.tocsin.coverage(t)
	told := map[string]int{}
	for _, f := range c.Faults {
		told[f.Log+": "+f.Kind]++
		l := w.logs[slices.IndexFunc(w.logs, func(l *reallogs.Log) bool { return l.Description == f.Log })]
		if heads := evidenceHeads(t, l, f.Evidence); len(heads) == 0 {
			t.Errorf("%s of %s comes without the head that the log signed: %s", f.Kind, f.Log, f.Evidence)
		}
	}
	if diff := cmp.Diff(map[string]int{w.logs[0].Description + ": " + ctlog.WrongRoot: 1, w.logs[1].Description + ": " + ctlog.WrongRoot: 1}, told); diff != "" {
		t.Errorf("accusations (-want +told):\n%s", diff)
	}
	for _, p := range inOrder {
		p.Set()
	}
	until(t, "both logs are verified to their end again", w.verified)
	life.kill()
	all = append(all, life.got...)

	if diff := cmp.Diff(want, alarms(all)); diff != "" {
		t.Errorf("alarms by address, each under its id (-want +rung):\n%s", diff)
	}
}

// alarms is how many alarms there were by what matched. One that came again under its id, after a kill, is one.
func alarms(messages []message) map[string]int {
	seen := map[string]bool{}
	return count(slices.DeleteFunc(slices.Clone(messages), func(m message) bool {
		again := seen[m.ID]
		seen[m.ID] = true
		return again
	}))
}

// until waits for something to become true.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	ctx := soon(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}
