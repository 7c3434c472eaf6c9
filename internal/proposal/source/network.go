package source

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/proposal"
)

// Times of one question to the network.
const (
	probeTime    = 10 * time.Second
	transferTime = 5 * time.Minute
	answerTime   = 30 * time.Second // between two messages of a transfer
)

// Probe asks an endpoint, host:port, for its certificate. It is collected; its key stays observed, since whoever stands
// in the path can show us his own.
func Probe(ctx context.Context, address string, into *Issuances) (proposal.Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	ep := proposal.Endpoint{Address: address}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ep, fmt.Errorf("endpoint %q is not host:port: %w", address, err)
	}
	conf := &tls.Config{InsecureSkipVerify: true} // nothing is sent, and nothing believed but that the peer holds the key
	if a, err := netip.ParseAddr(host); err == nil {
		ep.Addr = a.Unmap().WithZone("")
	} else {
		conf.ServerName = host
		if ep.Name, err = cert.Name(host); err != nil {
			return ep, fmt.Errorf("endpoint %q: %w", address, err)
		}
	}
	raw, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", address)
	if err != nil {
		return ep, fmt.Errorf("asking endpoint %s: %w", address, err)
	}
	defer raw.Close()
	served := raw.(*tls.Conn).ConnectionState().PeerCertificates
	if len(served) == 0 {
		return ep, fmt.Errorf("endpoint %s served no certificate", address)
	}
	o := one{bytes: served[0].Raw, observed: address}
	for _, above := range served[1:] {
		o.chain = append(o.chain, above.Raw)
	}
	ep.Key = into.add(o).Key
	return ep, nil
}

// Key is a TSIG key (RFC 8945).
type Key struct{ Name, Algorithm, Secret string }

var (
	keyName   = regexp.MustCompile(`(?m)\bkey\s+"?([^\s"{]+)"?\s*\{`)
	keyAlgo   = regexp.MustCompile(`\balgorithm\s+"?([A-Za-z0-9.-]+)"?\s*;`)
	keySecret = regexp.MustCompile(`\bsecret\s+"?([A-Za-z0-9+/=]+)"?\s*;`)
)

// ReadKey reads a TSIG key from a file as tsig-keygen writes it. Errors never hold what is in the file.
func ReadKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the TSIG key: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("reading the TSIG key: %w", err)
	}
	name, algo, secret := keyName.FindSubmatch(text), keyAlgo.FindSubmatch(text), keySecret.FindSubmatch(text)
	if name == nil || algo == nil || secret == nil {
		return nil, fmt.Errorf("%s holds no TSIG key: it is written key \"name\" { algorithm hmac-sha256; secret \"…\"; };", path)
	}
	if _, err := base64.StdEncoding.DecodeString(string(secret[1])); err != nil {
		return nil, fmt.Errorf("%s: the secret is not base64", path)
	}
	return &Key{Name: dns.Fqdn(strings.ToLower(string(name[1]))), Algorithm: dns.Fqdn(strings.ToLower(string(algo[1]))), Secret: string(secret[1])}, nil
}

// Transfer asks a server, host or host:port, for a whole zone (RFC 5936). With a key, each message of the answer must be
// signed by it.
func Transfer(ctx context.Context, server, zone string, key *Key, owners *facts.Owners) (proposal.Zone, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	z, err := transfer(ctx, server, zone, key, owners)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return proposal.Zone{}, fmt.Errorf("transfer of %s from %s: %w", zone, server, err)
	}
	return z, nil
}

func transfer(ctx context.Context, server, zone string, key *Key, owners *facts.Owners) (proposal.Zone, error) {
	tcp, err := (&net.Dialer{Timeout: probeTime}).DialContext(ctx, "tcp", server)
	if err != nil {
		return proposal.Zone{}, err
	}
	defer tcp.Close()
	defer context.AfterFunc(ctx, func() { tcp.Close() })()
	conn := &dns.Conn{Conn: tcp}
	m := new(dns.Msg)
	m.SetAxfr(dns.Fqdn(zone))
	mac, question := "", []byte(nil)
	if key != nil {
		m.SetTsig(key.Name, key.Algorithm, 300, time.Now().Unix())
		question, mac, err = dns.TsigGenerate(m, key.Secret, "", false)
	} else {
		question, err = m.Pack()
	}
	if err != nil {
		return proposal.Zone{}, err
	}
	if _, err := conn.Write(question); err != nil {
		return proposal.Zone{}, err
	}
	c := proposal.NewCollector(owners)
	records, apex := 0, ""
	for message := 0; ; message++ {
		if err := tcp.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
			return proposal.Zone{}, err
		}
		packed, err := conn.ReadMsgHeader(nil)
		if err != nil {
			return proposal.Zone{}, err
		}
		in := new(dns.Msg)
		if err := in.Unpack(packed); err != nil {
			return proposal.Zone{}, errors.New("an answer that cannot be read")
		}
		if in.Id != m.Id {
			return proposal.Zone{}, errors.New("an answer to another question")
		}
		if in.Rcode != dns.RcodeSuccess {
			return proposal.Zone{}, fmt.Errorf("the server answers %s", dns.RcodeToString[in.Rcode])
		}
		if key != nil {
			signed := in.IsTsig()
			if signed == nil {
				return proposal.Zone{}, errors.New("an answer that the key did not sign")
			}
			if err := dns.TsigVerify(packed, key.Secret, mac, message > 0); err != nil {
				return proposal.Zone{}, fmt.Errorf("an answer that the key did not sign: %w", err)
			}
			mac = signed.MAC
		}
		for _, rr := range in.Answer {
			soa, isSOA := rr.(*dns.SOA)
			switch {
			case records == 0 && !isSOA:
				return proposal.Zone{}, errors.New("an answer that does not begin with the SOA record")
			case records == 0:
				apex = soa.Hdr.Name
			case isSOA && strings.EqualFold(soa.Hdr.Name, apex):
				return c.Zone(zone)
			}
			records++
			if err := c.Add(rr); err != nil {
				return proposal.Zone{}, err
			}
		}
		if records == 0 {
			return proposal.Zone{}, errors.New("an empty answer")
		}
	}
}
