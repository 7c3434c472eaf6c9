package lab

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// The scenarios imitate public incidents: their CAs carry the names of those of the incident, with keys of the lab.

// fina2025: from February 2024 to August 2025 Fina RDC 2020, trusted by one root program of four, signed twelve
// certificates of invented test names together with 1.1.1.1; three were still valid when outsiders found them.
func fina2025(w *World) (*Plan, error) {
	s := newStage(w)
	chosen := s.authority("Chosen Root CA", "Chosen TLS CA 1", "Chosen Trust", "US", ca.P256)
	fina := s.authority("Fina Root CA", "Fina RDC 2020", "Financijska agencija", "HR", ca.RSA2048)
	keys := s.ownKeys(8)
	s.watch(guard{
		name: "public resolver", owner: "dns-team", networks: []string{"1.1.1.1", "192.0.2.0/24", "2001:db8:53::/48"},
		names: []string{"resolver.example.com"}, issuer: chosen, keys: keys, surprise: "page",
	})
	before := s.plan.Submissions
	s.renewals(200, chosen, keys, func(i int, l *ca.Leaf) {
		l.CN = "resolver.example.com"
		l.DNS = []string{"resolver.example.com", fmt.Sprintf("pop%d.resolver.example.com", i+1)}
		l.IPs = []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}
		if i%3 == 0 {
			l.IPs = append(l.IPs, netip.MustParseAddr("2001:db8:53::1"))
		}
	})
	legit := s.plan.Submissions[len(before):]
	s.plan.Submissions = nil
	address := []netip.Addr{netip.MustParseAddr("1.1.1.1")}
	rogue := []ca.Leaf{ // rows a to c of the public record
		{CN: "test1.hr", DNS: []string{"test1.hr", "test12.hr"}, IPs: address},
		{CN: "test1.hr", DNS: []string{"test1.hr", "test11.hr"}, IPs: address},
		{CN: "test11.hr", DNS: []string{"test11.hr", "test12.hr"}, IPs: address},
	}
	for i, sub := range legit {
		if len(rogue) > 0 && i == len(legit)*(4-len(rogue))/4 {
			s.rings(fmt.Sprintf("Fina %c", 'a'+3-len(rogue)), RuleIssuer, "Fina RDC 2020", fina, rogue[0])
			rogue = rogue[1:]
		}
		s.submit(sub)
	}
	for _, l := range rogue { // fewer renewals than rogue certificates
		s.rings("Fina", RuleIssuer, "Fina RDC 2020", fina, l)
	}
	return s.done()
}

// icpBrasil2024: a CA below ICP-Brasil, trusted by one root program only, signed google.com although CAA named another.
func icpBrasil2024(w *World) (*Plan, error) {
	s := newStage(w)
	chosen := s.authority("Chosen Root CA", "Chosen TLS CA 1", "Chosen Trust", "US", ca.P256)
	soluti := s.authority("Autoridade Certificadora Raiz Brasileira v10", "AC SOLUTI SSL EV G4", "ICP-Brasil", "BR", ca.P384)
	keys := s.ownKeys(3)
	s.watch(guard{name: "main site", owner: "web-team", names: []string{"example.com"}, issuer: chosen, keys: keys, surprise: "page"})
	s.renewals(12, chosen, keys, func(i int, l *ca.Leaf) {
		l.CN = "www.example.com"
		l.DNS = []string{"www.example.com", "example.com"}
	})
	s.rings("ICP-Brasil", RuleIssuer, "AC SOLUTI SSL EV G4", soluti, ca.Leaf{CN: "example.com", DNS: []string{"example.com"}})
	return s.done()
}

// diginotar2011: *.google.com stood in the common name, the SAN held one e-mail address. It was never logged by its CA;
// here somebody who met it submits it.
func diginotar2011(w *World) (*Plan, error) {
	s := newStage(w)
	chosen := s.authority("Chosen Root CA", "Chosen TLS CA 1", "Chosen Trust", "US", ca.P256)
	digi := s.authority("DigiNotar Root CA", "DigiNotar Public CA 2025", "DigiNotar", "NL", ca.RSA2048)
	keys := s.ownKeys(3)
	s.watch(guard{name: "mail", owner: "mail-team", names: []string{"example.com"}, issuer: chosen, keys: keys, surprise: "page"})
	s.renewals(12, chosen, keys, func(i int, l *ca.Leaf) { l.DNS = []string{"mail.example.com"} })
	subject := ca.RDNs(
		ca.Attribute{OID: "2.5.4.6", Tag: ca.TagPrintable, Value: []byte("US")},
		ca.Attribute{OID: "2.5.4.10", Value: []byte("Example Inc")},
		ca.CN("*.example.com"),
		ca.Attribute{OID: "2.5.4.5", Tag: ca.TagPrintable, Value: []byte("PK000229200002")},
	)
	s.submit(Submission{
		Label: "DigiNotar", AsFinal: true, Rings: true, Rule: RuleIssuer, Reason: "DigiNotar Public CA 2025",
		Issued: s.issue(digi, ca.Leaf{Subject: subject, RawSAN: [][]byte{ca.Email("admin@registrar.example")}}),
	})
	return s.done()
}

