package caa

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// name server that answers as it is told, over UDP and TCP on one port.
type nameServer struct {
	addr string
	// udp and tcp answer one packed question with packed messages; nil for silence.
	mu       sync.Mutex
	udp, tcp func(q *dns.Msg) [][]byte
	asked    atomic.Int64
}

func (s *nameServer) answer(q []byte, tcp bool) [][]byte {
	var m dns.Msg
	if m.Unpack(q) != nil {
		return nil
	}
	s.asked.Add(1)
	s.mu.Lock()
	f := s.udp
	if tcp {
		f = s.tcp
	}
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(&m)
}

func serve(t *testing.T, udp, tcp func(q *dns.Msg) [][]byte) *nameServer {
	t.Helper()
	s := &nameServer{udp: udp, tcp: tcp}
	var l net.Listener
	var p net.PacketConn
	for try := 0; ; try++ { // a port that is free in both
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if p, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			break
		}
		l.Close()
		if try == 20 {
			t.Fatal(err)
		}
	}
	s.addr = l.Addr().String()
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); p.Close(); work.Wait() })
	work.Go(func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, b := range s.answer(buf[:n], false) {
				_, _ = p.WriteTo(b, from) // who asked may be gone
			}
		}
	})
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				var size [2]byte
				if _, err := io.ReadFull(c, size[:]); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, q); err != nil {
					return
				}
				for _, b := range s.answer(q, true) {
					_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
				}
			})
		}
	})
	return s
}

// reply makes the answer of a recursive server.
func reply(q *dns.Msg, change func(*dns.Msg), rrs ...string) *dns.Msg {
	m := &dns.Msg{}
	m.SetReply(q)
	m.RecursionAvailable = true
	for _, s := range rrs {
		rr, err := dns.NewRR(s)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if change != nil {
		change(m)
	}
	return m
}

func pack(m *dns.Msg) [][]byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return [][]byte{b}
}

func ask(t *testing.T, s *nameServer, deadline time.Duration) Answer {
	t.Helper()
	r, err := NewResolver([]string{s.addr}, deadline)
	if err != nil {
		t.Fatal(err)
	}
	return r.Ask(t.Context(), "example.com")
}

const ca1 = `example.com. 300 IN CAA 0 issue "ca1.example.net"`

