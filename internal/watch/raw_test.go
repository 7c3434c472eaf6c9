package watch

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tocsin-ct/tocsin/cert"
)

func TestRawBytesTouchItem(t *testing.T) {
	long := strings.Repeat("a", 60)
	for _, row := range []struct {
		it    string
		items string
		bytes string
		want  string // normal forms found
	}{
		{"a name between control bytes", "example.com", "\x00www.example.com\x01", "www.example.com"},
		{"a name at the very end", "example.com", "\xffwww.example.com", "www.example.com"},
		{"a name that is all there is", "example.com", "example.com", "example.com"},
		{"a name in any case", "example.com", "\x82\x0fWWW.Example.COM\x00", "www.example.com"},
		{"a name with its final dot", "example.com", "\x00example.com.\x00", "example.com"},
		{"a name inside a URL", "example.com", "https://www.example.com/login", "www.example.com"},
		{"a name inside a mail address", "example.com", "root@example.com", "example.com"},
		{"a longer name that ends alike", "example.com", "\x00notexample.com\x00", ""},
		{"a longer name that begins alike", "example.com", "\x00example.com.evil.test\x00", ""},
		{"an exact name", "=www.example.com", "\x00www.example.com\x00", "www.example.com"},
		{"an exact name is not a name beneath", "=www.example.com", "\x00a.www.example.com\x00", ""},
		{"a wildcard", "=www.example.com", "\x00*.example.com\x00", "*.example.com"},
		{"a wildcard of a top-level domain", "www.example.com", "\x00*.com\x00", "*.com"},
		{"a stray asterisk is no wildcard", "example.com", "\x06\x03*\x86\x48", ""},
		{"a stray asterisk behind a letter and a dot", "example.com", "\x00a.*\x00", ""},
		{"the length of a SEQUENCE of 298 bytes is no bare wildcard", "example.com", "\x30\x82\x01*", ""},
		{"a single label without a frame", "=localhost com.", "\x00localhost\x00com\x00", ""},
		{"a single label in its frame", "=localhost", "\x82\x09localhost", "localhost"},
		{"a printable length byte before the name", long + ".com", "\x82\x40" + long + ".com\x82\x01x", long + ".com"},
		{"a printable length byte that is wrong", long + ".com", "\x82\x50" + long + ".com\x00", long + ".com"},
		{"a SEQUENCE tag behind the name, frame intact", "example.com", "\x0c\x0bexample.com0\x59", "example.com"},
		{"a SEQUENCE tag behind the name, frame broken", "example.com", "\x82\x7fexample.com0\x82\x01", "example.com"},
		{"a SET tag behind the name", "example.com", "\x00example.com1\x0b", "example.com"},
		{"a digit at the end of a framed name stays", "example.com", "\x82\x0cexample.com0\x00", ""},
		{"a length in the long form", "example.com", "\x82\x81\x0bexample.com0example", "example.com"},
		{"a frame that runs past the end", "example.com", "\x82\x30example.com", "example.com"},
		{"a name after a name without a separator but in frames", "example.com", "\x82\x01x\x82\x0bexample.com\x82\x01y", "example.com"},
		{"a run of 100,000 labels", "example.com", strings.Repeat("a.", 100_000) + "example.com", strings.Repeat("a.", 122) + "example.com"},
		{"a name split by a byte above 0x7f", "example.com", "www\xe2.example.com", ".example.com"},

		{"an iPAddress of 4 bytes", "192.0.2.0/24", "\x30\x06\x87\x04\xc0\x00\x02\x4d", "192.0.2.77"},
		{"an iPAddress of 16 bytes", "2001:db8::/32", "\x87\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x77", "2001:db8::77"},
		{"an iPAddress of 16 bytes that is v4-mapped", "192.0.2.0/24", "\x87\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x4d", "192.0.2.77"},
		{"an iPAddress with a mask", "192.0.2.0/24", "\x87\x08\xc0\x00\x02\x4d\xff\xff\xff\x00", "192.0.2.77"},
		{"an iPAddress with a constructed tag", "192.0.2.0/24", "\xa7\x04\xc0\x00\x02\x4d", "192.0.2.77"},
		{"an iPAddress with a constructed tag around an OCTET STRING", "192.0.2.0/24", "\xa7\x06\x04\x04\xc0\x00\x02\x4d", "192.0.2.77"},
		{"an iPAddress in indefinite length", "192.0.2.0/24", "\xa7\x80\x04\x04\xc0\x00\x02\x4d\x00\x00", "192.0.2.77"},
		{"an iPAddress with a length in the long form", "192.0.2.0/24", "\x87\x81\x04\xc0\x00\x02\x4d", "192.0.2.77"},
		{"an iPAddress that is cut off", "192.0.2.0/24", "\x87\x04\xc0\x00\x02", ""},
		{"the bytes of an address without tag", "192.0.2.0/24", "\x04\x04\xc0\x00\x02\x4d", ""},
		{"an iPAddress inside what claims to be a name", "192.0.2.0/24", "\x82\x08x\x87\x04\xc0\x00\x02\x4d", "192.0.2.77"},

		{"IPv4 text", "192.0.2.0/24", "router at 192.0.2.77", "192.0.2.77"},
		{"IPv4 text behind its header", "192.0.2.0/24", "\x0c\x0a192.0.2.77", "192.0.2.77"},
		{"IPv4 text before a SEQUENCE", "192.0.2.77", "\x0c\x0a192.0.2.770\x0d", "192.0.2.77"},
		{"IPv4 text with a port", "192.0.2.0/24", "https://192.0.2.77:8443/", "192.0.2.77"},
		{"IPv4 text as labels of a name", "192.0.2.0/24", "\x00192.0.2.77.benign.example\x00", ""},
		{"IPv4 text with one digit more", "192.0.2.77", "\x82\x0b192.0.2.770\x00", ""},
		{"IPv4 text with one digit more before", "192.0.2.77", "\x001192.0.2.77\x00", ""},
		{"a wildcard before IPv4 text", "192.0.2.77", "\x00*.0.2.77\x00", ""},
		{"IPv6 text", "2001:db8::/32", "https://[2001:DB8::77]:8443/", "2001:db8::77"},
		{"IPv6 text with a zone", "fe80::/10", "fe80::77%eth0", "fe80::77"},
		{"IPv6 text before a SEQUENCE", "2001:db8::77", "\x0c\x0c2001:db8::770\x0d", "2001:db8::77"},
		{"IPv6 text in a longer word", "2001:db8::/32", "x2001:db8::77g", ""},
		{"a time of day is no address", "::/0", "12:30:45", ""},
	} {
		t.Run(row.it, func(t *testing.T) {
			m := New([]Watch{{Items: items(t, row.items)}})
			var found []string
			for _, match := range m.MatchRaw([]byte(row.bytes)) {
				if match.Where != cert.InRaw {
					t.Errorf("found in %v, want raw", match.Where)
				}
				if !strings.Contains(row.bytes, match.Value) {
					t.Errorf("value %q is not in the bytes", match.Value)
				}
				found = append(found, match.Normal)
			}
			if got := strings.Join(found, " "); got != row.want {
				t.Errorf("found %q, want %q", got, row.want)
			}
			if got := m.TouchesRaw([]byte(row.bytes)); got != (row.want != "") {
				t.Errorf("TouchesRaw = %v", got)
			}
		})
	}
}

