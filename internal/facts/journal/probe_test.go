package journal_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/facts/journal"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l := need(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { l.Close() })
	return l
}

func TestAProbeSeesTheKeyThatIsServed(t *testing.T) {
	i, final := issue(t, issuing(t, "Careful"), "www", "www.example.com")
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{final}, PrivateKey: i.Key}}})
				_ = s.Handshake()
			}()
		}
	}()
	p := journal.Prober{Deadline: time.Minute}
	got, err := p.Probe(t.Context(), l.Addr().String())
	if err != nil || got != hashOf(t, i.Key) {
		t.Errorf("%x, %v", got, err)
	}
}

func TestAnEndpointThatSaysNothingCostsNoMoreThanItsDeadline(t *testing.T) {
	l := listen(t) // takes connections and is silent
	p := journal.Prober{Deadline: 50 * time.Millisecond}
	if _, err := p.Probe(t.Context(), l.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ended with %v", err)
	}
	if _, err := p.Probe(t.Context(), "no port"); err == nil {
		t.Error("an address without a port was taken")
	}
}
