package interop_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"github.com/google/certificate-transparency-go/ctutil"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	ctx509util "github.com/google/certificate-transparency-go/x509util"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/ctlog"
	"github.com/tocsin-ct/tocsin/internal/audit"
	"github.com/tocsin-ct/tocsin/interop/reallogs"
	"github.com/tocsin-ct/tocsin/loglist"
	"github.com/tocsin-ct/tocsin/sct"
)

// promised is a certificate with an SCT of each real log, embedded by a CA of crypto/x509. The chain is that of the
// final certificate.
type promised struct {
	final []byte
	chain [][]byte
	scts  []reallogs.SCT
}

func promise(t *testing.T, logs []*reallogs.Log, signer, by *ca, name string) promised {
	t.Helper()
	key := ecdsaKey(t)
	tmpl := leafFor(t, []string{name})
	pre := joined(signer.precert(t, tmpl, key.Public()), signer.chain())
	p := promised{chain: by.chain()}
	var raw [][]byte
	for _, l := range logs {
		s, err := l.AddPreChain(soon(t), pre...)
		if err != nil {
			t.Fatal(err)
		}
		p.scts, raw = append(p.scts, s), append(raw, s.TLS)
	}
	p.final = by.final(t, tmpl, key.Public(), raw...)
	return p
}

