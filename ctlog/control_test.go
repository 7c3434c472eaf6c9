package ctlog

import (
	"errors"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/tocsin-ct/tocsin/loglist"
)

func TestWhoIsAskedAboutAddressesMayRefuseThem(t *testing.T) {
	f := newFakeLog(t, loglist.Static, 10)
	srv := httptest.NewServer(f)
	defer srv.Close()
	refused := errors.New("not there")
	var asked []string
	opts := &Options{Control: func(_, address string, _ syscall.RawConn) error {
		asked = append(asked, address)
		return refused
	}}
	f.log.MonitoringURL = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) + "/"
	c, err := NewClient(f.log, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Head(t.Context()); !errors.Is(err, refused) {
		t.Errorf("error %v, want the refusal", err)
	}
	port := srv.Listener.Addr().String()
	port = port[strings.LastIndexByte(port, ':'):]
	if len(asked) == 0 || strings.Contains(strings.Join(asked, " "), "localhost") || !strings.HasSuffix(asked[0], port) {
		t.Errorf("asked about %q, want addresses as they are connected to", asked)
	}
	asked = nil
	f.log.Dial = srv.URL // the operator says where
	if c, err = NewClient(f.log, opts); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Head(t.Context()); errors.Is(err, refused) || len(asked) > 0 {
		t.Errorf("asked about %q, error %v", asked, err)
	}
}
