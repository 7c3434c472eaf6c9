package cert

import (
	"bytes"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	watchedV4 = netip.MustParseAddr("192.0.2.77")
	watchedV6 = netip.MustParseAddr("2001:db8::77")
)

// namesWatched reports whether an identity names what the constructed certificates are built around.
func namesWatched(id Ident) bool {
	if id.Prefix.IsValid() {
		return id.Prefix.Contains(watchedV4) || id.Prefix.Contains(watchedV6)
	}
	name := string(id.Name)
	return name == "watched.example" || strings.HasSuffix(name, ".watched.example") || couldServe(name, "watched.example")
}

// couldServe reports whether a wildcard name stands for a name at or above the watched one.
func couldServe(pattern, name string) bool {
	if pattern == "*" {
		return true
	}
	parent, ok := strings.CutPrefix(pattern, "*.")
	if ok && strings.HasSuffix(name, "."+parent) {
		return true
	}
	return strings.HasPrefix(pattern, "*") && strings.HasSuffix(name, pattern[1:])
}

// notRead are the alternative cases that are left alone, with the reason.
var notRead = map[string]string{
	"dns-ip/v4-nip":   "a plain DNS name; what it resolves to is the business of that domain",
	"dns-ip/v4-sslip": "a plain DNS name; what it resolves to is the business of that domain",
}

// holdsNothing are the strict cases in whose bytes the watched name is nowhere, so that all one can do is say so.
var holdsNothing = map[string]string{
	"der/truncated-half": "the cut is before the extensions",
	"der/pem-text":       "the PEM text holds an empty SEQUENCE",
}

func TestConstructedCertificatesAreReadAsTheirTargetSays(t *testing.T) {
	counts := map[string]int{}
	for _, name := range []string{"hostile/hostile", "ip/ip"} {
		f := readCorpus(t, name)
		for i, row := range f.Rows {
			if row["kind"] != "constructed" {
				continue
			}
			target, path := row["target"], row["path"]
			c := Parse(f.Certs[i])
			found := slices.ContainsFunc(c.Idents, namesWatched)
			counts[target]++
			switch target {
			case "strict":
				if why, ok := holdsNothing[path]; ok {
					if found || bytesName(f.Certs[i]) {
						t.Errorf("%s holds the watched name after all: %s", path, why)
					}
					if !c.Incomplete {
						t.Errorf("%s is not Incomplete, so that nobody would search or keep its bytes", path)
					}
				} else if !found {
					t.Errorf("%s (%s) is not read: %v", path, row["note"], texts(c.Idents))
				}
			case "none":
				if found {
					t.Errorf("%s (%s) is read, but must not be: %v", path, row["note"], texts(c.Idents))
				}
				if c.Incomplete && bytesName(f.Certs[i]) {
					t.Errorf("%s (%s) is incomplete, so that the search of its bytes would report it: %v", path, row["note"], c.Oddities)
				}
			case "alt":
				why, left := notRead[path]
				if !found && !left {
					t.Errorf("%s (%s) is neither read nor left alone with a reason: %v", path, row["note"], texts(c.Idents))
				}
				if found && left {
					t.Errorf("%s is read, though the table says: %s", path, why)
				}
				if found && len(c.Oddities) == 0 && (strings.HasPrefix(path, "dns") || strings.HasPrefix(path, "ip/") || strings.HasPrefix(path, "san/")) {
					t.Errorf("%s (%s) is read without an oddity", path, row["note"])
				}
			default:
				t.Errorf("%s has the unknown target %q", path, target)
			}
		}
	}
	if counts["strict"] < 300 || counts["none"] < 45 || counts["alt"] < 100 {
		t.Errorf("only %v constructed certificates were there", counts)
	}
}

// bytesName is a rough search of raw bytes, such as callers do with what is Incomplete.
func bytesName(b []byte) bool {
	return bytes.Contains(b, []byte("192.0.2.77")) || bytes.Contains(b, []byte("watched.example")) ||
		bytes.Contains(b, append([]byte{0x87, 4}, watchedV4.AsSlice()...)) || bytes.Contains(b, append([]byte{0x87, 16}, watchedV6.AsSlice()...))
}

func texts(ids []Ident) (l []string) {
	for _, id := range ids[:min(len(ids), 20)] {
		l = append(l, id.text())
	}
	return l
}

func (id Ident) text() string {
	v := string(id.Name)
	if id.Prefix.IsValid() {
		v = id.Prefix.String()
	}
	return id.Where.String() + " " + v + " [" + id.Odd + "]"
}

