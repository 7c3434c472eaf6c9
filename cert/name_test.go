package cert

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestANameOfAWatchListHasOneNormalForm(t *testing.T) {
	for _, test := range []struct{ name, have, want string }{
		{"as it is", "www.example.com", "www.example.com"},
		{"upper case", "WWW.Example.COM", "www.example.com"},
		{"a trailing dot", "example.com.", "example.com"},
		{"a U-label", "bücher.example.org", "xn--bcher-kva.example.org"},
		{"a U-label in upper case", "BÜCHER.example.org", "xn--bcher-kva.example.org"},
		{"a U-label written with a combining mark", "bu\u0308cher.example.org", "xn--bcher-kva.example.org"},
		{"an A-label in upper case", "XN--BCHER-KVA.example.org", "xn--bcher-kva.example.org"},
		{"Chinese", "中国.example", "xn--fiqs8s.example"},
		{"Cyrillic", "пример.example", "xn--e1afmkfd.example"},
		{"a sharp s stays one", "straße.example", "xn--strae-oqa.example"},
		{"hyphens in the third and fourth place", "r3---sn-abc.example.com", "r3---sn-abc.example.com"},
		{"an underscore", "_dmarc.example.com", "_dmarc.example.com"},
		{"one label", "localhost", "localhost"},
		{"a reverse zone", "2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa"},
		{"a number before a name", "1.example.com", "1.example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Name(test.have)
			if err != nil || got != test.want {
				t.Fatalf("%q, %v; want %q", got, err, test.want)
			}
			if again, err := Name(got); err != nil || again != got {
				t.Errorf("the normal form changes again: %q, %v", again, err)
			}
			// The certificate's side comes to the same form.
			if onCert, _ := normal(test.have, oddNone); onCert != test.want {
				t.Errorf("a certificate with the same text has %q", onCert)
			}
		})
	}
}

func TestWhatIsNoNameIsRefusedWithTheReason(t *testing.T) {
	for have, reason := range map[string]string{
		"":                                       "empty",
		".":                                      "root",
		"*.example.com":                          "wildcard",
		"192.0.2.1":                              "address",
		"0xc0000201":                             "address",
		"2001:db8::1":                            "address",
		"192.0.2.0/24":                           "address",
		"[2001:db8::1]":                          "address",
		"1.2.3.4.5":                              "number",
		"https://example.com/":                   "URL",
		"admin@example.com":                      "e-mail",
		"example.com:443":                        "port",
		"example.com/x":                          "path",
		"www .example.com":                       "space",
		" example.com":                           "space",
		"a..example.com":                         "empty label",
		".example.com":                           "empty label",
		"-a.example.com":                         "hyphen",
		"a!.example.com":                         "character",
		"a\x00.example.com":                      "character",
		"b\xfccher.example.org":                  "UTF-8",
		strings.Repeat("a", 64) + ".example.com": "label",
		strings.Repeat("abcdefghi.", 26) + "com": "longer",
		strings.Repeat("ü", 2000) + ".example.com": "longer",
	} {
		if got, err := Name(have); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.40q: %q, %v; want a reason with %q", have, got, err, reason)
		}
	}
}

