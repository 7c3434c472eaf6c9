package cert

import (
	"crypto/x509"
	"testing"
)

// benchmarkCerts are certificates as they come out of logs: public leaves and precertificates of about 1.5 kB.
func benchmarkCerts(b *testing.B) [][]byte {
	var all [][]byte
	for _, name := range []string{"real/public-precert", "real/staging-precert"} {
		all = append(all, readCorpus(b, name).Certs...)
	}
	size := 0
	for _, c := range all {
		size += len(c)
	}
	b.SetBytes(int64(size / len(all)))
	return all
}

// Limit: 0 allocations, 0.5 µs for a certificate of 1.5 kB, at most a tenth of BenchmarkX509.
func BenchmarkScan(b *testing.B) {
	all := benchmarkCerts(b)
	var s Scan
	for _, c := range all {
		s.Certificate(c)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s.Certificate(all[i%len(all)])
		i++
	}
}

func BenchmarkParse(b *testing.B) {
	all := benchmarkCerts(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		Parse(all[i%len(all)])
		i++
	}
}

// For comparison.
func BenchmarkX509(b *testing.B) {
	all := benchmarkCerts(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		x509.ParseCertificate(all[i%len(all)])
		i++
	}
}
