package app

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/facts"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/policy"
	"github.com/tocsin-ct/tocsin/internal/watch"
)

// guarding makes the stations that watch these items and expect an issuing key, if it is not "".
func guarding(t *testing.T, spki string, items ...string) *Stations {
	t.Helper()
	owners, err := facts.LoadOwners()
	if err != nil {
		t.Fatal(err)
	}
	w := watch.Watch{Name: "ours"}
	for _, text := range items {
		it, err := watch.ParseItem(text, watch.Place{})
		if err != nil {
			t.Fatal(err)
		}
		w.Items = append(w.Items, it)
	}
	rule := policy.Watch{Name: w.Name, Items: w.Items}
	if spki != "" {
		rule.Expect = &policy.Expect{Issuers: []string{"spki:" + spki}}
	}
	st := &Stations{Watches: []watch.Watch{w}, Owners: owners}
	if st.Rules, err = policy.Compile([]policy.Watch{rule}, owners); err != nil {
		t.Fatal(err)
	}
	if st.Keys, err = facts.OpenKeys(nil); err != nil {
		t.Fatal(err)
	}
	st.Matcher = watch.New(st.Watches)
	return st
}

// issuance is one issuance by a precertificate signing CA, as a log and as people have it.
func issuance(t *testing.T, wrap func([]byte) []byte) (pre, final Subject, i *ca.Issued, issuing *ca.Authority) {
	t.Helper()
	root, err := ca.NewRoot("Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	issuing, err = root.NewIntermediate("Issuing", nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := issuing.NewPrecertSigner("Precert Signing", nil)
	if err != nil {
		t.Fatal(err)
	}
	if i, err = signer.Issue(ca.Leaf{CN: "www.example.com", DNS: []string{"www.example.com"}}); err != nil {
		t.Fatal(err)
	}
	if _, err = i.Finish([][]byte{bytes.Repeat([]byte{1}, 40)}); err != nil {
		t.Fatal(err)
	}
	e, err := entry.Precertificate(i.Precert, i.Chain)
	if err != nil {
		t.Fatal(err)
	}
	logged := &ctlog.Entry{Extra: e.ExtraData()}
	ctlog.ReadMerkleTreeLeaf(logged, e.MerkleTreeLeaf())
	precert, chain, err := ctlog.ReadExtra(true, logged.Extra)
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		precert = wrap(precert)
	}
	return FromEntry(logged, precert, chain), Subject{Bytes: i.Final, Chain: i.FinalChain}, i, issuing
}

func TestD22TheLeafOfALogAndTheCertificateAreOneIssuanceOfTheFinalIssuer(t *testing.T) {
	pre, final, i, issuing := issuance(t, nil)
	st := guarding(t, hexOrNone(issuing.KeyHash()), "example.com")
	want := cert.Identity(i.TBS, issuing.KeyHash())
	for name, sub := range map[string]Subject{
		"the leaf of a precertificate":         pre,
		"the certificate":                      final,
		"the precertificate from a file":       {Bytes: i.Precert, Chain: i.Chain},
		"the certificate, its chain reordered": {Bytes: i.Final, Chain: reversed(i.FinalChain)},
	} {
		r := st.Read(sub)
		if r.ID != want {
			t.Errorf("%s: another issuance", name)
		}
		if r.Facts.Issuer.SPKI != issuing.KeyHash() || !r.Facts.Issuer.Proven {
			t.Errorf("%s: issuer %+v", name, r.Facts.Issuer)
		}
		if v := st.Decide(r, time.Now()); v.Level != policy.Expected {
			t.Errorf("%s: %v, %+v", name, v.Level, v.Reasons)
		}
	}
}

func reversed(list [][]byte) [][]byte {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

func TestWhatLiesBesideALeafIsNotBelieved(t *testing.T) {
	pre, _, i, issuing := issuance(t, func(der []byte) []byte {
		return bytes.Replace(der, []byte("www.example.com"), []byte("www.example.net"), 1)
	})
	st := guarding(t, hexOrNone(issuing.KeyHash()), "example.com")
	r := st.Read(pre)
	if len(r.Matches) == 0 || r.ID != cert.Identity(i.TBS, issuing.KeyHash()) {
		t.Error("the leaf is what counts")
	}
	if r.Facts.Issuer.Proven {
		t.Errorf("a precertificate that does not lead to the leaf proves nothing: %+v", r.Facts.Issuer)
	}
	if v := st.Decide(r, time.Now()); v.Level != policy.Alarm {
		t.Errorf("%v, want alarm: an issuer that is not proven is never expected", v.Level)
	}
}

func TestTheFastHalfAndTheFullReadingTouchTheSame(t *testing.T) {
	pre, final, i, _ := issuance(t, nil)
	garbage := append([]byte{1, 2, 3, 0x82, 15}, "www.example.com"...)
	for _, items := range [][]string{{"example.com"}, {"=example.com"}, {"example.org"}, {"192.0.2.0/24"}} {
		st := guarding(t, "", items...)
		var scan cert.Scan
		for _, sub := range []Subject{pre, final, {Bytes: i.Precert}, {Bytes: garbage}, {Bytes: nil}} {
			if fast, full := st.Touches(&scan, sub.Bytes, sub.Precert), len(st.Read(sub).Matches) > 0; fast != full {
				t.Errorf("%v: scanned %v, read %v, bytes %.20x", items, fast, full, sub.Bytes)
			}
		}
	}
}

func TestAskingAboutAStateThatIsNotThereSaysWhatToDo(t *testing.T) {
	state := filepath.Join(t.TempDir(), "none.db")
	_, err := AskCoverage(t.Context(), state)
	var ask *AskError
	if !errors.As(err, &ask) || !strings.Contains(ask.Text, state) || ask.Hint() == "" {
		t.Errorf("error %v", err)
	}
	if _, err := AskExplain(t.Context(), state, "abcd"); !errors.As(err, &ask) {
		t.Errorf("error %v", err)
	}
}

func TestTheSocketStandsBesideTheStateWhereThePathIsShortEnough(t *testing.T) {
	if got := SocketPath("/var/lib/tocsin.db"); got != "/var/lib/tocsin.db.sock" {
		t.Errorf("got %s", got)
	}
	long := "/" + strings.Repeat("d/", 80)
	a, b := SocketPath(long+"a.db"), SocketPath(long+"b.db")
	if len(a) > 100+len(filepath.Dir(a)) || a == b || a != SocketPath(long+"a.db") || strings.Contains(a, "d/d/d") {
		t.Errorf("got %s and %s", a, b)
	}
}
