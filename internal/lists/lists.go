// Package lists keeps the log lists of a running monitor: it fetches them again and again, decides whether an update is
// believed, and says which logs are to be read now.
//
// It promises: the last good copy of each list is kept beside the state and used while no better one is to be had. An
// update is refused, and the last good copy stays in force, when it is no list, when its signature is wrong or missing
// although a key is known, when it is older than what is in force, and when it loses too many logs at once: see [Judge].
// A log once listed is read to its last head, whatever a list says later: one that leaves is closed only when it was
// read to the newest head obtainable, after a grace ([Ending]). A log that is new is read from its first entry. All of
// this is told: each trouble once, and once when it is over.
//
// Trust: a list may be wrong, old or hostile, its publisher and the way to it likewise. Who controls it can add logs to
// read, and can hide logs that no other list has, slowly; he cannot make a log's contents believed, and not make what
// was listed before vanish at once. The file with the copies is trusted as the state is: who writes it can silence us.
package lists

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-ct/tocsin/loglist"
)

// Source is one publisher's list.
type Source struct {
	// Name is the URL or path.
	Name string
	// Key signs the list; nil when none is known. The signature is found at [loglist.SignaturePlace].
	Key crypto.PublicKey
	// Floor is used while there is nothing better; nil for none.
	Floor *loglist.List
}

// Options of [Open]. The zero value, and nil, are fine.
type Options struct {
	// Memory is the file for what must outlive the program; "" keeps nothing.
	Memory string
	// Add are logs that are followed whatever the lists say.
	Add []loglist.Log
	// Client is nil for one with a time limit, UserAgent "tocsin" when empty.
	Client    *http.Client
	UserAgent string
	// Patience is for how long a list may be out of reach before people are told; default 24 h.
	Patience time.Duration
	// Grace is how long a log that left is read on, at least; default 7 days.
	Grace  time.Duration
	Logger *slog.Logger // nil discards
}

// Defaults of [Options].
const (
	defaultPatience = 24 * time.Hour
	defaultGrace    = 7 * 24 * time.Hour
)

// Where a list in force came from.
const (
	FromSource   = "publisher" // fetched, or seen to be unchanged, since the start
	FromMemory   = "kept"      // the last good copy
	FromEmbedded = "embedded"  // part of the program
)

// Set is the lists of one monitor. Its methods may be called from several goroutines.
type Set struct {
	sources []Source
	opts    Options
	log     *slog.Logger
	began   time.Time

	refreshing sync.Mutex // one refresh at a time

	mu      sync.Mutex
	mem     *memory
	inForce map[string]*force // by name of the source
	joined  *loglist.List
	started bool // the first refresh is over
	owned   bool // the memory is ours to write
	problem error
	dropped []string
}

// force is a list in force.
type force struct {
	list *loglist.List
	from string
}

// Open reads the memory. A memory that cannot be read is set aside and reported as [Set.Problem]: what the publishers
// have now is then all there is.
func Open(sources []Source, opts *Options) (*Set, error) {
	s := &Set{sources: sources, began: time.Now(), inForce: map[string]*force{}, joined: &loglist.List{}}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Patience <= 0 {
		s.opts.Patience = defaultPatience
	}
	if s.opts.Grace <= 0 {
		s.opts.Grace = defaultGrace
	}
	if s.log = s.opts.Logger; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	seen := map[string]bool{}
	for _, src := range sources {
		if seen[src.Name] {
			return nil, fmt.Errorf("log list %s is named twice", src.Name)
		}
		seen[src.Name] = true
	}
	s.mem, s.problem = remember(s.opts.Memory, true)
	for _, src := range sources {
		m := s.mem.source(src.Name)
		if len(m.List) > 0 {
			l, err := check(m.List, m.Signature, src.Key)
			if err != nil {
				s.problem = errors.Join(s.problem, fmt.Errorf("the kept copy of log list %s is of no use: %w", src.Name, err))
			} else {
				s.inForce[src.Name] = &force{l, FromMemory}
			}
		}
		if f := s.inForce[src.Name]; src.Floor != nil && (f == nil || older(f.list, src.Floor)) {
			s.inForce[src.Name] = &force{src.Floor, FromEmbedded}
		}
	}
	s.dropped = s.mem.forget(sources)
	s.desired() // for what is joined
	return s, nil
}

// Problem is what was wrong with the memory, or nil.
func (s *Set) Problem() error { return s.problem }

// Dropped are the names of logs that are not read any more because their lists are no longer configured.
func (s *Set) Dropped() []string { return s.dropped }

