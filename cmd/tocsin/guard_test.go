package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/lists"
	"github.com/tocsin-ct/tocsin/loglist"
)

func TestAListFromTheNetworkLeadsToNoPrivateAddress(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer srv.Close()
	at := need(url.Parse(srv.URL))(t)
	log := loglist.Log{Kind: loglist.RFC6962, ID: [32]byte{1}, Description: "inside"}
	remote, inside := []lists.Source{{Name: "https://lists.example.com/list.json"}}, []lists.Source{{Name: srv.URL}}
	for name, row := range map[string]struct {
		cfg     config.Config
		sources []lists.Source
		add     []loglist.Log
		refused bool
	}{
		"a list from the network":                     {sources: remote, refused: true},
		"several lists from the network":              {sources: append(remote, remote...), refused: true},
		"allowed by the configuration":                {sources: remote, cfg: config.Config{Logs: config.Logs{AllowPrivate: true}}},
		"a list of this machine":                      {sources: []lists.Source{{Name: "/etc/list.json"}}},
		"a list whose URL names this machine":         {sources: inside},
		"a log that was described by hand":            {sources: remote, add: []loglist.Log{log}},
		"another log than the one described by hand":  {sources: remote, add: []loglist.Log{{ID: [32]byte{2}}}, refused: true},
		"no list at all, and a log that is not known": {refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := guarding(&row.cfg, row.sources, row.add)
			control := g.control(log)
			if refused := control != nil && control("tcp", at.Host, nil) != nil; refused != row.refused {
				t.Errorf("refused: %v", refused)
			}
			if control != nil && control("tcp", "8.8.8.8:443", nil) != nil {
				t.Error("a public address was refused")
			}
		})
	}
	// The client of lists refuses as it connects, by whatever name.
	c := guarding(&config.Config{}, remote, nil).client(remote)
	if c == nil {
		t.Skip("the environment names a proxy")
	}
	for _, to := range []string{srv.URL, "http://localhost:" + at.Port()} {
		if _, err := c.Get(to); err == nil || !strings.Contains(err.Error(), "an address of this machine") || !strings.Contains(hintOf(err), "allow_private") {
			t.Errorf("%s: error %v, hint %q", to, err, hintOf(err))
		}
	}
	if asked > 0 {
		t.Errorf("%d requests arrived", asked)
	}
}
