package audit_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/internal/audit"
	"github.com/tocsin-ct/tocsin/internal/lab/ca"
	"github.com/tocsin-ct/tocsin/internal/lab/entry"
	"github.com/tocsin-ct/tocsin/internal/lab/sequence"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

// promised is a certificate with one SCT of each log.
type promised struct {
	logs   []loglist.Log
	issued *ca.Issued
	final  []byte
	leaves [][]byte
}

func promise(t *testing.T, edit func(scts [][]byte) [][]byte) *promised {
	t.Helper()
	root, err := ca.NewRoot("Example Root", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &promised{}
	if p.issued, err = root.Issue(ca.Leaf{CN: "www.example.org", DNS: []string{"www.example.org"}}); err != nil {
		t.Fatal(err)
	}
	e, err := entry.Precertificate(p.issued.Precert, p.issued.Chain)
	if err != nil {
		t.Fatal(err)
	}
	e.Timestamp = uint64(day.UnixMilli())
	var scts [][]byte
	for i, kind := range []loglist.Kind{loglist.RFC6962, loglist.Static} {
		signer, err := ca.NewKey(ca.P256, "")
		if err != nil {
			t.Fatal(err)
		}
		key, err := sequence.NewKey(signer)
		if err != nil {
			t.Fatal(err)
		}
		l, err := loglist.FromKey(kind, "https://log.example.com/2026", "", key.SPKI, "")
		if err != nil {
			t.Fatal(err)
		}
		l.MMD = time.Duration(24-23*i) * time.Hour
		if kind == loglist.Static {
			e.Extensions = entry.LeafIndex(7)
		}
		raw, err := key.SCT(e)
		if err != nil {
			t.Fatal(err)
		}
		p.logs, scts, p.leaves = append(p.logs, l), append(scts, raw), append(p.leaves, e.MerkleTreeLeaf())
	}
	if edit != nil {
		scts = edit(scts)
	}
	if p.final, err = p.issued.Finish(scts); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestThePromisesOfACertificate(t *testing.T) {
	p := promise(t, nil)
	v := sct.NewVerifier(p.logs, nil)
	got, err := rules.Promises(v, p.final, p.issued.FinalChain, [32]byte{}, day.Add(time.Second))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d promises, %v", len(got), err)
	}
	for i, want := range []time.Duration{24 * time.Hour, time.Hour} {
		g := got[i]
		if g.SCT.LogID != p.logs[i].ID || !bytes.Equal(g.Leaf, p.leaves[i]) || g.LeafHash != sct.LeafHash(g.Leaf) {
			t.Errorf("promise %d is about another leaf", i)
		}
		if !g.Due.Equal(day.Add(want)) || g.Progress.State != audit.Waiting || !g.Progress.Next.Equal(day.Add(want+rules.Slack)) {
			t.Errorf("promise %d: due %s, %+v", i, g.Due, g.Progress)
		}
	}
	// The key hash of the issuer alone is enough: it is known from the leaf of the precertificate.
	if got, err = rules.Promises(v, p.final, nil, p.issued.IssuerKeyHash(), day.Add(time.Second)); err != nil || len(got) != 2 || got[1].Progress.State != audit.Waiting {
		t.Errorf("by the key hash: %d promises, %v", len(got), err)
	}
}

func TestWhatIsNoPromiseIsNotAudited(t *testing.T) {
	now := day.Add(time.Second)
	t.Run("without the issuer the leaf is not known: nothing is queued", func(t *testing.T) {
		p := promise(t, nil)
		if got, err := rules.Promises(sct.NewVerifier(p.logs, nil), p.final, nil, [32]byte{}, now); err != nil || len(got) != 0 {
			t.Errorf("%d promises, %v", len(got), err)
		}
	})
	t.Run("a log that no list names is said, not accused", func(t *testing.T) {
		p := promise(t, nil)
		got, err := rules.Promises(sct.NewVerifier(p.logs[:1], nil), p.final, p.issued.FinalChain, [32]byte{}, now)
		if err != nil || len(got) != 2 || got[0].Progress.State != audit.Waiting || got[1].Progress.State != audit.Unaudited || got[1].Progress.Note == "" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("D23: an SCT that lost its extensions is no promise", func(t *testing.T) {
		p := promise(t, func(scts [][]byte) [][]byte {
			lost := append(bytes.Clone(scts[1][:41]), 0, 0) // version, log, time; no extensions
			return [][]byte{scts[0], append(lost, scts[1][43+8:]...)}
		})
		got, err := rules.Promises(sct.NewVerifier(p.logs, nil), p.final, p.issued.FinalChain, [32]byte{}, now)
		if err != nil || len(got) != 2 || got[1].Progress.State != audit.Invalid || !got[1].Progress.Next.IsZero() || got[1].Progress.Note == "" {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("of a hundred SCTs a few are looked at", func(t *testing.T) {
		p := promise(t, func(scts [][]byte) (many [][]byte) {
			for range 100 {
				many = append(many, scts[0])
			}
			return many
		})
		got, err := rules.Promises(sct.NewVerifier(p.logs, nil), p.final, p.issued.FinalChain, [32]byte{}, now)
		if err != nil || len(got) != 16 {
			t.Errorf("%d promises, %v", len(got), err)
		}
	})
}
