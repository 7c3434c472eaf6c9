package sct_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/sct"
)

func TestAReadableSCTCountsBesideADamagedOne(t *testing.T) {
	w := newWorld(t)
	for name, broken := range map[string][]byte{
		"cut": w.scts[0][:40], "empty": {}, "with bytes after the signature": append(bytes.Clone(w.scts[0]), 0),
	} {
		results, err := sct.NewVerifier(w.logs, nil).Embedded(w.finish(t, broken, w.scts[1]), w.issued.FinalChain, time.Now())
		if got := reasons(t, results); err == nil || !slices.Equal(got, []sct.Reason{""}) {
			t.Errorf("%s: reasons %q, error %v; want one SCT that counts, and an error", name, got, err)
		}
	}
}

func TestTwoListsCountAsNone(t *testing.T) {
	w := newWorld(t)
	list := ca.Extension{ID: ca.OIDSCTList, Value: ca.TLV(ca.TagOctetString, ca.SCTList(w.scts))}
	i, err := w.issuer.Issue(ca.Leaf{CN: "www.example.org", Extensions: []ca.Extension{list}})
	if err != nil {
		t.Fatal(err)
	}
	final, err := i.Finish(w.scts)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sct.NewVerifier(w.logs, nil).Embedded(final, i.FinalChain, time.Now()); err == nil || got != nil {
		t.Errorf("%d results, error %v", len(got), err)
	}
	if _, err := sct.PrecertEntry(final, [32]byte{}); err == nil {
		t.Error("an entry was rebuilt from a certificate with two lists")
	}
}

func TestAListThatIsMarkedCriticalIsRead(t *testing.T) {
	w := newWorld(t)
	i, err := w.issuer.Issue(ca.Leaf{CN: "www.example.org", Extensions: []ca.Extension{
		{ID: ca.OIDSCTList, Critical: true, Value: ca.TLV(ca.TagOctetString, ca.SCTList(w.scts))}}})
	if err != nil {
		t.Fatal(err)
	}
	final, err := i.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	// They are another certificate's.
	results, err := sct.NewVerifier(w.logs, nil).Embedded(final, i.FinalChain, time.Now())
	if got := reasons(t, results); err != nil || !slices.Equal(got, []sct.Reason{sct.BadSignature, sct.BadSignature}) {
		t.Errorf("reasons %q, %v", got, err)
	}
}

func TestTheOnlyExtensionLeavesAnEmptyFieldBehind(t *testing.T) {
	w := newWorld(t)
	i, err := w.issuer.Issue(ca.Leaf{CN: "www.example.org", Mutate: func(tbs *ca.TBS) { tbs.Extensions = nil }})
	if err != nil {
		t.Fatal(err)
	}
	// The entry as real logs make it: the list of extensions stays, empty.
	tbs, hash, err := cert.FinalTBS(i.Precert, i.Chain)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.lab.RFC6962.Key.SCT(&entry.Entry{Precert: true, Cert: tbs, IssuerKeyHash: hash, Timestamp: uint64(time.Now().UnixMilli())})
	if err != nil {
		t.Fatal(err)
	}
	final, err := i.Finish([][]byte{raw})
	if err != nil {
		t.Fatal(err)
	}
	results, err := sct.NewVerifier(w.logs, nil).Embedded(final, i.FinalChain, time.Now())
	if got := reasons(t, results); err != nil || !slices.Equal(got, []sct.Reason{""}) {
		t.Errorf("reasons %q, %v", got, err)
	}
}

func TestLeafIndexIsExactlyOneExtensionOfFiveBytes(t *testing.T) {
	for _, tt := range []struct {
		name       string
		extensions string
		want       uint64
		ok         bool
	}{
		{"the index", "\x00\x00\x05\x01\x02\x03\x04\x05", 0x0102030405, true},
		{"after another extension", "\x07\x00\x01x\x00\x00\x05\x00\x00\x00\x00\x09", 9, true},
		{"none", "", 0, false},
		{"only another extension", "\x07\x00\x01x", 0, false},
		{"four bytes", "\x00\x00\x04\x01\x02\x03\x04", 0, false},
		{"twice", "\x00\x00\x05\x00\x00\x00\x00\x01\x00\x00\x05\x00\x00\x00\x00\x01", 0, false},
		{"cut", "\x00\x00\x05\x01\x02", 0, false},
		{"junk behind", "\x00\x00\x05\x00\x00\x00\x00\x01\x07", 0, false},
	} {
		s := sct.SCT{Extensions: []byte(tt.extensions)}
		if got, ok := s.LeafIndex(); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}
