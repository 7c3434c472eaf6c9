package facts_test

import (
	"crypto/x509"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/facts"
)

// given is a certificate as a log or a file gives it.
type given struct {
	cert  []byte // certificate, or TBSCertificate
	leaf  [32]byte
	chain [][]byte
	table *facts.Owners
}

func TestWhoIssuedIt(t *testing.T) {
	root := ca(t, "Example Root", nil)
	sub := ca(t, "Example Sub", root)
	deep := ca(t, "Example Deep", sub)
	stranger := ca(t, "Stranger", nil)
	twin := ca(t, "Example Root", nil) // the name of the root with another key
	one := leaf(t, sub)

	// A precertificate, the certificate that it announces, and the TBSCertificate that a log's leaf holds.
	key := newKey(t)
	pre := sign(t, poisoned(leafTemplate()), key, sub)
	final := sign(t, leafTemplate(), key, sub)
	tbs := final.x509.RawTBSCertificate

	special := func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{precertCA} }
	psc := ca(t, "Example Precert Signing", sub, special)
	pscPre := sign(t, poisoned(leafTemplate()), key, psc)
	noCA := sign(t, func() *x509.Certificate { c := template("No CA"); special(c); return c }(), newKey(t), sub)
	noCAPre := sign(t, poisoned(leafTemplate()), key, noCA)

	known := table(t, row(sub, "ccadb", "0"))
	rootKnown := table(t, row(root, "ccadb", "1"))
	both := table(t, row(root, "ccadb", "1"), row(sub, "chain", "0"))
	chain := func(all ...*authority) (c [][]byte) {
		for _, a := range all {
			c = append(c, a.der())
		}
		return c
	}
	alpha, beta := []string{"Alpha Trust Inc."}, []string{"Beta CA"}

	// A certificate of the attacker, issued with the key of his honestly acquired end-entity certificate.
	hisLeaf := leaf(t, sub)
	forged := leaf(t, hisLeaf)
	short := ca(t, "Example Short", root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	below := ca(t, "Below Short", short)
	self := leaf(t, nil)

	crossKey := newKey(t)
	crossTemplate := func() *x509.Certificate {
		c := template("Cross")
		c.IsCA, c.BasicConstraintsValid = true, true
		return c
	}
	crossA, crossB := sign(t, crossTemplate(), crossKey, sub), sign(t, crossTemplate(), crossKey, root)

	for _, r := range []struct {
		name   string
		given  given
		proven bool
		key    [32]byte
		owners []string
		basis  string
		why    string
	}{
		{"a certificate is proven by the key under which it verifies",
			given{one.der(), [32]byte{}, chain(sub, root), known}, true, sub.spki(), alpha, facts.BasisCCADB, "verifies under this key"},
		{"D23: the order of the chain does not matter, nor do strangers in it",
			given{one.der(), [32]byte{}, chain(stranger, root, one, twin, sub), known}, true, sub.spki(), alpha, facts.BasisCCADB, "verifies under this key"},
		{"bytes that are no certificate do no harm in a chain",
			given{one.der(), [32]byte{}, append([][]byte{nil, {0x30}, []byte("hello")}, sub.der()), known}, true, sub.spki(), alpha, facts.BasisCCADB, "verifies"},
		{"a key that the table has by verified signatures is as good",
			given{one.der(), [32]byte{}, chain(sub), both}, true, sub.spki(), alpha, facts.BasisChain, "verifies"},
		{"all owners that answer for a key are named",
			given{one.der(), [32]byte{}, chain(sub), table(t, row(sub, "ccadb", "0,2"))}, true, sub.spki(), []string{"Alpha Trust Inc.", "Gamma"}, facts.BasisCCADB, "verifies"},
		{"an issuer that is not at hand is not proven",
			given{one.der(), [32]byte{}, chain(root, stranger), known}, false, [32]byte{}, nil, "", "none of the 2 keys"},
		{"without a chain nothing is proven",
			given{one.der(), [32]byte{}, nil, known}, false, [32]byte{}, nil, "", "no issuer certificate is at hand"},
		{"the name of a CA proves nothing",
			given{leaf(t, twin).der(), [32]byte{}, chain(root), rootKnown}, false, [32]byte{}, nil, "", "none of the 1 keys"},
		{"an unknown intermediate takes the owner of its nearest known ancestor",
			given{leaf(t, deep).der(), [32]byte{}, chain(deep, sub, root), both}, true, deep.spki(), alpha, facts.BasisAncestor, "verifies"},
		{"an unknown intermediate may lie several steps below a known key",
			given{leaf(t, deep).der(), [32]byte{}, chain(root, deep, sub), rootKnown}, true, deep.spki(), beta, facts.BasisAncestor, "verifies"},
		{"an ancestor by name alone is none",
			given{one.der(), [32]byte{}, chain(sub, twin), table(t, row(twin, "ccadb", "1"))}, true, sub.spki(), nil, "", "verifies"},
		{"a gap in the chain ends the search",
			given{leaf(t, deep).der(), [32]byte{}, chain(deep, root), rootKnown}, true, deep.spki(), nil, "", "verifies"},
		{"a cross-certified intermediate has the owners of all that certified it",
			given{leaf(t, crossA).der(), [32]byte{}, chain(crossA, crossB, sub, root), both}, true, crossA.spki(), []string{"Alpha Trust Inc.", "Beta CA"}, facts.BasisAncestor, "verifies"},
		{"an end entity that signs passes no owner on",
			given{forged.der(), [32]byte{}, chain(hisLeaf, sub, root), both}, true, hisLeaf.spki(), nil, "", "verifies"},
		{"a CA below one that may have none passes no owner on",
			given{leaf(t, below).der(), [32]byte{}, chain(below, short, root), rootKnown}, true, below.spki(), nil, "", "verifies"},
		{"a key known only by its own name has no owner",
			given{one.der(), [32]byte{}, chain(sub), table(t, row(sub, "subject-o", "0"))}, true, sub.spki(), nil, "", "verifies"},
		{"a key known only by its own name takes the owner of a known ancestor",
			given{one.der(), [32]byte{}, chain(sub, root), table(t, row(sub, "subject-o", "0"), row(root, "ccadb", "1"))}, true, sub.spki(), beta, facts.BasisAncestor, "verifies"},
		{"a self-signed certificate is its own issuer, whose owner is unknown",
			given{self.der(), [32]byte{}, nil, known}, true, self.spki(), nil, "", "by its own key"},

		{"the leaf of a precertificate is proven by the precertificate that leads to it",
			given{tbs, sub.spki(), chain(pre, sub, root), known}, true, sub.spki(), alpha, facts.BasisCCADB, "which the leaf names"},
		{"the precertificate may stand anywhere in what a log sends",
			given{tbs, sub.spki(), chain(root, sub, stranger, pre), known}, true, sub.spki(), alpha, facts.BasisCCADB, "which the leaf names"},
		{"a precertificate that was taken from its entry is proven alike",
			given{pre.der(), sub.spki(), chain(sub, root), known}, true, sub.spki(), alpha, facts.BasisCCADB, "which the leaf names"},
		{"a leaf without its precertificate is not proven, whatever key it names",
			given{tbs, sub.spki(), chain(sub, root), known}, false, sub.spki(), nil, "", "precertificate itself is not at hand"},
		{"a leaf that names another key than the signer's is not proven",
			given{tbs, root.spki(), chain(pre, sub, root), both}, false, root.spki(), nil, "", "no precertificate at hand"},
		{"a precertificate whose leaf names another key than the signer's is not proven",
			given{pre.der(), root.spki(), chain(sub, root), both}, false, root.spki(), nil, "", "does not verify under the issuer key that the leaf names"},
		{"a leaf that names a key which is not at hand is not proven",
			given{pre.der(), stranger.spki(), chain(sub, root), both}, false, stranger.spki(), nil, "", "no certificate at hand has the issuer key"},
		{"a precertificate that says something else than the leaf proves nothing",
			given{sign(t, func() *x509.Certificate { c := leafTemplate(); c.DNSNames = []string{"a.example.com"}; return c }(), key, sub).x509.RawTBSCertificate,
				sub.spki(), chain(pre, sub), known}, false, sub.spki(), nil, "", "says what the leaf says"},
		{"a leaf without an issuer key hash is not proven",
			given{tbs, [32]byte{}, chain(pre, sub), known}, false, [32]byte{}, nil, "", "not proven"},

		{"D22: a precertificate signed by a precertificate signing CA belongs to the issuer above",
			given{tbs, sub.spki(), chain(pscPre, psc, sub, root), known}, true, sub.spki(), alpha, facts.BasisCCADB, "through a precertificate signing certificate"},
		{"D22: also from a file, without a leaf",
			given{pscPre.der(), [32]byte{}, chain(psc, sub), known}, true, sub.spki(), alpha, facts.BasisCCADB, "through a precertificate signing certificate"},
		{"D22: a leaf that names the precertificate signing CA itself is not proven",
			given{tbs, psc.spki(), chain(pscPre, psc, sub, root), table(t, row(psc, "ccadb", "0"))}, false, psc.spki(), nil, "", "not proven"},
		{"D22: without the issuer above nothing is proven",
			given{pscPre.der(), [32]byte{}, chain(psc, root), known}, false, [32]byte{}, nil, "", "none of the 2 keys"},
		{"D22: an end entity with that key usage cannot speak for the issuer above",
			given{tbs, sub.spki(), chain(noCAPre, noCA, sub, root), known}, false, sub.spki(), nil, "", "not proven"},
		{"D22: an end entity with that key usage, seen from a file, is itself the issuer, and nobody's",
			given{noCAPre.der(), [32]byte{}, chain(noCA, sub, root), known}, true, noCA.spki(), nil, "", "verifies under this key"},
		{"D22: a leaf that names another key than the issuer above is not proven",
			given{pscPre.der(), root.spki(), chain(psc, sub, root), both}, false, root.spki(), nil, "", "not proven"},
		{"D22: a final certificate is never issued through a precertificate signing CA",
			given{leaf(t, psc).der(), [32]byte{}, chain(psc, sub), table(t, row(psc, "subject-o", "2"))}, true, psc.spki(), nil, "", "verifies under this key"},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := r.given.table.Issuer(cert.Parse(r.given.cert), r.given.leaf, r.given.chain)
			want := facts.Issuer{Proven: r.proven, SPKI: r.key, Owners: r.owners, Basis: r.basis}
			if diff := cmp.Diff(want, facts.Issuer{Proven: got.Proven, SPKI: got.SPKI, Owners: got.Owners, Basis: got.Basis}); diff != "" {
				t.Errorf("issuer (-want +got):\n%s\nwhy: %s\nnote: %s", diff, got.Why, got.Note)
			}
			if !strings.Contains(got.Why, r.why) {
				t.Errorf("why %q, want something with %q", got.Why, r.why)
			}
			if got.Note == "" || got.Name == "" {
				t.Errorf("note %q and name %q must say something", got.Note, got.Name)
			}
		})
	}
}

