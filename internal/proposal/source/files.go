package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/bundle"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/facts/journal"
	"github.com/tocsin-ct/tocsin/internal/proposal"
	"github.com/tocsin-ct/tocsin/internal/store"
)

// maxZoneFile bounds one zone file, in bytes.
const maxZoneFile = 1 << 30

// Zones reads zone files, and all files below directories but hidden ones. The error joins what could not be read.
func Zones(paths []string, owners *facts.Owners) (zones []proposal.Zone, err error) {
	var errs []error
	one := func(path string) {
		z, err := zoneFile(path, owners)
		if err != nil {
			errs = append(errs, fmt.Errorf("zone file %w", err))
		}
		if z.Name != "" || z.Network.IsValid() {
			zones = append(zones, z)
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !info.IsDir() {
			one(path)
			continue
		}
		err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				errs = append(errs, err)
			case p != path && strings.HasPrefix(d.Name(), "."):
				if d.IsDir() {
					return fs.SkipDir
				}
			case d.Type().IsRegular() && !strings.HasSuffix(p, ".jnl"): // the journal of a server, not text
				one(p)
			}
			return nil
		})
		errs = append(errs, err)
	}
	return zones, errors.Join(errs...)
}

func zoneFile(path string, owners *facts.Owners) (proposal.Zone, error) {
	f, err := os.Open(path)
	if err != nil {
		return proposal.Zone{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > maxZoneFile {
		return proposal.Zone{}, fmt.Errorf("%s: larger than %d bytes", path, maxZoneFile)
	}
	return proposal.ReadZone(f, proposal.OriginOf(filepath.Base(path)), path, owners)
}

// authorities remembers the CA certificates of files: the chain of a certificate may lie in another one.
func (s *Issuances) authorities(path string) {
	_ = bundle.Read(path, func(it bundle.Item) error {
		if it.Entry == nil {
			s.cas.add(it.DER)
		}
		return nil
	})
}

// Place is a directory as the operator names it, and as the configuration is to name it.
type Place struct{ Path, As string }

// Directories reads directories of keys in the layouts that the journal knows. Their certificates are collected as well:
// the names in them are ours. The error joins what is wrong with them.
func Directories(places []Place, into *Issuances) (dirs []proposal.Directory, err error) {
	var errs []error
	for _, place := range places {
		if !utf8.ValidString(place.As) {
			errs = append(errs, fmt.Errorf("the path %q cannot be written into a configuration", place.Path))
			continue
		}
		if _, err := os.Stat(place.Path); err != nil {
			errs = append(errs, err)
			continue
		}
		j := journal.Open([]journal.Directory{{Path: place.Path, Layout: journal.Auto}})
		for _, p := range j.Problems() {
			errs = append(errs, errors.New(p.String()))
		}
		d := proposal.Directory{Path: place.As, Keys: map[[32]byte]bool{}}
		keys, _ := j.Keys().All()
		for _, k := range keys {
			d.Keys[k] = true
		}
		names := map[string]bool{}
		into.authorities(place.Path) // the journal told of what cannot be read
		for {
			found := j.Take(1000)
			if len(found) == 0 {
				break
			}
			for _, f := range found {
				c := cert.Parse(f.DER)
				into.add(one{bytes: f.DER, chain: into.cas.above(c)})
				for i := range c.Idents {
					if id := &c.Idents[i]; id.Where == cert.InDNS && id.Odd == "" && len(id.Name) > 0 {
						names[string(id.Name)] = true
					}
				}
			}
		}
		for name := range names {
			d.Names = append(d.Names, name)
		}
		slices.Sort(d.Names)
		dirs = append(dirs, d)
	}
	return dirs, errors.Join(errs...)
}

// Certificates collects those of files: PEM, DER, pages and tiles of logs, alone or below directories.
func Certificates(paths []string, into *Issuances) error {
	var errs []error
	for _, path := range paths {
		into.authorities(path) // the second reading says what is wrong
	}
	for _, path := range paths {
		errs = append(errs, bundle.Read(path, func(it bundle.Item) error {
			if e := it.Entry; e != nil {
				o := one{bytes: e.Cert, leafKey: e.IssuerKeyHash}
				precert, chain, err := e.PreCert, [][]byte(nil), error(nil)
				if len(e.Extra) > 0 {
					precert, chain, err = ctlog.ReadExtra(e.Precert, e.Extra)
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("%s #%d: the chain is damaged: %w", it.File, it.Index, err))
				}
				if o.chain = chain; len(precert) > 0 {
					o.chain = append([][]byte{precert}, chain...)
				}
				into.add(o)
				return nil
			}
			c := cert.Parse(it.DER)
			if it.Problem != "" || len(c.RawTBS) == 0 {
				errs = append(errs, fmt.Errorf("%s #%d is no certificate that can be read", it.File, it.Index))
				return nil
			}
			if !c.CA {
				into.add(one{bytes: it.DER, chain: into.cas.above(c)})
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// ledgerPage is how many issuances are read at a time.
const ledgerPage = 500

// Ledger collects all that a state file has filed, also while a daemon writes it.
func Ledger(ctx context.Context, path string, into *Issuances) error {
	s, err := store.OpenReadOnly(path, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	for at := int64(0); ; {
		list, next, err := s.Page(ctx, at, ledgerPage)
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			is := &list[i]
			o := one{id: is.ID, bytes: is.Cert, chain: is.Chain, seen: is.FirstSeen}
			if is.Precert {
				o.leafKey = is.IssuerKeyHash
			}
			into.add(o)
		}
		at = next
	}
}
