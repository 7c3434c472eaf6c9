package proposal_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tocsin-ct/tocsin/internal/proposal"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// FuzzProposalIsReadBackAsProposed puts texts from outside into every place of the evidence that has one: nothing that a
// certificate, a zone file or a path says may become anything else than the value that it is.
func FuzzProposalIsReadBackAsProposed(f *testing.F) {
	for _, s := range []string{
		"plain", "", " ", "a: b", "x # y", "\"", "\\", "'", "]}", "]}\n  - names: [com.]\n", "\n", "\r\n", "\x00", "\u2028", "\u0085", "\ufeff", "é", "😀", "*a", "&a", "!t",
		"- x", "${env:HOME}", "---", "...", "%YAML 1.2", "true", "~", "0x1f", "\t", "\x1b[2J", "a\\\"b", strings.Repeat("long ", 300), "\xff\xfe", "{{.}}", ", # ",
	} {
		f.Add(s, s, s, s, s)
	}
	f.Fuzz(func(t *testing.T, owner, path, kept, called, address string) {
		o := newOrg(t)
		o.Zones = []proposal.Zone{{Name: "example.com", Owner: proposal.Clean(owner), HasCAA: true, UnknownCAA: []string{owner}}}
		if path != "" && utf8.ValidString(path) {
			o.directory(path, 1)
		}
		for i := range 3 {
			o.issued("letsencrypt.org", 1, 90, now.Add(-time.Duration(i)*day), "example.com", "example.net")
		}
		o.issued("spki:"+strings.Repeat("cd", 32), 9, 90, now, "example.net").Issuer.Name = called
		o.issued("letsencrypt.org", 9, 90, now, "example.net").Odd = called
		o.Endpoints = []proposal.Endpoint{{Address: address, Name: "example.org", Key: key(77)}}
		o.items("example.net")
		p := proposal.Propose(o.Evidence)
		same(t, p)
		o.Kept = []proposal.Kept{{Name: kept, Items: []watch.Item{item(t, "example.com")}, Issuers: []string{kept}}}
		more := proposal.Propose(o.Evidence)
		both, err := more.Into("watch:\n  - names: [example.com]\n")
		if err != nil {
			t.Fatal(err)
		}
		more.Section = both
		if n := len(load(t, more).Watches); n != 1+len(more.Watches) {
			t.Fatalf("%d watches, not %d:\n%s", n, 1+len(more.Watches), both)
		}
		p.Section += both
		for i, c := range p.Section {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Fatalf("character %q at %d of the proposal", c, i)
			}
		}
	})
}

// FuzzZoneFile: whatever a zone file holds, reading it ends, and what comes of it can be proposed.
func FuzzZoneFile(f *testing.F) {
	f.Add("@ IN SOA ns1 hostmaster.example.com. 1 2 3 4 5\n@ CAA 0 issue \"letsencrypt.org\"\nwww A 192.0.2.1\n", "example.com")
	f.Add("$ORIGIN x.\n$GENERATE 1-10 h$ A 10.0.0.$\n", "")
	f.Add("$INCLUDE /etc/passwd\n", "example.com")
	f.Add("@ IN SOA . a\\.b\\\"c.example. 1 2 3 4 5\n", "2.0.192.in-addr.arpa")
	f.Add("\\000\\255.example.com. A 1.1.1.1\n@ RP \"x\".y z\n", "example.com")
	f.Fuzz(func(t *testing.T, text, origin string) {
		if strings.Count(text, "$GENERATE") > 1 {
			t.Skip("each may make tens of thousands of records")
		}
		o := newOrg(t)
		z, err := proposal.ReadZone(strings.NewReader(text), origin, "file", o.Owners)
		if err != nil && !utf8.ValidString(err.Error()) {
			t.Errorf("error %q", err)
		}
		o.Zones = []proposal.Zone{z}
		o.items("example.com")
		same(t, proposal.Propose(o.Evidence))
	})
}
