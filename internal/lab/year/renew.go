package year

import (
	"crypto"
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

const day = 24 * time.Hour

// Lifetimes: in the middle of the year those of ACME go from 90 to 47 days.
const (
	longLife, shortLife = 90 * day, 47 * day
	addressLife         = 160 * time.Hour
	orderedLife         = 199 * day
)

// life is for how long a certificate of the service that is made at that time is valid, and when the next one is made:
// after two thirds of it.
func (s *Service) life(at time.Time) (life, next time.Duration) {
	switch {
	case s.Zone == nil:
		life = addressLife
	case s.CA == digicert:
		life = orderedLife
	case at.Before(Begin.Add(Length / 2)):
		life = longLife
	default:
		life = shortLife
	}
	return life, life * 2 / 3
}

// Year draws the year of a seed. Of the services only one in every is renewed, so that a thin year is soon played; what
// nobody ordered is in it all the same. 0 and 1 stand for all.
func (o *Organisation) Year(seed uint64, every int) (*Year, error) {
	y := newYear(o, seed)
	y.moves()
	every = max(every, 1)
	for n, s := range o.Services {
		if n%every == int(seed)%every {
			y.renewals(s, Begin, Begin.Add(Length))
		}
	}
	y.forget()
	y.stagings(200/every, Begin, Length)
	if err := y.rogues(); err != nil {
		return nil, err
	}
	sort.Stable(y.plans)
	return y, nil
}

func newYear(o *Organisation, seed uint64) *Year {
	return &Year{Seed: seed, org: o, moved: map[*Service]string{}, slow: map[string]time.Duration{}}
}

// Weeks are those before the year, by which the organisation is known to whoever proposes a configuration: nothing in
// them is unusual. They are the same for all seeds.
func (o *Organisation) Weeks() *Year {
	y := newYear(o, 0)
	for _, s := range o.Services {
		r := y.rand("weeks/" + s.Name)
		_, next := s.life(Begin)
		at := Begin.Add(-Early).Add(time.Duration(r.Int64N(int64(min(next, Early)))))
		y.plan(at, func(y *Year) ([]Event, error) { return y.renew(s, at, 0) })
	}
	y.stagings(10, Begin.Add(-Early), Early)
	sort.Stable(y.plans)
	return y
}

// renewal is one that is planned.
type renewal struct {
	s  *Service
	n  int
	at time.Time
}

func (n *renewal) id() string { return fmt.Sprintf("%s/%d", n.s.Name, n.n) }

// moves draws which services go to another CA, and when: each is announced with the key.
func (y *Year) moves() {
	r := y.rand("moves")
	var may []*Service
	for _, s := range y.org.Services {
		if s.Announces {
			may = append(may, s)
		}
	}
	for _, n := range r.Perm(len(may))[:12] {
		y.moved[may[n]] = sectigo
	}
}

// moveFrom is when services move that do.
var moveFrom = Begin.Add(Length / 3)

// renewals plans the renewals of a service between two times.
func (y *Year) renewals(s *Service, from, to time.Time) {
	r := y.rand("renewals/" + s.Name)
	_, next := s.life(from)
	at := from.Add(time.Duration(r.Int64N(int64(next))))
	for n := 1; at.Before(to); n++ {
		when := at
		y.renewed = append(y.renewed, renewal{s, n, when})
		begins := when
		if y.moved[s] != "" && when.After(moveFrom) {
			begins = when.Add(-time.Hour) // with the announcement
		}
		y.plan(begins, func(y *Year) ([]Event, error) { return y.renew(s, when, n) })
		_, next = s.life(at)
		// Clients run once or twice a day, and not always at the first chance.
		at = at.Add(next + time.Duration(r.Int64N(int64(next/20)+1)))
	}
}

// authority is by whom a service is issued for at a time: CAs begin to use new intermediates during the year, and the CDN
// orders from a further CA in its last quarter.
func (y *Year) authority(s *Service, at time.Time, r *rand.Rand) *ca.Authority {
	word := s.CA
	switch {
	case y.moved[s] != "" && at.After(moveFrom):
		word = y.moved[s]
	case s.Custody == Foreign && at.After(Begin.Add(Length*3/4)) && r.IntN(3) == 0:
		word = sslcom
	}
	return y.issuing(word, at, r)
}

func (y *Year) issuing(word string, at time.Time, r *rand.Rand) *ca.Authority {
	c := y.org.CAs[word]
	n := c.Known
	if more := len(c.Issuing) - c.Known; more > 0 && at.After(Begin) {
		n += min(more, int(at.Sub(Begin)*time.Duration(more+1)/Length))
	}
	return c.Issuing[r.IntN(n)]
}

// renew makes one certificate of a service, and what follows from it.
func (y *Year) renew(s *Service, at time.Time, n int) ([]Event, error) {
	r := y.rand(fmt.Sprintf("renewal/%s/%d", s.Name, n))
	key, err := y.key(s, n, r)
	if err != nil {
		return nil, err
	}
	life, _ := s.life(at)
	c := &Certificate{What: s.what(), Service: s}
	by := y.authority(s, at, r)
	if c.Issued, err = issue(by, ca.Leaf{DNS: s.DNS, IPs: s.IPs, Key: key, From: at.Add(-time.Hour).Truncate(time.Second), For: life - time.Second}, r); err != nil {
		return nil, err
	}
	events := y.logged(c, at, r)
	if y.moved[s] != "" && at.After(moveFrom) {
		c.What = "a certificate of a service that has moved to another CA, as announced"
		hash, err := ca.KeyHash(key)
		if err != nil {
			return nil, err
		}
		events = append(events, Event{At: at.Add(-time.Duration(1+r.IntN(55)) * time.Minute), Kind: Announced, Announcement: &Announcement{
			Names: s.DNS, Issuer: y.org.CAs[y.moved[s]].Domain, Key: hash, For: 2 * time.Hour, Count: 1, Reason: "the service moves to another CA",
		}})
	}
	if s.Custody == Rotated {
		push, err := y.pushed(c, &renewal{s, n, at}, r)
		if err != nil {
			return nil, err
		}
		events = append(events, push)
	}
	return events, nil
}

func (s *Service) what() string {
	switch {
	case s.Resolver:
		return "a certificate of the resolver, with a key that is kept"
	case s.Zone == nil:
		return "a short-lived certificate for an address"
	case s.Custody == Foreign:
		return "a certificate of the CDN"
	case s.CA == digicert:
		return "a certificate that was ordered"
	case s.Custody == Kept:
		return "a renewal with a key that is kept"
	}
	return "a renewal with a new key"
}

// cdnKeys is how many keys the CDN has for us.
const cdnKeys = 400

func (y *Year) key(s *Service, n int, r *rand.Rand) (crypto.Signer, error) {
	switch s.Custody {
	case Kept:
		return s.key, nil
	case Foreign:
		return ca.NewKey(ca.P256, fmt.Sprintf("year/cdn/%d", r.IntN(cdnKeys)))
	}
	return ca.NewKey(ca.P256, fmt.Sprintf("year/%d/%s/%d", y.Seed, s.Name, n))
}

// logs are those in which certificates turn up.
var logs = []string{"log of one operator", "log of another operator", "log of a third operator"}

// logged are the entries of a certificate: the precertificate in two logs soon after it was made, and for some the final
// certificate as well, whose submitter takes his time.
func (y *Year) logged(c *Certificate, at time.Time, r *rand.Rand) (events []Event) {
	c.Logged = at
	for _, n := range r.Perm(len(logs))[:2] {
		if !c.FinalOnly {
			// Logs integrate within seconds or minutes, and are read as soon.
			events = append(events, Event{At: at.Add(time.Duration(3+r.IntN(120)) * time.Second), Kind: Logged, Certificate: c, Log: logs[n]})
		}
	}
	if c.FinalOnly || r.IntN(5) == 0 {
		events = append(events, Event{At: at.Add(time.Duration(1+r.IntN(240)) * time.Minute), Kind: Logged, Certificate: c, Log: logs[r.IntN(len(logs))], Final: true})
	}
	return events
}

// finish makes the final certificate, with SCTs of two logs.
func (c *Certificate) finish() error {
	if c.Issued.Final != nil {
		return nil
	}
	_, err := c.Issued.Finish([][]byte{sct(1, c.Logged), sct(2, c.Logged)})
	return err
}

// Final is the final certificate.
func (c *Certificate) Final() ([]byte, error) {
	err := c.finish()
	return c.Issued.Final, err
}

func sct(log byte, at time.Time) []byte {
	out := make([]byte, 1+32+8+2, 120)
	out[1] = log
	ms := at.UnixMilli()
	for i := range 8 {
		out[33+i] = byte(ms >> (56 - 8*i))
	}
	signature := ca.TLV(ca.TagSequence, ca.Integer(append([]byte{log}, make([]byte, 31)...)...), ca.Integer(append([]byte{log}, make([]byte, 31)...)...))
	out = append(out, 4, 3, byte(len(signature)>>8), byte(len(signature)))
	return append(out, signature...)
}

// pushed is the hook that tells of a certificate. It runs when the client has the certificate, which is after the
// precertificate was logged: mostly within minutes, where a fleet is slow within hours, and for those of [Year.forget]
// after longer than anybody waits.
func (y *Year) pushed(c *Certificate, of *renewal, r *rand.Rand) (Event, error) {
	e := Event{Kind: Pushed, Certificate: c, KeyOnly: r.IntN(4) != 0}
	late := time.Duration(5+r.IntN(175)) * time.Second
	switch n := r.IntN(100); {
	case y.slow[of.id()] > 0:
		late = y.slow[of.id()]
	case n == 0:
		late = time.Duration(15+r.IntN(200)) * time.Minute
	case n < 10:
		late = time.Duration(3+r.IntN(12)) * time.Minute
	}
	e.At = of.at.Add(late)
	if e.KeyOnly {
		return e, nil
	}
	return e, c.finish()
}

// forget draws the hooks that are not run for so long that it rings, two at most: a machine was down, and a later run
// tells of it.
func (y *Year) forget() {
	r := y.rand("forget")
	var may []renewal
	for _, n := range y.renewed {
		if n.s.Custody == Rotated {
			may = append(may, n)
		}
	}
	for range r.IntN(3) {
		n := may[r.IntN(len(may))]
		y.slow[n.id()] = 8*time.Hour + time.Duration(r.IntN(600))*time.Minute
	}
}

// stagings are certificates of a staging environment, for names and keys of ours, that turn up in logs.
func (y *Year) stagings(count int, from time.Time, length time.Duration) {
	r := y.rand("staging")
	var may []*Service
	for _, s := range y.org.Services {
		if s.Zone != nil && s.Zone.Use == Own && s.Custody == Kept {
			may = append(may, s)
		}
	}
	for n := range count {
		s := may[r.IntN(len(may))]
		at := from.Add(time.Duration(r.Int64N(int64(length))))
		y.plan(at, func(y *Year) ([]Event, error) { return y.stage(s, at, n) })
	}
}

func (y *Year) stage(s *Service, at time.Time, n int) (events []Event, err error) {
	r := y.rand(fmt.Sprintf("staging/%d", n))
	c := &Certificate{What: "a certificate of a staging environment", Service: s}
	c.Issued, err = issue(y.issuing(staging, at, r), ca.Leaf{DNS: s.DNS, Key: s.key, From: at.Add(-time.Hour).Truncate(time.Second), For: longLife - time.Second}, r)
	return y.logged(c, at, r), err
}
