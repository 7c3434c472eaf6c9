package policy_test

import (
	"fmt"
	"testing"

	"github.com/tocsin-ct/tocsin/cert"
	"github.com/tocsin-ct/tocsin/internal/policy"
)

// The cost of a decision, with all built-in rules: an ordinary renewal, and a certificate with as many names as are read.
func BenchmarkDecide(b *testing.B) {
	for _, names := range []int{2, 100, cert.MaxIdents} {
		b.Run(fmt.Sprint(names, " names"), func(b *testing.B) {
			s := promised(b)
			for i := range names {
				s.cert.Idents = append(s.cert.Idents, name(cert.InDNS, fmt.Sprintf("n%d.example.com", i)))
			}
			in := s.input(b)
			for b.Loop() {
				policy.Decide(in)
			}
		})
	}
}
