package caa

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a Keeper in memory.
type memory struct {
	mu      sync.Mutex
	hs      Histories
	met     map[string]time.Time
	changes []Change
	broken  bool
}

func newMemory() *memory { return &memory{hs: Histories{}, met: map[string]time.Time{}} }

func (m *memory) Load(_ context.Context, names []string) (Histories, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return nil, errors.New("the disk is full")
	}
	out := Histories{}
	for _, n := range names {
		out[n] = slices.Clone(m.hs[n])
	}
	return out, nil
}

func (m *memory) Save(_ context.Context, found []Found) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errors.New("the disk is full")
	}
	for _, f := range found {
		h := m.hs[f.Name]
		if f.Fresh {
			h = append(h, f.Span)
		}
		for i := range h {
			if h[i].Known == f.Span.Known && h[i].First.Equal(f.Span.First) {
				h[i].Last = f.Span.Last
			}
		}
		m.hs[f.Name] = h
		if f.Change != nil {
			m.changes = append(m.changes, *f.Change)
		}
	}
	return nil
}

func (m *memory) Meet(_ context.Context, names []string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range names {
		m.met[n] = at
	}
	return nil
}

func (m *memory) Met(context.Context, int) (map[string]time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.met), nil
}

func (m *memory) at(name string) Force {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, f := Relevant(m.hs, name, time.Now(), Gap(time.Hour))
	return f
}

// zone answers as a resolver would, and counts.
type zone struct {
	mu    sync.Mutex
	sets  map[string]Set
	dead  bool // never answers within five seconds
	asked map[string]int
	times []time.Time
	most  int // at once
	now   int
}

func (z *zone) ask(ctx context.Context, name string) Answer {
	z.mu.Lock()
	if z.asked == nil {
		z.asked = map[string]int{}
	}
	z.asked[name]++
	z.times = append(z.times, time.Now())
	z.now++
	z.most = max(z.most, z.now)
	dead, s := z.dead, z.sets[name]
	z.mu.Unlock()
	defer func() {
		z.mu.Lock()
		z.now--
		z.mu.Unlock()
	}()
	wait := 20 * time.Millisecond
	if dead {
		wait = 5 * time.Second
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return Answer{Why: "interrupted", DNSSEC: Unknown}
	}
	if dead {
		return Answer{Why: "no answer in time", DNSSEC: Unknown}
	}
	return Answer{Known: true, Set: NewSet(s...), DNSSEC: Insecure}
}

func (z *zone) change(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
}

func (z *zone) count(name string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[name]
}

// running runs a poller in synthetic time until the test ends.
func running(t *testing.T, z *zone, m *memory, o Options) *Poller {
	t.Helper()
	o.Ask, o.Keeper = z.ask, m
	p := NewPoller(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

// pass lets time pass, until all that happens in it has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestZonesAreLookedAtAndTheirChangesRingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := set(t, `0 issue "ca1.example.net"`), set(t, `0 issue "evil.example"`)
		z := &zone{sets: map[string]Set{"example.com": one}}
		m := newMemory()
		p := running(t, z, m, Options{})
		p.Watch([]string{"example.com"})
		pass(10*time.Hour + 30*time.Minute)
		if f := m.at("www.example.com"); f.Known {
			t.Errorf("a name that nobody looked at is known: %+v", f)
		}
		if f := m.at("example.com"); !f.Known || !f.Set.Equal(one) {
			t.Errorf("%+v", f)
		}
		if n := z.count("example.com"); n < 9 || n > 14 || z.count("com") < 9 {
			t.Errorf("asked %v in ten hours", z.asked)
		}
		if len(m.changes) != 0 || len(m.hs["example.com"]) != 1 {
			t.Fatalf("rang: %+v, %+v", m.changes, m.hs)
		}
		// Order is no change; a failure is none.
		z.change(func() { z.sets["example.com"] = append(slices.Clone(one), one...) })
		pass(3 * time.Hour)
		z.change(func() { z.dead = true })
		pass(3 * time.Hour)
		z.change(func() { z.dead = false })
		pass(3 * time.Hour)
		if len(m.changes) != 0 {
			t.Fatalf("rang: %+v", m.changes)
		}
		z.change(func() { z.sets["example.com"] = two })
		pass(5 * time.Hour)
		if len(m.changes) != 1 || !strings.Contains(strings.Join(m.changes[0].What, ";"), "evil.example") || m.changes[0].Name != "example.com" {
			t.Fatalf("rang: %+v", m.changes)
		}
		if f := m.at("example.com"); !f.Set.Equal(two) {
			t.Errorf("%+v", f)
		}
	})
}

func TestAChangeWhileNobodyRanIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		one, two := set(t, `0 issue "ca1.example.net"`), set(t, `0 issue "evil.example"`)
		first := &zone{sets: map[string]Set{"example.com": one}}
		p := NewPoller(Options{Ask: first.ask, Keeper: m})
		p.Watch([]string{"example.com"})
		p.Meet(t.Context(), []string{"www.example.com"}, time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		last := m.hs["example.com"][0].Last
		if time.Since(last) > 75*time.Minute {
			t.Errorf("the end was not saved: %v", time.Since(last))
		}
		pass(72 * time.Hour)
		second := &zone{sets: map[string]Set{"example.com": two}}
		p = running(t, second, m, Options{})
		p.Watch([]string{"example.com"})
		pass(time.Minute)
		if len(m.changes) != 1 || !m.changes[0].Before.Set.Equal(one) {
			t.Errorf("%+v", m.changes)
		}
		if second.count("www.example.com") == 0 {
			t.Error("a name that was met before is forgotten")
		}
		if f := At(m.hs["example.com"], "example.com", last.Add(40*time.Hour), Gap(time.Hour)); f.Known {
			t.Errorf("in between it is known: %+v", f)
		}
	})
}

