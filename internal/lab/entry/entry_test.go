package entry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

func TestFramingsOfKnownBytes(t *testing.T) {
	e := &Entry{Timestamp: 0x0102030405060708, Cert: []byte{0xc1}, Chain: [][]byte{{0xaa, 0xbb}}, Extensions: LeafIndex(0x0102030405)}
	p := *e
	p.Precert, p.PreCert = true, []byte{0xd1, 0xd2}
	p.IssuerKeyHash[0] = 0xee
	const stamp = "0102030405060708"
	fp := sha256.Sum256([]byte{0xaa, 0xbb})
	for name, row := range map[string][2]string{
		"leaf of a certificate":          {hex.EncodeToString(e.MerkleTreeLeaf()), "0000" + stamp + "0000" + "000001c1" + "0008" + "0000050102030405"},
		"leaf of a precertificate":       {hex.EncodeToString(p.MerkleTreeLeaf()), "0000" + stamp + "0001" + "ee" + zeros(31) + "000001c1" + "0008" + "0000050102030405"},
		"extra_data of a certificate":    {hex.EncodeToString(e.ExtraData()), "000005" + "000002aabb"},
		"extra_data of a precertificate": {hex.EncodeToString(p.ExtraData()), "000002d1d2" + "000005" + "000002aabb"},
		"tile leaf of a certificate":     {hex.EncodeToString(e.TileLeaf()), stamp + "0000" + "000001c1" + "0008" + "0000050102030405" + "0020" + hex.EncodeToString(fp[:])},
		"tile leaf of a precertificate":  {hex.EncodeToString(p.TileLeaf()), stamp + "0001" + "ee" + zeros(31) + "000001c1" + "0008" + "0000050102030405" + "000002d1d2" + "0020" + hex.EncodeToString(fp[:])},
	} {
		if row[0] != row[1] {
			t.Errorf("%s:\n got %s\nwant %s", name, row[0], row[1])
		}
	}
}

func zeros(n int) string { return hex.EncodeToString(make([]byte, n)) }

func TestNonsenseIsRefused(t *testing.T) {
	root, err := ca.NewRoot("Root", &ca.Options{Seed: "r"})
	if err != nil {
		t.Fatal(err)
	}
	i, err := root.Issue(ca.Leaf{CN: "a.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := root.NewPrecertSigner("Signer", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"empty certificate":                 second(Raw(nil, nil)),
		"no issuer":                         second(Precertificate(i.Precert, nil)),
		"garbage for the issuer":            second(Precertificate(i.Precert, [][]byte{{1}})),
		"no poison":                         second(Precertificate(root.Cert, [][]byte{root.Cert})),
		"precert signer without its issuer": second(Precertificate(i.Precert, [][]byte{signer.Cert})),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if IsPrecert(root.Cert) || !IsPrecert(i.Precert) || IsPrecert([]byte{0x30}) {
		t.Error("IsPrecert")
	}
}

func second(_ *Entry, err error) error { return err }

func TestBERPrecertificatesGiveTheSameLeaf(t *testing.T) {
	root, err := ca.NewRoot("Root", &ca.Options{Seed: "r"})
	if err != nil {
		t.Fatal(err)
	}
	i, err := root.Issue(ca.Leaf{CN: "a.example.com", Mutate: func(b *ca.TBS) { b.Indefinite = true }, Wrap: func(b []byte) []byte { return append(b, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Precertificate(i.Precert, i.Chain)
	if err != nil {
		t.Fatal(err)
	}
	body := i.TBS[2 : len(i.TBS)-2] // within indefinite length
	if !bytes.HasSuffix(e.Cert, body) {
		t.Error("the fields of the leaf are not those of the precertificate")
	}
}

// FuzzSubmission: whatever is submitted, a log answers and its frames hold what they say.
func FuzzSubmission(f *testing.F) {
	root, err := ca.NewRoot("Root", &ca.Options{Seed: "r"})
	if err != nil {
		f.Fatal(err)
	}
	i, err := root.Issue(ca.Leaf{CN: "a.example.com", DNS: []string{"a.example.com"}, KeySeed: "k"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(i.Precert, root.Cert)
	f.Add(i.TBS, i.Precert)
	f.Add([]byte{0x30, 0x80, 0x30, 0x80, 0, 0, 0, 0}, []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, leaf, issuer []byte) {
		var roots Roots
		roots.Add(root.Cert)
		_, _ = roots.Complete([][]byte{leaf, issuer})
		_ = IssuedBy(leaf, issuer)
		e, err := Precertificate(leaf, [][]byte{issuer, root.Cert})
		if err != nil {
			return
		}
		if IsPrecert(encode(0x30, e.Cert)) {
			t.Error("the leaf still has the poison")
		}
		if got := len(e.TileLeaf()); got != 8+2+32+3+len(e.Cert)+2+3+len(leaf)+2+64 {
			t.Errorf("tile leaf of %d bytes", got)
		}
	})
}
