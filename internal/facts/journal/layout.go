package journal

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

// Layout is how an ACME client or orchestrator keeps certificates in a directory.
type Layout string

// The layouts.
const (
	Auto       Layout = "auto"       // told by what the directory holds, at each reading
	Plain      Layout = "plain"      // everything in it is ours
	Certbot    Layout = "certbot"    // /etc/letsencrypt
	Lego       Layout = "lego"       // what --path names
	Caddy      Layout = "caddy"      // Caddy's storage
	ACMESh     Layout = "acme.sh"    // ~/.acme.sh
	Kubernetes Layout = "kubernetes" // mounted secrets
)

// Layouts are all, as people write them.
func Layouts() []string {
	return []string{string(Auto), string(Plain), string(Certbot), string(Lego), string(Caddy), string(ACMESh), string(Kubernetes)}
}

// strangers are, for each layout, what lies in the directory and is no certificate or key of a server: the keys of ACME
// accounts and of private CAs before all, then programs and notes. A pattern with a slash at its end is a directory at the
// top; others are files at any depth.
var strangers = map[Layout][]string{
	Certbot: {"accounts/", "renewal/", "renewal-hooks/", "cli.ini", "README"},
	Lego:    {"accounts/", "*.json"},
	Caddy:   {"acme/", "pki/", "locks/", "ocsp/", "last_clean.json", "instance.uuid", "*.json"},
	ACMESh: {"ca/", "dnsapi/", "deploy/", "notify/", "acme.sh", "acme.sh.env", "acme.sh.csh", "acme.sh.csh.env", "account.conf",
		"http.header", "account.key", "*.conf", "*.log"},
	Kubernetes: {"ca.crt", "namespace", "token"},
}

// skip leaves out the strangers of a layout below root.
func (l Layout) skip(root string) func() facts.Skip {
	return func() facts.Skip {
		layout := l
		if l == Auto || l == "" {
			layout = Detect(root)
		}
		return func(rel string, dir bool) bool {
			return slices.ContainsFunc(strangers[layout], func(pattern string) bool { return stranger(pattern, rel, dir) })
		}
	}
}

func stranger(pattern, rel string, dir bool) bool {
	if top, ok := strings.CutSuffix(pattern, "/"); ok {
		return rel == top && dir
	}
	ok, _ := path.Match(pattern, path.Base(rel))
	return ok && !dir
}

// Detect tells the layout of a directory by what stands in it; Plain when nothing speaks for any.
func Detect(root string) Layout {
	has := func(names ...string) bool {
		for _, name := range names {
			if _, err := os.Lstat(filepath.Join(root, name)); err != nil {
				return false
			}
		}
		return true
	}
	switch {
	case has("live", "renewal"), has("archive", "renewal"), has("accounts", "renewal-hooks"):
		return Certbot
	case has("certificates", "acme"), has("certificates", "pki"), has("instance.uuid"), has("last_clean.json"):
		return Caddy
	case has("accounts", "certificates"), has("accounts") && accountsOfLego(root):
		return Lego
	case has("account.conf"), has("acme.sh"):
		return ACMESh
	case has("..data"):
		return Kubernetes
	case has("accounts", "archive"), has("accounts", "live"):
		return Certbot
	}
	return Plain
}

// accountsOfLego tells lego's accounts/SERVER/MAIL/account.json before it has a certificate.
func accountsOfLego(root string) bool {
	found, _ := filepath.Glob(filepath.Join(root, "accounts", "*", "*", "account.json"))
	return len(found) > 0
}

// problems are what a layout keeps where we do not look.
func (l Layout) problems(root string) (out []facts.Problem) {
	if l == Auto || l == "" {
		l = Detect(root)
	}
	if l != Certbot {
		return nil
	}
	for _, conf := range lineages(root) {
		for _, at := range conf.elsewhere(root) {
			out = append(out, facts.Problem{Entry: "file:" + root, File: conf.path, Text: fmt.Sprintf(
				"keeps its certificates in %s, which is not below %s: name that directory in journal.directories as well", at, root)})
		}
	}
	return out
}

// lineage is a file renewal/NAME.conf of certbot.
type lineage struct {
	path   string
	places []string
}

func lineages(root string) (out []lineage) {
	found, _ := filepath.Glob(filepath.Join(root, "renewal", "*.conf"))
	for _, p := range found {
		text, err := os.ReadFile(p)
		if err != nil || len(text) > 1<<20 {
			continue
		}
		l := lineage{path: p}
		for line := range strings.Lines(string(text)) {
			key, value, ok := strings.Cut(line, "=")
			if strings.HasPrefix(strings.TrimSpace(line), "[") {
				break // what follows are options, no places
			}
			switch strings.TrimSpace(key) {
			case "archive_dir", "cert", "privkey", "chain", "fullchain":
				if ok {
					l.places = append(l.places, strings.TrimSpace(value))
				}
			}
		}
		out = append(out, l)
	}
	return out
}

// elsewhere are directories that a lineage uses outside of root.
func (l lineage) elsewhere(root string) (out []string) {
	for _, p := range l.places {
		if !filepath.IsAbs(p) {
			continue
		}
		if rel, err := filepath.Rel(root, p); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			continue
		}
		dir := filepath.Dir(p)
		if filepath.Ext(p) == "" {
			dir = p
		}
		if !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out
}
