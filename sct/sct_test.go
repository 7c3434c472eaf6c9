package sct_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/lab"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

// world is a CA with an intermediate, two logs, and one certificate with an SCT of each: the RFC 6962 log's first.
type world struct {
	lab    *lab.Lab
	logs   []loglist.Log
	root   *ca.Authority
	issuer *ca.Authority
	issued *ca.Issued
	scts   [][]byte
}

func newWorld(t testing.TB) *world {
	t.Helper()
	l, err := lab.Start(t.Context(), &lab.Options{Merge: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w := &world{lab: l}
	b, err := l.LogList()
	if err != nil {
		t.Fatal(err)
	}
	list, err := loglist.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	w.logs = list.Logs
	if w.root, err = ca.NewRoot("Example Root", nil); err != nil {
		t.Fatal(err)
	}
	if w.issuer, err = w.root.NewIntermediate("Example CA 1", nil); err != nil {
		t.Fatal(err)
	}
	w.issued, w.scts = w.issue(t, w.issuer)
	return w
}

func (w *world) issue(t testing.TB, by *ca.Authority) (*ca.Issued, [][]byte) {
	t.Helper()
	i, err := by.Issue(ca.Leaf{CN: "www.example.org", DNS: []string{"www.example.org"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	if err != nil {
		t.Fatal(err)
	}
	scts, err := w.lab.Submit(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	return i, scts
}

func (w *world) finish(t testing.TB, scts ...[]byte) []byte {
	t.Helper()
	der, err := w.issued.Finish(scts)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// reasons are why the SCTs of the certificate do not count; "" for those that do.
func reasons(t testing.TB, results []sct.Result) []sct.Reason {
	t.Helper()
	var out []sct.Reason
	for _, r := range results {
		var e *sct.Error
		switch {
		case r.Err == nil:
			out = append(out, "")
		case errors.As(r.Err, &e):
			out = append(out, e.Reason)
			if e.Text == "" {
				t.Errorf("%s without a text", e.Reason)
			}
		default:
			t.Errorf("an error of another kind: %v", r.Err)
		}
	}
	return out
}

func valid() []sct.Reason { return []sct.Reason{"", ""} }

// edited is a serialized SCT with one change.
func edited(t testing.TB, raw []byte, edit func(*sct.SCT)) []byte {
	t.Helper()
	s, err := sct.Parse(bytes.Clone(raw))
	if err != nil {
		t.Fatal(err)
	}
	edit(&s)
	out := append([]byte{s.Version}, s.LogID[:]...)
	for shift := 56; shift >= 0; shift -= 8 {
		out = append(out, byte(s.Timestamp>>shift))
	}
	out = append(append(out, byte(len(s.Extensions)>>8), byte(len(s.Extensions))), s.Extensions...)
	out = append(out, s.Hash, s.Algorithm, byte(len(s.Signature)>>8), byte(len(s.Signature)))
	return append(out, s.Signature...)
}

func TestWhatTheLogsSignedVerifies(t *testing.T) {
	w := newWorld(t)
	v := sct.NewVerifier(w.logs, nil)
	results, err := v.Embedded(w.issued.Final, w.issued.FinalChain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got := reasons(t, results); !slices.Equal(got, valid()) {
		t.Fatalf("reasons %q, want two SCTs that count", got)
	}
	for i, r := range results {
		if !bytes.Equal(r.SCT.Raw, w.scts[i]) || r.Log == nil || r.Log.ID != r.SCT.LogID {
			t.Errorf("SCT %d: %+v", i, r)
		}
		if !bytes.Equal(r.Entry.Cert, w.issued.TBS) || r.Entry.IssuerKeyHash != w.issued.IssuerKeyHash() {
			t.Errorf("SCT %d: the entry is not the one that the CA submitted", i)
		}
	}
	if _, ok := results[0].SCT.LeafIndex(); ok {
		t.Error("the SCT of an RFC 6962 log has an index")
	}
	if index, ok := results[1].SCT.LeafIndex(); !ok || index != 0 {
		t.Errorf("the SCT of the static log has index %d, %v; want 0", index, ok)
	}
}

func TestTheLeafIsTheOneThatTheLogMerged(t *testing.T) {
	w := newWorld(t)
	results, err := sct.NewVerifier(w.logs, nil).Embedded(w.issued.Final, w.issued.FinalChain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		leaf, err := r.SCT.Leaf(r.Entry)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ctlog.NewClient(*r.Log, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var head ctlog.Head
		for head.Size == 0 {
			if head, err = c.Head(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var b ctlog.Batch
		if err := c.Entries(t.Context(), 0, head.Size, &b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Entries[0].Leaf, leaf) || b.Entries[0].Hash() != sct.LeafHash(leaf) {
			t.Errorf("%s: its leaf is %x, the SCT promised %x", r.Log.Name(), b.Entries[0].Leaf, leaf)
		}
	}
}

func TestSCTsBesideTheCertificateVerifyOverTheCertificate(t *testing.T) {
	w := newWorld(t)
	final := w.finish(t)
	raw, err := w.lab.AddChain(t.Context(), lab.ToBoth, final, w.issued.FinalChain)
	if err != nil {
		t.Fatal(err)
	}
	list, err := sct.ParseList(ca.SCTList(raw))
	if err != nil || len(list) != 2 {
		t.Fatalf("%d SCTs, %v", len(list), err)
	}
	v := sct.NewVerifier(w.logs, nil)
	for i := range list {
		if err := v.Verify(&list[i], sct.X509Entry(final), time.Now()); err != nil {
			t.Errorf("SCT %d: %v", i, err)
		}
		other := append(bytes.Clone(final), 0)
		var e *sct.Error
		if err := v.Verify(&list[i], sct.X509Entry(other), time.Now()); !errors.As(err, &e) || e.Reason != sct.BadSignature {
			t.Errorf("SCT %d over another certificate: %v", i, err)
		}
	}
	// In OCSP they stand in an extension, whose value is an OCTET STRING around the list.
	if got, err := sct.ParseExtension(ca.TLV(ca.TagOctetString, ca.SCTList(raw))); err != nil || len(got) != 2 {
		t.Errorf("as an extension: %d SCTs, %v", len(got), err)
	}
	if got, err := sct.Embedded(final); err != nil || got != nil {
		t.Errorf("a certificate without SCTs has %v, %v", got, err)
	}
}

func TestD22APrecertificateSigningCAChangesNothing(t *testing.T) {
	w := newWorld(t)
	signer, err := w.issuer.NewPrecertSigner("Example Precertificate Signer", nil)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := w.issue(t, signer)
	v := sct.NewVerifier(w.logs, nil)
	// The signer is no part of the chain of the final certificate; that it is among the issuers must not mislead.
	for _, issuers := range [][][]byte{i.FinalChain, i.Chain, append(slices.Clone(i.Chain), i.FinalChain...)} {
		results, err := v.Embedded(i.Final, issuers, time.Now())
		if got := reasons(t, results); err != nil || !slices.Equal(got, valid()) {
			t.Errorf("%d issuers: reasons %q, %v", len(issuers), got, err)
		}
	}
	// The monitor's way, from the precertificate, leads to the same entry.
	tbs, hash, err := cert.FinalTBS(i.Precert, i.Chain)
	if err != nil {
		t.Fatal(err)
	}
	e, err := sct.PrecertEntry(i.Final, i.IssuerKeyHash())
	if err != nil || !bytes.Equal(e.Cert, tbs) || e.IssuerKeyHash != hash {
		t.Errorf("the entries of precertificate and certificate differ: %v", err)
	}
}

func TestD23aTheIssuerIsFoundByNameAndKeyNotByPosition(t *testing.T) {
	w := newWorld(t)
	chain := w.issued.FinalChain
	namesake, err := w.root.NewIntermediate("Example CA 1", nil) // the same name, another key
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ca.NewRoot("Example Stranger", nil)
	if err != nil {
		t.Fatal(err)
	}
	junk := []byte("no certificate")
	crowd := [][]byte{}
	for range 20 {
		c, err := ca.NewRoot("Example Stranger", nil)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c.Cert)
	}
	for name, issuers := range map[string][][]byte{
		"leaf, root, intermediate":          {w.issued.Final, chain[1], chain[0]},
		"a stranger first":                  {stranger.Cert, chain[1], chain[0]},
		"a namesake with another key first": {namesake.Cert, chain[0]},
		"junk first":                        {junk, nil, chain[0]},
		"a crowd of strangers first":        append(crowd, chain[0]),
	} {
		results, err := sct.NewVerifier(w.logs, nil).Embedded(w.issued.Final, issuers, time.Now())
		if got := reasons(t, results); err != nil || !slices.Equal(got, valid()) {
			t.Errorf("%s: reasons %q, %v", name, got, err)
		}
	}
}

func TestWhatDoesNotCountSaysWhy(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	encode := func(s *sct.SCT) { s.Extensions = []byte(base64.StdEncoding.EncodeToString(s.Extensions)) }
	namesake, err := w.root.NewIntermediate("Example CA 1", nil)
	if err != nil {
		t.Fatal(err)
	}
	ofB := w.scts[1]
	bad := func(s *sct.SCT) { s.Signature[len(s.Signature)-1] ^= 1 }
	tests := []struct {
		name    string
		scts    [][]byte
		issuers [][]byte
		logs    []loglist.Log
		now     time.Time
		want    []sct.Reason
		says    string
	}{
		{name: "D23 b: the extensions of a static log's SCT were lost", scts: [][]byte{edited(t, ofB, func(s *sct.SCT) { s.Extensions = nil })},
			want: []sct.Reason{sct.LostExtensions}, says: "were lost on the way"},
		{name: "D23 c: the extensions are still in base64", scts: [][]byte{edited(t, ofB, encode)},
			want: []sct.Reason{sct.EncodedExtensions}, says: "still in base64"},
		{name: "another time", scts: [][]byte{edited(t, ofB, func(s *sct.SCT) { s.Timestamp++ })}, want: []sct.Reason{sct.BadSignature}},
		{name: "another index", scts: [][]byte{edited(t, ofB, func(s *sct.SCT) { s.Extensions[7]++ })}, want: []sct.Reason{sct.BadSignature}},
		{name: "a damaged signature beside a good one", scts: [][]byte{edited(t, w.scts[0], bad), ofB}, want: []sct.Reason{sct.BadSignature, ""}},
		{name: "a log that no list names", scts: w.scts, logs: w.logs[:1], want: []sct.Reason{"", sct.UnknownLog}, says: "no list at hand"},
		{name: "a time that has not come", scts: w.scts, now: now.Add(-time.Hour), want: []sct.Reason{sct.Future, sct.Future}, says: "has not come yet"},
		{name: "a time that is ahead by less than the skew", scts: w.scts, now: time.UnixMilli(now.UnixMilli()).Add(-200 * time.Millisecond), want: valid()},
		{name: "another version", scts: [][]byte{edited(t, ofB, func(s *sct.SCT) { s.Version = 1 })}, want: []sct.Reason{sct.UnknownVersion}},
		{name: "an algorithm that is not the key's", scts: [][]byte{edited(t, ofB, func(s *sct.SCT) { s.Algorithm = 1 })}, want: []sct.Reason{sct.Malformed}},
		{name: "a hash that is not SHA-256", scts: [][]byte{edited(t, ofB, func(s *sct.SCT) { s.Hash = 2 })}, want: []sct.Reason{sct.Malformed}},
		{name: "no issuer at hand", scts: w.scts, issuers: [][]byte{}, want: []sct.Reason{sct.UnknownIssuer, sct.UnknownIssuer}},
		{name: "only a namesake of the issuer: no reproach to the logs", scts: w.scts, issuers: [][]byte{namesake.Cert}, want: []sct.Reason{sct.UnknownIssuer, sct.UnknownIssuer}},
		{name: "only the root", scts: w.scts, issuers: [][]byte{w.root.Cert}, want: []sct.Reason{sct.UnknownIssuer, sct.UnknownIssuer}},
		{name: "a key that is not the log's own", scts: w.scts, logs: []loglist.Log{{ID: w.logs[0].ID, Key: w.logs[1].Key}, w.logs[1]},
			want: []sct.Reason{sct.UnusableKey, ""}, says: "not the SHA-256"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.logs == nil {
				tt.logs = w.logs
			}
			if tt.issuers == nil {
				tt.issuers = w.issued.FinalChain
			}
			if tt.now.IsZero() {
				tt.now = now
			}
			results, err := sct.NewVerifier(tt.logs, nil).Embedded(w.finish(t, tt.scts...), tt.issuers, tt.now)
			if got := reasons(t, results); err != nil || !slices.Equal(got, tt.want) {
				t.Fatalf("reasons %q, %v; want %q", got, err, tt.want)
			}
			said := ""
			for _, r := range results {
				if r.Err != nil {
					said += r.Err.Error()
				}
			}
			if !strings.Contains(said, tt.says) {
				t.Errorf("said %q, want %q", said, tt.says)
			}
		})
	}
}

func TestHugeIssuerKeysAreNotWorkedOn(t *testing.T) {
	w := newWorld(t)
	huge := bytes.Repeat([]byte{0xff}, 1<<20)
	spki := ca.TLV(ca.TagSequence, ca.TLV(ca.TagSequence, []byte{6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0}),
		ca.TLV(ca.TagBitString, append([]byte{0}, ca.TLV(ca.TagSequence, ca.TLV(ca.TagInteger, append([]byte{0}, huge...)), ca.TLV(ca.TagInteger, []byte{1, 0, 1}))...)))
	i, err := w.root.Issue(ca.Leaf{Subject: w.issuer.Subject, SPKI: spki})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := i.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	results, err := sct.NewVerifier(w.logs, nil).Embedded(w.issued.Final, [][]byte{issuer}, time.Now())
	if got := reasons(t, results); err != nil || !slices.Equal(got, []sct.Reason{sct.UnknownIssuer, sct.UnknownIssuer}) {
		t.Errorf("reasons %q, %v", got, err)
	}
}

func TestTheHashOfALeaf(t *testing.T) {
	if got, want := sct.LeafHash([]byte("x")), sha256.Sum256([]byte("\x00x")); got != want {
		t.Errorf("%x, want %x", got, want)
	}
}
