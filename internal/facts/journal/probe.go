package journal

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// ProbeTime is how long one endpoint may take.
const ProbeTime = 10 * time.Second

// Prober asks endpoints for the certificate that they serve. What it sees is *observed*: it proves possession of the key
// by whoever answered, and that may be somebody in the path.
type Prober struct {
	// Dial connects; nil is the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Deadline is for the whole of one endpoint; 0 is [ProbeTime].
	Deadline time.Duration
}

// Probe connects to host:port and returns the hash of the key that is served there, as the peer has proven to hold it.
func (p *Prober) Probe(ctx context.Context, endpoint string) (spki [32]byte, err error) {
	deadline := p.Deadline
	if deadline <= 0 {
		deadline = ProbeTime
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		return spki, fmt.Errorf("probing %s: %w", endpoint, err)
	}
	dial := p.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	raw, err := dial(ctx, "tcp", endpoint)
	if err != nil {
		return spki, fmt.Errorf("probing %s: %w", endpoint, err)
	}
	defer raw.Close()
	conf := &tls.Config{
		// Nothing is sent, and nothing is believed but that the peer holds the key it shows.
		InsecureSkipVerify: true,
	}
	if net.ParseIP(host) == nil {
		conf.ServerName = host
	}
	c := tls.Client(raw, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		return spki, fmt.Errorf("probing %s: %w", endpoint, err)
	}
	certs := c.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return spki, fmt.Errorf("probing %s: no certificate is served", endpoint)
	}
	return sha256.Sum256(certs[0].RawSubjectPublicKeyInfo), nil
}