func TestSCTsOfRealLogsVerify(t *testing.T) {
	root := newRoot(t, "Root")
	logs := startLogs(t, root)
	v := sct.NewVerifier(listed(t, logs...), nil)
	// A precertificate signing certificate has a key of the type of its issuer's.
	rsa := root.sub(t, "An RSA CA", rsaKey(t), nil)
	p256 := root.sub(t, "A P-256 CA", ecdsaKey(t), nil)
	for name, of := range map[string][2]*ca{
		"by the issuer, RSA":                      {rsa, rsa},
		"by the issuer, P-256":                    {p256, p256},
		"D22: by a precertificate signing CA":     {p256.precertSigner(t, "Signs precertificates", ecdsaKey(t)), p256},
		"D22: by a precertificate signing RSA CA": {rsa.precertSigner(t, "Signs precertificates, RSA", rsaKey(t)), rsa},
	} {
		p := promise(t, logs, of[0], of[1], "www.resolver.example")
		// D23 a: root before intermediate.
		results, err := v.Embedded(p.final, [][]byte{p.chain[len(p.chain)-1], p.chain[0]}, time.Now())
		if err != nil || len(results) != len(logs) {
			t.Fatalf("%s: %d results, %v", name, len(results), err)
		}
		for i, r := range results {
			if r.Err != nil {
				t.Errorf("%s, %s: %v", name, logs[i].Kind, r.Err)
			}
			if _, ok := r.SCT.LeafIndex(); ok != (logs[i].Kind == reallogs.Static) {
				t.Errorf("%s, %s: an index is there: %v", name, logs[i].Kind, ok)
			}
		}
	}

	// And those over the final certificate.
	p := promise(t, logs, p256, p256, "www.resolver.example")
	for _, l := range logs {
		s, err := l.AddChain(soon(t), joined(p.final, p.chain)...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sct.Parse(s.TLS)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(&got, sct.X509Entry(p.final), time.Now()); err != nil {
			t.Errorf("%s: %v", l.Kind, err)
		}
		got.Timestamp++
		var e *sct.Error
		if err := v.Verify(&got, sct.X509Entry(p.final), time.Now()); !errors.As(err, &e) || e.Reason != sct.BadSignature {
			t.Errorf("%s, another time: %v", l.Kind, err)
		}
	}
}

func TestRealLogsProveInclusionOrThatALeafIsAbsent(t *testing.T) {
	root := newRoot(t, "Root")
	logs := startLogs(t, root)
	issuer := root.sub(t, "A CA", ecdsaKey(t), nil)
	p := promise(t, logs, issuer, issuer, "www.resolver.example")
	results, err := sct.NewVerifier(listed(t, logs...), nil).Embedded(p.final, p.chain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range logs {
		if err := l.WaitSize(soon(t), 1); err != nil {
			t.Fatal(err)
		}
		fill(t, l, issuer, 300) // more than a tile
		client, err := ctlog.NewClient(listed(t, l)[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		head, err := client.Head(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := results[i].SCT.Leaf(results[i].Entry)
		if err != nil {
			t.Fatal(err)
		}
		var index *uint64
		if n, ok := results[i].SCT.LeafIndex(); ok {
			index = &n
		}
		if at, err := client.Inclusion(soon(t), sct.LeafHash(leaf), index, head); err != nil || at != 0 {
			t.Errorf("%s: index %d, %v", l.Kind, at, err)
		}
		other := uint64(200)
		_, err = client.Inclusion(soon(t), ctlog.Hash{1}, &other, head)
		var absent *ctlog.AbsentError
		if !errors.As(err, &absent) {
			t.Fatalf("%s, a leaf that was never logged: %v", l.Kind, err)
		}
		if l.Kind == reallogs.Static {
			if err := ctlog.VerifyInclusion(absent.Found, other, absent.Proof, head); err != nil {
				t.Errorf("what stands there instead: %v", err)
			}
		}
	}
}

// The rules of the audit over the answers of real logs. The daemon's own loop around them is tested in the main module,
// whose modules this one does not carry.
func TestTheAuditProvesThePromisesOfRealLogs(t *testing.T) {
	root := newRoot(t, "Root")
	logs := startLogs(t, root)
	list := listed(t, logs...)
	for i := range list {
		list[i].MMD = time.Millisecond
	}
	issuer := root.sub(t, "A CA", p384Key(t), nil)
	p := promise(t, logs, issuer.precertSigner(t, "Signs precertificates", p384Key(t)), issuer, "www.resolver.example")
	rules := audit.Rules{Slack: time.Millisecond}
	promises, err := rules.Promises(sct.NewVerifier(list, nil), p.final, p.chain, [32]byte{}, time.Now())
	if err != nil || len(promises) != len(logs) {
		t.Fatalf("%d promises, %v", len(promises), err)
	}
	for i, m := range promises {
		if m.Progress.State != audit.Waiting {
			t.Fatalf("%s: %+v", logs[i].Kind, m.Progress)
		}
		client, err := ctlog.NewClient(list[i], nil)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		var index *uint64
		if n, ok := m.SCT.LeafIndex(); ok {
			index = &n
		}
		fill(t, logs[i], issuer, 2) // so that there is a head from after the delay
		head, err := client.Head(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if head.Time().Before(m.Due) {
			t.Fatalf("%s: the head is of %s, the promise due at %s", logs[i].Kind, head.Time(), m.Due)
		}
		at, err := client.Inclusion(soon(t), m.LeafHash, index, head)
		if err != nil {
			t.Fatal(err)
		}
		got, event := rules.Step(m.Progress, m.Due, audit.Answer{Kind: audit.Included, Index: at}, time.Now())
		if got.State != audit.Proven || event != audit.Nothing || *got.Index != 0 {
			t.Errorf("%s: %+v", logs[i].Kind, got)
		}
	}
}

// TestSCTsOfRealCertificatesAreJudgedAsTheOracleJudges compares every SCT of every real certificate whose issuer is at
// hand with the verdict of certificate-transparency-go, under the keys of real log lists.
func TestSCTsOfRealCertificatesAreJudgedAsTheOracleJudges(t *testing.T) {
	var logs []loglist.Log
	keys := map[[32]byte]crypto.PublicKey{}
	for _, name := range []string{"google-all_logs_list-2026-08-21.json", "apple-current_log_list-v511-2026-04-01.json"} {
		l, err := loglist.Parse(sharedData(t, "loglists/"+name))
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l.Logs...)
	}
	for _, l := range logs {
		key, err := x509.ParsePKIXPublicKey(l.Key)
		if err != nil {
			t.Fatal(err)
		}
		keys[l.ID] = key
	}
	v := sct.NewVerifier(logs, nil)
	issuers := map[string][][]byte{}
	for _, c := range pemBlocks(sharedData(t, "corpus/real/ca.pem.gz")) {
		subject := string(cert.Parse(c).RawSubject)
		issuers[subject] = append(issuers[subject], c)
	}
	verified, refused := 0, 0
	for _, der := range pemBlocks(sharedData(t, "corpus/real/public-leaf.pem.gz")) {
		parsed := cert.Parse(der)
		candidates := issuers[string(parsed.RawIssuer)]
		results, err := v.Embedded(der, candidates, time.Now())
		if err != nil || len(results) == 0 || len(candidates) == 0 {
			continue
		}
		leaf, err := ctx509.ParseCertificate(der)
		if ctx509.IsFatal(err) {
			continue
		}
		for _, r := range results {
			key := keys[r.SCT.LogID]
			if key == nil {
				continue
			}
			oracle, err := ctx509util.ExtractSCT(&ctx509.SerializedSCT{Val: r.SCT.Raw})
			if err != nil {
				t.Fatal(err)
			}
			good := false
			for _, c := range candidates {
				if issuer, err := ctx509.ParseCertificate(c); !ctx509.IsFatal(err) {
					good = good || ctutil.VerifySCT(key, []*ctx509.Certificate{leaf, issuer}, oracle, true) == nil
				}
			}
			if good != (r.Err == nil) {
				t.Errorf("serial %x, log %s: we say %v, the oracle says %v", parsed.Serial, r.SCT.LogIDText(), r.Err, good)
			}
			if good {
				verified++
			} else {
				refused++
			}
		}
	}
	t.Logf("%d SCTs verified and %d refused by both", verified, refused)
	if verified < 1000 {
		t.Errorf("only %d SCTs were compared", verified)
	}
}

func pemBlocks(b []byte) (certs [][]byte) {
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return certs
		}
		certs = append(certs, block.Bytes)
	}
}
