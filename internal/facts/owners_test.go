package facts_test

import (
	"bytes"
	"encoding/hex"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tocsin-ct/tocsin/internal/facts"
)

func load(t testing.TB) *facts.Owners {
	t.Helper()
	o, err := facts.LoadOwners()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func spki(t testing.TB, text string) [32]byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		t.Fatalf("%q is no hash", text)
	}
	return [32]byte(b)
}

func TestTheBuiltInTable(t *testing.T) {
	o := load(t)
	for _, row := range []struct {
		name, key string
		want      facts.Holder
	}{
		{"a key that CCADB gives to one owner", "0001a8968d0dd6265ae6ebaf9b4d9cb199e4b99b3c86f23e1d12e1007b4d86a9",
			facts.Holder{Owners: []string{"Google Trust Services LLC"}, Basis: "ccadb", Evidence: true}},
		{"a key reached by signatures", "000caa2c5c36ea40e773550452d102fe5a6e446ebeb624de8a6fe668137e19e0",
			facts.Holder{Owners: []string{"Government of Finland, Population Register Centre’s (Väestörekisterikeskus, VRK)"}, Basis: "chain", Evidence: true}},
	} {
		got, ok := o.Lookup(spki(t, row.key))
		if diff := cmp.Diff(row.want, got); diff != "" || !ok {
			t.Errorf("%s: %v (-want +got):\n%s", row.name, ok, diff)
		}
	}
	if _, ok := o.Lookup([32]byte{}); ok {
		t.Error("the zero key has an owner")
	}
}

func TestANameOfACAStandsForAllThatRecogniseIt(t *testing.T) {
	o := load(t)
	for _, row := range []struct {
		text string
		want []string
	}{
		{"digicert.com", []string{"DigiCert"}},
		{"DigiCert.COM.", []string{"DigiCert"}},
		{"DigiCert", []string{"DigiCert"}},
		{"letsencrypt.org", []string{"Internet Security Research Group"}},
		{"Let's Encrypt", []string{"Internet Security Research Group"}},
		{"ssl.com", []string{"SSL.com"}}, // a CAA name and an owner's name at once
		{"amazon.com", []string{"Amazon Trust Services", "DigiCert"}},
		{"entrust.net", []string{"Entrust", "Sectigo", "SSL.com"}},
		{"cybertrust.ne.jp", []string{"Cybertrust Japan / JCSI", "DigiCert"}},
		{"example.com", nil},
		{"", nil},
	} {
		got := o.Resolve(row.text)
		slices.Sort(got)
		slices.Sort(row.want)
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", row.text, diff)
		}
	}
	if got := o.CAA("DigiCert"); got != nil {
		t.Errorf("an owner's name is no CAA name: %v", got)
	}
	if got, ok := o.Owner("fina"); !ok || got != "Financijska agencija (Fina)" {
		t.Errorf("fina: %q, %v", got, ok)
	}
	if got, ok := o.Owner("JPRS"); !ok || got != "JPRS" {
		t.Errorf("a full name comes before a short one: %q, %v", got, ok)
	}
	if got, ok := o.Owner("fina.hr"); ok {
		t.Errorf("a CAA name is no owner's name: %q", got)
	}
	if got := o.Domains([]string{"Financijska agencija (Fina)", "SSL.com", "nobody"}); !slices.Contains(got, "fina.hr") || !slices.Contains(got, "ssl.com") {
		t.Errorf("domains %v", got)
	}
}

func TestAHintNamesWhatWasMeant(t *testing.T) {
	o := load(t)
	for text, want := range map[string]string{
		"digicret.com": "digicert.com", "letsencrypt.com": "letsencrypt.org", "Lets Encrypt": "Let's Encrypt",
		"sectig": "Sectigo", "pki.gooog": "pki.goog", "google": "Google Trust Services",
	} {
		if got := o.Nearest(text, 3); !slices.Contains(got, want) || len(got) > 3 {
			t.Errorf("%q: %q, want %q among them", text, got, want)
		}
	}
	if got := o.Nearest("something else entirely", 3); len(got) > 0 {
		t.Errorf("a hint from nowhere: %q", got)
	}
}

func TestABrokenTableIsRefused(t *testing.T) {
	zipped := func(s string) []byte { return zip(t, s) }
	owners := []byte("owner\tshort_name\tcaa_domains\nAlpha\t\t\n")
	hash := string(bytes.Repeat([]byte("0a"), 32))
	for _, row := range []struct {
		name         string
		owners, keys []byte
	}{
		{"keys that are not compressed", owners, []byte("x")},
		{"keys that end early", owners, zipped("h\n" + hash + "\tccadb\t0\n")[:20]},
		{"a hash that is none", owners, zipped("h\nzz\tccadb\t0\n")},
		{"a basis that nobody knows", owners, zipped("h\n" + hash + "\thearsay\t0\n")},
		{"an owner that is not there", owners, zipped("h\n" + hash + "\tccadb\t1\n")},
		{"a key without owner", owners, zipped("h\n" + hash + "\tccadb\t\n")},
		{"an owner row that is too short", []byte("h\nAlpha\n"), zipped("h\n")},
	} {
		if _, err := facts.ReadOwners(row.owners, row.keys); err == nil {
			t.Errorf("%s: accepted", row.name)
		}
	}
}

// The table is read once per process. Limits: 50 ms, 8 MB allocated, 2 MB kept.
func BenchmarkReadOwners(b *testing.B) {
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var o *facts.Owners
	for b.Loop() {
		var err error
		if o, err = facts.ReadOwners(facts.OwnersTable, facts.KeysTable); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc), "B-kept")
	runtime.KeepAlive(o)
}

// Limit: 1 µs.
func BenchmarkLookup(b *testing.B) {
	o := load(b)
	key := spki(b, "0001a8968d0dd6265ae6ebaf9b4d9cb199e4b99b3c86f23e1d12e1007b4d86a9")
	for b.Loop() {
		if _, ok := o.Lookup(key); !ok {
			b.Fatal("lost")
		}
	}
}
