package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/internal/lab/ca"
)

// D20: a certificate of 10,000 names, one of a megabyte, and one below a CA of 2,000 name constraints ring like any
// other, and the alarm lists what matched, and of the rest how many there are.
func TestD20HugeCertificatesRingWithWhatMatchedAndACount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, toStdout)
	d := w.watch(nil)
	d.ready()
	names := func(n, length int) []string {
		all := []string{"huge.example.com"}
		for i := 1; i < n; i++ {
			label := fmt.Sprint("host", i)
			all = append(all, label+strings.Repeat("x", max(0, min(60, length-len(label))))+strings.Repeat("."+strings.Repeat("y", 60), length/100)+".neighbour.example")
		}
		return all
	}
	many, mega := w.issue(names(10_000, 20)...), w.issue(names(8_000, 100)...)
	if n := len(mega.Precert); n < 1_000_000 {
		t.Fatalf("the large certificate has only %d bytes", n)
	}
	var constraints [][]byte
	for i := range 2_000 {
		constraints = append(constraints, ca.TLV(ca.TagSequence, ca.DNSName(fmt.Sprint("zone", i, ".example"))))
	}
	authority, err := w.ca.NewIntermediate("a CA of many constraints", &ca.Options{Extensions: []ca.Extension{
		{ID: "2.5.29.30", Critical: true, Value: ca.TLV(ca.TagSequence, ca.TLV(0xa0, constraints...))}}})
	if err != nil {
		t.Fatal(err)
	}
	below, err := authority.Issue(ca.Leaf{DNS: []string{"below.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		issued *ca.Issued
		names  int
	}{{"10,000 names", many, 10_000}, {"a megabyte", mega, 8_000}, {"2,000 name constraints above it", below, 1}} {
		for _, l := range w.logs() { // of both kinds
			w.log(l, row.issued)
		}
		told := d.rings(row.issued)
		if told.Certificate.DNSNamesTotal != row.names || len(told.Certificate.DNSNames) > 100 {
			t.Errorf("%s: %d of %d names are listed, want the number of all %d and few of them", row.name, len(told.Certificate.DNSNames), told.Certificate.DNSNamesTotal, row.names)
		}
		if len(told.Matched) != 1 || !strings.HasSuffix(told.Matched[0].Value, ".example.com") {
			t.Errorf("%s: matched %+v", row.name, told.Matched)
		}
	}
	w.settled()
	d.stop()
}
