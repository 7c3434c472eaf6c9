package caa

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Reply is what one message of a server says about the records of a name.
type Reply struct {
	// Known says that it answers the question; Set and Via are then as in [Answer], and AD is the server's claim that it
	// validated the answer.
	Known bool
	Set   Set
	Via   []string
	AD    bool
	// Follow is where to ask next: the server knows the alias and not what stands there.
	Follow string
	// Truncated says that the whole answer needs TCP, NoEDNS that the server may understand the question without EDNS.
	Truncated, NoEDNS bool
	// Failed says that the server could not find out (SERVFAIL), Bogus that it says why: the answer did not validate.
	Failed, Bogus bool
	// Why says why there is no answer.
	Why string
}

// ReadReply reads the message of a server that was asked for the CAA records of name. Any bytes do; it is pure. The
// question must be ours, which ours says: what answers another one is no reply at all.
func ReadReply(message []byte, id uint16, name string) (r Reply, ours bool) {
	var m dns.Msg
	if err := m.Unpack(message); err != nil && !m.Truncated {
		if m.Id != id || !m.Response {
			return Reply{}, false
		}
		return Reply{Why: "the answer cannot be read"}, true
	}
	if m.Id != id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return Reply{}, false
	}
	if len(m.Question) == 0 && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		return Reply{NoEDNS: true, Why: "the server does not understand the question"}, true // some leave it away then
	}
	if len(m.Question) != 1 || m.Question[0].Qtype != dns.TypeCAA || m.Question[0].Qclass != dns.ClassINET || plain(m.Question[0].Name) != name {
		return Reply{}, false
	}
	switch {
	case m.Truncated:
		return Reply{Truncated: true, Why: "the answer is cut"}, true
	case m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented || m.Rcode == dns.RcodeBadVers:
		return Reply{NoEDNS: true, Why: "the server does not understand the question"}, true
	case m.Rcode == dns.RcodeServerFailure:
		return Reply{Failed: true, Bogus: saysBogus(&m), Why: "the server could not find out (SERVFAIL)"}, true
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return Reply{Why: "the server refuses to answer (" + rcode(m.Rcode) + ")"}, true
	case !m.RecursionAvailable && !m.Authoritative:
		// Without these, "nothing here" is a referral to others.
		return Reply{Why: "the server does not ask others (no recursion), and does not know itself"}, true
	}
	r.AD = m.AuthenticatedData
	end, why := chase(&m, name, &r)
	if why != "" {
		return Reply{Why: why}, true
	}
	var size int
	var records []Record
	for _, rr := range m.Answer {
		c, ok := rr.(*dns.CAA)
		if !ok || c.Hdr.Class != dns.ClassINET || plain(c.Hdr.Name) != end {
			continue
		}
		size += len(c.Tag) + len(c.Value)
		if len(records) == maxRecords || size > maxBytes {
			return Reply{Why: fmt.Sprintf("more than %d records, or %d bytes in them", maxRecords, maxBytes)}, true
		}
		records = append(records, Record{Flags: c.Flag, Tag: clean(c.Tag), Value: escape(c.Value)})
	}
	if len(records) == 0 && end != name && !m.RecursionAvailable {
		r.Follow = end
		return r, true
	}
	r.Known, r.Set = true, NewSet(records...)
	return r, true
}

// maxAliases bounds a chain of aliases.
const maxAliases = 8

// chase follows the aliases in an answer, which may come in any order, and returns where they end.
func chase(m *dns.Msg, name string, r *Reply) (end, why string) {
	alias := map[string]string{}
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET {
			from, to := plain(c.Hdr.Name), plain(c.Target)
			if other, twice := alias[from]; twice && other != to {
				return "", "a name is an alias for two others"
			}
			alias[from] = to
		}
	}
	end = name
	for {
		to, ok := alias[end]
		if !ok {
			return end, ""
		}
		if to == name || slices.Contains(r.Via, to) {
			return "", "aliases lead in a circle"
		}
		if len(r.Via) == maxAliases {
			return "", fmt.Sprintf("more than %d aliases", maxAliases)
		}
		r.Via = append(r.Via, to)
		end = to
	}
}

// saysBogus reports whether a server says that validation failed (RFC 8914).
func saysBogus(m *dns.Msg) bool {
	opt := m.IsEdns0()
	if opt == nil {
		return false
	}
	return slices.ContainsFunc(opt.Option, func(o dns.EDNS0) bool {
		e, ok := o.(*dns.EDNS0_EDE)
		return ok && e.InfoCode >= dns.ExtendedErrorCodeDNSBogus && e.InfoCode <= dns.ExtendedErrorCodeNSECMissing
	})
}

// plain is a name without the final dot, in lower case and plain ASCII.
func plain(name string) string { return strings.ToLower(clean(strings.TrimSuffix(name, "."))) }

// clean is a text of the wire as package dns gives it, which is escaped already, whatever becomes of that.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

func rcode(code int) string {
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprintf("code %d", code)
}