func TestTheDomainsOfAllOwnersAreGiven(t *testing.T) {
	sub := ca(t, "Example Sub", nil)
	got := table(t, row(sub, "ccadb", "0,1")).Issuer(cert.Parse(leaf(t, sub).der()), [32]byte{}, [][]byte{sub.der()})
	want := []string{"alpha.example", "beta.example", "shared.example"}
	if diff := cmp.Diff(want, got.Domains); diff != "" {
		t.Errorf("domains (-want +got):\n%s", diff)
	}
}

func TestNobodysTableKnowsNothing(t *testing.T) {
	sub := ca(t, "Example Sub", nil)
	f := facts.Gather(cert.Parse(leaf(t, sub).der()), [32]byte{}, [][]byte{sub.der()}, nil, nil)
	if !f.Issuer.Proven || f.Issuer.Owners != nil || f.Key.Owned {
		t.Errorf("%+v", f)
	}
}

func TestAnEndlessChainIsNotReadToItsEnd(t *testing.T) {
	sub := ca(t, "Example Sub", nil)
	one := leaf(t, sub)
	var chain [][]byte
	for range facts.MaxChain {
		chain = append(chain, ca(t, "Example Sub", nil).der()) // the right name, the wrong key
	}
	got := table(t).Issuer(cert.Parse(one.der()), [32]byte{}, append(chain, sub.der()))
	if got.Proven || !strings.Contains(got.Why, "too long") {
		t.Errorf("proven %v, why %q", got.Proven, got.Why)
	}
}

