package caa

import (
	"cmp"
	"container/heap"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Keeper keeps histories where they outlive us.
type Keeper interface {
	// Load returns the newest spans of each name.
	Load(ctx context.Context, names []string) (Histories, error)
	// Save keeps what looks have found, all or nothing, and tells of the changes in it.
	Save(ctx context.Context, found []Found) error
	// Meet keeps names that were met in certificates, Met returns those met last, with when.
	Meet(ctx context.Context, names []string, at time.Time) error
	Met(ctx context.Context, most int) (map[string]time.Time, error)
}

// Found is what a look has found at a name. When Fresh, Span is a new one, else the newest with its First has grown.
type Found struct {
	Name  string
	Span  Span
	Fresh bool
	// Change is set when people must be told.
	Change *Change
}

// Change is a change of the records of a name.
type Change struct {
	Name          string
	Before, After Span
	// What says it in words, Level how it rings: see [Changed].
	What  []string
	Level string
}

// Defaults of [Options], and times of the poller.
const (
	DefaultEvery = time.Hour
	defaultLimit = 20_000
	defaultPause = 100 * time.Millisecond
	workers      = 4
	firstRetry   = time.Minute
	flushEvery   = 10 * time.Second
	fresh        = 5 * time.Minute // a look of then is as good as one of now
	metAgain     = time.Hour
	keptSpans    = 64 // of each name in memory
)

// Options of a [Poller].
type Options struct {
	// Ask looks at one name. It returns within a time of its own: see [Resolver.Ask]. Required, as is Keeper.
	Ask    func(ctx context.Context, name string) Answer
	Keeper Keeper
	// Every is the time between two looks at a name, give or take a sixth by chance; 0 for [DefaultEvery].
	Every time.Duration
	// Limit bounds the names, those above others included; 0 for 20,000. Pause is between two questions, of all there
	// are; 0 for 100 ms.
	Limit  int
	Pause  time.Duration
	Logger *slog.Logger // nil discards
}

// Gap is the longest time between two looks that leaves nothing unknown: two may fail.
func Gap(every time.Duration) time.Duration { return 3 * cmp.Or(max(every, 0), DefaultEvery) }

// Poller looks at names from time to time. Its methods are safe for concurrent use.
type Poller struct {
	o       Options
	slots   chan struct{}
	wake    chan struct{}
	started chan struct{}
	work    sync.WaitGroup

	mu      sync.Mutex
	base    context.Context // of Run
	ended   bool
	nodes   map[string]*node
	queue   queue
	turn    time.Time // of the next question
	pending []Found
}

// node is one name.
type node struct {
	name     string
	due      time.Time
	index    int // in the queue; -1 while it is asked
	standing bool
	met      time.Time
	looked   time.Time
	failures int
	asking   chan struct{} // closed when the look is over; nil while there is none

	loaded  bool // only the look that runs touches these
	history History
}

// NewPoller makes one that looks at nothing yet.
func NewPoller(o Options) *Poller {
	if o.Every <= 0 {
		o.Every = DefaultEvery
	}
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
	if o.Pause <= 0 {
		o.Pause = defaultPause
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Poller{
		o: o, slots: make(chan struct{}, workers), wake: make(chan struct{}, 1), started: make(chan struct{}), nodes: map[string]*node{},
	}
}

// Watch makes zones those that are looked at for ever, in place of those named before, and returns the ones for which
// there is no room, or that DNS cannot hold.
func (p *Poller) Watch(zones []string) (left []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.nodes {
		n.standing = false
	}
	now := time.Now()
	for _, z := range zones {
		way, _, ok := Climb(z)
		if !ok || !p.room(way) {
			left = append(left, z)
			continue
		}
		for _, name := range way {
			p.add(name, now).standing = true
		}
	}
	for _, n := range p.nodes {
		if !n.standing && n.met.IsZero() && n.asking == nil {
			p.drop(n)
		}
	}
	p.nudge()
	return left
}

// Meet has the names of a certificate looked at from now on, and soon unless somebody just has.
func (p *Poller) Meet(ctx context.Context, names []string, at time.Time) {
	news := p.meet(names, at, true)
	if len(news) == 0 {
		return
	}
	if err := p.o.Keeper.Meet(ctx, news, at); err != nil && ctx.Err() == nil {
		p.o.Logger.Warn("names whose CAA records are to be looked at do not outlive this run", "err", err)
	}
}

// meet returns the names that were not met for long.
func (p *Poller) meet(names []string, at time.Time, soon bool) (news []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, name := range names {
		way, _, ok := Climb(name)
		if !ok || !p.room(way) {
			continue
		}
		for i, w := range way {
			n := p.add(w, now)
			if i == 0 && at.Sub(n.met) >= metAgain {
				news = append(news, name)
			}
			if at.After(n.met) {
				n.met = at
			}
			if soon && n.index >= 0 && now.Sub(n.looked) >= fresh {
				n.due = now
				heap.Fix(&p.queue, n.index)
			}
		}
	}
	p.nudge()
	return news
}

// room makes room for names, at the cost of those that were met longest ago.
func (p *Poller) room(names []string) bool {
	need := 0
	for _, name := range names {
		if p.nodes[name] == nil {
			need++
		}
	}
	if len(p.nodes)+need <= p.o.Limit {
		return true
	}
	var old []*node
	for _, n := range p.nodes {
		if !n.standing && n.asking == nil && !slices.Contains(names, n.name) {
			old = append(old, n)
		}
	}
	slices.SortFunc(old, func(a, b *node) int { return cmp.Or(a.met.Compare(b.met), cmp.Compare(a.name, b.name)) })
	// More than is needed, so that this is done seldom.
	for _, n := range old[:min(len(old), need+p.o.Limit/20)] {
		p.drop(n)
	}
	return len(p.nodes)+need <= p.o.Limit
}

func (p *Poller) add(name string, due time.Time) *node {
	n := p.nodes[name]
	if n == nil {
		n = &node{name: name, due: due}
		p.nodes[name] = n
		heap.Push(&p.queue, n)
	}
	return n
}

func (p *Poller) drop(n *node) {
	delete(p.nodes, n.name)
	if n.index >= 0 {
		heap.Remove(&p.queue, n.index)
	}
}

func (p *Poller) nudge() {
	select {
	case p.wake <- struct{}{}:
	default: // it looks anyway
	}
}

// Run looks at names until ctx is done.
func (p *Poller) Run(ctx context.Context) error {
	if met, err := p.o.Keeper.Met(ctx, p.o.Limit); err != nil {
		p.o.Logger.Warn("the CAA records of names met before are not looked at", "err", err)
	} else {
		for name, at := range met {
			p.meet([]string{name}, at, false)
		}
	}
	p.mu.Lock()
	p.base = ctx
	p.mu.Unlock()
	close(p.started)
	p.work.Go(func() {
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.flush(ctx)
			}
		}
	})
	for ctx.Err() == nil {
		n, wait := p.next()
		if n != nil {
			p.look(ctx, n)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.work.Wait()
	p.flush(context.WithoutCancel(ctx))
	return nil
}

// next takes the name that is due out of the queue, or says how long there is none.
func (p *Poller) next() (*node, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, p.o.Every
	}
	if wait := time.Until(p.queue[0].due); wait > 0 {
		return nil, wait
	}
	n := heap.Pop(&p.queue).(*node)
	n.asking = make(chan struct{})
	return n, 0
}

// look asks about a node that was taken out of the queue, in the background, when it is its turn.
func (p *Poller) look(ctx context.Context, n *node) {
	p.mu.Lock()
	p.turn = latest(p.turn, time.Now())
	wait := time.Until(p.turn)
	p.turn = p.turn.Add(p.o.Pause)
	p.mu.Unlock()
	if wait > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	select {
	case <-ctx.Done():
		p.done(n, nil)
		return
	case p.slots <- struct{}{}:
	}
	p.work.Go(func() {
		defer func() { <-p.slots }()
		a := p.o.Ask(ctx, n.name)
		if ctx.Err() != nil && !a.Known { // the end of the run is no failure of the server
			p.done(n, nil)
			return
		}
		if !p.record(ctx, n, a) {
			a.Known = false // try again soon
		}
		p.done(n, &a)
	})
}

// done puts a node back into the queue.
func (p *Poller) done(n *node, a *Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	next := p.o.Every - p.o.Every/6 + rand.N(p.o.Every/3+1)
	switch {
	case a == nil:
	case a.Known:
		n.failures, n.looked = 0, now
	default:
		n.looked = now
		next = min(next, firstRetry<<min(n.failures, 10))
		n.failures++
	}
	n.due = now.Add(next)
	close(n.asking)
	n.asking = nil
	heap.Push(&p.queue, n)
}

// record adds an answer to the history, and reports whether it could.
func (p *Poller) record(ctx context.Context, n *node, a Answer) bool {
	if !n.loaded {
		hs, err := p.o.Keeper.Load(ctx, []string{n.name})
		if err != nil {
			// Without what was before, a change could not be seen: the look counts for nothing.
			if ctx.Err() == nil {
				p.o.Logger.Error("the history of CAA records cannot be read", "name", n.name, "err", err)
			}
			return false
		}
		n.history, n.loaded = hs[n.name], true
	}
	// To the millisecond: that is how it is kept.
	st := Next(n.history, a, time.Now().UTC().Truncate(time.Millisecond), Gap(p.o.Every))
	f := Found{Name: n.name, Span: st.Span, Fresh: st.Fresh}
	if st.Changed && !st.Again {
		what, level := Changed(st.Before.Set, st.Span.Set)
		f.Change = &Change{Name: n.name, Before: st.Before, After: st.Span, What: what, Level: level}
	}
	if st.Fresh {
		n.history = append(n.history, st.Span)
		n.history = n.history[max(0, len(n.history)-keptSpans):]
	} else {
		for i := len(n.history) - 1; i >= 0; i-- {
			if s := &n.history[i]; s.Known == st.Span.Known && s.First.Equal(st.Span.First) {
				*s = st.Span
				break
			}
		}
	}
	p.mu.Lock()
	grown := slices.IndexFunc(p.pending, func(o Found) bool {
		return o.Name == f.Name && o.Span.Known == f.Span.Known && o.Span.First.Equal(f.Span.First)
	})
	if !f.Fresh && grown >= 0 {
		p.pending[grown].Span = f.Span
	} else {
		p.pending = append(p.pending, f)
	}
	p.mu.Unlock()
	if f.Fresh {
		p.flush(ctx)
	}
	return true
}

// flush saves what was found. What cannot be saved now is saved later.
func (p *Poller) flush(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock() // looks are short, and order matters
	if len(p.pending) == 0 {
		return
	}
	if err := p.o.Keeper.Save(ctx, p.pending); err != nil {
		if ctx.Err() == nil {
			p.o.Logger.Error("CAA records that were found cannot be kept now; trying again", "err", err)
		}
		return
	}
	p.pending = nil
}

// Look sees to it that the names have a history, and returns when they have, or ctx is done, or there is nobody to ask.
// What is asked goes on to be asked.
func (p *Poller) Look(ctx context.Context, names []string) {
	select {
	case <-p.started:
	case <-ctx.Done():
		return
	}
	var wait []<-chan struct{}
	for _, name := range names {
		way, _, _ := Climb(name)
		for _, w := range way {
			if c := p.lookNow(w); c != nil {
				wait = append(wait, c)
			}
		}
	}
	for _, c := range wait {
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}

// lookNow begins a look at a name that nobody has looked at in this run, and returns when that is over; nil for none.
func (p *Poller) lookNow(name string) <-chan struct{} {
	p.mu.Lock()
	n := p.nodes[name]
	if n == nil || p.ended || n.asking == nil && !n.looked.IsZero() {
		p.mu.Unlock()
		return nil
	}
	if n.asking != nil {
		defer p.mu.Unlock()
		return n.asking
	}
	heap.Remove(&p.queue, n.index)
	n.asking = make(chan struct{})
	base := p.base
	p.work.Go(func() { p.look(base, n) })
	defer p.mu.Unlock()
	return n.asking
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// queue is a heap of nodes by when they are due.
type queue []*node

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	n := x.(*node)
	n.index = len(*q)
	*q = append(*q, n)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	old := *q
	n := old[len(old)-1]
	*q = old[:len(old)-1]
	n.index = -1
	return n
}