func TestAnAddressIsReadInEveryNotation(t *testing.T) {
	for _, test := range []struct{ have, want, notation string }{
		{"192.0.2.77", "192.0.2.77/32", ""},
		{"2001:db8::77", "2001:db8::77/128", ""},
		{"2001:DB8:0:0::77", "2001:db8::77/128", ""},
		{"192.0.2.0/24", "192.0.2.0/24", "ip-network"},
		{"192.0.2.77/24", "192.0.2.0/24", "ip-network"},
		{"192.0.2.77/255.255.255.0", "192.0.2.0/24", "ip-network"},
		{"2001:db8::/32", "2001:db8::/32", "ip-network"},
		{"192.000.002.077", "192.0.2.77/32", "ip-leading-zeros"},
		{"0300.0.02.0115", "192.0.2.77/32", "ip-octal"},
		{"0xc0.0x0.0x2.0x4d", "192.0.2.77/32", "ip-hex"},
		{"0xc000024d", "192.0.2.77/32", "ip-hex"},
		{"0XC000024D", "192.0.2.77/32", "ip-hex"},
		{"3221226061", "192.0.2.77/32", "ip-decimal"},
		{"030000001115", "192.0.2.77/32", "ip-octal"},
		{"192.589", "192.0.2.77/32", "ip-short"},
		{"192.0.589", "192.0.2.77/32", "ip-short"},
		{"[2001:db8::77]", "2001:db8::77/128", "ip-brackets"},
		{"[2001:db8::77]:443", "2001:db8::77/128", "ip-brackets"},
		{"[IPv6:2001:db8::77]", "2001:db8::77/128", "ip-brackets"},
		{"[192.0.2.77]", "192.0.2.77/32", "ip-brackets"},
		{"192.0.2.77:443", "192.0.2.77/32", "ip-port"},
		{"192.0.2.77.", "192.0.2.77/32", "ip-trailing-dot"},
		{"fe80::77%eth0", "fe80::77/128", "ip-zone"},
		{"*.192.0.2.77", "192.0.2.77/32", "ip-wildcard"},
		{"::ffff:192.0.2.77", "192.0.2.77/32", "ip-mapped"},
		{"::ffff:c000:24d", "192.0.2.77/32", "ip-mapped"},
		{"::ffff:192.0.2.0/120", "192.0.2.0/24", "ip-network"},
		{" 192.0.2.77\n", "192.0.2.77/32", "edge-space"},
		{"\ufeff192.0.2.77", "192.0.2.77/32", "invisible-character"},
		{"１９２.０.２.７７", "192.0.2.77/32", "wide-character"},
		{"192。0。2。77", "192.0.2.77/32", "wide-character"},
		{"77.2.0.192.in-addr.arpa", "192.0.2.77/32", "ip-arpa"},
		{"77.2.0.192.IN-ADDR.ARPA.", "192.0.2.77/32", "ip-arpa"},
		{"2.0.192.in-addr.arpa", "192.0.2.0/24", "ip-arpa"},
		{"*.2.0.192.in-addr.arpa", "192.0.2.0/24", "ip-arpa"},
		{"0/25.2.0.192.in-addr.arpa", "192.0.2.0/24", "ip-arpa"},
		{"8.b.d.0.1.0.0.2.ip6.arpa", "2001:db8::/32", "ip-arpa"},
		{"7.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "2001:db8::77/128", "ip-arpa"},
	} {
		p, notation, ok := ParseAddress(test.have)
		if !ok || p.String() != test.want || notation != test.notation {
			t.Errorf("%q: %v %q %t, want %s %q", test.have, p, notation, ok, test.want, test.notation)
		}
	}
	for _, have := range []string{
		"", " ", "example.com", "192.0.2.770", "1192.0.2.77", "192.0.2.77.benign.example", "192.0.2.77.nip.io", "192 0 2 77", "192.0.2.77.5",
		"0x", "0xg", ".192.0.2.77", "4294967296", "256.0.0.1", "192.0.2.77/33", "192.0.2.77/", "192.0.2.77/a", "2001:db8::/129", "192.0.2.77:a",
		"1:2", "in-addr.arpa", "example.in-addr.arpa", "ip6.arpa", "-1", "1-2", "*", "*.0.2.77", "192.0.2.77/255.0.255.0",
		strings.Repeat("0", 1000) + "1", "00:50:56:ff:fe:00",
	} {
		if p, notation, ok := ParseAddress(have); ok {
			t.Errorf("%.40q is read as %v %q", have, p, notation)
		}
	}
}

// dns is what a dNSName yields.
func dns(v string) (ids []string) {
	var s Scan
	s.reset()
	s.host(InDNS, []byte(v), []byte(v))
	for _, id := range s.Idents {
		if id.Prefix.IsValid() {
			ids = append(ids, id.Prefix.String()+" "+id.Odd)
		} else {
			ids = append(ids, string(id.Name)+" "+id.Odd)
		}
	}
	return ids
}

func TestADNSNameIsReadInEveryWayAClientMight(t *testing.T) {
	for _, test := range []struct {
		name, have string
		want       []string
	}{
		{"plain", "www.example.com", []string{"www.example.com "}},
		{"upper case is no oddity", "WWW.Example.com", []string{"www.example.com "}},
		{"D19: UTF-8", "bücher.example.org", []string{"xn--bcher-kva.example.org utf8-name"}},
		{"D19: Latin-1", "b\xfccher.example.org", []string{"xn--bcher-kva.example.org latin1-name"}},
		{"D19: A-label", "xn--bcher-kva.example.org", []string{"xn--bcher-kva.example.org "}},
		{"D19: mixed case", "A.Example.ORG", []string{"a.example.org "}},
		{"D19: trailing dot", "a.example.org.", []string{"a.example.org trailing-dot"}},
		{"D19: trailing space", "a.example.org ", []string{"a.example.org edge-space"}},
		{"two trailing dots", "a.example.org..", []string{"a.example.org empty-label"}},
		{"leading dot", ".example.org", []string{"example.org leading-dot"}},
		{"empty label", "a..example.org", []string{"a.example.org empty-label"}},
		{"nothing", "", nil},
		{"only a dot", ".", nil},
		{"a NUL byte: the part before it, and the whole", "www.example.com\x00.evil.example",
			[]string{"www.example.com nul-byte", "www.example.com\x00.evil.example nul-byte", "evil.example nul-byte"}},
		{"soft hyphen", "exam\u00adple.com", []string{"example.com invisible-character"}},
		{"zero-width joiner", "exam\u200dple.com", []string{"example.com invisible-character"}},
		{"fullwidth", "ｅｘａｍｐｌｅ.com", []string{"example.com wide-character"}},
		{"ideographic dot", "example。com", []string{"example.com wide-character"}},
		{"kind before it", "DNS:www.example.com", []string{"www.example.com type-prefix"}},
		{"URL", "https://www.example.com/login?x#y", []string{"www.example.com url-in-name"}},
		{"path", "www.example.com/login", []string{"www.example.com url-in-name"}},
		{"port", "www.example.com:8443", []string{"www.example.com port"}},
		{"URL with user and port", "https://a@www.example.com:8443/", []string{"www.example.com url-in-name"}},
		{"user", "admin@example.com", []string{"example.com user-part"}},
		{"percent", "www%2eexample%2Ecom", []string{"www.example.com percent-encoded"}},
		{"percent twice", "www%252eexample.com", []string{"www.example.com percent-encoded"}},
		{"backslash", `www\.example.com`, []string{"www.example.com backslash"}},
		{"markup", "<!channel>|www.example.com", []string{"www.example.com name-in-text"}},
		{"list", "a.example.com, b.example.com;c.example.com", []string{"a.example.com name-in-text", "b.example.com name-in-text", "c.example.com name-in-text"}},
		{"space beside a dot", "www .example.com", []string{"www.example.com inner-space"}},
		{"newline", "www.example.com\r\n", []string{"www.example.com edge-space"}},
		{"words", "global trustee", []string{"global trustee bad-character"}},
		{"a question mark for a wildcard", "?.example.net", []string{"?.example.net bad-character"}},
		{"wildcard", "*.example.com", []string{"*.example.com "}},
		{"wildcard of a top-level domain", "*.com", []string{"*.com wildcard-form"}},
		{"wildcard alone", "*", []string{"* wildcard-form"}},
		{"partial wildcard", "f*o.example.com", []string{"f*o.example.com wildcard-form"}},
		{"long label", strings.Repeat("a", 64) + ".example.com", []string{strings.Repeat("a", 64) + ".example.com label-long"}},
		{"A-label that is none", "xn--99999999.example", []string{"xn--99999999.example "}},

		{"D21: address", "192.0.2.1", []string{"192.0.2.1/32 ip-in-dns"}},
		{"IPv6 address", "2001:db8::1", []string{"2001:db8::1/128 ip-in-dns"}},
		{"leading zeros: two readings", "192.000.002.077", []string{"192.0.2.77/32 ip-leading-zeros", "192.0.2.63/32 ip-octal"}},
		{"two addresses", "192.0.2.77,192.0.2.78", []string{"192.0.2.77/32 ip-in-text", "192.0.2.78/32 ip-in-text"}},
		{"address and NUL", "192.0.2.77\x00", []string{"192.0.2.77/32 nul-byte", "192.0.2.77/32 nul-byte"}},
		{"address of a URL", "https://192.0.2.77/", []string{"192.0.2.77/32 url-in-name"}},
		{"user at an address", "x@192.0.2.77", []string{"192.0.2.77/32 user-part"}},
		{"reverse name", "1.2.0.192.in-addr.arpa", []string{"1.2.0.192.in-addr.arpa ", "192.0.2.1/32 ip-arpa"}},
		{"reverse zone", "2.0.192.in-addr.arpa", []string{"2.0.192.in-addr.arpa ", "192.0.2.0/24 ip-arpa"}},
		{"a name that begins like an address", "192.0.2.77.benign.example", []string{"192.0.2.77.benign.example "}},
		{"a number too many", "192.0.2.770", []string{"192.0.2.770 "}},
		{"6to4", "2002:c000:24d::", []string{"2002:c000:24d::/128 ip-in-dns", "192.0.2.77/32 ip-6to4"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := dns(test.have)
			for i := range got { // NUL in the whole name is not for normal forms to hide
				got[i] = strings.TrimRight(got[i], "\n")
			}
			var unique []string
			for _, id := range got {
				if !slices.Contains(unique, id) {
					unique = append(unique, id)
				}
			}
			var want []string
			for _, id := range test.want {
				if !slices.Contains(want, id) {
					want = append(want, id)
				}
			}
			for _, w := range want {
				if !slices.Contains(unique, w) {
					t.Errorf("%q is missing in %q", w, got)
				}
			}
			for _, g := range unique {
				if !slices.Contains(want, g) && !strings.Contains(test.have, "\x00") {
					t.Errorf("%q is too much", g)
				}
			}
		})
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"www.example.com", "bücher.example.org", "a..b", "xn--.x", "1.2.3.4", "\u202eabc", "b\xfc", strings.Repeat("ü.", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		dns(text)
		n, err := Name(text)
		if err != nil {
			return
		}
		if again, err := Name(n); err != nil || again != n {
			t.Fatalf("%q has the normal form %q, which has %q (%v)", text, n, again, err)
		}
		found := false
		for _, id := range dns(text) {
			found = found || strings.HasPrefix(id, n+" ")
		}
		if !found {
			t.Fatalf("%q is watched as %q, but a certificate for it reads %q", text, n, dns(text))
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"192.0.2.77", "0xc0.1", "0300.08.1.1", "[2001:db8::1%x]:1", "::ffff:1.2.3.4/100", "1.in-addr.arpa", "*.ip6.arpa", "f.f.ip6.arpa", "1/1", "*.1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, notation, ok := ParseAddress(text)
		if !ok {
			if p.IsValid() {
				t.Fatalf("%q is refused with %v", text, p)
			}
			if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
				t.Fatalf("%q is the address %v, but is refused", text, a)
			}
			return
		}
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() && p.Bits() >= 96 || p.Addr().Zone() != "" {
			t.Fatalf("%q is read as %v", text, p)
		}
		if _, known := Oddities()[notation]; !known && notation != "" {
			t.Fatalf("%q has the unknown notation %q", text, notation)
		}
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && a.Unmap() != p.Addr() {
			t.Fatalf("%q is %v, not %v", text, a, p)
		}
		if again, _, ok := ParseAddress(p.String()); !ok || again != p {
			t.Fatalf("%q is read as %v, which is read as %v", text, p, again)
		}
	})
}