func FuzzIssuer(f *testing.F) {
	root := ca(f, "Example Root", nil)
	sub := ca(f, "Example Sub", root)
	pre := sign(f, poisoned(leafTemplate()), newKey(f), sub)
	one := leaf(f, sub)
	spki := sub.spki()
	f.Add(one.der(), sub.der(), root.der(), []byte{})
	f.Add(pre.der(), sub.der(), root.der(), spki[:])
	f.Add(one.x509.RawTBSCertificate, pre.der(), sub.der(), spki[:])
	known := table(f, row(root, "ccadb", "0"))
	f.Fuzz(func(t *testing.T, c, a, b, hash []byte) {
		var leaf [32]byte
		copy(leaf[:], hash)
		got := facts.Gather(cert.Parse(c), leaf, [][]byte{a, b}, known, nil).Issuer
		if len(got.Owners) > 0 && !got.Proven || got.Proven && leaf != [32]byte{} && got.SPKI != leaf {
			t.Errorf("%+v", got)
		}
	})
}

// A chain of three: one signature of the certificate, two on the way up. Limit: 2 ms on one core.
func BenchmarkIssuer(b *testing.B) {
	root := ca(b, "Example Root", nil)
	sub := ca(b, "Example Sub", root)
	deep := ca(b, "Example Deep", sub)
	c := cert.Parse(leaf(b, deep).der())
	chain := [][]byte{deep.der(), sub.der(), root.der()}
	o := table(b, row(root, "ccadb", "0"))
	b.ReportAllocs()
	for b.Loop() {
		if o.Issuer(c, [32]byte{}, chain).Basis != facts.BasisAncestor {
			b.Fatal("lost")
		}
	}
}
