package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-ct/tocsin/internal/watch"
)

// Journal says where certificates and keys of ours are kept.
type Journal struct {
	// Given is set when the section was written.
	Given       bool
	Directories []JournalDirectory
	// PositiveControl: each certificate that is journalled must be seen in CT.
	PositiveControl bool
	// Endpoints are host:port of servers of ours, to be probed; Probe is the time between two looks, 0 when not given.
	Endpoints []string
	Probe     time.Duration
}

// JournalDirectory is a directory with its layout.
type JournalDirectory struct {
	Path, Layout string
	Place        watch.Place
}

// API is where programs may announce issuances, beside the socket.
type API struct {
	// Listen is host:port, "" for nowhere. Remote is set when it may be reached from other machines.
	Listen string
	Remote bool
	// Cert and Key are files of the certificate with which it answers; "" for plain HTTP on loopback.
	Cert, Key string
}

type journalEntry struct {
	node
	Directories     []directoryEntry `yaml:"directories"`
	PositiveControl truth            `yaml:"positive_control"`
	Endpoints       []text           `yaml:"endpoints"`
	Probe           text             `yaml:"probe"`
}

type directoryEntry struct {
	node
	Path   text `yaml:"path"`
	Layout text `yaml:"layout"`
}

type apiEntry struct {
	node
	Listen      text  `yaml:"listen"`
	AllowRemote truth `yaml:"allow_remote"`
	CertFile    text  `yaml:"cert_file"`
	KeyFile     text  `yaml:"key_file"`
}

// Layouts are what a directory of the journal may have as its layout, the first by default.
var Layouts = []string{"auto", "plain", "certbot", "lego", "caddy", "acme.sh", "kubernetes"}

// Limits of journal and settle; docs/config.md says why.
const (
	minProbe, maxProbe    = time.Minute, 7 * 24 * time.Hour
	maxSettle             = 24 * time.Hour
	maxEndpoints          = 1000
	maxJournalDirectories = 100
)

func (k *checker) journal(e *journalEntry) {
	j := &k.c.Journal
	j.Given, j.PositiveControl = true, true
	if e.PositiveControl.Value != nil {
		j.PositiveControl = *e.PositiveControl.Value
	}
	if len(e.Written) == 0 {
		k.refuse(e.At, "journal without a directory", "write directories: [{path: /etc/letsencrypt}], or remove it: pushes need no section")
	}
	if e.has("directories") && len(e.Directories) == 0 || len(e.Directories) > maxJournalDirectories {
		k.refuse(e.Written["directories"], fmt.Sprintf("directories has %d entries, and 1 to %d are allowed", len(e.Directories), maxJournalDirectories), "name where certificates are kept, or remove the key")
	}
	seen := map[string]mark{}
	for i := range e.Directories {
		d := &e.Directories[i]
		if d.Path.Value == "" {
			k.refuse(d.At, "a directory without path", "write path: /etc/letsencrypt")
			continue
		}
		dir := JournalDirectory{Path: filepath.Clean(k.abs(d.Path.Value)), Layout: d.Layout.Value, Place: k.place(d.At)}
		if dir.Layout == "" {
			dir.Layout = Layouts[0]
		}
		if !slices.Contains(Layouts, dir.Layout) {
			hint := "known here: " + strings.Join(Layouts, ", ")
			if m := closest(dir.Layout, Layouts); m != "" {
				hint = fmt.Sprintf("did you mean %q?", m)
			}
			k.refuse(d.Layout.At, fmt.Sprintf("layout: %q is not known", dir.Layout), hint)
		}
		k.unique("directory", dir.Path, d.Path.At, seen)
		if info, err := os.Stat(dir.Path); err == nil && !info.IsDir() {
			k.refuse(d.Path.At, fmt.Sprintf("path: %s is a file", d.Path.Value), "name the directory; single files belong into keys of a watch")
		}
		j.Directories = append(j.Directories, dir)
	}
	if len(e.Endpoints) > maxEndpoints {
		k.refuse(e.Written["endpoints"], fmt.Sprintf("more than %d endpoints", maxEndpoints), "name those that matter")
	}
	for _, t := range e.Endpoints {
		at := t.Value
		if !strings.Contains(strings.TrimSuffix(at, "]"), ":") || strings.HasSuffix(at, "]") {
			at += ":443"
		}
		host, port, err := net.SplitHostPort(at)
		if _, bad := net.LookupPort("tcp", port); err != nil || bad != nil || host == "" || strings.ContainsAny(host, "/@ ") {
			k.refuse(t.At, fmt.Sprintf("endpoints: %q is not host:port", t.Value), `such as www.example.com:443 or "[2001:db8::1]:443"`)
			continue
		}
		j.Endpoints = append(j.Endpoints, at)
	}
	j.Probe = k.duration(e.Probe, "probe", minProbe, maxProbe)
	if e.has("probe") && len(e.Endpoints) == 0 {
		k.refuse(e.Probe.At, "probe without endpoints", "name endpoints: [www.example.com:443]")
	}
}

func (k *checker) api(e *apiEntry) {
	a := &k.c.API
	a.Listen = e.Listen.Value
	a.Remote = e.AllowRemote.Value != nil && *e.AllowRemote.Value
	if a.Listen == "" {
		k.refuse(e.At, "api without listen", `write listen: "127.0.0.1:8631", or remove it: the socket needs no section`)
		return
	}
	host, port, err := net.SplitHostPort(a.Listen)
	if _, bad := net.LookupPort("tcp", port); err != nil || bad != nil {
		k.refuse(e.Listen.At, fmt.Sprintf("listen: %q is not host:port", a.Listen), "such as 127.0.0.1:8631")
		return
	}
	if (e.CertFile.Value == "") != (e.KeyFile.Value == "") {
		k.refuse(e.At, "cert_file and key_file belong together", "name both, or none for plain HTTP on loopback")
		return
	}
	if e.CertFile.Value != "" {
		a.Cert, a.Key = k.abs(e.CertFile.Value), k.abs(e.KeyFile.Value)
	}
	ip, err := netip.ParseAddr(host)
	local := err == nil && ip.Unmap().IsLoopback() || host == "localhost"
	switch {
	case local:
	case !a.Remote:
		k.refuse(e.Listen.At, fmt.Sprintf("listen: %s can be reached from other machines", a.Listen), "listen on 127.0.0.1, or write allow_remote: true with cert_file and key_file")
	case a.Cert == "":
		k.refuse(e.AllowRemote.At, "allow_remote without a certificate: tokens would cross the network in the clear", "name cert_file and key_file")
	}
}

// settle is how long a surprise by name waits for the journal; nil when not given.
func (k *checker) settle(e *watchEntry) *time.Duration {
	t := e.Expect.Settle
	if t.Value == "" {
		return nil
	}
	var d time.Duration
	if zero, err := time.ParseDuration(t.Value); err != nil || zero != 0 {
		d = k.duration(t, "settle", 0, maxSettle)
	}
	switch {
	case len(e.Expect.Written) == 1:
		k.refuse(t.At, "settle is no condition: every certificate would be expected", "give expect issuers, keys or max_validity beside it")
	case d > 0 && e.Surprise.Value == "page":
		k.refuse(t.At, "settle with surprise: page: a page waits for nothing", "remove settle, or write surprise: alarm")
	case d > 0 && !e.has("names") && !e.has("names_file"):
		k.refuse(t.At, "settle on a watch of addresses alone: addresses wait for nothing", "remove settle")
	}
	return &d
}