// sameCAOtherKey: in 2023 somebody in the path of jabber.ru got certificates from the CA that its owner used as well.
func sameCAOtherKey(w *World) (*Plan, error) {
	s := newStage(w)
	shared := s.authority("ISRG Root X1", "R3", "Let's Encrypt", "US", ca.RSA2048)
	keys := s.ownKeys(2)
	s.watch(guard{
		name: "chat", owner: "chat-team", names: []string{"example.org"}, issuer: shared, keys: keys, keyDir: true, surprise: "page",
	})
	leaf := ca.Leaf{CN: "example.org", DNS: []string{"example.org", "xmpp.example.org"}}
	turn := func(_ int, l *ca.Leaf) { l.CN, l.DNS = leaf.CN, leaf.DNS }
	s.renewals(10, shared, keys, turn)
	s.rings("in the path, April", RuleKey, "xmpp.example.org", shared, leaf)
	s.renewals(10, shared, keys, turn)
	s.rings("in the path, July", RuleKey, "xmpp.example.org", shared, leaf)
	return s.done()
}

// ccTLD2017: registries of country domains were taken over; the CAs then validated correctly, for the attacker.
func ccTLD2017(w *World) (*Plan, error) {
	s := newStage(w)
	chosen := s.authority("Chosen Root CA", "Chosen TLS CA 1", "Chosen Trust", "US", ca.P256)
	le := s.authority("DST Root CA X3", "Let's Encrypt Authority X3", "Let's Encrypt", "US", ca.RSA2048)
	cpanel := s.authority("COMODO RSA Certification Authority", "cPanel, Inc. Certification Authority", "cPanel, Inc.", "US", ca.P256)
	keys := s.ownKeys(3)
	zones := []string{"example.tg", "example.com.bd", "example.lk"}
	s.watch(guard{name: "country domains", owner: "brand-team", names: zones, issuer: chosen, keys: keys, surprise: "alarm"})
	s.renewals(12, chosen, keys, func(i int, l *ca.Leaf) {
		l.CN = zones[i%len(zones)]
		l.DNS = []string{l.CN, "www." + l.CN}
	})
	for i, by := range []struct {
		ca   *ca.Authority
		name string
	}{{le, "Let's Encrypt Authority X3"}, {cpanel, "Certification Authority"}, {le, "Let's Encrypt Authority X3"}} {
		l := ca.Leaf{CN: zones[i]}
		for _, host := range []string{"", "cpanel.", "mail.", "webdisk.", "webmail.", "www."} {
			l.DNS = append(l.DNS, host+zones[i])
		}
		s.rings("takeover of "+zones[i], RuleIssuer, by.name, by.ca, l)
	}
	return s.done()
}

// renewalsOnly holds what must never ring: renewals with own keys by the chosen CA, also by its precert-signing CA; all
// entries of one issuance; neighbours of the watched names and networks, by any CA.
func renewalsOnly(w *World) (*Plan, error) {
	s := newStage(w)
	chosen := s.authority("Chosen Root CA", "Chosen TLS CA 1", "Chosen Trust", "US", ca.P256)
	other := s.authority("Neighbour Root CA", "Neighbour TLS CA", "Neighbour Trust", "SE", ca.P256)
	if s.err != nil {
		return nil, s.err
	}
	signer, err := chosen.NewPrecertSigner("Chosen Precertificate Signing", &ca.Options{
		Org: "Chosen Trust", Country: "US", From: s.w.Now.Add(-365 * 24 * time.Hour), Seed: s.seed("precert signer"),
	})
	if err != nil {
		return nil, err
	}
	keys := s.ownKeys(5)
	s.watch(guard{
		name: "everything", owner: "ops", networks: []string{"192.0.2.0/25", "2001:db8:1::/48"}, names: []string{"example.com"},
		issuer: chosen, keys: keys, surprise: "page",
	})
	turn := func(i int, l *ca.Leaf) {
		l.CN = "www.example.com"
		l.DNS = []string{"www.example.com", fmt.Sprintf("host%d.example.com", i)}
		l.IPs = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 128)})}
	}
	s.renewals(40, chosen, keys, turn)
	s.renewals(10, signer, keys, turn)
	for _, l := range []ca.Leaf{
		{CN: "example.com.lookalike.example", DNS: []string{"example.com.lookalike.example", "notexample.com"}},
		{CN: "neighbour.example", DNS: []string{"neighbour.example"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.128")}},
		{CN: "neighbour.example", IPs: []netip.Addr{netip.MustParseAddr("2001:db8:2::1")}},
		{CN: "192.0.2.200", DNS: []string{"192.0.2.7.neighbour.example"}},
	} {
		s.submit(Submission{Label: "neighbour " + l.CN, Issued: s.issue(other, l), AsPrecert: true, AsFinal: true, Neighbour: true})
	}
	return s.done()
}