func TestNamesAndAddressesAgreeWithX509WhereverThatAcceptsTheCertificate(t *testing.T) {
	accepted, lost := 0, 0
	for _, name := range corpusNames {
		f := readCorpus(t, name)
		var s Scan
		for i, der := range f.Certs {
			row := f.Rows[i]
			c := Parse(der)
			s.Certificate(der)
			if !sameIdents(s.Idents, c.Idents) || s.Incomplete != c.Incomplete {
				t.Errorf("%s %s: Scan and Parse differ", name, row["sha256"])
			}
			standard, err := x509.ParseCertificate(der)
			if err != nil {
				continue
			}
			accepted++
			ours := make([]string, 0, len(c.IPs))
			for _, ip := range c.IPs {
				ours = append(ours, string(ip))
			}
			theirs := make([]string, 0, len(standard.IPAddresses))
			for _, ip := range standard.IPAddresses {
				theirs = append(theirs, string(ip))
			}
			same := slices.Equal(c.DNSNames, standard.DNSNames) && slices.Equal(ours, theirs)
			if strings.HasPrefix(row["go_name_check"], "count") {
				lost++
				if same {
					t.Errorf("%s %s: crypto/x509 loses names here (%s), and so do we", name, row["sha256"], row["go_name_check"])
				}
				continue
			}
			if !same && (c.has("san-second-sequence") || c.has("san-form")) {
				// Names after the SEQUENCE, which crypto/x509 passes over: nothing may be missing before them.
				same = len(c.DNSNames) >= len(standard.DNSNames) && slices.Equal(c.DNSNames[:len(standard.DNSNames)], standard.DNSNames) &&
					len(ours) >= len(theirs) && slices.Equal(ours[:len(theirs)], theirs)
			}
			if !same {
				t.Errorf("%s %s %s: names differ from crypto/x509:\n%s", name, row["path"], row["sha256"], cmp.Diff(c.DNSNames, standard.DNSNames)+cmp.Diff(ours, theirs))
			}
			if !bytes.Equal(c.RawTBS, standard.RawTBSCertificate) || !bytes.Equal(c.RawIssuer, standard.RawIssuer) ||
				!bytes.Equal(c.RawSubject, standard.RawSubject) || !bytes.Equal(c.RawSPKI, standard.RawSubjectPublicKeyInfo) {
				t.Errorf("%s %s: raw parts differ from crypto/x509", name, row["sha256"])
			}
			if !c.NotBefore.Equal(standard.NotBefore) || !c.NotAfter.Equal(standard.NotAfter) {
				t.Errorf("%s %s: validity %v to %v, crypto/x509 says %v to %v", name, row["sha256"], c.NotBefore, c.NotAfter, standard.NotBefore, standard.NotAfter)
			}
			if c.has("version-extensions") || c.has("field-unknown") {
				continue // crypto/x509 reads no extensions here
			}
			if c.Version != standard.Version || c.CA != standard.IsCA || len(c.Extensions) != len(standard.Extensions) {
				t.Errorf("%s %s: version %d, CA %t, %d extensions; crypto/x509 says %d, %t, %d", name, row["sha256"], c.Version, c.CA, len(c.Extensions), standard.Version, standard.IsCA, len(standard.Extensions))
			}
			if !bytes.Equal(c.SubjectKeyID, standard.SubjectKeyId) || !bytes.Equal(c.AuthorityKeyID, standard.AuthorityKeyId) {
				t.Errorf("%s %s: key identifiers differ from crypto/x509", name, row["sha256"])
			}
			if c.Incomplete && strings.HasPrefix(name, "real/") {
				t.Errorf("%s %s: Incomplete, though crypto/x509 accepts it: %v", name, row["sha256"], c.Oddities)
			}
		}
	}
	if accepted < 20_000 || lost == 0 {
		t.Errorf("crypto/x509 accepted only %d certificates, and lost names in %d", accepted, lost)
	}
}

func (c *Certificate) has(code string) bool {
	return slices.ContainsFunc(c.Oddities, func(o Oddity) bool { return o.Code == code })
}

func sameIdents(a, b []Ident) bool {
	return slices.EqualFunc(a, b, func(x, y Ident) bool {
		return x.Where == y.Where && bytes.Equal(x.Raw, y.Raw) && bytes.Equal(x.Name, y.Name) && x.Prefix == y.Prefix && x.Odd == y.Odd
	})
}
