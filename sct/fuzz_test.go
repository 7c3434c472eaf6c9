package sct_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

// FuzzSCTList: no list disturbs the reader, and what it reads is in the list as it stands.
func FuzzSCTList(f *testing.F) {
	w := fixedWorld(f)
	f.Add(ca.SCTList(w.scts))
	f.Add(ca.SCTList(w.scts[:1]))
	f.Add(ca.SCTList([][]byte{{1}, {}, w.scts[1][:30]}))
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		scts, err := sct.ParseList(b)
		if len(scts) == 0 && err == nil {
			t.Fatal("no SCTs and no error")
		}
		var again [][]byte
		for _, s := range scts {
			again = append(again, s.Raw)
			s.LeafIndex()
			_ = s.Time().Format(time.RFC3339)
			if s.Version == 0 && !bytes.Equal(edited(t, s.Raw, func(*sct.SCT) {}), s.Raw) {
				t.Fatal("the fields do not make up the SCT")
			}
		}
		if err == nil && !bytes.Equal(ca.SCTList(again), b) {
			t.Fatal("the SCTs do not make up the list")
		}
	})
}

// FuzzVerify: whatever becomes of a certificate and its issuers, an SCT counts only for what the log has signed.
func FuzzVerify(f *testing.F) {
	w := fixedWorld(f)
	v := sct.NewVerifier(w.logs, nil)
	f.Add(w.issued.Final, w.issued.FinalChain[0])
	f.Add(w.finish(f, w.scts[1], w.scts[0][:30]), w.issued.FinalChain[1])
	f.Add(w.finish(f), w.issued.Final)
	f.Add([]byte{0x30, 0x80}, []byte{})
	f.Fuzz(func(t *testing.T, cert, issuer []byte) {
		results, _ := v.Embedded(cert, [][]byte{issuer, w.issued.FinalChain[0]}, time.Now())
		for _, r := range results {
			if r.Err == nil && (!bytes.Equal(r.Entry.Cert, w.issued.TBS) || r.SCT.LogID != w.logs[0].ID && r.SCT.LogID != w.logs[1].ID) {
				t.Fatal("an SCT counts for what no log has signed")
			}
		}
	})
}

// fixedWorld is the same in each process, so that what the fuzzer keeps stays meaningful. Its logs do not run.
func fixedWorld(t testing.TB) *world {
	t.Helper()
	w := &world{}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var err error
	if w.root, err = ca.NewRoot("Example Root", &ca.Options{Seed: "root", From: start}); err != nil {
		t.Fatal(err)
	}
	if w.issuer, err = w.root.NewIntermediate("Example CA 1", &ca.Options{Seed: "issuer", From: start}); err != nil {
		t.Fatal(err)
	}
	w.issued, err = w.issuer.Issue(ca.Leaf{CN: "www.example.org", DNS: []string{"www.example.org"}, KeySeed: "leaf", From: start, Serial: []byte{1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := entry.Precertificate(w.issued.Precert, w.issued.Chain)
	if err != nil {
		t.Fatal(err)
	}
	e.Timestamp = uint64(start.UnixMilli())
	for i, kind := range []loglist.Kind{loglist.RFC6962, loglist.Static} {
		signer, err := ca.NewKey(ca.P256, kind.String())
		if err != nil {
			t.Fatal(err)
		}
		key, err := sequence.NewKey(signer)
		if err != nil {
			t.Fatal(err)
		}
		l, err := loglist.FromKey(kind, "https://log.example.com/2027", "", key.SPKI, "")
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			e.Extensions = entry.LeafIndex(7)
		}
		raw, err := key.SCT(e)
		if err != nil {
			t.Fatal(err)
		}
		w.logs, w.scts = append(w.logs, l), append(w.scts, raw)
	}
	w.finish(t, w.scts...)
	if results, err := sct.NewVerifier(w.logs, nil).Embedded(w.issued.Final, w.issued.FinalChain, time.Now()); err != nil || !slices.Equal(reasons(t, results), valid()) {
		t.Fatalf("reasons %q, %v", reasons(t, results), err)
	}
	return w
}
