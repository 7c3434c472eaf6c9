package proposal_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/config"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/proposal"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func owners(t testing.TB) *facts.Owners {
	t.Helper()
	o, err := facts.LoadOwners()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func item(t testing.TB, text string) watch.Item {
	t.Helper()
	it, err := watch.ParseItem(text, watch.Place{})
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func key(n int) (k [32]byte) {
	copy(k[:], fmt.Sprintf("key %d", n))
	return k
}

// org collects evidence in words.
type org struct {
	proposal.Evidence
	t testing.TB
}

func newOrg(t testing.TB) *org {
	return &org{t: t, Evidence: proposal.Evidence{Now: now, Owners: owners(t)}}
}

func (o *org) items(list ...string) {
	for _, text := range list {
		o.Items = append(o.Items, item(o.t, text))
	}
}

// issued adds a certificate. issuer is a CAA domain, or "spki:" of a CA that nobody knows.
func (o *org) issued(issuer string, keyNumber, days int, seen time.Time, names ...string) *proposal.Issuance {
	is := proposal.Issuance{ID: fmt.Sprintf("%08x", len(o.Issuances)), Key: key(keyNumber), From: seen, To: seen.Add(time.Duration(days)*day - time.Second), Seen: seen,
		Issuer: proposal.Issuer{Text: issuer, Proven: true, Name: "CN=Some CA"}}
	if by := o.Owners.CAA(issuer); len(by) > 0 {
		is.Issuer.Owners, is.Issuer.Text = by, proposal.IssuerText(o.Owners, by, [32]byte{})
	}
	for _, n := range names {
		if a, err := netip.ParseAddr(n); err == nil {
			is.Idents = append(is.Idents, cert.Ident{Where: cert.InIP, Prefix: netip.PrefixFrom(a, a.BitLen())})
		} else {
			is.Idents = append(is.Idents, cert.Ident{Where: cert.InDNS, Raw: []byte(n), Name: []byte(n)})
		}
	}
	o.Issuances = append(o.Issuances, is)
	return &o.Issuances[len(o.Issuances)-1]
}

func (o *org) directory(path string, numbers ...int) {
	d := proposal.Directory{Path: path, Keys: map[[32]byte]bool{}}
	for _, n := range numbers {
		d.Keys[key(n)] = true
	}
	o.Directories = append(o.Directories, d)
}

// load reads a proposal back as the daemon would.
func load(t testing.TB, p *proposal.Proposal) *config.Config {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "tocsin.yaml")
	for _, l := range p.Lists {
		at := filepath.Join(dir, filepath.FromSlash(l.Path))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(l.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(p.Section), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatalf("the proposal does not load: %v\n%s", err, p.Section)
	}
	return c
}

// same holds what was read against what was proposed.
func same(t testing.TB, p *proposal.Proposal) {
	t.Helper()
	c := load(t, p)
	var got []proposal.Watch
	for _, w := range c.Watches {
		g := proposal.Watch{Name: w.Name, Owner: w.Owner, Surprise: w.Surprise}
		for _, it := range w.Items {
			g.Items = append(g.Items, it.Text)
		}
		if e := w.Expect; e != nil {
			g.Issuers, g.Keys, g.MaxDays = e.Issuers, e.Keys, int(e.MaxValidity/day)
			g.AllowWildcard, g.AllowForeignNames = e.AllowWildcard, e.AllowForeignNames
		}
		got = append(got, g)
	}
	want := slices.Clone(p.Watches)
	for i := range want {
		keys := slices.Clone(want[i].Keys)
		for k, v := range keys {
			if path := strings.TrimPrefix(v, "file:"); !filepath.IsAbs(path) {
				keys[k] = "file:" + filepath.Join(filepath.Dir(c.Path), path)
			}
		}
		want[i].Keys = keys
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("read back otherwise than proposed (-proposed +read):\n%s\n%s", d, p.Section)
	}
}

func golden(t *testing.T, name string, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// organisation is one of the size of the issue: 200 zones of three owners, 50 networks, certificates of a quarter of a
// year from several CAs, keys of its own for what it serves itself, and what nobody asked for.
func organisation(t testing.TB) *org {
	o := newOrg(t)
	teams := []string{"web@corp.example", "shops@corp.example", "labs@corp.example"}
	cas := []string{"letsencrypt.org", "pki.goog", "digicert.com"}
	for i := range 200 {
		name := fmt.Sprintf("zone%03d.example", i)
		z := proposal.Zone{Name: name, Owner: teams[i%3], Names: 3 + i%7}
		if i%10 == 0 {
			z.HasCAA, z.CAA = true, []string{cas[(i/40)%3]}
		}
		o.Zones = append(o.Zones, z)
		if i >= 190 {
			continue // parked
		}
		ca := (i / 40) % 3
		for turn := range 6 {
			seen := now.Add(-time.Duration(85-turn*14) * day).Add(time.Duration(i) * time.Minute)
			names := []string{name, "www." + name}
			if i%8 == 0 {
				names = append(names, "*."+name)
			}
			k := 10_000 + i*10 + turn // a provider's
			if ca != 1 {
				k = i // ours, kept at renewals
			}
			o.issued(cas[ca], k, 90, seen, names...)
		}
	}
	var own []int
	for i := range 200 {
		own = append(own, i)
	}
	o.directory("/etc/letsencrypt", own...)
	for i := range 50 {
		o.Zones = append(o.Zones, proposal.Zone{Network: netip.MustParsePrefix(fmt.Sprintf("203.%d.113.0/24", 2*i)), Owner: "noc@corp.example"})
	}
	for turn := range 8 {
		o.issued("letsencrypt.org", 7, 6, now.Add(-time.Duration(turn*5+1)*day), "203.0.113.7")
	}
	// What nobody asked for.
	o.issued("fina.hr", 900_001, 365, now.Add(-12*day), "zone004.example")
	o.issued("fina.hr", 900_002, 365, now.Add(-40*day), "test1.hr", "203.4.113.9")
	o.issued("letsencrypt.org", 900_003, 90, now.Add(-3*day), "zone005.example", "mail.zone005.example")
	o.issued("spki:"+strings.Repeat("ab", 32), 900_004, 90, now.Add(-2*day), "zone050.example")
	ca := o.issued("letsencrypt.org", 900_005, 90, now.Add(-5*day), "zone006.example")
	ca.Odd = "it may issue certificates itself"
	return o
}

func TestAProposalForAnOrganisationIsShortAndSaysWhy(t *testing.T) {
	o := organisation(t)
	p := proposal.Propose(o.Evidence)
	if n := p.Lines(); n > proposal.MaxLines {
		t.Errorf("%d lines", n)
	}
	same(t, p)
	var lists strings.Builder
	items := 0
	for _, l := range p.Lists {
		fmt.Fprintf(&lists, "-- %s: %d items --\n", l.Path, l.Items)
	}
	for _, w := range p.Watches {
		items += len(w.Items)
	}
	if items != 250 {
		t.Errorf("%d items are watched, want 200 zones and 50 networks", items)
	}
	golden(t, "organisation.golden", p.Section+lists.String())
	for _, w := range p.Watches {
		for _, issuer := range w.Issuers {
			if strings.Contains(issuer, "fina") || strings.HasPrefix(issuer, "spki:") {
				t.Errorf("watch %s expects %s, which was seen once", w.Name, issuer)
			}
		}
	}
	for _, want := range []string{"0000047c", "0000047d", "0000047e", "0000047f", "00000480"} {
		if !slices.ContainsFunc(p.Doubts, func(d proposal.Doubt) bool { return slices.Contains(d.IDs, want) }) {
			t.Errorf("issuance %s is among no doubts", want)
		}
	}
}

func TestAProposalDoesNotDependOnTheOrderOfTheEvidence(t *testing.T) {
	a := organisation(t)
	b := organisation(t)
	slices.Reverse(b.Zones)
	slices.Reverse(b.Issuances)
	if d := cmp.Diff(proposal.Propose(a.Evidence), proposal.Propose(b.Evidence)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(proposal.Propose(a.Evidence), proposal.Propose(a.Evidence)); d != "" {
		t.Error(d)
	}
}

func TestLargerOrganisationsAreSaidInAsFewLines(t *testing.T) {
	o := newOrg(t)
	all := []string{"letsencrypt.org", "pki.goog", "digicert.com", "sectigo.com", "globalsign.com", "ssl.com", "identrust.com", "godaddy.com", "swisssign.com", "buypass.com"}
	for i := range 1000 {
		name := fmt.Sprintf("zone%04d.example", i)
		o.Zones = append(o.Zones, proposal.Zone{Name: name, Owner: fmt.Sprintf("team%d@corp.example", i%17)})
		for n := range 4 {
			o.issued(all[(i+n*n)%len(all)], i, 90, now.Add(-time.Duration(i%80)*day), name)
		}
	}
	p := proposal.Propose(o.Evidence)
	if n := p.Lines(); n > proposal.MaxLines {
		t.Errorf("%d lines:\n%s", n, p.Section)
	}
	same(t, p)
	items := 0
	for _, w := range p.Watches {
		items += len(w.Items)
	}
	if items != 1000 {
		t.Errorf("%d items", items)
	}
}

// propose says one watch per line, and the doubts.
func propose(o *org) string {
	p := proposal.Propose(o.Evidence)
	same(o.t, p)
	var b bytes.Buffer
	for _, w := range p.Watches {
		fmt.Fprintf(&b, "%s: issuers %s", strings.Join(w.Items, " "), strings.Join(w.Issuers, " "))
		if len(w.Keys) > 0 {
			fmt.Fprintf(&b, "; keys %s", strings.Join(w.Keys, " "))
		}
		if w.MaxDays > 0 {
			fmt.Fprintf(&b, "; %dd", w.MaxDays)
		}
		if w.AllowWildcard != nil {
			b.WriteString("; no wildcard")
		}
		if w.AllowForeignNames != nil {
			b.WriteString("; no foreign")
		}
		if w.Surprise != "" {
			fmt.Fprintf(&b, "; %s", w.Surprise)
		}
		b.WriteString("\n")
	}
	for _, d := range p.Doubts {
		fmt.Fprintf(&b, "doubt %s: %s\n", d.Issuer, d.Text)
	}
	return b.String()
}

func TestWhatIsProposed(t *testing.T) {
	ago := func(days int) time.Time { return now.Add(-time.Duration(days) * day) }
	for name, row := range map[string]struct {
		evidence func(o *org)
		want     string
	}{
		"a zone without any certificate is left at digest": {func(o *org) {
			o.items("example.com")
		}, "example.com: issuers ; digest\n"},
		"a network without any certificate rings for each": {func(o *org) {
			o.items("192.0.2.0/24")
		}, "192.0.2.0/24: issuers \n"},
		"an issuer seen often is proposed": {func(o *org) {
			o.items("example.com")
			for i := range 3 {
				o.issued("letsencrypt.org", i, 90, ago(i), "example.com")
			}
		}, "example.com: issuers letsencrypt.org; 100d; no wildcard; no foreign\n"},
		"an issuer seen once is for a person to decide": {func(o *org) {
			o.items("example.com")
			o.issued("letsencrypt.org", 1, 90, ago(12), "example.com")
		}, "example.com: issuers ; digest\ndoubt letsencrypt.org: seen once, 12 days ago: check; nothing of yours speaks for it\n"},
		"a key of ours speaks for its issuer": {func(o *org) {
			o.items("example.com")
			o.directory("/keys", 1)
			o.issued("letsencrypt.org", 1, 90, ago(12), "example.com", "*.example.com")
		}, "example.com: issuers letsencrypt.org; keys file:/keys; 100d; no foreign\n"},
		"a rogue among many is not proposed": {func(o *org) {
			o.items("example.com")
			for i := range 30 {
				o.issued("letsencrypt.org", i, 90, ago(i), "example.com")
			}
			o.issued("fina.hr", 99, 365, ago(3), "example.com", "test1.hr")
		}, "example.com: issuers letsencrypt.org; 100d; no wildcard; no foreign\ndoubt fina.hr: seen once, 3 days ago: check; nothing of yours speaks for it\n"},
		"a CAA record of the zone speaks for its issuer": {func(o *org) {
			o.Zones = append(o.Zones, proposal.Zone{Name: "example.com", HasCAA: true, CAA: []string{"letsencrypt.org"}})
			o.issued("letsencrypt.org", 1, 90, ago(12), "example.com")
		}, "example.com: issuers letsencrypt.org; 100d; no wildcard; no foreign\n"},
		"CAA records alone say who may issue": {func(o *org) {
			o.Zones = append(o.Zones, proposal.Zone{Name: "example.com", HasCAA: true, CAA: []string{"letsencrypt.org"}})
		}, "example.com: issuers letsencrypt.org\n"},
		"what CAA records do not allow is doubtful however often it is seen": {func(o *org) {
			o.Zones = append(o.Zones, proposal.Zone{Name: "example.com", HasCAA: true, CAA: []string{"letsencrypt.org"}})
			for i := range 5 {
				o.issued("letsencrypt.org", i, 90, ago(i), "example.com")
				o.issued("digicert.com", 100+i, 397, ago(i), "example.com")
			}
		}, "example.com: issuers letsencrypt.org; 100d; no wildcard; no foreign\ndoubt digicert.com: seen 5 times, last today: check; the zone's CAA records do not allow it\n"},
		"the organisation's other CA, seen once where it never issued, is doubtful": {func(o *org) {
			o.items("example.com", "example.org")
			for i := range 20 {
				o.issued("letsencrypt.org", i, 90, ago(i), "example.com")
				o.issued("pki.goog", i, 90, ago(i), "example.org")
			}
			o.issued("pki.goog", 77, 90, ago(1), "example.com")
		}, "example.com: issuers letsencrypt.org; 100d; no wildcard; no foreign\nexample.org: issuers pki.goog; 100d; no wildcard; no foreign\ndoubt pki.goog: seen once, 1 day ago: check; all others here are of other issuers\n"},
		"a certificate for a foreign key, by the right CA, is shown": {func(o *org) {
			o.items("example.com")
			o.directory("/keys", 1, 2)
			o.issued("letsencrypt.org", 1, 90, ago(9), "example.com")
			o.issued("letsencrypt.org", 2, 90, ago(8), "www.example.com")
			o.issued("letsencrypt.org", 3, 90, ago(7), "mail.example.com")
		}, "example.com: issuers letsencrypt.org; keys file:/keys; 100d; no wildcard; no foreign\ndoubt : seen once, 7 days ago: check; with keys that are none of yours\n"},
		"a key that was replaced since counts no more": {func(o *org) {
			o.items("example.com")
			o.directory("/keys", 2)
			o.issued("letsencrypt.org", 1, 90, ago(60), "example.com")
			o.issued("letsencrypt.org", 2, 90, ago(2), "example.com")
		}, "example.com: issuers letsencrypt.org; keys file:/keys; 100d; no wildcard; no foreign\n"},
		"keys are not asked for where a provider holds them": {func(o *org) {
			o.items("example.com", "example.org")
			o.directory("/keys", 1)
			for i := range 4 {
				o.issued("letsencrypt.org", 1, 90, ago(i), "example.com")
				o.issued("pki.goog", 50+i, 90, ago(i), fmt.Sprintf("h%d.example.org", i))
			}
		}, "example.com: issuers letsencrypt.org; keys file:/keys; 100d; no wildcard; no foreign\nexample.org: issuers pki.goog; 100d; no wildcard; no foreign\n"},
		"certificates for addresses speak for nobody by their number": {func(o *org) {
			o.items("1.1.1.1")
			for i := range 12 {
				o.issued("fina.hr", i, 365, ago(i*50), "test1.hr", "1.1.1.1")
			}
		}, "1.1.1.1: issuers \ndoubt fina.hr: seen 12 times, last today: check; nothing of yours speaks for it\n"},
		"a certificate for an address, by the organisation's own CA, is doubtful when its key is none of ours": {func(o *org) {
			o.items("example.com", "192.0.2.0/24")
			o.directory("/keys", 1)
			o.issued("letsencrypt.org", 1, 90, ago(1), "example.com")
			o.issued("letsencrypt.org", 2, 6, ago(2), "192.0.2.7")
		}, "example.com: issuers letsencrypt.org; keys file:/keys; 100d; no wildcard; no foreign\n192.0.2.0/24: issuers \ndoubt letsencrypt.org: seen once, 2 days ago: check; no certificate here has a key of yours\n"},
		"certificates for addresses with keys of ours are proposed": {func(o *org) {
			o.items("192.0.2.0/24")
			o.directory("/keys", 1)
			o.issued("letsencrypt.org", 1, 6, ago(1), "192.0.2.7")
		}, "192.0.2.0/24: issuers letsencrypt.org; keys file:/keys; 8d; no wildcard; no foreign\n"},
		"an issuer that is not proven is never proposed": {func(o *org) {
			o.items("example.com")
			o.directory("/keys", 1)
			for i := range 9 {
				o.issued("letsencrypt.org", 1, 90, ago(i), "example.com").Issuer.Proven = false
			}
		}, "example.com: issuers ; digest\ndoubt : seen 9 times, last today: check; who issued it is not proven\n"},
		"a zone beneath another of the same owner is no watch of its own": {func(o *org) {
			o.items("example.com", "dev.example.com")
		}, "example.com: issuers ; digest\n"},
		"addresses count while no network is known": {func(o *org) {
			o.Zones = append(o.Zones, proposal.Zone{Name: "example.com", Addresses: []netip.Addr{
				netip.MustParseAddr("192.0.2.4"), netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("192.0.2.6"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}})
		}, "example.com: issuers ; digest\n192.0.2.4/30 2001:db8::1: issuers \n"},
		"addresses outside the known networks are a provider's": {func(o *org) {
			o.items("198.51.100.0/24")
			o.Zones = append(o.Zones, proposal.Zone{Name: "example.com", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.4"), netip.MustParseAddr("198.51.100.9")}})
		}, "example.com: issuers ; digest\n198.51.100.0/24: issuers \n"},
		"a certificate that names others leaves foreign names allowed": {func(o *org) {
			o.items("example.com")
			o.directory("/keys", 1)
			o.issued("letsencrypt.org", 1, 90, ago(1), "example.com", "partner.example.net")
		}, "example.com: issuers letsencrypt.org; keys file:/keys; 100d; no wildcard\n"},
		"an endpoint makes its domain known, and its key stays observed": {func(o *org) {
			o.Endpoints = []proposal.Endpoint{{Address: "www.example.com:443", Name: "www.example.com", Key: key(1)}}
			o.issued("letsencrypt.org", 1, 90, ago(1), "example.com").Observed = "www.example.com:443"
		}, "example.com: issuers ; digest\ndoubt letsencrypt.org: seen once, 1 day ago: check; nothing of yours speaks for it\n"},
		"names of our own certificates make their domain known": {func(o *org) {
			o.directory("/keys", 1)
			o.Directories[0].Names = []string{"*.shop.example.co.uk", "example.com"}
		}, "example.com example.co.uk: issuers ; digest\n"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrg(t)
			row.evidence(o)
			if d := cmp.Diff(row.want, propose(o)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAggregate(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"", ""},
		{"192.0.2.0/25 192.0.2.128/25", "192.0.2.0/24"},
		{"192.0.2.1/32 192.0.2.2/32", "192.0.2.1/32 192.0.2.2/32"},
		{"192.0.2.7/32 192.0.2.0/24 192.0.2.9/32", "192.0.2.0/24"},
		{"192.0.3.0/24 192.0.2.0/25 192.0.2.128/26 192.0.2.192/26", "192.0.2.0/23"},
		{"192.0.1.0/24 192.0.2.0/24", "192.0.1.0/24 192.0.2.0/24"},
		{"::/1 8000::/1 0.0.0.0/0", "0.0.0.0/0 ::/0"},
		{"255.255.255.255/32 ::/128", "255.255.255.255/32 ::/128"},
	} {
		var in []netip.Prefix
		for _, f := range strings.Fields(row.in) {
			in = append(in, netip.MustParsePrefix(f))
		}
		var got []string
		for _, p := range proposal.Aggregate(in) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("%s: %s, want %s", row.in, strings.Join(got, " "), row.want)
		}
	}
}

func TestTheRestOfAConfigurationStaysAsItIs(t *testing.T) {
	p := &proposal.Proposal{Section: "watch:\n  - new\n    x: y\n", Notes: []string{"n"}}
	for name, row := range map[string]struct{ old, want string }{
		"a new file":                         {"", p.Section},
		"the section in the middle":          {"# top\nstate: x\n\nwatch:\n  # a\n  - old\n\n# of receivers\nreceivers:\n  - y\n", "# top\nstate: x\n\nwatch:\n  #? n\n  # a\n  - old\n  - new\n    x: y\n\n# of receivers\nreceivers:\n  - y\n"},
		"the section at the end":             {"state: x\nwatch:\n- old\n- older", "state: x\nwatch:\n#? n\n- old\n- older\n- new\n  x: y\n"},
		"a section that is set in further":   {"watch:\n    - old:\n        - a\nstate: x\n", "watch:\n    #? n\n    - old:\n        - a\n    - new\n      x: y\nstate: x\n"},
		"no section":                         {"state: x", "state: x\n" + p.Section},
		"notes of the last time":             {"watch:\n  #? old note\n  - old\n  #? another\nstate: x\n#? not ours\n", "watch:\n  #? n\n  - old\n  - new\n    x: y\nstate: x\n#? not ours\n"},
		"lines that end as on other systems": {"watch:\r\n  - old\r\nstate: x\r\n", "watch:\r\n  #? n\n  - old\r\n  - new\n    x: y\nstate: x\r\n"},
	} {
		if got, err := p.Into(row.old); got != row.want || err != nil {
			t.Errorf("%s: %q, want %q, %v", name, got, row.want, err)
		}
	}
	if got, err := p.Into("watch: [{names: [a.example]}]\nstate: x\n"); err == nil {
		t.Errorf("added to one line: %q", got)
	}
	if !proposal.Same("a # seen 1,204 times\n", "a # seen 1,310 times\n") || proposal.Same("a: 1\n", "a: 2\n") || proposal.Same("a # fina.hr\n", "a # ssl.com\n") {
		t.Error("Same does not tell counts in comments from what counts")
	}
}

func TestWhatIsInForceStaysAndOnlyMoreIsProposed(t *testing.T) {
	const old = "watch:\n  # mine\n  - name: main\n    names: [example.com, =www.example.org]\n    expect: {issuers: [ssl.com, digicert.com], keys: [\"spki:" +
		"00000000000000000000000000000000000000000000000000000000000000aa\"]}\n    surprise: page\n  - names: [example.edu]\nstate: x.db\n"
	o := newOrg(t)
	o.Kept = []proposal.Kept{
		{Name: "main", Items: []watch.Item{item(t, "example.com"), item(t, "=www.example.org")}, Issuers: proposal.KeptIssuers(o.Owners, []string{"ssl.com", "digicert.com"})},
		{Name: "example.edu", Items: []watch.Item{item(t, "example.edu")}},
	}
	o.Lists = []string{"names-by-letsencrypt.org.names"}
	o.items("example.com", "dev.example.com", "example.net")
	for i := range 5 {
		for _, name := range []string{"a.example.net", "b.example.net", "c.example.net", "example.edu"} {
			o.issued("letsencrypt.org", i, 90, now.Add(-time.Duration(i)*day), name)
		}
		o.issued("ssl.com", i, 90, now.Add(-time.Duration(i)*day), "example.com")
	}
	o.issued("fina.hr", 9, 90, now.Add(-12*day), "www.example.org")
	for _, n := range []string{"example.com", "example.org", "example.edu", "example.net", "example.info"} {
		o.Zones = append(o.Zones, proposal.Zone{Name: n, Owner: "noc"})
	}
	p := proposal.Propose(o.Evidence)
	got, err := p.Into(old)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "later.golden", got)
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var watches []string
	for _, w := range c.Watches {
		items := []string{w.Name}
		for _, it := range w.Items {
			items = append(items, it.Text)
		}
		watches = append(watches, strings.Join(items, " "))
	}
	want := []string{"main example.com =www.example.org", "example.edu example.edu", "noc: names by letsencrypt.org example.net", "noc: names of unknown issuers example.info example.org"}
	if d := cmp.Diff(want, watches); d != "" {
		t.Error(d)
	}
	// What was written is in force at the next run, and nothing more is proposed.
	o.Kept = append(o.Kept, proposal.Kept{Name: "more", Items: []watch.Item{item(t, "example.net")}, Issuers: []string{"letsencrypt.org"}},
		proposal.Kept{Name: "unknown", Items: []watch.Item{item(t, "example.org"), item(t, "example.info")}})
	next := proposal.Propose(o.Evidence)
	if len(next.Watches) > 0 {
		t.Errorf("proposed again: %+v", next.Watches)
	}
	again, err := next.Into(got)
	if err != nil {
		t.Fatal(err)
	}
	once, err := next.Into(again)
	if err != nil || once != again {
		t.Errorf("a second run changes what the first one wrote (%v):\n%s", err, cmp.Diff(again, once))
	}
}
