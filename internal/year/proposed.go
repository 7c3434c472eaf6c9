package year

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tocsin-ct/tocsin/internal/facts"
	lab "github.com/tocsin-ct/tocsin/internal/lab/year"
	"github.com/tocsin-ct/tocsin/internal/proposal"
	"github.com/tocsin-ct/tocsin/internal/proposal/source"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// evidence lays the organisation out in a folder as it lies on its machines (zone files, a directory of keys, the
// certificates of the last weeks) and gathers from there what a proposal is made of.
func evidence(_ context.Context, o *lab.Organisation, owners *facts.Owners, dir string) (proposal.Evidence, error) {
	e := proposal.Evidence{Now: lab.Begin, Owners: owners}
	if err := layOut(o, dir); err != nil {
		return e, err
	}
	var err error
	if e.Zones, err = source.Zones([]string{filepath.Join(dir, "zones")}, owners); err != nil {
		return e, err
	}
	seen := source.NewIssuances(owners)
	if e.Directories, err = source.Directories([]source.Place{{Path: filepath.Join(dir, "keys"), As: filepath.Join(dir, "keys")}}, seen); err != nil {
		return e, err
	}
	if err := source.Certificates([]string{filepath.Join(dir, "seen")}, seen); err != nil {
		return e, err
	}
	e.Issuances = seen.List()
	for _, p := range o.Networks {
		e.Items = append(e.Items, watch.Item{Text: p.String(), Prefix: p})
	}
	return e, nil
}

func layOut(o *lab.Organisation, dir string) error {
	write := func(name, text string) error {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(text), 0o600)
	}
	allowed := map[lab.Use][]string{lab.Own: {"letsencrypt.org", "pki.goog"}, lab.CDN: {"letsencrypt.org", "pki.goog", "ssl.com"}, lab.Ordered: {"digicert.com"}, lab.Parked: {""}, lab.Resolver: {"digicert.com"}}
	for _, z := range o.Zones {
		var b strings.Builder
		fmt.Fprintf(&b, "$ORIGIN %s.\n$TTL 3600\n@ IN SOA ns1.corp.example. %s.corp.example. 1 7200 3600 1209600 3600\n@ IN NS ns1.corp.example.\n", z.Name, z.Owner)
		for _, domain := range allowed[z.Use] {
			if domain == "" {
				domain = ";"
			}
			fmt.Fprintf(&b, "@ IN CAA 0 issue %q\n", domain)
		}
		if err := write(filepath.Join("zones", z.Name+".zone"), b.String()); err != nil {
			return err
		}
	}
	for name, key := range o.Keys {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := write(filepath.Join("keys", name), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))); err != nil {
			return err
		}
	}
	seen, own := bundles{prefix: "seen/", write: write}, bundles{prefix: "keys/acme/", write: write}
	for e, err := range o.Weeks().Events() {
		if err != nil {
			return err
		}
		switch c := e.Certificate; {
		case e.Kind == lab.Pushed: // where the hook has put it, beside its key
			err = own.add(c)
		case e.Kind == lab.Logged && !e.Final:
			err = seen.add(c)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(seen.close(), own.close())
}

// bundles are files with many certificates and their chains.
type bundles struct {
	prefix string
	write  func(name, text string) error
	n      int // files
	inside int // certificates of the file that is being written
	text   strings.Builder
	had    map[*lab.Certificate]bool
	chain  map[string]bool // what the file has of the chains
}

const perBundle = 100

func (b *bundles) add(c *lab.Certificate) error {
	if b.had == nil {
		b.had = map[*lab.Certificate]bool{}
	}
	if b.had[c] {
		return nil
	}
	b.had[c] = true
	der, err := c.Final()
	if err != nil {
		return err
	}
	if b.inside == 0 {
		b.chain = map[string]bool{}
	}
	for n, der := range append([][]byte{der}, c.Issued.FinalChain...) {
		if n > 0 && b.chain[string(der)] {
			continue
		}
		b.chain[string(der)] = true
		b.text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	if b.inside++; b.inside == perBundle {
		return b.close()
	}
	return nil
}

func (b *bundles) close() error {
	if b.inside == 0 {
		return nil
	}
	text := b.text.String()
	b.text.Reset()
	b.n++
	b.inside = 0
	return b.write(fmt.Sprintf("%s%04d.pem", b.prefix, b.n), text)
}
