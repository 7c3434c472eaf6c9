package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
)

// Issuance is one certificate of ours.
type Issuance struct {
	// ID is its identity in CT; zero where its issuer is not known. TBS is the same without the issuer, which any
	// precertificate or entry of it shares: see [Bare].
	ID, TBS             cert.ID
	SHA256, SPKI        [32]byte
	DER                 []byte
	Names               []string
	NotBefore, NotAfter time.Time
	SCTs                []Promise
}

// Promise is an SCT that a certificate carries, as it says; nobody verified it here.
type Promise struct {
	LogID [32]byte
	Time  time.Time
}

// Bare is the identity of an issuance without its issuer: of a certificate, of a precertificate as CT has it (its
// TBSCertificate), or of a final one. It is what a journal entry and a sighting share when the issuer is not at hand.
func Bare(tbs []byte) cert.ID { return cert.Identity(tbs, [32]byte{}) }

// Read reads a certificate of ours. chain holds what came with it, in any order; where it holds the issuer the identity
// is whole.
func Read(der []byte, chain [][]byte) (Issuance, error) {
	c := cert.Parse(der)
	switch {
	case len(c.RawTBS) == 0 || c.SPKI == [32]byte{} || c.Incomplete:
		return Issuance{}, errors.New("it cannot be read as a certificate")
	case c.Poison:
		return Issuance{}, errors.New("it is a precertificate: the journal holds certificates")
	case c.CA:
		return Issuance{}, errors.New("it is a CA certificate, which is never journalled")
	}
	return readWith(der, func(*cert.Certificate) [][]byte { return chain }), nil
}

func readWith(der []byte, issuers func(*cert.Certificate) [][]byte) Issuance {
	c := cert.Parse(der)
	is := Issuance{TBS: Bare(c.RawTBS), SHA256: sha256.Sum256(der), SPKI: c.SPKI, DER: der, Names: names(c), NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	var nobody *facts.Owners // who owns the issuing key does not matter here, only which one it is
	if by := nobody.Issuer(c, [32]byte{}, issuers(c)); by.Proven {
		is.ID = cert.Identity(c.RawTBS, by.SPKI)
	}
	for _, s := range c.SCTs {
		is.SCTs = append(is.SCTs, Promise{LogID: s.LogID, Time: s.Timestamp})
	}
	return is
}

// names are the names and addresses of a certificate, each once, at most 100.
func names(c *cert.Certificate) []string {
	out := []string{}
	seen := map[string]bool{}
	for i := range c.Idents {
		id := &c.Idents[i]
		text := string(id.Name)
		if id.Prefix.IsValid() {
			text = id.Prefix.String()
			if id.Prefix.IsSingleIP() {
				text = id.Prefix.Addr().String()
			}
		}
		if !seen[text] && len(out) < 100 && (id.Where == cert.InDNS || id.Where == cert.InIP || id.Where == cert.InCN) {
			seen[text] = true
			out = append(out, text)
		}
	}
	return out
}

// Entry is what the journal holds that concerns one certificate.
type Entry struct {
	// Certificate: it is a certificate, with this identity (zero where its issuer is not known). Otherwise it is a key.
	Certificate bool
	ID          cert.ID
	TBS         cert.ID
	SPKI        [32]byte
	Source      string
	At          time.Time
}

// Facts says what the journal knows of an issuance with this key and identity. An entry for another issuer's certificate
// with the same content does not count. This very issuance wins over its key, and the older entry over the younger.
func Facts(entries []Entry, spki [32]byte, id, tbs cert.ID) (f facts.Journal) {
	for _, e := range entries {
		switch {
		case e.Certificate:
			if e.TBS == (cert.ID{}) || e.TBS != tbs || e.ID != (cert.ID{}) && e.ID != id {
				continue
			}
		case e.SPKI != spki || spki == [32]byte{}:
			continue
		}
		if f.Known && (f.Certificate && !e.Certificate || f.Certificate == e.Certificate && !e.At.Before(f.At)) {
			continue
		}
		f = facts.Journal{Known: true, Certificate: e.Certificate, Source: e.Source, At: e.At}
	}
	return f
}

// Key reads the hash of a key: 64 hex digits, with or without "spki:" before them.
func Key(text string) ([32]byte, error) {
	if len(text) > 5 && text[:5] == "spki:" {
		text = text[5:]
	}
	spki, err := facts.ParseSPKI(text)
	if err == nil && spki == [32]byte{} {
		return spki, errors.New(hex.EncodeToString(spki[:]) + " is the hash of no key")
	}
	return spki, err
}
