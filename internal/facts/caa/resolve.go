package caa

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DefaultDeadline is how long one question may take, with all that it needs.
const DefaultDeadline = 5 * time.Second

// payload is the size of answers that we take over UDP: what passes every network in one piece.
const payload = 1232

// maxStrangers bounds the messages to which we listen that are no reply to our question.
const maxStrangers = 64

// Resolver asks recursive DNS servers. It is safe for concurrent use.
type Resolver struct {
	servers  []server
	deadline time.Duration
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
}

// server is one recursive server.
type server struct {
	addr string
	near bool // on this machine: nobody stands between

	mu        sync.Mutex
	asked     bool // whether it validates
	validates bool
}

// NewResolver makes one of the addresses (host:port) of servers, which are asked in turn until one answers. deadline 0 is
// [DefaultDeadline].
func NewResolver(addrs []string, deadline time.Duration) (*Resolver, error) {
	if len(addrs) == 0 {
		return nil, errors.New("no DNS resolver is configured")
	}
	if deadline <= 0 {
		deadline = DefaultDeadline
	}
	r := &Resolver{deadline: deadline, dial: (&net.Dialer{}).DialContext, servers: make([]server, len(addrs))}
	for i, addr := range addrs {
		a, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, fmt.Errorf("%q is no address and port of a DNS resolver", addr)
		}
		r.servers[i].addr, r.servers[i].near = addr, a.Addr().Unmap().IsLoopback()
	}
	return r, nil
}

// Deadline is how long a question takes at most.
func (r *Resolver) Deadline() time.Duration { return r.deadline }

// Ask looks at the records of one name, not of those above it. It returns within the deadline, whatever servers do.
func (r *Resolver) Ask(ctx context.Context, name string) Answer {
	ctx, cancel := context.WithTimeout(ctx, r.deadline)
	defer cancel()
	until, _ := ctx.Deadline()
	var why []string
	bogus := false
	for i := range r.servers {
		// Each server has its share of the time that is left.
		share := time.Until(until) / time.Duration(len(r.servers)-i)
		one, cancel := context.WithTimeout(ctx, share)
		a := r.servers[i].ask(one, r.dial, name)
		cancel()
		if a.Known {
			return a
		}
		bogus = bogus || a.DNSSEC == Bogus
		why = append(why, fmt.Sprintf("%s: %s", r.servers[i].addr, a.Why))
		if ctx.Err() != nil {
			break
		}
	}
	status := Unknown
	if bogus {
		status = Bogus
	}
	return Answer{DNSSEC: status, Why: strings.Join(why, "; ")}
}

type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

func (s *server) ask(ctx context.Context, dial dialer, name string) Answer {
	a := Answer{Claimed: !s.near, DNSSEC: Secure}
	for next := name; ; {
		rep, err := s.question(ctx, dial, next, dns.TypeCAA, false)
		if err != nil {
			return Answer{DNSSEC: Unknown, Why: err.Error()}
		}
		if rep.Failed && !rep.Bogus {
			// It may not say why. What comes when it does not validate shows that it would have come.
			again, err := s.question(ctx, dial, next, dns.TypeCAA, true)
			rep.Bogus = err == nil && (again.Known || again.Follow != "")
		}
		if rep.Bogus {
			return Answer{DNSSEC: Bogus, Claimed: !s.near, Why: "the answer does not validate by DNSSEC (bogus)"}
		}
		if !rep.Known && rep.Follow == "" {
			return Answer{DNSSEC: Unknown, Why: rep.Why}
		}
		if !rep.AD {
			a.DNSSEC = Insecure
		}
		a.Via = append(a.Via, rep.Via...)
		if rep.Known {
			a.Known, a.Set = true, rep.Set
			break
		}
		if len(a.Via) > maxAliases {
			return Answer{DNSSEC: Unknown, Why: fmt.Sprintf("more than %d aliases", maxAliases)}
		}
		next = rep.Follow
	}
	if a.DNSSEC == Insecure && !s.validating(ctx, dial) {
		a.DNSSEC = Unknown
	}
	if a.DNSSEC == Secure {
		s.mu.Lock()
		s.asked, s.validates = true, true
		s.mu.Unlock()
	}
	return a
}

// validating finds out whether the server validates at all: one that does says so of the root. A server that does not
// would let us take a signed zone for one that is not.
func (s *server) validating(ctx context.Context, dial dialer) bool {
	s.mu.Lock()
	asked, validates := s.asked, s.validates
	s.mu.Unlock()
	if asked {
		return validates
	}
	rep, err := s.question(ctx, dial, "", dns.TypeCAA, false)
	if err != nil || !rep.Known {
		return false // ask again another time
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.validates = true, s.validates || rep.AD
	return s.validates
}

// question asks over UDP, and over TCP when the answer does not fit. unchecked is for what does not validate.
func (s *server) question(ctx context.Context, dial dialer, name string, qtype uint16, unchecked bool) (Reply, error) {
	edns := true
	for network := "udp"; ; {
		m := &dns.Msg{}
		m.SetQuestion(dns.Fqdn(name), qtype)
		m.Id = dns.Id()
		m.AuthenticatedData, m.CheckingDisabled = true, unchecked // RFC 6840 section 5.7: tell us whether it validated
		if edns {
			m.SetEdns0(payload, false)
		}
		b, err := m.Pack()
		if err != nil {
			return Reply{}, errors.New("the question cannot be written")
		}
		rep, err := exchange(ctx, dial, network, s.addr, b, m.Id, name)
		switch {
		case err != nil:
			return Reply{}, plainly(err)
		case rep.NoEDNS && edns:
			edns = false
		case rep.Truncated && network == "udp":
			network = "tcp"
		default:
			return rep, nil
		}
	}
}

// plainly says what went wrong without ports of ours, so that the same failure has the same words.
func plainly(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended before the answer")
	case errors.As(err, &op) && op.Err != nil:
		return op.Err
	}
	return err
}

// exchange sends one message and waits for its reply. Over UDP it is sent again when half of the time is over.
func exchange(ctx context.Context, dial dialer, network, addr string, b []byte, id uint16, name string) (Reply, error) {
	c, err := dial(ctx, network, addr)
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	until, bounded := ctx.Deadline()
	if !bounded {
		until = time.Now().Add(DefaultDeadline)
	}
	// A connection that was closed because the time is over has another error than the one that says so.
	done := func(err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	if network == "tcp" {
		_ = c.SetDeadline(until)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
			return Reply{}, done(err)
		}
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return Reply{}, done(err)
		}
		answer := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, answer); err != nil {
			return Reply{}, done(err)
		}
		rep, ours := ReadReply(answer, id, name)
		if !ours {
			return Reply{}, errors.New("the server answers another question")
		}
		return rep, nil
	}
	half := time.Now().Add(time.Until(until) / 2)
	buf := make([]byte, 4096)
	sent, strangers := 0, 0
	for {
		if sent == 0 || sent == 1 && !time.Now().Before(half) {
			if _, err := c.Write(b); err != nil {
				return Reply{}, done(err)
			}
			sent++
		}
		wait := until
		if sent == 1 {
			wait = half
		}
		_ = c.SetReadDeadline(wait)
		n, err := c.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) && sent == 1 && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return Reply{}, done(err)
		}
		if rep, ours := ReadReply(buf[:n], id, name); ours {
			return rep, nil
		}
		// Somebody guesses at us, or an old answer comes late: the true one may still come.
		if strangers++; strangers == maxStrangers {
			return Reply{}, errors.New("nothing but answers to other questions")
		}
	}
}