func TestEachAnswerIsTakenForWhatItIs(t *testing.T) {
	t.Parallel()
	says := func(change func(*dns.Msg), rrs ...string) func(q *dns.Msg) [][]byte {
		return func(q *dns.Msg) [][]byte { return pack(reply(q, change, rrs...)) }
	}
	rcode := func(code int) func(q *dns.Msg) [][]byte { return says(func(m *dns.Msg) { m.Rcode = code }) }
	many := make([]string, maxRecords+1)
	for i := range many {
		many[i] = fmt.Sprintf(`example.com. 300 IN CAA 0 issue "ca%d.example.net"`, i)
	}
	circle := []string{"example.com. 300 IN CNAME a.example.net.", "a.example.net. 300 IN CNAME b.example.net.", "b.example.net. 300 IN CNAME a.example.net."}
	var long []string
	from := "example.com."
	for i := range maxAliases + 1 {
		to := fmt.Sprintf("a%d.example.net.", i)
		long = append(long, from+" 300 IN CNAME "+to)
		from = to
	}
	for _, c := range []struct {
		name     string
		udp, tcp func(q *dns.Msg) [][]byte
		want     string // the set and the aliases, or a part of why not
	}{
		{"records", says(nil, ca1), nil, `0 issue "ca1.example.net"`},
		{"records in any order, twice", says(nil, `example.com. 1 IN CAA 0 issuewild ";"`, ca1, `EXAMPLE.com. 9 IN CAA 0 ISSUE "ca1.example.net"`), nil, `0 issue "ca1.example.net"; 0 issuewild ";"`},
		{"none", says(nil), nil, "no records"},
		{"no such name", rcode(dns.RcodeNameError), nil, "no records"},
		{"an alias to records", says(nil, "example.com. 300 IN CNAME caa.example.net.", `caa.example.net. 300 IN CAA 0 issue "ca1.example.net"`), nil, `0 issue "ca1.example.net" via caa.example.net`},
		{"aliases in another order", says(nil, `b.example.net. 300 IN CAA 0 issue "ca1.example.net"`, "a.example.net. 300 IN CNAME b.example.net.", "example.com. 300 IN CNAME a.example.net."), nil, `0 issue "ca1.example.net" via a.example.net b.example.net`},
		{"an alias to a name without any", says(nil, "example.com. 300 IN CNAME caa.example.net."), nil, "no records via caa.example.net"},
		{"records of another name do not count", says(nil, `evil.example. 300 IN CAA 0 issue "evil.example"`), nil, "no records"},
		{"SERVFAIL", rcode(dns.RcodeServerFailure), nil, "could not find out (SERVFAIL)"},
		{"REFUSED", rcode(dns.RcodeRefused), nil, "refuses to answer (REFUSED)"},
		{"an unknown status", rcode(11), nil, "refuses to answer"},
		{"a referral is no answer", says(func(m *dns.Msg) { m.RecursionAvailable = false }), nil, "does not ask others"},
		{"aliases in a circle", says(nil, circle...), nil, "in a circle"},
		{"too many aliases", says(nil, long...), nil, "more than 8 aliases"},
		{"a name with two aliases", says(nil, "example.com. 300 IN CNAME a.example.net.", "example.com. 300 IN CNAME b.example.net."), nil, "an alias for two others"},
		{"too many records", func(q *dns.Msg) [][]byte { return pack(reply(q, func(m *dns.Msg) { m.Truncated = true })) }, says(nil, many...), "more than 128 records"},
		{"an answer that is too large", func(q *dns.Msg) [][]byte { return pack(reply(q, func(m *dns.Msg) { m.Truncated = true })) },
			says(func(m *dns.Msg) {
				for i := range 100 {
					m.Answer = append(m.Answer, &dns.CAA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeCAA, Class: dns.ClassINET}, Tag: "issue", Value: strings.Repeat("x", 200) + fmt.Sprint(i)})
				}
			}), "16384 bytes"},
		{"what does not fit comes over TCP", says(func(m *dns.Msg) { m.Truncated = true }), says(nil, ca1), `0 issue "ca1.example.net"`},
		{"what does not fit over TCP either", says(func(m *dns.Msg) { m.Truncated = true }), says(func(m *dns.Msg) { m.Truncated = true }), "the answer is cut"},
		{"nobody listens on TCP", says(func(m *dns.Msg) { m.Truncated = true }), nil, "ended before the answer"},
		{"bytes of a cut message", func(q *dns.Msg) [][]byte { b := pack(reply(q, nil, ca1))[0]; return [][]byte{b[:len(b)-3]} }, nil, "cannot be read"},
		{"garbage before the answer", func(q *dns.Msg) [][]byte {
			return append([][]byte{{}, {1}, []byte(strings.Repeat("x", 600))}, pack(reply(q, nil, ca1))...)
		}, nil, `0 issue "ca1.example.net"`},
		{"a guess with another id before the answer", func(q *dns.Msg) [][]byte {
			return append(pack(reply(q, func(m *dns.Msg) { m.Id++ }, `example.com. 300 IN CAA 0 issue "evil.example"`)), pack(reply(q, nil, ca1))...)
		}, nil, `0 issue "ca1.example.net"`},
		{"the answer to another question before ours", func(q *dns.Msg) [][]byte {
			return append(pack(reply(q, func(m *dns.Msg) { m.Question[0].Name = "evil.example." })), pack(reply(q, nil, ca1))...)
		}, nil, `0 issue "ca1.example.net"`},
		{"an answer of another type before ours", func(q *dns.Msg) [][]byte {
			return append(pack(reply(q, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT })), pack(reply(q, nil, ca1))...)
		}, nil, `0 issue "ca1.example.net"`},
		{"nothing but guesses", func(q *dns.Msg) [][]byte {
			var out [][]byte
			for range maxStrangers {
				out = append(out, pack(reply(q, func(m *dns.Msg) { m.Id++ }))...)
			}
			return out
		}, nil, "nothing but answers to other questions"},
		{"a server that does not know EDNS", func(q *dns.Msg) [][]byte {
			if q.IsEdns0() != nil {
				return pack(reply(q, func(m *dns.Msg) { m.Rcode = dns.RcodeFormatError; m.Question = nil }))
			}
			return pack(reply(q, nil, ca1))
		}, nil, `0 issue "ca1.example.net"`},
		{"a server that understands nothing", rcode(dns.RcodeFormatError), nil, "does not understand"},
		{"hostile bytes in a value", func(q *dns.Msg) [][]byte {
			return pack(reply(q, func(m *dns.Msg) {
				m.Answer = append(m.Answer, &dns.CAA{Hdr: dns.RR_Header{Name: "example.com.", Rrtype: dns.TypeCAA, Class: dns.ClassINET}, Tag: "issue", Value: "\x1b[2J\"\n"})
			}))
		}, nil, `0 issue "\027[2J\"\010"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := ask(t, serve(t, c.udp, c.tcp), time.Minute)
			said := a.Why
			if a.Known {
				said = a.Set.String()
				if len(a.Via) > 0 {
					said += " via " + strings.Join(a.Via, " ")
				}
			}
			partial := !a.Known && strings.Contains(said, c.want)
			if said != c.want && !partial {
				t.Errorf("%q, want %q", said, c.want)
			}
		})
	}
}

func TestAnAliasThatTheServerDoesNotFollowIsFollowed(t *testing.T) {
	t.Parallel()
	s := serve(t, func(q *dns.Msg) [][]byte {
		own := func(m *dns.Msg) { m.RecursionAvailable, m.Authoritative = false, true }
		switch q.Question[0].Name {
		case "example.com.":
			return pack(reply(q, own, "example.com. 300 IN CNAME caa.example.net."))
		case "caa.example.net.":
			return pack(reply(q, own, `caa.example.net. 300 IN CAA 0 issue "ca1.example.net"`))
		}
		return pack(reply(q, own))
	}, nil)
	a := ask(t, s, time.Minute)
	if !a.Known || a.Set.String() != `0 issue "ca1.example.net"` || !slices.Equal(a.Via, []string{"caa.example.net"}) {
		t.Errorf("%+v", a)
	}
	s = serve(t, func(q *dns.Msg) [][]byte { // without an end
		return pack(reply(q, func(m *dns.Msg) { m.RecursionAvailable, m.Authoritative = false, true },
			q.Question[0].Name+" 300 IN CNAME a."+q.Question[0].Name))
	}, nil)
	if a := ask(t, s, time.Minute); a.Known || !strings.Contains(a.Why, "more than 8 aliases") {
		t.Errorf("%+v", a)
	}
}

func TestTheDNSSECStatusIsBelievedOfThisMachineAlone(t *testing.T) {
	t.Parallel()
	root := func(q *dns.Msg) bool { return q.Question[0].Name == "." }
	ad := func(m *dns.Msg) { m.AuthenticatedData = true }
	extended := func(code uint16) func(m *dns.Msg) {
		return func(m *dns.Msg) {
			m.Rcode = dns.RcodeServerFailure
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code})
		}
	}
	for _, c := range []struct {
		name string
		says func(q *dns.Msg) [][]byte
		want string
	}{
		{"validated", func(q *dns.Msg) [][]byte { return pack(reply(q, ad, ca1)) }, Secure},
		{"not signed, and the server validates the root", func(q *dns.Msg) [][]byte {
			if root(q) {
				return pack(reply(q, ad))
			}
			return pack(reply(q, nil, ca1))
		}, Insecure},
		{"the server does not validate", func(q *dns.Msg) [][]byte { return pack(reply(q, nil, ca1)) }, Unknown},
		{"it does not say whether it validates", func(q *dns.Msg) [][]byte {
			if root(q) {
				return pack(reply(q, extended(dns.ExtendedErrorCodeOther)))
			}
			return pack(reply(q, nil, ca1))
		}, Unknown},
		{"it says that the answer is bogus", func(q *dns.Msg) [][]byte { return pack(reply(q, extended(dns.ExtendedErrorCodeSignatureExpired))) }, Bogus},
		{"it says nothing, but gives it unchecked", func(q *dns.Msg) [][]byte {
			if q.CheckingDisabled {
				return pack(reply(q, nil, ca1))
			}
			return pack(reply(q, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))
		}, Bogus},
		{"it cannot find out, unchecked either", func(q *dns.Msg) [][]byte {
			return pack(reply(q, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))
		}, Unknown},
		{"it cannot reach the servers of the zone", func(q *dns.Msg) [][]byte { return pack(reply(q, extended(dns.ExtendedErrorCodeNoReachableAuthority))) }, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.says, nil)
			a := ask(t, s, time.Minute)
			if a.DNSSEC != c.want || a.Claimed {
				t.Errorf("%+v", a)
			}
			if a.Known && c.want == Bogus {
				t.Error("what is bogus counts")
			}
			// The same server at an address that is not of this machine.
			r, err := NewResolver([]string{"192.0.2.53:53"}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			r.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, s.addr)
			}
			if a := r.Ask(t.Context(), "example.com"); a.Known && !a.Claimed {
				t.Errorf("from afar: %+v", a)
			}
		})
	}
}

func TestTheNextServerIsAskedWhenOneDoesNotAnswer(t *testing.T) {
	t.Parallel()
	good := serve(t, func(q *dns.Msg) [][]byte { return pack(reply(q, nil, ca1)) }, nil)
	refuses := serve(t, func(q *dns.Msg) [][]byte {
		return pack(reply(q, func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }))
	}, nil)
	silent := serve(t, nil, nil)
	for _, first := range []*nameServer{silent, refuses} {
		r, err := NewResolver([]string{first.addr, good.addr}, 4*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		// On a machine under load the good one may be late as well; it is asked in any case.
		a := r.Ask(t.Context(), "example.com")
		if !a.Known && !strings.Contains(a.Why, good.addr) || first.asked.Load() == 0 {
			t.Errorf("%+v", a)
		}
	}
}

func TestASilentServerIsAskedTwiceAndNotWaitedForLonger(t *testing.T) {
	t.Parallel()
	s := serve(t, nil, nil)
	a := ask(t, s, 300*time.Millisecond)
	if a.Known || !strings.Contains(a.Why, "no answer in time") || a.DNSSEC != Unknown {
		t.Errorf("%+v", a)
	}
	if n := s.asked.Load(); n > 2 {
		t.Errorf("asked %d times", n)
	}
	// The end of everything ends it at once: else this would last an hour.
	r, err := NewResolver([]string{s.addr}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	before := s.asked.Load()
	done := make(chan Answer)
	go func() { done <- r.Ask(ctx, "example.com") }()
	for s.asked.Load() == before {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if a := <-done; a.Known || !strings.Contains(a.Why, "interrupted") {
		t.Errorf("%+v", a)
	}
}

func TestResolversAreAddressesWithPorts(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{nil, {"127.0.0.1"}, {"localhost:53"}, {"127.0.0.1:53", "::1"}} {
		if _, err := NewResolver(bad, 0); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	r, err := NewResolver([]string{"[::1]:53"}, 0)
	if err != nil || r.Deadline() != DefaultDeadline {
		t.Errorf("%v, %v", r, err)
	}
}

func FuzzAnyBytesAreReadAsAReply(f *testing.F) {
	q := &dns.Msg{}
	q.SetQuestion("example.com.", dns.TypeCAA)
	q.Id = 7
	f.Add(pack(reply(q, nil, ca1))[0])
	f.Add(pack(reply(q, nil, "example.com. 300 IN CNAME a.example.net.", `a.example.net. 1 IN CAA 128 issue "x\000y"`))[0])
	f.Add(pack(reply(q, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure; m.SetEdns0(1232, true) }))[0])
	f.Add([]byte{0, 7, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ours := ReadReply(b, 7, "example.com")
		if !ours && (r.Known || r.Why != "" || r.Follow != "") {
			t.Fatalf("%+v of another's", r)
		}
		if r.Known && (r.Why != "" || r.Failed || r.Truncated || r.Follow != "") || ours && !r.Known && r.Why == "" && r.Follow == "" {
			t.Fatalf("%+v", r)
		}
		if len(r.Set) > maxRecords || len(r.Via) > maxAliases {
			t.Fatalf("%d records, %d aliases", len(r.Set), len(r.Via))
		}
		if s := r.Set.String() + strings.Join(r.Via, " ") + r.Why + r.Follow; strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Fatalf("%q is not plain", s)
		}
	})
}
