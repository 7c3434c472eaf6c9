package proposal_test

import (
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/proposal"
)

func TestZoneFiles(t *testing.T) {
	o := owners(t)
	for name, row := range map[string]struct {
		text, origin string
		want         proposal.Zone
		err          string
	}{
		"a zone names its owner, its issuers and where its names lead": {
			text: "$TTL 3600\n@ IN SOA ns1.example.com. hostmaster.example.com. 1 7200 900 1209600 300\n@ NS ns1\nwww A 192.0.2.1\nwww AAAA 2001:db8::1\n" +
				"@ CAA 0 issue \"letsencrypt.org; accounturi=https://a.example/1\"\n@ CAA 0 issuewild \";\"\n@ CAA 0 iodef \"mailto:x@example.com\"\n@ CAA 0 issue \"ca.unheard-of.example\"\n",
			origin: "example.com",
			want:   proposal.Zone{Name: "example.com", Owner: "hostmaster@example.com", Names: 2, HasCAA: true, CAA: []string{"letsencrypt.org"}, UnknownCAA: []string{"ca.unheard-of.example"}},
		},
		"dots in a mailbox are escaped": {
			text: "@ SOA . jane\\.doe.example.com. 1 2 3 4 5\n", origin: "example.com",
			want: proposal.Zone{Name: "example.com", Owner: "jane.doe@example.com", Names: 1},
		},
		"a responsible person counts more than the mailbox of the zone": {
			text: "@ SOA . hostmaster.example.com. 1 2 3 4 5\n@ RP jane.example.com. .\nwww RP joe.example.com. .\n", origin: "example.com",
			want: proposal.Zone{Name: "example.com", Owner: "jane@example.com", Names: 2},
		},
		"a reverse zone stands for a network": {
			text: "@ SOA . noc.example.com. 1 2 3 4 5\n1 PTR www.example.com.\n", origin: "2.0.192.in-addr.arpa",
			want: proposal.Zone{Owner: "noc@example.com", Names: 2},
		},
		"the file's own origin counts": {
			text: "$ORIGIN Example.ORG.\n@ SOA . noc 1 2 3 4 5\n", origin: "wrong.example",
			want: proposal.Zone{Name: "example.org", Owner: "noc@example.org", Names: 1},
		},
		"a CAA record of a name in the zone speaks as well": {
			text: "@ SOA . noc 1 2 3 4 5\nshop CAA 0 ISSUE \"DigiCert.com\"\n", origin: "example.com",
			want: proposal.Zone{Name: "example.com", Owner: "noc@example.com", Names: 2, HasCAA: true, CAA: []string{"digicert.com"}},
		},
		"what stands before an error is used, and the error told": {
			text: "@ SOA . noc 1 2 3 4 5\nwww A 192.0.2.1\nmail A not-an-address\n", origin: "example.com",
			want: proposal.Zone{Name: "example.com", Owner: "noc@example.com", Names: 2}, err: "line: 3",
		},
		"other files are not included": {
			text: "@ SOA . noc 1 2 3 4 5\n$INCLUDE /etc/hostname\n", origin: "example.com",
			want: proposal.Zone{Name: "example.com", Owner: "noc@example.com", Names: 1}, err: "$INCLUDE",
		},
		"an empty file is no zone":         {origin: "example.com", err: "no record"},
		"a public suffix is nobody's zone": {text: "@ SOA . noc 1 2 3 4 5\n", origin: "co.uk", want: proposal.Zone{Owner: "noc@co.uk", Names: 1}, err: "public suffix"},
	} {
		t.Run(name, func(t *testing.T) {
			z, err := proposal.ReadZone(strings.NewReader(row.text), row.origin, "zones/x", o)
			if row.err == "" && err != nil || row.err != "" && (err == nil || !strings.Contains(err.Error(), row.err) || !strings.Contains(err.Error(), "zones/x")) {
				t.Errorf("error %v, want one that says %q", err, row.err)
			}
			if strings.HasSuffix(row.origin, "in-addr.arpa") {
				if z.Network.String() != "192.0.2.0/24" {
					t.Errorf("network %s", z.Network)
				}
				row.want.Network = z.Network
			}
			if strings.Contains(row.text, "AAAA") {
				if len(z.Addresses) != 2 {
					t.Errorf("addresses %v", z.Addresses)
				}
			}
			z.Addresses = nil
			if got, want := zoneText(z), zoneText(row.want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func zoneText(z proposal.Zone) string {
	parts := []string{z.Name, z.Network.String(), z.Owner, strings.Join(z.CAA, " "), strings.Join(z.UnknownCAA, " ")}
	return strings.Join(parts, " | ") + strings.Repeat("*", z.Names) + map[bool]string{true: " CAA"}[z.HasCAA]
}

func TestOriginsFromNamesOfFiles(t *testing.T) {
	for base, want := range map[string]string{
		"db.example.com": "example.com", "example.com.zone": "example.com", "example.com": "example.com", "example.com.zone.signed": "example.com",
		"2.0.192.in-addr.arpa.db": "2.0.192.in-addr.arpa", "zone file": "", "": "",
	} {
		if got := proposal.OriginOf(base); got != want {
			t.Errorf("%q: %q, want %q", base, got, want)
		}
	}
}