func TestNoiseTouchesNothing(t *testing.T) {
	m := New([]Watch{{Items: items(t, "example.com =www.example.org com. 192.0.2.0/24 2001:db8::/32")}})
	noise := make([]byte, 4<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(noise)
	for _, match := range m.MatchRaw(noise) {
		t.Errorf("found %q", match.Normal)
	}
}

// The time for hostile bytes is bounded by their length; the fuzz target would find a hang, these are the shapes that
// a quadratic search would not survive.
func TestRawSearchOfHostileShapes(t *testing.T) {
	m := New([]Watch{{Items: items(t, "example.com =www.example.org 192.0.2.0/24 2001:db8::/32")}})
	for _, shape := range []string{"a", "a.", ".", "*", "*.", "\x82", "\x82\x82", "\x82\x81\xff", "\x87", "\xa7\x04\x04", ":", "1.", "\x82\x61a", "0", "::1 "} {
		m.MatchRaw(bytes.Repeat([]byte(shape), 1<<19/len(shape)))
	}
}

func FuzzMatchRaw(f *testing.F) {
	m := New([]Watch{{Items: items(f, "example.com =www.example.org com. 192.0.2.0/24 2001:db8::/32 0.0.0.0/1")}})
	for _, seed := range []string{"", "\x82\x0bexample.com", "\x87\x04\xc0\x00\x02\x01", "\xa7\x80\x04\x04\xc0\x00\x02\x01", "2001:db8::1", "*.com", "\x82\x01*", "\x82\x82\x00", "1.2.0.192.in-addr.arpa"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list := m.MatchRaw(b)
		if got := m.TouchesRaw(b); got != (len(list) > 0) {
			t.Fatalf("TouchesRaw = %v, MatchRaw finds %v", got, list)
		}
		for _, match := range list {
			if !bytes.Contains(b, []byte(match.Value)) || match.Normal == "" {
				t.Fatalf("%+v", match)
			}
		}
	})
}

func FuzzParseItem(f *testing.F) {
	for _, seed := range []string{"example.com", "=www.example.com", "192.0.2.0/24", "::ffff:192.0.2.0/120", "*.example.com", "com.", "=", "fe80::1%eth0", "0x7f.1", "1.2.0.192.in-addr.arpa", "https://a.example/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		item, err := ParseItem(text, Place{Line: 1})
		if err != nil {
			if e, ok := err.(*ItemError); !ok || e.Problem == "" || e.HintText == "" {
				t.Fatalf("%#v: a refusal without problem or hint", err)
			}
			return
		}
		if (item.Name == "") == !item.Prefix.IsValid() {
			t.Fatalf("%+v is not exactly one of name and network", item)
		}
		// What an item stands for touches it.
		m := New([]Watch{{Items: []Item{item}}})
		value := item.Name
		if value == "" {
			value = prefixText(item.Prefix)
		}
		if touched(t, m, value) == "" && item.Text != "" {
			t.Fatalf("%+v does not match %q", item, value)
		}
	})
}

func FuzzReadItems(f *testing.F) {
	f.Add("example.com\n# comment\n192.0.2.0/24 # net\n\n=www.example.org\r\n")
	f.Add("\ufeff*\n" + strings.Repeat("x", 5000))
	f.Fuzz(func(t *testing.T, file string) {
		list, err := ReadItems(strings.NewReader(file), "list", ParseItem)
		for _, item := range list {
			if item.Place.File != "list" || item.Place.Line < 1 || item.Place.Line > strings.Count(file, "\n")+1 {
				t.Fatalf("%+v has no place", item)
			}
		}
		if err == nil && len(list) > strings.Count(file, "\n")+1 {
			t.Fatal("more items than lines")
		}
	})
}
