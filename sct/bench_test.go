package sct_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/tocsin-ct/tocsin/sct"
)

// BenchmarkEmbedded verifies the two SCTs of a certificate. Beside it in the same run stands its limit: the two ECDSA
// P-256 verifications with their hashes and nothing else. Reading the certificate may cost 10 % of that.
func BenchmarkEmbedded(b *testing.B) {
	w := fixedWorld(b)
	v := sct.NewVerifier(w.logs, nil)
	results, err := v.Embedded(w.issued.Final, w.issued.FinalChain, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			results, err := v.Embedded(w.issued.Final, w.issued.FinalChain, time.Now())
			if err != nil || len(results) != 2 || results[0].Err != nil || results[1].Err != nil {
				b.Fatal(results, err)
			}
		}
	})
	b.Run("limit", func(b *testing.B) {
		var keys []*ecdsa.PublicKey
		var leaves [][]byte
		for _, r := range results {
			key, err := x509.ParsePKIXPublicKey(r.Log.Key)
			if err != nil {
				b.Fatal(err)
			}
			leaf, err := r.SCT.Leaf(r.Entry)
			if err != nil {
				b.Fatal(err)
			}
			keys, leaves = append(keys, key.(*ecdsa.PublicKey)), append(leaves, leaf)
		}
		for b.Loop() {
			for i := range keys {
				digest := sha256.Sum256(leaves[i])
				if !ecdsa.VerifyASN1(keys[i], digest[:], results[i].SCT.Signature) {
					b.Fatal(i)
				}
			}
		}
	})
}