func TestQuestionsArePolite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		p := running(t, z, newMemory(), Options{})
		var zones []string
		for i := range 300 {
			zones = append(zones, fmt.Sprintf("z%d.example.com", i))
		}
		p.Watch(zones)
		var on []string
		for i := range 50 {
			on = append(on, fmt.Sprintf("n%d.example.org", i))
		}
		go func() {
			p.Meet(t.Context(), on, time.Now())
			p.Look(t.Context(), on)
		}()
		pass(3 * time.Hour)
		z.change(func() { z.dead = true })
		pass(3 * time.Hour)
		if z.most > workers {
			t.Errorf("%d at once", z.most)
		}
		for i, at := range z.times {
			if j := i + 10; j < len(z.times) && z.times[j].Sub(at) < 9*defaultPause {
				t.Fatalf("11 questions within %v", z.times[j].Sub(at))
			}
		}
		if n := z.count("z7.example.com"); n < 4 || n > 20 {
			t.Errorf("a name was asked %d times in six hours", n)
		}
	})
}

func TestAServerThatNeverAnswersIsWaitedForNoLongerThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{dead: true}
		m := newMemory()
		p := running(t, z, m, Options{})
		var zones []string
		for i := range 100 {
			zones = append(zones, fmt.Sprintf("z%d.example.com", i))
		}
		p.Watch(zones)
		pass(10 * time.Second)
		for i := range 20 {
			name := []string{fmt.Sprintf("n%d.example.com", i)}
			began := time.Now()
			p.Meet(t.Context(), name, began)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			p.Look(ctx, name)
			cancel()
			if d := time.Since(began); d > 5*time.Second {
				t.Fatalf("waited %v", d)
			}
		}
		if f := m.at("n0.example.com"); f.Known {
			t.Errorf("%+v", f)
		}
	})
}

func TestANameWithoutHistoryIsAskedOnceWhoeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{sets: map[string]Set{"example.com": set(t, `0 issue "ca1.example.net"`)}}
		m := newMemory()
		p := running(t, z, m, Options{})
		name := []string{"www.example.com"}
		p.Meet(t.Context(), name, time.Now())
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { p.Look(t.Context(), name) })
		}
		all.Wait()
		if f := m.at("www.example.com"); !f.Known || len(f.Set) != 1 {
			t.Errorf("%+v", f)
		}
		p.Look(t.Context(), name)
		if n := z.count("www.example.com"); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestTheNamesMetLongestAgoMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		p := running(t, z, newMemory(), Options{Limit: 20})
		if left := p.Watch([]string{"example.com", "example.org", "bad..name"}); !slices.Equal(left, []string{"bad..name"}) {
			t.Errorf("left: %v", left)
		}
		for i := range 40 {
			p.Meet(t.Context(), []string{fmt.Sprintf("n%d.example.com", i)}, time.Now())
			time.Sleep(time.Minute)
		}
		p.mu.Lock()
		n, old, last, zones := len(p.nodes), p.nodes["n0.example.com"], p.nodes["n39.example.com"], p.nodes["example.org"]
		p.mu.Unlock()
		if n > 20 || old != nil || last == nil || zones == nil {
			t.Errorf("%d names; the oldest %v, the last %v, a zone %v", n, old, last, zones)
		}
		many := make([]string, 30)
		for i := range many {
			many[i] = fmt.Sprintf("z%d.example", i)
		}
		if left := p.Watch(many); len(left) != 11 {
			t.Errorf("%d zones without room", len(left))
		}
		// Their names are gone, and only they are asked.
		before := z.count("example.org")
		pass(5 * time.Hour)
		if z.count("example.org") != before || z.count("z3.example") < 3 {
			t.Errorf("asked: %v", z.asked)
		}
	})
}

func TestWhatCannotBeKeptNowIsKeptLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := set(t, `0 issue "ca1.example.net"`), set(t, `0 issue "evil.example"`)
		z := &zone{sets: map[string]Set{"example.com": one}}
		m := newMemory()
		p := running(t, z, m, Options{})
		p.Watch([]string{"example.com"})
		pass(time.Minute)
		m.mu.Lock()
		m.broken = true
		m.mu.Unlock()
		z.change(func() { z.sets["example.com"] = two })
		pass(4 * time.Hour)
		m.mu.Lock()
		if len(m.changes) != 0 {
			t.Error("it was kept")
		}
		m.broken = false
		m.mu.Unlock()
		pass(time.Minute)
		if f := m.at("example.com"); !f.Known || !f.Set.Equal(two) || len(m.changes) != 1 {
			t.Errorf("%+v, %d changes", f, len(m.changes))
		}
	})
}
