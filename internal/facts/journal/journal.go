// Package journal knows what is ours: keys and certificates that our own ACME clients and servers keep in directories,
// certification requests, and what hooks push at the moment of issuance.
//
// It promises: a directory is read as its layout says, so that the account keys of ACME clients and the keys of CAs are
// never taken for keys of ours; a certificate is remembered as one issuance, the same one that its precertificate is in
// CT; and [Control] says when an issuance of ours should have been seen in CT and was not, which is how we learn that we
// are blind. Keys that [Prober] sees on our endpoints stay apart: whoever stands in the path can show us his own, so
// they lower no verdict.
//
// Trusted: the directories, and whoever may push; who can write there can make a certificate look expected. Not trusted:
// what an endpoint answers.
package journal

import (
	"bytes"
	"crypto/sha256"
	"sync"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
)

// Directory is a place where certificates of ours are kept.
type Directory struct {
	Path   string
	Layout Layout
}

// Found is one certificate of ours that was found in a file.
type Found struct {
	Issuance
	Source string
}

// Journal reads directories. Safe for concurrent use. A nil *Journal holds nothing.
type Journal struct {
	dirs []Directory
	keys *facts.Keys

	mu    sync.Mutex
	found []pending // certificates that nobody has taken yet
	cas   map[[32]byte]*cert.Certificate
}

type pending struct {
	der    []byte
	source string
}

// maxAuthorities bounds the CA certificates that are remembered, to find issuers in files beside the certificate.
const maxAuthorities = 1000

// Open reads the directories. What cannot be read is one of [Journal.Problems] and tried again at each [Journal.Reload].
func Open(dirs []Directory) *Journal {
	j := &Journal{dirs: dirs, cas: map[[32]byte]*cert.Certificate{}}
	var sources []facts.Directory
	for _, d := range dirs {
		sources = append(sources, facts.Directory{Path: d.Path, Skip: d.Layout.skip(d.Path)})
	}
	j.keys = facts.OpenDirectories(sources, j.read)
	return j
}

// read takes over what a file holds.
func (j *Journal) read(path string, c facts.Contents) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, der := range c.Authorities {
		if len(j.cas) < maxAuthorities {
			j.cas[sha256.Sum256(der)] = cert.Parse(der)
		}
	}
	for _, der := range c.Certificates {
		j.found = append(j.found, pending{der, path})
	}
}

// Reload reads what has changed. changed says whether the keys differ; certificates that came are given by
// [Journal.Take]. err joins the problems.
func (j *Journal) Reload() (changed bool, err error) {
	if j == nil {
		return false, nil
	}
	return j.keys.Reload()
}

// Keys are the keys that the directories hold now.
func (j *Journal) Keys() *facts.Keys {
	if j == nil {
		return nil
	}
	return j.keys
}

// Problems says what is wrong with the directories.
func (j *Journal) Problems() []facts.Problem {
	if j == nil {
		return nil
	}
	out := j.keys.Problems()
	for _, d := range j.dirs {
		out = append(out, d.Layout.problems(d.Path)...)
	}
	return out
}

// Take returns at most limit certificates that were found since the last call, each file's once. What is taken is
// forgotten here.
func (j *Journal) Take(limit int) (out []Found) {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	n := min(limit, len(j.found))
	for _, p := range j.found[:n] {
		out = append(out, Found{Issuance: readWith(p.der, j.issuers), Source: p.source})
	}
	j.found = append([]pending(nil), j.found[n:]...)
	return out
}

// issuers are the remembered CA certificates that may have issued c.
func (j *Journal) issuers(c *cert.Certificate) (chain [][]byte) {
	for _, ca := range j.cas {
		if bytes.Equal(ca.RawSubject, c.RawIssuer) || len(c.AuthorityKeyID) > 0 && bytes.Equal(ca.SubjectKeyID, c.AuthorityKeyID) {
			chain = append(chain, ca.Raw)
		}
	}
	return chain
}
