package main

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/egress"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/loglist"
)

// guard refuses what log lists lead to and outsiders may not send us to. What the operator wrote himself is his: logs by
// hand, lists as files, and URLs that name a private address.
type guard struct {
	off bool
	own map[[32]byte]bool
}

func guarding(cfg *config.Config, sources []lists.Source, add []loglist.Log) *guard {
	g := &guard{own: map[[32]byte]bool{}, off: cfg.Logs.AllowPrivate || slices.ContainsFunc(sources, func(s lists.Source) bool {
		return !loglist.Remote(s.Name) || egress.Named(s.Name)
	})}
	for _, l := range add {
		g.own[l.ID] = true
	}
	return g
}

// guard is that of the daemon, whose lists were opened.
func (c *watchCmd) guard(cfg *config.Config) *guard {
	sources, _ := listSources(cfg, c.Logs)
	add, _ := logsByHand(cfg)
	return guarding(cfg, sources, add)
}

// control is who is asked about the addresses of a log; nil for nobody.
func (g *guard) control(l loglist.Log) func(network, address string, c syscall.RawConn) error {
	if g.off || g.own[l.ID] {
		return nil
	}
	return func(network, address string, c syscall.RawConn) error {
		return hinted(egress.Control(network, address, c))
	}
}

// hinted says what to do in the words of a configuration.
func hinted(err error) error {
	var own *egress.PrivateError
	if !errors.As(err, &own) {
		return err
	}
	return &hintError{err: own, hint: "a list may not lead there; if it is yours: logs: {allow_private: true}"}
}

// client fetches lists; nil for the usual one.
func (g *guard) client(sources []lists.Source) *http.Client {
	for _, s := range sources {
		req, err := http.NewRequest(http.MethodGet, s.Name, nil)
		if err != nil {
			return nil
		}
		if proxy, err := http.ProxyFromEnvironment(req); proxy != nil || err != nil {
			return nil // the proxy connects, and may itself be private
		}
	}
	if g.off {
		return nil
	}
	d := &net.Dialer{Timeout: 15 * time.Second, Control: func(network, address string, c syscall.RawConn) error {
		return hinted(egress.Control(network, address, c))
	}}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.DialContext = nil, d.DialContext
	return &http.Client{Transport: t, Timeout: time.Minute, CheckRedirect: noDowngrade}
}

func noDowngrade(next *http.Request, via []*http.Request) error {
	if len(via) > 5 || via[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return errors.New("redirected to where it must not be")
	}
	return nil
}