// Own begins to write the memory. It is called once the state beside it is locked: before, another daemon may own it.
func (s *Set) Own() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owned = true
	return s.save()
}

// check is what every copy must pass, from wherever it comes.
func check(list, signature []byte, key crypto.PublicKey) (*loglist.List, error) {
	if key != nil {
		if len(signature) == 0 {
			return nil, errUnsigned
		}
		if err := loglist.CheckSignature(list, signature, key); err != nil {
			return nil, &refusedError{err.Error()}
		}
	}
	return loglist.Parse(list)
}

// refusedError is a verdict on an update, not an accident on the way to it.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

var errUnsigned = &refusedError{"it is not signed, although its publisher's key is known"}

func older(a, b *loglist.List) bool {
	return !a.Timestamp.IsZero() && a.Timestamp.Before(b.Timestamp)
}

// Refresh asks all publishers once, and brings up to date what is in force. The error joins what went wrong with each
// list; it is for the start. Later [Set.Events] and [Set.Status] say what people need to know.
func (s *Set) Refresh(ctx context.Context) error {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	got := make([]fetched, len(s.sources))
	var wg sync.WaitGroup
	for i, src := range s.sources {
		s.mu.Lock()
		m := *s.mem.source(src.Name)
		if in := s.inForce[src.Name]; in == nil || in.from == FromEmbedded {
			m.ETag, m.LastModified = "", "" // that the copy is unchanged would not help
		}
		s.mu.Unlock()
		wg.Go(func() { got[i] = s.fetch(ctx, src, m) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for i, src := range s.sources {
		if err := s.take(src, got[i]); err != nil {
			errs = append(errs, err)
		}
	}
	s.compare(time.Now())
	s.started = true
	return errors.Join(append(errs, s.save())...)
}

// Want is a log that is to be read now.
type Want struct {
	Log loglist.Log
	// Zero says to begin with the first entry, Since with those of that time, when the log was never read; else it is
	// for the operator to say.
	Zero  bool
	Since time.Time
	// Leaving says that the log is read to its end only.
	Leaving bool
}

// Wanted are the logs to be read now, in the order of the lists.
func (s *Set) Wanted() []Want {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Want
	for _, l := range s.mem.Logs {
		if l.Closed.IsZero() && !l.skip {
			out = append(out, Want{Log: l.Log, Zero: l.Zero, Since: l.Since, Leaving: !l.Leaving.IsZero()})
		}
	}
	return out
}

// Joined is the list that all lists in force make together, with its reports.
func (s *Set) Joined() *loglist.List {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joined
}

// Accept takes the losses of the refused update of a source as meant: an update that loses nothing more passes at the
// next refresh. It is an error when no update is refused for what it loses, and returns what was accepted.
func (s *Set) Accept(source string) (text string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mem.Sources[source]
	if m == nil || m.Offered == nil {
		return "", fmt.Errorf("no update of log list %s waits to be accepted", source)
	}
	m.Accepted, text = m.Offered, m.Offered.Text
	m.Offered = nil
	return text, s.save()
}

// Waiting are the sources with an update that was refused for what it loses.
func (s *Set) Waiting() (sources []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, src := range s.sources {
		if s.mem.source(src.Name).Offered != nil {
			sources = append(sources, src.Name)
		}
	}
	return sources
}

// AcceptOne is [Set.Accept] for the only source whose update waits to be accepted, when none is named.
func AcceptOne(s *Set, source string) (text string, err error) {
	waiting := s.Waiting()
	switch {
	case source != "":
	case len(waiting) == 1:
		source = waiting[0]
	case len(waiting) == 0:
		return "", errors.New("no update of a log list waits to be accepted")
	default:
		return "", fmt.Errorf("updates of %d log lists wait to be accepted: name one of them", len(waiting))
	}
	return s.Accept(source)
}

// MemoryPath is where the lists of the daemon that owns a state file are remembered: beside it.
func MemoryPath(state string) string { return state + ".lists" }

// Stored opens what the last daemon of a state file remembered, to look at it or to [Set.Accept], without asking anybody.
func Stored(state string) (*Set, error) {
	m, err := remember(MemoryPath(state), false)
	if err != nil {
		return nil, err
	}
	var sources []Source
	for _, name := range slices.Sorted(maps.Keys(m.Sources)) {
		sources = append(sources, Source{Name: name})
	}
	s, err := Open(sources, &Options{Memory: MemoryPath(state)})
	if err == nil {
		s.owned = true
	}
	return s, err
}
