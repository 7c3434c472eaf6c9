package siege

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/app"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/fault"
	"github.com/tocsin-ct/tocsin/internal/lab/rfc6962"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/internal/lab/static"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
	"github.com/tocsin-ct/tocsin/loglist"
)

// Log is one log under siege.
type Log struct {
	// Listed is the log as a list would have it, Schedule what it does wrong.
	Listed   loglist.Log
	Schedule fault.Schedule

	seq     *sequence.Log
	handler http.Handler
	front   *fault.Front // of its operator; nil for none
	filled  int
	closed  atomic.Bool // nothing is submitted any more
}

// newLog makes a log with a few hundred entries, of the RFC 6962 kind when n is even.
func newLog(n int, stock *Stock, rnd *rand.Rand) (*Log, error) {
	key, err := ca.NewKey(ca.P256, fmt.Sprint("siege ", n))
	if err != nil {
		return nil, err
	}
	l := &Log{}
	host := fmt.Sprintf("log%d.lab.example", n)
	opts := sequence.Options{Merge: 10 * time.Second, Refresh: time.Minute}
	kind := loglist.RFC6962
	if n%2 == 0 {
		r, err := rfc6962.New(key, &rfc6962.Options{Options: opts})
		if err != nil {
			return nil, err
		}
		l.seq, l.handler = r.Log, r.Handler()
	} else {
		s, err := static.New(host, key, &static.Options{Options: opts, Grease: n%4 == 1})
		if err != nil {
			return nil, err
		}
		kind, l.seq, l.handler = loglist.Static, s.Log, s.Handler()
	}
	if l.Listed, err = loglist.FromKey(kind, "https://"+host+"/", "", l.seq.Key.SPKI, ""); err != nil {
		return nil, err
	}
	l.Listed.Description = fmt.Sprintf("log %d", n)
	l.Listed.MMD = time.Minute
	for range 200 + rnd.IntN(100) {
		l.fill(stock)
	}
	l.seq.Publish()
	return l, nil
}

// fill adds an entry that touches nothing.
func (l *Log) fill(stock *Stock) {
	e := *stock.Silent[l.filled%len(stock.Silent)]
	e.Cert = fmt.Appendf(nil, "%s%d", e.Cert, l.filled) // bytes behind a certificate: another entry each time
	l.filled++
	l.seq.Add(&e)
}

// forks reports whether the schedule shows a second tree: what was verified of it contradicts the log for ever.
func (l *Log) forks() bool { return strings.Contains(l.Schedule.String(), "fork=") }

// lies reports whether the schedule has any fault that accuses.
func (l *Log) lies() bool {
	for _, step := range l.Schedule {
		if len(excuses(step)) > 0 {
			return true
		}
	}
	return false
}

// Stock is what is submitted: certificates for example.com by a CA that nobody chose, and others that touch nothing.
type Stock struct {
	Ringing []Ringing
	Silent  []*entry.Entry
}

// Ringing is one issuance that rings.
type Ringing struct {
	id    [32]byte
	entry *entry.Entry
}

// NewStock issues so many certificates of each sort. Their dates fit a bubble of testing/synctest, which begins with
// the year 2000.
func NewStock(ringing, silent int) (*Stock, error) {
	from := time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC)
	root, err := ca.NewRoot("Unchosen Root CA", &ca.Options{From: from, Seed: "siege root"})
	if err != nil {
		return nil, err
	}
	issuing, err := root.NewIntermediate("Unchosen CA 1", &ca.Options{From: from, Seed: "siege ca"})
	if err != nil {
		return nil, err
	}
	s := &Stock{}
	for n := range ringing + silent {
		name := fmt.Sprintf("host%d.example.com", n)
		if n >= ringing {
			name = fmt.Sprintf("host%d.neighbour.example", n)
		}
		i, err := issuing.Issue(ca.Leaf{DNS: []string{name}, From: from.Add(24 * time.Hour)})
		if err != nil {
			return nil, err
		}
		if n >= ringing {
			if _, err := i.Finish(nil); err != nil {
				return nil, err
			}
			e, err := entry.Raw(i.Final, i.FinalChain)
			if err != nil {
				return nil, err
			}
			s.Silent = append(s.Silent, e)
			continue
		}
		e, err := entry.Precertificate(i.Precert, i.Chain)
		if err != nil {
			return nil, err
		}
		s.Ringing = append(s.Ringing, Ringing{cert.Identity(i.TBS, i.IssuerKeyHash()), e})
	}
	return s, nil
}

// guard watches example.com and expects nothing.
func guard() (*app.Stations, error) {
	item, err := watch.ParseItem("example.com", watch.Place{Line: 1})
	if err != nil {
		return nil, err
	}
	watches := []watch.Watch{{Name: "siege", Items: []watch.Item{item}}}
	rules, err := policy.Compile([]policy.Watch{{Name: "siege", Items: watches[0].Items, Surprise: policy.Alarm}}, nil)
	if err != nil {
		return nil, err
	}
	return &app.Stations{Watches: watches, Matcher: watch.New(watches), Rules: rules}, nil
}
